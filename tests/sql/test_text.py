"""style_rewards, text_features, text_embedding, persona_bar (rules R1..R5 of fn_text.c) against tests/ref/text_reference.py,
an independent implementation of text.h and style.h, and against frozen vectors."""
import hashlib
import json
import math
import os
import random
import struct
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "ref")]
from tap import *
import text_reference as ref

db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def style(prompt, response):
    return one("SELECT style_rewards(?, ?)", prompt, response)


def features(text):
    return list(struct.unpack("<7d", one("SELECT text_features(?)", text)))


def named(prompt, response):
    return dict(zip(ref.STYLE_NAMES, struct.unpack("<10d", style(prompt, response))))


eq(json.loads(one("SELECT style_reward_names()")), ref.STYLE_NAMES, "R1 style_reward_names()")
eq(ref.STYLE_NAMES, sorted(ref.STYLE_NAMES), "R1 the names are sorted, so that sorting by name keeps the vector's order")
eq(json.loads(one("SELECT text_feature_names()")), ref.FEATURE_NAMES, "R2 text_feature_names()")

# The lexicon is data: sorted, so that its binary search finds every word, and with nltk's stop words.
words = list(ref.LEXICON)
eq(words, sorted(set(words)), "the lexicon is sorted and has no word twice")
eq(hashlib.sha256(repr([(w, sorted(ref.LEXICON[w])) for w in words]).encode()).hexdigest()[:16], "592f09ab50c6b20d", "the lexicon is frozen within a major version")
eq(sum("STOP" in f for f in ref.LEXICON.values()), 153, "the 153 entries of nltk's stop list that have no apostrophe")
capitals = [c for c in map(chr, range(0x500)) if ref.lower(c) != c or c.lower() != c]
wrong = [c for c in capitals if len(c.lower()) == 1 and ref.lower(c) != c.lower() and c not in "\u0130" and not 0x180 <= ord(c) < 0x250
         and not 0x370 <= ord(c) < 0x391 and not 0x3AA <= ord(c) < 0x400 and ord(c) < 0x460]
eq(wrong[:9], [], "lower case as Unicode has it, in the ranges of text.h")

# Frozen vectors: the bytes, on every CPU.
with open(os.path.join(TESTS, "ref", "text_vectors.json")) as f:
    vectors = json.load(f)
ok(len(vectors) >= 15, "there are frozen vectors")
for v in vectors:
    eq(style(v["prompt"], v["response"]).hex(), v["style_rewards"], f"frozen style_rewards: {v['name']}")
    eq(features(v["response"]), v["text_features"], f"frozen text_features: {v['name']}")
    eq(one("SELECT text_embedding(?, 16)", v["response"]).hex(), v["text_embedding"], f"frozen text_embedding: {v['name']}")


def differences(pairs):
    """The first pair where the extension and the reference disagree, to the bit."""
    for prompt, response in pairs:
        if style(prompt, response) != struct.pack("<10d", *ref.style_rewards(prompt, response)):
            return "style_rewards", prompt[:500], response[:500], named(prompt, response), ref.style_rewards(prompt, response)
        if features(response) != ref.text_features(response):
            return "text_features", response, features(response), ref.text_features(response)
        if one("SELECT text_embedding(?, 32)", response) != struct.pack("<32f", *ref.text_embedding(response, 32)):
            return "text_embedding", response


rng = random.Random(1)
parts = list("aB3 .,'\u2019-_\n\n:?!#*`\"()|/") + (
    "n't|'s|can|you|it|is|the|don|1.|2)| - |**|\u00e9|\u0416|\u65e5|\u30fc|\U0001f642|\U0001f44d\U0001f3fd|\u200d|\ufe0f|\x85|\x1f|\u3000|\u2026|\u3002"
    "|how many |story |list |really |may |running |boxes|family |quickly|\x00").split("|")
random_pairs = [("".join(rng.choices(parts, k=rng.randint(0, 15))), "".join(rng.choices(parts, k=rng.randint(0, 30)))) for _ in range(800)]
eq(differences(random_pairs), None, "800 random texts: every score, feature and embedding equals the reference, to the bit")
chars = [c for c in map(chr, list(range(0x3400)) + list(range(0xFB00, 0x10000)) + list(range(0x1F000, 0x1FC00)) + [0x20000, 0x3FFFD, 0xE0000, 0xE0020, 0xE01EF, 0x10FFFF]) if not 0xD800 <= ord(c) < 0xE000]
chunks = ["".join(f"a{c}b {c} " for c in chars[i:i + 40]) for i in range(0, len(chars), 40)]
eq(differences((t, t) for t in chunks), None, "the class of every character up to U+33FF, and of symbols beyond")
asked = [f"how {w} is it" for w in sorted(ref.AMOUNTS)] + [f"so. {w} it last?" for w in sorted(ref.AUX)] + [f"a {w}" for w, f in ref.LEXICON.items() if f & {"LIST", "BRIEF", "TALE", "CODE"}]
eq(differences((p, r) for p in asked for r in ("Well, it is so", "Yes, two: `3`\n- said she\n")), None, "every word that asks for a form of answer")
twenties = [words[i:i + 20] for i in range(0, len(words), 20)]
eq(differences((" ".join(t), " ".join(f"{w} {w}s {w}ing {w}ed {w}ies {w}e {w[0]}{w} a{w}ly" for w in t)) for t in twenties), None, "every word of the lexicon")
real = alpaca8()
if real:
    with open(os.path.join(real, "test.jsonl")) as f:
        rows = [json.loads(line) for line in f][:20]
    eq(differences((o["prompt"], o[f"response_{i}"]) for o in rows for i in range(1, 9)), None, "alpaca8: 160 real responses equal the reference")
else:
    skip("alpaca8: real responses equal the reference", "the data set is not there")

# What the scores are for: each voice is told from the others.
q = "How can I sleep better?"
terse = "Same bedtime every night. No phone."
lecture = ("Sleep is regulated by two processes, namely the circadian rhythm and homeostatic pressure; because both respond to light, the "
           "underlying mechanism implies that regular exposure to daylight has a measurable effect. Consequently the principle is consistency.")
coach = "Start tonight! Set one goal, pick a bedtime, and commit to it for a week. Track your progress, celebrate every win, keep going!"
listed = "## Plan\n\n1. Fixed bedtime\n2. Dark room\n3. No screens\n\nFinally, also note:\n- coffee before noon"
tale = "My grandmother never slept. One night I heard her in the kitchen; she poured milk, sat by the window and told me about the river."
doubt = "It depends. Is it really a sleep problem, or perhaps stress? The evidence for most tricks is limited, though routine may help."
friend = "Aw, I'm so sorry, that's awful \U0001f917 Hope you feel better soon! Honestly, it's kinda normal. Want to talk? Hugs, dear."
engineer = "Set the room to 18 \u00b0C, light < 5 lux, 8 h in bed. Log 14 nights: target efficiency = 85%, threshold 30 min."
voices = {"brevity": terse, "depth": lecture, "drive": coach, "structure": listed, "narrative": tale, "caution": doubt, "ease": friend, "warmth": friend, "precision": engineer}
for name, text in voices.items():
    best = max(voices.values(), key=lambda t: named(q, t)[name])
    eq(best, text, f"{name} prefers the voice that is made of it")
on, off = "To sleep better, darken the room.", "To bake bread, warm the oven."
ok(named(q, on)["relevance"] > named(q, off)["relevance"] == 0, "relevance: shared content words count")
ok(named("Describe the slow red fox", "Describe the slow red fox")["relevance"] == 0, "relevance: repeating the prompt is worth nothing")
ok(named("Name some tips", "- a tip\n- b\n")["relevance"] > named("Name some tips", "a tip, b")["relevance"], "relevance: a list where a list was asked")
ok(named("How many legs has a fly?", "A fly has 6 legs")["relevance"] > named("How many legs has a fly?", "A fly has some legs")["relevance"], "relevance: a number where a number was asked")
ok(named("Is it late?", "Yes, it is late")["relevance"] > named("Is it late?", "Well, it is late")["relevance"], "relevance: a verdict where one was asked")
eq(set(named(q, "...").values()), {0.0}, "R1 without words every score is 0")
ok(all(0 <= x <= 1 for p, r in random_pairs for x in named(p, r).values()), "R1 scores are within 0..1")

# text_features by hand.
eq(features("I can't: it's a well-known, quickly drawn plan!"), [13, 13, 40 / 13, 3, 6, 0, 2], "R2 by hand: I ca n't : it 's a well-known , quickly drawn plan !")
eq(features("We don't know."), [5, 5, 12 / 5, 2, 2, 0, 1], "R2 by hand: We do n't know . with stop words We and do, modifier n't")
eq(features(" - a\n\n*b\n12. c\n3) d\n\u2022e\nf - g")[5], 4.0, "R2 num_format: bullets and digits with a full stop that open a line")
eq(features("a-b ~ \u201cc\u201d d_e \u3002")[4], 3.0, "R2 num_punctuation counts ASCII characters only")
eq(features("The the THE the")[1], 3.0, "R2 num_unique_words is case-sensitive")
eq(features(""), [0.0] * 7, "R2 the empty text")

# nltk's tagger is not at hand, so the adjective and adverb rule is measured on text tagged by hand: * marks them.
tagged = """The *old house stood *quietly on a *steep hill , and its *wooden door was *rarely open . She walked *slowly toward the *tiny
garden because the air smelled *fresh . My family lives in a city hospital with a *beautiful view , *so we *often go *there *together .
He is *very *careful with *expensive tools . *Recently the *public museum bought a *famous painting ; it is *really *large and *colorful .
A *practical plan needs *clear goals , a *realistic budget and *enough time . I reply to every *important letter *immediately . The *political
animal in him wishes for *better music . This is *not *possible without *serious work . *Finally the *hungry children ate *warm bread *happily
*outside . Good advice is *useful , but *empty criticism is *harmful . The *green bottle fell *down and the *small dog ran *away *again ."""
truth, guess = [], []
for word in tagged.split():
    truth.append(word.startswith("*"))
    guess.append(features(word.lstrip("*"))[6] > 0)
truth[tagged.split().index("Good")] = True  # opens its sentence
hits = sum(t and g for t, g in zip(truth, guess))
ok(hits / sum(truth) >= 0.9 and hits / sum(guess) >= 0.85, f"R2 adjectives and adverbs: {hits} of {sum(truth)} found, {sum(guess) - hits} false, in {len(truth)} hand-tagged tokens")

# text_embedding.
e = struct.unpack("<256f", one("SELECT text_embedding('The cat sat on the mat')"))
close(math.fsum(x * x for x in e), 1, 1e-6, "R3 unit norm, 256 numbers")
eq(one("SELECT text_embedding('. the and !', 8)"), bytes(32), "R3 nothing but stop words and punctuation: the zero vector")


def cosine(a, b):
    a, b = (struct.unpack("<256f", one("SELECT text_embedding(?)", t)) for t in (a, b))
    return sum(x * y for x, y in zip(a, b))


ok(cosine("How do I bake sourdough bread?", "Baking a sourdough loaf of bread at home") > 0.2 > cosine("How do I bake sourdough bread?", "Interest rates fell in March") + 0.1,
   "R3 near texts are near, far ones are far")
eq(one("SELECT text_embedding('A cafe', 64) = text_embedding('a CAFE', 64)"), 1, "R3 letter case does not matter")
eq(len(one("SELECT text_embedding('x', 65536)")), 4 * 65536, "R3 the largest dimension")
eq(len(one("SELECT text_embedding('x', 1)")), 4, "R3 the smallest")

# persona_bar.
for args, want in (((1, 4, 8), "\u2588\u2588"), ((0.5, 1), "\u2588" * 10), ((9, 8, 4), "\u2588" * 4), ((0, 1), ""), ((-3, 1), ""), ((1e-9, 1), "\u258f"),
                   ((5, 64, 8), "\u258b"), ((63, 64, 8), "\u2588" * 7 + "\u2589"), ((0.99999, 1, 3), "\u2588" * 3), ((float("inf"), 2, 2), "\u2588\u2588"), ((1, 1e308, 1), "\u258f")):
    eq(one(f"SELECT persona_bar({', '.join('?' * len(args))})", *args), want, f"R4 persona_bar{args}")
eq(len(one("SELECT persona_bar(1, 1, 1000)")), 1000, "R4 the widest bar")

# Bad input.
for sql in ("style_rewards(NULL, 'a')", "style_rewards('a', NULL)", "text_features(NULL)", "text_embedding(NULL)", "text_embedding('a', NULL)", "persona_bar(NULL, 1)", "persona_bar(1, NULL)", "persona_bar(1, 1, NULL)"):
    eq(one(f"SELECT {sql}"), None, f"R5 {sql} is NULL")
eq(one("SELECT style_rewards('How many?', 42) = style_rewards('How many?', '42')"), 1, "R5 a number is taken as its text")
fails(db, "SELECT style_rewards(x'61', 'a')", "style_rewards: argument 1 (prompt): a BLOB; text is required")
fails(db, "SELECT style_rewards('a', x'61')", "style_rewards: argument 2 (response): a BLOB; text is required")
fails(db, "SELECT text_features(x'')", "text_features: argument 1 (text): a BLOB; text is required")
fails(db, "SELECT text_embedding(zeroblob(9))", "text_embedding: argument 1 (text): a BLOB; text is required")
for dim in ("0", "-1", "65537", "1e3", "'256'"):
    fails(db, f"SELECT text_embedding('a', {dim})", "text_embedding: argument 2 (dim): a whole number from 1 to 65536 is required", f"error: dim {dim}")
fails(db, "SELECT persona_bar('x', 1)", "persona_bar: argument 1 (value): text; a number is required")
fails(db, "SELECT persona_bar(1, x'00')", "persona_bar: argument 2 (max): a BLOB; a number is required")
fails(db, "SELECT persona_bar(1, 0)", "persona_bar: argument 2 (max): 0; a number above 0 is required")
fails(db, "SELECT persona_bar(1, -2.5)", "persona_bar: argument 2 (max): -2.5; a number above 0 is required")
fails(db, "SELECT persona_bar(1, 9e999)", "persona_bar: argument 2 (max): inf; a number above 0 is required")
for width in ("0", "1001", "2.5", "'9'"):
    fails(db, f"SELECT persona_bar(1, 1, {width})", "persona_bar: argument 3 (width): a whole number from 1 to 1000 is required", f"error: width {width}")
bad = [bytes(rng.choices([0x41, 0x20, 0x80, 0xBF, 0xC2, 0xE2, 0x80, 0x99, 0xED, 0xA0, 0xF0, 0x9F, 0x98, 0xF4, 0x90, 0xFF], k=rng.randint(0, 20))) for _ in range(500)]
wrong = [b for b in bad if one("SELECT style_rewards('a', CAST(? AS TEXT))", b) != struct.pack("<10d", *ref.style_rewards("a", b.decode("utf-8", "replace")))
        or list(struct.unpack("<7d", one("SELECT text_features(CAST(? AS TEXT))", b))) != ref.text_features(b.decode("utf-8", "replace"))]
eq(wrong[:3], [], "R5 invalid UTF-8 is read as U+FFFD, one for each maximal ill-formed part")

# A megabyte of anything: linear, so this takes about a second and not an hour.
for name, unit in (("one word", "a"), ("distinct words", None), ("apostrophes", "a'"), ("enumerators", "1.\n"), ("new lines", "\n"), ("emoji", "\U0001f600"), ("zero-width joiners", "\u200d"), ("prose", lecture + " ")):
    text = unit * ((1 << 20) // len(unit)) if unit else " ".join(f"w{i}" for i in range(150000))
    scores = struct.unpack("<10d", style(text, text))
    ok(all(0 <= x <= 1 for x in scores) and len(one("SELECT text_embedding(?, 8)", text)) == 32 and features(text)[0] >= 0, f"a megabyte: {name}")

flags = {name: flag for name, narg, flag in db.execute("SELECT name, narg, flags FROM pragma_function_list WHERE name IN ('style_rewards', 'style_reward_names', 'text_features', 'text_feature_names', 'text_embedding', 'persona_bar')")}
ok(len(flags) == 6 and all(f & 0x200000 and f & 0x800 for f in flags.values()), "all are innocuous and deterministic", flags)
done()
