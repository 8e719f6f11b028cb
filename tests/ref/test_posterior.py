"""The posterior mean on the simplex against integration of the documented model (core_posterior.c).

Prior: Dirichlet(a 1), a of .01, .03, .1, .3 with weights 1/8, of 1 and 3 with weights 1/4; sharpness 1, 2, 4, .., 512
with weights proportional to its fourth root.  Two features: quadrature over the logit of the weight, and exact masses for its tails.
Three: a grid over the prior's distribution function.  Ten: posterior.json, by another sampler and far more work
(make_posterior.py).  The sampler's error is judged in posterior standard deviations: its size, and its mean over many
cases and seeds, which is 0 for a sampler without bias, against its standard error.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from adaptation import *

db = connect()


def posterior(evidence, w, mass, sharpness=None):
    """Mean and standard deviation of the weights, and the effective share of the nodes."""
    total = evidence.likelihoods(w, SHARPNESS if sharpness is None else [sharpness])
    if sharpness is None and evidence.rating is None:
        total = total + SHARPNESS_PRIOR[:, None]
    p = special.logsumexp(total, axis=0) + np.log(mass)
    p = np.exp(p - p.max())
    p /= p.sum()
    mean = p @ w
    return mean, np.sqrt(np.maximum(p @ w**2 - mean**2, 0)), 1 / (p**2).sum()


# ---- nodes of the prior ----
def two(alphas, steps=3001, reach=40):
    z = np.linspace(-reach, reach, steps)
    w, mass = special.expit(z), 0
    for a in alphas:
        inner = np.exp(a * (special.log_expit(z) + special.log_expit(-z)) - special.betaln(a, a)) * (z[1] - z[0])
        tail = special.betainc(a, a, special.expit(z[0] - (z[1] - z[0]) / 2))
        mass = mass + np.concatenate([inner, [tail, tail]]) / len(alphas)
    w = np.concatenate([w, [0, 1]])
    return np.array([w, special.expit(-special.logit(w))]).T, mass


def three(alphas, steps):
    q = (np.arange(steps) + 0.5) / steps
    nodes = []
    for a in alphas:
        first, share = np.meshgrid(special.betaincinv(a, 2 * a, q), special.betaincinv(a, a, q), indexing="ij")
        nodes.append(np.array([first, (1 - first) * share, (1 - first) * (1 - share)]).reshape(3, -1).T)
    return np.concatenate(nodes), np.full(len(alphas) * steps**2, 1 / (len(alphas) * steps**2))


w2, mass2 = two(ALPHAS)
ok(abs(mass2.sum() - 1) < 1e-6, "two features: the quadrature's masses add up to 1", mass2.sum())
GRIDS = {2: (w2, mass2), 3: three(ALPHAS, 80)}


def feedback(function, rng, dim, much):
    scale = 10.0 ** rng.uniform(-3, 3)
    x = lambda n: scale * rng.standard_normal((n, dim))
    truth = rng.dirichlet([rng.choice([0.05, 0.3, 1])] * dim)
    if function == "adapt_user":
        return random_pairs(rng, rng.randint(15, 25) if much else rng.randint(1, 7), x, truth if rng.rand() < 0.7 else None)
    if function == "adapt_user_choices":
        return random_choices(rng, rng.randint(8, 15) if much else rng.randint(1, 5), x, truth if rng.rand() < 0.8 else None, (2, 5), scale * rng.choice([0, 0.3]))
    return random_ratings(rng, rng.randint(15, 30) if much else rng.randint(3, 9), x, truth if rng.rand() < 0.8 else None)


def judge(name, errors, lean, size):
    """errors in posterior standard deviations; lean: those towards certainty, which a sampler that mixes badly shows."""
    errors, lean = np.array(errors), np.array(lean)
    bias, se = lean.mean(), lean.std(ddof=1) / np.sqrt(len(lean))
    rms = np.sqrt((errors**2).mean())
    ok(rms < size, f"{name}: error {rms:.3f} posterior sd (below {size})", f"rms {rms}, worst {np.abs(errors).max()}")
    ok(abs(bias) < 4 * se + 0.005, f"{name}: no lean, {bias:.4f} +- {se:.4f} sd over {len(lean)} cases", f"{bias} {se}")


for dim, cases, much in ((2, 120, False), (2, 120, True), (3, 40, False), (3, 40, True)):
    for function in FORMS:
        rng = np.random.RandomState(1000 * dim + len(function))
        name = f"{function}, {dim} features, {'much' if much else 'little'} feedback"
        errors, lean, exact = [], [], 0
        for case in range(cases):
            rows = feedback(function, rng, dim, much)
            options = {"seed": case}
            if case % 4 == 1:
                options["half_life"] = float(rng.choice([0.7, 2, 10]))
            v = Evidence(function, rows, options.get("half_life"))
            got = adapt(db, function, rows, **options)
            if not v.informative:
                exact += np.array_equal(got, np.full(dim, 1 / dim)) - 1
                continue
            mean, sd, _ = posterior(v, *GRIDS[dim])
            top = mean.argmax()
            errors.append((got - mean)[top] / np.hypot(sd[top], 0.01))
            lean.append(errors[-1] * np.sign(mean[top] - 1 / dim))
        eq(exact, 0, f"{name}: without evidence exactly 1/{dim}")
        judge(name, errors, lean, {2: 0.06, 3: 0.12}[dim])

# ---- ten features, by a long run of another sampler (make_posterior.py) ----
SEEDS = 12
MEASURED = [0.018, 0.14, 0.39, 0.62, 0.14, 0.12, 0.17]  # error of one estimate in posterior sd, over all weights
FOLDER = os.path.dirname(os.path.abspath(__file__))
for case, measured in zip(json.load(open(os.path.join(FOLDER, "posterior.json"))), MEASURED):
    rows = posterior_case(case["function"], case["size"], case["noise"])
    mean, sd, se = (np.array(case[k]) for k in ("mean", "sd", "se"))
    got = np.array([adapt(db, case["function"], rows, seed=s) for s in range(SEEDS)])
    name = f"{case['function']}, ten features, {case['size']} sets or rows, noise {case['noise']:g}"
    size = np.sqrt((sd**2).sum())
    error = np.sqrt(((got - mean) ** 2).sum(1).mean()) / size
    bias = np.linalg.norm(got.mean(0) - mean) / size
    chance = np.sqrt((got.var(0, ddof=1) / SEEDS + se**2).sum()) / size
    ok(error < 1.4 * measured, f"{name}: error {error:.3f} posterior sd (below {1.4 * measured:.3f})", got.mean(0) - mean)
    ok(bias < 2 * chance + 0.02, f"{name}: mean of {SEEDS} seeds {bias:.3f} sd off, by chance {chance:.3f}", got.mean(0) - mean)

# ---- calibration: users and their choices drawn from the model itself ----
# Whatever was seen, the truth is the posterior mean on average; so it does not lean towards or away from the largest
# weight, and what is left over is not correlated with the estimate.  Sampling noise makes the slope 1 - a little.
USERS, SETS, ROWS, DIM = 1200, 7, 6, 6
rng = np.random.RandomState(31)
db.execute("CREATE TABLE drawn(user_id, choice_set, features, feedback)")
truth, rows = [], []
for user in range(USERS):
    x = rng.standard_normal((SETS, ROWS, DIM))
    x -= x.mean(1, keepdims=True)
    x /= np.sqrt((x**2).mean())
    log_w = np.log(rng.gamma(ALPHAS[user % 8] + 1, size=DIM)) + np.log(rng.rand(DIM)) / ALPHAS[user % 8]
    truth.append(special.softmax(log_w))
    b = SHARPNESS[rng.choice(10, p=np.exp(SHARPNESS_PRIOR))]
    for s in range(SETS):
        u = b * (x[s] @ truth[-1])
        best = (u + rng.gumbel(size=ROWS)).argmax()
        worst = np.where(np.arange(ROWS) == best, -np.inf, rng.gumbel(size=ROWS) - u).argmax()
        rows += [(user, s, x[s, r].tobytes(), "best" if r == best else "worst" if r == worst else None) for r in range(ROWS)]
db.executemany("INSERT INTO drawn VALUES (?, ?, ?, ?)", rows)
mean = np.array([np.frombuffer(w) for w, in db.execute("SELECT weights FROM persona_adapt('drawn') ORDER BY user_id")])
left, top = np.array(truth) - mean, mean.argmax(1)
lean = left[np.arange(USERS), top]
centred = mean - 1 / DIM
slope = 1 + (left * centred).sum() / (centred**2).sum()
error = USERS**0.5 * (left * centred).sum(1).std() / (centred**2).sum()
ok(abs(lean.mean()) < 3.5 * lean.std() / USERS**0.5, f"{USERS} users drawn from the model: the largest weight is off by {lean.mean():.4f} +- {lean.std() / USERS**0.5:.4f}")
ok(abs(slope - 1) < 3.5 * error, f"the truth's slope on the estimate is {slope:.4f} +- {error:.4f}")
ok(0.04 < (left**2).sum() / (centred**2).sum() < 0.09, f"squared error {(left**2).sum(1).mean():.4f} a user", (left**2).sum() / (centred**2).sum())
done()
