"""Learning across users against numpy and scipy: objectives, gradients, fitted answers, adaptation from each model."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from modelcodec import decode
import learnref as ref
import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

db = connect()
db.execute("CREATE TABLE pairs(user_id, chosen, rejected)")
db.execute("CREATE TABLE choices(user_id, choice_set, features, feedback)")


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def model(method, table="pairs", **options):
    columns = "user_id, chosen, rejected" if table == "pairs" else "user_id, choice_set, features, feedback"
    blob = one(f"SELECT learn_users{'_choices' if table == 'choices' else ''}({columns}, ?) FROM {table}", json.dumps({"method": method, **options}))
    return blob, decode(blob)


def adapted(blob, user, **options):
    return np.frombuffer(one("SELECT adapt_user(chosen, rejected, ?, ?) FROM pairs WHERE user_id = ?", blob, json.dumps(options), user))


def crowd(users, shown, dim, rng, f32=False, spread=1.):
    """Pairs of a pool of responses, labelled by users around a common taste, with some noise."""
    x = rng.standard_normal((60, dim)) * np.linspace(.5, 2, dim)
    x = x.astype(np.float32).astype(float) if f32 else x
    taste, rows = rng.standard_normal(dim), []
    for u in range(users):
        w = taste + spread * rng.standard_normal(dim)
        for _ in range(shown):
            a, b = rng.choice(60, 2, replace=False)
            a, b = (a, b) if rng.random_sample() < ref.sigma((x[a] - x[b]) @ w) else (b, a)
            rows.append((7 * u - 11, x[a], x[b]))
    db.execute("DELETE FROM pairs")
    kind = np.float32 if f32 else np.float64
    db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(u, a.astype(kind).tobytes(), b.astype(kind).tobytes()) for u, a, b in rows])
    return rows


def gradient_check(f, x, g, name):
    """Central differences in random directions."""
    rng = np.random.RandomState(0)
    for _ in range(5):
        v = rng.standard_normal(x.shape)
        v /= np.linalg.norm(v)
        h = 1e-6
        close((f(x + h * v) - f(x - h * v)) / (2 * h), (g * v).sum(), 1e-5, name, absolute=1e-8)


for f32, users, shown, dim in ((False, 25, 6, 5), (True, 12, 4, 33)):
    rng = np.random.RandomState(dim)
    rows = crowd(users, shown, dim, rng, f32)
    type_ = {"type": "f32"} if f32 else {}
    ids, d = ref.differences(rows)
    s = ref.scale(d)
    what = f"{users} users x {shown}, {dim} {'f32' if f32 else 'f64'}: "

    # ---- pooled ----
    z = [s * x for x in d]
    for lam in (1, 20):
        blob, m = model("pooled", **{"lambda": lam}, **type_)
        x0 = rng.standard_normal(dim)
        gradient_check(lambda w: ref.pooled_objective(w, z, lam)[0], x0, ref.pooled_objective(x0, z, lam)[1], what + "the reference's pooled gradient is that of its objective")
        want = minimize(ref.pooled_objective, np.zeros(dim), (z, lam), jac=True, method="BFGS", options=dict(gtol=1e-12))
        close(m["objective"], want.fun, 1e-12, what + f"pooled, lambda {lam}: the objective is scipy's minimum")
        close(m["sections"]["weights"][0], s * want.x, 1e-6, what + "pooled: the weights are scipy's", absolute=1e-7)
        close(m["sections"]["scale"], [[s]], 1e-12, what + "pooled: the scale")
        history = m["sections"]["history"]
        ok(np.all(np.diff(history[:, 0]) <= 1e-12) and history[-1, 1] <= 1e-9 and m["flags"] & 1, what + "pooled: the objective falls, the gradient ends below 1e-9")
        mean = m["sections"]["weights"][0]
        close(adapted(blob, ids[3], **{"lambda": 2.5}), ref.around(d[3], mean, 2.5, s), 1e-6, what + "pooled: adapt_user is Bradley-Terry around it", absolute=1e-7)
        close(adapted(blob, ids[3]), ref.around(d[3], mean, m["sections"]["user_lambda"][0, 0], s), 1e-6, what + "pooled: by default with the learned lambda", absolute=1e-7)
        close(adapted(blob, ids[3], **{"lambda": 1e9}), mean, 1e-6, what + "pooled: a huge lambda leaves the pooled weights")

    def log_evidence(lam):
        """Laplace's approximation, each user's pairs under N(mean, 1/lam)."""
        total = 0
        for x in d:
            v = (ref.around(x, mean, lam, s) - mean) / s
            u = x @ mean + s * x @ v
            p = ref.sigma(u)
            h = (s * x).T @ ((p * (1 - p))[:, None] * (s * x)) + lam * np.eye(dim)
            total += -np.logaddexp(0, -u).sum() - lam / 2 * v @ v + dim / 2 * np.log(lam) - np.linalg.slogdet(h)[1] / 2
        return total
    grid = [4.**k for k in range(-3, 6)]
    eq(m["sections"]["user_lambda"][0, 0], max(grid, key=log_evidence), what + "pooled: user_lambda has the largest Laplace evidence")

    # ---- neighbors ----
    blob, m = model("neighbors", **{"lambda": .5}, **type_)
    profiles = np.array([ref.profile(x, .5) for x in d])
    close(m["sections"]["profiles"], profiles, 1e-6, what + "neighbors: profiles are scipy's Bradley-Terry fits", absolute=1e-7)
    eq([(int(h) << 32 | int(l)) - (1 << 64 if h >= 2**31 else 0) for h, l in m["sections"]["users"]], ids, what + "neighbors: the users by id")
    close(m["sections"]["weights"][0], profiles.mean(0), 1e-6, what + "neighbors: weights are the mean profile", absolute=1e-7)
    for t in (.07, 1):
        close(adapted(blob, ids[2], temperature=t), ref.explained(d[2], m["sections"]["profiles"], t), 1e-9, what + f"neighbors: adapt_user at temperature {t}", absolute=1e-11)

    # ---- latent classes ----
    V = rng.standard_normal((dim, 3))
    gradient_check(lambda V: ref.classes_objective(V, z, 3, 2)[0], V, ref.classes_objective(V, z, 3, 2)[1], what + "the reference's gradient of latent classes")
    for rank, lam, t, seed in ((3, 2, 1.5, 4), (64, 20, 3, 0), (1, 5, 1, 2)):
        blob, m = model("classes", rank=rank, seed=seed, temperature=t, iterations=2000, **{"lambda": lam}, **type_)
        basis, history = m["sections"]["basis"], m["sections"]["history"]
        value, gradient = ref.classes_objective(basis.T / s, z, lam, t)
        close(m["objective"], value, 1e-9, what + f"classes, rank {rank}: the objective at the basis")
        ok(np.sqrt((gradient**2).sum()) < 2e-6 and m["flags"] & 1, what + "classes: numpy's gradient there is nil", np.sqrt((gradient**2).sum()))
        close(history[0, 1] > history[-1, 1] and np.all(np.diff(history[:, 0]) <= 1e-12), True, 0, what + "classes: the objective falls")
        start = .3 * ref.normals(seed, 0, dim * rank).reshape(dim, rank)
        f = lambda x: (lambda v, g: (v, g.ravel()))(*ref.classes_objective(x.reshape(dim, rank), z, lam, t))
        found = minimize(f, start.ravel(), jac=True, method="L-BFGS-B", options=dict(maxiter=5000, gtol=1e-10, ftol=1e-15)).fun
        ok(m["objective"] < found + 2e-3, what + f"classes: {m['objective']:.6f} is as low as scipy's end {found:.6f} from the same start")
        none = model("classes", rank=rank, seed=seed, iterations=0, **type_)[1]
        close(none["sections"]["basis"], s * start.T, 1e-12, what + "classes: no iterations leave the random start", absolute=1e-14)
        l = np.array([-np.logaddexp(0, -(basis @ x.T)).sum(1) for x in d])
        close(m["sections"]["mixture"][0], ref.softmax(l / t).mean(0), 1e-9, what + "classes: the mixture is the users' mean membership", absolute=1e-12)
        close(m["sections"]["weights"][0], ref.softmax(l / t).mean(0) @ basis, 1e-9, what + "classes: the weights are the mean user's", absolute=1e-12)
        for t2 in (1, 3.5):
            close(adapted(blob, ids[2], temperature=t2), ref.classes_user(d[2], basis, t2), 1e-9, what + f"classes: adapt_user at temperature {t2}", absolute=1e-12)
        close(adapted(blob, ids[2]), ref.classes_user(d[2], basis, 1), 1e-9, what + "classes: by default at temperature 1", absolute=1e-12)
    aged = np.frombuffer(one("SELECT adapt_user(chosen, rejected, '{\"half_life\": 1}', ?) OVER (ORDER BY rowid ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM pairs WHERE user_id = ?", blob, ids[2]))
    age = .5**np.arange(len(d[2]))[::-1, None]
    l = -(age * np.logaddexp(0, -(d[2] @ basis.T))).sum(0)
    close(aged, ref.softmax(l) @ basis, 1e-9, what + "classes: a pair counts by its age", absolute=1e-12)

    # ---- LoRe ----
    V, A = rng.standard_normal((dim, 3)), rng.standard_normal((users, 3))
    _, gV, gA = ref.lore_objective(V, A, d, 2)
    gradient_check(lambda V: ref.lore_objective(V, A, d, 2)[0], V, gV, what + "the reference's LoRe gradient by V")
    gradient_check(lambda A: ref.lore_objective(V, A, d, 2)[0], A, gA, what + "the reference's LoRe gradient by a")
    for rank, seed, steps, temperature in ((3, 5, 40, 2), (1, 0, 10, 100)):
        blob, m = model("lore", rank=rank, seed=seed, iterations=steps, temperature=temperature, rate=.05, **type_)
        V, A, value, history = ref.lore(d, rank, seed, steps, .05, temperature)
        close(m["sections"]["basis"], V.T, 1e-7, what + f"lore, rank {rank}: the basis after {steps} steps", absolute=1e-8)
        close(m["sections"]["mixture"][0], ref.softmax(A).mean(0), 1e-8, what + "lore: the mean user", absolute=1e-9)
        close(m["objective"], value, 1e-9, what + "lore: the objective")
        close(m["sections"]["history"], history, 1e-7, what + "lore: objective and gradient at each step")
        close(m["sections"]["weights"][0], V @ ref.softmax(A).mean(0) / temperature, 1e-7, what + "lore: the weights without feedback", absolute=1e-9)
        close(adapted(blob, ids[4], iterations=60, seed=9), ref.lore_user(d[4], V, 9, 60, .1, temperature), 1e-6, what + "lore: a new user, 60 steps of Adam from the seed", absolute=1e-8)
        close(adapted(blob, ids[4]), ref.lore_user(d[4], V, 0, 500, .1, temperature), 1e-6, what + "lore: by default 500 steps of rate .1", absolute=1e-8)

    # ---- PReF ----
    B, L = rng.standard_normal((dim, 2)), rng.standard_normal((users, 2))
    _, gB, gL = ref.svd_objective(B, L, z, .1)
    gradient_check(lambda B: ref.svd_objective(B, L, z, .1)[0], B, gB, what + "the reference's PReF gradient by B")
    gradient_check(lambda L: ref.svd_objective(B, L, z, .1)[0], L, gL, what + "the reference's PReF gradient by users")
    for penalty in (.02, .1):
        blob, m = model("svd", rank=2, penalty=penalty, iterations=3000, **type_)
        basis, mean = m["sections"]["basis"], m["sections"]["mixture"][0]
        ends = []
        for trial in range(8):  # not convex: the best of several starts
            x0 = np.random.RandomState(trial).standard_normal((dim + users) * 2) * .3
            split = lambda x: (x[:2 * dim].reshape(dim, 2), x[2 * dim:].reshape(users, 2))
            def f(x):
                v, gB, gL = ref.svd_objective(*split(x), z, penalty)
                return v, np.concatenate([gB.ravel(), gL.ravel()])
            ends.append(minimize(f, x0, jac=True, method="L-BFGS-B", options=dict(maxiter=2000)).fun)
        ok(m["objective"] < np.median(ends) + 2e-3, what + f"svd, penalty {penalty}: the objective {m['objective']:.5f} is as low as where half of scipy's random starts end, {np.sort(ends).round(5)}")
        history = m["sections"]["history"]
        ok(np.all(np.diff(history[:, 0]) <= 1e-12), what + "svd: the objective falls")
        close(m["sections"]["weights"][0], mean @ basis, 1e-9, what + "svd: the weights are the mean user's", absolute=1e-12)
        close(adapted(blob, ids[4]), ref.svd_user(d[4], basis, mean, 5000, .01), 1e-7, what + "svd: a new user, 5000 steps of gradient descent", absolute=1e-9)
        close(adapted(blob, ids[4], iterations=7, rate=.3), ref.svd_user(d[4], basis, mean, 7, .3), 1e-9, what + "svd: seven steps", absolute=1e-11)
    # the objective that is reported is that of what is stored, for the users as they are stored in it: one user's worth
    m0 = model("svd", rank=2, penalty=.1, iterations=0, **type_)[1]
    ok(m0["objective"] < np.log(2) + .1 * 3 and len(m0["sections"]["history"]) == 0, what + f"svd: the completed matrix is a start worth having ({m0['objective']:.3f})")

    # ---- meta reward modelling: one outer step tells the gradient, as Adam's first is its sign; two, its size ----
    K, sizes = 3, [len(x) for x in d]
    ordered = [np.array([c - r for v, c, r in sorted(rows, key=lambda row: (row[0], tuple(row[1]), tuple(row[2]))) if v == u]) for u in ids]
    for gamma, inner in ((.5, .3), (0, .3), (.5, .001)):
        options = dict(rank=K, seed=4, batch=5, query=.6, rho=.4, gamma=gamma, inner_rate=inner, rate=.01, feature_scale=.7)
        _, m = model("maml", iterations=1, **options, **type_)
        B0 = ref.normals(4, 0, dim * K).reshape(dim, K) / np.sqrt(dim)
        steps = ref.maml_batches(sizes, 4, 5, .6, 1)
        batch = [(.7 * s * ordered[u][i], .7 * s * ordered[u][j]) for u, i, j in steps[0]]
        losses = ref.maml_losses(B0, np.zeros(K), batch, inner)
        close(m["sections"]["history"][0, 0], ref.maml_robust(losses, .4, gamma) / len(batch), 1e-9, what + f"maml, gamma {gamma}: the robust objective of the first batch")
        tau = np.quantile(losses, .6)
        f = lambda x: ref.maml_robust(ref.maml_losses(x[:dim * K].reshape(dim, K), x[dim * K:], batch, inner), .4, gamma, tau)
        x0, h = np.concatenate([B0.ravel(), np.zeros(K)]), 1e-6
        g = np.array([(f(x0 + h * e) - f(x0 - h * e)) / (2 * h) for e in np.eye(len(x0))])
        close(m["sections"]["history"][0, 1], np.linalg.norm(g), 1e-3, what + f"maml, gamma {gamma}, inner rate {inner}: the gradient's norm, by differences")
        moved = m["sections"]["basis"].T / (.7 * s) - B0
        big = np.abs(g[:dim * K]) > 1e-3 * np.abs(g).max()
        close(moved.ravel()[big], -.01 * np.sign(g[:dim * K][big]), 1e-3, what + f"maml, gamma {gamma}: the first step goes against every slope")
        close(m["sections"]["theta"][0], -.01 * np.sign(g[dim * K:]), 1e-3, what + f"maml, gamma {gamma}: and against theta's")
    blob, m = model("maml", rank=K, seed=4, batch=5, iterations=60, rate=.02, **type_)
    basis, theta = m["sections"]["basis"], m["sections"]["theta"][0]
    history = m["sections"]["history"][:, 0]
    ok(history[-10:].mean() < history[:10].mean(), what + "maml: the objective falls", history)
    close(m["sections"]["weights"][0], ref.softmax(theta) @ basis, 1e-9, what + "maml: the weights are those of the start", absolute=1e-12)
    close(adapted(blob, ids[4]), ref.maml_user(d[4], basis, theta, 5, .001), 1e-9, what + "maml: a new user, five steps of Adam", absolute=1e-11)
    close(adapted(blob, ids[4], iterations=40, rate=.2), ref.maml_user(d[4], basis, theta, 40, .2), 1e-7, what + "maml: forty large steps", absolute=1e-9)

# ---- choice sets: the pairs that they stand for ----
rng = np.random.RandomState(3)
sets, given, implied = [], [], []
for u in range(10):
    for t in range(4):
        x = rng.standard_normal((4, 3))
        kind = (u + t) % 3
        labels = [("best", "worst", None, None), ("best", None, None, None), (None, "worst", None, None)][kind]
        sets += [(u, t, v.tobytes(), l) for v, l in zip(x, labels)]
        best, worst = (0, 1) if kind == 0 else (0, None) if kind == 1 else (None, 1)
        full = [(best, j) for j in range(4) if best is not None and j != best] + [(j, worst) for j in range(4) if worst is not None and j not in (worst, best)]
        given += [(u, x[a], x[b]) for a, b in ([(0, 1)] if kind == 0 else full)]
        implied += [(u, x[a], x[b]) for a, b in full]
db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", sets)
for pairs, rows in (("given", given), ("implied", implied)):
    db.execute("DELETE FROM pairs")
    db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(u, a.tobytes(), b.tobytes()) for u, a, b in rows])
    for method, options in (("pooled", {}), ("classes", {"rank": 3}), ("lore", {"iterations": 20, "temperature": 1})):
        got, want = model(method, "choices", pairs=pairs, **options)[1], model(method, **options)[1]
        close(got["objective"], want["objective"], 1e-12, f"{method}: choice sets, {pairs}, are the pairs they stand for")
        close(got["sections"]["weights"], want["sections"]["weights"], 1e-7, f"{method}: choice sets, {pairs}: weights", absolute=1e-9)

# ---- prior: with two reward models the users' weights are (p, 1 - p), and everything can be integrated ----
GRID = np.array([.01, .02, .04, .08, .15, .3, .6, 1.2, 2.5, 5])
SHARP = 2.**np.arange(10)


def users_of_two(weights, noise, rng, turns):
    """Choice sets of five, best and worst of utilities with Gumbel noise; returns the sets, standardised user by user."""
    db.execute("DELETE FROM choices")
    out = []
    for u, p in enumerate(weights):
        x = rng.standard_normal((turns, 5, 2))
        value = x @ [p, 1 - p]
        best = (value + noise * rng.gumbel(size=value.shape)).argmax(1)
        value[np.arange(turns), best] = np.inf
        worst = (value - noise * rng.gumbel(size=value.shape)).argmin(1)
        db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", [(u, t, x[t, i].tobytes(), "best" if i == best[t] else "worst" if i == worst[t] else None) for t in range(turns) for i in range(5)])
        x = x - x.mean(1, keepdims=True)
        out.append((x / np.sqrt((x * x).mean()), best, worst))
    return out


def exact_tables(sets, tilt):
    """log p(choices | alpha, sharpness) of every user, integrated over logit(p)."""
    o = np.concatenate([np.arange(-800, -40, 4.), np.arange(-40, 40, .2), np.arange(40, 800, 4.)])
    step = np.gradient(o)
    logp, logq = -np.logaddexp(0, -o), -np.logaddexp(0, o)
    prior = np.array([gammaln(a * tilt.sum()) - gammaln(a * tilt).sum() + a * tilt[0] * logp + a * tilt[1] * logq for a in GRID]) + np.log(step)
    out = []
    for x, best, worst in sets:
        u = x @ np.array([np.exp(logp), np.exp(logq)])
        rows = np.arange(len(u))
        loglike = np.zeros((len(SHARP), len(o)))
        for k, b in enumerate(SHARP):
            v = b * u
            up = v[rows, best] - np.logaddexp.reduce(v, axis=1)
            rest = -v
            rest[rows, best] = -np.inf
            loglike[k] = (up - v[rows, worst] - np.logaddexp.reduce(rest, axis=1)).sum(0)
        out.append(np.logaddexp.reduce(prior[:, None] + loglike[None], axis=2))
    return np.array(out)


def exact_em(table):
    """Shares and sharpness by EM, with pseudo-users; and the mean log probability there."""
    share, sharp = np.full(10, .1), 2.**(np.arange(10) / 4) / (2.**(np.arange(10) / 4)).sum()
    t, c = np.exp(table - table.max((1, 2), keepdims=True)), 1 + len(table) / 50
    for _ in range(3000):
        r = t * share[:, None] * sharp
        r /= r.sum((1, 2), keepdims=True)
        share, sharp = (r.sum((0, 2)) + c / 10) / (len(t) + c), (r.sum((0, 1)) + c / 10) / (len(t) + c)
    return share, sharp, (np.log((t * share[:, None] * sharp).sum((1, 2))) + table.max((1, 2))).mean()


def objective(table, share, sharp):
    return np.logaddexp.reduce(table + np.log(share)[:, None] + np.log(sharp), axis=(1, 2)).mean()


for name, draw, noise in (("sparse users without noise", lambda r: r.beta(.08, .08, 120), 0), ("even users with noise", lambda r: r.beta(3, 3, 120), .3), ("half and half", lambda r: np.where(r.random_sample(120) < .5, r.beta(.03, .03, 120), r.beta(4, 4, 120)), .05)):
    rng = np.random.RandomState(11)
    sets = users_of_two(draw(rng), noise, rng, 8)
    blob, m = model("prior", "choices")
    tilt = 2 * m["sections"]["weights"][0]
    table = exact_tables(sets, tilt)
    want_share, want_sharp, most = exact_em(table)
    share, sharp = m["sections"]["alpha"][:, 1], m["sections"]["sharpness"][:, 1]
    got = objective(table, share, sharp)
    flat = objective(table, np.full(10, .1), 2.**(np.arange(10) / 4) / (2.**(np.arange(10) / 4)).sum())
    ok(most - got < .03 * (most - flat) + .002, f"prior, {name}: the likelihood gained is all but {100 * (most - got) / (most - flat):.1f} % of what exact integration finds", f"{share}\n{want_share}\n{sharp}\n{want_sharp}")
    close(m["objective"], got, 0, f"prior, {name}: the objective ({m['objective']:.4f}) is the mean log probability of the choices ({got:.4f})", absolute=.03)
    ok(len(blob) <= 4096 and abs(share.sum() - 1) < 1e-12 and abs(sharp.sum() - 1) < 1e-12 and abs(tilt.sum() - 2) < 1e-12, f"prior, {name}: {len(blob)} bytes, probabilities")
    ok(m["iterations"] == 3 and m["sections"]["history"].shape == (3, 2) and m["users"] == 120, f"prior, {name}: three rounds of all users")

# the mean, and what chance explains of it
for mean, kept in (([.6, .2, .15, .05], True), ([.25] * 4, False)):
    rng = np.random.RandomState(8)
    w = rng.dirichlet(1.2 * np.array(mean), 100)
    db.execute("DELETE FROM choices")
    for u in range(100):
        x = rng.standard_normal((10, 6, 4))
        best, worst = (x @ w[u]).argmax(1), (x @ w[u]).argmin(1)
        db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", [(u, t, x[t, i].tobytes(), "best" if i == best[t] else "worst" if i == worst[t] else None) for t in range(10) for i in range(6)])
    blob, m = model("prior", "choices")
    found = m["sections"]["weights"][0]
    if kept:
        close(found, w.mean(0), 0, f"prior: the users' mean is found", absolute=.025)
    else:
        ok(np.abs(found - .25).max() < .7 * np.abs(w.mean(0) - .25).max(), "prior: a mean that chance explains is drawn to 1/dim", f"{found} {w.mean(0)}")
    empty = one("SELECT adapt_user_choices(1, features, NULL, ?) FROM choices WHERE user_id = 0", blob)
    close(np.frombuffer(empty), found, 1e-12, "prior: without feedback the answer is its mean")
done()
