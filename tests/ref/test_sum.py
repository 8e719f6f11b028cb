"""The methods sum and uniform against numpy, written from their formulas (core_sum.c)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from adaptation import *

db = connect()
rng = np.random.RandomState(3)


def unit(w):
    return w / np.abs(w).sum() if np.any(w) else w


# ---- sum ----
def sum_pairs(rows, half_life=None):
    age = np.arange(len(rows))[::-1]
    weight = 1.0 if half_life is None else 0.5 ** (age / half_life)
    return unit(((np.array([c - r for c, r in rows])) * np.reshape(weight, (-1, 1))).sum(0))


def sum_choices(rows, half_life=None):
    keys = sorted({k for k, _, _ in rows})
    w = np.zeros(len(rows[0][1]))
    for rank, key in enumerate(keys):
        x = {label: [f for k, f, l in rows if k == key and l == label] for label in ("best", "worst", None)}
        others = lambda label: np.mean([f for k, f, l in rows if k == key and l != label], axis=0)
        weight = 1.0 if half_life is None else 0.5 ** ((len(keys) - 1 - rank) / half_life)
        if x["best"] and x["worst"]:
            w += weight * (x["best"][0] - x["worst"][0])
        elif x["best"]:
            w += weight * (x["best"][0] - others("best"))
        elif x["worst"]:
            w += weight * (others("worst") - x["worst"][0])
    return unit(w)


def sum_ratings(rows, half_life=None):
    age = np.arange(len(rows))[::-1]
    weight = np.ones(len(rows)) if half_life is None else 0.5 ** (age / half_life)
    rated = [r is not None for _, r in rows]
    mean = np.average([r or 0 for _, r in rows], weights=weight * rated)
    return unit(sum(h * (r - mean) * f for h, (f, r) in zip(weight, rows) if r is not None))


MAKE = {"adapt_user": (random_pairs, sum_pairs), "adapt_user_choices": (random_choices, sum_choices), "adapt_user_ratings": (random_ratings, sum_ratings)}
for function, (make, reference) in MAKE.items():
    worst = 0
    for trial in range(40):
        dim, scale = rng.randint(1, 20), 10.0 ** rng.randint(-3, 4)
        rows = make(rng, rng.randint(2, 12), lambda n: scale * rng.standard_normal((n, dim)))
        if make is random_ratings and all(r is None for _, r in rows):
            continue
        half_life = None if trial % 2 else float(rng.choice([0.5, 1, 3, 10]))
        got = adapt(db, function, rows, method="sum", **({} if half_life is None else {"half_life": half_life}))
        worst = max(worst, np.abs(got - reference(rows, half_life)).max())
    ok(worst < 1e-12, f"{function} sum is numpy's, with and without half_life, to 1e-12", worst)
    eq(list(adapt(db, function, make(rng, 6, lambda n: rng.standard_normal((n, 7))), method="uniform")), [1 / 7] * 7, f"{function} uniform is 1/dim")
done()
