/*
** core_lanes_math.h: pllm_log1 and pllm_exp1 for several vectors at a time, and a rough exponential.
**
** The same operations in the same order as in core_math.h, so the same bits, for the arguments named below.  Each step is
** done for `g` vectors before the next: one function is a long chain of operations, and a CPU looks ahead less far than
** it would have to to find the next one.
*/
#ifndef PLLM_CORE_LANES_MATH_H
#define PLLM_CORE_LANES_MATH_H

#include "core_lanes.h"
#include "core_math.h"

#define PLLM_EACH(i, g) PLLM_UNROLLED for (int i = 0; i < (g); i++)

enum { PLLM_GROUP_MOST = 8 };

#if defined(__AVX512F__)
#define PLLM_NOW(x) __asm__("" : "+v"(x)) /* any of all 32 registers */
#elif defined(__x86_64__)
#define PLLM_NOW(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define PLLM_NOW(x) __asm__("" : "+w"(x))
#else
#define PLLM_NOW(x) (void)0
#endif

/* One step for g vectors, before the next step of any: compilers would do all steps of one vector first, and the CPU would
** have to look ahead further than it can. */
#define PLLM_STEP(x, value)                                                                                          \
  PLLM_EACH(i, g) {                                                                                                  \
    x[i] = value;                                                                                                    \
    PLLM_NOW(x[i]);                                                                                                  \
  }

/* See pllm_log1_normal: positive normal finite numbers. */
static PLLM_INLINE void pllm_lanes_log_begin(const PllmLanes *x, PllmLanes *k, PllmLanes *f, PllmLanes *s,
                                             const int g) {
  const uint64_t low = 0x3fe6a09e00000000u;
  PllmBits b[PLLM_GROUP_MOST];
  PLLM_STEP(b, (PllmBits)x[i] + (0x3ff0000000000000u - low))
  PLLM_STEP(f, (PllmLanes)((b[i] & 0x000fffffffffffffu) + low))
  PLLM_STEP(k, (PllmLanes)(b[i] >> 52 | 0x4330000000000000u))
  PLLM_STEP(f, f[i] - 1.0)
  PLLM_STEP(k, k[i] - (4503599627370496.0 + 1023.0))
  PLLM_STEP(s, 2.0 + f[i])
  PLLM_STEP(s, f[i] / s[i])
}

static PLLM_INLINE void pllm_lanes_log_end(const PllmLanes *k, const PllmLanes *f, const PllmLanes *s, PllmLanes *out,
                                           const int g) {
  const double L1 = 6.666666666666735130e-01, L2 = 3.999999999940941908e-01, L3 = 2.857142874366239149e-01,
               L4 = 2.222219843214978396e-01, L5 = 1.818357216161805012e-01, L6 = 1.531383769920937332e-01,
               L7 = 1.479819860511658591e-01;
  PllmLanes z[PLLM_GROUP_MOST], w[PLLM_GROUP_MOST], a[PLLM_GROUP_MOST], b[PLLM_GROUP_MOST];
  PLLM_STEP(z, s[i] * s[i])
  PLLM_STEP(w, z[i] * z[i])
  PLLM_STEP(a, w[i] * L7)
  PLLM_STEP(b, w[i] * L6)
  PLLM_STEP(a, L5 + a[i])
  PLLM_STEP(b, L4 + b[i])
  PLLM_STEP(a, w[i] * a[i])
  PLLM_STEP(b, w[i] * b[i])
  PLLM_STEP(a, L3 + a[i])
  PLLM_STEP(b, L2 + b[i])
  PLLM_STEP(a, w[i] * a[i])
  PLLM_STEP(b, w[i] * b[i])
  PLLM_STEP(a, L1 + a[i])
  PLLM_STEP(a, z[i] * a[i])
  PLLM_STEP(z, 0.5 * f[i])
  PLLM_STEP(a, a[i] + b[i])
  PLLM_STEP(z, z[i] * f[i])
  PLLM_STEP(a, z[i] + a[i])
  PLLM_STEP(a, s[i] * a[i])
  PLLM_STEP(a, a[i] + k[i] * PLLM_LN2_LO)
  PLLM_STEP(a, a[i] - z[i])
  PLLM_STEP(a, a[i] + f[i])
  PLLM_STEP(out, a[i] + k[i] * PLLM_LN2_HI)
}

/* See pllm_exp1: numbers from -707 to 707, whose exponentials are normal, or, if `deep`, from -750 on.
** `up` is k + PLLM_ROUND. */
static PLLM_INLINE void pllm_lanes_exp_begin(const PllmLanes *x, PllmLanes *up, PllmLanes *hi, PllmLanes *c,
                                             const int g) {
  const double P1 = 1.66666666666666019037e-01, P2 = -2.77777777770155933842e-03, P3 = 6.61375632143793436117e-05,
               P4 = -1.65339022054652515390e-06, P5 = 4.13813679705723846039e-08;
  PllmLanes k[PLLM_GROUP_MOST], r[PLLM_GROUP_MOST], t[PLLM_GROUP_MOST];
  PLLM_STEP(up, x[i] * 1.44269504088896338700e+00)
  PLLM_STEP(up, up[i] + PLLM_ROUND)
  PLLM_STEP(k, up[i] - PLLM_ROUND)
  PLLM_STEP(hi, k[i] * PLLM_LN2_HI)
  PLLM_STEP(r, k[i] * PLLM_LN2_LO)
  PLLM_STEP(hi, x[i] - hi[i])
  PLLM_STEP(r, hi[i] - r[i])
  PLLM_STEP(t, r[i] * r[i])
  PLLM_STEP(k, t[i] * P5)
  PLLM_STEP(k, P4 + k[i])
  PLLM_STEP(k, t[i] * k[i])
  PLLM_STEP(k, P3 + k[i])
  PLLM_STEP(k, t[i] * k[i])
  PLLM_STEP(k, P2 + k[i])
  PLLM_STEP(k, t[i] * k[i])
  PLLM_STEP(k, P1 + k[i])
  PLLM_STEP(k, t[i] * k[i])
  PLLM_STEP(c, r[i] - k[i])
}

static PLLM_INLINE void pllm_lanes_exp_end(const PllmLanes *up, const PllmLanes *hi, const PllmLanes *c,
                                           PllmLanes *out, const int deep, const int g) {
  PllmLanes lo[PLLM_GROUP_MOST], y[PLLM_GROUP_MOST], d[PLLM_GROUP_MOST];
  PLLM_STEP(lo, (up[i] - PLLM_ROUND) * PLLM_LN2_LO)
  PLLM_STEP(d, 2.0 - c[i])
  PLLM_STEP(y, hi[i] - lo[i])
  PLLM_STEP(y, y[i] * c[i])
  PLLM_STEP(y, y[i] / d[i])
  PLLM_STEP(y, lo[i] - y[i])
  PLLM_STEP(y, y[i] - hi[i])
  PLLM_STEP(y, 1.0 - y[i])
  PLLM_EACH(i, g) {
    if (deep) {
      PllmLanes k = up[i] - PLLM_ROUND, half = k * 0.5 + PLLM_ROUND, rest = (k - (half - PLLM_ROUND)) + PLLM_ROUND;
      y[i] = y[i] * (PllmLanes)(((PllmBits)half + 1023) << 52);
      out[i] = y[i] * (PllmLanes)(((PllmBits)rest + 1023) << 52);
    } else {
      out[i] = y[i] * (PllmLanes)(((PllmBits)up[i] + 1023) << 52); /* exact, as the two steps are */
    }
  }
}

/* exp(x) within 4e-6 of itself, for numbers up to 700; below -700: exp(-700). */
#define PLLM_ROUGH_ERROR 4e-6
static PLLM_INLINE void pllm_lanes_exp_rough(const PllmLanes *x, PllmLanes *out, const int g) {
  PllmLanes up[PLLM_GROUP_MOST], r[PLLM_GROUP_MOST], y[PLLM_GROUP_MOST];
  PLLM_STEP(r, pllm_lanes_max(pllm_lanes_all(-700.0), x[i]))
  PLLM_STEP(up, r[i] * 1.44269504088896338700e+00 + PLLM_ROUND)
  PLLM_STEP(r, r[i] - (up[i] - PLLM_ROUND) * 0.693147180559945309417)
  PLLM_STEP(y, 1.0 / 24 + r[i] * (1.0 / 120))
  PLLM_STEP(y, 1.0 / 6 + r[i] * y[i])
  PLLM_STEP(y, 0.5 + r[i] * y[i])
  PLLM_STEP(y, 1.0 + r[i] * y[i])
  PLLM_STEP(y, 1.0 + r[i] * y[i])
  PLLM_STEP(out, y[i] * (PllmLanes)(((PllmBits)up[i] + 1023) << 52))
}

#endif
