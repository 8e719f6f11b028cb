"""The in-context methods of sql/ against an independent implementation of definitions.md#retrieval in numpy, on the
demo data (built-in embeddings) and, where it is, on alpaca8 (imported ones); every setting, the published defects
included."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

LIKED, DISLIKED = "Liked Response: ", "Disliked Response: "
METHODS = ["zero_shot", "self_k_shot", "k_shot", "metalearn_k_shot", "lookup_k_shot"]


def run(db, name):
    with open(os.path.join(ROOT, "sql", name + ".sql"), encoding="utf-8") as f:
        db.executescript(f.read())


def demo():
    db = connect()
    for split in ("train", "test"):
        db.execute("SELECT persona_import(?, ?)", (os.path.join(ROOT, "examples", "demo", split + ".jsonl"), split))
    db.execute("SELECT persona_import(?, 'none', '{\"ids\":\"renumber\"}')", (os.path.join(ROOT, "examples", "demo", "test.jsonl"),))  # must not be seen
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=40, alpha=0.05, seed=0)")
    db.execute("CREATE VIRTUAL TABLE database_users USING persona_users(count=60, alpha=0.05, seed=1)")
    return db


def real():
    folder = alpaca8()
    if not folder:
        return None
    db = connect()
    for split in ("train", "test"):
        db.execute("SELECT persona_import(?, ?, ?)", (os.path.join(folder, split + ".jsonl"), split, json.dumps({"means": os.path.join(folder, "reward_models.json"), "embeddings": os.path.join(folder, f"embeddings.{split}.jsonl")})))
    db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=30, alpha=0.05, seed=0)")
    db.execute("CREATE VIRTUAL TABLE database_users USING persona_users(count=300, alpha=0.05, seed=1)")
    return db


def unit(x):
    x = x.astype(float)
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300)


class World:
    """What the methods may look at, read from the tables that are not under test here."""

    def __init__(self, db, published_embedding=False):
        q = db.execute
        self.imported = q("SELECT count(*) = count(embedding) FROM responses").fetchone()[0]
        self.text = dict(q("SELECT prompt_id, text FROM prompts"))
        self.prompt_vector = {i: np.frombuffer(e, np.float32) for i, e in q("SELECT prompt_id, coalesce(embedding, text_embedding(text)) FROM prompts")}
        self.response_text = dict(q("SELECT response_id, text FROM responses"))
        self.response_vector = {i: np.frombuffer(e, np.float32) for i, e in q("SELECT response_id, coalesce(r.embedding, text_embedding(p.text || char(10) || r.text)) FROM responses r JOIN prompts p USING (prompt_id)")}
        self.scores, self.raw = {}, {}
        for p, r, z, raw in q("SELECT prompt_id, response_id, rewards, raw_rewards FROM responses ORDER BY prompt_id, position"):
            self.scores.setdefault(p, []).append((r, np.frombuffer(z)))
            self.raw.setdefault(p, []).append((r, np.frombuffer(raw)))
        users = [(u, np.frombuffer(w)) for u, w in q("SELECT user_id, weights FROM users ORDER BY user_id")]
        tests = [p for p, in q("SELECT prompt_id FROM prompts WHERE split = 'test' ORDER BY prompt_id")]
        self.train = [p for p, in q("SELECT prompt_id FROM prompts WHERE split = 'train' ORDER BY prompt_id")]
        self.tasks = [(u, w, p) for (u, w), p in zip(users, tests)]
        self.names = [n for n, in q("SELECT name FROM reward_models ORDER BY position")]

    def histories(self, db, table):
        out = {}
        for u, turn, p, c, r in db.execute(f"SELECT user_id, turn, prompt_id, chosen_id, rejected_id FROM {table} ORDER BY user_id, turn"):
            out.setdefault(u, []).append((p, c, r))
        return out

    def similarity(self, test):
        return dict(zip(self.train, unit(np.array([self.prompt_vector[p] for p in self.train])) @ unit(self.prompt_vector[test])))


def close_rank(values):
    """Sort keys that treat differences of rounding as ties, as exact arithmetic would."""
    return {k: round(v, 9) for k, v in values.items()}


def examples(w, db, method, s, user, weights, test):
    """[(prompt, chosen, rejected)] of a task, by definitions.md#retrieval."""
    own, base = w.own, w.base
    n, short = s["embedded_interactions"], s["one_short"]
    if method == "zero_shot":
        return []
    if method == "self_k_shot":
        return own[user]
    sim = close_rank(w.similarity(test))
    closest = sorted(w.train, key=lambda p: (-sim[p], p))
    if method == "k_shot":
        out = []
        for p in closest[:s["shots"]]:
            if s["k_shot_labels"] == "own":
                u = [(r, weights @ z) for r, z in w.scores[p]]
            else:
                order = ["gemma_2b", "gemma_7b", "mistral_raft", "mistral_ray", "mistral_weqweasdas", "llama3_sfairx", "oasst_deberta_v3", "beaver_7b", "oasst_pythia_7b", "oasst_pythia_1b"]
                order = order if sorted(order) == w.names else w.names
                u = [(r, w.tasks[0][1] @ raw[[w.names.index(o) for o in order]]) for r, raw in w.raw[p]]
            values = np.array([x for _, x in u]).round(12)
            out.append((p, u[values.argmax()][0], u[values.argmin()][0]))
        return out
    if method == "metalearn_k_shot":
        def embedding(history):
            plus = np.array([w.response_vector[c] for _, c, _ in history], float)
            minus = np.array([w.response_vector[r] for _, _, r in history], float)
            return {"winning": plus, "losing": minus, "winning_minus_losing": plus - minus}[s["user_embedding"]].mean(0).astype(np.float32)
        mine = unit(embedding(own[user]))
        users = {u: round(float(unit(embedding(h[:n])) @ mine), 9) for u, h in base.items()}
        similar = sorted(users, key=lambda u: (-users[u], u))[:s["similar_users"]]
        pool = [(-sim[e[0]], rank, turn, e) for rank, u in enumerate(similar) for turn, e in enumerate(base[u][:n - short])]
        return pick(pool, s)
    # lookup
    walk = sorted(((-sim[e[0]], u, turn, e) for u, h in base.items() for turn, e in enumerate(h[:n])), key=lambda x: x[:3])
    listed = {}
    for _, u, turn, e in walk:
        if len(listed) < s["similar_users"]:
            listed.setdefault(u, (turn, e))
    sides = {"winning_only": [1], "winning_and_losing": [1, 2]}.get(s["variant"], [2])
    T = unit(np.array([w.response_vector[e[k]] for e in own[user][:s["history"] - short] for k in sides]))
    score = {}
    for u in listed:
        U = unit(np.array([w.response_vector[e[k]] for e in base[u][:n] for k in sides]))
        score[u] = round(float((T @ U.T).max(1).mean()), 9)
    ranked = sorted(listed, key=lambda u: -score[u])  # stable
    if s["lookup_ranking"] == "users":
        pool = [(0, rank, 0, listed[u][1]) for rank, u in enumerate(ranked)]
        return pick(pool, s, lambda e: (e[0], e[1]))
    return pick([(-sim[e[0]], rank, turn, e) for rank, u in enumerate(ranked) for turn, e in enumerate(base[u][:n - short])], s)


def pick(pool, s, key=lambda e: e[0]):
    out, seen = [], set()
    for *_, e in sorted(pool, key=lambda x: x[:3]):
        if s["repeat_prompts"] or key(e) not in seen:
            seen.add(key(e))
            out.append(e)
    return out[:s["shots"]]


def assemble(w, variant, chosen, test):
    """The blocks; header and closing are pinned in tests/sql/test_icl.py."""
    blocks = []
    for p, c, r in chosen:
        liked = {"winning_only": [LIKED + w.response_text[c]], "losing_only": [DISLIKED + w.response_text[r]], "losing_as_winning_only": [LIKED + w.response_text[r]],
                 "winning_and_losing": [LIKED + w.response_text[c], DISLIKED + w.response_text[r]]}[variant]
        blocks.append("\n".join(["User: " + w.text[p]] + liked))
    return blocks + ["User: " + w.text[test] + "\nResponse:"]


CASES = [
    {},
    {"variant": "winning_and_losing", "shots": 5, "user_embedding": "winning", "embedded_interactions": 5, "similar_users": 7},
    {"variant": "losing_only", "one_short": 1, "repeat_prompts": 1, "user_embedding": "losing", "embedded_interactions": 5, "k_shot_labels": "row_0", "lookup_ranking": "prompts"},
    {"variant": "losing_as_winning_only", "shots": 1, "lookup_ranking": "prompts", "similar_users": 50, "history_mode": "random_pair", "database_history": 6},
    {"variant": "winning_and_losing", "one_short": 1, "history": 3, "history_options": '{"scores":"raw"}', "shots": 4, "similar_users": 3, "lookup_ranking": "prompts"},
]
for world, open_world in (("demo", demo), ("alpaca8", real)):
    db = open_world()
    if not db:
        skip("in-context methods on alpaca8", "alpaca8 is not there")
        continue
    run(db, "icl_tasks")
    w = World(db)
    defaults = dict(db.execute("SELECT name, value FROM icl_settings"))
    for number, case in enumerate(CASES):
        s = {**defaults, "variant": "winning_only", **case}
        for name in defaults:
            db.execute("UPDATE icl_settings SET value = ? WHERE name = ?", (s[name], name))
        db.execute("UPDATE icl_settings SET value = ? WHERE name = 'prompt_options'", (json.dumps({"variant": s["variant"], "max_tokens": 10**9}),))
        db.execute("UPDATE icl_settings SET value = ? WHERE name = 'label'", (f"case {number}",))
        run(db, "icl_tasks")
        w.own, w.base = w.histories(db, "temp.icl_history"), w.histories(db, "temp.icl_database")
        for method in METHODS:
            run(db, method)
            got = {u: (p, n, text) for u, p, n, text in db.execute("SELECT user_id, prompt_id, examples, prompt FROM icl_prompts WHERE method = ?", (f"{method} case {number}",))}
            wrong = []
            for user, weights, test in w.tasks:
                chosen = examples(w, db, method, s, user, weights, test)[:s["shots"]]
                want = assemble(w, s["variant"], chosen, test)
                p, n, text = got.get(user, (None, None, ""))
                middle = "\n\n".join(want[:-1])
                if (p, n) != (test, len(chosen)) or not text.endswith(want[-1]) or (chosen and not text.startswith("Here are past conversations")) or middle not in text or (not chosen and text != want[-1]):
                    wrong.append((user, p, n, len(chosen), text[:2000], middle[:2000]))
            ok(not wrong and len(got) == len(w.tasks), f"{world}, case {number}: {method} as in numpy, all {len(w.tasks)} tasks", f"{len(wrong)} differ: {wrong[:1]!r}")
    eq(db.execute("SELECT count(DISTINCT method) FROM icl_prompts").fetchone()[0], 5 * len(CASES), f"{world}: settings are kept apart by label")
    before = db.execute("SELECT * FROM icl_prompts ORDER BY 1, 2").fetchall()
    for method in METHODS:
        run(db, method)
    eq(db.execute("SELECT * FROM icl_prompts ORDER BY 1, 2").fetchall(), before, f"{world}: running a file again changes nothing")

# The published defect with the published names: weights of row 0 in an order that is not the models'.
names = ["beaver_7b", "gemma_2b", "gemma_7b", "llama3_sfairx", "mistral_raft", "mistral_ray", "mistral_weqweasdas", "oasst_deberta_v3", "oasst_pythia_1b", "oasst_pythia_7b"]
db = connect()
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
db.execute(f"CREATE VIRTUAL TABLE responses USING persona_responses({', '.join(names)})")
rng = np.random.RandomState(8)
for p in range(12):
    db.execute("INSERT INTO prompts(prompt_id, split, text) VALUES (?, ?, ?)", (p, "test" if p > 7 else "train", f"word{p} common {'abcdefgh'[p % 8]}xyz"))
    for k in range(8):
        db.execute("INSERT INTO responses(prompt_id, position, text, raw_rewards) VALUES (?, ?, ?, ?)", (p, k + 1, f"answer {k} to {p}", rng.standard_normal(10).tobytes()))
db.execute("UPDATE reward_models SET mean = position, sd = position")
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=4, alpha=0.5, seed=0)")
run(db, "icl_tasks")
w = World(db)
for labels in ("own", "row_0"):
    db.execute("UPDATE icl_settings SET value = ? WHERE name = 'k_shot_labels'", (labels,))
    db.execute("UPDATE icl_settings SET value = '{\"variant\":\"winning_and_losing\"}' WHERE name = 'prompt_options'")
    run(db, "icl_tasks")
    w.own, w.base = w.histories(db, "temp.icl_history"), w.histories(db, "temp.icl_database")
    run(db, "k_shot")
    s = {**dict(db.execute("SELECT name, value FROM icl_settings")), "variant": "winning_and_losing"}
    wrong = [u for u, weights, test in w.tasks if "\n\n".join(assemble(w, "winning_and_losing", examples(w, db, "k_shot", s, u, weights, test), test)[:-1])
             not in db.execute("SELECT prompt FROM icl_prompts WHERE user_id = ?", (u,)).fetchone()[0]]
    eq(wrong, [], f"k_shot with the ten published names, labels by {labels}")
done()
