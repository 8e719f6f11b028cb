/*
** core_pairs.c: the preferences of many users as pairs of feature vectors.
*/
#include "core_crowd.h"

#include <math.h>
#include <string.h>

void pllm_pairs_free(PllmPairs *p) {
  if (!p) return;
  pllm_free(p->user_id);
  pllm_free(p->first);
  pllm_free(p->a);
  pllm_free(p->b);
  pllm_free(p->user);
  pllm_free(p->touch_first);
  pllm_free(p->touch);
  pllm_free(p);
}

/* Counts, or with lists fills them in. */
typedef struct Listing {
  PllmPairs *p;
  int fill;
  uint32_t user;
  size_t count;
} Listing;

static void list_pair(Listing *l, uint32_t a, uint32_t b) {
  if (a == b) return;
  if (l->fill) {
    l->p->a[l->count] = a;
    l->p->b[l->count] = b;
    l->p->user[l->count] = l->user;
  }
  l->count++;
}

/* The pairs of a choice set, rows[n], whose marked rows come last: shown, best, worst. */
static void list_set(Listing *l, const PllmCrowdRow *rows, size_t n, int implied) {
  const PllmCrowdRow *best = NULL, *worst = NULL;
  for (size_t r = 0; r < n; r++) {
    if (rows[r].label == PLLM_BEST) best = &rows[r];
    if (rows[r].label == PLLM_WORST) worst = &rows[r];
  }
  if (best && worst && !implied) {
    list_pair(l, best->a, worst->a);
    return;
  }
  for (size_t r = 0; r < n; r++) {
    if (best && &rows[r] != best) list_pair(l, best->a, rows[r].a);
    if (worst && &rows[r] != worst && &rows[r] != best) list_pair(l, rows[r].a, worst->a);
  }
}

static void list_user(Listing *l, const PllmCrowd *c, size_t u, int implied) {
  size_t end;
  for (size_t r = c->first[u]; r < c->first[u + 1]; r = end) {
    if (c->form == PLLM_PAIRS) {
      list_pair(l, c->rows[r].a, c->rows[r].b);
      end = r + 1;
      continue;
    }
    for (end = r; end < c->first[u + 1] && c->rows[end].choice_set == c->rows[r].choice_set; end++) continue;
    list_set(l, c->rows + r, end - r, implied);
  }
}

/* The pairs that each vector is in, by counting. */
static PllmStatus list_touches(PllmPairs *p, size_t vectors, PllmError *err) {
  p->touch_first = pllm_alloc_zero(vectors + 2, sizeof *p->touch_first);
  p->touch = pllm_alloc(2 * p->count, sizeof *p->touch);
  if (!p->touch_first || !p->touch) return pllm_fail_nomem(err);
  for (size_t i = 0; i < p->count; i++) {
    p->touch_first[p->a[i] + 2]++;
    p->touch_first[p->b[i] + 2]++;
  }
  for (size_t v = 2; v < vectors + 2; v++) p->touch_first[v] += p->touch_first[v - 1];
  for (size_t i = 0; i < p->count; i++) {
    p->touch[p->touch_first[p->a[i] + 1]++] = (uint32_t)(2 * i);
    p->touch[p->touch_first[p->b[i] + 1]++] = (uint32_t)(2 * i + 1);
  }
  return PLLM_OK;
}

/* Squares of the pairs' differences, in blocks of pairs, so that threads do not change the sum. */
enum { SQUARE_BLOCK = 256 };
typedef struct SquareJob {
  const PllmCrowd *crowd;
  const PllmPairs *p;
  double *sum;     /* one for each block */
  double *scratch; /* [threads][2][dim] */
} SquareJob;

static void square_body(void *arg, size_t begin, size_t end, int worker) {
  SquareJob *j = arg;
  size_t dim = j->crowd->dim;
  double *x = j->scratch + (size_t)worker * 2 * dim, *y = x + dim;
  for (size_t block = begin; block < end; block++) {
    size_t last = (block + 1) * SQUARE_BLOCK < j->p->count ? (block + 1) * SQUARE_BLOCK : j->p->count;
    double sum = 0;
    for (size_t i = block * SQUARE_BLOCK; i < last; i++) {
      pllm_pool_vector(&j->crowd->pool, j->p->a[i], x);
      pllm_pool_vector(&j->crowd->pool, j->p->b[i], y);
      for (size_t b = 0; b < dim; b++) sum += 0.25 * (x[b] - y[b]) * (x[b] - y[b]);
    }
    j->sum[block] = sum;
  }
}

static PllmStatus find_scale(const PllmCrowd *c, PllmPairs *p, const PllmRun *run, PllmError *err) {
  size_t blocks = (p->count + SQUARE_BLOCK - 1) / SQUARE_BLOCK;
  double sum = 0;
  SquareJob job = {.crowd = c, .p = p};
  PllmStatus status;
  job.sum = pllm_alloc(blocks, sizeof *job.sum);
  job.scratch = pllm_alloc((size_t)pllm_run_threads(run) * 2 * c->dim, sizeof *job.scratch);
  status = job.sum && job.scratch ? pllm_parallel(run, blocks, 1, square_body, &job, err) : pllm_fail_nomem(err);
  for (size_t i = 0; status == PLLM_OK && i < blocks; i++) sum += job.sum[i];
  sum /= (double)p->count * (double)c->dim;
  if (status == PLLM_OK && p->count > 0 && !(sum >= 1e-200 && sum <= 1e200))
    status = pllm_fail(err, PLLM_INVALID, "features differ by %s to compute with; scale them",
                       sum < 1 ? "too little" : "too much");
  p->scale = status == PLLM_OK && p->count > 0 ? 1 / sqrt(sum) : 1;
  pllm_free(job.sum);
  pllm_free(job.scratch);
  return status;
}

PllmStatus pllm_pairs_new(const PllmCrowd *c, int implied, PllmPairs **out, const PllmRun *run, PllmError *err) {
  PllmPairs *p = pllm_alloc_zero(1, sizeof *p);
  Listing count = {.p = p}, fill = {.p = p, .fill = 1};
  PllmStatus status = PLLM_OK;
  *out = NULL;
  if (!p) return pllm_fail_nomem(err);
  for (size_t u = 0; u < c->users; u++) {
    size_t before = count.count;
    list_user(&count, c, u, implied);
    p->users += count.count > before;
  }
  p->count = count.count;
  if (p->count > INT32_MAX)
    status = pllm_fail(err, PLLM_INVALID, "%zu pairs of responses; at most %d are supported", p->count, INT32_MAX);
  if (status == PLLM_OK) {
    p->user_id = pllm_alloc(p->users, sizeof *p->user_id);
    p->first = pllm_alloc(p->users + 1, sizeof *p->first);
    p->a = pllm_alloc(p->count, sizeof *p->a);
    p->b = pllm_alloc(p->count, sizeof *p->b);
    p->user = pllm_alloc(p->count, sizeof *p->user);
    if (!p->user_id || !p->first || !p->a || !p->b || !p->user) status = pllm_fail_nomem(err);
  }
  for (size_t u = 0; status == PLLM_OK && u < c->users; u++) {
    size_t before = fill.count;
    list_user(&fill, c, u, implied);
    if (fill.count == before) continue;
    p->first[fill.user] = before;
    p->user_id[fill.user++] = c->rows[c->first[u]].user;
  }
  if (status == PLLM_OK) {
    p->first[p->users] = p->count;
    status = list_touches(p, c->pool.count, err);
  }
  if (status == PLLM_OK) status = find_scale(c, p, run, err);
  if (status != PLLM_OK) {
    pllm_pairs_free(p);
    return status;
  }
  *out = p;
  return PLLM_OK;
}
