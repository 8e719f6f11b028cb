"""J1: population choice.  Best and worst of 8 responses for 10,000 users on 9,402 prompts, 10 reward models, tallied."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job, equal

SQL = "SELECT best_votes, worst_votes FROM persona_votes('{}', 'train')"
COUNT = "SELECT count(*), sum(best_votes), sum(worst_votes) FROM persona_votes('{}', 'train')"


def tallies(path):
    """What the C programs write: best, then worst votes, of every response."""
    return np.fromfile(path, np.int64).reshape(2, -1)


def oracle(w, x):
    """Votes by the canonical utility: products and sums in position order."""
    users, (prompts, responses, models) = len(w), x.shape
    best, worst = np.zeros((prompts, responses), np.int64), np.zeros((prompts, responses), np.int64)
    for p in range(prompts):
        u = w[:, :1] * x[p, :, 0]
        for b in range(1, models):
            u += w[:, b:b + 1] * x[p, :, b]
        best[p] = np.bincount(u.argmax(1), minlength=responses)
        worst[p] = np.bincount(u.argmin(1), minlength=responses)
    assert best.sum() == worst.sum() == users * prompts
    return np.stack((best.ravel(), worst.ravel()))


def usual(w, x, block=500):
    """As usually written: a matrix product, argmax, argmin, bincount; in blocks of users, as it would need 6 GB at once."""
    prompts, responses, models = x.shape
    flat = x.reshape(-1, models).T
    out = np.zeros((2, prompts * responses), np.int64)
    first = np.arange(prompts) * responses
    for a in range(0, len(w), block):
        u = (w[a:a + block] @ flat).reshape(-1, prompts, responses)
        for k, choice in enumerate((u.argmax(2), u.argmin(2))):
            out[k] += np.bincount((choice + first).ravel(), minlength=prompts * responses)
    return out


def tiled(w, x, dtype, prompt_block, user_block, pool):
    """The best found: tiles that stay in the second-level cache, maxima over the slow axis, equality counted in bytes; tiles on
    all cores.  Ties would be counted twice, which the comparison of answers would show."""
    prompts, responses, models = x.shape
    out = np.zeros((2, responses, prompts), np.int64)
    w, x = w.astype(dtype), np.ascontiguousarray(x.transpose(1, 2, 0).astype(dtype))

    def tile(p):
        n = min(prompt_block, prompts - p)
        u = np.empty((responses, user_block, n), dtype)
        high = np.empty((user_block, n), dtype)
        same = np.empty((responses, user_block, n), bool)
        for a in range(0, len(w), user_block):
            m = min(user_block, len(w) - a)
            part = np.matmul(w[a:a + m], x[:, :, p:p + n], out=u[:, :m])
            for k, extreme in enumerate((np.maximum, np.minimum)):
                extreme.reduce(part, axis=0, out=high[:m])
                np.equal(part, high[:m], out=same[:, :m])
                out[k, :, p:p + n] += np.add.reduce(same[:, :m].view(np.uint8), axis=1, dtype=np.uint8)
    list(pool.map(tile, range(0, prompts, prompt_block)))
    return out.transpose(0, 2, 1).reshape(2, -1)


def loops(w, x):
    """The original's style: a loop over users, a loop over prompts, a dot product and argmax each."""
    prompts, responses, _ = x.shape
    out = np.zeros((2, prompts, responses), np.int64)
    for user in w:
        for p in range(prompts):
            scores = [np.dot(user, x[p, r]) for r in range(responses)]
            out[0, p, np.argmax(scores)] += 1
            out[1, p, np.argmin(scores)] += 1
    return out.reshape(2, -1)


def vote_sql(models):
    return f"""WITH util AS (SELECT r.prompt_id AS p, u.user_id AS i, r.response_id AS id, {data.utility_sql(models)} AS x FROM r, u)
        SELECT id, sum(best), sum(worst) FROM (
          SELECT id, 1 AS best, 0 AS worst FROM (SELECT id, max(x) FROM util GROUP BY p, i) UNION ALL
          SELECT id, 0, 1 FROM (SELECT id, min(x) FROM util GROUP BY p, i)) GROUP BY id"""


def duckdb_sql(models, responses):
    """The best found: weights and rewards as arrays, a row for each prompt with its responses side by side, so that nothing is
    grouped before the tally.  (arg_max over groups of user and prompt, as one would write it first, takes four times as long.)"""
    def array(letter):
        return "array_value(" + ", ".join(f"{letter}{b}" for b in range(models)) + ")"
    numbers = range(responses)
    joins = " ".join(f"JOIN ra r{k} ON r{k}.prompt_id = p.prompt_id AND r{k}.position = {k}" for k in numbers)
    utilities = ", ".join(f"array_inner_product(u.w, r{k}) AS x{k}" for k in numbers)
    names = ", ".join(f"x{k}" for k in numbers)
    return [
        f"CREATE OR REPLACE TABLE ra AS SELECT prompt_id, position, {array('s')} AS s FROM r",
        f"CREATE OR REPLACE TABLE ua AS SELECT {array('w')} AS w FROM u",
        f"""CREATE OR REPLACE TABLE wide AS SELECT p.prompt_id, {", ".join(f"r{k}.s AS r{k}" for k in numbers)}
            FROM (SELECT DISTINCT prompt_id FROM ra) p {joins}""",
        f"""CREATE OR REPLACE TABLE votes AS
            WITH util AS (SELECT prompt_id, {utilities} FROM wide, ua u),
                 choice AS (SELECT prompt_id, list_position([{names}], greatest({names})) - 1 AS best,
                                   list_position([{names}], least({names})) - 1 AS worst FROM util),
                 tally AS (SELECT prompt_id, best * {responses} + worst AS pick, count(*) AS n FROM choice GROUP BY ALL)
            SELECT id, sum(best) AS best, sum(worst) AS worst FROM (
              SELECT (prompt_id - 1) * {responses} + pick // {responses} + 1 AS id, n AS best, 0 AS worst FROM tally UNION ALL
              SELECT (prompt_id - 1) * {responses} + pick % {responses} + 1, 0, n FROM tally) GROUP BY id"""]


def spread(rows, responses):
    """(response_id, best, worst) rows as tallies."""
    out = np.zeros((2, responses), np.int64)
    rows = np.asarray(rows, np.int64).reshape(-1, 3)
    out[:, rows[:, 0] - 1] = rows[:, 1:].T
    return out


def make(env):
    prompts, users = env.pick((9402, 10000), (60, 500))
    scores = data.Scores(prompts)
    w, x = data.weights(users), scores.rewards
    models, responses = scores.models, prompts * scores.responses
    want = oracle(w, x)
    check = equal(want, "votes")
    db = env.connect()
    scores.load(db)
    data.store_users(db, w)
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={users}, alpha=0.05, seed=0)")
    db.execute(f"CREATE VIRTUAL TABLE crowd USING persona_users(count={users}, alpha=0.05, seed=0, generator=philox)")
    weights, rewards = data.stored("j1.weights", w), data.stored("j1.rewards", x)
    pool = ThreadPoolExecutor(env.threads)
    few, few_prompts = env.pick((20, 300), (5, 20))  # samples of users: for SQL, and with fewer prompts for the loops
    sample, short = oracle(w[:few], x), oracle(w[:few], x[:few_prompts])

    def sums(table):
        def run():
            return db.execute(COUNT.format(table)).fetchone()
        return run

    def all_voted(answer):
        if answer != (responses, users * prompts, users * prompts):
            raise Differs(f"{answer}")

    def our_votes():
        """The timed query adds up; the votes themselves are compared once, here."""
        check(np.array(db.execute(SQL.format("people")).fetchall(), np.int64).T)
        check(np.array(db.execute(SQL.format("users")).fetchall(), np.int64).T)
    our_votes()

    def few_differ(answer):
        wrong = int(np.sum(np.asarray(answer) != want))
        if np.abs(np.asarray(answer) - want).sum() > 1e-6 * want.sum():  # f32 makes ties, too, which count twice in numpy
            raise Differs(f"{wrong} of {want.size} tallies differ")
        return f"not exact: {wrong} of {want.size} tallies differ"

    plain = data.plain()
    data.plain_tables(plain, scores, w[:few])

    def fill(duck):
        prompt, response = scores.ids()
        columns = ["prompt_id", "response_id"] + [f"s{b}" for b in range(models)]
        duck.load("r_", columns, np.column_stack((prompt, response, x.reshape(-1, models))))
        duck.load("u_", ["user_id"] + [f"w{b}" for b in range(models)], np.column_stack((np.arange(users), w)))
        duck.sql("CREATE TABLE r AS SELECT * REPLACE (prompt_id::INTEGER AS prompt_id, response_id::INTEGER AS response_id), "
                 f"((response_id - 1) % {scores.responses})::INTEGER AS position FROM r_",
                 "CREATE TABLE u AS SELECT * REPLACE (user_id::INTEGER AS user_id) FROM u_")

    def fetched(duck):
        return spread(duck.fetch("SELECT id, best, worst FROM votes ORDER BY id", 3), responses)

    flops = int(2 * users * responses * models)
    contenders = [
        Contender("persona_votes", "ours", sums("people"), all_voted, note="users in an ordinary table"),
        Contender("persona_votes, declared numpy users", "ours", sums("users"), all_voted, note="draws them too"),
        Contender("persona_votes, declared philox users", "ours", sums("crowd"), all_voted, note="draws them too"),
        env.program("C limit, f64", "limit", "limit", "votes_f64", tallies, check, weights=weights, rewards=rewards),
        env.program("C limit, f32", "limit", "limit", "votes_f32", tallies, few_differ, weights=weights, rewards=rewards),
        env.ceiling("FMA ceiling, f64", "fma_f64", flops=flops),
        env.ceiling("FMA ceiling, f32", "fma_f32", flops=flops),
        Contender("numpy, tiled, f64, all cores", "peer", lambda: tiled(w, x, np.float64, 64, 128, pool), check),
        Contender("numpy, tiled, f32, all cores", "peer", lambda: tiled(w, x, np.float32, 128, 128, pool), few_differ),
        Contender("numpy as usually written", "peer", lambda: usual(w, x), check, rounds=2),
        env.duckdb("DuckDB", fill, duckdb_sql(models, scores.responses), fetched, check, rounds=2),
        Contender("SQLite SQL", "peer", lambda: spread(plain.execute(vote_sql(models)).fetchall(), responses),
                  equal(sample, "votes"), scale=users / few, rounds=1, note=f"{few} users"),
        Contender("per-user loops", "peer", lambda: loops(w[:few], x[:few_prompts]), equal(short, "votes"),
                  scale=users / few * prompts / few_prompts, rounds=1, note=f"{few} users on {few_prompts} prompts"),
    ]
    goals = [
        Goal("J1 through SQL : C limit, f64", "persona_votes", "C limit, f64", most=1.3),
        Goal("J1 best numpy : SQL", "persona_votes", "numpy, tiled, f64, all cores", least=4),
        Goal("J1 DuckDB : SQL", "persona_votes", "DuckDB", least=90),
    ]
    return Job("J1", f"population choice, {users:,} users x {prompts:,} prompts x 8 responses x {models} reward models",
               contenders, goals, {"GFLOP": flops / 1e9},
               ["The C limits count a multiply-add as two operations, as the ceilings do. The f32 limit is not exact; "
                "persona_votes estimates in f32 too, but decides near ties by the canonical f64 utility."])
