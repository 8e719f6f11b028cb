"""The paper's analyses (sql/) on the bundled demo data, against numpy."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import analyses

os.chdir(ROOT)
db = connect()
db.execute("SELECT persona_import('examples/demo/train.jsonl', 'train', '{\"means\": \"fitted\"}')")
db.execute("SELECT persona_import('examples/demo/test.jsonl', 'test')")
analyses.check(db)
done()
