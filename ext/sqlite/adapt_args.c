/*
** adapt_args.c: the arguments and rows of adaptation, read alike for the aggregates and for persona_adapt.
*/
#include "adapt_args.h"

#include <string.h>

PllmStatus pllm_ext_trailing(int argc, sqlite3_value **argv, int first, PllmExtTrailing *trailing, PllmError *err) {
  memset(trailing, 0, sizeof *trailing);
  for (int i = first; i < argc; i++) {
    int type = sqlite3_value_type(argv[i]);
    sqlite3_value **slot = type == SQLITE_TEXT ? &trailing->options : &trailing->model;
    int *at = type == SQLITE_TEXT ? &trailing->options_at : &trailing->model_at;
    if (type == SQLITE_NULL) continue;
    if (type != SQLITE_TEXT && type != SQLITE_BLOB)
      return pllm_fail(err, PLLM_INVALID,
                       "argument %d: %s; options (JSON text), a model (a BLOB) or NULL is required", i + 1,
                       pllm_ext_type_name(argv[i]));
    if (*slot)
      return pllm_fail(err, PLLM_INVALID,
                       "arguments %d and %d are both %s; options are one JSON text, a model is one BLOB", *at, i + 1,
                       type == SQLITE_TEXT ? "text" : "BLOBs");
    *slot = argv[i];
    *at = i + 1;
  }
  return PLLM_OK;
}

/* ---- what every row of a group repeats ---- */

PllmStatus pllm_ext_model_repeats(const PllmExtModel *model, const PllmExtTrailing *trailing, PllmError *err) {
  if (!model && !trailing->model) return PLLM_OK;
  if (model && !trailing->model)
    return pllm_fail(err, PLLM_INVALID,
                     "the model is absent, but given on the rows before; it must be the same on every row of a group");
  if (model && pllm_ext_model_same(model, trailing->model)) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID,
                   "argument %d (model): %s on the rows before; it must be the same on every row of a group",
                   trailing->model_at, model ? "another BLOB than" : "a BLOB, but absent");
}

/* ---- rows ---- */

static const char *const columns[3][4] = {
    {"chosen", "rejected"},
    {"choice_set", "features", "feedback"},
    {"features", "rating"},
};

int pllm_ext_form_columns(PllmForm form) {
  return form == PLLM_CHOICES ? 3 : 2;
}

const char *pllm_ext_form_column(PllmForm form, int i) {
  return columns[form][i];
}

PllmStatus pllm_ext_rows_open(PllmConn *conn, PllmExtRows *rows, PllmForm form, const PllmExtTrailing *trailing,
                              PllmError *err) {
  sqlite3_value *options = trailing->options;
  PllmStatus status = PLLM_OK;
  const char *text = options ? (const char *)sqlite3_value_text(options) : NULL;
  rows->form = form;
  if (options && !text) return pllm_fail_nomem(err);
  if (trailing->model) {
    status = pllm_ext_model_open(conn, trailing->model, &rows->model, err);
    if (status == PLLM_OK && !pllm_adapt_starts_from(rows->model->model->kind))
      status = pllm_fail(err, PLLM_INVALID, "a model of kind %s; adaptation starts from models of learn_users",
                         pllm_model_kind_name(rows->model->model->kind));
    if (status != PLLM_OK) return pllm_error_prefix(err, "argument %d (model)", trailing->model_at);
  }
  status = pllm_adapt_options(form, text, options ? (size_t)sqlite3_value_bytes(options) : 0,
                              rows->model ? rows->model->model : NULL, &rows->options, err);
  rows->dim = rows->options.dim;
  rows->type = rows->options.type;
  return status;
}

void pllm_ext_rows_learn(PllmExtRows *rows, const PllmLearnOptions *options) {
  rows->form = options->form;
  rows->dim = options->dim;
  rows->type = options->type;
}

void pllm_ext_rows_close(PllmExtRows *rows) {
  pllm_ext_model_close(rows->model);
  rows->model = NULL;
  pllm_ext_vector_free(&rows->a);
  pllm_ext_vector_free(&rows->b);
}

int pllm_ext_rows_skips(PllmForm form, sqlite3_value **values) {
  int first = sqlite3_value_type(values[0]) == SQLITE_NULL, second = sqlite3_value_type(values[1]) == SQLITE_NULL;
  switch (form) {
  case PLLM_PAIRS: return first || second;
  case PLLM_RATINGS: return first;
  case PLLM_CHOICES: break;
  }
  return first && second && sqlite3_value_type(values[2]) == SQLITE_NULL;
}

/* Prefix the place of value i to a failure. */
static PllmStatus at_value(const PllmExtRows *rows, int i, PllmError *err) {
  const char *name = columns[rows->form][i];
  return rows->first ? pllm_error_prefix(err, "argument %d (%s)", rows->first + i, name)
                     : pllm_error_prefix(err, "column %s", name);
}

/* Decode values[i] into *vector by the options, prefixing its place to a failure. */
static PllmStatus read_vector(PllmExtRows *rows, sqlite3_value **values, int i, PllmExtVector *vector,
                              PllmError *err) {
  PllmStatus status;
  if (sqlite3_value_type(values[i]) == SQLITE_NULL)
    status = pllm_fail(err, PLLM_INVALID, "NULL; every response that was shown needs its features");
  else
    status = pllm_ext_vector_decode(values[i], (int)rows->type, rows->dim, vector, err);
  return status == PLLM_OK ? status : at_value(rows, i, err);
}

/* The embedding flag: did any of the vectors come as an f32 BLOB? */
static int came_as_f32(const PllmExtRows *rows, const PllmExtVector *vector) {
  return rows->type == PLLM_F32 || vector->type == PLLM_F32;
}

static PllmStatus add_pair(PllmExtRows *rows, sqlite3_value **values, PllmFeedback *feedback, PllmError *err) {
  int f32;
  PllmStatus status = read_vector(rows, values, 0, &rows->a, err);
  if (status != PLLM_OK) return status;
  status = read_vector(rows, values, 1, &rows->b, err);
  if (status != PLLM_OK) return status;
  if (rows->a.dim != rows->b.dim) {
    pllm_fail(err, PLLM_INVALID, "%zu numbers, but chosen has %zu", rows->b.dim, rows->a.dim);
    return at_value(rows, 1, err);
  }
  f32 = came_as_f32(rows, &rows->a) || came_as_f32(rows, &rows->b);
  if (rows->crowd)
    status = pllm_crowd_add_pair(rows->crowd, rows->user, rows->a.numbers, rows->b.numbers, rows->a.dim, f32, err);
  else
    status = pllm_feedback_add_pair(feedback, rows->a.numbers, rows->b.numbers, rows->a.dim, f32, err);
  return status == PLLM_INVALID ? at_value(rows, 0, err) : status;
}

/* 'best', 'worst' or NULL. */
static PllmStatus read_label(sqlite3_value *value, PllmLabel *label, PllmError *err) {
  const char *word;
  *label = PLLM_SHOWN;
  if (sqlite3_value_type(value) == SQLITE_NULL) return PLLM_OK;
  if (sqlite3_value_type(value) != SQLITE_TEXT)
    return pllm_fail(err, PLLM_INVALID, "%s; 'best', 'worst' or NULL is required", pllm_ext_type_name(value));
  word = (const char *)sqlite3_value_text(value);
  if (!word) return pllm_fail_nomem(err);
  if (strcmp(word, "best") == 0)
    *label = PLLM_BEST;
  else if (strcmp(word, "worst") == 0)
    *label = PLLM_WORST;
  else
    return pllm_fail(err, PLLM_INVALID, "'%.40s'; 'best', 'worst' or NULL is required", word);
  return PLLM_OK;
}

static PllmStatus add_choice(PllmExtRows *rows, sqlite3_value **values, PllmFeedback *feedback, PllmError *err) {
  sqlite3_int64 set = sqlite3_value_int64(values[0]);
  PllmLabel label;
  PllmStatus status;
  if (sqlite3_value_type(values[0]) != SQLITE_INTEGER) {
    pllm_fail(err, PLLM_INVALID, "%s; an integer that identifies one showing is required",
              pllm_ext_type_name(values[0]));
    return at_value(rows, 0, err);
  }
  status = read_vector(rows, values, 1, &rows->a, err);
  if (status == PLLM_OK) {
    status = read_label(values[2], &label, err);
    if (status == PLLM_INVALID) at_value(rows, 2, err);
  }
  if (status == PLLM_OK) {
    if (rows->crowd)
      status = pllm_crowd_add_choice(rows->crowd, rows->user, set, rows->a.numbers, rows->a.dim,
                                     came_as_f32(rows, &rows->a), label, err);
    else
      status = pllm_feedback_add_choice(feedback, set, rows->a.numbers, rows->a.dim, came_as_f32(rows, &rows->a),
                                        label, err);
    if (status == PLLM_INVALID) at_value(rows, 1, err);
  }
  return status == PLLM_INVALID ? pllm_error_prefix(err, "choice_set %lld", set) : status;
}

static PllmStatus add_rating(PllmExtRows *rows, sqlite3_value **values, PllmFeedback *feedback, PllmError *err) {
  int type = sqlite3_value_type(values[1]);
  double rating = sqlite3_value_double(values[1]);
  PllmStatus status = read_vector(rows, values, 0, &rows->a, err);
  if (status != PLLM_OK) return status;
  if (type == SQLITE_TEXT || type == SQLITE_BLOB || !(rating - rating == 0)) {
    pllm_fail(err, PLLM_INVALID, "%s; a finite number or NULL is required",
              type == SQLITE_FLOAT ? "infinite" : pllm_ext_type_name(values[1]));
    return at_value(rows, 1, err);
  }
  status = pllm_feedback_add_rating(feedback, rows->a.numbers, rows->a.dim, came_as_f32(rows, &rows->a), rating,
                                    type != SQLITE_NULL, err);
  return status == PLLM_INVALID ? at_value(rows, 0, err) : status;
}

PllmStatus pllm_ext_rows_add(PllmExtRows *rows, sqlite3_value **values, PllmFeedback *feedback, int *skipped,
                             PllmError *err) {
  *skipped = pllm_ext_rows_skips(rows->form, values);
  if (*skipped) return PLLM_OK;
  switch (rows->form) {
  case PLLM_PAIRS: return add_pair(rows, values, feedback, err);
  case PLLM_CHOICES: return add_choice(rows, values, feedback, err);
  case PLLM_RATINGS: break;
  }
  return add_rating(rows, values, feedback, err);
}
