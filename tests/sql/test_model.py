"""Models as SQL values: model_info, model_history, model_weights (rules M1, M2 of fn_model.c, T1 to T3 of vt_model.c)."""
import json
import sqlite3
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from modelcodec import encode, seal

db = connect()
NAMES = ["a", 'quo"te\\', "ta\tb", "häß"]
HISTORY = [-2.0, 0.5, -1.5, 1e-9]
good = encode("pooled", 4, [("weights", 1, 4, [1, -2, 0.1, 1e300]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 2, 2, HISTORY)], features=NAMES, options='{"method":"pooled","lambda":1}',
              seed=4294967295, flags=5, users=10, users_skipped=2, rows=2**40, rows_skipped=3, objective=-1.5, iterations=2)
plain = encode("pooled", 2, [("weights", 1, 2, [3, 4]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])], flags=2)

info = json.loads(db.execute("SELECT model_info(?)", (good,)).fetchone()[0])
eq(info, {"kind": "pooled", "version": 1, "dim": 4, "rank": 0, "type": "f64", "features": NAMES, "outputs": None, "options": {"method": "pooled", "lambda": 1},
          "seed": 4294967295, "users": 10, "users_skipped": 2, "rows": 2**40, "rows_skipped": 3, "objective": -1.5, "iterations": 2, "converged": True,
          "sections": [{"name": "weights", "rows": 1, "columns": 4}, {"name": "scale", "rows": 1, "columns": 1}, {"name": "user_lambda", "rows": 1, "columns": 1}, {"name": "history", "rows": 2, "columns": 2}],
          "bytes": len(good), "checksum": info["checksum"]}, "M1 model_info says all there is to say")
eq(int(info["checksum"], 16), int.from_bytes(good[24:32], "little"), "M1 and the checksum")
info = json.loads(db.execute("SELECT model_info(?)", (plain,)).fetchone()[0])
eq((info["objective"], info["converged"], info["type"], info["features"]), (None, False, "f32", None), "M1 what a model does not have is null")
eq(db.execute("SELECT model_info(NULL)").fetchone(), (None,), "M2 NULL gives NULL")
eq(db.execute("SELECT * FROM model_history(?)", (good,)).fetchall(), [(1, -2.0, 0.5), (2, -1.5, 1e-9)], "T1 model_history")
eq(db.execute("SELECT * FROM model_history(?)", (plain,)).fetchall(), [], "T1 without iterations it is empty")
eq(db.execute("SELECT * FROM model_weights(?)", (good,)).fetchall(), [(1, NAMES[0], 1.0, None), (2, NAMES[1], -2.0, None), (3, NAMES[2], 0.1, None), (4, NAMES[3], 1e300, None)], "T2 model_weights")
eq(db.execute("SELECT position, name, weight FROM model_weights(?)", (plain,)).fetchall(), [(1, None, 3.0), (2, None, 4.0)], "T2 features without names")
for name in ("model_history", "model_weights"):
    eq(db.execute(f"SELECT * FROM {name}(NULL)").fetchall(), [], f"T3 {name} of NULL is empty")

# ---- errors ----
even = "; a model (a BLOB) is required"
cases = [
    (b"", "a BLOB of 0 bytes is no model"),
    (b"x", "a BLOB of 1 bytes is no model"),
    (bytes(16), "a BLOB of 16 bytes is no model (its even length is that of a vector)"),
    (bytes(1001), "a BLOB of 1001 bytes is no model"),
    (good[:-8], f"a model of {len(good)} bytes, of which there are {len(good) - 8}: it was cut off or added to"),
    (good + b"\0", f"a model of {len(good)} bytes, of which there are {len(good) + 1}: it was cut off or added to"),
    (good[:-9] + b"\1" + good[-8:], "the model was altered: its checksum is wrong"),
    (encode("pooled", 2, [("weights", 1, 2, [3, 4]), ("history", 0, 2, [])], version=2), "a model of format version 2; this is personalllm 0.1.0, which reads versions up to 1"),
    (encode(42, 2, []), "the model contradicts itself: kind 42 is unknown"),
    (encode("pooled", 2, []), 'the model contradicts itself: section "weights" is not where a pooled model has it'),
    (encode("pooled", 3, [("weights", 1, 2, [3, 4]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])]), 'the model contradicts itself: section "weights" is 1 x 2 numbers, which does not go with dim 3 and rank 0'),
    (encode("pooled", 2, [("weights", 1, 2, [3, float("inf")]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])]), 'the model contradicts itself: section "weights" has infinity as number 1'),
    (encode("pooled", 2, [("weights", 1, 2, [3, 4]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])], options="{"), "the model contradicts itself: the options: not JSON: it is cut off or wrong at its end (1 bytes)"),
    (encode("pooled", 2, [("weights", 1, 2, [3, 4]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])], features=["a"]), "the model contradicts itself: not one name each"),
    (5, "an integer" + even), ("text", "text" + even), (1.5, "a real number" + even),
]
for value, message in cases:
    fails(db, "SELECT model_info(?)", f"model_info: argument 1 (model): {message}", args=(value,))
for name in ("model_history", "model_weights"):
    fails(db, f"SELECT * FROM {name}(?)", f"{name}: argument 1 (model): a BLOB of 16 bytes is no model (its even length is that of a vector)", args=(bytes(16),))
    fails(db, f"SELECT * FROM {name}(?)", f"{name}: argument 1 (model): the model was altered: its checksum is wrong", args=(good[:-9] + b"\1" + good[-8:],))

# ---- the connection's memory of models never hides an alteration ----
db.execute("CREATE TABLE m(i INTEGER PRIMARY KEY, b)")
many = [encode("pooled", 2, [("weights", 1, 2, [i, 4]), ("scale", 1, 1, [1]), ("user_lambda", 1, 1, [4]), ("history", 0, 2, [])]) for i in range(9)]
db.executemany("INSERT INTO m VALUES (?, ?)", list(enumerate(many)))
order = [random.Random(1).randrange(9) for _ in range(200)]
got = [db.execute("SELECT weight FROM model_weights((SELECT b FROM m WHERE i = ?))", (i,)).fetchone()[0] for i in order]
eq(got, [float(i) for i in order], "nine models in turn are never mixed up")
eq(db.execute("SELECT i, model_info(b) ->> '$.checksum' = printf('%016x', 0) FROM m").fetchall(), [(i, 0) for i in range(9)], "nor within a statement")
bad = bytearray(many[3])
bad[-12] ^= 1
db.execute("SELECT model_info(?)", (many[3],)).fetchone()
fails(db, "SELECT model_info(?)", "model_info: argument 1 (model): the model was altered: its checksum is wrong", "an altered copy of a model just seen is noticed", (bytes(bad),))
fails(db, "SELECT model_info(b) FROM (SELECT ? AS b UNION ALL SELECT ?)", "model_info: argument 1 (model): the model was altered: its checksum is wrong", "also in one statement", (many[3], bytes(bad)))

# ---- what one function makes of a model is nothing to another ----
db.execute("CREATE TABLE made AS SELECT adapt_user('[1, 2]', '[2, 0]', '{\"return\": \"model\"}') AS posterior, "
           "distill_rewards(column1, column1) AS student FROM (VALUES ('[1, 2]'), ('[2, 0]'), ('[0, 1]'))")
for order in ((0, 1), (1, 0)):
    turns = [("posterior", "SELECT preference_probability(posterior, '[1, 2]', '[2, 0]') > 0.5 FROM made"), ("student", "SELECT length(predict_rewards(student, '[1, 2]')) FROM made")]
    for i in order:
        model, sql = turns[i]
        first = db.execute(sql).fetchone()
        if model == "posterior":
            fails(db, "SELECT predict_rewards(posterior, '[1, 2]') FROM made", "predict_rewards: argument 1 (model): a model of kind posterior predicts no rewards; one from distill_rewards or distill_text is required", "a posterior in use predicts no rewards")
        else:
            fails(db, "SELECT preference_probability(student, '[1, 2]', '[2, 0]') FROM made", "preference_probability: argument 1 (posterior): a model of kind student; a posterior, as adapt_user gives with {\"return\": \"model\"}, is required", "a student in use is no posterior")
        eq(db.execute(sql).fetchone(), first, f"and the {model} still answers")
wide = encode("student", 1, [("weights", 300, 1, [1.0] * 300), ("intercept", 1, 300, [0.0] * 300), ("fit", 300, 4, [0.0] * 1200)], rank=300)
fails(db, "SELECT predict_rewards(?, '[1]')", "predict_rewards: argument 1 (model): the model contradicts itself: a student of 300 reward models; 1 to 256 are required", "a student of more reward models than there can be", (wide,))

rng = random.Random(2)
answered = 0
for _ in range(3000):
    b = bytearray(good)
    for _ in range(rng.randrange(1, 4)):
        b[rng.randrange(len(b))] = rng.randrange(256)
    b = seal(bytes(b)) if rng.random() < .7 else bytes(b)
    for sql in ("SELECT model_info(?)", "SELECT count(*) FROM model_weights(?)", "SELECT count(*) FROM model_history(?)"):
        try:
            db.execute(sql, (b,)).fetchall()
            answered += 1
        except sqlite3.OperationalError:
            pass
        except sqlite3.DatabaseError as e:
            if "model" not in str(e):
                raise
ok(answered > 100, f"9,000 statements on altered models: an answer ({answered}) or an error")
done()
