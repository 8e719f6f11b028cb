"""numpy implementations of learning across users, from the papers (and the files' headers), for tests and benchmarks."""
import numpy as np

M32 = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def unit(low, high):
    return ((low | high << 32) % 2**52 + .5) / 2**52


def normals(seed, stream, count):
    """Marsaglia's polar method at philox addresses: number i is a function of i."""
    out = np.empty(count)
    for i in range(count):
        for attempt in range(1000):
            b = philox((i, 0, stream, attempt), (seed, 8))
            x, y = 2 * unit(b[0], b[1]) - 1, 2 * unit(b[2], b[3]) - 1
            r = x * x + y * y
            if 0 < r < 1:
                out[i] = x * np.sqrt(-2 * np.log(r) / r)
                break
    return out


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigma(s):
    return 1 / (1 + np.exp(-s))


class Adam:
    def __init__(self, x):
        self.m, self.v, self.t = np.zeros_like(x), np.zeros_like(x), 0

    def step(self, x, g, rate):
        self.t += 1
        self.m = .9 * self.m + .1 * g
        self.v = .999 * self.v + .001 * g * g
        return x - rate * (self.m / (1 - .9**self.t)) / (np.sqrt(self.v / (1 - .999**self.t)) + 1e-8)


# A history is a list of (user, chosen, rejected): vectors.  Users in the order of their ids.

def differences(pairs):
    users = sorted({u for u, _, _ in pairs})
    return users, [np.array([c - r for v, c, r in pairs if v == u]) for u in users]


def scale(d):
    """What brings features, centred by pair, to a root mean square of 1."""
    d = np.concatenate(d)
    return 1 / np.sqrt(np.mean(d * d) / 4)


# ---- pooled ----

def pooled_objective(w, d, lam):
    d = np.concatenate(d)
    s = d @ w
    return (np.logaddexp(0, -s).sum() + lam / 2 * w @ w) / len(d), (-(sigma(-s)) @ d + lam * w) / len(d)


def around(d, mean, lam, s):
    """Bradley-Terry with the prior N(mean, 1/lam) in coordinates scaled by s; features' own units in and out."""
    from scipy.optimize import minimize
    z = d * s
    f = lambda v: (np.logaddexp(0, -(z @ v + d @ mean)).sum() + lam / 2 * v @ v, -(sigma(-(z @ v + d @ mean)) @ z) + lam * v)
    r = minimize(f, np.zeros(d.shape[1]), jac=True, method="BFGS", options=dict(gtol=1e-11))
    return mean + s * r.x


# ---- neighbors ----

def profile(d, lam):
    s = scale([d])
    return around(d, np.zeros(d.shape[1]), lam, s)


def explained(d, profiles, temperature):
    l = -np.logaddexp(0, -(profiles @ d.T)).mean(1)
    return softmax(l / temperature) @ profiles


# ---- LoRe ----

def lore_objective(V, A, d, temperature):
    """sum_u 1/m_u sum_j -log sigma(d V softmax(a)/T) with its gradients."""
    W, value, gV, gA = softmax(A), 0., np.zeros_like(V), np.zeros_like(A)
    for u, x in enumerate(d):
        z = x @ V / temperature
        s = z @ W[u]
        value += np.logaddexp(0, -s).mean()
        g = -sigma(-s) / len(x)
        gV += np.outer(x.T @ g, W[u]) / temperature
        gw = z.T @ g
        gA[u] = W[u] * (gw - W[u] @ gw)
    return value, gV, gA


def lore(d, rank, seed, iterations, rate, temperature):
    dim = d[0].shape[1]
    V, A = normals(seed, 0, dim * rank).reshape(dim, rank), normals(seed, 1, len(d) * rank).reshape(len(d), rank)
    aV, aA, history = Adam(V), Adam(A), []
    for _ in range(iterations):
        value, gV, gA = lore_objective(V, A, d, temperature)
        history.append((value, np.sqrt((gV**2).sum() + (gA**2).sum())))
        V, A = aV.step(V, gV, rate), aA.step(A, gA, rate)
    return V, A, lore_objective(V, A, d, temperature)[0], history


def lore_user(d, V, seed, iterations, rate, temperature):
    a = normals(seed, 2, V.shape[1])
    adam = Adam(a)
    for _ in range(iterations):
        w = softmax(a)
        z = d @ V / temperature
        gw = -(z.T @ sigma(-(z @ w))) / len(d)
        a = adam.step(a, w * (gw - w @ gw), rate)
    return V @ softmax(a) / temperature


# ---- PReF ----

def svd_objective(B, L, d, penalty):
    """B [dim, rank], L [users, rank], d scaled; mean over pairs of the loss plus the penalty on mean norms, with gradients."""
    n = sum(len(x) for x in d)
    value, gB, gL = 0., np.zeros_like(B), np.zeros_like(L)
    for u, x in enumerate(d):
        phi = x @ B
        s = phi @ L[u]
        norm = np.sqrt((phi**2).sum(1) + 1e-12)
        value += (np.logaddexp(0, -s).sum() + penalty * norm.sum()) / n
        g = -sigma(-s) / n
        gL[u] += phi.T @ g
        gB += x.T @ (np.outer(g, L[u]) + penalty / n * phi / norm[:, None])
    norm = np.sqrt((L**2).sum(1) + 1e-12)
    return value + penalty * norm.mean(), gB, gL + penalty / len(d) * L / norm[:, None]


def svd_user(d, basis, start, iterations, rate):
    """Gradient descent on the mean loss; basis [rank, dim] in the features' units."""
    l, z = start.copy(), d @ basis.T
    for _ in range(iterations):
        l = l + rate * z.T @ sigma(-(z @ l)) / len(z)
    return l @ basis


# ---- meta reward modelling ----

def philox_shuffle(seed, stream, epoch, items):
    items = list(items)
    for i in range(len(items) - 1, 0, -1):
        b = philox((i, 0, stream, epoch), (seed, 8))
        j = ((b[0] | b[1] << 32) * (i + 1)) >> 64
        items[i], items[j] = items[j], items[i]
    return items


def maml_inner(B, theta, d, inner_rate):
    """theta after one Adam step from zero moments on the mean loss of pairs d."""
    p = softmax(theta)
    z = d @ B
    gp = -(z.T @ sigma(-(z @ p))) / len(d)
    g = p * (gp - p @ gp)
    return theta - inner_rate * g / (np.abs(g) + 1e-8)


def maml_losses(B, theta, batch, inner_rate):
    """batch: [(support, query)] of scaled differences; the query loss of each user."""
    return np.array([np.logaddexp(0, -(q @ B @ softmax(maml_inner(B, theta, s, inner_rate)))).mean() for s, q in batch])


def maml_robust(losses, rho, gamma, tau=None):
    tau = np.quantile(losses, 1 - rho) if tau is None else tau
    part = sigma((losses - tau) / gamma) if gamma > 0 else (losses > tau) | ((losses == tau) & ~(losses > tau).any())
    return (part * losses).sum()


def maml_batches(sizes, seed, batch, query, steps):
    """Which users and which of their pairs each outer step uses: [(user, support, query)]."""
    out, epoch, at = [], 0, len(sizes)
    order, pairs = list(range(len(sizes))), [list(range(n)) for n in sizes]
    for _ in range(steps):
        if at >= len(sizes):
            order, at = philox_shuffle(seed, 3, epoch, order), 0
            pairs = [philox_shuffle(seed, 4 + u, epoch, x) for u, x in enumerate(pairs)]
            epoch += 1
        step = []
        for u in order[at:at + batch]:
            n = sizes[u]
            tested = min(max(int(query * n + .5), 1), max(n - 1, 1))
            step.append((u, pairs[u][tested:] if n > 1 else pairs[u], pairs[u][:tested]))
        at += batch
        out.append(step)
    return out


def maml_user(d, basis, theta, iterations, rate):
    adam, z = Adam(theta), d @ basis.T
    for _ in range(iterations):
        p = softmax(theta)
        gp = -(z.T @ sigma(-(z @ p))) / len(z)
        theta = adam.step(theta, p * (gp - p @ gp), rate)
    return softmax(theta) @ basis


# ---- latent classes ----

def classes_objective(V, d, lam, temperature):
    """V [dim, rank], d scaled; the tempered mixture likelihood and the penalty, a pair, with the gradient."""
    n, value, g = sum(len(x) for x in d), lam / 2 * (V**2).sum(), lam * V
    for x in d:
        s = x @ V
        l = -np.logaddexp(0, -s).sum(0) / temperature
        value -= temperature * np.log(np.exp(l - l.max()).mean()) + temperature * l.max()
        g = g - x.T @ (sigma(-s) * softmax(l))
    return value / n, g / n


def classes_user(d, basis, temperature):
    """The mean over classes by posterior probability; basis [rank, dim] in the features' units."""
    return softmax(-np.logaddexp(0, -(basis @ d.T)).sum(1) / temperature) @ basis
