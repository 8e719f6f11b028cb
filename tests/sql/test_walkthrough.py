"""examples/walkthrough.sql runs in the sqlite3 shell, without errors, and draws."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import ROOT

with open(f"{ROOT}/examples/walkthrough.sql") as f:
    script = f.read().replace(".load build/personalllm", f".load {EXTENSION}")
run = subprocess.run(["sqlite3", "-bail", ":memory:"], input=script, capture_output=True, text=True, cwd=ROOT)
eq((run.returncode, run.stderr), (0, ""), "no error")
parts = re.split(r"^(\d)\. ", run.stdout, flags=re.M)[1:]
eq(parts[::2], ["1", "2", "3", "4", "5"], "five parts")
for part, least in zip(parts[1::2], (10, 12, 8, 10, 2)):
    ok(len([line for line in part.splitlines() if re.search("[█▏▎▍▌▋▊▉]", line)]) >= least, f"bars: {part.splitlines()[0]}", part)
distance = [float(line.split()[1]) for line in parts[7].splitlines() if re.match(r"\d", line)]
ok(len(distance) == 10 and distance[-1] < distance[0], "what is learned comes nearer to the truth", distance)
done()
