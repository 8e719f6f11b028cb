"""Peers that are programs of their own: DuckDB (through node) and sqlite-vec, both from npm, installed into build/bench only."""
import json
import os
import shutil
import subprocess

import numpy as np

from .data import HERE, WORK, plain, scratch
from .measure import Missing, Timed

MODULES = os.path.join(WORK, "node_modules")


def installed(package):
    return shutil.which("node") is not None and os.path.isdir(os.path.join(MODULES, package))


class DuckDB:
    """One DuckDB in a process of its own; see duckdb.js."""

    def __init__(self, threads):
        if not installed("@duckdb/node-api"):
            raise Missing("DuckDB is not installed (make bench installs it from npm)")
        self.process = subprocess.Popen(["node", os.path.join(HERE, "duckdb.js"), MODULES, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = json.loads(self.process.stdout.readline())["version"]

    def ask(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended"}
        if "error" in answer:
            raise Missing(f"DuckDB: {answer['error']}")
        return answer

    def sql(self, *statements):
        answer = self.ask(sql=statements)
        return Timed(answer["wall"], answer["cpu"])

    def fetch(self, sql, columns):
        path = scratch("duckdb.f64")
        self.ask(fetch=sql, path=path)
        return np.fromfile(path).reshape(-1, columns)

    def load(self, table, columns, array):
        path = scratch("duckdb-load.f64")
        np.ascontiguousarray(array, float).tofile(path)
        self.ask(numbers=path, table=table, columns=list(columns))

    def load_embeddings(self, table, array):
        path = scratch("duckdb-load.f32")
        np.ascontiguousarray(array, np.float32).tofile(path)
        self.ask(array=path, table=table, dim=array.shape[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def sqlite_vec():
    """A connection with sqlite-vec loaded, and its version."""
    for folder in (f for f in (os.listdir(MODULES) if os.path.isdir(MODULES) else []) if f.startswith("sqlite-vec-")):
        for ending in ("so", "dylib", "dll"):
            path = os.path.join(MODULES, folder, f"vec0.{ending}")
            if os.path.exists(path):
                db = plain()
                db.enable_load_extension(True)
                db.load_extension(os.path.splitext(path)[0])
                return db, db.execute("SELECT vec_version()").fetchone()[0]
    raise Missing("sqlite-vec is not installed (make bench installs it from npm)")
