"""The whole way on real data: history, adaptation, evaluation in SQL against numpy, user by user."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

FOLDER = alpaca8()
if not FOLDER:
    skip("alpaca8: histories, adaptation and evaluation against numpy", "the data set is not there")
    done()
USERS, SEED = 100, 0
scales = json.load(open(f"{FOLDER}/reward_models.json"))
NAMES = sorted(scales)
MEAN, SD = np.array([[scales[n][k] for n in NAMES] for k in ("mean", "sd")])

db = connect()
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
db.execute(f"CREATE VIRTUAL TABLE responses USING persona_responses({', '.join(NAMES)})")
db.executemany("UPDATE reward_models SET mean = ?, sd = ? WHERE name = ?", [(scales[n]["mean"], scales[n]["sd"], n) for n in NAMES])
scores, ids = {"train": {}, "test": {}}, {"train": [], "test": []}
db.execute("BEGIN")
for split in scores:
    for line in open(f"{FOLDER}/{split}.jsonl"):
        row = json.loads(line)
        p = row["prompt_id"]
        raw = np.array([[row[f"response_{i}_{n}"] for n in NAMES] for i in range(1, 9)])
        db.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (?, ?, ?)", (p, split, row["prompt"]))
        db.executemany("INSERT INTO responses(response_id, prompt_id, position, raw_rewards) VALUES (?, ?, ?, ?)", [(p * 8 + i, p, i + 1, raw[i].tobytes()) for i in range(8)])
        scores[split][p] = (raw - MEAN) / SD
db.execute("COMMIT")


def utility(w, x):
    """The canonical sum, position by position; w [users, dim] or [dim], x [..., dim]."""
    u = np.multiply.outer(w[..., 0], x[..., 0])
    for b in range(1, x.shape[-1]):
        u = u + np.multiply.outer(w[..., b], x[..., b])
    return u


def judge(truth, estimate):
    """Top-1 share and captured share over the test prompts; the best of the stored responses is the bound."""
    x = np.array([scores["test"][p] for p in sorted(scores["test"])])
    t, e = utility(truth, x), utility(estimate, x)
    pick = e.argmax(-1)
    got = np.take_along_axis(t, pick[..., None], -1)[..., 0]
    random = t.mean(-1)
    return (pick == t.argmax(-1)).mean(), (got - random).sum() / (t.max(-1) - random).sum()


def unit(w):
    return w / np.abs(w).sum()


METHODS = [m for m, in db.execute("SELECT method FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1) AND function = 'adapt_user_choices'")]
MEASURED = {}
for alpha in (0.05, 1):
    db.execute("DROP TABLE IF EXISTS users")
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={USERS}, alpha={alpha}, seed={SEED})")
    truth = np.random.RandomState(SEED).dirichlet([alpha] * len(NAMES), size=USERS)
    W = np.array([np.frombuffer(w) for w, in db.execute("SELECT weights FROM users ORDER BY user_id")])
    close(W, truth, 1e-12, f"alpha {alpha}: users are numpy's")
    db.execute("DROP TABLE IF EXISTS history")
    db.execute("CREATE TABLE history AS SELECT * FROM persona_interactions('users', 'train', 10, 'best_worst', 5)")
    turns = db.execute("SELECT user_id, prompt_id, chosen_id % 8, rejected_id % 8 FROM history ORDER BY user_id, turn").fetchall()
    seen = [[(p, c, r) for v, p, c, r in turns if v == u] for u in range(USERS)]
    good = all((c, r) == (int(utility(W[u], scores["train"][p]).argmax()), int(utility(W[u], scores["train"][p]).argmin())) for u in range(USERS) for p, c, r in seen[u])
    ok(good and all(len(h) == 10 for h in seen), f"alpha {alpha}: histories of 10 turns, chosen and rejected are numpy's best and worst")
    for n in (1, 3, 5, 10):
        db.execute("DROP TABLE IF EXISTS feedback")
        db.execute("DROP VIEW IF EXISTS first")
        db.execute(f"CREATE VIEW first AS SELECT * FROM history WHERE turn <= {n}")
        db.execute("CREATE TABLE feedback AS SELECT * FROM persona_choices('first')")
        eq(db.execute("SELECT count(*) FROM feedback").fetchone()[0], USERS * n * 8, f"alpha {alpha}, {n}: all that was shown")
        x = np.array([[scores["train"][p] for p, _, _ in seen[u][:n]] for u in range(USERS)])
        for method in METHODS:
            db.execute("DROP TABLE IF EXISTS adapted")
            db.execute("CREATE TABLE adapted AS SELECT * FROM persona_adapt('feedback', ?)", (json.dumps({"method": method}),))
            few = db.execute("SELECT user_id, adapt_user_choices(choice_set, features, feedback, ?) FROM feedback WHERE user_id < 10 GROUP BY user_id", (json.dumps({"method": method}),)).fetchall()
            eq(few, db.execute("SELECT * FROM adapted WHERE user_id < 10").fetchall(), f"alpha {alpha}, {n}, {method}: persona_adapt is the aggregate, to the bit")
            E = np.array([np.frombuffer(w) for w, in db.execute("SELECT weights FROM adapted ORDER BY user_id")])
            if method == "sum":
                want = [unit(sum(scores["train"][p][c] - scores["train"][p][r] for p, c, r in seen[u][:n])) for u in range(USERS)]
                close(E, want, 1e-9, f"alpha {alpha}, {n}: sum is numpy's", absolute=1e-12)
            got = db.execute("SELECT avg(top1), sum(reward - random_reward) / sum(best_reward - random_reward) FROM persona_evaluate('users', 'adapted', 'test')").fetchone()
            close(got, judge(W, E), 1e-9, f"alpha {alpha}, {n}, {method}: top-1 {got[0]:.3f} and captured share {got[1]:.3f} are numpy's")
            MEASURED[alpha, method, n] = got
    ok(all(MEASURED[alpha, m, 10][1] > MEASURED[alpha, m, 1][1] for m in METHODS if m != "uniform"), f"alpha {alpha}: ten interactions teach more than one, by every method", MEASURED)
done()
