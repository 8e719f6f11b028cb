/*
** floor.c: a test-only extension that does as little as SQLite lets it, to tell SQLite's own share of a query's time.
**
**   bench_interactions(rows)     a table-valued function of the shape of persona_interactions, the same row every time
**   bench_users(count)           one of the shape of a persona_users table: user_id and a constant BLOB of ten numbers
**   bench_nothing(a, b)          a scalar function of two BLOBs that reads neither
**   bench_nothing_choices(...), bench_nothing_pairs(...)   aggregates with the arguments of adapt_user_choices and adapt_user
*/
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include <string.h>

/* ---- constant tables ---- */

typedef struct Shape {
  const char *declaration; /* hidden argument last */
  int argument;            /* its column */
  void (*column)(sqlite3_context *context, sqlite3_int64 row, int column);
} Shape;

typedef struct Table {
  sqlite3_vtab base;
  const Shape *shape;
} Table;

typedef struct Cursor {
  sqlite3_vtab_cursor base;
  sqlite3_int64 row, rows;
} Cursor;

/* Numbers as long as those of the published sizes: a record's length depends on them. */
static void interactions_column(sqlite3_context *context, sqlite3_int64 row, int column) {
  switch (column) {
  case 0: sqlite3_result_int64(context, 5000 + (row & 1)); break;
  case 1: sqlite3_result_int64(context, 25); break;
  case 2: sqlite3_result_int64(context, 5000); break;
  case 3:
  case 4: sqlite3_result_int64(context, 40000); break;
  case 5:
  case 6: sqlite3_result_double(context, 0.123456789); break;
  case 9: sqlite3_result_text(context, "all", 3, SQLITE_STATIC); break;
  default: break;
  }
}

static void users_column(sqlite3_context *context, sqlite3_int64 row, int column) {
  static const double weights[10] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1};
  if (column == 0)
    sqlite3_result_int64(context, row);
  else if (column == 1)
    sqlite3_result_blob(context, weights, sizeof weights, SQLITE_STATIC);
}

static const Shape interactions = {
    "CREATE TABLE x(user_id INTEGER, turn INTEGER, prompt_id INTEGER, chosen_id INTEGER, rejected_id INTEGER, "
    "chosen_reward REAL, rejected_reward REAL, response_id INTEGER, rating REAL, shown TEXT, rows HIDDEN)",
    10, interactions_column};
static const Shape users = {"CREATE TABLE x(user_id INTEGER, weights BLOB, count HIDDEN)", 2, users_column};

static int floorConnect(sqlite3 *db, void *shape, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
  Table *table;
  int rc = sqlite3_declare_vtab(db, ((const Shape *)shape)->declaration);
  (void)argc;
  (void)argv;
  (void)error;
  if (rc != SQLITE_OK) return rc;
  table = sqlite3_malloc(sizeof *table);
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof *table);
  table->shape = shape;
  *out = &table->base;
  return SQLITE_OK;
}

static int floorDisconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int floorBestIndex(sqlite3_vtab *vtab, sqlite3_index_info *info) {
  for (int i = 0; i < info->nConstraint; i++) {
    if (info->aConstraint[i].iColumn != ((Table *)vtab)->shape->argument || !info->aConstraint[i].usable) continue;
    info->aConstraintUsage[i].argvIndex = 1;
    info->aConstraintUsage[i].omit = 1;
  }
  return SQLITE_OK;
}

static int floorOpen(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  Cursor *cursor = sqlite3_malloc(sizeof *cursor);
  (void)table;
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof *cursor);
  *out = &cursor->base;
  return SQLITE_OK;
}

static int floorClose(sqlite3_vtab_cursor *cursor) {
  sqlite3_free(cursor);
  return SQLITE_OK;
}

static int floorFilter(sqlite3_vtab_cursor *cursor, int plan, const char *text, int argc, sqlite3_value **argv) {
  (void)plan;
  (void)text;
  ((Cursor *)cursor)->row = 0;
  ((Cursor *)cursor)->rows = argc > 0 ? sqlite3_value_int64(argv[0]) : 0;
  return SQLITE_OK;
}

static int floorNext(sqlite3_vtab_cursor *cursor) {
  ((Cursor *)cursor)->row++;
  return SQLITE_OK;
}

static int floorEof(sqlite3_vtab_cursor *cursor) {
  return ((Cursor *)cursor)->row >= ((Cursor *)cursor)->rows;
}

static int floorColumn(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column) {
  ((Table *)cursor->pVtab)->shape->column(context, ((Cursor *)cursor)->row, column);
  return SQLITE_OK;
}

static int floorRowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
  *rowid = ((Cursor *)cursor)->row;
  return SQLITE_OK;
}

static const sqlite3_module floor_module = {
    .xConnect = floorConnect,
    .xBestIndex = floorBestIndex,
    .xDisconnect = floorDisconnect,
    .xOpen = floorOpen,
    .xClose = floorClose,
    .xFilter = floorFilter,
    .xNext = floorNext,
    .xEof = floorEof,
    .xColumn = floorColumn,
    .xRowid = floorRowid,
};

/* ---- functions that do nothing ---- */

static void nothing(sqlite3_context *context, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  sqlite3_result_double(context, 0.5);
}

static void nothing_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  sqlite3_aggregate_context(context, 8);
}

static void nothing_final(sqlite3_context *context) {
  static const double weights[10] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1};
  sqlite3_result_blob(context, weights, sizeof weights, SQLITE_STATIC);
}

__attribute__((visibility("default"))) int sqlite3_floor_init(sqlite3 *db, char **error,
                                                              const sqlite3_api_routines *api);

int sqlite3_floor_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
  int rc;
  SQLITE_EXTENSION_INIT2(api);
  (void)error;
  rc = sqlite3_create_module(db, "bench_interactions", &floor_module, (void *)&interactions);
  if (rc == SQLITE_OK) rc = sqlite3_create_module(db, "bench_users", &floor_module, (void *)&users);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "bench_nothing", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, nothing, NULL, NULL);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "bench_nothing_choices", -1, SQLITE_UTF8, NULL, NULL, nothing_step, nothing_final);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "bench_nothing_pairs", -1, SQLITE_UTF8, NULL, NULL, nothing_step, nothing_final);
  return rc;
}
