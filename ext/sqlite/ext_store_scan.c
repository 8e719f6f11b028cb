/*
** ext_store_scan.c: plans and cursors of the persistent tables.
**
** A plan is the tail of the statement that runs it: idxStr is the WHERE and ORDER BY of a SELECT on the narrow shadow
** table (so EXPLAIN QUERY PLAN shows what is pushed down), its parameters are argv in order.  Everything pushed down
** concerns integer key columns, and SQLite compares the bound values there exactly as it would compare them with an
** ordinary column; nothing is marked `omit`.  Text and embedding are looked up only when a row's column is read.
*/
#include "ext_store.h"

#include <string.h>

typedef struct Bounds {
  int eq, low, high; /* number of the constraint, -1 for none */
} Bounds;

static int key_of(const StoreKind *kind, int column) {
  if (column < 0) return 0; /* the rowid is the id */
  for (int k = 0; k < kind->n_keys; k++)
    if (kind->key_columns[k] == column) return k;
  return -1;
}

static const char *append(sqlite3_index_info *info, sqlite3_str *plan, int *argc, const char *key, int constraint,
                          const char *op) {
  if (constraint < 0) return NULL;
  sqlite3_str_appendf(plan, "%s%s%s?", *argc ? " AND " : " WHERE ", key, op);
  info->aConstraintUsage[constraint].argvIndex = ++*argc;
  return op;
}

/* ORDER BY is consumed when its terms are key columns, up to the point where they are unique. */
static void append_order(const StoreKind *kind, sqlite3_index_info *info, sqlite3_str *plan) {
  int n = 0, seen = 0, unique = 0;
  for (; n < info->nOrderBy && !unique; n++) {
    int k = key_of(kind, info->aOrderBy[n].iColumn);
    if (k < 0) return;
    seen |= 1 << k;
    unique = (seen & 1) || (seen & 6) == 6;
  }
  for (int i = 0; i < n; i++)
    sqlite3_str_appendf(plan, "%s%s%s", i ? ", " : " ORDER BY ", kind->keys[key_of(kind, info->aOrderBy[i].iColumn)],
                        info->aOrderBy[i].desc ? " DESC" : "");
  info->orderByConsumed = n > 0;
}

/* What the plan costs: an id finds one row; a prompt has some eight responses. */
static void estimate(const StoreKind *kind, const Bounds *key, sqlite3_index_info *info) {
  double rows = kind->rows_guess, seek = 0;
  for (int k = 0; k < kind->n_keys && k < 2; k++) {
    double part = kind->rows_guess;
    if (key[k].eq >= 0)
      part = k == 0 || key[2].eq >= 0 ? 1 : 8;
    else if (key[k].low >= 0 && key[k].high >= 0)
      part /= 16;
    else if (key[k].low >= 0 || key[k].high >= 0)
      part /= 4;
    else
      continue;
    seek = 4;
    if (part < rows) rows = part;
  }
  info->estimatedRows = (sqlite3_int64)rows;
  info->estimatedCost = 2 * rows + seek;
  if (rows == 1) info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
}

int pllm_store_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
  const StoreKind *kind = ((StoreVtab *)vtab)->kind;
  sqlite3_str *plan;
  Bounds key[3];
  int argc = 0;
  for (int k = 0; k < 3; k++) key[k] = (Bounds){-1, -1, -1};
  for (int c = 0; c < info->nConstraint; c++) {
    int k = key_of(kind, info->aConstraint[c].iColumn), *slot = NULL;
    if (k < 0 || !info->aConstraint[c].usable) continue;
    switch (info->aConstraint[c].op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: slot = &key[k].eq; break;
    case SQLITE_INDEX_CONSTRAINT_GT:
    case SQLITE_INDEX_CONSTRAINT_GE: slot = &key[k].low; break;
    case SQLITE_INDEX_CONSTRAINT_LT:
    case SQLITE_INDEX_CONSTRAINT_LE: slot = &key[k].high; break;
    default: break;
    }
    if (slot && *slot < 0) *slot = c;
  }
  plan = sqlite3_str_new(NULL);
  for (int k = 0; k < kind->n_keys; k++) {
    const struct sqlite3_index_constraint *at = info->aConstraint;
    append(info, plan, &argc, kind->keys[k], key[k].eq, "=");
    append(info, plan, &argc, kind->keys[k], key[k].low,
           key[k].low >= 0 && at[key[k].low].op == SQLITE_INDEX_CONSTRAINT_GT ? ">" : ">=");
    append(info, plan, &argc, kind->keys[k], key[k].high,
           key[k].high >= 0 && at[key[k].high].op == SQLITE_INDEX_CONSTRAINT_LT ? "<" : "<=");
  }
  append_order(kind, info, plan);
  estimate(kind, key, info);
  if (sqlite3_str_errcode(plan) != SQLITE_OK) {
    sqlite3_free(sqlite3_str_finish(plan));
    return SQLITE_NOMEM;
  }
  info->idxStr = sqlite3_str_finish(plan); /* NULL when empty: a scan of everything */
  info->needToFreeIdxStr = info->idxStr != NULL;
  return SQLITE_OK;
}

int pllm_store_cursor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
  StoreCursor *cursor = pllm_alloc_zero(1, ((StoreVtab *)vtab)->kind->cursor_bytes);
  if (!cursor) return SQLITE_NOMEM;
  cursor->eof = 1;
  *out = &cursor->base;
  return SQLITE_OK;
}

/* Give the scan back to the table for the next cursor that wants the same plan. */
static void release_scan(StoreVtab *table, StoreCursor *cursor) {
  int slot = 0;
  if (!cursor->scan) return;
  sqlite3_reset(cursor->scan);
  sqlite3_clear_bindings(cursor->scan);
  while (slot < STORE_SPARES && table->spares[slot].stmt) slot++;
  if (slot == STORE_SPARES) { /* the newest stays: drop the oldest */
    sqlite3_finalize(table->spares[0].stmt);
    sqlite3_free(table->spares[0].plan);
    memmove(table->spares, table->spares + 1, (STORE_SPARES - 1) * sizeof *table->spares);
    slot--;
  }
  table->spares[slot].stmt = cursor->scan;
  table->spares[slot].plan = cursor->plan;
  cursor->scan = NULL;
  cursor->plan = NULL;
}

int pllm_store_cursor_close(sqlite3_vtab_cursor *base) {
  release_scan((StoreVtab *)base->pVtab, (StoreCursor *)base);
  pllm_free(base);
  return SQLITE_OK;
}

static int take_scan(StoreVtab *table, StoreCursor *cursor, const char *plan) {
  char *templ, *sql;
  int rc;
  for (int i = 0; i < STORE_SPARES; i++) {
    if (!table->spares[i].stmt || strcmp(table->spares[i].plan, plan) != 0) continue;
    cursor->scan = table->spares[i].stmt;
    cursor->plan = table->spares[i].plan;
    memmove(table->spares + i, table->spares + i + 1, (size_t)(STORE_SPARES - 1 - i) * sizeof *table->spares);
    memset(&table->spares[STORE_SPARES - 1], 0, sizeof *table->spares);
    return SQLITE_OK;
  }
  cursor->plan = sqlite3_mprintf("%s", plan);
  templ = sqlite3_mprintf("%s%s", table->kind->scan, plan);
  sql = templ ? pllm_store_sql(table->schema, table->name, table->kind->id, templ) : NULL;
  sqlite3_free(templ);
  if (!cursor->plan || !sql) {
    sqlite3_free(sql);
    return SQLITE_NOMEM;
  }
  rc = sqlite3_prepare_v3(table->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &cursor->scan, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

int pllm_store_next(sqlite3_vtab_cursor *base) {
  StoreCursor *cursor = (StoreCursor *)base;
  StoreVtab *table = (StoreVtab *)base->pVtab;
  int rc = pllm_store_step(table, cursor->scan);
  if (table->kind->next) table->kind->next(cursor);
  if (rc == SQLITE_ROW) {
    cursor->eof = 0;
    return SQLITE_OK;
  }
  cursor->eof = 1;
  rc = sqlite3_reset(cursor->scan); /* at once: a finished scan must not hold a read transaction */
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

int pllm_store_filter(sqlite3_vtab_cursor *base, int number, const char *text, int argc, sqlite3_value **argv) {
  StoreCursor *cursor = (StoreCursor *)base;
  StoreVtab *table = (StoreVtab *)base->pVtab;
  const char *plan = text ? text : "";
  int rc;
  (void)number;
  if (table->busy)
    return pllm_store_error(table, SQLITE_CORRUPT_VTAB,
                            "its shadow tables are damaged: a trigger or view leads from them back to the table");
  if (cursor->scan && strcmp(cursor->plan, plan) != 0) release_scan(table, cursor);
  if (!cursor->scan && (rc = take_scan(table, cursor, plan)) != SQLITE_OK) return rc;
  sqlite3_reset(cursor->scan);
  for (int i = 0; i < argc; i++) {
    rc = sqlite3_bind_value(cursor->scan, i + 1, argv[i]);
    if (rc != SQLITE_OK) return pllm_store_sqlite_error(table, rc);
  }
  return pllm_store_next(base);
}

int pllm_store_eof(sqlite3_vtab_cursor *base) {
  return ((StoreCursor *)base)->eof;
}

int pllm_store_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = sqlite3_column_int64(((StoreCursor *)base)->scan, 0);
  return SQLITE_OK;
}

/* A column of the wide tables.  The statement is shared by all cursors: the value is copied and the statement reset
** before anybody else can use it. */
static int lookup(StoreCursor *cursor, StoreStmt which, int type, sqlite3_context *context) {
  StoreVtab *table = (StoreVtab *)cursor->base.pVtab;
  sqlite3_stmt *stmt;
  int rc = pllm_store_stmt(table, which, &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, sqlite3_column_int64(cursor->scan, 0));
  if (pllm_store_step(table, stmt) == SQLITE_ROW) {
    int found = sqlite3_column_type(stmt, 0);
    if (found != type && found != SQLITE_NULL) {
      sqlite3_reset(stmt);
      return pllm_store_error(table, SQLITE_CORRUPT_VTAB, "its shadow tables are damaged: the %s of %s %lld is no %s",
                              type == SQLITE_TEXT ? "text" : "embedding", table->kind->id,
                              sqlite3_column_int64(cursor->scan, 0), type == SQLITE_TEXT ? "text" : "BLOB");
    }
    sqlite3_result_value(context, sqlite3_column_value(stmt, 0));
  }
  rc = sqlite3_reset(stmt);
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

int pllm_store_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
  StoreCursor *cursor = (StoreCursor *)base;
  const StoreKind *kind = ((StoreVtab *)base->pVtab)->kind;
  if (sqlite3_vtab_nochange(context)) return SQLITE_OK; /* an UPDATE that leaves it as it is */
  if (column == kind->text) return lookup(cursor, STORE_TEXT_GET, SQLITE_TEXT, context);
  if (column == kind->embedding) return lookup(cursor, STORE_EMBEDDING_GET, SQLITE_BLOB, context);
  return kind->column(cursor, context, column);
}
