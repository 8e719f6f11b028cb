"""Results as a SQLite database, and the database as Markdown."""
import math
import os
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS run(run_id INTEGER PRIMARY KEY, size TEXT, threads INTEGER, load REAL);
CREATE TABLE IF NOT EXISTS machine(run_id INTEGER, key TEXT, value);
CREATE TABLE IF NOT EXISTS job(run_id INTEGER, job TEXT, title TEXT, position INTEGER);
CREATE TABLE IF NOT EXISTS work(run_id INTEGER, job TEXT, unit TEXT, amount REAL);
CREATE TABLE IF NOT EXISTS fact(run_id INTEGER, job TEXT, text TEXT);
CREATE TABLE IF NOT EXISTS contender(run_id INTEGER, job TEXT, contender TEXT, position INTEGER, kind TEXT, scale REAL,
                                     verdict TEXT, note TEXT);
CREATE TABLE IF NOT EXISTS time(run_id INTEGER, job TEXT, contender TEXT, round INTEGER, wall REAL, cpu REAL);
CREATE TABLE IF NOT EXISTS goal(run_id INTEGER, job TEXT, goal TEXT, bound TEXT, wall REAL, low REAL, high REAL, cpu REAL,
                                holds INTEGER, holds_cpu INTEGER);
CREATE TABLE IF NOT EXISTS growth(run_id INTEGER, job TEXT, variable TEXT, value REAL, wall REAL, cpu REAL, memory REAL,
                                  parts TEXT);
"""

NOT_MEASURED = """
## What is not measured

- More than one machine; other operating systems; arm64 (its kernels are tested, not timed).
- Machines with more cores than this one: whether threads scale is measured nowhere here.
- Cold files: every input is in the page cache, as are the databases.
- Peers that are not on this machine's package lists (GPU libraries, other vector databases, other JSON parsers).
- Peers marked "extrapolated" ran on a sample; their time is multiplied up, which is exact for loops and kind to what
  grows faster than its input.
"""


def open_results(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(SCHEMA)
    if not db.execute("SELECT 1 FROM pragma_table_info('growth') WHERE name = 'parts'").fetchone():
        db.execute("ALTER TABLE growth ADD COLUMN parts TEXT")  # results of before
    return db


def begin(db, size, threads, machine):
    load = os.getloadavg()[0]
    run_id = db.execute("INSERT INTO run(size, threads, load) VALUES (?, ?, ?)", (size, threads, load)).lastrowid
    db.executemany("INSERT INTO machine VALUES (?, ?, ?)", [(run_id, k, v) for k, v in machine.items()])
    return run_id


def store(db, run_id, job):
    db.execute("BEGIN")
    position = db.execute("SELECT count(*) FROM job WHERE run_id = ?", (run_id,)).fetchone()[0]
    db.execute("INSERT INTO job VALUES (?, ?, ?, ?)", (run_id, job.name, job.title, position))
    db.executemany("INSERT INTO work VALUES (?, ?, ?, ?)", [(run_id, job.name, u, x) for u, x in job.work.items()])
    db.executemany("INSERT INTO fact VALUES (?, ?, ?)", [(run_id, job.name, f) for f in job.facts])
    for i, c in enumerate(job.contenders):
        db.execute("INSERT INTO contender VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   (run_id, job.name, c.name, i, c.kind, c.scale, c.verdict, c.note))
        db.executemany("INSERT INTO time VALUES (?, ?, ?, ?, ?, ?)",
                       [(run_id, job.name, c.name, r, w, u) for r, (w, u) in c.times.items()])
    for g in job.goals:
        low, high = g.spread or (None, None)
        db.execute("INSERT INTO goal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   (run_id, job.name, g.text, g.bound(), g.wall, low, high, g.cpu, g.holds(g.wall), g.holds(g.cpu)))
    db.execute("COMMIT")


def seconds(x):
    if x is None:
        return ""
    return f"{x * 1e3:.3g} ms" if x < .9995 else f"{x:.3g} s" if x < 999.5 else f"{x:,.0f} s"


def middle(numbers):
    numbers = sorted(numbers)
    n = len(numbers)
    return None if not n else numbers[n // 2] if n % 2 else (numbers[n // 2 - 1] + numbers[n // 2]) / 2


def job_table(db, run_id, job):
    times = {}
    for name, r, wall, cpu in db.execute("SELECT contender, round, wall, cpu FROM time WHERE run_id = ? AND job = ?", (run_id, job)):
        times.setdefault(name, {})[r] = (wall, cpu)
    rows = db.execute("SELECT contender, kind, scale, verdict, note FROM contender WHERE run_id = ? AND job = ? ORDER BY position",
                      (run_id, job)).fetchall()
    work = dict(db.execute("SELECT unit, amount FROM work WHERE run_id = ? AND job = ?", (run_id, job)))
    units = [u for u in work if not u.startswith("-")]
    base = next((name for name, kind, *_ in rows if kind == "ours" and name in times), None)
    yield "| what | wall, median | from - to | CPU | " + "".join(f"{u}/s | " for u in units) + "wall : first | CPU : first | remarks |"
    yield "|---|--:|--:|--:|" + "--:|" * len(units) + "--:|--:|---|"
    for name, kind, scale, verdict, note in rows:
        mine = times.get(name)
        remark = "; ".join(x for x in ("extrapolated" if scale != 1 else "", note or "", "" if verdict == "equal" else verdict or "") if x)
        label = f"**{name}**" if kind == "ours" else f"*{name}*" if kind in ("ceiling", "floor") else name
        if not mine:
            yield f"| {label} |  |  |  | " + " | " * len(units) + f" |  | {remark or 'no time'} |"
            continue
        wall, cpu = middle([t[0] for t in mine.values()]), middle([t[1] for t in mine.values()])
        spread = f"{seconds(min(t[0] for t in mine.values()))} - {seconds(max(t[0] for t in mine.values()))}"
        ratio = ratio_cpu = ""
        if base:
            both = [r for r in mine if r in times[base]]
            ratio = f"{middle([mine[r][0] / times[base][r][0] for r in both]):.2f}" if both else ""
            good = [r for r in both if times[base][r][1] > 0]
            ratio_cpu = f"{middle([mine[r][1] / times[base][r][1] for r in good]):.2f}" if good else ""
        rates = "".join(f"{work[u] / wall:,.3g} | " for u in units)
        yield f"| {label} | {seconds(wall)} | {spread} | {seconds(cpu)} | {rates}{ratio} | {ratio_cpu} | {remark} |"


def goal_table(db, run_id, job=None):
    rows = db.execute("SELECT job, goal, bound, wall, low, high, cpu, holds, holds_cpu FROM goal WHERE run_id = ?1 AND "
                      "(?2 IS NULL OR job = ?2) ORDER BY rowid", (run_id, job)).fetchall()
    if not rows:
        return
    yield "| goal | bound | wall ratio, median | from - to | CPU ratio | holds |"
    yield "|---|---|--:|--:|--:|---|"
    for name, goal, bound, wall, low, high, cpu, holds, holds_cpu in rows:
        if wall is None:
            yield f"| {goal} | {bound} |  |  |  | not measured |"
            continue
        word = {1: "yes", 0: "no", None: ""}[holds]
        if holds_cpu is not None and holds_cpu != holds:
            word += f" (by CPU time: {'yes' if holds_cpu else 'no'})"
        yield f"| {goal} | {bound} | {wall:.2f} | {low:.2f} - {high:.2f} | {'' if cpu is None else f'{cpu:.2f}'} | {word} |"


def exponents(points):
    """Of CPU time: over the last step, and of a line through all points."""
    x, y = [math.log(p[0]) for p in points], [math.log(max(p[1], 1e-6)) for p in points]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return (y[-1] - y[-2]) / (x[-1] - x[-2]), sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def growth_table(db, run_id):
    rows = db.execute("SELECT job, variable, value, cpu, memory, parts FROM growth WHERE run_id = ? ORDER BY rowid", (run_id,)).fetchall()
    groups = {}
    for job, variable, *point in rows:
        groups.setdefault((job, variable), []).append(point)
    if not groups:
        return
    yield "| job | what grows | values | CPU | exponent, last step | exponent, all | peak memory of the job | where it goes, at the last |"
    yield "|---|---|---|---|--:|--:|---|---|"
    for (job, variable), points in groups.items():
        values = ", ".join(f"{p[0]:,.0f}" for p in points)
        memory = ", ".join("failed" if p[2] is None else f"{max(p[2], 0):.1f}" for p in points) + " MB"
        times = last = every = ""
        if all(p[1] for p in points):
            times = ", ".join(seconds(p[1]) for p in points)
            last, every = (f"{e:.2f}" for e in exponents(points))
        yield f"| {job} | {variable} | {values} | {times} | {last} | {every} | {memory} | {points[-1][3] or ''} |"
    held = next((p[2] for (job, variable), points in groups.items() if (job, variable) == ("J1", "users") for p in points
                 if p[0] == 1_000_000 and p[2] is not None), None)
    if held is not None:
        yield ""
        yield (f"A million users in J1 take {held:.0f} MB beside the score store: the goal of under 200 MB "
               f"{'holds' if held < 200 else 'does not hold'}. What grows with the users is nothing: they pass by in blocks.")


def markdown(db, run_id):
    size, threads, load = db.execute("SELECT size, threads, load FROM run WHERE run_id = ?", (run_id,)).fetchone()
    m = dict(db.execute("SELECT key, value FROM machine WHERE run_id = ?", (run_id,)))
    yield "# Benchmarks"
    yield ""
    yield "Written by `make bench-doc` from one run of `make bench`; see tests/bench. Every time belongs to an answer that was"
    yield "compared with an independent one; contenders ran in turns, and ratios are medians of ratios within a round. CPU time"
    yield "is user and system time of all threads. Ratios matter, not times."
    yield ""
    yield f"Machine: {m.get('cores')} cores, {m.get('cpu')}, {m.get('system')}; {threads} threads; kernels {m.get('kernel')};"
    yield f"{m.get('compiler')}; SQLite {m.get('sqlite')}; {m.get('blas')};"
    yield f"numpy {m.get('numpy')}, scipy {m.get('scipy')}, Python {m.get('python')}; DuckDB {m.get('duckdb', 'not installed')},"
    yield f"sqlite-vec {m.get('sqlite_vec', 'not installed')}; commit {m.get('commit')}. Size: {size}. Load average at the start: {load:.1f}."
    if load > .5:
        yield ""
        yield "The machine was not idle, so CPU times say more than wall times here."
    goals = list(goal_table(db, run_id))
    if goals:
        yield from ["", "## Goals", ""] + goals
    for job, title in db.execute("SELECT job, title FROM job WHERE run_id = ? ORDER BY position", (run_id,)).fetchall():
        yield from ["", f"## {job}: {title}", ""]
        yield from job_table(db, run_id, job)
        for (fact,) in db.execute("SELECT text FROM fact WHERE run_id = ? AND job = ?", (run_id, job)):
            yield from ["", fact]
    growth = list(growth_table(db, run_id))
    yield from ["", "## Growth", ""]
    if growth:
        yield "One size at a time, each point in a process of its own, the others small; small jobs show fixed costs, so the last step"
        yield "tells more than the fit over all. Memory is the process's peak less what it held before the job, which the score store"
        yield "is part of."
        yield ""
        yield from growth
    else:
        yield "Not measured in this run (option --growth)."
    yield from NOT_MEASURED.splitlines()
