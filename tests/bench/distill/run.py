"""Students: how good and how fast.  Not part of `make test`.

  /usr/bin/python3 tests/bench/distill/run.py            sql/distillation.sql on alpaca8, for populations of alpha .01, .05, .1
  /usr/bin/python3 tests/bench/distill/run.py stream     10,402 x 8 rows of 1,024 features: time and peak memory
"""
import os
import resource
import sqlite3
import sys
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, TESTS)
from tap import ROOT, alpaca8, connect, load


def table(rows, *head):
    width = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    for r in [head, *rows]:
        print("  " + "  ".join(str(c).ljust(w) for c, w in zip(r, width)).rstrip())


def quality():
    folder = alpaca8()
    if folder is None:
        sys.exit("shared/data/alpaca8 is not there")
    db = connect()
    load(db, folder)
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.1, seed=0)")
    with open(os.path.join(ROOT, "sql/distillation.sql"), encoding="utf-8") as f:
        statements = [s for s in statement_list(f.read())]
    selects = []
    for sql in statements:
        start = time.time()
        cursor = db.execute(sql)
        if cursor.description:
            selects.append(sql)
            print()
            table(cursor.fetchall(), *[c[0] for c in cursor.description])
        if "distill_text" in sql:
            print(f"three students of 4,000 responses learned in {time.time() - start:.1f} s")
        if "predict_rewards" in sql:
            print(f"1,000 responses predicted by three students in {time.time() - start:.2f} s")
    print("(alpha .1)")
    for alpha in (0.01, 0.05):
        db.execute("DROP TABLE users")
        db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha={alpha}, seed=0)")
        cursor = db.execute(selects[-1])
        print(f"\nalpha {alpha}")
        table(cursor.fetchall(), *[c[0] for c in cursor.description])


def statement_list(text):
    statement = ""
    for line in text.splitlines():
        if line.startswith("--"):
            continue
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def stream():
    import numpy as np
    db = connect()
    rng = np.random.RandomState(0)
    teacher = rng.standard_normal((1024, 10)) / 32
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    last = {}

    def features(i):
        x = last["x"] = rng.standard_normal(1024).astype("<f4")
        return x.tobytes()

    def rewards(i):  # evaluated after features(i)
        return (last["x"].astype(float) @ teacher).tobytes()

    db.create_function("features", 1, features)
    db.create_function("rewards", 1, rewards)
    rows = 10402 * 8
    sql = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}) SELECT %s FROM n"
    start = time.time()
    db.execute(sql % "sum(length(features(i)) + length(rewards(i)))").fetchone()
    idle = time.time() - start
    start = time.time()
    learn = sql % "distill_rewards(features(i), rewards(i), i / 8, '{\"type\":\"f32\"}')"
    model, r2 = db.execute(f"WITH m(model) AS ({learn}) "
                           "SELECT model, model_info(model) ->> '$.fit[0].r2_cv' FROM m").fetchone()
    print(f"{rows} rows of 1,024 features, 10 rewards: {time.time() - start:.1f} s, {idle:.1f} s of it making rows; peak memory "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before:.0f} MB above the start; R2 {r2:.6f}, a model of {len(model)} bytes")


stream() if sys.argv[1:] == ["stream"] else quality()
