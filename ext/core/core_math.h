/*
** core_math.h: exp and log that give the same bits on every machine.
**
** The C library's functions differ between libraries, versions and even CPUs (glibc picks variants with fused
** multiply-add at run time), so a result that is promised to be the same everywhere uses these.  They are built from
** + - * / and bit patterns of IEEE doubles alone, in a fixed order; this project compiles with -ffp-contract=off.
**
**  - Error below 1 unit in the last place for normal results (pllm_exp1 may add half a unit for subnormal ones).
**  - pllm_exp1: all doubles; overflow gives inf, underflow goes through the subnormals to 0, NaN gives NaN.
**  - pllm_log1: all doubles; log(0) = -inf, negative and NaN give NaN.  pllm_log1_normal: the same values for
**    positive normal finite arguments only, without the selects.
**  - All are branch-free, so that loops over them vectorise: see core_simd.h.
**
** Method: the argument reductions, rational forms and coefficients of Sun's fdlibm (e_exp.c, e_log.c), with k*ln2 in
** two parts; exponents are moved between integer and double by adding 1.5*2^52 or by setting the exponent of 2^52,
** which unlike conversion instructions every vector unit has.
*/
#ifndef PLLM_CORE_MATH_H
#define PLLM_CORE_MATH_H

#include "core_simd.h"

#include <math.h>
#include <string.h>

static PLLM_INLINE uint64_t pllm_double_bits(double x) {
  uint64_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}

static PLLM_INLINE double pllm_bits_double(uint64_t b) {
  double x;
  memcpy(&x, &b, sizeof x);
  return x;
}

#define PLLM_LN2_HI 6.93147180369123816490e-01 /* ln 2 to 33 bits: times an exponent it is exact */
#define PLLM_LN2_LO 1.90821492927058770002e-10
#define PLLM_ROUND 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer in the low bits */

static PLLM_INLINE double pllm_exp1(double x) {
  const double P1 = 1.66666666666666019037e-01, P2 = -2.77777777770155933842e-03, P3 = 6.61375632143793436117e-05,
               P4 = -1.65339022054652515390e-06, P5 = 4.13813679705723846039e-08;
  double k, half, hi, lo, r, t, c, y, a, b;
  x = x < -750.0 ? -750.0 : x; /* NaN passes both */
  x = x > 720.0 ? 720.0 : x;
  k = (x * 1.44269504088896338700e+00 + PLLM_ROUND) - PLLM_ROUND;
  hi = x - k * PLLM_LN2_HI;
  lo = k * PLLM_LN2_LO;
  r = hi - lo;
  t = r * r;
  c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
  y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
  /* y * 2^k in two steps: 2^k itself may be no double. */
  a = k * 0.5 + PLLM_ROUND;
  half = a - PLLM_ROUND;
  b = (k - half) + PLLM_ROUND;
  y = y * pllm_bits_double((pllm_double_bits(a) + 1023) << 52);
  return y * pllm_bits_double((pllm_double_bits(b) + 1023) << 52);
}

/* log(2^e * x) for normal x, where -e is in `down`. */
static PLLM_INLINE double pllm_log1_scaled(double x, double down) {
  const double L1 = 6.666666666666735130e-01, L2 = 3.999999999940941908e-01, L3 = 2.857142874366239149e-01,
               L4 = 2.222219843214978396e-01, L5 = 1.818357216161805012e-01, L6 = 1.531383769920937332e-01,
               L7 = 1.479819860511658591e-01;
  const uint64_t low = 0x3fe6a09e00000000u; /* just below sqrt(1/2): x = 2^k * m with m from there to about sqrt(2) */
  uint64_t b = pllm_double_bits(x) + (0x3ff0000000000000u - low);
  double k = pllm_bits_double(0x4330000000000000u | b >> 52) - (4503599627370496.0 + 1023.0) - down;
  double m = pllm_bits_double((b & 0x000fffffffffffffu) + low);
  double f = m - 1.0, s = f / (2.0 + f), z = s * s, w = z * z, square = 0.5 * f * f;
  double r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6));
  return s * (square + r) + k * PLLM_LN2_LO - square + f + k * PLLM_LN2_HI;
}

static PLLM_INLINE double pllm_log1_normal(double x) {
  return pllm_log1_scaled(x, 0.0);
}

static PLLM_INLINE double pllm_log1(double x) {
  double up = x * 18014398509481984.0; /* 2^54 makes every subnormal normal */
  double y = pllm_log1_scaled(x < 2.2250738585072014e-308 ? up : x, x < 2.2250738585072014e-308 ? 54.0 : 0.0);
  y = x == 0.0 ? -HUGE_VAL : y;
  y = x < 0.0 || x != x ? (double)NAN : y;
  return x == HUGE_VAL ? x : y;
}

/* out[i] = exp(in[i]) and out[i] = log(in[i]) by the fastest instruction set; out may be in. */
void pllm_exp_n(double *out, const double *in, size_t n);
void pllm_log_n(double *out, const double *in, size_t n);

/*
** cos and sin of 2 pi t, for |t| < 2^50: t is taken to the nearest quarter turn exactly, and the rest, at most an eighth,
** goes through fdlibm's k_cos.c and k_sin.c.  Error below 2 units in the last place of 1.
*/
static PLLM_INLINE void pllm_cos_sin_turns(double t, double *cosine, double *sine) {
  const double C1 = 4.16666666666666019037e-02, C2 = -1.38888888888741095749e-03, C3 = 2.48015872894767294178e-05,
               C4 = -2.75573143513906633035e-07, C5 = 2.08757232129817482790e-09, C6 = -1.13596475577881948265e-11;
  const double S1 = -1.66666666666666324348e-01, S2 = 8.33333333332248946124e-03, S3 = -1.98412698298579493134e-04,
               S4 = 2.75573137070700676789e-06, S5 = -2.50507602534068634195e-08, S6 = 1.58969099521155010221e-10;
  double quarters = (t * 4 + PLLM_ROUND) - PLLM_ROUND, r = (t - quarters * 0.25) * 6.28318530717958647693, z = r * r;
  double c = 1 - (0.5 * z - z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6))))));
  double s = r + r * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))));
  uint64_t k = pllm_double_bits(quarters + PLLM_ROUND) & 3;
  double a = k & 1 ? s : c, b = k & 1 ? c : s;
  *cosine = k == 1 || k == 2 ? -a : a;
  *sine = k >= 2 ? -b : b;
}

#endif
