/*
** core_draw_attempt.h: whole attempts (D3 and D4 of core_dirichlet.c) of a block of lanes; part of core_draw_kernel.h.
**
** Work goes in passes over PLLM_BLOCK numbers, each of a few operations that wait for one another: with more of them in
** one pass, the CPU would have to look ahead further than it can.  Functions of their own, so that each has the registers
** to itself.
*/
#include "core_philox_lanes.h"

enum { VECTORS = PLLM_BLOCK / PLLM_LANES, GROUP = 4, SPAN = GROUP * PLLM_LANES };

/* A pass over the first n of a block's vectors. */
#if defined(__clang__)
#define PASS(j, n) _Pragma("clang loop unroll(disable)") for (int j = 0; j < (n); j += GROUP)
#else
#define PASS(j, n) _Pragma("GCC unroll 1") for (int j = 0; j < (n); j += GROUP)
#endif

typedef PllmLanes Numbers[VECTORS];

/* What an attempt needs to know of its lanes' components. */
typedef struct Shapes {
  Numbers alpha, rest, inverse, log_alpha, offset, slope;
} Shapes;

/* Lanes as bits: their draw is rejected; it takes the second philox block to know. */
typedef struct Verdict {
  uint64_t rejected, unsure;
} Verdict;

/* u of D2. */
static PLLM_INLINE PllmLanes unit(PllmBits bits) {
  return (PllmLanes)((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u) - 0x1.fffffffffffffp-1;
}

/* ---- A whole attempt of the first n vectors of a block ---- */

/* Compare v of D2, times `by`, with a bound that is known but for `slack`. */
static PLLM_INLINE void judge(Verdict *v, int i, PllmBits bits, PllmLanes by, PllmLanes bound, PllmLanes slack) {
  PllmLanes most = (PllmLanes)(bits >> 52 | 0x4330000000000000u) - 4503599627370495.0; /* c + 1 */
  unsigned accepted = pllm_lanes_true(most * by <= bound - slack),
           rejected = pllm_lanes_true((most - 1.0) * by > bound + slack);
  v->rejected |= (uint64_t)rejected << i * PLLM_LANES;
  v->unsure |= (uint64_t)((accepted | rejected) ^ ((1u << PLLM_LANES) - 1)) << i * PLLM_LANES;
}

/* D3. */
static PLLM_NOT_INLINE Verdict attempt_small(const PllmBits *bits, const Shapes *s, PllmLanes *l, int n) {
  Verdict v = {0, 0};
  Numbers y, k, f, q;
  PASS(j, n) {
    PllmLanes x[GROUP];
    PLLM_EACH(i, GROUP) {
      PllmLanes u = unit(bits[i + j]);
      x[i] = pllm_lanes_choose(u > s->rest[i + j], (1.0 - u) * s->inverse[i + j], pllm_lanes_all(1.0));
    }
    pllm_lanes_log_begin(x, k + j, f + j, q + j, GROUP);
  }
  PASS(j, n) {
    PllmLanes x[GROUP];
    pllm_lanes_log_end(k + j, f + j, q + j, x, GROUP);
    PLLM_EACH(i, GROUP) y[i + j] = pllm_lanes_max(-x[i], pllm_lanes_all(0.0));
  }
  PASS(j, n) {
    PllmLanes x[GROUP];
    PLLM_EACH(i, GROUP) {
      PllmLanes u = unit(bits[i + j]);
      x[i] = pllm_lanes_choose(u > s->rest[i + j], s->rest[i + j] + s->alpha[i + j] * y[i + j], u);
    }
    pllm_lanes_log_begin(x, k + j, f + j, q + j, GROUP);
  }
  PASS(j, n) {
    PllmLanes x[GROUP];
    pllm_lanes_log_end(k + j, f + j, q + j, x, GROUP);
    PLLM_EACH(i, GROUP) l[i + j] = x[i] * s->inverse[i + j];
  }
  PASS(j, n) pllm_lanes_exp_rough(l + j, k + j, GROUP);
  PASS(j, n) {
    PllmLanes x[GROUP];
    PLLM_EACH(i, GROUP) x[i] = y[i + j] - k[i + j];
    pllm_lanes_exp_rough(x, x, GROUP);
    PLLM_EACH(i, GROUP)
    judge(&v, i + j, bits[i + j], pllm_lanes_all(0x1p-12), x[i], (k[i + j] + 1.0) * (2 * PLLM_ROUGH_ERROR) * x[i]);
  }
  return v;
}

/* D4. */
static PLLM_NOT_INLINE Verdict attempt_large(const PllmBits *bits, const Shapes *s, PllmLanes *l, int n) {
  Verdict v = {0, 0};
  Numbers k, f, q;
  PASS(j, n) {
    PllmLanes x[GROUP];
    PLLM_EACH(i, GROUP) x[i] = unit(bits[i + j]) / (1.0 - unit(bits[i + j]));
    pllm_lanes_log_begin(x, k + j, f + j, q + j, GROUP);
  }
  PASS(j, n) {
    PllmLanes x[GROUP];
    pllm_lanes_log_end(k + j, f + j, q + j, x, GROUP);
    PLLM_EACH(i, GROUP) l[i + j] = x[i] * s->inverse[i + j];
  }
  PASS(j, n) pllm_lanes_exp_begin(l + j, k + j, f + j, q + j, GROUP);
  PASS(j, n) {
    PllmLanes x[GROUP];
    pllm_lanes_exp_end(k + j, f + j, q + j, x, 0, GROUP);
    PLLM_EACH(i, GROUP) {
      k[i + j] = s->offset[i + j] + s->slope[i + j] * l[i + j] - s->alpha[i + j] * x[i];
      l[i + j] = s->log_alpha[i + j] + l[i + j];
    }
  }
  PASS(j, n) {
    PllmLanes x[GROUP];
    pllm_lanes_exp_rough(k + j, x, GROUP);
    PLLM_EACH(i, GROUP) {
      PllmLanes u = unit(bits[i + j]);
      judge(&v, i + j, bits[i + j], u * u * 0x1p-12, x[i], x[i] * (2 * PLLM_ROUGH_ERROR));
    }
  }
  return v;
}

static PLLM_INLINE void shapes_of(Shapes *s, const PllmShape *x) {
  for (int i = 0; i < VECTORS; i++) {
    s->alpha[i] = pllm_lanes_all(x->alpha);
    s->rest[i] = pllm_lanes_all(x->rest);
    s->inverse[i] = pllm_lanes_all(x->inverse);
    s->log_alpha[i] = pllm_lanes_all(x->log_alpha);
    s->offset[i] = pllm_lanes_all(x->offset);
    s->slope[i] = pllm_lanes_all(x->slope);
  }
}
