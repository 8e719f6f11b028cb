"""J6: row-wise.  The sum of persona_reward over every pair of a user and a response, 10 million pairs."""
import numpy as np

from harness import data
from harness.measure import Contender, Goal, Job, equal, near

SQL = "SELECT sum({}(u.weights, r.rewards)) FROM {} u, {} r"


def make(env):
    users, prompts = env.pick((1000, 1250), (20, 30))
    scores = data.Scores(prompts)
    w, x = data.weights(users), scores.rewards.reshape(-1, scores.models)
    db = env.connect()
    scores.load(db)
    data.store_users(db, w)
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={users}, alpha=0.05, seed=0)")
    db.execute("CREATE TABLE answers AS SELECT response_id, rewards FROM responses")
    pairs = users * len(x)
    check = near([float((w @ x.T).sum())], 1e-9, "sum")

    def ask(function, people="users", answers="responses"):
        sql = SQL.format(function, people, answers)
        return lambda: db.execute(sql).fetchone()

    plain = data.plain()
    few = env.pick(100, 5)
    data.plain_tables(plain, scores, w[:few])
    small = near([float((w[:few] @ x.T).sum())], 1e-9, "sum")

    def fill(duck):
        duck.load("r", ["response_id"] + [f"s{b}" for b in range(scores.models)], np.column_stack((np.arange(len(x)), x)))
        duck.load("u", ["user_id"] + [f"w{b}" for b in range(scores.models)], np.column_stack((np.arange(users), w)))

    nothing = equal([pairs * .5], "sum")
    contenders = [
        Contender("persona_reward", "ours", ask("persona_reward"), check),
        Contender("a function that does nothing", "floor", ask("bench_nothing"), nothing, note="the same columns, read not at all"),
        Contender("persona_reward, ordinary tables", "ours", ask("persona_reward", "people", "answers"), check),
        Contender("a function that does nothing, ordinary tables", "floor", ask("bench_nothing", "people", "answers"), nothing),
        Contender("numpy, matrix product", "peer", lambda: [(w @ x.T).sum()], check, note="not row by row"),
        env.duckdb("DuckDB", fill, [f"CREATE OR REPLACE TABLE s AS SELECT sum({data.utility_sql(scores.models)}) AS x FROM u, r"],
                   lambda duck: duck.fetch("SELECT x FROM s", 1)[0], check, rounds=3),
        Contender("SQLite SQL, ten columns", "peer",
                  lambda: plain.execute(f"SELECT sum({data.utility_sql(scores.models)}) FROM u, r").fetchone(), small,
                  scale=users / few, rounds=3, note=f"{few} users"),
    ]
    goals = [Goal("J6 persona_reward : a function that does nothing", contenders[0].name, contenders[1].name, most=1.3),
             Goal("J6 the same on ordinary tables", contenders[2].name, contenders[3].name, most=1.3)]
    return Job("J6", f"row-wise, sum(persona_reward(u.weights, r.rewards)) over {pairs:,} pairs", contenders, goals, {"M pairs": pairs / 1e6})
