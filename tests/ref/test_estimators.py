"""Bradley-Terry and the Gaussian prior against scipy, and windows against the same, row by row.

Each objective is written here from its definition (core_fit.h, core_adapt.c) and maximised by scipy in the features'
own space, also where they have more dimensions than there are rows.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from adaptation import *
from scipy import optimize

db = connect()
rng = np.random.RandomState(17)


# ---- objectives: value, gradient, hessian ----
def pair_terms(differences, weights, w):
    """Sum of weight * log sigma(difference . w)."""
    u = differences @ w
    p = special.expit(-u)
    return weights @ special.log_expit(u), differences.T @ (weights * p), -(differences.T * (weights * p * (1 - p))) @ differences


def softmax_terms(x, chosen, w):
    """log of the softmax of x.w at chosen."""
    u = x @ w
    p = special.softmax(u)
    mean = p @ x
    return u[chosen] - special.logsumexp(u), x[chosen] - mean, -((x.T * p) @ x - np.outer(mean, mean))


def bradley_terry_pairs(v, implied):
    out = []
    if v.rating is not None:
        x, r = v.sets[0][0], v.rating
        n = range(len(r))
        return [(x[a] - x[b], min(v.weight[a], v.weight[b])) for a in n for b in n if r[a] > r[b]]
    for x, best, worst, h in v.sets:
        if best is not None and worst is not None and not implied:
            out.append((x[best] - x[worst], h))
            continue
        out += [(x[best] - x[i], h) for i in range(len(x)) if best is not None and i != best]
        out += [(x[i] - x[worst], h) for i in range(len(x)) if worst is not None and i not in (best, worst)]
    return out


def whole_sets(v, w):
    """What a choice set says, best first: its softmax, then of the rest that of -x; ratings: least squares."""
    total = [0.0, np.zeros(len(w)), np.zeros((len(w), len(w)))]
    if v.rating is not None:
        x = v.sets[0][0]
        error = v.rating - x @ w
        return -0.5 * v.weight @ error**2, x.T @ (v.weight * error), -(x.T * v.weight) @ x
    for x, best, worst, h in v.sets:
        parts = [] if best is None else [softmax_terms(x, best, w)]
        if worst is not None:
            rest = [i for i in range(len(x)) if i != best]
            parts.append(softmax_terms(-x[rest], rest.index(worst), w))
        for part in parts:
            total = [t + h * p for t, p in zip(total, part)]
    return total


def maximise(terms, dim, penalty):
    """The maximum of terms(w) - penalty/2 |w|^2, its value and the negative hessian there."""
    value = lambda w: -terms(w)[0] + penalty / 2 * w @ w
    slope = lambda w: -terms(w)[1] + penalty * w
    curve = lambda w: -terms(w)[2] + penalty * np.eye(dim)
    w = optimize.minimize(value, np.zeros(dim), jac=slope, hess=curve, method="trust-exact", options={"gtol": 1e-10}).x
    for _ in range(4):  # the last digits, which the value cannot see
        w = w - np.linalg.solve(curve(w), slope(w))
    return w, -value(w), curve(w)


def bradley_terry(v, dim, implied, penalty):
    pairs = bradley_terry_pairs(v, implied) if v.informative else []
    if not pairs:
        return np.zeros(dim)
    d, h = np.array([d for d, _ in pairs]), np.array([h for _, h in pairs])
    return maximise(lambda w: pair_terms(d, h, w), dim, penalty)[0]


def gaussian(v, dim, sharpness):
    """Mean over the scale b of the maximum / b, by Laplace's approximation of each b's evidence."""
    if not v.informative:
        return np.zeros(dim)
    found = []
    for b in [sharpness] if sharpness else 2.0 ** np.arange(-1, 9):
        w, value, curve = maximise(lambda w: whole_sets(v, w), dim, dim / b**2)
        found.append((w / b, value - np.linalg.slogdet(curve)[1] / 2 + dim / 2 * np.log(dim / b**2)))
    evidence = np.array([e for _, e in found])
    return special.softmax(evidence) @ np.array([w for w, _ in found])


# ---- random feedback: few rows of many features (f32, as embeddings come), and the other way round ----
MAKE = {"adapt_user": random_pairs, "adapt_user_choices": random_choices, "adapt_user_ratings": random_ratings}
for function, make in MAKE.items():
    for f32 in (False, True):
        worst = {"bradley_terry given": 0, "bradley_terry implied": 0, "gaussian": 0, "gaussian, sharpness given": 0}
        wide = 0
        for trial in range(12):
            dim, n = (int(rng.choice([20, 90])), rng.randint(1, 5)) if f32 else (rng.randint(1, 13), rng.randint(1, 12))
            n += 2 * (make is random_ratings)
            scale = 10.0 ** rng.uniform(-2, 2)
            cut = np.float32 if f32 else np.float64
            x = lambda k: (scale * rng.standard_normal((k, dim))).astype(cut).astype(float)
            rows = make(rng, n, x, rng.standard_normal(dim) if trial % 3 else None)
            options = {} if trial % 2 else {"half_life": float(rng.choice([0.5, 2, 7]))}
            v = Evidence(function, rows, options.get("half_life"))
            wide += dim > len(rows) * (2 if function == "adapt_user" else 1)
            for name in worst:
                if name.startswith("bradley_terry"):
                    if "implied" in name and make is not random_choices:
                        continue
                    penalty = float(10.0 ** rng.uniform(-2, 2))
                    own = {"method": "bradley_terry", "lambda": penalty}
                    if make is random_choices:
                        own["pairs"] = name.split()[1]
                    want = bradley_terry(v, dim, "implied" in name, penalty)
                else:
                    own = {"prior": "gaussian"}
                    if "given" in name:
                        own["sharpness"] = float(10.0 ** rng.uniform(-1, 1.5))
                    want = gaussian(v, dim, own.get("sharpness"))
                got = adapt(db, function, rows, f32, **own, **options)
                worst[name] = max(worst[name], np.abs(got - want).max() / max(np.abs(want).max(), 1e-3))
        for name, error in worst.items():
            if make is random_choices or "implied" not in name:
                digits = 8 if name == "gaussian" else 9  # evidence of a scale is known to fewer digits than its maximum
                ok(error < 10.0**-digits, f"{function}, {'f32' if f32 else 'f64'}: {name} is scipy's to 1e-{digits}", error)
        ok(wide > 0 if f32 else wide < 12, f"{function}, {'f32' if f32 else 'f64'}: {wide} of 12 with more features than rows")

# ---- Laplace against the exact posterior mean of w / b, two features ----
grid = np.linspace(-5, 5, 161)
a, b = np.meshgrid(grid, grid)
nodes = np.array([a.ravel(), b.ravel()]).T  # w / b
share = np.exp(-(nodes**2).sum(1))  # N(0, 1/2) each
cosines, lengths = [], []
for trial in range(40):
    truth = rng.standard_normal(2)
    rows = random_choices(rng, rng.randint(2, 8), lambda n: rng.standard_normal((n, 2)), truth, (2, 6), 0.5, ("both",))
    v = Evidence("adapt_user_choices", rows)
    p = np.exp(v.likelihoods(nodes, 2.0 ** np.arange(-1, 9))).sum(0) * share
    want = p @ nodes / p.sum()
    got = adapt(db, "adapt_user_choices", rows, prior="gaussian")
    cosines.append(got @ want / np.linalg.norm(got) / np.linalg.norm(want))
    lengths.append(np.linalg.norm(got) / np.linalg.norm(want))
ok(np.mean(cosines) > 0.99 and np.min(cosines) > 0.9, f"gaussian: direction of the exact posterior mean, cosine {np.mean(cosines):.4f} on average", np.sort(cosines)[:5])
ok(0.7 < np.mean(lengths) < 1.1, f"gaussian: its length too, ratio {np.mean(lengths):.2f} on average", np.sort(lengths))

# ---- windows: every row is the estimate of its frame ----
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, user_id INTEGER, turn INTEGER, a, b, c)")
for function, make in MAKE.items():
    db.execute("DELETE FROM t")
    users = {}
    for user in range(3):
        rows = make(rng, 9, lambda n: rng.standard_normal((n, 3)))
        for i, row in enumerate(rows):
            users.setdefault(user, []).append((row[0] if function == "adapt_user_choices" else i // 2, row))
        rows = [(user, turn, *[z.tobytes() if isinstance(z, np.ndarray) else z for z in row]) for turn, row in users[user]]
        db.executemany(f"INSERT INTO t(user_id, turn, a, b{', c' if len(rows[0]) > 4 else ''}) VALUES ({', '.join('?' * len(rows[0]))})", rows)
    frames = {
        "ROWS 3 PRECEDING": lambda rows, i: rows[max(0, i - 3):i + 1],
        "ROWS BETWEEN 4 PRECEDING AND 1 FOLLOWING": lambda rows, i: rows[max(0, i - 4):i + 2],
        "GROUPS 1 PRECEDING": lambda rows, i: [r for r in rows if r[0] in [g for g in sorted({r[0] for r in rows}) if g <= rows[i][0]][-2:]],
        "RANGE UNBOUNDED PRECEDING": lambda rows, i: [r for r in rows if r[0] <= rows[i][0]],
    }
    arguments = {"adapt_user": "a, b", "adapt_user_choices": "a, b, c", "adapt_user_ratings": "a, b"}[function]
    for frame, members in frames.items():
        order = "turn" if "S" not in frame or frame.startswith("GROUPS") else "turn, id"
        for half_life in (None, 2.0):
            if half_life and order == "turn" and function != "adapt_user_choices":
                continue  # the age is the order of rows, which peers do not have
            options = {"method": "bradley_terry", **({"half_life": half_life} if half_life else {})}
            got = db.execute(f"SELECT {function}({arguments}, ?) OVER (PARTITION BY user_id ORDER BY {order} {frame}) FROM t ORDER BY id", (json.dumps(options),)).fetchall()
            want = []
            for rows in users.values():
                for i in range(len(rows)):
                    v = Evidence(function, [row for _, row in members(rows, i)], half_life)
                    want.append(bradley_terry(v, 3, False, 1))
            close([np.frombuffer(w) for w, in got], want, 0, f"{function}: {frame}{', half_life' if half_life else ''}: each row is its frame's estimate", absolute=1e-8)
done()
