"""The Python suites' harness: TAP lines, a connection with the extension loaded, the optional real data.

A suite calls ok/eq/close/fails/skip and ends with done().  tests/run.sh adds the lines up.
"""
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
EXTENSION = os.path.join(BUILD, "personalllm")
_count = _failed = 0


def ok(good, name, detail=""):
    """One check; detail is printed when it fails."""
    global _count, _failed
    _count += 1
    if not good:
        _failed += 1
        line = sys._getframe(1).f_lineno
        if sys._getframe(1).f_code.co_filename == __file__:
            line = sys._getframe(2).f_lineno
        name = f"{name} (line {line})"
    print(f"{'' if good else 'not '}ok {_count} - {name}")
    if not good and detail:
        for text in str(detail).splitlines():
            print("#", text)
    return bool(good)


def eq(got, want, name):
    return ok(got == want, name, f"got  {got!r}\nwant {want!r}")


def close(got, want, rel, name, absolute=0.0):
    """|got - want| <= rel*|want| + absolute, element by element for sequences."""
    import numpy as np
    got, want = np.asarray(got, float), np.asarray(want, float)
    good = got.shape == want.shape and bool(np.all(np.abs(got - want) <= rel * np.abs(want) + absolute))
    return ok(good, name, f"got  {got!r}\nwant {want!r}")


def fails(db, sql, message, name=None, args=()):
    """The statement must fail with exactly this message."""
    try:
        got = f"no error, but {db.execute(sql, args).fetchall()!r:.200}"
    except sqlite3.Error as e:
        got = str(e)
    return ok(got == message, name or f"error: {message[:90]}", f"got  {got}\nwant {message}\nsql  {sql[:300]}")


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {why}")


def connect(path=":memory:", **options):
    """A connection with the extension loaded; autocommit unless isolation_level is given."""
    options.setdefault("isolation_level", None)
    db = sqlite3.connect(path, **options)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    db.enable_load_extension(False)
    return db


def load(db, folder=os.path.join(ROOT, "examples", "demo")):
    """Import the train and test splits of a folder (default: the bundled demo data), standardised by its
    reward_models.json, or fitted to train where there is none."""
    means = os.path.join(folder, "reward_models.json")
    for split, options in (("train", json.dumps({"means": means if os.path.exists(means) else "fitted"})), ("test", None)):
        db.execute("SELECT persona_import(?, ?, ?)", (os.path.join(folder, split + ".jsonl"), split, options)).fetchone()


def interrupted(db, sql, args=(), delays=(0.3, 0.1, 0.03, 0.01, 0.003)):
    """The message of a statement that sqlite3_interrupt() strikes after the first of the delays that it outlasts: a fast
    machine may be done before.  "no error" when it outlasts none.  Prints how late the statement ended."""
    for delay in delays:
        struck = []
        timer = threading.Timer(delay, lambda: (struck.append(time.perf_counter()), db.interrupt()))
        timer.start()
        try:
            db.execute(sql, args).fetchall()
            message = "no error"
        except sqlite3.Error as e:
            message = str(e)
        end = time.perf_counter()
        timer.join()
        if message != "no error":
            print(f"# {1000 * (end - struck[0]):.0f} ms after sqlite3_interrupt(): {message:.100}" if struck else f"# {message:.100}")
            break
    return message


def alpaca8():
    """The folder of the optional real data set, or None."""
    path = os.path.join(ROOT, os.environ.get("SHARED", "../shared"), "data", "alpaca8")
    return path if os.path.exists(os.path.join(path, "train.jsonl")) else None


def scratch():
    """A new temporary folder, removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="personalllm-")
    _kept.append(folder)
    return folder.name


_kept = []


def done():
    print(f"1..{_count}")
    sys.exit(_failed != 0)
