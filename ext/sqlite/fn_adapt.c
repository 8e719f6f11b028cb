/*
** fn_adapt.c: learning one user's weights, as aggregate and window functions.
**
**   adapt_user(chosen, rejected [, options] [, model]) -> weights
**   adapt_user_choices(choice_set, features, feedback [, options] [, model]) -> weights
**   adapt_user_ratings(features, rating [, options] [, model]) -> weights
**
**   SELECT user_id, adapt_user_choices(choice_set, features, feedback) FROM history GROUP BY user_id;
**   SELECT user_id, choice_set, adapt_user_choices(choice_set, features, feedback)
**     OVER (PARTITION BY user_id ORDER BY choice_set GROUPS 4 PRECEDING) FROM history;   -- the last five turns
**
**   A1  The result is a vector of f64 in the space of the features; persona_reward(weights, features) ranks with it.
**   A2  Vectors are BLOBs of f64, or of f32 where options say "type":"f32" or "dim", or JSON text.  A BLOB that looks
**       like misread f32 is refused.  All rows of a group have one dimension.
**   A3  choice_set INTEGER identifies one showing; feedback is 'best', 'worst' or NULL; a NULL in features, an
**       unknown word and a second 'best' or 'worst' of a set are errors naming the set.  Rows of a set need not be
**       adjacent.
**   A4  Rows that say nothing at all are skipped, as aggregates do: a pair with a NULL side, a rating with NULL
**       features, a choice row with NULL in all three (a user without history in an outer join).  A choice without
**       feedback or a rating of NULL is a response that was shown but not labelled.
**   A5  No rows, or only skipped ones, give NULL.  Only unlabelled rows give what the method says without feedback.
**   A6  In the trailing arguments, in either order, TEXT is options, a BLOB is a model and NULL is absent.  They are
**       the same on every row of a group.  They are decoded once, and compared by length and bytes after that.
**   A7  Equal rows give equal bits in any order, except that half_life counts rows for pairs and ratings: their age
**       is the order in which SQLite hands them over, so use an ordered window (or, from SQLite 3.44, an ordered
**       aggregate); without one the order is SQLite's choice.  For choice sets the age is the order of their keys.
**   A8  As window functions, rows that leave the frame are really forgotten: every row's value is that of the
**       aggregate over its frame, to the bit.
**   A9  The first error ends the statement; memory is freed when SQLite finalises the group, also after a reset.
**
** Cost: a step copies its row, O(dim).  An estimate is made when SQLite asks for a value: once a group, and for
** windows once a row (ROWS) or peer group (RANGE, GROUPS), unless the frame has not changed since the last one.  A
** window that grows over n turns therefore makes n estimates of up to n turns; a frame of k turns bounds each by k.
*/
#include "adapt_args.h"

#include <string.h>

/* One group; SQLite zeroes it.  It is gone with the context, its contents are freed by xFinal. */
typedef struct Group {
  int opened;          /* a step has set up what follows */
  int failed;          /* an error was reported: no further work */
  int fresh;           /* weights hold the estimate of the present rows */
  sqlite3_int64 steps; /* rows handed over, for messages */
  PllmExtSame options;
  PllmExtRows rows;
  PllmFeedback *feedback; /* owned */
  double *weights;        /* owned */
  size_t room;            /* numbers in weights */
} Group;

static const char *const function_names[] = {"adapt_user", "adapt_user_choices", "adapt_user_ratings"};

static void group_free(Group *g) {
  pllm_ext_same_free(&g->options);
  pllm_free(g->weights);
  pllm_feedback_free(g->feedback);
  pllm_ext_rows_close(&g->rows);
  g->weights = NULL;
  g->feedback = NULL;
}

static void group_fail(sqlite3_context *context, Group *g, PllmForm form, const PllmError *err) {
  group_free(g);
  g->failed = 1;
  pllm_ext_result_error(context, function_names[form], err);
}

/* The first row fixes the trailing arguments, */
static PllmStatus group_open(PllmConn *conn, Group *g, PllmForm form, const PllmExtTrailing *trailing,
                             PllmError *err) {
  PllmStatus status;
  g->rows.first = 1;
  status = pllm_ext_rows_open(conn, &g->rows, form, trailing, err);
  if (status != PLLM_OK) return status;
  status = pllm_ext_same(&g->options, trailing->options, trailing->options_at, err);
  if (status != PLLM_OK) return status;
  g->feedback = pllm_feedback_new(form);
  if (!g->feedback) return pllm_fail_nomem(err);
  g->opened = 1;
  return PLLM_OK;
}

/* later rows repeat them. */
static PllmStatus group_same(Group *g, const PllmExtTrailing *trailing, PllmError *err) {
  PllmStatus status = pllm_ext_model_repeats(g->rows.model, trailing, err);
  return status == PLLM_OK ? pllm_ext_same(&g->options, trailing->options, trailing->options_at, err) : status;
}

static void step(sqlite3_context *context, PllmForm form, int argc, sqlite3_value **argv) {
  Group *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmExtTrailing trailing;
  PllmError err;
  PllmStatus status;
  int skipped = 0;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed) return;
  g->steps++;
  status = pllm_ext_trailing(argc, argv, pllm_ext_form_columns(form), &trailing, &err);
  if (status == PLLM_OK)
    status = g->opened ? group_same(g, &trailing, &err)
                       : group_open(sqlite3_user_data(context), g, form, &trailing, &err);
  if (status == PLLM_OK) {
    status = pllm_ext_rows_add(&g->rows, argv, g->feedback, &skipped, &err);
    if (status == PLLM_INVALID && form != PLLM_CHOICES) pllm_error_prefix(&err, "row %lld of its group", g->steps);
  }
  if (status != PLLM_OK)
    group_fail(context, g, form, &err);
  else if (!skipped)
    g->fresh = 0;
}

static void inverse(sqlite3_context *context, PllmForm form, int argc, sqlite3_value **argv) {
  Group *g = sqlite3_aggregate_context(context, 0);
  (void)argc;
  if (!g || !g->opened || g->failed || pllm_ext_rows_skips(form, argv)) return;
  pllm_feedback_remove_first(g->feedback);
  g->fresh = 0;
}

/* Numbers of features from which an estimate may take so long that it listens to sqlite3_interrupt(). */
#define LONG_WORK 4096

/* The weights into g->weights or, with model, the posterior into *model. */
static PllmStatus estimate(PllmConn *conn, Group *g, PllmModel **model, PllmError *err) {
  PllmAdapter *adapter = pllm_ext_adapter(conn, err);
  PllmExtPoll poll;
  const PllmRun *run = NULL;
  PllmStatus status;
  if (!adapter) return err->status;
  if (pllm_feedback_count(g->feedback) * pllm_feedback_dim(g->feedback) >= LONG_WORK) {
    status = pllm_ext_poll_open(conn, &poll, err);
    if (status != PLLM_OK) return status;
    run = &poll.run;
  }
  status = model ? pllm_adapt_model(adapter, &g->rows.options, g->feedback, run, model, err)
                 : pllm_adapt(adapter, &g->rows.options, g->feedback, g->weights, run, err);
  if (run) pllm_ext_poll_close(&poll);
  return status;
}

static void value(sqlite3_context *context, PllmForm form) {
  Group *g = sqlite3_aggregate_context(context, 0);
  PllmError err;
  size_t dim;
  if (!g || !g->opened || g->failed || pllm_feedback_count(g->feedback) == 0) return;
  dim = pllm_feedback_dim(g->feedback);
  if (g->rows.options.return_model) {
    PllmModel *model = NULL;
    if (estimate(sqlite3_user_data(context), g, &model, &err) == PLLM_OK)
      pllm_ext_result_model(context, function_names[form], model);
    else
      group_fail(context, g, form, &err);
    pllm_model_free(model);
    return;
  }
  if (!g->fresh) {
    if (g->room < dim) {
      double *weights = pllm_resize(g->weights, dim, sizeof *weights);
      if (!weights) {
        sqlite3_result_error_nomem(context);
        return;
      }
      g->weights = weights;
      g->room = dim;
    }
    if (estimate(sqlite3_user_data(context), g, NULL, &err) != PLLM_OK) {
      group_fail(context, g, form, &err);
      return;
    }
    g->fresh = 1;
  }
  pllm_ext_result_vector(context, g->weights, dim, PLLM_F64);
}

static void final(sqlite3_context *context, PllmForm form) {
  Group *g = sqlite3_aggregate_context(context, 0);
  value(context, form);
  if (g) group_free(g);
}

/* SQLite's callbacks carry the connection, so each form has its own four. */
#define CALLBACKS(name, form)                                                                                        \
  static void name##_step(sqlite3_context *context, int argc, sqlite3_value **argv) {                                \
    step(context, form, argc, argv);                                                                                 \
  }                                                                                                                  \
  static void name##_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {                             \
    inverse(context, form, argc, argv);                                                                              \
  }                                                                                                                  \
  static void name##_value(sqlite3_context *context) {                                                               \
    value(context, form);                                                                                            \
  }                                                                                                                  \
  static void name##_final(sqlite3_context *context) {                                                               \
    final(context, form);                                                                                            \
  }

CALLBACKS(pairs, PLLM_PAIRS)
CALLBACKS(choices, PLLM_CHOICES)
CALLBACKS(ratings, PLLM_RATINGS)

#define FUNCTION(sql_name, n, prefix)                                                                                \
  {                                                                                                                  \
    .name = sql_name, .args = n, .flags = PLLM_PURE, .step = prefix##_step, .final = prefix##_final,                 \
    .value = prefix##_value, .inverse = prefix##_inverse                                                             \
  }

int pllm_ext_init_adapt(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      FUNCTION("adapt_user", 2, pairs),           FUNCTION("adapt_user", 3, pairs),
      FUNCTION("adapt_user", 4, pairs),           FUNCTION("adapt_user_choices", 3, choices),
      FUNCTION("adapt_user_choices", 4, choices), FUNCTION("adapt_user_choices", 5, choices),
      FUNCTION("adapt_user_ratings", 2, ratings), FUNCTION("adapt_user_ratings", 3, ratings),
      FUNCTION("adapt_user_ratings", 4, ratings),
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
