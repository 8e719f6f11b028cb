"""persona_interactions: an independent implementation of interactions.h in numpy (philox, Fisher-Yates, Gumbel, the published
generators), statistics at fixed seeds, and its messages."""
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import alpaca8 as alpaca8_path
from bulkdata import *

db = connect()
data = synthetic()
data.load(db)
rng = np.random.RandomState(4)
USERS = 60
weights = rng.dirichlet([0.3] * 4, USERS)
ids = np.sort(rng.permutation(10 * USERS)[:USERS]) - 50
ids[-1] = 2 ** 40 + 7  # both words of the counter
db.execute("CREATE TABLE pop(user_id, weights)")
db.executemany("INSERT INTO pop VALUES (?,?)", [(int(i), w.tobytes()) for i, w in zip(ids, weights)])
LENGTH, PROMPT, SHOWN, CHOICE = 6, 3, 4, 5
M32 = 0xFFFFFFFF


def philox(seed, purpose, user, index, attempt=0):
    """Philox4x32-10 at the address of random.h."""
    a, b, c, d = user & M32, (user >> 32) & M32, index, attempt
    k0, k1 = seed, purpose
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (q >> 32) ^ b ^ k0, q & M32, (p >> 32) ^ d ^ k1, p & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return a, b, c, d


def below(words, n):
    return ((words[1] << 32 | words[0]) * n) >> 64


def gumbels(seed, user, turn, response):
    w = philox(seed, CHOICE, user, turn, response)
    unit = lambda low, high: (((high << 32 | low) & (2 ** 52 - 1)) + 0.5) / 2.0 ** 52
    return -math.log(-math.log(unit(*w[:2]))), -math.log(-math.log(unit(*w[2:])))


def prompt_draws(seed, user, n, prompts, replacement, similar):
    if similar:
        anchor = below(philox(seed, PROMPT, user, 0), prompts)
        e = np.array([data.prompt_embedding[p[0]] for p in pool], np.float32).astype(float)
        cosine = e @ e[anchor] / np.linalg.norm(e, axis=1) / np.linalg.norm(e[anchor])
        return [anchor] + sorted((i for i in range(prompts) if i != anchor), key=lambda i: -cosine[i])[:n - 1]
    order = list(range(prompts))
    for t in range(n):
        if replacement:
            order[t:t + 1] = [below(philox(seed, PROMPT, user, t), prompts)] + order[t:t + 1]
        else:
            j = t + below(philox(seed, PROMPT, user, t), prompts - t)
            order[t], order[j] = order[j], order[t]
    return order[:n]


def reference(mode, split, per_user, seed, users=None, least=None, replacement=True, similar=False, noise=0, normalized=True):
    global pool
    pool = data.split(split, 1 if mode == "rating" else 2)
    out = []
    for user, w in users or [(int(i), x) for i, x in zip(ids, weights)]:
        n = per_user if least is None else least + below(philox(seed, LENGTH, user, 0), per_user - least + 1)
        for t, p in enumerate(prompt_draws(seed, user, n, len(pool), replacement, similar)):
            pid, rids, raw, _ = pool[p]
            u, m = utilities([w], data.scores(raw, normalized))[0], len(rids)
            g = np.array([gumbels(seed, user, t, r) for r in range(m)]) if noise else np.zeros((m, 2))
            key, away = u + noise * g[:, 0], noise * g[:, 1] - u
            words = philox(seed, SHOWN, user, t)
            if mode == "best_worst":
                best, worst = key.argmax(), u.argmin()
                if noise:
                    away[best] = -np.inf
                    worst = away.argmax()
            else:
                best = below(words, m)
            if mode == "random_pair":
                worst = below(words[2:], m - 1)
                worst += worst >= best
                if key[worst] > key[best] or (key[worst] == key[best] and worst < best):
                    best, worst = worst, best
            if mode == "rating":
                rating = u[best] + (noise * (g[best, 0] - 0.57721566490153286) if noise else 0)
                out.append((user, t + 1, pid, None, None, None, None, rids[best], rating, "one"))
            else:
                out.append((user, t + 1, pid, rids[best], rids[worst], u[best], u[worst], None, None, {"best_worst": "all", "random_pair": "pair"}[mode]))
    return out


def rows(sql, *args, on=db):
    return on.execute(sql, args).fetchall()


def got(mode, split, per_user, seed, options=None, population="pop", on=db):
    return rows("SELECT * FROM persona_interactions(?,?,?,?,?,?)", population, split, per_user, mode, seed, options, on=on)


# ---- philox, to the bit; noisy ratings to rounding of the logarithm ----
for mode in ("best_worst", "random_pair", "rating"):
    for split, options, kwargs in (
            ("train", None, {}),
            (None, '{"scores":"raw"}', {"normalized": False}),
            ("train", '{"replacement":false}', {"replacement": False}),
            ("train", '{"min_per_user":2}', {"least": 2}),
            (None, '{"similar":true}', {"similar": True}),
            ("test", '{"similar":true,"min_per_user":1}', {"similar": True, "least": 1})):
        eq(got(mode, split, 5, 5, options) == reference(mode, split, 5, 5, **kwargs), True, f"I1 {mode} {split} {options or ''}")
    noisy, want = got(mode, "train", 7, 6, '{"noise":0.3}'), reference(mode, "train", 7, 6, noise=0.3)
    if mode == "rating":
        close([r[8] for r in noisy], [r[8] for r in want], 1e-12, "I1 noisy ratings", 1e-12)
        noisy, want = [r[:8] for r in noisy], [r[:8] for r in want]
    eq(noisy == want, True, f"I1 {mode} with noise")
eq(got("best_worst", "train", 20, 2 ** 32 - 1, '{"replacement":false}') == reference("best_worst", "train", 20, 2 ** 32 - 1, replacement=False), True, "the largest seed, most of the prompts")
n = len(data.split("test", 2))
eq(sorted(r[2] for r in got("best_worst", "test", n, 1, '{"replacement":false}') if r[0] == ids[3]), [p[0] for p in data.split("test", 2)], "without replacement all prompts once")

# ---- I3: invariance ----
want = got("best_worst", "train", 40, 9, '{"noise":0.2}')
shuffled = reference("random_pair", "train", 20, 9, replacement=False)
for threads in (1, 2, 5):
    rows("SELECT persona_config('threads', ?)", threads)
    eq(got("best_worst", "train", 40, 9, '{"noise":0.2}') == want, True, f"I3 {threads} threads")
    eq(got("random_pair", "train", 20, 9, '{"replacement":false}') == shuffled, True, f"I3 shuffles, {threads} threads")
rows("SELECT persona_config('threads', 2)")
db.execute("CREATE VIEW few AS SELECT * FROM pop WHERE user_id % 7 = 0")
eq(got("best_worst", "train", 40, 9, '{"noise":0.2}', "few"), [r for r in want if r[0] % 7 == 0], "I3 a history depends on no other user")
for options in ('{"noise":0.2}', '{"replacement":false}', '{"similar":true}'):
    eq(got("best_worst", "train", 4, 9, options), [r for r in got("best_worst", "train", 12, 9, options) if r[1] <= 4], f"earlier turns do not depend on the length {options}")
db.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=9000, generator=philox)")
eq(rows("SELECT count(*), count(DISTINCT user_id), sum(turn) FROM persona_interactions('crowd', 'train', 30, 'best_worst', 1)"), [(270000, 9000, 9000 * 465)], "blocks join without gaps")
db.execute("CREATE VIEW late AS SELECT * FROM crowd WHERE user_id >= 7000")
eq(rows("SELECT * FROM persona_interactions('crowd', 'train', 30, 'rating', 1) WHERE user_id >= 7000") == rows("SELECT * FROM persona_interactions('late', 'train', 30, 'rating', 1)"), True, "I3 nor on the block")
ok(got("best_worst", "train", 40, 10) != got("best_worst", "train", 40, 11), "seeds differ")
db.execute("CREATE VIEW holes AS SELECT user_id, CASE WHEN user_id % 3 THEN weights END AS weights FROM pop")
eq(got("best_worst", "train", 40, 9, '{"noise":0.2}', "holes"), [r for r in want if r[0] % 3], "I2 users without weights are skipped")
unscored = sum(x is None for _, _, r in data.prompts for _, _, x in r)
eq(rows("SELECT max(skipped) FROM persona_interactions('holes', 'train', 1, 'rating', 1)"), [(unscored + int(sum(ids % 3 == 0)),)], "I2 and counted")
eq(rows("SELECT count(*), sum(per_user), min(mode) FROM (VALUES (2, 'rating'), (3, 'best_worst')) v, persona_interactions('pop', 'train', v.column1, v.column2, 1)"),
   [(5 * USERS, 13 * USERS, "best_worst")], "lateral arguments")
db.execute("CREATE TABLE nobody(user_id, weights)")
eq(got("best_worst", "train", 3, 1, None, "nobody"), [], "nobody, no rows")

# ---- the published generators (definitions.md#interaction-histories) ----
train8 = Data(data.names, data.mean, data.sd)
train8.prompts = [(i * 3, "train" if i % 3 else "test", [(i * 8 + k, "m", rng.randint(0, 3, 4) * 1.0) for k in range(8)]) for i in range(60)]
on = connect()
train8.load(on)
on.execute("CREATE TABLE pop(user_id, weights)")
on.executemany("INSERT INTO pop VALUES (?,?)", [(int(i), w.tobytes()) for i, w in zip(ids, weights)])


def published(mode, split, low, high, seed):
    pool, state, out = train8.split(split), np.random.RandomState(seed), []
    matrix = state.randint(0, len(pool), size=(USERS, high)) if mode == "best_worst" else None
    for i in range(USERS):
        n = high if mode == "best_worst" else state.randint(low, high + 1)
        for t in range(n):
            p = pool[matrix[i, t] if mode == "best_worst" else state.randint(0, len(pool))]
            u = utilities([weights[i]], train8.scores(p[2]))[0]
            if mode == "rating":
                r = state.randint(1, 8) - 1
                out.append((int(ids[i]), t + 1, p[0], None, None, None, None, p[1][r], u[r], "one"))
                continue
            if mode == "random_pair":
                a, b = state.choice(np.arange(1, 8), size=2, replace=False) - 1
                best, worst = (a, b) if u[a] > u[b] else (b, a)
            else:
                best, worst = u.argmax(), u.argmin()
            out.append((int(ids[i]), t + 1, p[0], p[1][best], p[1][worst], u[best], u[worst], None, None, "pair" if mode == "random_pair" else "all"))
    return out


for mode, split, low, high, seed in (("rating", "train", 25, 49, 100), ("random_pair", "train", 25, 49, 42), ("random_pair", "test", 3, 5, 42),
                                     ("best_worst", "train", 50, 50, 42), ("rating", "test", 4, 4, 0)):
    options = '{"draws":"numpy"}' if low == high else f'{{"draws":"numpy","min_per_user":{low}}}'
    eq(got(mode, split, high, seed, options, on=on) == published(mode, split, low, high, seed), True, f"numpy draws: {mode} {split} {low}..{high} seed {seed}")
ok(any(r[5] == r[6] for r in published("random_pair", "test", 3, 5, 42)), "exact ties are among the pairs")
on.execute("CREATE VIEW holes AS SELECT user_id, CASE WHEN user_id % 3 THEN weights END AS weights FROM pop")
eq(got("rating", "train", 49, 100, '{"draws":"numpy","min_per_user":25}', "holes", on), [r for r in published("rating", "train", 25, 49, 100) if r[0] % 3], "users without weights take part in numpy's draws")
on.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=3000)")
numbered = train8.split("train")
eq([r[0] for r in rows("SELECT prompt_id FROM persona_interactions('crowd', 'train', 50, 'best_worst', 42, '{\"draws\":\"numpy\"}')", on=on)] ==
   [numbered[p][0] for p in np.random.RandomState(42).randint(0, 40, size=(3000, 50)).ravel()], True, "numpy's stream goes on from block to block")

# ---- statistics at fixed seeds: chi-squared below its 1 - 1e-6 quantile, checked once, then frozen by the seed ----
from scipy.stats import chi2


def fits(counts, p, name):
    counts, p = np.asarray(counts, float), np.asarray(p, float)
    x = float(((counts - counts.sum() * p) ** 2 / (counts.sum() * p)).sum())
    ok(len(counts) == len(p) and x < chi2.ppf(1 - 1e-6, len(p) - 1), name, f"chi-squared {x}, {counts}, {counts.sum() * p}")


N = 20000
on.execute(f"CREATE TABLE same AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {N - 1}) SELECT i AS user_id, '[0.4, 0.3, 0.2, 0.1]' AS weights FROM n")
train = train8.split("train")
at = {p[0]: i for i, p in enumerate(train)}
seen = rows("SELECT prompt_id, turn, response_id FROM persona_interactions('same', 'train', 3, 'rating', 8)", on=on)
fits(np.bincount([at[r[0]] for r in seen], minlength=40), [1 / 40] * 40, "prompts are uniform")
fits(np.bincount([r[2] % 8 for r in seen], minlength=8), [1 / 8] * 8, "shown responses are uniform")
pairs = rows("SELECT min(chosen_id, rejected_id) % 8 * 8 + max(chosen_id, rejected_id) % 8 FROM persona_interactions('same', 'train', 3, 'random_pair', 8)", on=on)
pairs = np.unique([p[0] for p in pairs], return_counts=True)
fits(pairs[1], [1 / 28] * 28, "pairs are uniform")
shuffled = rows("SELECT prompt_id FROM persona_interactions('same', 'train', 3, 'rating', 8, '{\"replacement\":false}') WHERE turn = 3", on=on)
fits(np.bincount([at[r[0]] for r in shuffled], minlength=40), [1 / 40] * 40, "so are third prompts of a shuffle")
lengths = rows("SELECT count(*) FROM persona_interactions('same', 'train', 5, 'rating', 8, '{\"min_per_user\":2}') GROUP BY user_id", on=on)
fits(np.bincount([r[0] for r in lengths], minlength=6)[2:], [1 / 4] * 4, "lengths are uniform")
for noise in (0.2, 1.0):
    u = utilities([[0.4, 0.3, 0.2, 0.1]], train8.scores(train[7][2]))[0] / noise
    seen = rows(f"SELECT chosen_id % 8, rejected_id % 8 FROM persona_interactions('same', 'train', 40, 'best_worst', 9, '{{\"noise\":{noise}}}') WHERE prompt_id = ?", train[7][0], on=on)
    best = np.exp(u) / np.exp(u).sum()
    joint = np.array([[0 if i == j else best[i] * np.exp(-u[j]) / (np.exp(-u).sum() - np.exp(-u[i])) for j in range(8)] for i in range(8)])
    counts = np.zeros((8, 8))
    np.add.at(counts, tuple(np.array(seen).T), 1)
    fits(counts.sum(1), best, f"noise {noise}: the best follows its softmax ({len(seen)} choices)")
    likely = joint * len(seen) > 5
    fits(np.append(counts[likely], counts[~likely & (joint > 0)].sum()) if (~likely & (joint > 0)).any() else counts[likely],
         np.append(joint[likely], joint[~likely].sum()) if (~likely & (joint > 0)).any() else joint[likely], f"noise {noise}: best and worst follow the maxdiff model")
    eq(counts.trace(), 0, "a noisy best is never the worst")
noisy, plain = ([r[8] for r in got("rating", "train", 1, 9, options, "same", on)] for options in ('{"noise":1}', None))
ratings = np.array(noisy) - np.array(plain)
close([ratings.mean(), ratings.var()], [0, math.pi ** 2 / 6], 0, "noisy ratings: mean of the utility, variance of a Gumbel", 0.05)

# ---- messages ----
I = "SELECT * FROM persona_interactions"
usage = "persona_interactions(population, split, per_user, mode, seed [, options])"
fails(db, I, f"persona_interactions: argument 1 (population) is missing; usage: {usage}")
fails(db, f"{I}('pop', 'train', 3, 'rating')", f"persona_interactions: argument 5 (seed) is missing; usage: {usage}")
for bad, found in (("0", "0"), ("-1", "-1"), ("1000001", "1000001"), ("1.5", "a real number"), ("'x'", "text"), ("NULL", "NULL")):
    fails(db, f"{I}('pop', 'train', {bad}, 'rating', 1)", f"persona_interactions: argument 3 (per_user): {found}; a whole number from 1 to 1000000 is required")
for bad, found in (("'best'", '"best"'), ("NULL", "NULL"), ("'RATING'", '"RATING"')):
    fails(db, f"{I}('pop', 'train', 3, {bad}, 1)", f"persona_interactions: argument 4 (mode): {found}; one of best_worst, random_pair, rating is required")
for bad, found in (("-1", "-1"), ("4294967296", "4294967296"), ("0.5", "a real number"), ("NULL", "NULL")):
    fails(db, f"{I}('pop', 'train', 3, 'rating', {bad})", f"persona_interactions: argument 5 (seed): {found}; a whole number from 0 to 4294967295 is required")


def bad_option(options, message, mode="best_worst", per_user=3, split="train", population="pop"):
    fails(db, f"{I}('{population}', '{split}', {per_user}, '{mode}', 1, '{options}')", f"persona_interactions: {message}")


bad_option('{"nose":1}', 'unknown option "nose"; known options: responses, scores, replacement, min_per_user, similar, noise, draws')
bad_option('{"noise":-1}', 'option "noise" is -1; a number from 0 to 1e+300 is required')
bad_option('{"noise":"x"}', 'option "noise" is text; a number is required')
bad_option('{"draws":"mt19937"}', 'option "draws" is "mt19937"; one of philox|numpy is required')
bad_option('{"min_per_user":4}', "min_per_user is 4, but per_user is only 3")
bad_option('{"min_per_user":0}', 'option "min_per_user" is 0; a whole number from 1 to 1000000 is required')
bad_option('[1]', "options are an array; a JSON object such as {\"name\": value} is required")
bad_option('{"replacement":false}', f"per_user is 40, but only {len(data.split('train', 2))} different prompts can be drawn", per_user=40)
bad_option('{"similar":true}', f"per_user is 40, but only {len(data.split('train', 1))} different prompts can be drawn", "rating", 40)
bad_option('{"draws":"numpy","similar":true}', "the published generators, which draws = numpy repeats, draw prompts at random with replacement; use draws = philox with similar")
bad_option('{"draws":"numpy","replacement":false}', "the published generators, which draws = numpy repeats, draw prompts at random with replacement; use draws = philox with replacement = false")
bad_option('{"draws":"numpy","min_per_user":2}', "the published best_worst generator, which draws = numpy repeats, has one length for all users; use draws = philox with min_per_user")
fails(db, f"{I}('pop', 'dev', 3, 'rating', 1)", "persona_interactions: argument 2 (split): no split \"dev\"; splits: " + ", ".join(
    f"{s} ({n} prompts)" for s, n in rows("SELECT split, count(*) FROM prompts WHERE split IS NOT NULL GROUP BY 1 ORDER BY min(prompt_id)")))
db.execute("CREATE TABLE dup AS SELECT 1 AS user_id, '[1,2,3,4]' AS weights UNION ALL SELECT 1, '[1,2,3,4]'")
fails(db, f"{I}('dup', 'train', 3, 'rating', 1)", "persona_interactions: dup: user_id 1 stands twice")
lone = connect()
one = Data(["a"], [0], [1])
one.prompts = [(1, "train", [(1, None, [1.0])])]
one.load(lone)
lone.execute("CREATE TABLE pop AS SELECT 1 AS user_id, '[1]' AS weights")
fails(lone, f"{I}('pop', 'train', 3, 'best_worst', 1)", "persona_interactions: no prompt to draw from: none of 1 has 2 scored responses")
fails(lone, f"{I}('pop', 'train', 3, 'random_pair', 1, '{{\"draws\":\"numpy\"}}')", "persona_interactions: no prompt to draw from: none of 1 has 3 scored responses")
fails(lone, f"{I}('pop', 'train', 1, 'rating', 1, '{{\"similar\":true}}')", "persona_interactions: similar prompts need embeddings, but no prompt has one")
eq(rows(f"{I}('pop', 'train', 1, 'rating', 1)", on=lone), [(1, 1, 1, None, None, None, None, 1, 1.0, "one")], "one response can be rated")

# ---- the real data ----
folder = alpaca8_path()
if not folder:
    skip("histories on alpaca8", "shared/data/alpaca8 is not there")
else:
    data, on = alpaca8(folder), connect()
    data.load(on)
    on.execute("CREATE VIRTUAL TABLE users USING persona_users(count=60, alpha=0.05, seed=0)")
    users = [(i, np.frombuffer(w)) for i, w in rows("SELECT user_id, weights FROM users", on=on)]
    for mode in ("best_worst", "random_pair", "rating"):
        eq(got(mode, "train", 10, 3, None, "users", on) == reference(mode, "train", 10, 3, users), True, f"alpaca8: {mode}")
done()
