"""Statements at random: every function, table-valued function, declaration and file format gets values that it does not
expect.  Whatever happens must be an answer or an error with a message; the process stays up, the connection answers, a
statement that failed leaves the database as it was.

    fuzz.py TARGET SEED COUNT [LOG]

TARGET is calls, tables, declare, files, models or shadow.  LOG holds the statement under way, for when the process dies.
test_fuzz.py runs all of them; `make fuzz` does so for longer, under sanitizers.
"""
import json
import os
import random
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import ROOT, connect, load, scratch

HEAVY = {"count": 40, "iterations": 3, "hashed": 64, "random": 32, "exact_rows": 64, "rank": 2, "batch": 4, "per_user": 3, "min_per_user": 1}
WORDS = ["", "x", "train", "test", "users", "responses", "prompts", "population", "\"users\"", "main.users", "best", "worst", "best_worst",
         "random_pair", "rating", "[", "[1, 2]", "[1e999]", "[1, null]", "[[1]]", "{}", "{\"a\": 1}", "null", "nan", "1e308", "-0",
         "f32", "f64", "winning", "losing", "winning_minus_losing", "win_rates", "winners", "diversity", "entropy", "fewshot", "continual",
         "leaderboard", "coefficients", "threads", "\u00e9", "a" * 300, "SELECT 1", "shown", "pairs", "ratings", "history", "vectors", "user's"]
NUMBERS = [0, 1, 2, 3, 7, -1, 10, 255, 256, 257, 65536, 65537, 2**31, 2**32, 2**53, 2**63 - 1, -2**63, 0.5, -0.5, 1e-300, 1e300, 5e-324]


class Fuzz:
    def __init__(self, seed, log):
        self.r = random.Random(seed)
        self.log = log
        self.errors = self.answers = 0
        self.folder = scratch()
        self.fresh()

    def fresh(self):
        """A small benchmark with everything that the functions read."""
        self.db = db = connect()
        load(db)
        for sql in (
                "CREATE VIRTUAL TABLE users USING persona_users(count=6, alpha=0.5, seed=1)",
                "DELETE FROM responses WHERE prompt_id IN (SELECT prompt_id FROM prompts WHERE prompt_id > 12 AND split = 'train')",
                "CREATE TABLE population AS SELECT user_id, weights FROM users",
                "CREATE TABLE history AS SELECT * FROM persona_interactions('users', 'train', 3, 'best_worst', 1)",
                "CREATE TABLE shown AS SELECT * FROM persona_choices('history')",
                "CREATE TABLE pairs AS SELECT user_id, turn, c.rewards AS chosen, r.rewards AS rejected FROM history "
                "JOIN responses c ON c.response_id = chosen_id JOIN responses r ON r.response_id = rejected_id",
                "CREATE TABLE ratings AS SELECT user_id, turn, rewards AS features, turn AS rating FROM history JOIN responses r ON r.response_id = chosen_id",
                "CREATE TABLE vectors AS SELECT prompt_id AS id, text_embedding(text, 7) AS embedding, prompt_id % 3 AS part FROM prompts"):
            db.execute(sql)
        plain = sqlite3.connect(":memory:")
        known = set(plain.execute("SELECT name, narg FROM pragma_function_list"))
        self.functions = sorted({(n, a, kind) for n, a, kind in db.execute("SELECT name, narg, type FROM pragma_function_list") if (n, a) not in known})
        modules = {n for n, in plain.execute("SELECT name FROM pragma_module_list")}
        self.modules = sorted(n for n, in db.execute("SELECT name FROM pragma_module_list") if n not in modules and n.startswith(("persona_", "model_", "read_")))
        with open(os.path.join(ROOT, "tests", "ref", "models.json")) as f:
            self.models = [bytes.fromhex(m["bytes"]) for m in json.load(f).values()]
        self.models += db.execute("SELECT distill_rewards(text_features(text), rewards, prompt_id), "
                                  "distill_text('q' || prompt_id, text, rewards, prompt_id, '{\"random\": 32, \"hashed\": 64}') FROM responses").fetchone()
        with open(os.path.join(ROOT, "docs", "reference.md")) as f:
            self.options = sorted({w for line in f if line.startswith("| `") for w in line.split("|")[1].replace("`", "").replace(",", " ").split() if w.isidentifier()})

    # ---- values ----

    def blob(self):
        r = self.r
        n = r.choice([0, 1, 2, 3, 10, 10, 10, 11, 64, 256])
        kind = r.randrange(6)
        if kind == 0:
            return r.randbytes(r.randrange(100))
        if kind == 1:
            return struct.pack(f"<{n}f", *(r.gauss(0, 1) for _ in range(n)))
        if kind == 2:
            return struct.pack(f"<{n}d", *(r.choice([0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), r.gauss(0, 1)]) for _ in range(n)))
        if kind == 3:
            return self.mutate(r.choice(self.models))
        return struct.pack(f"<{n}d", *(r.gauss(0, 1) for _ in range(n)))

    def mutate(self, blob):
        r, b = self.r, bytearray(blob)
        for _ in range(r.randrange(4)):
            at = r.randrange(len(b) + 1)
            kind = r.randrange(4)
            if kind == 0 and at < len(b):
                b[at] ^= 1 << r.randrange(8)
            elif kind == 1:
                del b[at:at + r.randrange(1, 40)]
            elif kind == 2:
                b[at:at] = r.randbytes(r.randrange(1, 9))
            elif kind == 3 and at + 8 <= len(b):
                b[at:at + 8] = r.choice([b"\xff" * 8, bytes(8), struct.pack("<d", float("nan")), struct.pack("<II", 2**31, 3)])
        return bytes(b)

    def option_text(self):
        r, o = self.r, {}
        for _ in range(r.randrange(1, 4)):
            key = r.choice(self.options)
            o[key] = r.choice([HEAVY.get(key, 1), r.choice(NUMBERS), r.choice(WORDS), None, True, [1], ["a", "b"], {"x": 1}])
            if key in HEAVY and isinstance(o[key], (int, float)) and o[key] > HEAVY[key]:
                o[key] = HEAVY[key]
        if r.randrange(2):
            o["method"] = r.choice(["posterior", "bradley_terry", "sum", "uniform", "prior", "pooled", "lore", "svd", "maml", "neighbors"])
            if o["method"] in ("lore", "svd", "maml", "prior", "pooled"):
                o["iterations"] = 2
        text = json.dumps(o)
        if r.randrange(12) == 0:
            text = text[:r.randrange(len(text))]
        return text

    def value(self):
        r, kind = self.r, self.r.randrange(10)
        if kind == 0:
            return None
        if kind <= 2:
            return r.choice(NUMBERS)
        if kind <= 4:
            return r.choice(WORDS)
        if kind == 5:
            return self.option_text()
        if kind == 6:
            return json.dumps([r.choice([0, 1, -1.5, 1e300, 2**40]) for _ in range(r.choice([1, 2, 10]))])
        return self.blob()

    # ---- statements ----

    def run(self, sql, args=()):
        """One statement: an answer or an error with a message, and a connection that still answers."""
        if self.log:
            with open(self.log, "w") as f:
                f.write(f"{sql}\n{args!r}\n")
        try:
            cursor = self.db.execute(sql, args)
            rows = cursor.fetchmany(300)
            cursor.close()
            self.answers += 1
        except (sqlite3.Error, OverflowError, MemoryError, UnicodeDecodeError) as e:
            rows = None
            text = str(e)
            assert text and "unknown error" not in text and "internal error" not in text, f"{text!r} from {sql} {args!r:.500}"
            self.errors += 1
        assert self.db.execute("SELECT 1").fetchone() == (1,)
        return rows

    def calls(self):
        name, arity, kind = self.r.choice(self.functions)
        arity = arity if arity >= 0 else self.r.randrange(4)
        if name in ("persona_import", "persona_export", "persona_report"):
            name, arity = "persona_json", 1
        if kind == "s":
            self.run(f"SELECT {name}({', '.join('?' * arity)})", [self.value() for _ in range(arity)])
            return
        source = self.r.choice(["pairs", "shown", "ratings", "values"])
        columns = {"pairs": ["user_id", "chosen", "rejected", "turn"], "ratings": ["user_id", "features", "rating", "turn"],
                   "shown": ["user_id", "choice_set", "features", "feedback", "response_id"], "values": ["column1", "column2", "column3"]}[source]
        args, values = [], []
        for _ in range(arity):
            if self.r.randrange(4):
                args.append(self.r.choice(columns))
            else:
                args.append("?")
                values.append(self.value())
        if source == "values":
            n = self.r.randrange(1, 6)
            source = f"(VALUES {', '.join(['(?, ?, ?)'] * n)})"
            rows = [self.value() for _ in range(3 * n)]
        else:
            rows = []
        over = ""
        if kind == "w" and self.r.randrange(2):
            over = self.r.choice([" OVER ()", f" OVER (ORDER BY {columns[0]}, {columns[1]})", f" OVER (ORDER BY {columns[0]} ROWS 2 PRECEDING)",
                                  f" OVER (ORDER BY {columns[1]} GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
                                  f" OVER (PARTITION BY {columns[0]} ORDER BY {columns[1]} ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING)"])
        group = "" if over or self.r.randrange(2) else f" GROUP BY {columns[0]}"
        self.run(f"SELECT {name}({', '.join(args)}){over} FROM {source}{group}", values + rows)

    def tables(self):
        name = self.r.choice([m for m in self.modules if m not in ("persona_users", "persona_prompts", "persona_responses")])
        likely = {"persona_votes": ["users", "test"], "persona_interactions": ["users", "train", 2, "best_worst", 1], "persona_choices": ["history"],
                  "persona_evaluate": ["users", "population", "test"], "persona_neighbors": ["vectors", "vectors", 3], "persona_adapt": ["shown"],
                  "model_weights": [self.r.choice(self.models)], "model_history": [self.r.choice(self.models)],
                  "read_jsonl": [os.path.join(ROOT, "examples", "demo", "test.jsonl")]}.get(name, [])
        args = [v if self.r.randrange(5) else self.value() for v in likely]
        if self.r.randrange(2):
            args.append(self.option_text() if self.r.randrange(5) else self.value())
        if name == "persona_interactions" and len(args) > 2 and isinstance(args[2], int) and args[2] > 1000:
            args[2] = 5
        if name == "persona_interactions" and len(args) > 5:
            args[5] = None
        where = self.r.choice(["", "", " WHERE rowid = 1", " WHERE skipped > 0", " ORDER BY 1 DESC LIMIT 2", " WHERE 1 IN (SELECT 1)"])
        columns = self.r.choice(["*", "count(*)", "*, skipped"])
        self.run(f"SELECT {columns} FROM {name}({', '.join('?' * len(args))}){where}", args)

    def declare(self):
        r = self.r
        key = lambda: r.choice(["count", "alpha", "seed", "generator", "first", "min_distance", "drift", "responses", "models", "prompts", "colour"])
        value = lambda: r.choice(["1", "0", "-1", "1e9", "1e308", "nan", "0.05", "[1, 2]", "[a, b]", "[a, a]", "[]", "numpy", "philox", "'x'", "\"", "users",
                                  "responses", "prompts", "[" + ", ".join(f"m{i}" for i in range(r.choice([2, 256, 257]))) + "]", "1e-6", "4294967295", "a b", ""])
        module = r.choice(["persona_users", "persona_users", "persona_responses", "persona_prompts", "persona_votes", "persona_adapt"])
        parts = [f"{key()}={value()}" if r.randrange(4) else value() for _ in range(r.randrange(5))]
        self.run("SAVEPOINT s")
        if self.run(f"CREATE VIRTUAL TABLE fuzzed USING {module}({', '.join(parts)})") is not None:
            for sql in ("SELECT * FROM fuzzed LIMIT 3", "SELECT * FROM fuzzed WHERE user_id BETWEEN 3 AND 5 AND turn = 2", "ALTER TABLE fuzzed RENAME TO renamed",
                        "SELECT * FROM renamed LIMIT 1", "INSERT INTO renamed DEFAULT VALUES", "DELETE FROM renamed", "DROP TABLE renamed"):
                self.run(sql)
        self.run("ROLLBACK TO s")
        self.run("RELEASE s")

    def state(self):
        return self.db.execute("SELECT count(*), sum(prompt_id) FROM prompts").fetchall() + \
            self.db.execute("SELECT persona_fingerprint(response_id, prompt_id, position, text, raw_rewards) FROM responses").fetchall()

    def files(self):
        r = self.r
        if not hasattr(self, "lines"):
            with open(os.path.join(ROOT, "examples", "demo", "test.jsonl"), "rb") as f:
                self.lines = f.read().splitlines()
            self.run("DELETE FROM prompts WHERE split = 'test'")
            self.run("DELETE FROM responses WHERE prompt_id NOT IN (SELECT prompt_id FROM prompts)")
        lines = r.sample(self.lines, 2)
        if r.randrange(2):
            o = json.loads(lines[1])
            for _ in range(r.randrange(1, 3)):
                k = r.choice(sorted(o))
                o[k] = r.choice([None, True, [], {}, [[1]], "x", 1e308, -1, 2**70, "\ud800" if r.randrange(2) else "\x00", 0.5, [0.5] * 3, "best"])
                if r.randrange(4) == 0:
                    o[r.choice(["prompt_id", "person_id", "person_weight", "test_prompt", "response_1", "response_0", "response_99", "response_01", "chosen_1", "prompt_1"])] = r.choice([1, "a", [1.0] * 10, None])
            lines[1] = json.dumps(o).encode()
        text = b"\n".join(lines)
        if r.randrange(2):
            text = self.mutate(text)
        path = os.path.join(self.folder, "fuzzed.jsonl")
        with open(path, "wb") as f:
            f.write(text)
        before = self.state()
        self.run("SAVEPOINT s")
        got = self.run("SELECT persona_import(?, 'fuzz', ?)", (path, r.choice([None, None, "{\"ids\": \"renumber\"}", "{\"means\": \"fitted\"}", json.dumps({"embeddings": path})])))
        if got is None:
            assert self.state() == before, "a failed import changed the database"
        self.run("SELECT count(*) FROM read_jsonl(?, ?)", (path, r.choice([None, "{\"invalid\": \"null\"}"])))
        self.run("ROLLBACK TO s")
        self.run("RELEASE s")

    def models_(self):
        import modelcodec
        r = self.r
        model = r.choice(self.models)
        if r.randrange(3):
            model = self.mutate(model)
            if r.randrange(2) and len(model) > 112:
                model = modelcodec.seal(model if len(model) % 2 else model + b"\xA5")
        dim = r.choice([1, 2, 3, 4, 10, 64])
        features = json.dumps([r.choice([0, 1, -2.5]) for _ in range(dim)])
        other = json.dumps([r.choice([0, 1, 3]) for _ in range(dim)])
        for sql, args in (("SELECT model_info(?)", (model,)), ("SELECT * FROM model_weights(?)", (model,)), ("SELECT * FROM model_history(?)", (model,)),
                          ("SELECT predict_rewards(?, ?)", (model, features)), ("SELECT predict_rewards(?, 'Why?', 'So.')", (model,)),
                          ("SELECT preference_probability(?, ?, ?)", (model, features, other)), ("SELECT merge_models(?)", (model,)),
                          ("SELECT adapt_user(?, ?, ?)", (features, other, model)), ("SELECT * FROM persona_adapt('shown', ?)", (model,)),
                          ("SELECT adapt_user_ratings(?, 1, ?)", (features, model))):
            self.run(sql, args)

    def shadow(self):
        r, db = self.r, self.db
        db.execute("SAVEPOINT s")
        shadows = [n for n, in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'prompts_*' OR name GLOB 'responses_*' OR name GLOB 'users_*' OR name = 'reward_models')")]
        for _ in range(r.randrange(1, 3)):
            table = r.choice(shadows)
            columns = [n for n, in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
            if not columns:
                continue
            kind = r.randrange(8)
            if kind == 0:
                self.run(f"DELETE FROM \"{table}\" WHERE rowid % 3 = 0" if r.randrange(2) else f"DELETE FROM \"{table}\"")
            elif kind == 1:
                self.run(f"DROP TABLE \"{table}\"")
            elif kind == 2:
                self.run(f"ALTER TABLE \"{table}\" RENAME \"{r.choice(columns)}\" TO fuzzed")
            else:
                self.run(f"UPDATE OR IGNORE \"{table}\" SET \"{r.choice(columns)}\" = ? WHERE rowid >= ?", (self.value(), r.choice([0, 3, 20])))
        for sql in ("SELECT * FROM prompts", "SELECT * FROM responses", "SELECT * FROM users", "SELECT * FROM persona_votes('users', NULL)",
                    "SELECT * FROM persona_evaluate('users', 'population', NULL)", "UPDATE responses SET text = 'x' WHERE response_id = 3",
                    "INSERT INTO responses(prompt_id, position, text) VALUES (1, 99, 'y')", "DELETE FROM prompts WHERE prompt_id = 5",
                    "SELECT * FROM persona_choices('history')", "SELECT * FROM persona_interactions('users', 'train', 2, 'random_pair', 1)",
                    "PRAGMA integrity_check", "ALTER TABLE responses RENAME TO others", "DROP TABLE users"):
            self.run(sql)
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")


TARGETS = {"calls": Fuzz.calls, "tables": Fuzz.tables, "declare": Fuzz.declare, "files": Fuzz.files, "models": Fuzz.models_, "shadow": Fuzz.shadow}

if __name__ == "__main__":
    target, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    fuzz = Fuzz(seed, sys.argv[4] if len(sys.argv) > 4 else None)
    for _ in range(count):
        TARGETS[target](fuzz)
    print(f"{fuzz.answers} answers, {fuzz.errors} errors")
