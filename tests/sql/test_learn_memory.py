"""Learning across users when memory is short: right answers or "out of memory", and all of it comes back."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import memory
import numpy as np

db = memory.counted()

rng = np.random.RandomState(2)
db.execute("CREATE TABLE pairs(user_id INTEGER, chosen, rejected)")
db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(i % 8, rng.standard_normal(5).tobytes(), rng.standard_normal(5).tobytes()) for i in range(40)])
db.execute("CREATE TABLE models(method, model)")
statements = {}
for method, in db.execute("SELECT method FROM persona_methods() WHERE function = 'learn_users'").fetchall():
    options = json.dumps({"method": method, **({} if method == "neighbors" else {"iterations": 2})})
    learn = f"SELECT learn_users(user_id, chosen, rejected, '{options}') FROM pairs"
    db.execute(f"INSERT INTO models VALUES ('{method}', ({learn}))")
    model = f"(SELECT model FROM models WHERE method = '{method}')"
    statements[f"learn_users {method}"] = learn
    statements[f"adapt_user from {method}"] = f"SELECT adapt_user(chosen, rejected, {model}) FROM pairs WHERE user_id = 1"
    statements[f"persona_adapt from {method}"] = f"SELECT * FROM persona_adapt('pairs', {model})"
    statements[f"model_info of {method}"] = f"SELECT model_info({model})"
statements["model_weights"] = "SELECT * FROM model_weights((SELECT model FROM models LIMIT 1))"
statements["model_history"] = "SELECT * FROM model_history((SELECT model FROM models LIMIT 1))"
db.execute("CREATE TABLE posteriors(prior, model)")
for prior in ("dirichlet", "gaussian"):
    db.execute("INSERT INTO posteriors SELECT ?1, adapt_user(chosen, rejected, json_object('return', 'model', 'prior', ?1)) FROM pairs WHERE user_id = 1", (prior,))
    # reading all models first makes the connection forget this one's draws
    statements[f"preference_information, {prior}"] = f"SELECT (SELECT sum(length(model_info(model))) FROM models), preference_information((SELECT model FROM posteriors WHERE prior = '{prior}'), '[1,2,0,1,0]', '[0,1,2,0,1]')"
db.execute("SELECT persona_config('threads', 2)")
for name, sql in statements.items():
    def warm():  # the models that the connection keeps are these
        for _ in range(5):
            for model, in db.execute("SELECT model FROM models LIMIT 4"):
                db.execute("SELECT model_info(?)", (model,)).fetchall()
        db.execute(sql).fetchall()
    memory.check_short(db, name, sql, kept=4096, warm=warm)

# exactly: what many learners, errors and abandoned statements leave behind is nothing
db.execute("CREATE TABLE bad AS SELECT 1 user_id, '[1,2]' chosen, '[2,1]' rejected UNION ALL SELECT 1, '[1]', '[2]'")
for name, sql in {
    "many models": "SELECT user_id % 4, learn_users(user_id, chosen, rejected, '{\"method\":\"pooled\"}') FROM pairs GROUP BY 1",
    "errors": "SELECT learn_users(user_id, chosen, rejected) FROM bad",
    "errors of the method": "SELECT learn_users(user_id, chosen, chosen) FROM pairs",
    "abandoned statements": "SELECT user_id, learn_users(user_id, chosen, rejected, '{\"method\":\"neighbors\"}') FROM pairs GROUP BY user_id",
    "models of every kind": "SELECT m.method, adapt_user(chosen, rejected, model) FROM models m, pairs GROUP BY m.method",
}.items():
    memory.check_nothing_left(db, name, sql)
done()
