/*
** fn_export.c: persona_export(path, split [, options]) -> INTEGER, the number of prompts written.
**
**   SELECT persona_export('train.jsonl.gz', 'train', '{"embeddings": true}');
**
**   E1  One line a prompt, by prompt_id, in the schema of the published data set: prompt_id, prompt, subset, then for
**       i = 1, 2, ... response_i, response_i_model, response_i_NAME (the raw scores).  "embeddings": true adds
**       prompt_embedding and prompt_response_i_embedding.  A NULL split writes all prompts; an unknown one is an
**       error.
**   E2  persona_import of the file gives the same texts, NULLs and embeddings and the same bits of every score.
**       Numbers are as short as that allows.  A position without response is written as null.
**   E3  gzip when the path ends in .gz.  The file appears whole or not at all: it is written beside its place, synced
**       and renamed.  An existing file is an error unless "overwrite": true.
**   E4  "prompts", "responses": the tables' names.
** DIRECTONLY.  Memory: one prompt.
*/
#include "ext_int.h"

#include <string.h>

typedef struct Export {
  PllmConn *conn;    /* not owned */
  sqlite3 *db;       /* not owned */
  const char *split; /* NULL: all */
  int embeddings;
  PllmExtTable prompts, responses;
  PllmNameList models;
  PllmWriter *writer;
  sqlite3_stmt *prompt, *response;
  double *numbers; /* [room] an embedding */
  size_t room;
  sqlite3_int64 written;
  int rc; /* code of the SQLite call that failed, else 0 */
} Export;

static PllmStatus sqlite_failed(Export *e, int rc, PllmError *err) {
  e->rc = rc;
  return pllm_ext_sqlite_fail(err, e->db, rc);
}

static PllmStatus prepare(Export *e, sqlite3_stmt **stmt, char *sql, PllmError *err) { /* takes sql */
  int rc = sql ? sqlite3_prepare_v2(e->db, sql, -1, stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc == SQLITE_OK ? PLLM_OK : sqlite_failed(e, rc, err);
}

/* The reward models: the columns behind embedding. */
static PllmStatus read_models(Export *e, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  int behind = 0, rc;
  PllmStatus status = prepare(e, &stmt,
                              sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q, %Q) ORDER BY cid",
                                              e->responses.name, e->responses.schema),
                              err);
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    if (!name) {
      status = pllm_fail_nomem(err);
    } else if (behind) {
      status = pllm_name_list_add(&e->models, name, err);
    } else {
      behind = strcmp(name, "embedding") == 0;
    }
  }
  rc = sqlite3_finalize(stmt);
  return status != PLLM_OK || rc == SQLITE_OK ? status : sqlite_failed(e, rc, err);
}

static PllmStatus open_tables(Export *e, const char *prompts, const char *responses, PllmError *err) {
  sqlite3_str *sql;
  PllmStatus status = pllm_ext_table_find(e->db, prompts ? prompts : "prompts", NULL, &e->prompts, err);
  if (status == PLLM_OK)
    status = pllm_ext_table_find(e->db, responses ? responses : "responses", e->prompts.schema, &e->responses, err);
  if (status == PLLM_OK) status = read_models(e, err);
  if (status == PLLM_OK)
    status =
        prepare(e, &e->prompt,
                sqlite3_mprintf("SELECT prompt_id, text, source, %s FROM %s WHERE ?1 IS NULL OR split = ?1 ORDER BY "
                                "prompt_id",
                                e->embeddings ? "embedding" : "NULL", e->prompts.quoted),
                err);
  if (status != PLLM_OK) return status;
  if (e->split) sqlite3_bind_text(e->prompt, 1, e->split, -1, SQLITE_STATIC);
  sql = sqlite3_str_new(e->db);
  sqlite3_str_appendf(sql, "SELECT position, text, model, %s", e->embeddings ? "embedding" : "NULL");
  for (size_t b = 0; b < e->models.count; b++) sqlite3_str_appendf(sql, ", \"%w\"", e->models.name[b]);
  sqlite3_str_appendf(sql, " FROM %s WHERE prompt_id = ?1 ORDER BY position", e->responses.quoted);
  return prepare(e, &e->response, sqlite3_str_finish(sql), err);
}

/* An unknown split: which ones there are. */
static PllmStatus unknown_split(Export *e, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  char known[PLLM_ERROR_TEXT / 2] = "none";
  size_t used = 0;
  int rc;
  PllmStatus status = prepare(e, &stmt,
                              sqlite3_mprintf("SELECT split, count(*) FROM %s WHERE split IS NOT NULL GROUP BY split "
                                              "ORDER BY split",
                                              e->prompts.quoted),
                              err);
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW && used + 100 < sizeof known) {
    sqlite3_snprintf((int)(sizeof known - used), known + used, "%s%.60s (%lld)", used ? ", " : "",
                     sqlite3_column_text(stmt, 0), sqlite3_column_int64(stmt, 1));
    used += strlen(known + used);
  }
  rc = sqlite3_finalize(stmt);
  if (status != PLLM_OK) return status;
  if (rc != SQLITE_OK) return sqlite_failed(e, rc, err);
  return pllm_fail(err, PLLM_INVALID, "no prompt of %.60s has split \"%.60s\"; splits: %s", e->prompts.name, e->split,
                   known);
}

static PllmStatus put(Export *e, const char *text, PllmError *err) {
  return pllm_writer_raw(e->writer, text, strlen(text), err);
}

/* , "key": */
static PllmStatus put_key(Export *e, const char *key, PllmError *err) {
  PllmStatus status = put(e, ", ", err);
  if (status == PLLM_OK) status = pllm_writer_string(e->writer, key, strlen(key), err);
  return status == PLLM_OK ? put(e, ": ", err) : status;
}

static PllmStatus put_text(Export *e, const char *key, sqlite3_stmt *row, int column, PllmError *err) {
  PllmStatus status = put_key(e, key, err);
  const char *text;
  if (status != PLLM_OK) return status;
  if (sqlite3_column_type(row, column) == SQLITE_NULL) return put(e, "null", err);
  text = (const char *)sqlite3_column_text(row, column);
  if (!text) return pllm_fail_nomem(err);
  status = pllm_writer_string(e->writer, text, (size_t)sqlite3_column_bytes(row, column), err);
  return status == PLLM_INVALID ? pllm_error_prefix(err, "key \"%.60s\"", key) : status;
}

static PllmStatus put_number(Export *e, const char *key, sqlite3_stmt *row, int column, PllmError *err) {
  char text[32];
  PllmStatus status = put_key(e, key, err);
  if (status != PLLM_OK) return status;
  if (sqlite3_column_type(row, column) == SQLITE_NULL) return put(e, "null", err);
  pllm_number_text(sqlite3_column_double(row, column), text);
  status = put(e, text, err);
  /* A score is a real number for readers that tell 1 and 1.0 apart; and -0 would lose its sign there. */
  return status == PLLM_OK && text[strspn(text, "-0123456789")] == 0 ? put(e, ".0", err) : status;
}

static PllmStatus put_embedding(Export *e, const char *key, sqlite3_stmt *row, int column, PllmError *err) {
  const void *blob;
  size_t n;
  PllmStatus status;
  if (!e->embeddings || sqlite3_column_type(row, column) == SQLITE_NULL) return PLLM_OK;
  blob = sqlite3_column_blob(row, column);
  n = (size_t)sqlite3_column_bytes(row, column) / PLLM_F32;
  if (!blob) return pllm_fail_nomem(err);
  if (n > e->room) {
    double *numbers = pllm_resize(e->numbers, n, sizeof *numbers);
    if (!numbers) return pllm_fail_nomem(err);
    e->numbers = numbers;
    e->room = n;
  }
  pllm_vector_load(blob, PLLM_F32, n, e->numbers);
  status = put_key(e, key, err);
  for (size_t i = 0; status == PLLM_OK && i < n; i++) {
    char text[36] = ", ";
    pllm_number_text_f32((float)e->numbers[i], text + 2);
    if (i == 0) text[1] = '[';
    status = put(e, i == 0 ? text + 1 : text, err);
  }
  return status == PLLM_OK ? put(e, "]", err) : status;
}

static PllmStatus put_response(Export *e, sqlite3_int64 i, PllmError *err) {
  char key[64];
  sqlite3_stmt *row = e->response;
  PllmStatus status;
  sqlite3_snprintf(sizeof key, key, "response_%lld", i);
  status = put_text(e, key, row, 1, err);
  sqlite3_snprintf(sizeof key, key, "response_%lld_model", i);
  if (status == PLLM_OK) status = put_text(e, key, row, 2, err);
  for (size_t b = 0; status == PLLM_OK && b < e->models.count; b++) {
    char *name = sqlite3_mprintf("response_%lld_%s", i, e->models.name[b]);
    status = name ? put_number(e, name, row, (int)b + 4, err) : pllm_fail_nomem(err);
    sqlite3_free(name);
  }
  sqlite3_snprintf(sizeof key, key, "prompt_response_%lld_embedding", i);
  return status == PLLM_OK ? put_embedding(e, key, row, 3, err) : status;
}

/* Positions run from 1 without gaps in the file. */
static PllmStatus put_responses(Export *e, sqlite3_int64 prompt_id, PllmError *err) {
  sqlite3_int64 next = 1;
  int rc;
  PllmStatus status = PLLM_OK;
  sqlite3_bind_int64(e->response, 1, prompt_id);
  while (status == PLLM_OK && sqlite3_step(e->response) == SQLITE_ROW) {
    sqlite3_int64 position = sqlite3_column_int64(e->response, 0);
    if (position > PLLM_MAX_RESPONSES)
      status = pllm_fail(err, PLLM_INVALID, "a response at position %lld; the file has at most %d", position,
                         PLLM_MAX_RESPONSES);
    for (; status == PLLM_OK && next < position; next++) {
      char key[32];
      sqlite3_snprintf(sizeof key, key, "response_%lld", next);
      status = put_key(e, key, err);
      if (status == PLLM_OK) status = put(e, "null", err);
    }
    if (status == PLLM_OK) status = put_response(e, next++, err);
  }
  rc = sqlite3_reset(e->response);
  if (status == PLLM_OK && rc != SQLITE_OK) status = sqlite_failed(e, rc, err);
  if (status == PLLM_OK && next == 1) {
    status = put_key(e, "response_1", err);
    if (status == PLLM_OK) status = put(e, "null", err);
  }
  return status;
}

static PllmStatus put_prompt(Export *e, PllmError *err) {
  char id[48];
  sqlite3_stmt *row = e->prompt;
  sqlite3_int64 prompt_id = sqlite3_column_int64(row, 0);
  PllmStatus status;
  if (prompt_id > PLLM_MAX_JSON_ID || prompt_id < -PLLM_MAX_JSON_ID)
    status = pllm_fail(err, PLLM_INVALID, "JSON numbers hold ids within +-9007199254740991 only");
  else
    status = PLLM_OK;
  sqlite3_snprintf(sizeof id, id, "{\"prompt_id\": %lld", prompt_id);
  if (status == PLLM_OK) status = put(e, id, err);
  if (status == PLLM_OK) status = put_text(e, "prompt", row, 1, err);
  if (status == PLLM_OK) status = put_text(e, "subset", row, 2, err);
  if (status == PLLM_OK) status = put_embedding(e, "prompt_embedding", row, 3, err);
  if (status == PLLM_OK) status = put_responses(e, prompt_id, err);
  if (status == PLLM_OK) status = put(e, "}\n", err);
  if (status == PLLM_INVALID && !e->rc) pllm_error_prefix(err, "prompt %lld", (long long)prompt_id);
  return status;
}

static PllmStatus write_prompts(Export *e, PllmError *err) {
  int rc;
  PllmStatus status = PLLM_OK;
  while (status == PLLM_OK && sqlite3_step(e->prompt) == SQLITE_ROW) {
    status = put_prompt(e, err);
    e->written++;
  }
  rc = sqlite3_reset(e->prompt);
  if (status == PLLM_OK && rc != SQLITE_OK) status = sqlite_failed(e, rc, err);
  if (status == PLLM_OK && e->written == 0 && e->split) status = unknown_split(e, err);
  return status;
}

static void persona_export(sqlite3_context *context, int argc, sqlite3_value **argv) {
  Export e = {.conn = sqlite3_user_data(context)};
  char *prompts = NULL, *responses = NULL;
  int overwrite = 0;
  PllmOption options[] = {
      {.name = "embeddings", .kind = PLLM_OPTION_BOOL, .value = &e.embeddings},
      {.name = "overwrite", .kind = PLLM_OPTION_BOOL, .value = &overwrite},
      {.name = "prompts", .kind = PLLM_OPTION_TEXT, .value = &prompts},
      {.name = "responses", .kind = PLLM_OPTION_TEXT, .value = &responses},
  };
  const char *path = pllm_ext_text_argument(context, "persona_export", 1, "path", argv[0]);
  PllmError err;
  PllmStatus status;
  e.db = e.conn->db;
  if (!path) return;
  if (sqlite3_value_type(argv[1]) != SQLITE_NULL) {
    e.split = pllm_ext_text_argument(context, "persona_export", 2, "split", argv[1]);
    if (!e.split) return;
  }
  if (argc == 3 &&
      !pllm_ext_options_argument(context, "persona_export", argv[2], options, sizeof options / sizeof *options))
    return;
  status = open_tables(&e, prompts, responses, &err);
  if (status == PLLM_OK) status = pllm_writer_open(path, overwrite, &e.writer, &err);
  if (status == PLLM_OK) status = write_prompts(&e, &err);
  if (status == PLLM_OK) status = pllm_writer_commit(e.writer, &err);
  if (status == PLLM_OK) {
    sqlite3_result_int64(context, e.written);
  } else {
    pllm_ext_result_error(context, "persona_export", &err);
    if (e.rc && status != PLLM_NOMEM) sqlite3_result_error_code(context, e.rc);
  }
  pllm_writer_close(e.writer);
  sqlite3_finalize(e.prompt);
  sqlite3_finalize(e.response);
  pllm_name_list_free(&e.models);
  pllm_ext_table_free(&e.prompts);
  pllm_ext_table_free(&e.responses);
  pllm_free(e.numbers);
  pllm_free(prompts);
  pllm_free(responses);
}

int pllm_ext_init_export(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_export", .args = 2, .flags = PLLM_DIRECT, .scalar = persona_export},
      {.name = "persona_export", .args = 3, .flags = PLLM_DIRECT, .scalar = persona_export},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
