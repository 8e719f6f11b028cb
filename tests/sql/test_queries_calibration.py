"""sql/calibration.sql against numpy: who is asked what, every probability, every figure; and that nothing leaks."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from analyses import Side, demo, near, run
import numpy as np

USERS, TEACHERS, SHOTS, NOISES, PREDICTIONS = 6, 7, [1, 3], [0, 0.5], 9
SWAP = "UPDATE calibration_history SET chosen_id = rejected_id, rejected_id = chosen_id WHERE user_id % 1000000 < 100000"

os.chdir(ROOT)


def database(**settings):
    return demo("calibration_setting", {"users": USERS, "teachers": TEACHERS, "shots": json.dumps(SHOTS), "noises": json.dumps(NOISES),
                                        "predictions": PREDICTIONS, **settings})


db = database()
table, bins = run(db, "sql/calibration.sql")
train, test = Side(db, "train"), Side(db, "test")
truth = {u: np.frombuffer(w) for u, w in db.execute("SELECT user_id, weights FROM calibration_user")}
eq(sorted(truth), list(range(USERS)) + list(range(100000, 100000 + TEACHERS)), "users and teachers")

# ---- who is asked what ----
place = lambda side: {i: (k, n) for k, ids in enumerate(side.ids) for n, i in enumerate(ids)}
where, there = place(train), place(test)
history, strange = {}, [0, 0]
for uid, turn, chosen, rejected in db.execute("SELECT user_id, turn, chosen_id, rejected_id FROM calibration_history ORDER BY user_id, turn"):
    k, z = where[chosen][0], train.Z[where[chosen][0]]
    u = z @ truth[uid % 10**6]
    strange[uid // 10**6] += train.ids[k][u.argmax()] != chosen or train.ids[k][u.argmin()] != rejected
    history.setdefault((uid // 10**6, uid % 10**6), []).append(
        [(turn, x.tobytes(), "best" if i == chosen else "worst" if i == rejected else None) for i, x in zip(train.ids[k], z)])
ok(strange[0] == 0 and strange[1] > 0, "best and worst of random train prompts, without noise and with it", strange)
eq({(len(h)) for h in history.values()} | {len(history)}, {max(SHOTS), 2 * len(truth)}, "of users and teachers alike")
pairs = {}
for p, u, a, b, prefers in db.execute("SELECT place, user_id, features_a, features_b, prefers_a FROM calibration_pair ORDER BY place, user_id, turn"):
    pairs.setdefault((p, u), []).append((a, b, prefers))
eq({len(v) for v in pairs.values()} | {len(pairs)}, {PREDICTIONS, 2 * USERS}, "pairs to predict")
seen = {x.tobytes() for z in test.Z for x in z}
difference = [[(np.frombuffer(a) - np.frombuffer(b)) @ truth[u] for a, b, _ in v] for (p, u), v in pairs.items() if p == 0]
eq([[x > 0 for x in d] for d in difference], [[bool(c) for _, _, c in v] for (p, _), v in pairs.items() if p == 0], "without noise the better one is chosen")
rows = [np.frombuffer(x) for v in pairs.values() for a, b, _ in v for x in (a, b)]
ok(all(min(np.abs(r - z).max(1).min() for z in test.Z) < 1e-9 for r in rows), "of test prompts")

# ---- every probability ----
prior = dict(db.execute("SELECT place, model FROM calibration_prior"))
eq([json.loads(db.execute("SELECT model_info(?)", (m,)).fetchone()[0])["users"] for m in prior.values()], [TEACHERS] * 2, "priors were taught by the teachers alone")
db.execute("CREATE TEMP TABLE told(choice_set, features, feedback)")
said = {}
for m, p, n, u, turn, prefers, probability in db.execute("SELECT method_id, place, interactions, user_id, turn, prefers_a, probability FROM calibration_prediction ORDER BY turn"):
    said.setdefault((p, n, m, u), []).append((prefers, probability))
eq(len(said), 2 * len(SHOTS) * 6 * USERS, "for every method, noise, number of answers and user")
worst = dict.fromkeys(range(1, 7), 0)
options = dict(db.execute("SELECT method_id, options FROM calibration_method"))
for (p, n, m, u), predictions in said.items():
    if m == 1:
        want = [.5] * PREDICTIONS
    else:
        db.execute("DELETE FROM told")
        db.executemany("INSERT INTO told VALUES (?, ?, ?)", sum(history[p, u][:n], []))
        model, = db.execute("SELECT adapt_user_choices(choice_set, features, feedback, ?, ?) FROM told", (options[m], prior[p] if m == 6 else None)).fetchone()
        if m == 2:
            w = np.frombuffer(model)
            want = [1 / (1 + np.exp(-(np.frombuffer(a) - np.frombuffer(b)) @ w)) for a, b, _ in pairs[p, u]]
        else:
            want = [db.execute("SELECT preference_probability(?, ?, ?)", (model, a, b)).fetchone()[0] for a, b, _ in pairs[p, u]]
    worst[m] = max(worst[m], np.abs(np.array([q for _, q in predictions]) - want).max())
    wrong = [c for c, _ in predictions] != [c for _, _, c in pairs[p, u]]
    worst[m] += wrong
for m, error in worst.items():
    ok(error < (1e-6 if m < 4 else .05), f"{db.execute('SELECT method FROM calibration_method WHERE method_id = ?', (m,)).fetchone()[0]}: probabilities follow from the answers", error)

# ---- every figure ----
got = db.execute("""SELECT n.place, c.interactions, m.method_id, c.users, c.predictions, c.confidence, c.right, c.ece, c.brier, c.brier_error, c.log_loss, c.log_loss_error
                    FROM calibration c JOIN calibration_noise n USING (noise) JOIN calibration_method m USING (method)""").fetchall()
eq(len(got), 2 * len(SHOTS) * 6, "one row for method, noise and number of answers")
worst, count = 0, 0
for p, n, m, *have in got:
    y, q = [np.array([[c[i] for c in said[p, n, m, u]] for u in range(USERS)], float) for i in (0, 1)]
    c, right = np.maximum(q, 1 - q), np.where(q == .5, .5, (q > .5) == (y == 1))
    bin = np.minimum((20 * (c - .5)).astype(int), 9)
    ece = sum((bin == k).mean() * abs(c[bin == k].mean() - right[bin == k].mean()) for k in range(10) if (bin == k).any())
    brier, log = ((q - y)**2).mean(1), -np.log(np.maximum(np.where(y == 1, q, 1 - q), 1e-12)).mean(1)
    se = lambda x: x.std(ddof=1) / np.sqrt(USERS)
    want = [USERS, USERS * PREDICTIONS, c.mean(), right.mean(), ece, brier.mean(), se(brier), log.mean(), se(log)]
    worst = max(worst, np.abs(np.array(have) - want).max())
    for k, of, mean, share in db.execute("""SELECT bin, predictions, confidence, right FROM calibration_bin JOIN calibration_noise USING (noise)
                                           JOIN calibration_method USING (method) WHERE place = ? AND interactions = ? AND method_id = ?""", (p, n, m)):
        worst = max(worst, np.abs(np.array([of, mean, share]) - [(bin == k).sum(), c[bin == k].mean(), right[bin == k].mean()]).max())
        count += of
ok(worst < 1e-7 and count == len(got) * USERS * PREDICTIONS, "every figure is numpy's, bins too", worst)
both = [(c, q) for n in SHOTS for u in range(USERS) for c, q in said[1, n, 5, u]]
for row in (r for r in bins if r["noise"] == .5):
    of = [(max(q, 1 - q), .5 if q == .5 else (q > .5) == c) for c, q in both if min(int(20 * (max(q, 1 - q) - .5)), 9) == round(20 * (float(row["said"][:4]) - .5))]
    near([row["confidence"], row["right"]], list(np.mean(of, 0)), 3, f"noise .5, said {row['said']}")
eq(len(table), len(got), "and all are printed")

# ---- no leaks ----
flipped = database()
run(flipped, "sql/calibration.sql", after={"calibration_history": SWAP})
right = lambda c, m: c.execute("SELECT right FROM calibration WHERE method = ? AND noise = 0 AND interactions = 3", (m,)).fetchone()[0]
for method in ("Gaussian posterior", "posterior (default)", "posterior, learned prior"):
    ok(right(flipped, method) < .5 < right(db, method), f"{method}: swapped answers are worse than a coin", (right(flipped, method), right(db, method)))
ok(db.execute("SELECT model FROM calibration_prior").fetchall() == flipped.execute("SELECT model FROM calibration_prior").fetchall(), "and teach nobody else's prior")
done()
