"""Learning across users when memory is short: right answers or "out of memory", and all of it comes back."""
import ctypes
import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

try:  # the library that Python's sqlite3 module uses, if it is this one, counts memory and can be told to run out of it
    lib = ctypes.CDLL("libsqlite3.so.0")
    lib.sqlite3_memory_used.restype = ctypes.c_int64
    lib.sqlite3_hard_heap_limit64.argtypes = [ctypes.c_int64]
    lib.sqlite3_hard_heap_limit64.restype = ctypes.c_int64
    before = lib.sqlite3_memory_used()
    db = connect()
    counted = lib.sqlite3_memory_used() > before
except OSError:
    counted = False
if not counted:
    skip("memory is counted", "Python's SQLite does not count its memory")
    done()

rng = np.random.RandomState(2)
db.execute("CREATE TABLE pairs(user_id INTEGER, chosen, rejected)")
db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(i % 8, rng.standard_normal(5).tobytes(), rng.standard_normal(5).tobytes()) for i in range(40)])
db.execute("CREATE TABLE models(method, model)")
statements = {}
for method, in db.execute("SELECT method FROM persona_methods() WHERE function = 'learn_users'").fetchall():
    options = json.dumps({"method": method, **({} if method == "neighbors" else {"iterations": 2})})
    learn = f"SELECT learn_users(user_id, chosen, rejected, '{options}') FROM pairs"
    db.execute(f"INSERT INTO models VALUES ('{method}', ({learn}))")
    model = f"(SELECT model FROM models WHERE method = '{method}')"
    statements[f"learn_users {method}"] = learn
    statements[f"adapt_user from {method}"] = f"SELECT adapt_user(chosen, rejected, {model}) FROM pairs WHERE user_id = 1"
    statements[f"persona_adapt from {method}"] = f"SELECT * FROM persona_adapt('pairs', {model})"
    statements[f"model_info of {method}"] = f"SELECT model_info({model})"
statements["model_weights"] = "SELECT * FROM model_weights((SELECT model FROM models LIMIT 1))"
statements["model_history"] = "SELECT * FROM model_history((SELECT model FROM models LIMIT 1))"
db.execute("SELECT persona_config('threads', 2)")
for name, sql in statements.items():
    want = db.execute(sql).fetchall()
    for _ in range(5):  # the models that the connection keeps are these five
        for model, in db.execute("SELECT model FROM models LIMIT 4"):
            db.execute("SELECT model_info(?)", (model,)).fetchall()
    db.execute(sql).fetchall()
    db.execute("PRAGMA shrink_memory")
    start = lib.sqlite3_memory_used()
    short = wrong = 0
    limit, step, finished = start, 256, False
    while not finished and limit < start + 2**31:
        lib.sqlite3_hard_heap_limit64(limit)
        try:
            got = db.execute(sql).fetchall()
            finished = True
            wrong += got != want
        except MemoryError:
            short += 1
        except sqlite3.OperationalError as e:
            short += 1
            wrong += "out of memory" not in str(e)
        finally:
            lib.sqlite3_hard_heap_limit64(0)
        limit += step
        step += step // 16
    ok(finished and wrong == 0, f"{name}: right, or out of memory ({short} times)", f"{wrong} otherwise")
    db.execute(sql).fetchall()
    db.execute("PRAGMA shrink_memory")
    grown = lib.sqlite3_memory_used() - start
    ok(abs(grown) < 4096, f"{name}: all memory is given back", f"{grown} bytes kept")

# exactly: what many learners, errors and abandoned statements leave behind is nothing
db.execute("CREATE TABLE bad AS SELECT 1 user_id, '[1,2]' chosen, '[2,1]' rejected UNION ALL SELECT 1, '[1]', '[2]'")
for name, sql in {
    "many models": "SELECT user_id % 4, learn_users(user_id, chosen, rejected, '{\"method\":\"pooled\"}') FROM pairs GROUP BY 1",
    "errors": "SELECT learn_users(user_id, chosen, rejected) FROM bad",
    "errors of the method": "SELECT learn_users(user_id, chosen, chosen) FROM pairs",
    "abandoned statements": "SELECT user_id, learn_users(user_id, chosen, rejected, '{\"method\":\"neighbors\"}') FROM pairs GROUP BY user_id",
    "models of every kind": "SELECT m.method, adapt_user(chosen, rejected, model) FROM models m, pairs GROUP BY m.method",
}.items():
    used = []
    for i in range(60):
        cursor = db.cursor()
        try:
            cursor.execute(sql).fetchone()
        except sqlite3.OperationalError:
            pass
        cursor.close()
        if i >= 30:
            used.append(lib.sqlite3_memory_used())
    ok(used[-1] <= used[0], f"{name} leave nothing behind", f"{used[-1] - used[0]} bytes in 30 runs")
done()
