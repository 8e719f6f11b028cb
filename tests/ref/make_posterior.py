"""Write posterior.json: posterior means of ten weights, for test_posterior.py (takes minutes, so it is run by hand).

  tests/ref/make_posterior.py > tests/ref/posterior.json

Annealed sequential Monte Carlo (Del Moral, Doucet, Jasra 2006) with tens of thousands of particles: the prior times
the likelihood to a power that rises from 0 to 1, so that half of the particles count at each step; then resampling,
and Metropolis moves.  alpha and sharpness are summed out, so that only the weights are sampled.  Several runs: their
spread is the standard error.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from adaptation import *

PARTICLES, MOVES, RUNS = 24000, 40, 6
LOG_NORM = special.gammaln(10 * ALPHAS) - 10 * special.gammaln(ALPHAS)


def prior(rng):
    """log w by alpha; Gamma(a) = Gamma(a + 1) U^(1/a) keeps what underflows."""
    shape = (10, PARTICLES // len(ALPHAS))
    g = np.concatenate([np.log(rng.gamma(a + 1, size=shape)) + np.log(rng.rand(*shape)) / a for a in ALPHAS], axis=1)
    return g - special.logsumexp(g, axis=0)


def log_prior(log_w):
    """Density of the logits (hence a log w, not (a - 1) log w) but for a constant."""
    return special.logsumexp(LOG_NORM[:, None] + ALPHAS[:, None] * log_w.sum(0), axis=0)


def log_likelihood(v, log_w):
    total = v.likelihoods(np.exp(log_w).T, SHARPNESS)
    return special.logsumexp(total + SHARPNESS_PRIOR[:, None], axis=0)


def run(rng, v):
    log_w = prior(rng)
    n, power = log_w.shape[1], 0
    like, at = log_likelihood(v, log_w), np.arange(n)
    while power < 1:
        share = lambda step: special.logsumexp(step * like) * 2 - special.logsumexp(2 * step * like) - np.log(n)
        step = 1 - power
        while share(step) < np.log(0.5):
            step *= 0.8
        power += step
        p = np.exp(step * (like - like.max()))
        keep = np.searchsorted(p.cumsum() / p.sum(), (rng.rand() + at) / n).clip(0, n - 1)
        log_w, like = log_w[:, keep], like[keep]
        now = log_prior(log_w) + power * like
        total = 0
        for _ in range(MOVES):
            w = np.exp(log_w)
            a = (w.cumsum(0) < rng.rand(n) * w.sum(0)).sum(0).clip(0, 9)  # in proportion to w: the pair's mass stays
            b = (a + 1 + rng.randint(9, size=n)) % 10
            la, lb = log_w[a, at], log_w[b, at]
            x = (la - lb) * np.where(rng.rand(n) < 0.3, -1, 1) + rng.standard_normal(n) * rng.choice([0.1, 0.4, 1.5, 6], n)
            both, there = np.logaddexp(la, lb), log_w.copy()
            there[a, at], there[b, at] = both + special.log_expit(x), both + special.log_expit(-x)
            its_like = log_likelihood(v, there)
            its = log_prior(there) + power * its_like
            accept = np.log(rng.rand(n)) < its - now
            log_w, now, like = np.where(accept, there, log_w), np.where(accept, its, now), np.where(accept, its_like, like)
            total = total + np.exp(log_w).mean(1)
    return total / MOVES, np.exp(log_w).std(1)


def main():
    cases = []
    for function, size, noise in POSTERIOR_CASES:
        v = Evidence(function, posterior_case(function, size, noise))
        means, sds = zip(*[run(np.random.RandomState(k), v) for k in range(RUNS)])
        case = {"function": function, "size": size, "noise": noise, "mean": np.mean(means, 0), "sd": np.mean(sds, 0),
                "se": np.std(means, 0, ddof=1) / np.sqrt(RUNS)}
        cases.append({k: [float("%.5g" % x) for x in c] if isinstance(c, np.ndarray) else c for k, c in case.items()})
        print(case["function"], size, noise, np.round(case["mean"], 3), np.round(case["sd"], 3), np.round(case["se"], 4), file=sys.stderr, flush=True)
    print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")


main()
