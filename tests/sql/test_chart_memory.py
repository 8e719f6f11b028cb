"""Charts and reports when memory is short: each is whole or out of memory, gives all memory back, and leaves no file."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import memory

db = memory.counted()

folder = scratch()
path = os.path.join(folder, "page.html")
library = os.path.join(folder, "library.js")
with open(library, "w") as f:
    f.write("//" + "x" * 100000)
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts")
db.execute("CREATE VIRTUAL TABLE responses USING persona_responses(a, b)")
for p in range(1, 7):
    db.execute("INSERT INTO prompts VALUES(?, ?, 's', ?, NULL)", (p, "train" if p % 2 else "test", f"what prompt {p}"))
    for r in (1, 2, 3):
        db.execute("INSERT INTO responses(prompt_id, position, model, text, a, b) VALUES(?, ?, ?, ?, ?, ?)",
                   (p, r, f"m{r}", f"<text> {p} {r}" * 50, p * r % 5, (p + r) % 4))
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=40, alpha=0.5, seed=0)")
db.execute("CREATE TABLE fewshot AS SELECT 'a' AS method, 1 AS interactions, 0.5 AS captured_share UNION ALL SELECT 'b', 2, 0.7")

statements = {
    "a chart of a table": "SELECT persona_chart('fewshot')",
    "a chart of votes": "SELECT persona_chart('winners', '{\"population\": [\"users\", \"users\"], \"title\": \"x\"}')",
    "a report": f"SELECT persona_report('{path}', '{{\"library\": \"{library}\", \"overwrite\": true}}')",
}
for name, sql in statements.items():
    db.execute(sql).fetchall()
    page, left = open(path).read() if os.path.exists(path) else None, []

    def before():
        if page:
            os.unlink(path)

    def after(end):
        if page and end != "finished":
            left.append(sorted(os.listdir(folder)) != ["library.js"])
            open(path, "w").close()

    # steps finer than most allocations at first, then coarser: the report's big blocks come last
    memory.check_short(db, name, sql, at_least=21, kept=4096, step=lambda over: max(128, over // 200), before=before, after=after)
    if page:
        eq(sum(left), 0, f"{name}: out of memory leaves no file")
        eq(open(path).read() == page, True, f"{name}: the same page at last")

done()
