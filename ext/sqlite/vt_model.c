/*
** vt_model.c: what is inside a model, as rows.
**
**   model_history(model) -> (iteration INTEGER, objective REAL, criterion REAL)
**     T1  The iterations of its fit, from 1; none where the kind is not fitted in iterations.  criterion is what
**         convergence is judged by (docs: each method says which).
**   model_weights(model) -> (position INTEGER, name TEXT, weight REAL, output TEXT)
**     T2  The weights by which it ranks without any feedback, in the order of features, position from 1; name is
**         NULL where the features have no names.  For students one such list for each reward model, named by
**         `output`.  A kind that has no such weights is an error.
**   T3  A NULL model gives no rows.
**
**   SELECT name, weight FROM model_weights((SELECT model FROM models)) ORDER BY weight DESC;
*/
#include "ext_int.h"

typedef struct ModelScan {
  PllmExtModel *opened; /* owned */
  const PllmSection *section;
  size_t at, count;
} ModelScan;

static PllmStatus modelBegin(PllmTvfCursor *cursor, const char *section, PllmError *err) {
  ModelScan *scan;
  PllmStatus status;
  cursor->done = 1;
  if (!cursor->args[0] || sqlite3_value_type(cursor->args[0]) == SQLITE_NULL) return PLLM_OK;
  cursor->state = scan = pllm_alloc_zero(1, sizeof *scan);
  if (!scan) return pllm_fail_nomem(err);
  status = pllm_ext_model_open(cursor->conn, cursor->args[0], &scan->opened, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "argument 1 (model)");
  scan->section = pllm_model_section(scan->opened->model, section);
  return PLLM_OK;
}

static PllmStatus historyBegin(PllmTvfCursor *cursor, PllmError *err) {
  PllmStatus status = modelBegin(cursor, "history", err);
  ModelScan *scan = cursor->state;
  if (status != PLLM_OK || !scan || !scan->section) return status;
  scan->count = scan->section->rows;
  cursor->done = scan->count == 0;
  return PLLM_OK;
}

static PllmStatus weightsBegin(PllmTvfCursor *cursor, PllmError *err) {
  PllmStatus status = modelBegin(cursor, "weights", err);
  ModelScan *scan = cursor->state;
  if (status != PLLM_OK || !scan) return status;
  if (!scan->section)
    return pllm_fail(err, PLLM_INVALID, "argument 1 (model): a model of kind %s has no weights",
                     pllm_model_kind_name(scan->opened->model->kind));
  scan->count = scan->section->rows * scan->section->columns;
  cursor->done = scan->count == 0;
  return PLLM_OK;
}

static PllmStatus modelNext(PllmTvfCursor *cursor, PllmError *err) {
  ModelScan *scan = cursor->state;
  (void)err;
  cursor->done = ++scan->at == scan->count;
  return PLLM_OK;
}

static void historyColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const ModelScan *scan = cursor->state;
  if (column == 0)
    sqlite3_result_int64(context, (sqlite3_int64)scan->at + 1);
  else
    sqlite3_result_double(context, scan->section->numbers[2 * scan->at + (size_t)column - 1]);
}

enum { COL_POSITION, COL_NAME, COL_WEIGHT, COL_OUTPUT };

static void weightsColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const ModelScan *scan = cursor->state;
  const PllmModel *m = scan->opened->model;
  size_t position = scan->at % scan->section->columns, row = scan->at / scan->section->columns;
  switch (column) {
  case COL_POSITION: sqlite3_result_int64(context, (sqlite3_int64)position + 1); break;
  case COL_NAME:
    if (m->features && position < m->dim) sqlite3_result_text(context, m->features[position], -1, SQLITE_TRANSIENT);
    break;
  case COL_WEIGHT: sqlite3_result_double(context, scan->section->numbers[scan->at]); break;
  default:
    if (m->outputs && row < m->rank) sqlite3_result_text(context, m->outputs[row], -1, SQLITE_TRANSIENT);
    break;
  }
}

static void modelEnd(PllmTvfCursor *cursor) {
  ModelScan *scan = cursor->state;
  if (scan) pllm_ext_model_close(scan->opened);
  pllm_free(scan);
}

int pllm_ext_init_model_tables(PllmConn *conn, char **error) {
  static const char *const args[] = {"model"};
  static const PllmTvf history = {
      .name = "model_history",
      .columns = "iteration INTEGER, objective REAL, criterion REAL",
      .n_columns = 3,
      .args = args,
      .n_args = 1,
      .n_required = 1,
      .rows = 100,
      .begin = historyBegin,
      .next = modelNext,
      .column = historyColumn,
      .end = modelEnd,
  };
  static const PllmTvf weights = {
      .name = "model_weights",
      .columns = "position INTEGER, name TEXT, weight REAL, output TEXT",
      .n_columns = 4,
      .args = args,
      .n_args = 1,
      .n_required = 1,
      .rows = 100,
      .begin = weightsBegin,
      .next = modelNext,
      .column = weightsColumn,
      .end = modelEnd,
  };
  int rc = pllm_ext_tvf(conn, &history, error);
  return rc == SQLITE_OK ? pllm_ext_tvf(conn, &weights, error) : rc;
}
