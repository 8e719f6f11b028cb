"""persona_evaluate block by block: helper threads judge one block of users while the rows of the one before are taken."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from bulkdata import *

BLOCK = 1024  # BLOCK_USERS of vt_evaluate.c
USERS = 4 * BLOCK + 3
RUN = "SELECT user_id, top1, pair_accuracy, all_pairs_accuracy, reward, best_reward, random_reward, regret FROM persona_evaluate"


def open_db(threads):
    db = connect()
    db.execute("SELECT persona_config('threads', ?)", (threads,))
    data.load(db)
    for table, w in (("truth", truth), ("estimate", estimate)):
        db.execute(f"CREATE TABLE {table}(user_id INTEGER PRIMARY KEY, weights)")
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(i, x.tobytes()) for i, x in enumerate(w)])
    return db


def begins(rows, at):
    """Are these the rows of the blocks before user `at`?  Python's module has lost the last one where the next one fails."""
    n = at // BLOCK * BLOCK
    return rows == want[:max(n - 1, 0)] or rows == want[:n]


def scan(db, truth="truth", estimate="estimate"):
    """What a scan gives until it ends or fails, and its message."""
    rows, message = [], ""
    try:
        for row in db.execute(f"{RUN}(?, ?, NULL, '{{\"features\":\"rewards\"}}')", (truth, estimate)):
            rows.append(row)
    except sqlite3.Error as e:
        message = str(e)
    return rows, message


data = synthetic()
rng = np.random.RandomState(5)
truth = rng.dirichlet([.3] * 4, USERS)
estimate = .6 * truth + .4 * rng.dirichlet([.3] * 4, USERS)
estimate[::7] = rng.randint(-1, 2, estimate[::7].shape)  # ties
want = None
for threads in (1, 2, 8):
    db = open_db(threads)
    name = f"{threads} threads"
    rows, message = scan(db)
    want = want or rows
    eq((len(rows), message, rows == want), (USERS, "", True), f"{name}: the same bits")
    for n in (1, 15, 17, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK):
        db.execute(f"CREATE TEMP VIEW few AS SELECT * FROM truth WHERE user_id < {n}")
        db.execute(f"CREATE TEMP VIEW guess AS SELECT * FROM estimate WHERE user_id < {n}")
        eq(scan(db, "few", "guess") == (want[:n], ""), True, f"{name}, {n} users: the same bits")
        db.execute("DROP VIEW few")
        db.execute("DROP VIEW guess")

    # scans that are given up, and others beside them
    one, two = (db.execute(f"{RUN}('truth', 'estimate', NULL)") for _ in range(2))
    eq([(one.fetchone(), two.fetchone()) for _ in range(2 * BLOCK + 1)] == [(r, r) for r in want[:2 * BLOCK + 1]], True, f"{name}: two scans at once")
    one.close()
    eq(two.fetchall() == want[2 * BLOCK + 1:], True, f"{name}: one goes on when the other is given up")
    eq(db.execute(f"{RUN}('truth', 'estimate', NULL) LIMIT 1").fetchall() == want[:1], True, f"{name}: one row of a scan")

    # errors in the middle: the rows of the blocks before it, then the same message
    for table in ("truth", "estimate"):
        for at in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 5, USERS - 1):
            db.execute(f"UPDATE {table} SET weights = '[1]' WHERE user_id = ?", (at,))
            rows, message = scan(db)
            found = at - (table == "estimate")  # that is read one user ahead
            eq((begins(rows, found), message),
               (True, f"persona_evaluate: {table}: user_id {at}: weights: 1 numbers; 4 are required, as there are that many rewards"), f"{name}, {table}: an error at user {at}")
            good = (truth if table == "truth" else estimate)[at]
            db.execute(f"UPDATE {table} SET weights = ? WHERE user_id = ?", (good.tobytes(), at))
    db.execute("CREATE TEMP VIEW most AS SELECT * FROM truth WHERE user_id <> 3000")
    rows, message = scan(db, "most")
    eq((begins(rows, 3000), message), (True, "persona_evaluate: estimate: user_id 3000 is not in most"), f"{name}: a stranger in the third block")
    eq(scan(db) == (want, ""), True, f"{name}: and then all is well")

    # users that nobody judges, whole blocks of them
    db.execute(f"UPDATE estimate SET weights = NULL WHERE user_id BETWEEN {BLOCK - 10} AND {3 * BLOCK + 10}")
    rows, message = scan(db)
    eq(rows == [r[:1] + (None,) * 7 if BLOCK - 10 <= r[0] <= 3 * BLOCK + 10 else r for r in want], True, f"{name}: blocks without an estimate")
    db.execute(f"UPDATE truth SET weights = NULL WHERE user_id BETWEEN {BLOCK - 10} AND {3 * BLOCK + 10}")
    rows, message = scan(db)
    eq(rows == [r for r in want if not BLOCK - 10 <= r[0] <= 3 * BLOCK + 10], True, f"{name}: blocks without users to judge")
    skips = [n for n, in db.execute("SELECT DISTINCT skipped FROM persona_evaluate('truth', 'estimate', NULL)")]
    eq([n - skips[0] for n in skips], [0, 2 * BLOCK + 11], f"{name}: skipped counts those in the blocks so far")

    # closed with a block on its way
    begun = db.execute(f"{RUN}('estimate', 'estimate', NULL)")
    eq(begun.fetchone()[:2], (0, 1.0), f"{name}: a scan begun")
    begun.close()
    db.close()

# interrupts: this would take minutes
db = open_db(2)
db.execute("CREATE TABLE many(user_id INTEGER PRIMARY KEY, weights)")
db.execute(f"INSERT INTO many SELECT i.user_id * {USERS} + t.user_id, t.weights FROM truth t, truth i WHERE i.user_id < 400")
message = interrupted(db, "SELECT count(top1) FROM persona_evaluate('many', 'many', NULL)", delays=(0.3, 0.1, 0.03))
ok(message.endswith("interrupted"), "sqlite3_interrupt() ends a scan", message)
eq(scan(db) == (want, ""), True, "and the next one is whole")
done()
