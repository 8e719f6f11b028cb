#!/usr/bin/python3
"""Score the demo data again: write response_i_<name> of style_rewards into examples/demo/{train,test}.jsonl.

    make && tests/ref/make_demo_scores.py [file.jsonl ...]

Texts stay as they are; old scores are replaced.  Scores are written as the shortest decimals that read back as the
same double.  Needed after editing a text, and with a new major version of style_rewards.
"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap

DEMO = os.path.join(tap.ROOT, "examples", "demo")


def scored(row, db, names):
    """The row with its scores, keys in the published order: text, model, scores of response 1, then 2, ..."""
    out = {key: row[key] for key in ("prompt_id", "prompt", "subset")}
    for i in range(1, 9):
        blob = db.execute("SELECT style_rewards(?, ?)", (row["prompt"], row[f"response_{i}"])).fetchone()[0]
        out[f"response_{i}"] = row[f"response_{i}"]
        out[f"response_{i}_model"] = row[f"response_{i}_model"]
        out.update((f"response_{i}_{name}", x) for name, x in zip(names, struct.unpack(f"<{len(names)}d", blob)))
    return out


def main(paths):
    db = tap.connect()
    names = json.loads(db.execute("SELECT style_reward_names()").fetchone()[0])
    for path in paths:
        with open(path, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        text = "".join(json.dumps(scored(row, db, names), ensure_ascii=False) + "\n" for row in rows)
        with open(path + ".new", "w", encoding="utf-8", newline="\n") as f:
            f.write(text)
        os.replace(path + ".new", path)
        print(f"{path}: {len(rows)} prompts, {8 * len(rows)} responses scored")


if __name__ == "__main__":
    main(sys.argv[1:] or [os.path.join(DEMO, name) for name in ("train.jsonl", "test.jsonl")])
