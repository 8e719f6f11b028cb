"""sql/ask.sql against numpy: what users answer, which question is best after which answers, every figure; and that nothing leaks."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from analyses import Side, demo, near, run
import numpy as np

USERS, POOL, QUESTIONS, TEACHERS = 5, 14, 5, 8
RANDOM, UNCERTAIN, PREF, GAIN, LEARNED = 1, 2, 3, 4, 5
SWAP = "UPDATE ask_shown SET feedback = CASE WHEN feedback IS NULL THEN 'best' END"

os.chdir(ROOT)


def database(**settings):
    return demo("ask_setting", {"users": USERS, "pool": POOL, "questions": QUESTIONS, "teachers": TEACHERS, **settings})


def pref(asked, a, b):
    """sigma'(w.h)^2 h' M^-1 h of every question; M = 0.001 I + sum sigma' h h', w where the penalised likelihood is largest."""
    d = np.array(asked)
    scale = 1 / np.sqrt((np.concatenate([d / 2, -d / 2])**2).mean())  # to root mean square 1 in what was asked
    d, w = d * scale, np.zeros(d.shape[1])
    loss = lambda w: np.logaddexp(0, -d @ w).sum() + .0005 * w @ w
    for _ in range(200):
        p = 1 / (1 + np.exp(d @ w))
        M = .001 * np.eye(len(w)) + (d.T * (p * (1 - p))) @ d
        step, t = np.linalg.solve(M, .001 * w - d.T @ p), 1.
        while loss(w - t * step) > loss(w) + 1e-12 and t > 1e-9:
            t /= 2
        w = w - t * step
    h = scale * (a - b)
    slope = 1 / (2 + np.exp(h @ w) + np.exp(-h @ w))
    return slope**2 * np.einsum("ij,ij->i", h, np.linalg.solve(M, h.T).T)


db = database()
shown, reach = run(db, "sql/ask.sql")
train, test = Side(db, "train"), Side(db, "test")
truth = {u: np.frombuffer(w) for u, w in db.execute("SELECT user_id, weights FROM ask_user")}
eq(sorted(truth), list(range(USERS)), "users")

# ---- the pool, and what is answered ----
where = {i: (k, n) for k, ids in enumerate(train.ids) for n, i in enumerate(ids)}
pool = db.execute("SELECT question, a, b FROM ask_question ORDER BY question").fetchall()
ok([q for q, _, _ in pool] == list(range(1, POOL + 1)) and all(a < b and where[a][0] == where[b][0] for _, a, b in pool), "questions: two responses to a train prompt")
A, B = [np.array([train.Z[where[i][0]][where[i][1]] for i in side]) for side in zip(*[(a, b) for _, a, b in pool])]
answers = np.array([[(a - b) @ truth[u] >= 0 for a, b in zip(A, B)] for u in range(USERS)])
eq(db.execute("SELECT user_id, question, prefers_a FROM ask_answer ORDER BY 1, 2").fetchall(),
   [(u, q + 1, int(answers[u, q])) for u in range(USERS) for q in range(POOL)], "answers are the users' own")
lots = np.array(db.execute("SELECT lot FROM ask_answer ORDER BY user_id, question").fetchall()).reshape(USERS, POOL)
ok(len(set(lots.ravel())) == USERS * POOL and 0 < lots.min() and lots.max() < 1, "every user draws lots of its own")

# ---- which question is asked ----
asked = {}
for s, u, turn, q in db.execute("SELECT strategy_id, user_id, turn, question FROM ask_asked ORDER BY strategy_id, user_id, turn"):
    asked.setdefault((s, u), []).append(q - 1)
eq({(len(q), len(set(q))) for q in asked.values()} | {len(asked)}, {(QUESTIONS, QUESTIONS), 5 * USERS}, "so many questions, none twice")
prior, = db.execute("SELECT model FROM ask_prior").fetchone()
eq(json.loads(db.execute("SELECT model_info(?)", (prior,)).fetchone()[0])["users"], TEACHERS, "the prior was taught by the teachers")


def posterior(u, questions, *model):
    rows = [(0, A[0].tobytes(), None)]
    for q in questions:
        rows += [(q + 1, A[q].tobytes(), "best" if answers[u, q] else None), (q + 1, B[q].tobytes(), None if answers[u, q] else "best")]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS told(choice_set, features, feedback)")
    db.execute("DELETE FROM told")
    db.executemany("INSERT INTO told VALUES (?, ?, ?)", rows)
    more = "".join(", ?" for _ in model)
    return db.execute(f"SELECT adapt_user_choices(choice_set, features, feedback, '{{\"return\":\"model\"}}'{more}) FROM told", model).fetchone()[0]


wrong, close_calls = dict.fromkeys(range(1, 6), 0), 0
for (s, u), questions in asked.items():
    for turn, q in enumerate(questions):
        before, left = questions[:turn], [k for k in range(POOL) if k not in questions[:turn]]
        if s == RANDOM or (s == PREF and turn == 0):
            value = lots[u]
        elif s == PREF:
            value = pref([(A[k] - B[k]) * (1 if answers[u, k] else -1) for k in before], A, B)
        else:
            call = "-abs(preference_probability(?, ?, ?) - 0.5)" if s == UNCERTAIN else "preference_information(?, ?, ?)"
            model = posterior(u, before, *([prior] if s == LEARNED else []))
            value = np.array([db.execute(f"SELECT {call}", (model, a.tobytes(), b.tobytes())).fetchone()[0] for a, b in zip(A, B)])
        best = max(left, key=lambda k: value[k])
        wrong[s] += best != q and abs(value[best] - value[q]) > 1e-6 * abs(value[best])
for s, n in wrong.items():
    eq(n, 0, db.execute("SELECT strategy FROM ask_strategy WHERE strategy_id = ?", (s,)).fetchone()[0] + ": every question is the best of those left")
eq(len({tuple(asked[GAIN, u][:1]) for u in range(USERS)}), 1, "before any answer all users are asked the same question")
ok(len({tuple(asked[GAIN, u]) for u in range(USERS)}) > 1, "then their own")

# ---- what is learned ----
estimate = {(i // 10**10, i // 10**7 % 1000, i // 10**5 % 100, i % 10**5): np.frombuffer(w) for i, w in db.execute("SELECT user_id, weights FROM ask_estimate")}
eq(len(estimate), 4 * 5 * QUESTIONS * USERS, "weights for learner, strategy, number of questions and user")
options = {1: ("{}",), 2: ("{}", prior), 3: ('{"method":"bradley_terry"}',), 4: ('{"method":"bradley_terry","lambda":0.001}',)}
wrong = 0
for (learner, s, n, u), w in estimate.items():
    rows = [(A[q], B[q]) if answers[u, q] else (B[q], A[q]) for q in asked[s, u][:n]]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS pairs(chosen, rejected)")
    db.execute("DELETE FROM pairs")
    db.executemany("INSERT INTO pairs VALUES (?, ?)", [(a.tobytes(), b.tobytes()) for a, b in rows])
    more = ", ?" * len(options[learner])
    want = np.frombuffer(db.execute(f"SELECT adapt_user(chosen, rejected{more}) FROM pairs", options[learner]).fetchone()[0])
    # which sums end differently for pairs in another order
    wrong += np.abs(w - want).max() > 1e-6 * np.abs(want).max() if learner > 2 else np.abs(w - want).max() > .35
eq(wrong, 0, "weights follow from the pairs that were asked")

# ---- every figure ----
judged = {}
for key, w in estimate.items():
    u = [z @ truth[key[3]] for z in test.Z]
    picks = [(z @ w).argmax() for z in test.Z]
    judged[key] = np.mean([[k == v.argmax(), v[k], v.max(), v.mean()] for v, k in zip(u, picks)], 0)
grid = db.execute("""SELECT l.learner_id, s.strategy_id, g.questions, g.users, g.top1, g.captured_share, g.over_random, g.error, g.paired_error
                     FROM ask_grid g JOIN ask_learner l USING (learner) JOIN ask_strategy s USING (strategy)""").fetchall()
eq(len(grid), 4 * 5 * QUESTIONS, "one row for learner, strategy and number of questions")
worst, share = 0, {}
for learner, s, n, *have in grid:
    t, r, b, z = np.array([judged[learner, s, n, u] for u in range(USERS)]).T
    ahead, scope = r - np.array([judged[learner, RANDOM, n, u][1] for u in range(USERS)]), b - z
    c, o = (r - z).sum() / scope.sum(), ahead.sum() / scope.sum()
    spread = lambda x: np.std(x, ddof=1) * np.sqrt(USERS) / scope.sum()
    share[learner, s, n] = c
    worst = max(worst, np.abs(np.array(have) - [USERS, t.mean(), c, o, spread(r - z - c * scope), spread(ahead - o * scope)]).max())
ok(worst < 1e-9, "every figure of the grid is numpy's", worst)
names = dict(db.execute("SELECT strategy, strategy_id FROM ask_strategy"))
learners = dict(db.execute("SELECT learner, learner_id FROM ask_learner"))
wrong = 0
for row in reach:
    key, goal = (learners[row["learner"]], names[row["strategy"]]), share[learners[row["learner"]], RANDOM, row["random_questions"]]
    needed = [n for n in range(1, QUESTIONS + 1) if share[key + (n,)] >= goal - 1e-12]
    wrong += row["needed"] != (needed[0] if needed else None) or row["saved"] != (round(1 - needed[0] / row["random_questions"], 2) if needed else None)
eq((wrong, len(reach)), (0, 4 * 4), "questions needed and saved")
row = [r for r in shown if (r["learner"], r["strategy"]) == ("posterior (default)", "information gain")][0]
near([row["captured_1"], row["captured_5"], row["captured_10"]], [share[1, GAIN, 1], share[1, GAIN, 5], None], 3, "what is printed")
ok('"information gain"' in db.execute("SELECT persona_chart('fewshot')").fetchone()[0], "persona_chart draws it")

# ---- no leaks, settings ----
flipped = database()
run(flipped, "sql/ask.sql", after={"ask_history": SWAP})
mean = lambda c, s: c.execute("SELECT captured_share FROM ask_grid WHERE learner = 'posterior (default)' AND strategy = ? AND questions = ?", (s, QUESTIONS)).fetchone()[0]
for s in ("at random", "information gain"):
    ok(mean(flipped, s) < mean(db, s) - .2, f"{s}: swapped answers turn what is learned around", (mean(flipped, s), mean(db, s)))
eq(flipped.execute("SELECT * FROM ask_asked WHERE strategy_id = 1").fetchall(), db.execute("SELECT * FROM ask_asked WHERE strategy_id = 1").fetchall(), "who asks at random does not listen")
noisy = database(noise=2, pool=3, questions=9)
run(noisy, "sql/ask.sql")
ok(noisy.execute("SELECT group_concat(prefers_a) FROM ask_answer").fetchone() != db.execute("SELECT group_concat(prefers_a) FROM ask_answer WHERE question <= 3").fetchone(), "noisy users answer otherwise")
eq(noisy.execute("SELECT max(turn), count(*), sum(question IS NULL) FROM ask_asked").fetchone(), (3, 3 * 5 * USERS, 0), "an empty pool ends the asking")
done()
