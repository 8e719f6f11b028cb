"""J4: neighbours.  The 20 most similar of 10,000 candidates for each of 1,000 queries, 1,024 dimensions, cosine, f32."""
import numpy as np

from harness import data, peers
from harness.measure import Contender, Differs, Goal, Job

K = 20


def oracle(candidates, queries):
    """Candidates by similarity in f64: ids [queries][K] and similarities."""
    c, q = candidates.astype(float), queries.astype(float)
    s = (q @ c.T) / (np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(c, axis=1))
    ids = np.argsort(-s, axis=1, kind="stable")[:, :K]
    return ids, np.take_along_axis(s, ids, 1)


def same(want, tolerance):
    """The same neighbours in the same order, but that similarities within tolerance may change places."""
    ids, similarity = want

    def check(answer):
        answer = np.asarray(answer, float).reshape(ids.shape + (2,))
        got, s = answer[..., 0].astype(np.int64), answer[..., 1]
        if np.any(np.abs(s - similarity) > tolerance):
            raise Differs(f"similarities off by {np.max(np.abs(s - similarity)):.3g}")
        moved = got != ids
        wrong = [q for q in np.flatnonzero(moved.any(1)) if not np.allclose(similarity[q][moved[q]], s[q][moved[q]], atol=tolerance)]
        if wrong or (tolerance == 0 and moved.any()):
            raise Differs(f"other neighbours for {len(wrong)} queries")
        return f"f32: {int(moved.sum())} of {moved.size} near ties in another order" if moved.any() else None
    return check


def in_numpy(candidates, queries):
    """f32 throughout: a matrix product, argpartition, a sort of what is left."""
    c = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    q = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    s = q @ c.T
    top = np.argpartition(-s, K, axis=1)[:, :K]
    part = np.take_along_axis(s, top, 1)
    order = np.argsort(-part, axis=1, kind="stable")
    return np.stack((np.take_along_axis(top, order, 1), np.take_along_axis(part, order, 1)), 2)


def per_query(candidates, queries):
    """The original's style: for each query, a similarity with each candidate, a sort of all."""
    out = []
    for q in queries:
        s = np.array([np.dot(q, c) / (np.linalg.norm(q) * np.linalg.norm(c)) for c in candidates])
        top = np.argsort(s)[::-1][:K]
        out.append(np.stack((top, s[top]), 1))
    return np.array(out)


def embeddings(rng, count, dim, centres):
    """Embeddings in clusters, so that neighbours are near and near ties happen."""
    x = centres[rng.randint(0, len(centres), count)] + .7 * rng.standard_normal((count, dim))
    return x.astype(np.float32)


def make(env):
    n, m, dim = env.pick((10000, 1000, 1024), (500, 40, 64))
    rng = np.random.RandomState(5)
    centres = rng.standard_normal((50, dim))
    candidates, queries = embeddings(rng, n, dim, centres), embeddings(rng, m, dim, centres)
    want = oracle(candidates, queries)
    exact, close = same(want, 1e-12), same(want, 2e-6)
    db = env.connect()
    for table, rows in (("candidates", candidates), ("queries", queries)):
        db.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, embedding BLOB)")
        db.execute("BEGIN")
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", ((i, x.tobytes()) for i, x in enumerate(rows)))
        db.execute("COMMIT")
    sql = f"SELECT id, similarity FROM persona_neighbors('candidates', 'queries', {K}) ORDER BY query_id, rank"
    few = env.pick(20, 4)
    short = same((want[0][:few], want[1][:few]), 2e-6)
    vec = {}

    def vec_start():
        if vec:
            return
        vec["db"], vec["version"] = peers.sqlite_vec()
        vec["db"].execute(f"CREATE VIRTUAL TABLE v USING vec0(embedding float[{dim}] distance_metric=cosine)")
        vec["db"].execute("BEGIN")
        vec["db"].executemany("INSERT INTO v(rowid, embedding) VALUES (?, ?)", ((i + 1, x.tobytes()) for i, x in enumerate(candidates)))
        vec["db"].execute("COMMIT")

    def in_vec():
        return [[(i - 1, 1 - d) for i, d in vec["db"].execute(
            "SELECT rowid, distance FROM v WHERE embedding MATCH ? AND k = ? ORDER BY distance", (q.tobytes(), K))] for q in queries]

    def fill(duck):
        duck.load_embeddings("c", candidates)
        duck.load_embeddings("q", queries)

    duck_sql = (f"CREATE OR REPLACE TABLE found AS SELECT query, unnest(top) AS x FROM (SELECT q.id AS query, "
                f"max_by({{'id': c.id, 's': array_cosine_similarity(q.embedding, c.embedding)}}, "
                f"array_cosine_similarity(q.embedding, c.embedding), {K}) AS top FROM q, c GROUP BY q.id)")
    flops = int(2 * n * m * dim)
    c_path, q_path = data.stored("j4.candidates", candidates), data.stored("j4.queries", queries)
    contenders = [
        Contender("persona_neighbors", "ours", lambda: db.execute(sql).fetchall(), exact, note="reads the embeddings from tables"),
        env.program("C limit: sgemm, fused top-k", "limit", "limit", "neighbors", np.fromfile, close, candidates=c_path,
                    queries=q_path, dim=dim, k=K),
        env.program("C limit: 16-bit integers, fused top-k", "limit", "limit", "neighbors_int16", np.fromfile, close,
                    candidates=c_path, queries=q_path, dim=dim, k=K),
        env.ceiling("FMA ceiling, f32", "fma_f32", flops=flops),
        Contender("numpy, f32", "peer", lambda: in_numpy(candidates, queries), close),
        env.duckdb("DuckDB", fill, [duck_sql],
                   lambda duck: duck.fetch("SELECT x.id, x.s FROM found ORDER BY query, x.s DESC, x.id", 2), close, rounds=2),
        Contender("sqlite-vec", "peer", in_vec, close, rounds=2, before=vec_start),
        Contender("per-query loops", "peer", lambda: per_query(candidates, queries[:few]), short, scale=m / few, rounds=1,
                  note=f"{few} queries"),
    ]
    goals = [Goal("J4 through SQL : C limit, sgemm", contenders[0].name, contenders[1].name, most=1.2),
             Goal("J4 through SQL : C limit, 16-bit integers", contenders[0].name, contenders[2].name, most=1.2),
             Goal("J4 numpy : SQL", contenders[0].name, "numpy, f32", least=2),
             Goal("J4 sqlite-vec : SQL", contenders[0].name, "sqlite-vec", least=80)]
    return Job("J4", f"neighbours, {m:,} queries x {n:,} candidates x {dim:,} dimensions, cosine top {K}", contenders, goals,
               {"GFLOP": flops / 1e9},
               ["A product of integers counts as two operations, like a multiply-add. The limits read no table and "
                "take no new memory: persona_neighbors does both while it packs, on all cores, but for SQLite's share, which is one thread's."])
