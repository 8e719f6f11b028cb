"""embed_user, icl_prompt and chat_request (rules E1..E3, P1..P3, C1, R1, R2 of fn_icl.c; layouts and wording of icl.h)."""
import json
import os
import random
import struct
import sys
from fractions import Fraction

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


# ---- embed_user ----
rng = np.random.RandomState(3)
N, D = 40, 9
scale = 10.0 ** rng.randint(-30, 30, (N, 2, D))
E = (rng.standard_normal((N, 2, D)) * np.where(rng.rand(N, 2, D) < 0.5, 1, scale)).astype(np.float32)
E[:, :, 0] = 3e38  # sums beyond f32's range
E[5, 0, 1] = np.float32(1e-45)
db.execute("CREATE TABLE h(user_id, turn, chosen, rejected)")
db.executemany("INSERT INTO h VALUES (?,?,?,?)", [(i % 3, i, E[i, 0].tobytes(), E[i, 1].tobytes()) for i in range(N)])


def mean(rows, kind):
    """The exact mean, then rounded to f64 before the division as documented."""
    out = []
    for d in range(D):
        total = sum((Fraction(float(E[i, 0, d])) if kind != "losing" else 0) - (Fraction(float(E[i, 1, d])) if kind == "winning_minus_losing" else 0)
                    + (Fraction(float(E[i, 1, d])) if kind == "losing" else 0) for i in rows)
        out.append(np.float32(float(total) / len(rows)))
    return np.array(out, np.float32).tobytes()


for kind in ("winning_minus_losing", "winning", "losing"):
    got = db.execute("SELECT user_id, embed_user(chosen, rejected, ?) FROM h GROUP BY 1", (kind,)).fetchall()
    eq(got, [(u, mean(range(u, N, 3), kind)) for u in range(3)], f"E1 {kind}: the mean, from exact sums")
eq(one("SELECT embed_user(chosen, rejected) FROM h WHERE user_id = 1"), mean(range(1, N, 3), "winning_minus_losing"), "E1 winning minus losing is the default")
eq(one("SELECT embed_user(chosen, rejected, NULL) FROM h WHERE user_id = 1"), mean(range(1, N, 3), "winning_minus_losing"), "E1 a NULL kind is the default")
values = {one(f"SELECT embed_user(chosen, rejected) FROM (SELECT * FROM h WHERE user_id = 2 ORDER BY (turn * {k}) % 41)") for k in (1, 5, 7, 40)}
eq(len(values), 1, "E3 equal bits in any order")
rows = db.execute("SELECT turn, embed_user(chosen, rejected, 'winning') OVER (ORDER BY turn ROWS 4 PRECEDING) FROM h").fetchall()
eq(rows, [(i, mean(range(max(0, i - 4), i + 1), "winning")) for i in range(N)], "E3 a moving window equals the mean of its frame, to the bit")
eq(one("SELECT embed_user(chosen, rejected) FROM h WHERE 0"), None, "E2 no rows give NULL")
eq(one("SELECT embed_user(column1, column2) FROM (VALUES (NULL, '[1]'), ('[2]', NULL))"), None, "E2 rows that lack a side are skipped")
eq(one("SELECT persona_json(embed_user(column1, column2, 'winning'), 'f32') FROM (VALUES ('[1,2]', NULL), ('[2,4]', 'rubbish'), (NULL, '[9]'))"), "[1.5,3]", "E2 the other side is not looked at")
eq(struct.unpack("<2f", one("SELECT embed_user('[0.1, 1]', '[0, 0.5]')")), (np.float32(0.1), 0.5), "E2 JSON text is rounded to f32")
row = "embed_user: row {} of its group: argument {}: "
vector = "; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"
fails(db, "SELECT embed_user('[1]', 5)", row.format(1, "2 (rejected_embedding)") + "an integer" + vector)
fails(db, "SELECT embed_user(column1, column1) FROM (VALUES ('[1,2]'), ('[1,2,3]'))", row.format(2, "1 (chosen_embedding)") + "3 numbers, but the embeddings before have 2")
fails(db, "SELECT embed_user('[1,2]', '[1]')", row.format(1, "2 (rejected_embedding)") + "1 numbers, but the embeddings before have 2")
fails(db, "SELECT embed_user(x'0011', '[1]')", row.format(1, "1 (chosen_embedding)") + "a BLOB of 2 bytes, which is no multiple of 4; f32 vectors are required")
fails(db, "SELECT embed_user('[1e39]', '[1]')", row.format(1, "1 (chosen_embedding)") + "element 0 is 1e+39, which is too large for f32")
fails(db, "SELECT embed_user(?, '[1]')", row.format(1, "1 (chosen_embedding)") + "element 0 is NaN; a finite number is required", args=(struct.pack("<f", float("nan")),))
fails(db, "SELECT embed_user('[3e38]', '[-3e38]')", "embed_user: element 0 is 6e+38, which is too large for f32")
fails(db, "SELECT embed_user('[1]', '[1]', 'wining')", 'embed_user: argument 3 (kind): "wining"; one of winning_minus_losing|winning|losing is required')
fails(db, "SELECT embed_user('[1]', '[1]', column1) FROM (VALUES ('winning'), ('losing'))", "embed_user: argument 3 (kind): losing, but winning on the rows before; it must be the same on every row of a group")
fails(db, "SELECT embed_user('[1]', '[1]', x'00')", "embed_user: argument 3 (kind): a BLOB; text is required")

# ---- icl_prompt: byte by byte ----
LIKED, DISLIKED = "each with a response that was liked.", "each with a response that was disliked."
USE = "Use these conversations to answer the prompt below. "
W1, L1, W2, L2 = "Liked Response: w1\n", "Disliked Response: l1\n", "Liked Response: w2\n", "Disliked Response: l2\n"
examples = "(VALUES (2, 'p2', 'w2', 'l2'), (1, 'p1', 'w1', 'l1'))"


def prompt(options=None, rows=examples, test="'t'"):
    return one(f"SELECT icl_prompt({test}, column1, column2, column3, column4, ?) FROM {rows}", json.dumps(options) if options is not None else None)


def lines(header, block1, block2, closing, end="User: t\nResponse:"):
    return f"Here are past conversations, {header}\n\nUser: p1\n{block1}\nUser: p2\n{block2}\n{USE}Your response should be {closing}\n\n{end}"


want = {
    "winning_only": lines(LIKED, W1, W2, "similar to the liked responses."),
    "losing_only": lines(DISLIKED, L1, L2, "different from the disliked responses."),
    "losing_as_winning_only": lines(LIKED, "Liked Response: l1\n", "Liked Response: l2\n", "similar to the liked responses."),
    "winning_and_losing": lines("each with a response that was liked and one that was disliked.", W1 + L1, W2 + L2, "similar to the liked responses and different from the disliked responses."),
    "none": "User: t\nResponse:",
}
for variant, text in want.items():
    eq(prompt({"variant": variant}), text, f"P1 {variant}, byte by byte, in the order of rank")
eq(prompt(), want["winning_only"], "P1 winning_only is the default")
eq(one(f"SELECT icl_prompt('t', column1, column2, column3, column4) FROM {examples}"), want["winning_only"], "P1 options may be left out")
# definitions.md#prompt-structure: nothing behind the header, the closing on the test prompt's line, spaces at line ends
published = {
    "winning_only": lines(LIKED, W1, W2, "similar to the winning responses."),
    "losing_only": lines(DISLIKED, L1, L2, "different from the losing responses."),
    "losing_as_winning_only": lines(LIKED, "Liked Response: l1\n", "Liked Response: l2\n", "similar to the winning responses."),
    "winning_and_losing": lines("each with a response that was liked and one that was disliked.", W1 + L1, W2 + L2, "similar to the winning responses and different from the losing responses."),
}
for variant, text in published.items():
    eq(prompt({"variant": variant, "words": "winning"}), text, f"P1 {variant} in the words of the methods with other users' examples")
    head, rest = text.split("\n\n", 1)
    body, closing, _ = rest.rsplit("\n\n", 2)
    eq(prompt({"variant": variant, "words": "winning", "layout": "published"}), f"{head}{body}\n\n{closing} User: t \nResponse: ", f"P1 {variant} in the published layout, byte by byte")
eq(prompt({"layout": "published", "variant": "none"}), "User: t", "P1 published zero-shot has no response label")
own = {"header": "H.", "closing": "C.", "user": "U>", "liked": "+", "disliked": "-", "response": "A>", "variant": "winning_and_losing"}
eq(prompt(own), "H.\n\nU> p1\n+ w1\n- l1\n\nU> p2\n+ w2\n- l2\n\nC.\n\nU> t\nA>", "P1 own wording")
eq(prompt({**own, "layout": "published"}), "H.U> p1\n+ w1\n- l1\n\nU> p2\n+ w2\n- l2\n\nC. U> t \nA> ", "P1 own wording in the published layout: any published sentence can be given")
eq(prompt({**own, "user": "", "liked": "", "variant": "winning_only"}), "H.\n\np1\nw1\n\np2\nw2\n\nC.\n\nt\nA>", "P1 an empty label takes its space with it")
zero = [prompt(None, "(SELECT NULL AS column1, NULL AS column2, NULL AS column3, NULL AS column4)"), prompt({"shots": 0}), prompt({"max_tokens": 0}), prompt({"max_chars": 5})]
eq(zero, ["User: t\nResponse:"] * 4, "P2 no examples, no shots, no room: zero-shot")
eq(prompt(rows="(VALUES (1,2,3,4)) WHERE 0"), None, "P2 no rows give NULL")
eq(prompt(test="NULL"), None, "P2 a NULL test_prompt gives NULL")
eq(prompt(rows="(VALUES (1, 2, 3.5, NULL))", test="7"), lines(LIKED, "", "", "x").split("User:")[0] + "User: 2\nLiked Response: 3.5\n\n" + USE + "Your response should be similar to the liked responses.\n\nUser: 7\nResponse:", "R1 numbers are texts; P3 what is not shown may be NULL")
ranks = list(range(-50, 50))
random.Random(1).shuffle(ranks)
db.execute("CREATE TABLE many(rank, text)")
db.executemany("INSERT INTO many VALUES (?, 'x' || ?)", [(r, r) for r in ranks])
text = one("SELECT icl_prompt('t', rank, text, text, NULL) FROM many")
eq([line[6:] for line in text.split("\n") if line.startswith("User: x")], [f"x{r}" for r in range(-50, 50)], "P1 a hundred shuffled rows come in the order of rank")
eq(one("SELECT icl_prompt('t', column1, 'p', 'c', NULL, '{\"return\":\"json\"}') FROM (VALUES (9223372036854775807), (-9223372036854775808), (0))"),
   one("SELECT icl_prompt('t', column1, 'p', 'c', NULL, '{\"return\":\"json\"}') FROM (VALUES (0), (9223372036854775807), (-9223372036854775808))"), "P1 the largest ranks too")

# Budgets: a block counts with its empty line; "User: p1\nLiked Response: w1\n\n" has 29 bytes.
blocks = "(VALUES (1, 'p1', 'w1', NULL), (2, 'p2', 'wwwwww2', NULL), (3, 'p3', 'w3', NULL))"


def used(**options):
    got = json.loads(prompt({**options, "return": "json"}, blocks))
    return got["ranks"], got["tokens"], got["examples"], got["dropped"]


eq(len("User: p1\nLiked Response: w1\n\n"), 29, "the blocks of the budget checks have 29, 34 and 29 bytes")
eq(used(), ([1, 2, 3], 8 + 9 + 8, 3, 0), "budget: all fit; a token is estimated as four bytes, rounded up for each block")
eq(used(max_tokens=25), ([1, 2, 3], 25, 3, 0), "budget: exactly full")
eq(used(max_tokens=24), ([1, 2], 17, 2, 1), "budget: one token short")
eq(used(max_tokens=16), ([1], 8, 1, 2), "budget: the first block that is too long ends the list, as published")
eq(used(max_tokens=16, overflow="skip"), ([1, 3], 16, 2, 1), "budget: skip tries the shorter ones after it")
eq(used(max_chars=63), ([1, 2], 17, 2, 1), "budget in characters: exactly full")
eq(used(max_chars=62), ([1], 8, 1, 2), "budget in characters: one short")
eq(used(shots=2), ([1, 2], 17, 2, 1), "shots")
eq(used(bytes_per_token=2.5), ([1, 2, 3], 12 + 14 + 12, 3, 0), "bytes_per_token")
eq(json.loads(prompt({"return": "json", "max_chars": 29, "bytes_per_token": 1}, "(VALUES (1, 'é1', 'é1', NULL))"))["tokens"], 31, "a character is a code point, a token is a number of bytes of UTF-8")
odd = json.loads(prompt({"return": "json", "variant": "winning_and_losing"}, "(VALUES (1, 'a\"b', 'line\nbreak\ttab\\', 'é🙂 User: '))"))["prompt"]
eq(odd, prompt({"variant": "winning_and_losing"}, "(VALUES (1, 'a\"b', 'line\nbreak\ttab\\', 'é🙂 User: '))"), "return json: quotes, line breaks and beyond ASCII survive")
ok("User: a\"b\nLiked Response: line\nbreak\ttab\\\nDisliked Response: é🙂 User: \n\n" in odd, "texts go in as they are")
big = prompt({"max_tokens": 10**9}, "(SELECT value AS column1, printf('%.*c', 20000, 'p') AS column2, printf('%.*c', 20000, 'w') AS column3, NULL AS column4 FROM json_each('[" + ",".join(map(str, range(200))) + "]'))")
eq(len(big), 200 * (40000 + 25) + len(want["none"]) + len("Here are past conversations, " + LIKED + "\n\n" + USE + "Your response should be similar to the liked responses.\n\n"), "eight megabytes of examples")

for sql, message in [
    ("icl_prompt('t', 1.5, 'p', 'c', 'r')", "argument 2 (rank): a real number; an integer is required"),
    ("icl_prompt('t', 'first', 'p', 'c', 'r')", "argument 2 (rank): text; an integer is required"),
    ("icl_prompt('t', 1, NULL, 'c', 'r')", "rank 1: example_prompt is NULL; the variant shows it"),
    ("icl_prompt('t', 1, 'p', NULL, 'r')", "rank 1: chosen_text is NULL; the variant shows it"),
    ("icl_prompt('t', 1, 'p', 'c', NULL, '{\"variant\":\"losing_only\"}')", "rank 1: rejected_text is NULL; the variant shows it"),
    ("icl_prompt('t', 1, 'p', NULL, NULL, '{\"variant\":\"winning_and_losing\"}')", "rank 1: chosen_text is NULL; the variant shows it"),
    ("icl_prompt('t', 1, 'p', x'61', 'r')", "argument 4 (chosen_text): a BLOB; text is required"),
    ("icl_prompt(x'61', 1, 'p', 'c', 'r')", "argument 1 (test_prompt): a BLOB; text is required"),
    ("icl_prompt('t', 1, 'p', 'c' || char(0) || 'd', 'r')", "rank 1: chosen_text: the character U+0000 at byte 1, which JSON text cannot hold"),
    ("icl_prompt('t', 1, 'p', 'c', CAST(x'6162FF' AS TEXT))", "rank 1: rejected_text: invalid UTF-8 at byte 2, which JSON text cannot hold"),
    ("icl_prompt(CAST(x'C328' AS TEXT), 1, 'p', 'c', 'r')", "test_prompt: invalid UTF-8 at byte 0, which JSON text cannot hold"),
    ("icl_prompt('t', 1, 'p', 'c', 'r', 3)", 'options are an integer; a JSON object such as {"name": value} is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '[]')", 'options are an array; a JSON object such as {"name": value} is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"shot\":3}')", 'unknown option "shot"; known options: variant, shots, max_tokens, bytes_per_token, max_chars, overflow, layout, words, header, closing, user, liked, disliked, response, return'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"variant\":\"both\"}')", 'option "variant" is "both"; one of winning_only|losing_only|losing_as_winning_only|winning_and_losing|none is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"shots\":-1}')", 'option "shots" is -1; a whole number from 0 to 9007199254740992 is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"max_tokens\":1.5}')", 'option "max_tokens" is 1.5; a whole number from 0 to 9007199254740992 is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"bytes_per_token\":0}')", 'option "bytes_per_token" is 0; a number from 0.1 to 1000 is required'),
    ("icl_prompt('t', 1, 'p', 'c', 'r', '{\"header\":5}')", 'option "header" is a number; text is required'),
]:
    fails(db, "SELECT " + sql, "icl_prompt: " + message)
fails(db, "SELECT icl_prompt('t', column1, 'p', 'c', 'r') FROM (VALUES (1), (2), (1))", "icl_prompt: two examples have rank 1; ranks are distinct within a group")
fails(db, "SELECT icl_prompt(column1, rowid, 'p', 'c', 'r') FROM (SELECT 't' AS column1, 1 AS rowid UNION ALL SELECT 'u', 2)", "icl_prompt: argument 1 (test_prompt): u, but t on the rows before; it must be the same on every row of a group")
fails(db, "SELECT icl_prompt('t', column1, 'p', 'c', 'r', column2) FROM (VALUES (1, '{}'), (2, NULL))", "icl_prompt: argument 6 (options): NULL, but {} on the rows before; it must be the same on every row of a group")
fails(db, "SELECT icl_prompt('t', 1, 'p', 'c')", "wrong number of arguments to function icl_prompt()")

# ---- chat_request ----
plain = {"model": "meta-llama/Meta-Llama-3-8B-Instruct", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "top_p": 0.95, "max_tokens": 512}


def request(options=None, custom_id="a/1", content="hi"):
    line = one("SELECT chat_request(?, ?, ?)", custom_id, content, json.dumps(options) if options is not None else None)
    ok("\n" not in line and "\r" not in line, f"one line: {options!s:.60}")
    return json.loads(line)


eq(one("SELECT chat_request('a/1', 'hi')"), '{"custom_id":"a/1","method":"POST","url":"/v1/chat/completions","body":' + json.dumps(plain, separators=(",", ":")) + "}", "C1 the line, byte by byte, with the published decoding")
eq(request({"endpoint": "completions"}), {"custom_id": "a/1", "method": "POST", "url": "/v1/completions", "body": {**{k: v for k, v in plain.items() if k != "messages"}, "prompt": "hi"}}, "C1 a plain completion, as the published runs")
full = request({"model": "m", "system": "be\n\"brief\"", "temperature": 0.7, "top_p": 1, "max_tokens": 7, "seed": 9007199254740992, "stop": ["User:", "\n\n"], "body": {"top_k": 40, "logit_bias": {"5": -1.5}, "n": 1}})
eq(full["body"], {"model": "m", "messages": [{"role": "system", "content": "be\n\"brief\""}, {"role": "user", "content": "hi"}], "temperature": 0.7, "top_p": 1, "max_tokens": 7, "seed": 9007199254740992, "stop": ["User:", "\n\n"], "top_k": 40, "logit_bias": {"5": -1.5}, "n": 1}, "C1 every option")
eq(request({"body": {"max_tokens": None, "max_completion_tokens": 9, "top_p": 0.5}})["body"], {"model": plain["model"], "messages": plain["messages"], "temperature": 0, "max_completion_tokens": 9, "top_p": 0.5}, "C1 body replaces defaults, null leaves one out")
eq(request({"stop": "END"})["body"]["stop"], "END", "C1 one stop text")
odd = "quote \" backslash \\ / line\nreturn\rtab\tbell\x07del\x7f é 漢 🙂 \u2028 </script>"
eq(request(None, odd, odd)["custom_id"], odd, "C1 custom_id: escapes")
eq(request(None, odd, odd)["body"]["messages"][0]["content"], odd, "C1 content: escapes")
eq(request(None, 17, 4.5)["custom_id"], "17", "R1 numbers are texts")
eq([one("SELECT chat_request(NULL, 'x')"), one("SELECT chat_request('x', NULL, 'no options')")], [None, None], "C1 NULL gives NULL")
eq(one("SELECT chat_request('x', '')")[:20], '{"custom_id":"x","me', "C1 an empty content is a content")
for args, message in [
    ("'', 'x'", "argument 1 (custom_id): empty text; answers are matched by it"),
    ("x'61', 'x'", "argument 1 (custom_id): a BLOB; text is required"),
    ("'x', x'61'", "argument 2 (content): a BLOB; text is required"),
    ("'x', 'a' || char(0)", "content: the character U+0000 at byte 1, which JSON text cannot hold"),
    ("CAST(x'80' AS TEXT), 'a'", "custom_id: invalid UTF-8 at byte 0, which JSON text cannot hold"),
    ("'x', 'a', 1", 'options are an integer; a JSON object such as {"name": value} is required'),
    ("'x', 'a', '{\"models\":\"m\"}'", 'unknown option "models"; known options: model, endpoint, system, temperature, top_p, max_tokens, seed, stop, body'),
    ("'x', 'a', '{\"max_tokens\":0}'", 'option "max_tokens" is 0; a whole number from 1 to 1000000000 is required'),
    ("'x', 'a', '{\"temperature\":\"hot\"}'", 'option "temperature" is text; a number is required'),
    ("'x', 'a', '{\"endpoint\":\"completions\",\"system\":\"s\"}'", 'option "system" needs "endpoint":"chat"; a completion has no system message'),
    ("'x', 'a', '{\"stop\":5}'", 'option "stop" is a number; text or an array of texts is required'),
    ("'x', 'a', '{\"stop\":[\"a\",null]}'", 'option "stop" holds null; text or an array of texts is required'),
    ("'x', 'a', '{\"body\":[1]}'", 'option "body" is an array; an object is required'),
    ("'x', 'a', '{\"body\":{\"messages\":[]}}'", 'option "body" has "messages", which the content becomes'),
    ("'x', 'a', '{\"body\":{\"model\":\"m\"}}'", 'option "body" has "model", which is an option of its own'),
    ("'x', 'a', '{\"body\":{\"stream\":true}}'", 'option "body" has "stream"; a batch is never streamed'),
    ("'x', 'a', '{\"body\":{\"n\":1,\"n\":2}}'", 'option "body" has "n" twice'),
    ("'x', 'a', '{\"top_p\":1,\"body\":{\"top_p\":1}}'", '"top_p" is given as an option and in option "body"'),
]:
    fails(db, f"SELECT chat_request({args})", "chat_request: " + message)

# Pure: usable in views of an untrusted schema and in indexes.
db.execute("PRAGMA trusted_schema = 0")
db.execute("CREATE VIEW v AS SELECT chat_request('x', 'y') AS line, (SELECT icl_prompt('t', 1, 'p', 'c', 'r')) AS prompt, (SELECT embed_user('[1]', '[2]')) AS e")
eq(db.execute("SELECT line IS NOT NULL, prompt IS NOT NULL, e IS NOT NULL FROM v").fetchone(), (1, 1, 1), "innocuous")
db.execute("CREATE INDEX many_request ON many(chat_request(rank, text))")
eq(one("SELECT count(*) FROM many WHERE chat_request(rank, text) = chat_request(7, 'x7')"), 1, "deterministic")
done()
