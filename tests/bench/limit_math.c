/*
** limit_math.c: the vectorised exponential and logarithm that transcendental-bound jobs are held against.
*/
#include "limit_math.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint64_t to_bits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* exp(t) = 2^k exp(r), |r| <= log(2)/2: Taylor to the 11th power, in Estrin's order for short chains. */
void limit_exp_many(const double *in, double *out, size_t n) {
  const double round = 0x1.8p52;
  for (size_t i = 0; i < n; i++) {
    double t = in[i], k = t * 1.44269504088896338700 + round, whole = k - round, r, r2, r4, p;
    r = t - whole * 0.693147180369123816490;
    r = r - whole * 1.90821492927058770002e-10;
    r2 = r * r;
    r4 = r2 * r2;
    p = (1 + r) + r2 * (0.5 + r * (1.0 / 6)) +
        r4 * ((1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040)) +
              r4 * ((1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800))));
    out[i] = p * from_bits((to_bits(k) + 1023) << 52);
  }
}

/* log(x) = e log(2) + 2 artanh(f / (2 + f)), x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2). */
void limit_log_many(const double *in, double *out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t bits = to_bits(in[i]), shifted = bits + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    /* the exponent as a double without an integer conversion */
    double e = from_bits(0x4330000000000000 | shifted >> 52) - (0x1p52 + 1023);
    double m = from_bits((shifted & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
    double f = m - 1, s = f / (2 + f), z = s * s, z2 = z * z, z4 = z2 * z2;
    double p = (2.0 / 3 + z * (2.0 / 5)) + z2 * (2.0 / 7 + z * (2.0 / 9)) +
               z4 * ((2.0 / 11 + z * (2.0 / 13)) + z2 * (2.0 / 15 + z * (2.0 / 17)));
    out[i] = e * 0.69314718055994530942 + (2 * s + s * z * p);
  }
}

void limit_check(const double *in, const double *out, size_t n, int is_exp) {
  for (size_t i = 0; i < n; i++) {
    double want = is_exp ? exp(in[i]) : log(in[i]);
    if (fabs(out[i] - want) <= 1e-12 * fabs(want) + 1e-15) continue;
    fprintf(stderr, "the limit's %s(%g) is %.17g, not %.17g\n", is_exp ? "exp" : "log", in[i], out[i], want);
    exit(1);
  }
}
