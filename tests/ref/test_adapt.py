"""Adaptation against numpy and scipy: every estimator written again from its formula."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
rng = np.random.RandomState(3)


def adapt(function, rows, **options):
    names = ", ".join(f"column{i + 1}" for i in range(len(rows[0])))
    marks = ", ".join("(" + ", ".join("?" * len(rows[0])) + ")" for _ in rows)
    flat = [x.tobytes() if isinstance(x, np.ndarray) else x for row in rows for x in row]
    w = db.execute(f"SELECT {function}({names}, ?) FROM (VALUES {marks})", flat[:0] + [json.dumps(options)] + flat).fetchone()[0]
    return None if w is None else np.frombuffer(w)


def unit(w):
    return w / np.abs(w).sum() if np.any(w) else w


# ---- data in the three forms ----
def pairs(n, dim, scale=1.0):
    return [(scale * rng.standard_normal(dim), scale * rng.standard_normal(dim)) for _ in range(n)]


def choices(sets, dim, scale=1.0, kinds=("both", "best", "worst", "none")):
    rows = []
    for s in range(sets):
        n = rng.randint(2, 9)
        kind = kinds[rng.randint(len(kinds))]
        best, worst = rng.permutation(n)[:2]
        for i in range(n):
            label = "best" if i == best and kind in ("both", "best") else "worst" if i == worst and kind in ("both", "worst") else None
            rows.append((s * 5 - 7, scale * rng.standard_normal(dim), label))
    return rows


def ratings(n, dim, scale=1.0):
    return [(scale * rng.standard_normal(dim), None if rng.rand() < 0.2 else float(rng.randint(1, 8))) for _ in range(n)]


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


REFERENCE = {"adapt_user": (pairs, sum_pairs), "adapt_user_choices": (choices, sum_choices), "adapt_user_ratings": (ratings, sum_ratings)}
for function, (make, reference) in REFERENCE.items():
    worst = 0
    for trial in range(40):
        rows = make(rng.randint(1, 12) + (make is ratings), rng.randint(1, 20), scale=10.0 ** rng.randint(-3, 4))
        if make is ratings and all(r is None for _, r in rows):
            continue
        half_life = None if trial % 2 else float(rng.choice([0.5, 1, 3, 10]))
        got = adapt(function, rows, method="sum", **({} if half_life is None else {"half_life": half_life}))
        worst = max(worst, np.abs(got - reference(rows, half_life)).max())
    ok(worst < 1e-12, f"{function} sum is numpy's, with and without half_life, to 1e-12", worst)
    rows = make(6, 7)
    eq(list(adapt(function, rows, method="uniform")), [1 / 7] * 7, f"{function} uniform is 1/dim")
done()
