/*
** vt_adapt.c: adapt to every user of a table at once.
**
**   persona_adapt(source [, model] [, options]) -> (user_id INTEGER, weights BLOB), hidden: source, model, options,
**   skipped
**
**   CREATE TABLE adapted AS SELECT * FROM persona_adapt('history');
**   SELECT * FROM persona_adapt('history', '{"method": "bradley_terry"}');
**
**   P1  source names a table or view.  Its column names say what it holds: (user_id, choice_set, features, feedback),
**       (user_id, chosen, rejected) or (user_id, features, rating); other columns are ignored.  A source
**       that has the columns of several forms is refused: a view can show those of one.
**   P2  weights are, to the bit, what adapt_user_choices, adapt_user or adapt_user_ratings gives over the user's
**       rows, NULL where that is NULL; for any number of threads.
**   P3  One row per user_id, in ascending order.  user_id is an integer on every row.  All users' features have one
**       dimension, so that the result is a population.
**   P4  Options are those of the aggregates, as the argument `options` or, when no model is needed, as the second
**       argument.
**   P5  "half_life" for pairs and ratings needs an order of rows: the source then has a column `turn`, ascending in
**       time.  Everything else is independent of the order of rows.
**   P6  `skipped` counts the rows skipped (rule A4 of fn_adapt.c) of this and all earlier users; its maximum is the
**       total.
**
** How it works: the source is read once, sorted by user_id by SQLite, in chunks of at most CHUNK_USERS users or
** CHUNK_NUMBERS feature numbers (one user's rows are always together), each chunk is adapted on all threads.  Memory
** is bounded by a chunk, or by the largest user.  sqlite3_interrupt() is noticed between rows and within a chunk.
*/
#include "adapt_args.h"

#include <string.h>

enum { ARG_SOURCE, ARG_MODEL, ARG_OPTIONS };
enum { COL_USER_ID, COL_WEIGHTS };

#define CHUNK_USERS 1024
#define CHUNK_NUMBERS ((size_t)1 << 20)

typedef struct AdaptScan {
  PllmExtTable source;
  PllmExtRows rows;
  PllmExtPoll poll;
  sqlite3_stmt *read;     /* user_id and the form's columns, ordered by user_id; owned */
  int has_row;            /* read stands on a row not yet taken */
  int n_values;           /* the form's columns */
  size_t dim;             /* of all features; 0 until known */
  sqlite3_int64 dim_user; /* who had it first */
  size_t users, at;       /* users in the chunk, the one shown */
  sqlite3_int64 user_id[CHUNK_USERS];
  sqlite3_int64 skipped[CHUNK_USERS];  /* rows skipped up to and including this user */
  PllmFeedback *feedback[CHUNK_USERS]; /* owned, made when first used, reused by later chunks */
  double *weights;                     /* [users][dim], owned */
  size_t room;                         /* numbers in weights */
  sqlite3_int64 total_skipped;
} AdaptScan;

/* ---- which form the source has ---- */

/* Does the statement have a column of this name? */
static int has_column(sqlite3_stmt *stmt, const char *name) {
  for (int i = 0; i < sqlite3_column_count(stmt); i++)
    if (sqlite3_stricmp(sqlite3_column_name(stmt, i), name) == 0) return 1;
  return 0;
}

static int has_form(sqlite3_stmt *stmt, PllmForm form) {
  int all = has_column(stmt, "user_id");
  for (int i = 0; i < pllm_ext_form_columns(form); i++) all = all && has_column(stmt, pllm_ext_form_column(form, i));
  return all;
}

/* The form by the columns of the source. */
static PllmStatus find_form(sqlite3 *db, const PllmExtTable *source, PllmForm *form, int *has_turn, PllmError *err) {
  char *sql = sqlite3_mprintf("SELECT * FROM %s", source->quoted);
  sqlite3_stmt *stmt = NULL;
  PllmStatus status = PLLM_OK;
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM, fits = 0, history;
  sqlite3_free(sql);
  if (rc != SQLITE_OK) return rc == SQLITE_NOMEM ? pllm_fail_nomem(err) : pllm_ext_sqlite_fail(err, db, rc);
  for (int f = PLLM_PAIRS; f <= PLLM_RATINGS; f++) {
    if (!has_form(stmt, (PllmForm)f)) continue;
    *form = (PllmForm)f;
    fits++;
  }
  *has_turn = has_column(stmt, "turn");
  history = has_column(stmt, "chosen_id");
  if (fits != 1)
    status = pllm_fail(err, PLLM_INVALID,
                       "%s has %s (user_id, choice_set, features, feedback), (user_id, chosen, rejected) %s "
                       "(user_id, features, rating)%s",
                       source->quoted, fits ? "the columns of several of" : "no columns", fits ? "and" : "or",
                       fits      ? "; a view with the columns of one of them is required"
                       : history ? "; persona_choices() makes them from a history"
                                 : "");
  sqlite3_finalize(stmt);
  return status;
}

/* ---- reading chunks ---- */

static PllmStatus open_read(sqlite3 *db, AdaptScan *scan, int by_turn, PllmError *err) {
  sqlite3_str *sql = sqlite3_str_new(db);
  char *text;
  int rc;
  sqlite3_str_appendall(sql, "SELECT user_id");
  for (int i = 0; i < scan->n_values; i++) sqlite3_str_appendf(sql, ", %s", pllm_ext_form_column(scan->rows.form, i));
  sqlite3_str_appendf(sql, " FROM %s ORDER BY user_id%s", scan->source.quoted, by_turn ? ", turn" : "");
  text = sqlite3_str_finish(sql);
  rc = text ? sqlite3_prepare_v2(db, text, -1, &scan->read, NULL) : SQLITE_NOMEM;
  sqlite3_free(text);
  return rc == SQLITE_OK ? PLLM_OK : rc == SQLITE_NOMEM ? pllm_fail_nomem(err) : pllm_ext_sqlite_fail(err, db, rc);
}

static PllmStatus next_row(sqlite3 *db, AdaptScan *scan, PllmError *err) {
  int rc = sqlite3_step(scan->read);
  scan->has_row = rc == SQLITE_ROW;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return pllm_ext_sqlite_fail(err, db, rc);
  if (scan->has_row && sqlite3_column_type(scan->read, 0) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "%s has %s as user_id; an integer is required", scan->source.quoted,
                     pllm_ext_type_name(sqlite3_column_value(scan->read, 0)));
  return PLLM_OK;
}

/* Take all rows of the user that the statement stands on as user `slot` of the chunk. */
static PllmStatus read_user(sqlite3 *db, AdaptScan *scan, size_t slot, PllmError *err) {
  sqlite3_int64 user = sqlite3_column_int64(scan->read, 0), row = 0;
  PllmFeedback *feedback = scan->feedback[slot];
  PllmStatus status = PLLM_OK;
  size_t dim;
  scan->user_id[slot] = user;
  while (status == PLLM_OK && scan->has_row && sqlite3_column_int64(scan->read, 0) == user) {
    sqlite3_value *values[3];
    int skipped;
    row++;
    for (int i = 0; i < scan->n_values; i++) values[i] = sqlite3_column_value(scan->read, i + 1);
    status = pllm_ext_rows_add(&scan->rows, values, feedback, &skipped, err);
    if (status == PLLM_INVALID && scan->rows.form != PLLM_CHOICES) pllm_error_prefix(err, "row %lld", row);
    if (status == PLLM_INVALID) pllm_error_prefix(err, "user %lld", user);
    scan->total_skipped += status == PLLM_OK && skipped;
    if (status == PLLM_OK) status = next_row(db, scan, err);
  }
  scan->skipped[slot] = scan->total_skipped;
  dim = pllm_feedback_dim(feedback);
  if (status != PLLM_OK || dim == 0) return status;
  if (scan->dim == 0) {
    scan->dim = dim;
    scan->dim_user = user;
  }
  if (dim != scan->dim)
    return pllm_fail(err, PLLM_INVALID, "user %lld: features of %zu numbers, but those of user %lld have %zu", user,
                     dim, scan->dim_user, scan->dim);
  return PLLM_OK;
}

/* Read and adapt the next chunk; leaves users = 0 at the end. */
static PllmStatus read_chunk(PllmConn *conn, AdaptScan *scan, PllmError *err) {
  sqlite3 *db = conn->db;
  PllmAdapter *adapter;
  size_t numbers = 0, failed = 0;
  PllmStatus status = PLLM_OK;
  scan->users = scan->at = 0;
  while (scan->has_row && scan->users < CHUNK_USERS && numbers < CHUNK_NUMBERS) {
    PllmFeedback **feedback = &scan->feedback[scan->users];
    if (*feedback)
      pllm_feedback_clear(*feedback);
    else
      *feedback = pllm_feedback_new(scan->rows.form);
    if (!*feedback) return pllm_fail_nomem(err);
    status = read_user(db, scan, scan->users, err);
    if (status != PLLM_OK) return status;
    numbers +=
        pllm_feedback_count(*feedback) * pllm_feedback_dim(*feedback) * (scan->rows.form == PLLM_PAIRS ? 2 : 1);
    scan->users++;
  }
  if (scan->users == 0 || scan->dim == 0) return PLLM_OK;
  if (scan->room / scan->dim < scan->users) {
    double *weights = pllm_resize(scan->weights, CHUNK_USERS * scan->dim, sizeof *weights);
    if (!weights) return pllm_fail_nomem(err);
    scan->weights = weights;
    scan->room = CHUNK_USERS * scan->dim;
  }
  adapter = pllm_ext_adapter(conn, err);
  if (!adapter) return err->status;
  status = pllm_adapt_batch(adapter, &scan->rows.options, scan->feedback, scan->users, scan->dim, scan->weights,
                            &failed, &scan->poll.run, err);
  return status == PLLM_INVALID ? pllm_error_prefix(err, "user %lld", scan->user_id[failed]) : status;
}

/* ---- the table ---- */

static void adaptEnd(PllmTvfCursor *cursor) {
  AdaptScan *scan = cursor->state;
  if (!scan) return;
  sqlite3_finalize(scan->read);
  pllm_ext_poll_close(&scan->poll);
  for (size_t i = 0; i < CHUNK_USERS; i++) pllm_feedback_free(scan->feedback[i]);
  pllm_free(scan->weights);
  pllm_ext_rows_close(&scan->rows);
  pllm_ext_table_free(&scan->source);
  pllm_free(scan);
}

/* The options and model among the arguments: TEXT as the second argument is options too. */
static PllmStatus read_arguments(PllmTvfCursor *cursor, PllmExtTrailing *trailing, PllmError *err) {
  static const char *const need = "options (JSON text), a model (a BLOB) or NULL is required";
  sqlite3_value *second = cursor->args[ARG_MODEL], *third = cursor->args[ARG_OPTIONS];
  int t2 = second ? sqlite3_value_type(second) : SQLITE_NULL, t3 = third ? sqlite3_value_type(third) : SQLITE_NULL;
  memset(trailing, 0, sizeof *trailing);
  if (t2 != SQLITE_NULL && t2 != SQLITE_TEXT && t2 != SQLITE_BLOB)
    return pllm_fail(err, PLLM_INVALID, "argument 2 (model): %s; %s", pllm_ext_type_name(second), need);
  if (t3 != SQLITE_NULL && t3 != SQLITE_TEXT)
    return pllm_fail(err, PLLM_INVALID, "argument 3 (options): %s; JSON text or NULL is required",
                     pllm_ext_type_name(third));
  if (t2 == SQLITE_TEXT && t3 == SQLITE_TEXT)
    return pllm_fail(err, PLLM_INVALID,
                     "arguments 2 and 3 are both text; options are one JSON text, a model is one BLOB");
  trailing->model = t2 == SQLITE_BLOB ? second : NULL;
  trailing->model_at = 2;
  trailing->options = t3 == SQLITE_TEXT ? third : t2 == SQLITE_TEXT ? second : NULL;
  return PLLM_OK;
}

static PllmStatus show(PllmTvfCursor *cursor, PllmError *err) {
  AdaptScan *scan = cursor->state;
  if (scan->at == scan->users) {
    PllmStatus status = read_chunk(cursor->conn, scan, err);
    if (status != PLLM_OK) return status;
  }
  if (scan->users == 0)
    cursor->done = 1;
  else
    cursor->skipped = scan->skipped[scan->at];
  return PLLM_OK;
}

static PllmStatus adaptBegin(PllmTvfCursor *cursor, PllmError *err) {
  sqlite3 *db = cursor->conn->db;
  const char *name = pllm_ext_tvf_text(cursor, ARG_SOURCE);
  AdaptScan *scan;
  PllmExtTrailing trailing;
  PllmForm form = PLLM_PAIRS;
  PllmStatus status;
  int has_turn = 0, by_turn;
  if (!name || sqlite3_value_type(cursor->args[ARG_SOURCE]) != SQLITE_TEXT)
    return pllm_fail(err, PLLM_INVALID, "argument 1 (source): %s; the name of a table or view is required",
                     cursor->args[ARG_SOURCE] ? pllm_ext_type_name(cursor->args[ARG_SOURCE]) : "NULL");
  cursor->state = scan = pllm_alloc_zero(1, sizeof *scan);
  if (!scan) return pllm_fail_nomem(err);
  status = read_arguments(cursor, &trailing, err);
  if (status != PLLM_OK) return status;
  status = pllm_ext_table_find(db, name, NULL, &scan->source, err);
  if (status == PLLM_OK) status = find_form(db, &scan->source, &form, &has_turn, err);
  if (status == PLLM_INVALID) return pllm_error_prefix(err, "argument 1 (source)");
  if (status != PLLM_OK) return status;
  status = pllm_ext_rows_open(cursor->conn, &scan->rows, form, &trailing, err);
  if (status != PLLM_OK) return status;
  if (scan->rows.options.return_model)
    return pllm_fail(err, PLLM_INVALID, "option \"return\" is for the aggregates; persona_adapt gives weights");
  scan->n_values = pllm_ext_form_columns(form);
  by_turn = form != PLLM_CHOICES && scan->rows.options.half_life > 0;
  if (by_turn && !has_turn)
    return pllm_fail(err, PLLM_INVALID, "argument 1 (source): %s has no column turn, by which \"half_life\" counts",
                     scan->source.quoted);
  status = pllm_ext_poll_open(cursor->conn, &scan->poll, err);
  if (status == PLLM_OK) status = open_read(db, scan, by_turn, err);
  if (status == PLLM_OK) status = next_row(db, scan, err);
  if (status == PLLM_OK) status = show(cursor, err);
  return status;
}

static PllmStatus adaptNext(PllmTvfCursor *cursor, PllmError *err) {
  ((AdaptScan *)cursor->state)->at++;
  return show(cursor, err);
}

static void adaptColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  AdaptScan *scan = cursor->state;
  if (column == COL_USER_ID)
    sqlite3_result_int64(context, scan->user_id[scan->at]);
  else if (pllm_feedback_count(scan->feedback[scan->at]) > 0)
    pllm_ext_result_vector(context, scan->weights + scan->at * scan->dim, scan->dim, PLLM_F64);
}

int pllm_ext_init_adapt_table(PllmConn *conn, char **error) {
  static const char *const args[] = {"source", "model", "options"};
  static const PllmTvf tvf = {
      .name = "persona_adapt",
      .columns = "user_id INTEGER, weights BLOB",
      .n_columns = 2,
      .args = args,
      .n_args = 3,
      .n_required = 1,
      .rows = 1000,
      .begin = adaptBegin,
      .next = adaptNext,
      .column = adaptColumn,
      .end = adaptEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
