"""Contenders, runs in turns, answers compared before any time is shown.

A job is a list of contenders that do the same work, a reference answer, and goals as ratios between contenders.  They run in
turns, round after round, every other round backwards, so that what else the machine does hits all alike; ratios are taken
within a round, then their median.  Every timed run's answer is compared: a contender whose answer differs has no time.
"""
import resource
import statistics
import subprocess
import time

import numpy as np

# Threads of BLAS libraries spin for a while after a call, and would run on in the next contender's time.
SETTLE = 0.05


class Differs(Exception):
    """An answer that is not the reference's."""


class Missing(Exception):
    """A contender that cannot run here; the text says why."""


def cpu_seconds():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return r.ru_utime + r.ru_stime


class Contender:
    """run() does the job; what it returns goes to check(), untimed, which raises Differs or returns a note for the table.

    kind: ours, limit (hand-written C), floor (SQLite's own share), ceiling (of the machine), peer
    scale: the run is of a sample; its time counts this many times, and the table says "extrapolated"
    rounds: at most so many rounds (slow peers); with one or two, the first, checking run is timed as round 0
    """

    def __init__(self, name, kind, run, check=None, scale=1, rounds=None, note="", before=None, close=None):
        self.name, self.kind, self.run, self.check, self.scale = name, kind, run, check, scale
        self.rounds, self.note, self.before, self.close = rounds, note, before, close
        self.times, self.verdict = {}, None

    def once(self, timed):
        if self.before:
            self.before()
        time.sleep(SETTLE if timed else 0)
        cpu, wall = cpu_seconds(), time.perf_counter()
        answer = self.run()
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        if isinstance(answer, Timed):
            wall, cpu, answer = answer.wall, answer.cpu, answer.answer
        self.note = (self.check(answer) if self.check else None) or self.note
        return wall * self.scale, cpu * self.scale

    def wall(self):
        return statistics.median(t[0] for t in self.times.values())

    def cpu(self):
        return statistics.median(t[1] for t in self.times.values())


class Timed:
    """An answer whose time was taken elsewhere: in another process."""

    def __init__(self, wall, cpu, answer=None):
        self.wall, self.cpu, self.answer = wall, cpu, answer


class Program:
    """One of the benchmark's own programs (see program.h) as the run of a contender; answer() reads what it wrote."""

    def __init__(self, command, answer, scratch):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer, self.scratch = answer, scratch
        self.expect("ready")

    def line(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise Missing(f"{' '.join(self.process.args[:2])} ended with status {self.process.wait()}")
        return line

    def expect(self, want):
        line = self.line()
        if line != want:
            raise Missing(f"{self.process.args[0]} said {line!r}, not {want!r}")

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def __call__(self):
        self.send("run")
        wall, cpu = (float(x) for x in self.line().split())
        self.send(f"write {self.scratch}")
        self.expect("written")
        return Timed(wall, cpu, self.answer(self.scratch))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def equal(want, what="answers"):
    """A check: arrays of equal numbers."""
    want = np.asarray(want)

    def check(answer):
        answer = np.asarray(answer)
        if answer.shape != want.shape:
            raise Differs(f"{what}: shape {answer.shape}, not {want.shape}")
        wrong = int(np.sum(answer != want))
        if wrong:
            raise Differs(f"{what}: {wrong} of {want.size} differ")
    return check


def near(want, tolerance, what="answers"):
    """A check: arrays within tolerance, relative to the largest number."""
    want = np.asarray(want, float)
    scale = float(np.max(np.abs(want))) if want.size else 1.0

    def check(answer):
        answer = np.asarray(answer, float)
        if answer.shape != want.shape:
            raise Differs(f"{what}: shape {answer.shape}, not {want.shape}")
        error = float(np.max(np.abs(answer - want))) if want.size else 0.0
        if not error <= tolerance * scale:
            raise Differs(f"{what}: off by {error / scale:.3g}, more than {tolerance:g}")
    return check


class Goal:
    """at most `most`: the time of a over the sum of the times of b; or at least `least`: b over a.  Neither: the first of the
    two, to be read beside another."""

    def __init__(self, text, a, b, most=None, least=None, factor=1.0, minus=None):
        self.text, self.a, self.b, self.most, self.least = text, a, [b] if isinstance(b, str) else list(b), most, least
        self.factor = factor  # times a's time: to compare costs per unit
        self.minus = minus  # a contender whose time is taken off a's
        self.wall = self.cpu = self.spread = None

    def judge(self, contenders):
        by = {c.name: c for c in contenders if c.times}
        if any(name not in by for name in [self.a, *self.b] + ([self.minus] if self.minus else [])):
            return
        ratios = {0: [], 1: []}
        rounds = set(by[self.a].times)
        for b in self.b:
            rounds &= set(by[b].times)
        if self.minus:
            rounds &= set(by[self.minus].times)
        for r in rounds:
            for k in (0, 1):
                a = by[self.a].times[r][k] * self.factor - (by[self.minus].times[r][k] if self.minus else 0)
                b = sum(by[b].times[r][k] for b in self.b)
                if a > 0 and b > 0:
                    ratios[k].append(b / a if self.least else a / b)
        if not ratios[0]:
            return
        self.wall = statistics.median(ratios[0])
        self.cpu = statistics.median(ratios[1]) if ratios[1] else None
        self.spread = (min(ratios[0]), max(ratios[0]))

    def holds(self, ratio):
        if ratio is None or not (self.most or self.least):
            return None
        return ratio <= self.most if self.most else ratio >= self.least

    def bound(self):
        return f"at most {self.most:g}" if self.most else f"at least {self.least:g}" if self.least else "none"


class Job:
    """title: one line; work: {"GFLOP": x} or the like, for rates; facts: lines for the table's foot."""

    def __init__(self, name, title, contenders, goals=(), work=None, facts=()):
        self.name, self.title, self.contenders, self.goals = name, title, list(contenders), list(goals)
        self.work, self.facts = work or {}, list(facts)

    def keep(self, kinds):
        for c in self.contenders:
            if c.kind not in kinds and c.close:
                c.close()
        self.contenders = [c for c in self.contenders if c.kind in kinds]


def attempt(contender, timed, log):
    """One run; False when the contender is out."""
    try:
        return contender.once(timed)
    except Missing as e:
        contender.verdict = f"not run: {e}"
    except Differs as e:
        contender.verdict = f"ANSWER DIFFERS: {e}"
    log(f"  {contender.name}: {contender.verdict}")
    return None


def run(job, rounds, log):
    """Warm up and check every contender, then rounds in turns.  With rounds = 0 only answers are checked."""
    alive = []
    for c in job.contenders:
        slow = rounds > 0 and c.rounds is not None and c.rounds <= 2
        seconds = attempt(c, slow, log) if c.verdict is None else None
        if seconds is None:
            continue
        c.verdict = "equal"
        alive.append(c)
        if slow:
            c.times[0] = seconds
    for r in range(rounds):
        for c in (alive if r % 2 == 0 else alive[::-1]):
            if c.verdict != "equal" or r in c.times or (c.rounds is not None and r >= c.rounds):
                continue
            seconds = attempt(c, True, log)
            if seconds is not None:
                c.times[r] = seconds
    for c in job.contenders:
        if c.verdict != "equal":
            c.times = {}
        if c.close:
            c.close()
    for g in job.goals:
        g.judge(job.contenders)
