"""Data made by the benchmark itself, the same on every machine: seeded, in numpy's legacy generator."""
import os
import sqlite3
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(BENCH))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from tap import BUILD, connect  # noqa: E402  (the suites' harness: a connection with the extension)

WORK = os.path.join(BUILD, "bench")
DATA = os.path.join(WORK, "data")
NAMES = ["beaver_7b", "gemma_2b", "gemma_7b", "llama3_sfairx", "mistral_raft", "mistral_ray", "mistral_weqweasdas",
         "oasst_deberta_v3", "oasst_pythia_1b", "oasst_pythia_7b"]


def scratch(name):
    os.makedirs(DATA, exist_ok=True)
    return os.path.join(DATA, name)


def stored(name, array):
    """The array as a file of raw numbers, for the C programs."""
    path = scratch(name)
    np.ascontiguousarray(array).tofile(path)
    return path


class Scores:
    """Raw scores [prompts][responses][models] with the shape of the real ones (a common part per prompt, per response and
    per model), their means and deviations, and what the library makes of them: rewards = (raw - mean) / sd."""

    def __init__(self, prompts, responses=8, models=10, seed=1):
        rng = np.random.RandomState(seed)
        self.prompts, self.responses, self.models = prompts, responses, models
        self.names = NAMES[:models] if models <= len(NAMES) else [f"rm{b:03d}" for b in range(models)]
        self.mean, self.sd = rng.uniform(1, 8, models), rng.uniform(1, 3, models)
        z = (.5 * rng.standard_normal((prompts, 1, 1)) + .5 * rng.standard_normal((prompts, responses, 1))
             + .7 * rng.standard_normal((prompts, responses, models)))
        self.raw = self.mean + self.sd * z
        self.rewards = (self.raw - self.mean) / self.sd

    def ids(self):
        """prompt_id and response_id of every response, in order."""
        n = np.arange(self.prompts * self.responses)
        return n // self.responses + 1, n + 1

    def load(self, db, split="train", prompts="prompts", responses="responses", first_prompt=1):
        db.execute("BEGIN")
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (prompts,)).fetchone():
            db.execute(f"CREATE VIRTUAL TABLE {prompts} USING persona_prompts()")
            db.execute(f"CREATE VIRTUAL TABLE {responses} USING persona_responses({', '.join(self.names)}, prompts={prompts})")
            db.executemany("UPDATE reward_models SET mean = ?, sd = ? WHERE name = ?",
                           list(zip(self.mean.tolist(), self.sd.tolist(), self.names)))
        db.executemany(f"INSERT INTO {prompts}(prompt_id, split) VALUES (?, ?)",
                       [(first_prompt + p, split) for p in range(self.prompts)])
        raw = self.raw.reshape(-1, self.models)
        first = (first_prompt - 1) * self.responses + 1
        db.executemany(f"INSERT INTO {responses}(response_id, prompt_id, position, raw_rewards) VALUES (?, ?, ?, ?)",
                       ((first + i, first_prompt + i // self.responses, i % self.responses + 1, raw[i].tobytes())
                        for i in range(len(raw))))
        db.execute("COMMIT")


def weights(users, models=10, alpha=.05, seed=0):
    """Dirichlet users: numpy's, which are also those of persona_users(count=users, alpha=alpha, seed=seed)."""
    return np.random.RandomState(seed).dirichlet([alpha] * models, users)


def store_users(db, w, table="people"):
    """An ordinary table of users: all peers have their weights at hand too."""
    db.execute(f"CREATE TABLE {table}(user_id INTEGER PRIMARY KEY, weights BLOB)")
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {table} VALUES (?, ?)", ((i, row.tobytes()) for i, row in enumerate(w)))
    db.execute("COMMIT")


def plain_tables(db, scores, w):
    """The same in ordinary tables, a column for each reward model: what plain SQL works on."""
    columns = ", ".join(f"{{0}}{b} REAL" for b in range(scores.models))
    marks = ", ".join("?" * scores.models)
    prompt, response = scores.ids()
    db.execute(f"CREATE TABLE r(prompt_id INTEGER, response_id INTEGER PRIMARY KEY, {columns.format('s')})")
    db.execute(f"CREATE TABLE u(user_id INTEGER PRIMARY KEY, {columns.format('w')})")
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO r VALUES (?, ?, {marks})",
                   ((int(p), int(r), *x) for p, r, x in zip(prompt, response, scores.rewards.reshape(-1, scores.models).tolist())))
    db.executemany(f"INSERT INTO u VALUES (?, {marks})", ((i, *x) for i, x in enumerate(w.tolist())))
    db.execute("COMMIT")


def utility_sql(models, u="u", r="r"):
    return " + ".join(f"{u}.w{b} * {r}.s{b}" for b in range(models))


def plain():
    """A connection without the extension."""
    return sqlite3.connect(":memory:", isolation_level=None)
