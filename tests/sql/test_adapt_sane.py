"""Adaptation on odd feedback: contradictions, exact ties, one row, constant features, huge and tiny scales, many rows."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
rng = np.random.RandomState(8)
DIM = 4
METHODS = db.execute("SELECT method, function FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1) AND method <> 'uniform'").fetchall()
VARIANTS = [(m, f, {"method": m}) for m, f in METHODS]
VARIANTS += [("posterior", f, {"prior": "gaussian"}) for m, f in METHODS if m == "posterior"]
VARIANTS += [("bradley_terry", "adapt_user_choices", {"method": "bradley_terry", "pairs": "implied"})]
FLAT = {"posterior": 1 / DIM}  # what a method says without feedback; others: 0


def adapt(function, rows, options):
    names = ", ".join(f"column{i + 1}" for i in range(len(rows[0])))
    marks = ", ".join("(" + ", ".join("?" * len(rows[0])) + ")" for _ in rows)
    flat = [np.asarray(x, float).tobytes() if isinstance(x, (np.ndarray, list)) else x for row in rows for x in row]
    w = db.execute(f"SELECT {function}({names}, ?) FROM (VALUES {marks})", [json.dumps(options)] + flat).fetchone()[0]
    return np.frombuffer(w)


def prefer(function, a, b, turn=1):
    """Rows that say a is better than b."""
    return {"adapt_user": [(a, b)], "adapt_user_choices": [(turn, a, "best"), (turn, b, None)], "adapt_user_ratings": [(a, 2.0), (b, 1.0)]}[function]


def shown(function, *xs):
    """Rows about responses that feedback treats alike."""
    if function == "adapt_user":
        return [(a, b) for a in xs for b in xs]
    if function == "adapt_user_choices":
        return [(1, x, None) for x in xs]
    return [(x, 3.0) for x in xs]


for method, function, options in VARIANTS:
    name = f"{function} {json.dumps(options)}: "
    base = 0 if options.get("prior") == "gaussian" else FLAT.get(method, 0)
    a = b = c = np.zeros(DIM)
    while (a - b).max() < 1 or (a - b).min() > -1:  # weights on the simplex cannot prefer what is worse in everything
        a, b, c = rng.standard_normal((3, DIM))
    flat = np.full(DIM, base)

    w = adapt(function, prefer(function, a, b), options)
    ok(np.all(np.isfinite(w)) and (w - flat) @ (a - b) > 0, name + "one preference is learned", str(w))

    both = prefer(function, a, b, 1) + prefer(function, b, a, 2)
    w = adapt(function, both, options)
    one = adapt(function, prefer(function, a, b), options)
    lead, start, taught = w @ (a - b), flat @ (a - b), one @ (a - b)
    slack = 0.15 * abs(taught - start)  # equal, or nobody knows: between 0 and the lead without feedback
    ok(np.all(np.isfinite(w)) and min(0, start) - slack <= lead <= max(0, start) + slack, name + "contradictory feedback says that they are about equal, or nothing", f"{lead}; without feedback {start}, with one preference {taught}")

    many = [row for turn in range(40) for row in (prefer(function, a, b, turn) if turn % 8 else prefer(function, b, a, turn))]
    w = adapt(function, many, options)
    ok(np.all(np.isfinite(w)) and w @ a > w @ b, name + "35 against 5: the majority", str(w))

    for what, rows in {"responses treated alike": shown(function, a, b, c), "identical responses": prefer(function, a, a), "constant features": prefer(function, np.full(DIM, 3.0), np.full(DIM, 3.0)), "zero features": prefer(function, np.zeros(DIM), np.zeros(DIM))}.items():
        if what == "responses treated alike" and function == "adapt_user":
            continue  # all orders of all pairs: contradictory, not silent
        w = adapt(function, rows, options)
        ok(np.all(np.abs(w - base) < 1e-15), name + what + " say nothing", str(w))

    tie = prefer(function, a, b) + {"adapt_user": [], "adapt_user_choices": [(1, a, None)], "adapt_user_ratings": [(a, 2.0)]}[function]
    w = adapt(function, tie, options)
    ok(np.all(np.isfinite(w)) and (w - flat) @ (a - b) > 0, name + "a response shown twice", str(w))

    x = rng.standard_normal((6, 2, DIM))
    truth = np.array([0.7, 0.05, 0.2, 0.05])
    def rows_of(scale):
        return [row for t in range(6) for row in prefer(function, *sorted(x[t] * scale, key=lambda v: -(v @ truth)), t)]
    w = adapt(function, rows_of(1.0), options)
    for power in (-1000, -3, 1, 900):
        scaled = adapt(function, rows_of(2.0**power), options)
        eq(list(scaled), list(w), name + f"features times 2^{power} change no bit")
    for scale in (1e300 / np.abs(x).max(), 1e-300, 3.7):
        scaled = adapt(function, rows_of(scale), options)
        close(scaled / np.abs(scaled).sum(), w / np.abs(w).sum(), 1e-6, name + f"nor does {scale:.2g} change more than rounding does", absolute=1e-6)

    wide = [v for v in (np.array([1e300, 0, -1e300, 1]), np.array([-1e300, 1e-300, 1e300, 0]), np.array([0, 1e-300, 0, 5e-324]), np.array([1e308, -1e308, 1e308, -1e308]))]
    w = adapt(function, [row for t in range(3) for row in prefer(function, wide[t], wide[t + 1], t)], options)
    ok(np.all(np.isfinite(w)), name + "huge and tiny features side by side", str(w))

    w = adapt(function, prefer(function, np.array([2.0]), np.array([1.0])), options)
    ok(len(w) == 1 and w[0] > 0, name + "one dimension", str(w))

    n = 300
    x = rng.standard_normal((n, 2, DIM))
    rows = [row for t in range(n) for row in prefer(function, *sorted(x[t], key=lambda v: -(v @ truth)), t)]
    if function == "adapt_user_ratings":
        rows = [(v, float(v @ truth)) for v in x[:, 0]]
    w = adapt(function, rows, options)
    cosine = w @ truth / np.linalg.norm(w) / np.linalg.norm(truth)
    ok(cosine > 0.93, name + f"300 rows of a consistent user are learned", f"cosine {cosine}")

# ratings: offset and scale of the rater are the rater's own
for method, function, options in VARIANTS:
    if function != "adapt_user_ratings":
        continue
    rows = [(v, float(r)) for v, r in zip(rng.standard_normal((9, DIM)), rng.randint(1, 6, 9))]
    w = adapt(function, rows, options)
    for a, b in ((1, 100), (1, -3.5), (2, 0), (0.125, 7), (2.0**900, 0), (2.0**-900, 0)):
        close(adapt(function, [(v, a * r + b) for v, r in rows], options), w, 1e-6, f"{json.dumps(options)} ratings {a:.3g} r + {b}: the same user", absolute=1e-6)
    far = adapt(function, [(v, 1e300 * r) for v, r in rows[:4]] + [(v, -1e300 * r) for v, r in rows[4:]], options)
    ok(np.all(np.isfinite(far)), f"{json.dumps(options)} ratings of 1e300", str(far))
done()
