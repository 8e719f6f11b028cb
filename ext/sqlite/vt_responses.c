/*
** vt_responses.c: persona_responses, the responses and their reward-model scores.
**
**   CREATE VIRTUAL TABLE responses USING persona_responses(beaver_7b, gemma_2b, ... [, prompts=name]);
**
**   column       type     meaning
**   response_id  INTEGER  the rowid; NULL in an INSERT chooses the next one
**   prompt_id    INTEGER  which prompt; need not exist in the prompts table
**   position     INTEGER  from 1; (prompt_id, position) is unique
**   model        TEXT     the LLM that wrote it
**   text         TEXT     the response
**   rewards      BLOB     f64, (raw - mean) / sd of each reward model; computed
**   raw_rewards  BLOB     f64, what the reward models returned, in the order of the arguments
**   embedding    BLOB     f32; JSON text is stored as f32; one dimension in the table
**   <name>       REAL     for each reward model: its raw score
**
**   R1  Names: SQL identifiers, 1 to 256, compared without case; none is a column above or user_id, weights, turn,
**       rowid.
**   R2  mean and sd come from the ordinary table reward_models of the same schema, matched by name without case, read
**       once by every statement that reads `rewards`.  CREATE makes that table (mean 0, sd 1) when the schema has
**       none and leaves an existing one alone.  A missing name, a mean or sd that is no number, sd <= 0: errors.
**   R3  rewards and raw_rewards are NULL until every score is known; partial scores show in their columns.
**   W1  Scores are written as raw_rewards or as the reward models' columns; both must agree where both are given.
**   W2  rewards is ignored beside them, so INSERT ... SELECT * copies; alone it is an error.
**   W3  UPDATE of some scores keeps the others; raw_rewards = NULL forgets all, a column = NULL forgets that one.
**   W4  UPDATE ... FROM hands over every column: there, and where a statement sets every column, a score equal to the
**       old one counts as not given.
**   W5  Numbers are finite; numeric text is taken as REAL affinity does.  NaN arrives as NULL from SQL.
**   W6  prompt_id and position are integers, not NULL; position >= 1.
**   W7  Conflict clauses work on response_id and on (prompt_id, position).
** Equality and ranges on response_id, prompt_id and position are pushed down, never with omit; ORDER BY on them costs
** no extra sort.  Storage: see ext_store.h; the narrow table is T_scores(response_id, prompt_id, position, model,
** raw) with raw as packed by store.h.
*/
#include "vt_responses.h"

#include <math.h>
#include <string.h>

typedef struct ResponsesCursor {
  StoreCursor store;
  int decoded; /* raw and known are those of the current row */
  int all;
  double raw[PLLM_MAX_MODELS];
  uint8_t known[PLLM_MAX_MODELS];
  int has_norms; /* mean and sd were read: once a cursor, that is once a statement */
  double mean[PLLM_MAX_MODELS], sd[PLLM_MAX_MODELS];
} ResponsesCursor;

static void responsesNext(StoreCursor *cursor) {
  ((ResponsesCursor *)cursor)->decoded = 0;
}

static int decode(ResponsesCursor *cursor) {
  ResponsesVtab *table = (ResponsesVtab *)cursor->store.base.pVtab;
  sqlite3_stmt *scan = cursor->store.scan;
  PllmError err;
  if (cursor->decoded) return SQLITE_OK;
  if (pllm_scores_unpack(sqlite3_column_blob(scan, 4), (size_t)sqlite3_column_bytes(scan, 4), (size_t)table->n_models,
                         cursor->raw, cursor->known, &cursor->all, &err) != PLLM_OK) {
    pllm_error_prefix(&err, "its shadow tables are damaged: response_id %lld",
                      (long long)sqlite3_column_int64(scan, 0));
    return pllm_ext_vtab_error(&table->store.base, table->store.name, &err);
  }
  cursor->decoded = 1;
  return SQLITE_OK;
}

static int result_rewards(ResponsesCursor *cursor, sqlite3_context *context) {
  ResponsesVtab *table = (ResponsesVtab *)cursor->store.base.pVtab;
  double rewards[PLLM_MAX_MODELS];
  PllmStatus status = PLLM_OK;
  PllmError err;
  size_t n = (size_t)table->n_models;
  if (!cursor->has_norms)
    status = pllm_ext_norms(table->store.db, table->store.schema, (const char *const *)table->names, table->n_models,
                            &table->norms, cursor->mean, cursor->sd, &err);
  if (status == PLLM_OK) {
    cursor->has_norms = 1;
    status = pllm_scores_normalize(cursor->raw, cursor->mean, cursor->sd, 1, n, rewards, NULL, &err);
  }
  if (status != PLLM_OK) return pllm_ext_vtab_error(&table->store.base, table->store.name, &err);
  pllm_ext_result_vector(context, rewards, n, PLLM_F64);
  return SQLITE_OK;
}

static int responsesColumn(StoreCursor *base, sqlite3_context *context, int column) {
  ResponsesCursor *cursor = (ResponsesCursor *)base;
  ResponsesVtab *table = (ResponsesVtab *)base->base.pVtab;
  int rc;
  if (column <= RESPONSES_COL_MODEL) {
    sqlite3_result_value(context, sqlite3_column_value(base->scan, column));
    return SQLITE_OK;
  }
  rc = decode(cursor);
  if (rc != SQLITE_OK) return rc;
  if (column >= RESPONSES_COL_SCORES) {
    if (cursor->known[column - RESPONSES_COL_SCORES])
      sqlite3_result_double(context, cursor->raw[column - RESPONSES_COL_SCORES]);
    return SQLITE_OK;
  }
  if (!cursor->all) return SQLITE_OK;
  if (column == RESPONSES_COL_REWARDS) return result_rewards(cursor, context);
  pllm_ext_result_vector(context, cursor->raw, (size_t)table->n_models, PLLM_F64);
  return SQLITE_OK;
}

static void responsesClash(StoreVtab *store, sqlite3_stmt *stmt) {
  const ResponsesVtab *table = (const ResponsesVtab *)store;
  sqlite3_bind_int64(stmt, 3, table->prompt_id);
  sqlite3_bind_int64(stmt, 4, table->position);
}

static int responsesUnique(StoreVtab *store) {
  const ResponsesVtab *table = (const ResponsesVtab *)store;
  return pllm_store_error(store, SQLITE_CONSTRAINT,
                          "UNIQUE constraint failed: %s.prompt_id, %s.position (%lld, %lld)", store->name,
                          store->name, table->prompt_id, table->position);
}

static int responsesIntegrity(StoreVtab *store, const char *schema, const char *name, char **message) {
  const ResponsesVtab *table = (const ResponsesVtab *)store;
  sqlite3_stmt *stmt = NULL;
  char *sql = pllm_store_sql(store->schema, store->name, "response_id", "SELECT response_id, raw FROM $scores");
  int rc = sql ? sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  while (rc == SQLITE_OK && !*message && sqlite3_step(stmt) == SQLITE_ROW) {
    double raw[PLLM_MAX_MODELS];
    uint8_t known[PLLM_MAX_MODELS];
    PllmError err;
    int all;
    if (pllm_scores_unpack(sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1),
                           (size_t)table->n_models, raw, known, &all, &err) == PLLM_OK)
      continue;
    *message = sqlite3_mprintf("persona_responses table %s.%s: response_id %lld: %s", schema, name,
                               sqlite3_column_int64(stmt, 0), err.text);
    if (!*message) rc = SQLITE_NOMEM;
  }
  if (rc == SQLITE_OK)
    rc = sqlite3_finalize(stmt);
  else
    sqlite3_finalize(stmt);
  return rc == SQLITE_OK && !*message ? pllm_store_orphans(store, schema, name, message) : rc;
}

static const StoreKind responses = {
    .module = "persona_responses",
    .id = "response_id",
    .rows = "scores",
    .create = "prompt_id INTEGER NOT NULL, position INTEGER NOT NULL, model TEXT, raw BLOB, "
              "UNIQUE(prompt_id, position)",
    .scan = "SELECT response_id, prompt_id, position, model, raw FROM $scores",
    .sql = {[STORE_ROW_DELETE] = "DELETE FROM $scores WHERE response_id = ?1",
            [STORE_ROW_GET] = "SELECT prompt_id, position, model, raw FROM $scores WHERE response_id = ?1",
            [STORE_ROW_INSERT] = "INSERT INTO $scores(response_id, prompt_id, position, model, raw) "
                                 "VALUES (?1, ?2, ?3, ?4, ?5)",
            [STORE_ROW_UPDATE] = "UPDATE $scores SET response_id = ?1, prompt_id = ?2, position = ?3, model = ?4, "
                                 "raw = ?5 WHERE response_id = ?6",
            [STORE_ROW_LAST] = "SELECT max(response_id) FROM $scores",
            [STORE_ROW_CLASH] = "SELECT response_id FROM $scores WHERE (response_id = ?2 OR (prompt_id = ?3 AND "
                                "position = ?4)) AND response_id IS NOT ?1"},
    .rows_guess = 100000,
    .n_keys = 3,
    .keys = {"response_id", "prompt_id", "position"},
    .key_columns = {RESPONSES_COL_ID, RESPONSES_COL_PROMPT, RESPONSES_COL_POSITION},
    .text = RESPONSES_COL_TEXT,
    .embedding = RESPONSES_COL_EMBEDDING,
    .cursor_bytes = sizeof(ResponsesCursor),
    .bind = pllm_responses_bind,
    .clash = responsesClash,
    .unique = responsesUnique,
    .column = responsesColumn,
    .next = responsesNext,
    .integrity = responsesIntegrity,
};

static int responsesDisconnect(sqlite3_vtab *vtab) {
  ResponsesVtab *table = (ResponsesVtab *)vtab;
  sqlite3_finalize(table->norms);
  pllm_ext_names_free(table->names, table->n_models);
  sqlite3_free(table->prompts);
  pllm_store_close(&table->store);
  pllm_free(table);
  return SQLITE_OK;
}

static int declare(sqlite3 *db, const ResponsesVtab *table) {
  sqlite3_str *sql = sqlite3_str_new(db);
  char *text;
  int rc;
  sqlite3_str_appendall(sql, "CREATE TABLE x(response_id INTEGER, prompt_id INTEGER, position INTEGER, model TEXT, "
                             "text TEXT, rewards BLOB, raw_rewards BLOB, embedding BLOB");
  for (int b = 0; b < table->n_models; b++) sqlite3_str_appendf(sql, ", \"%w\" REAL", table->names[b]);
  sqlite3_str_appendchar(sql, 1, ')');
  text = sqlite3_str_finish(sql);
  rc = text ? sqlite3_declare_vtab(db, text) : SQLITE_NOMEM;
  sqlite3_free(text);
  return rc;
}

/* What CREATE adds to the shadow tables: the arguments, and reward_models where the schema has none. */
static int create_rest(ResponsesVtab *table, char **message) {
  StoreVtab *store = &table->store;
  PllmError err;
  int rc = pllm_store_config(store, "prompts", 0, table->prompts);
  for (int b = 0; rc == SQLITE_OK && b < table->n_models; b++)
    rc = pllm_store_config(store, "reward_model", b + 1, table->names[b]);
  if (rc != SQLITE_OK) {
    *message =
        sqlite3_mprintf("persona_responses: cannot fill %s_config: %s", store->name, sqlite3_errmsg(store->db));
    return rc;
  }
  if (pllm_ext_norms_create(store->db, store->schema, (const char *const *)table->names, table->n_models, &err) ==
      PLLM_OK)
    return SQLITE_OK;
  return pllm_ext_message(message, "persona_responses", &err);
}

static int start(sqlite3 *db, void *conn, int argc, const char *const *argv, sqlite3_vtab **vtab, char **message,
                 int create) {
  ResponsesVtab *table = pllm_alloc_zero(1, sizeof *table);
  PllmError err;
  int rc;
  if (!table) return SQLITE_NOMEM;
  rc = pllm_store_open(&table->store, &responses, conn, db, argv);
  if (rc == SQLITE_OK &&
      pllm_responses_arguments(argc, argv, &table->names, &table->n_models, &table->prompts, &err) != PLLM_OK)
    rc = pllm_ext_message(message, "persona_responses", &err);
  if (rc == SQLITE_OK && !table->prompts && !(table->prompts = sqlite3_mprintf("prompts"))) rc = SQLITE_NOMEM;
  table->store.columns = RESPONSES_COL_SCORES + table->n_models;
  if (rc == SQLITE_OK) rc = declare(db, table);
  if (rc == SQLITE_OK && create) rc = pllm_store_create(&table->store, message);
  if (rc == SQLITE_OK && create) rc = create_rest(table, message);
  if (rc == SQLITE_OK)
    *vtab = &table->store.base;
  else
    responsesDisconnect(&table->store.base);
  return rc;
}

static int responsesCreate(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab,
                           char **message) {
  return start(db, arg, argc, argv, vtab, message, 1);
}

static int responsesConnect(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab,
                            char **message) {
  return start(db, arg, argc, argv, vtab, message, 0);
}

static int responsesDestroy(sqlite3_vtab *vtab) {
  int rc = pllm_store_destroy((StoreVtab *)vtab);
  return rc == SQLITE_OK ? responsesDisconnect(vtab) : rc;
}

static int responsesShadowName(const char *suffix) {
  return pllm_store_shadow_name(&responses, suffix);
}

int pllm_ext_init_responses(PllmConn *conn, char **error) {
  static const StoreModule responses_module =
      STORE_MODULE(responsesCreate, responsesConnect, responsesDisconnect, responsesDestroy, responsesShadowName);
  return pllm_ext_module(conn, responses.module, &responses_module.module, error);
}
