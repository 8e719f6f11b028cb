"""The bundled demo data: its form, its scores against style_rewards as it is now, and that its users differ in taste."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

VOICES = ["terse", "professor", "coach", "lister", "storyteller", "skeptic", "friend", "engineer"]
db = connect()
names = json.loads(db.execute("SELECT style_reward_names()").fetchone()[0])
keys = ["prompt_id", "prompt", "subset"] + [k for i in range(1, 9) for k in [f"response_{i}", f"response_{i}_model"] + [f"response_{i}_{n}" for n in names]]
rows, per_file = [], {}
for name in ("train.jsonl", "test.jsonl"):
    with open(os.path.join(ROOT, "examples", "demo", name), encoding="utf-8", newline="") as f:
        text = f.read()
    lines = text.split("\n")
    ok(lines.pop() == "" and "\r" not in text and all(lines), f"{name}: lines end with a line feed")
    per_file[name] = [json.loads(line) for line in lines]
    rows += per_file[name]
eq([len(per_file[n]) for n in per_file], [48, 16], "48 and 16 prompts")
eq([list(o) for o in rows if list(o) != keys], [], "every line has the same keys, in the published order")
eq(len({o["prompt_id"] for o in rows}), 64, "prompt ids are unique")
eq(len({o["prompt"] for o in rows}), 64, "prompts are unique")
eq([o["prompt_id"] for o in rows if [o[f"response_{i}_model"] for i in range(1, 9)] != VOICES], [], "eight voices, in one order")
texts = [[o[f"response_{i}"] for i in range(1, 9)] for o in rows]
ok(all(t and t == t.strip() and 5 <= len(t) <= 2000 for r in texts for t in r), "responses are a sentence to a paragraph long")
eq(len({t for r in texts for t in set(r)}), 64 * 8 - 3, "no text is used twice, but for the ties")
S = np.array([[[o[f"response_{i}_{n}"] for n in names] for i in range(1, 9)] for o in rows])
now = [[struct.unpack("<10d", db.execute("SELECT style_rewards(?, ?)", (o["prompt"], t)).fetchone()[0]) for t in r] for o, r in zip(rows, texts)]
ok(S.dtype == np.float64 and S.tobytes() == np.array(now).tobytes(), "the stored scores are style_rewards, to the bit (else run tests/ref/make_demo_scores.py)")
ties = [o["prompt_id"] for o, r in zip(rows, texts) if len(set(r)) < 8]
eq(ties, [17, 45, 113], "three prompts have an exact tie")

# What a benchmark needs of its scores: comparable spread, none a copy of another, users with different favourites.
within = (S - S.mean(1, keepdims=True)).reshape(-1, 10)
sd = within.std(0)
ok(0.1 <= sd.min() and sd.max() <= 0.25, "within prompts every scorer's sd is from .10 to .25", dict(zip(names, sd.round(3))))
C = np.corrcoef(within.T)[np.triu_indices(10, 1)]
ok(-0.1 <= C.mean() <= 0.3 and abs(C).max() <= 0.7, "within prompts scorers correlate little", f"mean {C.mean():.3f}, |C| {abs(C).mean():.3f}, {C.min():.2f} to {C.max():.2f}")
W = np.random.RandomState(0).dirichlet([0.05] * 10, size=1000)
best = np.einsum("ub,pkb->upk", W, S).argmax(2)
winners = np.array([len(set(best[:, p])) for p in range(64)])
ok(winners.mean() >= 6, "alpha .05: on average at least six of a prompt's eight responses are some user's best", winners)
wins = np.bincount(best.ravel(), minlength=8) / best.size
ok(wins.min() >= 0.03 and wins.max() <= 0.3, "alpha .05: every voice wins, none all the time", dict(zip(VOICES, wins.round(3))))
favourite = np.bincount([np.bincount(b, minlength=8).argmax() for b in best], minlength=8)
ok(favourite.min() >= 30, "alpha .05: every voice is the favourite of some users", dict(zip(VOICES, favourite)))
done()
