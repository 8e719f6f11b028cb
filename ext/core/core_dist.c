/*
** core_dist.c: the distributions of numpy.random.RandomState.
**
** FROZEN.  No fix or speed-up may change a value: published personas are these numbers.  Reference: numpy 1.24
** (numpy/random/src/legacy/legacy-distributions.c, _bounded_integers, mtrand); numpy itself promises never to change
** this generator.  tests/ref/numpy_random.py compares with the installed numpy, and with vectors kept beside it.
*/
#include "core_int.h"

#include <math.h>

void pllm_random_seed(PllmRandomState *rs, uint32_t seed) {
  pllm_mt19937_seed(&rs->mt, seed);
  rs->has_gauss = 0;
  rs->gauss = 0.0;
}

double pllm_random_sample(PllmRandomState *rs) {
  return pllm_mt19937_double(&rs->mt);
}

int64_t pllm_random_randint(PllmRandomState *rs, int64_t lo, int64_t hi) {
  return lo + (int64_t)pllm_mt19937_interval(&rs->mt, (uint32_t)(hi - 1 - lo));
}

void pllm_random_permutation(PllmRandomState *rs, uint32_t n, uint32_t *out) {
  for (uint32_t i = 0; i < n; i++) out[i] = i;
  for (uint32_t i = n; i-- > 1;) {
    uint32_t j = pllm_mt19937_interval(&rs->mt, i), swap = out[i];
    out[i] = out[j];
    out[j] = swap;
  }
}

double pllm_random_gauss(PllmRandomState *rs) {
  double x1, x2, square, f;
  if (rs->has_gauss) {
    f = rs->gauss;
    rs->has_gauss = 0;
    rs->gauss = 0.0;
    return f;
  }
  do {
    x1 = 2.0 * pllm_random_sample(rs) - 1.0;
    x2 = 2.0 * pllm_random_sample(rs) - 1.0;
    square = x1 * x1 + x2 * x2;
  } while (square >= 1.0 || square == 0.0);
  f = sqrt(-2.0 * log(square) / square);
  rs->gauss = f * x1;
  rs->has_gauss = 1;
  return f * x2;
}

double pllm_random_exponential(PllmRandomState *rs) {
  return -log(1.0 - pllm_random_sample(rs));
}

/* Shape below 1: X^shape is proposed uniform up to 1 - shape and with an exponential tail beyond. */
static double gamma_small(PllmRandomState *rs, double shape) {
  for (;;) {
    double u = pllm_random_sample(rs), rest = pllm_random_sample(rs), x, y;
    if (u <= 1.0 - shape) {
      x = pow(u, 1.0 / shape);
      /* The test is x <= -log(1 - rest).  As -log(1 - rest) >= rest, x well below rest needs no logarithm. */
      if (x < 0.999 * rest || x <= -log(1.0 - rest)) return x;
    } else {
      y = -log((1.0 - u) / shape);
      x = pow(1.0 - shape + shape * y, 1.0 / shape);
      if (x <= -log(1.0 - rest) + y) return x;
    }
  }
}

/* Shape above 1: Marsaglia and Tsang 2000. */
static double gamma_large(PllmRandomState *rs, double shape) {
  const double b = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * b);
  for (;;) {
    double x, v, u;
    do {
      x = pllm_random_gauss(rs);
      v = 1.0 + c * x;
    } while (v <= 0.0);
    v = v * v * v;
    u = pllm_random_sample(rs);
    if (u < 1.0 - 0.0331 * (x * x) * (x * x)) return b * v;
    if (log(u) < 0.5 * x * x + b * (1.0 - v + log(v))) return b * v;
  }
}

double pllm_random_gamma(PllmRandomState *rs, double shape) {
  if (shape == 1.0) return pllm_random_exponential(rs);
  if (shape == 0.0) return 0.0;
  return shape < 1.0 ? gamma_small(rs, shape) : gamma_large(rs, shape);
}

int pllm_random_dirichlet(PllmRandomState *rs, const double *alpha, size_t n, double *weights) {
  double sum = 0.0, inverse;
  for (size_t i = 0; i < n; i++) {
    weights[i] = pllm_random_gamma(rs, alpha[i]);
    sum = sum + weights[i];
  }
  inverse = 1.0 / sum;
  for (size_t i = 0; i < n; i++) weights[i] = weights[i] * inverse;
  return inverse <= 1.7976931348623157e308;
}
