"""How good is each estimator?  Few-shot adaptation on real data, with standard errors.

Histories from the train split, judged on every prompt of the test split, through SQL only: persona_users,
persona_interactions, persona_choices, persona_adapt.  The picks are then judged here with numpy (independently of
persona_evaluate, which must agree to 1e-9: the program refuses to print otherwise), because a standard error needs every
(user, prompt) cell: users and prompts are both resampled (two-way bootstrap), as all users share the prompts.

  tests/bench/adaptation/run.py [--data FOLDER] [--users 1000] [--seeds 1]
                                [--alphas .05,1] [--noise 0,.1,.3] [--shots 1,3,5,10] [--bootstrap 200]

FOLDER holds train.jsonl, test.jsonl and reward_models.json in the published schema (default: alpaca8, if present).
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from tap import alpaca8, connect
import numpy as np

METHODS = [
    ("uniform weights", {"method": "uniform"}),
    ("sum of chosen - rejected", {"method": "sum"}),
    ("L2 Bradley-Terry, the pair", {"method": "bradley_terry"}),
    ("L2 Bradley-Terry, implied pairs", {"method": "bradley_terry", "pairs": "implied"}),
    ("posterior, Bradley-Terry on the pair", "pair"),
    ("posterior, sharpness 20", {"sharpness": 20}),
    ("posterior, hard constraints", {"sharpness": 1000000}),
    ("posterior, sharpness inferred (default)", {}),
]


def load(folder):
    db = connect()
    means = os.path.join(folder, "reward_models.json")
    options = json.dumps({"means": means if os.path.exists(means) else "fitted"})
    for split in ("train", "test"):
        db.execute("SELECT persona_import(?, ?, ?)", (os.path.join(folder, split + ".jsonl"), split, options)).fetchone()
    return db


def matrix(rows, dim):
    return np.array([np.frombuffer(w) if w is not None else np.full(dim, np.nan) for (w,) in rows])


def judge(truth, estimate, rewards, first):
    """Per (user, prompt): is the pick the user's best, and what it, the best and a random response are worth."""
    u, e = truth @ rewards.T, estimate @ rewards.T
    top, gain, best = [], [], []
    for a, b in zip(first[:-1], first[1:]):
        pick, own = e[:, a:b].argmax(1), u[:, a:b].argmax(1)
        rows, random = np.arange(len(u)), u[:, a:b].mean(1)
        top.append(pick == own)
        gain.append(u[:, a:b][rows, pick] - random)
        best.append(u[:, a:b][rows, own] - random)
    return np.array(top).T.astype(float), np.array(gain).T, np.array(best).T


def bootstrap(top, gain, best, rng, times):
    users, prompts = top.shape
    a = rng.multinomial(users, np.full(users, 1 / users), times).astype(float)
    b = rng.multinomial(prompts, np.full(prompts, 1 / prompts), times).astype(float)
    mean = np.einsum("ij,ij->i", a @ top, b) / (users * prompts)
    share = np.einsum("ij,ij->i", a @ gain, b) / np.einsum("ij,ij->i", a @ best, b)
    return mean.std(ddof=1), share.std(ddof=1)


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--data", default=alpaca8())
    arg.add_argument("--users", type=int, default=1000)
    arg.add_argument("--seed", type=int, default=0)
    arg.add_argument("--alphas", default=".05,1")
    arg.add_argument("--noise", default="0,.1,.3")
    arg.add_argument("--shots", default="1,3,5,10")
    arg.add_argument("--bootstrap", type=int, default=200)
    arg = arg.parse_args()
    if not arg.data:
        sys.exit("no data: name a folder with --data")
    shots = [int(n) for n in arg.shots.split(",")]
    db = load(arg.data)
    (raw,) = db.execute("SELECT raw_rewards FROM responses LIMIT 1").fetchone()
    dim = len(raw) // 8
    rows = db.execute("SELECT r.prompt_id, r.rewards FROM responses r JOIN prompts p USING (prompt_id) "
                      "WHERE p.split = 'test' ORDER BY r.prompt_id, r.position").fetchall()
    prompt = np.array([r[0] for r in rows])
    rewards = np.array([np.frombuffer(r[1]) for r in rows])
    first = np.append(np.flatnonzero(np.append(True, prompt[1:] != prompt[:-1])), len(prompt))
    rng = np.random.RandomState(12345)
    for alpha in (float(a) for a in arg.alphas.split(",")):
        db.execute("DROP TABLE IF EXISTS users")
        db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={arg.users}, alpha={alpha}, seed={arg.seed})")
        truth = matrix(db.execute("SELECT weights FROM users ORDER BY user_id"), dim)
        for noise in (float(n) for n in arg.noise.split(",")):
            db.execute("DROP TABLE IF EXISTS history")
            db.execute("CREATE TEMP TABLE history AS SELECT * FROM persona_interactions('users', 'train', ?, 'best_worst', ?, ?)",
                       (max(shots), arg.seed + 1, json.dumps({"noise": noise})))
            db.execute("DROP TABLE IF EXISTS shown")
            db.execute("CREATE TEMP TABLE shown AS SELECT * FROM persona_choices('history')")
            print(f"\nalpha {alpha:g}, noise {noise:g}: top-1 / captured share (standard errors over users and prompts)\n")
            print("| method | " + " | ".join(str(n) for n in shots) + " | us per adaptation |")
            print("|---" * (len(shots) + 2) + "|")
            for name, options in METHODS:
                cells, spent = [], 0.0
                for n in shots:
                    source = "SELECT user_id, choice_set, features, feedback FROM shown WHERE choice_set <= %d" % n
                    if options == "pair":
                        source = ("SELECT user_id, c.rewards AS chosen, r.rewards AS rejected FROM history "
                                  "JOIN responses c ON c.response_id = chosen_id JOIN responses r ON r.response_id = rejected_id "
                                  "WHERE turn <= %d" % n)
                    db.execute("DROP TABLE IF EXISTS evidence")
                    db.execute("CREATE TEMP TABLE evidence AS " + source)
                    db.execute("DROP TABLE IF EXISTS estimate")
                    start = time.perf_counter()
                    db.execute("CREATE TEMP TABLE estimate AS SELECT user_id, weights FROM persona_adapt('evidence', NULL, ?)",
                               (json.dumps({} if options == "pair" else options),))
                    spent += time.perf_counter() - start
                    weights = matrix(db.execute("SELECT weights FROM estimate ORDER BY user_id"), dim)
                    top, gain, best = judge(truth, weights, rewards, first)
                    check = db.execute("SELECT avg(top1), sum(reward - random_reward) / sum(best_reward - random_reward) "
                                       "FROM persona_evaluate('users', 'estimate', 'test')").fetchone()
                    mine = (top.mean(), gain.sum() / best.sum())
                    if not np.allclose(check, mine, rtol=0, atol=1e-9):
                        sys.exit(f"persona_evaluate says {check}, numpy {mine}: refusing to print")
                    errors = bootstrap(top, gain, best, rng, arg.bootstrap)
                    cells.append("%.3f / %.3f (%.3f / %.3f)" % (*mine, *errors))
                print(f"| {name} | " + " | ".join(cells) + f" | {1e6 * spent / (arg.users * len(shots)):.0f} |", flush=True)


main()
