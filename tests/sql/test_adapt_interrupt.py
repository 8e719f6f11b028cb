"""sqlite3_interrupt() ends an adaptation that would take long: one user's estimate, windows, bulk jobs on all threads."""
import os
import sys

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
        found = interrupted(db, sql)
        ok(found.endswith("interrupted"), f"{name} is interrupted, threads {threads}", found)
eq(db.execute("SELECT adapt_user(chosen, rejected) FROM pairs WHERE turn < 2 AND user_id = 0").fetchone(), small, "afterwards the connection answers as before")
done()
