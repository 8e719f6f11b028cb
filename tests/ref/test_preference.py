"""Posterior models, preference_probability and preference_information (rules R1 to R4 of fn_preference.c) against exact integration
and numpy."""
import json
import os
import random
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from modelcodec import decode, encode, seal
import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import norm

db = connect()
db.execute("CREATE TABLE c(choice_set, features, feedback)")
db.execute("CREATE TABLE p(chosen, rejected)")


def posterior(table, *trailing, **options):
    call = {"c": "adapt_user_choices(choice_set, features, feedback", "p": "adapt_user(chosen, rejected"}[table]
    more = "".join(", ?" for _ in trailing)
    return db.execute(f"SELECT {call}, ?{more}) FROM {table}", (json.dumps({"return": "model", **options}), *trailing)).fetchone()[0]


def probability(model, a, b):
    return db.execute("SELECT preference_probability(?, ?, ?)", (model, np.asarray(a, float).tobytes(), np.asarray(b, float).tobytes())).fetchone()[0]


def measure(function, model, a, b, what):
    return db.execute(f"SELECT {function}(?, ?, ?, ?)", (model, np.asarray(a, float).tobytes(), np.asarray(b, float).tobytes(), what)).fetchone()[0]


def better(model, a, b):
    return measure("preference_probability", model, a, b, "utility")


def information(model, a, b, what="gain"):
    return measure("preference_information", model, a, b, what)


def bits(p):
    """The entropy of a yes or no."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.nan_to_num(p * np.log2(p)) - np.nan_to_num((1 - p) * np.log2(1 - p))


def sigma(s):
    return 1 / (1 + np.exp(-np.clip(s, -700, 700)))


# ---- the Dirichlet prior, two reward models: everything integrated over logit(p) ----
O = np.concatenate([np.arange(-800, -40, 4.), np.arange(-40, 40, .02), np.arange(40, 800, 4.)])
LOGP, LOGQ = -np.logaddexp(0, -O), -np.logaddexp(0, O)
W = np.exp([LOGP, LOGQ])


def exact(x, best, worst, alphas, share, sharp, tests):
    """For every test P(a over b), P(a worth more), gain and variance; the mean.  x [sets, rows, 2] is scaled as the estimator does."""
    x = x - x.mean(1, keepdims=True)
    scale = 1 / np.sqrt((x * x).mean())
    prior = np.logaddexp.reduce([np.log(s) + gammaln(2 * a) - 2 * gammaln(a) + a * (LOGP + LOGQ) for a, s in zip(alphas, share)], axis=0) + np.log(np.gradient(O))
    u = scale * x @ W
    rows = np.arange(len(x))
    log = np.zeros((len(sharp), len(O)))
    for k in range(len(sharp)):
        v = 2.**k * u
        rest = -v
        up = v[rows, best] - np.logaddexp.reduce(v, axis=1)
        rest[rows, best] = -np.inf
        log[k] = (up - v[rows, worst] - np.logaddexp.reduce(rest, axis=1)).sum(0) + np.log(sharp[k])
    log += prior
    p = np.exp(log - np.logaddexp.reduce(log, axis=None))
    b = 2.**np.arange(len(sharp))
    answers = []
    for first, second in tests:
        odds = b[:, None] * (scale * (first - second) @ W)
        chosen, mean = (p * sigma(odds)).sum(), (p * odds).sum()
        variance = (p * (odds - mean)**2).sum()
        answers.append((chosen, (p * (odds > 0)).sum(), bits(chosen) - (p * bits(sigma(odds))).sum(), (sigma(mean) * sigma(-mean))**2 * variance))
    return np.array(answers), (p.sum(0) * W).sum(1)


rng = np.random.RandomState(6)
default = np.array([.01, .03, .1, .3, 1, 3]), np.array([1, 1, 1, 1, 2, 2]) / 8., 2.**(np.arange(10) / 4) / (2.**(np.arange(10) / 4)).sum()
for sets, noise, true in ((1, 0, .97), (3, .3, .6), (8, .6, .3)):
    x = 3 * rng.standard_normal((sets, 5, 2))
    value = x @ [true, 1 - true]
    best = (value + noise * rng.gumbel(size=value.shape)).argmax(1)
    value[np.arange(sets), best] = np.inf
    worst = value.argmin(1)
    db.execute("DELETE FROM c")
    db.executemany("INSERT INTO c VALUES (?, ?, ?)", [(t, x[t, i].tobytes(), "best" if i == best[t] else "worst" if i == worst[t] else None) for t in range(sets) for i in range(5)])
    tests = rng.standard_normal((12, 2, 2)) * 2
    model = posterior("c")
    answers, mean = exact(x, best, worst, *default, tests)
    want = answers[:, 0]
    got = [probability(model, a, b) for a, b in tests]
    name = f"{sets} sets of noise {noise}"
    ok(np.abs(np.array(got) - want).max() < .03, f"{name}: probabilities are those of exact integration (largest difference {np.abs(np.array(got) - want).max():.4f})", f"{np.round(got, 3)}\n{np.round(want, 3)}")
    values = [better(model, a, b) for a, b in tests]
    ok(np.abs(values - answers[:, 1]).max() < .05, f"{name}: and so is which is worth more (largest difference {np.abs(values - answers[:, 1]).max():.4f})")
    gains = [information(model, a, b) for a, b in tests]
    ok(np.abs(gains - answers[:, 2]).max() < .03, f"{name}: R4 and the bits that an answer tells (largest difference {np.abs(gains - answers[:, 2]).max():.4f})",
       f"{np.round(gains, 3)}\n{np.round(answers[:, 2], 3)}")
    ok(np.array_equal(gains, [information(model, b, a) for a, b in tests]) and information(model, tests[0, 0], tests[0, 0]) == 0 and better(model, tests[0, 0], tests[0, 0]) == .5,
       f"{name}: R4 the same the other way round, none of two equal ones")
    eq([measure("preference_probability", model, a, b, "choice") for a, b in tests], got, f"{name}: 'choice' is the default")
    weights = decode(model)["sections"]["weights"][0]
    eq(weights.tobytes(), db.execute("SELECT adapt_user_choices(choice_set, features, feedback) FROM c").fetchone()[0], f"{name}: the model's weights are those without \"return\"")
    close(weights, mean, 0, f"{name}: which are the exact mean", absolute=.03)
    eq([probability(model, a, b) for a, b in tests], got, f"{name}: again the same")
    ok(np.abs(np.array(got) + [probability(model, b, a) for a, b in tests] - 1).max() < 1e-12, f"{name}: P(a, b) + P(b, a) = 1")
    eq(probability(model, tests[0, 0], tests[0, 0]), .5, f"{name}: of two equal ones, 1/2")

# a learned prior, a given alpha and sharpness
db.execute("CREATE TABLE crowd AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29) SELECT i AS user_id, c.* FROM n, c")
learned, = db.execute("SELECT learn_users_choices(user_id, choice_set, features, feedback, '{\"method\":\"prior\",\"iterations\":1}') FROM crowd").fetchone()
m = decode(learned)["sections"]
model = posterior("c", learned)
p = decode(model)["sections"]
ok(all(np.array_equal(p["prior_" + a], m[b]) for a, b in (("mean", "weights"), ("alpha", "alpha"), ("sharpness", "sharpness"))), "a learned prior is part of the posterior")
tilt = 2 * m["weights"][0]
if np.all(tilt == 1):
    want, _ = exact(x, best, worst, m["alpha"][:, 0], m["alpha"][:, 1], m["sharpness"][:, 1], tests)
    close([probability(model, a, b) for a, b in tests], want[:, 0], 0, "probabilities under a learned prior are those of exact integration", absolute=.03)
for options in ({"alpha": 1}, {"sharpness": 4}, {"alpha": .3, "sharpness": 1}):
    alphas, share, sharp = default
    if "alpha" in options:
        alphas, share = [options["alpha"]], [1.]
    if "sharpness" in options:
        sharp = np.where(2.**np.arange(10) == options["sharpness"], 1, 1e-300)
    want, _ = exact(x, best, worst, alphas, share, sharp, tests)
    model = posterior("c", **options)
    close([probability(model, a, b) for a, b in tests], want[:, 0], 0, f"{json.dumps(options)}: exact integration", absolute=.03)
    close([information(model, a, b) for a, b in tests], want[:, 2], 0, f"{json.dumps(options)}: R4 gain", absolute=.03)
    if options.get("sharpness") == 1:
        close([information(model, a, b, "variance") for a, b in tests], want[:, 3], .1, f"{json.dumps(options)}: R4 variance", absolute=.005)
empty = db.execute("SELECT adapt_user_choices(choice_set, features, NULL, '{\"return\":\"model\"}') FROM c").fetchone()[0]
ok(abs(probability(empty, [1, 0], [0, 1]) - .5) < .01 and probability(empty, [2, 2], [1, 1]) > .8, "without feedback the prior alone: no side is favoured, but more of everything is better")

# ---- the Gaussian prior against numpy: fewer and more pairs than dimensions ----
for pairs, dim in ((4, 9), (12, 3)):
    x = rng.standard_normal((pairs, 2, dim))
    db.execute("DELETE FROM p")
    db.executemany("INSERT INTO p VALUES (?, ?)", [(a.tobytes(), b.tobytes()) for a, b in x])
    model = posterior("p", prior="gaussian")
    scale = 1 / np.sqrt(((x - x.mean(1, keepdims=True))**2).mean())
    d = scale * (x[:, 0] - x[:, 1])
    logs, results, normal = [], [], []
    tests = rng.standard_normal((6, 2, dim))
    for k in range(10):
        lam = dim / 4.**(k - 1)
        f = lambda w: (np.logaddexp(0, -d @ w).sum() + lam / 2 * w @ w, -d.T @ sigma(-d @ w) + lam * w)
        w = minimize(f, np.zeros(dim), jac=True, method="BFGS", options=dict(gtol=1e-11)).x
        s = sigma(d @ w)
        h = d.T @ ((s * (1 - s))[:, None] * d) + lam * np.eye(dim)
        logs.append(-f(w)[0] + dim / 2 * np.log(lam) - np.linalg.slogdet(h)[1] / 2)
        e = scale * (tests[:, 0] - tests[:, 1])
        variance = np.einsum("ij,ij->i", e, np.linalg.solve(h, e.T).T)
        results.append(sigma(e @ w / np.sqrt(1 + np.pi * variance / 8)))
        t, v = np.linspace(-9, 9, 100001), np.sqrt(variance)[:, None]
        s = (e @ w)[:, None] + v * t
        normal.append([np.average(sigma(s), axis=1, weights=np.exp(-t * t / 2)), np.average(bits(sigma(s)), axis=1, weights=np.exp(-t * t / 2)), e @ w, variance])
    share = np.exp(np.array(logs) - max(logs))
    want = share @ results / share.sum()
    chosen, left, _, _ = np.tensordot(share, normal, 1) / share.sum()
    close([information(model, a, b) for a, b in tests], bits(chosen) - left, 1e-6, f"gaussian prior, {pairs} pairs of {dim} dimensions: R4 gain", absolute=1e-6)
    means, variances = np.array(normal)[:, 2], np.array(normal)[:, 3]
    mean = share @ means / share.sum()
    variance = share @ (variances + means**2) / share.sum() - mean**2
    close([information(model, a, b, "variance") for a, b in tests], (sigma(mean) * sigma(-mean))**2 * variance, 1e-5, f"gaussian prior, {dim} dimensions: R4 variance")
    close([better(model, a, b) for a, b in tests], share @ norm.cdf(means / np.sqrt(variances)) / share.sum(), 1e-6, f"gaussian prior, {dim} dimensions: which is worth more")
    ok(information(model, tests[0, 0], tests[0, 0]) == 0 and better(model, tests[0, 0], tests[0, 0]) == .5, f"gaussian, {dim} dimensions: nothing to ask of equal ones")
    close([probability(model, a, b) for a, b in tests], want, 1e-6, f"gaussian prior, {pairs} pairs of {dim} dimensions: Laplace's approximation in numpy")
    ok(abs(probability(model, *tests[0]) + probability(model, *tests[0][::-1]) - 1) < 1e-12, f"gaussian, {dim} dimensions: the other way round")
# PReF's own: M = 0.001 I + sum sigma'(w.h) h h' in the features' units is the precision under a prior of sharpness sqrt(dim / 0.001) in those units
h = x[:, 0] - x[:, 1]
model = posterior("p", prior="gaussian", sharpness=np.sqrt(3 / .001) / scale)
f = lambda w: (np.logaddexp(0, -h @ w).sum() + .0005 * w @ w, -h.T @ sigma(-h @ w) + .001 * w)
w = minimize(f, np.zeros(3), jac=True, method="BFGS", options=dict(gtol=1e-11)).x
M = .001 * np.eye(3) + h.T @ ((sigma(h @ w) * sigma(-h @ w))[:, None] * h)
e = tests[:, 0] - tests[:, 1]
close([information(model, a, b, "variance") for a, b in tests], (sigma(e @ w) * sigma(-e @ w))**2 * np.einsum("ij,ij->i", e, np.linalg.solve(M, e.T).T), 1e-5,
      "R4 PReF's choice of questions: sigma'(w.h)^2 h' M^-1 h")
wide = posterior("p", prior="gaussian", sharpness=1e6)
eq([0 <= information(wide, 100 * a, b) <= 1 for a, b in tests], [True] * 6, "a posterior as wide as can be: bits between 0 and 1")
f32 = np.float32(x[0])
model = db.execute("SELECT adapt_user(?, ?, '{\"type\":\"f32\",\"return\":\"model\"}')", (f32[0].tobytes(), f32[1].tobytes())).fetchone()[0]
eq(json.loads(db.execute("SELECT model_info(?)", (model,)).fetchone()[0])["type"], "f32", "embeddings: f32")
eq(db.execute("SELECT preference_probability(?, ?, ?)", (model, f32[0].tobytes(), f32[1].tobytes())).fetchone()[0], probability(model, f32[0], f32[1]), "f32 and f64 features alike")
ok(probability(model, *f32) > .5, "what was chosen is likelier to be chosen")

# ---- calibration: of users drawn from the prior, what is said to be p likely happens p of the time ----
hits, said = [], []
for u in range(60):
    alpha = rng.choice([.03, .1, 1])
    w = rng.dirichlet([alpha] * 4)
    b = 2.**rng.randint(0, 6)
    x = rng.standard_normal((3, 5, 4))
    value = b * x @ w + rng.gumbel(size=(3, 5))
    best = value.argmax(1)
    db.execute("DELETE FROM c")
    db.executemany("INSERT INTO c VALUES (?, ?, ?)", [(t, x[t, i].tobytes(), "best" if i == best[t] else None) for t in range(3) for i in range(5)])
    model = posterior("c")
    for a, c in rng.standard_normal((20, 2, 4)):
        said.append(probability(model, a, c))
        hits.append(rng.random_sample() < sigma(b * (a - c) @ w))
said, hits = np.array(said), np.array(hits)
for low, high in ((0, .2), (.2, .4), (.4, .6), (.6, .8), (.8, 1)):
    at = (said >= low) & (said <= high)
    ok(abs(hits[at].mean() - said[at].mean()) < .12, f"calibration: said {said[at].mean():.2f}, happened {hits[at].mean():.2f} ({at.sum()} preferences)")

# ---- NULL, errors, altered models ----
eq(db.execute("SELECT preference_probability(NULL, '[1]', '[2]'), preference_probability(?, NULL, '[1,2,3,4]'), preference_probability(?, '[1,2,3,4]', NULL)", (model, model)).fetchone(), (None, None, None), "R3 NULL gives NULL")
P = "preference_probability: argument "
fails(db, "SELECT preference_probability(?, '[1]', '[1,2,3,4]')", P + "2 (features_a): 1 numbers where 4 are expected", args=(model,))
fails(db, "SELECT preference_probability(?, '[1,2,3,4]', 5)", P + "3 (features_b): an integer; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required", args=(model,))
fails(db, "SELECT preference_probability(?, '[1,2,3,4]', '[1,2,3,4]', 'utilty')", P + '4 (what): "utilty"; one of choice|utility is required', args=(model,))
fails(db, "SELECT preference_information(?, '[1,2,3,4]', '[1,2,3,4]', 1)", "preference_information: argument 4 (measure): an integer; one of gain|variance is required", args=(model,))
fails(db, "SELECT preference_information(?, '[1]', '[1,2,3,4]')", "preference_information: argument 2 (features_a): 1 numbers where 4 are expected", args=(model,))
fails(db, "SELECT preference_information(?, '[1,2]', '[2,1]')", 'preference_information: argument 1 (posterior): a model of kind prior; a posterior, as adapt_user gives with {"return": "model"}, is required', args=(learned,))
eq(db.execute("SELECT preference_information(?, '[1,2,3,4]', NULL), preference_information(?, '[1,2,3,4]', '[1,2,3,4]', NULL)", (model, model)).fetchone(), (None, None), "R3 NULL gives NULL")
fails(db, "SELECT preference_probability(x'0011', '[1,2,3,4]', '[1,2,3,4]')", P + "1 (posterior): a BLOB of 2 bytes is no model (its even length is that of a vector)")
fails(db, "SELECT preference_probability(?, '[1,2]', '[2,1]')", P + '1 (posterior): a model of kind prior; a posterior, as adapt_user gives with {"return": "model"}, is required', args=(learned,))
fails(db, "SELECT adapt_user_choices(choice_set, features, feedback, ?) FROM c", "adapt_user_choices: argument 4 (model): a model of kind posterior; adaptation starts from models of learn_users", args=(model,))
fails(db, "SELECT adapt_user(chosen, rejected, '{\"return\":\"model\",\"method\":\"sum\"}') FROM p", 'adapt_user: option "return" does not go with method "sum"')
fails(db, "SELECT adapt_user_ratings(chosen, 1, '{\"return\":\"model\"}') FROM p", 'adapt_user_ratings: option "return" does not go with ratings')
db.execute("CREATE VIEW users AS SELECT 1 AS user_id, * FROM p")
fails(db, "SELECT * FROM persona_adapt('users', '{\"return\":\"model\"}')", 'persona_adapt: option "return" is for the aggregates; persona_adapt gives weights')
window = db.execute("SELECT adapt_user(chosen, rejected, '{\"return\":\"model\"}') OVER (ORDER BY chosen ROWS 2 PRECEDING) FROM p").fetchall()
ok(len(window) == 12 and all(decode(w)["kind"] == "posterior" for w, in window), "as a window function")
fuzz, answers, wrong = random.Random(4), 0, 0
for blob in (model, posterior("p"), posterior("c", learned) if False else window[3][0]):
    for _ in range(120):
        b = bytearray(blob)
        for _ in range(fuzz.randrange(1, 4)):
            b[fuzz.randrange(32, len(b))] = fuzz.choice([0, 1, 2, 127, 128, 255, fuzz.randrange(256)])
        dim = decode(blob)["dim"]
        try:
            p = probability(seal(bytes(b)), np.arange(dim), np.ones(dim))
            more = [information(seal(bytes(b)), np.arange(dim), np.ones(dim), what) for what in ("gain", "variance")]
            answers += 1
            wrong += not (0 <= p <= 1 and 0 <= more[0] <= 1 and more[1] >= 0)
        except sqlite3.DatabaseError as e:
            wrong += "model" not in str(e) and "expected" not in str(e)
ok(answers > 50 and wrong == 0, f"360 altered posteriors: a probability ({answers}) or an error")
done()
