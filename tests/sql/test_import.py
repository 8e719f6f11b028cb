"""persona_import, persona_export, read_jsonl (rules I1..I10 of fn_import.c, E1..E4 of fn_export.c).

Every bad file and statement is followed by a check that nothing is half written and the connection still answers.
"""
import gzip
import json
import os
import re
import sqlite3
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

D = scratch()


def path(name):
    return os.path.join(D, name)


def put(name, content):
    """A file of bytes, text or a list of records (dicts, or text lines as they are)."""
    if isinstance(content, list):
        content = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in content)
    if isinstance(content, str):
        content = content.encode()
    with (gzip.open if name.endswith(".gz") else open)(path(name), "wb") as f:
        f.write(content)
    return path(name)


def one(db, sql, *args):
    return db.execute(sql, args).fetchone()[0]


def imp(db, file, split="train", **options):
    return one(db, "SELECT persona_import(?, ?, ?)", path(file), split, json.dumps(options) if options else None)


def exp(db, file, split="train", **options):
    return one(db, "SELECT persona_export(?, ?, ?)", path(file), split, json.dumps(options) if options else None)


def dump(db):
    """Everything that the database holds, but for the random stamps."""
    names = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    out = {"schema": sorted(map(str, db.execute("SELECT type, name, sql FROM sqlite_schema")))}
    for n in names:
        if n.startswith("sqlite_") or n.endswith("_config"):
            continue
        out[n] = sorted(map(str, db.execute(f'SELECT * FROM "{n}"')))
    return out


def record(i, n=2, models=("zeta", "alpha"), **more):
    r = {"prompt_id": i, "prompt": f"prompt {i}", "subset": "s"}
    for k in range(1, n + 1):
        r[f"response_{k}"] = f"text {i} {k}"
        r[f"response_{k}_model"] = f"m{k}"
        for b, m in enumerate(models):
            r[f"response_{k}_{m}"] = (0 if isinstance(i, str) or i is None else i) + k / 8 + b
    r.update(more)
    return r


def f32(*xs):
    return struct.pack(f"<{len(xs)}f", *xs)


def f64(*xs):
    return struct.pack(f"<{len(xs)}d", *xs)


# ---- I1, I2, I4: files in their forms, tables made where missing, ids ----

put("a.jsonl", [record(7), record(3, 3), record(-2, 1)])
db = connect()
eq(imp(db, "a.jsonl"), 3, "I2 the number of prompts is the result")
eq(db.execute("SELECT * FROM prompts ORDER BY prompt_id").fetchall(),
   [(i, "train", "s", f"prompt {i}", None) for i in (-2, 3, 7)], "I2 prompts, subset as source")
eq(db.execute("SELECT response_id, prompt_id, position, model, text FROM responses ORDER BY response_id").fetchall(),
   [(1, 7, 1, "m1", "text 7 1"), (2, 7, 2, "m2", "text 7 2"), (3, 3, 1, "m1", "text 3 1"), (4, 3, 2, "m2", "text 3 2"),
    (5, 3, 3, "m3", "text 3 3"), (6, -2, 1, "m1", "text -2 1")], "I4 response ids count on in the order of the file")
eq([r[1] for r in db.execute("PRAGMA table_info(responses)")][8:], ["alpha", "zeta"], "I2 reward models sorted by name")
eq(one(db, "SELECT raw_rewards FROM responses WHERE response_id = 1"), f64(8.125, 7.125), "I2 scores in that order")
eq(db.execute("SELECT position, name, mean, sd FROM reward_models ORDER BY position").fetchall(),
   [(1, "alpha", 0, 1), (2, "zeta", 0, 1)], "I6 a new table has mean 0 and sd 1")
put("b.jsonl", [record(8)])
eq(imp(db, "b.jsonl", "test"), 1, "another file into the same tables")
eq(db.execute("SELECT response_id, prompt_id FROM responses WHERE prompt_id = 8").fetchall(), [(7, 8), (8, 8)],
   "I4 ids count on from the largest")

whole = dump(db)
lines = open(path("a.jsonl")).read()
for name, content in (("crlf", lines.replace("\n", "\r\n")), ("bom", "\ufeff" + lines), ("no line end", lines[:-1]),
                      ("blank lines", "\n \n" + lines.replace("\n", "\n\t\n\n")),
                      ("white space", lines.replace("{", "  { ").replace("}", " }\t"))):
    put("form.jsonl", content)
    again = connect()
    eq(imp(again, "form.jsonl"), 3, f"I1 {name}")
    imp(again, "b.jsonl", "test")
    eq(dump(again), whole, f"I1 {name}: the same contents")
put("form.gz", lines)
again = connect()
imp(again, "form.gz"), imp(again, "b.jsonl", "test")
eq(dump(again), whole, "I1 gzip")
open(path("two.jsonl"), "wb").write(gzip.compress(lines[:100].encode()) + gzip.compress(lines[100:].encode()))
again = connect()
imp(again, "two.jsonl"), imp(again, "b.jsonl", "test")
eq(dump(again), whole, "I1 two gzip members, told by the magic number, not by the name")
for threads in (1, 2, 7):
    again = connect()
    again.execute("SELECT persona_config('threads', ?)", (threads,)).fetchone()
    imp(again, "a.jsonl"), imp(again, "b.jsonl", "test")
    eq(dump(again), whole, f"{threads} threads give the same database")

db = connect()
put("ids.jsonl", [record("x"), record(None), record(1), {k: v for k, v in record(0).items() if k != "prompt_id"}])
eq(imp(db, "ids.jsonl", ids="renumber"), 4, "I4 renumber takes text ids and none")
eq([r[0] for r in db.execute("SELECT prompt_id FROM prompts ORDER BY 1")], [1, 2, 3, 4], "I4 and counts from 1")
eq(imp(db, "a.jsonl", ids="renumber"), 3, "I4 renumber again")
eq(db.execute("SELECT prompt_id, text FROM prompts WHERE prompt_id > 4 ORDER BY 1").fetchall(),
   [(5, "prompt 7"), (6, "prompt 3"), (7, "prompt -2")], "I4 on from the largest, in the order of the file")
put("float.jsonl", [record(2.0), record(9007199254740991)])
db = connect()
imp(db, "float.jsonl")
eq([r[0] for r in db.execute("SELECT prompt_id FROM prompts ORDER BY 1")], [2, 9007199254740991], "I4 whole numbers, however written")

# ---- I2, I3: reward models and missing things ----

db = connect()
put("late.jsonl", [record(1, 2, ("b",)), record(2, 2, ("b", "a")), record(3, 1, ("Z",))])
eq(imp(db, "late.jsonl"), 3, "I2 reward models that only later lines have")
eq([r[1] for r in db.execute("PRAGMA table_info(responses)")][8:], ["Z", "a", "b"], "I2 are collected from all lines, sorted by bytes")
eq(db.execute("SELECT prompt_id, \"Z\", a, b, raw_rewards FROM responses WHERE position = 1 ORDER BY 1").fetchall(),
   [(1, None, None, 1.125, None), (2, None, 3.125, 2.125, None), (3, 3.125, None, None, None)], "I2 what is missing is NULL")
eq(one(db, "SELECT count(*) FROM reward_models"), 3, "I2 and reward_models has them all")
put("fewer.jsonl", [record(9, 1, ("A", "b"))])
eq(imp(db, "fewer.jsonl"), 1, "I2 an existing table takes what it knows, without regard to case")
eq(db.execute("SELECT \"Z\", a, b FROM responses WHERE prompt_id = 9").fetchall(), [(None, 9.125, 10.125)], "I2 the rest is NULL")

db = connect()
put("null.jsonl", [
    {"prompt_id": 1, "prompt": None, "subset": None, "id": 5, "other": {"x": [1]}, "response_1": None, "response_1_a": 1,
     "response_2": None, "response_2_model": None, "response_2_a": None, "response_3": "", "response_3_a": None},
    {"prompt_id": 2, "prompt": "", "response_1": None}])
eq(imp(db, "null.jsonl"), 2, "I3 nulls and other keys")
eq(db.execute("SELECT * FROM prompts ORDER BY 1").fetchall(), [(1, "train", None, None, None), (2, "train", None, "", None)], "I3 NULL texts stay NULL, empty ones empty")
eq(db.execute("SELECT prompt_id, position, model, text, a FROM responses ORDER BY 1, 2").fetchall(),
   [(1, 1, None, None, 1.0), (1, 3, None, "", None)], "I3 a response of nothing but nulls makes no row")

# ---- I5: embeddings ----

put("e0.jsonl", [record(5, 2), record(4, 2), record(6, 2)])
side = {i: {"prompt_id": i, "prompt_embedding": [i, 0.5], "response_1_embedding": [i, 1], "response_2_embedding": [0.1, i]}
        for i in (4, 5, 6)}


def embedded(db):
    return db.execute("SELECT p.prompt_id, p.embedding, r.position, r.embedding FROM prompts p JOIN responses r "
                      "USING (prompt_id) ORDER BY 1, 3").fetchall()


want = [(i, f32(i, 0.5), k, f32(i, 1) if k == 1 else f32(0.1, i)) for i in (4, 5, 6) for k in (1, 2)]
put("e_step.jsonl", [side[5], side[4], side[6]])
put("e_order.jsonl", [{k: v for k, v in side[i].items() if k != "prompt_id"} for i in (5, 4, 6)])
put("e_later.jsonl", [side[5], "", side[6], side[4]])
put("e_long.jsonl.gz", [{k.replace("response", "prompt_response"): v for k, v in side[i].items()} for i in (6, 5, 4)])
for name in ("e_step.jsonl", "e_order.jsonl", "e_later.jsonl", "e_long.jsonl.gz"):
    db = connect()
    eq(imp(db, "e0.jsonl", embeddings=path(name)), 3, f"I5 {name}")
    eq(embedded(db), want, f"I5 {name}: matched")
db = connect()
put("e_in.jsonl", [dict(record(i), **{k.replace("response", "prompt_response"): v for k, v in side[i].items()}) for i in (5, 4, 6)])
eq((imp(db, "e_in.jsonl"), embedded(db)), (3, want), "I5 embeddings in the file itself")
db = connect()
put("e_some.jsonl", [side[5]])
imp(db, "e0.jsonl", embeddings=path("e_some.jsonl"))
eq([(a, b is None, d is None) for a, b, c, d in embedded(db)], [(i, i != 5, i != 5) for i in (4, 4, 5, 5, 6, 6)], "I5 with prompt_id, some may be missing")
db = connect()
put("e_more.jsonl", [side[5], side[4], side[6], {"prompt_id": 4, "response_1_embedding": [9, 9]}])
imp(db, "e0.jsonl", embeddings=path("e_more.jsonl"))
eq(one(db, "SELECT embedding FROM responses WHERE prompt_id = 4 AND position = 1"), f32(9, 9), "I5 lines behind the last prompt are applied by prompt_id")
db = connect()
imp(db, "e0.jsonl", embeddings=path("e_step.jsonl"), ids="renumber")
eq([r[0] for r in db.execute("SELECT embedding FROM prompts ORDER BY prompt_id")], [f32(5, 0.5), f32(4, 0.5), f32(6, 0.5)], "I5 with renumbered prompts, line by line")

# ---- I6: means ----


def means(db):
    return {n: (m, s) for n, m, s in db.execute("SELECT name, mean, sd FROM reward_models")}


rng = np.random.RandomState(3)
scores = {m: rng.standard_normal(40) * 3 + 1e6 * (m == "far") for m in ("near", "far")}
rows = [record(i, 2, (), **{f"response_{k}_{m}": float(s[2 * i + k - 1]) for k in (1, 2) for m, s in scores.items()}) for i in range(20)]
put("fit_train.jsonl", rows[:15]), put("fit_test.jsonl", rows[15:])
db = connect()
imp(db, "fit_train.jsonl", means="fitted")
fitted = {m: (s[:30].mean(), s[:30].std()) for m, s in scores.items()}
for m in scores:
    close(means(db)[m], fitted[m], 1e-11, f"I6 fitted: mean and population sd of {m}")
before = means(db)
imp(db, "fit_test.jsonl", "test")
eq(means(db), before, "I6 without means an import leaves them alone")
db.execute("DELETE FROM responses WHERE prompt_id >= 15"), db.execute("DELETE FROM prompts WHERE prompt_id >= 15")
imp(db, "fit_test.jsonl", "test", means="fitted")
eq(means(db), before, "I6 fitted means the scores of train, whatever is imported")
put("scale.json", json.dumps({"near": {"mean": 1, "sd": 2}, "far": {"mean": -1.5, "sd": 0.25}, "other": {}}, indent=1))
db.execute("DELETE FROM reward_models WHERE name = 'far'")
db.execute("DELETE FROM responses WHERE prompt_id >= 15"), db.execute("DELETE FROM prompts WHERE prompt_id >= 15")
imp(db, "fit_test.jsonl", "test", means=path("scale.json"))
eq(means(db), {"near": (1, 2), "far": (-1.5, 0.25)}, "I6 a JSON file, also for a name that reward_models had lost")
eq(one(db, "SELECT group_concat(source) FROM reward_models"), "scale.json,scale.json", "I6 the source is noted")
db = connect()
with open(os.path.join(ROOT, "docs/definitions.md"), encoding="utf-8") as f:
    PUBLISHED = {m: (float(mean), float(sd)) for m, mean, sd in re.findall(r"^\| \d+ \| `(\w+)` \|[^|]+\| (\S+) \| (\S+) \|$", f.read(), re.M)}
eq(list(PUBLISHED), sorted(PUBLISHED)[:10], "definitions.md#reward-models has ten, sorted by name")
put("pub.jsonl", [record(1, 2, tuple(reversed(PUBLISHED)))])
imp(db, "pub.jsonl", means="published")
eq(means(db), PUBLISHED, "I6 the published means, by name, are those of definitions.md#reward-models")
with open(os.path.join(ROOT, "sql/published.sql"), encoding="utf-8") as f:
    db.executescript(f.read())
for series, k in (("mean", 0), ("sd", 1)):
    eq(dict(db.execute("SELECT item, value FROM published WHERE query = 'reward_models' AND series = ?", (series,))),
       {m: scale[k] for m, scale in PUBLISHED.items()}, f"I6 {series}: and those of sql/published.sql")

# ---- I7: names ----

db = connect()
db.execute("ATTACH ':memory:' AS aux1")
eq(imp(db, "a.jsonl", prompts='aux1."my prompts"', responses='"r""s"'), 3, "I7 names with schema and quotes")
eq((one(db, 'SELECT count(*) FROM aux1."my prompts"'), one(db, 'SELECT count(*) FROM aux1."r""s"'), one(db, "SELECT count(*) FROM aux1.reward_models")), (3, 6, 2), "I7 responses beside their prompts")
eq(imp(db, "b.jsonl", prompts='aux1."my prompts"', responses='aux1."r""s"'), 1, "I7 found again")
eq(one(db, "SELECT count(*) FROM sqlite_schema"), 0, "I7 nothing in main")
eq(exp(db, "names.jsonl", None, prompts='aux1."my prompts"', responses='"r""s"'), 4, "E4 names in the export")

# ---- I8: the evaluation set and the interaction database ----

ev = [{"person_id": 10 + u, "person_weight": [0.25, 0.75 - u], "user_history_length": 2.0, "test_prompt": f"t{u}",
       "best_response": "best", "best_response_model": "m", "best_response_reward": 0.5 + u, "gpt4o_response": "g",
       "gpt4o_reward": -0.25, "prompt_1": "p1", "response_1_a": "a1", "response_1_b": "b1", "chosen_1": "a",
       "prompt_2": "p2", "response_2_a": "a2", "response_2_b": "b2", "chosen_2": "b", "prompt_3": None, "response_3_a": None,
       "response_3_b": None, "chosen_3": None, "test_prompt_embedding": [1, u], "prompt_response_1_a_embedding": [2, u],
       "user_embedding_avg_winning": [3, u], "user_embedding_avg_win_minus_lose": [4, u]} for u in (0, 1)]
put("eval.jsonl", ev)
db = connect()
eq(imp(db, "eval.jsonl", "test"), 2, "I8 the evaluation set, told by its keys")
eq(db.execute("SELECT * FROM eval_users").fetchall(),
   [(10 + u, "test", f64(0.25, 0.75 - u), 2, f"t{u}", f32(1, u), "best", "m", 0.5 + u, "g", -0.25) for u in (0, 1)], "I8 users, weights as f64")
eq(db.execute("SELECT * FROM eval_history WHERE user_id = 11 ORDER BY turn").fetchall(),
   [(11, 1, "p1", "a1", "b1", "a", None, None, f32(2, 1), None), (11, 2, "p2", "a2", "b2", "b", None, None, None, None)], "I8 turns up to the history's end")
eq(db.execute("SELECT * FROM eval_embeddings WHERE user_id = 11").fetchall(), [(11, 2, f32(3, 1), None, f32(4, 1))], "I8 user embeddings")
eq(imp(db, "eval.jsonl", "test", ids="renumber", tables='main."my eval"'), 2, "I8 other names")
eq([r[0] for r in db.execute('SELECT user_id FROM "my eval_users"')], [0, 1], "I8 renumber counts users from 0")
put("inter.jsonl", [{"person_id": 3, "person_weight": [1.0], "prompt_1": "p", "response_1_a": "x", "response_1_b": "y", "chosen_1": "b",
                     "prompt_1_embedding": [1], "prompt_response_1_a_embedding": [2], "prompt_response_1_b_embedding": [3],
                     "user_embedding_avg_winning_3": [4], "user_embedding_avg_losing_3": [5], "user_embedding_avg_losing_10": [6]},
                    {"person_id": 4, "person_weight": None, "prompt_1": "q", "response_1": "z", "reward_1": 1.25}])
eq(imp(db, "inter.jsonl"), 2, "I8 the interaction database")
eq(db.execute("SELECT * FROM interaction_users").fetchall(), [(3, "train", f64(1.0), 1), (4, "train", None, 1)], "I8 its users")
eq(db.execute("SELECT * FROM interaction_history").fetchall(),
   [(3, 1, "p", "x", "y", "b", None, f32(1), f32(2), f32(3)), (4, 1, "q", "z", None, None, 1.25, None, None, None)], "I8 pairs and reward feedback")
eq(db.execute("SELECT * FROM interaction_embeddings").fetchall(), [(3, 3, f32(4), f32(5), None), (3, 10, None, f32(6), None)], "I8 embeddings of n interactions")

# ---- E1, E2, E3: export, and back ----


def strip(d):
    return {k: v for k, v in d.items() if not k.startswith("responses_config")}


bits = rng.randint(0, 2**63, 4000, dtype=np.int64).view(np.float64)
special = np.array([0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e-310, 0.1, 1 / 3, 1e15, 123456.789012])
values = np.concatenate([special, bits[np.isfinite(bits)][:3000], np.round(rng.standard_normal(2000), 6), rng.standard_normal(2000)])
text = ["", "quote\" back\\slash / tab\t nl\n cr\r \b\f \x01\x1f\x7f", "é 日本 😀 \ufffd\uffff", "\u2028 </script>", " "]
rows = []
for i in range(len(values) // 6):
    v = values[6 * i : 6 * i + 6].tolist()
    rows.append({"prompt_id": 3 * i - 7, "prompt": text[i % 5] + str(i % 2), "subset": None if i % 3 else text[i % 5],
                 "prompt_embedding": np.float32(rng.standard_normal(3)).tolist() if i % 4 else None,
                 **{f"response_{k}": text[(i + k) % 5] for k in (1, 2)}, "response_1_model": None if i % 5 == 0 else "m",
                 **{f"response_{k}_r {m}": None if (i + k + m) % 11 == 0 else v[2 * m + k - 1] for k in (1, 2) for m in (0, 1, 2)},
                 "prompt_response_2_embedding": [float(np.float32(1e-30 * i)), 1e-7 * i, 3.4e38]})
put("round.jsonl", rows)
db = connect()
imp(db, "round.jsonl")
first = exp(db, "round1.jsonl", embeddings=True)
back = connect()
eq((first, imp(back, "round1.jsonl")), (len(rows), len(rows)), "E1 every prompt is exported and comes back")


def rows_of(db):
    return [tuple(struct.pack("<d", x) if isinstance(x, float) else x for x in r) for q in (
        "SELECT * FROM prompts ORDER BY prompt_id",
        "SELECT prompt_id, position, model, text, raw_rewards, embedding, \"r 0\", \"r 1\", \"r 2\" FROM responses ORDER BY 1, 2") for r in db.execute(q)]


eq(rows_of(back) == rows_of(db), True, "E2 the same bits, texts and NULLs")
exp(back, "round2.jsonl", embeddings=True)
eq(open(path("round1.jsonl"), "rb").read() == open(path("round2.jsonl"), "rb").read(), True, "E2 and the same file again")
exp(back, "round3.jsonl.gz", embeddings=True)
eq(gzip.open(path("round3.jsonl.gz")).read() == open(path("round1.jsonl"), "rb").read(), True, "E3 gzip when the path ends in .gz")
parsed = [json.loads(x) for x in open(path("round1.jsonl"))]
want = {r["prompt_id"]: r for r in rows}
ok(all(repr(p.get(k)) == repr(v) for p in parsed for k, v in want[p["prompt_id"]].items() if "embedding" not in k), "E1 Python reads the same values")
eq([k for k in parsed[0] if "embedding" not in k],
   ["prompt_id", "prompt", "subset"] + [f"response_{k}{s}" for k in (1, 2) for s in ("", "_model", "_r 0", "_r 1", "_r 2")], "E1 the schema's keys")
exp(back, "plain.jsonl")
ok("embedding" not in open(path("plain.jsonl")).read(), "E1 embeddings only when asked for")
db = connect()
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
db.execute("CREATE VIRTUAL TABLE responses USING persona_responses(a)")
db.execute("INSERT INTO prompts(prompt_id, text) VALUES (1, 'p'), (2, 'q')")
db.execute("INSERT INTO responses(prompt_id, position, text, a) VALUES (1, 3, 'x', 0.5)")
eq(exp(db, "gaps.jsonl", None), 2, "E1 a NULL split is every prompt")
eq(open(path("gaps.jsonl")).read(),
   '{"prompt_id": 1, "prompt": "p", "subset": null, "response_1": null, "response_2": null, "response_3": "x", "response_3_model": null, "response_3_a": 0.5}\n'
   '{"prompt_id": 2, "prompt": "q", "subset": null, "response_1": null}\n', "E2 positions without response are null")
back = connect()
imp(back, "gaps.jsonl")
eq(back.execute("SELECT prompt_id, position, text, a FROM responses").fetchall(), [(1, 3, "x", 0.5)], "E2 and come back as none")
eq(exp(db, "gaps.jsonl", None, overwrite=True), 2, "E3 overwriting when told")

# ---- read_jsonl ----

put("lines.jsonl.gz", '\n{"a": 1}\n\n [1, 2] \r\n"x"')
eq(db.execute("SELECT line, value FROM read_jsonl(?)", (path("lines.jsonl.gz"),)).fetchall(), [(2, '{"a": 1}'), (4, " [1, 2] "), (5, '"x"')], "read_jsonl gives lines with their numbers")
eq(one(db, "SELECT sum(json_extract(value, '$.prompt_id')) FROM read_jsonl(?)", path("a.jsonl")), 8, "read_jsonl with JSON functions")
eq(one(db, "SELECT count(*) FROM read_jsonl(?)", put("empty", "")), 0, "read_jsonl of an empty file has no rows")
eq(db.execute("SELECT count(*), sum(length(value)) FROM read_jsonl(?)", (path("round1.jsonl"),)).fetchone(),
   (len(rows), sum(len(x.rstrip("\n")) for x in open(path("round1.jsonl")))), "read_jsonl across batches")

# ---- I9, I10: bad files and statements ----

base = connect()
imp(base, "a.jsonl")
imp(base, "eval.jsonl", "test")
base.execute("CREATE VIEW bad_view AS SELECT persona_import('x', 'y')")
base.execute("CREATE TABLE trig(x)")
base.execute("CREATE TRIGGER tr AFTER INSERT ON trig BEGIN SELECT persona_import('x', 'y'); END")
base.execute(f"CREATE VIEW bad_lines AS SELECT * FROM read_jsonl('{path('lines')}')")
kept = dump(base)
empty = connect()


def bad(content, message, name="bad.jsonl", db=None, **options):
    """The import of this file must fail so, on a database with tables and on an empty one, and leave them as they were."""
    if content is not None:
        put(name, content)
    for d, before in ((base, kept), (empty, {"schema": []})):
        if db is not None and d is not db:
            continue
        fails(d, "SELECT persona_import(?, 'train', ?)", "persona_import: " + message.replace("$D", D), args=(path(name), json.dumps(options)))
        if dump(d) != before or d.in_transaction or one(d, "SELECT 1") != 1:
            ok(False, "nothing is half written: " + message[:80])


good = [record(100), record(101)]


def line3(**change):
    r = dict(record(102), **change)
    return good + [{k: v for k, v in r.items() if v != "DROP"}]


bad(None, "cannot open $D/missing: No such file or directory", "missing")
bad("", "bad.jsonl is empty; JSON lines are required")
bad("\n \n\n", "bad.jsonl is empty; JSON lines are required")
os.mkdir(path("folder"))
bad(None, "$D/folder is a directory; a file of JSON lines is required", "folder")
bad(b"PAR1\0\0", "bad.jsonl is a Parquet file; JSON lines, plain or gzip, are required")
bad("hello", 'bad.jsonl line 1: not JSON: unexpected "hello" at byte 0')
bad("{", "bad.jsonl line 1: not JSON: it is cut off or wrong at its end (1 bytes)")
bad(json.dumps(good), "bad.jsonl line 1: the line is an array; an object is required", db=base)
bad(good + ["{}"], 'bad.jsonl line 3: key "prompt" is missing')
bad(good + ["[1]"], "bad.jsonl line 3: the line is an array; an object is required")
bad(good + ["nonsense"], 'bad.jsonl line 3: not JSON: unexpected "nonsense" at byte 0')
bad(good + ['{"prompt_id": 5, "prompt": "cut'], "bad.jsonl line 3: not JSON: unexpected \"cut\" at byte 28")
bad(good + ['{"prompt_id": 5} {"prompt_id": 6}'], "bad.jsonl line 3: not JSON: unexpected text after the value at byte 17")
bad(good + ['{"prompt_id": NaN}'], 'bad.jsonl line 3: not JSON: unexpected "NaN}" at byte 14')
bad(line3(prompt="DROP"), 'bad.jsonl line 3: key "prompt" is missing')
bad(line3(prompt=5), 'bad.jsonl line 3: key "prompt" is a number; text is required')
bad(line3(subset=["x"]), 'bad.jsonl line 3: key "subset" is an array; text is required')
bad(line3(response_1="DROP"), 'bad.jsonl line 3: key "response_1" is missing, but other keys of that response are there')
bad(line3(response_4="x"), 'bad.jsonl line 3: key "response_3" is missing, but there is a response 4')
bad(line3(response_2={}), 'bad.jsonl line 3: key "response_2" is an object; text is required')
bad(line3(response_2_model=1), 'bad.jsonl line 3: key "response_2_model" is a number; text is required')
bad(line3(response_2_zeta="3"), 'bad.jsonl line 3: key "response_2_zeta" is text; a finite number is required')
bad(line3(response_2_zeta=True), 'bad.jsonl line 3: key "response_2_zeta" is true or false; a finite number is required')
bad(good + [json.dumps(record(102)).replace("103.25", "1e999", 1)], 'bad.jsonl line 3: key "response_2_alpha" is infinite; a finite number is required')
bad(line3(response_1_beta=1), 'bad.jsonl line 3: key "response_1_beta": no reward model "beta" in the table, which has 2 (alpha, ...)', db=base)
bad(good + [json.dumps(record(102))[:-1] + ', "response_1": "again"}'], 'bad.jsonl line 3: key "response_1" is given twice')
bad(good + [json.dumps(record(102))[:-1] + ', "response_1_zeta": 0}'], 'bad.jsonl line 3: key "response_1_zeta" is given twice')
bad(line3(prompt_id="DROP"), 'bad.jsonl line 3: key "prompt_id" is missing; a whole number is required ({"ids": "renumber"} numbers the prompts anew)')
bad(line3(prompt_id="a7"), 'bad.jsonl line 3: key "prompt_id" is text; a whole number is required ({"ids": "renumber"} numbers the prompts anew)')
bad(line3(prompt_id=1.5), 'bad.jsonl line 3: key "prompt_id" is 1.5; a whole number within +-9007199254740991 is required')
bad(line3(prompt_id=2**53), 'bad.jsonl line 3: key "prompt_id" is 9007199254740992; a whole number within +-9007199254740991 is required')
bad(line3(prompt_id=10**30), 'bad.jsonl line 3: key "prompt_id" is 1e+30; a whole number within +-9007199254740991 is required')
bad(line3(prompt_id=100), 'bad.jsonl line 3: key "prompt_id": 100 is in prompts already')
bad([record(7)], 'bad.jsonl line 1: key "prompt_id": 7 is in prompts already', db=base)
bad(good + ['{"prompt_id": 5, "prompt": "a\\u0000b"}'], "bad.jsonl line 3: the character U+0000 at byte 29, which text cannot hold")
bad(json.dumps(good[0]).encode() + b"\n{\"prompt\": \"a\0b\"}\n", "bad.jsonl line 2: a NUL byte at byte 13")
bad(json.dumps(good[0]).encode() + b"\n{\"prompt\": \"a\xff\"}\n", "bad.jsonl line 2: invalid UTF-8 at byte 13")
bad(good + ['{"prompt": "\\ud800"}'], 'bad.jsonl line 3: not JSON: unexpected "\\ud800"}" at byte 12')
bad(good + ["[" * 2000], "bad.jsonl line 3: not JSON: unexpected \"[[[[[[[[[[[[\" at byte 1000")
bad([record(1, 1, [f"m{i}" for i in range(10000)])], 'bad.jsonl line 1: key "response_1_m256" would be one reward model more than 256', db=empty)
bad([record(1, 2, ())], 'bad.jsonl line 1 has no scores, such as key "response_1_gemma_2b", that would name the reward models of a new responses table', db=empty)
bad([record(1, 1, ("weights",))], "persona_responses: argument 1: the name \"weights\" is taken; no reward model may be called response_id, prompt_id, position, model, text, rewards, raw_rewards, embedding, user_id, weights, turn or rowid", db=empty)
bad(good + ["x" * (2**25 + 1)], "bad.jsonl line 3 is longer than 33554432 bytes")
os.remove(path("bad.jsonl"))
packed = gzip.compress(lines.encode())
bad(packed[:-1], "bad.jsonl: the gzip data are cut off")
bad(packed[: len(packed) // 2], "bad.jsonl: the gzip data are cut off")
bad(packed + b"junk", "bad.jsonl: bytes after the end of the gzip data", db=empty)
bad(packed[:-5] + bytes([packed[-5] ^ 255]) + packed[-4:], "bad.jsonl: damaged gzip data: incorrect data check")
bad(line3(prompt_embedding=[1, "x"]), 'bad.jsonl line 3: key "prompt_embedding": element 1 is text; a finite f32 number is required')
bad(line3(prompt_embedding=[]), 'bad.jsonl line 3: key "prompt_embedding" is an array of 0 numbers; an embedding has 1 to 65536')
bad(line3(response_1_embedding=[1e39]), 'bad.jsonl line 3: key "response_1_embedding": element 0 is 1e+39; a finite f32 number is required')
bad([record(1, prompt_embedding=[1, 2]), record(2, prompt_embedding=[1, 2, 3])], "bad.jsonl line 2: prompts: embedding: 3 f32 numbers, but the table's embeddings have 2; all of a table have one dimension")
bad([side[4]], 'bad.jsonl has embeddings but no prompts; it goes into option "embeddings"')

E = path("bad_e.jsonl")
put("bad_e.jsonl", [side[5], side[4]])
put("a4.jsonl", [record(5, 2), record(4, 1), record(6, 2)])
bad(None, 'bad_e.jsonl line 2: key "response_2_embedding", but the prompt has no response 2', "a4.jsonl", embeddings=E)
put("bad_e.jsonl", [side[4], side[5], side[4]])
bad(None, 'bad_e.jsonl line 3: key "prompt_id": 4 has an embedding already', "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [side[5], dict(side[4], prompt_id=99)])
bad(None, 'bad_e.jsonl line 2: key "prompt_id": there is no prompt 99 in the split', "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [{"prompt_embedding": [1]}])
bad(None, "e0.jsonl line 2: bad_e.jsonl has no line for it; lines without prompt_id are matched by their order", "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [{"prompt_embedding": [1]}] * 4)
bad(None, "bad_e.jsonl line 4: e0.jsonl has no line for it; lines without prompt_id are matched by their order", "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [side[4], {"prompt_embedding": [1, 2]}])
bad(None, 'bad_e.jsonl line 2: key "prompt_id" is missing; the lines are matched by it, as their order differs from e0.jsonl', "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [{"prompt_embedding": [1, 2]}, side[5]])
bad(None, 'bad_e.jsonl line 2: key "prompt_id" is another than in e0.jsonl line 2; earlier lines had none, so all are matched by their order', "e0.jsonl", embeddings=E)
put("bad_e.jsonl", [side[4]])
bad(None, 'bad_e.jsonl line 1: key "prompt_id" is another than in e0.jsonl line 1; with "ids": "renumber" both files must have the same order', "e0.jsonl", embeddings=E, ids="renumber")
bad(None, 'option "embeddings": cannot open $D/no: No such file or directory', "e0.jsonl", embeddings=path("no"))
put("bad_e.jsonl", ["x"])
bad(None, 'bad_e.jsonl line 1: not JSON: it is cut off or wrong at its end (1 bytes)', "e0.jsonl", embeddings=E)

bad(None, 'option "means" is "published", but reward model "alpha" is none of the ten published ones (beaver_7b, gemma_2b, ...); "fitted" or a JSON file is required', "e0.jsonl", means="published")
bad(None, 'option "means" is neither "published" nor "fitted" nor a file that can be read: cannot open fit: No such file or '
          'directory', "e0.jsonl", means="fit")
put("m.json", '{"alpha": {"mean": 1, "sd": 1}}')
bad(None, 'm.json: no entry for reward model "zeta"', "e0.jsonl", means=path("m.json"))
put("m.json", '{"alpha": {"mean": 1, "sd": 1}, "zeta": {"mean": 0, "sd": -1}}')
bad(None, 'm.json: reward model "zeta": key "sd" is -1; a positive number is required', "e0.jsonl", means=path("m.json"))
put("m.json", '{"alpha": 1}')
bad(None, 'm.json: reward model "alpha" is a number; an object {"mean": m, "sd": s} is required', "e0.jsonl", means=path("m.json"))
put("m.json", "[]")
bad(None, 'm.json: an array; an object {"NAME": {"mean": m, "sd": s}, ...} is required', "e0.jsonl", means=path("m.json"))
put("m.json", "{")
bad(None, "m.json: not JSON: it is cut off or wrong at its end (2 bytes)", "e0.jsonl", means=path("m.json"))
put("flat.jsonl", [record(100, 1, ("alpha",)), record(101, 1, ("alpha",), response_1_alpha=100.125)])
bad(None, 'option "means" is "fitted", but all 2 scores of reward model "alpha" in split train are equal, so its sd is 0', "flat.jsonl", db=empty, means="fitted")

bad(None, 'unknown option "mean"; known options: embeddings, means, ids, prompts, responses, tables', "e0.jsonl", mean="fitted")
bad(None, 'option "ids" is "new"; one of file|renumber is required', "e0.jsonl", ids="new")
bad(None, 'option "means" is a number; text is required', "e0.jsonl", means=1)
bad(None, 'option "tables" does not apply to a file of prompts', "e0.jsonl", tables="x")
bad(None, 'option "means" does not apply to an evaluation set', "eval.jsonl", means="fitted")
bad(None, 'option "embeddings" does not apply to an interaction database', "inter.jsonl", embeddings=E)
bad(None, '"a b" is no table name; an SQL identifier such as users, "my users" or aux.users is required', "e0.jsonl", prompts="a b")
bad(None, "table reward_models is no persona_prompts table", "e0.jsonl", db=base, prompts="reward_models")
bad(None, "table prompts is no persona_responses table", "e0.jsonl", db=base, responses="prompts")
bad(None, 'table responses belongs to the prompts table "main"."prompts", not to "main"."p2"', "e0.jsonl", db=base, prompts="p2")
bad(None, 'unknown database "nowhere"', "e0.jsonl", prompts="nowhere.p")

bad([dict(ev[0], person_id=10)], 'bad.jsonl line 1: key "person_id": 10 is in eval_users already', db=base)
bad([ev[0], ev[0]], 'bad.jsonl line 2: key "person_id": 10 is in eval_users already', db=empty)
bad([dict(ev[0], person_id=70), dict(ev[0], person_id=71, person_weight=[1])], 'bad.jsonl line 2: key "person_weight" has 1 numbers, but 2 in the lines before')
bad([dict(ev[0], person_id=None)], 'bad.jsonl line 1: key "person_id" is missing; a whole number is required ({"ids": "renumber"} numbers the users anew)')
bad([dict(ev[0], person_id=70, chosen_2="c")], 'bad.jsonl line 1: key "chosen_2" is "c"; "a", "b" or null is required')
bad([dict(ev[0], person_id=70, person_weight="x")], 'bad.jsonl line 1: key "person_weight" is text; an array of numbers is required')
bad([dict(ev[0], person_id=70, best_response_reward="x")], 'bad.jsonl line 1: key "best_response_reward" is text; a finite number is required')
bad([dict(ev[0], person_id=70), "x"], "bad.jsonl line 2: not JSON: it is cut off or wrong at its end (1 bytes)")

A = path("e0.jsonl")
for sql, message in (
        ("SELECT persona_import(NULL, 'train')", "persona_import: argument 1 (path): NULL; text is required"),
        ("SELECT persona_import('', 'train')", "persona_import: argument 1 (path): empty text; text is required"),
        ("SELECT persona_import(x'00', 'train')", "persona_import: argument 1 (path): a BLOB; text is required"),
        ("SELECT persona_import('a' || char(0), 'train')", "persona_import: argument 1 (path): text with a NUL character in it; text is required"),
        ("SELECT persona_import($A, NULL)", "persona_import: argument 2 (split): NULL; text is required"),
        ("SELECT persona_import($A, 1)", "persona_import: argument 2 (split): an integer; text is required"),
        ("SELECT persona_import($A, 'x', 1)", "persona_import: options are an integer; a JSON object such as {\"name\": value} is required"),
        ("SELECT persona_import($A, 'x', '[]')", "persona_import: options are an array; a JSON object such as {\"name\": value} is required"),
        ("SELECT persona_import($A, 'x', '{')", "persona_import: options: not JSON: it is cut off or wrong at its end (1 bytes)"),
        ("SELECT persona_import($A)", "wrong number of arguments to function persona_import()"),
        ("CREATE TABLE t AS SELECT persona_import($A, 'train')", "persona_import: it writes, so it cannot run inside a statement that writes; a SELECT of its own is required"),
        ("INSERT INTO reward_models(name) SELECT persona_import($A, 'train')", "persona_import: it writes, so it cannot run inside a statement that writes; a SELECT of its own is required"),
        ("UPDATE reward_models SET note = persona_import($A, 'train')", "persona_import: it writes, so it cannot run inside a statement that writes; a SELECT of its own is required"),
        ("SELECT * FROM bad_view", "unsafe use of persona_import()"),
        ("INSERT INTO trig VALUES (1)", "unsafe use of persona_import()"),
        ("SELECT * FROM bad_lines", "unsafe use of virtual table \"read_jsonl\""),
        ("SELECT persona_export(NULL, 'train')", "persona_export: argument 1 (path): NULL; text is required"),
        ("SELECT persona_export($A, 'train')", "persona_export: $A exists; {\"overwrite\": true} replaces it"),
        ("SELECT persona_export($N, 'dev')", "persona_export: no prompt of prompts has split \"dev\"; splits: train (3)"),
        ("SELECT persona_export($N, 'train', '{\"overwrite\": 1}')", "persona_export: option \"overwrite\" is a number; true or false is required"),
        ("SELECT persona_export($N, 'train', '{\"gzip\": 1}')", "persona_export: unknown option \"gzip\"; known options: embeddings, overwrite, prompts, responses"),
        ("SELECT persona_export($N, 'train', '{\"prompts\": \"none\"}')", "persona_export: no such table: none"),
        ("SELECT persona_export($F, 'train', '{\"overwrite\": true}')", "persona_export: $F is a directory; the path of a file is required"),
        ("SELECT persona_export($N || '/x', 'train')", "persona_export: cannot create a file beside $N/x: No such file or directory"),
        ("SELECT * FROM read_jsonl", "read_jsonl: argument 1 (path) is missing; usage: read_jsonl(path [, options])"),
        ("SELECT * FROM read_jsonl(NULL)", "read_jsonl: argument 1 (path): NULL; text is required"),
        ("SELECT * FROM read_jsonl(1)", "read_jsonl: argument 1 (path): an integer; text is required"),
        ("SELECT * FROM read_jsonl($F)", "read_jsonl: $F is a directory; a file of JSON lines is required"),
        ("SELECT * FROM read_jsonl($A, '{\"x\": 1}')", "read_jsonl: unknown option \"x\"; known options: invalid"),
        ("SELECT * FROM read_jsonl($L)", "read_jsonl: lines line 2: not JSON: unexpected \"x y\" at byte 0")):
    put("lines", '{}\nx y\n')
    for k, v in (("$A", A), ("$N", path("new")), ("$F", path("folder")), ("$L", path("lines"))):
        sql, message = sql.replace(k, f"'{v}'"), message.replace(k, v)
    fails(base, sql, message)
    if dump(base) != kept or base.in_transaction or os.path.exists(path("new")):
        ok(False, "nothing is half written: " + sql)
base.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (1000, 'nul', 'a' || char(0)), (1001, 'utf', CAST(x'41ff' AS TEXT)), (9007199254740993, 'big', 'x')")
fails(base, f"SELECT persona_export('{path('new')}', 'nul')", 'persona_export: prompt 1000: key "prompt": the character U+0000 at byte 1, which JSON text cannot hold')
fails(base, f"SELECT persona_export('{path('new')}', 'utf')", 'persona_export: prompt 1001: key "prompt": invalid UTF-8 at byte 1, which JSON text cannot hold')
fails(base, f"SELECT persona_export('{path('new')}', 'big')", "persona_export: prompt 9007199254740993: JSON numbers hold ids within +-9007199254740991 only")
eq([n for n in os.listdir(D) if ".tmp-" in n or n == "new"], [], "E3 failures leave no file behind")
base.execute("DELETE FROM prompts WHERE prompt_id >= 1000")
eq(dump(base), kept, "after all of that the database is as it was")

# ---- I9: transactions ----

file = path("t.db")
db = connect(file)
db.execute("CREATE TABLE other(x)")
db.execute("BEGIN")
db.execute("INSERT INTO other VALUES (1)")
eq(imp(db, "a.jsonl"), 3, "I9 inside a transaction")
put("bad.jsonl", good + ["x"])
fails(db, "SELECT persona_import(?, 'train')", "persona_import: bad.jsonl line 3: not JSON: it is cut off or wrong at its end (1 bytes)", args=(path("bad.jsonl"),))
eq((one(db, "SELECT count(*) FROM prompts"), one(db, "SELECT x FROM other"), db.in_transaction), (3, 1, True), "I9 a failure undoes the import and nothing else")
db.execute("ROLLBACK")
eq(db.execute("SELECT name FROM sqlite_schema").fetchall(), [("other",)], "I9 ROLLBACK takes the import along")
db.execute("SAVEPOINT s"), imp(db, "a.jsonl"), db.execute("ROLLBACK TO s"), db.execute("RELEASE s")
eq(db.execute("SELECT name FROM sqlite_schema").fetchall(), [("other",)], "I9 so does ROLLBACK TO")
db.execute("BEGIN"), imp(db, "a.jsonl"), db.execute("COMMIT")
eq(one(connect(file), "SELECT count(*) FROM responses"), 6, "I9 COMMIT keeps it")
eq(imp(db, "b.jsonl"), 1, "I9 in autocommit")
eq(one(connect(file), "SELECT count(*) FROM responses"), 8, "I9 it is committed at once")
eq(sorted(r[0] for r in db.execute("SELECT persona_import(column1, 'more', '{\"ids\": \"renumber\"}') FROM (VALUES (?), (?))", (path("a.jsonl"), path("b.jsonl")))), [1, 3], "several files in one SELECT")
locker = connect(file)
locker.execute("BEGIN IMMEDIATE")
db.execute("PRAGMA busy_timeout = 0")
put("c.jsonl", [record(500)])
fails(db, "SELECT persona_import(?, 'train')", "persona_import: c.jsonl line 1: database is locked", args=(path("c.jsonl"),))
locker.execute("ROLLBACK")
eq(imp(db, "c.jsonl"), 1, "I9 when the lock is gone it works")

ro = connect(f"file:{file}?mode=ro", uri=True)
before = dump(ro)
fails(ro, "SELECT persona_import(?, 'train', '{\"ids\": \"renumber\"}')", "persona_import: b.jsonl line 1: attempt to write a readonly database", args=(path("b.jsonl"),))
eq((dump(ro), ro.in_transaction), (before, False), "I9 a read-only database stays readable")
eq(exp(ro, "ro.jsonl"), 5, "E1 and can be exported")

big = [record(i, 4, ("a", "b"), response_1="x" * 3000) for i in range(3000)]
put("big.jsonl", big)
db = connect(path("full.db"))
db.execute("PRAGMA max_page_count = 1000")
try:
    imp(db, "big.jsonl")
    ok(False, "a full disk is an error")
except sqlite3.Error as e:
    ok(str(e).startswith("persona_import: big.jsonl line ") and str(e).endswith("database or disk is full"), "a full disk is an error", e)
eq((dump(db), db.in_transaction), ({"schema": []}, False), "I9 and leaves nothing behind")
db.execute("PRAGMA max_page_count = 100000")
eq(imp(db, "big.jsonl"), 3000, "I9 the connection still works")
eq(one(db, "PRAGMA integrity_check"), "ok", "the database is sound")

# ---- interrupts ----


def check_interrupt(db, sql, args, whole, name, again=lambda: None):
    """Interrupt at several points, until one strikes: a busy machine may finish the statement before the timer.  again
    makes way for another try."""
    hits = tries = 0
    while tries < 4 or (hits == 0 and tries < 60):
        again()
        message = interrupted(db, sql, args, (whole * (0.02, 0.3, 0.6, 0.9)[tries % 4],))
        tries += 1
        hits += "interrupted" in message
        if "interrupted" in message and db.in_transaction:
            ok(False, f"{name}: in a transaction after the interrupt")
    ok(hits > 0, f"{name} is interruptible")


def remove(name):
    if os.path.exists(path(name)):
        os.remove(path(name))


put("big2.jsonl.gz", [dict(r, prompt_id=r["prompt_id"] + 10000) for r in big] * 1)
db = connect(path("int.db"), check_same_thread=False)
start = time.perf_counter()
imp(db, "big.jsonl")
whole = time.perf_counter() - start
before = dump(db)
check_interrupt(db, "SELECT persona_import(?, 'train', '{\"ids\": \"renumber\"}')", (path("big2.jsonl.gz"),), whole, "persona_import")
held = dump(db)
n = one(db, "SELECT count(*) FROM prompts")
ok(n % 3000 == 0 and n >= 3000, "an interrupted import leaves nothing", n)
db.execute("DELETE FROM responses WHERE prompt_id >= 3000"), db.execute("DELETE FROM prompts WHERE prompt_id >= 3000")
eq(dump(db) == before, True, "and the connection still writes")
start = time.perf_counter()
exp(db, "w.jsonl.gz")
whole = time.perf_counter() - start
check_interrupt(db, "SELECT persona_export(?, 'train')", (path("w2.jsonl.gz"),), whole, "persona_export",
                lambda: remove("w2.jsonl.gz"))
eq([n for n in os.listdir(D) if ".tmp-" in n], [], "E3 an interrupted export leaves no temporary file")
fresh = connect(path("fresh.db"), check_same_thread=False)
seen = set()
for k in range(24):  # from before the tables are made to after
    late = connect(path(f"new{k}.db"), check_same_thread=False)
    message = interrupted(late, "SELECT persona_import(?, 'train')", (path("big.jsonl"),), (0.0003 * k,))
    seen.add(message)
    if late.in_transaction or (message != "no error" and dump(late) != {"schema": []}):
        ok(False, f"an interrupt after {0.3 * k:.1f} ms leaves nothing", message)
    late.close()
ok("persona_import: interrupted" in seen, "an import into a new database is interruptible anywhere", seen)
fresh.execute("BEGIN"), fresh.execute("CREATE TABLE mine(x)")
message = interrupted(fresh, "SELECT persona_import(?, 'train', '{\"ids\": \"renumber\"}')", (path("big.jsonl"),), (0.01,))
ok("interrupted" not in message or not fresh.in_transaction, "I9 an interrupt rolls the transaction back, as SQLite does for writing statements", message)

# ---- real data ----

folder = alpaca8()
if folder is None:
    for name in ("alpaca8 loads", "alpaca8 scores", "alpaca8 means", "alpaca8 embeddings", "alpaca8 round trip"):
        skip(name, "alpaca8 is not there")
else:
    db = connect(path("alpaca.db"))
    real = [json.loads(x) for x in open(os.path.join(folder, "train.jsonl"), encoding="utf-8")]
    n = one(db, "SELECT persona_import(?, 'train', ?)", os.path.join(folder, "train.jsonl"),
            json.dumps({"means": "fitted", "embeddings": os.path.join(folder, "embeddings.train.jsonl")}))
    eq((n, one(db, "SELECT count(*) FROM responses")), (500, 4000), "alpaca8 loads")
    names = [r[0] for r in db.execute("SELECT name FROM reward_models ORDER BY position")]
    want = [f64(*(r[f"response_{k}_{m}"] for m in sorted(names))) for r in real for k in range(1, 9)]
    eq([r[0] for r in db.execute("SELECT raw_rewards FROM responses ORDER BY response_id")] == want, True, "alpaca8 scores")
    given = json.load(open(os.path.join(folder, "reward_models.json")))
    close([means(db)[m] for m in names], [[given[m]["mean"], given[m]["sd"]] for m in names], 1e-12, "alpaca8 means: fitted ones are the published file's")
    emb = [json.loads(x) for x in open(os.path.join(folder, "embeddings.train.jsonl"))]
    want = {e["prompt_id"]: f32(*e["prompt_embedding"]) for e in emb}
    eq(dict(db.execute("SELECT prompt_id, embedding FROM prompts")) == want, True, "alpaca8 embeddings")
    exp(db, "alpaca.jsonl.gz", embeddings=True)
    back = connect()
    imp(back, "alpaca.jsonl.gz")
    q = "SELECT prompt_id, position, model, text, raw_rewards, embedding FROM responses ORDER BY 1, 2"
    eq(back.execute(q).fetchall() == db.execute(q).fetchall(), True, "alpaca8 round trip")

done()
