/*
** core_neighbors_pack.c: candidates as the neighbour join's kernel wants them.
**
** For the ranking of one query's candidates a vector taken off all of them does not matter, as it shifts all their
** similarities alike; but what is left, where embeddings have much in common, is shorter and so rounds more finely.
** Candidates are therefore taken from a centre (the mean of a sample of the first) wherever they have something in common.
** Each panel has a scale of its own, so that its longest vector fills 16 bits: a block can be packed as soon as it is
** there, while the caller fills the next.
**
** The error.  Let S be PLLM_NEIGHBOR_SCALE, R the length of a panel's longest vector from the centre m; x and y are a
** query and a candidate of length 1.  The packed query is S x + e, the packed candidate S (y - m) / R + f, and their
** product, which is a whole number and exact, is S^2 (<x,y> - <x,m>) / R + S <x,f> + <e, packed candidate>.  By
** Cauchy-Schwarz the last two are at most S |f| + |e| (S + |f|); times R / S^2 that is what an estimate may be off.
** The number that is the same for all candidates of a query is <x,m>.
*/
#include "core_neighbors.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

enum {
  LANES = PLLM_NEIGHBOR_LANES,
  GROUP = LANES * PLLM_NEIGHBOR_GROUP,
  SAMPLE = 256,               /* candidates whose mean is the centre */
  BLOCK_NUMBERS = 512 * 1024, /* of a block's rows, or of one group where that is more */
  AHEAD_NUMBERS = 64 * 1024,  /* of rows whose memory is asked for at a time */
  MOST_ROWS = 16 * GROUP
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
    int16_t *out = temporary + l * set->lane;
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
      memcpy(panel + (p * lanes + l) * 2, temporary + l * set->lane + p * 2, 2 * sizeof *panel);
}

/* ---- Panels ---- */

const float *pllm_core_neighbors_row(const PllmNeighbors *set, size_t candidate) {
  return set->blocks[candidate >> set->block_shift].rows + (candidate & (set->block_rows - 1)) * set->dim;
}

double pllm_core_neighbors_length(const PllmNeighbors *set, size_t candidate) {
  return set->blocks[candidate >> set->block_shift].length[candidate & (set->block_rows - 1)];
}

/* The length of the longest vector from the centre to one of n rows, whose own lengths go to `length`. */
static double measure(const PllmNeighbors *set, const float *rows, size_t n, double *length) {
  double most = 0;
  for (size_t i = 0; i < n; i++) {
    const float *row = rows + i * set->dim;
    double square;
    length[i] = sqrt(pllm_core_neighbors_dot(row, row, set->dim));
    distance(row, set->centre, length[i] > 0 ? 1 / length[i] : 0, set->dim, &square);
    if (square > most) most = square;
  }
  return sqrt(most) * (1 + 1e-9); /* roundings must not lead beyond 16 bits */
}

/* The block's panel that begins with row `at`. */
static void pack_panel(const PllmNeighbors *set, size_t at, int16_t *temporary) {
  const PllmNeighborBlock *block = &set->packing;
  const float *rows = block->rows + at * set->dim;
  const double scale = PLLM_NEIGHBOR_SCALE;
  size_t n = set->packing_rows - at < LANES ? set->packing_rows - at : LANES;
  double residual[LANES], f = 0, radius = measure(set, rows, n, block->length + at);
  PllmNeighborGroup *group = block->group + at / GROUP;
  size_t p = at % GROUP / LANES;
  int16_t *panel = block->packed + at * 2 * set->pairs;
  pllm_core_populate(panel, LANES * 2 * set->pairs * sizeof *panel);
  pllm_core_neighbors_pack(set, rows, block->length + at, n, LANES, set->centre, radius > 0 ? scale / radius : 0,
                           temporary, panel, residual);
  for (size_t i = 0; i < n; i++) f = residual[i] > f ? residual[i] : f;
  group->unit[p] = radius / (scale * scale);
  group->per_unit[p] = radius > 0 ? scale * scale / radius : 0;
  /* besides: candidates' roundings in f64, the similarities' own, and those of the bounds */
  group->error[p] = 1.0001 * group->unit[p] * (scale * f + 2) + (double)(set->dim + 64) * 0x1p-50;
  group->slope[p] = 1.0001 * group->unit[p] * (scale + f);
}

static void pack_piece(void *arg, size_t begin, size_t end, int worker) {
  const PllmNeighbors *set = arg;
  for (size_t i = begin; i < end; i++)
    pack_panel(set, i * LANES, set->temporary + (size_t)worker * LANES * set->lane);
}

/* The mean of rows evenly spread over the first `count`, unless they have as good as nothing in common. */
static void find_centre(PllmNeighbors *set, size_t count) {
  size_t n = count < SAMPLE ? count : SAMPLE;
  double square = 0;
  for (size_t i = 0; i < n; i++) {
    const float *row = pllm_core_neighbors_row(set, (size_t)((double)i / (double)n * (double)count));
    double length = sqrt(pllm_core_neighbors_dot(row, row, set->dim)),
           share = length > 0 ? 1 / length / (double)n : 0;
    for (size_t d = 0; d < set->dim; d++) set->centre[d] += (double)row[d] * share;
  }
  for (size_t d = 0; d < set->dim; d++) square += set->centre[d] * set->centre[d];
  if (square < .05) memset(set->centre, 0, set->dim * sizeof *set->centre);
}

/* ---- Sets ---- */

PllmStatus pllm_neighbors_open(size_t dim, const PllmRun *run, PllmNeighbors **out, PllmError *err) {
  PllmNeighbors *set;
  *out = NULL;
  if (dim < 1 || dim > PLLM_MAX_DIM)
    return pllm_fail(err, PLLM_INVALID, "%zu dimensions; 1 to %d are possible", dim, PLLM_MAX_DIM);
  set = pllm_alloc_zero(1, sizeof *set);
  if (!set) return pllm_fail_nomem(err);
  set->dim = dim;
  set->pairs = (dim + 1) / 2;
  set->lane = 2 * set->pairs + 32;
  for (set->block_rows = MOST_ROWS; set->block_rows > GROUP && set->block_rows * dim > BLOCK_NUMBERS;)
    set->block_rows /= 2;
  while ((size_t)1 << set->block_shift < set->block_rows) set->block_shift++;
  set->run = pllm_core_run(run, NULL, NULL);
  set->centre = pllm_alloc_zero(dim, sizeof *set->centre);
  set->origin = pllm_alloc_zero(dim, sizeof *set->origin);
  set->temporary = pllm_alloc((size_t)set->run.threads * LANES, set->lane * sizeof *set->temporary);
  if (set->centre && set->origin && set->temporary) {
    *out = set;
    return PLLM_OK;
  }
  pllm_neighbors_free(set);
  return pllm_fail_nomem(err);
}

/* Append a block of the given rows, or of rows to come when they are NULL. */
static PllmStatus new_block(PllmNeighbors *set, const float *rows, PllmError *err) {
  PllmNeighborBlock *b = pllm_grow(set->blocks, set->n_blocks, &set->room, 16, sizeof *b);
  if (!b) return pllm_fail_nomem(err);
  set->blocks = b;
  b = &set->blocks[set->n_blocks++];
  b->own = rows ? NULL : pllm_alloc(set->block_rows, set->dim * sizeof *b->own);
  b->rows = rows ? rows : b->own;
  b->length = pllm_alloc(set->block_rows, sizeof *b->length);
  b->packed = pllm_alloc_aligned(set->block_rows, 2 * set->pairs * sizeof *b->packed);
  b->group = pllm_alloc_zero(set->block_rows / GROUP, sizeof *b->group);
  return b->rows && b->length && b->packed && b->group ? PLLM_OK : pllm_fail_nomem(err);
}

static PllmStatus finish_packing(PllmNeighbors *set, PllmError *err) {
  PllmJob *job = set->job;
  set->job = NULL;
  return job ? pllm_job_join(job, err) : PLLM_OK;
}

/* Have helper threads pack the last block, which holds that many candidates. */
static PllmStatus start_packing(PllmNeighbors *set, size_t block, size_t rows, PllmError *err) {
  PllmStatus status = finish_packing(set, err);
  if (status != PLLM_OK) return status;
  set->packing = set->blocks[block];
  set->packing_rows = rows;
  return pllm_job_start(&set->run, (rows + LANES - 1) / LANES, 1, pack_piece, set, &set->job, err);
}

float *pllm_neighbors_place(PllmNeighbors *set, PllmError *err) {
  size_t at = set->count % set->block_rows, left = set->block_rows - at, soon = AHEAD_NUMBERS / set->dim + 1;
  float *place;
  if (set->count == set->n_blocks * set->block_rows && new_block(set, NULL, err) != PLLM_OK) return NULL;
  place = set->blocks[set->n_blocks - 1].own + at * set->dim;
  if (at % soon == 0) pllm_core_populate(place, (soon < left ? soon : left) * set->dim * sizeof *place);
  return place;
}

PllmStatus pllm_neighbors_add(PllmNeighbors *set, PllmError *err) {
  if (++set->count % set->block_rows != 0) return PLLM_OK;
  if (set->n_blocks == 1) find_centre(set, set->count);
  return start_packing(set, set->n_blocks - 1, set->block_rows, err);
}

PllmStatus pllm_neighbors_ready(PllmNeighbors *set, PllmError *err) {
  size_t rest = set->count % set->block_rows;
  PllmStatus status = PLLM_OK;
  if (set->n_blocks == 1 && rest > 0) find_centre(set, set->count);
  if (rest > 0) status = start_packing(set, set->n_blocks - 1, rest, err);
  return status == PLLM_OK ? finish_packing(set, err) : status;
}

PllmStatus pllm_neighbors_new(const float *candidates, size_t count, size_t dim, const PllmRun *run,
                              PllmNeighbors **out, PllmError *err) {
  PllmNeighbors *set;
  PllmStatus status = pllm_neighbors_open(dim, run, &set, err);
  *out = NULL;
  if (status != PLLM_OK) return status;
  for (; status == PLLM_OK && set->count < count; set->count += set->block_rows)
    status = new_block(set, candidates + set->count * dim, err);
  set->count = count;
  if (status == PLLM_OK) find_centre(set, count);
  for (size_t b = 0; status == PLLM_OK && b < set->n_blocks; b++) {
    size_t rest = count - b * set->block_rows;
    status = pllm_poll(run, err);
    if (status == PLLM_OK) status = start_packing(set, b, rest < set->block_rows ? rest : set->block_rows, err);
  }
  if (status == PLLM_OK) status = finish_packing(set, err);
  if (status == PLLM_OK)
    *out = set;
  else
    pllm_neighbors_free(set);
  return status;
}

void pllm_neighbors_free(PllmNeighbors *set) {
  if (!set) return;
  pllm_job_cancel(set->job);
  for (size_t i = 0; i < set->n_blocks; i++) {
    pllm_free(set->blocks[i].own);
    pllm_free(set->blocks[i].length);
    pllm_free_aligned(set->blocks[i].packed);
    pllm_free(set->blocks[i].group);
  }
  pllm_free(set->blocks);
  pllm_free(set->centre);
  pllm_free(set->origin);
  pllm_free(set->temporary);
  pllm_free(set);
}
