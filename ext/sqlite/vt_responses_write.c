/*
** vt_responses_write.c: check the values of a responses row and pack its scores.  Rules W1 to W7 of vt_responses.c.
*/
#include "vt_responses.h"

#include <math.h>
#include <string.h>

/* The scores that a row has before and after, and what the statement says about them. */
typedef struct Scores {
  double old[PLLM_MAX_MODELS], raw[PLLM_MAX_MODELS], given[PLLM_MAX_MODELS];
  uint8_t old_known[PLLM_MAX_MODELS], known[PLLM_MAX_MODELS];
  uint8_t is_given[PLLM_MAX_MODELS];   /* the column says given[b] */
  uint8_t is_cleared[PLLM_MAX_MODELS]; /* the column says NULL, which in an UPDATE forgets the score */
  int old_all;
} Scores;

static int fail(StoreVtab *store, PllmStatus status, PllmError *err) {
  (void)status;
  return pllm_ext_vtab_error(&store->base, store->name, err);
}

/* A per-model column: a finite number, in text as REAL affinity takes it, or NULL. */
static int read_score(ResponsesVtab *table, int b, sqlite3_value *value, double *x) {
  StoreVtab *store = &table->store;
  switch (sqlite3_value_numeric_type(value)) {
  case SQLITE_INTEGER:
  case SQLITE_FLOAT: break;
  case SQLITE_TEXT:
    return pllm_store_error(store, SQLITE_MISMATCH, "%s is the text \"%.40s\"; a finite number is required",
                            table->names[b], sqlite3_value_text(value));
  default:
    return pllm_store_error(store, SQLITE_MISMATCH, "%s is a BLOB; a finite number is required", table->names[b]);
  }
  *x = sqlite3_value_double(value);
  if (isfinite(*x)) return SQLITE_OK;
  return pllm_store_error(store, SQLITE_ERROR, "%s is infinite; a finite number is required", table->names[b]);
}

/* The per-model columns, without those that the statement leaves alone. */
static int read_columns(ResponsesVtab *table, sqlite3_value **argv, const sqlite3_stmt *old, int all_given,
                        Scores *s) {
  for (int b = 0; b < table->n_models; b++) {
    sqlite3_value *value = argv[RESPONSES_COL_SCORES + b];
    int null = sqlite3_value_type(value) == SQLITE_NULL, rc;
    if (old && sqlite3_value_nochange(value)) continue;
    if (null) {
      s->is_cleared[b] = old && s->old_known[b];
      continue;
    }
    rc = read_score(table, b, value, &s->given[b]);
    if (rc != SQLITE_OK) return rc;
    /* UPDATE ... FROM hands over every column: what equals the old score was not set. */
    s->is_given[b] = !(all_given && s->old_known[b] && s->old[b] == s->given[b]);
  }
  return SQLITE_OK;
}

static int disagree(ResponsesVtab *table, int b, const Scores *s) {
  char raw[32], given[32];
  pllm_number_text(s->raw[b], raw);
  pllm_number_text(s->given[b], given);
  return pllm_store_error(&table->store, SQLITE_ERROR,
                          "raw_rewards has %s for %s, but the column %s has %s; give one, or both equal", raw,
                          table->names[b], table->names[b], given);
}

/* rewards = (raw - mean) / sd is computed; a statement that sets nothing else about the scores is mistaken. */
static int rewards_alone(ResponsesVtab *table) {
  return pllm_store_error(
      &table->store, SQLITE_ERROR,
      "rewards is computed from the raw scores and cannot be set; give raw_rewards or the columns "
      "of the reward models");
}

/* In an UPDATE ... FROM rewards comes along unasked: is it what the row shows? */
static int same_rewards(ResponsesVtab *table, sqlite3_value *value, const Scores *s, int *same) {
  double mean[PLLM_MAX_MODELS], sd[PLLM_MAX_MODELS], rewards[PLLM_MAX_MODELS];
  unsigned char bytes[8 * PLLM_MAX_MODELS];
  size_t n = (size_t)table->n_models;
  PllmError err;
  PllmStatus status;
  *same = !s->old_all && sqlite3_value_type(value) == SQLITE_NULL;
  if (!s->old_all || sqlite3_value_type(value) != SQLITE_BLOB || (size_t)sqlite3_value_bytes(value) != 8 * n)
    return SQLITE_OK;
  status = pllm_ext_norms(table->store.db, table->store.schema, (const char *const *)table->names, table->n_models,
                          &table->norms, mean, sd, &err);
  if (status == PLLM_OK) status = pllm_scores_normalize(s->old, mean, sd, 1, n, rewards, NULL, &err);
  if (status != PLLM_OK) return fail(&table->store, status, &err);
  pllm_vector_store(rewards, n, PLLM_F64, bytes);
  *same = memcmp(bytes, sqlite3_value_blob(value), 8 * n) == 0;
  return SQLITE_OK;
}

/* In an UPDATE ... FROM raw_rewards comes along unasked: is it what the row has? */
static int same_raw(const ResponsesVtab *table, int null, const double *numbers, const Scores *s) {
  if (null) return !s->old_all;
  if (!s->old_all) return 0;
  for (int b = 0; b < table->n_models; b++)
    if (numbers[b] != s->old[b]) return 0;
  return 1;
}

/* Decide the row's scores: s->raw and s->known. */
static int decide(ResponsesVtab *table, sqlite3_value **argv, const sqlite3_stmt *old, int all_given, Scores *s) {
  double room[64];
  PllmExtVector vector = PLLM_EXT_VECTOR_ON(room);
  sqlite3_value *raw = argv[RESPONSES_COL_RAW], *rewards = argv[RESPONSES_COL_REWARDS];
  int raw_null = sqlite3_value_type(raw) == SQLITE_NULL, n = table->n_models, any = 0, rc;
  int raw_given = old ? !sqlite3_value_nochange(raw) : !raw_null;
  int rewards_given = old ? !sqlite3_value_nochange(rewards) : sqlite3_value_type(rewards) != SQLITE_NULL;
  memcpy(s->raw, s->old, (size_t)n * sizeof *s->raw);
  memcpy(s->known, s->old_known, (size_t)n);
  rc = read_columns(table, argv, old, all_given, s);
  if (rc != SQLITE_OK) return rc;
  for (int b = 0; b < n; b++) any |= s->is_given[b] | s->is_cleared[b];
  if (raw_given && !raw_null) {
    PllmError err;
    PllmStatus status = pllm_ext_vector_decode(raw, 0, (size_t)n, &vector, &err);
    if (status != PLLM_OK) {
      pllm_error_prefix(&err, "raw_rewards");
      pllm_ext_vector_free(&vector);
      return fail(&table->store, status, &err);
    }
  }
  if (raw_given && all_given && same_raw(table, raw_null, vector.numbers, s)) raw_given = 0;
  if (raw_given && raw_null) {
    memset(s->known, 0, (size_t)n);
  } else if (raw_given) {
    memcpy(s->raw, vector.numbers, (size_t)n * sizeof *s->raw);
    memset(s->known, 1, (size_t)n);
  }
  pllm_ext_vector_free(&vector);
  if (rewards_given && !raw_given && !any) {
    int same = 0;
    if (all_given && (rc = same_rewards(table, rewards, s, &same)) != SQLITE_OK) return rc;
    if (!same) return rewards_alone(table);
  }
  for (int b = 0; b < n; b++) {
    if (s->is_given[b] && raw_given && !raw_null && s->given[b] != s->raw[b]) return disagree(table, b, s);
    if (s->is_given[b] && !(raw_given && !raw_null)) {
      s->raw[b] = s->given[b];
      s->known[b] = 1;
    }
    if (s->is_cleared[b] && !(raw_given && !raw_null)) s->known[b] = 0;
  }
  return SQLITE_OK;
}

/* Did the statement name no column at all?  Only UPDATE ... FROM, which hands over every column, and a statement that
** sets every column look like this. */
static int names_everything(StoreVtab *store, sqlite3_value **argv) {
  for (int i = 0; i < store->columns; i++)
    if (sqlite3_value_nochange(argv[i])) return 0;
  return 1;
}

static int bind_scores(ResponsesVtab *table, sqlite3_value **argv, sqlite3_stmt *old, sqlite3_stmt *stmt, int index) {
  unsigned char packed[PLLM_PACKED_MAX];
  StoreVtab *store = &table->store;
  Scores s;
  PllmError err;
  size_t n = (size_t)table->n_models, length;
  int rc;
  memset(s.is_given, 0, n);
  memset(s.is_cleared, 0, n);
  memset(s.old_known, 0, n);
  memset(s.old, 0, n * sizeof *s.old);
  s.old_all = 0;
  if (old) {
    PllmStatus status = pllm_scores_unpack(sqlite3_column_blob(old, 3), (size_t)sqlite3_column_bytes(old, 3), n,
                                           s.old, s.old_known, &s.old_all, &err);
    if (status != PLLM_OK) {
      pllm_error_prefix(&err, "its shadow tables are damaged: prompt_id %lld, position %lld",
                        (long long)sqlite3_column_int64(old, 0), (long long)sqlite3_column_int64(old, 1));
      return fail(store, status, &err);
    }
  }
  rc = decide(table, argv, old, old && names_everything(store, argv), &s);
  if (rc != SQLITE_OK) return rc;
  length = pllm_scores_pack(s.raw, s.known, n, packed);
  return length ? sqlite3_bind_blob64(stmt, index, packed, length, SQLITE_TRANSIENT) : sqlite3_bind_null(stmt, index);
}

int pllm_responses_bind(StoreVtab *store, sqlite3_value **argv, sqlite3_stmt *old, sqlite3_stmt *stmt) {
  ResponsesVtab *table = (ResponsesVtab *)store;
  int rc = SQLITE_OK;
  if (old && sqlite3_value_nochange(argv[RESPONSES_COL_PROMPT]))
    table->prompt_id = sqlite3_column_int64(old, 0);
  else
    rc = pllm_store_integer(store, "prompt_id", argv[RESPONSES_COL_PROMPT], &table->prompt_id);
  if (rc != SQLITE_OK) return rc;
  if (old && sqlite3_value_nochange(argv[RESPONSES_COL_POSITION]))
    table->position = sqlite3_column_int64(old, 1);
  else
    rc = pllm_store_integer(store, "position", argv[RESPONSES_COL_POSITION], &table->position);
  if (rc != SQLITE_OK) return rc;
  if (table->position < 1)
    return pllm_store_error(store, SQLITE_CONSTRAINT, "position is %lld; positions count from 1", table->position);
  sqlite3_bind_int64(stmt, 2, table->prompt_id);
  sqlite3_bind_int64(stmt, 3, table->position);
  if (old && sqlite3_value_nochange(argv[RESPONSES_COL_MODEL]))
    rc = sqlite3_bind_value(stmt, 4, sqlite3_column_value(old, 2));
  else
    rc = pllm_store_bind_text(store, "model", argv[RESPONSES_COL_MODEL], stmt, 4);
  return rc == SQLITE_OK ? bind_scores(table, argv, old, stmt, 5) : rc;
}
