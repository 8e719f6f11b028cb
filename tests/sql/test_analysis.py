"""fit_logistic and wasserstein (rules L1..L5 and W1..W3 of fn_analysis.c), against numpy and scipy."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np
from scipy.optimize import linprog, minimize
from scipy.stats import wasserstein_distance

db = connect()
db.execute("CREATE TABLE t(y, x)")


def fit(X, y, raw=False, **options):
    """The report, or with raw the coefficients."""
    db.execute("DELETE FROM t")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(int(a), np.asarray(x, float).tobytes()) for a, x in zip(y, X)])
    if not raw:
        options["return"] = "report"
    got = db.execute("SELECT fit_logistic(y, x, ?) FROM t", (json.dumps(options),)).fetchone()[0]
    return got if got is None else np.frombuffer(got) if raw else json.loads(got)


def design(X, standardize, intercept):
    Z = np.asarray(X, float)
    if standardize:
        Z = (Z - Z.mean(0)) / np.where(Z.std(0) > 0, Z.std(0), 1)
    return np.c_[Z, np.ones(len(Z))] if intercept else Z


def reference(X, y, standardize, intercept, penalty):
    """Newton from scipy's L-BFGS solution, in the units of the fit; the last element is the intercept."""
    Z, sign = design(X, standardize, intercept), 2 * np.asarray(y) - 1
    pen = np.full(Z.shape[1], float(penalty))
    if intercept:
        pen[-1] = 0
    scale = np.sqrt((Z ** 2).mean(0))  # search in units of order 1
    A, pen = Z / scale, pen / scale ** 2

    def value(w):
        p = 1 / (1 + np.exp(np.clip(sign * (A @ w), -700, 700)))
        return np.logaddexp(0, -sign * (A @ w)).sum() + 0.5 * (pen * w * w).sum(), -A.T @ (sign * p) + pen * w

    w = minimize(value, np.zeros(A.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    for _ in range(20):
        p = 1 / (1 + np.exp(-(A @ w)))
        w = w - np.linalg.lstsq((A * (p * (1 - p))[:, None]).T @ A + np.diag(pen), value(w)[1], rcond=None)[0]
    return w / scale


# ---- L1, L2: the maximum ----
worst = {}
for seed in range(12):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((300, 5)) * 10 ** rng.uniform(-3, 3, 5) + rng.standard_normal(5) * 3
    y = (rng.rand(300) < 1 / (1 + np.exp(-((X - X.mean(0)) / X.std(0)) @ rng.standard_normal(5) - 0.3))).astype(int)
    for standardize in (True, False):
        for intercept in (True, False):
            for penalty in (0, 0.01, 1, 100):
                r = fit(X, y, standardize=standardize, intercept=intercept, **{"lambda": penalty})
                got = np.r_[r["coefficients"], [r["intercept"]] if intercept else []]
                want = reference(X, y, standardize, intercept, penalty)
                error = np.abs(got - want) / (np.abs(want) + 1e-9 * np.abs(want).max())
                key = f"standardize {standardize}, intercept {intercept}, lambda {penalty}"
                worst[key] = max(worst.get(key, 0), error.max())
                if not intercept:
                    worst["no intercept is 0"] = max(worst.get("no intercept is 0", 0), abs(r["intercept"]))
for key, error in worst.items():
    ok(error <= 1e-8, f"L1 the maximum of the likelihood as numpy finds it: {key}", error)

r = fit(X, y)
eq(fit(X, y, raw=True).tolist(), r["coefficients"], "L1 the BLOB holds the report's coefficients")
eq(db.execute("SELECT fit_logistic(y, x) FROM t").fetchone()[0], np.array(r["coefficients"]).tobytes(), "L2 without options")
eq(db.execute("SELECT fit_logistic(y, x, NULL) FROM t").fetchone()[0], np.array(r["coefficients"]).tobytes(), "L2 NULL options are none")
eq(fit(X, y, standardize=True, intercept=True, **{"lambda": 1}), r, "L2 the defaults: standardised, intercept, lambda 1")

# ---- L4: the report ----
eq(list(r), ["coefficients", "intercept", "weights", "offset", "mean", "sd", "rows", "positives", "dropped", "iterations", "log_likelihood", "accuracy"], "L4 the keys")
close(r["mean"], X.mean(0), 1e-12, "L4 mean")
close(r["sd"], X.std(0), 1e-12, "L4 sd, over the number of rows")
for options in ({}, {"standardize": False}, {"intercept": False}, {"standardize": False, "intercept": False}):
    r = fit(X, y, **options)
    Z = design(X, options.get("standardize", True), options.get("intercept", True))
    u = Z @ np.r_[r["coefficients"], [r["intercept"]] if options.get("intercept", True) else []]
    close(X @ r["weights"] + r["offset"], u, 1e-9, f"L4 {options}: weights and offset are the same fit in the features' units", 1e-9)
    eq((r["rows"], r["positives"], r["dropped"]), (300, int(y.sum()), 0), f"L4 {options}: rows and positives")
    close(r["log_likelihood"], -np.logaddexp(0, -(2 * y - 1) * u).sum(), 1e-12, f"L4 {options}: log_likelihood without the penalty")
    close(r["accuracy"], ((u > 0) == y).mean(), 0, f"L4 {options}: accuracy")
    ok(2 <= r["iterations"] <= 12, f"L4 {options}: iterations", r["iterations"])
eq(fit([[0.0], [0.0]], [0, 1], intercept=False)["accuracy"], 0.5, "L4 a tie counts half")

# ---- L3: separable labels ----
counts, wrong = [0, 0], []
for seed in range(250):
    rng = np.random.RandomState(seed)
    n, d, k = rng.randint(3, 40), rng.randint(1, 6), rng.randint(1, 4)
    X = rng.randint(-k, k + 1, (n, d)) * 10.0 ** rng.randint(-3, 4)
    if seed % 5 == 0:
        X[:, -1] = rng.standard_normal(n)
    y = rng.randint(0, 2, n)
    if seed % 2:
        u = X @ rng.standard_normal(d)
        y = (u + 0.3 * rng.standard_normal(n) * np.abs(u).max() * rng.rand() > np.median(u)).astype(int)
    standardize, intercept = bool(seed & 2), bool(seed & 4)
    A = design(X, standardize, intercept) * (2 * y - 1)[:, None]
    A = A / np.where(np.abs(A).max(0) > 0, np.abs(A).max(0), 1)
    best = linprog(-A.sum(0), A_ub=-A, b_ub=np.zeros(n), bounds=[(-1, 1)] * A.shape[1], method="highs").fun
    want = best < -1e-7
    r = fit(X, y, standardize=standardize, intercept=intercept, separable="null", **{"lambda": 0})
    counts[want] += 1
    if (r is None) != want:
        wrong.append((seed, want, r))
    elif r:
        p = 1 / (1 + np.exp(-(X @ r["weights"] + r["offset"])))
        if np.abs((A * (2 * y - 1)[:, None]).T @ (y - p)).max() > 1e-9 * n:
            wrong.append((seed, "gradient"))
ok(not wrong and min(counts) > 50, "L3 NULL exactly where a linear program finds a separating direction, the maximum elsewhere", (counts, wrong))
X, y = [[1.0, 5], [2, 5], [3, 5], [4, 5]], [0, 0, 1, 1]
fails(db, "SELECT fit_logistic(column1, column2, '{\"lambda\":0}') FROM (VALUES (0, '[1]'), (0, '[2]'), (1, '[3]'))",
      'fit_logistic: the features separate the rows with label 1 (1) from those with label 0 (2), so that ever larger coefficients fit '
      'better; give a penalty such as "lambda": 1, or "separable": "null" to get NULL')
fails(db, "SELECT fit_logistic(1, '[1]') FROM (VALUES (1), (2))",
      'fit_logistic: all 2 labels are 1, so that no intercept is the best one; give both labels, "intercept": false, or '
      '"separable": "null" to get NULL')
eq(fit([[1.0], [2.0]], [0, 0], separable="null"), None, "L3 one label and an intercept: NULL")
close(fit([[1.0], [2.0]], [0, 0], intercept=False, standardize=False)["coefficients"], reference([[1.0], [2.0]], [0, 0], False, False, 1), 1e-9, "L3 one label without an intercept has a penalised maximum")
r = fit(X, y)
close(r["coefficients"][0], reference([[x[0]] for x in X], y, True, True, 1)[0], 1e-9, "L3 separable labels with a penalty have a maximum")
eq((r["coefficients"][1], r["sd"][1]), (0.0, 0.0), "L4 a constant feature gets 0")
ok(fit(X, y, **{"lambda": 1e-9})["coefficients"][0] > 10, "L2 the smallest penalty holds separable labels")

# ---- features that others determine ----
rng = np.random.RandomState(5)
X = rng.standard_normal((80, 3))
X = np.c_[X[:, 0], np.full(80, 0.1), X[:, 1], 2 * X[:, 0] - X[:, 1] + 7, X[:, 2]]
y = rng.randint(0, 2, 80)
r = fit(X, y, **{"lambda": 0})
eq((r["dropped"], r["coefficients"][1], r["coefficients"][3]), (2, 0.0, 0.0), "L4 without a penalty a determined feature gets 0 and is counted")
close(np.r_[r["coefficients"], r["intercept"]][[0, 2, 4, 5]], reference(X[:, [0, 2, 4]], y, True, True, 0), 1e-8, "L4 the others are the maximum without it")
r = fit(X, y)
eq(r["dropped"], 0, "L4 with a penalty none is dropped")
close(np.r_[r["coefficients"], r["intercept"]], reference(X, y, True, True, 1), 1e-8, "L4 and the maximum is unique", 1e-12)

# ---- L5, NULLs, scale ----
X, y = rng.standard_normal((50, 4)), rng.randint(0, 2, 50)
blob = fit(X, y, raw=True).tobytes()
eq({fit(X[i], y[i], raw=True).tobytes() for i in [rng.permutation(50) for _ in range(5)]}, {blob}, "L5 any order of rows gives the same bits")
eq(db.execute("SELECT fit_logistic(y, x) FROM (SELECT * FROM t UNION ALL SELECT NULL, x FROM t UNION ALL SELECT 1, NULL)").fetchone()[0], blob, "L3 rows with a NULL are skipped")
eq(db.execute("SELECT fit_logistic(y, x) FROM t WHERE 0").fetchone()[0], None, "L3 no rows give NULL")
eq(db.execute("SELECT fit_logistic(NULL, x) FROM t").fetchone()[0], None, "L3 only skipped rows give NULL")
eq([fit(X * c, y, raw=True).tobytes() for c in (2.0 ** 900, 2.0 ** -900)], [blob] * 2, "standardised coefficients do not depend on the unit, at any size")
r = fit(X * 2.0 ** 900, y)
close(np.array(r["weights"]) * 2.0 ** 900, r["coefficients"] / X.std(0), 1e-12, "weights of features of 1e270")
close(fit(X * 1e150, y, standardize=False)["coefficients"], reference(X, y, False, True, 0)[:4] / 1e150, 1e-8, "an unstandardised penalty vanishes for large features")
db.execute("CREATE TABLE g(k, y, x)")
db.executemany("INSERT INTO g VALUES (?, ?, ?)", [(i % 3, int(a), x.tobytes()) for i, (a, x) in enumerate(zip(y, X))])
eq([b for _, b in db.execute("SELECT k, fit_logistic(y, x) FROM g GROUP BY k ORDER BY k")], [fit(X[k::3], y[k::3], raw=True).tobytes() for k in range(3)], "GROUP BY fits each group")
f32 = X.astype(np.float32)
db.execute("DELETE FROM t")
db.executemany("INSERT INTO t VALUES (?, ?)", [(int(a), x.tobytes()) for a, x in zip(y, f32)])
want = None
for options in ('{"type":"f32"}', '{"dim":4}', '{"dim":4,"type":"f32"}'):
    got = db.execute("SELECT fit_logistic(y, x, ?) FROM t", (options,)).fetchone()[0]
    want = want or got
    eq(got, want, f"L2 f32 features: {options}")
close(np.frombuffer(want), reference(f32.astype(float), y, True, True, 1)[:4], 1e-8, "L2 f32 features are read as such")

# ---- errors of fit_logistic ----
one = "SELECT fit_logistic({}) FROM (VALUES (1), (2))"
for args, message in [
    ("2, '[1]'", "argument 1 (label): 2; 0 or 1 is required"),
    ("0.5, '[1]'", "argument 1 (label): 0.5; 0 or 1 is required"),
    ("'yes', '[1]'", "argument 1 (label): text; 0 or 1 is required"),
    ("1, 3", "argument 2 (features): an integer; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"),
    ("1, '[1' || substr(',2', 1, 2 * (column1 - 1)) || ']'", "argument 2 (features): 2 numbers, but the rows before have 1"),
    ("1, x'0000000000000000', '{\"dim\":2,\"type\":\"f64\"}'", "argument 2 (features): a BLOB of 8 bytes where 2 f64 numbers (16 bytes) are expected"),
    ("1, '[1]', 5", 'argument 3 (options): an integer; a JSON object such as {"name": value} is required'),
    ("1, '[1]', '{\"ridge\":1}'", 'unknown option "ridge"; known options: standardize, intercept, lambda, separable, return, type, dim'),
    ("1, '[1]', '{\"lambda\":-1}'", 'option "lambda" is -1; a number from 0 to 1000000000 is required'),
    ("1, '[1]', '{\"lambda\":1e-12}'", 'option "lambda" is 1e-12; 0 or a number from 1e-09 to 1e9 is required'),
    ("1, '[1]', '{\"lambda\":' || column1 || '}'", 'argument 3 (options): {"lambda":2}, but {"lambda":1} on the rows before; they must be the same on every row of a group'),
    ("1, '[1]', CASE column1 WHEN 1 THEN '{}' END", "options are given on some rows and absent on others; they must be the same on every row of a group"),
]:
    fails(db, one.format(args), "fit_logistic: " + message)
wide = "[" + ",".join(["1"] * 2049) + "]"
fails(db, "SELECT fit_logistic(1, ?)", "fit_logistic: 2049 features; at most 2048 are fitted", args=(wide,))
fails(db, "SELECT fit_logistic(column1, column2, '{\"standardize\":false,\"lambda\":0}') FROM (VALUES (0, '[1e-310]'), (1, '[2e-310]'), (0, '[2e-310]'), (1, '[1e-310]'), (0, '[0]'))",
      "fit_logistic: feature 1 is so small that its weight is beyond the range of numbers")

# ---- wasserstein ----
def distance(rows):
    marks = ", ".join("(?, ?, ?)" for _ in rows)
    return db.execute(f"SELECT wasserstein(column1, column2, column3) FROM (VALUES {marks})", [v for r in rows for v in r]).fetchone()[0]


error = 0
for seed in range(200):
    rng = np.random.RandomState(seed)
    n = rng.randint(1, 30)
    x = rng.choice([rng.standard_normal(n) * 100, rng.randint(-3, 4, n).astype(float)][seed % 2], n)
    p, q = rng.rand(n) * (rng.rand(n) < 0.7), rng.rand(n) * (rng.rand(n) < 0.7) * 1e6
    p[rng.randint(n)] += 1
    q[rng.randint(n)] += 1
    rows = list(zip(x.tolist(), p.tolist(), q.tolist()))
    got, want = distance(rows), wasserstein_distance(x, x, p, q)
    error = max(error, abs(got - want) / max(want, 1e-3))
    if seed < 20:
        eq({distance([rows[i] for i in rng.permutation(n)]) for _ in range(4)}, {got}, f"W3 the order of rows does not matter ({seed})")
ok(error < 1e-12, "W1 scipy's wasserstein_distance on 200 random pairs", error)
eq(distance([(1, 2, 1), (2, 6, 3), (9, 0.4, 0.2)]), 0.0, "W3 exactly 0 for equal shares")
eq(distance([(0, 1, None), (3, None, 2)]), 3.0, "W1 NULL is no mass")
eq(distance([(0, 1, 0), (3, 0, 1), (None, 5, 5)]), 3.0, "W1 rows with NULL as position are skipped")
eq([distance([(0, 1, None)]), distance([(0, 0, 1)]), distance([(None, 1, 1)])], [None] * 3, "W2 NULL where p or q has no mass")
eq(db.execute("SELECT wasserstein(1, 1, 1) WHERE 0").fetchone()[0], None, "W2 NULL for no rows")
eq(distance([(0, 1e308, 1), (1, 0, 1)]), 0.5, "W1 large masses")
for args, message in [
    ("'a', 1, 1", "argument 1 (position): text; a number is required"),
    ("9e999, 1, 1", "argument 1 (position): inf; a finite number is required"),
    ("1, -0.5, 1", "argument 2 (p): -0.5; a finite number of at least 0, or NULL, is required"),
    ("1, 1, x'00'", "argument 3 (q): a BLOB; a number is required"),
    ("1, 1e308, 1", "the masses of p add up beyond the range of numbers"),
    ("CASE column1 WHEN 1 THEN -1.7e308 ELSE 1.7e308 END, column1, 3 - column1", "the positions are farther apart than numbers reach"),
]:
    fails(db, f"SELECT wasserstein({args}) FROM (VALUES (1), (2))", "wasserstein: " + message)

# ---- long fits listen ----
rng = np.random.RandomState(1)
X = rng.standard_normal((3000, 300))
db.execute("DELETE FROM t")
db.executemany("INSERT INTO t VALUES (?, ?)", [(int(a), x.tobytes()) for a, x in zip(rng.randint(0, 2, 3000), X)])
import threading
import time
timer = threading.Timer(0.3, db.interrupt)
timer.start()
start = time.time()
try:
    got = "no error"
    for _ in range(200):
        db.execute("SELECT fit_logistic(y, x) FROM t").fetchone()
except sqlite3.OperationalError as e:
    got = str(e)
eq(got, "fit_logistic: interrupted", "sqlite3_interrupt() ends a fit")
ok(time.time() - start < 5, "and soon", time.time() - start)
done()
