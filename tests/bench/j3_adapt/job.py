"""J3: adaptation.  1,000 users x 10 interactions: the posterior from choice sets, Bradley-Terry from pairs."""
import os
import sys

import numpy as np
from scipy.optimize import minimize

from harness import data
from harness.measure import Contender, Differs, Goal, Job, Timed, near

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from posterior import Counter, posterior  # noqa: E402

SETS, ROWS = 10, 8
PAIRS = '{"method":"bradley_terry"}'
NOTHING = {"choices": "bench_nothing_choices(choice_set, features, feedback)", "pairs": "bench_nothing_pairs(chosen, rejected)"}


def unit(w):
    return w / np.linalg.norm(w, axis=1, keepdims=True)


def differences(pairs):
    """Chosen minus rejected, scaled as the library does: features of root mean square 1 around each pair's middle."""
    d = pairs[:, :, 0] - pairs[:, :, 1]
    return d / np.sqrt((d ** 2 / 4).mean((1, 2), keepdims=True))


def newton(pairs, steps=30):
    """L2 Bradley-Terry of all users at once: Newton's method on batches of small systems."""
    d, dim = differences(pairs), pairs.shape[3]
    w = np.zeros((len(d), dim))
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.einsum("usd,ud->us", d, w)))
        gradient = np.einsum("us,usd->ud", 1 - p, d) - w
        hessian = np.einsum("us,usd,use->ude", p * (1 - p), d, d) + np.eye(dim)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        w += step
        if np.abs(step).max() < 1e-12:
            break
    return unit(w)


def lbfgs(pairs):
    """scipy's L-BFGS, user by user, with the gradient."""
    out = []
    for d in differences(pairs):
        def value(w):
            m = d @ w
            return np.logaddexp(0, -m).sum() + w @ w / 2, w - (1 / (1 + np.exp(m))) @ d
        out.append(minimize(value, np.zeros(d.shape[1]), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8}).x)
    return unit(np.array(out))


def adam(pairs, steps=500, rate=.05):
    """Adam for all users at once: the published few-shot fits' optimiser, on the same objective."""
    d = differences(pairs)
    w, m, v = (np.zeros((len(d), pairs.shape[3])) for _ in range(3))
    for t in range(1, steps + 1):
        g = w - np.einsum("us,usd->ud", 1 / (1 + np.exp(np.einsum("usd,ud->us", d, w))), d)
        m, v = .9 * m + .1 * g, .999 * v + .001 * g * g
        w -= rate * (m / (1 - .9 ** t)) / (np.sqrt(v / (1 - .999 ** t)) + 1e-8)
    return unit(w)


def make(env):
    users, prompts = env.pick((1000, 2000), (40, 60))
    scores = data.Scores(prompts)
    truth, x = data.weights(users), scores.rewards
    rng = np.random.RandomState(6)
    met = rng.randint(0, prompts, (users, SETS))
    shown = x[met]  # [users][sets][rows][dim]
    u = np.einsum("usrd,ud->usr", shown, truth)
    best, worst = u.argmax(2), u.argmin(2)
    take = lambda k: np.take_along_axis(shown, k[..., None, None], 2)
    pairs = np.concatenate((take(best), take(worst)), 2)
    db = env.connect()
    db.execute("CREATE TABLE choices(user_id INTEGER, choice_set INTEGER, features BLOB, feedback TEXT)")
    db.execute("CREATE TABLE pairs(user_id INTEGER, turn INTEGER, chosen BLOB, rejected BLOB)")
    db.execute("BEGIN")
    for i in range(users):
        for s in range(SETS):
            db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", [
                (i, s + 1, shown[i, s, r].tobytes(), "best" if r == best[i, s] else "worst" if r == worst[i, s] else None)
                for r in range(ROWS)])
            db.execute("INSERT INTO pairs VALUES (?, ?, ?, ?)", (i, s + 1, pairs[i, s, 0].tobytes(), pairs[i, s, 1].tobytes()))
    db.execute("COMMIT")
    marks = data.stored("j3.marks", np.stack((best, worst), 2).astype(float))
    files = {"choices": data.stored("j3.choices", shown), "pairs": data.stored("j3.pairs", pairs)}
    dim = scores.models

    def weights(rows):
        w = np.array([np.frombuffer(blob) for _, blob in rows])
        if [i for i, _ in rows] != list(range(users)):
            raise Differs("other users")
        return w

    def core(name, form, threads, check, options="{}"):
        return env.program(name, "floor", "core", "adapt", lambda path: np.fromfile(path).reshape(-1, dim), check,
                           features=files[form], marks=marks, form=form, sets=SETS, shown=ROWS if form == "choices" else 2, dim=dim,
                           options=options, threads=threads)

    def noise(answer):
        """The same algorithm with other random numbers: within Monte Carlo error of the estimates."""
        error = np.abs(np.asarray(answer) - ours[:len(answer)]).max(1)
        if np.median(error) > .04 or np.mean(error) > .07:
            raise Differs(f"off by {np.median(error):.3f} in the median, {np.mean(error):.3f} on average")
        return f"Monte Carlo: weights within {np.median(error):.3f} in the median"

    def learned(answer):
        """What is estimated must be about the truth; the bits are compared between our ways to them."""
        w = weights(answer)
        error = np.abs(w - truth).max(1)
        if np.median(error) > .2 or not np.array_equal(w, ours):
            raise Differs(f"off the truth by {np.median(error):.3f} in the median")

    sql = {"table": "SELECT user_id, weights FROM persona_adapt('{}'{})", "aggregate": "SELECT user_id, {} FROM {} GROUP BY user_id"}

    def ask(text):
        return lambda: db.execute(text).fetchall()
    ours = weights(ask(sql["table"].format("choices", ""))())
    bt = newton(pairs)

    def unit_near(want, tolerance):
        check = near(want, tolerance, "directions")
        return lambda answer: check(unit(weights(answer) if isinstance(answer, list) else np.asarray(answer)))

    posterior(shown[:64], best[:64], worst[:64])
    count = {"exp": int(Counter.exp * users / min(users, 64)), "log": int(Counter.log * users / min(users, 64))}
    some = env.pick(100, 10)
    # the aggregates want a user's rows together: what they wait for is in the no-op aggregate too
    contenders = [
        Contender("persona_adapt, choice sets", "ours", ask(sql["table"].format("choices", "")), learned),
        Contender("adapt_user_choices, GROUP BY", "ours",
                  ask(sql["aggregate"].format("adapt_user_choices(choice_set, features, feedback)", "choices")), learned),
        Contender("no-op aggregate over choice sets", "floor", ask(sql["aggregate"].format(NOTHING["choices"], "choices"))),
        core("core, choice sets, all cores", "choices", env.threads, near(ours, 0, "weights")),
        core("core, choice sets, one thread", "choices", 1, near(ours, 0, "weights")),
        env.ceiling("the posterior's exponentials, one thread", "exp", count=count["exp"], threads=1),
        env.ceiling("the posterior's logarithms, one thread", "log", count=count["log"], threads=1),
        Contender("numpy, the same algorithm", "peer", lambda: posterior(shown[:some], best[:some], worst[:some]),
                  noise, scale=users / some, rounds=2, note=f"{some} users"),
        Contender("persona_adapt, pairs", "ours", ask(sql["table"].format("pairs", f", '{PAIRS}'")), unit_near(bt, 1e-6)),
        Contender("adapt_user, GROUP BY", "ours",
                  ask(sql["aggregate"].format(f"adapt_user(chosen, rejected, '{PAIRS}')", "pairs")), unit_near(bt, 1e-6)),
        Contender("no-op aggregate over pairs", "floor", ask(sql["aggregate"].format(NOTHING["pairs"], "pairs"))),
        core("core, pairs, all cores", "pairs", env.threads, unit_near(bt, 1e-6), PAIRS),
        core("core, pairs, one thread", "pairs", 1, unit_near(bt, 1e-6), PAIRS),
        Contender("numpy, batched Newton", "peer", lambda: newton(pairs), unit_near(bt, 1e-6)),
        Contender("numpy, batched Adam, 500 steps", "peer", lambda: adam(pairs), unit_near(bt, 2e-2), rounds=3),
        Contender("scipy L-BFGS, user by user", "peer", lambda: lbfgs(pairs), unit_near(bt, 1e-3), rounds=3),
    ]
    goals = []
    for form, at in (("choice sets", 0), ("pairs", 8)):
        table, aggregate, nothing, all_cores, alone = (c.name for c in contenders[at:at + 5])
        goals.append(Goal(f"J3 persona_adapt of {form} : core + reading", table, [all_cores, nothing], most=1.5))
        goals.append(Goal(f"J3 aggregate of {form} - no-op aggregate : core", aggregate, alone, most=2, minus=nothing))
    goals.append(Goal("J3 numpy, the same algorithm : persona_adapt", contenders[0].name, "numpy, the same algorithm", least=10))
    goals.append(Goal("J3 posterior in the core : its exponentials and logarithms", contenders[4].name,
                      [contenders[5].name, contenders[6].name], most=3))
    return Job("J3", f"adaptation of {users:,} users x {SETS} interactions ({ROWS} responses shown)", contenders, goals,
               {"k users": users / 1e3},
               [f"Transcendentals counted in the numpy version: {count['exp'] / users:,.0f} exponentials and {count['log'] / users:,.0f} "
                "logarithms a user. Reading is a no-op aggregate over the same rows."])
