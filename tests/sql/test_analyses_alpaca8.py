"""The paper's analyses (sql/) on real responses and reward models, against numpy."""
import json
import os
import re
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

# Its own table of diversity, whose weights are in the order of reward_models.json.
with open(os.path.join(folder, "reward_models.json"), encoding="utf-8") as f:
    models = list(json.load(f))
with open(os.path.join(folder, "README.md"), encoding="utf-8") as f:
    table = re.findall(r"^\| ([\d.]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", f.read(), re.M)
db = connect()
db.execute(f"CREATE VIRTUAL TABLE responses USING persona_responses({', '.join(models)})")
load(db, folder)
eq(len(table), 4, "the data set's README has figures for four populations")
for alpha, *splits in table:
    db.execute("DROP TABLE IF EXISTS temp.users")
    db.execute(f"CREATE VIRTUAL TABLE temp.users USING persona_users(count=1000, alpha={alpha}, seed=0)")
    for split, figures in zip(("train", "test"), splits):
        got = db.execute("""
            WITH prompt AS (SELECT 1.0 * max(best_votes) / sum(best_votes) AS share, sum(best_votes > 0) AS winners
                            FROM persona_votes('users', ?) GROUP BY prompt_id)
            SELECT round(100 * avg(share <= 0.5), 1), round(100 * avg(share <= 0.75), 1), round(100 * avg(share <= 0.95), 1),
                   round(avg(winners <= 2), 3), round(avg(winners = 3), 3), round(avg(winners = 4), 3), round(avg(winners = 5), 3),
                   round(avg(winners >= 6), 3) FROM prompt""", (split,)).fetchone()
        eq(list(got), [float(n) for n in re.split(r"[ /;]+", figures)], f"diversity as the data set's README has it: {split}, alpha {alpha}")
done()
