"""What run.py compares: for each league the methods, and for each method the configurations that tuning tries.

A configuration is (options of learn_users or None, options of adaptation).  Every tuned method has BUDGET of them, the first
being the defaults; methods without anything to tune have one.
"""
from itertools import product

BUDGET = 9


def grid(learn, adapt=None, **values):
    """The defaults, then every combination of values; keys that start with new_ are the adaptation's."""
    out = [(learn, dict(adapt or {}))]
    for point in product(*values.values()):
        options = dict(zip(values, point))
        out.append((dict(learn, **{k: v for k, v in options.items() if not k.startswith("new_")}) if learn else None,
                    dict(adapt or {}, **{k[4:]: v for k, v in options.items() if k.startswith("new_")})))
    return out


def each(learn, adapt, *points):
    """The defaults, then the points: pairs of options."""
    return [(learn, adapt)] + [(dict(learn, **more) if learn else None, dict(adapt, **new)) for more, new in points]


# Preferences only: pairs of embeddings.
PAIRS = {
    "classes": each({"method": "classes"}, {}, *(({"rank": r, "lambda": l, "temperature": t}, {}) for r, l, t in (
        (20, 64, 1), (20, 128, 1), (20, 512, 1), (20, 1024, 1), (10, 256, 1), (40, 256, 1), (20, 256, 2), (20, 256, .5)))),
    "neighbors": grid({"method": "neighbors"}, **{"lambda": (1, 5, 25, 100), "new_temperature": (.04, .1)}),
    "svd": each({"method": "svd"}, {}, *(({"rank": r, "penalty": p}, {}) for r, p in (
        (5, .02), (5, .1), (5, .07), (10, .07), (10, .1), (3, .05), (3, .07), (3, .1)))),
    "lore": each({"method": "lore"}, {}, *(({"rank": r, "iterations": i}, {}) for r, i in (
        (2, 1000), (3, 1000), (10, 1000), (20, 1000), (3, 500), (5, 500), (10, 500), (3, 2000)))),
    "maml": each({"method": "maml"}, {}, *(({"inner_rate": i, "rate": o, **more}, {"rate": i}) for i, o, more in (
        (.1, .0005, {}), (.5, .0005, {}), (1, .0005, {}), (.5, .005, {}), (1, .005, {}), (2, .005, {}), (.5, .005, {"rank": 10}), (1, .005, {"rank": 10})))),
    "pooled, then Bradley-Terry around it": grid({"method": "pooled"}, **{"lambda": (1, 30), "new_lambda": (1, 4, 16, 64)}),
    "pooled for all": grid({"method": "pooled"}, {"lambda": 1e9}, **{"lambda": (.03, .3, 3, 10, 30, 100, 300, 1000)}),
    "own pairs alone, Bradley-Terry": grid(None, {"method": "bradley_terry"}, new_lambda=(.01, .03, .1, .3, 3, 10, 30, 100)),
    "own pairs alone, posterior (Gaussian)": [(None, {})],
    "own pairs alone, sum (Hebbian)": [(None, {"method": "sum"})],
}

# Reward scores of the train split, whole choice sets: features are scores, so that other penalties and ranks make sense.
IMPLIED = {"pairs": "implied"}
SCORES = {
    "posterior, learned prior": [({"method": "prior"}, {})],
    "posterior, default prior": [(None, {})],
    "classes": each({"method": "classes", **IMPLIED}, IMPLIED, *(({"rank": r, "lambda": l, "temperature": t}, {}) for r, l, t in (
        (20, 64, 1), (20, 16, 1), (20, 4, 1), (20, 1, 1), (20, .25, 1), (10, 4, 1), (30, 4, 1), (20, 4, 2)))),
    "neighbors": grid({"method": "neighbors", **IMPLIED}, IMPLIED, **{"lambda": (.01, .1, 1, 10), "new_temperature": (.01, .03)}),
    "svd": each({"method": "svd", **IMPLIED}, IMPLIED, *(({"rank": r, "penalty": p}, {"rate": g, **more}) for r, p, g, more in (
        (5, .01, .01, {}), (10, .01, .01, {}), (10, .002, .01, {}), *((r, p, g, {"iterations": 500}) for r, p, g in (
            (10, .01, .1), (10, .002, .1), (10, .0005, .1), (5, .002, .1), (10, .002, 1)))))),
    "lore": each({"method": "lore", **IMPLIED}, IMPLIED, *(({"rank": r, "temperature": t}, {}) for r, t in (
        (5, 10), (5, 1), (10, 100), (10, 10), (10, 1), (20, 100), (20, 10), (20, 1)))),
    "maml": each({"method": "maml", **IMPLIED}, IMPLIED, *(({"inner_rate": i, "rate": o, "rank": r}, {"rate": i, "iterations": s}) for i, o, r, s in (
        (.1, .005, 5, 5), (.5, .005, 5, 5), (1, .005, 5, 5), (.5, .005, 10, 5), (1, .005, 10, 5), (.5, .05, 10, 20), (1, .05, 10, 20), (.5, .05, 20, 20)))),
    "pooled, then Bradley-Terry around it": grid({"method": "pooled", **IMPLIED}, IMPLIED, **{"lambda": (1, 30), "new_lambda": (.03, .1, .3, 1)}),
    "pooled for all": grid({"method": "pooled", **IMPLIED}, {"lambda": 1e9}, **{"lambda": (.03, .3, 3, 10, 30, 100, 300, 1000)}),
    "own sets alone, Bradley-Terry, implied pairs": grid(None, {"method": "bradley_terry", **IMPLIED}, new_lambda=(.003, .01, .03, .1, .3, 3, 10, 30)),
    "own sets alone, sum (Hebbian)": [(None, {"method": "sum"})],
    "uniform": [(None, {"method": "uniform"})],
}

# Reward features: what a learned prior is worth.  None stands for the users' own alpha.
PRIORS = {
    "posterior, learned prior": [({"method": "prior"}, {})],
    "posterior, default prior": [(None, {})],
    "posterior, true alpha": [(None, {"alpha": None})],
    "uniform": [(None, {"method": "uniform"})],
}

for league in (PAIRS, SCORES, PRIORS):
    for name, configurations in league.items():
        assert len(configurations) in (1, BUDGET), (name, len(configurations))
