#!/usr/bin/python3
"""Write text_vectors.json: what style_rewards, text_features and text_embedding(text, 16) must return for a few texts,
computed by text_reference.py alone.  The values are frozen within a major version; run this only for a new one.

    tests/ref/make_text_vectors.py > tests/ref/text_vectors.json
"""
import json
import struct

from text_reference import style_rewards, text_embedding, text_features

CASES = [
    ("empty", "How do I sleep better?", ""),
    ("only white space", "How do I sleep better?", " \t\n\u3000 "),
    ("one word", "Is tea better than coffee?", "Yes."),
    ("contractions", "Should I call her?", "I'd call, it's kind. Don't wait; you\u2019ll feel better, and that\u2019s Anna's wish."),
    ("numbered list", "Give me three tips for packing light", "Three tips:\n\n1. Roll your clothes.\n2. Wear the boots.\n3) Leave one thing out.\n"),
    ("markdown", "Plan a picnic", "## Before\n\n- **Food:** bread, 2 cheeses\n* water (1.5 L)\n\u2022 blanket\n\n| what | who |\n|---|---|\n| cake | Ana |\n\n__Enjoy!__"),
    ("story", "Tell me a story about a door", "\u201cWho's there?\u201d she asked. The old door had never opened, not once in ninety years; that night it did, and my grandmother laughed."),
    ("code", "Write a Python function to add numbers", "Use `sum`:\n\n```python\ndef add(*xs):\n    return sum(xs)  # O(n)\n```\nIt's 100% fine for n <= 10_000."),
    ("emoji", "How was your day?", "Great \U0001f600\U0001f600 \U0001f44d\U0001f3fd! Family: \U0001f468\u200d\U0001f469\u200d\U0001f467, weather \u2600\ufe0f"),
    ("Japanese", "\u65e5\u672c\u306e\u9996\u90fd\u306f\uff1f", "\u65e5\u672c\u306e\u9996\u90fd\u306f\u6771\u4eac\u3067\u3059\u3002\u4eba\u53e3\u306f1,400\u4e07\u4eba\uff01"),
    ("accents", "\u00bfD\u00f3nde est\u00e1 la estaci\u00f3n?", "Perd\u00f3n, \u00c9LODIE\u2026 \u041c\u041e\u0421\u041a\u0412\u0410 \u0438 \u0391\u0398\u0397\u039d\u0391 \u2014 na\u00efve caf\u00e9s, \u0141\u00f3d\u017a"),
    ("parrot", "What is the best way to learn to swim as an adult", "What is the best way to learn to swim as an adult? The best way to learn to swim as an adult is to swim."),
    ("hedged", "Do vitamins work?", "It depends. Perhaps, though the evidence is limited: which vitamin, and for whom? However, I may be wrong."),
    ("numbers", "How far is the Moon?", "About 384,400 km; light takes 1.28 s (300,000 km/s \u00d7 1.28 s). At 12:30 it's 0.5\u00b0 wide."),
    ("lecture", "Why do we dream?", "Because the theory is incomplete, scholars therefore distinguish several mechanisms: memory, for example, and a simple effect of arousal."),
    ("coach", "I can't get started", "Start today! Pick one goal, set a timer and commit. You'll build momentum, track your progress, and celebrate every step!"),
    ("friend", "I lost my job", "Oh no, I'm so sorry, hugs \U0001f917! Honestly it's kinda awful, but you're lovely and brave. Wanna grab a tea, just us?"),
    ("engineer", "How do I speed it up?", "Measure first: latency p99 = 250 ms, target < 100 ms. Set the cache size to 2 GB, then test; threshold 5 percent."),
    ("signposts", "Summarize how to pack, briefly", "First, make a list. Next, roll clothes:\nshirts, socks.\n\nFinally, another tip: weigh the bag. Cafés, running, boxes, stories, stopped."),
    ("verdict", "Is it a fish? How many legs has it?", "No, a crab has ten legs, that's why it walks sideways."),
    ("joiners", "x", "well-known e.g. snake_case a.b.c -- don't... rock'n'roll 'tis ''quoted'' a--b 3.14.15 12:30:45 x,y 1,2,"),
]
out = []
for name, prompt, response in CASES:
    out.append({
        "name": name, "prompt": prompt, "response": response,
        "style_rewards": struct.pack("<10d", *style_rewards(prompt, response)).hex(),
        "text_features": text_features(response),
        "text_embedding": struct.pack("<16f", *text_embedding(response, 16)).hex(),
    })
print("[\n" + ",\n".join(json.dumps(x) for x in out) + "\n]")
