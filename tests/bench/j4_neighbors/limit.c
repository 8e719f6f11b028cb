/*
** limit.c: the k most similar of 10,000 candidates for each of 1,000 queries, twice.
**
** neighbors: lengths, one matrix product by OpenBLAS in slices that a cache holds, and a scan that keeps each query's k best
** while the slice is there.  neighbors_int16: vectors rounded to 16-bit integers, a hand-tiled product of these, a scan that
** keeps twice k, and f32 products of what was kept; nothing proves that twice k is enough, but the answer is compared.
*/
#include "../limit.h"

#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum {
  SLICE = 2048,
  BLOCK = 64,
  PAIRS = 128,
  MOST = 32
}; /* candidates; queries of a piece; pairs of dimensions at a time; k of the second */

typedef struct Best {
  float similarity;
  unsigned candidate;
} Best;

typedef struct Neighbors {
  size_t dim, k, queries, candidates;
  int threads;
  const float *query, *candidate;  /* as given */
  float *unit_query, *unit, *dots; /* scaled; [queries][SLICE] */
  size_t first, count;             /* the slice */
  Best *best;                      /* [queries][k], sorted */
  const float *in;
  float *out;
  size_t pairs;
  int16_t *packed_query, *packed; /* [panel][pairs][8 or LANES][2] */
} Neighbors;

static void scale_piece(void *arg, size_t begin, size_t end, int worker) {
  Neighbors *n = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    const float *row = n->in + i * n->dim;
    float sum[16] = {0}, all = 0, scale;
    for (size_t d = 0; d + 16 <= n->dim; d += 16)
      for (size_t j = 0; j < 16; j++) sum[j] += row[d + j] * row[d + j];
    for (size_t d = n->dim / 16 * 16; d < n->dim; d++) all += row[d] * row[d];
    for (size_t j = 0; j < 16; j++) all += sum[j];
    scale = 1 / sqrtf(all);
    for (size_t d = 0; d < n->dim; d++) n->out[i * n->dim + d] = row[d] * scale;
  }
}

/* Keep of n dots of candidates first, first + 1, ... the k best, sorted. */
static void keep_best(Best *best, size_t k, const float *dots, size_t first, size_t n) {
  float least = best[k - 1].similarity;
  for (size_t c = 0; c < n; c++) {
    size_t at = k - 1;
    if (c + 16 <= n) {
      int any = 0;
      for (size_t j = 0; j < 16; j++) any |= dots[c + j] > least;
      if (!any) {
        c += 15;
        continue;
      }
    }
    if (!(dots[c] > least)) continue;
    for (; at > 0 && best[at - 1].similarity < dots[c]; at--) best[at] = best[at - 1];
    best[at] = (Best){dots[c], (unsigned)(first + c)};
    least = best[k - 1].similarity;
  }
}

static void scan_piece(void *arg, size_t begin, size_t end, int worker) {
  Neighbors *n = arg;
  (void)worker;
  for (size_t q = begin; q < end; q++) keep_best(n->best + q * n->k, n->k, n->dots + q * SLICE, n->first, n->count);
}

static void *neighbors_open(const Args *args) {
  Neighbors *n = allocate(sizeof *n);
  size_t bytes;
  n->dim = arg_size(args, "dim");
  n->k = arg_size(args, "k");
  n->threads = (int)arg_size(args, "threads");
  n->query = load_file(arg_text(args, "queries"), &bytes);
  n->queries = bytes / (n->dim * sizeof(float));
  n->candidate = load_file(arg_text(args, "candidates"), &bytes);
  n->candidates = bytes / (n->dim * sizeof(float));
  n->unit_query = allocate(n->queries * n->dim * sizeof(float));
  n->unit = allocate(n->candidates * n->dim * sizeof(float));
  n->dots = allocate(n->queries * SLICE * sizeof(float));
  n->best = allocate(n->queries * n->k * sizeof(Best));
  return n;
}

/* Scale everything to length 1, and start with nothing found. */
static void scale_all(Neighbors *n) {
  n->in = n->query;
  n->out = n->unit_query;
  each_piece(n->queries, 64, n->threads, scale_piece, n);
  n->in = n->candidate;
  n->out = n->unit;
  each_piece(n->candidates, 64, n->threads, scale_piece, n);
  for (size_t i = 0; i < n->queries * n->k; i++) n->best[i] = (Best){-2, 0};
}

static void neighbors_run(void *state) {
  Neighbors *n = state;
  scale_all(n);
  for (n->first = 0; n->first < n->candidates; n->first += SLICE) {
    n->count = n->candidates - n->first < SLICE ? n->candidates - n->first : SLICE;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n->queries, (int)n->count, (int)n->dim, 1,
                n->unit_query, (int)n->dim, n->unit + n->first * n->dim, (int)n->dim, 0, n->dots, SLICE);
    each_piece(n->queries, 64, n->threads, scan_piece, n);
  }
}

#if defined(__AVX512VNNI__)
enum { LANES = 32 };
typedef __m512i Vec;
#define LOAD(p) _mm512_loadu_si512((const void *)(p))
#define STORE(p, x) _mm512_storeu_si512((void *)(p), x)
#define ALL(x) _mm512_set1_epi32(x)
#define MADD(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#elif defined(__AVX2__)
enum { LANES = 16 };
typedef __m256i Vec;
#define LOAD(p) _mm256_loadu_si256((const Vec *)(const void *)(p))
#define STORE(p, x) _mm256_storeu_si256((Vec *)(void *)(p), x)
#define ALL(x) _mm256_set1_epi32(x)
#define MADD(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#else
enum { LANES = 16 };
#endif

/* dots[q][LANES] += over pairs of query[pair][8][2] * candidate[pair][LANES][2], for 8 queries. */
static void product(const int16_t *query, const int16_t *candidate, size_t pairs, int32_t *dots) {
#if defined(__AVX2__)
  enum { TILE = 4, HALF = LANES / 2 };
  for (size_t first = 0; first < 8; first += TILE) {
    Vec sum[TILE][2];
    for (size_t q = 0; q < TILE; q++)
      for (size_t v = 0; v < 2; v++) sum[q][v] = LOAD(dots + (first + q) * LANES + v * HALF);
#pragma GCC unroll 4
    for (size_t p = 0; p < pairs; p++) {
      Vec left = LOAD(candidate + p * 2 * LANES), right = LOAD(candidate + p * 2 * LANES + LANES);
      for (size_t q = 0; q < TILE; q++) {
        int32_t pair;
        memcpy(&pair, query + (p * 8 + first + q) * 2, sizeof pair);
        sum[q][0] = MADD(sum[q][0], ALL(pair), left);
        sum[q][1] = MADD(sum[q][1], ALL(pair), right);
      }
    }
    for (size_t q = 0; q < TILE; q++)
      for (size_t v = 0; v < 2; v++) STORE(dots + (first + q) * LANES + v * HALF, sum[q][v]);
  }
#else
  for (size_t p = 0; p < pairs; p++)
    for (size_t q = 0; q < 8; q++)
      for (size_t c = 0; c < LANES; c++)
        for (size_t j = 0; j < 2; j++)
          dots[q * LANES + c] += query[(p * 8 + q) * 2 + j] * candidate[(p * LANES + c) * 2 + j];
#endif
}

/* Rows [begin, end) scaled to length 1 and rounded, into panels of so many lanes. */
static void round_rows(const Neighbors *n, const float *unit, size_t begin, size_t end, size_t lanes,
                       int16_t *packed) {
  for (size_t i = begin; i < end; i++) {
    int16_t *out = packed + (i / lanes * n->pairs * lanes + i % lanes) * 2;
    for (size_t d = 0; d < n->dim; d++)
      out[d / 2 * lanes * 2 + d % 2] = (int16_t)lrintf(unit[i * n->dim + d] * 32767);
  }
}

static void round_queries(void *arg, size_t begin, size_t end, int worker) {
  const Neighbors *n = arg;
  (void)worker;
  round_rows(n, n->unit_query, begin, end, 8, n->packed_query);
}

static void round_candidates(void *arg, size_t begin, size_t end, int worker) {
  const Neighbors *n = arg;
  (void)worker;
  round_rows(n, n->unit, begin, end, LANES, n->packed);
}

/* The k best of twice k, by f32 products. */
static void settle(const Neighbors *n, size_t q, const Best *maybe, Best *best) {
  const float *a = n->unit_query + q * n->dim;
  for (size_t i = 0; i < 2 * n->k; i++) {
    const float *b = n->unit + maybe[i].candidate * n->dim;
    float sum[16] = {0}, all = 0;
    for (size_t d = 0; d + 16 <= n->dim; d += 16)
      for (size_t j = 0; j < 16; j++) sum[j] += a[d + j] * b[d + j];
    for (size_t d = n->dim / 16 * 16; d < n->dim; d++) all += a[d] * b[d];
    for (size_t j = 0; j < 16; j++) all += sum[j];
    keep_best(best, n->k, &all, maybe[i].candidate, 1);
  }
}

static void int16_piece(void *arg, size_t begin, size_t end, int worker) {
  const Neighbors *n = arg;
  int32_t dots[BLOCK * LANES];
  float estimates[LANES];
  Best maybe[BLOCK * 2 * MOST];
  (void)worker;
  for (size_t i = 0; i < BLOCK * 2 * n->k; i++) maybe[i] = (Best){-1e30f, 0};
  for (size_t first = 0; first < n->candidates; first += LANES) {
    size_t count = n->candidates - first < LANES ? n->candidates - first : LANES;
    memset(dots, 0, sizeof dots);
    for (size_t p = 0; p < n->pairs; p += PAIRS)
      for (size_t q = begin; q < end; q += 8)
        product(n->packed_query + (q * n->pairs + p * 8) * 2, n->packed + (first * n->pairs + p * LANES) * 2,
                n->pairs - p < PAIRS ? n->pairs - p : PAIRS, dots + (q - begin) * LANES);
    for (size_t q = begin; q < end; q++) {
      for (size_t c = 0; c < LANES; c++) estimates[c] = (float)dots[(q - begin) * LANES + c];
      keep_best(maybe + (q - begin) * 2 * n->k, 2 * n->k, estimates, first, count);
    }
  }
  for (size_t q = begin; q < end; q++) settle(n, q, maybe + (q - begin) * 2 * n->k, n->best + q * n->k);
}

static void *int16_open(const Args *args) {
  Neighbors *n = neighbors_open(args);
  n->pairs = (n->dim + 1) / 2;
  n->packed_query = allocate((n->queries + 8) * n->pairs * 2 * sizeof(int16_t));
  n->packed = allocate((n->candidates + LANES) * n->pairs * 2 * sizeof(int16_t));
  if (n->k > MOST || 2 * n->k > n->candidates) {
    fprintf(stderr, "neighbors_int16: k is too large\n");
    exit(1);
  }
  return n;
}

static void int16_run(void *state) {
  Neighbors *n = state;
  scale_all(n);
  each_piece(n->queries, 64, n->threads, round_queries, n);
  each_piece(n->candidates, 64, n->threads, round_candidates, n);
  each_piece(n->queries, BLOCK, n->threads, int16_piece, n);
}

static void neighbors_write(void *state, FILE *out) {
  Neighbors *n = state;
  for (size_t i = 0; i < n->queries * n->k; i++) {
    double row[2] = {(double)n->best[i].candidate, (double)n->best[i].similarity};
    fwrite(row, sizeof row, 1, out);
  }
}

const Job limit_neighbors = {"neighbors", neighbors_open, neighbors_run, neighbors_write};
const Job limit_neighbors_int16 = {"neighbors_int16", int16_open, int16_run, neighbors_write};
