"""sql/continual.sql against numpy: who was asked, what was learned in every window, what it costs; and that nothing leaks."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from adaptation import Evidence
from analyses import Side, column, demo, near, run
import numpy as np

USERS, TURNS = 6, 12
WINDOWS = {"no forgetting": (99, None), "last 20 turns": (20, None), "last 10 turns": (10, None), "last 5 turns": (5, None),
           "half-life 10 turns": (99, 10), "half-life 3 turns": (99, 3)}
SWAP = "UPDATE moment_history SET chosen_id = rejected_id, rejected_id = chosen_id WHERE turn >= %d"

os.chdir(ROOT)


def database(users=USERS, turns=TURNS, **settings):
    return demo("continual_setting", {"users": users, "turns": turns, **settings})


def implied_pairs(rows, half_life):
    """Minus the logistic loss of every implied pair, less |w|^2 / 2, by Newton steps: rows (turn, features, feedback)."""
    v = Evidence("adapt_user_choices", rows, half_life)
    d, h = [], []
    for x, best, worst, age in v.sets:
        beaten = [i for i in range(len(x)) if i != best]
        d += [x[best] - x[i] for i in beaten] + [x[i] - x[worst] for i in beaten if i != worst]
        h += [age] * (2 * len(x) - 3)
    d, h, w = np.array(d), np.array(h), np.zeros(rows[0][1].size)
    value = lambda w: h @ np.logaddexp(0, -d @ w) + w @ w / 2
    for _ in range(100):
        p = 1 / (1 + np.exp(d @ w))
        slope = w - d.T @ (h * p)
        step = np.linalg.solve((d.T * (h * p * (1 - p))) @ d + np.eye(w.size), slope)
        t = 1.0
        while value(w - t * step) > value(w) - 1e-4 * t * (slope @ step) and t > 1e-10:
            t /= 2
        w = w - t * step
        if np.abs(step).max() < 1e-13:
            break
    return w


db = database()
table = run(db, "sql/continual.sql")[0]
train, test = Side(db, "train"), Side(db, "test")

# ---- who is asked what ----
weights = np.array([[np.frombuffer(db.execute("SELECT weights FROM drifting WHERE user_id = ? AND turn = ?", (u, t)).fetchone()[0])
                     for t in range(1, TURNS + 1)] for u in range(USERS)])
away = 1 - np.exp(-.1 * np.arange(TURNS))
close(weights[:, 1:], weights[:, :1] + (weights[:, -1:] - weights[:, :1]) * (away[1:] / away[-1])[None, :, None], 1e-9,
      "users go straight from one taste to another, fast at first", absolute=1e-12)
truth = {(d, u, t): weights[u, t - 1 if d else 0] for d in (0, 1) for u in range(USERS) for t in range(1, TURNS + 1)}
stored = {((i < 100000000) * 1, i // 1000 % 100000, i % 1000): np.frombuffer(w) for i, w in db.execute("SELECT user_id, weights FROM moment")}
ok(stored.keys() == truth.keys() and all((stored[k] == truth[k]).all() for k in truth), "a moment has the weights of its turn; still users those of turn 1")

where = {i: (ids, z) for ids, z in zip(train.ids, train.Z) for i in ids}
history, wrong = {}, 0
for person, turn, chosen, rejected in db.execute("SELECT user_id, turn, chosen_id, rejected_id FROM moment_history ORDER BY user_id, turn"):
    who = ((person < 100000) * 1, person % 100000)
    ids, z = where[chosen]
    u = z @ truth[who + (turn,)]
    wrong += ids[int(u.argmax())] != chosen or ids[int(u.argmin())] != rejected
    history.setdefault(who, []).append([(turn, x, "best" if i == chosen else "worst" if i == rejected else None) for i, x in zip(ids, z)])
eq((wrong, len(history), {len(h) for h in history.values()}), (0, 2 * USERS, {TURNS}), "one showing a turn of a train prompt, answered by the weights of that turn")

# ---- what is learned, and what it costs at the next turn ----
regret, learned = {}, {}
for who, sets in history.items():
    for turn in range(1, TURNS):
        estimates = {name: implied_pairs(sum(sets[max(0, turn - last):turn], []), life) for name, (last, life) in WINDOWS.items()}
        estimates["first 5 turns only"] = implied_pairs(sum(sets[:min(turn, 5)], []), None)
        estimates["uniform weights"] = np.ones(10)
        w = truth[who + (turn + 1,)]
        for name, e in estimates.items():
            regret[(name,) + who + (turn + 1,)] = np.mean([(z @ w).max() - (z @ w)[(z @ e).argmax()] for z in test.Z])
            learned[(name,) + who + (turn,)] = e
got = {(m, d, u, t): r for m, d, u, t, r in db.execute("SELECT method, drifts, user_id, turn, regret FROM continual_user")}
eq(got.keys(), regret.keys(), "every method, user and turn from the second on is judged, drifting and still")
keys = sorted(regret)
close([got[k] for k in keys], [regret[k] for k in keys], 1e-9, "regret is that of numpy's own estimates", absolute=1e-9)
names = dict(everything="no forgetting", last_5="last 5 turns", half_life_3="half-life 3 turns", first_5="first 5 turns only")
for name, method in names.items():
    rows = [(((p < 100000) * 1, p % 100000, t), np.frombuffer(w)) for p, t, w in db.execute(f"SELECT user_id, turn, {name} FROM learned")]
    close([w for _, w in rows], [learned[(method,) + k] for k, _ in rows], 1e-7, f"weights: {method}", absolute=1e-9)

# ---- the tables ----
at = lambda name, d: np.array([[regret[(name, d, u, t)] for t in range(2, TURNS + 1)] for u in range(USERS)])
eq([r["method"] for r in table], ["uniform weights", "first 5 turns only"] + list(WINDOWS), "methods")
for row in table:
    drifting, still = at(row["method"], 1), at(row["method"], 0)
    near(column([row], "turn_2", "turn_5", "turn_10", "turn_20", "turn_40"), list(drifting.mean(0)[[0, 3, 8]]) + [None, None], 3, f"{row['method']}: by turn")
    for name, of, columns in (("drifting", drifting, ("drifting", "against_none", "se")), ("still", still, ("still", "still_against_none", "still_se"))):
        gap = (of - at("no forgetting", name == "drifting")).mean(1)
        near(column([row], *columns), [of.mean(), gap.mean(), gap.std(ddof=1) / np.sqrt(USERS)], 4, f"{row['method']}, {name}: mean, paired difference, its error")
    kept = db.execute("SELECT turn, regret, low, high FROM continual WHERE method = ? ORDER BY turn", (row["method"],)).fetchall()
    half = 1.96 * drifting.std(0, ddof=1) / np.sqrt(USERS)
    want = np.array([np.arange(2, TURNS + 1), drifting.mean(0), drifting.mean(0) - half, drifting.mean(0) + half]).T
    close(kept, want, 1e-9, f"{row['method']}: what the chart draws", absolute=1e-7)
chart = db.execute("SELECT persona_chart('continual')").fetchone()[0]
ok('"half-life 3 turns"' in chart, "persona_chart draws it")

# ---- no leaks ----
later = database()
run(later, "sql/continual.sql", after={"moment_history": SWAP % 7})
changed = {k: r for *k, r in later.execute("SELECT method, drifts, user_id, turn, regret FROM continual_user") for k in [tuple(k)]}
eq({k[3] for k in keys if changed[k] != got[k]} , set(range(8, TURNS + 1)), "labels swapped from turn 7 on change nothing that is judged up to turn 7, and every later turn")
eq([k for k in keys if k[0] in ("uniform weights", "first 5 turns only") and changed[k] != got[k]], [], "and nothing for who does not learn by then")
run(later, "sql/continual.sql", after={"moment_history": SWAP % 1})
worst = 0
for column_name in ("everything", "last_10", "half_life_3"):
    pair = [dict(((p, t), np.frombuffer(w)) for p, t, w in c.execute(f"SELECT user_id, turn, {column_name} FROM learned")) for c in (db, later)]
    worst = max([worst] + [np.abs(pair[0][k] + pair[1][k]).max() / np.abs(pair[0][k]).max() for k in pair[0]])
ok(worst < 1e-6, "swapped labels turn every weight around", worst)
mean = lambda c, m: c.execute("SELECT avg(regret) FROM continual WHERE method = ?", (m,)).fetchone()[0]
ok(mean(later, "no forgetting") > mean(db, "uniform weights") > mean(db, "no forgetting"), "and the regret goes past that of no personalisation")

# ---- settings ----
few = database(3, 4, seed=5, options='{"method":"sum"}')
run(few, "sql/continual.sql")
eq(few.execute("SELECT count(*), max(turn), count(DISTINCT user_id) FROM continual_user").fetchone(), (8 * 2 * 3 * 3, 4, 3), "settings made before are kept")
ok(db.execute("SELECT group_concat(prompt_id) FROM moment_history WHERE user_id < 3 AND turn < 5").fetchone()
   != few.execute("SELECT group_concat(prompt_id) FROM moment_history WHERE user_id < 3 AND turn < 5").fetchone(), "another seed asks other prompts")
once = run(few, "sql/continual.sql")
eq(once, run(few, "sql/continual.sql"), "and running it again gives the same")
done()
