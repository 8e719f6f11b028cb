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
**     (0, 1) from the second block's low 52 bits.  So c alone bounds v from above, and the second block is seldom needed.
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
** Many users at once: a tile of PLLM_BLOCK users is drawn component by component with the first block of attempt 0
** alone; the lanes that this does not settle (about one in nine at alpha .05) are collected and redone together.
*/
#include "core_dirichlet.h"

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
    s->squarings = 0;
    while (s->squarings < 8 && (double)(2 << s->squarings) * a <= 1.0) s->squarings++;
    s->rest = 1.0 - a;
    s->inverse = s->large ? 1.0 / root : 1.0 / a;
    s->log_alpha = pllm_log1(a);
    s->offset = a - LOG_4;
    s->slope = a + root;
  }
}

/* ---- One attempt (D3, D4) ---- */

static PLLM_INLINE double small_log(double u, double *y, double alpha, double rest, double inverse) {
  int tail = u > rest;
  double share = (1.0 - u) * inverse, e, t;
  e = -pllm_log1_normal(tail ? share : 1.0);
  e = e > 0.0 ? e : 0.0; /* share may round to just above 1 */
  t = rest + alpha * e;
  *y = e;
  return pllm_log1_normal(tail ? t : u) * inverse;
}

static PLLM_INLINE int small_accepts(double l, double y, double v) {
  return v <= pllm_exp1(y - pllm_exp1(l));
}

static PLLM_INLINE double large_log(double u, double *r, double alpha, double inverse, double log_alpha,
                                    double offset, double slope) {
  double odds = pllm_log1_normal(u / (1.0 - u)) * inverse;
  *r = offset + slope * odds - alpha * pllm_exp1(odds);
  return log_alpha + odds;
}

static PLLM_INLINE int large_accepts_early(double r, double u, double v_most) {
  return r + ONE_PLUS_LOG_4_5 >= 4.5 * (u * u * v_most);
}

static PLLM_INLINE int large_accepts(double r, double u, double v) {
  return r >= pllm_log1_normal(u * u * v);
}

/* (c + 1) / 4096 and (c + f) / 4096 (D2). */
static PLLM_INLINE double v_most(uint64_t bits) {
  return (pllm_bits_double(0x4330000000000000u | bits >> 52) - 4503599627370495.0) * 0x1p-12;
}

static PLLM_INLINE double v_exact(uint64_t bits, uint64_t fine) {
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
static double draw_log(const PllmDirichlet *d, PllmPurpose purpose, uint64_t id, int component, uint32_t attempt) {
  const PllmShape *s = &d->shape[component];
  for (;; attempt++) {
    uint64_t bits = draw_bits(d->seed, purpose, id, component, 2 * attempt);
    double u = pllm_philox_unit(bits), l, y, p = u, v;
    if (s->large) {
      l = large_log(u, &y, s->alpha, s->inverse, s->log_alpha, s->offset, s->slope);
      if (large_accepts_early(y, u, v_most(bits))) return l;
    } else {
      l = small_log(u, &y, s->alpha, s->rest, s->inverse);
      for (int i = 0; i < s->squarings; i++) p *= p;
      if (u <= s->rest && v_most(bits) <= 1.0 - p) return l;
    }
    v = v_exact(bits, draw_bits(d->seed, purpose, id, component, 2 * attempt + 1));
    if (s->large ? large_accepts(y, u, v) : small_accepts(l, y, v)) return l;
  }
}

static void draw_one(const PllmDirichlet *d, PllmPurpose purpose, uint64_t id, double *out) {
  double most, sum = 0.0;
  for (int b = 0; b < d->n; b++) out[b] = draw_log(d, purpose, id, b, 0);
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

/* Lanes settled together: the address and what the blocks gave. */
typedef struct Lanes {
  PllmPhiloxBlock block;
  uint64_t bits[2][PLLM_BLOCK]; /* for the even and the odd component */
  double l[PLLM_BLOCK];
  uint64_t open[PLLM_BLOCK]; /* 1: not settled */
} Lanes;

static PLLM_INLINE void address(PllmPhiloxBlock *block, uint64_t first, uint32_t index) {
  for (int j = 0; j < PLLM_BLOCK; j++) {
    uint64_t id = first + (uint64_t)j;
    block->word[0][j] = id & 0xffffffffu;
    block->word[1][j] = id >> 32;
    block->word[2][j] = index;
    block->word[3][j] = 0;
  }
}

/* Attempt 0 of one component with the first block alone: the same tests in the same order as draw_log. */
static PLLM_INLINE void first_try_body(Lanes *x, const PllmShape *s, const uint64_t *bits) {
  double u[PLLM_BLOCK], p[PLLM_BLOCK];
  const double alpha = s->alpha, rest = s->rest, inverse = s->inverse, log_alpha = s->log_alpha, offset = s->offset,
               slope = s->slope;
  for (int j = 0; j < PLLM_BLOCK; j++) u[j] = pllm_philox_unit(bits[j]);
  if (s->large) {
    for (int j = 0; j < PLLM_BLOCK; j++) {
      double r, l = large_log(u[j], &r, alpha, inverse, log_alpha, offset, slope);
      x->l[j] = l;
      x->open[j] = !large_accepts_early(r, u[j], v_most(bits[j]));
    }
    return;
  }
  memcpy(p, u, sizeof p);
  for (int i = 0; i < s->squarings; i++)
    for (int j = 0; j < PLLM_BLOCK; j++) p[j] *= p[j];
  /* Where u > rest this logarithm is not the one wanted, but those lanes stay open. */
  for (int j = 0; j < PLLM_BLOCK; j++) {
    x->l[j] = pllm_log1_normal(u[j]) * inverse;
    x->open[j] = (u[j] > rest) | (v_most(bits[j]) > 1.0 - p[j]);
  }
}
PLLM_KERNEL(first_try, (Lanes * x, const PllmShape *s, const uint64_t *bits), (x, s, bits))

/* D1 for a tile [n][PLLM_BLOCK] of logarithms. */
static PLLM_INLINE void normalise_body(double *tile, int n) {
  double most[PLLM_BLOCK], sum[PLLM_BLOCK];
  memcpy(most, tile, sizeof most);
  for (int b = 1; b < n; b++) {
    const double *row = tile + (size_t)b * PLLM_BLOCK;
    for (int j = 0; j < PLLM_BLOCK; j++) most[j] = row[j] > most[j] ? row[j] : most[j];
  }
  for (int j = 0; j < PLLM_BLOCK; j++) sum[j] = 0.0;
  for (int b = 0; b < n; b++) {
    double *row = tile + (size_t)b * PLLM_BLOCK, e[PLLM_BLOCK];
    for (int j = 0; j < PLLM_BLOCK; j++) e[j] = pllm_exp1(row[j] - most[j]);
    for (int j = 0; j < PLLM_BLOCK; j++) sum[j] += e[j];
    memcpy(row, e, sizeof e);
  }
  for (int j = 0; j < PLLM_BLOCK; j++) sum[j] = 1.0 / sum[j];
  for (int b = 0; b < n; b++) {
    double *row = tile + (size_t)b * PLLM_BLOCK;
    for (int j = 0; j < PLLM_BLOCK; j++) row[j] *= sum[j];
  }
}
PLLM_KERNEL(normalise, (double *tile, int n), (tile, n))

/* The full test of D3 for gathered lanes of any small components. */
typedef struct Gathered {
  uint64_t bits[PLLM_BLOCK], fine[PLLM_BLOCK], open[PLLM_BLOCK];
  double alpha[PLLM_BLOCK], rest[PLLM_BLOCK], inverse[PLLM_BLOCK], l[PLLM_BLOCK];
} Gathered;

static PLLM_INLINE void full_try_body(Gathered *g) {
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double y, u = pllm_philox_unit(g->bits[j]), l = small_log(u, &y, g->alpha[j], g->rest[j], g->inverse[j]);
    g->l[j] = l;
    g->open[j] = !small_accepts(l, y, v_exact(g->bits[j], g->fine[j]));
  }
}
PLLM_KERNEL(full_try, (Gathered * g), (g))

/*
** Settle the first `count` (at most PLLM_BLOCK) open lanes of a tile, lane = component * PLLM_BLOCK + user, at
** attempt 0.  The test that first_try has made is not made again: it has failed, except where u > rest, where it
** does not apply.  What even the full test rejects, and components with alpha > 1, go the reference's way, lane by
** lane.
*/
static void settle(const PllmDirichlet *d, PllmPurpose purpose, uint64_t first, const uint32_t *lane, int count,
                   double *tile) {
  PllmPhiloxBlock block;
  Gathered g;
  for (int pass = 0; pass < 2; pass++) {
    for (int j = 0; j < PLLM_BLOCK; j++) {
      uint32_t at = lane[j < count ? j : 0];
      uint64_t id = first + at % PLLM_BLOCK;
      block.word[0][j] = id & 0xffffffffu;
      block.word[1][j] = id >> 32;
      block.word[2][j] = at / PLLM_BLOCK / 2;
      block.word[3][j] = (uint64_t)pass;
    }
    pllm_core_philox_block(&block, d->seed, (uint32_t)purpose);
    for (int j = 0; j < PLLM_BLOCK; j++) {
      int word = 2 * (int)(lane[j < count ? j : 0] / PLLM_BLOCK & 1);
      (pass ? g.fine : g.bits)[j] = block.word[word + 1][j] << 32 | block.word[word][j];
    }
  }
  for (int j = 0; j < PLLM_BLOCK; j++) {
    const PllmShape *s = &d->shape[lane[j < count ? j : 0] / PLLM_BLOCK];
    g.alpha[j] = s->alpha;
    g.rest[j] = s->rest;
    g.inverse[j] = s->inverse;
  }
  full_try(&g);
  for (int j = 0; j < count; j++) {
    int component = (int)(lane[j] / PLLM_BLOCK);
    tile[lane[j]] = g.open[j] ? draw_log(d, purpose, first + lane[j] % PLLM_BLOCK, component, 1) : g.l[j];
  }
}

/* Weights of users first .. first + PLLM_BLOCK - 1 into tile[n][PLLM_BLOCK]; list has room for as many lanes. */
static void draw_tile(const PllmDirichlet *d, PllmPurpose purpose, uint64_t first, double *tile, uint32_t *list) {
  Lanes x;
  size_t open = 0;
  for (int b = 0; b < d->n; b++) {
    const PllmShape *s = &d->shape[b];
    if ((b & 1) == 0) {
      address(&x.block, first, (uint32_t)b / 2);
      pllm_core_philox_block(&x.block, d->seed, (uint32_t)purpose);
      for (int h = 0; h < 2; h++)
        for (int j = 0; j < PLLM_BLOCK; j++) x.bits[h][j] = x.block.word[2 * h + 1][j] << 32 | x.block.word[2 * h][j];
    }
    first_try(&x, s, x.bits[b & 1]);
    memcpy(tile + (size_t)b * PLLM_BLOCK, x.l, sizeof x.l);
    if (s->large) {
      for (int j = 0; j < PLLM_BLOCK; j++)
        if (x.open[j]) tile[b * PLLM_BLOCK + j] = draw_log(d, purpose, first + (uint64_t)j, b, 0);
      continue;
    }
    for (int j = 0; j < PLLM_BLOCK; j++) {
      list[open] = (uint32_t)(b * PLLM_BLOCK + j);
      open += (size_t)x.open[j];
    }
  }
  for (size_t i = 0; i < open; i += PLLM_BLOCK)
    settle(d, purpose, first, list + i, open - i < PLLM_BLOCK ? (int)(open - i) : PLLM_BLOCK, tile);
  normalise(tile, d->n);
}

void pllm_core_dirichlet_many(const PllmDirichlet *d, uint64_t first, size_t count, int64_t turn, double *out,
                              double *scratch) {
  double l = drifted(d, turn), *tile = scratch;
  uint32_t *list = (uint32_t *)(scratch + (size_t)(d->n + 1) * PLLM_BLOCK);
  size_t i, n = (size_t)d->n;
  for (i = 0; i < count; i += PLLM_BLOCK) {
    size_t users = count - i < PLLM_BLOCK ? count - i : PLLM_BLOCK;
    double *row = out + i * n;
    if (users < 8) {
      for (size_t j = 0; j < users; j++) pllm_core_dirichlet_one(d, first + i + j, turn, row + j * n);
      return;
    }
    draw_tile(d, PLLM_PURPOSE_WEIGHTS, first + i, tile, list);
    for (size_t j = 0; j < users; j++)
      for (size_t b = 0; b < n; b++) row[j * n + b] = tile[b * PLLM_BLOCK + j];
    if (l == 0.0) continue;
    draw_tile(d, PLLM_PURPOSE_DRIFT, first + i, tile, list);
    for (size_t j = 0; j < users; j++)
      for (size_t b = 0; b < n; b++) row[j * n + b] = (1.0 - l) * row[j * n + b] + l * tile[b * PLLM_BLOCK + j];
  }
}
