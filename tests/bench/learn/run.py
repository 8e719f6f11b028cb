"""What do other users teach?  Learning across users on real data, held-out users and prompts, with standard errors.

Two questions, through SQL only (learn_users, learn_users_choices, persona_adapt); the picks are judged here with numpy.

  pairs    LoRe's protocol (arXiv 2504.14439) on embeddings: users of alpha .1; 47 best-against-worst pairs of train prompts
           for each seen user, 9 for each unseen one; pair accuracy of unseen users on every test prompt (best against worst).
           Labels come from normalised scores, not from the raw ones of that paper.
  choices  whole choice sets on reward scores: what a learned prior is worth at 1, 3 and 10 interactions.

Standard errors: over seeds of users and histories, paired between methods.

  tests/bench/learn/run.py [pairs|choices] [--data FOLDER] [--seen 200] [--unseen 100] [--seeds 3] [--first 0]
                          [--alpha .1] [--turns 47] [--shots 9] [--methods "a;b"]
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from tap import alpaca8, connect
import numpy as np

# (name, options of learn_users or None, options of adapt)
PAIRS = {
    "pooled for all": ({"method": "pooled"}, {"lambda": 1e9}),
    "own pairs alone, Bradley-Terry": (None, {"method": "bradley_terry"}),
    "own pairs alone, posterior": (None, {}),
    "sum": (None, {"method": "sum"}),
    "pooled, then Bradley-Terry around it": ({"method": "pooled"}, {}),
    "neighbors": ({"method": "neighbors"}, {}),
    "lore": ({"method": "lore"}, {}),
    "svd": ({"method": "svd"}, {}),
    "maml": ({"method": "maml"}, {}),
}
CHOICES = {
    "uniform": (None, {"method": "uniform"}),
    "posterior, default prior": (None, {}),
    "posterior, true alpha": (None, {"alpha": None}),
    "posterior, learned prior": ({"method": "prior"}, {}),
}


def load(folder):
    db = connect()
    for split in ("train", "test"):
        options = {"means": os.path.join(folder, "reward_models.json"), "embeddings": os.path.join(folder, f"embeddings.{split}.jsonl")}
        db.execute("SELECT persona_import(?, ?, ?)", (os.path.join(folder, split + ".jsonl"), split, json.dumps(options))).fetchone()
    return db


def cube(db, split, column):
    rows = db.execute(f"SELECT r.{column} FROM responses r JOIN prompts USING (prompt_id) WHERE split = ? ORDER BY prompt_id, position", (split,)).fetchall()
    x = np.array([np.frombuffer(r, np.float32 if column.endswith("embedding") else np.float64) for r, in rows], float)
    return x.reshape(-1, 8, x.shape[1])


def adapt(db, methods, name, alpha):
    """Weights of every user of table unseen, and the seconds of learning and adapting."""
    learn, options = methods[name]
    options = {k: alpha if v is None else v for k, v in options.items()}
    start, model = time.time(), None
    if learn:
        columns = "user_id, choice_set, features, feedback" if methods is CHOICES else "user_id, chosen, rejected"
        function = "learn_users_choices" if methods is CHOICES else "learn_users"
        model, = db.execute(f"SELECT {function}({columns}, ?) FROM seen", (json.dumps(dict(TYPE[methods is CHOICES], **learn)),)).fetchone()
    middle = time.time()
    if not learn:
        options.update(TYPE[methods is CHOICES])
    rows = db.execute("SELECT weights FROM persona_adapt('unseen', ?, ?) ORDER BY user_id", (model, json.dumps(options))).fetchall()
    return np.array([np.frombuffer(w) for w, in rows]), middle - start, time.time() - middle


TYPE = ({"type": "f32"}, {})


def histories(db, name, seed, users, alpha, turns, choices):
    """Table `name` of the feedback of new users; returns their weights."""
    db.executescript(f"""DROP TABLE IF EXISTS u; DROP TABLE IF EXISTS {name};
      CREATE VIRTUAL TABLE u USING persona_users(count={users}, alpha={alpha}, seed={seed}, generator=philox);
      CREATE TEMP TABLE h AS SELECT * FROM persona_interactions('u', 'train', {turns}, 'best_worst', {seed});""")
    if choices:
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM persona_choices('h')")
    else:
        db.execute(f"CREATE TABLE {name} AS SELECT user_id, c.embedding AS chosen, r.embedding AS rejected FROM h JOIN responses c ON c.response_id = chosen_id JOIN responses r ON r.response_id = rejected_id")
    w = np.array([np.frombuffer(w) for w, in db.execute("SELECT weights FROM u ORDER BY user_id")])
    db.execute("DROP TABLE h")
    return w


def report(results):
    names = list(results)
    first = np.array(results[names[0]])
    for name in names:
        r = np.array(results[name])
        se = lambda x: x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else float("nan")
        cells = "  ".join(f"{r[:, i].mean():.4f} +- {se(r[:, i]):.4f} ({(r - first)[:, i].mean():+.4f} +- {se((r - first)[:, i]):.4f})" for i in range(r.shape[1] - 2))
        print(f"{name:40} {cells}   learn {r[:, -2].mean():6.2f} s, adapt {r[:, -1].mean():5.2f} s", flush=True)


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("which", nargs="?", default="pairs", choices=["pairs", "choices"])
    arg.add_argument("--data", default=alpaca8())
    arg.add_argument("--seen", type=int, default=200)
    arg.add_argument("--unseen", type=int, default=100)
    arg.add_argument("--alpha", type=float, default=None)
    arg.add_argument("--turns", type=int, default=None)
    arg.add_argument("--shots", default=None)
    arg.add_argument("--seeds", type=int, default=3)
    arg.add_argument("--first", type=int, default=0)
    arg.add_argument("--methods", default=None)
    arg = arg.parse_args()
    if not arg.data:
        sys.exit("no data: give --data FOLDER")
    db = load(arg.data)
    methods = PAIRS if arg.which == "pairs" else CHOICES
    alpha = arg.alpha or (.1 if arg.which == "pairs" else .05)
    turns = arg.turns or (47 if arg.which == "pairs" else 20)
    shots = [int(n) for n in (arg.shots or ("9" if arg.which == "pairs" else "1,3,10")).split(",")]
    rewards = cube(db, "test", "rewards")
    features = rewards if methods is CHOICES else cube(db, "test", "embedding")
    for n in shots:
        results = {}
        print(f"{arg.which}: {arg.seen} seen users x {turns}, {arg.unseen} unseen x {n}, alpha {alpha}, {arg.seeds} seeds; mean +- se (difference to the first row)")
        for seed in range(arg.first, arg.first + arg.seeds):
            histories(db, "seen", 1000 + seed, arg.seen, alpha, turns, methods is CHOICES)
            truth = np.einsum("ub,prb->upr", histories(db, "unseen", 2000 + seed, arg.unseen, alpha, n, methods is CHOICES), rewards)
            best, worst = truth.argmax(2)[..., None], truth.argmin(2)[..., None]
            for name in arg.methods.split(";") if arg.methods else methods:
                w, *seconds = adapt(db, methods, name, alpha)
                e = np.einsum("ub,prb->upr", w, features)
                accuracy = (np.take_along_axis(e, best, 2) > np.take_along_axis(e, worst, 2)).mean()
                pick = e.argmax(2)[..., None]
                random = truth.mean(2)
                share = (np.take_along_axis(truth, pick, 2)[..., 0] - random).sum() / (truth.max(2) - random).sum()
                results.setdefault(name, []).append([accuracy, (pick == best).mean(), share] + seconds)
        print(f"{'':40} pair accuracy, top-1, captured share")
        report(results)


main()
