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
** Many users at once: a tile of users is drawn component by component with the first block of attempt 0 alone; the
** lanes that this does not settle (about one in thirteen at alpha .05) are collected and redone together.
*/
#include "core_dirichlet.h"

#define MAX_SQUARINGS 8
#define FEW_LANES 14 /* below this a block of PLLM_BLOCK lanes costs more than one lane at a time */
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

_Static_assert(PLLM_BLOCK == 64, "a word tells which lanes of a block are open");

/* Attempt 0 of one component with the first block alone, the early tests of draw_log: the logarithms into l[PLLM_BLOCK],
** and which lanes are not settled.
**
** Here and below: no copy of a block and nothing set to zero, as gcc makes those string instructions, which cost more
** than the arithmetic; and selects are of doubles, as gcc vectorises those and not the ones of integers. */
static PLLM_INLINE void first_try_body(double *l, uint64_t *open, const PllmShape *s, const uint64_t *bits) {
  double p[PLLM_BLOCK], k[PLLM_BLOCK], f[PLLM_BLOCK], q[PLLM_BLOCK];
  uint64_t some[PLLM_BLOCK / 2];
  const double alpha = s->alpha, rest = s->rest, inverse = s->inverse, log_alpha = s->log_alpha, offset = s->offset,
               slope = s->slope;
  uint64_t mask = 0;
  if (s->large) {
    for (int j = 0; j < PLLM_BLOCK; j++)
      l[j] = large_log(pllm_philox_unit(bits[j]), &p[j], alpha, inverse, log_alpha, offset, slope);
    for (int j = 0; j < PLLM_BLOCK; j++)
      p[j] = large_accepts_early(p[j], pllm_philox_unit(bits[j]), v_most(bits[j])) ? 0.0 : 1.0;
  } else {
    /* Where u > rest this logarithm is not the one wanted, but those lanes stay open. */
    for (int j = 0; j < PLLM_BLOCK; j++) {
      double u = pllm_philox_unit(bits[j]);
      p[j] = u;
      pllm_log1_begin(u, 0.0, &k[j], &f[j], &q[j]);
    }
    for (int j = 0; j < PLLM_BLOCK; j++) l[j] = pllm_log1_end(k[j], f[j], q[j]) * inverse;
    for (int i = 1; i < s->squarings; i += 2)
      for (int j = 0; j < PLLM_BLOCK; j++) {
        double square = p[j] * p[j];
        p[j] = square * square;
      }
    if (s->squarings & 1)
      for (int j = 0; j < PLLM_BLOCK; j++) p[j] *= p[j];
    for (int j = 0; j < PLLM_BLOCK; j++) {
      double doubtful = v_most(bits[j]) > 1.0 - p[j] ? 1.0 : 0.0;
      p[j] = pllm_philox_unit(bits[j]) > rest ? 1.0 : doubtful;
    }
  }
  /* A shift by 61 makes 1.0 a bit; folded by halves, as gcc vectorises no shift by j. */
  for (int j = 0; j < 32; j++) some[j] = pllm_double_bits(p[j]) >> 61 | pllm_double_bits(p[j + 32]) >> 61 << 32;
  for (int j = 0; j < 16; j++) some[j] |= some[j + 16] << 16;
  for (int j = 0; j < 8; j++) mask |= (some[j] | some[j + 8] << 8) << j;
  *open = mask;
}
PLLM_KERNEL(first_try, (double *l, uint64_t *open, const PllmShape *s, const uint64_t *bits), (l, open, s, bits))

/* D1 for PLLM_BLOCK users of a tile of logarithms, the components `stride` apart. */
static PLLM_INLINE void normalise_body(double *tile, int n, size_t stride) {
  double most[PLLM_BLOCK], sum[PLLM_BLOCK], k[PLLM_BLOCK], hi[PLLM_BLOCK], c[PLLM_BLOCK];
  const double *second = tile + (n > 1 ? stride : 0);
  for (int j = 0; j < PLLM_BLOCK; j++) most[j] = second[j] > tile[j] ? second[j] : tile[j];
  for (int b = 2; b < n; b++) {
    const double *row = tile + (size_t)b * stride;
    for (int j = 0; j < PLLM_BLOCK; j++) most[j] = row[j] > most[j] ? row[j] : most[j];
  }
  for (int j = 0; j < PLLM_BLOCK; j++) sum[j] = 0.0;
  for (int b = 0; b < n; b++) {
    double *row = tile + (size_t)b * stride;
    for (int j = 0; j < PLLM_BLOCK; j++) pllm_exp1_begin(row[j] - most[j], &k[j], &hi[j], &c[j]);
    for (int j = 0; j < PLLM_BLOCK; j++) {
      double e = pllm_exp1_end(k[j], hi[j], c[j]);
      row[j] = e;
      sum[j] += e;
    }
  }
  for (int j = 0; j < PLLM_BLOCK; j++) sum[j] = 1.0 / sum[j];
  for (int b = 0; b < n; b++) {
    double *row = tile + (size_t)b * stride;
    for (int j = 0; j < PLLM_BLOCK; j++) row[j] *= sum[j];
  }
}
PLLM_KERNEL(normalise, (double *tile, int n, size_t stride), (tile, n, stride))

/* One whole attempt of gathered lanes, of any components with alpha <= 1 or any with alpha > 1. */
typedef struct Gathered {
  uint64_t bits[PLLM_BLOCK], fine[PLLM_BLOCK];
  double alpha[PLLM_BLOCK], rest[PLLM_BLOCK], inverse[PLLM_BLOCK], squarings[PLLM_BLOCK];
  double log_alpha[PLLM_BLOCK], offset[PLLM_BLOCK], slope[PLLM_BLOCK];
  double l[PLLM_BLOCK], open[PLLM_BLOCK];
} Gathered;

/* small_log, small_accepts and the early test, in pieces. */
static PLLM_INLINE void whole_small_body(Gathered *g, int squarings) {
  double u[PLLM_BLOCK], y[PLLM_BLOCK], k[PLLM_BLOCK], f[PLLM_BLOCK], q[PLLM_BLOCK];
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double share;
    u[j] = pllm_philox_unit(g->bits[j]);
    share = (1.0 - u[j]) * g->inverse[j];
    pllm_log1_begin(u[j] > g->rest[j] ? share : 1.0, 0.0, &k[j], &f[j], &q[j]);
  }
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double e = -pllm_log1_end(k[j], f[j], q[j]);
    y[j] = e > 0.0 ? e : 0.0;
  }
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double t = g->rest[j] + g->alpha[j] * y[j];
    pllm_log1_begin(u[j] > g->rest[j] ? t : u[j], 0.0, &k[j], &f[j], &q[j]);
  }
  for (int j = 0; j < PLLM_BLOCK; j++) g->l[j] = pllm_log1_end(k[j], f[j], q[j]) * g->inverse[j];
  for (int j = 0; j < PLLM_BLOCK; j++) pllm_exp1_begin(g->l[j], &k[j], &f[j], &q[j]);
  for (int j = 0; j < PLLM_BLOCK; j++) y[j] -= pllm_exp1_end(k[j], f[j], q[j]);
  for (int j = 0; j < PLLM_BLOCK; j++) pllm_exp1_begin(y[j], &k[j], &f[j], &q[j]);
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double bound = pllm_exp1_end(k[j], f[j], q[j]);
    g->open[j] = v_exact(g->bits[j], g->fine[j]) <= bound ? 0.0 : 1.0;
  }
  for (int j = 0; j < PLLM_BLOCK; j++) y[j] = u[j] <= g->rest[j] ? 1.0 : 0.0; /* 1: may be accepted early */
  for (int i = 0; i < squarings; i++)
    for (int j = 0; j < PLLM_BLOCK; j++) u[j] = i < g->squarings[j] ? u[j] * u[j] : u[j];
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double early = v_most(g->bits[j]) <= 1.0 - u[j] ? 0.0 : 1.0;
    early = y[j] > 0.0 ? early : 1.0;
    g->open[j] *= early;
  }
}
PLLM_KERNEL(whole_small, (Gathered * g, int squarings), (g, squarings))

static PLLM_INLINE void whole_large_body(Gathered *g) {
  double r[PLLM_BLOCK];
  for (int j = 0; j < PLLM_BLOCK; j++)
    g->l[j] = large_log(pllm_philox_unit(g->bits[j]), &r[j], g->alpha[j], g->inverse[j], g->log_alpha[j],
                        g->offset[j], g->slope[j]);
  for (int j = 0; j < PLLM_BLOCK; j++) {
    double u = pllm_philox_unit(g->bits[j]);
    double early = large_accepts_early(r[j], u, v_most(g->bits[j])) ? 0.0 : 1.0;
    double late = large_accepts(r[j], u, v_exact(g->bits[j], g->fine[j])) ? 0.0 : 1.0;
    g->open[j] = early * late;
  }
}
PLLM_KERNEL(whole_large, (Gathered * g), (g))

/* A tile being drawn. */
typedef struct Tile {
  const PllmDirichlet *d;
  PllmPurpose purpose;
  uint64_t first;  /* its first user */
  uint32_t users;  /* a power of two, a multiple of PLLM_BLOCK */
  int shift;       /* and its logarithm */
  int squarings;   /* the most of any component */
  double *weights; /* [n][users]: logarithms until normalised */
  uint32_t *list;  /* [2][n * users] lanes not settled, lane = component * users + user */
  Gathered g;
} Tile;

static void gather_shape(Gathered *g, int j, const PllmShape *s) {
  g->alpha[j] = s->alpha;
  g->rest[j] = s->rest;
  g->inverse[j] = s->inverse;
  g->squarings[j] = s->squarings;
  g->log_alpha[j] = s->log_alpha;
  g->offset[j] = s->offset;
  g->slope[j] = s->slope;
}

/* One attempt of `count` (at most PLLM_BLOCK) lanes, all small or all large.  Accepted logarithms go to the tile,
** rejected lanes to `rejected` (which may be `list`); returns their number. */
static size_t attempt_lanes(Tile *t, uint32_t attempt, const uint32_t *list, size_t count, uint32_t *rejected) {
  PllmPhiloxBlock block;
  Gathered *g = &t->g;
  uint32_t lane[PLLM_BLOCK], component[PLLM_BLOCK];
  size_t left = 0;
  for (size_t j = 0; j < PLLM_BLOCK; j++) {
    lane[j] = list[j < count ? j : 0];
    component[j] = lane[j] >> t->shift;
  }
  for (uint32_t half = 0; half < 2; half++) {
    for (int j = 0; j < PLLM_BLOCK; j++) {
      uint64_t id = t->first + (lane[j] & (t->users - 1));
      block.word[0][j] = id & 0xffffffffu;
      block.word[1][j] = id >> 32;
      block.word[2][j] = component[j] / 2;
      block.word[3][j] = 2 * attempt + half;
    }
    pllm_core_philox_block(&block, t->d->seed, (uint32_t)t->purpose);
    for (int j = 0; j < PLLM_BLOCK; j++) {
      int word = 2 * (int)(component[j] & 1);
      (half ? g->fine : g->bits)[j] = block.word[word + 1][j] << 32 | block.word[word][j];
    }
  }
  if (!t->d->uniform)
    for (int j = 0; j < PLLM_BLOCK; j++) gather_shape(g, j, &t->d->shape[component[j]]);
  if (t->d->shape[component[0]].large)
    whole_large(g);
  else
    whole_small(g, t->squarings);
  for (size_t j = 0; j < count; j++) {
    t->weights[lane[j]] = g->l[j]; /* overwritten if rejected */
    rejected[left] = lane[j];
    left += g->open[j] != 0.0;
  }
  return left;
}

/* Settle the open lanes of a list: together where there are enough of them to fill vectors, else one by one. */
static void settle(Tile *t, uint32_t *list, size_t open) {
  for (uint32_t attempt = 0; open > 0; attempt++) {
    size_t left = 0, i = 0, count;
    for (; open - i >= FEW_LANES; i += count) {
      count = open - i < PLLM_BLOCK ? open - i : PLLM_BLOCK;
      left += attempt_lanes(t, attempt, list + i, count, list + left);
    }
    for (; i < open; i++)
      t->weights[list[i]] =
          draw_log(t->d, t->purpose, t->first + list[i] % t->users, (int)(list[i] / t->users), attempt);
    open = left;
  }
}

/* Fill the tile with the weights of users first .. first + users - 1, or at least the first `wanted` of them. */
static void draw_tile(Tile *t, size_t wanted) {
  PllmPhiloxBits bits;
  const PllmDirichlet *d = t->d;
  uint32_t *list[2] = {t->list, t->list + (size_t)d->n * t->users}; /* alpha <= 1, alpha > 1 */
  size_t open[2] = {0, 0};
  for (uint32_t user = 0; user < wanted; user += PLLM_BLOCK)
    for (int b = 0; b < d->n; b++) {
      const PllmShape *s = &d->shape[b];
      uint32_t lane = (uint32_t)b * t->users + user, *append = list[s->large];
      size_t n = open[s->large];
      uint64_t left;
      if ((b & 1) == 0)
        pllm_core_philox_range(t->first + user, (uint32_t)b / 2, 0, d->seed, (uint32_t)t->purpose, bits);
      first_try(t->weights + lane, &left, s, bits[b & 1]);
      for (; left; left &= left - 1) append[n++] = lane + (uint32_t)__builtin_ctzll(left);
      open[s->large] = n;
    }
  settle(t, list[0], open[0]);
  settle(t, list[1], open[1]);
  for (uint32_t user = 0; user < wanted; user += PLLM_BLOCK) normalise(t->weights + user, d->n, t->users);
}

/* Component-major to user-major: out[j][b] = tile[b][j].  By pairs, which halves the stores that bound it. */
static void tile_rows(double *out, const double *tile, size_t n, size_t stride, size_t users) {
  typedef double Pair __attribute__((vector_size(16)));
  size_t even = n & ~(size_t)1;
  for (size_t j = 0; j < users / 2 * 2; j += 2)
    for (size_t b = 0; b < even; b += 2) {
      Pair p, q, here, there;
      memcpy(&p, tile + b * stride + j, sizeof p);
      memcpy(&q, tile + (b + 1) * stride + j, sizeof q);
      here = (Pair){p[0], q[0]};
      there = (Pair){p[1], q[1]};
      memcpy(out + j * n + b, &here, sizeof here);
      memcpy(out + (j + 1) * n + b, &there, sizeof there);
    }
  for (size_t j = 0; j < users; j++)
    for (size_t b = j < users / 2 * 2 ? even : 0; b < n; b++) out[j * n + b] = tile[b * stride + j];
}

void pllm_core_dirichlet_many(const PllmDirichlet *d, uint64_t first, size_t count, int64_t turn, double *out,
                              double *scratch) {
  double l = drifted(d, turn);
  size_t n = (size_t)d->n, users = PLLM_DIRICHLET_TILE(n);
  Tile t = {.d = d, .users = (uint32_t)users, .weights = scratch, .list = (uint32_t *)(scratch + n * users)};
  while ((uint32_t)1 << t.shift < t.users) t.shift++;
  for (size_t b = 0; b < n; b++)
    t.squarings = d->shape[b].squarings > t.squarings ? d->shape[b].squarings : t.squarings;
  for (int j = 0; j < PLLM_BLOCK; j++) gather_shape(&t.g, j, &d->shape[0]);
  for (size_t i = 0; i < count; i += users) {
    size_t some = count - i < users ? count - i : users;
    double *row = out + i * n;
    if (some < 8) {
      for (size_t j = 0; j < some; j++) pllm_core_dirichlet_one(d, first + i + j, turn, row + j * n);
      return;
    }
    t.first = first + i;
    t.purpose = PLLM_PURPOSE_WEIGHTS;
    draw_tile(&t, some);
    tile_rows(row, t.weights, n, users, some);
    if (l == 0.0) continue;
    t.purpose = PLLM_PURPOSE_DRIFT;
    draw_tile(&t, some);
    for (size_t j = 0; j < some; j++)
      for (size_t b = 0; b < n; b++) row[j * n + b] = (1.0 - l) * row[j * n + b] + l * t.weights[b * users + j];
  }
}
