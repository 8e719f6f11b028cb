"""The numpy vectors that the core is tested with (numpy_random.csv) are what the installed numpy draws."""
import contextlib
import io
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import make_numpy_random as make


def read(text):
    return [l.split(",") for l in text.splitlines() if not l.startswith("#")]


printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    make.main()
with open(os.path.join(ROOT, "tests", "ref", "numpy_random.csv")) as f:
    want = read(f.read())
got = read(printed.getvalue())
eq([l[:3] for l in got], [l[:3] for l in want], "the same draws in the same order")
worst, where = 0.0, None
for g, w in zip(got, want):
    for a, b in zip(g[3:], w[3:]):
        a, b = float.fromhex(a), float.fromhex(b)
        e = abs(a - b) / max(abs(b), 1e-290)
        if not e <= worst:
            worst, where = e, w[:2]
ok(worst <= 1e-12, f"numpy {make.np.__version__} agrees within 1e-12 (largest relative error {worst:.2g})", where)
done()
