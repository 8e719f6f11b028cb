/*
** core_neighbors_pack.c: candidates as the neighbour join's kernel wants them.
**
** For the ranking of one query's candidates a vector taken off all of them does not matter, as it shifts all their
** similarities alike; but what is left, where embeddings have much in common, is shorter and so rounds more finely.
** Candidates are therefore taken from a centre (the mean of a sample of them) wherever that makes the longest shorter.
*/
#include "core_neighbors.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

enum {
  LANES = PLLM_NEIGHBOR_LANES,
  SAMPLE = 256,   /* candidates whose mean is the centre */
  GRAIN = 1 << 20 /* numbers in a piece: well under a millisecond */
};

/* 16 partial sums: every instruction set does the same additions. */
static PLLM_INLINE void dot_body(const float *a, const float *b, size_t dim, double *out) {
  double part[16] = {0}, sum = 0;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16)
    for (size_t j = 0; j < 16; j++) part[j] += (double)a[i + j] * (double)b[i + j];
  for (; i < dim; i++) part[i % 16] += (double)a[i] * (double)b[i];
  for (size_t j = 0; j < 16; j++) sum += part[j];
  *out = sum;
}
PLLM_KERNEL(dot, (const float *a, const float *b, size_t dim, double *out), (a, b, dim, out))

double pllm_core_neighbors_dot(const float *a, const float *b, size_t dim) {
  double out;
  dot(a, b, dim, &out);
  return out;
}

double pllm_cosine(const float *a, const float *b, size_t dim) {
  double ab = pllm_core_neighbors_dot(a, b, dim), aa = pllm_core_neighbors_dot(a, a, dim),
         bb = pllm_core_neighbors_dot(b, b, dim);
  return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

/* Square of the distance from a row times unit to the centre. */
static PLLM_INLINE void distance_body(const float *row, const double *centre, double unit, size_t dim, double *out) {
  double part[16] = {0}, sum = 0;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16)
    for (size_t j = 0; j < 16; j++) {
      double x = (double)row[i + j] * unit - centre[i + j];
      part[j] += x * x;
    }
  for (; i < dim; i++) {
    double x = (double)row[i] * unit - centre[i];
    part[i % 16] += x * x;
  }
  for (size_t j = 0; j < 16; j++) sum += part[j];
  *out = sum;
}
PLLM_KERNEL(distance, (const float *row, const double *centre, double unit, size_t dim, double *out),
            (row, centre, unit, dim, out))

/* Adding and taking off 1.5 * 2^52 leaves a whole number; the error is measured, whichever way it was rounded. */
#define ROUND_ONE(i, part)                                                                                           \
  do {                                                                                                               \
    double x = ((double)row[i] * unit - centre[i]) * scale, whole = (x + 0x1.8p52) - 0x1.8p52;                       \
    out[i] = (int16_t)(int32_t)whole;                                                                                \
    (part) += (x - whole) * (x - whole);                                                                             \
  } while (0)

static PLLM_INLINE void round_row_body(const float *row, const double *centre, double unit, double scale, size_t dim,
                                       int16_t *out, double *square) {
  double part[16] = {0}, sum = 0;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16)
    for (size_t j = 0; j < 16; j++) ROUND_ONE(i + j, part[j]);
  for (; i < dim; i++) ROUND_ONE(i, part[i % 16]);
  for (size_t j = 0; j < 16; j++) sum += part[j];
  *square = sum;
}
PLLM_KERNEL(round_row,
            (const float *row, const double *centre, double unit, double scale, size_t dim, int16_t *out,
             double *square),
            (row, centre, unit, scale, dim, out, square))

void pllm_core_neighbors_pack(const PllmNeighbors *set, const float *rows, const double *length, size_t n,
                              size_t lanes, const double *centre, double scale, int16_t *temporary, int16_t *panel,
                              double *residual) {
  size_t dim = set->dim, pairs = set->pairs;
  for (size_t l = 0; l < lanes; l++) {
    int16_t *out = temporary + l * 2 * pairs;
    out[2 * pairs - 1] = 0; /* behind an odd dimension */
    if (l >= n) {
      memset(out, 0, 2 * pairs * sizeof *out);
    } else {
      round_row(rows + l * dim, centre, length[l] > 0 ? 1 / length[l] : 0, scale, dim, out, &residual[l]);
      residual[l] = sqrt(residual[l]);
    }
  }
  for (size_t p = 0; p < pairs; p++)
    for (size_t l = 0; l < lanes; l++)
      memcpy(panel + (p * lanes + l) * 2, temporary + (l * pairs + p) * 2, 2 * sizeof *panel);
}

typedef struct Packing {
  PllmNeighbors *set;
  double *worst;      /* [threads]: the largest of what a worker saw */
  int16_t *temporary; /* [threads][LANES][2*pairs] */
} Packing;

static void raise(double *most, double x) {
  if (x > *most) *most = x;
}

/* Lengths, and the largest square of a distance from the centre. */
static void measure_piece(void *arg, size_t begin, size_t end, int worker) {
  const Packing *p = arg;
  const PllmNeighbors *set = p->set;
  for (size_t c = begin; c < end; c++) {
    const float *row = set->rows + c * set->dim;
    double square;
    set->length[c] = sqrt(pllm_core_neighbors_dot(row, row, set->dim));
    distance(row, set->centre, set->length[c] > 0 ? 1 / set->length[c] : 0, set->dim, &square);
    raise(&p->worst[worker], square);
  }
}

static void pack_piece(void *arg, size_t begin, size_t end, int worker) {
  const Packing *p = arg;
  const PllmNeighbors *set = p->set;
  double residual[LANES], scale = set->radius > 0 ? PLLM_NEIGHBOR_SCALE / set->radius : 0;
  for (size_t panel = begin; panel < end; panel++) {
    size_t first = panel * LANES, n = set->count - first < LANES ? set->count - first : LANES;
    pllm_core_neighbors_pack(set, set->rows + first * set->dim, set->length + first, n, LANES, set->centre, scale,
                             p->temporary + (size_t)worker * LANES * 2 * set->pairs,
                             set->packed + panel * set->pairs * LANES * 2, residual);
    for (size_t i = 0; i < n; i++) raise(&p->worst[worker], residual[i]);
  }
}

/* The mean of candidates evenly spread over all. */
static void find_centre(PllmNeighbors *set) {
  size_t n = set->count < SAMPLE ? set->count : SAMPLE;
  for (size_t i = 0; i < n; i++) {
    const float *row = set->rows + (size_t)((double)i / (double)n * (double)set->count) * set->dim;
    double length = sqrt(pllm_core_neighbors_dot(row, row, set->dim)),
           share = length > 0 ? 1 / length / (double)n : 0;
    for (size_t d = 0; d < set->dim; d++) set->centre[d] += (double)row[d] * share;
  }
}

static double take_worst(Packing *p, int threads) {
  double most = 0;
  for (int t = 0; t < threads; t++) {
    raise(&most, p->worst[t]);
    p->worst[t] = 0;
  }
  return most;
}

static PllmStatus pack(PllmNeighbors *set, const PllmRun *run, PllmError *err) {
  int threads = pllm_run_threads(run);
  size_t rows = GRAIN / set->dim + 1;
  Packing p = {.set = set};
  PllmStatus status;
  p.worst = pllm_alloc_zero((size_t)threads, sizeof *p.worst);
  p.temporary = pllm_alloc((size_t)threads * LANES, 2 * set->pairs * sizeof *p.temporary);
  status = p.worst && p.temporary ? PLLM_OK : pllm_fail_nomem(err);
  if (status == PLLM_OK) {
    find_centre(set);
    status = pllm_parallel(run, set->count, rows, measure_piece, &p, err);
  }
  if (status == PLLM_OK) {
    set->radius = sqrt(take_worst(&p, threads)) * (1 + 1e-9); /* roundings here must not lead beyond 16 bits */
    if (set->radius >= 1) {
      memset(set->centre, 0, set->dim * sizeof *set->centre);
      set->radius = 1 + 1e-9;
    }
    status = pllm_parallel(run, set->panels, rows / LANES + 1, pack_piece, &p, err);
  }
  if (status == PLLM_OK) set->residual = take_worst(&p, threads);
  pllm_free(p.worst);
  pllm_free(p.temporary);
  return status;
}

PllmStatus pllm_neighbors_new(const float *candidates, size_t count, size_t dim, const PllmRun *run,
                              PllmNeighbors **out, PllmError *err) {
  PllmNeighbors *n = pllm_alloc_zero(1, sizeof *n);
  size_t panels = count / LANES + (count % LANES != 0), pairs = (dim + 1) / 2;
  PllmStatus status;
  *out = NULL;
  if (!n) return pllm_fail_nomem(err);
  n->rows = candidates;
  n->count = count;
  n->dim = dim;
  n->pairs = pairs;
  n->panels = panels;
  if (dim < 1 || dim > PLLM_MAX_DIM) {
    status = pllm_fail(err, PLLM_INVALID, "%zu dimensions; 1 to %d are possible", dim, PLLM_MAX_DIM);
  } else {
    n->length = pllm_alloc(count, sizeof *n->length);
    n->centre = pllm_alloc_zero(dim, sizeof *n->centre);
    n->origin = pllm_alloc_zero(dim, sizeof *n->origin);
    if (panels <= SIZE_MAX / pairs / (LANES * 2 * sizeof *n->packed))
      n->packed = pllm_alloc_aligned(panels * pairs, LANES * 2 * sizeof *n->packed);
    status = n->length && n->centre && n->origin && n->packed ? pack(n, run, err) : pllm_fail_nomem(err);
  }
  if (status == PLLM_OK)
    *out = n;
  else
    pllm_neighbors_free(n);
  return status;
}

void pllm_neighbors_free(PllmNeighbors *n) {
  if (n) {
    pllm_free(n->length);
    pllm_free(n->centre);
    pllm_free(n->origin);
    pllm_free_aligned(n->packed);
  }
  pllm_free(n);
}
