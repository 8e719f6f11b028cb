"""Makes models.json, the golden bytes of every kind of model of users' tastes, from the feedback in golden().

Run it once for a new kind, never to make a failing test pass: format version 1 is read for ever.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import connect

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models.json")
OPTIONS = {
    "prior": {"iterations": 2, "seed": 3},
    "pooled": {"lambda": 2, "names": ["wit", "wärme", "\"brevity\""]},
    "neighbors": {"lambda": 0.5},
    "lore": {"rank": 2, "iterations": 3, "temperature": 10, "seed": 1},
    "svd": {"rank": 2, "iterations": 4, "penalty": 0.01, "seed": 2},
    "posterior": {"return": "model", "half_life": 3, "seed": 5, "alpha": 0.5},
    "classes": {"rank": 2, "iterations": 5, "lambda": 2, "seed": 6},
    "maml": {"rank": 2, "iterations": 4, "batch": 3, "rate": 0.1, "seed": 4},
}


def golden(db):
    """Pairs of five users in plain arithmetic, so that any machine has the same."""
    db.execute("CREATE TABLE golden(user_id, chosen, rejected)")
    for u in range(5):
        for t in range(4):
            x = [[((7 * u + 3 * t + 5 * i + 2 * s) * 13 % 31 - 15) / 8 for i in range(3)] for s in range(2)]
            w = [1, (u % 3 - 1) / 2, (u - 2) / 4]
            better = sum(a * b for a, b in zip(w, x[0])) >= sum(a * b for a, b in zip(w, x[1]))
            db.execute("INSERT INTO golden VALUES (?, ?, ?)", (u, json.dumps(x[not better]), json.dumps(x[better])))


def learn(db, kind):
    if kind == "posterior":
        return db.execute("SELECT adapt_user(chosen, rejected, ?) FROM golden WHERE user_id < 2", (json.dumps(OPTIONS[kind]),)).fetchone()[0]
    return db.execute("SELECT learn_users(user_id, chosen, rejected, ?) FROM golden", (json.dumps({"method": kind, **OPTIONS[kind]}),)).fetchone()[0]


if __name__ == "__main__":
    db = connect()
    golden(db)
    old = json.load(open(PATH)) if os.path.exists(PATH) else {}
    for kind in OPTIONS:
        if kind not in old:
            blob = learn(db, kind)
            old[kind] = {"info": json.loads(db.execute("SELECT model_info(?)", (blob,)).fetchone()[0]), "bytes": blob.hex()}
    json.dump(old, open(PATH, "w"), indent=1, ensure_ascii=False)
