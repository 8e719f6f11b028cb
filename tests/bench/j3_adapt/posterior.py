"""The algorithm of core_posterior.c in vectorised numpy: users in blocks, particles and lanes as arrays.

Its random numbers are numpy's, so its answers differ from ours by Monte Carlo noise.  It counts the exponentials and
logarithms of the formulas that it evaluates (without those of 0 and 1), as ours needs as many; that ours finds ways
around some of them (bounds, two terms for one exponential) is its own affair.
"""
import numpy as np

PARTICLES, BLOCKS, BLOCK, ENOUGH, SET_STEPS, LAST_STEPS, BURN_IN, SHOW_EVERY = 8192, 2, 64, 32, 8, 30, 10, 4
DROP, LOG_TINY, LOG_2, SHARPNESSES = 14.0, -690.0, np.log(2), 10
PRIOR_ALPHA = (.01, .03, .1, .3, 1, 1, 3, 3)
SHARPNESS_POWER = .25  # prior weight of sharpness b: b to this power
LANES = BLOCKS * BLOCK


class Counter:
    exp = log = 0


def standardise(x):
    """[users][sets][rows][dim], centred within sets, root mean square 1 within users."""
    x = x - x.mean(2, keepdims=True)
    return x / np.sqrt((x ** 2).mean((1, 2, 3), keepdims=True))


class Law:
    """The prior: alphas and their shares, the log probabilities of sharpness (but for a constant), dim times the mean.

    watch(users, log_w, u, best, worst) sees the lanes at every fourth of the steps that are averaged, settled(user, share, w, alpha,
    level) the weighted particles of a user whose lanes never moved.
    """

    def __init__(self, dim, alphas=PRIOR_ALPHA, shares=None, log_sharp=None, tilt=None, watch=None, settled=None):
        self.dim, self.alphas = dim, alphas
        self.shares = np.full(len(alphas), 1 / len(alphas)) if shares is None else shares
        self.log_sharp = SHARPNESS_POWER * LOG_2 * np.arange(SHARPNESSES) if log_sharp is None else log_sharp
        self.tilted, self.tilt = tilt is not None, np.ones(dim) if tilt is None else tilt
        self.watching, self.watch, self.settling, self.settled = watch, None, settled, None

    def of(self, first):
        """The same for a block of users that starts with number `first`."""
        if self.watching:
            self.watch = lambda users, *rest: self.watching(first + users, *rest)
            self.settled = lambda user, *rest: self.settling(first + user, *rest)
        return self


def prior(law, rng):
    dim, turns = law.dim, 1 if law.tilted else law.dim
    bases = -(-PARTICLES // turns)
    while bases * turns % 64:
        bases += 1
    weights, alphas = [], []
    ends = np.rint(bases * np.cumsum(law.shares)).astype(int)
    for n, alpha in zip(np.diff(ends, prepend=0), law.alphas):
        a = alpha * law.tilt
        logs = np.log(rng.gamma(1 + a, size=(n, dim))) + np.log(rng.uniform(size=(n, dim))) / a
        w = np.exp(logs - logs.max(1, keepdims=True))
        w /= w.sum(1, keepdims=True)
        # all rotations, which favour nobody, unless the prior does
        weights.append(np.stack([np.roll(w, r, 1) for r in range(turns)], 1).reshape(-1, dim))
        alphas.append(np.full(n * turns, float(alpha)))
    share = np.cumsum(np.exp(law.log_sharp))
    u = (np.arange(bases * turns) * .6180339887498949) % 1 * share[-1]
    return np.concatenate(weights), np.concatenate(alphas), np.searchsorted(share, u, side="right").astype(float)


def utilities(w, x):
    """[.., particles][rows] for particles w [.., particles][dim] and rows x [.., rows][dim]."""
    return np.matmul(w, np.swapaxes(x, -1, -2))


def likelihood(u, best, worst, level):
    """Log likelihood of sets of utilities [.., particles][rows] with marks [..] at sharpness 2^level [.., particles]."""
    rows, sharpness = u.shape[-1], np.exp2(level)[..., None]
    at = lambda k: np.take_along_axis(u, np.broadcast_to(k[..., None, None], u.shape[:-1] + (1,)), -1)
    one = np.exp(np.minimum(sharpness * (u - at(best)), 300)).sum(-1)
    two = np.minimum(sharpness * (at(worst) - u), 300)
    np.put_along_axis(two, np.broadcast_to(best[..., None, None], two.shape[:-1] + (1,)), -np.inf, -1)
    two = np.exp(two).sum(-1)
    Counter.exp += one.size * (2 * rows - 3)
    Counter.log += one.size  # of the product
    return -np.log(one * two)


def shares(ll):
    s = np.exp(ll - ll.max(-1, keepdims=True))
    Counter.exp += s.size
    s /= s.sum(-1, keepdims=True)
    return s, 1 / (s * s).sum(-1)


def picks(share):
    """Systematic resampling: the particle of each lane."""
    return np.minimum(np.searchsorted(np.cumsum(share), (np.arange(LANES) + .5) / LANES), len(share) - 1)


def choose(mass, uniform):
    """For each user one feature in proportion to mass [users][dim]."""
    total = np.cumsum(mass, 1)
    return np.minimum((total < (uniform * total[:, -1])[:, None]).sum(1), mass.shape[1] - 1)


class Lanes:
    """The moved particles of a block of users, [users][BLOCKS][BLOCK]."""

    def __init__(self, users, dim):
        self.shape = (users, BLOCKS, BLOCK)
        self.w, self.log_w = np.zeros(self.shape + (dim,)), np.zeros(self.shape + (dim,))
        self.alpha, self.level, self.ll, self.new = (np.zeros(self.shape) for _ in range(4))

    def take(self, user, k, w, alpha, level, ll):
        for mine, theirs in ((self.w, w), (self.alpha, alpha), (self.level, level), (self.ll, ll)):
            mine[user] = theirs[k].reshape(mine[user].shape)
        with np.errstate(divide="ignore"):
            self.log_w[user] = np.maximum(np.log(self.w[user]), LOG_TINY)
        Counter.log += self.w[user].size
        self.new[user] = 0

    def flat(self, user):
        return [a[user].reshape((LANES,) + a.shape[3:]) for a in (self.w, self.alpha, self.level, self.ll)]

    def move(self, users, x, best, worst, steps, burn_in, rng, law):
        """Metropolis steps on the sets given; returns the sum of the weights after burn-in."""
        w, log_w, alpha, level, ll = (a[users] for a in (self.w, self.log_w, self.alpha, self.level, self.ll))
        n, sets, rows, dim = x.shape
        u = utilities(w[:, None], x[:, :, None])  # [users][sets][blocks][lanes][rows]
        total, i, log_sharp, tilt = np.zeros((n, dim)), np.arange(n), law.log_sharp, law.tilt
        for step in range(steps):
            for block in range(BLOCKS):
                other = block ^ 1
                next_w, next_log = w[:, block].copy(), log_w[:, block].copy()
                turn = np.array([-1, 0, 0, 1])[rng.randint(0, 4, (n, BLOCK))]
                next_level = level[:, block] + turn
                inside = (next_level >= 0) & (next_level < SHARPNESSES)
                if step % 2 == 0:
                    mass = w[:, other].sum(1)
                    a = choose(mass, rng.uniform(size=n))
                    mass[rng.uniform(size=n) < .5] = 1
                    mass[i, a] = 0
                    b = choose(mass, rng.uniform(size=n))
                    la, lb = log_w[i, block, :, a], log_w[i, block, :, b]
                    both = w[i, block, :, a] + w[i, block, :, b]
                    size = np.array([.3, 1.5, 6])[rng.randint(0, 3, (n, BLOCK))]
                    t = np.where(rng.uniform(size=(n, BLOCK)) < .2, -1, 1) * (la - lb) + size * rng.standard_normal((n, BLOCK))
                    e = np.exp(-np.abs(t))
                    share = 1 / (1 + e)
                    less = np.log(np.maximum(both, 1e-300)) + np.log(share)
                    Counter.exp += t.size
                    Counter.log += 2 * t.size
                    na, nb = np.maximum(less + np.minimum(t, 0), LOG_TINY), np.maximum(less - np.maximum(t, 0), LOG_TINY)
                    next_log[i, :, a], next_log[i, :, b] = na, nb
                    next_w[i, :, a] = both * share * np.where(t > 0, 1, e)
                    next_w[i, :, b] = both * share * np.where(t > 0, e, 1)
                    ratio = na + nb - la - lb
                    gained = next_w[i, :, a] - w[i, block, :, a]
                    next_u = u[:, :, block] + gained[:, None, :, None] * (x[i, :, :, a] - x[i, :, :, b])[:, :, None]
                else:
                    one = rng.randint(0, BLOCK, n)
                    two = (one + 1 + rng.randint(0, BLOCK - 1, n)) % BLOCK
                    lane = np.arange(BLOCK)
                    theirs = lambda first: log_w[i[:, None], other, (lane + first[:, None]) % BLOCK]
                    next_log += rng.uniform(.2, .8, (n, BLOCK))[..., None] * (theirs(one) - theirs(two))
                    next_log -= next_log.max(2, keepdims=True)
                    next_w = np.exp(next_log)
                    sums = next_w.sum(2, keepdims=True)
                    next_w /= sums
                    next_log = np.maximum(next_log - np.log(sums), LOG_TINY)
                    Counter.exp += next_w.size
                    Counter.log += sums.size
                    ratio = (next_log - log_w[:, block]).sum(2)
                    next_u = utilities(next_w[:, None], x)
                change = (((tilt * (next_log - log_w[:, block])).sum(2) if law.tilted else ratio) * alpha[:, block]
                          + np.where(inside, log_sharp[np.clip(next_level, 0, SHARPNESSES - 1).astype(int)] - log_sharp[level[:, block].astype(int)], -np.inf))
                next_ll = likelihood(next_u, best, worst, np.broadcast_to(next_level[:, None], next_u.shape[:-1])).sum(1)
                yes = np.log(rng.uniform(size=(n, BLOCK))) < next_ll - ll[:, block] + change
                w[:, block] = np.where(yes[..., None], next_w, w[:, block])
                log_w[:, block] = np.where(yes[..., None], next_log, log_w[:, block])
                u[:, :, block] = np.where(yes[:, None, :, None], next_u, u[:, :, block])
                ll[:, block] = np.where(yes, next_ll, ll[:, block])
                level[:, block] = np.where(yes, next_level, level[:, block])
            if step >= burn_in:
                total += w.sum((1, 2))
                if law.watch and (step - burn_in) % SHOW_EVERY == 0:
                    law.watch(users, log_w, u, best, worst)
        self.w[users], self.log_w[users], self.ll[users], self.level[users] = w, log_w, ll, level
        return total


def block(x, best, worst, cloud, rng, law):
    users, sets, _, dim = x.shape
    lanes, moved = Lanes(users, dim), np.zeros(users, bool)
    clouds = [[*cloud, np.zeros(len(cloud[1]))] for _ in range(users)]
    mean = np.zeros((users, dim))
    for s in range(sets):
        last, due = s + 1 == sets, []
        for u in np.flatnonzero(~moved):
            c = clouds[u]
            c[3] = c[3] + likelihood(utilities(c[0], x[u, s]), best[u, s], worst[u, s], c[2])
            keep = c[3] > c[3].max() - DROP
            c[:] = [part[keep] for part in c]
            share, effective = shares(c[3])
            if effective < ENOUGH:
                lanes.take(u, picks(share), *c)
                due.append(u)
            elif last:
                mean[u] = share @ c[0]
                if law.settled:
                    law.settled(u, share, *c[:3])
        old = np.flatnonzero(moved)
        if len(old):
            seen = utilities(lanes.w[old], x[old, s][:, None])
            lanes.new[old] += likelihood(seen, *(np.repeat(k[old, s, None], BLOCKS, 1) for k in (best, worst)), lanes.level[old])
            share, effective = shares(lanes.new[old].reshape(len(old), LANES))
            for k, u in enumerate(old):
                if last or effective[k] < ENOUGH:
                    w, alpha, level, ll = lanes.flat(u)
                    lanes.take(u, picks(share[k]), w, alpha, level, ll + lanes.new[u].ravel())
                    due.append(u)
        moved[due] = True
        if due and not last:
            lanes.move(np.array(due), x[due, :s + 1], best[due, :s + 1], worst[due, :s + 1], SET_STEPS, SET_STEPS, rng, law)
    last = np.flatnonzero(moved)
    if len(last):
        mean[last] = lanes.move(last, x[last], best[last], worst[last], LAST_STEPS, BURN_IN, rng, law)
    return mean / mean.sum(1, keepdims=True)


def posterior(features, best, worst, seed=0, users=64, law=None):
    """Posterior means [users][dim] of choice sets [users][sets][rows][dim] with marks [users][sets]."""
    rng, law = np.random.RandomState(seed), law or Law(features.shape[3])
    Counter.exp = Counter.log = 0
    x, cloud = standardise(features), prior(law, rng)
    return np.concatenate([block(x[a:a + users], best[a:a + users], worst[a:a + users], cloud, rng, law.of(a))
                           for a in range(0, len(x), users)])
