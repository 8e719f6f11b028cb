"""persona_evaluate against numpy (evaluate.h, rules E1..E4 of vt_evaluate.c)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import alpaca8 as alpaca8_path
from bulkdata import *

COLUMNS = "prompts, top1, pair_accuracy, all_pairs_accuracy, reward, best_reward, random_reward, regret, win_rate"
db = connect()
data = synthetic()
hole = data.split("test")[0][1][0]
del data.embedding[hole]  # one response of the test split has no embedding
data.load(db)
rng = np.random.RandomState(8)
USERS = 8195  # eight blocks, and three users of the next
ids = np.sort(rng.permutation(3 * USERS)[:USERS]) - 99
truth = rng.randint(0, 4, (USERS, 4)) / 7.0
truth[::3] = rng.standard_normal((len(truth[::3]), 4))
estimate = truth + (rng.randint(0, 3, (USERS, 4)) - 1) * 0.25
flat = rng.randint(-1, 2, (USERS, 6)) / 2.0
db.execute("CREATE TABLE truth(user_id, weights)")
db.execute("CREATE TABLE estimate(user_id, weights)")
db.execute("CREATE TABLE flat(user_id, weights)")
for table, w in (("truth", truth), ("estimate", estimate), ("flat", flat)):
    db.executemany(f"INSERT INTO {table} VALUES (?,?)", [(int(ids[i]), w[i].tobytes()) for i in rng.permutation(USERS)])


def judge(split, truth, estimate, features=None, reference=None, normalized=True, d=data):
    """Rows of COLUMNS; features: response_id -> vector, missing ones are left out."""
    names = "top1 pair all n_all reward best random win n_win".split()
    sums, n = {k: np.zeros(len(truth)) for k in names}, 0
    for pid, rids, raw, models in d.split(split):
        keep = [i for i, r in enumerate(rids) if features is None or r in features]
        if not keep:
            continue
        scores = d.scores(raw, normalized)[keep]
        t = utilities(truth, scores)
        e = utilities(estimate, scores if features is None else [features[rids[i]] for i in keep])
        best, worst, pick, at, n = t.argmax(1), t.argmin(1), e.argmax(1), np.arange(len(truth)), n + 1
        above, up, down = t[:, :, None] > t[:, None, :], e[:, :, None] > e[:, None, :], e[:, :, None] < e[:, None, :]
        pairs = above.sum((1, 2))
        right = (above & up).sum((1, 2)) + 0.5 * (above & ~up & ~down).sum((1, 2))
        sums["top1"] += best == pick
        sums["pair"] += (t[at, best] > t[at, worst]) & (e[at, best] > e[at, worst])
        sums["all"] += right / np.maximum(pairs, 1)
        sums["n_all"] += pairs > 0
        sums["reward"] += t[at, pick]
        sums["best"] += t[at, best]
        sums["random"] += t.mean(1)
        rival = [k for k, i in enumerate(keep) if models[i] == reference]
        if reference and rival:
            sums["win"] += t[at, pick] > t[:, rival[0]]
            sums["n_win"] += 1
    with np.errstate(invalid="ignore"):
        reward, best = sums["reward"] / n, sums["best"] / n
        return np.array([np.full(len(truth), n), sums["top1"] / n, sums["pair"] / sums["n_all"], sums["all"] / sums["n_all"], reward, best,
                         sums["random"] / n, best - reward, sums["win"] / sums["n_win"]]).T


def evaluate(truth="truth", estimate="estimate", split="test", options=None, on=db):
    return on.execute(f"SELECT user_id, {COLUMNS} FROM persona_evaluate(?,?,?,?)", (truth, estimate, split, options)).fetchall()


def same(got, want, name, users=None):
    """Equal users, prompts and NULLs; metrics to 1e-9."""
    users = [int(i) for i in (ids if users is None else users)]
    values = np.array([[np.nan if x is None else x for x in r[1:]] for r in got], float)
    ok([r[0] for r in got] == users and values.shape == want.shape and np.array_equal(np.isnan(values), np.isnan(want))
       and np.array_equal(values[:, 0], want[:, 0]) and np.allclose(values, want, rtol=1e-9, atol=1e-9, equal_nan=True),
       name, f"got  {values[:2]}\nwant {want[:2]}")


for split in ("test", "train", None):
    same(evaluate(split=split), judge(split, truth, estimate), f"E4 metrics on {split}")
same(evaluate(options='{"scores":"raw"}'), judge("test", truth, estimate, normalized=False), "raw scores")
same(evaluate(options='{"reference":"llm2"}', split=None), judge(None, truth, estimate, reference="llm2"), "win_rate against a reference that not all prompts have")
ok(any(all(m != "llm2" for m in p[3]) for p in data.split(None)), "some prompt is without the reference")
same(evaluate(estimate="flat"), judge("test", truth, flat, data.embedding), "E2 an estimate over embeddings, found by its length")
same(evaluate(estimate="flat", options='{"features":"embedding","reference":"llm1"}'), judge("test", truth, flat, data.embedding, "llm1"), "E2 embeddings asked for")
unscored = sum(x is None for _, _, r in data.prompts for _, _, x in r)
eq(db.execute("SELECT DISTINCT skipped FROM persona_evaluate('truth', 'flat', 'test')").fetchall(), [(unscored + 1,)], "E3 a response without embedding is counted")
student = {r: rng.randint(-2, 3, 6) * 0.5 for p in data.prompts for r, _, _ in p[2]}
gone = data.split("test")[1]
for r in gone[1] + data.split("test")[2][1][:2]:
    del student[r]
db.execute("CREATE TABLE student(response_id, features)")
db.executemany("INSERT INTO student VALUES (?,?)", [(r, x.tobytes() if r % 2 else blob32(x)) for r, x in student.items()] + [(10 ** 9, b""), (gone[1][0], None)])
same(evaluate(estimate="flat", options='{"features":"student"}'), judge("test", truth, flat, student), "E2 E3 features from a table; a prompt without any does not count")
same(evaluate(options='{"features":"rewards"}'), judge("test", truth, estimate), "E2 rewards asked for")
want = evaluate(split=None, options='{"reference":"llm2"}')
for threads in (1, 2, 5):
    db.execute("SELECT persona_config('threads', ?)", (threads,)).fetchall()
    eq(evaluate(split=None, options='{"reference":"llm2"}') == want, True, f"{threads} threads, equal bits")
db.execute("SELECT persona_config('threads', 2)").fetchall()
db.execute("CREATE VIEW truth3 AS SELECT * FROM truth WHERE user_id % 3 = 0")
db.execute("CREATE VIEW estimate3 AS SELECT * FROM estimate WHERE user_id % 3 = 0")
eq(evaluate("truth3", "estimate3", None, '{"reference":"llm2"}') == [r for r in want if r[0] % 3 == 0], True, "equal bits however users fall into blocks")

# E1: coverage
got = evaluate("truth", "estimate3")
full = dict((r[0], r) for r in evaluate())
eq([r for r in got if r[0] % 3 == 0], [r for r in full.values() if r[0] % 3 == 0], "E1 users with an estimate")
eq([r for r in got if r[0] % 3], [(u, full[u][1]) + (None,) * 8 for u in full if u % 3], "E1 users without have NULLs, but prompts")
db.execute("CREATE VIEW holes AS SELECT user_id, CASE WHEN user_id % 5 THEN weights END AS weights FROM estimate")
eq(evaluate("truth", "holes"), [full[u] if u % 5 else (u, full[u][1]) + (None,) * 8 for u in full], "E1 NULL weights are no estimate")
db.execute("CREATE VIEW known AS SELECT user_id, CASE WHEN user_id % 5 THEN weights END AS weights FROM truth")
eq(evaluate("known", "estimate"), [full[u] for u in full if u % 5], "E1 users without true weights are skipped")
eq(db.execute("SELECT max(skipped) FROM persona_evaluate('known', 'estimate', 'test')").fetchall(), [(unscored + int(sum(ids % 5 == 0)),)], "E1 and counted")
db.execute("CREATE TABLE nobody(user_id, weights)")
eq(evaluate("truth", "nobody"), [(u, full[u][1]) + (None,) * 8 for u in full], "E1 no estimate at all")
eq(evaluate("nobody", "nobody"), [], "nobody, no rows")
oracle = evaluate("truth", "truth")
eq({r[2:3] + r[8:9] for r in oracle}, {(1.0, 0.0)}, "the truth as its own estimate: no regret")
eq(db.execute("SELECT sum(prompts) FROM (VALUES ('test'), ('train')) s, persona_evaluate('truth3', 'estimate3', s.column1)").fetchall(),
   [(sum(ids % 3 == 0) * (len(data.split("test")) + len(data.split("train"))),)], "lateral arguments")
db.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (10000, 'dev', 'no response yet')")
eq({r[1:] for r in evaluate("truth3", "estimate3", "dev")}, {(0,) + (None,) * 8}, "a split without a scored response: means over nothing are NULL")

# E4: what the truth does not tell apart is no pair
for i, scores in enumerate(([1, 2, 3, 4], [5, 5, 5, 5], [5, 5, 5, 5])):
    db.execute("INSERT INTO responses(response_id, prompt_id, position, raw_rewards) VALUES (?, ?, ?, ?)", (10**6 + i, 10000 + (i > 0), 1 + i, np.array(scores, float).tobytes()))
db.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (10001, 'dev', 'two equal responses')")
alone = "SELECT DISTINCT prompts, top1, pair_accuracy, all_pairs_accuracy FROM persona_evaluate('truth3', 'estimate3', 'dev')"
eq(db.execute(alone).fetchall(), [(2, 1.0, None, None)], "E4 one response, or two alike: no pair, so no pair accuracy")
db.execute("INSERT INTO responses(response_id, prompt_id, position, raw_rewards) VALUES (?, 10002, 1, ?), (?, 10002, 2, ?)",
           (10**6 + 3, np.full(4, 1e3).tobytes(), 10**6 + 4, np.full(4, -1e3).tobytes()))
db.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (10002, 'dev', 'one far better')")
db.execute("CREATE VIEW plain AS SELECT user_id, '[1,1,1,1]' AS weights FROM truth3")
eq(db.execute(alone.replace("truth3", "plain").replace("estimate3", "plain")).fetchall(), [(3, 1.0, 1.0, 1.0)], "E4 such prompts leave the mean of the others alone")
db.execute("DELETE FROM responses WHERE response_id >= 1000000")
db.execute("DELETE FROM prompts WHERE prompt_id > 10000")
# ---- messages ----
# ---- messages ----
E = "SELECT * FROM persona_evaluate"
usage = "persona_evaluate(truth, estimate, split [, options])"
fails(db, f"{E}('truth', 'estimate')", f"persona_evaluate: argument 3 (split) is missing; usage: {usage}")
fails(db, f"{E}('truth', NULL, 'test')", "persona_evaluate: argument 2 (estimate): NULL; a table name is required")
fails(db, f"{E}('truth', 'guess', 'test')", "persona_evaluate: argument 2 (estimate): no such table: guess")
fails(db, f"{E}('gone', 'estimate', 'test')", "persona_evaluate: argument 1 (truth): no such table: gone")
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"reference\":\"gpt\"}}')", 'persona_evaluate: option "reference": no response is by model "gpt"; models: ' + ", ".join(
    sorted({m for p in data.split(None) for m in p[3] if m})))
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"ref\":\"gpt\"}}')", 'persona_evaluate: unknown option "ref"; known options: responses, scores, features, reference')
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"features\":\"nope\"}}')", 'persona_evaluate: option "features" is neither rewards nor embedding nor a table: no such table: nope')
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"features\":\"truth\"}}')", "persona_evaluate: truth: no such column: response_id")
fails(db, f"{E}('truth', 'flat', 'test', '{{\"features\":\"rewards\"}}')", f"persona_evaluate: flat: user_id {ids[0]}: weights: 6 numbers; 4 are required, as there are that many rewards")
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"features\":\"embedding\"}}')", f"persona_evaluate: estimate: user_id {ids[0]}: weights: 4 numbers; 6 are required, as the embedding has that many")
fails(db, f"{E}('flat', 'truth', 'test')", f"persona_evaluate: flat: user_id {ids[0]}: weights: 6 numbers; 4 are required, as there are that many rewards")
db.execute("CREATE TABLE odd AS SELECT user_id, '[1,2,3]' AS weights FROM truth")
fails(db, f"{E}('truth', 'odd', 'test')", 'persona_evaluate: odd: weights of 3 numbers fit neither the 4 rewards nor the embedding (6 numbers); option "features" can name a table (response_id, features)')
tested = {r for p in data.split("test") for r in p[1]}
db.execute("CREATE TABLE twice AS SELECT response_id, '[1,2,3]' AS features FROM responses UNION ALL SELECT ?, '[1,2,3]'", (hole,))
fails(db, f"{E}('truth', 'odd', 'test', '{{\"features\":\"twice\"}}')", f"persona_evaluate: twice: response_id {hole} stands twice")
db.execute("CREATE TABLE named AS SELECT 'a' AS response_id, '[1,2,3]' AS features")
fails(db, f"{E}('truth', 'odd', 'test', '{{\"features\":\"named\"}}')", "persona_evaluate: named: response_id is text; an integer is required")
db.execute("CREATE TABLE mixed AS SELECT * FROM estimate LIMIT 3")
db.execute("UPDATE mixed SET weights = '[1]' WHERE rowid = 3")
fails(db, f"{E}('truth', 'mixed', 'test')", "persona_evaluate: mixed: user_id %d: weights: 1 numbers; 4 are required, as there are that many rewards" % db.execute("SELECT user_id FROM mixed WHERE rowid = 3").fetchone())
fails(db, f"{E}('truth', 'estimate', 'test', '{{\"features\":\"student\"}}')", f"persona_evaluate: student: response_id {next(r for r in student if r in tested)}: features: a BLOB of 24 bytes where 4 numbers are expected; that is 32 bytes as f64 or 16 as f32")
stranger = int(next(i for i in range(-99, 3 * USERS) if i not in set(ids)))
db.execute("CREATE TABLE strangers AS SELECT * FROM estimate UNION ALL SELECT ?, weights FROM estimate WHERE user_id = ?", (stranger, int(ids[0])))
fails(db, f"{E}('truth', 'strangers', 'test')", f"persona_evaluate: strangers: user_id {stranger} is not in truth")
db.execute("CREATE TABLE last AS SELECT 99999 AS user_id, NULL AS weights")
fails(db, f"{E}('truth', 'last', 'test')", "persona_evaluate: last: user_id 99999 is not in truth", "a stranger behind the last user")
db.execute("CREATE TABLE dup AS SELECT * FROM mixed WHERE typeof(weights) = 'blob' UNION ALL SELECT * FROM mixed WHERE typeof(weights) = 'blob'")
fails(db, f"{E}('truth', 'dup', 'test')", "persona_evaluate: dup: user_id %d stands twice" % db.execute("SELECT min(user_id) FROM dup").fetchone())
fails(db, f"{E}('dup', 'estimate', 'test')", "persona_evaluate: dup: user_id %d stands twice" % db.execute("SELECT min(user_id) FROM dup").fetchone())
fails(db, f"{E}('truth', 'student', 'test')", "persona_evaluate: student: no such column: user_id")
db.execute("UPDATE responses SET embedding = NULL")
fails(db, f"{E}('truth', 'flat', 'test', '{{\"features\":\"embedding\"}}')", 'persona_evaluate: option "features" is "embedding", but responses has none')
db.execute("UPDATE responses SET embedding = '[1,2,3,4]'")
fails(db, f"{E}('truth', 'estimate', 'test')", 'persona_evaluate: estimate: weights of 4 numbers fit rewards and embedding; option "features" must say which')

# ---- the real data ----
folder = alpaca8_path()
if not folder:
    skip("evaluation on alpaca8", "shared/data/alpaca8 is not there")
else:
    real, on = alpaca8(folder), connect()
    real.load(on)
    on.execute("CREATE VIRTUAL TABLE users USING persona_users(count=500, alpha=0.05, seed=0)")
    on.execute("CREATE VIRTUAL TABLE others USING persona_users(count=500, alpha=1, seed=1)")
    w, v = (np.array([np.frombuffer(x[0]) for x in on.execute(f"SELECT weights FROM {t}")]) for t in ("users", "others"))
    model = next(m for p in real.split("test") for m in p[3] if "gpt-4o" in m)
    got = evaluate("users", "others", "test", f'{{"reference":"{model}"}}', on)
    same(got, judge("test", w, v, reference=model, d=real), "alpaca8: every metric equals numpy's", range(500))
    same(evaluate("users", "others", "train", None, on), judge("train", w, v, d=real), "alpaca8: and on train", range(500))
done()
