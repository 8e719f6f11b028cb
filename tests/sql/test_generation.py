"""The generation loop of sql/ end to end: prompts, requests, a small server on 127.0.0.1 that speaks the batch and chat formats and
fails as servers do, answers, scores, runs, comparison.  Measures are checked against numpy."""
import hashlib
import http.server
import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

folder = scratch()
database = os.path.join(folder, "loop.db")
db = connect(database)


def path(name):
    return os.path.join(folder, name)


def statements(name):
    with open(os.path.join(ROOT, "sql", name + ".sql"), encoding="utf-8") as f:
        text = ""
        for line in f:
            text += line
            if sqlite3.complete_statement(text):
                yield text
                text = ""


def run(name):
    """The rows of a file's first SELECT, as dicts."""
    out = None
    for sql in statements(name):
        cursor = db.execute(sql)
        rows = cursor.fetchall()
        if cursor.description and out is None:
            out = [dict(zip((c[0] for c in cursor.description), r)) for r in rows]
    return out


def setting(**values):
    for name, value in values.items():
        changed = db.execute("UPDATE generation_settings SET value = ? WHERE name = ?", (value, name)).rowcount
        assert changed == 1, name


def requests():
    return [json.loads(list(r.values())[0]) for r in run("generation_requests")]


def coverage(run_name):
    return dict(zip(("tasks", "answered", "failed", "scored", "cut_off", "prompt_changed"), db.execute("SELECT tasks, answered, failed, scored, cut_off, prompt_changed FROM generation_coverage WHERE run = ?", (run_name,)).fetchone()))


def dump():
    return [db.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3").fetchall() for t in ("generations", "generation_scores", "runs", "run_items")]


# ---- the server ----
class Server(http.server.BaseHTTPRequestHandler):
    """POST /v1/files (multipart), POST and GET /v1/batches, GET /v1/files/ID/content; /v1/chat/completions, /v1/completions,
    /v1/score.  The first time it sees them it fails some requests, as `trouble` says."""
    files, batches, seen, trouble = {}, {}, set(), {}
    lock = threading.Lock()

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    @classmethod
    def answer(cls, url, body):
        """(status, body) of one request."""
        if url == "/v1/score":
            if body.get("model") != "warmth":
                return 404, {"error": {"message": f"The model {body.get('model')} does not exist"}}
            return 200, {"object": "list", "model": body["model"], "data": [{"index": 0, "score": len(body["text_2"]) / 1000}]}
        if url == "/v1/chat/completions":
            prompt = body["messages"][-1]["content"]
        elif url == "/v1/completions":
            prompt = body["prompt"]
        else:
            return 404, {"error": {"message": "no such endpoint"}}
        assert body["temperature"] == 0 and body["max_tokens"] == 512 and body["top_p"] == 0.95 and body["seed"] == 27, body
        liked = re.findall(r"^Liked Response: (.*)$", prompt, re.M)
        text = (liked[0] if liked else "I would start small; it depends.") + ' — said "so",\n\ttwice \\ 🙂'
        choice = {"index": 0, "finish_reason": "stop"}
        choice.update({"message": {"role": "assistant", "content": text}} if "chat" in url else {"text": text})
        return 200, {"id": "cmpl-1", "object": "chat.completion", "model": body["model"] + "-served", "choices": [choice]}

    @classmethod
    def batch(cls, lines):
        """Output and error lines of a batch."""
        out, errors = [], []
        for number, line in enumerate(lines):
            request = json.loads(line)
            with cls.lock:
                trouble = cls.trouble.get(request["custom_id"]) if request["custom_id"] not in cls.seen else None
                cls.seen.add(request["custom_id"])
            status, body = cls.answer(request["url"], request["body"])
            record = {"id": f"batch_req_{number}", "custom_id": request["custom_id"], "response": {"status_code": status, "request_id": f"r{number}", "body": body}, "error": None}
            if trouble == "overloaded":
                record.update(response={"status_code": 503, "body": {"error": {"message": "overloaded"}}})
            elif trouble == "expired":
                record.update(response=None, error={"code": "batch_expired", "message": "This request could not be executed in time"})
            elif trouble == "no text":
                body["choices"][0]["message"]["content"] = None
            elif trouble == "length":
                body["choices"][0]["finish_reason"] = "length"
            if trouble == "lost":
                continue
            (errors if record["error"] or record["response"]["status_code"] != 200 else out).append(json.dumps(record, ensure_ascii=False))
        return out, errors

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            boundary = b"--" + self.headers["Content-Type"].split("boundary=")[1].encode()
            part = [p for p in data.split(boundary) if b'name="file"' in p][0]
            name = f"file-{len(self.files) + 1}"
            self.files[name] = part.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n", 1)[0]
            self.reply(200, {"id": name, "object": "file"})
        elif self.path == "/v1/batches":
            request = json.loads(data)
            out, errors = self.batch(self.files[request["input_file_id"]].decode().splitlines())
            name = f"batch-{len(self.batches) + 1}"
            self.batches[name] = {"id": name, "object": "batch", "status": "in_progress", "output_file_id": None, "error_file_id": None}
            for kind, lines in (("output", out), ("error", errors)):
                if lines:
                    self.files[f"{name}-{kind}"] = "".join(x + "\n" for x in lines).encode()
                    self.batches[name][f"{kind}_file_id"] = f"{name}-{kind}"
            self.reply(200, self.batches[name])
        else:
            self.reply(*self.answer(self.path, json.loads(data)))

    def do_GET(self):
        if self.path.startswith("/v1/batches/"):
            batch = self.batches[self.path.split("/")[3]]
            self.reply(200, batch)
            batch["status"] = "completed"
        else:
            self.reply(200, self.files[self.path.split("/")[3]], "application/jsonl")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
BASE = f"http://127.0.0.1:{server.server_address[1]}"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_call(method, url, data=None, kind="application/json"):
    try:
        with opener.open(urllib.request.Request(BASE + url, data=data, method=method, headers={"Content-Type": kind}), timeout=30) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def batch(lines, name):
    """Upload, run, poll and download: the answers' path (output and error file one behind the other)."""
    body = "".join(json.dumps(x) + "\n" for x in lines).encode()
    form = b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xyz\r\nContent-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n\r\n' + body + b"\r\n--xyz--\r\n"
    uploaded = json.loads(http_call("POST", "/v1/files", form, "multipart/form-data; boundary=xyz")[1])
    job = json.loads(http_call("POST", "/v1/batches", json.dumps({"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}).encode())[1])
    while job["status"] != "completed":
        job = json.loads(http_call("GET", f"/v1/batches/{job['id']}")[1])
    with open(path(name), "wb") as f:
        for kind in ("output_file_id", "error_file_id"):
            if job[kind]:
                f.write(http_call("GET", f"/v1/files/{job[kind]}/content")[1])
    return path(name)


# ---- the data and the prompts ----
for split in ("train", "test"):
    db.execute("SELECT persona_import(?, ?, '{\"means\":\"fitted\"}')", (os.path.join(ROOT, "examples", "demo", split + ".jsonl"), split))
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=30, alpha=0.05, seed=0)")
db.execute("CREATE VIRTUAL TABLE database_users USING persona_users(count=50, alpha=0.05, seed=1)")
for name in ("icl_tasks", "zero_shot", "k_shot", "generation_tables"):
    run(name)
setting(run="k_shot", answers=path("answers.jsonl"), scores=path("scores.jsonl"))
eq(db.execute("SELECT * FROM generation_coverage").fetchall(), [], "no run yet")
try:
    run("generation_run")
    message = "no error"
except sqlite3.Error as e:
    message = str(e)
eq(message, "runs: no task of this run; set generation_settings.run and read sql/generation_requests.sql", "a run without tasks is refused")

lines = requests()
tasks = 16
prompts = dict(db.execute("SELECT 'k_shot/' || user_id, prompt FROM icl_prompts WHERE method = 'k_shot'"))
eq([(x["custom_id"], x["body"]["messages"][0]["content"]) for x in lines], [(f"k_shot/{u}", prompts[f"k_shot/{u}"]) for u in range(tasks)], "one request a task, by user")
eq(requests(), lines, "asking twice asks the same")

# ---- a batch that goes wrong in every way ----
Server.trouble = {"k_shot/1": "overloaded", "k_shot/3": "expired", "k_shot/4": "no text", "k_shot/6": "length", "k_shot/9": "lost"}
answers = batch(lines, "answers.jsonl")
with open(answers, "rb") as f:
    whole = f.read().splitlines(keepends=True)
victim = next(i for i, x in enumerate(whole) if b'"k_shot/11"' in x)
foreign = json.dumps({"custom_id": "somebody/5", "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "x"}}]}}, "error": None}).encode() + b"\n"
broken = b"{\"custom_id\": \"k_shot/12\", \"response\": {\"status_code\": 200, \"body\": {\"choices\": [{\"message\": {\"content\": \"tab\tnul\\u0000\"}}]}}}\n"
with open(answers, "wb") as f:  # an overlong batch was stopped in the middle of a line
    f.write(foreign + broken + b"".join(whole[:victim] + whole[victim + 1:]) + whole[victim][:len(whole[victim]) // 2])
got = run("generation_answers")[0]
eq((got["lines"], got["lines_with_answer"], got["lines_without"], got["of_no_task"]), (17, 12, 5, 1 + 2), "a broken batch: every line is accounted for")
eq(coverage("k_shot"), {"tasks": 16, "answered": 11, "failed": 3, "scored": 0, "cut_off": 1, "prompt_changed": 0}, "its good answers are in, with what the server said of the others")
eq(db.execute("SELECT user_id, error FROM generations WHERE error IS NOT NULL ORDER BY 1").fetchall(), [(1, "overloaded"), (3, "This request could not be executed in time"), (4, "an answer without text")], "errors are noted")
eq(db.execute("SELECT answer, answered_by, finish_reason FROM generations WHERE user_id = 6").fetchone()[1:], ("meta-llama/Meta-Llama-3-8B-Instruct-served", "length"), "who answered, and why it ended")
before = dump()
run("generation_answers")
eq(dump(), before, "reading the file again changes nothing")
rest = requests()
eq([x["custom_id"] for x in rest], [f"k_shot/{u}" for u in (1, 3, 4, 9, 11)], "what is missing is asked again")
fails(db, f"SELECT count(value) FROM read_jsonl('{answers}')", "read_jsonl: answers.jsonl line 2: the character U+0000 at byte 113, which text cannot hold", "without the option a broken line is an error naming it")
eq(db.execute(f"SELECT count(*), count(value), max(skipped) FROM read_jsonl('{answers}', '{{\"invalid\":\"null\"}}')").fetchone(), (17, 15, 2), "read_jsonl counts broken lines")
fails(db, "SELECT * FROM read_jsonl('x', '{\"invalid\":\"skip\"}')", 'read_jsonl: option "invalid" is "skip"; one of error|null is required')

# ---- scores, and a run that is refused ----
run("generation_style_scores")
eq(coverage("k_shot")["scored"], 11, "answers are scored")


def refused(message, name):
    before = dump()
    try:
        run("generation_run")
        got = "no error"
    except sqlite3.Error as e:
        got = str(e)
    eq(got, message, name)
    eq(dump(), before, "and nothing is recorded")


INCOMPLETE = "runs: tasks lack an answer or scores (generation_coverage); allow_incomplete = 1 measures the rest"
refused(INCOMPLETE, "incomplete coverage is refused")
setting(allow_incomplete=1, reference="friend")
partial = run("generation_run")[0]
eq((partial["n"], partial["tasks"]), (11, 16), "unless asked for")
setting(allow_incomplete=0)

# ---- the rest of the batch ----
setting(answers=batch(rest, "rest.jsonl"))
got = run("generation_answers")[0]
eq((got["lines"], got["lines_with_answer"], got["answered"]), (5, 5, 16), "a second batch fills the gaps")
eq(requests(), [], "nothing is left to ask")
kept = dump()
setting(answers=answers)
run("generation_answers")
eq(dump(), kept, "the old file, read late, changes nothing")
eq(db.execute("SELECT answer FROM generations WHERE user_id = 9").fetchone()[0].split(" — ")[1], 'said "so",\n\ttwice \\ 🙂', "texts arrive as they were written")
refused(INCOMPLETE, "an answer without scores is no coverage either")
run("generation_style_scores")


def measured(run_name, reference):
    """The paper's measures, in numpy."""
    mean, sd = np.array(db.execute("SELECT mean, sd FROM reward_models ORDER BY position").fetchall()).T
    names = [n for n, in db.execute("SELECT name FROM reward_models ORDER BY position")]
    out = []
    for u, p in db.execute("SELECT user_id, prompt_id FROM generations WHERE run = ? ORDER BY 1", (run_name,)).fetchall():
        s = dict(db.execute("SELECT lower(name), score FROM generation_scores WHERE run = ? AND user_id = ?", (run_name, u)))
        w = np.frombuffer(db.execute("SELECT weights FROM users WHERE user_id = ?", (u,)).fetchone()[0])
        stored = {m: w @ ((np.frombuffer(r) - mean) / sd) for m, r in db.execute("SELECT model, raw_rewards FROM responses WHERE prompt_id = ?", (p,))}
        out.append((w @ ((np.array([s[n] for n in names]) - mean) / sd), max(stored.values()), stored[reference]))
    return np.array(out)


def wilson(p, n):
    z = 1.959964
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def check_run(run_name, name):
    run("generation_run")
    columns = ["run_id", "n", "tasks", "total_score", "total_score_low", "total_score_high", "win_best", "win_best_low", "win_best_high", "win_reference", "win_reference_low", "win_reference_high"]
    row = db.execute(f"SELECT {', '.join(columns)} FROM runs WHERE run = ? ORDER BY run_id DESC LIMIT 1", (run_name,)).fetchone()
    m = measured(run_name, "friend")
    n, score = len(m), m[:, 0]
    want = [n, n, score.mean(), score.mean() - 1.959964 * score.std(ddof=1) / math.sqrt(n), score.mean() + 1.959964 * score.std(ddof=1) / math.sqrt(n)]
    for rival in (1, 2):
        p = (score > m[:, rival]).mean()
        want += [100 * p, *(100 * x for x in wilson(p, n))]
    close(row[1:], want, 1e-6, f"{name}: total score, win rates and their intervals as in numpy", 1e-6)
    items = np.array(db.execute("SELECT score, best_reward, reference_reward FROM run_items WHERE run_id = ? ORDER BY user_id", (row[0],)).fetchall())
    close(items, m, 1e-12, f"{name}: every item", 1e-13)
    return row


first = check_run("k_shot", "k_shot by batch")
ok(0 < first[6] < 100 or 0 < first[9] < 100, "win rates are neither all nor nothing, so that they show", first)
seed, options, scorer, data = db.execute("SELECT seed, options, scorer, data FROM runs WHERE run_id = ?", (first[0],)).fetchone()
options = json.loads(options)
eq((seed, options["settings"]["requests"], options["settings"]["prompts"]["shots"], options["answered_by"]), (27, {"seed": 27}, 3, "meta-llama/Meta-Llama-3-8B-Instruct-served"), "a run holds seed and options")
eq(json.loads(scorer), [["style_rewards " + db.execute("SELECT persona_version()").fetchone()[0], 1, "float64"]], "and how it was scored")
ok(re.fullmatch("[0-9a-f]{32}", data), "and the data's fingerprint")
before = dump()
run("generation_run")
eq(dump(), before, "measuring twice records once")

# ---- another run, through the chat endpoint, one request at a time, the plain-completion form ----
setting(run="zero_shot", request_options='{"seed":27,"endpoint":"completions"}', answers=path("direct.jsonl"))
with open(path("direct.jsonl"), "w", encoding="utf-8") as f:
    for x in requests():
        status, body = http_call("POST", x["url"], json.dumps(x["body"]).encode())
        f.write(json.dumps({"custom_id": x["custom_id"], **json.loads(body)}, ensure_ascii=False) + "\n")
got = run("generation_answers")[0]
eq((got["lines"], got["answered"]), (16, 16), "bare completions with a custom_id are answers too")
run("generation_style_scores")
second = check_run("zero_shot", "zero_shot by single requests")

# ---- comparison ----
setting(compare=json.dumps([first[0], second[0]]))
c = run("compare")[0]
d = measured("zero_shot", "friend")[:, 0] - measured("k_shot", "friend")[:, 0]
close([c["difference"], c["low"], c["high"]], [d.mean(), d.mean() - 1.959964 * d.std(ddof=1) / 4, d.mean() + 1.959964 * d.std(ddof=1) / 4], 1e-6, "compare: the paired difference and its interval")
eq((c["first_run"], c["second_run"], c["n"], c["unpaired"], c["same_data"], c["wins"], c["ties"], c["losses"]), ("k_shot", "zero_shot", 16, 0, 1, int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum())), "compare: item by item")
wins, losses = (d > 0).sum(), (d < 0).sum()
close(c["p"], math.erfc(max(abs(wins - losses) - 1, 0) / math.sqrt(2 * (wins + losses))), 0, "compare: the sign test", 2e-7)
setting(compare=None)
eq(run("compare")[0]["second"], second[0], "compare: the last two runs by default")
same = db.execute("INSERT INTO runs SELECT NULL, run, seed, options, scorer, data, tasks, n, total_score, total_score_low, total_score_high, win_best, win_best_low, win_best_high, reference, reference_n, win_reference, win_reference_low, win_reference_high, 0 FROM runs WHERE run_id = ?", (second[0],)).lastrowid
db.execute("INSERT INTO run_items SELECT ?, user_id, prompt_id, score, best_reward, reference_reward FROM run_items WHERE run_id = ? AND user_id < 10", (same, second[0]))
c = run("compare")[0]
eq((c["n"], c["unpaired"], c["difference"], c["wins"], c["ties"], c["losses"], c["p"]), (10, 6, 0.0, 0, 10, 0, 1), "compare: a run against a part of itself is all ties, and the rest is counted")
db.execute("DELETE FROM runs WHERE run_id = ?", (same,))
db.execute("DELETE FROM run_items WHERE run_id = ?", (same,))

# ---- scores from a file, and from a reward server ----
db.execute("UPDATE generations SET answer = answer || ' Good luck!' WHERE run = 'zero_shot' AND user_id < 4")
eq(coverage("zero_shot")["scored"], 12, "a changed answer has no scores any more")
names = [n for n, in db.execute("SELECT name FROM reward_models ORDER BY position")]
with open(path("scores.jsonl"), "w", encoding="utf-8") as f:
    for u in range(3):
        f.write(json.dumps({"custom_id": f"zero_shot/{u}", "scores": {n.upper(): 0.25 * u + k for k, n in enumerate(names) if n != "warmth"}, "scorer": "by hand", "batch_size": 16, "precision": "bfloat16"}) + "\n")
    f.write(json.dumps({"custom_id": "zero_shot/3", "scores": {names[0]: "high", names[1]: None, names[2]: 1e400, "charm": 1, names[3]: 2}}).replace("Infinity", "1e400") + "\n")
    f.write(json.dumps({"custom_id": "unanswered/1", "scores": {names[0]: 1}}) + "\n")
    f.write(json.dumps({"custom_id": "nobody", "scores": {names[0]: 1}}) + "\n" + '{"custom_id": "zero_shot/2", "sco')
db.execute("INSERT INTO generations(run, user_id, custom_id) VALUES ('unanswered', 1, 'unanswered/1')")
setting(scores=path("scores.jsonl"), scorer="default scorer", batch_size=8, precision="float32")
got = run("generation_scores")[0]
eq((got["lines"], got["without_scores"], got["of_no_answer"], got["of_no_reward_model"], got["scored"]), (7, 1, 2, 1, 12), "a scores file: what is no score, no answer or no reward model is counted and left out")
eq(db.execute("SELECT count(*) FROM generation_scores WHERE run = 'unanswered'").fetchone()[0], 0, "what has no answer has no scores")
db.execute("DELETE FROM generations WHERE run = 'unanswered'")
eq(db.execute("SELECT DISTINCT scorer, batch_size, precision, count(*) FROM generation_scores WHERE run = 'zero_shot' AND user_id < 4 GROUP BY 1, 2, 3").fetchall(), [("by hand", 16, "bfloat16", 27), ("default scorer", 8, "float32", 1)], "scorer, batch size and precision are those of the line, else the settings")
setting(run="zero_shot", reward_model="warmth", scorer="reward server", batch_size=4, precision="float16")
asked = [json.loads(list(r.values())[0]) for r in run("generation_score_requests")]
test_prompts = dict(db.execute("SELECT user_id, text FROM icl_task"))
eq([(x["custom_id"], x["url"], x["body"]["model"], x["body"]["text_1"]) for x in asked], [(f"zero_shot/{u}", "/v1/score", "warmth", test_prompts[u]) for u in range(4)], "requests to a reward server: what lacks a score, with the prompt alone")
setting(scores=batch(asked, "reward.jsonl"))
got = run("generation_scores")[0]
eq((got["lines"], got["scored"]), (4, 15), "the batch output of a reward server")
eq(db.execute("SELECT score, scorer, batch_size, precision FROM generation_scores WHERE run = 'zero_shot' AND user_id = 1 AND name = 'WARMTH'").fetchone(), (len(asked[1]["body"]["text_2"]) / 1000, "reward server", 4, "float16"), "its score, and how it came about")
eq([json.loads(list(r.values())[0]) for r in run("generation_score_requests")], [], "nothing is left to score")
before = dump()
run("generation_scores")
eq(dump(), before, "reading scores twice changes nothing")
setting(reward_model="charm")
asked = [json.loads(list(r.values())[0]) for r in run("generation_score_requests")]
setting(scores=batch(asked[:2], "failed.jsonl"))
got = run("generation_scores")[0]
eq((got["lines"], got["without_scores"], got["scored"]), (2, 2, 15), "a reward server's refusals are no scores")
with open(path("pooling.jsonl"), "w") as f:
    for u, data in ((3, [0.5]), (2, 0.75)):
        f.write(json.dumps({"custom_id": f"zero_shot/{u}", "response": {"status_code": 200, "body": {"data": [{"index": 0, "data": data}]}}}) + "\n")
setting(reward_model=names[0], scores=path("pooling.jsonl"))
run("generation_scores")
eq(db.execute("SELECT user_id, score FROM generation_scores WHERE run = 'zero_shot' AND name = ? AND user_id IN (2, 3) ORDER BY 1", (names[0],)).fetchall(), [(2, 0.75), (3, 0.5)], "a pooling server's numbers")
refused(INCOMPLETE, "one response with nine of ten scores is no coverage")

# ---- answers as responses ----
db.execute(f"CREATE VIRTUAL TABLE generated USING persona_responses({', '.join(names)})")
for run_name in ("zero_shot", "k_shot", "k_shot"):
    setting(run=run_name)
    run("generation_responses")
eq(db.execute("SELECT model, count(*), min(position), max(position) FROM generated GROUP BY 1").fetchall(), [("k_shot", 16, 1, 2), ("zero_shot", 15, 1, 1)], "answers become rows of a responses table, once")
top = db.execute("SELECT sum(best_votes) FROM persona_votes('users', NULL, '{\"responses\":\"generated\"}')").fetchone()[0]
eq(top, 30 * 16, "and users vote on them")

# ---- prompts that change, data that changes, a reference that is not there ----
setting(run="k_shot", request_options='{"seed":27}')
db.execute("UPDATE icl_settings SET value = 1 WHERE name = 'shots'")
for name in ("icl_tasks", "k_shot"):
    run(name)
eq((requests(), coverage("k_shot")["prompt_changed"]), ([], 16), "answered prompts stay; that they would now read differently shows")
db.execute("UPDATE reward_models SET mean = mean + 0.5 WHERE position = 1")
changed = check_run("k_shot", "other normalisation")
ok(changed[0] != first[0] and db.execute("SELECT count(DISTINCT data) FROM runs WHERE run = 'k_shot'").fetchone()[0] == 2, "other data give another fingerprint, and so another run")
setting(reference="nobody")
refused("runs: the reference model lacks scored responses to some prompts; allow_incomplete = 1 drops those", "an unknown reference model is refused")
db.execute("UPDATE responses SET model = 'maker/friend:beta' WHERE model = 'friend'")
setting(reference="Friend")
run("generation_run")
eq(db.execute("SELECT reference_n, win_reference FROM runs ORDER BY run_id DESC LIMIT 1").fetchone(), (16, changed[9]), "a model is found without its maker and variant")

# ---- settings that nothing would notice ----
for name, value, rule in (("lookup_ranking", "user", "lookup_ranking is users or prompts"), ("k_shot_labels", "row0", "k_shot_labels is own or row_0"),
                          ("one_short", 2, "one_short and repeat_prompts are 0 or 1"), ("shots", "many", "shots, similar_users and embedded_interactions are whole numbers")):
    fails(db, "UPDATE icl_settings SET value = ? WHERE name = ?", f"CHECK constraint failed: {rule}", f"a misspelt {name} is refused", args=(value, name))

# ---- the walk of the header, in the shell ----
if shutil.which("sqlite3"):
    db.execute("DELETE FROM icl_settings")
    shell = f""".bail on
.load {EXTENSION}
.read sql/icl_tasks.sql
.read sql/self_k_shot.sql
.read sql/generation_tables.sql
UPDATE generation_settings SET value = 'self_k_shot' WHERE name = 'run';
UPDATE generation_settings SET value = '{path("shell.jsonl")}' WHERE name = 'answers';
.mode list
.headers off
.output {path("shell_requests.jsonl")}
.read sql/generation_requests.sql
"""
    r = subprocess.run(["sqlite3", database], input=shell, capture_output=True, text=True, cwd=ROOT, timeout=120)
    eq(r.stderr, "", "the shell's part of the loop")
    with open(path("shell_requests.jsonl"), encoding="utf-8") as f:
        lines = [json.loads(x) for x in f]
    eq([x["custom_id"] for x in lines], [f"self_k_shot/{u}" for u in range(16)], "the file holds the requests and nothing else")
    os.replace(batch(lines, "shell_answers.jsonl"), path("shell.jsonl"))
    shell = f".bail on\n.load {EXTENSION}\n" + "".join(f".read sql/{n}.sql\n" for n in ("generation_tables", "generation_answers", "generation_style_scores", "generation_run", "compare"))
    r = subprocess.run(["sqlite3", database], input=shell, capture_output=True, text=True, cwd=ROOT, timeout=120)
    ok(r.stderr == "" and re.search(r"^\d+\|self_k_shot\|16\|16\|", r.stdout, re.M) and re.search(r"\d+\|k_shot\|\d+\|self_k_shot\|16\|0\|", r.stdout), "and on to a run and a comparison, in a new connection", r.stdout + r.stderr)
else:
    skip("the loop in the shell", "there is no sqlite3 shell")
server.shutdown()
done()
