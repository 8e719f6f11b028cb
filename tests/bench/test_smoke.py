"""The benchmark's answers on small sizes: every contender against the reference, no times."""
import os
import runpy
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.argv = [os.path.join(here, "bench.py"), "--tap"]
runpy.run_path(sys.argv[0], run_name="__main__")
