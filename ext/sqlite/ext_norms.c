/*
** ext_norms.c: reward_models, the ordinary table that says how scores are standardised.
*/
#include "ext_store.h"

#include <math.h>
#include <string.h>

PllmStatus pllm_ext_norms_create(sqlite3 *db, const char *schema, const char *const *names, int n, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\".sqlite_schema WHERE name = 'reward_models' COLLATE NOCASE AND "
                              "type IN ('table', 'view')",
                              schema);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM, found = 0;
  sqlite3_free(sql);
  if (rc == SQLITE_OK) {
    found = sqlite3_step(stmt) == SQLITE_ROW;
    rc = sqlite3_finalize(stmt);
  }
  if (rc == SQLITE_OK && !found) {
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_str_appendf(out,
                        "CREATE TABLE \"%w\".reward_models(position INTEGER, name TEXT COLLATE NOCASE UNIQUE, "
                        "mean REAL DEFAULT 0, sd REAL DEFAULT 1, source TEXT, note TEXT);",
                        schema);
    for (int b = 0; b < n; b++)
      sqlite3_str_appendf(out, "INSERT INTO \"%w\".reward_models(position, name, mean, sd) VALUES (%d, %Q, 0, 1);",
                          schema, b + 1, names[b]);
    sql = sqlite3_str_finish(out);
    rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
  }
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

static int is_number(sqlite3_stmt *stmt, int column, double *x) {
  int type = sqlite3_column_type(stmt, column);
  *x = sqlite3_column_double(stmt, column);
  return (type == SQLITE_FLOAT || type == SQLITE_INTEGER) && isfinite(*x);
}

static PllmStatus take_row(sqlite3_stmt *stmt, const char *const *names, int n, unsigned char *found, double *mean,
                           double *sd, PllmError *err) {
  const char *name = (const char *)sqlite3_column_text(stmt, 0);
  for (int b = 0; name && b < n; b++) {
    if (sqlite3_stricmp(name, names[b]) != 0) continue;
    if (found[b]) return pllm_fail(err, PLLM_INVALID, "reward_models has more than one row for \"%.80s\"", names[b]);
    found[b] = 1;
    if (!is_number(stmt, 1, &mean[b]))
      return pllm_fail(err, PLLM_INVALID, "reward_models has no finite number as mean of \"%.80s\"", names[b]);
    if (!is_number(stmt, 2, &sd[b]) || !(sd[b] > 0)) {
      const char *text = (const char *)sqlite3_column_text(stmt, 2);
      return pllm_fail(err, PLLM_INVALID, "reward_models has %.40s as sd of \"%.80s\"; a number above 0 is required",
                       text ? text : "NULL", names[b]);
    }
    break;
  }
  return PLLM_OK;
}

static PllmStatus read_norms(sqlite3 *db, const char *schema, const char *const *names, int n, sqlite3_stmt **kept,
                             double *mean, double *sd, PllmError *err) {
  unsigned char found[PLLM_MAX_MODELS] = {0};
  PllmStatus status = PLLM_OK;
  int rc = SQLITE_OK;
  if (!*kept) {
    char *sql = sqlite3_mprintf("SELECT name, mean, sd FROM \"%w\".reward_models", schema);
    rc = sql ? sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
  }
  while (rc == SQLITE_OK && status == PLLM_OK && sqlite3_step(*kept) == SQLITE_ROW)
    status = take_row(*kept, names, n, found, mean, sd, err);
  if (rc == SQLITE_OK) rc = sqlite3_reset(*kept);
  if (status != PLLM_OK) return status;
  if (rc == SQLITE_ERROR && strncmp(sqlite3_errmsg(db), "no such", 7) != 0) /* a view that fails */
    return pllm_fail(err, PLLM_INVALID, "reward_models: %s", sqlite3_errmsg(db));
  if (rc == SQLITE_ERROR)
    return pllm_fail(err, PLLM_INVALID,
                     "rewards = (raw - mean) / sd needs the table reward_models(name, mean, sd) in schema %s: %s",
                     schema, sqlite3_errmsg(db));
  if (rc != SQLITE_OK) return pllm_ext_sqlite_fail(err, db, rc);
  for (int b = 0; b < n; b++)
    if (!found[b])
      return pllm_fail(err, PLLM_INVALID,
                       "reward_models has no row for \"%.80s\"; rewards = (raw - mean) / sd needs its mean and sd",
                       names[b]);
  return PLLM_OK;
}

PllmStatus pllm_ext_norms(sqlite3 *db, const char *schema, const char *const *names, int n, sqlite3_stmt **kept,
                          double *mean, double *sd, PllmError *err) {
  PllmStatus status;
  if (*kept && sqlite3_stmt_busy(*kept)) /* reward_models may be a view, even of raw scores, but not of rewards */
    return pllm_fail(err, PLLM_INVALID, "reward_models reads rewards, which are computed from reward_models");
  status = read_norms(db, schema, names, n, kept, mean, sd, err);
  /* A statement over a view of the caller's table would keep that table, and so itself, alive: sqlite3_close() would
  ** refuse.  So only one over an ordinary table is kept (for a view this call fails). */
  if (sqlite3_table_column_metadata(db, schema, "reward_models", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK) {
    sqlite3_finalize(*kept);
    *kept = NULL;
  }
  return status;
}
