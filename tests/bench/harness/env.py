"""Where a job gets its programs, peers, sizes and threads from."""
import os
import subprocess

import numpy as np

from . import openblas, peers
from .data import BUILD, ROOT, WORK, connect, scratch
from .measure import Contender, Missing, Program

FULL, SMOKE = "full", "smoke"


class Env:
    def __init__(self, size, threads, log, extras=True):
        """extras: also the peers that are installed from npm, and those that take long."""
        self.size, self.threads, self.log, self.extras = size, threads, log, extras
        self._duckdb = None

    def pick(self, full, smoke):
        return full if self.size == FULL else smoke

    def connect(self, path=":memory:"):
        """The extension, and the floors (constant tables, functions that do nothing)."""
        db = connect(path)
        db.execute("SELECT persona_config('threads', ?)", (self.threads,))
        floor = os.path.join(WORK, "floor")
        db.enable_load_extension(True)
        db.load_extension(floor)
        db.enable_load_extension(False)
        return db

    def program(self, name, kind, program, job, answer, check=None, note="", rounds=None, **args):
        """A contender that is a job of one of the benchmark's C programs."""
        args.setdefault("threads", self.threads)
        command = [os.path.join(WORK, program), job] + [f"{k}={v}" for k, v in args.items()]
        run = Program(command, answer, scratch(f"{job}.answer"))
        return Contender(name, kind, run, check, note=note, rounds=rounds, close=run.close)

    def ceiling(self, name, job, **args):
        """How long the machine takes for that much work and nothing else."""
        return self.program(name, "ceiling", "limit", job, np.fromfile, **args)

    def duckdb(self, name, load, statements, answer, check, rounds=2, **rest):
        """A contender in DuckDB: load(duckdb) fills it, untimed, at first use; answer(duckdb) fetches, untimed."""
        state = {}

        def start():
            if "db" not in state:
                state["db"] = peers.DuckDB(self.threads)
                load(state["db"])

        def run():
            timed = state["db"].sql(*statements)
            timed.answer = answer(state["db"])
            return timed

        def close():
            if "db" in state:
                state["db"].close()
        return Contender(name, "peer", run, check, rounds=rounds, before=start, close=close, **rest)


def machine():
    """What the figures depend on."""
    db = connect()
    config = dict(zip(("version", "kernel", "blas", "sqlite", "compiler", "cores"),
                      (db.execute("SELECT persona_config(?)", (k,)).fetchone()[0]
                       for k in ("version", "kernel", "blas", "sqlite", "compiler", "cores"))))
    config["blas"] = openblas.name(config["blas"])
    import platform
    import scipy
    config.update(cpu=openblas.cpuinfo("model name"), system=platform.system() + " " + platform.machine(),
                  python=platform.python_version(), numpy=np.__version__, scipy=scipy.__version__)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    config["commit"] = commit.stdout.strip() or "unknown"
    for name, package in (("duckdb", "@duckdb/node-api"), ("sqlite_vec", "sqlite-vec")):
        path = os.path.join(peers.MODULES, package, "package.json")
        if os.path.exists(path):
            import json
            config[name] = json.load(open(path, encoding="utf-8"))["version"]
    return config


__all__ = ["Env", "FULL", "SMOKE", "machine", "Missing", "BUILD"]
