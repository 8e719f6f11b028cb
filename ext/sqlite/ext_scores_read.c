/*
** ext_scores_read.c: what the score store reads with SQL: stamps, names, scores, splits.
*/
#include "ext_scores.h"

static PllmStatus prepare(sqlite3 *db, const PllmExtTable *table, const char *templ, sqlite3_stmt **stmt,
                          int *missing, PllmError *err) {
  char *sql = pllm_store_sql(table->schema, table->name, "", templ);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  *missing = rc == SQLITE_ERROR;
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

/* Finalize, reporting what stopped the stepping unless something failed before. */
static PllmStatus finish(sqlite3 *db, sqlite3_stmt *stmt, PllmStatus status, PllmError *err) {
  int rc = sqlite3_finalize(stmt);
  if (status != PLLM_OK || rc == SQLITE_OK) return status;
  return pllm_ext_sqlite_fail(err, db, rc);
}

static PllmStatus damaged(const PllmExtTable *table, const char *what, PllmError *err) {
  return pllm_fail(err, PLLM_CORRUPT, "the shadow tables of \"%.80s\" are damaged: %s", table->name, what);
}

PllmStatus pllm_scores_no_such(const PllmExtTable *table, const char *module, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "\"%.80s\" is no %s table", table->name, module);
}

PllmStatus pllm_scores_read_stamp(sqlite3 *db, const PllmExtTable *table, const char *module, sqlite3_stmt **pin,
                                  sqlite3_int64 *stamp, int *found, PllmError *err) {
  int missing;
  PllmStatus status = prepare(db, table,
                              "SELECT value, (SELECT value FROM $config WHERE key = 'module' AND position = 0), "
                              "(SELECT value FROM $config WHERE key = 'format' AND position = 0) "
                              "FROM $config WHERE key = 'stamp' AND position = 0",
                              pin, &missing, err);
  const char *is;
  *found = 0;
  if (status != PLLM_OK) return missing ? PLLM_OK : status;
  pllm_store_observe();
  if (sqlite3_step(*pin) != SQLITE_ROW) {
    status = finish(db, *pin, PLLM_OK, err);
    *pin = NULL;
    return status;
  }
  is = (const char *)sqlite3_column_text(*pin, 1);
  if (!is || sqlite3_stricmp(is, module) != 0) {
    /* some other table: nothing to pin */
  } else if (sqlite3_column_int(*pin, 2) != STORE_FORMAT) {
    status = pllm_fail(err, PLLM_INVALID, "\"%.80s\" is stored in format %d; this version reads format %d",
                       table->name, sqlite3_column_int(*pin, 2), STORE_FORMAT);
  } else if (sqlite3_column_type(*pin, 0) != SQLITE_INTEGER) {
    status = damaged(table, "the stamp is no integer", err);
  } else {
    *stamp = sqlite3_column_int64(*pin, 0);
    *found = 1;
    return PLLM_OK;
  }
  sqlite3_finalize(*pin);
  *pin = NULL;
  return status;
}

void pllm_ext_names_free(char **names, int count) {
  for (int i = 0; names && i < count; i++) sqlite3_free(names[i]);
  pllm_free(names);
}

PllmStatus pllm_scores_read_config(sqlite3 *db, const PllmExtTable *table, Names *models, char **prompts,
                                   PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  int missing, n = 0;
  PllmStatus status = prepare(db, table,
                              "SELECT position, value FROM $config WHERE key IN ('prompts', 'reward_model') "
                              "ORDER BY key, position",
                              &stmt, &missing, err);
  if (status != PLLM_OK) return missing ? pllm_scores_no_such(table, "persona_responses", err) : status;
  models->names = pllm_alloc_zero(PLLM_MAX_MODELS, sizeof *models->names);
  if (!models->names) status = pllm_fail_nomem(err);
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    int position = sqlite3_column_int(stmt, 0);
    const char *text = (const char *)sqlite3_column_text(stmt, 1);
    char *copy;
    if (position == 0 && !prompts) continue;
    if (!text || (position != 0 && (position != n + 1 || n == PLLM_MAX_MODELS))) {
      status = damaged(table, "its list of reward models has gaps", err);
      break;
    }
    copy = sqlite3_mprintf("%s", text);
    if (!copy) {
      status = pllm_fail_nomem(err);
    } else if (position == 0) {
      sqlite3_free(*prompts);
      *prompts = copy;
    } else {
      models->names[n++] = copy;
      models->count = n;
    }
  }
  status = finish(db, stmt, status, err);
  if (status == PLLM_OK && n == 0) status = pllm_scores_no_such(table, "persona_responses", err);
  return status;
}

PllmStatus pllm_ext_responses_models(sqlite3 *db, const PllmExtTable *responses, char ***names, int *count,
                                     PllmError *err) {
  Names models = {NULL, 0};
  sqlite3_stmt *pin = NULL;
  sqlite3_int64 stamp;
  int found;
  PllmStatus status = pllm_scores_read_stamp(db, responses, "persona_responses", &pin, &stamp, &found, err);
  if (status == PLLM_OK && !found) status = pllm_scores_no_such(responses, "persona_responses", err);
  if (status == PLLM_OK) status = pllm_scores_read_config(db, responses, &models, NULL, err);
  sqlite3_finalize(pin);
  if (status != PLLM_OK) {
    pllm_ext_names_free(models.names, models.count);
    return status;
  }
  *names = models.names;
  *count = models.count;
  return PLLM_OK;
}

/* How many rows the narrow table has, so that columns are allocated once. */
static PllmStatus count_rows(sqlite3 *db, const PllmExtTable *table, size_t *rows, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  int missing;
  PllmStatus status = prepare(db, table, "SELECT count(*) FROM $scores", &stmt, &missing, err);
  if (status != PLLM_OK) return missing ? damaged(table, "the scores are missing", err) : status;
  if (sqlite3_step(stmt) == SQLITE_ROW) *rows = (size_t)sqlite3_column_int64(stmt, 0);
  return finish(db, stmt, status, err);
}

PllmStatus pllm_scores_load(sqlite3 *db, const PllmExtTable *table, Entry *entry, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  size_t rows = 0;
  int missing;
  PllmStatus status = count_rows(db, table, &rows, err);
  if (status == PLLM_OK) status = pllm_store_new((size_t)entry->models.count, rows, &entry->store, err);
  if (status != PLLM_OK) return status;
  status =
      prepare(db, table, "SELECT response_id, prompt_id, position, model, raw FROM $scores", &stmt, &missing, err);
  if (status != PLLM_OK) return missing ? damaged(table, "the scores are missing", err) : status;
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    if (sqlite3_column_type(stmt, 1) != SQLITE_INTEGER || sqlite3_column_type(stmt, 2) != SQLITE_INTEGER) {
      status = pllm_fail(err, PLLM_CORRUPT, "prompt_id or position is no integer");
    } else {
      const char *model = (const char *)sqlite3_column_text(stmt, 3);
      size_t model_bytes = (size_t)sqlite3_column_bytes(stmt, 3);
      const void *raw = sqlite3_column_blob(stmt, 4);
      status = pllm_store_add(entry->store, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                              sqlite3_column_int64(stmt, 2), model, model_bytes, raw,
                              (size_t)sqlite3_column_bytes(stmt, 4), err);
    }
    if (status == PLLM_CORRUPT)
      pllm_error_prefix(err, "the shadow tables of \"%.80s\" are damaged: response_id %lld", table->name,
                        (long long)sqlite3_column_int64(stmt, 0));
  }
  status = finish(db, stmt, status, err);
  if (status != PLLM_OK) return status;
  status = pllm_store_finish(entry->store, entry->mean, entry->sd, err);
  if (status == PLLM_CORRUPT) pllm_error_prefix(err, "the shadow tables of \"%.80s\" are damaged", table->name);
  return status;
}

PllmStatus pllm_scores_load_splits(sqlite3 *db, const PllmExtTable *table, int shadow, PllmSplits *splits,
                                   PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  char *sql = shadow ? pllm_store_sql(table->schema, table->name, "", "SELECT prompt_id, split FROM $rows")
                     : sqlite3_mprintf("SELECT prompt_id, split FROM %s", table->quoted);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  PllmStatus status = rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
  sqlite3_free(sql);
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    const char *split = (const char *)sqlite3_column_text(stmt, 1);
    if (sqlite3_column_type(stmt, 0) == SQLITE_INTEGER)
      status =
          pllm_splits_add(splits, sqlite3_column_int64(stmt, 0), split, (size_t)sqlite3_column_bytes(stmt, 1), err);
    else
      status = pllm_fail(err, PLLM_INVALID, "a prompt_id is no integer");
  }
  status = finish(db, stmt, status, err);
  if (status == PLLM_OK) status = pllm_splits_finish(splits, err);
  if (status != PLLM_OK) pllm_error_prefix(err, "prompts table \"%.80s\"", table->name);
  return status;
}
