"""The algorithms of core_learn_prior.c, core_learn_lore.c and core_learn_classes.c in vectorised numpy."""
import os
import sys

import numpy as np
from scipy.special import gammaln

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "j3_adapt"), os.path.join(HERE, "..", "..")]
from learnref import Adam, normals, softmax  # noqa: E402
from posterior import LANES, LOG_TINY, Law, SHARPNESSES, likelihood, posterior  # noqa: E402

# ---- prior ----

GRID = np.array([.01, .02, .04, .08, .15, .3, .6, 1.2, 2.5, 5])
START = (np.full(10, .1), 2. ** (np.arange(SHARPNESSES) / 4) / (2. ** (np.arange(SHARPNESSES) / 4)).sum())
ROUNDS, FEW, DEFENCE, PSEUDO_USERS, SHOWN = 3, 512, .2, .02, 5


def sample(shown, best, worst, share, sharp, tilt, seed):
    """Tables [users][alphas][sharpnesses] of posterior probabilities under the prior given, and posterior means."""
    users, dim, even = len(shown), shown.shape[3], np.all(tilt == 1)
    tables, log_sharp = np.zeros((users, len(GRID), SHARPNESSES)), np.log(sharp)
    constant = gammaln(GRID * tilt.sum()) - gammaln(GRID[:, None] * tilt).sum(1) + np.log(share)

    def watch(who, log_w, u, best, worst):
        total = (tilt * log_w).sum(-1)  # [users][blocks][lanes]
        group = softmax(constant + GRID * total[..., None])
        ll = np.stack([likelihood(u, best[:, :, None], worst[:, :, None], np.full(u.shape[:-1], float(k))).sum(1)
                       for k in range(SHARPNESSES)], -1)
        tables[who] += np.einsum("ublg,ublk->ugk", group, softmax(ll + log_sharp)) / (LANES * SHOWN)

    def settled(user, weight, w, alpha, level):
        with np.errstate(divide="ignore"):
            total = (tilt * np.maximum(np.log(w), LOG_TINY)).sum(1)
        tables[user] = (softmax(constant + GRID * total[:, None]) * weight[:, None]).T @ np.eye(SHARPNESSES)[level.astype(int)]

    law = Law(dim, GRID, share, log_sharp, None if even else tilt, watch, settled)
    return tables, posterior(shown, best, worst, seed, law=law)


def maximise(tables, share_from, sharp_from, share, sharp):
    """EM for the shares from tables that were sampled under other ones."""
    pseudo = 1 + PSEUDO_USERS * len(tables)
    for _ in range(1000):
        r = tables * (share / share_from)[:, None] * (sharp / sharp_from)
        r /= r.sum((1, 2), keepdims=True)
        next_share = (r.sum((0, 2)) + pseudo / 10) / (len(tables) + pseudo)
        next_sharp = (r.sum((0, 1)) + pseudo / SHARPNESSES) / (len(tables) + pseudo)
        change = max(np.abs(next_share - share).max(), np.abs(next_sharp - sharp).max())
        share, sharp = next_share, next_sharp
        if change < 1e-6:
            break
    return share, sharp


def centre(means):
    """dim times the mean of the users' means, drawn to 1/dim."""
    users, dim = means.shape
    mean = means.mean(0)
    spread, chance = ((mean - 1 / dim) ** 2).sum(), ((means - mean) ** 2).sum() / users ** 2
    keep = 1 - chance / spread if spread > chance else 0
    return np.ones(dim) if keep == 0 else (users * (1 / dim + keep * (mean - 1 / dim)) * dim + 1) / (users + 1)


def learn_prior(shown, best, worst):
    """(shares of GRID, probabilities of sharpness, mean) from choice sets [users][sets][rows][dim]."""
    share, sharp = START
    tilt = np.ones(shown.shape[3])
    for i in range(ROUNDS):
        step = -(-len(shown) // FEW) if i + 1 < ROUNDS else 1
        under = share + DEFENCE * (START[0] - share), sharp + DEFENCE * (START[1] - sharp)
        tables, means = sample(shown[::step], best[::step], worst[::step], *under, tilt, i)
        share, sharp = maximise(tables, *under, share, sharp)
        tilt = centre(means)
    return share, sharp, tilt / tilt.sum()


# ---- pairs of a pool of vectors: a over b, [users][pairs] ----

def add_up(at, values, size):
    """[size][k]: the sums of values[n][k] by at[n]."""
    return np.stack([np.bincount(at, v, size) for v in values.T], 1)


def learn_lore(x, a, b, rank, iterations, rate, temperature, start):
    """LoRe's basis [rank][dim] by full-batch Adam from start = (V, A); projections once a vector, not once a pair."""
    users, pairs = a.shape
    V, A = start
    adam_v, adam_a = Adam(V), Adam(A)
    both = np.concatenate((a.ravel(), b.ravel()))
    for _ in range(iterations):
        z, w = x @ (V / temperature), softmax(A)
        d = z[a] - z[b]
        g = -1 / (1 + np.exp(np.einsum("upk,uk->up", d, w))) / pairs
        by_w = np.einsum("up,upk->uk", g, d)
        by_d = (g[..., None] * w[:, None]).reshape(-1, rank)
        by_v = x.T @ add_up(both, np.concatenate((by_d, -by_d)), len(x)) / temperature
        V, A = adam_v.step(V, by_v, rate), adam_a.step(A, w * (by_w - (w * by_w).sum(1, keepdims=True)), rate)
    return V.T


def lore_start(seed, dim, users, rank):
    return normals(seed, 0, dim * rank).reshape(dim, rank), normals(seed, 1, users * rank).reshape(users, rank)
