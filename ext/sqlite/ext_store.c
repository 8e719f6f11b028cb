/*
** ext_store.c: life and death of the persistent tables' shadow tables, their kept statements and their stamps.
*/
#include "ext_store.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

static const char *const common_sql[STORE_STMTS] = {
    [STORE_STAMP_GET] = "SELECT value FROM $config WHERE key = 'stamp' AND position = 0",
    [STORE_STAMP_SET] = "UPDATE $config SET value = ?1 WHERE key = 'stamp' AND position = 0",
    [STORE_TEXT_GET] = "SELECT text FROM $text WHERE @ = ?1",
    [STORE_TEXT_PUT] = "INSERT OR REPLACE INTO $text(@, text) VALUES (?1, ?2)",
    [STORE_TEXT_DELETE] = "DELETE FROM $text WHERE @ = ?1",
    [STORE_TEXT_MOVE] = "UPDATE OR REPLACE $text SET @ = ?2 WHERE @ = ?1",
    [STORE_EMBEDDING_GET] = "SELECT embedding FROM $embeddings WHERE @ = ?1",
    [STORE_EMBEDDING_PUT] = "INSERT OR REPLACE INTO $embeddings(@, embedding) VALUES (?1, ?2)",
    [STORE_EMBEDDING_DELETE] = "DELETE FROM $embeddings WHERE @ = ?1",
    [STORE_EMBEDDING_MOVE] = "UPDATE OR REPLACE $embeddings SET @ = ?2 WHERE @ = ?1",
    [STORE_EMBEDDING_BYTES] = "SELECT length(embedding) FROM $embeddings WHERE @ IS NOT ?1 LIMIT 1",
};

static const char *const shadows[] = {"text", "embeddings", "config"};
#define N_SHADOWS 3

int pllm_store_shadow_name(const StoreKind *kind, const char *suffix) {
  for (int i = 0; i < N_SHADOWS; i++)
    if (sqlite3_stricmp(suffix, shadows[i]) == 0) return 1;
  return sqlite3_stricmp(suffix, kind->rows) == 0;
}

char *pllm_store_sql(const char *schema, const char *name, const char *id, const char *templ) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  const char *p = templ;
  while (*p) {
    const char *run = p;
    if (*p == '$') {
      for (run = ++p; *p >= 'a' && *p <= 'z';) p++;
      if (p == run)
        sqlite3_str_appendf(out, "\"%w\"", schema);
      else
        sqlite3_str_appendf(out, "\"%w\".\"%w_%.*s\"", schema, name, (int)(p - run), run);
    } else if (*p == '@') {
      sqlite3_str_appendall(out, id);
      p++;
    } else {
      while (*p && *p != '$' && *p != '@') p++;
      sqlite3_str_append(out, run, (int)(p - run));
    }
  }
  return sqlite3_str_finish(out);
}

int pllm_store_error(StoreVtab *table, int rc, const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  text = sqlite3_vmprintf(format, args);
  va_end(args);
  sqlite3_free(table->base.zErrMsg);
  table->base.zErrMsg = text ? sqlite3_mprintf("%s: %s", table->name, text) : NULL;
  sqlite3_free(text);
  if (!table->base.zErrMsg) return SQLITE_NOMEM;
  pllm_text_repair(table->base.zErrMsg);
  return rc;
}

int pllm_store_sqlite_error(StoreVtab *table, int rc) {
  if ((rc & 0xFF) == SQLITE_NOMEM) return SQLITE_NOMEM;
  if (rc == SQLITE_ERROR)
    return pllm_store_error(table, SQLITE_CORRUPT_VTAB, "its shadow tables are damaged: %s",
                            sqlite3_errmsg(table->db));
  return pllm_store_error(table, rc, "%s", sqlite3_errmsg(table->db));
}

int pllm_store_step(StoreVtab *table, sqlite3_stmt *stmt) {
  int rc;
  table->busy = 1;
  rc = sqlite3_step(stmt);
  table->busy = 0;
  return rc;
}

int pllm_store_stmt(StoreVtab *table, StoreStmt which, sqlite3_stmt **stmt) {
  const char *templ = table->kind->sql[which] ? table->kind->sql[which] : common_sql[which];
  char *sql;
  int rc;
  *stmt = NULL;
  if (table->busy)
    return pllm_store_error(table, SQLITE_CORRUPT_VTAB,
                            "its shadow tables are damaged: a trigger or view leads from them back to the table");
  *stmt = table->stmts[which];
  if (*stmt) return SQLITE_OK;
  sql = pllm_store_sql(table->schema, table->name, table->kind->id, templ);
  if (!sql) return SQLITE_NOMEM;
  rc = sqlite3_prepare_v3(table->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &table->stmts[which], NULL);
  sqlite3_free(sql);
  *stmt = table->stmts[which];
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

int pllm_store_run(StoreVtab *table, sqlite3_stmt *stmt) {
  int rc;
  pllm_store_step(table, stmt);
  rc = sqlite3_reset(stmt);
  if ((rc & 0xFF) == SQLITE_CONSTRAINT) return sqlite3_extended_errcode(table->db);
  return rc == SQLITE_OK ? rc : pllm_store_sqlite_error(table, rc);
}

/* ---- stamps ---- */

/* Process-wide, so that a second copy of the modules on the same connection, or a connection that shares a cache and
** reads uncommitted data, counts too. */
static atomic_ulong readings;

unsigned long pllm_store_observe(void) {
  return atomic_fetch_add(&readings, 1);
}

/* The old stamp is stirred in so that processes which forked with one generator's state still write different stamps
** one after the other. */
static sqlite3_uint64 new_stamp(sqlite3_uint64 old) {
  sqlite3_uint64 z;
  sqlite3_randomness(sizeof z, &z);
  z += old * UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

int pllm_store_touch(StoreVtab *table) {
  sqlite3_stmt *stmt;
  sqlite3_uint64 old, stamp;
  unsigned long now = atomic_load(&readings);
  int rc, found;
  if (table->stamped && table->readings == now) return SQLITE_OK;
  rc = pllm_store_stmt(table, STORE_STAMP_GET, &stmt);
  if (rc != SQLITE_OK) return rc;
  found = pllm_store_step(table, stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) == SQLITE_INTEGER;
  old = (sqlite3_uint64)sqlite3_column_int64(stmt, 0);
  rc = sqlite3_reset(stmt);
  if (rc != SQLITE_OK) return pllm_store_sqlite_error(table, rc);
  if (!found)
    return pllm_store_error(table, SQLITE_CORRUPT_VTAB, "its shadow tables are damaged: %s_config has no stamp",
                            table->name);
  rc = pllm_store_stmt(table, STORE_STAMP_SET, &stmt);
  if (rc != SQLITE_OK) return rc;
  do stamp = new_stamp(old);
  while (stamp == old);
  sqlite3_bind_int64(stmt, 1, (sqlite3_int64)stamp);
  rc = pllm_store_run(table, stmt);
  if (rc != SQLITE_OK) return rc;
  table->stamped = 1;
  table->readings = now;
  table->embedding_dim = 0;
  return SQLITE_OK;
}

int pllm_store_begin(sqlite3_vtab *vtab) {
  ((StoreVtab *)vtab)->stamped = 0;
  return SQLITE_OK;
}

int pllm_store_savepoint(sqlite3_vtab *vtab, int n) {
  (void)n;
  return pllm_store_begin(vtab);
}

/* ---- life and death ---- */

static void drop_statements(StoreVtab *table) {
  for (int i = 0; i < STORE_STMTS; i++) {
    sqlite3_finalize(table->stmts[i]);
    table->stmts[i] = NULL;
  }
  for (int i = 0; i < STORE_SPARES; i++) {
    sqlite3_finalize(table->spares[i].stmt);
    sqlite3_free(table->spares[i].plan);
    table->spares[i].stmt = NULL;
    table->spares[i].plan = NULL;
  }
}

int pllm_store_open(StoreVtab *table, const StoreKind *kind, PllmConn *conn, sqlite3 *db, const char *const *argv) {
  table->kind = kind;
  table->db = db;
  table->conn = pllm_ext_conn_ref(conn);
  table->schema = sqlite3_mprintf("%s", argv[1]);
  table->name = sqlite3_mprintf("%s", argv[2]);
  if (!table->schema || !table->name) return SQLITE_NOMEM;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  return SQLITE_OK;
}

void pllm_store_close(StoreVtab *table) {
  drop_statements(table);
  sqlite3_free(table->schema);
  sqlite3_free(table->name);
  sqlite3_free(table->base.zErrMsg);
  table->base.zErrMsg = NULL;
  if (table->conn) pllm_ext_conn_unref(table->conn);
  table->conn = NULL;
}

static int exec(sqlite3 *db, char *sql) { /* takes sql */
  int rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc;
}

int pllm_store_config(StoreVtab *table, const char *key, int position, const char *value) {
  return exec(table->db, sqlite3_mprintf("INSERT INTO \"%w\".\"%w_config\" VALUES (%Q, %d, %Q)", table->schema,
                                         table->name, key, position, value));
}

int pllm_store_create(StoreVtab *table, char **message) {
  const StoreKind *kind = table->kind;
  const char *s = table->schema, *t = table->name;
  sqlite3_uint64 stamp = new_stamp(0);
  int rc = exec(table->db,
                sqlite3_mprintf("CREATE TABLE \"%w\".\"%w_%w\"(%s INTEGER PRIMARY KEY, %s);"
                                "CREATE TABLE \"%w\".\"%w_text\"(%s INTEGER PRIMARY KEY, text TEXT);"
                                "CREATE TABLE \"%w\".\"%w_embeddings\"(%s INTEGER PRIMARY KEY, embedding BLOB);",
                                s, t, kind->rows, kind->id, kind->create, s, t, kind->id, s, t, kind->id));
  if (rc == SQLITE_OK)
    rc = exec(table->db,
              sqlite3_mprintf("CREATE TABLE \"%w\".\"%w_config\"(key TEXT, position INTEGER, value, "
                              "PRIMARY KEY(key, position)) WITHOUT ROWID;"
                              "INSERT INTO \"%w\".\"%w_config\" VALUES ('format', 0, %d), ('module', 0, %Q), "
                              "('stamp', 0, %lld);",
                              s, t, s, t, STORE_FORMAT, kind->module, (sqlite3_int64)stamp));
  if (rc != SQLITE_OK && rc != SQLITE_NOMEM)
    *message =
        sqlite3_mprintf("%s: cannot create the shadow tables of %s: %s", kind->module, t, sqlite3_errmsg(table->db));
  return rc;
}

int pllm_store_destroy(StoreVtab *table) {
  const char *s = table->schema, *t = table->name;
  drop_statements(table);
  return exec(table->db, sqlite3_mprintf("DROP TABLE IF EXISTS \"%w\".\"%w_%w\";"
                                         "DROP TABLE IF EXISTS \"%w\".\"%w_text\";"
                                         "DROP TABLE IF EXISTS \"%w\".\"%w_embeddings\";"
                                         "DROP TABLE IF EXISTS \"%w\".\"%w_config\";",
                                         s, t, table->kind->rows, s, t, s, t, s, t));
}

int pllm_store_rename(sqlite3_vtab *vtab, const char *name) {
  StoreVtab *table = (StoreVtab *)vtab;
  const char *s = table->schema, *t = table->name;
  char *kept = sqlite3_mprintf("%s", name);
  int rc;
  if (!kept) return SQLITE_NOMEM;
  drop_statements(table);
  rc = exec(table->db,
            sqlite3_mprintf("ALTER TABLE \"%w\".\"%w_%w\" RENAME TO \"%w_%w\";"
                            "ALTER TABLE \"%w\".\"%w_text\" RENAME TO \"%w_text\";"
                            "ALTER TABLE \"%w\".\"%w_embeddings\" RENAME TO \"%w_embeddings\";"
                            "ALTER TABLE \"%w\".\"%w_config\" RENAME TO \"%w_config\";",
                            s, t, table->kind->rows, name, table->kind->rows, s, t, name, s, t, name, s, t, name));
  if (rc != SQLITE_OK) {
    sqlite3_free(kept);
    return pllm_store_sqlite_error(table, rc);
  }
  sqlite3_free(table->name);
  table->name = kept;
  return SQLITE_OK;
}

int pllm_store_orphans(StoreVtab *table, const char *schema, const char *name, char **message) {
  char *templ = sqlite3_mprintf("SELECT 'text', @ FROM $text WHERE @ NOT IN (SELECT @ FROM $%s) UNION ALL "
                                "SELECT 'embedding', @ FROM $embeddings WHERE @ NOT IN (SELECT @ FROM $%s) LIMIT 1",
                                table->kind->rows, table->kind->rows);
  char *sql = templ ? pllm_store_sql(table->schema, table->name, table->kind->id, templ) : NULL;
  sqlite3_stmt *stmt = NULL;
  int rc = sql ? sqlite3_prepare_v2(table->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM, found = 0;
  if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    found = 1;
    *message = sqlite3_mprintf("%s table %s.%s: %s of %s %lld, which is no row", table->kind->module, schema, name,
                               sqlite3_column_text(stmt, 0), table->kind->id, sqlite3_column_int64(stmt, 1));
  }
  if (rc == SQLITE_OK)
    rc = sqlite3_finalize(stmt);
  else
    sqlite3_finalize(stmt);
  sqlite3_free(templ);
  sqlite3_free(sql);
  return rc == SQLITE_OK && found && !*message ? SQLITE_NOMEM : rc;
}

int pllm_store_integrity(sqlite3_vtab *vtab, const char *schema, const char *name, int flags, char **message) {
  StoreVtab *table = (StoreVtab *)vtab;
  (void)flags;
  return table->kind->integrity(table, schema, name, message);
}
