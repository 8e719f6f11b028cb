"""The paper's analyses (sql/) on the bundled demo data, against numpy."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import analyses

os.chdir(ROOT)
db = connect()
load(db)
analyses.check(db)
done()
