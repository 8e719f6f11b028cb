"""J5: ingest.  A data set of 9,402 prompts in the published schema (about 96 MB of JSON lines) into a database file."""
import json
import os
import sqlite3
import time

import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job

WORDS = ("the a of to and in is that it for on with as was be by at this from or an are not but you your which their when "
         "more about into over model reward answer question example because however therefore first second also between "
         "people system write code function return value number list think step reason result caf\u00e9 na\u00efve \u201cquoted\u201d "
         "\u2014 don't \"so\" it's 42 3.14 (see) {x} [1] back\\slash").split(" ")
MODELS = ["cohere/command-r-plus", "openai/gpt-4-turbo", "openai/gpt-4o", "anthropic/claude-3-opus", "anthropic/claude-3-sonnet",
          "meta-llama/llama-3-70b-instruct", "google/gemini-pro-1.5", "mistralai/mixtral-8x22b-instruct"]


def texts(rng, size=4 << 20):
    """A long text to cut pieces from, with line ends, quotes, backslashes and letters beyond ASCII."""
    words = rng.randint(0, len(WORDS), size // 5)
    breaks = rng.randint(0, 12, len(words))
    return "".join(WORDS[w] + ("\n" if b == 0 else " ") for w, b in zip(words, breaks))[:size]


class Made:
    """The file, and what must be in a database made from it."""

    def __init__(self, path, prompts, seed=4):
        rng = np.random.RandomState(seed)
        pool, scores = texts(rng), data.Scores(prompts, seed=seed)
        raw = scores.raw.astype(np.float32).astype(float)  # reward models answer in f32
        length = np.minimum(np.exp(rng.normal(6.35, .7, (prompts, 9))), 4000).astype(int)
        length[:, 0] = np.minimum(length[:, 0], 2400) // 2
        start = rng.randint(0, len(pool) - 4000, (prompts, 9))
        self.names, self.prompts, self.characters = scores.names, prompts, int(length.sum())
        self.scores, self.path = float(raw.sum()), path
        with open(path, "w", encoding="utf-8") as f:
            for p in range(prompts):
                line = {"prompt": pool[start[p, 0]:start[p, 0] + length[p, 0]], "subset": "hh-rlhf-helpful-base", "prompt_id": p + 1}
                for r in range(8):
                    line[f"response_{r + 1}"] = pool[start[p, r + 1]:start[p, r + 1] + length[p, r + 1]]
                    line[f"response_{r + 1}_model"] = MODELS[r]
                    for name, x in zip(scores.names, raw[p, r].tolist()):
                        line[f"response_{r + 1}_{name}"] = x
                f.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.bytes = os.path.getsize(path)

    def check(self, counts, what="database"):
        """counts: prompts, responses, characters of all texts, sum of all scores."""
        prompts, responses, characters, total = counts
        if (prompts, responses, characters) != (self.prompts, 8 * self.prompts, self.characters):
            raise Differs(f"{what}: {counts[:3]}, not {(self.prompts, 8 * self.prompts, self.characters)}")
        if not abs(total - self.scores) <= 1e-9 * abs(self.scores):
            raise Differs(f"{what}: the scores add up to {total!r}, not {self.scores!r}")


def remove(path):
    for ending in ("", "-journal", "-wal", "-shm"):
        if os.path.exists(path + ending):
            os.remove(path + ending)


def blob_sum(blobs):
    return float(sum(np.frombuffer(b).sum() for (b,) in blobs))


def read_plain(path):
    db = sqlite3.connect(path)
    counts = (*db.execute("SELECT count(*) FROM p").fetchone(), *db.execute("SELECT count(*) FROM r").fetchone(),
              db.execute("SELECT (SELECT sum(length(text)) FROM p) + (SELECT sum(length(text)) FROM r)").fetchone()[0],
              blob_sum(db.execute("SELECT raw FROM r")))
    db.close()
    return counts


def in_python(made, path):
    """json and sqlite3, one statement for all rows of a table."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE p(prompt_id INTEGER PRIMARY KEY, split TEXT, source TEXT, text TEXT)")
    db.execute("CREATE TABLE r(response_id INTEGER PRIMARY KEY, prompt_id INTEGER, position INTEGER, model TEXT, text TEXT, raw BLOB)")
    db.execute("CREATE UNIQUE INDEX r_prompt ON r(prompt_id, position)")
    keys = [(f"response_{k}", f"response_{k}_model", [f"response_{k}_{n}" for n in made.names]) for k in range(1, 9)]
    prompts = []

    def responses():
        with open(made.path, encoding="utf-8") as f:
            for line in f:
                o = json.loads(line)
                prompts.append((o["prompt_id"], "train", o["subset"], o["prompt"]))
                for k, (text, model, scores) in enumerate(keys):
                    yield o["prompt_id"], k + 1, o[model], o[text], np.array([o[s] for s in scores]).tobytes()
    db.executemany("INSERT INTO r(prompt_id, position, model, text, raw) VALUES (?, ?, ?, ?, ?)", responses())
    db.executemany("INSERT INTO p VALUES (?, ?, ?, ?)", prompts)
    db.commit()
    db.close()


def make(env):
    made = Made(data.scratch(f"j5-{env.size}.jsonl"), env.pick(9402, 40))
    paths = {k: data.scratch(f"j5-{k}.db") for k in ("ours", "python", "limit", "duckdb")}

    def ours():
        db = env.connect(paths["ours"])
        db.execute("SELECT persona_import(?, 'train')", (made.path,)).fetchone()
        db.close()

    def check_ours(_):
        db = env.connect(paths["ours"])
        made.check((*db.execute("SELECT count(*) FROM prompts").fetchone(), *db.execute("SELECT count(*) FROM responses").fetchone(),
                    db.execute("SELECT (SELECT sum(length(text)) FROM prompts) + (SELECT sum(length(text)) FROM responses)").fetchone()[0],
                    blob_sum(db.execute("SELECT raw_rewards FROM responses"))))
        db.close()
        return f"database {os.path.getsize(paths['ours']) / made.bytes:.2f} times the input"

    def check_plain(name):
        def check(_):
            made.check(read_plain(paths[name]))
            return f"database {os.path.getsize(paths[name]) / made.bytes:.2f} times the input"
        return check

    def parsed(answer):
        if answer[0] != made.prompts:
            raise Differs(f"{answer[0]} lines")

    def fresh(name):
        return lambda: remove(paths[name])

    def duck_start(duck):
        remove(paths["duckdb"])
        duck.sql(f"ATTACH '{paths['duckdb']}' AS d")

    duck_table = f"CREATE OR REPLACE TABLE d.t AS SELECT * FROM read_json('{made.path}', format = 'newline_delimited')"

    def duck_read(duck):
        total = " + ".join(f"sum(response_{k}_{n})" for k in range(1, 9) for n in made.names)
        characters = "sum(length(prompt)) + " + " + ".join(f"sum(length(response_{k}))" for k in range(1, 9))
        row = duck.fetch(f"SELECT count(*), 8 * count(*), {characters}, {total} FROM d.t", 4)[0]
        return tuple(int(v) for v in row[:3]) + (row[3],)

    names = ",".join(made.names)
    program = dict(file=made.path, database=paths["limit"], models=names)
    limit = env.program("C limit: cJSON, prepared inserts", "limit", "limit_import", "insert", np.fromfile, check_plain("limit"),
                        note="one thread", **program)
    limit.before = fresh("limit")
    contenders = [
        Contender("persona_import", "ours", ours, check_ours, before=fresh("ours")),
        limit,
        env.program("C limit: cJSON alone", "ceiling", "limit_import", "parse", np.fromfile, parsed, note="one thread", **program),
        Contender("Python json + sqlite3", "peer", lambda: in_python(made, paths["python"]), check_plain("python"),
                  before=fresh("python")),
        env.duckdb("DuckDB read_json", duck_start, [duck_table, "CHECKPOINT d"], duck_read, made.check, rounds=5,
                   note="one wide table"),
    ]
    goals = [Goal("J5 Python json + sqlite3 : persona_import", contenders[0].name, "Python json + sqlite3", least=2)]
    fresh("ours")()
    every, one = time.process_time(), time.thread_time()
    ours()
    every, one = time.process_time() - every, time.thread_time() - one
    ratio = os.path.getsize(paths["ours"]) / made.bytes
    remove(paths["ours"])
    return Job("J5", f"ingest {made.prompts:,} prompts, {made.bytes / 1e6:.0f} MB of JSON lines, into a database file", contenders, goals,
               {"MB": made.bytes / 1e6},
               [f"Database size: {ratio:.3f} times the input; the goal of at most 1.1 {'holds' if ratio <= 1.1 else 'does not hold'}.",
                f"What bounds it: of the CPU time the thread that calls SQLite takes {100 * one / every:.0f} % - inserting, reading the "
                "file, and parsing with the others whenever nothing waits to be inserted -, the others, which parse, the rest. So two "
                "cores share CPU time evenly, and the sum is the bound; with many cores it is the inserts, which SQLite makes on one."])
