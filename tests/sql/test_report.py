"""persona_report: what the page says, that nothing in it breaks out of its place, and that a browser draws all of it.

The second part needs Chromium and build/report/vega.js (`make test-report` gets both) and is skipped without them.
"""
import html.parser
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
try:
    import jsonschema
except ImportError:
    jsonschema = None
import browser
from tap import *
from tap import BUILD, ROOT

VEGA = os.path.join(BUILD, "report", "vega.js")
SCHEMA = os.path.join(BUILD, "report", "node_modules", "vega-lite", "build", "vega-lite-schema.json")
FIGURES = ["diversity", "winners", "win_rates", "entropy", "coefficients", "fewshot", "continual", "leaderboard"]
EVIL = "</script><script>window.broken = 1</script><!-- \"'&amp; <b>😀\u2028"
folder = scratch()

db = connect()
load(db)
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0)")
db.execute("CREATE VIRTUAL TABLE even USING persona_users(count=200, alpha=10, seed=1)")


def report(name, on=db, **options):
    path = os.path.join(folder, name)
    return on.execute("SELECT persona_report(?, ?)", (path, json.dumps(options) if options else None)).fetchone()[0], path


class Page(html.parser.HTMLParser):
    """A page's elements; complains about what does not nest."""
    VOID = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self, path):
        super().__init__()
        self.stack, self.wrong, self.found, self.words, self.scripts = [], [], [], [], []
        with open(path, encoding="utf-8", newline="") as f:
            self.source = f.read()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        if tag not in self.VOID:
            self.stack.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    def all(self, tag, **attributes):
        return [a for t, a in self.found if t == tag and all(a.get(k.rstrip("_")) == v for k, v in attributes.items())]

    def text(self):
        return "".join(self.words)


def sound(page, name):
    eq((page.wrong, page.stack), ([], []), f"{name}: every element ends where it must")
    ids = [a["id"] for _, a in page.found if "id" in a]
    eq(len(ids), len(set(ids)), f"{name}: no id twice")
    eq([a["href"] for a in page.all("a") if a["href"].lstrip("#") not in ids], [], f"{name}: every link leads somewhere")
    eq([a["aria-labelledby"] for a in page.all("section") if a["aria-labelledby"] not in ids], [], f"{name}: sections have names")
    eq([t for t, a in page.found if {"src", "srcset", "action", "data"} & set(a)], [], f"{name}: nothing is fetched")
    ok("default-src 'none'" in page.all("meta")[2]["content"], f"{name}: and nothing may be")
    levels = [int(t[1]) for t, _ in page.found if t in ("h1", "h2", "h3")]
    ok(levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:])), f"{name}: headings in order")


# ---- a bare database ----
bare = connect()
n, path = report("bare.html", bare)
page = Page(path)
eq(n, 0, "a bare database: no figure")
sound(page, "bare")
for name, lacks in (("diversity", "persona_votes: argument 1 (population): no such table: users"), ("win_rates", "no such table: responses"),
                    ("winners", "persona_votes: argument 1 (population): no such table: users"), ("entropy", "no such table: prompts")):
    ok(f"{name}: {lacks}" in page.text(), f"bare: says what {name} lacks")
for name in ("coefficients", "fewshot", "continual", "leaderboard"):
    ok(f"{name}: no such table: {name}; sql/" in page.text(), f"bare: says what makes {name}")
ok("Prompts and responses: no such table: prompts" in page.text(), "bare: says that there are no prompts")
ok("Runs of language models: no such table: runs" in page.text(), "bare: says that there are no runs")

# ---- the demo data, without and with a chart library ----
n, path = report("plain.html", title="A <b>title</b> & \"more\"")
page = Page(path)
sound(page, "plain")
eq(n, 4, "figures that need no results table")
eq([a["id"] for a in page.all("section")], ["data"] + FIGURES[:4] + ["prompts", "absent"], "plain: the sections")
ok("<b>title" not in page.source and page.text().count("A <b>title</b> & \"more\"") == 2, "plain: the title is text")
ok("without the chart library" in page.text() and not page.scripts and not page.all("div", class_="chart"), "plain: says so, and runs nothing")
ok("reward models" in page.text().lower() and "narrative" in page.text() and "persona_users(count=200, alpha=10, seed=1)" in page.text(),
   "plain: what is in the database")
divided = [r for r in db.execute("SELECT prompt_id, max(best_votes) FROM persona_votes('users', 'test') GROUP BY 1 ORDER BY 2, 1")]
for prompt_id, _ in divided[:3]:
    ok(f"Prompt {prompt_id}: users disagree" in page.text(), f"plain: prompt {prompt_id} divides")
for prompt_id, _ in divided[-2:]:
    ok(f"Prompt {prompt_id}: users agree" in page.text(), f"plain: prompt {prompt_id} unites")
bars = [a["style"] for a in page.all("span", class_="bar")]
ok(len(bars) > 20 and "width:100.0%" in bars, "plain: tables have bars")
with open(os.path.join(folder, "library.js"), "w") as f:
    f.write("window.library = 1;")
n, path = report("charts.html", library=os.path.join(folder, "library.js"), population=["users", "even"], split="train")
page = Page(path)
sound(page, "charts")
ok("window.library = 1;" in page.scripts[-2], "charts: the library is in the page")
specs = [json.loads(s) for s in page.scripts[:-2]]
eq(specs, [json.loads(db.execute("SELECT persona_chart(?, '{\"population\": [\"users\", \"even\"], \"split\": \"train\", \"width\": 0}')",
                                 (f,)).fetchone()[0]) for f in FIGURES[:4]], "charts: persona_chart's own")
headers = [a for a in page.all("th") if a.get("scope") not in ("col", "row")]
eq((len(page.all("table")), headers), (3 + 4, []), "charts: a table behind each figure, its headers marked")

# ---- texts that want out ----
db.execute("UPDATE responses SET text = ?, model = ? WHERE response_id % 2", (EVIL, EVIL))
db.execute("UPDATE prompts SET text = ?", (EVIL + "\r\n\x01\t é",))
db.execute(f"CREATE TABLE leaderboard AS SELECT ? AS method, 1 AS score, 0.5 AS low, 2 AS high", (EVIL,))
db.execute("CREATE TABLE coefficients(feature, low, q1, median, q3, high, published)")
db.executemany("INSERT INTO coefficients VALUES (?, ?, ?, ?, ?, ?, ?)",
               [(f, i - 5, i - 4, i - 3, i - 2, i - 1, i - 3.5) for i, f in enumerate((EVIL, "text_length", "num_format"))])
db.execute("CREATE TABLE continual(method, turn, regret, low, high)")
db.executemany("INSERT INTO continual VALUES (?, ?, ?, ?, ?)",
               [(m, t, k / t, k / t - 0.1, k / t + 0.1) for k, m in enumerate((EVIL, "window of 5", "none"), 1) for t in range(1, 41)])
db.execute("CREATE TABLE fewshot AS SELECT method, turn AS interactions, 1 - regret / 4 AS captured_share FROM continual WHERE turn IN (1, 3, 5, 10)")
db.execute("INSERT INTO continual VALUES (NULL, 41, NULL, NULL, NULL)")
with open(f"{ROOT}/sql/generation_tables.sql") as f:
    tables = f.read()
db.executescript(tables[tables.index("CREATE TABLE IF NOT EXISTS runs("):].split(";\n")[0])
db.execute("INSERT INTO runs(run, n, tasks, total_score, win_best) VALUES (?, 9, 10, 0.25, 12.5)", (EVIL,))
n, path = report("evil.html", library=os.path.join(folder, "library.js"))
page = Page(path)
eq(n, 8, "every figure")
sound(page, "evil")
ok(EVIL in page.text() and not page.all("b"), "evil: shown as text")
ok(page.all("section", id="runs") and "% wins against best" in page.text() and "12.5" in page.text(), "evil: runs are listed")
eq(len(page.scripts), 8 + 2, "evil: no script but ours")
eq(json.loads(page.scripts[7])["data"]["values"][0]["method"], EVIL, "evil: the same in the specifications")
ok("\x01" not in page.source and "\r" not in page.source, "evil: no control characters in the page")
ok("Bars: score. Lines: intervals." in page.text() and "Bars: score." in json.loads(page.scripts[7])["description"], "how to read it")

# ---- errors ----
path = os.path.join(folder, "plain.html")
fails(db, "SELECT persona_report(?)", f'persona_report: {path} exists; {{"overwrite": true}} replaces it', args=(path,))
before = os.path.getmtime(path)
time.sleep(0.01)
report("plain.html", overwrite=True)
ok(os.path.getmtime(path) > before, "overwrite replaces it")
fails(db, "SELECT persona_report(NULL)", "persona_report: argument 1 (path): NULL; text is required")
fails(db, "SELECT persona_report('x', '{\"color\": 1}')",
      'persona_report: unknown option "color"; known options: library, overwrite, population, split, title')
fails(db, "SELECT persona_report('x', '{\"library\": \"/no/such.js\"}')",
      'persona_report: option "library": cannot read /no/such.js: No such file or directory')
fails(db, "SELECT persona_report('x', ?)", f'persona_report: option "library": cannot read {folder}: Is a directory',
      args=(json.dumps({"library": folder}),))
for text in ("var a = '</SCRIPT >'", "a<!--b", "a\0b"):
    with open(os.path.join(folder, "bad.js"), "w") as f:
        f.write(text)
    fails(db, "SELECT persona_report('x', ?)", f'persona_report: option "library": {folder}/bad.js holds a NUL character, </script '
          "or <!--, which would end the page's script early", f"a library with {text!r}",
          args=(json.dumps({"library": os.path.join(folder, "bad.js")}),))
fails(db, "SELECT persona_report('/no/such/folder/x.html')",
      "persona_report: cannot create a file beside /no/such/folder/x.html: No such file or directory")
db.execute("CREATE VIEW v AS SELECT persona_report('x')")
fails(db, "SELECT * FROM v", "unsafe use of persona_report()")
db.execute("DROP VIEW v")
db.execute("CREATE VIEW everyone AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
           "SELECT i AS user_id, '[1,0,0,0,0,0,0,0,0,0]' AS weights FROM n")
threading.Timer(0.3, db.interrupt).start()
fails(db, "SELECT persona_report(?, '{\"population\": \"everyone\"}')",
      "persona_report: diversity: persona_votes: interrupted", "an interrupt ends it", args=(os.path.join(folder, "never.html"),))
ok(not [f for f in os.listdir(folder) if f.startswith("never")], "and leaves no file")

# ---- in a browser ----
DRAWN = """(function () {
  return Array.from(document.querySelectorAll('script[data-chart]')).map(function (script) {
    var svg = script.parentNode.querySelector('.chart svg'), box = svg && svg.getBoundingClientRect();
    return {name: script.dataset.chart, width: box ? box.width : 0, height: box ? box.height : 0,
            label: (script.parentNode.querySelector('[role=graphics-document]') || script).getAttribute('aria-label'),
            marks: svg ? svg.querySelectorAll('.mark-rect path, .mark-line path, .mark-symbol path, .mark-area path').length : 0,
            bad: svg ? /NaN|Infinity/.test(svg.outerHTML) : true,
            open: script.parentNode.querySelector('details').open};
  });
})()"""
# The smallest contrast between the colours of text and of what it stands on, over all visible text.
CONTRAST = """(function () {
  function light(c) {
    var v = c.match(/[\\d.]+/g).slice(0, 3).map(function (x) { x /= 255; return x <= 0.03928 ? x / 12.92 : Math.pow((x + 0.055) / 1.055, 2.4); });
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
  }
  function back(e) {
    for (; e; e = e.parentElement) {
      var c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
  }
  var least = 99;
  Array.from(document.querySelectorAll('h1,h2,h3,p,a,th,td,figcaption,summary,blockquote,footer,.chart svg text')).forEach(function (e) {
    if (!e.getClientRects().length || !e.textContent.trim()) return;
    var ink = light(e.tagName === 'text' ? getComputedStyle(e).fill : getComputedStyle(e).color), paper = light(back(e));
    least = Math.min(least, (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
  });
  return least;
})()"""
VIEWS = {"desktop": {"width": 1100}, "phone, dark": {"width": 360, "height": 740, "mobile": True, "dark": True}}

if not browser.BINARY:
    skip("the report in a browser", "there is no Chromium: make test-report installs it")
elif not os.path.exists(VEGA):
    skip("the report in a browser", f"there is no {os.path.relpath(VEGA, ROOT)}: make test-report gets it from npm")
else:
    n, path = report("drawn.html", library=VEGA)
    if jsonschema and os.path.exists(SCHEMA):
        with open(SCHEMA, encoding="utf-8") as f:
            schema = json.load(f)
        schema = jsonschema.validators.validator_for(schema)(schema)
        for name, text in zip(FIGURES, Page(path).scripts):
            spec = json.loads(text)
            spec["data"]["values"] = spec["data"]["values"][:3]
            ok(schema.is_valid(spec), f"{name}: a specification by Vega-Lite's own schema")
    else:
        skip("Vega-Lite's own schema", "there is no python3-jsonschema or no vega-lite-schema.json")
    chromium = browser.Browser()
    try:
        for view, options in VIEWS.items():
            chromium.open(path, **options)
            ok(chromium.wait("document.documentElement.dataset.drawn === '8'"), f"{view}: eight figures are drawn")
            drawn = chromium.run(DRAWN)
            eq([d["name"] for d in drawn], FIGURES, f"{view}: these eight")
            said = {f: json.loads(s)["description"] for f, s in zip(FIGURES, Page(path).scripts)}
            for d in drawn:
                ok(d["marks"] > 0 and not d["bad"] and d["width"] > 200 and d["height"] > 60, f"{view}: {d['name']} has marks", d)
                ok(d["label"] == said[d["name"]] and not d["open"], f"{view}: {d['name']} has words and a table", d)
            eq(chromium.complaints(), [], f"{view}: the console is silent")
            eq(chromium.requests(), [], f"{view}: no request")
            eq(chromium.run("document.documentElement.scrollWidth"), options["width"], f"{view}: nothing sticks out")
            contrast = chromium.run(CONTRAST)
            ok(contrast >= 4.5, f"{view}: text has a contrast of 4.5 and more", contrast)
            ok(chromium.run("window.broken === undefined && document.querySelectorAll('script').length === 10"), f"{view}: no text became code")
            ok(chromium.run("document.querySelector('.responses blockquote').textContent") in
               (EVIL, db.execute("SELECT text FROM responses WHERE response_id % 2 = 0 LIMIT 1").fetchone()[0])
               or chromium.run("document.body.textContent").count(EVIL) > 3, f"{view}: texts are shown as they are")
            ok(chromium.run("(function () { var s = document.querySelector('#winners details.numbers'); s.querySelector('summary').click(); "
                            "return s.open && s.querySelector('table').getBoundingClientRect().height > 50; })()"), f"{view}: the table opens")
        chromium.call("Emulation.setEmulatedMedia", media="screen", features=[{"name": "prefers-color-scheme", "value": "light"}])
        ok(chromium.wait("document.documentElement.dataset.drawn === '8' && "
                         "getComputedStyle(document.querySelector('.chart svg text')).fill === 'rgb(28, 32, 36)'"),
           "charts follow when the device turns light")
        chromium.open(path, width=800, scripts=False)
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
        ok(chromium.run("Array.from(document.querySelectorAll('details.numbers')).every(function (d) { return d.open; })"),
           "without scripts the tables stand open")
        chromium.open(os.path.join(folder, "plain.html"), width=360, mobile=True)
        eq((chromium.complaints(), chromium.requests()), ([], []), "the page without charts is silent too")
        if len(sys.argv) > 1:  # pictures for the eye
            for view, options in VIEWS.items():
                chromium.open(path, **options)
                chromium.wait("document.documentElement.dataset.drawn === '8'")
                chromium.picture(os.path.join(sys.argv[1], view.split(",")[0] + ".png"))
    finally:
        chromium.close()

done()
