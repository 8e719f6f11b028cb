"""sql/fewshot.sql against numpy: the four ways of answering, what is learned from them, every figure; and that nothing leaks."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from adaptation import Evidence
from analyses import Side, demo, near, run, statements
import numpy as np
from scipy.stats import kstest

SEEN, UNSEEN, HISTORY, SHOTS = 12, 11, 3, [1, 4]
FORMS = ["choice set", "best against worst", "random pair", "controversial pair"]
SWAP = "UPDATE fewshot_history SET chosen_id = rejected_id, rejected_id = chosen_id WHERE user_id % 1000000 {} 100000"

os.chdir(ROOT)


def database(**settings):
    return demo("fewshot_setting", {"seen": SEEN, "unseen": UNSEEN, "history": HISTORY, "shots": json.dumps(SHOTS), **settings})


def bradley_terry(rows, implied):
    v = Evidence("adapt_user_choices", rows)
    d = []
    for x, best, worst, _ in v.sets:
        rest = [i for i in range(len(x)) if i not in (best, worst)]
        d += [x[best] - x[worst]]
        d += [x[best] - x[i] for i in rest] + [x[i] - x[worst] for i in rest] if implied else []
    d, w = np.array(d), np.zeros(rows[0][1].size)
    value = lambda w: np.logaddexp(0, -d @ w).sum() + w @ w / 2
    for _ in range(100):
        p = 1 / (1 + np.exp(d @ w))
        slope = w - d.T @ p
        step, t = np.linalg.solve((d.T * (p * (1 - p))) @ d + np.eye(w.size), slope), 1.0
        while value(w - t * step) > value(w) - 1e-4 * t * (slope @ step) and t > 1e-10:
            t /= 2
        w = w - t * step
    return w


def hebbian(rows):
    total = sum(x[best] - x[worst] for x, best, worst, _ in Evidence("adapt_user_choices", rows).sets)
    return total / np.abs(total).sum()


def estimates(db):
    """{(method_id, form, n, person): weights}"""
    return {(i // 10**10, i // 10**6 % 10, i // 10**7 % 1000, i % 10**6): np.frombuffer(w)
            for i, w in db.execute("SELECT user_id, weights FROM fewshot_estimate")}


db = database()
table = run(db, "sql/fewshot.sql")[0]
train, test = Side(db, "train"), Side(db, "test")
truth = {u: np.frombuffer(w) for u, w in db.execute("SELECT user_id, weights FROM fewshot_user")}
people = sorted(truth)
eq(people, list(range(SEEN)) + list(range(100000, 100000 + UNSEEN)), "users")
want = {u: db.execute(f"SELECT weights FROM fewshot_{'un' * (u >= 100000)}seen WHERE user_id = ?", (u % 100000,)).fetchone()[0] for u in people}
eq({u: w.tobytes() for u, w in truth.items()}, want, "are the first of their populations")
eq(len({w.tobytes() for w in truth.values()}), len(people), "and no unseen user is a seen one")
seeds = {n: set(re.findall(r"seed=(\d+)|\('seed', (\d+)\)", re.sub("--[^\n]*", "", "".join(statements(f"sql/{n}.sql")))))
         for n in ("fewshot", "fewshot_bootstrap", "outside_users", "continual", "ask", "calibration", "when_to_personalise")}
seeds = {n: [a or b for a, b in of] for n, of in seeds.items()}
eq((sum(map(len, seeds.values())), len(set(sum(seeds.values(), []))), min(map(len, seeds.values()))), (20, 20, 2), "no population, history or bootstrap shares a seed with another")

# ---- the four ways of answering ----
where = {i: k for k, ids in enumerate(train.ids) for i in ids}
votes = np.array([np.bincount([(z @ truth[u]).argmax() for u in range(SEEN)], minlength=len(z)) for z in train.Z])
contested = [set(np.argsort(-v, kind="stable")[:2]) for v in votes]
asked, wrong = {}, [0] * 4
for uid, turn, chosen, rejected in db.execute("SELECT user_id, turn, chosen_id, rejected_id FROM fewshot_history ORDER BY user_id, turn"):
    form, person, k = uid // 10**6, uid % 10**6, where[chosen]
    u = train.Z[k] @ truth[person]
    c, r = train.ids[k].index(chosen), train.ids[k].index(rejected)
    good = u[c] >= u[r] and (form > 2 or (c, r) == (u.argmax(), u.argmin())) and (form < 4 or {c, r} == contested[k])
    wrong[form - 1] += not good
    shown = range(len(u)) if form == 1 else sorted((c, r))
    asked.setdefault((form, person), []).append([(turn, train.Z[k][i], "best" if i == c else "worst" if i == r else None) for i in shown])
    asked.setdefault((form, person, "prompts"), []).append(k)
    asked.setdefault((form, person, "models"), []).append([train.models[k][i] for i in shown])
eq(wrong, [0] * 4, "every answer is the user's, from what was shown")
eq({len(asked[f, u]) for f in (1, 2, 3, 4) for u in people}, {max(SHOTS + [HISTORY])}, "as many as asked for")
ok(all(asked[f, u, "prompts"] == asked[f + 1, u, "prompts"] for f in (1, 3) for u in people), "on the same prompts, two by two")

# ---- what is learned ----
own, worst = estimates(db), {}
for f in (1, 2, 3, 4):
    for u in people:
        for n in SHOTS:
            rows = sum(asked[f, u][:n], [])
            for m, w in ((1, np.full(10, .1)), (4, hebbian(rows)), (5, bradley_terry(rows, False)), (6, bradley_terry(rows, True))):
                worst[m] = max(worst.get(m, 0), np.abs(own[m, f, n, u] - w).max() / np.abs(w).max())
for m, error in worst.items():
    name = db.execute("SELECT method FROM fewshot_method WHERE method_id = ?", (m,)).fetchone()[0]
    ok(error < 1e-7, f"{name}: numpy's, for all users, answers and shots", error)
db.execute("CREATE TABLE rows_seen(user_id, choice_set, features, feedback)")
for f in (1, 2, 3, 4):
    db.execute("DELETE FROM rows_seen")
    for u in range(SEEN):
        db.executemany("INSERT INTO rows_seen VALUES (?, ?, ?, ?)",
                       [(u, t, x.tobytes(), label) for of in asked[f, u][:HISTORY] for t, x, label in of])
    for learner, options in db.execute("SELECT learner, options FROM fewshot_learner").fetchall():
        got, fresh = [db.execute(q, a).fetchone()[0] for q, a in (
            ("SELECT model FROM fewshot_model WHERE learner = ? AND form = ?", (learner, f)),
            ("SELECT learn_users_choices(user_id, choice_set, features, feedback, ?) FROM rows_seen", (options,)))]
        # the users are numbered otherwise and features were read by another way, so the same but for the last digits
        info = [json.loads(db.execute("SELECT model_info(?)", (b,)).fetchone()[0]) for b in (got, fresh)]
        eq([(i["users"], i["rows"]) for i in info], [(SEEN, sum(len(s) for u in range(SEEN) for s in asked[f, u][:HISTORY]))] * 2,
           f"{FORMS[f - 1]}: {learner} has learned from the seen users' histories alone")
        if learner in ("pooled", "prior"):
            close(info[0]["objective"], info[1]["objective"], 1e-6, f"{FORMS[f - 1]}: {learner}: the same objective")
        if learner == "pooled":
            w = [v for v, in db.execute("SELECT weight FROM model_weights(?) ORDER BY position", (fresh,))]
            ok(all(np.abs(own[3, f, n, u] - w).max() < 1e-5 * np.abs(w).max() for n in SHOTS for u in people), f"{FORMS[f - 1]}: pooled is one ranking for all")

# ---- every figure ----
popular = {}
for f in (1, 2, 3, 4):
    count = {}
    for u in range(SEEN):
        for names, s in zip(asked[f, u, "models"][:HISTORY], asked[f, u]):
            for model, (_, _, label) in zip(names, s):
                a = count.setdefault(model, [0, 0])
                a[0] += label == "best"
                a[1] += 1
    popular[f] = {m: a / b for m, (a, b) in count.items()}


def judge(u, scores):
    """top1, pair accuracy, reward, best, random: means over the test prompts."""
    out = []
    for k, z in enumerate(test.Z):
        t, e = z @ truth[u], scores(k, z)
        out.append((e.argmax() == t.argmax(), e[t.argmax()] > e[t.argmin()], t[e.argmax()], t.max(), t.mean()))
    return np.mean(out, 0)


judged = {key: judge(key[3], lambda k, z: z @ w) for key, w in own.items()}
for f in (1, 2, 3, 4):
    for n in SHOTS:
        for u in people:
            judged[2, f, n, u] = judge(u, lambda k, z: np.array([popular[f].get(m, 0) for m in test.models[k]]))
            judged[99, f, n, u] = judge(u, lambda k, z: z @ truth[u])
grid = db.execute("SELECT g.*, m.method_id FROM fewshot_grid g JOIN fewshot_method m USING (method)").fetchall()
eq(len(grid), 2 * 4 * len(SHOTS) * 16, "one row for who, feedback, method and number of interactions")
difference, reads = 0, set()
for who, feedback, method, n, read, users, top1, share, low, high, gain, gain_error, decile, pairs, m in grid:
    f, of = FORMS.index(feedback) + 1, [u for u in people if (u < 100000) == (who == "seen")]
    t, p, r, b, z = np.array([judged[m, f, n, u] for u in of]).T
    q = np.array([judged[3, f, n, u][2] for u in of])
    N = len(of)
    captured, over = (r - z).sum() / (b - z).sum(), (r - q).sum() / (b - q).sum()
    se = np.std(r - z - captured * (b - z), ddof=1) * np.sqrt(N) / (b - z).sum()
    over_se = np.std(r - q - over * (b - q), ddof=1) * np.sqrt(N) / (b - q).sum()
    tenth = np.sort((r - z) / (b - z))[:-(-N // 10)].mean()
    have = [users, top1, share, low, high, gain, gain_error, decile, pairs]
    error = np.abs(np.array(have) - [N, t.mean(), captured, captured - 1.96 * se, captured + 1.96 * se, over, over_se, tenth, p.mean()])
    difference = max(difference, error.max())
    reads.add((feedback, n, read))
ok(difference < 1e-9, "every figure of the grid is numpy's", difference)
eq(reads, {(f, n, n * (8. if i < 2 else 2.)) for i, f in enumerate(FORMS) for n in SHOTS}, "responses read")
row = [r for r in table if (r["feedback"], r["method"]) == ("random pair", "LoRe")][0]
want = db.execute("SELECT captured_share FROM fewshot_grid WHERE who = 'unseen' AND feedback = 'random pair' AND method = 'LoRe' AND interactions = 1").fetchone()[0]
near([row["captured_1"], row["captured_3"]], [want, None], 3, "what is printed")
eq(db.execute("SELECT count(*), count(DISTINCT method), min(low <= captured_share AND captured_share <= high) FROM fewshot").fetchone(),
   (32, 16, 1), "what the chart draws: one row for method and interactions")
ok('"posterior, learned prior"' in db.execute("SELECT persona_chart('fewshot')").fetchone()[0], "persona_chart draws it")
run(db, "sql/leaderboard.sql")

# ---- what a bootstrap needs, and the bootstrap ----
kept = {(f, m, p): (np.frombuffer(g), np.frombuffer(s)) for f, m, p, g, s in db.execute("SELECT feedback, method, person, gained, scope FROM fewshot_run")}
eq((len(kept), {len(x) for v in kept.values() for x in v}), (4 * 16 * UNSEEN, {20}), "unseen users by every method and answer, twenty groups of prompts")
names = dict(db.execute("SELECT method, method_id FROM fewshot_method"))
share = lambda of: sum(g.sum() for g, _ in of) / sum(s.sum() for _, s in of)
captured = {(f, m): share([v for k, v in kept.items() if k[:2] == (f, m)]) for f in FORMS for m in names}
want = dict(((f, m), c) for f, m, c in db.execute("SELECT feedback, method, captured_share FROM fewshot_grid WHERE who = 'unseen' AND interactions = 4"))
close([captured[k] for k in sorted(want)], [want[k] for k in sorted(want)], 1e-9, "which add up to the grid's captured shares")
group = (np.arange(len(test.Z)) + 1) % 20
key = ("random pair", "LoRe", 3)
scores = [(z @ own[names["LoRe"], 3, 4, 100003], z @ truth[100003]) for z in test.Z]
each = np.array([[t[e.argmax()] - t.mean(), t.max() - t.mean()] for e, t in scores])
close(kept[key], [np.bincount(group, each[:, i], 20) for i in (0, 1)], 1e-9, "a group is every twentieth prompt", absolute=1e-12)
other = database(shots="[4]")
other.execute("INSERT INTO fewshot_setting VALUES ('first', 50)")
run(other, "sql/fewshot.sql")
ok(all(other.execute("SELECT weights FROM fewshot_unseen WHERE user_id = ?", (50 + u,)) .fetchone()[0] not in {w.tobytes() for w in truth.values()} for u in range(UNSEEN)),
   "others, from another first one")
eq([w for w, in other.execute("SELECT weights FROM fewshot_user WHERE user_id >= 100000")], [w for w, in other.execute("SELECT weights FROM fewshot_unseen WHERE user_id >= 50 AND user_id < ?", (50 + UNSEEN,))],
   "are the users then")
other.execute("UPDATE fewshot_setting SET value = 77 WHERE name = 'seed'")
run(other, "sql/fewshot.sql")
eq(other.execute("SELECT count(*), count(DISTINCT seed) FROM fewshot_run").fetchone(), (2 * 4 * 16 * UNSEEN, 2), "another seed is kept beside")
other.execute("CREATE TEMP TABLE bootstrap_setting(name PRIMARY KEY, value)")
other.execute("INSERT INTO bootstrap_setting VALUES ('replicates', 120), ('reference', 'uniform weights')")
printed = run(other, "sql/fewshot_bootstrap.sql")[0]
rows = other.execute("SELECT feedback, method, seed, person, gained, scope FROM fewshot_run ORDER BY seed, person").fetchall()
weight = np.array(other.execute("SELECT weight FROM bootstrap_weight ORDER BY replicate, place").fetchall()).reshape(120, 2 * UNSEEN)
groups = np.array([np.frombuffer(w) for w, in other.execute("SELECT weights FROM bootstrap_group ORDER BY replicate")])
ok(abs(weight.mean() - 1) < .1 and abs(weight.std() - 1) < .15 and np.abs(groups.sum(1) - 1).max() < 1e-12 and abs(groups.std() * 21 - 1) < .1, "weights of users are exponential, of prompts Dirichlet")
replicate = {}
for f in FORMS:
    for m in names:
        g, s = [np.array([np.frombuffer(r[i]) for r in rows if r[:2] == (f, m)]) for i in (4, 5)]
        replicate[f, m] = np.einsum("ru,ug,rg->r", weight, g, groups) / np.einsum("ru,ug,rg->r", weight, s, groups), g.sum() / s.sum()
worst = 0
for f, m, seeds_, users_, *have in other.execute("SELECT feedback, method, seeds, users, captured_share, low, high, difference, difference_low, difference_high, ahead FROM fewshot_interval"):
    (r, c), (r0, c0) = replicate[f, m], replicate[f, "uniform weights"]
    cut = lambda x: list(np.sort(x)[[2, -3]])
    worst = max(worst, np.abs(np.array(have) - [c, *cut(r), c - c0, *cut(r - r0), (r - r0 > 1e-13).mean()]).max(), abs(seeds_ - 2), abs(users_ - 2 * UNSEEN))
ok(worst < 1e-9, "intervals are those of numpy's sums over the same weights", worst)
eq(len(printed), 4 * 16, "and printed for every method and answer")

# ---- users outside the prior's family ----
outside = database(noise=1, shots="[2]")
outside.execute("CREATE TEMP TABLE outside_setting(name PRIMARY KEY, value)")
outside.execute("INSERT INTO outside_setting VALUES ('users', 400), ('kind', 'some negative')")
kinds = run(outside, "sql/outside_users.sql")[0]
draws = np.array(outside.execute("SELECT own, sign FROM outside_draw ORDER BY history, user_id, k").fetchall())
common = np.array(outside.execute("SELECT DISTINCT common FROM outside_draw").fetchall())
eq((len(draws), len(common)), (2 * 400 * 10, 2 * 400 * 3), "numbers for every user and reward model, and for three blocks")
ok(kstest(draws[:, 0], "norm").pvalue > 1e-3 and kstest(common[:, 0], "norm").pvalue > 1e-3 and kstest(draws[:, 1], "uniform").pvalue > 1e-3, "normal and uniform ones")
of = {}
for kind, history, u, w in outside.execute("SELECT kind, history, user_id, weights FROM outside_user ORDER BY kind, history, user_id"):
    of.setdefault((kind, history), []).append(np.frombuffer(w))
of = {k: np.array(v) for k, v in of.items()}
draws = np.array(outside.execute("SELECT own, common, sign FROM outside_draw ORDER BY history, user_id, k").fetchall()).reshape(2, 400, 10, 3)
for history in (0, 1):
    z, y, sign = draws[history].transpose(2, 0, 1)
    soft = lambda x: np.exp(2 * x) / np.exp(2 * x).sum(1, keepdims=True)
    want = {"softmax-Gaussian": soft(z), "block-correlated": soft(np.sqrt(.8) * y + np.sqrt(.2) * z), "some negative": soft(z) * np.where(sign < .3, -1, 1)}
    ok(all(np.abs(of[k, history] - w).max() < 1e-12 for k, w in want.items()), "weights are numpy's, of the " + ("history users" if history else "test users"))
blocks = np.corrcoef(np.log(of["block-correlated", 0]), rowvar=False)
ok(blocks[0, 1] > .4 and blocks[0, 9] < .1, "reward models of one block are liked together", (blocks[0, 1], blocks[0, 9]))
eq({r["kind"]: (r["users"], .25 < r["negative"] < .35) for r in kinds}, {"softmax-Gaussian": (400, False), "block-correlated": (400, False), "some negative": (400, True)}, "what is printed")
eq([len({w.tobytes() for h in (0, 1) for w in of[k, h]}) for k in want], [800] * 3, "no history user is a test user")
run(outside, "sql/fewshot.sql")
eq([f for f, in outside.execute("SELECT DISTINCT feedback FROM fewshot_grid WHERE method = 'pooled'")], FORMS[:3], "noise: controversial pairs are left out")
ok(outside.execute("SELECT count(*) FROM fewshot_asked WHERE form = 3 AND chosen_reward < rejected_reward").fetchone()[0] > 0, "noise: some answers are not the user's")
eq([w for w, in outside.execute("SELECT weights FROM fewshot_user ORDER BY user_id")], [w.tobytes() for w in [*of["some negative", 1][:SEEN], *of["some negative", 0][:UNSEEN]]],
   "fewshot.sql takes its users from there")
outside.execute("UPDATE outside_setting SET value = 'block-correlated' WHERE name = 'kind'")
eq(outside.execute("SELECT weights FROM fewshot_unseen WHERE user_id = 3").fetchone()[0], of["block-correlated", 0][3].tobytes(), "another kind by a setting")

# ---- no leaks ----
flipped = database()
run(flipped, "sql/fewshot.sql", after={"fewshot_history": SWAP.format(">=")})
other, blobs = estimates(flipped), "SELECT learner, form, model FROM fewshot_model ORDER BY 1, 2"
ok(db.execute(blobs).fetchall() == flipped.execute(blobs).fetchall(), "models are the same bytes, whatever unseen users say")
ok(all((other[k] == own[k]).all() for k in own if k[3] < 100000), "and so is all that is learned about seen users")
ok(all(np.abs(other[k] + own[k]).max() < 1e-6 * np.abs(own[k]).max() for k in own if k[3] >= 100000 and k[0] in (4, 5, 6)),
   "swapped labels turn the weights of unseen users around")
mean = lambda c, m: c.execute("SELECT captured_share FROM fewshot WHERE method = ? AND interactions = 4", (m,)).fetchone()[0]
for method in ("posterior (default)", "posterior, learned prior", "Bradley-Terry around pooled", "neighbors"):
    ok(mean(flipped, method) < mean(db, "uniform weights") < mean(db, method), f"{method}: swapped labels are worse than no personalisation",
       (mean(flipped, method), mean(db, "uniform weights"), mean(db, method)))
eq([mean(flipped, m) for m in ("uniform weights", "true weights (ceiling)", "popularity")],
   [mean(db, m) for m in ("uniform weights", "true weights (ceiling)", "popularity")], "who does not listen is not moved")
run(flipped, "sql/fewshot.sql", after={"fewshot_history": SWAP.format("<")})
other = estimates(flipped)
ok(all(np.abs(other[k] + own[k]).max() < 1e-4 * np.abs(own[k]).max() for k in own if k[0] == 3), "pooled is turned around when seen users are")
ok(all((other[k] == own[k]).all() for k in own if k[3] >= 100000 and k[0] in (4, 5, 6, 12)), "who learns from one user alone does not see it")
done()
