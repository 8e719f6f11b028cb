/*
** core_draw_kernel.h: the body of the kernel that draws many users, compiled once per instruction set (core_draw_*.c).
**
** See core_dirichlet.c for what is drawn (D1-D4), with which bits, and why the tests here decide as the exact ones do.
*/
#include "core_draw.h"
#include "core_draw_attempt.h"

static PLLM_INLINE void set(PllmLanes *numbers, size_t j, double x) {
  memcpy((char *)numbers + j * sizeof x, &x, sizeof x);
}

/* Attempts are made of blocks of lanes, lane = component << shift | user. */
typedef struct Block {
  uint32_t lane[PLLM_BLOCK];
  PllmBits bits[VECTORS];
  Numbers l;
  Shapes s;
  int uniform; /* s holds what all components share */
} Block;

static PLLM_INLINE uint32_t users_of(const PllmDraw *t) {
  return (uint32_t)1 << t->shift;
}

/* Attempt count <= PLLM_BLOCK lanes of a block whose bits are there, all with alpha <= 1 or all above.  Settled logarithms
** go to the tile, rejected lanes to `rejected`; returns their number. */
static size_t attempt_block(const PllmDraw *t, Block *x, size_t count, uint32_t attempt, const int large,
                            uint32_t *rejected) {
  const int n = (int)((count + SPAN - 1) / SPAN) * GROUP;
  const uint64_t all = ~(uint64_t)0 >> (PLLM_BLOCK - count);
  size_t left = 0;
  Verdict v = large ? attempt_large(x->bits, &x->s, x->l, n) : attempt_small(x->bits, &x->s, x->l, n);
  const char *l = (const char *)x->l;
  for (size_t j = 0; j < count; j++) memcpy(&t->tile[x->lane[j]], l + j * sizeof(double), sizeof(double));
  for (v.rejected &= all; v.rejected; v.rejected &= v.rejected - 1)
    rejected[left++] = x->lane[__builtin_ctzll(v.rejected)];
  for (v.unsure &= all; v.unsure; v.unsure &= v.unsure - 1) {
    uint32_t lane = x->lane[__builtin_ctzll(v.unsure)];
    t->tile[lane] = pllm_core_dirichlet_log(t->d, t->purpose, t->first + (lane & (users_of(t) - 1)),
                                            (int)(lane >> t->shift), attempt);
  }
  return left;
}

/* Lanes into a block, up to a whole number of groups. */
static PLLM_INLINE void gather(const PllmDraw *t, Block *x, const uint32_t *list, size_t count) {
  size_t padded = (count + SPAN - 1) / SPAN * SPAN;
  for (size_t j = 0; j < padded; j++) x->lane[j] = list[j < count ? j : 0];
  if (x->uniform) return;
  for (size_t j = 0; j < padded; j++) {
    const PllmShape *s = &t->d->shape[x->lane[j] >> t->shift];
    set(x->s.alpha, j, s->alpha);
    set(x->s.rest, j, s->rest);
    set(x->s.inverse, j, s->inverse);
    set(x->s.log_alpha, j, s->log_alpha);
    set(x->s.offset, j, s->offset);
    set(x->s.slope, j, s->slope);
  }
}

/* First philox blocks of an attempt of the lanes of a block. */
static PLLM_NOT_INLINE void gather_bits(const PllmDraw *t, Block *x, size_t count, const PllmPhiloxKeys *keys,
                                        uint32_t attempt) {
  typedef uint32_t Half __attribute__((vector_size(4 * PLLM_LANES)));
  PASS(j, (int)((count + PLLM_LANES - 1) / PLLM_LANES)) {
    PllmCounters c[GROUP];
    PllmMask odd[GROUP];
    PLLM_EACH(i, GROUP) {
      Half lane;
      PllmBits id, component;
      memcpy(&lane, x->lane + (i + j) * PLLM_LANES, sizeof lane);
      id = __builtin_convertvector(lane & (users_of(t) - 1), PllmBits) + t->first;
      component = __builtin_convertvector(lane >> t->shift, PllmBits);
      odd[i] = -(PllmMask)(component & 1);
      c[i] = (PllmCounters){id, id >> 32, component >> 1, pllm_lanes_all_bits(2 * attempt)};
    }
    pllm_philox_rounds(c, keys, 0, GROUP);
    PLLM_EACH(i, GROUP)
    x->bits[i + j] = (PllmBits)pllm_lanes_choose(odd[i], (PllmLanes)pllm_lanes_join(c[i].d, c[i].c),
                                                 (PllmLanes)pllm_lanes_join(c[i].b, c[i].a));
  }
}

/* Lanes whose first philox blocks of attempt 0 are in the tile. */
static size_t attempt_again(const PllmDraw *t, Block *x, const uint32_t *list, size_t count, uint32_t *rejected) {
  size_t left = 0;
  for (size_t at = 0; at < count; at += PLLM_BLOCK) {
    size_t some = count - at < PLLM_BLOCK ? count - at : PLLM_BLOCK;
    gather(t, x, list + at, some);
    for (size_t j = 0; j < (some + SPAN - 1) / SPAN * SPAN; j++)
      memcpy((char *)x->bits + j * sizeof(uint64_t), &t->tile[x->lane[j]], sizeof(uint64_t));
    left += attempt_block(t, x, some, 0, 0, rejected + left);
  }
  return left;
}

/* Further attempts of listed lanes until none is rejected. */
static void settle(const PllmDraw *t, Block *x, const PllmPhiloxKeys *keys, uint32_t *list, size_t count,
                   const int large) {
  for (uint32_t attempt = 1; count > 0; attempt++) {
    size_t left = 0;
    for (size_t at = 0; at < count; at += PLLM_BLOCK) {
      size_t some = count - at < PLLM_BLOCK ? count - at : PLLM_BLOCK;
      gather(t, x, list + at, some);
      gather_bits(t, x, some, keys, attempt);
      left += attempt_block(t, x, some, attempt, large, list + left);
    }
    count = left;
  }
}

/* ---- The first attempt of a block of users ---- */

/* First philox blocks of attempt 0 of components 2 * index and 2 * index + 1 of PLLM_BLOCK users. */
static PLLM_NOT_INLINE void first_bits(const PllmDraw *t, const PllmPhiloxKeys *keys, uint64_t id, uint32_t index,
                                       PllmBits bits[2][VECTORS]) {
  if ((id + PLLM_BLOCK - 1) >> 32 == id >> 32) {
    PASS(j, VECTORS)
    pllm_philox_range(keys, t->d->seed, (uint32_t)t->purpose, id + (uint64_t)(j * PLLM_LANES), index, bits[0] + j,
                      bits[1] + j, GROUP);
  } else {
    for (uint64_t j = 0; j < PLLM_BLOCK; j++) {
      uint32_t w[4];
      pllm_philox_draw(t->d->seed, t->purpose, id + j, index, 0, w);
      for (int i = 0; i < 2; i++) {
        uint64_t x = (uint64_t)w[2 * i + 1] << 32 | w[2 * i];
        memcpy((char *)bits[i] + j * sizeof x, &x, sizeof x);
      }
    }
  }
}

/* Q1 of core_dirichlet.c: low bits of x * EXP_SLOPE + EXP_START, shifted, are a little more than exp(x). */
#define EXP_SLOPE (0x1p20 * 1.44269504088896338700)
#define EXP_START (PLLM_ROUND + 1023 * 0x1p20 + 1)

/* alpha <= MOST_QUICK: the logarithms, and which of them that test does not settle. */
static PLLM_NOT_INLINE uint64_t try_quickly(const PllmShape *s, const PllmBits *bits, double *l) {
  const PllmLanes rest = pllm_lanes_all(s->rest), inverse = pllm_lanes_all(s->inverse);
  uint64_t open = 0;
  Numbers k, f, q;
  PASS(j, VECTORS) {
    PllmLanes u[GROUP];
    PLLM_EACH(i, GROUP) u[i] = unit(bits[i + j]);
    pllm_lanes_log_begin(u, k + j, f + j, q + j, GROUP);
  }
  PASS(j, VECTORS) {
    PllmLanes x[GROUP];
    pllm_lanes_log_end(k + j, f + j, q + j, x, GROUP);
    PLLM_EACH(i, GROUP) pllm_lanes_store(l + (i + j) * PLLM_LANES, x[i] * inverse);
  }
  for (int i = 0; i < VECTORS; i++) {
    PllmBits b = bits[i];
    PllmLanes e = pllm_lanes_load(l + i * PLLM_LANES) * EXP_SLOPE + EXP_START;
    PllmLanes v = (PllmLanes)(b >> 12 | 0x3ff0000000000000u) + (PllmLanes)((PllmBits)e << 32);
    open |= (uint64_t)pllm_lanes_true((unit(b) > rest) | (v > 2.0 - 0x1p-12 - 0x1p-40)) << i * PLLM_LANES;
  }
  return open;
}

/* The same for PLLM_BLOCK users from `user` on; lanes that are not settled are appended to `again`, with their bits in the
** tile. */
static size_t first_quickly(const PllmDraw *t, int b, uint32_t user, const PllmBits *bits, uint32_t *again) {
  uint32_t lane = (uint32_t)b << t->shift | user;
  double *l = t->tile + lane;
  size_t n = 0;
  for (uint64_t open = try_quickly(&t->d->shape[b], bits, l); open; open &= open - 1) {
    uint32_t j = (uint32_t)__builtin_ctzll(open);
    again[n++] = lane + j;
    memcpy(l + j, (const char *)bits + j * sizeof *l, sizeof *l);
  }
  return n;
}

static size_t first_wholly(const PllmDraw *t, Block *x, int b, uint32_t user, const PllmBits *bits,
                           uint32_t *rejected) {
  const PllmShape *s = &t->d->shape[b];
  if (!x->uniform) shapes_of(&x->s, s);
  for (uint32_t j = 0; j < PLLM_BLOCK; j++) x->lane[j] = (uint32_t)b << t->shift | (user + j);
  memcpy(x->bits, bits, sizeof x->bits);
  return attempt_block(t, x, PLLM_BLOCK, 0, s->large, rejected);
}

/* ---- D1 ---- */

/* exp(x - most), added to the sums, for a row of PLLM_BLOCK users of the tile. */
static PLLM_INLINE void exponentials(double *row, const PllmLanes *most, PllmLanes *sum, const int deep) {
  Numbers up, hi, c;
  PASS(j, VECTORS) {
    PllmLanes x[GROUP];
    PLLM_EACH(i, GROUP) {
      x[i] = pllm_lanes_load(row + (i + j) * PLLM_LANES) - most[i + j];
      if (deep) x[i] = pllm_lanes_max(pllm_lanes_all(-750.0), x[i]);
    }
    pllm_lanes_exp_begin(x, up + j, hi + j, c + j, GROUP);
  }
  PASS(j, VECTORS) {
    PllmLanes e[GROUP];
    pllm_lanes_exp_end(up + j, hi + j, c + j, e, deep, GROUP);
    PLLM_EACH(i, GROUP) {
      pllm_lanes_store(row + (i + j) * PLLM_LANES, e[i]);
      sum[i + j] += e[i];
    }
  }
}

/* The exponentials of PLLM_BLOCK users of the tile, and the reciprocals of their sums.  rows: where they will be written,
** fetched into the cache meanwhile; or NULL. */
static PLLM_NOT_INLINE void normalise(double *tile, size_t n, size_t stride, double *by, const double *rows) {
  Numbers most, sum;
  PllmMask deep = {0};
  for (size_t i = 0; i < VECTORS; i++) {
    PllmLanes high = pllm_lanes_load(tile + i * PLLM_LANES), low = high;
    for (size_t b = 1; b < n; b++) {
      PllmLanes x = pllm_lanes_load(tile + b * stride + i * PLLM_LANES);
      high = pllm_lanes_max(x, high);
      low = pllm_lanes_min(x, low);
    }
    deep |= low - high < -707.0;
    most[i] = high;
    sum[i] = pllm_lanes_all(0.0);
  }
  for (size_t b = 0; b < n; b++) {
    double *row = tile + b * stride;
    if (rows) PLLM_EACH(i, PLLM_BLOCK / 8) __builtin_prefetch(rows + b * PLLM_BLOCK + 8 * i, 1);
    if (pllm_lanes_true(deep))
      exponentials(row, most, sum, 1);
    else
      exponentials(row, most, sum, 0);
  }
  for (size_t i = 0; i < VECTORS; i++) pllm_lanes_store(by + i * PLLM_LANES, 1.0 / sum[i]);
}

/* Rows of ROWS users: products with the reciprocals `by`, from component-major to user-major,
** out[j][b] = tile[b][j] * by[j]; as wide as the stores that bound it can be. */
#if defined(__AVX2__)
enum { ROWS = 4 };
static PLLM_NOT_INLINE void write_rows(double *out, const double *tile, size_t n, size_t stride, const double *by) {
  const __m256d scale = _mm256_loadu_pd(by);
  size_t b = 0;
  for (; b + 4 <= n; b += 4, out += 4, tile += 4 * stride) {
    __m256d x[4], low[2], high[2];
    PLLM_EACH(i, 4) x[i] = _mm256_mul_pd(_mm256_loadu_pd(tile + (size_t)i * stride), scale);
    PLLM_EACH(i, 2) {
      low[i] = _mm256_unpacklo_pd(x[2 * i], x[2 * i + 1]);
      high[i] = _mm256_unpackhi_pd(x[2 * i], x[2 * i + 1]);
    }
    _mm256_storeu_pd(out, _mm256_permute2f128_pd(low[0], low[1], 0x20));
    _mm256_storeu_pd(out + n, _mm256_permute2f128_pd(high[0], high[1], 0x20));
    _mm256_storeu_pd(out + 2 * n, _mm256_permute2f128_pd(low[0], low[1], 0x31));
    _mm256_storeu_pd(out + 3 * n, _mm256_permute2f128_pd(high[0], high[1], 0x31));
  }
  for (; b + 2 <= n; b += 2, out += 2, tile += 2 * stride) {
    __m256d x = _mm256_mul_pd(_mm256_loadu_pd(tile), scale), y = _mm256_mul_pd(_mm256_loadu_pd(tile + stride), scale);
    __m256d low = _mm256_unpacklo_pd(x, y), high = _mm256_unpackhi_pd(x, y);
    _mm_storeu_pd(out, _mm256_castpd256_pd128(low));
    _mm_storeu_pd(out + n, _mm256_castpd256_pd128(high));
    _mm_storeu_pd(out + 2 * n, _mm256_extractf128_pd(low, 1));
    _mm_storeu_pd(out + 3 * n, _mm256_extractf128_pd(high, 1));
  }
  for (size_t j = 0; b < n && j < ROWS; j++) out[j * n] = tile[j] * by[j];
}
#else
enum { ROWS = 2 };
static PLLM_NOT_INLINE void write_rows(double *out, const double *tile, size_t n, size_t stride, const double *by) {
  typedef double Pair __attribute__((vector_size(16)));
  size_t b = 0;
  for (; b + 2 <= n; b += 2, out += 2, tile += 2 * stride) {
    Pair scale, x, y, here, there;
    memcpy(&scale, by, sizeof scale);
    memcpy(&x, tile, sizeof x);
    memcpy(&y, tile + stride, sizeof y);
    x *= scale;
    y *= scale;
    here = (Pair){x[0], y[0]};
    there = (Pair){x[1], y[1]};
    memcpy(out, &here, sizeof here);
    memcpy(out + n, &there, sizeof there);
  }
  for (size_t j = 0; b < n && j < ROWS; j++) out[j * n] = tile[j] * by[j];
}
#endif

/* D1 for at most PLLM_BLOCK users of the tile. */
static void finish(const PllmDraw *t, size_t user, size_t users, double *rows) {
  const size_t n = (size_t)t->d->n, stride = users_of(t);
  double by[PLLM_BLOCK], *tile = t->tile + user;
  size_t j = 0;
  normalise(tile, n, stride, by, users == PLLM_BLOCK ? rows : NULL);
  for (; j + ROWS <= users; j += ROWS) write_rows(rows + j * n, tile + j, n, stride, by + j);
  for (; j < users; j++)
    for (size_t b = 0; b < n; b++) rows[j * n + b] = tile[b * stride + j] * by[j];
}

void PLLM_DRAW_KERNEL(const PllmDraw *t, size_t users, double *rows) {
  const PllmDirichlet *d = t->d;
  size_t again = 0, small = 0, large = 0;
  PllmPhiloxKeys keys;
  PllmBits bits[2][VECTORS];
  Block x;
  pllm_philox_keys(&keys, d->seed, (uint32_t)t->purpose);
  x.uniform = d->uniform;
  if (d->uniform) shapes_of(&x.s, &d->shape[0]);
  for (uint32_t user = 0; user < users; user += PLLM_BLOCK)
    for (int b = 0; b < d->n; b++) {
      if ((b & 1) == 0) first_bits(t, &keys, t->first + user, (uint32_t)b / 2, bits);
      if (d->shape[b].large)
        large += first_wholly(t, &x, b, user, bits[b & 1], t->large + large);
      else if (d->shape[b].whole)
        small += first_wholly(t, &x, b, user, bits[b & 1], t->small + small);
      else
        again += first_quickly(t, b, user, bits[b & 1], t->again + again);
    }
  small += attempt_again(t, &x, t->again, again, t->small + small);
  settle(t, &x, &keys, t->small, small, 0);
  settle(t, &x, &keys, t->large, large, 1);
  for (size_t user = 0; user < users; user += PLLM_BLOCK)
    finish(t, user, users - user < PLLM_BLOCK ? users - user : PLLM_BLOCK, rows + user * (size_t)d->n);
}
