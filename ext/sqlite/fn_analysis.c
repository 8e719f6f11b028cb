/*
** fn_analysis.c: the statistics of the paper's analyses, as aggregates.
**
**   fit_logistic(label, features [, options]) -> coefficients
**   wasserstein(position, p, q) -> REAL
**
**   SELECT user_id, fit_logistic(label, features) FROM liked GROUP BY user_id;
**   SELECT question_id, wasserstein(ordinal, people, population) FROM answers GROUP BY question_id;
**
** Logistic regression (analysis.h):
**   L1  label is 0 or 1; the result is a vector of f64, one coefficient for each feature, in order.
**   L2  Options:
**
** | option      | default      | meaning                                                                       |
** |-------------|--------------|-------------------------------------------------------------------------------|
** | standardize | true         | features become (x - mean) / sd first: their coefficients can be compared     |
** | intercept   | true         | fit a constant too, never penalised; it is in the report                      |
** | lambda      | 1            | penalty lambda/2 times the sum of the squared coefficients; 0, or 1e-9 to 1e9 |
** | separable   | error        | `null`: NULL where no maximum exists, for GROUP BY over many users            |
** | return      | coefficients | `report`: JSON text, see L4                                                   |
** | type, dim   |              | what feature BLOBs are                                                        |
**
**   L3  Rows with NULL as label or features are skipped; no rows give NULL.  Where a direction separates the labels
**       and nothing is penalised, or all labels are equal and an intercept is fitted, no coefficients are the best:
**       an error, or NULL.
**   L4  The report: coefficients and intercept; weights and offset (the same fit in the units of the features: label
**       1 is the likelier one where offset + persona_reward(weights, features) > 0); mean and sd of each feature;
**       rows, positives, iterations, log_likelihood, accuracy; dropped (features that the ones before them determine,
**       which get 0 when lambda is 0).
**   L5  Equal rows give equal bits in any order, on any machine.
**
** Wasserstein-1 distance between two distributions on a line:
**   W1  One row is a point with the masses p and q; each is scaled to sum 1.  A mass of NULL is none, as an outer
**       join of two distributions gives it; rows with NULL as position are skipped.
**   W2  NULL when p or q has no mass at all; negative or infinite numbers are errors.
**   W3  Exactly 0 for equal shares; equal rows give equal bits in any order.
**
** Cost: a step copies its row; the fit and the distance are computed once a group.
*/
#include "ext_int.h"

static void fail(sqlite3_context *context, const char *function, const PllmError *err) {
  pllm_ext_result_error(context, function, err);
}

/* ---- fit_logistic ---- */

/* One group; SQLite zeroes it.  Its contents are freed by xFinal. */
typedef struct Fit {
  int failed;
  PllmExtSame options_text;
  PllmLogisticOptions options;
  PllmExtVector vector; /* scratch */
  PllmFeedback *rows;   /* owned: labels are ratings of 0 and 1 */
} Fit;

static void fit_free(Fit *g) {
  pllm_ext_same_free(&g->options_text);
  pllm_ext_vector_free(&g->vector);
  pllm_feedback_free(g->rows);
  g->rows = NULL;
}

static PllmStatus fit_options(Fit *g, sqlite3_value *options, PllmError *err) {
  int first = !g->options_text.seen;
  PllmStatus status = pllm_ext_same(&g->options_text, options, 3, err);
  if (status != PLLM_OK || !first) return status;
  status = pllm_logistic_options(g->options_text.text, g->options_text.bytes, &g->options, err);
  if (status != PLLM_OK) return status;
  g->rows = pllm_feedback_new(PLLM_RATINGS);
  return g->rows ? PLLM_OK : pllm_fail_nomem(err);
}

static PllmStatus fit_add(Fit *g, sqlite3_value *label, sqlite3_value *features, PllmError *err) {
  int type = sqlite3_value_type(label);
  double y = sqlite3_value_double(label);
  PllmStatus status;
  if (type == SQLITE_NULL || sqlite3_value_type(features) == SQLITE_NULL) return PLLM_OK;
  if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || (y != 0 && y != 1)) {
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
      return pllm_fail(err, PLLM_INVALID, "argument 1 (label): %g; 0 or 1 is required", y);
    return pllm_fail(err, PLLM_INVALID, "argument 1 (label): %s; 0 or 1 is required", pllm_ext_type_name(label));
  }
  status = pllm_ext_vector_decode(features, (int)g->options.type, g->options.dim, &g->vector, err);
  if (status == PLLM_OK) status = pllm_feedback_add_rating(g->rows, g->vector.numbers, g->vector.dim, 0, y, 1, err);
  return status == PLLM_INVALID ? pllm_error_prefix(err, "argument 2 (features)") : status;
}

static void fit_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  Fit *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed) return;
  if (fit_options(g, argc > 2 ? argv[2] : NULL, &err) == PLLM_OK && fit_add(g, argv[0], argv[1], &err) == PLLM_OK)
    return;
  fit_free(g);
  g->failed = 1;
  fail(context, "fit_logistic", &err);
}

static void report_vector(sqlite3_str *out, const char *name, const double *x, size_t n) {
  char number[32];
  sqlite3_str_appendf(out, "\"%s\":[", name);
  for (size_t i = 0; i < n; i++) {
    pllm_number_text(x[i], number);
    sqlite3_str_appendf(out, "%s%s", i ? "," : "", number);
  }
  sqlite3_str_appendall(out, "],");
}

static void report_number(sqlite3_str *out, const char *name, double x, const char *end) {
  char number[32];
  pllm_number_text(x, number);
  sqlite3_str_appendf(out, "\"%s\":%s%s", name, number, end);
}

static void result_report(sqlite3_context *context, const PllmLogistic *fit, size_t dim) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  char *text;
  sqlite3_str_appendall(out, "{");
  report_vector(out, "coefficients", fit->coefficients, dim);
  report_number(out, "intercept", fit->intercept, ",");
  report_vector(out, "weights", fit->weights, dim);
  report_number(out, "offset", fit->offset, ",");
  report_vector(out, "mean", fit->mean, dim);
  report_vector(out, "sd", fit->sd, dim);
  sqlite3_str_appendf(out, "\"rows\":%lld,\"positives\":%lld,\"dropped\":%lld,\"iterations\":%d,",
                      (sqlite3_int64)fit->rows, (sqlite3_int64)fit->positives, (sqlite3_int64)fit->dropped,
                      fit->iterations);
  report_number(out, "log_likelihood", fit->log_likelihood, ",");
  report_number(out, "accuracy", fit->accuracy, "}");
  text = sqlite3_str_finish(out);
  if (text)
    sqlite3_result_text(context, text, -1, sqlite3_free);
  else
    sqlite3_result_error_nomem(context);
}

/* Numbers of features from which a fit may take so long that it listens to sqlite3_interrupt(). */
#define LONG_WORK 4096

static PllmStatus fit_run(PllmConn *conn, const Fit *g, PllmLogistic *fit, int *separated, PllmError *err) {
  PllmExtPoll poll;
  PllmStatus status;
  if (pllm_feedback_count(g->rows) * pllm_feedback_dim(g->rows) < LONG_WORK)
    return pllm_logistic_fit(&g->options, g->rows, fit, separated, NULL, err);
  status = pllm_ext_poll_open(conn, &poll, err);
  if (status != PLLM_OK) return status;
  status = pllm_logistic_fit(&g->options, g->rows, fit, separated, &poll.run, err);
  pllm_ext_poll_close(&poll);
  return status;
}

static PllmStatus separable(const PllmLogistic *fit, PllmError *err) {
  if (fit->positives == 0 || fit->positives == fit->rows)
    return pllm_fail(err, PLLM_INVALID,
                     "all %zu labels are %d, so that no intercept is the best one; give both labels, \"intercept\": "
                     "false, or \"separable\": \"null\" to get NULL",
                     fit->rows, fit->positives > 0);
  return pllm_fail(err, PLLM_INVALID,
                   "the features separate the rows with label 1 (%zu) from those with label 0 (%zu), so that ever larger "
                   "coefficients fit better; give a penalty such as \"lambda\": 1, or \"separable\": \"null\" to get "
                   "NULL",
                   fit->positives, fit->rows - fit->positives);
}

static void fit_final(sqlite3_context *context) {
  Fit *g = sqlite3_aggregate_context(context, 0);
  PllmLogistic fit = {0};
  PllmStatus status = PLLM_OK;
  PllmError err;
  double *memory = NULL;
  size_t dim;
  int separated = 0;
  if (!g || g->failed || !g->rows || pllm_feedback_count(g->rows) == 0) goto done;
  dim = pllm_feedback_dim(g->rows);
  memory = pllm_alloc(4 * dim, sizeof *memory);
  if (!memory) {
    status = pllm_fail_nomem(&err);
    goto done;
  }
  fit.coefficients = memory;
  fit.weights = fit.coefficients + dim;
  fit.mean = fit.weights + dim;
  fit.sd = fit.mean + dim;
  status = fit_run(sqlite3_user_data(context), g, &fit, &separated, &err);
  if (status != PLLM_OK) goto done;
  if (separated)
    status = g->options.separable_null ? PLLM_OK : separable(&fit, &err);
  else if (g->options.report)
    result_report(context, &fit, dim);
  else
    pllm_ext_result_vector(context, fit.coefficients, dim, PLLM_F64);
done:
  if (status != PLLM_OK) fail(context, "fit_logistic", &err);
  pllm_free(memory);
  if (g) fit_free(g);
}

/* ---- wasserstein ---- */

typedef struct Masses {
  int failed;
  PllmMassPoint *points; /* owned */
  size_t count, room;
} Masses;

/* A finite number; 0 for NULL. */
static PllmStatus read_number(sqlite3_value *value, int number, const char *name, int mass, double *out,
                              PllmError *err) {
  int type = sqlite3_value_type(value);
  if (type == SQLITE_NULL) {
    *out = 0;
    return PLLM_OK;
  }
  *out = sqlite3_value_double(value);
  if (type != SQLITE_INTEGER && type != SQLITE_FLOAT)
    return pllm_fail(err, PLLM_INVALID, "argument %d (%s): %s; a number is required", number, name,
                     pllm_ext_type_name(value));
  if (*out - *out != 0 || (mass && *out < 0))
    return pllm_fail(err, PLLM_INVALID, "argument %d (%s): %g; %s is required", number, name, *out,
                     mass ? "a finite number of at least 0, or NULL," : "a finite number");
  return PLLM_OK;
}

static PllmStatus masses_add(Masses *g, sqlite3_value **argv, PllmError *err) {
  PllmMassPoint point, *points;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return PLLM_OK;
  if (read_number(argv[0], 1, "position", 0, &point.position, err) != PLLM_OK ||
      read_number(argv[1], 2, "p", 1, &point.p, err) != PLLM_OK ||
      read_number(argv[2], 3, "q", 1, &point.q, err) != PLLM_OK)
    return err->status;
  points = pllm_grow(g->points, g->count, &g->room, 8, sizeof *points);
  if (!points) return pllm_fail_nomem(err);
  g->points = points;
  g->points[g->count++] = point;
  return PLLM_OK;
}

static void masses_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  Masses *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  (void)argc;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed || masses_add(g, argv, &err) == PLLM_OK) return;
  g->failed = 1;
  fail(context, "wasserstein", &err);
}

static void masses_final(sqlite3_context *context) {
  Masses *g = sqlite3_aggregate_context(context, 0);
  PllmError err;
  double distance = 0;
  int defined = 0;
  if (!g) return;
  if (!g->failed) {
    if (pllm_wasserstein(g->points, g->count, &defined, &distance, &err) != PLLM_OK)
      fail(context, "wasserstein", &err);
    else if (defined)
      sqlite3_result_double(context, distance);
  }
  pllm_free(g->points);
  g->points = NULL;
}

int pllm_ext_init_analysis(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "fit_logistic", .args = 2, .flags = PLLM_PURE, .step = fit_step, .final = fit_final},
      {.name = "fit_logistic", .args = 3, .flags = PLLM_PURE, .step = fit_step, .final = fit_final},
      {.name = "wasserstein", .args = 3, .flags = PLLM_PURE, .step = masses_step, .final = masses_final},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
