"""persona_votes and persona_choices against numpy; what all bulk jobs share (ext_bulk.c B1..B4): messages, interrupts."""
import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import alpaca8 as alpaca8_path
from bulkdata import *

db = connect()
data = synthetic()
data.load(db)
if len(sys.argv) > 1:  # the memory check below
    db.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=1000000, generator=philox)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    db.execute("SELECT count(*) FROM persona_votes('crowd', 'train')").fetchall()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, "MB")
    sys.exit(0)
rng = np.random.RandomState(3)
USERS = 9000  # more than one block
weights = rng.randint(0, 4, (USERS, 4)) / 7.0
weights[::5] = rng.standard_normal((len(weights[::5]), 4))
ids = np.sort(rng.permutation(10 * USERS)[:USERS]) - 500
db.execute("CREATE TABLE pop(user_id, weights)")
order = rng.permutation(USERS)
db.executemany("INSERT INTO pop VALUES (?,?)", [(int(ids[i]), weights[i].tobytes()) for i in order])


def votes(split, w, normalized=True, d=data):
    out = []
    for pid, rids, raw, _ in d.split(split):
        u = utilities(w, d.scores(raw, normalized))
        best, worst = np.bincount(u.argmax(1), minlength=len(rids)), np.bincount(u.argmin(1), minlength=len(rids))
        out += [(pid, r, int(b), int(x)) for r, b, x in zip(rids, best, worst)]
    return out


def rows(sql, *args, on=db):
    return on.execute(sql, args).fetchall()


# ---- votes ----
for split in ("train", "test", None):
    eq(rows("SELECT * FROM persona_votes('pop', ?)", split), votes(split, weights), f"V1 votes of split {split}")
eq(rows("SELECT * FROM persona_votes('pop', 'train', '{\"scores\":\"raw\"}')"), votes("train", weights, False), "B2 raw scores")
ok(votes("train", weights, False) != votes("train", weights), "raw and normalized scores differ here")
want = votes(None, weights)
for threads in (1, 2, 5):
    rows("SELECT persona_config('threads', ?)", threads)
    eq(rows("SELECT * FROM persona_votes('pop', NULL)"), want, f"{threads} threads, equal votes")
rows("SELECT persona_config('threads', 2)")
unscored = sum(x is None for _, _, r in data.prompts for _, _, x in r)
eq(rows("SELECT DISTINCT skipped FROM persona_votes('pop', 'test')"), [(unscored,)], "B4 unscored responses are counted")
db.execute("CREATE VIEW holes AS SELECT user_id, CASE WHEN user_id % 3 THEN weights END AS weights FROM pop")
eq(rows("SELECT * FROM persona_votes('holes', 'test')"), votes("test", weights[ids % 3 != 0]), "NULL weights do not vote")
eq(rows("SELECT DISTINCT skipped FROM persona_votes('holes', 'test')"), [(unscored + int(sum(ids % 3 == 0)),)], "and are counted")
db.execute("CREATE TABLE nobody(user_id, weights)")
eq(rows("SELECT sum(best_votes), count(*) FROM persona_votes('nobody', 'test')"), [(0, len(votes("test", weights[:1])))], "nobody votes")
db.execute("CREATE TABLE text AS SELECT 3 AS user_id, '[1, 0.5, 0, 2]' AS weights")
eq(rows("SELECT * FROM persona_votes('text', 'test')"), votes("test", [[1, 0.5, 0, 2]]), "weights as JSON text")
db.execute("CREATE TABLE lateral(p, s)")
db.executemany("INSERT INTO lateral VALUES (?,?)", [("pop", "test"), ("holes", "train"), ("text", None)])
eq(rows("SELECT l.p, sum(best_votes) FROM lateral l, persona_votes(l.p, l.s) GROUP BY 1 ORDER BY 1"),
   sorted((p, sum(x[2] for x in votes(s, w))) for p, s, w in
          [("pop", "test", weights), ("holes", "train", weights[ids % 3 != 0]), ("text", None, [[1, 0.5, 0, 2]])]), "lateral arguments")
eq(rows("SELECT skipped IS NOT NULL, population, split FROM persona_votes('text', 'test') LIMIT 1"), [(1, "text", "test")], "hidden columns")

# B1: the responses table beside the population
db.execute("ATTACH ':memory:' AS other")
twin = synthetic()
for p in range(len(twin.prompts)):
    twin.prompts[p] = (twin.prompts[p][0], twin.prompts[p][1], [(r + 5, m, x) for r, m, x in twin.prompts[p][2]])
twin.load(db, "other.prompts", "other.responses")
db.execute("CREATE TABLE other.pop2 AS SELECT * FROM pop LIMIT 10")
eq(rows("SELECT response_id FROM persona_votes('other.pop2', 'test')"), [(r + 5,) for _, r, _, _ in votes("test", weights[:1])], "B1 responses of the population's schema")
eq(rows("SELECT response_id FROM persona_votes('other.pop2', 'test', '{\"responses\":\"main.responses\"}')"), [(r,) for _, r, _, _ in votes("test", weights[:1])], "B1 option responses")

# ---- choices ----
db.execute("CREATE TABLE some AS SELECT * FROM pop WHERE user_id % 200 = 0")
for mode in ("best_worst", "random_pair", "rating"):
    db.execute(f"CREATE TABLE h_{mode} AS SELECT * FROM persona_interactions('some', 'train', 6, ?, 1)", (mode,))
    known = {pid: (rids, raw) for pid, rids, raw, _ in data.split(None)}
    want, want_f32 = [], []
    for user, turn, pid, chosen, rejected, _, _, response, _, shown in rows(f"SELECT * FROM h_{mode}"):
        for rid, x in zip(known[pid][0], data.scores(known[pid][1])):
            if shown == "all" or rid in (chosen, rejected, response):
                mark = None if chosen == rejected else {chosen: "best", rejected: "worst"}.get(rid)
                want.append((user, turn, rid, x.tobytes(), mark))
                want_f32.append((user, turn, rid, blob32(data.embedding[rid]), mark))
    ok(len(want) > 0 and any(w[4] for w in want) == (mode != "rating"), f"C2 {mode} has rows to compare")
    eq(rows(f"SELECT * FROM persona_choices('h_{mode}')"), want, f"C2 exactly the rows shown: {mode}")
    eq(rows(f"SELECT * FROM persona_choices('h_{mode}', '{{\"features\":\"embedding\"}}')"), want_f32, f"C4 embeddings: {mode}")
ok(any(c == r for c, r in rows("SELECT chosen_id, rejected_id FROM h_best_worst")), "C2 a prompt where all are equal is among them")
eq(rows("SELECT count(*), count(feedback) FROM persona_choices('h_best_worst', '{\"scores\":\"raw\"}')")[0][0],
   rows("SELECT count(*) FROM persona_choices('h_best_worst')")[0][0], "choices of raw scores")
best, rejected = rows("SELECT chosen_id, rejected_id FROM h_best_worst WHERE chosen_id <> rejected_id LIMIT 1")[0]
db.execute("CREATE TABLE half AS SELECT user_id, turn, prompt_id, chosen_id, NULL AS rejected_id, NULL AS response_id, shown FROM h_best_worst WHERE chosen_id = ? LIMIT 1", (best,))
eq(rows("SELECT feedback FROM persona_choices('half') WHERE feedback IS NOT NULL"), [("best",)], "C2 'all' without a worst")
learned = rows("SELECT user_id, adapt_user_choices(choice_set, features, feedback) FROM persona_choices('h_best_worst') GROUP BY 1")
eq(len(learned), rows("SELECT count(*) FROM some")[0][0], "adapt_user_choices takes what persona_choices gives")

# ---- messages ----
db.execute("CREATE TABLE dup AS SELECT 7 AS user_id, '[1,2,3,4]' AS weights UNION ALL SELECT 7, '[1,2,3,4]'")
db.execute("CREATE TABLE short AS SELECT 7 AS user_id, '[1,2,3]' AS weights")
db.execute("CREATE TABLE named AS SELECT 'x' AS user_id, '[1,2,3,4]' AS weights")
db.execute("CREATE TABLE null_id AS SELECT NULL AS user_id, '[1,2,3,4]' AS weights")
db.execute("CREATE TABLE real_id AS SELECT 1.0 AS user_id, '[1,2,3,4]' AS weights")
db.execute("CREATE TABLE nan(user_id, weights)")
db.execute("INSERT INTO nan VALUES (5, ?)", (np.array([1, np.nan, 0, 0]).tobytes(),))
db.execute("CREATE TABLE number AS SELECT 5 AS user_id, 17 AS weights")
db.execute("CREATE TABLE odd AS SELECT 5 AS user_id, x'010203' AS weights")
db.execute("CREATE TABLE f32(user_id, weights)")
db.execute("INSERT INTO f32 VALUES (5, ?)", (np.ones(4, "<f4").tobytes(),))
db.execute("CREATE TABLE plain(a)")
V = "SELECT * FROM persona_votes"
usage = "persona_votes(population, split [, options])"
many = "are required, as the responses table has that many reward models"
splits = rows("SELECT split, count(*) FROM prompts WHERE split IS NOT NULL GROUP BY 1 ORDER BY min(prompt_id)")
splits = ", ".join(f"{s} ({n} prompts)" for s, n in splits)
fails(db, V, f"persona_votes: argument 1 (population) is missing; usage: {usage}")
fails(db, f"{V}('pop')", f"persona_votes: argument 2 (split) is missing; usage: {usage}")
fails(db, f"{V}(NULL, NULL)", "persona_votes: argument 1 (population): NULL; a table name is required")
fails(db, f"{V}('nope', NULL)", "persona_votes: argument 1 (population): no such table: nope")
fails(db, f"{V}('pop; DROP TABLE pop', NULL)", 'persona_votes: argument 1 (population): "pop; DROP TABLE pop" is no table name; an SQL identifier such as users, "my users" or aux.users is required')
fails(db, f"{V}('pop', 'dev')", f'persona_votes: argument 2 (split): no split "dev"; splits: {splits}')
fails(db, f"{V}('pop', NULL, '{{\"treads\":2}}')", 'persona_votes: unknown option "treads"; known options: responses, scores')
fails(db, f"{V}('pop', NULL, '{{\"scores\":\"zscores\"}}')", 'persona_votes: option "scores" is "zscores"; one of normalized|raw is required')
fails(db, f"{V}('pop', NULL, '{{\"responses\":\"r\"}}')", 'persona_votes: option "responses": no such table: r')
fails(db, f"{V}('pop', NULL, '{{\"responses\":\"pop\"}}')", 'persona_votes: option "responses": "pop" is no persona_responses table')
fails(db, f"{V}('plain', NULL)", "persona_votes: plain: no such column: user_id")
fails(db, f"{V}('dup', NULL)", "persona_votes: dup: user_id 7 stands twice")
fails(db, f"{V}('short', NULL)", f"persona_votes: short: user_id 7: weights: 3 numbers; 4 {many}")
fails(db, f"{V}('f32', NULL)", f"persona_votes: f32: user_id 5: weights: 2 numbers; 4 {many}", "weights are always f64")
fails(db, f"{V}('named', NULL)", "persona_votes: named: user_id is text; an integer is required")
fails(db, f"{V}('null_id', NULL)", "persona_votes: null_id: user_id is NULL; an integer is required")
fails(db, f"{V}('real_id', NULL)", "persona_votes: real_id: user_id is a real number; an integer is required")
fails(db, f"{V}('nan', NULL)", "persona_votes: nan: user_id 5: weights: element 1 is NaN; a finite number is required")
fails(db, f"{V}('number', NULL)", "persona_votes: number: user_id 5: weights: an integer; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required")
fails(db, f"{V}('odd', NULL)", "persona_votes: odd: user_id 5: weights: a BLOB of 3 bytes, which is no multiple of 8; f64 vectors are required")
C = "SELECT * FROM persona_choices"
H = "SELECT user_id, turn, prompt_id, chosen_id, rejected_id, response_id, shown FROM h_best_worst"
fails(db, C, "persona_choices: argument 1 (history) is missing; usage: persona_choices(history [, options])")
fails(db, f"{C}('plain')", "persona_choices: plain: no such column: user_id")
fails(db, f"{C}('h_rating', '{{\"features\":\"text\"}}')", 'persona_choices: option "features" is "text"; one of rewards|embedding is required')


def bad_history(name, changes, message):
    db.execute(f"CREATE TABLE {name} AS SELECT {changes} FROM (SELECT * FROM h_random_pair LIMIT 1)")
    user, turn, pid = rows(f"SELECT user_id, turn, prompt_id FROM {name}")[0]
    fails(db, f"{C}('{name}')", message.format(name=name, at=f"persona_choices: {name}: user_id {user}, turn {turn}", pid=pid))


bad_history("h1", "user_id, turn, prompt_id, chosen_id, rejected_id, response_id, 'some' AS shown", '{at}: shown is "some"; one of all, pair, one is required')
bad_history("h2", "user_id, turn, prompt_id, 1 AS chosen_id, rejected_id, response_id, shown", "{at}: chosen_id is 1, which is no fully scored response of prompt {pid}")
bad_history("h3", "user_id, turn, prompt_id, chosen_id, NULL AS rejected_id, response_id, shown", "{at}: rejected_id is NULL; an integer is required")
bad_history("h4", "user_id, turn, -1 AS prompt_id, chosen_id, rejected_id, response_id, shown", "{at}: prompt -1 has no fully scored response")
bad_history("h5", "user_id, turn, prompt_id, chosen_id, rejected_id, response_id, 'one' AS shown", "{at}: response_id is NULL; an integer is required")
bad_history("h6", "user_id, turn, prompt_id, chosen_id, rejected_id, response_id, NULL AS shown", "{at}: shown is NULL; one of all, pair, one is required")
bad_history("h7", "user_id, 'x' AS turn, prompt_id, chosen_id, rejected_id, response_id, shown", "persona_choices: {name}: turn is text; an integer is required")
db.execute("UPDATE responses SET embedding = NULL WHERE response_id = ?", (best,))
user, turn = rows("SELECT user_id, turn FROM half")[0]
fails(db, f"{C}('half', '{{\"features\":\"embedding\"}}')", f"persona_choices: half: user_id {user}, turn {turn}: response {best} has no embedding")
db.execute("UPDATE responses SET embedding = NULL")
fails(db, f"{C}('half', '{{\"features\":\"embedding\"}}')", 'persona_choices: option "features" is "embedding", but responses has none')

# ---- a scan keeps the scores it began with ----
full = rows("SELECT user_id, turn, chosen_id FROM persona_interactions('pop', NULL, 20, 'best_worst', 1)")
scan = db.execute("SELECT user_id, turn, chosen_id FROM persona_interactions('pop', NULL, 20, 'best_worst', 1)")
first = scan.fetchmany(10)
db.execute("UPDATE responses SET raw_rewards = ? WHERE position % 2", (np.array([9.0, -9, 9, -9]).tobytes(),))
eq(first + scan.fetchall() == full, True, "B4 a scan keeps the scores it began with")
ok(rows("SELECT user_id, turn, chosen_id FROM persona_interactions('pop', NULL, 20, 'best_worst', 1)") != full, "and the next one sees the change")

# ---- interrupts: none of these would end in hours ----
db.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=100000000, generator=philox)")
for sql in ("SELECT count(*) FROM persona_votes('crowd', 'train')",
            "SELECT count(*) FROM persona_interactions('crowd', 'train', 1000, 'best_worst', 1)",
            "SELECT count(*) FROM persona_interactions('crowd', 'train', 1000, 'rating', 1, '{\"draws\":\"numpy\"}')",
            "SELECT count(*) FROM persona_evaluate('crowd', 'crowd', 'test')"):
    got = interrupted(db, sql, delays=(0.15,))
    ok(got.endswith("interrupted"), f"interrupted: {sql[21:70]}", got)
eq(rows("SELECT count(*) FROM persona_votes('text', 'train')")[0][0] > 0, True, "the connection works on")

# ---- memory: a million users, a process of its own ----
got = subprocess.run([sys.executable, __file__, "memory"], capture_output=True, text=True)
ok(got.stdout.endswith("MB\n") and float(got.stdout.split()[-2]) < 100, "votes of a million users take under 100 MB", got.stdout[-200:] + got.stderr)

# ---- the real data ----
folder = alpaca8_path()
if not folder:
    skip("votes on alpaca8", "shared/data/alpaca8 is not there")
else:
    real, on = alpaca8(folder), connect()
    real.load(on)
    on.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0)")
    w = np.array([np.frombuffer(x[0]) for x in rows("SELECT weights FROM users", on=on)])
    for scores in ("normalized", "raw"):
        eq(rows("SELECT * FROM persona_votes('users', 'test', ?)", f'{{"scores":"{scores}"}}', on=on) == votes("test", w, scores == "normalized", real), True, f"alpaca8: {scores} votes equal numpy's")
        eq(rows("SELECT * FROM persona_votes('users', 'train', ?)", f'{{"scores":"{scores}"}}', on=on) == votes("train", w, scores == "normalized", real), True, f"alpaca8: {scores} votes on train equal numpy's")
done()
