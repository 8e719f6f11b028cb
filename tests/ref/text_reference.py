"""An independent reading of text.h and style.h in plain Python: a regular-expression tokeniser, sets of strings instead
of hashes, one formula a score.  Only the word list is shared: it is data, read from core_lexicon.c."""
import math
import os
import re
from collections import Counter

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STYLE_NAMES = ["brevity", "caution", "depth", "drive", "ease", "narrative", "precision", "relevance", "structure", "warmth"]
FEATURE_NAMES = ["text_length", "num_unique_words", "avg_word_length", "num_stopwords", "num_punctuation", "num_format", "num_adjectives_adverbs"]


def read_lexicon():
    with open(os.path.join(ROOT, "ext", "core", "core_lexicon.c")) as f:
        return {w: frozenset(flags.split(" | ")) for w, flags in re.findall(r'\{"([a-z]+)", ([A-Z | ]+)\}', f.read())}


LEXICON = read_lexicon()
EXT = "\u200d\u20e3\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
HAN = ("\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
       "\uff66-\uff9d\U00020000-\U0003fffd")
MARKS = ("\u00d7\u00f7\u2010-\u2bff\u2e00-\u2e7f\u3001-\u3004\u3008-\u303f\ud800-\uf8ff\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff0f"
         "\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffff\U0001f000-\U0001faff\U000e0000-\U0010ffff")
WORD = rf"(?:(?![{EXT}{HAN}{MARKS}\s])[0-9A-Za-z\u00aa\u00b5\u00ba\u00c0-\U0010ffff])"
TOKEN = re.compile(rf"""(?P<space>\s+)
  |(?P<word>{WORD}(?:{WORD}|['\u2019\-._](?={WORD})|(?<=[0-9])[,:](?=[0-9]))*)(?P<wext>[{EXT}]*)
  |(?P<han>[{HAN}][{EXT}]*)
  |(?P<mark>(?:\.+|-+|\*+|_+|=+|~+|`+|\#+|\S)[{EXT}]*)""", re.X)
CLITIC = re.compile(r"(.+?)(n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m))", re.I | re.A | re.S)


class Token:
    def __init__(self, text, kind, at, breaks):
        self.text, self.kind, self.at, self.breaks = text, kind, at, breaks
        self.end = at + len(text)
        plain = kind == "word" and re.fullmatch("[A-Za-z]+", text)
        self.flags = LEXICON.get(text.lower(), frozenset()) if plain else frozenset()


def lower(c):
    if c <= "\x7f" or "\xc0" <= c <= "\xde" or "\u0100" <= c <= "\u012f" or "\u0132" <= c <= "\u017e" or "\u0391" <= c <= "\u03a9" or "\u0400" <= c <= "\u042f":
        return c.lower()
    return c


def fold(text):
    return "".join("'" if c == "\u2019" else lower(c) for c in text)


def tokens(text):
    out, breaks = [], 1
    for m in TOKEN.finditer(text):
        if m.group("space"):
            breaks = min(2, breaks + m.group().count("\n"))
            continue
        kind = next(k for k in ("word", "han", "mark") if m.group(k) is not None)
        if kind == "word":
            word, ext = m.group("word"), m.group("wext")
            kind = "number" if word[0] in "0123456789" else "word"
            split = CLITIC.fullmatch(word)
            if split:
                out.append(Token(split.group(1), kind, m.start(), breaks))
                out.append(Token(split.group(2) + ext, "clitic", m.start() + len(split.group(1)), 0))
            else:
                out.append(Token(word + ext, kind, m.start(), breaks))
        else:
            out.append(Token(m.group(), kind, m.start(), breaks))
        breaks = 0
    return out


def modifier(t):
    if t.kind == "clitic":
        return t.text[0] in "nN"
    if t.kind != "word":
        return False
    if t.flags & {"ADJ", "ADV"}:
        return True
    if t.flags & {"PLAIN", "STOP"} or len(t.text) > 63 or not re.fullmatch("[A-Za-z]+", t.text):
        return False
    w = t.text.lower()
    return len(w) >= 5 and w.endswith("ly") or len(w) >= 6 and w.endswith(("ous", "ful", "less", "able", "ible", "ive", "al", "ic", "ish"))


def text_features(text):
    ts = tokens(text)
    lines = re.findall(r"^\s*[-*\u2022]", text, re.M)
    numbered = re.findall(r"^\s*[0-9]+\.", text, re.M)
    return [len(ts), len({t.text for t in ts}), sum(len(t.text) for t in ts) / len(ts) if ts else 0, sum("STOP" in t.flags for t in ts),
            sum(c in r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~""" for c in text), len(lines) + len(numbered), sum(map(modifier, ts))]


def stem(text):
    if len(text) > 63 or not re.fullmatch("[A-Za-z]+", text):
        return fold(text)
    w = text.lower()
    if re.search("..ies$", w):
        w = w[:-3] + "y"
    elif re.search("...(?<!s)s$", w):
        w = w[:-1]
    if re.search("...ing$", w):
        w = w[:-3]
    elif re.search("...ed$", w):
        w = w[:-2]
    if re.search("...e$", w):
        w = w[:-1]
    if re.search(r"..(.)\1$", w):
        w = w[:-1]
    return w


AMOUNTS = set("many much long far old tall high fast big deep heavy large often".split())
AUX = set("is are was were do does did can could should would will has have had am may".split())


class Counts:
    def __init__(self, text):
        k = self.k = Counter()
        self.stems, words, sentence, last = [], [], 0, frozenset()
        self.asks_number = self.asks_verdict = False
        self.flags = set()
        for t in tokens(text):
            c, after = t.text[0], text[t.end:t.end + 1]
            k["paragraphs"] += t.breaks >= 2
            if t.breaks and sentence:
                k["sentences"] += 1
                sentence = 0
            if t.kind == "number" and t.breaks and after in (".", ")"):
                k["items"] += 1
                continue
            if t.kind == "clitic":
                k["contractions"] += not (t.text[-1] in "sS" and not last & {"STOP", "VERB"})
            elif t.kind == "mark":
                k["questions"] += c in "?\uff1f"
                k["exclaims"] += c in "!\uff01"
                k["quotes"] += 0.5 * (c in '"\u201c\u201d')
                k["emoji"] += "\u2600" <= c <= "\u27bf" or "\U0001f000" <= c <= "\U0001faff"
                k["code"] += c == "`"
                k["symbols"] += c in "=<>{}%$/+\\^\xb0\xb1\xd7\xf7\u2030" or "\u2190" <= c <= "\u22ff"
                k["bold"] += 0.5 * (c in "*_" and len(t.text) == 2)
                k["labels"] += c == ":" and after == "\n"
                if t.breaks:
                    k["items"] += c == "|" or c in "-*\u2022" and len(t.text) == 1 and after.isspace()
                    k["headings"] += c == "#"
                if c in ".!?\u2026\u3002\uff01\uff1f" and sentence:
                    k["sentences"] += 1
                    sentence = 0
            else:
                k["words"] += 1
                k["chars"] += len(t.text)
                for f in t.flags:
                    k[f] += 1
                self.flags |= t.flags
                k["numbers"] += t.kind == "number"
                k["verdict"] += k["words"] <= 6 and "VERDICT" in t.flags
                w = fold(t.text)
                if not sentence:
                    k["openers"] += "VERB" in t.flags
                    self.asks_verdict |= w in AUX
                self.asks_number |= bool(words) and words[-1] == "how" and w in AMOUNTS
                sentence += 1
                last = t.flags
                words.append(w)
                if "STOP" not in t.flags and (len(t.text) >= 2 or t.kind == "han"):
                    self.stems.append(stem(t.text))
        k["sentences"] += sentence > 0
        self.triples = list(zip(words, words[1:], words[2:]))


def style_rewards(prompt, response):
    p, a = Counts(prompt), Counts(response)
    k, words = a.k, a.k["words"]
    if not words:
        return [0.0] * 10

    def r(x):
        return 100 / (words + 25) * x

    def s(x, half):
        return x / (x + half)

    def c(x):
        return min(1.0, max(0.0, x))

    length = k["chars"] / words
    brevity = s(words, 1) * 40 / (40 + words)
    caution = s(r(k["HEDGE"] + k["questions"] / 2), 4)
    depth = 2 / 5 * s(len(set(a.stems)), 40) + 2 / 5 * s(r(k["REASON"]), 3) + 1 / 5 * c((length - 3.5) / 2.5)
    drive = s(r(k["openers"] + k["DRIVE"] + k["exclaims"] / 2), 6)
    ease = 3 / 5 * s(r(k["contractions"] + k["CASUAL"]), 6) + 1 / 5 * c((6 - length) / 2.5) + 1 / 5 * s(12 * k["sentences"] / words, 1)
    narrative = s(r(k["PAST"] + k["STORY"] + k["PERSON"] / 2 + k["quotes"]), 12)
    precision = s(r(k["numbers"] + k["NUMBER"] / 2 + k["UNIT"] + k["TECH"] + k["code"] + k["symbols"] / 2), 8)
    P, A = set(p.stems), set(a.stems)
    overlap = 0.0
    if P and a.stems:
        copied = sum(t in set(p.triples) for t in a.triples) / len(a.triples) if a.triples else 0
        hits = sum(x in P for x in a.stems)
        overlap = math.sqrt(len(P & A) / len(P) * c(4 * hits / len(a.stems))) * (1 - copied)
    form = []
    if "LIST" in p.flags:
        form.append(s(k["items"], 2))
    if p.asks_number:
        form.append(k["numbers"] + k["NUMBER"] > 0)
    if p.asks_verdict and p.k["questions"]:
        form.append(k["verdict"] > 0)
    if "BRIEF" in p.flags:
        form.append(40 / (40 + words))
    if "TALE" in p.flags:
        form.append(narrative)
    if "CODE" in p.flags:
        form.append(k["code"] > 0)
    relevance = 7 / 10 * overlap + 3 / 10 * (sum(form) / len(form)) if form else overlap
    structure = 1 / 2 * s(k["items"] + 2 * k["headings"] + k["labels"], 3) + 1 / 5 * s(k["paragraphs"] + k["bold"], 3) + 3 / 10 * s(r(k["ORDER"]), 3)
    warmth = s(r(k["WARM"] + k["YOU"] / 4 + k["exclaims"] / 4 + 3 * k["emoji"]), 5)
    return [brevity, caution, depth, drive, ease, narrative, precision, relevance, structure, warmth]


M64 = (1 << 64) - 1


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & M64
    return x ^ (x >> 31)


def hash_text(text, seed):
    h = 0xCBF29CE484222325 ^ seed
    for c in text:
        h = (h ^ ord(c)) * 0x100000001B3 & M64
    return mix(h)


def text_embedding(text, dim):
    """In f64, before the rounding to f32."""
    tf, before = Counter(), None
    for t in tokens(text):
        if t.kind == "clitic" or t.kind == "mark" and t.text[0] < "\x80" or "STOP" in t.flags:
            continue
        w = fold(t.text)
        h = hash_text(w, 0)
        tf[h & ~3] += 1
        if before is not None:
            tf[mix((before * 0x9E3779B97F4A7C15 + h) & M64) & ~3 | 1] += 1
        before = h
        if t.kind in ("word", "number"):
            w = "<" + w + ">"
            for n in (3, 4, 5):
                for i in range(len(w) - n + 1):
                    tf[hash_text(w[i:i + n], n) & ~3 | 2] += 1
    out = [0.0] * dim
    for h in sorted(tf):
        out[(h >> 16 & 0xFFFFFFFF) * dim >> 32] += (-1 if h >> 63 else 1) * (1, 0.5, 0.25)[h & 3] * math.sqrt(tf[h])
    norm = 0.0
    for x in out:
        norm += x * x
    norm = math.sqrt(norm)
    return [x / norm for x in out] if norm else out
