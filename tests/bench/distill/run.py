"""Students: how good and how fast.  Not part of `make test`.

  /usr/bin/python3 tests/bench/distill/run.py            sql/distillation.sql on alpaca8, for populations of alpha .01, .05, .1
  /usr/bin/python3 tests/bench/distill/run.py stream     10,402 x 8 rows of 1,024 features: time and peak memory
  /usr/bin/python3 tests/bench/distill/run.py text [n ...]   text students of n prompts of 8 responses (500, all of alpaca8; 768
                                                         and 769, around the largest exact fit; 2,000; 10,402, the published
                                                         number): time, peak memory, quality on the same held-out prompts

For the last there are not enough real texts.  The prompts beyond alpaca8's 500 are its own with sentences left out,
swapped and exchanged between the responses to a prompt; their rewards are what the student of the real 4,000 responses
says, plus normal noise as large as its error on new prompts.  So R2 against the real scores cannot rise above that
student's; R2 against that teacher says what was learned of it.
"""
import json
import os
import random
import re
import resource
import sqlite3
import subprocess
import sys
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, TESTS)
from tap import ROOT, alpaca8, connect, load, scratch


def table(rows, *head):
    width = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    for r in [head, *rows]:
        print("  " + "  ".join(str(c).ljust(w) for c, w in zip(r, width)).rstrip())


def quality():
    folder = alpaca8()
    if folder is None:
        sys.exit("shared/data/alpaca8 is not there")
    db = connect()
    load(db, folder)
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.1, seed=0)")
    with open(os.path.join(ROOT, "sql/distillation.sql"), encoding="utf-8") as f:
        statements = [s for s in statement_list(f.read())]
    selects = []
    for sql in statements:
        start = time.time()
        cursor = db.execute(sql)
        if cursor.description:
            selects.append(sql)
            print()
            table(cursor.fetchall(), *[c[0] for c in cursor.description])
        if "distill_text" in sql:
            print(f"three students of 4,000 responses learned in {time.time() - start:.1f} s")
        if "predict_rewards" in sql:
            print(f"1,000 responses predicted by three students in {time.time() - start:.2f} s")
    print("(alpha .1)")
    for alpha in (0.01, 0.05):
        db.execute("DROP TABLE users")
        db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha={alpha}, seed=0)")
        cursor = db.execute(selects[-1])
        print(f"\nalpha {alpha}")
        table(cursor.fetchall(), *[c[0] for c in cursor.description])


def statement_list(text):
    statement = ""
    for line in text.splitlines():
        if line.startswith("--"):
            continue
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def stream():
    import numpy as np
    db = connect()
    rng = np.random.RandomState(0)
    teacher = rng.standard_normal((1024, 10)) / 32
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    last = {}

    def features(i):
        x = last["x"] = rng.standard_normal(1024).astype("<f4")
        return x.tobytes()

    def rewards(i):  # evaluated after features(i)
        return (last["x"].astype(float) @ teacher).tobytes()

    db.create_function("features", 1, features)
    db.create_function("rewards", 1, rewards)
    rows = 10402 * 8
    sql = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}) SELECT %s FROM n"
    start = time.time()
    db.execute(sql % "sum(length(features(i)) + length(rewards(i)))").fetchone()
    idle = time.time() - start
    start = time.time()
    learn = sql % "distill_rewards(features(i), rewards(i), i / 8, '{\"type\":\"f32\"}')"
    model, r2 = db.execute(f"WITH m(model) AS ({learn}) "
                           "SELECT model, model_info(model) ->> '$.fit[0].r2_cv' FROM m").fetchone()
    print(f"{rows} rows of 1,024 features, 10 rewards: {time.time() - start:.1f} s, {idle:.1f} s of it making rows; peak memory "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before:.0f} MB above the start; R2 {r2:.6f}, a model of {len(model)} bytes")


class Variations:
    """Rows (prompt_id, prompt, response, rewards) made of the real prompts: as they are first, then changed."""

    def __init__(self, db, teacher, noise):
        import numpy as np
        self.db, self.teacher, self.np = db, teacher, np
        self.noise = noise
        self.real = {}
        for row in db.execute("SELECT prompt_id, p.text, r.text, r.rewards FROM prompts p JOIN responses r USING (prompt_id) "
                              "WHERE p.split = 'train' ORDER BY prompt_id, position"):
            self.real.setdefault(row[0], []).append(row[1:])

    def changed(self, texts, dice):
        """A response to the same prompt: its sentences, some left out, some from the other responses, two swapped."""
        sentences = [s for s in re.split(r"(?<=[.!?:\n])(?=\s)", dice.choice(texts)) if dice.random() > 0.2]
        other = re.split(r"(?<=[.!?:\n])(?=\s)", dice.choice(texts))
        sentences = [dice.choice(other) if dice.random() < 0.15 else s for s in sentences] or [other[0]]
        if len(sentences) > 3:
            i, j = dice.randrange(len(sentences)), dice.randrange(len(sentences))
            sentences[i], sentences[j] = sentences[j], sentences[i]
        return "".join(sentences)

    def rows(self, prompts):
        ids = sorted(self.real)
        for n in range(prompts):
            mine = self.real[ids[n % len(ids)]]
            if n < len(ids):
                yield from ((n, *row) for row in mine)
                continue
            dice, rng = random.Random(n), self.np.random.RandomState(n)
            words = mine[0][0].split(" ")
            prompt = " ".join(w for w in words if len(words) < 4 or dice.random() > 0.1)
            for _ in range(8):
                response = self.changed([m[1] for m in mine], dice)
                said = self.np.frombuffer(self.db.execute("SELECT predict_rewards((SELECT model FROM teacher), ?, ?)", (prompt, response)).fetchone()[0])
                yield n, prompt, response, (said + self.noise * rng.standard_normal(len(said))).tobytes()


def learn(path, options):
    """In a process of its own, so that its peak memory is that of the fit: [model, seconds, CPU seconds, MB above the start]."""
    code = ("import os, resource, sys, time\n"
            f"sys.path.insert(0, {TESTS!r})\n"
            "from tap import connect\n"
            f"db = connect({path!r})\n"
            "before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.time()\n"
            f"db.execute(\"UPDATE fit SET model = (SELECT distill_text(prompt, response, rewards, prompt_id, options) FROM (SELECT * FROM row ORDER BY prompt_id, id), fit)\")\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\n"
            "db.execute('UPDATE fit SET seconds = ?, cpu = ?, mb = ?', (time.time() - start, used.ru_utime + used.ru_stime, (used.ru_maxrss - before) / 1024))\n")
    db = sqlite3.connect(path)
    db.execute("DROP TABLE IF EXISTS fit")
    db.execute("CREATE TABLE fit(options, model, seconds, cpu, mb)")
    db.execute("INSERT INTO fit(options) VALUES (?)", (json.dumps(options),))
    db.commit()
    subprocess.run([sys.executable, "-c", code], check=True)
    return db.execute("SELECT model, seconds, cpu, mb FROM fit").fetchone()


def text(sizes):
    import numpy as np
    folder = alpaca8()
    if folder is None:
        sys.exit("shared/data/alpaca8 is not there")
    path = os.path.join(scratch(), "rows.db")
    db = connect(path)
    load(db, folder)
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.1, seed=0)")
    db.execute("CREATE TABLE row(id INTEGER PRIMARY KEY, prompt_id INTEGER, prompt, response, rewards)")
    db.execute("CREATE TABLE guess(response_id INTEGER PRIMARY KEY, features)")
    db.execute("CREATE TABLE teacher(model)")
    truth = within(db, "rewards FROM responses r JOIN prompts p USING (prompt_id)")
    lines, noise, teacher = [], None, None

    def judge(prompts, options):
        nonlocal noise, teacher
        model, seconds, cpu, mb = learn(path, options)
        db.execute("DELETE FROM guess")
        db.execute("INSERT INTO guess SELECT response_id, predict_rewards(?, p.text, r.text) FROM prompts p JOIN responses r USING (prompt_id) WHERE split = 'test'", (model,))
        said = within(db, "features FROM guess JOIN responses r USING (response_id) JOIN prompts p USING (prompt_id)")
        if teacher is None:
            teacher, noise = said, np.sqrt(((truth - said) ** 2).mean((0, 1)))
            db.execute("INSERT INTO teacher VALUES (?)", (model,))
        r2 = [(1 - ((t - said) ** 2).sum((0, 1)) / (t ** 2).sum((0, 1))).mean() for t in (truth, teacher)]
        cv = json.loads(db.execute("SELECT model_info(?)", (model,)).fetchone()[0])["fit"]
        served = db.execute("SELECT avg(top1), sum(reward - random_reward) / sum(best_reward - random_reward), avg(pair_accuracy) "
                            "FROM persona_evaluate('users', 'users', 'test', '{\"features\": \"guess\"}')").fetchone()
        lines.append([8 * prompts, json.dumps(options), f"{seconds:.0f}", f"{cpu:.0f}", f"{mb:.0f}", *(f"{r:.3f}" for r in r2),
                      f"{np.mean([f['r2_cv'] for f in cv]):.3f}", *(f"{s:.3f}" for s in served)])
        print("#", *lines[-1], flush=True)

    made = 0
    for prompts, options in [(500, {}), (500, {"exact_rows": 2000})] + [(n, {}) for n in sizes if n > 500]:
        if prompts != made:
            rows = Variations(db, teacher, noise).rows(prompts)
            db.execute("BEGIN")
            db.execute("DELETE FROM row")
            db.executemany("INSERT INTO row(prompt_id, prompt, response, rewards) VALUES (?, ?, ?, ?)", rows)
            db.execute("COMMIT")
            made = prompts
        judge(prompts, options)
    print()
    table(lines, "rows", "options", "s", "CPU s", "MB", "R2", "R2 of teacher", "R2 foretold", "own favourite", "captured", "pairs")


def within(db, what):
    """Vectors of the test prompts' responses, centred within prompts."""
    import numpy as np
    rows = [np.frombuffer(r[0]) for r in db.execute(f"SELECT {what} WHERE split = 'test' ORDER BY r.prompt_id, r.position")]
    x = np.array(rows).reshape(-1, 8, len(rows[0]))
    return x - x.mean(1, keepdims=True)


if sys.argv[1:2] == ["text"]:
    text([int(n) for n in sys.argv[2:]] or [768, 769, 2000, 10402])
elif sys.argv[1:] == ["stream"]:
    stream()
else:
    quality()
