"""The benchmark: every bulk job against a hand-written C limit, the machine's ceiling, SQLite's own share and its peers.

  tests/bench/bench.py [job ...] [--size full|smoke] [--rounds N] [--threads N] [--kinds ours,limit,...]
                       [--growth] [--doc FILE] [--tap] [--show]

Jobs are the folders j1_votes ... j9_learn beside this file (j1 is enough); without any, all run.  Results go to
build/bench/results.db and, as Markdown, to standard output and --doc.  --tap checks answers only, prints TAP and no time.
`make bench` builds and installs what this needs.
"""
import argparse
import glob
import importlib.util
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import openblas
if __name__ == "__main__":
    openblas.restart_with_best()
from harness import env, growth, measure, report
from harness.data import BENCH, WORK

RESULTS = os.path.join(WORK, "results.db")


def jobs(names):
    """The job modules asked for, in the order asked for."""
    folders = sorted(glob.glob(os.path.join(BENCH, "j[0-9]*_*")))
    chosen = [f for n in names for f in folders if os.path.basename(f).startswith(n)] if names else folders
    if len(chosen) < len(names):
        sys.exit(f"no such job; jobs: {', '.join(os.path.basename(f) for f in folders)}")
    for folder in chosen:
        path = os.path.join(folder, "job.py")
        if os.path.exists(path):
            spec = importlib.util.spec_from_file_location(os.path.basename(folder), path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            yield os.path.basename(folder), module


def tap(arg):
    """Answers only: one line a contender."""
    import tap as harness
    e = env.Env(env.SMOKE, arg.threads, lambda line: None)
    for name, module in jobs(arg.jobs):
        job = module.make(e)
        measure.run(job, 0, lambda line: None)
        for c in job.contenders:
            if c.verdict and c.verdict.startswith("not run"):
                harness.skip(f"{name}: {c.name}", c.verdict[len("not run: "):])
            elif c.check:
                harness.ok(c.verdict == "equal", f"{name}: the answer of {c.name}", c.verdict)
    for job, variables in growth.STEPS.items() if not arg.jobs else ():
        variable, values = next(iter(variables.items()))
        p = growth.ask(job, variable, values[0])
        harness.ok(p["cpu"] > 0 and p["parts"], f"growth: a point of {job}", p)
    harness.done()


def write(db, run_id, doc):
    text = "\n".join(report.markdown(db, run_id)) + "\n"
    if doc:
        with open(doc, "w", encoding="utf-8") as f:
            f.write(text)
    print(text, end="")
    return 0


def main():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arg.add_argument("jobs", nargs="*")
    arg.add_argument("--size", choices=("full", "smoke"), default="full")
    arg.add_argument("--rounds", type=int, default=7)
    arg.add_argument("--threads", type=int, default=os.cpu_count())
    arg.add_argument("--kinds", help="only these kinds of contenders: ours, limit, floor, ceiling, peer")
    arg.add_argument("--growth", action="store_true")
    arg.add_argument("--doc")
    arg.add_argument("--show", action="store_true", help="write the newest run again; with --growth, measure that anew")
    arg.add_argument("--tap", action="store_true")
    arg.add_argument("--point", nargs="+", help=argparse.SUPPRESS)  # one point of --growth
    arg = arg.parse_args()
    if arg.point:
        return growth.declared() if arg.point[0] == "declared" else growth.point(*arg.point[:2], int(arg.point[2]))
    if arg.tap:
        return tap(arg)

    def log(line):
        print(line, file=sys.stderr, flush=True)
    db = report.open_results(RESULTS)
    if arg.show:
        if arg.growth:
            run_id = db.execute("SELECT max(run_id) FROM run").fetchone()[0]
            db.execute("DELETE FROM growth WHERE run_id = ?", (run_id,))
            growth.run(db, run_id, log)
        return write(db, db.execute("SELECT max(run_id) FROM run").fetchone()[0], arg.doc)
    run_id = report.begin(db, arg.size, arg.threads, env.machine())
    e = env.Env(arg.size, arg.threads, log)
    for name, module in jobs(arg.jobs):
        log(f"{name} ...")
        job = module.make(e)
        if arg.kinds:
            job.keep(arg.kinds.split(","))
        measure.run(job, arg.rounds, log)
        report.store(db, run_id, job)
        for line in list(report.job_table(db, run_id, job.name)) + [""] + list(report.goal_table(db, run_id, job.name)):
            log("  " + line)
    if arg.growth:
        growth.run(db, run_id, log)
    return write(db, run_id, arg.doc)


if __name__ == "__main__":
    sys.exit(main())
