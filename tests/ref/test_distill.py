"""distill_rewards against numpy: weights, penalties, generalised cross-validation, to 1e-8; and students of real text."""
import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

RATIO, STEPS = 10 ** 0.5, 20
db = connect()


def centre(x, groups):
    out = x.copy()
    for g in np.unique(groups):
        out[groups == g] -= x[groups == g].mean(0)
    return out


def ridge(x, y, groups, columns, lambdas):
    """For each output: the best of lambdas by GCV (Golub, Heath, Wahba 1979) through the singular values of centred x."""
    xc, yc = centre(x, groups), centre(y, groups)
    n = len(x) - len(np.unique(groups))
    s = np.sqrt(n / (xc ** 2).sum(0)) if columns else np.ones(x.shape[1])
    u, d, vt = np.linalg.svd(xc * s, full_matrices=False)
    unit = (d ** 2).sum() / n
    found = []
    for o in range(y.shape[1]):
        best = None
        for lam in lambdas:
            h = d ** 2 / (d ** 2 + lam * unit)
            r = n - h.sum()
            if r < 0.1 * n and lam != 1 and len(lambdas) > 1:
                continue
            rss = ((yc[:, o] - u @ (h * (u.T @ yc[:, o]))) ** 2).sum()
            if best is None or n * rss / r ** 2 < best[0]:
                w = s * (vt.T @ (d / (d ** 2 + lam * unit) * (u.T @ yc[:, o])))
                best = (n * rss / r ** 2, lam, h.sum(), 1 - rss / (yc[:, o] ** 2).sum(), w)
        yy = (yc[:, o] ** 2).sum()
        found.append({"weights": best[4], "intercept": y[:, o].mean() - x.mean(0) @ best[4], "lambda": best[1],
                      "freedom": best[2], "r2": best[3], "r2_cv": 1 - best[0] * n / yy})
    return found


def learned(model):
    info = json.loads(db.execute("SELECT model_info(?)", (model,)).fetchone()[0])
    w = np.array([r[0] for r in db.execute("SELECT weight FROM model_weights(?)", (model,))]).reshape(info["rank"], info["dim"])
    return info, w


def compare(x, y, groups, options, columns, lambdas, name):
    db.execute("DROP TABLE IF EXISTS t")
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, g INTEGER, x BLOB, y BLOB)")
    db.executemany("INSERT INTO t(g, x, y) VALUES (?, ?, ?)", [(int(g), a.astype("<f8").tobytes(), b.astype("<f8").tobytes()) for g, a, b in zip(groups, x, y)])
    model = db.execute("SELECT distill_rewards(x, y, g, ?) FROM (SELECT * FROM t ORDER BY g, id)", (json.dumps(options),)).fetchone()[0]
    info, w = learned(model)
    want = ridge(x, y, groups, columns, lambdas)
    for key in ("lambda", "freedom", "r2", "r2_cv"):
        close([f[key] for f in info["fit"]], [f[key] for f in want], 1e-8, f"{name}: {key}", 1e-8)
    scale = np.abs([f["weights"] for f in want]).max()
    close(w / scale, np.array([f["weights"] for f in want]) / scale, 0, f"{name}: weights", 1e-8)
    new = np.random.RandomState(9).standard_normal((5, x.shape[1]))
    got = [np.frombuffer(db.execute("SELECT predict_rewards(?, ?)", (model, r.tobytes())).fetchone()[0]) for r in new]
    close(got, [[f["intercept"] + r @ f["weights"] for f in want] for r in new], 1e-8, f"{name}: predictions", 1e-8)
    eq((info["rows"], info["kind"], info["options"]["scale"]), (len(x), "student", "columns" if columns else "none"), f"{name}: model_info")
    close(info["objective"], np.mean([1 - f["r2_cv"] for f in want]), 1e-8, f"{name}: the objective")
    return model


rng = np.random.RandomState(3)
path = [RATIO ** k for k in range(-STEPS, STEPS + 1)]
for dim, prompts, noise in ((5, 30, 0.1), (40, 60, 2.0), (300, 120, 0.5)):
    groups = np.repeat(np.arange(prompts), rng.randint(1, 9, prompts))
    x = rng.standard_normal((len(groups), dim)) * np.exp(rng.standard_normal(dim)) + 3 * rng.standard_normal((prompts, 1))[groups]
    y = x @ rng.standard_normal((dim, 3)) / dim ** 0.5 + noise * rng.standard_normal((len(groups), 3)) + 5 * rng.standard_normal((prompts, 3))[groups]
    for columns in (False, True):
        scale = "columns" if columns else "none"
        compare(x, y, groups, {"scale": scale}, columns, path, f"{dim} features, scale {scale}")
        compare(x, y, groups, {"scale": scale, "lambda": 0.03}, columns, [0.03], f"{dim} features, scale {scale}, lambda .03")

# Scale 'auto' takes the better; a student without prompt ids has one intercept.
by_scale = {c: np.mean([1 - f["r2_cv"] for f in ridge(x, y, groups, c, path)]) for c in (False, True)}
auto = db.execute("SELECT distill_rewards(x, y, g) FROM (SELECT * FROM t ORDER BY g, id)").fetchone()[0]
info, _ = learned(auto)
close(info["objective"], min(by_scale.values()), 1e-8, "scale auto: the smaller objective")
eq(info["options"]["scale"], "columns" if by_scale[True] < by_scale[False] else "none", "scale auto: says which")
one, _ = learned(db.execute("SELECT distill_rewards(x, y, '{\"scale\":\"none\"}') FROM t").fetchone()[0])
close([f["r2_cv"] for f in one["fit"]], [f["r2_cv"] for f in ridge(x, y, np.zeros(len(x), int), False, path)], 1e-8, "without prompt ids all rows are one prompt")

# Levels do not matter: adding a constant to the rewards of a prompt leaves the weights alone.
db.execute("CREATE TABLE shifted AS SELECT id, g, x, y FROM t")
db.executemany("UPDATE shifted SET y = ? WHERE id = ?", [((b + 100 * g).astype("<f8").tobytes(), i + 1) for i, (g, b) in enumerate(zip(groups, y))])
_, w = learned(auto)
_, v = learned(db.execute("SELECT distill_rewards(x, y, g) FROM (SELECT * FROM shifted ORDER BY g, id)").fetchone()[0])
close(v / np.abs(w).max(), w / np.abs(w).max(), 0, "a prompt's level does not matter", 1e-9)

# More features than rows, and a few equal responses with equal rewards, which any penalty fits: penalties that leave less
# than a tenth of the degrees of freedom are not considered, however well they seem to do.
groups = np.repeat(np.arange(60), 2)
x = rng.standard_normal((120, 150))
y = x @ rng.standard_normal((150, 3)) / 12 + rng.standard_normal((120, 3))
x[1:10:2], y[1:10:2] = x[0:10:2], y[0:10:2]
compare(x, y, groups, {"scale": "none"}, False, path, "more features than rows")

# ---- real data: embeddings and text ----
folder = alpaca8()
if folder is None:
    skip("students of alpaca8", "shared/data/alpaca8 is not there")
    done()
real = connect()
real.execute("SELECT persona_import(?, 'train', ?)", (folder + "/train.jsonl", json.dumps({"means": folder + "/reward_models.json", "embeddings": folder + "/embeddings.train.jsonl"})))
real.execute("SELECT persona_import(?, 'test', ?)", (folder + "/test.jsonl", json.dumps({"embeddings": folder + "/embeddings.test.jsonl"})))
db = real
train = db.execute("SELECT r.prompt_id, r.embedding, r.rewards FROM responses r JOIN prompts p USING (prompt_id) WHERE split = 'train' ORDER BY r.prompt_id, position").fetchall()
groups = np.array([r[0] for r in train])
x, y = np.array([np.frombuffer(r[1], "<f4") for r in train], float), np.array([np.frombuffer(r[2]) for r in train])
model = db.execute("SELECT distill_rewards(embedding, rewards, prompt_id, '{\"type\":\"f32\"}') FROM (SELECT r.* FROM responses r JOIN prompts p USING (prompt_id) WHERE split = 'train' ORDER BY r.prompt_id, position)").fetchone()[0]
info, w = learned(model)
want = min((ridge(x, y, groups, c, path) for c in (False, True)), key=lambda fit: np.mean([1 - f["r2_cv"] for f in fit]))
close(w / np.abs(w).max(), np.array([f["weights"] for f in want]) / np.abs(w).max(), 0, "alpaca8 embeddings: weights", 1e-8)
close([f["r2_cv"] for f in info["fit"]], [f["r2_cv"] for f in want], 1e-8, "alpaca8 embeddings: R2 by generalised cross-validation")
eq((info["type"], info["rows"]), ("f32", 4000), "alpaca8 embeddings: a student of f32")

SMALL = {"random": 256, "hashed": 1024}
db.execute("CREATE TABLE pupils(name, model)")
FROM = "FROM (SELECT p.text AS prompt, r.text AS response, r.rewards, r.prompt_id FROM prompts p JOIN responses r USING (prompt_id) WHERE split = 'train' ORDER BY r.prompt_id, position) WHERE prompt_id % 4 = 0"
for name, options in (("kept", SMALL), ("streamed", dict(SMALL, exact_rows=100))):
    db.execute(f"INSERT INTO pupils SELECT '{name}', distill_text(prompt, response, rewards, prompt_id, ?) {FROM}", (json.dumps(options),))
held = db.execute("SELECT r.prompt_id, p.text, r.text, r.rewards FROM prompts p JOIN responses r USING (prompt_id) WHERE split = 'test' ORDER BY r.prompt_id, position").fetchall()
truth = np.array([np.frombuffer(r[3]) for r in held]).reshape(-1, 8, 10)
truth -= truth.mean(1, keepdims=True)
for name in ("kept", "streamed"):
    p = np.array([np.frombuffer(db.execute(f"SELECT predict_rewards((SELECT model FROM pupils WHERE name = '{name}'), ?, ?)", r[1:3]).fetchone()[0]) for r in held]).reshape(-1, 8, 10)
    p -= p.mean(1, keepdims=True)
    r2 = 1 - ((truth - p) ** 2).sum((0, 1)) / (truth ** 2).sum((0, 1))
    fit = json.loads(db.execute("SELECT model_info(model) FROM pupils WHERE name = ?", (name,)).fetchone()[0])["fit"]
    cv = np.array([f["r2_cv"] for f in fit])
    print("#", name, "R2 on test", np.round(r2, 2), "cross-validated", np.round(cv, 2))
    ok(r2.mean() > 0.6, f"a small {name} student explains new prompts (R2 {r2.mean():.2f})")
    if name == "kept":
        ok(abs(r2.mean() - cv.mean()) < 0.06, f"leaving out prompts foretells new ones ({cv.mean():.3f} against {r2.mean():.3f})")
eq(db.execute("SELECT count(*) FROM (SELECT DISTINCT predict_rewards(model, 'a', 'b') FROM pupils)").fetchone(), (2,), "two models in one statement are told apart")
done()
