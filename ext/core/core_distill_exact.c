/*
** core_distill_exact.c: text students from rows that are kept: ridge regression through the rows' Gram matrix.
**
** With fewer rows than features the Gram matrix K of the rows is the smaller system: with K and y centred by group,
** on both sides, a = inv(K + penalty I) y and the weights are X' a.  K is built a slice of features at a time, so
** that no more than a slice of X exists at once: the form features, then the random ones, then the words: common ones
** as dense slices, the others through lists of who has them.
*/
#include "core_blas.h"
#include "core_distill.h"

#include <string.h>

enum { SLICE = 1024 }; /* features at a time */

void pllm_text_rows_free(PllmTextRows *r) {
  pllm_free(r->form);
  pllm_free(r->y);
  pllm_free(r->first);
  pllm_free(r->group);
  pllm_free(r->words.words);
  memset(r, 0, sizeof *r);
}

static int grow(void **memory, size_t count, size_t size) {
  void *more = pllm_resize(*memory, count, size);
  if (more) *memory = more;
  return more != NULL;
}

PllmStatus pllm_text_rows_add(PllmTextRows *r, size_t outputs, int new_group, const char *prompt, size_t prompt_bytes,
                              const char *response, size_t bytes, const double *y, PllmError *err) {
  PllmStatus status;
  if (r->n == r->room) {
    size_t room = r->room ? 2 * r->room : 64;
    if (!grow((void **)&r->form, room * PLLM_FORM_FEATURES, sizeof *r->form) ||
        !grow((void **)&r->y, room * outputs, sizeof *r->y) ||
        !grow((void **)&r->first, room + 1, sizeof *r->first) || !grow((void **)&r->group, room, sizeof *r->group))
      return pllm_fail_nomem(err);
    r->room = room;
    r->outputs = outputs;
    if (r->n == 0) r->first[0] = 0;
  }
  status = pllm_form_features(prompt, prompt_bytes, response, bytes, r->form + r->n * PLLM_FORM_FEATURES, err);
  if (status == PLLM_OK) status = pllm_text_words(response, bytes, &r->words, err);
  if (status != PLLM_OK) return status;
  memcpy(r->y + r->n * outputs, y, outputs * sizeof *y);
  r->groups += (size_t)(new_group || r->n == 0);
  r->group[r->n++] = r->groups - 1;
  r->first[r->n] = r->words.count;
  return PLLM_OK;
}

/* ---- the Gram matrix ---- */

typedef struct Gram {
  const PllmTextRows *rows;
  const PllmTextMap *map;
  const PllmRun *run;
  double *k;     /* [n][n] */
  double *slice; /* [n][SLICE] */
  size_t at;     /* first direction of the slice */
  size_t count;  /* directions in it */
  size_t *begin; /* [hashed + 1]: of each slot's list */
  uint32_t *who; /* rows that have it, ascending */
  float *value;
  uint8_t *common; /* [hashed]: dealt with in slices */
} Gram;

static void random_slice(void *arg, size_t begin, size_t end, int worker) {
  Gram *g = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    double *x = g->slice + i * 2 * g->count;
    pllm_text_random(g->map, g->rows->form + i * PLLM_FORM_FEATURES, g->at, g->count, x, x + g->count);
  }
}

/* Fill the slice with the random features of the next directions; false when there are none left. */
static int next_random(Gram *g, PllmStatus *status, PllmError *err) {
  size_t half = g->map->random / 2;
  g->at += g->count;
  if (*status != PLLM_OK || g->at >= half) return 0;
  g->count = half - g->at < SLICE / 2 ? half - g->at : SLICE / 2;
  *status = pllm_parallel(g->run, g->rows->n, 16, random_slice, g, err);
  return *status == PLLM_OK;
}

/* Who has which word: lists in the order of rows. */
static PllmStatus list_words(Gram *g, PllmError *err) {
  const PllmTextRows *r = g->rows;
  size_t hashed = g->map->hashed, *next;
  g->begin = pllm_alloc_zero(hashed + 2, sizeof *g->begin);
  g->who = pllm_alloc(r->words.count, sizeof *g->who);
  g->value = pllm_alloc(r->words.count, sizeof *g->value);
  g->common = pllm_alloc_zero(hashed + 1, sizeof *g->common);
  if (!g->begin || !g->who || !g->value || !g->common) return pllm_fail_nomem(err);
  next = g->begin + 1;
  for (size_t e = 0; e < r->words.count; e++) next[pllm_word_slot(&r->words.words[e], hashed) + 1]++;
  for (size_t s = 0; s < hashed; s++) {
    g->common[s] = next[s + 1] > r->n / 16;
    next[s + 1] += next[s];
  }
  for (size_t i = 0; i < r->n; i++) {
    for (size_t e = r->first[i]; e < r->first[i + 1]; e++) {
      size_t to = next[pllm_word_slot(&r->words.words[e], hashed)]++;
      g->who[to] = (uint32_t)i;
      g->value[to] = r->words.words[e].value;
    }
  }
  return PLLM_OK; /* next[s] has become the end of s, that is begin[s + 1] */
}

/* Rows [begin, end) of K: what they share with the rows up to them, in rare words. */
static void rare_words(void *arg, size_t begin, size_t end, int worker) {
  Gram *g = arg;
  const PllmTextRows *r = g->rows;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    double *row = g->k + i * r->n;
    for (size_t e = r->first[i]; e < r->first[i + 1]; e++) {
      size_t slot = pllm_word_slot(&r->words.words[e], g->map->hashed);
      double value = r->words.words[e].value;
      if (g->common[slot]) continue;
      for (size_t p = g->begin[slot]; p < g->begin[slot + 1] && g->who[p] <= i; p++)
        row[g->who[p]] += value * (double)g->value[p];
    }
  }
}

static PllmStatus add_words(Gram *g, PllmError *err) {
  size_t n = g->rows->n, slot = 0, hashed = g->map->hashed;
  PllmStatus status = list_words(g, err);
  if (status == PLLM_OK) status = pllm_parallel(g->run, n, 8, rare_words, g, err);
  while (status == PLLM_OK && slot < hashed) {
    size_t used = 0;
    memset(g->slice, 0, n * SLICE * sizeof *g->slice);
    for (; slot < hashed && used < SLICE; slot++) {
      if (!g->common[slot]) continue;
      for (size_t p = g->begin[slot]; p < g->begin[slot + 1]; p++) g->slice[g->who[p] * SLICE + used] += g->value[p];
      used++;
    }
    if (used > 0) status = pllm_spd_add_gram(g->k, n, g->slice, SLICE, 1, g->run, err);
  }
  return status;
}

/* m[n][columns] less the mean of each group's rows. */
static void centre_rows(double *m, size_t columns, size_t begin, size_t end, double *mean) {
  double count = (double)(end - begin);
  memset(mean, 0, columns * sizeof *mean);
  for (size_t i = begin; i < end; i++)
    for (size_t k = 0; k < columns; k++) mean[k] += m[i * columns + k];
  for (size_t i = begin; i < end; i++)
    for (size_t k = 0; k < columns; k++) m[i * columns + k] -= mean[k] / count;
}

static size_t group_end(const PllmTextRows *r, size_t begin) {
  size_t end = begin;
  while (end < r->n && r->group[end] == r->group[begin]) end++;
  return end;
}

/* K centred on both sides; from its lower triangle, the whole of it. */
static PllmStatus centre(const PllmTextRows *r, double *k, double *mean, const PllmRun *run, PllmError *err) {
  size_t n = r->n;
  PllmStatus status = PLLM_OK;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) k[j * n + i] = k[i * n + j];
  for (size_t begin = 0, end; begin < n && status == PLLM_OK; begin = end) {
    end = group_end(r, begin);
    centre_rows(k, n, begin, end, mean);
    status = pllm_poll(run, err);
  }
  for (size_t i = 0; i < n && status == PLLM_OK; i++) {
    double *row = k + i * n;
    for (size_t begin = 0, end; begin < n; begin = end) {
      double sum = 0;
      end = group_end(r, begin);
      for (size_t j = begin; j < end; j++) sum += row[j];
      for (size_t j = begin; j < end; j++) row[j] -= sum / (double)(end - begin);
    }
    if (i % 64 == 0) status = pllm_poll(run, err);
  }
  return status;
}

static PllmStatus build(Gram *g, double *mean, PllmError *err) {
  const PllmTextRows *r = g->rows;
  PllmStatus status = PLLM_OK;
  memset(g->k, 0, r->n * r->n * sizeof *g->k);
  g->at = g->count = 0;
  while (next_random(g, &status, err)) status = pllm_spd_add_gram(g->k, r->n, g->slice, 2 * g->count, 1, g->run, err);
  if (status == PLLM_OK)
    status =
        pllm_spd_add_gram(g->k, r->n, r->form, PLLM_FORM_FEATURES, pllm_form_scale * pllm_form_scale, g->run, err);
  if (status == PLLM_OK && g->map->hashed > 0) status = add_words(g, err);
  return status == PLLM_OK ? centre(r, g->k, mean, g->run, err) : status;
}

/* ---- from rows to features ---- */

/* The weights of `count` features from x[n][stride] of them, scaled, to `feature` on.  a[n][outputs + 1] ends with
** 1/n, so the product's last column is a feature's mean: what it adds on average goes off the intercepts. */
static void add_features(PllmRidgeFit *fit, size_t feature, size_t n, const double *x, size_t stride, size_t count,
                         double scale, const double *a, double *product) {
  size_t width = fit->outputs + 1;
  memset(product, 0, count * width * sizeof *product);
  pllm_blas_gemm(1, 0, count, width, n, scale, x, stride, a, width, product, width);
  for (size_t f = 0; f < count; f++) {
    for (size_t o = 0; o < fit->outputs; o++) {
      double w = product[f * width + o];
      fit->weights[o * fit->dim + feature + f] = w;
      fit->intercept[o] -= product[f * width + fit->outputs] * w;
    }
  }
}

static void add_word(PllmRidgeFit *fit, const Gram *g, size_t slot, size_t feature, const double *a) {
  size_t width = fit->outputs + 1;
  double mean = 0;
  for (size_t p = g->begin[slot]; p < g->begin[slot + 1]; p++) mean += g->value[p];
  mean /= (double)g->rows->n;
  for (size_t o = 0; o < fit->outputs; o++) {
    double w = 0;
    for (size_t p = g->begin[slot]; p < g->begin[slot + 1]; p++) w += (double)g->value[p] * a[g->who[p] * width + o];
    fit->weights[o * fit->dim + feature] = w;
    fit->intercept[o] -= mean * w;
  }
}

/* X' a for the chosen solutions x[n][outputs]. */
static PllmStatus weights(Gram *g, PllmRidgeFit *fit, const double *x, PllmError *err) {
  const PllmTextRows *r = g->rows;
  size_t half = g->map->random / 2, words = PLLM_FORM_FEATURES + g->map->random, width = fit->outputs + 1;
  double *a = pllm_alloc(r->n * width, sizeof *a), *product = pllm_alloc(SLICE * width, sizeof *product);
  PllmStatus status = a && product ? PLLM_OK : pllm_fail_nomem(err);
  if (status == PLLM_OK) {
    for (size_t i = 0; i < r->n; i++) {
      memcpy(a + i * width, x + i * fit->outputs, fit->outputs * sizeof *a);
      a[i * width + fit->outputs] = 1 / (double)r->n;
    }
    add_features(fit, 0, r->n, r->form, PLLM_FORM_FEATURES, PLLM_FORM_FEATURES, pllm_form_scale, a, product);
  }
  g->at = g->count = 0;
  while (next_random(g, &status, err)) {
    size_t cosines = PLLM_FORM_FEATURES + g->at, sines = cosines + half;
    add_features(fit, cosines, r->n, g->slice, 2 * g->count, g->count, 1, a, product);
    if ((status = pllm_poll(g->run, err)) != PLLM_OK) break;
    add_features(fit, sines, r->n, g->slice + g->count, 2 * g->count, g->count, 1, a, product);
  }
  for (size_t slot = 0; slot < g->map->hashed && status == PLLM_OK; slot++) {
    add_word(fit, g, slot, words + slot, a);
    if (slot % 256 == 0) status = pllm_poll(g->run, err);
  }
  pllm_free(a);
  pllm_free(product);
  return status;
}

PllmStatus pllm_text_rows_solve(const PllmTextRows *r, const PllmTextMap *map, double lambda, const PllmRun *run,
                                PllmRidgeFit **out, PllmError *err) {
  size_t n = r->n, outputs = r->outputs;
  PllmChoice choice = {.outputs = outputs, .n = n, .freedom = (double)(n - r->groups), .groups = r->groups};
  size_t *group_at;
  double unit = 0, *y = NULL, *yy = NULL, *mean = NULL;
  Gram g = {.rows = r, .map = map, .run = run};
  PllmRidgeFit *fit = NULL;
  PllmStatus status = PLLM_OK;
  *out = NULL;
  if (n == r->groups) return pllm_fail(err, PLLM_INVALID, PLLM_NO_GROUP, n, r->groups);
  g.k = pllm_alloc_aligned(n * n, sizeof *g.k);
  g.slice = pllm_alloc_aligned(n * SLICE, sizeof *g.slice);
  y = pllm_alloc(n * outputs, sizeof *y);
  yy = pllm_alloc_zero(outputs, sizeof *yy);
  mean = pllm_alloc(n + outputs, sizeof *mean);
  if (!g.k || !g.slice || !y || !yy || !mean) status = pllm_fail_nomem(err);
  if (status == PLLM_OK) status = pllm_ridge_fit_new(pllm_text_map_dim(map), outputs, &fit, err);
  group_at = pllm_alloc(r->groups + 1, sizeof *group_at);
  if (!group_at) status = pllm_fail_nomem(err);
  for (size_t i = 0, j = 0; i < n && group_at; i = group_end(r, i)) {
    group_at[j++] = i;
    group_at[j] = n;
  }
  choice.group_at = group_at;
  choice.b = y;
  choice.yy = yy;
  if (status == PLLM_OK) status = pllm_choice_new(&choice, err);
  if (status == PLLM_OK) status = build(&g, mean, err);
  if (status == PLLM_OK) {
    memcpy(y, r->y, n * outputs * sizeof *y);
    for (size_t i = 0; i < n; i++)
      for (size_t o = 0; o < outputs; o++) fit->intercept[o] += y[i * outputs + o] / (double)n;
    for (size_t begin = 0; begin < n; begin = group_end(r, begin))
      centre_rows(y, outputs, begin, group_end(r, begin), mean);
    for (size_t i = 0; i < n; i++) {
      unit += g.k[i * n + i] / choice.freedom;
      for (size_t o = 0; o < outputs; o++) yy[o] += y[i * outputs + o] * y[i * outputs + o];
    }
    if (!(unit > 0)) status = pllm_fail(err, PLLM_INVALID, PLLM_ALL_SAME);
  }
  if (status == PLLM_OK) {
    PllmPath path = {.a = g.k,
                     .n = n,
                     .b = y,
                     .columns = outputs,
                     .start = unit * (lambda > 0 ? lambda : 1),
                     .ratio = lambda > 0 ? 0 : PLLM_RIDGE_RATIO,
                     .steps = PLLM_RIDGE_STEPS,
                     .panels = pllm_choice_panels(&choice),
                     .visit = pllm_choice_visit,
                     .arg = &choice};
    status = pllm_spd_path(&path, run, err);
  }
  if (status == PLLM_OK) {
    pllm_ridge_fit_report(fit, &choice, unit);
    status = weights(&g, fit, choice.x, err);
  }
  if (status == PLLM_OK) {
    *out = fit;
    fit = NULL;
  }
  pllm_ridge_fit_free(fit);
  pllm_choice_free(&choice);
  pllm_free_aligned(g.k);
  pllm_free_aligned(g.slice);
  pllm_free(g.begin);
  pllm_free(g.who);
  pllm_free(g.value);
  pllm_free(g.common);
  pllm_free(y);
  pllm_free(yy);
  pllm_free(mean);
  pllm_free(group_at);
  return status;
}
