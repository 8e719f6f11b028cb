"""What do other users teach?  Learning across users on real data, held-out users and prompts, with standard errors.

Everything is learned through SQL (learn_users, learn_users_choices, persona_adapt); the picks are judged here with numpy.

  tune      every method's hyper-parameters, with an equal budget, on users and prompts that no other part judges: histories from
            four fifths of the train prompts, judged on the fifth left; the best by pair accuracy goes to chosen.json
  pairs     preferences only, LoRe's protocol (arXiv 2504.14439) on embeddings: users of alpha .1, 47 best-against-worst pairs
            of train prompts for each seen user, 9 for each unseen one.  Labels come from normalised scores, not raw ones
  students  the train split's reward scores allowed, whole choice sets: weights learned on scores, test prompts seen through a
            student's predictions only
  priors    whole choice sets on reward scores: what a learned prior is worth at 1, 3, 5 and 10 interactions

Judged on every test prompt: pair accuracy (the user's best against worst), top-1, captured share (ratio of sums).  Standard errors
are over populations and histories (seeds), differences paired.

  tests/bench/learn/run.py PART ... [--data FOLDER] [--seen N] [--unseen N] [--seeds 5] [--first 100] [--write]

--write replaces the parts' sections of results.md.
"""
import argparse
import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", ".."), HERE]
from tap import BUILD, alpaca8, connect
import numpy as np
from methods import BUDGET, PAIRS, PRIORS, SCORES

CHOSEN = os.path.join(HERE, "chosen.json")
MEASURED = os.path.join(BUILD, "learn_tuning.json")  # what tuning has measured so far: an interrupted run goes on
RESULTS = os.path.join(HERE, "results.md")
TUNE_FIRST = 900
MEASURES = ("pair accuracy", "top-1", "captured share")


# ---- data ----

def load(folder):
    """Both splits with their embeddings."""
    db = connect()
    for split in ("train", "test"):
        options = {"means": os.path.join(folder, "reward_models.json"), "embeddings": os.path.join(folder, f"embeddings.{split}.jsonl")}
        db.execute("SELECT persona_import(?, ?, ?)", (os.path.join(folder, split + ".jsonl"), split, json.dumps(options))).fetchone()
    return db


def cube(db, split, column):
    """[prompts][8][numbers]"""
    rows = db.execute(f"SELECT r.{column} FROM responses r JOIN prompts USING (prompt_id) WHERE split = ? ORDER BY prompt_id, position", (split,)).fetchall()
    x = np.array([np.frombuffer(r, np.float32 if column.endswith("embedding") else np.float64) for r, in rows], float)
    return x.reshape(-1, 8, x.shape[1])


def histories(db, name, seed, users, alpha, turns, choices, split="train"):
    """Table `name` of the feedback of new users; returns their weights."""
    db.executescript(f"""DROP TABLE IF EXISTS u; DROP TABLE IF EXISTS {name};
      CREATE VIRTUAL TABLE u USING persona_users(count={users}, alpha={alpha}, seed={seed}, generator=philox);
      CREATE TEMP TABLE h AS SELECT * FROM persona_interactions('u', '{split}', {turns}, 'best_worst', {seed});""")
    if choices:
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM persona_choices('h')")
    else:
        db.execute(f"CREATE TABLE {name} AS SELECT user_id, c.embedding AS chosen, r.embedding AS rejected FROM h JOIN responses c ON c.response_id = chosen_id JOIN responses r ON r.response_id = rejected_id")
    db.execute("DROP TABLE h")
    return np.array([np.frombuffer(w) for w, in db.execute("SELECT weights FROM u ORDER BY user_id")])


def adapt(db, choices, learn, options, alpha, models=None):
    """Weights of every user of table unseen; models: those learned already from table seen."""
    kind = {} if choices else {"type": "f32"}
    options, model = {k: alpha if v is None else v for k, v in options.items()}, None
    models, key = {} if models is None else models, json.dumps(learn)
    if learn and key not in models:
        columns = "user_id, choice_set, features, feedback" if choices else "user_id, chosen, rejected"
        function = "learn_users_choices" if choices else "learn_users"
        models[key], = db.execute(f"SELECT {function}({columns}, ?) FROM seen", (json.dumps({**kind, **learn}),)).fetchone()
    model = models.get(key)
    if not learn:
        options.update(kind)
    rows = db.execute("SELECT weights FROM persona_adapt('unseen', ?, ?) ORDER BY user_id", (model, json.dumps(options))).fetchall()
    return np.array([np.frombuffer(w) for w, in rows])


class Judge:
    """What users of weights truth really think of the prompts of rewards [prompts][8][reward models]."""

    def __init__(self, truth, rewards):
        self.u = np.einsum("ub,prb->upr", truth, rewards)
        self.best, self.worst = self.u.argmax(2)[..., None], self.u.argmin(2)[..., None]
        self.random = self.u.mean(2)

    def estimates(self, e):
        accuracy = (np.take_along_axis(e, self.best, 2) > np.take_along_axis(e, self.worst, 2)).mean()
        pick = e.argmax(2)[..., None]
        gained = np.take_along_axis(self.u, pick, 2)[..., 0] - self.random
        return [accuracy, (pick == self.best).mean(), gained.sum() / (self.u.max(2) - self.random).sum()]

    def weights(self, w, features):
        return self.estimates(np.einsum("ub,prb->upr", w, features))


# ---- tables ----

def error(x):
    return x.std(0, ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.full(x.shape[1], np.nan)


def table(head, results, first=None):
    """Rows of mean and error over seeds, and the paired difference to row `first`; results: {cells: [[measures] of each seed]}"""
    lines = ["| " + " | ".join([*head, *MEASURES]) + " |", "|" + "---|" * (len(head) + 3)]
    for name, values in results.items():
        r, cells = np.array(values), []
        base = None if first is None else np.array(results[first])
        for m in range(3):
            cell = f"{r.mean(0)[m]:.4f} ± {error(r)[m]:.4f}"
            if base is not None and name != first:
                cell += f" ({(r - base).mean(0)[m]:+.4f} ± {error(r - base)[m]:.4f})"
            cells.append(cell)
        lines.append("| " + " | ".join([*([name] if isinstance(name, str) else name), *cells]) + " |")
    return lines


def shown(options):
    return "`" + json.dumps({k: v for k, v in options.items() if k not in ("method", "pairs")})[1:-1].replace('"', "") + "`" if set(options) - {"method", "pairs"} else "defaults"


def configuration(learn, options, default):
    said = [shown(learn)] if learn and learn != default[0] else []
    said += [("new user: " if learn else "") + shown(options)] if options != default[1] else []
    return ", ".join(said) or "defaults"


def write(title, lines, keep):
    """Print a section; with keep, put it in the place of the one of this title in results.md."""
    text = "\n".join([f"## {title}", "", *lines]) + "\n"
    print(text, flush=True)
    if keep:
        old = open(RESULTS, encoding="utf-8").read()
        parts = re.split(r"(?m)^(?=## )", old)
        at = next((i for i, p in enumerate(parts) if p.startswith(f"## {title}\n")), None)
        if at is None:
            parts[-1] = parts[-1].rstrip("\n") + "\n\n"
            parts.append(text)
        else:
            parts[at] = text + ("\n" if at + 1 < len(parts) else "")
        open(RESULTS, "w", encoding="utf-8").write("".join(parts))


def command(part, arg):
    sizes = "" if part == "tune" else f" --seen {arg.seen} --unseen {arg.unseen} --seeds {arg.seeds} --first {arg.first}" + (f' --methods "{arg.methods}"' if arg.methods else "")
    return f"`tests/bench/learn/run.py {part}{sizes}`: "


def best(league, method):
    """The configuration that tuning chose."""
    configurations = {"pairs": PAIRS, "scores": SCORES}[league][method]
    chosen = json.load(open(CHOSEN)) if os.path.exists(CHOSEN) else {}
    return configurations[chosen.get(league, {}).get(method, 0)]


# ---- parts ----

def tune(db, arg):
    db.execute("UPDATE prompts SET split = 'judged' WHERE split = 'train' AND prompt_id % 5 = 0")
    rewards, embeddings = cube(db, "judged", "rewards"), cube(db, "judged", "embedding")
    unseen, done = 300, json.load(open(MEASURED)) if os.path.exists(MEASURED) else {}
    chosen, lines = {}, [
        command("tune", arg) + f"{BUDGET} configurations for every method that has something to tune, the defaults first, on populations",
        f"(seeds {TUNE_FIRST}, ...; {unseen} unseen users) that no other table judges; histories from four fifths of the train prompts, judged on",
        f"the {len(rewards)} left over. Chosen by mean pair accuracy, in bold; in brackets its difference to the defaults (± standard error)."]
    for league, methods, populations, seen, alpha, turns, shots, features in (
            ("pairs", PAIRS, 2, 400, .1, 47, 9, embeddings), ("scores", SCORES, 1, 100, .1, 8, 9, rewards)):
        choices, results = league == "scores", {}
        for seed in range(TUNE_FIRST, TUNE_FIRST + populations):
            histories(db, "seen", 1000 + seed, seen, alpha, turns, choices)
            judge = Judge(histories(db, "unseen", 2000 + seed, unseen, alpha, shots, choices), rewards)
            for name, configurations in methods.items():
                for i, (learn, options) in enumerate(configurations if len(configurations) > 1 else []):
                    start, key = time.time(), json.dumps([league, seen, seed, name, learn, options], sort_keys=True)
                    if key not in done:
                        done[key] = judge.weights(adapt(db, choices, learn, options, alpha), features)
                        json.dump(done, open(MEASURED, "w"))
                    measures = done[key]
                    results.setdefault(name, {}).setdefault(i, []).append(measures)
                    print(f"  {league} {seed} {name} {configuration(learn, options, ({}, {}))}: {measures[0]:.4f} {measures[2]:.4f} {time.time() - start:.1f} s", file=sys.stderr, flush=True)
        chosen[league] = {name: int(np.argmax([np.mean([m[0] for m in r[i]]) for i in range(BUDGET)])) for name, r in results.items()}
        lines += ["", f"**Preferences only, pairs of embeddings, {seen} seen users, {populations} populations:**" if league == "pairs" else
                  f"**Reward scores, {turns} choice sets for each of {seen} seen users, {shots} for an unseen one, {populations} population:**", "",
                  "| method | configuration | pair accuracy | captured share |", "|---|---|---|---|"]
        for name, r in results.items():
            for i in range(BUDGET):
                values, base = np.array(r[i]), np.array(r[0])
                mark = "**" if i == chosen[league][name] else ""
                lines.append(f"| {name if i == 0 else ''} | {mark}{configuration(*methods[name][i], methods[name][0])}{mark} | {mark}{values[:, 0].mean():.4f}{mark}"
                             + (f" ({(values - base)[:, 0].mean():+.4f}" + (f" ± {error(values - base)[0]:.4f})" if populations > 1 else ")") if i else "") + f" | {values[:, 2].mean():.4f} |")
        json.dump(chosen, open(CHOSEN, "w"), indent=1)
    write("Tuning with an equal budget", lines, arg.write)
    db.execute("UPDATE prompts SET split = 'train' WHERE split = 'judged'")


def pairs(db, arg):
    arg.seen, arg.unseen = arg.seen or 1000, arg.unseen or 500
    rewards, embeddings = cube(db, "test", "rewards"), cube(db, "test", "embedding")
    student = predicted(db, "plain", "r.embedding")
    results = {}
    for seed in range(arg.first, arg.first + arg.seeds):
        known = histories(db, "seen", 1000 + seed, arg.seen, .1, 47, False)
        truth = histories(db, "unseen", 2000 + seed, arg.unseen, .1, 9, False)
        judge = Judge(truth, rewards)
        for name in PAIRS:
            learn, options = best("pairs", name)
            results.setdefault(name, []).append(judge.weights(adapt(db, False, learn, options, .1), embeddings))
            print(f"  pairs {seed} {name} {results[name][-1]}", file=sys.stderr, flush=True)
        results.setdefault("(a random response)", []).append([.5, .125, 0.])
        results.setdefault("(popularity: the seen users' true mean taste)", []).append(judge.weights(np.repeat(known.mean(0)[None], arg.unseen, 0), rewards))
        results.setdefault("(true weights on the ridge student of these embeddings)", []).append(judge.weights(truth, student))
        results.setdefault("(true weights on true scores: the oracle)", []).append(judge.weights(truth, rewards))
    lines = [command("pairs", arg) + "47 best-against-worst pairs for each seen user, 9 for each",
             "unseen one, alpha .1, labels from normalised scores, judged on all test prompts; every method as tuned above. In round brackets the difference to the",
             "first row, paired. Rows in brackets know what the league does not allow.", "", *table(["method"], results, next(iter(PAIRS)))]
    write("Preferences only, on the 64-dimensional embeddings", lines, arg.write)


def predicted(db, name, features=None, options="{}"):
    """What a student of the train split predicts for the test prompts, [prompts][8][rewards]; features None: one of text, with
    those options."""
    learn = f"distill_rewards({features}, r.rewards, r.prompt_id, '{{\"type\":\"f32\"}}')" if features else f"distill_text(p.text, r.text, r.rewards, r.prompt_id, '{options}')"
    db.execute(f"CREATE TEMP TABLE {name} AS SELECT {learn} AS model FROM prompts p JOIN responses r USING (prompt_id) WHERE split = 'train'")
    rows = db.execute(f"SELECT predict_rewards((SELECT model FROM {name}), {features or 'p.text, r.text'}) FROM prompts p JOIN responses r USING (prompt_id) WHERE split = 'test' ORDER BY prompt_id, position").fetchall()
    db.execute(f"DROP TABLE {name}")
    return np.array([np.frombuffer(r) for r, in rows]).reshape(-1, 8, len(rows[0][0]) // 8)


def students(db, arg):
    arg.seen, arg.unseen = arg.seen or 300, arg.unseen or 300
    rewards = cube(db, "test", "rewards")
    db.create_function("beside", -1, lambda *x: b"".join(x), deterministic=True)
    everything = "beside(r.embedding, persona_vector(text_features(r.text), 'f64', 'f32'), text_embedding(r.text, 2048))"
    kinds = {"ridge on the 64-d embeddings": predicted(db, "plain", "r.embedding"),
             "ridge on embeddings, text features and hashed n-grams": predicted(db, "simple", everything)}
    kinds["ridge on the form of the text (distill_text without random and hashed features)"] = predicted(db, "by_form", options='{"random": 0, "hashed": 0}')
    kinds["text student (distill_text)"] = predicted(db, "by_text")
    results = {kind: {} for kind in kinds}
    methods = [name for name in SCORES if not arg.methods or name in arg.methods.split(";")]
    for seed in range(arg.first, arg.first + arg.seeds):
        known = histories(db, "seen", 1000 + seed, arg.seen, .1, 20, True)
        truth = histories(db, "unseen", 2000 + seed, arg.unseen, .1, 9, True)
        judge = Judge(truth, rewards)
        weights = {name: adapt(db, True, *best("scores", name), .1) for name in methods}
        weights["(the seen users' true mean taste)"] = np.repeat(known.mean(0)[None], arg.unseen, 0)
        weights["(true weights: the student's ceiling)"] = truth
        for kind, features in kinds.items():
            for name, w in weights.items():
                results[kind].setdefault(name, []).append(judge.weights(w, features))
        print(f"  students {seed} " + str({k: r["posterior, learned prior"][-1] for k, r in results.items()}), file=sys.stderr, flush=True)
    lines = [command("students", arg) + "20 whole choice sets of each seen user and 9 of each unseen",
             "one, of train prompts, seen with their true reward scores; alpha .1. Test prompts are seen through a student of the train split only. Every method as tuned",
             "above; in round brackets the difference to the first row, paired."]
    for kind, r in results.items():
        lines += ["", f"**{kind}:**", "", *table(["method"], r, methods[0])]
    write("Reward scores of the train split allowed: a student's predictions", lines, arg.write)


def priors(db, arg):
    arg.seen, arg.unseen = arg.seen or 300, arg.unseen or 300
    rewards, results = cube(db, "test", "rewards"), {}
    lines = [command("priors", arg) + "20 choice sets of each seen user, alpha .05, reward features, judged on",
             "true test scores; in round brackets the difference to the learned prior, paired."]
    for seed in range(arg.first, arg.first + arg.seeds):
        histories(db, "seen", 1000 + seed, arg.seen, .05, 20, True)
        models = {}
        for shots in (1, 3, 5, 10):
            judge = Judge(histories(db, "unseen", 2000 + seed, arg.unseen, .05, shots, True), rewards)
            for name, ((learn, options),) in PRIORS.items():
                results.setdefault(str(shots), {}).setdefault((str(shots), name), []).append(judge.weights(adapt(db, True, learn, options, .05, models), rewards))
        print(f"  priors {seed} {results['5'][('5', next(iter(PRIORS)))][-1]}", file=sys.stderr, flush=True)
    for shots, found in results.items():
        found = table(["interactions", "method"], found, (shots, next(iter(PRIORS))))
        lines += [""] + found if shots == "1" else found[2:]
    write("Whole choice sets, on reward scores: a learned prior", lines, arg.write)


PARTS = {"tune": tune, "pairs": pairs, "students": students, "priors": priors}


def main():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arg.add_argument("parts", nargs="+", choices=PARTS)
    arg.add_argument("--data", default=alpaca8())
    arg.add_argument("--seen", type=int)
    arg.add_argument("--unseen", type=int)
    arg.add_argument("--seeds", type=int, default=5)
    arg.add_argument("--first", type=int, default=100)
    arg.add_argument("--methods", help="students: only these, split by semicolons; their text student is left out then")
    arg.add_argument("--write", action="store_true")
    arg = arg.parse_args()
    if not arg.data:
        sys.exit("no data: give --data FOLDER")
    db = load(arg.data)
    for part in arg.parts:
        PARTS[part](db, argparse.Namespace(**vars(arg)))


main()
