/*
** core_dirichlet.c: Dirichlet weights of any user without its predecessors, in log space.
**
** FROZEN: tests/unit/test_users.c holds vectors; no fix or speed-up may change a bit of them.
**
** D1  The weights are exp(L_b - max L) / sum, the sum in component order, as one reciprocal and products; L_b is the
**     logarithm of a Gamma(alpha_b) variate.  L_b itself never under- or overflows, however small alpha is.
** D2  Attempt a = 0, 1, ... of component b reads two philox blocks (see random.h for seed, purpose and id):
**     counter {id, b / 2, 2a} and {id, b / 2, 2a + 1}; even b uses words 0 and 1 (low, high), odd b words 2 and 3.
**     The first block's 64 bits give u in (0, 1) (low 52 bits) and c (high 12 bits); v = (c + f) / 4096 with f in
**     (0, 1) from the second block's low 52 bits.  So c alone bounds v from above, and the second block is seldom
**     needed.
** D3  alpha <= 1 (the sampler that numpy uses, in log space): X^alpha is proposed uniform up to 1 - alpha and
**     with an exponential tail beyond, which accepts Gamma(1 + alpha) >= .885 of the attempts:
**       u <= 1 - alpha:  y = 0,                       t = u
**       else             y = -log((1 - u) / alpha),   t = 1 - alpha + alpha y
**     L = log(t) / alpha; accept when v <= exp(y - exp(L)), or already (y = 0) when (c + 1) / 4096 <= 1 - u^(2^s)
**     with 2^s <= 1 / alpha: as exp(L) <= u^(2^s), that implies the other test and needs no exponential.
** D4  alpha > 1: Cheng 1977 (algorithm GB), an envelope of log-logistic shape, which needs no normal variates and has
**     its logarithm at hand; it accepts .68 (alpha = 1) to .88 of the attempts.  With
**       V = log(u / (1 - u)) / sqrt(2 alpha - 1),   R = alpha - log 4 + (alpha + sqrt(2 alpha - 1)) V - alpha exp(V)
**     L = log(alpha) + V; accept when R >= log(u u v), or already when R + 1 + log 4.5 >= 4.5 u u (c + 1) / 4096.
** D5  Drift d: at turn t the weights are (1 - l) w_a + l w_b, l = 1 - exp(-d (t - 1)), with w_b a second draw under
**     its own purpose.
**
** Many users at once (core_draw_kernel.h): a tile of users is drawn component by component, attempt 0 of all first; its
** open lanes are collected and redone together.  Decisions are made without the second philox block, and without the
** exact exponentials, by tests that imply how D3 and D4 decide:
**   Q1  alpha <= MOST_QUICK and u <= 1 - alpha: accepted when v' + 1/4096 + p <= 1 - 2^-40.  v' has the highest 52 of the
**       64 bits, so v' + 1/4096 >= (c + 1) / 4096 >= v.  p is the number whose exponent and first 20 mantissa bits are
**       L / log 2, rounded to 2^-20, and one unit more; as 1 + f >= 2^f, p > exp(L).  So v < 1 - exp(L) < exp(-exp(L)).
**       (L below -709 wraps and makes any p or NaN: the lane is left open, or accepted, and rightly, as exp(-exp(L)) is
**       then 1.)  This leaves one lane in fifteen open at alpha .05.
**   Q2  D3 otherwise: with E for exp(L) and B for exp(y - E), each within e = PLLM_ROUGH_ERROR of itself, the exact bound
**       is within 2 e (1 + E) of B, relatively, or both are below 1/4096.  Accepted when (c + 1) / 4096 is below all that
**       the bound may be, rejected when c / 4096 is above it; between, in about one of 4,000, the reference decides.  What
**       D3 accepts early is never rejected: its bound is at least (c + 1) / 4096, but for rounding.
**   Q3  D4 alike, u u (c + 1) / 4096 and u u c / 4096 being compared with exp(R).  What D4 accepts early is never
**       rejected, as log z <= 4.5 z - 1 - log 4.5.
*/
#include "core_draw.h"

#define MAX_SQUARINGS 8
#define MOST_QUICK .5 /* above, Q1 leaves so many lanes open that Q2 for all is faster */
#define LOG_4 1.3862943611198906
#define ONE_PLUS_LOG_4_5 2.504077396776274

void pllm_core_dirichlet_init(PllmDirichlet *d, uint32_t seed, const double *alpha, int n, double drift) {
  d->seed = seed;
  d->n = n;
  d->drift = drift;
  for (int b = 0; b < n; b++) {
    PllmShape *s = &d->shape[b];
    double a = alpha[b], root = sqrt(a > 1.0 ? 2.0 * a - 1.0 : 1.0);
    s->alpha = a;
    s->large = a > 1.0;
    s->whole = a > MOST_QUICK;
    s->squarings = 0;
    while (s->squarings < MAX_SQUARINGS && (double)(2 << s->squarings) * a <= 1.0) s->squarings++;
    s->rest = 1.0 - a;
    s->inverse = s->large ? 1.0 / root : 1.0 / a;
    s->log_alpha = pllm_log1(a);
    s->offset = a - LOG_4;
    s->slope = a + root;
  }
  d->uniform = 1;
  for (int b = 1; b < n; b++) d->uniform &= alpha[b] == alpha[0];
}

/* ---- One attempt (D3, D4) ---- */

static double small_log(const PllmShape *s, double u, double *y) {
  double e;
  if (u <= s->rest) {
    *y = 0.0;
    return pllm_log1_normal(u) * s->inverse;
  }
  e = -pllm_log1_normal((1.0 - u) * s->inverse);
  *y = e > 0.0 ? e : 0.0; /* the share may round to just above 1 */
  return pllm_log1_normal(s->rest + s->alpha * *y) * s->inverse;
}

static int small_accepts(double l, double y, double v) {
  return v <= pllm_exp1(y - pllm_exp1(l));
}

static double large_log(const PllmShape *s, double u, double *r) {
  double odds = pllm_log1_normal(u / (1.0 - u)) * s->inverse;
  *r = s->offset + s->slope * odds - s->alpha * pllm_exp1(odds);
  return s->log_alpha + odds;
}

static int large_accepts_early(double r, double u, double v_most) {
  return r + ONE_PLUS_LOG_4_5 >= 4.5 * (u * u * v_most);
}

static int large_accepts(double r, double u, double v) {
  return r >= pllm_log1_normal(u * u * v);
}

/* (c + 1) / 4096 and (c + f) / 4096 (D2). */
static double v_most(uint64_t bits) {
  return (pllm_bits_double(0x4330000000000000u | bits >> 52) - 4503599627370495.0) * 0x1p-12;
}

static double v_exact(uint64_t bits, uint64_t fine) {
  return ((pllm_bits_double(0x4330000000000000u | bits >> 52) - 4503599627370496.0) + pllm_philox_unit(fine)) *
         0x1p-12;
}

/* ---- One component of one user: the reference ---- */

static uint64_t draw_bits(uint32_t seed, PllmPurpose purpose, uint64_t id, int component, uint32_t attempt) {
  uint32_t w[4];
  int at = 2 * (component & 1);
  pllm_philox_draw(seed, purpose, id, (uint32_t)component / 2, attempt, w);
  return (uint64_t)w[at + 1] << 32 | w[at];
}

/* log Gamma(alpha_b), beginning with that attempt. */
double pllm_core_dirichlet_log(const PllmDirichlet *d, PllmPurpose purpose, uint64_t id, int b, uint32_t attempt) {
  const PllmShape *s = &d->shape[b];
  for (;; attempt++) {
    uint64_t bits = draw_bits(d->seed, purpose, id, b, 2 * attempt);
    double u = pllm_philox_unit(bits), l, y, p = u, v;
    if (s->large) {
      l = large_log(s, u, &y);
      if (large_accepts_early(y, u, v_most(bits))) return l;
    } else {
      l = small_log(s, u, &y);
      for (int i = 0; i < s->squarings; i++) p *= p;
      if (u <= s->rest && v_most(bits) <= 1.0 - p) return l;
    }
    v = v_exact(bits, draw_bits(d->seed, purpose, id, b, 2 * attempt + 1));
    if (s->large ? large_accepts(y, u, v) : small_accepts(l, y, v)) return l;
  }
}

static void draw_one(const PllmDirichlet *d, PllmPurpose purpose, uint64_t id, double *out) {
  double most, sum = 0.0;
  for (int b = 0; b < d->n; b++) out[b] = pllm_core_dirichlet_log(d, purpose, id, b, 0);
  most = out[0];
  for (int b = 1; b < d->n; b++) most = out[b] > most ? out[b] : most;
  for (int b = 0; b < d->n; b++) {
    out[b] = pllm_exp1(out[b] - most);
    sum += out[b];
  }
  sum = 1.0 / sum;
  for (int b = 0; b < d->n; b++) out[b] *= sum;
}

/* l of D5. */
static double drifted(const PllmDirichlet *d, int64_t turn) {
  return turn > 1 && d->drift > 0.0 ? 1.0 - pllm_exp1(-d->drift * (double)(turn - 1)) : 0.0;
}

void pllm_core_dirichlet_one(const PllmDirichlet *d, uint64_t id, int64_t turn, double *out) {
  double l = drifted(d, turn), there[PLLM_MAX_MODELS];
  draw_one(d, PLLM_PURPOSE_WEIGHTS, id, out);
  if (l == 0.0) return;
  draw_one(d, PLLM_PURPOSE_DRIFT, id, there);
  for (int b = 0; b < d->n; b++) out[b] = (1.0 - l) * out[b] + l * there[b];
}

/* ---- Many users ---- */

static PllmDrawKernel *kernel(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (pllm_core_isa() >= PLLM_ISA_AVX512) return pllm_core_draw_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return pllm_core_draw_avx2;
#endif
  return pllm_core_draw_base;
}

void pllm_core_dirichlet_many(const PllmDirichlet *d, uint64_t first, size_t count, int64_t turn, double *out,
                              double *scratch) {
  double l = drifted(d, turn), *there;
  size_t n = (size_t)d->n, users = PLLM_DIRICHLET_TILE(n), lanes = n * users;
  PllmDrawKernel *draw = kernel();
  PllmDraw t = {.d = d, .tile = scratch};
  while ((size_t)1 << t.shift < users) t.shift++;
  there = scratch + lanes; /* the lists, which are done with when rows are made */
  t.again = (uint32_t *)there;
  t.small = t.again + lanes;
  t.large = t.small + lanes;
  for (size_t i = 0; i < count; i += users) {
    size_t some = count - i < users ? count - i : users;
    double *row = out + i * n;
    if (some < 8) {
      for (size_t j = 0; j < some; j++) pllm_core_dirichlet_one(d, first + i + j, turn, row + j * n);
      return;
    }
    t.first = first + i;
    t.purpose = PLLM_PURPOSE_WEIGHTS;
    draw(&t, some, row);
    if (l == 0.0) continue;
    t.purpose = PLLM_PURPOSE_DRIFT;
    draw(&t, some, there);
    for (size_t j = 0; j < some * n; j++) row[j] = (1.0 - l) * row[j] + l * there[j];
  }
}
