"""examples/personalllm.ipynb runs top to bottom: Debian's Jupyter (python3-nbclient, python3-ipykernel), skipped without it."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from tap import ROOT

NOTEBOOK = os.path.join(ROOT, "examples", "personalllm.ipynb")
with open(NOTEBOOK, encoding="utf-8") as f:
    stored = json.load(f)
cells = [c for c in stored["cells"] if c["cell_type"] == "code"]
eq([(c["outputs"], c["execution_count"]) for c in cells], [([], None)] * len(cells), "the notebook is kept without outputs")

home = scratch()  # nothing of this machine's Jupyter settings, nothing left behind
for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
    os.environ[name] = home
try:
    import ipykernel  # noqa: F401
    import nbclient
    import nbformat
except ImportError as e:
    skip("the notebook runs", f"{e.name} is not installed: make test-report installs Debian's")
    done()

notebook = nbformat.read(NOTEBOOK, as_version=4)
nbformat.validate(notebook)
try:
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3",
                            resources={"metadata": {"path": os.path.dirname(NOTEBOOK)}}).execute()
    ok(True, "the notebook runs top to bottom")
except nbclient.exceptions.CellExecutionError as e:
    ok(False, "the notebook runs top to bottom", e)

outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
eq([o.get("text", o.get("evalue")) for o in outputs if o.output_type in ("stream", "error")], [], "no warnings, no errors")
MIME = "application/vnd.vegalite.v5+json"
charts = [o.data for o in outputs if MIME in o.get("data", {})]
eq([c[MIME]["title"]["text"] for c in charts],
   ["How often users agree on the best response", "How many responses are somebody's favourite", "Whose responses users like best",
    "What a few interactions teach", "How often the pick is the user's own favourite", "Methods compared",
    "What users reward in a text", "Which prompts divide users"], "eight charts, inline")
ok(all(c[MIME]["data"]["values"] and c["text/plain"] == c[MIME]["description"] for c in charts), "each with its data and in words")
tables = [o.data["text/html"] for o in outputs if "text/html" in o.get("data", {})]
ok(len(tables) >= 8 and all(t.startswith("<table><tr><th>") for t in tables), "SQL cells show tables", len(tables))
turns = [t for t in tables if "<th>mean_distance</th>" in t]
ok(len(turns) == 1 and turns[0].count("<tr>") == 11, "ten interactions of a hundred users", turns)
eq(outputs[-1].get("data", {}).get("text/plain"), "7", "a report of seven figures")

done()
