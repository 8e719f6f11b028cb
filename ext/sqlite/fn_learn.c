/*
** fn_learn.c: learning from the feedback of many users, as aggregate functions.
**
**   learn_users(user_id, chosen, rejected [, options]) -> model
**   learn_users_choices(user_id, choice_set, features, feedback [, options]) -> model
**
**   CREATE TABLE models AS SELECT learn_users_choices(user_id, choice_set, features, feedback, '{"method":"pooled"}')
**     AS model FROM history;
**   SELECT user_id, adapt_user(chosen, rejected, (SELECT model FROM models)) FROM new_users GROUP BY user_id;
**
**   L1  The result is a model (model_info says what it is), from which the adapt_user functions and persona_adapt
**       start.
**       Only feedback is seen, never anybody's weights.
**   L2  Values are read as adapt_user and adapt_user_choices read them (rules A2, A3 of fn_adapt.c); choice_set
**       identifies a showing to its user.  user_id is an integer.  Equal vectors are stored once.
**   L3  Rows that say nothing are skipped and counted (A4).  No rows, or only skipped ones, give NULL.  A user whose
**       feedback says nothing is skipped and counted; where all are, it is an error.
**   L4  options is JSON text or NULL, the same on every row: method and what goes with it (persona_methods() lists
**       all).
**       Without a method it is `prior` for reward features, `pooled` for embeddings.
**   L5  Equal rows give equal bytes of model, in any order and for any number of threads.
**   L6  The first error ends the statement.  sqlite3_interrupt() is noticed while the model is fitted.
**
** Memory: 40 bytes a row and the distinct vectors.  Time: a hash look-up a row, then the method's (its core file
** says).
*/
#include "adapt_args.h"

/* SQLite zeroes it; final frees what it owns. */
typedef struct Learning {
  int opened, failed;
  sqlite3_int64 steps;
  PllmExtSame same;         /* owned: the options as text */
  PllmLearnOptions options; /* owned */
  PllmExtRows rows;         /* owned */
  PllmCrowd *crowd;         /* owned */
} Learning;

static const char *name_of(PllmForm form) {
  return form == PLLM_PAIRS ? "learn_users" : "learn_users_choices";
}

static void learning_free(Learning *g) {
  pllm_ext_same_free(&g->same);
  pllm_learn_options_free(&g->options);
  pllm_ext_rows_close(&g->rows);
  pllm_crowd_free(g->crowd);
  g->crowd = NULL;
}

static void learning_fail(sqlite3_context *context, Learning *g, PllmForm form, const PllmError *err) {
  learning_free(g);
  g->failed = 1;
  pllm_ext_result_error(context, name_of(form), err);
}

static PllmStatus learning_open(Learning *g, PllmForm form, const PllmExtTrailing *trailing, PllmError *err) {
  sqlite3_value *options = trailing->options;
  const char *text = options ? (const char *)sqlite3_value_text(options) : NULL;
  PllmStatus status;
  if (options && !text) return pllm_fail_nomem(err);
  status = pllm_learn_options(form, text, options ? (size_t)sqlite3_value_bytes(options) : 0, &g->options, err);
  if (status == PLLM_OK) status = pllm_ext_same(&g->same, options, trailing->options_at, err);
  if (status != PLLM_OK) return status;
  pllm_ext_rows_learn(&g->rows, &g->options);
  g->rows.first = 2;
  g->crowd = g->rows.crowd = pllm_crowd_new(form);
  if (!g->crowd) return pllm_fail_nomem(err);
  g->opened = 1;
  return PLLM_OK;
}

static PllmStatus add_row(Learning *g, PllmForm form, sqlite3_value **argv, PllmError *err) {
  int skipped = pllm_ext_rows_skips(form, argv + 1), type = sqlite3_value_type(argv[0]);
  PllmStatus status;
  if (skipped) {
    pllm_crowd_skip(g->crowd);
    return PLLM_OK;
  }
  if (type != SQLITE_INTEGER) {
    status =
        pllm_fail(err, PLLM_INVALID, "argument 1 (user_id): %s; an integer is required", pllm_ext_type_name(argv[0]));
  } else {
    g->rows.user = sqlite3_value_int64(argv[0]);
    status = pllm_ext_rows_add(&g->rows, argv + 1, NULL, &skipped, err);
    if (status == PLLM_INVALID) pllm_error_prefix(err, "user %lld", g->rows.user);
  }
  return status == PLLM_INVALID && form == PLLM_PAIRS ? pllm_error_prefix(err, "row %lld", g->steps) : status;
}

static void step(sqlite3_context *context, PllmForm form, int argc, sqlite3_value **argv) {
  Learning *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmExtTrailing trailing;
  PllmError err;
  PllmStatus status;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed) return;
  g->steps++;
  status = pllm_ext_trailing(argc, argv, 1 + pllm_ext_form_columns(form), &trailing, &err);
  if (status == PLLM_OK && trailing.model)
    status = pllm_fail(&err, PLLM_INVALID, "argument %d: a BLOB; options (JSON text) or NULL is required",
                       trailing.model_at);
  if (status == PLLM_OK)
    status = g->opened ? pllm_ext_same(&g->same, trailing.options, trailing.options_at, &err)
                       : learning_open(g, form, &trailing, &err);
  if (status == PLLM_OK) status = add_row(g, form, argv, &err);
  if (status != PLLM_OK) learning_fail(context, g, form, &err);
}

static void final(sqlite3_context *context, PllmForm form) {
  Learning *g = sqlite3_aggregate_context(context, 0);
  PllmConn *conn = sqlite3_user_data(context);
  PllmModel *model = NULL;
  PllmExtPoll poll;
  PllmError err;
  PllmStatus status;
  if (!g) return;
  if (g->opened && !g->failed && pllm_crowd_count(g->crowd) > 0) {
    status = pllm_ext_poll_open(conn, &poll, &err);
    if (status == PLLM_OK) status = pllm_learn(g->crowd, &g->options, &poll.run, &model, &err);
    pllm_ext_poll_close(&poll);
    if (status == PLLM_OK)
      pllm_ext_result_model(context, name_of(form), model);
    else
      pllm_ext_result_error(context, name_of(form), &err);
    pllm_model_free(model);
  }
  learning_free(g);
}

static void pairs_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  step(context, PLLM_PAIRS, argc, argv);
}
static void pairs_final(sqlite3_context *context) {
  final(context, PLLM_PAIRS);
}
static void choices_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  step(context, PLLM_CHOICES, argc, argv);
}
static void choices_final(sqlite3_context *context) {
  final(context, PLLM_CHOICES);
}

int pllm_ext_init_learn(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "learn_users", .args = 3, .flags = PLLM_PURE, .step = pairs_step, .final = pairs_final},
      {.name = "learn_users", .args = 4, .flags = PLLM_PURE, .step = pairs_step, .final = pairs_final},
      {.name = "learn_users_choices", .args = 4, .flags = PLLM_PURE, .step = choices_step, .final = choices_final},
      {.name = "learn_users_choices", .args = 5, .flags = PLLM_PURE, .step = choices_step, .final = choices_final},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
