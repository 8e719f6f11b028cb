/*
** vt_prompts.c: persona_prompts, the prompts of a benchmark.
**
**   CREATE VIRTUAL TABLE prompts USING persona_prompts();
**
**   column     type     meaning
**   prompt_id  INTEGER  the rowid; NULL in an INSERT chooses the next one
**   split      TEXT     'train', 'test', ...; NULL: in no split
**   source     TEXT     where the prompt comes from
**   text       TEXT     the prompt
**   embedding  BLOB     f32 numbers; JSON text is stored as f32; one dimension in the table
**
**   P1  Persistent, transactional, INNOCUOUS; conflict clauses, rename, drop, VACUUM work as for an ordinary table.
**   P2  Equality and ranges on prompt_id are pushed down, never with omit; ORDER BY prompt_id costs no sort.
**   P3  prompt_id takes integers as a column of INTEGER affinity does, the text columns take text and numbers; BLOBs
**       in text columns, and anything but a finite vector of the table's dimension as embedding, are errors.
**   P4  The dimension is that of the embeddings there are: when all are gone another may begin.
** Storage: see ext_store.h; the narrow table is T_rows(prompt_id, split, source).
*/
#include "ext_store.h"

#include <string.h>

enum { COL_ID, COL_SPLIT, COL_SOURCE, COL_TEXT, COL_EMBEDDING, N_COLUMNS };

/* A column that an UPDATE leaves alone keeps the old row's value. */
static int bind_or_keep(StoreVtab *table, const char *name, sqlite3_value *value, sqlite3_stmt *old, int at,
                        sqlite3_stmt *stmt, int index) {
  if (old && sqlite3_value_nochange(value)) return sqlite3_bind_value(stmt, index, sqlite3_column_value(old, at));
  return pllm_store_bind_text(table, name, value, stmt, index);
}

static int promptsBind(StoreVtab *table, sqlite3_value **argv, sqlite3_stmt *old, sqlite3_stmt *stmt) {
  int rc = bind_or_keep(table, "split", argv[COL_SPLIT], old, 0, stmt, 2);
  if (rc == SQLITE_OK) rc = bind_or_keep(table, "source", argv[COL_SOURCE], old, 1, stmt, 3);
  return rc;
}

static int promptsColumn(StoreCursor *cursor, sqlite3_context *context, int column) {
  sqlite3_result_value(context, sqlite3_column_value(cursor->scan, column));
  return SQLITE_OK;
}

static const StoreKind prompts = {
    .module = "persona_prompts",
    .id = "prompt_id",
    .rows = "rows",
    .create = "split TEXT, source TEXT",
    .scan = "SELECT prompt_id, split, source FROM $rows",
    .sql = {[STORE_ROW_DELETE] = "DELETE FROM $rows WHERE prompt_id = ?1",
            [STORE_ROW_GET] = "SELECT split, source FROM $rows WHERE prompt_id = ?1",
            [STORE_ROW_INSERT] = "INSERT INTO $rows(prompt_id, split, source) VALUES (?1, ?2, ?3)",
            [STORE_ROW_UPDATE] = "UPDATE $rows SET prompt_id = ?1, split = ?2, source = ?3 WHERE prompt_id = ?4",
            [STORE_ROW_LAST] = "SELECT max(prompt_id) FROM $rows",
            [STORE_ROW_CLASH] = "SELECT prompt_id FROM $rows WHERE prompt_id = ?2 AND prompt_id IS NOT ?1"},
    .rows_guess = 10000,
    .n_keys = 1,
    .keys = {"prompt_id"},
    .key_columns = {COL_ID},
    .text = COL_TEXT,
    .embedding = COL_EMBEDDING,
    .cursor_bytes = sizeof(StoreCursor),
    .bind = promptsBind,
    .column = promptsColumn,
    .integrity = pllm_store_orphans,
};

static int promptsDisconnect(sqlite3_vtab *vtab) {
  pllm_store_close((StoreVtab *)vtab);
  pllm_free(vtab);
  return SQLITE_OK;
}

static int start(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab, char **message,
                 int create) {
  StoreVtab *table;
  int rc;
  if (argc > 3 && argv[3][strspn(argv[3], " \t\r\n")]) {
    *message = sqlite3_mprintf("persona_prompts: takes no arguments, found \"%.60s\"", argv[3]);
    return *message ? SQLITE_ERROR : SQLITE_NOMEM;
  }
  rc = sqlite3_declare_vtab(db, "CREATE TABLE x(prompt_id INTEGER, split TEXT, source TEXT, text TEXT, "
                                "embedding BLOB)");
  if (rc != SQLITE_OK) return rc;
  table = pllm_alloc_zero(1, sizeof *table);
  if (!table) return SQLITE_NOMEM;
  rc = pllm_store_open(table, &prompts, arg, db, argv);
  table->columns = N_COLUMNS;
  if (rc == SQLITE_OK && create) rc = pllm_store_create(table, message);
  if (rc == SQLITE_OK)
    *vtab = &table->base;
  else
    promptsDisconnect(&table->base);
  return rc;
}

static int promptsCreate(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab,
                         char **message) {
  return start(db, arg, argc, argv, vtab, message, 1);
}

static int promptsConnect(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **vtab,
                          char **message) {
  return start(db, arg, argc, argv, vtab, message, 0);
}

static int promptsDestroy(sqlite3_vtab *vtab) {
  int rc = pllm_store_destroy((StoreVtab *)vtab);
  return rc == SQLITE_OK ? promptsDisconnect(vtab) : rc;
}

static int promptsShadowName(const char *suffix) {
  return pllm_store_shadow_name(&prompts, suffix);
}

int pllm_ext_init_prompts(PllmConn *conn, char **error) {
  static const StoreModule prompts_module =
      STORE_MODULE(promptsCreate, promptsConnect, promptsDisconnect, promptsDestroy, promptsShadowName);
  return pllm_ext_module(conn, prompts.module, &prompts_module.module, error);
}
