"""The queries of sql/ on one data set, against numpy: what test_analyses.py and test_analyses_alpaca8.py run.

Every file is run statement by statement with no parameter bound; the tables that it prints come back as lists of rows.
"""
import json
import math
import os
import re
import sqlite3

import numpy as np
from scipy.optimize import linprog
from scipy.stats import entropy, percentileofscore, wasserstein_distance

from bulkdata import utilities
from tap import ROOT, close, connect, eq, load, ok

ALPHAS = [0.01, 0.05, 0.1, 0.5, 1.0, 10.0]
BINS = [("labelled 2 or less", (2, 3), (1, 2)), ("labelled 3", (4, 4), (3, 3)), ("labelled 4", (5, 5), (4, 4)),
        ("labelled 5", (6, 6), (5, 5)), ("labelled 6 or more", (7, 99), (6, 99))]


def demo(table, settings):
    """The demo data, and a query's table of settings as a user makes it beforehand."""
    db = connect()
    load(db)
    db.execute(f"CREATE TEMP TABLE {table}(name PRIMARY KEY, value)")
    db.executemany(f"INSERT INTO {table} VALUES (?, ?)", settings.items())
    return db


def statements(name):
    """The statements of a file, one after the other, as any client would send them."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        text = f.read()
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement) and re.sub(r"--[^\n]*", "", statement).strip():
            yield statement
            statement = ""
    assert not re.sub(r"--[^\n]*", "", statement).strip(), statement


def run(db, name, after=(), **parameters):
    """Execute a file; the results of its SELECTs as lists of dicts.

    after: {table: script}, what to do to a table of the file once it is there.
    """
    results, pending = [], dict(after)
    for statement in statements(name):
        names = set(re.findall(r":([a-z_]+)\b", re.sub(r"--[^\n]*|'[^']*'", "", statement)))
        cursor = db.execute(statement, {n: parameters.get(n) for n in names})
        if cursor.description:
            columns = [c[0] for c in cursor.description]
            results.append([dict(zip(columns, row)) for row in cursor])
        made = re.search(r"CREATE TEMP TABLE (\w+)", statement)
        if made and made[1] in pending:
            db.executescript(pending.pop(made[1]))
    assert not pending, pending
    return results


def near(got, want, digits, name):
    """Lists of numbers (None where there is none), equal up to rounding to so many digits."""
    good = len(got) == len(want) and all(
        (g is None) == (w is None) and (g is None or abs(g - w) <= 0.5000001 * 10.0 ** -digits) for g, w in zip(got, want))
    return ok(good, name, f"got  {got}\nwant {want}")


def column(rows, *names):
    return [r[n] for r in rows for n in names]


class Side:
    """One split: prompts in order of their ids, with the rewards of their responses."""

    def __init__(self, db, split):
        names = [n for n, in db.execute("SELECT name FROM reward_models ORDER BY position")]
        scale = np.array(db.execute("SELECT mean, sd FROM reward_models ORDER BY position").fetchall())
        self.prompts, self.ids, self.models, self.texts, self.Z = [], [], [], [], []
        for prompt_id, text in db.execute("SELECT prompt_id, text FROM prompts WHERE split = ? ORDER BY prompt_id", (split,)):
            rows = db.execute(f"SELECT response_id, model, text, {', '.join(names)} FROM responses WHERE prompt_id = ? ORDER BY position",
                              (prompt_id,)).fetchall()
            self.prompts.append(text)
            self.ids.append([r[0] for r in rows])
            self.models.append([r[1] for r in rows])
            self.texts.append([r[2] for r in rows])
            self.Z.append((np.array([r[3:] for r in rows]) - scale[:, 0]) / scale[:, 1])

    def utilities(self, W):
        return [utilities(W, z) for z in self.Z]

    def best(self, W):
        """[prompts][users]: the index of each user's favourite."""
        return np.array([u.argmax(1) for u in self.utilities(W)])

    def votes(self, W):
        return [np.bincount(b, minlength=len(i)) for b, i in zip(self.best(W), self.ids)]


def users(alpha):
    return np.random.RandomState(0).dirichlet([alpha] * 10, size=1000)


def figures(votes):
    """Top-vote shares and numbers of winners."""
    return np.array([v.max() / v.sum() for v in votes]), np.array([(v > 0).sum() for v in votes])


def wins(votes, models):
    total = {}
    for v, m in zip(votes, models):
        for votes_, model in zip(v, m):
            total[model] = total.get(model, 0) + votes_
    return {m: 100 * t / sum(total.values()) for m, t in total.items()}


def check_published(db):
    run(db, "sql/published.sql")
    value = lambda q, s, i: db.execute("SELECT value FROM published WHERE query = ? AND series = ? AND item = ?", (q, s, i)).fetchone()[0]
    eq(db.execute("SELECT count(*), count(DISTINCT query) FROM published").fetchone(), (458, 10), "published: every figure once")
    eq([round(sum(value("winners", s, b) for b, _, _ in BINS), 3) for s in ("alpha 0.01", "alpha 0.05", "alpha 0.1", "persona prompting")],
       [.998, .998, .998, .981], "published: the bins' sums are those printed")
    eq(db.execute("SELECT sum(value) FROM published WHERE query = 'sources'").fetchone(), (10402.0,), "published: 10,402 prompts")
    eq(db.execute("""SELECT count(*) FROM published a JOIN published b ON a.query = b.query AND a.item = b.item WHERE a.query = 'opinions'
                     AND a.series = 'PersonalLLM' AND b.series IN ('ada', 'j1-jumbo', 'j1-grande-v2', 'text-davinci-003')
                     AND a.item <> 'overall' AND a.value < b.value""").fetchone(), (1,), "published: simulated users are best in 59 of 60 groups")
    # the queries that must be one SELECT carry their own copies
    rows = run(db, "sql/top_share.sql")[0]
    eq(column(rows, "published"), [value("top_share", "alpha 0.05", f"{q} %") for q in (50, 75, 95)], "top_share.sql shows the published figures")
    rows = run(db, "sql/entropy.sql")[0]
    eq(column(rows, "published"), [value("prompt_entropy", "mean entropy", r["keyword"]) for r in rows], "entropy.sql shows the published figures")


def check_tables(db, train, test):
    here = {}
    for source, split in db.execute("SELECT source, split FROM prompts"):
        here.setdefault(source, [0, 0])[split == "test"] += 1
    rows = run(db, "sql/sources.sql")[0]
    eq({r["source"]: [r["train"], r["test"]] for r in rows if r["prompts"]}, here, "sources: prompts of each source")
    eq(len(rows), len(here) + 15, "sources: and those of the paper")
    raw = db.execute("SELECT raw_rewards FROM responses JOIN prompts USING (prompt_id) WHERE split = 'train'")
    raw = np.array([np.frombuffer(r) for r, in raw])
    rows = run(db, "sql/reward_models.sql")[0]
    near(column(rows, "train_mean"), raw.mean(0), 4, "reward_models: means")
    near(column(rows, "train_sd"), raw.std(0), 4, "reward_models: standard deviations")
    near(column(rows, "smallest", "largest"), np.c_[raw.min(0), raw.max(0)].ravel(), 3, "reward_models: ranges")


def check_diversity(db, test):
    shares, winners, bins, rates = run(db, "sql/diversity_sweep.sql")
    votes = {a: test.votes(users(a)) for a in ALPHAS}
    for a, share, count in zip(ALPHAS, shares, winners):
        top, n = figures(votes[a])
        near(column([share], "at_most_50", "at_most_75", "at_most_95"), [percentileofscore(top, q) for q in (.5, .75, .95)], 2, f"top shares, alpha {a}")
        near([count[f"winners_{k}"] for k in range(1, 9)] + [count["at_least_5"]], [(n == k).mean() for k in range(1, 9)] + [(n >= 5).mean()], 3, f"winners, alpha {a}")
        for (label, coded, meant), row in zip(BINS, [r for r in bins if r["alpha"] == a]):
            near([row["as_coded"], row["as_labelled"]], [((n >= lo) & (n <= hi)).mean() for lo, hi in (coded, meant)], 3, f"bin {row['bin']}, alpha {a}")
    want = {a: wins(votes[a], test.models) for a in ALPHAS}
    for row in rates:
        near([row["alpha_" + k] for k in ("001", "005", "01", "05", "1", "10")], [want[a][row["model"]] for a in ALPHAS], 1, f"wins of {row['model']}")
    eq(len(rates), len(want[0.05]), "every model has a win rate")
    eq([r["published_50"] for r in shares], [49.55, 42.6, 34.0, None, None, None], "the published top shares stand beside")
    eq([r["published"] for r in bins[5:10]], [.053, .167, .277, .287, .214], "the published bins stand beside")


def check_overlap(db, test):
    for row in run(db, "sql/overlap.sql")[0]:
        best = test.best(users(row["alpha"])).T
        overlap = sum((best[:100] == k).astype(float) @ (best[100:] == k).T.astype(float) for k in range(best.max() + 1)) / best.shape[1]
        mean, most = overlap.mean(1), overlap.max(1)
        name = f"overlap, alpha {row['alpha']}"
        close(db.execute("SELECT mean_overlap, max_overlap FROM overlap WHERE alpha = ? ORDER BY user_id", (row["alpha"],)).fetchall(),
              np.c_[mean, most], 1e-12, name + ": every user's")
        near(column([row], "mean_overlap", "max_overlap"), [mean.mean(), most.mean()], 3, name + ": means")
        eq(column([row], "mean_below_35_percent", "max_below_95_percent"), [(mean < .35).sum(), (most < .95).sum()], name + ": thresholds")


def check_entropy(db, train):
    H = np.array([entropy(v) for v in train.votes(users(0.05))])
    summary, bars, ends, words = run(db, "sql/prompt_entropy.sql")
    near(column(summary, "computed"), [len(H), H.mean(), H.min(), H.max()], 4, "prompt entropy: mean and range")
    eq(column(bars, "prompts"), [int(n) for n in np.bincount((H * 5).astype(int)) if n], "prompt entropy: histogram")
    order = np.argsort(H)
    near(column(ends, "entropy"), [H[i] for i in list(order[:5]) + list(order[:-6:-1])], 2, "prompt entropy: both ends")
    for row in words:
        word = row["keyword"]
        if row["rule"] == "all":
            of = H
        elif row["rule"] == "anywhere":
            of = H[[word in t.lower() for t in train.prompts]]
        else:
            of = H[[t.split(" ")[0].lower() == word for t in train.prompts]]
        eq(row["prompts"], len(of), f"keyword {word}: prompts")
        near(column([row], "mean_entropy", "standard_error", "as_coded"),
             [of.mean() if len(of) else None, of.std(ddof=1) / math.sqrt(len(of)) if len(of) > 1 else None, of.std() / len(of) if len(of) else None],
             4, f"keyword {word}: mean and standard errors")
    near([r["mean_entropy"] for r in run(db, "sql/entropy.sql")[0] if r["keyword"] == "(all)"], [H.mean()], 4, "entropy.sql agrees")


def newton(Z, y, penalty, n):
    """Logistic regressions of many users at once: Z [users][rows][columns], penalty [columns]."""
    w, A, sign = np.zeros((len(Z), Z.shape[2])), Z.transpose(0, 2, 1), 2 * y - 1
    value = lambda w: np.logaddexp(0, -sign * (Z @ w[..., None])[..., 0]).sum(1) + 0.5 * (penalty * w * w).sum(1)
    for _ in range(n):
        p = 1 / (1 + np.exp(-np.clip((Z @ w[..., None])[..., 0], -500, 500)))
        g = (A @ (y - p)[..., None])[..., 0] - penalty * w
        H = A @ (Z * (p * (1 - p))[..., None]) + np.diag(penalty)
        step = np.linalg.solve(H + 1e-12 * np.eye(Z.shape[2]), g[..., None])[..., 0]
        at, t = value(w), np.ones(len(Z))
        for _ in range(30):
            worse = value(w + t[:, None] * step) > at + 1e-12 * (1 + at)
            if not worse.any():
                break
            t[worse] /= 2
        w += t[:, None] * step
    return w


def separable(Z, y):
    A = Z * (2 * y - 1)[:, None]
    return linprog(-A.sum(0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=[(-1, 1)] * A.shape[1], method="highs").fun < -1e-7


def check_coefficients(db, test, analysis, features):
    """features: {response_id: [7]}"""
    boxes, accuracy = run(db, "sql/coefficients.sql")
    W = users(0.05)
    order = np.array([np.argsort(-u, axis=1, kind="stable") for u in test.utilities(W)])  # [prompts][users][rank]
    X = np.array([[features[i] for i in ids] for ids in test.ids])
    prompts = np.arange(len(X))
    train, held = prompts[prompts % 10 != 0], prompts[prompts % 10 == 0]
    names = [f for f, in db.execute("SELECT feature FROM feature_name ORDER BY position")]
    for fit, against in (("as described", -1), ("as coded", 3)):
        rows = [r for r in boxes if r["fit"] == fit]
        top, other = order[:, :, 0].T, order[:, :, against].T  # [users][prompts]
        side = lambda which: np.concatenate([X[which, top[:, which]], X[which, other[:, which]]], axis=1)
        raw, y = side(train), np.repeat([1, 0], len(train))
        mean, sd = raw.mean(1, keepdims=True), raw.std(1, keepdims=True)
        Z = (raw - mean) / np.where(sd > 0, sd, 1)
        T = (side(held) - mean) / np.where(sd > 0, sd, 1)
        if against == -1:
            Z, T = [np.concatenate([z, np.ones(z.shape[:2] + (1,))], axis=2) for z in (Z, T)]
            keep, w = np.arange(1000), newton(Z, y, np.r_[np.ones(7), 0], 15)
        else:
            seen, kept = {}, []
            for u in range(1000):
                key = top[u].tobytes() + other[u].tobytes()
                if key not in seen:  # a hundred pairs are never separable here: the figures below would differ
                    seen[key] = len(y) < 100 and separable(Z[u], y)
                if not seen[key]:
                    kept.append(u)
            keep = np.array(kept)
            w = newton(Z[keep], y, np.zeros(7), 40)
            for i, u in enumerate(keep):  # features that those before them determine get 0
                rank = [0] + [np.linalg.matrix_rank(Z[u][:, :k]) for k in range(1, 8)]
                if rank[7] < 7:
                    of = [k for k in range(7) if rank[k + 1] > rank[k]]
                    w[i] = 0
                    w[i, of] = newton(Z[u][None, :, of], y, np.zeros(len(of)), 40)[0]
        eq({r["users"] for r in rows}, {len(keep)}, f"{analysis}, {fit}: users with coefficients")
        eq([r["feature"] for r in rows], names, f"{analysis}, {fit}: features")
        for k, row in enumerate(rows):
            c = w[:, k]
            q1, median, q3 = np.percentile(c, [25, 50, 75])
            inside = c[(c >= q1 - 1.5 * (q3 - q1)) & (c <= q3 + 1.5 * (q3 - q1))]
            near(column([row], "low", "q1", "median", "q3", "high", "outliers"), [inside.min(), q1, median, q3, inside.max(), len(c) - len(inside)], 2,
                 f"{analysis}, {fit}: box of {row['feature']}")
        right = ((np.einsum("urk,uk->ur", T[keep], w) > 0) == np.repeat([1, 0], len(held))).mean(1)
        row = [r for r in accuracy if r["fit"] == fit][0]
        near(column([row], "held_out_accuracy"), [right.mean()], 3, f"{analysis}, {fit}: held-out accuracy")
        near(column([row], "smallest", "largest"), [right.min(), right.max()], 2, f"{analysis}, {fit}: its range")
        eq(row["users"], len(keep), f"{analysis}, {fit}: users judged")
    eq([f for f, in db.execute("SELECT feature FROM coefficients")], names, f"{analysis}: temp.coefficients is there to be drawn")


def check_style(db, test, semantics):
    features = {r: np.frombuffer(b) for r, b in db.execute("SELECT response_id, text_features(text) FROM responses")}
    table = run(db, "sql/syntax.sql")[0]
    for row in table:
        of = np.array([features[i] for ids, models in zip(test.ids, test.models) for i, m in zip(ids, models) if m == row["model"]])
        near(list(row.values())[1:], [len(of)] + list(of.mean(0)), 1, f"syntax of {row['model']}")
    check_coefficients(db, test, "syntax", features)
    if not semantics:
        return
    run(db, "examples/semantic_scores.sql")
    features = {r[0]: np.array(r[1:]) for r in db.execute("SELECT * FROM semantic_scores")}
    table = run(db, "sql/semantics.sql")[0]
    for row in table:
        of = np.array([features[i] for ids, models in zip(test.ids, test.models) for i, m in zip(ids, models) if m == row["model"]])
        near(list(row.values())[1:], [len(of)] + list(of.mean(0)), 3, f"semantics of {row['model']}")
    check_coefficients(db, test, "semantics", features)


def check_personas(db, test):
    run(db, "examples/persona_scores.sql")
    score = {}
    for p, r, s in db.execute("SELECT * FROM persona_scores"):
        score.setdefault(p, {})[r] = s
    persona = [np.bincount([np.argmax([of[i] for i in ids]) for of in score.values()], minlength=len(ids)) for ids in test.ids]
    rows = {r["statistic"]: r for r in run(db, "sql/persona_prompting.sql")[0]}
    for name, votes in (("personas", persona), ("reward_models", test.votes(users(0.05)))):
        top, n = figures(votes)
        near([rows[f"top share at most {q} %, % of prompts"][name] for q in (50, 75, 95)], [percentileofscore(top, q / 100) for q in (50, 75, 95)], 3, f"{name}: top shares")
        near([rows[f"prompts with {k} winners"][name] for k in range(1, 9)], [(n == k).mean() for k in range(1, 9)], 3, f"{name}: winners")
        near([rows[f'the published bin "{b}"'][name] for b, _, _ in BINS], [((n >= lo) & (n <= hi)).mean() for _, (lo, hi), _ in BINS], 3, f"{name}: bins")
        for model, percent in wins(votes, test.models).items():
            near([rows[f"wins of {model}, %"][name]], [percent], 3, f"{name}: wins of {model}")
    eq([rows[f"top share at most {q} %, % of prompts"]["published_personas"] for q in (50, 75, 95)], [14.15, 55.75, 85.15], "the published personas stand beside")


def check_opinions(db):
    counts = run(db, "sql/opinions_import.sql")[0][0]
    with open(os.path.join(ROOT, "examples", "opinions.jsonl"), encoding="utf-8") as f:
        questions = [json.loads(line) for line in f]
    eq(tuple(counts.values()), (len(questions), sum(len(q["options"]) for q in questions), 5), "opinions: what was imported")
    W = users(0.05)
    S = [np.array([np.frombuffer(db.execute("SELECT style_rewards(?, ?)", (q["question"], o)).fetchone()[0]) for o in q["options"]]) for q in questions]
    pooled = np.concatenate(S)
    distances = {}
    for q, s in zip(questions, S):
        o = np.array(q["ordinals"], float)
        place = ((o - o.min()) / (o.max() - o.min())).round(3)
        mean = utilities(W, place[s.argmax(0)][None, :])[:, 0]
        rank = np.abs(place[None, :] - mean[:, None]).argmin(1)
        reward = utilities(W, (s - pooled.mean(0)) / np.where(pooled.std(0) > 0, pooled.std(0), 1)).argmax(1)
        for group, share in q["people"].items():
            if share is None:
                continue
            votes = {"rank": np.bincount(rank, minlength=len(o)), "reward": np.bincount(reward, minlength=len(o)), "people": q["people"]["overall"]}
            for name, v in votes.items():
                distances.setdefault((group, name), []).append((wasserstein_distance(o, o, share, v), len(o) - 1, o.max() - o.min()))
    rows = run(db, "sql/opinions.sql")[0]
    eq({r["people"] for r in rows}, {g for g, _ in distances}, "opinions: groups")
    for row in rows:
        of = {name: np.array(distances[row["people"], name]) for name in ("rank", "reward", "people")}
        want = [1 - (of[n][:, 0] / of[n][:, k]).mean() for n, k in (("rank", 1), ("rank", 2), ("reward", 1), ("reward", 2), ("people", 2))]
        if row["people"] == "overall":
            want[4] = None
        near(column([row], "as_published", "rank_true_divisor", "reward_coded_divisor", "honest", "people_overall"), want, 3, f"opinions: {row['people']}")
        eq(row["questions"], len(of["rank"]), f"opinions: questions of {row['people']}")
    eq([r["published"] for r in rows if r["people"] == "overall"], [0.838], "opinions: the published figure stands beside")


def check(db, semantics=True):
    """All of it, on a database with prompts and responses; the second set of regressions only if asked for."""
    run(db, "sql/population.sql")
    train, test = Side(db, "train"), Side(db, "test")
    check_published(db)
    check_tables(db, train, test)
    check_diversity(db, test)
    check_overlap(db, test)
    check_entropy(db, train)
    check_style(db, test, semantics)
    check_personas(db, test)
    check_opinions(db)
