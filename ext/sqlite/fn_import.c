/*
** fn_import.c: persona_import(path, split [, options]) -> INTEGER, the number of prompts (or users) loaded.
**
**   SELECT persona_import('train.jsonl', 'train', '{"means": "fitted"}');
**   SELECT persona_import('test.jsonl.gz', 'test');
**
**   I1  The file: JSON lines, plain or gzip (told by its magic number), at most 32 MiB a line.  Blank lines, CRLF
**       line ends, a byte order mark, a last line without line end are fine.  What it holds is told by its first
**       line: the main data set (definitions.md#data-set-columns), or person_id / person_weight with test_prompt: the
**       evaluation set (definitions.md#evaluation-set), without it: the interaction database
**       (definitions.md#interaction-database).
**   I2  The main data set goes into prompts and responses, which are created where missing, with the reward models of
**       the keys response_i_NAME, sorted by name: those of the first line or, where a later line has others, of all
**       lines.  An existing table takes the reward models it has; scores it does not know are an error, scores the
**       file lacks stay NULL.  subset becomes source.
**   I3  Keys and nulls: rules R1 to R4 of core_dataset.c.  A response of nothing but nulls makes no row.
**   I4  prompt_id is the file's ("ids": "file", the default): a whole number, new to the table.  "renumber" ignores
**       it (it may be text or missing) and counts on from the table's largest, from 1 in an empty table.  response_id
**       counts on likewise, in the order of the lines and of the response numbers: the same files in the same order
**       give the same ids.
**   I5  Embeddings come from the file itself or from option "embeddings", a second file: a line matches by prompt_id
**       where it has one, else by its order.  They are kept as f32; texts and scores of that file are ignored.
**   I6  "means": "published" (definitions.md#reward-models), "fitted" (mean and population sd of the scores of split
**       train, this file's included) or a JSON file {"NAME": {"mean": m, "sd": s}, ...} sets mean and sd in
**       reward_models; without it they stay as they are (0 and 1 for a new table).
**   I7  "prompts", "responses": the tables' names, with a schema if need be.
**   I8  Users go into ordinary tables named by "tables" (default eval or interaction):
**         T_users(user_id, split, weights, history_length [, test_prompt, ..., of the evaluation set])
**         T_history(user_id, turn, prompt, response_a, response_b, chosen, reward, and three embeddings)
**         T_embeddings(user_id, interactions, winning, losing, winning_minus_losing)
**       weights is an f64 vector in the file's order (sorted names), so T_users is a population.  Reward feedback has
**       response_a and reward.  "renumber" counts user_id on from the largest, from 0 in an empty table.
**   I9  All or nothing: a savepoint is rolled back on any error.  It works in autocommit and inside a transaction,
**       and is an error inside a statement that writes.  An interrupt (sqlite3_interrupt) rolls back the transaction
**       around it, as it does for every writing statement of SQLite.
**   I10 Errors name file, line and key.  DIRECTONLY: no use in views, triggers, generated columns.
** Method: the calling thread reads and writes while helper threads parse the next batch (core_pipeline.c).  Memory:
** some ten megabytes, or a few times the longest line.
*/
#include "import.h"

#include <stdarg.h>
#include <string.h>

PllmStatus pllm_import_sqlite(Import *import, int rc, PllmError *err) {
  import->rc = rc;
  return pllm_ext_sqlite_fail(err, import->db, rc);
}

static PllmStatus prepare(Import *import, sqlite3_stmt **stmt, char *sql, PllmError *err) { /* takes sql */
  int rc = sql ? sqlite3_prepare_v2(import->db, sql, -1, stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc == SQLITE_OK ? PLLM_OK : pllm_import_sqlite(import, rc, err);
}

PllmStatus pllm_import_prepare(Import *import, sqlite3_stmt **stmt, PllmError *err, const char *format, ...) {
  va_list args;
  char *sql;
  va_start(args, format);
  sql = sqlite3_vmprintf(format, args);
  va_end(args);
  return prepare(import, stmt, sql, err);
}

PllmStatus pllm_import_exec(Import *import, PllmError *err, const char *format, ...) {
  va_list args;
  char *sql;
  int rc;
  va_start(args, format);
  sql = sqlite3_vmprintf(format, args);
  va_end(args);
  rc = sql ? sqlite3_exec(import->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc == SQLITE_OK ? PLLM_OK : pllm_import_sqlite(import, rc, err);
}

PllmStatus pllm_import_step(Import *import, sqlite3_stmt *stmt, PllmError *err) {
  int rc;
  sqlite3_step(stmt);
  rc = sqlite3_reset(stmt);
  return rc == SQLITE_OK ? PLLM_OK : pllm_import_sqlite(import, rc, err);
}

PllmStatus pllm_import_integer(Import *import, sqlite3_int64 *out, PllmError *err, const char *format, ...) {
  sqlite3_stmt *stmt = NULL;
  va_list args;
  char *sql;
  PllmStatus status;
  *out = 0;
  va_start(args, format);
  sql = sqlite3_vmprintf(format, args);
  va_end(args);
  status = prepare(import, &stmt, sql, err);
  if (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) *out = sqlite3_column_int64(stmt, 0);
  if (status == PLLM_OK) {
    int rc = sqlite3_reset(stmt);
    if (rc != SQLITE_OK) status = pllm_import_sqlite(import, rc, err);
  }
  sqlite3_finalize(stmt);
  return status;
}

PllmStatus pllm_import_at(const PllmReader *reader, size_t line, PllmError *err) {
  if (err->status == PLLM_NOMEM || err->status == PLLM_INTERRUPTED) return err->status;
  return pllm_error_prefix(err, "%.100s line %zu", pllm_reader_name(reader), line);
}

PllmStatus pllm_import_not_json(const PllmReader *reader, const PllmItem *item, PllmError *err) {
  PllmJson *json = NULL;
  PllmStatus status = pllm_json_parse(item->text, item->bytes, &json, err);
  pllm_json_free(json);
  if (status == PLLM_OK) /* it failed before: memory was short */
    status = pllm_fail_nomem(err);
  return pllm_import_at(reader, item->line, err);
}

void pllm_import_bind_text(sqlite3_stmt *stmt, int index, const char *text) {
  if (text)
    sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
  else
    sqlite3_bind_null(stmt, index);
}

void pllm_import_bind_embedding(sqlite3_stmt *stmt, int index, const PllmEmbedding *embedding) {
  if (embedding->f32)
    sqlite3_bind_blob64(stmt, index, embedding->f32, embedding->dim * PLLM_F32, SQLITE_STATIC);
  else
    sqlite3_bind_null(stmt, index);
}

/* ---- all or nothing ---- */

static PllmStatus savepoint_open(Import *import, PllmError *err) {
  sqlite3_int64 ignored;
  /* Have the schema loaded: see force_rollback. */
  PllmStatus status = pllm_import_integer(import, &ignored, err, "SELECT count(*) FROM main.sqlite_schema");
  if (status != PLLM_OK) return status;
  import->autocommit = sqlite3_get_autocommit(import->db);
  status = pllm_import_exec(import, err, "SAVEPOINT personalllm_import");
  if (status != PLLM_OK && import->rc == SQLITE_BUSY)
    pllm_fail(err, PLLM_INVALID,
              "it writes, so it cannot run inside a statement that writes; a SELECT of its own is required");
  return status;
}

/*
** While the connection is interrupted no SQL runs, ROLLBACK neither, and the interrupt lasts until the SELECT that
** called us has ended; in autocommit mode that would leave our savepoint open for good.  A statement that writes and
** meets an interrupt rolls the whole transaction back, but none can be prepared now, and those prepared before a
** CREATE VIRTUAL TABLE have expired.  Opening a BLOB for writing runs such a statement without preparing one; it
** needs nothing but a loaded schema.
*/
static void force_rollback(Import *import) {
  sqlite3_blob *blob = NULL;
  sqlite3_blob_open(import->db, "main", "sqlite_schema", "sql", 1, 1, &blob);
  sqlite3_blob_close(blob);
}

static void savepoint_undo(Import *import) {
  int rc = SQLITE_INTERRUPT;
  if (sqlite3_get_autocommit(import->db)) return; /* SQLite has rolled back already */
  if (pllm_poll(&import->poll.run, NULL) == PLLM_OK)
    rc = sqlite3_exec(import->db,
                      import->autocommit ? "ROLLBACK" : "ROLLBACK TO personalllm_import; RELEASE personalllm_import",
                      NULL, NULL, NULL);
  if ((rc & 0xFF) == SQLITE_INTERRUPT) force_rollback(import);
}

/* ---- the function ---- */

static PllmStatus refuse_option(const char *name, int given, const char *what, PllmError *err) {
  if (!given) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "option \"%s\" does not apply to %s", name, what);
}

/* Which file is it, and do the options go with it? */
static PllmStatus load(Import *import, PllmError *err) {
  static const char *const names[] = {"a file of prompts", "an evaluation set", "an interaction database"};
  PllmLines lines = {0};
  PllmJson *first = NULL;
  PllmDatasetKind kind = PLLM_DATASET_PROMPTS;
  PllmStatus status = pllm_reader_peek(import->reader, &import->poll.run, &lines, err);
  if (status == PLLM_OK && lines.count == 0)
    status =
        pllm_fail(err, PLLM_INVALID, "%.200s is empty; JSON lines are required", pllm_reader_name(import->reader));
  if (status == PLLM_OK) {
    status = pllm_json_parse(lines.text + lines.line[0].start, lines.line[0].bytes, &first, err);
    if (status != PLLM_OK) pllm_import_at(import->reader, lines.line[0].number, err);
  }
  pllm_lines_free(&lines);
  if (status == PLLM_OK) kind = pllm_dataset_kind(first);
  if (status == PLLM_OK && (kind == PLLM_DATASET_EVAL || kind == PLLM_DATASET_INTERACTIONS)) {
    const char *what = names[kind];
    status = refuse_option("embeddings", import->embeddings != NULL, what, err);
    if (status == PLLM_OK) status = refuse_option("means", import->means != NULL, what, err);
    if (status == PLLM_OK) status = refuse_option("prompts", import->prompts != NULL, what, err);
    if (status == PLLM_OK) status = refuse_option("responses", import->responses != NULL, what, err);
    if (status == PLLM_OK) status = pllm_import_users(import, kind == PLLM_DATASET_EVAL, err);
  } else if (status == PLLM_OK && kind == PLLM_DATASET_EMBEDDINGS) {
    status = pllm_fail(err, PLLM_INVALID, "%.200s has embeddings but no prompts; it goes into option \"embeddings\"",
                       pllm_reader_name(import->reader));
  } else if (status == PLLM_OK) {
    status = refuse_option("tables", import->tables != NULL, names[0], err);
    if (status == PLLM_OK) status = pllm_import_prompts(import, first, err);
  }
  pllm_json_free(first);
  return status;
}

static PllmStatus run_import(Import *import, PllmError *err) {
  PllmStatus status = pllm_reader_open(import->path, &import->reader, err);
  if (status != PLLM_OK) return status;
  status = pllm_ext_poll_open(import->conn, &import->poll, err);
  if (status != PLLM_OK) import->rc = sqlite3_errcode(import->db);
  if (status == PLLM_OK) status = savepoint_open(import, err);
  if (status == PLLM_OK) {
    status = load(import, err);
    if (status == PLLM_OK) status = pllm_import_exec(import, err, "RELEASE personalllm_import"); /* may commit */
    if (status != PLLM_OK) savepoint_undo(import);
  }
  pllm_ext_poll_close(&import->poll);
  return status;
}

static void persona_import(sqlite3_context *context, int argc, sqlite3_value **argv) {
  Import import = {.conn = sqlite3_user_data(context), .ids = IMPORT_IDS_FILE};
  PllmOption options[] = {
      {.name = "embeddings", .kind = PLLM_OPTION_TEXT, .value = &import.embeddings},
      {.name = "means", .kind = PLLM_OPTION_TEXT, .value = &import.means},
      {.name = "ids", .kind = PLLM_OPTION_CHOICE, .value = &import.ids, .choices = "file|renumber"},
      {.name = "prompts", .kind = PLLM_OPTION_TEXT, .value = &import.prompts},
      {.name = "responses", .kind = PLLM_OPTION_TEXT, .value = &import.responses},
      {.name = "tables", .kind = PLLM_OPTION_TEXT, .value = &import.tables},
  };
  PllmError err;
  PllmStatus status = PLLM_OK;
  import.db = import.conn->db;
  import.path = pllm_ext_text_argument(context, "persona_import", 1, "path", argv[0]);
  if (!import.path) return;
  import.split = pllm_ext_text_argument(context, "persona_import", 2, "split", argv[1]);
  if (!import.split) return;
  if (argc == 3 &&
      !pllm_ext_options_argument(context, "persona_import", argv[2], options, sizeof options / sizeof *options))
    return;
  status = run_import(&import, &err);
  if (status == PLLM_OK) {
    sqlite3_result_int64(context, import.loaded);
  } else {
    pllm_ext_result_error(context, "persona_import", &err);
    if (import.rc && status != PLLM_NOMEM) sqlite3_result_error_code(context, import.rc);
  }
  pllm_reader_close(import.reader);
  pllm_free(import.embeddings);
  pllm_free(import.means);
  pllm_free(import.prompts);
  pllm_free(import.responses);
  pllm_free(import.tables);
}

int pllm_ext_init_import(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_import", .args = 2, .flags = PLLM_DIRECT, .scalar = persona_import},
      {.name = "persona_import", .args = 3, .flags = PLLM_DIRECT, .scalar = persona_import},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
