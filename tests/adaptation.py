"""Adaptation for the reference suites: feedback made at random, as SQL takes it and as numpy does, and the choice model.

Everything here is written from docs/reference.md, core_evidence.h and core_posterior.c's comments, not from the code.
A row is (chosen, rejected), (choice_set, features, label) or (features, rating), as the three functions take them.
"""
import json

import numpy as np
from scipy import special

ALPHAS = np.array([0.01, 0.03, 0.1, 0.3, 1, 1, 3, 3])
SHARPNESS = 2.0 ** np.arange(10)
SHARPNESS_PRIOR = np.log(SHARPNESS**0.25 / (SHARPNESS**0.25).sum())

FORMS = {"adapt_user": "pairs", "adapt_user_choices": "choices", "adapt_user_ratings": "ratings"}


def adapt(db, function, rows, f32=False, **options):
    """The SQL function over the rows."""
    kind = "<f4" if f32 else "<f8"
    columns = ", ".join(f"column{i + 1}" for i in range(len(rows[0])))
    marks = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
    values = [np.asarray(x, kind).tobytes() if isinstance(x, np.ndarray) else x for row in rows for x in row]
    text = json.dumps({"type": "f32" if f32 else "f64", **options})
    (w,) = db.execute(f"SELECT {function}({columns}, ?) FROM (VALUES {marks})", [text] + values).fetchone()
    return None if w is None else np.frombuffer(w)


# ---- feedback at random ----

def random_pairs(rng, n, x, truth=None):
    rows = []
    for _ in range(n):
        a, b = x(2)
        rows.append((a, b) if truth is None or a @ truth >= b @ truth else (b, a))
    return rows


def random_choices(rng, n, x, truth=None, sizes=(2, 8), noise=0.0, kinds=("both", "both", "best", "worst")):
    rows = []
    for s in range(n):
        shown = x(rng.randint(sizes[0], sizes[1] + 1))
        u = rng.standard_normal(len(shown)) if truth is None else shown @ truth + noise * rng.gumbel(size=len(shown))
        kind = kinds[rng.randint(len(kinds))]
        labels = [None] * len(shown)
        if kind in ("both", "worst"):
            labels[int(np.argmin(u))] = "worst"
        if kind in ("both", "best"):
            labels[int(np.argmax(u))] = "best"
        rows += [(3 * s - 5, f, label) for f, label in zip(shown, labels)]
    return rows


def random_ratings(rng, n, x, truth=None):
    f = x(n)
    u = rng.standard_normal(n) if truth is None else f @ truth + 0.3 * rng.standard_normal(n)
    return [(a, None if rng.rand() < 0.15 else float(np.round(3 + 2 * v))) for a, v in zip(f, u)]


# ---- feedback as estimators see it ----

class Evidence:
    """sets [(x, best, worst, weight)] with None for what was not marked; of ratings one x, rating and weight.

    Features are centred within their set and scaled to root mean square 1 over all of them.
    """

    def __init__(self, function, rows, half_life=None):
        self.sets, self.rating = [], None
        age = lambda n: np.ones(n) if half_life is None else 0.5 ** (np.arange(n)[::-1] / half_life)
        if function == "adapt_user":
            self.sets = [(np.array(pair), 0, None, h) for pair, h in zip(rows, age(len(rows)))]
        elif function == "adapt_user_choices":
            keys = sorted({k for k, _, _ in rows})
            for key, h in zip(keys, age(len(keys))):
                mine = [(f, label) for k, f, label in rows if k == key]
                at = lambda word: next((i for i, (_, label) in enumerate(mine) if label == word), None)
                self.sets.append((np.array([f for f, _ in mine]), at("best"), at("worst"), h))
        else:
            rated = [(f, r, h) for (f, r), h in zip(rows, age(len(rows))) if r is not None]
            weight = np.array([h for _, _, h in rated])
            rating = np.array([r for _, r, _ in rated])
            if len(rated) > 1 and np.ptp(rating) > 0:
                rating = rating - np.average(rating, weights=weight)
                self.rating = rating / np.sqrt(np.average(rating**2, weights=weight))
                self.weight = weight
                self.sets = [(np.array([f for f, _, _ in rated]), 0, None, None)]
        self.sets = [s for s in self.sets if len(s[0]) > 1 and (s[1] is not None or s[2] is not None)]
        self.sets = [(x - x.mean(0), best, worst, h) for x, best, worst, h in self.sets]
        if self.sets:
            scale = np.sqrt(np.mean(np.concatenate([x.ravel() for x, _, _, _ in self.sets]) ** 2))
            self.sets = [(x / scale, best, worst, h) for x, best, worst, h in self.sets]
            self.informative = scale > 0
        else:
            self.informative = False

    def likelihoods(self, w, sharpness):
        """[len(sharpness)][n] for w [n][dim]; sharpness doubles from each to the next, which costs a square, no exponential."""
        total = np.zeros((len(sharpness), len(w)))
        with np.errstate(over="ignore", under="ignore"):
            if self.rating is not None:
                u = w @ self.sets[0][0].T
                u = u - np.average(u, weights=self.weight, axis=1)[:, None]
                spread = np.sqrt(np.average(u**2, weights=self.weight, axis=1))
                r = np.average(u * self.rating, weights=self.weight, axis=1) / np.where(spread > 0, spread, 1)
                return total - (self.weight.sum() - 1) / 2 * np.log(1 - np.maximum(r, 0) ** 2 + 0.01)
            for x, best, worst, h in self.sets:
                u = x @ w.T
                if best is not None:
                    e = np.exp(sharpness[0] * (u - u[best]))
                    for k in range(len(sharpness)):
                        total[k] -= h * np.log(e.sum(0))
                        e *= e
                if worst is not None:
                    e = np.exp(sharpness[0] * (u[worst] - np.delete(u, [] if best is None else [best], 0)))
                    for k in range(len(sharpness)):
                        total[k] -= h * np.log(e.sum(0))
                        e *= e
        return total


# ---- the cases of tests/ref/posterior.json ----
POSTERIOR_CASES = [("adapt_user_choices", sets, 0) for sets in (1, 3, 5, 10)]
POSTERIOR_CASES += [("adapt_user_choices", 10, 0.5), ("adapt_user", 12, 0), ("adapt_user_ratings", 15, 0)]


def posterior_case(function, size, noise):
    rng = np.random.RandomState(100 + size)
    truth = rng.dirichlet([0.5] * 10)
    x = lambda n: rng.standard_normal((n, 10))
    if function == "adapt_user":
        return random_pairs(rng, size, x, truth)
    if function == "adapt_user_ratings":
        return random_ratings(rng, size, x, truth)
    return random_choices(rng, size, x, truth, (8, 8), noise, ("both",))
