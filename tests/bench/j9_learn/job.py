"""J9: learning across users.  10,000 users x 50 interactions: the learned prior and LoRe; and prompts from similar users."""
import os
import sys

import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job, near

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from learning import GRID, SHARPNESSES, learn_lore, learn_prior, lore_start  # noqa: E402
from modelcodec import decode  # noqa: E402

TURNS, DIM, RANK, SIMILAR = 50, 64, 5, 5
LORE = '{{"method":"lore","type":"f32","rank":5,"iterations":{}}}'
HEAD = "Here are past conversations, each with a response that was liked.\n\n"
TAIL = ("Use these conversations to answer the prompt below. Your response should be similar to the liked responses.\n\n"
        "User: What next?\nResponse:")


def make(env):
    users, prompts = env.pick((10000, 500), (24, 20))
    steps, few, tested = env.pick((1000, 24, 1000), (30, 6, 6))
    turns = env.pick(TURNS, 5)
    scores = data.Scores(prompts)
    rewards = scores.rewards
    rng = np.random.RandomState(9)
    embedding = rng.standard_normal((prompts, 8, DIM)) + .4 * rewards @ rng.standard_normal((scores.models, DIM))
    embedding = embedding.astype(np.float32)
    truth = data.weights(users)
    met = rng.randint(0, prompts, (users, turns))
    u = np.einsum("utrb,ub->utr", rewards[met], truth)
    best, worst = u.argmax(2), u.argmin(2)

    db = env.connect()
    db.execute("CREATE TABLE item(prompt_id INTEGER, position INTEGER, rewards BLOB, embedding BLOB, text TEXT, PRIMARY KEY (prompt_id, position)) WITHOUT ROWID")
    db.execute("CREATE TABLE history(user_id INTEGER, turn INTEGER, prompt_id INTEGER, best INTEGER, worst INTEGER, PRIMARY KEY (user_id, turn)) WITHOUT ROWID")
    db.execute("BEGIN")
    db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?)", [
        (p, r, rewards[p, r].tobytes(), embedding[p, r].tobytes(), f"Response {r} to prompt {p}: " + "word " * (p % 40 + r))
        for p in range(prompts) for r in range(8)])
    db.executemany("INSERT INTO history VALUES (?, ?, ?, ?, ?)", [
        (i, t, int(met[i, t]), int(best[i, t]), int(worst[i, t])) for i in range(users) for t in range(turns)])
    db.execute("COMMIT")
    sets = """SELECT {}(h.user_id, h.turn, i.rewards, CASE i.position WHEN h.best THEN 'best' WHEN h.worst THEN 'worst' END{})
              FROM history h JOIN item i USING (prompt_id) WHERE h.user_id < {}"""
    pairs = """SELECT {} FROM history h JOIN item c ON c.prompt_id = h.prompt_id AND c.position = h.best
               JOIN item r ON r.prompt_id = h.prompt_id AND r.position = h.worst"""

    def ask(text, *args):
        return lambda: db.execute(text, args).fetchall()

    # ---- prior: the few users that numpy can do are learned by both ----
    def law(blob):
        s = decode(blob)["sections"]
        return s["alpha"][:, 1], s["sharpness"][:, 1], s["weights"][0]

    def features(law):
        """What a prior says, in numbers that Monte Carlo leaves alone: neighbouring alphas and sharpnesses are hardly told apart."""
        share, sharp, mean = law
        return np.array([share @ np.log10(GRID), sharp @ np.arange(SHARPNESSES)]), mean

    small, = db.execute(sets.format("learn_users_choices", ", '{\"method\":\"prior\"}'", few)).fetchone()

    noise = env.pick((.3, 1), (.7, 1.6))  # what other random numbers change for so few users

    def alike(answer):
        (log_alpha, level), mean = features(answer)
        (want_alpha, want_level), want = features(law(small))
        if abs(log_alpha - want_alpha) > noise[0] or abs(level - want_level) > noise[1] or np.abs(mean - want).max() > .02:
            raise Differs(f"mean log10 alpha {log_alpha:.3f}, not {want_alpha:.3f}; mean log2 sharpness {level:.2f}, not {want_level:.2f}; "
                          f"mean off by {np.abs(mean - want).max():.3f}")
        return f"Monte Carlo: mean log10 alpha within {abs(log_alpha - want_alpha):.3f}, mean weights within {np.abs(mean - want).max():.4f}"

    def about_right(answer):
        mean = law(answer[0][0])[2]
        if np.abs(mean - truth.mean(0)).max() > env.pick(.01, .2):
            raise Differs(f"the users' mean is off by {np.abs(mean - truth.mean(0)).max():.3f}")

    shown = rewards[met[:few]]
    looked_at = [min(len(range(0, n, -(-n // 512))), n) for n in (users, few)]
    scale = (2 * looked_at[0] + users) / (2 * looked_at[1] + few)

    # ---- LoRe ----
    x = embedding.reshape(-1, DIM).astype(float)
    a, b = met * 8 + best, met * 8 + worst
    start = lore_start(0, DIM, users, RANK)
    quick = min(steps, env.pick(100, 30))
    basis = learn_lore(x, a, b, RANK, quick, .5, 100., start)

    def learned(answer):
        blob = answer[0][0]
        near(basis, 1e-6, "basis")(decode(blob)["sections"]["basis"])

    # ---- prompts from similar users ----
    def profile(first, last):
        e = embedding.reshape(-1, DIM)
        return (e[a[first:last]].astype(float) - e[b[first:last]]).mean(1)
    db.execute("CREATE TABLE known(id INTEGER PRIMARY KEY, embedding BLOB)")
    db.execute("CREATE TABLE asked(id INTEGER PRIMARY KEY, embedding BLOB)")
    for table, first, last in (("known", tested, users), ("asked", 0, tested)):
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(first + i, p.astype(np.float32).tobytes()) for i, p in enumerate(profile(first, last))])
    prompts_sql = f"""SELECT n.query_id, icl_prompt('What next?', n.rank, 'Prompt ' || h.prompt_id, c.text, r.text)
      FROM persona_neighbors('known', 'asked', {SIMILAR}) n JOIN history h ON h.user_id = n.id AND h.turn = 0
      JOIN item c ON c.prompt_id = h.prompt_id AND c.position = h.best JOIN item r ON r.prompt_id = h.prompt_id AND r.position = h.worst
      GROUP BY n.query_id"""
    text = dict(zip(((p, r) for p in range(prompts) for r in range(8)), (t for t, in db.execute("SELECT text FROM item ORDER BY prompt_id, position"))))

    def python_prompts():
        k, q = (profile(tested, users).astype(np.float32), profile(0, tested).astype(np.float32))
        s = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (k / np.linalg.norm(k, axis=1, keepdims=True)).T
        top = np.argsort(-s, axis=1, kind="stable")[:, :SIMILAR] + tested
        out = []
        for i, near_users in enumerate(top):
            examples = [(f"Prompt {met[j, 0]}", text[met[j, 0], best[j, 0]]) for j in near_users]
            out.append((i, HEAD + "".join(f"User: {p}\nLiked Response: {c}\n\n" for p, c in examples) + TAIL))
        return out

    want = python_prompts()

    def same_prompts(answer):
        wrong = sum(g != w for g, w in zip(answer, want)) + abs(len(answer) - len(want))
        if wrong > len(want) // 200:  # near ties in f32
            raise Differs(f"{wrong} of {len(want)} prompts differ: {answer[0][1]!r}, not {want[0][1]!r}")
        return f"{wrong} with near ties in another order" if wrong else None

    numpy_lore, fast = f"numpy, the same algorithm, {quick} steps", f"learn_users, LoRe, {quick} steps"
    contenders = [
        Contender("learn_users_choices, prior", "ours", ask(sets.format("learn_users_choices", ", '{\"method\":\"prior\"}'", users)), about_right, rounds=2),
        Contender("no-op aggregate over the choice sets", "floor", ask(sets.format("bench_nothing_choices", "", users)), rounds=3),
        Contender("numpy, the same algorithm (prior)", "peer", lambda: learn_prior(shown, best[:few], worst[:few]), alike, scale=scale, rounds=2,
                  note=f"{few} users"),
        Contender(fast, "ours", ask(pairs.format("learn_users(h.user_id, c.embedding, r.embedding, ?)"), LORE.format(quick)), learned, rounds=3),
        Contender("no-op aggregate over the pairs", "floor", ask(pairs.format("bench_nothing_pairs(h.user_id, c.embedding, r.embedding)")), rounds=3),
        Contender(numpy_lore, "peer", lambda: [[learn_lore(x, a, b, RANK, quick, .5, 100., start)]], lambda answer: near(basis, 0, "basis")(answer[0][0]), rounds=3),
        Contender("persona_neighbors and icl_prompt", "ours", ask(prompts_sql), same_prompts),
        Contender("numpy and Python strings", "peer", python_prompts, same_prompts),
    ]
    goals = [Goal("J9 numpy, the same algorithm : learn_users_choices, prior", contenders[0].name, contenders[2].name, least=10),
             Goal("J9 numpy, the same algorithm : learn_users, LoRe", fast, numpy_lore, least=2)]
    return Job("J9", f"learning from {users:,} users x {turns} interactions; prompts for {tested:,} users", contenders, goals, {"k users": users / 1e3},
               [f"numpy's prior is of {few} users, checked against ours on the same ones, its time taken for all; LoRe runs {quick} of its 1,000 steps on both sides, "
                "numpy's with projections once for each distinct response, as ours."])
