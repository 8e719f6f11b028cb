/*
** core_distill.c: students from rows (distill.h): which rows make one prompt, which way they are fitted, the model.
*/
#include "core_distill.h"

#include <stdio.h>
#include <string.h>

/* What is left of a text student's features when there are too many rows to keep. */
enum { STREAM_RANDOM = 2048, STREAM_HASHED = 4096 };

struct PllmDistill {
  PllmDistillOptions options;
  size_t outputs, dim; /* of the first row */
  uint64_t rows, skipped;
  int f32;
  /* prompts */
  int with_ids;
  uint64_t prompt; /* the present one: its id, or its text's hash */
  uint64_t *seen;  /* owned: open addressing, 0 is empty; ids so far, mixed */
  size_t n_seen, room_seen;
  /* rows */
  PllmRidge *ridge;  /* owned; NULL while rows are kept */
  PllmTextRows kept; /* owned */
  PllmTextMap map;   /* owned; of the stream, direction NULL before */
  double *x;         /* owned: a row of the stream */
  PllmWords words;   /* owned: its words */
};

PllmStatus pllm_distill_new(PllmDistillOptions *options, PllmDistill **out, PllmError *err) {
  PllmDistill *d = pllm_alloc_zero(1, sizeof *d);
  *out = d;
  if (!d) return pllm_fail_nomem(err);
  d->options = *options;
  memset(options, 0, sizeof *options);
  return PLLM_OK;
}

void pllm_distill_free(PllmDistill *d) {
  if (!d) return;
  pllm_distill_options_free(&d->options);
  pllm_ridge_free(d->ridge);
  pllm_text_rows_free(&d->kept);
  pllm_text_map_free(&d->map);
  pllm_free(d->words.words);
  pllm_free(d->seen);
  pllm_free(d->x);
  pllm_free(d);
}

void pllm_distill_skip(PllmDistill *d) {
  d->skipped++;
}

size_t pllm_distill_rows(const PllmDistill *d) {
  return (size_t)d->rows;
}

int pllm_distill_takes_long(const PllmDistill *d) {
  return d->options.text ? d->rows >= d->options.exact_rows : d->dim >= 1024;
}

/* ---- prompts ---- */

/* Where key is, or would go. */
static size_t place(const uint64_t *table, size_t room, uint64_t key) {
  size_t at = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (room - 1);
  while (table[at] != 0 && table[at] != key) at = (at + 1) & (room - 1);
  return at;
}

/* Remember key (not 0); *before: it was there. */
static PllmStatus remember(PllmDistill *d, uint64_t key, int *before, PllmError *err) {
  size_t at;
  if (2 * d->n_seen >= d->room_seen) {
    size_t room = d->room_seen ? 2 * d->room_seen : 64;
    uint64_t *table = pllm_alloc_zero(room, sizeof *table);
    if (!table) return pllm_fail_nomem(err);
    for (size_t i = 0; i < d->room_seen; i++)
      if (d->seen[i]) table[place(table, room, d->seen[i])] = d->seen[i];
    pllm_free(d->seen);
    d->seen = table;
    d->room_seen = room;
  }
  at = place(d->seen, d->room_seen, key);
  *before = d->seen[at] == key;
  d->seen[at] = key;
  d->n_seen += !*before;
  return PLLM_OK;
}

/* Does this row begin a prompt? */
static PllmStatus next_prompt(PllmDistill *d, const int64_t *prompt_id, const char *text, size_t bytes, int *begins,
                              PllmError *err) {
  uint64_t key = 0;
  int before = 0;
  PllmStatus status;
  *begins = d->rows == 0;
  if (d->rows > 0 && d->with_ids != (prompt_id != NULL))
    return pllm_fail(err, PLLM_INVALID,
                     "prompt_id is %s on this row, but not on the rows before; it must be known for "
                     "all rows or for none",
                     prompt_id ? "given" : "NULL or absent");
  d->with_ids = prompt_id != NULL;
  if (!prompt_id && !d->options.text) return PLLM_OK; /* all rows are one prompt */
  if (prompt_id) {
    key = (uint64_t)*prompt_id;
  } else {
    key = PLLM_FNV_START;
    for (size_t i = 0; i < bytes; i++) key = (key ^ (unsigned char)text[i]) * PLLM_FNV_PRIME;
    key = pllm_hash_mix(key);
  }
  if (d->rows > 0 && key == d->prompt) return PLLM_OK;
  *begins = 1;
  status = remember(d, pllm_hash_mix(key) | (key == 0), &before, err);
  if (status != PLLM_OK) return status;
  if (before && prompt_id)
    return pllm_fail(err, PLLM_INVALID,
                     "prompt_id %lld comes back after other prompts; hand the rows of a prompt over "
                     "together: FROM (SELECT ... ORDER BY prompt_id)",
                     (long long)*prompt_id);
  if (before)
    return pllm_fail(err, PLLM_INVALID,
                     "the prompt \"%.*s%s\" comes back after other prompts; hand its rows over "
                     "together: FROM (SELECT ... ORDER BY prompt)",
                     (int)(bytes < 40 ? bytes : 40), text, bytes > 40 ? "..." : "");
  d->prompt = key;
  return PLLM_OK;
}

/* The first row fixes how many outputs there are. */
static PllmStatus check_outputs(PllmDistill *d, size_t outputs, PllmError *err) {
  if (d->rows == 0) {
    if (outputs > PLLM_MAX_MODELS)
      return pllm_fail(err, PLLM_INVALID, "%zu rewards; at most %d are possible", outputs, PLLM_MAX_MODELS);
    if (d->options.outputs && d->options.n_outputs != outputs)
      return pllm_fail(err, PLLM_INVALID, "%zu rewards, but option \"rewards\" has %zu", outputs,
                       d->options.n_outputs);
    d->outputs = outputs;
  }
  if (outputs != d->outputs)
    return pllm_fail(err, PLLM_INVALID, "%zu rewards, but %zu on the rows before", outputs, d->outputs);
  return PLLM_OK;
}

/* ---- rows ---- */

PllmStatus pllm_distill_features(PllmDistill *d, const int64_t *prompt_id, const double *features, size_t dim,
                                 int f32, const double *rewards, size_t outputs, const PllmRun *run, PllmError *err) {
  int begins;
  PllmStatus status = check_outputs(d, outputs, err);
  if (status != PLLM_OK) return status;
  if (d->rows == 0) {
    if (dim > PLLM_MAX_STUDENT)
      return pllm_fail(err, PLLM_INVALID, "%zu features; a student takes at most %d", dim, PLLM_MAX_STUDENT);
    if (d->options.features && d->options.n_features != dim)
      return pllm_fail(err, PLLM_INVALID, "%zu features, but option \"names\" has %zu", dim,
                       d->options.n_features);
    d->dim = dim;
  }
  if (dim != d->dim) return pllm_fail(err, PLLM_INVALID, "%zu features, but %zu on the rows before", dim, d->dim);
  if ((status = next_prompt(d, prompt_id, NULL, 0, &begins, err)) != PLLM_OK) return status;
  if (!d->ridge && (status = pllm_ridge_new(dim, outputs, &d->ridge, err)) != PLLM_OK) return status;
  if (begins) pllm_ridge_next_group(d->ridge);
  if ((status = pllm_ridge_add(d->ridge, features, rewards, run, err)) != PLLM_OK) return status;
  d->f32 |= f32;
  d->rows++;
  return PLLM_OK;
}

/* A row of the stream: its features in full. */
static PllmStatus stream_row(PllmDistill *d, int begins, const double *form, const PllmWord *words, size_t count,
                             const double *rewards, const PllmRun *run, PllmError *err) {
  if (begins) pllm_ridge_next_group(d->ridge);
  pllm_text_expand(&d->map, form, words, count, d->x);
  return pllm_ridge_add(d->ridge, d->x, rewards, run, err);
}

/* Too many rows to keep: on with normal equations. */
static PllmStatus start_stream(PllmDistill *d, const PllmRun *run, PllmError *err) {
  const PllmTextRows *r = &d->kept;
  size_t random = d->options.random < STREAM_RANDOM ? d->options.random : STREAM_RANDOM;
  size_t hashed = d->options.hashed < STREAM_HASHED ? d->options.hashed : STREAM_HASHED;
  PllmStatus status = pllm_text_map_init(&d->map, random, hashed, d->options.seed, err);
  if (status == PLLM_OK) status = pllm_ridge_new(pllm_text_map_dim(&d->map), d->outputs, &d->ridge, err);
  if (status != PLLM_OK) return status;
  d->x = pllm_alloc(pllm_text_map_dim(&d->map), sizeof *d->x);
  if (!d->x) return pllm_fail_nomem(err);
  for (size_t i = 0; i < r->n && status == PLLM_OK; i++)
    status = stream_row(d, i > 0 && r->group[i] != r->group[i - 1], r->form + i * PLLM_FORM_FEATURES,
                        r->words.words + r->first[i], r->first[i + 1] - r->first[i], r->y + i * d->outputs, run, err);
  pllm_text_rows_free(&d->kept);
  return status;
}

PllmStatus pllm_distill_text(PllmDistill *d, const int64_t *prompt_id, const char *prompt, size_t prompt_bytes,
                             const char *response, size_t bytes, const double *rewards, size_t outputs,
                             const PllmRun *run, PllmError *err) {
  int begins;
  PllmStatus status = check_outputs(d, outputs, err);
  if (status == PLLM_OK) status = next_prompt(d, prompt_id, prompt, prompt_bytes, &begins, err);
  if (status != PLLM_OK) return status;
  if (!d->ridge && d->kept.n == d->options.exact_rows && (status = start_stream(d, run, err)) != PLLM_OK)
    return status;
  if (d->ridge) {
    double form[PLLM_FORM_FEATURES];
    d->words.count = 0;
    status = pllm_form_features(prompt, prompt_bytes, response, bytes, form, err);
    if (status == PLLM_OK) status = pllm_text_words(response, bytes, &d->words, err);
    if (status == PLLM_OK) status = stream_row(d, begins, form, d->words.words, d->words.count, rewards, run, err);
  } else {
    status = pllm_text_rows_add(&d->kept, outputs, begins, prompt, prompt_bytes, response, bytes, rewards, err);
  }
  if (status == PLLM_OK) d->rows++;
  return status;
}

/* ---- the model ---- */

/* Features: scaled or not, as asked, or whichever predicts better. */
static PllmStatus fit_ridge(PllmDistill *d, const PllmRun *run, PllmRidgeFit **fit, PllmError *err) {
  PllmScaling scaling = d->options.text ? PLLM_SCALING_NONE : d->options.scaling;
  PllmRidgeFit *other = NULL;
  PllmStatus status = pllm_ridge_solve(d->ridge, scaling == PLLM_SCALING_COLUMNS, d->options.lambda, run, fit, err);
  if (status != PLLM_OK || scaling != PLLM_SCALING_AUTO) return status;
  status = pllm_ridge_solve(d->ridge, 1, d->options.lambda, run, &other, err);
  if (status == PLLM_OK && other->objective < (*fit)->objective) {
    PllmRidgeFit *swap = *fit;
    *fit = other;
    other = swap;
  }
  pllm_ridge_fit_free(other);
  if (status != PLLM_OK) {
    pllm_ridge_fit_free(*fit);
    *fit = NULL;
  }
  return status;
}

static PllmStatus fit_text(PllmDistill *d, const PllmRun *run, PllmRidgeFit **fit, PllmError *err) {
  PllmStatus status;
  if (d->ridge) return fit_ridge(d, run, fit, err);
  status = pllm_text_map_init(&d->map, d->options.random, d->options.hashed, d->options.seed, err);
  return status == PLLM_OK ? pllm_text_rows_solve(&d->kept, &d->map, d->options.lambda, run, fit, err) : status;
}

/* The options as they were resolved. */
static PllmStatus write_options(const PllmDistill *d, const PllmRidgeFit *fit, PllmModel *model, PllmError *err) {
  char text[256], lambda[32] = "null";
  if (d->options.lambda > 0) pllm_number_text(d->options.lambda, lambda);
  if (d->options.text)
    snprintf(text, sizeof text, "{\"lambda\":%s,\"random\":%zu,\"hashed\":%zu,\"exact_rows\":%zu,\"exact\":%s}",
             lambda, d->map.random, d->map.hashed, d->options.exact_rows, d->ridge ? "false" : "true");
  else
    snprintf(text, sizeof text, "{\"lambda\":%s,\"scale\":\"%s\"}", lambda, fit->columns ? "columns" : "none");
  return pllm_model_set_options(model, text, err);
}

static PllmStatus make_model(const PllmDistill *d, const PllmRidgeFit *fit, PllmModel **out, PllmError *err) {
  double *weights, *intercept, *about, *text;
  PllmModel *m;
  PllmStatus status =
      pllm_model_new(d->options.text ? PLLM_MODEL_TEXT_STUDENT : PLLM_MODEL_STUDENT, fit->dim, fit->outputs, &m, err);
  if (status != PLLM_OK) return status;
  m->seed = d->options.seed;
  m->flags = PLLM_MODEL_CONVERGED | PLLM_MODEL_OBJECTIVE | (d->f32 ? PLLM_MODEL_F32 : 0);
  m->rows = d->rows;
  m->rows_skipped = d->skipped;
  m->objective = fit->objective;
  m->iterations = (uint32_t)fit->visits;
  status = write_options(d, fit, m, err);
  if (status == PLLM_OK && d->options.outputs)
    status = pllm_model_set_outputs(m, (const char *const *)d->options.outputs, d->options.n_outputs, err);
  if (status == PLLM_OK && d->options.features)
    status = pllm_model_set_features(m, (const char *const *)d->options.features, d->options.n_features, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "weights", fit->outputs, fit->dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "intercept", 1, fit->outputs, &intercept, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "fit", fit->outputs, 4, &about, err);
  if (status == PLLM_OK && d->options.text) {
    status = pllm_model_add(m, "text", 1, 2, &text, err);
    if (status == PLLM_OK) {
      text[0] = (double)d->map.random;
      text[1] = (double)d->map.hashed;
    }
  }
  if (status == PLLM_OK) {
    memcpy(weights, fit->weights, fit->outputs * fit->dim * sizeof *weights);
    memcpy(intercept, fit->intercept, fit->outputs * sizeof *intercept);
    for (size_t o = 0; o < fit->outputs; o++) {
      double row[4] = {fit->lambda[o], fit->freedom[o], fit->r2[o], fit->cv[o]};
      memcpy(about + 4 * o, row, sizeof row);
    }
    status = pllm_model_check(m, err);
  }
  if (status != PLLM_OK) {
    pllm_model_free(m);
    m = NULL;
  }
  *out = m;
  return status;
}

PllmStatus pllm_distill_finish(PllmDistill *d, const PllmRun *run, PllmModel **model, PllmError *err) {
  PllmRidgeFit *fit = NULL;
  PllmStatus status = d->options.text ? fit_text(d, run, &fit, err) : fit_ridge(d, run, &fit, err);
  *model = NULL;
  if (status == PLLM_OK) status = make_model(d, fit, model, err);
  pllm_ridge_fit_free(fit);
  return status;
}
