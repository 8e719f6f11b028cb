/*
** ext_name.c: table names given as arguments: an SQL identifier with an optional schema, never SQL text.
*/
#include "ext_int.h"

#include <string.h>

void pllm_ext_table_free(PllmExtTable *table) {
  sqlite3_free(table->schema);
  sqlite3_free(table->name);
  sqlite3_free(table->quoted);
  memset(table, 0, sizeof *table);
}

static int is_name_char(unsigned char c, int first) {
  return c >= 0x80 || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (!first && ((c >= '0' && c <= '9') || c == '$'));
}

/* Read one identifier at *text into *name (sqlite3_malloc, NULL when out of memory), moving past it; false if none.
 */
static int read_identifier(const char **text, char **name) {
  const char *p = *text;
  char *out = sqlite3_malloc64(strlen(p) + 1);
  size_t n = 0;
  *name = out;
  if (!out) return 1;
  if (*p == '"' || *p == '`' || *p == '[') {
    char close = *p == '[' ? ']' : *p;
    for (p++; *p; p++) {
      if (*p == close) {
        if (p[1] != close || close == ']') break; /* a doubled quote stands for itself */
        p++;
      }
      out[n++] = *p;
    }
    if (*p == close)
      p++;
    else
      n = 0;
  } else {
    while (is_name_char((unsigned char)*p, n == 0)) out[n++] = *p++;
  }
  out[n] = 0;
  *text = p;
  return n > 0;
}

static const char *skip_space(const char *p) {
  while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') p++;
  return p;
}

/* Does this schema have a table or view of that name?  If so *name becomes the name as it was created. */
static int schema_has(sqlite3 *db, const char *schema, char **name, int *found) {
  sqlite3_stmt *stmt = NULL;
  char *sql = sqlite3_mprintf("SELECT name FROM \"%w\".sqlite_schema WHERE type IN ('table', 'view') AND "
                              "name = ?1 COLLATE NOCASE",
                              schema);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  *found = 0;
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_text(stmt, 1, *name, -1, SQLITE_TRANSIENT);
  if (sqlite3_step(stmt) == SQLITE_ROW) {
    char *real = sqlite3_mprintf("%s", (const char *)sqlite3_column_text(stmt, 0));
    if (!real) {
      sqlite3_finalize(stmt);
      return SQLITE_NOMEM;
    }
    sqlite3_free(*name);
    *name = real;
    *found = 1;
  }
  return sqlite3_finalize(stmt);
}

/* Look in near first, then temp, main and the attached databases.  *schema is sqlite3_malloc'ed when found. */
static int search_schemas(sqlite3 *db, const char *near, char **name, char **schema) {
  static const char *const sql = "SELECT name FROM pragma_database_list "
                                 "ORDER BY name <> ?1 COLLATE NOCASE, name <> 'temp', name <> 'main', seq";
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), found = 0, step;
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_text(stmt, 1, near ? near : "temp", -1, SQLITE_STATIC);
  while (rc == SQLITE_OK && !found && sqlite3_step(stmt) == SQLITE_ROW) {
    const char *candidate = (const char *)sqlite3_column_text(stmt, 0);
    rc = candidate ? schema_has(db, candidate, name, &found) : SQLITE_NOMEM;
    if (rc == SQLITE_OK && found) {
      *schema = sqlite3_mprintf("%s", candidate);
      if (!*schema) rc = SQLITE_NOMEM;
    }
  }
  step = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? step : rc;
}

PllmStatus pllm_ext_table_parse(const char *text, PllmExtTable *table, PllmError *err) {
  const char *p = skip_space(text);
  char *first = NULL, *second = NULL;
  int good, dotted = 0;
  PllmStatus status = PLLM_OK;
  memset(table, 0, sizeof *table);
  good = read_identifier(&p, &first);
  p = skip_space(p);
  if (good && *p == '.') {
    dotted = 1;
    p = skip_space(p + 1);
    good = read_identifier(&p, &second);
    p = skip_space(p);
  }
  if (good && (!first || (dotted && !second)))
    status = pllm_fail_nomem(err);
  else if (!good || *p)
    status = pllm_fail(err, PLLM_INVALID,
                       "\"%.60s\" is no table name; an SQL identifier such as users, \"my users\" or aux.users is "
                       "required",
                       text);
  if (status != PLLM_OK) {
    sqlite3_free(first);
    sqlite3_free(second);
    return status;
  }
  table->schema = dotted ? first : NULL;
  table->name = dotted ? second : first;
  return PLLM_OK;
}

static PllmStatus quote(PllmExtTable *table, PllmError *err) {
  table->quoted = sqlite3_mprintf("\"%w\".\"%w\"", table->schema, table->name);
  return table->quoted ? PLLM_OK : pllm_fail_nomem(err);
}

/* Find a parsed name; where there is no such table the schema is left as it was. */
static PllmStatus look_up(sqlite3 *db, const char *near, PllmExtTable *table, int *found, PllmError *err) {
  int rc;
  *found = 0;
  if (table->schema) {
    rc = schema_has(db, table->schema, &table->name, found);
    if (rc == SQLITE_ERROR) rc = SQLITE_OK; /* no such database: nothing is found */
  } else {
    rc = search_schemas(db, near, &table->name, &table->schema);
    *found = table->schema != NULL;
  }
  if (rc == SQLITE_OK) return *found ? quote(table, err) : PLLM_OK;
  return rc == SQLITE_NOMEM ? pllm_fail_nomem(err) : pllm_ext_sqlite_fail(err, db, rc);
}

PllmStatus pllm_ext_table_find(sqlite3 *db, const char *text, const char *near, PllmExtTable *table, PllmError *err) {
  int found;
  PllmStatus status = pllm_ext_table_parse(text, table, err);
  if (status == PLLM_OK) status = look_up(db, near, table, &found, err);
  if (status == PLLM_OK && !found) status = pllm_fail(err, PLLM_INVALID, "no such table: %.100s", text);
  if (status != PLLM_OK) pllm_ext_table_free(table);
  return status;
}

PllmStatus pllm_ext_table_place(sqlite3 *db, const char *text, const char *near, PllmExtTable *table, int *found,
                                PllmError *err) {
  PllmStatus status = pllm_ext_table_parse(text, table, err);
  if (status == PLLM_OK) status = look_up(db, near, table, found, err);
  if (status == PLLM_OK && !table->schema) {
    table->schema = sqlite3_mprintf("%s", near ? near : "main");
    if (!table->schema) status = pllm_fail_nomem(err);
  }
  if (status == PLLM_OK && !*found) status = quote(table, err);
  if (status != PLLM_OK) pllm_ext_table_free(table);
  return status;
}
