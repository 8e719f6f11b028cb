#!/usr/bin/python3
"""Print the vectors of tests/ref/numpy_random.csv: numpy.random.RandomState as the core must reproduce it.

    /usr/bin/python3 tests/ref/make_numpy_random.py > tests/ref/numpy_random.csv

The file in the repository was made with numpy 1.24.2 (Debian 12, glibc 2.36, x86-64).  Numbers are C hexadecimal
doubles.  Lines: kind,seed,n_args,args...,n_values,values...
"""
import sys
import numpy as np

SEEDS = [0, 1, 42, 2020, 4294967295]
ALPHAS = [.01, .05, .1, .5, .9, 1., 1.5, 2., 3.5, 100.]
VECTOR = [.01, .05, .1, .5, 1., 1.5, 2., 3.5, .999, 1.001]


def line(kind, seed, args, values):
    print(",".join([kind, str(seed), str(len(args))] + [float(a).hex() for a in args] + [str(len(values))]
                   + [float(v).hex() for v in values]))


def main():
    print("# numpy " + np.__version__)
    for seed in SEEDS:
        new = lambda: np.random.RandomState(seed)
        line("sample", seed, [], new().random_sample(20))
        line("gauss", seed, [], new().standard_normal(21))
        line("exponential", seed, [], new().standard_exponential(20))
        for hi in (2, 5, 9402, 2**31, 2**32):
            line("randint", seed, [0, hi], new().randint(0, hi, 20))
        line("randint", seed, [-3, 4], new().randint(-3, 4, 20))
        for n in (1, 2, 8, 100):
            line("permutation", seed, [n], new().permutation(n))
        rs = new()  # mixed calls: the cached second gauss and the stream position both survive
        line("mixed", seed, [], [rs.standard_normal(), rs.randint(0, 7), rs.standard_normal(), rs.random_sample(),
                                 rs.standard_gamma(2.5), rs.standard_gamma(.3)] + list(rs.choice(np.arange(1, 8), 2, False)))
        for alpha in ALPHAS:
            line("gamma", seed, [alpha], new().standard_gamma(alpha, 20))
            users = new().dirichlet([alpha] * 10, size=1000)
            for i in (0, 1, 2, 999):
                line("dirichlet", seed, [i] + [alpha] * 10, users[i])
        users = new().dirichlet(VECTOR, size=1000)
        for i in (0, 1, 2, 999):
            line("dirichlet", seed, [i] + VECTOR, users[i])
        users = new().dirichlet([.0005] * 3, size=1000)  # draws that all underflow: numpy gives NaN
        line("underflow", seed, [.0005] * 3, np.isnan(users).any(1))


if __name__ == "__main__":
    sys.exit(main())
