"""sql/when_to_personalise.sql against numpy: popular and personal responses, risks, what every policy gains and loses; no leaks."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from analyses import Side, demo, near, run
import numpy as np
from scipy.stats import entropy

USERS, OTHERS, SHOTS = 6, 9, [1, 3]
SWAP = "UPDATE personal_history SET chosen_id = rejected_id, rejected_id = chosen_id WHERE user_id < 100000"

os.chdir(ROOT)


def database(**settings):
    return demo("personal_setting", {"users": USERS, "others": OTHERS, "shots": json.dumps(SHOTS), **settings})


db = database()
shown, quarters = run(db, "sql/when_to_personalise.sql")
train, test = Side(db, "train"), Side(db, "test")
truth = {u: np.frombuffer(w) for u, w in db.execute("SELECT user_id, weights FROM personal_everybody")}
eq(sorted(truth), list(range(USERS)) + list(range(100000, 100000 + OTHERS)), "users, and others")
eq(len({w.tobytes() for w in truth.values()}), USERS + OTHERS, "who are not the same")
eq({r["policy"] for r in shown}, {"never", "risk", "gain", "divided", "always", "hindsight", "favourite"}, "policies")

# ---- what is known ----
learners = dict(db.execute("SELECT learner, model FROM personal_model"))
eq([json.loads(db.execute("SELECT model_info(?)", (m,)).fetchone()[0])["users"] for m in learners.values()], [OTHERS] * 2, "both models were taught by the others alone")
where = {i: (k, n) for k, ids in enumerate(train.ids) for n, i in enumerate(ids)}
history, wrong = {}, 0
for u, turn, chosen, rejected in db.execute("SELECT user_id, turn, chosen_id, rejected_id FROM personal_history ORDER BY user_id, turn"):
    k = where[chosen][0]
    value = train.Z[k] @ truth[u]
    wrong += train.ids[k][value.argmax()] != chosen or train.ids[k][value.argmin()] != rejected
    history.setdefault(u, []).append([(turn, x.tobytes(), "best" if i == chosen else "worst" if i == rejected else None) for i, x in zip(train.ids[k], train.Z[k])])
eq((wrong, {len(h) for h in history.values()}), (0, {10}), "answers are the users' own")
db.execute("CREATE TEMP TABLE told(choice_set, features, feedback)")
known = {}
for n, u, weights, model in db.execute("SELECT interactions, user_id, weights, posterior FROM personal_known").fetchall():
    db.execute("DELETE FROM told")
    db.executemany("INSERT INTO told VALUES (?, ?, ?)", sum(history[u][:n], []))
    again = [db.execute("SELECT adapt_user_choices(choice_set, features, feedback, ?, ?) FROM told", (o, learners["prior"])).fetchone()[0] for o in ("{}", '{"return":"model"}')]
    known[n, u] = np.frombuffer(weights), model
    # which rows came first may change the last digits of the features
    close(np.frombuffer(weights), np.frombuffer(again[0]), 0, f"user {u} after {n}: weights follow from the answers", absolute=.02)
eq(len(known), len(SHOTS) * USERS, "for every user and number of interactions")

# ---- what is shown ----
pooled = np.array([w for w, in db.execute("SELECT weight FROM model_weights(?) ORDER BY position", (learners["pooled"],))])
ids = [p for p, in db.execute("SELECT prompt_id FROM prompts WHERE split = 'test' ORDER BY prompt_id")]
popular = [(z @ pooled).argmax() for z in test.Z]
H = np.array([entropy(v[v > 0]) for v in test.votes(np.array([truth[u] for u in truth if u >= 100000]))])
close([e for e, in db.execute("SELECT entropy FROM personal_entropy ORDER BY prompt_id")], H, 1e-9, "entropy of the others' favourites", absolute=1e-12)
order = np.empty(len(H))
order[np.lexsort((ids, -np.round(H, 9)))] = np.arange(len(H)) / (len(H) - 1)
got = {(n, u, p): rest for n, u, p, *rest in db.execute("SELECT interactions, user_id, prompt_id, personal, popular, expected, risk, gain, place FROM personal_choice")}
want = {}
for (n, u), (w, model) in known.items():
    for p, z, b in zip(ids, test.Z, popular):
        k = (z @ w).argmax()
        if k != b:
            risk = 1 - db.execute("SELECT preference_probability(?, ?, ?, 'utility')", (model, z[k].tobytes(), z[b].tobytes())).fetchone()[0]
            want[n, u, p] = [k + 1, b + 1, (z[k] - z[b]) @ w, risk, (z[k] - z[b]) @ truth[u], order[ids.index(p)]]
eq(got.keys(), want.keys(), "where the personal response is not the popular one")
keys = sorted(want)
worst = np.abs(np.array([got[k] for k in keys]) - [want[k] for k in keys]).max(0)
eq(list(worst[:2]), [0, 0], "personal and popular responses")
ok(worst.max() < 1e-6, "expected and true gains, risks, places", list(worst))
ok(np.corrcoef([(want[k][3], want[k][4]) for k in keys], rowvar=False)[0, 1] < 0, "more is lost where the risk is larger")

# ---- every policy ----
scope = {(u, p): (z @ truth[u]).max() - (z @ truth[u])[b] for u in range(USERS) for p, z, b in zip(ids, test.Z, popular)}
worst, rows = 0, db.execute("SELECT * FROM personal_policy").fetchall()
eq(len(rows), 20 * len(SHOTS), "one row for policy, threshold and number of interactions")
for n, policy, threshold, *have in rows:
    rule = {"risk": lambda v: v[3] < threshold, "gain": lambda v: v[2] >= threshold, "divided": lambda v: v[5] < threshold,
            "always": lambda v: True, "hindsight": lambda v: v[4] > 0, "never": lambda v: False}
    of = {k[1:]: s for k, s in (((n,) + k, s) for k, s in scope.items()) if s > 0} if policy == "favourite" else \
         {k[1:]: v[4] for k, v in want.items() if k[0] == n and rule[policy](v)}
    g = np.array(list(of.values()) or [0.])
    net = lambda place: sum(sum(v for k, v in of.items() if k[place] == x) < -1e-12 for x in {k[place] for k in of})
    all_of = sum(scope.values())
    worst = max(worst, np.abs(np.array(have) - [len(of) / len(scope), g.sum() / all_of, (g < 0).sum() / len(scope), -np.minimum(g, 0).sum() / all_of,
                                               net(0) / USERS, net(1) / len(ids)]).max())
ok(worst < 1e-9, "what every policy gains and loses is numpy's", worst)
at = {(r["interactions"], r["policy"], r["threshold"]): r for r in shown}
ok(all(at[n, "never", None]["gained"] == 0 and at[n, "favourite", None]["gained"] == 1 and at[n, "hindsight", None]["worse"] == 0 and
       at[n, "hindsight", None]["gained"] >= at[n, "always", None]["gained"] for n in SHOTS), "never, hindsight and favourite bound the others")
for row in quarters:
    inside = [p for p in ids if min(int(order[ids.index(p)] * 4), 3) == row["quarter"] - 1]
    c = [want[k] for k in want if k[0] == row["interactions"] and k[2] in inside]
    n = USERS * len(inside)
    near([row["entropy"], row["to_gain"], row["gain"], row["differs"], row["worse"], row["said_worse"], row["worse_where_differs"]],
         [H[[ids.index(p) for p in inside]].mean(), np.mean([s for k, s in scope.items() if k[1] in inside]), sum(v[4] for v in c) / n, len(c) / n,
          sum(v[4] < 0 for v in c) / n, np.mean([v[3] for v in c]) if c else None, np.mean([v[4] < 0 for v in c]) if c else None], 3,
         f"after {row['interactions']}, quarter {row['quarter']} of the prompts by entropy")
eq(len(quarters), 4 * len(SHOTS), "quarters")

# ---- no leaks, settings ----
flipped = database(learned=0)
run(flipped, "sql/when_to_personalise.sql", after={"personal_history": SWAP})
gained = lambda c, policy, n: c.execute("SELECT gained FROM personal_policy WHERE policy = ? AND interactions = ?", (policy, n)).fetchone()[0]
ok(gained(flipped, "always", 3) < 0 < gained(db, "always", 3), "swapped answers: personal responses are worth less than popular ones")
eq(flipped.execute("SELECT prompt_id, position FROM personal_popular").fetchall(), [(p, b + 1) for p, b in zip(ids, popular)], "and nobody else's popular response moves")
eq(flipped.execute("SELECT count(*) FROM personal_model").fetchone(), (1,), "the default prior where none is learned")
done()
