"""Data for the bulk jobs' suites: a small synthetic benchmark full of awkward cases, the real one, numpy utilities."""
import json
import os

import numpy as np


class Data:
    """prompts: [(prompt_id, split, [(response_id, model, scores or None)])] in the order of prompt_id and position."""

    def __init__(self, names, mean, sd):
        self.names, self.mean, self.sd, self.prompts = names, np.array(mean), np.array(sd), []
        self.embedding, self.prompt_embedding = {}, {}

    def split(self, split, least=1):
        """(prompt_id, response ids, raw scores [n][B], models) of the prompts with enough scored responses."""
        out = []
        for pid, s, responses in sorted(self.prompts, key=lambda p: p[0]):
            known = [(r, m, x) for r, m, x in responses if x is not None]
            if split in (None, s) and len(known) >= least:
                out.append((pid, [r for r, _, _ in known], np.array([x for _, _, x in known]), [m for _, m, _ in known]))
        return out

    def scores(self, raw, normalized=True):
        return (raw - self.mean) / self.sd if normalized else raw

    def load(self, db, prompts="prompts", responses="responses"):
        schema = responses.split(".")[0] + "." if "." in responses else ""
        db.execute("BEGIN")
        db.execute(f"CREATE VIRTUAL TABLE {prompts} USING persona_prompts()")
        db.execute(f"CREATE VIRTUAL TABLE {responses} USING persona_responses({', '.join(self.names)}, prompts={prompts.split('.')[-1]})")
        for n, m, s in zip(self.names, self.mean, self.sd):
            db.execute(f"UPDATE {schema}reward_models SET mean = ?, sd = ? WHERE name = ?", (float(m), float(s), n))
        for pid, split, responses_ in self.prompts:
            db.execute(f"INSERT INTO {prompts}(prompt_id, split, text, embedding) VALUES (?,?,'p',?)",
                       (pid, split, blob32(self.prompt_embedding.get(pid))))
            for k, (rid, model, raw) in enumerate(responses_):
                db.execute(f"INSERT INTO {responses}(response_id, prompt_id, position, model, text, raw_rewards, embedding) "
                           "VALUES (?,?,?,?,'r',?,?)",
                           (rid, pid, k + 1, model, None if raw is None else np.array(raw).tobytes(), blob32(self.embedding.get(rid))))
        db.execute("COMMIT")


def blob32(x):
    return None if x is None else np.asarray(x, "<f4").tobytes()


def utilities(weights, features):
    """Canonical utilities [users][responses]: products and sums in position order, each rounded."""
    weights, features = np.asarray(weights, float), np.asarray(features, float)
    u = weights[:, :1] * features[None, :, 0]
    for b in range(1, weights.shape[1]):
        u = u + weights[:, b:b + 1] * features[None, :, b]
    return u


def synthetic():
    """48 prompts, 1 to 20 responses, exact ties, unscored responses, holes in the embeddings."""
    rng = np.random.RandomState(11)
    data = Data(["alpha", "beta", "gamma", "delta"], [0.5, -1, 0, 2], [1, 0.5, 2, 3])
    rid = 1000
    for i, pid in enumerate(rng.permutation(200)[:48]):
        n = [8, 8, 8, 3, 2, 9, 1, 20][i % 8]
        responses = []
        for k in range(n):
            raw = rng.randint(0, 3, 4) * 1.0 if i % 3 else rng.standard_normal(4)
            if i % 8 == 1 and k in (3, 4):
                raw = responses[0][2].copy()  # identical responses
            if i == 16:
                raw = np.ones(4)  # a prompt where all are equal
            responses.append((rid, f"llm{(k + i) % 5}" if k != 5 else None, raw))
            data.embedding[rid] = rng.randint(-2, 3, 6) / 2.0
            rid += 1 + k % 3
        if i % 8 == 2:
            responses[1] = (responses[1][0], responses[1][1], None)
        data.prompts.append((int(pid), ["train", "train", "test", None][i % 4], responses))
        data.prompt_embedding[int(pid)] = rng.standard_normal(5)
    return data


def alpaca8(folder):
    models = json.load(open(os.path.join(folder, "reward_models.json")))
    names = sorted(models)
    data = Data(names, [models[n]["mean"] for n in names], [models[n]["sd"] for n in names])
    for split in ("train", "test"):
        for line in open(os.path.join(folder, f"{split}.jsonl"), encoding="utf-8"):
            o = json.loads(line)
            pid = o["prompt_id"]
            data.prompts.append((pid, split, [
                (pid * 8 + k - 1, o[f"response_{k}_model"], np.array([o[f"response_{k}_{n}"] for n in names]))
                for k in range(1, 9)]))
    return data
