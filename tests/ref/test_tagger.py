"""How far do the adjectives and adverbs of text_features agree with a part-of-speech tagger, and with a reader?

The reference is Lingua::EN::Tagger (Debian's liblingua-en-tagger-perl), a bigram tagger with Penn Treebank tags, like the one the
paper takes from nltk; J*, RB* and RP count, as in the paper.  It errs too, so a sample labelled by hand for this repository
(tagger_sample.txt: prompt, response, text with /M behind each adjective, adverb and particle) measures both.

The figures pinned here are those that docs/reference.md states.  `tests/ref/test_tagger.py --list FILE.jsonl ...` measures
other files in the published schema, and lists where the two disagree most.
"""
import collections
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

PERL = """my $p = Lingua::EN::Tagger->new;
while (<STDIN>) { chomp; my $t = $p->get_readable($_) // ''; $t =~ s/\\n/ /g; print "$t\\n" }"""
db = connect()
known = {}


def modifier(word):
    """Does text_features count this token?  (It looks at no context, so a token can be asked alone; n't after a word.)"""
    if word not in known:
        text = "do" + word if word.lower() == "n't" else word
        known[word] = np.frombuffer(db.execute("SELECT text_features(?)", (text,)).fetchone()[0])[6] > 0
    return known[word]


def tag(lines):
    """[(token, is modifier)] for each line."""
    done = subprocess.run(["perl", "-CS", "-MLingua::EN::Tagger", "-e", PERL], input="\n".join(lines) + "\n", capture_output=True,
                          encoding="utf-8", check=True)
    out = []
    for line in done.stdout.split("\n")[:-1]:
        pairs = [t.rpartition("/") for t in line.split()]
        out.append([(w, t.startswith(("JJ", "RB", "RP"))) for w, _, t in pairs])
    assert len(out) == len(lines)
    return out


def responses(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                yield from (row[f"response_{i}"] for i in range(1, 9) if f"response_{i}" in row)


def agreement(table):
    """Share, precision, recall and Cohen's kappa of a table [reference][ours]."""
    table = np.asarray(table, float)
    n, same = table.sum(), np.trace(table) / table.sum()
    chance = (table.sum(0) * table.sum(1)).sum() / n ** 2
    return same, table[1, 1] / table[:, 1].sum(), table[1, 1] / table[1].sum(), (same - chance) / (1 - chance)


def measure(paths):
    texts = [t.replace("\u2019", "'") for t in responses(paths)]
    lines = [(line, i) for i, t in enumerate(texts) for line in t.split("\n") if line.strip()]
    table, counts, missed, extra = np.zeros((2, 2), int), np.zeros((len(texts), 2)), collections.Counter(), collections.Counter()
    for (_, i), tokens in zip(lines, tag([line for line, _ in lines])):
        for word, reference in tokens:
            ours = modifier(word)
            table[int(reference), int(ours)] += 1
            counts[i] += reference, ours
            (missed if reference and not ours else extra if ours and not reference else {word.lower(): 0})[word.lower()] += 1
    return table, np.corrcoef(counts.T)[0, 1], missed, extra


def sample():
    """Tables [hand][tagger] and [hand][ours] over the words of the sample."""
    texts = {}
    for name in ("train", "test"):
        with open(os.path.join(ROOT, "examples", "demo", name + ".jsonl"), encoding="utf-8") as f:
            for row in map(json.loads, f):
                texts.update({(row["prompt_id"], i): row[f"response_{i}"] for i in range(1, 9)})
    with open(os.path.join(ROOT, "tests", "ref", "tagger_sample.txt"), encoding="utf-8") as f:
        marked = [line.rstrip("\n").split(" ", 2) for line in f]
    eq([m.replace("/M", "") for _, _, m in marked], [texts[int(p), int(i)] for p, i, _ in marked], "the labelled texts are the demo's")
    theirs, own = np.zeros((2, 2), int), np.zeros((2, 2), int)
    for (_, _, text), tokens in zip(marked, tag([m.replace("/M", "") for _, _, m in marked])):
        spans, flags = [], []  # the tagger's tokens, letter by letter
        for word, flag in tokens:
            flags += [flag] * len(word)
        letters = "".join(w for w, _ in tokens)
        at = 0
        for word in text.split():
            plain = word.replace("/M", "")
            start = letters.find(re.sub(r"^\W+|\W+$", "", plain) or plain, at)
            if not re.search(r"\w", plain) or start < 0:
                continue
            end = at = start + len(re.sub(r"^\W+|\W+$", "", plain))
            theirs[int("/M" in word), int(any(flags[start:end]))] += 1
            own[int("/M" in word), int(modifier(re.sub(r"^\W+|\W+$", "", plain)))] += 1
    return theirs, own


try:
    tag(["A test."])
except (OSError, subprocess.CalledProcessError):
    skip("agreement with a part-of-speech tagger", "Lingua::EN::Tagger is not installed (make test installs it)")
    done()
if "--list" in sys.argv:
    table, r, missed, extra = measure(sys.argv[2:])
    print("[reference][ours]", table.tolist(), "agreement %.3f, precision %.3f, recall %.3f, kappa %.3f" % agreement(table), "r of counts %.3f" % r)
    print("missed", missed.most_common(60))
    print("extra", extra.most_common(60))
    sys.exit()
# Room for another version of the tagger; the features themselves are frozen.
table, r, _, _ = measure([os.path.join(ROOT, "examples", "demo", f) for f in ("train.jsonl", "test.jsonl")])
ok(36000 < table.sum() < 38000, "36,939 tokens of the demo's responses", table)
close(agreement(table), [.966, .807, .852, .810], 0, "against the tagger: agreement .966, precision .807, recall .852, kappa .810", .01)
close(r, .921, 0, "counts by response correlate .92 with the tagger's", .01)
theirs, own = sample()
eq(own.sum(), 380, "380 words labelled by hand")
close(agreement(own), [.953, .879, .823, .822], 0, "against the reader: agreement .953, precision .88, recall .82, kappa .82", .001)
close(agreement(theirs), [.963, .900, .871, .863], 0, "the tagger against the reader: agreement .963, kappa .86", .01)
done()
