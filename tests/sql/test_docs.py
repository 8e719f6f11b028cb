"""The documentation against the code: README.md and docs/reference.md say what the extension does, docs/definitions.md what
it reproduces.

  - Every SQL name that the extension registers has a section in the reference (a heading `name`), and the other way
    round; its signature has the registered arguments; it names every column and every option the parser knows.
  - Every ```sql block is run by the sqlite3 shell in the repository's root, and prints exactly the ```text block that
    follows it (nothing where none follows).
  - Every link within the repository leads to a file, and to a heading of it; a table of contents has all headings.

How to write a section: a heading "### `name`" (with its line in the contents), a signature in a fence without language,
prose, tables, and at least one ```sql block.  `make docs` writes what the examples print into the ```text blocks: read
the diff.
Each ```sql block of the reference runs in a shell of its own, on a database made by the page's first ```sql block; blocks
of one section share the database, sections do not.  A README block starts with an empty database.
"""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

# A statement for every function with options that makes its parser list the keys it knows.
UNKNOWN = "'{\"no such key\": 1}'"
KNOWN_OPTIONS = {
    "adapt_user": f"SELECT adapt_user('[1]', '[2]', {UNKNOWN})",
    "adapt_user_choices": f"SELECT adapt_user_choices(1, '[1]', 'best', {UNKNOWN})",
    "adapt_user_ratings": f"SELECT adapt_user_ratings('[1]', 2, {UNKNOWN})",
    "chat_request": f"SELECT chat_request('x', 'y', {UNKNOWN})",
    "distill_rewards": f"SELECT distill_rewards('[1]', '[1]', {UNKNOWN})",
    "distill_text": f"SELECT distill_text('x', 'y', '[1]', {UNKNOWN})",
    "fit_logistic": f"SELECT fit_logistic(1, '[1]', {UNKNOWN})",
    "icl_prompt": f"SELECT icl_prompt('x', 1, 'y', 'z', 'z', {UNKNOWN})",
    "learn_users": f"SELECT learn_users(1, '[1]', '[2]', {UNKNOWN})",
    "learn_users_choices": f"SELECT learn_users_choices(1, 1, '[1]', 'best', {UNKNOWN})",
    "persona_adapt": f"SELECT * FROM persona_adapt('pairs', NULL, {UNKNOWN})",
    "persona_chart": f"SELECT persona_chart('winners', {UNKNOWN})",
    "persona_choices": f"SELECT * FROM persona_choices('users', {UNKNOWN})",
    "persona_evaluate": f"SELECT * FROM persona_evaluate('users', 'users', 'test', {UNKNOWN})",
    "persona_export": f"SELECT persona_export('x', 'test', {UNKNOWN})",
    "persona_import": f"SELECT persona_import('x', 'test', {UNKNOWN})",
    "persona_interactions": f"SELECT * FROM persona_interactions('users', 'test', 1, 'rating', 1, {UNKNOWN})",
    "persona_neighbors": f"SELECT * FROM persona_neighbors('users', 'users', 1, {UNKNOWN})",
    "persona_report": f"SELECT persona_report('x', {UNKNOWN})",
    "persona_responses": "CREATE VIRTUAL TABLE r USING persona_responses(no_such_key=1)",
    "persona_users": "CREATE VIRTUAL TABLE u USING persona_users(no_such_key=1)",
    "persona_votes": f"SELECT * FROM persona_votes('users', 'test', {UNKNOWN})",
    "read_jsonl": f"SELECT * FROM read_jsonl('x', {UNKNOWN})",
}
# Tables that are made by CREATE VIRTUAL TABLE; everything else in pragma_module_list is called like a function.
TABLES = {"persona_prompts": "prompts", "persona_responses": "responses", "persona_users": "users"}


class Page:
    """A Markdown page: its lines, headings, fenced blocks."""

    def __init__(self, name):
        self.name, self.path = name, os.path.join(ROOT, name)
        with open(self.path, encoding="utf-8") as f:
            self.lines = f.read().split("\n")
        self.sections, self.blocks = [["", ""]], []  # [heading, text]; dicts
        fence = None
        for i, line in enumerate(self.lines):
            if fence:
                if line == "```":
                    fence["end"] = i
                    fence = None
            elif line.startswith("```"):
                fence = {"kind": line[3:], "start": i, "section": len(self.sections) - 1}
                self.blocks.append(fence)
            elif re.match("#+ ", line):
                self.sections.append([line.lstrip("#").strip(), ""])
            self.sections[-1][1] += line + "\n"

    def text(self, block):
        return "\n".join(self.lines[block["start"] + 1:block["end"]])

    def expected(self, block):
        """The ```text block that follows with nothing but blank lines between, or None."""
        at = self.blocks.index(block) + 1
        if at == len(self.blocks) or self.blocks[at]["kind"] != "text":
            return None
        between = self.lines[block["end"] + 1:self.blocks[at]["start"]]
        return None if any(line.strip() for line in between) else self.blocks[at]

    def sql(self):
        return [b for b in self.blocks if b["kind"] == "sql"]

    def fill(self, outputs):
        """Write outputs[block start] below the blocks, from the last to the first so that line numbers stay good."""
        for block in reversed(self.sql()):
            printed, old = outputs[block["start"]], self.expected(block)
            new = ["```text"] + printed.split("\n") + ["```"] if printed else []
            if old:
                self.lines[old["start"]:old["end"] + 1] = new
            elif new:
                self.lines[block["end"] + 1:block["end"] + 1] = [""] + new
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.lines))


def under(*folders):
    """The Markdown pages in folders of the repository."""
    found = [os.path.join(at, p) for folder in folders for at, _, names in os.walk(os.path.join(ROOT, folder)) for p in names]
    return sorted(os.path.relpath(p, ROOT) for p in found if p.endswith(".md"))


def anchor(heading):
    """What GitHub makes of a heading."""
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")


def dead_links(page):
    """Links to files that are not there, or to headings that their page does not have."""
    dead = []
    for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([^)]*))?\)", "\n".join(page.lines)):
        path = os.path.join(os.path.dirname(page.path), target) if target else page.path
        if not os.path.exists(path) or heading and heading not in [anchor(h) for h, _ in Page(path).sections]:
            dead.append(f"{target}#{heading}" if heading else target)
    return dead


def shell(database, sql, load=True):
    """What the sqlite3 shell prints, errors in their place, as it would to a terminal (no line numbers)."""
    sql = sql.replace("build/", BUILD + "/")
    command = ["stdbuf", "-oL", "sqlite3", "-batch", "-init", os.devnull]
    command += ["-cmd", f".load {EXTENSION}"] if load else []
    done = subprocess.run(command + [database], input=sql, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
                          encoding="utf-8", timeout=120)
    lines = [re.sub(r"^(\w+ error) near line \d+:", r"\1:", line.rstrip()) for line in done.stdout.replace(BUILD + "/", "build/").split("\n")]
    return "\n".join(lines).strip("\n")


def run(page, folder, shared):
    """{block start: output}.  shared: the first block makes the database that every section starts from."""
    base, section, outputs = os.path.join(folder, "base.db"), None, {}
    for n, block in enumerate(page.sql()):
        database = os.path.join(folder, f"{n}.db")
        if shared and n == 0:
            database = base
        elif shared and section == block["section"]:
            database = last
        elif shared:
            shutil.copy(base, database)
        section, last = block["section"], database
        outputs[block["start"]] = shell(database, page.text(block), load=shared and n > 0)
    return outputs


def arity(signature):
    """persona_vector(x [, from] [, to]) -> BLOB: its argument names, and the numbers of arguments it takes; with "..." any, -1."""
    inside = signature[signature.index("(") + 1:signature.index(")")]
    names = [a for a in re.split(r"[\[\], ]+", inside) if a]
    least = len([a for a in re.split(r"[, ]+", re.sub(r"\[.*\]", "", inside)) if a])
    return names, {-1} if "..." in names else set(range(least, len(names) + 1))


if __name__ == "__main__":
    pages = {name: Page(name) for name in ["README.md"] + under("docs")}
    outputs = {name: run(page, scratch(), name != "README.md") for name, page in pages.items()}
    if "--fill" in sys.argv:
        for name, page in pages.items():
            page.fill(outputs[name])
        sys.exit()
    for name, page in pages.items():
        for block in page.sql():
            want = page.expected(block)
            eq(outputs[name][block["start"]].split("\n"), (page.text(want) if want else "").split("\n"),
               f"{name} line {block['start'] + 1}: the example prints what the page says")
        headings = [h for h, _ in page.sections]
        if "Contents" in headings:
            at = headings.index("Contents")
            eq(re.findall(r"\]\(#([^)]*)\)", page.sections[at][1]), [anchor(h) for h in headings[at + 1:]],
               f"{name}: the table of contents has every heading, in order")
    for name in ["README.md"] + under("docs", "sql", "examples", "tests"):
        eq(dead_links(Page(name)), [], f"{name}: links lead somewhere")

    # The names: before and after loading.
    page = pages["docs/reference.md"]
    plain = sqlite3.connect(":memory:")
    listing = "SELECT name, narg FROM pragma_function_list", "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma\\_%' ESCAPE '\\'"
    before = [set(plain.execute(sql)) for sql in listing]
    db = connect()
    functions, modules = [set(db.execute(sql)) - b for sql, b in zip(listing, before)]
    nargs = {}
    for name, n in functions:
        nargs.setdefault(name, set()).add(n)
    modules = {name for name, in modules}
    ok(len(nargs) > 10 and len(modules) > 8, "the extension registers functions and modules", f"{nargs} {modules}")
    sections = {h.strip("`"): (i, text) for i, (h, text) in enumerate(page.sections) if re.fullmatch("`.*`", h)}
    eq(sorted(sections), sorted(set(nargs) | modules), "the reference has a section for every registered name, and for nothing else")

    # Each section: signature, columns, options, an example.
    db.execute("CREATE TABLE pairs(user_id, chosen, rejected)")
    for sql in ("persona_prompts()", "persona_responses(a, b)", "persona_users()"):
        db.execute(f"CREATE VIRTUAL TABLE {TABLES[sql[:sql.index('(')]]} USING {sql}")
    for name, (index, text) in sorted(sections.items()):
        mine = [b for b in page.blocks if b["section"] == index]
        ok(any(b["kind"] == "sql" and page.expected(b) for b in mine), f"{name}: has an example with its output")
        signatures = [s for b in mine if b["kind"] == "" for s in page.text(b).split("\n")]
        said = [arity(s) for s in signatures if s.startswith(name + "(")]
        if name in nargs:
            eq(set().union(*(n for _, n in said)), nargs[name], f"{name}: the signature takes as many arguments as the function")
        elif name not in TABLES:
            rows = db.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)).fetchall()
            arguments = [n for n, hidden in rows if hidden and n != "skipped"]
            eq([names for names, _ in said], [arguments], f"{name}: the signature has the arguments of the table")
            eq([n for n, hidden in rows if not hidden and f"`{n}`" not in text], [], f"{name}: every column is named")
        else:
            rows = db.execute("SELECT name FROM pragma_table_xinfo(?) WHERE name NOT IN ('a', 'b')", (TABLES[name],))
            eq([n for n, in rows if f"`{n}`" not in text], [], f"{name}: every column is named")
        if name in KNOWN_OPTIONS:
            try:
                message = f"no error, but {db.execute(KNOWN_OPTIONS[name]).fetchall()}"
            except sqlite3.Error as e:
                message = str(e)
            known = re.search(r"known (?:options|arguments): (.*)", message)
            ok(known, f"{name}: lists what it knows", message)
            keys = [k for k in known[1].split(", ") if k != "none"] if known else []
            eq([k for k in keys if f"`{k}`" not in text], [], f"{name}: every option is named")
        else:
            ok("options" not in [a for names, _ in said for a in names],
               f"{name}: has no options, or a line in KNOWN_OPTIONS")

    # Defaults, where the code can be asked for them.
    cells = lambda name: dict(re.findall(r"^\| `(\w+)` \| `([^|`]*)` \|", sections.get(name, (0, ""))[1], re.M))
    want = {}
    for options, in db.execute("SELECT defaults FROM persona_methods() WHERE function = 'adapt_user_choices'"):
        want.update({k: json.dumps(v) for k, v in json.loads(options).items()})
    eq(cells("adapt_user_choices"), want, "adapt_user_choices: the table of options has the defaults of persona_methods()")
    want = dict(db.execute("SELECT key, max(value) FROM users_declaration WHERE key NOT IN ('format', 'model') GROUP BY key"))
    got = cells("persona_users")
    eq({k: got.get(k) for k in want}, {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in want.items()},
       "persona_users: the table of arguments has the defaults of a declaration")

    # The demonstration runs to its end.
    demo = subprocess.run(["sqlite3", ":memory:"], input=open(os.path.join(ROOT, "examples/demo.sql"), encoding="utf-8").read()
                          .replace("build/personalllm", EXTENSION), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, encoding="utf-8", timeout=300)
    ok(demo.returncode == 0 and demo.stderr == "", "examples/demo.sql runs without an error", demo.stderr)
    done()
