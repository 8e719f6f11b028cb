"""The paper's analyses (sql/) on real responses and reward models, against numpy."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

folder = alpaca8()
if folder is None:
    skip("the analyses on alpaca8", "shared/data/alpaca8 is not there")
    done()
import analyses

os.chdir(ROOT)
db = connect()
load(db, folder)
analyses.check(db, semantics=False)
done()
