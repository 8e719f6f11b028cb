"""The extension as a guest: what it does to a host's threads, to its OpenBLAS and across fork().

Each part runs in a process of its own, which is killed if it hangs.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
PATIENCE = 240  # seconds; each part takes one or two
TASKS = "/proc/self/task"


def tasks():
    return len(os.listdir(TASKS))


def statements(db):
    """Every bulk job, on small data: by name, statements whose rows are their answer."""
    import numpy as np
    from tap import load
    rng = np.random.RandomState(3)
    load(db)
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=40, alpha=0.3)")
    db.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=5000, generator=philox)")
    db.execute("CREATE TABLE near(id INTEGER PRIMARY KEY, embedding)")
    db.executemany("INSERT INTO near VALUES (?, ?)", [(i, rng.standard_normal(64).astype("f4").tobytes()) for i in range(400)])
    db.execute("CREATE TABLE history AS SELECT * FROM persona_interactions('users', 'train', 6, 'best_worst', 1)")
    db.execute("CREATE TABLE shown AS SELECT * FROM persona_choices('history')")
    db.execute("CREATE TABLE pairs AS SELECT a.user_id, a.features AS chosen, b.features AS rejected FROM shown a JOIN shown b "
               "USING (user_id, choice_set) WHERE a.feedback = 'best' AND b.feedback = 'worst'")
    out = {
        "persona_votes": "SELECT * FROM persona_votes('crowd', NULL)",
        "persona_interactions": "SELECT * FROM persona_interactions('crowd', 'train', 4, 'best_worst', 2)",
        "persona_choices": "SELECT * FROM persona_choices('history')",
        "persona_adapt, choice sets": "SELECT * FROM persona_adapt('shown')",
        "persona_adapt, pairs": "SELECT * FROM persona_adapt('pairs', '{\"method\":\"bradley_terry\"}')",
        "persona_evaluate": "SELECT * FROM persona_evaluate('crowd', 'crowd', 'test')",
        "persona_neighbors": "SELECT * FROM persona_neighbors('near', 'near', 5)",
        "distill_rewards": "SELECT distill_rewards(features, weights, user_id) FROM shown JOIN users USING (user_id)",
        # multiplies by OpenBLAS, whose last bits depend on its threads
        "distill_text": "SELECT i ->> 'rows', round(i ->> '$.fit[0].r2_cv', 6) FROM (SELECT model_info(distill_text(p.text, r.text, r.rewards, "
                        "r.prompt_id, '{\"random\":256,\"hashed\":512}')) AS i FROM prompts p JOIN responses r USING (prompt_id) WHERE p.split = 'train')",
        "persona_users, a long scan": "SELECT count(*), max(weights) FROM crowd",
        "persona_users, min_distance": "SELECT count(*) FROM spread",
    }
    db.execute("CREATE VIRTUAL TABLE spread USING persona_users(count=3000, min_distance=0.1)")
    for method, in db.execute("SELECT method FROM persona_methods() WHERE function = 'learn_users'").fetchall():
        options = json.dumps({"method": method, **({} if method == "neighbors" else {"iterations": 2})})
        out[f"learn_users {method}"] = f"SELECT learn_users(user_id, chosen, rejected, '{options}') FROM pairs"
    return out


def answers(db, jobs):
    return {name: db.execute(sql).fetchall() for name, sql in jobs.items()}


def guest(threads):
    from tap import connect
    db = connect(check_same_thread=False)
    db.execute("SELECT persona_config('threads', ?)", (threads,))
    return db


def blas():
    """The process's OpenBLAS and its settings."""
    lib = ctypes.CDLL("libopenblas.so.0")
    lib.openblas_get_config.restype = ctypes.c_char_p
    return lib, lambda: (lib.openblas_get_num_threads(), lib.openblas_get_config(), lib.openblas_get_parallel())


# ---- The parts: each prints TAP ----

def part_threads():
    """No thread outlives the last connection; only the calling thread uses SQLite."""
    folder = os.environ["PLLM_SCRATCH"]
    watch = ctypes.CDLL(os.path.join(folder, "watch.so"))
    if watch.watch_install() != 0:
        sys.exit("SQLite takes no other mutexes")
    import numpy  # and with it OpenBLAS, which starts threads of its own
    from tap import done, eq, ok
    before = tasks()
    db = guest(3)
    jobs = statements(db)
    for name, sql in jobs.items():
        watch.watch_begin()
        rows = db.execute(sql).fetchall()
        foreign = watch.watch_end()
        ok(foreign == 0 and rows, f"{name}: no helper thread touches SQLite", f"{foreign} calls, {len(rows)} rows")
        eq(tasks(), before, f"{name}: no helper thread is left")
    watch.watch_begin()
    thread = threading.Thread(target=lambda: db.execute("SELECT 1").fetchone())
    thread.start()
    thread.join()
    ok(watch.watch_end() > 0, "another thread's use of SQLite would have been seen")
    for scanned in ("SELECT weights FROM crowd", jobs["persona_evaluate"], jobs["persona_interactions"]):
        scan = db.execute(scanned)
        scan.fetchmany(1500)
        scan.close()
        eq(tasks(), before, f"nor after a scan that was given up: {scanned[:40]}")
    db.close()
    eq(tasks(), before, "nor after the last connection")
    done()


def part_blas():
    """A host that multiplies matrices on threads of its own, whatever its settings, beside ours, whatever ours are."""
    import numpy as np
    from tap import done, eq, ok
    lib, settings = blas()
    db = guest(2)
    jobs = statements(db)
    want = answers(db, jobs)
    a = np.random.RandomState(0).standard_normal((300, 300))
    product = a @ a
    for theirs in (1, 4):
        lib.openblas_set_num_threads(theirs)
        before, stop, wrong, products = settings(), threading.Event(), [], [0]

        def multiply():
            while not stop.is_set():
                if not np.allclose(a @ a, product, rtol=1e-12, atol=1e-9):
                    wrong.append(1)
                products[0] += 1

        host = [threading.Thread(target=multiply) for _ in range(2)]
        for t in host:
            t.start()
        for ours in (1, 4):
            db.execute("SELECT persona_config('threads', ?)", (ours,))
            got = answers(db, jobs)
            eq([n for n in jobs if got[n] != want[n]], [], f"OpenBLAS on {theirs} threads, ours on {ours}: the same answers")
            eq(settings(), before, f"OpenBLAS on {theirs} threads, ours on {ours}: its settings are the host's")
        stop.set()
        for t in host:
            t.join()
        ok(products[0] > 0 and not wrong, f"OpenBLAS on {theirs} threads: the host's products are right", f"{len(wrong)} wrong of {products[0]}")
    # two connections on two of the host's threads
    other = guest(3)
    again = statements(other)
    got = {}
    host = [threading.Thread(target=lambda d, j, k: got.__setitem__(k, answers(d, j)), args=x) for x in ((db, jobs, 0), (other, again, 1))]
    for t in host:
        t.start()
    for t in host:
        t.join()
    ok(got == {0: want, 1: want}, "two connections at once on two of the host's threads: the same answers")
    done()


def in_child(work):
    """Exit status of a child that does work() and says whether it liked the outcome; killed by an alarm if it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE // 4)
        try:
            os._exit(0 if work() else 3)
        except BaseException as e:
            print(f"# {e!r}", flush=True)
            os._exit(4)
    return os.waitpid(pid, 0)[1]


def part_fork():
    """fork() before, between and after our work and OpenBLAS's, on both sides, twice over."""
    import numpy as np
    from tap import done, eq, ok
    a = np.random.RandomState(0).standard_normal((400, 400))

    def work():
        db = guest(3)
        got = answers(db, statements(db))
        db.close()
        return got, (a @ a).tobytes()

    early = in_child(lambda: len(work()[0]) > 10)
    eq(early, 0, "fork() before anything: the child works")
    want = work()
    before = tasks()
    for round_ in (1, 2):
        eq(in_child(lambda: work() == want), 0, f"fork() after our threads and OpenBLAS's, round {round_}: the child gets the same answers")
        ok(work() == want, f"and so does the parent, round {round_}")
    eq(in_child(lambda: in_child(lambda: work() == want) == 0 and work() == want), 0, "a child's child works, and the child after it")
    db = guest(3)
    db.execute("CREATE VIRTUAL TABLE crowd USING persona_users(count=1000000, generator=philox, models=[a, b])")
    scan = db.execute("SELECT weights FROM crowd")
    first = scan.fetchmany(30000)
    eq(in_child(lambda: work() == want), 0, "fork() while a scan draws ahead: the child has connections of its own")
    rest = scan.fetchmany(30000)
    ok(first + rest == db.execute("SELECT weights FROM crowd LIMIT 60000").fetchall(), "and the parent's scan goes on")
    scan.close()
    db.close()
    ok(tasks() <= before, "no thread is left", f"{tasks()} after {before}")  # OpenBLAS ends its own at fork()
    done()


PARTS = {"threads": part_threads, "blas": part_blas, "fork": part_fork}


def main():
    from tap import done, ok, scratch, skip
    if not os.path.exists(TASKS):
        skip("the extension as a guest", "no /proc/self/task here: threads cannot be counted")
        done()
    folder = scratch()
    built = subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-shared", "-fPIC", "-pthread", "-o", os.path.join(folder, "watch.so"),
                            os.path.join(HERE, "host_watch.c"), "-lsqlite3"], capture_output=True, text=True)
    for part in PARTS:
        if part == "threads" and built.returncode:
            ok(False, "host_watch.c compiles", built.stderr)
            continue
        try:
            run = subprocess.run([sys.executable, os.path.abspath(__file__), part], capture_output=True, text=True, timeout=PATIENCE,
                                 env=dict(os.environ, PLLM_SCRATCH=folder))
        except subprocess.TimeoutExpired as e:
            ok(False, f"{part}: comes to an end", (e.stdout or b"").decode()[-600:])
            continue
        lines = run.stdout.splitlines()
        for i, line in enumerate(lines):
            if line.startswith(("ok ", "not ok ")):
                notes = []
                while i + 1 < len(lines) and lines[i + 1].startswith("#"):
                    i += 1
                    notes.append(lines[i][2:])
                ok(line.startswith("ok "), f"{part}: {line.split(' - ', 1)[1]}", "\n".join(notes))
        ok(run.returncode in (0, 1) and f"1..{sum(l.startswith(('ok ', 'not ok ')) for l in lines)}" in lines,
           f"{part}: comes to its end", f"status {run.returncode}\n{run.stdout[-300:]}\n{run.stderr[-1500:]}")
    done()


if __name__ == "__main__":
    PARTS[sys.argv[1]]() if len(sys.argv) > 1 else main()
