"""persona_chart: every figure is its query's or table's rows in a complete Vega-Lite specification."""
import json
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import ROOT

CHARTS = ["diversity", "winners", "win_rates", "entropy", "coefficients", "fewshot", "continual", "leaderboard"]
VOTES = {"diversity": "top_share", "winners": "winners", "win_rates": "win_rates", "entropy": "entropy"}

db = connect()
load(db)
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0)")
db.execute("CREATE VIRTUAL TABLE even USING persona_users(count=200, alpha=10, seed=1)")


def spec(name, on=db, **options):
    text = on.execute("SELECT persona_chart(?, ?)", (name, json.dumps(options) if options else None)).fetchone()[0]
    return json.loads(text)


def values(*args, **options):
    return spec(*args, **options)["data"]["values"]


def query(file, population=None, split=None):
    with open(f"{ROOT}/sql/{file}.sql") as f:
        got = db.execute(f.read(), {"population": population, "split": split})
    names = [c[0] for c in got.description]
    return [dict(zip(names, row)) for row in got]


def strings(tree):
    """Every string of a specification but those of its data."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key != "data":
                yield key
                yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    elif isinstance(tree, str):
        yield tree


def fields(tree):
    if isinstance(tree, dict):
        if isinstance(tree.get("field"), str):
            yield tree["field"]
        for key, value in tree.items():
            if key != "data":
                yield from fields(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from fields(value)


def complete(s, name):
    """No placeholder left, and everything drawn is in the data."""
    left = [t for t in strings(s) if "@" in t or "#if" in t]
    ok(s["$schema"].endswith("/v5.json") and not left, f"{name}: a whole specification", left)
    eq(sorted(set(fields(s)) - set(s["data"]["values"][0])), [], f"{name}: every field drawn is in the data")


# ---- charts of votes: exactly what the shell prints ----
for name, file in VOTES.items():
    for population, split in ((None, None), ("even", "train")):
        want = query(file, population, split)
        options = {k: v for k, v in (("population", population), ("split", split)) if v}
        got = values(name, **options)
        eq([{k: v for k, v in row.items() if k != "population"} for row in got],
           [{k: row[k] for k in got[0] if k != "population"} for row in want], f"{name} is sql/{file}.sql on {options}")
        eq({row["population"] for row in got}, {population or "users"}, f"{name} says whose votes")
    s = spec(name, population=["users", "even"])
    complete(s, name)
    eq([r for r in s["data"]["values"]], values(name) + values(name, population="even"), f"{name} of two populations")
    legends = [t for t in json.dumps(s).split('"legend": ')[1:]]
    ok(all(t.startswith("{") for t in legends), f"{name}: two populations have a legend")
    ok('"legend": null' in json.dumps(spec(name)), f"{name}: one has none")
eq(sum(r["prompts"] for r in values("winners")), 16, "every test prompt has its number of winners")
votes = {}
for prompt, text, n in db.execute("SELECT prompt_id, text, best_votes FROM persona_votes('users', 'train') JOIN prompts USING (prompt_id)"):
    votes.setdefault((prompt, text.lower()), []).append(n / 1000)
entropy = {text: -sum(p * math.log(p) for p in shares if p) for (_, text), shares in votes.items()}
got = {row["keyword"]: (row["prompts"], row["mean_entropy"]) for row in values("entropy")}
for word in ("imagine", "opinion", "poem", "taste", "who", "what", "when", "where", "(all)"):
    of = [h for text, h in entropy.items() if word == "(all)" or (
        text.split(" ")[0] == word if word in ("who", "what", "when", "where") else word in text)]
    eq(got.get(word), (len(of), round(sum(of) / len(of), 4)) if of else None, f"entropy of {word}")
eq([r["different_winners"] for r in values("winners")], list(range(1, 9)), "winners: counts that never occur are there, as zeros")
eq(spec("winners", value="prompts")["encoding"]["y"],
   {"field": "prompts", "type": "quantitative", "title": "prompts", "axis": {"format": ",~r"}},
   "value draws another column under its own name")

# ---- charts of tables ----
db.executescript("""
  CREATE TABLE fewshot(method, interactions, captured_share, top1, weights);
  INSERT INTO fewshot VALUES ('a', 1, .5, .25, x'00'), ('a', 3, .75, .5, x'00'), ('b', 1, .5, NULL, NULL);
  CREATE TABLE coefficients(feature, q1, median, q3, low, high);
  INSERT INTO coefficients VALUES ('length', -1, -.5, 0, -2, 1);
  CREATE TABLE continual(method, turn, regret, low, high);
  INSERT INTO continual VALUES ('a', 1, .5, .4, .6), ('a', 2, .25, .2, .3);
  CREATE VIEW leaderboard AS SELECT method, max(captured_share) AS score FROM fewshot GROUP BY 1;
""")
for name in CHARTS[4:]:
    complete(spec(name), name)
eq(values("fewshot"), [{"method": "a", "interactions": 1, "captured_share": .5, "top1": .25},
                       {"method": "a", "interactions": 3, "captured_share": .75, "top1": .5},
                       {"method": "b", "interactions": 1, "captured_share": .5, "top1": None}],
   "the columns that are drawn, others left out")
eq([list(r) for r in values("fewshot", value="TOP1")][0], ["method", "interactions", "top1"], "value, whatever its case")
eq(values("coefficients"), [{"feature": "length", "median": -.5, "low": -2, "q1": -1, "q3": 0, "high": 1}], "a box plot's numbers")
eq(values("leaderboard"), [{"method": "a", "score": .75}, {"method": "b", "score": .5}], "a view does as well")
eq(len(spec("continual")["layer"]), 3, "an interval is drawn where the table has one")
eq(len(spec("fewshot")["layer"]), 2, "and not where it has none")
db.execute("CREATE TABLE winners_of_mine AS SELECT 1 AS different_winners, 0.5 AS share")
eq(values("winners", table="winners_of_mine"), [{"population": "winners_of_mine", "different_winners": 1, "share": .5}],
   "a chart of votes draws a table of its shape too")
db.execute("CREATE TEMP TABLE continual AS SELECT 'temp' AS method, 1 AS turn, 0.5 AS regret")
eq(values("continual")[0]["method"], "temp", "names are resolved as SQLite resolves them")
db.execute("DROP TABLE temp.continual")

# ---- the specification's own ----
s = spec("leaderboard", title="What <b>I</b> \"did\"", width=300)
eq((s["title"]["text"], s["width"]), ("What <b>I</b> \"did\"", 300), "title and width")
eq(spec("leaderboard", width=0)["width"], "container", "width 0 fills what it stands in")
eq(spec("leaderboard")["description"],
   "Methods compared. Bars: score. 2 values; highest: a, 0.75; lowest: b, 0.5.", "the chart in words")
db.execute("CREATE TABLE scored AS SELECT 'm' AS method, 0.5 AS score, 0.4 AS low, 0.6 AS high, 0.1 AS cost")
eq([sorted(row) for row in (values("leaderboard", table="scored")[0], values("leaderboard", table="scored", value="cost")[0])],
   [["high", "low", "method", "score"], ["cost", "method"]], "intervals go with the chart's own value only")
eq(spec("fewshot", value="top1")["description"],
   "What a few interactions teach. Shown: top1 by interactions. 2 values; highest: a, interactions 3, 0.5; lowest: a, "
   "interactions 1, 0.25.", "other values in words")
eq(spec("winners_of_mine" and "winners", table="winners_of_mine")["description"].split(". ")[-1], "1 value; highest: "
   "different_winners 1, 0.5; lowest: different_winners 1, 0.5.", "one value in words")

# ---- texts of any kind ----
odd = ["</script><script>alert(1)</script>", "<!-- \"quotes\" 'too' & \\ -->", "😀 é\n\t\x01\x7f\u2028", ""]
db.execute("CREATE TABLE odd(method, score)")
db.executemany("INSERT INTO odd VALUES (?, ?)", [(t, i) for i, t in enumerate(odd)])
eq([r["method"] for r in values("leaderboard", table="odd")], odd, "texts come back as they are")
text = db.execute("SELECT persona_chart('leaderboard', '{\"table\": \"odd\"}')").fetchone()[0]
ok("<" not in text, "no '<' in a specification: it can stand in a script element")
db.execute("CREATE TABLE bad AS SELECT CAST(x'61ff62' AS TEXT) AS method, 9e999 AS score UNION ALL SELECT NULL, NULL")
eq(values("leaderboard", table="bad"), [{"method": "a?b", "score": None}, {"method": None, "score": None}],
   "invalid UTF-8, infinity and NULL")
db.execute('CREATE TABLE "it\'s ""mine""" AS SELECT * FROM leaderboard')
eq(len(values("leaderboard", table='"it\'s ""mine"""')), 2, "a quoted name")

# ---- errors ----
LIST = ", ".join(CHARTS)
fails(db, "SELECT persona_chart('pie')", f'persona_chart: argument 1 (name): unknown chart "pie"; known charts: {LIST}')
fails(db, "SELECT persona_chart(NULL)", "persona_chart: argument 1 (name): NULL; text is required")
fails(db, "SELECT persona_chart('winners', '{\"colour\": 1}')",
      'persona_chart: unknown option "colour"; known options: population, split, table, title, value, width')
fails(db, "SELECT persona_chart('winners', 3)",
      'persona_chart: options are an integer; a JSON object such as {"name": value} is required')
for population, message in (
        ("[]", "an empty list; a name or a list of names is required"),
        ("[1]", "a number; a name or a list of names is required"),
        ("3", "a number; a name or a list of names is required"),
        (json.dumps(["users"] * 21), "at most 20 names fit")):
    fails(db, f"SELECT persona_chart('winners', '{{\"population\": {population}}}')",
          f'persona_chart: option "population": {message}')
fails(db, "SELECT persona_chart('winners', '{\"population\": \"nobody\"}')",
      "persona_chart: winners: persona_votes: argument 1 (population): no such table: nobody")
fails(db, "SELECT persona_chart('winners', '{\"split\": \"dev\"}')",
      'persona_chart: winners: persona_votes: argument 2 (split): no split "dev"; splits: train (48 prompts), test (16 prompts)')
fails(db, "SELECT persona_chart('fewshot', '{\"split\": \"test\"}')",
      'persona_chart: fewshot: a table is drawn as it is; options "population" and "split" do not apply')
fails(db, "SELECT persona_chart('winners', '{\"table\": \"odd\", \"population\": \"users\"}')",
      'persona_chart: winners: a table is drawn as it is; options "population" and "split" do not apply')
fails(db, "SELECT persona_chart('winners', '{\"value\": \"colour\"}')",
      'persona_chart: winners: sql/winners.sql, population users has no column "colour"; columns different_winners, colour '
      'are required')
fails(db, "SELECT persona_chart('fewshot', '{\"table\": \"odd\"}')",
      'persona_chart: fewshot: table odd has no column "interactions"; columns method, interactions, captured_share are required')
fails(db, "SELECT persona_chart('fewshot', '{\"table\": \"nothing\"}')", "persona_chart: fewshot: no such table: nothing")
bare = connect()
for name, columns in (("coefficients", "feature, median, low, q1, q3, high"), ("fewshot", "method, interactions, captured_share"),
                      ("continual", "method, turn, regret"), ("leaderboard", "method, score")):
    files = {"fewshot": "sql/adaptation.sql", "leaderboard": "sql/leaderboard.sql after sql/adaptation.sql"}
    fails(bare, f"SELECT persona_chart('{name}')",
          f'persona_chart: {name}: no such table: {name}; {files.get(name, "sql/" + name + ".sql")} makes it, or option "table" names a table or view '
          f'with columns {columns}')
fails(bare, "SELECT persona_chart('winners')", "persona_chart: winners: persona_votes: argument 1 (population): no such table: users")
db.execute("CREATE TABLE words AS SELECT 'a' AS method, 1 AS score UNION ALL SELECT 'b', 'much'")
fails(db, "SELECT persona_chart('leaderboard', '{\"table\": \"words\"}')",
      'persona_chart: leaderboard: table words, row 2: column score is the text "much"; a number is required')
db.execute("CREATE TABLE blobs AS SELECT 'a' AS method, x'00' AS score")
fails(db, "SELECT persona_chart('leaderboard', '{\"table\": \"blobs\"}')",
      "persona_chart: leaderboard: row 1: column score is a BLOB; a number or text is required")
db.execute("CREATE TABLE none(method, score)")
fails(db, "SELECT persona_chart('leaderboard', '{\"table\": \"none\"}')",
      "persona_chart: leaderboard: table none: no rows, nothing to draw")
db.execute("CREATE VIEW many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001) "
           "SELECT i AS method, i AS score FROM n")
fails(db, "SELECT persona_chart('leaderboard', '{\"table\": \"many\"}')",
      "persona_chart: leaderboard: more than 5000 rows; aggregate or choose first, for example in a view")
db.execute("CREATE VIEW most AS SELECT * FROM many LIMIT 5000")
eq(len(values("leaderboard", table="most")), 5000, "5000 rows are drawn")
fails(db, "CREATE INDEX i ON odd(persona_chart('winners'))", "non-deterministic functions prohibited in index expressions")
db.execute("CREATE VIEW chart AS SELECT persona_chart('leaderboard') AS spec")
db.execute("PRAGMA trusted_schema=0")
fails(db, "SELECT * FROM chart", "unsafe use of persona_chart()")
db.execute("PRAGMA trusted_schema=1")
eq(len(json.loads(db.execute("SELECT spec FROM chart").fetchone()[0])["data"]["values"]), 2, "views may hold charts")

# ---- a view whose own table is missing ----
with open(f"{ROOT}/sql/leaderboard.sql") as f:
    view = f.read()
lone = connect()
lone.executescript(view[view.index("CREATE TEMP VIEW"):].split(";\n")[0])
fails(lone, "SELECT persona_chart('leaderboard')", "persona_chart: leaderboard: table leaderboard, made by sql/leaderboard.sql after "
      "sql/adaptation.sql: no such table: fewshot", "a leaderboard without results says what makes them")

done()
