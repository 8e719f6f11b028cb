/*
** core_crowd.c: the feedback of many users.
**
** Responses are shown to many users, so equal feature vectors are stored once: 1,000 users x 50 choice sets of 8 are
** 400,000 rows of 4,000 vectors.  Sealing puts everything in an order of its own (vectors by their bytes, rows by
** user, choice set, label and vectors), so that no result depends on the order of adding.
*/
#include "core_crowd.h"
#include "core_math.h"

#include <math.h>
#include <string.h>

PllmCrowd *pllm_crowd_new(PllmForm form) {
  PllmCrowd *c = pllm_alloc_zero(1, sizeof *c);
  if (c) c->form = form;
  return c;
}

void pllm_crowd_free(PllmCrowd *c) {
  if (!c) return;
  pllm_free(c->rows);
  pllm_free(c->vectors);
  pllm_free(c->slots);
  pllm_free(c->first);
  pllm_free_aligned(c->pool.blocks);
  pllm_free(c);
}

size_t pllm_crowd_count(const PllmCrowd *c) {
  return c->count;
}

size_t pllm_crowd_dim(const PllmCrowd *c) {
  return c->dim;
}

void pllm_crowd_skip(PllmCrowd *c) {
  c->skipped++;
}

/* ---- vectors ---- */

static size_t element(const PllmCrowd *c) {
  return c->f32 ? sizeof(float) : sizeof(double);
}

static double number_of(const PllmCrowd *c, size_t vector, size_t b) {
  size_t at = vector * c->dim + b;
  return c->f32 ? (double)((const float *)c->vectors)[at] : ((const double *)c->vectors)[at];
}

/* -0 and 0 are one value, and so one vector. */
static double plain(double x) {
  return x == 0 ? 0 : x;
}

static uint64_t hash_vector(const double *x, size_t dim) {
  uint64_t h = PLLM_FNV_START;
  for (size_t b = 0; b < dim; b++) {
    h = (h ^ pllm_double_bits(plain(x[b]))) * UINT64_C(0x9E3779B97F4A7C15);
    h ^= h >> 32;
  }
  return h;
}

static int equals(const PllmCrowd *c, size_t vector, const double *x) {
  for (size_t b = 0; b < c->dim; b++)
    if (number_of(c, vector, b) != x[b]) return 0;
  return 1;
}

static PllmStatus grow_slots(PllmCrowd *c, PllmError *err) {
  size_t n = c->n_slots ? c->n_slots * 2 : 64;
  uint32_t *slots = pllm_alloc_zero(n, sizeof *slots);
  double *x = pllm_alloc(c->dim, sizeof *x);
  if (!slots || !x) {
    pllm_free(slots);
    pllm_free(x);
    return pllm_fail_nomem(err);
  }
  for (size_t i = 0; i < c->n_vectors; i++) {
    size_t at;
    for (size_t b = 0; b < c->dim; b++) x[b] = number_of(c, i, b);
    at = hash_vector(x, c->dim) & (n - 1);
    while (slots[at]) at = (at + 1) & (n - 1);
    slots[at] = (uint32_t)i + 1;
  }
  pllm_free(x);
  pllm_free(c->slots);
  c->slots = slots;
  c->n_slots = n;
  return PLLM_OK;
}

/* The first vector that is not f32 makes doubles of all. */
static PllmStatus widen(PllmCrowd *c, PllmError *err) {
  double *wide = pllm_alloc(c->vector_room * c->dim, sizeof *wide);
  if (!wide) return pllm_fail_nomem(err);
  for (size_t i = 0; i < c->n_vectors; i++)
    for (size_t b = 0; b < c->dim; b++) wide[i * c->dim + b] = number_of(c, i, b);
  pllm_free(c->vectors);
  c->vectors = wide;
  c->f32 = 0;
  return PLLM_OK;
}

/* The number of vector x, which is added when it is new. */
static PllmStatus intern(PllmCrowd *c, const double *x, int f32, uint32_t *number, PllmError *err) {
  size_t at;
  void *vectors;
  PllmStatus status = PLLM_OK;
  if (c->n_vectors == 0) c->f32 = f32;
  if (c->f32 && !f32 && c->n_vectors > 0) status = widen(c, err);
  if (status == PLLM_OK && c->n_vectors >= c->n_slots / 2) status = grow_slots(c, err);
  if (status != PLLM_OK) return status;
  for (at = hash_vector(x, c->dim) & (c->n_slots - 1); c->slots[at]; at = (at + 1) & (c->n_slots - 1)) {
    if (!equals(c, c->slots[at] - 1, x)) continue;
    *number = c->slots[at] - 1;
    return PLLM_OK;
  }
  if (c->n_vectors == INT32_MAX) return pllm_fail(err, PLLM_INVALID, "more than %d different vectors", INT32_MAX);
  vectors = pllm_grow(c->vectors, c->n_vectors, &c->vector_room, 64, c->dim * element(c));
  if (!vectors) return pllm_fail_nomem(err);
  c->vectors = vectors;
  for (size_t b = 0; b < c->dim; b++) {
    if (c->f32)
      ((float *)c->vectors)[c->n_vectors * c->dim + b] = (float)plain(x[b]);
    else
      ((double *)c->vectors)[c->n_vectors * c->dim + b] = plain(x[b]);
  }
  *number = (uint32_t)c->n_vectors;
  c->slots[at] = (uint32_t)++c->n_vectors;
  return PLLM_OK;
}

/* ---- rows ---- */

static PllmStatus add(PllmCrowd *c, PllmCrowdRow row, const double *a, const double *b, size_t dim, int f32,
                      PllmError *err) {
  PllmCrowdRow *rows;
  PllmStatus status;
  if (c->dim == 0) c->dim = dim;
  if (dim != c->dim) return pllm_fail(err, PLLM_INVALID, "%zu numbers, but the rows before have %zu", dim, c->dim);
  rows = pllm_grow(c->rows, c->count, &c->room, 64, sizeof *rows);
  if (!rows) return pllm_fail_nomem(err);
  c->rows = rows;
  status = intern(c, a, f32, &row.a, err);
  if (status == PLLM_OK && b) status = intern(c, b, f32, &row.b, err);
  if (status != PLLM_OK) return status;
  c->f32_rows += f32 != 0;
  c->rows[c->count++] = row;
  return PLLM_OK;
}

PllmStatus pllm_crowd_add_pair(PllmCrowd *c, int64_t user, const double *chosen, const double *rejected, size_t dim,
                               int f32, PllmError *err) {
  return add(c, (PllmCrowdRow){.user = user, .label = PLLM_BEST}, chosen, rejected, dim, f32, err);
}

PllmStatus pllm_crowd_add_choice(PllmCrowd *c, int64_t user, int64_t choice_set, const double *features, size_t dim,
                                 int f32, PllmLabel label, PllmError *err) {
  PllmCrowdRow row = {.user = user, .choice_set = choice_set, .label = (uint32_t)label};
  return add(c, row, features, NULL, dim, f32, err);
}

/* ---- sealing ---- */

enum { SORT_GRAIN = 1 << 16 }; /* items merged between two polls */

/* Merge sort of items of `size` bytes with a spare array of the same length; ties only between equal items. */
typedef int (*Compare)(const PllmCrowd *c, const void *a, const void *b);
static PllmStatus merge_sort(const PllmCrowd *c, void *items, void *spare, size_t count, size_t size, Compare compare,
                             const PllmRun *run, PllmError *err) {
  char *from = items, *to = spare;
  size_t merged = 0;
  PllmStatus status;
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t i = 0; i < count; i += 2 * width) {
      size_t a = i, mid = i + width < count ? i + width : count, b = mid;
      size_t end = count - mid < width ? count : mid + width;
      status = merged / SORT_GRAIN != (merged + end - i) / SORT_GRAIN ? pllm_poll(run, err) : PLLM_OK;
      if (status != PLLM_OK) return status;
      merged += end - i;
      if (b < end && compare(c, from + (mid - 1) * size, from + mid * size) <= 0) b = end; /* in order already */
      if (b == end) {
        memcpy(to + i * size, from + i * size, (end - i) * size);
        continue;
      }
      for (size_t k = i; k < end; k++) {
        int left = a < mid && (b == end || compare(c, from + a * size, from + b * size) <= 0);
        memcpy(to + k * size, from + (left ? a++ : b++) * size, size);
      }
    }
    {
      char *swap = from;
      from = to;
      to = swap;
    }
  }
  if (from != (char *)items) memcpy(items, from, count * size);
  return PLLM_OK;
}

static int compare_vectors(const PllmCrowd *c, const void *a, const void *b) {
  uint32_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  for (size_t k = 0; k < c->dim; k++) {
    double p = number_of(c, x, k), q = number_of(c, y, k);
    if (p != q) return p < q ? -1 : 1;
  }
  return 0;
}

static int compare_rows(const PllmCrowd *c, const void *a, const void *b) {
  const PllmCrowdRow *x = a, *y = b;
  (void)c;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  if (x->choice_set != y->choice_set) return x->choice_set < y->choice_set ? -1 : 1;
  if (x->label != y->label) return x->label < y->label ? -1 : 1;
  if (x->a != y->a) return x->a < y->a ? -1 : 1;
  return x->b < y->b ? -1 : x->b > y->b;
}

/* Number the vectors by their values, lay them out in blocks, and renumber the rows. */
static PllmStatus seal_vectors(PllmCrowd *c, const PllmRun *run, PllmError *err) {
  size_t n = c->n_vectors, padded = (n + PLLM_POOL_BLOCK - 1) / PLLM_POOL_BLOCK * PLLM_POOL_BLOCK;
  uint32_t *order = pllm_alloc(2 * n, sizeof *order), *number = order ? order + n : NULL;
  void *blocks = n && padded > SIZE_MAX / 8 / c->dim ? NULL : pllm_alloc_aligned(padded * c->dim, element(c));
  PllmStatus status = order && blocks ? PLLM_OK : pllm_fail_nomem(err);
  for (size_t i = 0; status == PLLM_OK && i < n; i++) order[i] = (uint32_t)i;
  if (status == PLLM_OK) status = merge_sort(c, order, number, n, sizeof *order, compare_vectors, run, err);
  if (status != PLLM_OK) {
    pllm_free(order);
    pllm_free_aligned(blocks);
    return status;
  }
  memset(blocks, 0, padded * c->dim * element(c));
  for (size_t i = 0; i < n; i++) {
    size_t at = i / PLLM_POOL_BLOCK * c->dim * PLLM_POOL_BLOCK + i % PLLM_POOL_BLOCK;
    for (size_t b = 0; b < c->dim; b++, at += PLLM_POOL_BLOCK) {
      if (c->f32)
        ((float *)blocks)[at] = ((const float *)c->vectors)[order[i] * c->dim + b];
      else
        ((double *)blocks)[at] = ((const double *)c->vectors)[order[i] * c->dim + b];
    }
  }
  for (size_t i = 0; i < n; i++) number[order[i]] = (uint32_t)i;
  for (size_t r = 0; r < c->count; r++) {
    c->rows[r].a = number[c->rows[r].a];
    if (c->form == PLLM_PAIRS) c->rows[r].b = number[c->rows[r].b];
  }
  pllm_free(order);
  pllm_free(c->vectors);
  pllm_free(c->slots);
  c->vectors = NULL;
  c->slots = NULL;
  c->pool = (PllmPool){.count = n, .padded = padded, .dim = c->dim, .f32 = c->f32, .blocks = blocks};
  return PLLM_OK;
}

/* At most one best and one worst in each choice set; rows are in order. */
static PllmStatus check_sets(const PllmCrowd *c, PllmError *err) {
  size_t marked[3] = {0, 0, 0};
  for (size_t r = 0; r < c->count; r++) {
    const PllmCrowdRow *row = &c->rows[r];
    if (r == 0 || row->user != row[-1].user || row->choice_set != row[-1].choice_set)
      memset(marked, 0, sizeof marked);
    if (row->label != PLLM_SHOWN && ++marked[row->label] > 1)
      return pllm_fail(err, PLLM_INVALID,
                       "user %lld: choice_set %lld has several rows marked '%s'; at most one is accepted",
                       (long long)row->user, (long long)row->choice_set, row->label == PLLM_BEST ? "best" : "worst");
  }
  return PLLM_OK;
}

PllmStatus pllm_crowd_seal(PllmCrowd *c, const PllmRun *run, PllmError *err) {
  PllmCrowdRow *spare;
  PllmStatus status = pllm_poll(run, err);
  if (c->sealed || status != PLLM_OK) return status;
  status = seal_vectors(c, run, err);
  if (status != PLLM_OK) return status;
  c->sealed = 1;
  spare = pllm_alloc(c->count, sizeof *spare);
  if (!spare) return pllm_fail_nomem(err);
  status = merge_sort(c, c->rows, spare, c->count, sizeof *spare, compare_rows, run, err);
  pllm_free(spare);
  if (status != PLLM_OK) return status;
  if (c->form == PLLM_CHOICES) status = check_sets(c, err);
  if (status == PLLM_OK) status = pllm_poll(run, err);
  if (status != PLLM_OK) return status;
  for (size_t r = 0; r < c->count; r++) c->users += r == 0 || c->rows[r].user != c->rows[r - 1].user;
  c->first = pllm_alloc(c->users + 1, sizeof *c->first);
  if (!c->first) return pllm_fail_nomem(err);
  c->users = 0;
  for (size_t r = 0; r < c->count; r++)
    if (r == 0 || c->rows[r].user != c->rows[r - 1].user) c->first[c->users++] = r;
  c->first[c->users] = c->count;
  return PLLM_OK;
}

/* ---- one user's feedback ---- */

PllmFeedback *pllm_crowd_builder(const PllmCrowd *c) {
  PllmFeedback *f = pllm_feedback_new(c->form);
  size_t most = 1, width = c->form == PLLM_PAIRS ? 2 * c->dim : c->dim;
  for (size_t u = 0; u < c->users; u++)
    if (c->first[u + 1] - c->first[u] > most) most = c->first[u + 1] - c->first[u];
  if (!f) return NULL;
  f->rows = pllm_alloc(most, sizeof *f->rows);
  f->numbers = most > SIZE_MAX / 8 / width ? NULL : pllm_alloc(most * width, sizeof *f->numbers);
  f->room = most;
  f->number_room = most * width;
  if (f->rows && f->numbers) return f;
  pllm_feedback_free(f);
  return NULL;
}

void pllm_crowd_feedback(const PllmCrowd *c, size_t u, PllmFeedback *f) {
  pllm_feedback_clear(f);
  f->dim = c->dim;
  f->width = c->form == PLLM_PAIRS ? 2 * c->dim : c->dim;
  for (size_t r = c->first[u]; r < c->first[u + 1]; r++) {
    const PllmCrowdRow *row = &c->rows[r];
    double *to = f->numbers + f->end * f->width;
    pllm_pool_vector(&c->pool, row->a, to);
    if (c->form == PLLM_PAIRS) pllm_pool_vector(&c->pool, row->b, to + c->dim);
    f->rows[f->end++] = (PllmRow){.choice_set = row->choice_set, .label = (unsigned char)row->label};
  }
}
