"""The bulk jobs against an independent numpy implementation of their specifications.

Written from the rules in interactions.h, votes.h, evaluate.h and vt_*.c alone: Philox, numpy's published draws, canonical
utilities and every metric are done again here.  Data: a small table full of traps (ragged prompts, exact ties, missing
scores, ids in no order, prompts in no split, missing embeddings), and alpaca8 where it is present.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

PROMPT, SHOWN, CHOICE, LENGTH = 3, 4, 5, 6


# ---- the reference -------------------------------------------------------------------------------------------------

def philox(seed, purpose, ident, index, attempt):
    """Philox4x32-10 of counter (id low, id high, index, attempt) and key (seed, purpose), in Python's integers."""
    ident %= 1 << 64
    a, b, c, d, k0, k1 = ident & 0xFFFFFFFF, ident >> 32, index, attempt, seed, purpose
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (q >> 32) ^ b ^ k0, q & 0xFFFFFFFF, (p >> 32) ^ d ^ k1, p & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def below(low, high, n):
    return (high << 32 | low) * n >> 64


def gumbel(low, high):
    u = (((high << 32 | low) & (1 << 52) - 1) + .5) / 2.0**52
    return -np.log(-np.log(u))


def utility(weights, features):
    """[users][responses]: products and sums rounded one after the other."""
    out = weights[:, 0, None] * features[None, :, 0]
    for b in range(1, features.shape[1]):
        out = out + weights[:, b, None] * features[None, :, b]
    return out


class Data:
    """What is in the tables: prompts {id: (split, embedding)}, responses [(id, prompt, position, model, raw, embedding)]."""

    def __init__(self, names, mean, sd, prompts, responses):
        self.names, self.mean, self.sd, self.prompts, self.responses = names, np.array(mean), np.array(sd), prompts, responses

    def load(self, db):
        columns = ", ".join(self.names)
        db.execute("BEGIN")
        db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
        db.execute(f"CREATE VIRTUAL TABLE responses USING persona_responses({columns})")
        blob = lambda x, kind: None if x is None else np.asarray(x, kind).tobytes()
        db.executemany("INSERT INTO prompts(prompt_id, split, embedding) VALUES(?,?,?)", [(i, s, blob(e, "<f4")) for i, (s, e) in self.prompts.items()])
        db.executemany(f"INSERT INTO responses(response_id, prompt_id, position, model, embedding, {columns}) VALUES(?,?,?,?,?{',?' * len(self.names)})",
                       [(r, p, k, m, blob(e, "<f4"), *raw) for r, p, k, m, raw, e in self.responses])
        db.executemany("UPDATE reward_models SET mean = ?, sd = ? WHERE name = ?", zip(self.mean.tolist(), self.sd.tolist(), self.names))
        db.execute("COMMIT")

    def view(self, split=None, raw=False):
        """[(prompt_id, response ids, rewards, models, embeddings)] by prompt_id, of the fully scored responses."""
        kept = {}
        for r in sorted(self.responses, key=lambda r: (r[1], r[2])):
            if None not in r[4] and (split is None or self.prompts.get(r[1], (None,))[0] == split):
                kept.setdefault(r[1], []).append(r)
        out = []
        for p, rows in sorted(kept.items()):
            scores = np.array([r[4] for r in rows], float)
            out.append((p, [r[0] for r in rows], scores if raw else (scores - self.mean) / self.sd, [r[3] for r in rows], [r[5] for r in rows]))
        return out


def ref_votes(view, weights):
    out = []
    for p, ids, rewards, _, _ in view:
        u = utility(weights, rewards)
        best, worst = (np.bincount(f(u, axis=1), minlength=len(ids)) for f in (np.argmax, np.argmin))
        out += [(p, r, int(b), int(w)) for r, b, w in zip(ids, best, worst)]
    return out


def numpy_draws(view, users, per_user, mode, seed, least):
    """What the published generators draw: {user row: [(prompt index, first, second)]}."""
    rs = np.random.RandomState(seed)
    if mode == "best_worst":
        return [[(int(p), 0, 0) for p in row] for row in rs.randint(0, len(view), size=(users, per_user))]
    out = []
    for _ in range(users):
        rows = []
        for _ in range(rs.randint(least, per_user + 1)):
            p = int(rs.randint(0, len(view)))
            m = len(view[p][1])
            if mode == "rating":
                rows.append((p, int(rs.randint(1, m)) - 1, 0))
            else:
                first, second = rs.choice(np.arange(1, m), size=2, replace=False)
                rows.append((p, int(first) - 1, int(second) - 1))
        out.append(rows)
    return out


def philox_draws(view, uid, per_user, mode, seed, least, replacement, neighbours):
    rows, order = [], list(range(len(view)))
    length = least + below(*philox(seed, LENGTH, uid, 0, 0)[:2], per_user - least + 1) if least < per_user else per_user
    for t in range(length):
        if neighbours is not None:
            anchor = below(*philox(seed, PROMPT, uid, 0, 0)[:2], len(view))
            p = neighbours(anchor)[t]
        elif replacement:
            p = below(*philox(seed, PROMPT, uid, t, 0)[:2], len(view))
        else:
            j = t + below(*philox(seed, PROMPT, uid, t, 0)[:2], len(view) - t)
            order[t], order[j] = order[j], order[t]
            p = order[t]
        w, m = philox(seed, SHOWN, uid, t, 0), len(view[p][1])
        first = below(w[0], w[1], m)
        others = [r for r in range(m) if r != first]
        rows.append((p, first, others[below(w[2], w[3], m - 1)] if mode == "random_pair" else 0))
    return rows


def ref_interactions(view, users, per_user, mode, seed, least=None, replacement=True, similar=None, noise=0.0, draws="philox"):
    """users: [(user_id, weights or None)].  similar: {prompt_id: embedding}."""
    least, need = least or per_user, 1 if mode == "rating" else 2
    need += draws == "numpy" and mode != "best_worst"
    view = [v for v in view if len(v[1]) >= need and (similar is None or similar.get(v[0]) is not None)]
    users = sorted(users)
    neighbours = None
    if similar is not None:
        e = np.array([similar[v[0]] for v in view], np.float32).astype(float)
        e /= np.linalg.norm(e, axis=1)[:, None]
        cosine = e @ e.T
        neighbours = lambda a: [a] + sorted((i for i in range(len(view)) if i != a), key=lambda i: (-cosine[a, i], i))
    drawn = numpy_draws(view, len(users), per_user, mode, seed, least) if draws == "numpy" else None
    out = []
    for n, (uid, weights) in enumerate(users):
        if weights is None:
            continue
        rows = drawn[n] if drawn else philox_draws(view, uid, per_user, mode, seed, least, replacement, neighbours)
        for t, (p, first, second) in enumerate(rows):
            pid, ids, rewards, _, _ = view[p]
            u = utility(weights[None], rewards)[0]
            g = np.zeros((len(ids), 2))
            for r in range(len(ids) if noise else 0):
                w = philox(seed, CHOICE, uid, t, r)
                g[r] = gumbel(*w[:2]), gumbel(*w[2:])
            liked, disliked = u + noise * g[:, 0], noise * g[:, 1] - u
            row = (uid, t + 1, pid)
            if mode == "rating":
                rating = u[first] + noise * (g[first, 0] - np.euler_gamma) if noise else u[first]
                out.append(row + (None, None, None, None, ids[first], rating, "one"))
                continue
            if mode == "best_worst":
                best = int(np.argmax(liked))
                if noise:
                    disliked[best] = -np.inf
                    worst = int(np.argmax(disliked))
                else:
                    worst = int(np.argmin(u))
                shown = "all"
            else:
                a, b = liked[first], liked[second]
                wins = a > b if draws == "numpy" else a > b or (a == b and first < second)
                best, worst, shown = (first, second, "pair") if wins else (second, first, "pair")
            out.append(row + (ids[best], ids[worst], u[best], u[worst], None, None, shown))
    return out


def ref_choices(view, history):
    by_prompt = {v[0]: v for v in view}
    out = []
    for uid, turn, pid, chosen, rejected, _, _, response, _, shown in history:
        _, ids, rewards, _, _ = by_prompt[pid]
        for i, r in enumerate(ids):
            if shown == "all" or (shown == "pair" and r in (chosen, rejected)) or (shown == "one" and r == response):
                said = None if chosen == rejected else "best" if r == chosen else "worst" if r == rejected else None
                out.append((uid, turn, r, rewards[i].astype("<f8").tobytes(), said))
    return out


def ref_evaluate(view, truth, estimate, features=None, reference=None):
    """[prompts, top1, pair, all pairs, reward, best, random, regret, win rate] of one user, plainly, prompt by prompt."""
    top1, pair, every, reward, best_reward, random, wins = [], [], [], [], [], [], []
    for _, ids, rewards, models, _ in view:
        keep = [i for i, r in enumerate(ids) if features is None or features.get(r) is not None]
        if not keep:
            continue
        x = rewards[keep] if features is None else np.array([features[ids[i]] for i in keep], float)
        t, e = utility(truth[None], rewards[keep])[0], utility(estimate[None], x)[0]
        best, worst, pick = int(np.argmax(t)), int(np.argmin(t)), int(np.argmax(e))
        top1.append(pick == best)
        points = [1 if e[i] > e[j] else .5 if e[i] == e[j] else 0 for i in range(len(t)) for j in range(len(t)) if t[i] > t[j]]
        if points:
            pair.append(e[best] > e[worst])
            every.append(np.mean(points))
        reward.append(t[pick])
        best_reward.append(t[best])
        random.append(t.mean())
        rivals = [k for k, i in enumerate(keep) if reference is not None and models[i] == reference]
        if rivals:
            wins.append(t[pick] > t[rivals[0]])
    mean = lambda x: float(np.mean(x)) if x else None
    return [len(top1)] + [mean(x) for x in (top1, pair, every, reward, best_reward, random)] + [
        mean(best_reward) - mean(reward) if reward else None, mean(wins)]


# ---- comparing -----------------------------------------------------------------------------------------------------

def population(db, name, users):
    db.execute(f"DROP TABLE IF EXISTS {name}")
    db.execute(f"CREATE TABLE {name}(user_id, weights)")
    db.executemany(f"INSERT INTO {name} VALUES(?,?)", [(u, None if w is None else w.astype("<f8").tobytes()) for u, w in users])


def same_rows(got, want, name, rel=1e-12):
    """Equal, reals to rel."""
    if len(got) != len(want):
        return ok(False, name, f"{len(got)} rows, want {len(want)}; first {got[:2]} want {want[:2]}")
    for i, (g, w) in enumerate(zip(got, want)):
        for a, b in zip(g, w):
            if a != b and not (isinstance(b, float) and isinstance(a, float) and abs(a - b) <= rel * max(1, abs(b))):
                return ok(False, name, f"row {i}: got  {g}\nwant {w}")
    return ok(True, name)


def interactions(db, split, per_user, mode, seed, **options):
    return db.execute("SELECT * FROM persona_interactions('users', ?, ?, ?, ?, ?)", (split, per_user, mode, seed, json.dumps(options))).fetchall()


def compare(db, data, users, label, splits, model, quick):
    weights = np.array([w for _, w in users if w is not None])
    population(db, "users", users)
    for raw in (False, True):
        option = json.dumps({"scores": "raw" if raw else "normalized"})
        for split in splits:
            got = db.execute("SELECT * FROM persona_votes('users', ?, ?)", (split, option)).fetchall()
            eq(got, ref_votes(data.view(split, raw), weights), f"{label}: votes, split {split}, {option}: exactly numpy's")
    some, split = sorted(users)[:quick], splits[-1]
    population(db, "users", some)
    view, raw_view = data.view(split), data.view(split, True)
    for mode in ("best_worst", "random_pair", "rating"):
        name = f"{label}: interactions, {mode}"
        for noise in (0, .3):
            got = interactions(db, split, 7, mode, 9, noise=noise)
            same_rows(got, ref_interactions(view, some, 7, mode, 9, noise=noise), f"{name}, philox, noise {noise}")
            db.execute("DROP TABLE IF EXISTS history")
            db.execute("CREATE TABLE history(user_id, turn, prompt_id, chosen_id, rejected_id, chosen_reward, rejected_reward, response_id, rating, shown)")
            db.executemany(f"INSERT INTO history VALUES({','.join('?' * 10)})", got)
            same_rows(db.execute("SELECT * FROM persona_choices('history')").fetchall(), ref_choices(view, got), f"{label}: choices of {mode}, noise {noise}")
        got = interactions(db, split, 6, mode, 2**32 - 1, replacement=False, min_per_user=2)
        same_rows(got, ref_interactions(view, some, 6, mode, 2**32 - 1, 2, False), f"{name}, without replacement, 2 to 6 turns")
        got = interactions(db, split, 5, mode, 4, similar=True)
        same_rows(got, ref_interactions(view, some, 5, mode, 4, similar={p: e for p, (_, e) in data.prompts.items()}), f"{name}, similar prompts")
        least = 5 if mode == "best_worst" else 2
        extra = {} if mode == "best_worst" else {"min_per_user": 2}
        got = interactions(db, split, 5, mode, 42, draws="numpy", scores="raw", **extra)
        same_rows(got, ref_interactions(raw_view, some, 5, mode, 42, least, draws="numpy"), f"{name}, numpy draws, raw scores")
    # Evaluation: estimates are the truth with one weight gone, so that ties and misses both occur.
    rs = np.random.RandomState(8)
    truths = [(u, w) for u, w in some if w is not None]
    dims = {"rewards": weights.shape[1], "embedding": len(next(r[5] for r in data.responses if r[5] is not None)), "table": 3}
    table = {r[0]: rs.randint(-1, 2, 3).astype(float) for r in data.responses[::2]}
    db.execute("DROP TABLE IF EXISTS own")
    db.execute("CREATE TABLE own(response_id, features)")
    db.executemany("INSERT INTO own VALUES(?,?)", [(r, x.astype("<f8").tobytes()) for r, x in table.items()])
    embedded = {r[0]: None if r[5] is None else np.asarray(r[5], np.float32).astype(float) for r in data.responses}
    for kind, option, features in (("rewards", {}, None), ("embedding", {"features": "embedding"}, embedded), ("table", {"features": "own"}, table)):
        estimates = [(u, np.where(rs.random_sample(dims[kind]) < .4, 0, w if kind == "rewards" else rs.randint(-1, 2, dims[kind]).astype(float))) for u, w in truths[::2]]
        population(db, "estimates", estimates)
        known = dict(estimates)
        for reference in (None, model):
            options = json.dumps({**option, **({"reference": reference} if reference else {})})
            for sp in splits[-2:]:
                got = db.execute("SELECT * FROM persona_evaluate('users', 'estimates', ?, ?)", (sp, options)).fetchall()
                have = [r for r in got if r[0] in known]
                want = [(u, *ref_evaluate(data.view(sp), w, known[u], features, reference)) for u, w in truths if u in known]
                same_rows(have, want, f"{label}: evaluation by {kind}, reference {reference}, split {sp}", 1e-9)
                eq(sorted(r[0] for r in got if r[0] not in known), sorted(u for u, _ in truths if u not in known), f"{label}: users without estimate are there")
                ok(all(all(x is None for x in r[2:]) for r in got if r[0] not in known), f"{label}: and have NULLs")


# ---- the data ------------------------------------------------------------------------------------------------------

def traps():
    rs = np.random.RandomState(3)
    prompts, responses, ids = {}, [], list(rs.permutation(4000))
    for n, p in enumerate(rs.permutation(np.arange(-40, 50))):
        p = int(p)
        embedding = None if n % 7 == 0 else rs.standard_normal(4).astype(np.float32)
        if n % 9:  # every ninth prompt has responses but no row in prompts
            prompts[p] = ([None, "train", "train", "test"][n % 4], embedding)
        base = rs.randint(-2, 3, 3)
        for k in range(rs.randint(1, 11)):
            raw = [None if rs.random_sample() < .03 else float(x) / 2 for x in base + rs.randint(0, 2, 3)]
            responses.append((int(ids.pop()), p, int(3 * k + n % 3 + 1), [None, "m1", "m2", "m3"][k % 4], raw,
                              None if rs.random_sample() < .1 else rs.randint(-2, 3, 5).astype(np.float32)))
    rs.shuffle(responses)
    return Data(["a", "b", "c"], [.1, -.3, 2], [.7, 1.3, .1], prompts, responses)


def trap_users():
    rs = np.random.RandomState(4)
    w = [row for row in rs.dirichlet([.2] * 3, 120)] + list(np.eye(3)) + [np.zeros(3), -np.ones(3) / 3, np.array([.1, .1, .1]), np.array([1e300, 0, 0]), np.array([1e-300, 0, 1e-310])]
    users = [(int(i), x) for i, x in zip(rs.permutation(np.arange(-500, 500))[:len(w)], w)]
    users += [(2**62, w[0]), (-2**63, w[1]), (2**33 + 5, w[2]), (600, None), (-600, None)]
    rs.shuffle(users)
    return users


def real(folder):
    models = json.load(open(os.path.join(folder, "reward_models.json")))
    names = list(models)
    prompts, responses = {}, []
    for split in ("train", "test"):
        vectors = {v["prompt_id"]: v for v in map(json.loads, open(os.path.join(folder, f"embeddings.{split}.jsonl")))}
        for line in open(os.path.join(folder, f"{split}.jsonl")):
            row = json.loads(line)
            p = row["prompt_id"]
            prompts[p] = (split, np.array(vectors[p]["prompt_embedding"], np.float32))
            for k in range(1, 9):
                responses.append((8 * p + k, p, k, row[f"response_{k}_model"], [row[f"response_{k}_{m}"] for m in names],
                                  np.array(vectors[p][f"response_{k}_embedding"], np.float32)))
    return Data(names, [models[m]["mean"] for m in names], [models[m]["sd"] for m in names], prompts, responses)


db = connect()
data = traps()
data.load(db)
for threads in (1, 3):
    db.execute("SELECT persona_config('threads', ?)", (threads,)).fetchall()
    compare(db, data, trap_users(), f"traps, {threads} thread{'s' if threads > 1 else ''}", (None, "test", "train"), "m2", 24)

folder = alpaca8()
if folder is None:
    skip("alpaca8: votes, interactions, choices and evaluation equal numpy's", "shared/data/alpaca8 is not there")
else:
    db = connect()
    data = real(folder)
    data.load(db)
    w = np.random.RandomState(0).dirichlet([.05] * 10, 1000)
    compare(db, data, list(enumerate(w)), "alpaca8", ("test", None, "train"), data.responses[0][3], 8)
done()
