/*
** ext_tvf.c: the one implementation of table-valued functions.
**
** Plan: idxNum has bit i set when argument i (a hidden column) has a usable equality constraint; the values arrive in
** argv in argument order.  A missing required argument is an error, an unusable one rejects the plan.  `skipped`
** follows the arguments and is output only.
*/
#include "ext_int.h"

#define MAX_ARGS 16

typedef struct TvfAux {
  const PllmTvf *tvf;
  PllmConn *conn; /* one reference */
} TvfAux;

typedef struct TvfVtab {
  sqlite3_vtab base;
  const PllmTvf *tvf;
  PllmConn *conn; /* borrowed from the module, which outlives its tables */
} TvfVtab;

static const PllmTvf *tvf_of(sqlite3_vtab_cursor *cursor) {
  return ((TvfVtab *)cursor->pVtab)->tvf;
}

static void aux_free(void *arg) {
  TvfAux *aux = arg;
  pllm_ext_conn_unref(aux->conn);
  pllm_free(aux);
}

static int tvfConnect(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab, char **error) {
  const PllmTvf *tvf = ((TvfAux *)arg)->tvf;
  sqlite3_str *sql = sqlite3_str_new(db);
  TvfVtab *table;
  char *text;
  int rc;
  (void)argc;
  (void)argv;
  (void)error;
  sqlite3_str_appendf(sql, "CREATE TABLE x(%s", tvf->columns);
  for (int i = 0; i < tvf->n_args; i++) sqlite3_str_appendf(sql, ", \"%w\" HIDDEN", tvf->args[i]);
  sqlite3_str_appendall(sql, ", skipped INTEGER HIDDEN)");
  text = sqlite3_str_finish(sql);
  if (!text) return SQLITE_NOMEM;
  rc = sqlite3_declare_vtab(db, text);
  sqlite3_free(text);
  if (rc != SQLITE_OK) return rc;
  if (tvf->direct_only) sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  table = pllm_alloc_zero(1, sizeof *table);
  if (!table) return SQLITE_NOMEM;
  table->tvf = tvf;
  table->conn = ((TvfAux *)arg)->conn;
  *vtab = &table->base;
  return SQLITE_OK;
}

static int tvfDisconnect(sqlite3_vtab *vtab) {
  pllm_free(vtab);
  return SQLITE_OK;
}

static int missing_argument(sqlite3_vtab *vtab, const PllmTvf *tvf, int missing) {
  sqlite3_str *usage = sqlite3_str_new(NULL);
  char *text;
  for (int i = 0; i < tvf->n_args; i++)
    sqlite3_str_appendf(usage, "%s%s%s", i >= tvf->n_required ? " [" : "", i ? ", " : "", tvf->args[i]);
  for (int i = tvf->n_required; i < tvf->n_args; i++) sqlite3_str_appendall(usage, "]");
  text = sqlite3_str_finish(usage);
  sqlite3_free(vtab->zErrMsg);
  vtab->zErrMsg = sqlite3_mprintf("%s: argument %d (%s) is missing; usage: %s(%s)", tvf->name, missing + 1,
                                  tvf->args[missing], tvf->name, text);
  sqlite3_free(text);
  return vtab->zErrMsg ? SQLITE_ERROR : SQLITE_NOMEM;
}

static int tvfBestIndex(sqlite3_vtab *vtab, sqlite3_index_info *info) {
  const PllmTvf *tvf = ((TvfVtab *)vtab)->tvf;
  int at[MAX_ARGS], unusable = 0, n = 0;
  for (int i = 0; i < MAX_ARGS; i++) at[i] = -1;
  for (int c = 0; c < info->nConstraint; c++) {
    int i = info->aConstraint[c].iColumn - tvf->n_columns;
    if (i < 0 || i >= tvf->n_args || info->aConstraint[c].op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (info->aConstraint[c].usable)
      at[i] = c;
    else
      unusable |= 1 << i;
  }
  for (int i = 0; i < tvf->n_args; i++) {
    if (at[i] < 0 && (unusable >> i & 1)) return SQLITE_CONSTRAINT;
    if (at[i] < 0 && i < tvf->n_required) return missing_argument(vtab, tvf, i);
    if (at[i] < 0) continue;
    info->aConstraintUsage[at[i]].argvIndex = ++n;
    info->aConstraintUsage[at[i]].omit = 1;
    info->idxNum |= 1 << i;
  }
  info->estimatedCost = tvf->rows;
  info->estimatedRows = (sqlite3_int64)tvf->rows;
  return SQLITE_OK;
}

static int tvfOpen(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
  TvfVtab *table = (TvfVtab *)vtab;
  PllmTvfCursor *cursor = pllm_alloc_zero(1, sizeof *cursor);
  sqlite3_value **args = pllm_alloc_zero((size_t)table->tvf->n_args, sizeof *args);
  if (!cursor || !args) {
    pllm_free(cursor);
    pllm_free(args);
    return SQLITE_NOMEM;
  }
  cursor->args = args;
  cursor->conn = table->conn;
  cursor->done = 1;
  *out = &cursor->base;
  return SQLITE_OK;
}

static void clear_scan(PllmTvfCursor *cursor, const PllmTvf *tvf) {
  tvf->end(cursor);
  cursor->state = NULL;
  for (int i = 0; i < tvf->n_args; i++) {
    sqlite3_value_free(cursor->args[i]);
    cursor->args[i] = NULL;
  }
  cursor->row = cursor->skipped = 0;
  cursor->done = 1;
}

static int tvfClose(sqlite3_vtab_cursor *base) {
  PllmTvfCursor *cursor = (PllmTvfCursor *)base;
  clear_scan(cursor, tvf_of(base));
  pllm_free(cursor->args);
  pllm_free(cursor);
  return SQLITE_OK;
}

/* Report a failure of begin or next and leave the cursor at its end. */
static int scan_result(PllmTvfCursor *cursor, PllmStatus status, PllmError *err) {
  if (status == PLLM_OK) return SQLITE_OK;
  cursor->done = 1;
  return pllm_ext_vtab_error(cursor->base.pVtab, tvf_of(&cursor->base)->name, err);
}

static int tvfFilter(sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv) {
  PllmTvfCursor *cursor = (PllmTvfCursor *)base;
  const PllmTvf *tvf = tvf_of(base);
  PllmError err;
  int n = 0;
  (void)text;
  clear_scan(cursor, tvf);
  for (int i = 0; i < tvf->n_args && n < argc; i++) {
    if (!(plan >> i & 1)) continue;
    cursor->args[i] = sqlite3_value_dup(argv[n++]);
    if (!cursor->args[i]) return SQLITE_NOMEM;
  }
  cursor->done = 0;
  cursor->row = 1;
  return scan_result(cursor, tvf->begin(cursor, &err), &err);
}

static int tvfNext(sqlite3_vtab_cursor *base) {
  PllmTvfCursor *cursor = (PllmTvfCursor *)base;
  PllmError err;
  cursor->row++;
  return scan_result(cursor, tvf_of(base)->next(cursor, &err), &err);
}

static int tvfEof(sqlite3_vtab_cursor *base) {
  return ((PllmTvfCursor *)base)->done;
}

static int tvfColumn(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
  PllmTvfCursor *cursor = (PllmTvfCursor *)base;
  const PllmTvf *tvf = tvf_of(base);
  int hidden = column - tvf->n_columns;
  if (hidden < 0)
    tvf->column(cursor, context, column);
  else if (hidden == tvf->n_args)
    sqlite3_result_int64(context, cursor->skipped);
  else if (cursor->args[hidden])
    sqlite3_result_value(context, cursor->args[hidden]);
  return SQLITE_OK;
}

static int tvfRowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((PllmTvfCursor *)base)->row;
  return SQLITE_OK;
}

/* No xCreate: these tables exist only as functions. */
static const sqlite3_module tvf_module = {
    .xConnect = tvfConnect,
    .xBestIndex = tvfBestIndex,
    .xDisconnect = tvfDisconnect,
    .xOpen = tvfOpen,
    .xClose = tvfClose,
    .xFilter = tvfFilter,
    .xNext = tvfNext,
    .xEof = tvfEof,
    .xColumn = tvfColumn,
    .xRowid = tvfRowid,
};

int pllm_ext_tvf(PllmConn *conn, const PllmTvf *tvf, char **error) {
  TvfAux *aux = pllm_alloc(1, sizeof *aux);
  int rc;
  if (!aux) return SQLITE_NOMEM;
  aux->tvf = tvf;
  aux->conn = pllm_ext_conn_ref(conn);
  rc = sqlite3_create_module_v2(conn->db, tvf->name, &tvf_module, aux, aux_free);
  if (rc != SQLITE_OK)
    *error = sqlite3_mprintf("personalllm: cannot register %s(): %s", tvf->name, sqlite3_errmsg(conn->db));
  return rc;
}

const char *pllm_ext_tvf_text(PllmTvfCursor *cursor, int i) {
  return cursor->args[i] ? (const char *)sqlite3_value_text(cursor->args[i]) : NULL;
}
