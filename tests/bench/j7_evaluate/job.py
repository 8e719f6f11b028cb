"""J7: evaluate estimates of 10,000 users on 1,000 test prompts."""
import numpy as np

from harness import data
from harness.measure import Contender, Differs, Goal, Job, near

COLUMNS = "top1, pair_accuracy, all_pairs_accuracy, reward, best_reward, random_reward, regret"


def judge(truth, estimate, x):
    """Rows of the columns above; vectorised, user by block."""
    out = []
    users, (prompts, responses, models) = len(truth), x.shape
    i, j = np.triu_indices(responses, 1)
    flat = x.reshape(-1, models).T
    for a in range(0, users, 100):
        t = (truth[a:a + 100] @ flat).reshape(-1, prompts, responses)
        e = (estimate[a:a + 100] @ flat).reshape(-1, prompts, responses)
        best, worst, pick = t.argmax(2), t.argmin(2), e.argmax(2)
        take = lambda u, k: np.take_along_axis(u, k[..., None], 2)[..., 0]
        order_t, order_e = np.sign(t[:, :, i] - t[:, :, j]), np.sign(e[:, :, i] - e[:, :, j])
        agree = (order_t * order_e + 1) / 2  # no exact ties in this data
        reward, top = take(t, pick), take(t, best)
        out.append(np.column_stack(((pick == best).mean(1), (take(e, best) > take(e, worst)).mean(1), agree.mean((1, 2)),
                                    reward.mean(1), top.mean(1), t.mean((1, 2)), (top - reward).mean(1))))
    return np.concatenate(out)


def loops(truth, estimate, x):
    """The original's style: users, prompts, a dot product a response, a double loop over pairs."""
    rows = []
    for t_w, e_w in zip(truth, estimate):
        top1 = pair = pairs = reward = high = mean = 0.0
        for p in x:
            t, e = [float(np.dot(t_w, f)) for f in p], [float(np.dot(e_w, f)) for f in p]
            best, worst, pick = int(np.argmax(t)), int(np.argmin(t)), int(np.argmax(e))
            top1 += pick == best
            pair += e[best] > e[worst]
            n = len(t)
            pairs += sum((t[i] > t[j]) == (e[i] > e[j]) for i in range(n) for j in range(i)) / (n * (n - 1) / 2)
            reward, high, mean = reward + t[pick], high + t[best], mean + sum(t) / n
        rows.append([v / len(x) for v in (top1, pair, pairs, reward, high, mean, high - reward)])
    return np.array(rows)


def make(env):
    users, prompts, train = env.pick((10000, 1000, 9402), (100, 40, 60))
    scores = data.Scores(prompts, seed=2)
    others = data.Scores(train)
    truth = data.weights(users)
    estimate = .7 * truth + .3 * data.weights(users, seed=3)
    x = scores.rewards
    db = env.connect()
    scores.load(db, "test")
    data.store_users(db, truth, "truth")
    data.store_users(db, estimate, "estimate")
    want = judge(truth, estimate, x)
    check = near(want, 1e-9, "judgements")
    # the timed query adds up, as J1's does; the judgements themselves are compared once, here
    check(db.execute(f"SELECT {COLUMNS} FROM persona_evaluate('truth', 'estimate', 'test')").fetchall())
    means = ", ".join(f"avg({column})" for column in COLUMNS.split(", "))
    sql = f"SELECT {means} FROM persona_evaluate('truth', 'estimate', 'test')"

    # J1 beside it, for the cost of a utility
    votes = env.connect()
    others.load(votes)
    data.store_users(votes, truth)
    utilities, vote_utilities = 2.0 * users * x.shape[0] * x.shape[1], 1.0 * users * train * others.responses
    few = env.pick(20, 2)

    def voted(answer):
        if answer != (users * train,):
            raise Differs(f"{answer}")

    contenders = [
        Contender("persona_evaluate", "ours", lambda: db.execute(sql).fetchall(), near(want.mean(0, keepdims=True), 1e-9, "means")),
        Contender("persona_votes (J1)", "ours",
                  lambda: votes.execute("SELECT sum(best_votes) FROM persona_votes('people', 'train')").fetchone(), voted,
                  note="for the cost of a utility"),
        Contender("numpy", "peer", lambda: judge(truth, estimate, x), check, rounds=1),
        Contender("per-user loops", "peer", lambda: loops(truth[:few], estimate[:few], x),
                  near(judge(truth[:few], estimate[:few], x), 1e-9, "judgements"), scale=users / few, rounds=1, note=f"{few} users"),
    ]
    goals = [Goal("J7 persona_evaluate : J1, cost of a utility", contenders[0].name, contenders[1].name, most=1.5,
                  factor=vote_utilities / utilities)]
    return Job("J7", f"evaluate {users:,} users on {prompts:,} prompts", contenders, goals, {},
               [f"persona_evaluate computes {utilities / 1e6:,.0f} million utilities (truth and estimate), J1 {vote_utilities / 1e6:,.0f} "
                "million; persona_evaluate also compares all pairs of responses, which J1 need not."])
