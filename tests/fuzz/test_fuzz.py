"""A few hundred random statements of every kind, always the same ones; fuzz.py says what they must not do.

FUZZ_COUNT times as many with `make fuzz`, from a seed that is printed.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

FUZZ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz.py")
times = int(os.environ.get("FUZZ_COUNT", "1"))
seed = int(os.environ.get("FUZZ_SEED", "1"))
folder = scratch()
for target, count in (("calls", 600), ("tables", 250), ("declare", 300), ("files", 150), ("models", 100), ("shadow", 40)):
    log = os.path.join(folder, target)
    run = subprocess.run([sys.executable, FUZZ, target, str(seed), str(count * times), log], capture_output=True, text=True)
    last = open(log, errors="replace").read(3000) if os.path.exists(log) else "nothing"
    ok(run.returncode == 0, f"{target}, seed {seed}: {run.stdout.strip() or 'stopped'}",
       f"status {run.returncode}\nunder way: {last}\n{run.stderr[-3000:]}")
done()
