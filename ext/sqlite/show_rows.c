/*
** show_rows.c: the rows of a statement, held in memory.
*/
#include "show.h"

#include <string.h>

static void free_cells(PllmShowCell *cells, size_t n) {
  for (size_t i = 0; i < n; i++) sqlite3_free(cells[i].text);
}

void pllm_ext_rows_free(PllmShowRows *rows) {
  for (size_t c = 0; rows->columns && c < rows->n_columns; c++) sqlite3_free(rows->columns[c]);
  free_cells(rows->cells, rows->n_rows * rows->n_columns);
  pllm_free(rows->columns);
  pllm_free(rows->cells);
  memset(rows, 0, sizeof *rows);
}

int pllm_ext_rows_column(const PllmShowRows *rows, const char *name) {
  for (size_t c = 0; c < rows->n_columns; c++)
    if (sqlite3_stricmp(rows->columns[c], name) == 0) return (int)c;
  return -1;
}

/* A copy that is valid UTF-8: what comes from a database may be anything. */
static char *copy_text(const char *text) {
  char *copy = sqlite3_mprintf("%s", text);
  if (copy) pllm_text_repair(copy);
  return copy;
}

static PllmStatus take_columns(sqlite3_stmt *stmt, const int *take, size_t n, PllmShowRows *rows, PllmError *err) {
  rows->columns = pllm_alloc_zero(n, sizeof *rows->columns);
  if (!rows->columns) return pllm_fail_nomem(err);
  rows->n_columns = n;
  for (size_t c = 0; c < n; c++) {
    const char *name = take[c] < 0 ? "" : sqlite3_column_name(stmt, take[c]);
    rows->columns[c] = name ? copy_text(name) : NULL;
    if (!rows->columns[c]) return pllm_fail_nomem(err);
  }
  return PLLM_OK;
}

/* Room for one more row, its cells NULL. */
static PllmStatus add_row(PllmShowRows *rows, PllmError *err) {
  PllmShowCell *cells = pllm_grow(rows->cells, rows->n_rows, &rows->room, 16, rows->n_columns * sizeof *cells);
  if (!cells) return pllm_fail_nomem(err);
  rows->cells = cells;
  for (size_t c = 0; c < rows->n_columns; c++)
    *PLLM_SHOW_CELL(rows, rows->n_rows, c) = (PllmShowCell){.type = SQLITE_NULL};
  rows->n_rows++;
  return PLLM_OK;
}

/* Column `from` of the statement into column c of the last row. */
static PllmStatus take_cell(sqlite3_stmt *stmt, int from, size_t c, const PllmShowRows *rows, PllmError *err) {
  PllmShowCell *cell = PLLM_SHOW_CELL(rows, rows->n_rows - 1, c);
  const char *text;
  switch (sqlite3_column_type(stmt, from)) {
  case SQLITE_INTEGER: cell->integer = sqlite3_column_int64(stmt, from); /* fall through */
  case SQLITE_FLOAT:
    cell->type = sqlite3_column_type(stmt, from);
    cell->real = sqlite3_column_double(stmt, from);
    return PLLM_OK;
  case SQLITE_TEXT:
    text = (const char *)sqlite3_column_text(stmt, from);
    cell->text = text ? copy_text(text) : NULL;
    if (!cell->text) return pllm_fail_nomem(err);
    cell->type = SQLITE_TEXT;
    return PLLM_OK;
  case SQLITE_BLOB:
    return pllm_fail(err, PLLM_INVALID, "row %zu: column %.60s is a BLOB; a number or text is required", rows->n_rows,
                     rows->columns[c]);
  default: return PLLM_OK;
  }
}

PllmStatus pllm_ext_rows_read(sqlite3 *db, sqlite3_stmt *stmt, const int *take, size_t n, size_t most,
                              PllmShowRows *rows, PllmError *err) {
  PllmStatus status = rows->columns ? PLLM_OK : take_columns(stmt, take, n, rows, err);
  int rc = SQLITE_OK;
  while (status == PLLM_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    if (rows->n_rows == most)
      return pllm_fail(err, PLLM_INVALID, "more than %zu rows; aggregate or choose first, for example in a view",
                       most);
    status = add_row(rows, err);
    for (size_t c = 0; status == PLLM_OK && c < n; c++)
      if (take[c] >= 0) status = take_cell(stmt, take[c], c, rows, err);
  }
  if (status != PLLM_OK || rc == SQLITE_DONE) return status;
  return pllm_ext_sqlite_fail(err, db, rc);
}

static int bind(sqlite3_stmt *stmt, const char *parameter, const char *text) {
  int i = sqlite3_bind_parameter_index(stmt, parameter);
  return i > 0 && text ? sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC) : SQLITE_OK;
}

PllmStatus pllm_ext_rows_prepare(sqlite3 *db, const char *sql, const char *population, const char *split,
                                 sqlite3_stmt **stmt, PllmError *err) {
  int rc = sqlite3_prepare_v2(db, sql, -1, stmt, NULL);
  if (rc == SQLITE_OK) rc = bind(*stmt, ":population", population);
  if (rc == SQLITE_OK) rc = bind(*stmt, ":split", split);
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}
