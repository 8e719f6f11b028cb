"""The error messages that the sources in ext/ can give, found by reading them.

A message is the format of a call that makes an error: pllm_fail and its relatives (MAKERS).  Where the format is a choice
(a ? "..." : "...") each branch is one; a macro stands for its literals.  Messages that differ in their numbers and
names only are one; the format "%s" passes on what was made elsewhere.
"""
import os
import re

MAKERS = ("pllm_fail", "pllm_error_prefix", "pllm_store_error", "sqlite3_mprintf")
TOKEN = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\w+|\s+|.""", re.S)
# What a conversion prints, as a pattern.
CONVERSION = re.compile(r"%(?:%|[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?([a-zA-Z]))")
PRINTS = {"d": r"-?\d+", "i": r"-?\d+", "u": r"\d+", "c": ".", "x": "[0-9a-f]+", "X": "[0-9A-F]+", "g": r"[-+.\w]+", "f": r"[-+.\w]+"}


def _unquoted(literal):
    return literal[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")


def _tokens(text):
    return [t for t in TOKEN.findall(text) if not t.isspace() and not t.startswith(("/*", "//"))]


def _macros(texts):
    """{name: value tokens} of the macros that hold literals."""
    found = {}
    for text in texts:
        for name, value in re.findall(r"^#define (\w+)\s+((?:.*\\\n)*.*)$", text, re.M):
            tokens = _tokens(value.replace("\\\n", "\n"))
            if any(t.startswith('"') for t in tokens):
                found[name] = tokens
    return found


def _literals(tokens):
    """The literals of an argument, neighbours joined; those that a comparison needs are not messages, but end up here too."""
    found, joined = [], None
    for t in tokens:
        if t.startswith('"'):
            joined = (joined or "") + _unquoted(t)
        elif joined is not None:
            found.append(joined)
            joined = None
    return found + ([joined] if joined is not None else [])


def messages(root):
    """{format: set of files} of every error message of the sources."""
    files = {}
    for at, _, names in os.walk(os.path.join(root, "ext")):
        for name in names:
            if name.endswith((".c", ".h")):
                with open(os.path.join(at, name), encoding="utf-8") as f:
                    files[os.path.relpath(os.path.join(at, name), root)] = f.read()
    macros, found = _macros(files.values()), {}
    for path, text in sorted(files.items()):
        tokens = _tokens(text)
        for i, t in enumerate(tokens):
            if t not in MAKERS or tokens[i + 1:i + 2] != ["("]:
                continue
            depth, argument, done = 0, [], False
            for u in tokens[i + 1:]:
                depth += (u in "([{") - (u in ")]}")
                if depth == 0 or depth == 1 and u == ",":
                    done = any(a.startswith('"') for a in argument)
                    if done or depth == 0:
                        break
                    argument = []
                elif not (u == "(" and depth == 1):
                    argument += macros.get(u, [u])
            for message in _literals(argument) if done else []:
                if not CONVERSION.sub("", message).strip(" :\"',;()"):
                    continue
                if t == "sqlite3_mprintf" and not _is_message(message):
                    continue
                found.setdefault(message, set()).add(path)
    return found


def _is_message(text):
    """sqlite3_mprintf also writes SQL; a message has its place in front."""
    return re.match(r"(%s|persona_\w+|personalllm)( table %s\.%s)?:", text) is not None


def pattern(message):
    """A regular expression for what the message prints, to its end."""
    out, at = "", 0
    for m in CONVERSION.finditer(message):
        out += re.escape(message[at:m.start()]) + ("%" if m[0] == "%%" else PRINTS.get(m[1], ".*"))
        at = m.end()
    return re.compile(out + re.escape(message[at:]))
