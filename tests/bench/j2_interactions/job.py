"""J2: the interaction database.  50 prompts for each of 10,000 users, best and worst response of each, into a table."""
import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job, equal

SEED = 7


def choices(w, x, prompt):
    """Rows (chosen_id, rejected_id, chosen_reward, rejected_reward) of users [u] who meet prompts [u][t], ids from 1."""
    users, turns = prompt.shape
    responses, models = x.shape[1:]
    out = np.empty((users, turns, 4))
    for a in range(0, users, 256):
        f = x[prompt[a:a + 256]]  # [users][turns][responses][models]
        part = w[a:a + 256, None, None, :]
        u = part[..., 0] * f[..., 0]
        for b in range(1, models):
            u += part[..., b] * f[..., b]
        best, worst = u.argmax(2), u.argmin(2)
        first = prompt[a:a + 256] * responses + 1
        out[a:a + 256, :, 0], out[a:a + 256, :, 1] = first + best, first + worst
        out[a:a + 256, :, 2] = np.take_along_axis(u, best[..., None], 2)[..., 0]
        out[a:a + 256, :, 3] = np.take_along_axis(u, worst[..., None], 2)[..., 0]
    return out.reshape(-1, 4)


def loops(w, x, prompt):
    """The original's style: for each user, for each prompt, all scores, argmax, argmin, a dictionary."""
    rows = []
    for user, prompts in zip(w, prompt):
        for p in prompts:
            scores = [float(np.dot(user, f)) for f in x[p]]
            best, worst = int(np.argmax(scores)), int(np.argmin(scores))
            rows.append({"prompt": p, "chosen": p * 8 + best + 1, "rejected": p * 8 + worst + 1,
                         "chosen_reward": scores[best], "rejected_reward": scores[worst]})
    return np.array([[r["chosen"], r["rejected"], r["chosen_reward"], r["rejected_reward"]] for r in rows])


def same(want, tolerance):
    def check(rows):
        rows = np.asarray(rows, float)
        if rows.shape != want.shape or np.any(rows[:, :2] != want[:, :2]):
            raise Differs("other choices")
        if np.any(np.abs(rows[:, 2:] - want[:, 2:]) > tolerance):
            raise Differs("other rewards")
    return check


def make(env):
    prompts, users, turns = env.pick((9402, 10000, 50), (60, 200, 10))
    scores = data.Scores(prompts)
    w, x = data.weights(users), scores.rewards
    db = env.connect()
    scores.load(db)
    data.store_users(db, w)
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={users}, alpha=0.05, seed=0)")
    query = f"persona_interactions('people', 'train', {turns}, 'best_worst', {SEED})"
    drawn = np.array(db.execute(f"SELECT prompt_id FROM {query}").fetchall(), np.int64).reshape(users, turns) - 1
    want = choices(w, x, drawn)
    # the draws are ours (their generator is tested elsewhere); the oracle makes the choices on them
    if len(np.unique(drawn)) < .9 * min(prompts, users * turns / 2):
        raise Differs("the prompts drawn are too few")
    rows = users * turns
    exact, close = same(want, 0), same(want, 1e-12)

    def into_table(source, columns="*"):
        def run():
            db.execute(f"CREATE TABLE made AS SELECT {columns} FROM {source}")
        return run

    def drop():
        db.execute("DROP TABLE IF EXISTS made")

    def made(_):
        exact(db.execute("SELECT chosen_id, rejected_id, chosen_reward, rejected_reward FROM made ORDER BY rowid").fetchall())

    def counted(_):
        if db.execute("SELECT count(*) FROM made").fetchone() != (rows,):
            raise Differs("not as many rows")

    def in_numpy():
        rng = np.random.RandomState(SEED)
        return choices(w, x, rng.randint(0, prompts, (users, turns)))

    rng_want = choices(w, x, np.random.RandomState(SEED).randint(0, prompts, (users, turns)))
    plain = data.plain()
    few = env.pick(100, 10)
    data.plain_tables(plain, scores, w[:few])
    plain.execute("CREATE TABLE met(user_id INTEGER, turn INTEGER, prompt_id INTEGER)")
    plain.executemany("INSERT INTO met VALUES (?, ?, ?)",
                      [(i, t + 1, int(drawn[i, t]) + 1) for i in range(few) for t in range(turns)])
    plain.execute("CREATE INDEX r_prompt ON r(prompt_id)")
    util = (f"SELECT m.user_id AS i, m.turn AS t, r.response_id AS id, {data.utility_sql(scores.models)} AS x "
            "FROM met m JOIN u USING (user_id) JOIN r USING (prompt_id)")

    def in_sql():
        plain.execute("DROP TABLE IF EXISTS made")
        plain.execute(f"CREATE TABLE made AS WITH util AS ({util}) SELECT a.i, a.t, a.id, b.id AS worst, a.x, b.x AS low "
                      "FROM (SELECT i, t, id, max(x) AS x FROM util GROUP BY i, t) a "
                      "JOIN (SELECT i, t, id, min(x) AS x FROM util GROUP BY i, t) b USING (i, t)")
        return plain.execute("SELECT id, worst, x, low FROM made ORDER BY i, t").fetchall()

    def fill(duck):
        prompt, response = scores.ids()
        models = range(scores.models)
        duck.load("r_", ["prompt_id", "response_id"] + [f"s{b}" for b in models],
                  np.column_stack((prompt, response, x.reshape(-1, scores.models))))
        duck.load("u_", ["user_id"] + [f"w{b}" for b in models], np.column_stack((np.arange(users), w)))
        duck.load("met_", ["user_id", "turn", "prompt_id"],
                  np.column_stack((np.repeat(np.arange(users), turns), np.tile(np.arange(turns) + 1, users), drawn.ravel() + 1)))
        for table in ("r", "u", "met"):
            ids = {"r": ["prompt_id", "response_id"], "u": ["user_id"], "met": ["user_id", "turn", "prompt_id"]}[table]
            duck.sql(f"CREATE TABLE {table} AS SELECT * REPLACE ({', '.join(f'{c}::INTEGER AS {c}' for c in ids)}) FROM {table}_")

    duck_sql = (f"CREATE OR REPLACE TABLE made AS SELECT i, t, arg_max(id, x) AS best, arg_min(id, x) AS worst, max(x) AS high, "
                f"min(x) AS low FROM ({util}) GROUP BY i, t")

    few_users = env.pick(200, 20)
    contenders = [
        Contender("persona_interactions into a table", "ours", into_table(query), made, before=drop, note="users in an ordinary table"),
        Contender("persona_interactions of declared users", "ours", into_table(query.replace("people", "users")), made, before=drop,
                  note="numpy users, drawn too"),
        Contender("constant rows into a table", "floor", into_table(f"bench_interactions({rows})"), counted, before=drop,
                  note="what SQLite takes for rows of this shape"),
        Contender("persona_interactions, rows counted", "ours",
                  lambda: db.execute(f"SELECT count(*) FROM {query}").fetchone(),
                  equal([rows], "rows"), note="its own share"),
        Contender("numpy", "peer", in_numpy, same(rng_want, 0), note="numpy's draws; arrays, no table"),
        env.duckdb("DuckDB", fill, [duck_sql],
                   lambda duck: duck.fetch("SELECT best, worst, high, low FROM made ORDER BY i, t", 4), close, rounds=3,
                   note="prompts drawn beforehand"),
        Contender("SQLite SQL", "peer", in_sql, same(want[:few * turns], 1e-12), scale=users / few, rounds=2,
                  note=f"{few} users, prompts drawn beforehand"),
        Contender("per-user loops", "peer", lambda: loops(w[:few_users], x, drawn[:few_users]),
                  same(want[:few_users * turns], 1e-12), scale=users / few_users, rounds=1, note=f"{few_users} users"),
    ]
    goals = [Goal("J2 persona_interactions into a table : constant rows into a table", contenders[0].name, contenders[2].name, most=1.4)]
    return Job("J2", f"interaction database, {users:,} users x {turns} prompts, best_worst, CREATE TABLE AS SELECT", contenders, goals,
               {"M rows": rows / 1e6})
