"""The algorithm of core_posterior.c in vectorised numpy: users in blocks, particles and lanes as arrays.

Its random numbers are numpy's, so its answers differ from ours by Monte Carlo noise.  It counts the exponentials and
logarithms it evaluates (without those of 0 and 1), as ours needs as many.
"""
import numpy as np

PARTICLES, LANES, ENOUGH, SET_STEPS, LAST_STEPS, BURN_IN = 8192, 128, 100, 5, 30, 10
DROP, LOG_TINY, LOG_2, SHARPNESSES = 20.0, -690.0, np.log(2), 10
PRIOR_ALPHA = (.01, .03, .1, .3, 1, 1, 3, 3)
SHARPNESS_POWER = .25  # prior weight of sharpness b: b to this power


class Counter:
    exp = log = 0


def softplus(x):
    Counter.exp += x.size
    Counter.log += x.size
    return np.logaddexp(0, x)


def standardise(x):
    """[users][sets][rows][dim], centred within sets, root mean square 1 within users."""
    x = x - x.mean(2, keepdims=True)
    return x / np.sqrt((x ** 2).mean((1, 2, 3), keepdims=True))


def prior(dim, rng):
    bases = -(-PARTICLES // dim)
    while bases * dim % 64:
        bases += 1
    weights, alphas = [], []
    for g, alpha in enumerate(PRIOR_ALPHA):
        n = bases * (g + 1) // len(PRIOR_ALPHA) - bases * g // len(PRIOR_ALPHA)
        logs = np.log(rng.gamma(1 + alpha, size=(n, dim))) + np.log(rng.uniform(size=(n, dim))) / alpha
        w = np.exp(logs - logs.max(1, keepdims=True))
        w /= w.sum(1, keepdims=True)
        weights.append(np.stack([np.roll(w, r, 1) for r in range(dim)], 1).reshape(-1, dim))
        alphas.append(np.full(n * dim, float(alpha)))
    share = np.cumsum(2.0 ** (SHARPNESS_POWER * np.arange(SHARPNESSES)))
    u = (np.arange(bases * dim) * .6180339887498949) % 1 * share[-1]
    return np.concatenate(weights), np.concatenate(alphas), np.searchsorted(share, u, side="right") * LOG_2


def likelihood(x, best, worst, w, b):
    """Log likelihood of sets [.., rows, dim] with marks [..], for particles w [.., particles, dim], b [.., particles]."""
    u = np.matmul(w, np.swapaxes(x, -1, -2)) * b[..., None]  # [.., particles, rows]
    rows = u.shape[-1]
    at = lambda k: np.take_along_axis(u, np.broadcast_to(k[..., None, None], u.shape[:-1] + (1,)), -1)
    one = np.exp(np.minimum(u - at(best), 300)).sum(-1)
    two = np.minimum(at(worst) - u, 300)
    np.put_along_axis(two, np.broadcast_to(best[..., None, None], two.shape[:-1] + (1,)), -np.inf, -1)
    two = np.exp(two).sum(-1)
    Counter.exp += one.size * (2 * rows - 3)
    Counter.log += one.size  # of the product, in ours
    return -np.log(one) - np.log(two)


def shares(ll):
    s = np.exp(ll - ll.max(-1, keepdims=True))
    Counter.exp += s.size
    s /= s.sum(-1, keepdims=True)
    return s, 1 / (s * s).sum(-1)


def picks(share):
    """Systematic resampling: the particle of each lane."""
    return np.minimum(np.searchsorted(np.cumsum(share), (np.arange(LANES) + .5) / LANES), len(share) - 1)


class Lanes:
    """The moved particles of a block of users."""

    def __init__(self, users, dim):
        self.w, self.log_w = np.zeros((users, LANES, dim)), np.zeros((users, LANES, dim))
        self.alpha, self.log_b = np.zeros((users, LANES)), np.zeros((users, LANES))
        self.ll, self.new = np.zeros((users, LANES)), np.zeros((users, LANES))

    def take(self, user, k, w, alpha, log_b, ll):
        self.w[user], self.alpha[user], self.log_b[user], self.ll[user] = w[k], alpha[k], log_b[k], ll[k]
        with np.errstate(divide="ignore"):
            self.log_w[user] = np.maximum(np.log(self.w[user]), LOG_TINY)
        Counter.log += self.w[user].size
        self.new[user] = 0

    def move(self, users, x, best, worst, steps, burn_in, rng):
        """Metropolis steps on the sets given; returns the sum of the weights after burn-in."""
        w, log_w, alpha = self.w[users], self.log_w[users], self.alpha[users]
        log_b, ll, dim = self.log_b[users], self.ll[users], self.w.shape[2]
        total, shape = np.zeros((len(users), dim)), ll.shape
        i, j = np.indices(shape)
        for step in range(steps):
            mass = np.cumsum(w, 2)
            a = np.minimum((mass < (rng.uniform(size=shape) * mass[..., -1])[..., None]).sum(2), dim - 1)
            b = rng.randint(0, dim - 1, shape)
            b += b >= a
            la, lb = log_w[i, j, a], log_w[i, j, b]
            whole = np.maximum(la, lb) + softplus(-np.abs(la - lb))
            size = np.array([.3, 1.5, 6])[rng.randint(0, 3, shape)]
            t = np.where(rng.uniform(size=shape) < .2, -1, 1) * (la - lb) + size * rng.standard_normal(shape)
            na, nb = np.maximum(whole - softplus(-t), LOG_TINY), np.maximum(whole - softplus(t), LOG_TINY)
            next_w, next_log = w.copy(), log_w.copy()
            next_log[i, j, a], next_log[i, j, b] = na, nb
            next_w[i, j, a], next_w[i, j, b] = np.exp(na), np.exp(nb)
            change = alpha * (na + nb - la - lb)
            next_log_b = log_b + LOG_2 * np.array([-1, 0, 0, 1])[rng.randint(0, 4, shape)]
            inside = (next_log_b > -.1) & (next_log_b < LOG_2 * (SHARPNESSES - .9))
            change = np.where(inside, change + SHARPNESS_POWER * (next_log_b - log_b), -np.inf)
            sharp = np.exp(next_log_b)
            Counter.exp += 3 * sharp.size
            next_ll = np.zeros(shape)
            for s in range(x.shape[1]):
                next_ll += likelihood(x[:, s], best[:, s], worst[:, s], next_w, sharp)
            yes = np.log(rng.uniform(size=shape)) < next_ll - ll + change
            w, log_w = np.where(yes[..., None], next_w, w), np.where(yes[..., None], next_log, log_w)
            ll, log_b = np.where(yes, next_ll, ll), np.where(yes, next_log_b, log_b)
            if step >= burn_in:
                total += w.sum(1)
        self.w[users], self.log_w[users], self.ll[users], self.log_b[users] = w, log_w, ll, log_b
        return total


def block(x, best, worst, cloud, rng):
    users, sets, _, dim = x.shape
    lanes, moved = Lanes(users, dim), np.zeros(users, bool)
    clouds = [[cloud[0], cloud[1], cloud[2], np.zeros(len(cloud[1]))] for _ in range(users)]
    mean = np.zeros((users, dim))
    for s in range(sets):
        due = []
        for u in np.flatnonzero(~moved):
            c = clouds[u]
            c[3] = c[3] + likelihood(x[u, s], best[u, s], worst[u, s], c[0], np.exp(c[2]))
            keep = c[3] > c[3].max() - DROP
            if keep.mean() <= .75:
                c[:] = [part[keep] for part in c]
            share, effective = shares(c[3])
            if effective < ENOUGH and s + 1 < sets:
                lanes.take(u, picks(share), *c)
                due.append(u)
            elif s + 1 == sets and effective < ENOUGH:
                lanes.take(u, picks(share), *c)
                moved[u] = True
            elif s + 1 == sets:
                mean[u] = share @ c[0]
        old = np.flatnonzero(moved & (lanes.ll != 0).any(1)) if s else np.array([], int)
        old = np.array([u for u in old if clouds[u] is None], int)
        if len(old):
            lanes.new[old] += likelihood(x[old, s], best[old, s], worst[old, s], lanes.w[old], np.exp(lanes.log_b[old]))
            share, effective = shares(lanes.new[old])
            for k, u in enumerate(old):
                if s + 1 == sets or effective[k] < ENOUGH:
                    lanes.take(u, picks(share[k]), lanes.w[u], lanes.alpha[u], lanes.log_b[u], lanes.ll[u] + lanes.new[u])
                    if s + 1 < sets:
                        due.append(u)
        if due:
            due = np.array(due)
            moved[due] = True
            for u in due:
                clouds[u] = None
            lanes.move(due, x[due, :s + 1], best[due, :s + 1], worst[due, :s + 1], SET_STEPS, SET_STEPS, rng)
    last = np.flatnonzero(moved)
    if len(last):
        mean[last] = lanes.move(last, x[last], best[last], worst[last], LAST_STEPS, BURN_IN, rng)
    return mean / mean.sum(1, keepdims=True)


def posterior(features, best, worst, seed=0, users=64):
    """Posterior means [users][dim] of choice sets [users][sets][rows][dim] with marks [users][sets]."""
    rng = np.random.RandomState(seed)
    Counter.exp = Counter.log = 0
    x, cloud = standardise(features), prior(features.shape[3], rng)
    return np.concatenate([block(x[a:a + users], best[a:a + users], worst[a:a + users], cloud, rng)
                           for a in range(0, len(x), users)])
