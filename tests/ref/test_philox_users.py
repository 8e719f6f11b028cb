"""Philox users against scipy: every weight of a Dirichlet(alpha) is Beta(alpha_b, rest), and so is a sum of two.

Seeds are fixed, so a failure is a change of the generator, never chance.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np
from scipy import stats

db = connect()
N = 20000


def draw(alpha, seed, extra=""):
    db.execute("DROP TABLE IF EXISTS p")
    db.execute(f"CREATE VIRTUAL TABLE p USING persona_users(count={N}, generator=philox, seed={seed}, alpha={list(alpha)}, models={[chr(97 + i) for i in range(len(alpha))]} {extra})")
    return np.array([np.frombuffer(r[0], "<f8") for r in db.execute("SELECT weights FROM p")])


def ks(x, dist):
    """Kolmogorov-Smirnov distance times sqrt(N), where doubles can still tell values apart (weights pile up at 1)."""
    x = np.sort(x)
    f, at = dist.cdf(x), x < .999
    steps = np.arange(N + 1) / N
    return np.sqrt(N) * max(np.abs(f - steps[1:])[at].max(), np.abs(f - steps[:-1])[at].max())


# sqrt(N) D exceeds 1.95 with probability .001.
for alpha in ([.01] * 10, [.05] * 10, [.1] * 10, [.3] * 4, [.5] * 10, [.9] * 3, [1.] * 10, [1.5] * 10, [3.5] * 5, [100.] * 3, [.01, .05, .5, 1, 1.5, 20]):
    w, total = draw(alpha, 1), sum(alpha)
    name = f"alpha {alpha[0]}" if len(set(alpha)) == 1 else "mixed alphas"
    worst = max(ks(w[:, b], stats.beta(a, total - a)) for b, a in enumerate(alpha))
    pair = ks(w[:, 0] + w[:, -1], stats.beta(alpha[0] + alpha[-1], total - alpha[0] - alpha[-1])) if len(alpha) > 2 else 0
    ok(worst < 1.95 and pair < 1.95, f"{name}: each weight is a Beta variate (largest KS {worst:.2f}, of a sum {pair:.2f})")
    mean, a = w.mean(0), np.array(alpha)
    z = np.abs(mean - a / total) / np.sqrt(a * (total - a) / total**2 / (total + 1) / N)
    v = stats.beta(a, total - a).var()
    fourth = np.array([stats.beta(x, total - x).stats(moments="k") for x in a]).ravel() + 3
    zv = np.abs(w.var(0) - v) / np.sqrt(v**2 * (fourth - 1) / N)
    ok(z.max() < 4 and zv.max() < 4, f"{name}: means and variances ({z.max():.1f} and {zv.max():.1f} standard errors at most)")
w = draw([.5] * 10, 1)
c = np.corrcoef(w[:-1, 0], w[1:, 0])[0, 1] * np.sqrt(N)
ok(abs(c) < 4, f"neighbouring users are uncorrelated ({c:.1f} standard errors)")
c = np.corrcoef(w[:, 0], draw([.5] * 10, 2)[:, 0])[0, 1] * np.sqrt(N)
ok(abs(c) < 4, f"neighbouring seeds are uncorrelated ({c:.1f} standard errors)")
done()
