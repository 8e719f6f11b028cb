"""Growth: J1, J2, J4 and J5 while one size grows by steps of ten, each point in a process of its own, for its peak memory."""
import ctypes
import gc
import json
import os
import subprocess
import sys
import time

import numpy as np

from . import data
from .measure import cpu_seconds

HERE = os.path.dirname(os.path.abspath(__file__))
MIDDLE = {
    "J1": {"users": 2000, "prompts": 500, "responses": 8, "reward models": 10},
    "J2": {"users": 1000, "prompts": 500, "responses": 8, "reward models": 10, "turns": 10},
    "J4": {"queries": 200, "candidates": 5000, "dimensions": 256},
    "J5": {"prompts": 1000},
}
STEPS = {
    "J1": {"users": [1000, 10_000, 100_000, 1_000_000], "prompts": [100, 1000, 10_000], "responses": [2, 20, 200],
           "reward models": [2, 20, 200]},
    "J2": {"users": [100, 1000, 10_000, 100_000], "prompts": [100, 1000, 10_000], "responses": [2, 20, 200],
           "reward models": [2, 20, 200], "turns": [1, 10, 100]},
    "J4": {"queries": [10, 100, 1000], "candidates": [100, 1000, 10_000, 100_000], "dimensions": [10, 100, 1000]},
    "J5": {"prompts": [100, 1000, 10_000]},
}


def memory():
    """MB in use now; what was most until now is forgotten, and freed memory that malloc keeps given back (on Linux)."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, AttributeError):
        return float("nan")


def peak():
    """MB that were in use at most since memory()."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in f if line.startswith("VmHWM"))


def scored(size):
    db = data.connect()
    scores = data.Scores(size["prompts"], size["responses"], size["reward models"])
    scores.load(db)
    db.execute(f"CREATE VIRTUAL TABLE users USING persona_users(count={size['users']}, alpha=0.05, seed=0, generator=philox)")
    # the scores are read into their store here, so that the job's own memory is told apart from it
    db.execute("CREATE TABLE one AS SELECT * FROM users LIMIT 1")
    db.execute("SELECT count(*) FROM persona_votes('one', 'train')").fetchone()
    return db


def votes(size):
    db = scored(size)
    return lambda: db.execute("SELECT count(*) FROM persona_votes('users', 'train')").fetchone()


def interactions(size):
    db = scored(size)
    return lambda: db.execute("SELECT count(*), max(chosen_reward) FROM "
                              f"persona_interactions('users', 'train', {size['turns']}, 'best_worst', 1)").fetchone()


def neighbors(size):
    db, rng = data.connect(), np.random.RandomState(1)
    for table, count in (("candidates", size["candidates"]), ("queries", size["queries"])):
        db.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, embedding BLOB)")
        db.execute("BEGIN")
        for i in range(count):
            db.execute(f"INSERT INTO {table} VALUES (?, ?)", (i, rng.standard_normal(size["dimensions"]).astype("<f4").tobytes()))
        db.execute("COMMIT")
    return lambda: db.execute("SELECT count(*) FROM persona_neighbors('candidates', 'queries', 10)").fetchone()


def ingest(size):
    import importlib.util
    spec = importlib.util.spec_from_file_location("j5", os.path.join(data.BENCH, "j5_import", "job.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.Made(data.scratch("growth.jsonl"), size["prompts"])
    path = data.scratch("growth.db")

    def run():
        module.remove(path)
        db = data.connect(path)
        db.execute("SELECT persona_import(?, 'train')", (made.path,)).fetchone()
        db.close()
    return run


def parts(job, size):
    """Where memory goes that grows: [(what, MB or None)]."""
    if job == "J4":
        rows = min(size["queries"], 2048) + size["candidates"]
        return [("embeddings as f32", 4e-6 * rows * size["dimensions"]),
                ("candidates as 16-bit integers", 2e-6 * size["candidates"] * size["dimensions"])]
    if job == "J5":
        return [("SQLite's page cache", 2.0), ("text of three batches", 6.3), ("their parsed trees: the rest", None)]
    store = 8e-6 * size["prompts"] * size["responses"] * size["reward models"]
    return [("score store, held before", store)]


JOBS = {"J1": votes, "J2": interactions, "J4": neighbors, "J5": ingest}


def point(job, variable, value):
    """One measurement, printed as JSON: the process ends with it."""
    size = dict(MIDDLE[job], **{variable: value})
    run = JOBS[job](size)
    base = memory()
    wall, cpu = time.perf_counter(), cpu_seconds()
    run()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    most = peak()
    if cpu < .1:  # short: what happens once would show
        n = int(.1 / max(cpu, .001)) + 1
        wall, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(n):
            run()
        wall, cpu = (time.perf_counter() - wall) / n, (cpu_seconds() - cpu) / n
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": most - base,
                      "parts": "; ".join(what if mb is None else f"{what} {mb:.3g} MB" for what, mb in parts(job, size))}))


def declared():
    """Peak memory that 100 million declared users add: counting them, and reading the last."""
    db = data.connect()
    names = ", ".join(data.NAMES)
    base = memory()
    db.execute(f"CREATE VIRTUAL TABLE crowd USING persona_users(count=100000000, generator=philox, models=[{names}])")
    if db.execute("SELECT count(*) FROM crowd").fetchone() != (100_000_000,):
        sys.exit("not 100 million users")
    if len(db.execute("SELECT weights FROM crowd WHERE user_id = 99999999").fetchone()[0]) != 80:
        sys.exit("no last user")
    print(json.dumps({"wall": 0, "cpu": 0, "memory": peak() - base, "parts": ""}))


def ask(*args):
    command = [sys.executable, os.path.join(data.BENCH, "bench.py"), "--point", *map(str, args)]
    got = subprocess.run(command, capture_output=True, text=True)
    if got.returncode:
        raise RuntimeError(f"{' '.join(map(str, args))}: {got.stderr[-500:]}")
    return json.loads(got.stdout)


def run(db, run_id, log):
    """All points, into the table growth.  A point that fails is kept as one that failed: the other figures stand."""
    points = [(job, variable, value, (job, variable, value)) for job, variables in STEPS.items()
              for variable, values in variables.items() for value in values]
    for job, variable, value, args in points + [("J8", "declared users", 100_000_000, ("declared",))]:
        try:
            p = ask(*args)
        except RuntimeError as e:
            log(f"  growth {e}")
            p = {"wall": None, "cpu": None, "memory": None, "parts": "failed"}
        db.execute("INSERT INTO growth VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   (run_id, job, variable, value, p["wall"], p["cpu"], p["memory"], p["parts"]))
        if p["memory"] is not None:
            log(f"  growth {job} {variable} {value}: CPU {p['cpu']:.3g} s, {p['memory']:.1f} MB")
