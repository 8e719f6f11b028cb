/*
** ext_store_write.c: how rows of the persistent tables are written.
**
** Everything is checked before anything is written, and the narrow row, the only one that can violate a constraint,
** is written first.  So a failing xUpdate leaves nothing behind even where SQLite opens no statement journal (a
** single-row INSERT), which is also what SQLITE_VTAB_CONSTRAINT_SUPPORT promises.
*/
#include "ext_store.h"

#include <math.h>
#include <string.h>

int pllm_store_integer(StoreVtab *table, const char *column, sqlite3_value *value, sqlite3_int64 *out) {
  double x;
  switch (sqlite3_value_numeric_type(value)) {
  case SQLITE_INTEGER: *out = sqlite3_value_int64(value); return SQLITE_OK;
  case SQLITE_NULL:
    return pllm_store_error(table, SQLITE_CONSTRAINT, "NOT NULL constraint failed: %s.%s", table->name, column);
  case SQLITE_FLOAT:
    x = sqlite3_value_double(value);
    if (x >= -9007199254740992.0 && x <= 9007199254740992.0 && x == floor(x)) {
      *out = (sqlite3_int64)x;
      return SQLITE_OK;
    }
    return pllm_store_error(table, SQLITE_MISMATCH, "%s is %.15g; an integer is required", column, x);
  case SQLITE_TEXT:
    return pllm_store_error(table, SQLITE_MISMATCH, "%s is the text \"%.40s\"; an integer is required", column,
                            sqlite3_value_text(value));
  default: return pllm_store_error(table, SQLITE_MISMATCH, "%s is a BLOB; an integer is required", column);
  }
}

/* Text of a value, numbers as TEXT affinity would store them; NULL gives NULL. */
static int read_text(StoreVtab *table, const char *column, sqlite3_value *value, const char **text) {
  *text = NULL;
  switch (sqlite3_value_type(value)) {
  case SQLITE_NULL: return SQLITE_OK;
  case SQLITE_BLOB: return pllm_store_error(table, SQLITE_MISMATCH, "%s is a BLOB; text is required", column);
  default: *text = (const char *)sqlite3_value_text(value); return *text ? SQLITE_OK : SQLITE_NOMEM;
  }
}

int pllm_store_bind_text(StoreVtab *table, const char *column, sqlite3_value *value, sqlite3_stmt *stmt, int index) {
  const char *text;
  int rc = read_text(table, column, value, &text);
  if (rc != SQLITE_OK) return rc;
  if (!text) return sqlite3_bind_null(stmt, index);
  return sqlite3_bind_text64(stmt, index, text, (sqlite3_uint64)sqlite3_value_bytes(value), SQLITE_STATIC,
                             SQLITE_UTF8);
}

/* The dimension that an embedding of row id must have because other rows have one; 0 when there is none. */
static int other_dim(StoreVtab *table, int has_id, sqlite3_int64 id, size_t *dim) {
  sqlite3_stmt *stmt;
  int rc = pllm_store_stmt(table, STORE_EMBEDDING_BYTES, &stmt);
  if (rc != SQLITE_OK) return rc;
  *dim = 0;
  if (has_id)
    sqlite3_bind_int64(stmt, 1, id);
  else
    sqlite3_bind_null(stmt, 1);
  if (pllm_store_step(table, stmt) == SQLITE_ROW) *dim = (size_t)sqlite3_column_int64(stmt, 0) / PLLM_F32;
  rc = sqlite3_reset(stmt);
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

/* Check an embedding and hand out its f32 bytes (sqlite3_malloc). */
static int read_embedding(StoreVtab *table, int has_old, sqlite3_int64 old, sqlite3_value *value, void **bytes,
                          size_t *dim) {
  PllmExtVector x = {0};
  PllmError err;
  PllmStatus status;
  size_t want = table->stamped ? table->embedding_dim : 0;
  int rc = SQLITE_OK, text = sqlite3_value_type(value) == SQLITE_TEXT;
  if (want == 0 && (rc = other_dim(table, has_old, old, &want)) != SQLITE_OK) return rc;
  status = pllm_ext_vector_decode(value, PLLM_F32, 0, &x, &err);
  if (status == PLLM_OK && !text)
    status = pllm_vector_guard_f32(sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value), &err);
  if (status == PLLM_OK && text) status = pllm_vector_fits_f32(x.numbers, x.dim, &err);
  if (status == PLLM_OK && want > 0 && x.dim != want) {
    rc = other_dim(table, has_old, old, &want); /* the row that had the other dimension may be gone */
    if (rc == SQLITE_OK && want > 0 && x.dim != want)
      status = pllm_fail(&err, PLLM_INVALID,
                         "%zu f32 numbers, but the table's embeddings have %zu; all of a table have one dimension%s",
                         x.dim, want,
                         !text && x.dim == 2 * want ? " (f64? persona_vector(x, 'f64', 'f32') converts)" : "");
  }
  if (rc == SQLITE_OK && status != PLLM_OK) {
    pllm_error_prefix(&err, "embedding");
    rc = pllm_ext_vtab_error(&table->base, table->name, &err);
  }
  if (rc == SQLITE_OK) {
    *bytes = sqlite3_malloc64(x.dim * PLLM_F32);
    *dim = x.dim;
    if (*bytes)
      pllm_vector_store(x.numbers, x.dim, PLLM_F32, *bytes);
    else
      rc = SQLITE_NOMEM;
  }
  pllm_ext_vector_free(&x);
  return rc;
}

/* Run one of the small statements on a row: (id) or (id, second). */
static int run_on(StoreVtab *table, StoreStmt which, sqlite3_int64 id, int has_second, sqlite3_int64 second) {
  sqlite3_stmt *stmt;
  int rc = pllm_store_stmt(table, which, &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, id);
  if (has_second) sqlite3_bind_int64(stmt, 2, second);
  return pllm_store_run(table, stmt);
}

static int delete_row(StoreVtab *table, sqlite3_int64 id) {
  int rc = run_on(table, STORE_ROW_DELETE, id, 0, 0);
  if (rc == SQLITE_OK) rc = run_on(table, STORE_TEXT_DELETE, id, 0, 0);
  if (rc == SQLITE_OK) rc = run_on(table, STORE_EMBEDDING_DELETE, id, 0, 0);
  return rc;
}

/* The row being written. */
typedef struct Row {
  int has_old, has_id;
  sqlite3_int64 old, id; /* before and after */
  int text_set, embedding_set;
  const char *text;
  size_t text_bytes;
  void *embedding; /* owned, f32 */
  size_t dim;
  int narrow_set;
  sqlite3_stmt *stmt; /* the bound INSERT or UPDATE of the narrow row */
} Row;

/* The id that an INSERT without one gets, chosen, as in an ordinary table, before REPLACE removes rows. */
static int choose_id(StoreVtab *table, Row *row) {
  sqlite3_stmt *stmt;
  int rc = pllm_store_stmt(table, STORE_ROW_LAST, &stmt);
  if (rc != SQLITE_OK) return rc;
  if (pllm_store_step(table, stmt) == SQLITE_ROW) {
    sqlite3_int64 last = sqlite3_column_int64(stmt, 0); /* 0 when there is no row */
    if (last < INT64_MAX) {
      row->id = last + 1;
      row->has_id = 1;
    }
  }
  rc = sqlite3_reset(stmt);
  if (rc != SQLITE_OK) return pllm_store_sqlite_error(table, rc);
  return row->has_id ? sqlite3_bind_int64(row->stmt, 1, row->id) : SQLITE_OK;
}

/* REPLACE: remove the rows that stand in the way. */
static int remove_clashes(StoreVtab *table, Row *row) {
  sqlite3_stmt *stmt;
  int rc = SQLITE_OK;
  if (!row->has_id && (rc = choose_id(table, row)) != SQLITE_OK) return rc;
  for (;;) {
    sqlite3_int64 id;
    int found;
    rc = pllm_store_stmt(table, STORE_ROW_CLASH, &stmt);
    if (rc != SQLITE_OK) return rc;
    sqlite3_clear_bindings(stmt);
    if (row->has_old) sqlite3_bind_int64(stmt, 1, row->old);
    if (row->has_id) sqlite3_bind_int64(stmt, 2, row->id);
    if (table->kind->clash) table->kind->clash(table, stmt);
    found = pllm_store_step(table, stmt) == SQLITE_ROW;
    id = sqlite3_column_int64(stmt, 0);
    rc = sqlite3_reset(stmt);
    if (rc != SQLITE_OK) return pllm_store_sqlite_error(table, rc);
    if (!found) return SQLITE_OK;
    rc = delete_row(table, id);
    if (rc != SQLITE_OK) return rc;
  }
}

/* An UPDATE that sets the id to NULL is a type error, as with an ordinary INTEGER PRIMARY KEY. */
static int read_id(StoreVtab *table, const char *column, sqlite3_value *value, sqlite3_int64 *id) {
  if (sqlite3_value_type(value) == SQLITE_NULL)
    return pllm_store_error(table, SQLITE_MISMATCH, "%s is NULL; an integer is required", column);
  return pllm_store_integer(table, column, value, id);
}

/* Which ids: argv is that of xUpdate. */
static int read_ids(StoreVtab *table, sqlite3_value **argv, Row *row) {
  const char *column = table->kind->id;
  sqlite3_value *rowid = argv[1], *id = argv[2];
  sqlite3_int64 given;
  int rc;
  row->has_old = sqlite3_value_type(argv[0]) != SQLITE_NULL;
  if (row->has_old) {
    row->old = row->id = sqlite3_value_int64(argv[0]);
    row->has_id = 1;
    rc = read_id(table, "rowid", rowid, &row->id);
    if (rc != SQLITE_OK || sqlite3_value_nochange(id)) return rc;
    rc = read_id(table, column, id, &given);
    if (rc != SQLITE_OK || given == row->old) return rc;
    if (row->id != row->old && row->id != given)
      return pllm_store_error(table, SQLITE_MISMATCH, "rowid is %lld but %s is %lld; they are the same", row->id,
                              column, given);
    row->id = given;
    return SQLITE_OK;
  }
  if (sqlite3_value_type(rowid) != SQLITE_NULL) {
    rc = pllm_store_integer(table, "rowid", rowid, &row->id);
    if (rc != SQLITE_OK) return rc;
    row->has_id = 1;
  }
  if (sqlite3_value_type(id) == SQLITE_NULL) return SQLITE_OK;
  rc = pllm_store_integer(table, column, id, &given);
  if (rc != SQLITE_OK) return rc;
  if (row->has_id && row->id != given)
    return pllm_store_error(table, SQLITE_MISMATCH, "rowid is %lld but %s is %lld; they are the same", row->id,
                            column, given);
  row->id = given;
  row->has_id = 1;
  return SQLITE_OK;
}

/* Has an UPDATE anything to say about the narrow row? */
static int narrow_changes(const StoreVtab *table, sqlite3_value **columns, const Row *row) {
  if (!row->has_old || row->id != row->old) return 1;
  for (int i = 0; i < table->columns; i++)
    if (i != table->kind->text && i != table->kind->embedding && !sqlite3_value_nochange(columns[i])) return 1;
  return 0;
}

/* Check everything and bind the narrow row's statement.  SQLITE_DONE: the row to update is gone. */
static int check_row(StoreVtab *table, sqlite3_value **columns, Row *row) {
  const StoreKind *kind = table->kind;
  sqlite3_stmt *old = NULL;
  int rc;
  row->text_set = !row->has_old || !sqlite3_value_nochange(columns[kind->text]);
  if (row->text_set) {
    rc = read_text(table, "text", columns[kind->text], &row->text);
    if (rc != SQLITE_OK) return rc;
    row->text_bytes = (size_t)sqlite3_value_bytes(columns[kind->text]);
  }
  row->embedding_set = !row->has_old || !sqlite3_value_nochange(columns[kind->embedding]);
  if (row->embedding_set && sqlite3_value_type(columns[kind->embedding]) != SQLITE_NULL) {
    rc = read_embedding(table, row->has_old, row->old, columns[kind->embedding], &row->embedding, &row->dim);
    if (rc != SQLITE_OK) return rc;
  }
  row->narrow_set = narrow_changes(table, columns, row);
  if (!row->narrow_set) return SQLITE_OK;
  if (row->has_old) {
    rc = pllm_store_stmt(table, STORE_ROW_GET, &old);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(old, 1, row->old);
    if (pllm_store_step(table, old) != SQLITE_ROW) {
      rc = sqlite3_reset(old);
      return rc == SQLITE_OK ? SQLITE_DONE : pllm_store_sqlite_error(table, rc);
    }
  }
  rc = pllm_store_stmt(table, row->has_old ? STORE_ROW_UPDATE : STORE_ROW_INSERT, &row->stmt);
  if (rc == SQLITE_OK) {
    if (row->has_id)
      rc = sqlite3_bind_int64(row->stmt, 1, row->id);
    else
      rc = sqlite3_bind_null(row->stmt, 1);
  }
  if (rc == SQLITE_OK) rc = kind->bind(table, columns, old, row->stmt);
  if (rc == SQLITE_OK && row->has_old)
    rc = sqlite3_bind_int64(row->stmt, sqlite3_bind_parameter_count(row->stmt), row->old);
  if (old) sqlite3_reset(old);
  return rc;
}

static int write_narrow(StoreVtab *table, Row *row) {
  int rc;
  if (!row->narrow_set) return SQLITE_OK;
  if (sqlite3_vtab_on_conflict(table->db) == SQLITE_REPLACE && (rc = remove_clashes(table, row)) != SQLITE_OK)
    return rc;
  rc = pllm_store_run(table, row->stmt);
  if ((rc & 0xFF) == SQLITE_CONSTRAINT) {
    if (rc == SQLITE_CONSTRAINT_UNIQUE && table->kind->unique) return table->kind->unique(table);
    if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID)
      return pllm_store_error(table, SQLITE_CONSTRAINT, "UNIQUE constraint failed: %s.%s (%lld)", table->name,
                              table->kind->id, row->id);
    pllm_store_sqlite_error(table, rc);
    return SQLITE_CONSTRAINT;
  }
  if (rc == SQLITE_OK && !row->has_id) row->id = sqlite3_last_insert_rowid(table->db);
  return rc;
}

static int write_text(StoreVtab *table, const Row *row) {
  sqlite3_stmt *stmt;
  int rc;
  if (!row->text_set) return row->id != row->old ? run_on(table, STORE_TEXT_MOVE, row->old, 1, row->id) : SQLITE_OK;
  if (row->has_old && (!row->text || row->id != row->old) &&
      (rc = run_on(table, STORE_TEXT_DELETE, row->old, 0, 0)) != SQLITE_OK)
    return rc;
  if (!row->text) return SQLITE_OK;
  rc = pllm_store_stmt(table, STORE_TEXT_PUT, &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, row->id);
  rc = sqlite3_bind_text64(stmt, 2, row->text, row->text_bytes, SQLITE_STATIC, SQLITE_UTF8);
  if (rc == SQLITE_OK) rc = pllm_store_run(table, stmt);
  sqlite3_bind_null(stmt, 2); /* the text is not ours beyond this call */
  return rc;
}

static int write_embedding(StoreVtab *table, Row *row) {
  sqlite3_stmt *stmt;
  int rc;
  if (!row->embedding_set)
    return row->id != row->old ? run_on(table, STORE_EMBEDDING_MOVE, row->old, 1, row->id) : SQLITE_OK;
  if (row->has_old && (!row->embedding || row->id != row->old) &&
      (rc = run_on(table, STORE_EMBEDDING_DELETE, row->old, 0, 0)) != SQLITE_OK)
    return rc;
  if (!row->embedding) return SQLITE_OK;
  rc = pllm_store_stmt(table, STORE_EMBEDDING_PUT, &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, row->id);
  rc = sqlite3_bind_blob64(stmt, 2, row->embedding, row->dim * PLLM_F32, SQLITE_STATIC);
  if (rc == SQLITE_OK) rc = pllm_store_run(table, stmt);
  sqlite3_bind_null(stmt, 2);
  if (rc == SQLITE_OK) table->embedding_dim = row->dim;
  return rc;
}

int pllm_store_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
  StoreVtab *table = (StoreVtab *)vtab;
  sqlite3_int64 last = sqlite3_last_insert_rowid(table->db);
  Row row;
  int rc;
  memset(&row, 0, sizeof row);
  if (argc == 1) {
    rc = pllm_store_touch(table);
    if (rc == SQLITE_OK) rc = delete_row(table, sqlite3_value_int64(argv[0]));
    sqlite3_set_last_insert_rowid(table->db, last);
    return rc;
  }
  rc = read_ids(table, argv, &row);
  if (rc == SQLITE_OK) rc = check_row(table, argv + 2, &row);
  if (rc == SQLITE_OK) rc = pllm_store_touch(table);
  if (rc == SQLITE_OK) rc = write_narrow(table, &row);
  if (rc == SQLITE_OK) rc = write_text(table, &row);
  if (rc == SQLITE_OK) rc = write_embedding(table, &row);
  if (row.stmt) sqlite3_clear_bindings(row.stmt);
  sqlite3_free(row.embedding);
  /* SQLite sets it after an INSERT; our own statements must not show through after an UPDATE. */
  sqlite3_set_last_insert_rowid(table->db, last);
  if (rc == SQLITE_DONE) return SQLITE_OK; /* replaced earlier in the same statement, as in an ordinary table */
  *rowid = row.id;
  return rc;
}
