"""Adaptation and the other statistics when memory is short: every statement answers rightly or says out of memory, and gives all memory back."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import memory
import numpy as np

db = memory.counted()

rng = np.random.RandomState(2)
db.execute("CREATE TABLE pairs(user_id INTEGER, turn INTEGER, chosen, rejected)")
db.execute("CREATE TABLE choices(user_id INTEGER, choice_set INTEGER, features, feedback)")
for user in range(40):
    for turn in range(4):
        db.execute("INSERT INTO pairs VALUES (?, ?, ?, ?)", (user, turn, rng.standard_normal(6).tobytes(), str(list(rng.standard_normal(6)))))
        for i, label in enumerate(("best", None, "worst")):
            db.execute("INSERT INTO choices VALUES (?, ?, ?, ?)", (user, turn, rng.standard_normal(6).tobytes(), label))
METHODS = [m for (m,) in db.execute("SELECT DISTINCT method FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1) AND function = 'adapt_user_choices'")]

statements = {"persona_methods": "SELECT method, function, options, defaults FROM persona_methods()"}
for method in METHODS:
    o = f'\'{{"method":"{method}"}}\''
    statements[f"adapt_user_choices {method}"] = f"SELECT adapt_user_choices(choice_set, features, feedback, {o}) FROM choices WHERE user_id = 3"
    statements[f"adapt_user {method} in a window"] = f"SELECT adapt_user(chosen, rejected, {o}) OVER (PARTITION BY user_id ORDER BY turn ROWS 1 PRECEDING) FROM pairs WHERE user_id < 2"
    statements[f"persona_adapt {method}"] = f"SELECT user_id, weights FROM persona_adapt('pairs', {o}) WHERE user_id < 5"
db.execute("CREATE TABLE labels AS SELECT user_id, feedback = 'best' AS label, features FROM choices WHERE feedback IS NOT NULL")
statements["fit_logistic"] = "SELECT fit_logistic(label, features) FROM labels"
statements["fit_logistic, report"] = "SELECT fit_logistic(label, features, '{\"return\":\"report\"}') FROM labels"
statements["wasserstein"] = "SELECT wasserstein(turn, user_id, turn) FROM pairs"
for name, sql in statements.items():
    memory.check_short(db, name, sql, at_least=6)

# exactly: what many groups, errors and abandoned windows leave behind is nothing
db.executescript("CREATE TABLE bad AS SELECT 1 user_id, zeroblob(8000) chosen, zeroblob(8000) rejected UNION ALL SELECT 1, '[1]', '[2]'")
repeat = {
    "groups": "SELECT count(w) FROM (SELECT adapt_user(chosen, rejected, '{\"method\":\"sum\"}') w FROM pairs GROUP BY user_id, turn)",
    "errors": "SELECT adapt_user(chosen, rejected) FROM bad",
    "errors in windows": "SELECT adapt_user(chosen, rejected) OVER (ORDER BY user_id) FROM bad",
    "abandoned windows": "SELECT adapt_user(chosen, rejected, '{\"method\":\"sum\"}') OVER (PARTITION BY user_id ORDER BY turn) FROM pairs",
    "abandoned bulk jobs": "SELECT * FROM persona_adapt('pairs', '{\"method\":\"sum\"}')",
    "fits": "SELECT count(w) FROM (SELECT fit_logistic(label, features) w FROM labels GROUP BY user_id)",
    "fits that fail": "SELECT fit_logistic(label, features, '{\"lambda\":0}') FROM labels GROUP BY user_id",
    "labels that fail": "SELECT fit_logistic(user_id, features, '{}') FROM labels",
    "masses that fail": "SELECT wasserstein(turn, turn, turn - 2) FROM pairs",
    "errors in bulk jobs": "SELECT * FROM persona_adapt('bad')",
}
for name, sql in repeat.items():
    memory.check_nothing_left(db, name, sql)
done()
