"""J8: declare.  SELECT count(*), max(weights) over 10 million philox users, and over 1 million numpy users."""
import math

import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job, equal, near

SQL = "SELECT count(*), max(weights) FROM {}"
MODELS = 10
BLOCK = 1 << 16  # of core.c
ALPHA = .05
OPEN = ALPHA + (1 - ALPHA) ** (1 / ALPHA + 1) / (1 / ALPHA + 1)  # of the draws: what core_dirichlet.c's test Q1 does not settle
REDRAWN = 1 / math.gamma(1 + ALPHA) - 1  # further attempts for a draw (D3)


def largest(w):
    """The largest row as SQLite orders BLOBs: byte by byte."""
    rows = np.ascontiguousarray(w, "<f8").view(">u8")  # the same bytes, compared as they lie
    alive = np.arange(len(rows))
    for b in range(rows.shape[1]):
        column = rows[alive, b].astype(np.uint64)
        alive = alive[column == column.max()]
    return np.ascontiguousarray(w[alive[0]]).tobytes()


def block_sums(db, table, count):
    """What core.c writes: the weights of every block's first user, added up."""
    out = np.zeros(MODELS)
    for first in range(0, count, BLOCK):
        out += np.frombuffer(db.execute(f"SELECT weights FROM {table} WHERE user_id = ?", (first,)).fetchone()[0])
    return out


def make(env):
    philox, numpy = env.pick((10_000_000, 1_000_000), (100_000, 20_000))
    db = env.connect()
    names = ", ".join(data.NAMES)
    db.execute(f"CREATE VIRTUAL TABLE crowd USING persona_users(count={philox}, alpha={ALPHA}, seed=0, generator=philox, models=[{names}])")
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={numpy}, alpha={ALPHA}, seed=0, models=[{names}])")
    reference = data.weights(numpy)
    ours = np.array([np.frombuffer(x[0]) for x in db.execute("SELECT weights FROM users")])
    near(reference, 1e-12, "numpy users")(ours)

    # An independent draw of philox users is in tests/ref; here every row goes through another path: one by one.
    sample = np.random.RandomState(0).randint(0, philox, 1000)
    alone = np.array([np.frombuffer(db.execute("SELECT weights FROM crowd WHERE user_id = ?", (int(i),)).fetchone()[0]) for i in sample])
    if not np.all(np.abs(alone.mean(0) - 1 / MODELS) < .05):
        raise Differs(f"the sample's mean is {alone.mean(0)}")
    first = [None]

    def philox_answer(answer):
        count, top = answer
        if count != philox or any(row.tobytes() > top for row in alone):
            raise Differs(f"{count}, {top!r}")
        if first[0] is None:
            first[0] = top
        if top != first[0]:
            raise Differs("another maximum than before")

    def numpy_answer(answer):
        if answer != (numpy, largest(ours)):
            raise Differs(f"{answer}")

    def constant(rows):
        want = (rows, np.full(MODELS, .1).tobytes())
        return lambda answer: equal([True], "answer")([answer == want])

    def ask(table):
        return lambda: db.execute(SQL.format(table)).fetchone()

    sums = near(block_sums(db, "crowd", philox), 0, "first users")
    few = env.pick(200_000, 20_000)

    def drawn(seed, generator):
        draw = np.random.RandomState(seed).dirichlet if generator == "legacy" else np.random.default_rng(seed).dirichlet

        def run():
            return draw(np.full(MODELS, ALPHA), few)
        return run

    def simplex(w):
        if w.shape != (few, MODELS) or not np.allclose(w.sum(1), 1) or abs(w[:, 0].mean() - .1) > .01:
            raise Differs("no Dirichlet draws")

    transcendentals = int(philox * MODELS * (1 + 2 * (OPEN + REDRAWN)))
    numbers = int(philox * MODELS * (1 + 2 * REDRAWN))  # of 64 bits, two a block: a further attempt needs a whole block for itself
    contenders = [
        Contender("philox users", "ours", ask("crowd"), philox_answer),
        Contender("constant users", "floor", ask(f"bench_users({philox})"), constant(philox), note="what SQLite takes for rows of this shape"),
        env.program("core: the same draws, all cores", "floor", "core", "draw", np.fromfile, sums, count=philox, models=MODELS),
        env.program("core: the same draws, one thread", "floor", "core", "draw", np.fromfile, sums, count=philox, models=MODELS, threads=1),
        env.ceiling("their logarithms, one thread", "log", count=transcendentals, threads=1),
        env.ceiling("their exponentials, one thread", "exp", count=transcendentals, threads=1),
        env.ceiling("their random numbers, one thread", "philox", count=numbers, threads=1, note=f"{numbers // 2:,} philox blocks"),
        Contender("numpy users", "ours", ask("users"), numpy_answer, note=f"{numpy:,}"),
        Contender("constant users, numpy's number", "floor", ask(f"bench_users({numpy})"), constant(numpy), note=f"{numpy:,}"),
        env.program("core: numpy's draws, one thread", "floor", "core", "read", np.fromfile,
                    near(block_sums(db, "users", numpy), 0, "first users"), count=numpy, models=MODELS, threads=1, note=f"{numpy:,}"),
        Contender("numpy RandomState.dirichlet", "peer", drawn(0, "legacy"), simplex, scale=philox / few, rounds=3,
                  note=f"{few:,} users, drawn only"),
        Contender("numpy Generator.dirichlet", "peer", drawn(0, "new"), simplex, scale=philox / few, rounds=3,
                  note=f"{few:,} users, drawn only"),
    ]
    names = [c.name for c in contenders]
    goals = [
        Goal("J8 philox : constant users + core's draws", names[0], [names[1], names[2]], most=1.3),
        Goal("J8 core's draws : their transcendentals", names[3], [names[4], names[5]], most=1.5),
        Goal("J8 core's draws : their transcendentals and random numbers", names[3], [names[4], names[5], names[6]]),
        Goal("J8 numpy : constant users + core's draws", names[7], [names[8], names[9]], most=1.3),
    ]
    return Job("J8", f"declare: count(*), max(weights) of {philox:,} philox users and {numpy:,} numpy users", contenders, goals,
               {"M users": philox / 1e6},
               [f"Transcendentals counted: a logarithm and an exponential for each weight, two more of each for the {OPEN:.1%} of the draws that "
                f"are not settled at once and for {REDRAWN:.1%} that are drawn again: {transcendentals / 1e6:,.0f} million of each. The goal counts nothing "
                "else; the draw's random numbers (Philox 4x32, ten rounds, half a block for each weight, a block for each further attempt) stand "
                "in a line of their own. philox users are drawn ahead of the scan on all cores."])
