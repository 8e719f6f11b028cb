"""persona_neighbors against numpy brute force, and its rules R1..R6 (vt_neighbors.c)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

rng = np.random.RandomState(5)
db = connect()
C, Q, D, K = 700, 90, 48, 7
cand = rng.standard_normal((C, D)).astype(np.float32)
cand[100:110] = cand[99]  # equal candidates: exact ties
query = rng.standard_normal((Q, D)).astype(np.float32)
query[5] = cand[99]
ids = rng.permutation(10 * C)[:C]
part = [["a", "b", 3, None][i % 4] for i in range(C)]
db.execute("CREATE TABLE c(id, embedding, part)")
db.executemany("INSERT INTO c VALUES (?,?,?)", [(int(i), e.tobytes(), p) for i, e, p in zip(ids, cand, part)])
db.execute("CREATE VIEW flat AS SELECT id, embedding FROM c")
db.execute("CREATE TABLE q(id, embedding)")
db.executemany("INSERT INTO q VALUES (?,?)", [(i, e.tobytes()) for i, e in enumerate(query)])
db.execute("CREATE TABLE qp AS SELECT id, embedding, CASE id % 5 WHEN 0 THEN 'a' WHEN 1 THEN 'b' WHEN 2 THEN 3 WHEN 3 THEN 'none' END AS part FROM q")

similarity = (query.astype(float) @ cand.astype(float).T) / (
    np.linalg.norm(query.astype(float), axis=1)[:, None] * np.linalg.norm(cand.astype(float), axis=1)[None])


def best(q, rows, k, key=lambda c: ids[c]):
    rows = sorted(rows, key=lambda c: (-round(similarity[q, c], 12), key(c)))
    return [(q, r + 1, int(ids[c])) for r, c in enumerate(rows[:k])]


def got(sql, *args):
    return [r[:3] for r in db.execute(sql, args)]


want = [row for q in range(Q) for row in best(q, range(C), K)]
eq(got("SELECT * FROM persona_neighbors('flat', 'q', ?)", K), want, "the k most similar, ties by id")
close([r[3] for r in db.execute("SELECT * FROM persona_neighbors('flat', 'q', ?)", (K,))],
      [similarity[q, list(ids).index(i)] for q, _, i in want], 1e-12, "similarities equal numpy's")
first = db.execute("SELECT * FROM persona_neighbors('flat', 'q', ?)", (K,)).fetchall()
for threads in (1, 2, 5):
    db.execute("SELECT persona_config('threads', ?)", (threads,)).fetchall()
    eq(db.execute("SELECT * FROM persona_neighbors('flat', 'q', ?)", (K,)).fetchall(), first, f"R6 {threads} threads, equal bits")

order = {None: 0, 3: 1, "a": 2, "b": 3}
full = lambda c: (order[part[c]], ids[c])
group = lambda q: [None, None, None, None, None][0] if q % 5 == 4 else ["a", "b", 3, "none"][q % 5]
want = []
for p in (None, 3, "a", "b", "none"):
    for q in (q for q in range(Q) if group(q) == p):
        want += best(q, [c for c in range(C) if p is None or part[c] == p], K, full)
eq(got("SELECT * FROM persona_neighbors('c', 'qp', ?)", K), want, "R2 parts restrict candidates before the top-k; NULL sees all")
db.execute("CREATE TABLE self AS SELECT id, embedding FROM flat ORDER BY id LIMIT 50")
eq(sorted(r[0] for r in got("SELECT * FROM persona_neighbors('self', 'self', 1)")), [r[0] for r in db.execute("SELECT id FROM self ORDER BY id")], "everything is nearest to something")
eq(db.execute("SELECT count(*) FROM persona_neighbors('self','self',50,'{\"exclude_same_id\":true}') WHERE id = query_id").fetchone()[0], 0, "R4 exclude_same_id")
eq(db.execute("SELECT count(*) FROM persona_neighbors('self','self',60,'{\"exclude_same_id\":true}')").fetchone()[0], 50 * 49, "R5 fewer rows where there are fewer candidates")
db.execute("CREATE TABLE holes AS SELECT id, CASE WHEN id % 2 THEN embedding END AS embedding FROM q")
eq(db.execute("SELECT DISTINCT skipped FROM persona_neighbors('flat','holes',1)").fetchall()[-1][0], Q // 2, "R3 NULL embeddings are skipped and counted")
db.execute("CREATE TABLE none(id, embedding)")
eq(got("SELECT * FROM persona_neighbors('none','q',1)"), [], "no candidates, no rows")
eq(got("SELECT * FROM persona_neighbors('q','none',1)"), [], "no queries, no rows")
db.execute("CREATE TABLE zero AS SELECT 1 AS id, '[0,0]' AS embedding UNION ALL SELECT 2, '[1,0]'")
eq(db.execute("SELECT id, similarity FROM persona_neighbors('zero','zero',2) WHERE query_id = 1").fetchall(), [(1, 0.0), (2, 0.0)], "R5 a zero vector has similarity 0")
eq(db.execute("SELECT id FROM persona_neighbors('zero','zero',1) WHERE query_id = 2").fetchall(), [(2,)], "JSON text is accepted")
many = [r[:3] for r in db.execute("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT query_id, rank, id FROM n, persona_neighbors('flat', 'q', n.i)")]
eq(len(many), Q * 6, "arguments may come from a join")

fails(db, "SELECT * FROM persona_neighbors('c','q')", "persona_neighbors: argument 3 (k) is missing; usage: persona_neighbors(candidates, queries, k [, options])")
fails(db, "SELECT * FROM persona_neighbors('nope','q',3)", "persona_neighbors: argument 1 (candidates): no such table: nope")
fails(db, "SELECT * FROM persona_neighbors('c','q; DROP TABLE q',3)", 'persona_neighbors: argument 2 (queries): "q; DROP TABLE q" is no table name; an SQL identifier such as users, "my users" or aux.users is required')
fails(db, "SELECT * FROM persona_neighbors('c',NULL,3)", "persona_neighbors: argument 2 (queries): NULL; a table name is required")
for k in ("0", "-1", "1.5", "'x'", "NULL", "65537"):
    fails(db, f"SELECT * FROM persona_neighbors('c','q',{k})", "persona_neighbors: argument 3 (k): a whole number from 1 to 65536 is required", f"k = {k}")
fails(db, "SELECT * FROM persona_neighbors('c','q',1,'{\"metirc\":1}')", 'persona_neighbors: unknown option "metirc"; known options: exclude_same_id, type')
fails(db, "SELECT * FROM persona_neighbors('flat','qp',1)", "persona_neighbors: qp has a column part, but flat has none to restrict by")
fails(db, "SELECT * FROM persona_neighbors('zero','q',1)", "persona_neighbors: q has embeddings of 48 numbers, the candidates of 2")
db.execute("CREATE TABLE bad AS SELECT 1 AS id, '[1,2]' AS embedding UNION ALL SELECT 2, '[1]'")
fails(db, "SELECT * FROM persona_neighbors('bad','zero',1)", "persona_neighbors: bad: id 2: embedding: 1 numbers where the others have 2")
fails(db, "SELECT * FROM persona_neighbors('zero','bad',1)", "persona_neighbors: bad: id 2: embedding: 1 numbers where the others have 2")
db.execute("CREATE TABLE twice AS SELECT 7 AS id, '[1,2]' AS embedding UNION ALL SELECT 7, '[1,3]'")
fails(db, "SELECT * FROM persona_neighbors('twice','zero',1)", "persona_neighbors: twice: id 7 stands twice")
db.execute("CREATE TABLE named AS SELECT 'x' AS id, '[1,2]' AS embedding")
fails(db, "SELECT * FROM persona_neighbors('named','zero',1)", "persona_neighbors: named: id is text; an integer is required")
fails(db, "SELECT * FROM persona_neighbors('sqlite_schema','zero',1)", "persona_neighbors: argument 1 (candidates): no such table: sqlite_schema")
db.execute("CREATE TABLE nan(id, embedding)")
db.execute("INSERT INTO nan VALUES (4, ?)", (np.array([1, np.nan], np.float32).tobytes(),))
fails(db, "SELECT * FROM persona_neighbors('nan','zero',1)", "persona_neighbors: nan: id 4: embedding: element 1 is NaN; a finite number is required")

# More candidates than one block holds: packed while the next block is read, answered while rows are given out.
many = rng.standard_normal((9000, 3)).astype(np.float32)
db.execute("CREATE TABLE many(id INTEGER PRIMARY KEY, embedding BLOB)")
db.executemany("INSERT INTO many VALUES (?,?)", [(i, e.tobytes()) for i, e in enumerate(many)])
unit = many.astype(float) / np.linalg.norm(many.astype(float), axis=1)[:, None]
asked = rng.standard_normal((300, 3)).astype(np.float32)
db.execute("CREATE TABLE asked AS SELECT id, embedding FROM many WHERE 0")
db.executemany("INSERT INTO asked VALUES (?,?)", [(i, e.tobytes()) for i, e in enumerate(asked)])
s = asked.astype(float) / np.linalg.norm(asked.astype(float), axis=1)[:, None] @ unit.T
want = np.argsort(-s, axis=1, kind="stable")[:, :4].ravel().tolist()
for threads in (1, 2, 7):
    db.execute("SELECT persona_config('threads', ?)", (threads,)).fetchall()
    eq([r[0] for r in db.execute("SELECT id FROM persona_neighbors('many', 'asked', 4)")], want, f"several blocks of candidates on {threads} threads")
    scan = db.execute("SELECT id FROM persona_neighbors('many', 'asked', 4)")
    scan.fetchone()
    scan.close()  # while helpers are at work
    db.execute("UPDATE many SET embedding = ? WHERE id = 8500", (np.array([1, np.inf, 0], np.float32).tobytes(),))
    fails(db, "SELECT * FROM persona_neighbors('many','asked',1)", "persona_neighbors: many: id 8500: embedding: element 1 is infinite; a finite number is required", "an error while a block is being packed")
    db.execute("UPDATE many SET embedding = ? WHERE id = 8500", (many[8500].tobytes(),))
done()
