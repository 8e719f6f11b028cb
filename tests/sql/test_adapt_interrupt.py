"""sqlite3_interrupt() ends an adaptation that would take long: one user's estimate, windows, bulk jobs on all threads."""
import json
import os
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
rng = np.random.RandomState(4)
DIM, PAIRS, USERS = 200, 1500, 3
db.execute("CREATE TABLE pairs(user_id INTEGER, turn INTEGER, chosen, rejected)")
db.execute("CREATE TABLE ratings(user_id INTEGER, turn INTEGER, features, rating)")
for user in range(USERS):
    for turn in range(PAIRS):
        x = rng.standard_normal((2, DIM))
        db.execute("INSERT INTO pairs VALUES (?, ?, ?, ?)", (user, turn, x[0].tobytes(), x[1].tobytes()))
        db.execute("INSERT INTO ratings VALUES (?, ?, ?, ?)", (user, turn, x[0].tobytes(), float(rng.randint(5))))
db.execute("CREATE VIEW many AS SELECT value FROM json_each('[1,2,3,4,5,6,7,8]')")
small = db.execute("SELECT adapt_user(chosen, rejected) FROM pairs WHERE turn < 2 AND user_id = 0").fetchone()

# each of these takes a while
LONG = {
    "posterior, dirichlet prior": "SELECT adapt_user(chosen, rejected) FROM pairs, many",
    "posterior, gaussian prior": "SELECT adapt_user(chosen, rejected, '{\"prior\":\"gaussian\"}') FROM pairs WHERE user_id = 0",
    "posterior of ratings": "SELECT adapt_user_ratings(features, rating) FROM ratings, many",
    "bradley_terry of ratings": "SELECT adapt_user_ratings(features, rating, '{\"method\":\"bradley_terry\"}') FROM ratings",
    "a window": "SELECT adapt_user(chosen, rejected) OVER (ORDER BY turn) FROM pairs",
    "persona_adapt": "SELECT * FROM persona_adapt('pairs')",
    "persona_adapt of one user": "SELECT * FROM persona_adapt('one')",
}
db.execute("CREATE VIEW one AS SELECT * FROM pairs WHERE user_id = 1")
for threads in (1, 4):
    db.execute("SELECT persona_config('threads', ?)", (threads,))
    for name, sql in LONG.items():
        if threads > 1 and "persona_adapt" not in sql:
            continue
        for delay in (0.3, 0.1, 0.03, 0.01, 0.003):  # a fast machine may be done before
            timer = threading.Timer(delay, db.interrupt)
            start = time.time()
            timer.start()
            try:
                db.execute(sql).fetchall()
                found = "no error"
            except sqlite3.OperationalError as e:
                found = str(e)
            timer.join()
            waited = time.time() - start - delay
            if found != "no error":
                break
        ok(found.endswith("interrupted"), f"{name} is interrupted, threads {threads}", f"{found} after {waited:.2f} s")
        print(f"# {1000 * waited:.0f} ms after sqlite3_interrupt()")
eq(db.execute("SELECT adapt_user(chosen, rejected) FROM pairs WHERE turn < 2 AND user_id = 0").fetchone(), small, "afterwards the connection answers as before")
done()
