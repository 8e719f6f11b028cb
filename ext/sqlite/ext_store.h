/*
** ext_store.h: what the persistent tables persona_prompts and persona_responses share; private to ext_store*.c and
** vt_{prompts,responses}*.c.
**
** Shadow tables of a table T whose id column is ID (ordinary tables, readable by a plain sqlite3):
**   T_<rows>(ID INTEGER PRIMARY KEY, ...)                     the narrow columns: what bulk jobs load
**   T_text(ID INTEGER PRIMARY KEY, text TEXT)                 no row where the text is NULL
**   T_embeddings(ID INTEGER PRIMARY KEY, embedding BLOB)      f32, no row where it is NULL
**   T_config(key TEXT, position INTEGER, value, PRIMARY KEY(key, position)) WITHOUT ROWID
**     ('format', 0, 1), ('module', 0, name), ('stamp', 0, random), and for responses ('prompts', 0, identifier)
**     and ('reward_model', k, name) for k = 1, 2, ...
** Text and embeddings live apart so that loading scores, splits or embeddings never pages through text.
**
** The stamp names the contents: two different contents of a table never have the same one.  It is replaced by the
** first write after every point to which the contents may return or at which somebody may have read them: the start
** of a transaction, a savepoint (every statement that writes more than once opens one), a release, a rollback, and
** every reading of a stamp in this process (a bulk job between two writes of one transaction).
*/
#ifndef PLLM_EXT_STORE_H
#define PLLM_EXT_STORE_H

#include "ext_int.h"

#define STORE_FORMAT 1

/* Statements a table keeps prepared.  The last three differ between the kinds; NULL where a kind has none. */
typedef enum StoreStmt {
  STORE_STAMP_GET,
  STORE_STAMP_SET,
  STORE_ROW_DELETE,
  STORE_TEXT_GET,
  STORE_TEXT_PUT,
  STORE_TEXT_DELETE,
  STORE_TEXT_MOVE,
  STORE_EMBEDDING_GET,
  STORE_EMBEDDING_PUT,
  STORE_EMBEDDING_DELETE,
  STORE_EMBEDDING_MOVE,
  STORE_EMBEDDING_BYTES, /* length of any embedding but that of row ?1 */
  STORE_ROW_GET,         /* narrow columns of row ?1 */
  STORE_ROW_INSERT,      /* ?1 id, ?2... narrow columns */
  STORE_ROW_UPDATE,      /* ?1 new id, ?2... narrow columns, last the old id */
  STORE_ROW_LAST,        /* the greatest id */
  STORE_ROW_CLASH,       /* id of a row other than ?1 that stands in the way of id ?2 (?3... by the kind) */
  STORE_STMTS
} StoreStmt;

typedef struct StoreVtab StoreVtab;
typedef struct StoreCursor StoreCursor;

/* One of the two kinds of table. */
typedef struct StoreKind {
  const char *module;           /* "persona_prompts" */
  const char *id;               /* "prompt_id" */
  const char *rows;             /* suffix of the narrow table */
  const char *create;           /* its columns after the id */
  const char *scan;             /* "SELECT id, narrow columns FROM $rows" */
  const char *sql[STORE_STMTS]; /* from STORE_ROW_GET on */
  double rows_guess;            /* planner's guess */
  int n_keys;
  const char *keys[3]; /* key columns: the id first */
  int key_columns[3];  /* their numbers in the declaration */
  int text, embedding; /* declared column numbers */
  size_t cursor_bytes;
  /* Check and bind the narrow columns from argv (declared columns) to stmt, from parameter 2; old is the stepped
  ** STORE_ROW_GET of the row in an UPDATE, else NULL.  Returns an SQLite code, message set. */
  int (*bind)(StoreVtab *table, sqlite3_value **argv, sqlite3_stmt *old, sqlite3_stmt *stmt);
  /* Bind parameters 3... of STORE_ROW_CLASH to what bind saw last; NULL if there are none. */
  void (*clash)(StoreVtab *table, sqlite3_stmt *stmt);
  /* The text of a UNIQUE failure other than the id's; NULL if there is none. */
  int (*unique)(StoreVtab *table);
  int (*column)(StoreCursor *cursor, sqlite3_context *context, int column); /* all but text and embedding */
  void (*next)(StoreCursor *cursor);                                        /* forget what was decoded of the row */
  /* Describe in *message (sqlite3_mprintf) what is wrong with the stored rows, if anything. */
  int (*integrity)(StoreVtab *table, const char *schema, const char *name, char **message);
} StoreKind;

#define STORE_SPARES 2

struct StoreVtab {
  sqlite3_vtab base;
  const StoreKind *kind;
  PllmConn *conn;                   /* one reference */
  sqlite3 *db;                      /* not owned */
  int busy;                         /* one of its statements is being stepped: see pllm_store_step */
  int columns;                      /* declared */
  char *schema, *name;              /* owned */
  sqlite3_stmt *stmts[STORE_STMTS]; /* owned, prepared when first needed */
  struct {
    char *plan;           /* owned */
    sqlite3_stmt *stmt;   /* owned, reset */
  } spares[STORE_SPARES]; /* scans that nobody runs now, so that a scan need not be prepared again */
  int stamped;            /* the stamp was replaced since ... */
  unsigned long readings; /* ... and nobody had read one since when there were so many readings */
  size_t embedding_dim;   /* while stamped: dimension of all embeddings, 0 when not known */
};

struct StoreCursor {
  sqlite3_vtab_cursor base;
  sqlite3_stmt *scan; /* owned; the current row */
  char *plan;         /* owned; the clauses scan was prepared from */
  int eof;
};

/* ext_store.c: life and death, statements, stamps */

/* Fill *table, allocated and zeroed by the kind; on failure pllm_store_close cleans up. */
int pllm_store_open(StoreVtab *table, const StoreKind *kind, PllmConn *conn, sqlite3 *db, const char *const *argv);
int pllm_store_create(StoreVtab *table, char **message);                                   /* the shadow tables */
int pllm_store_config(StoreVtab *table, const char *key, int position, const char *value); /* a row of T_config */
void pllm_store_close(StoreVtab *table); /* everything but the struct itself */
int pllm_store_destroy(StoreVtab *table);
int pllm_store_rename(sqlite3_vtab *vtab, const char *name);
int pllm_store_shadow_name(const StoreKind *kind, const char *suffix);

/* In a template every $word stands for "schema"."table_word", $ alone for "schema", and @ for the id column. */
char *pllm_store_sql(const char *schema, const char *name, const char *id, const char *templ);
/* A kept statement, reset and ready; an SQLite code with the table's message set. */
int pllm_store_stmt(StoreVtab *table, StoreStmt which, sqlite3_stmt **stmt);
/*
** Step a statement on the shadow tables.  A hostile schema may have triggers on them, or views in their place, that
** lead back into the table; that is SQLITE_CORRUPT_VTAB with a message instead of endless recursion.
*/
int pllm_store_step(StoreVtab *table, sqlite3_stmt *stmt);
/* Run a bound kept statement to its end and reset it.  Constraints come as extended codes without a message. */
int pllm_store_run(StoreVtab *table, sqlite3_stmt *stmt);
/* Set the table's message: "T: ..."; returns rc. */
int pllm_store_error(StoreVtab *table, int rc, const char *format, ...) PLLM_PRINTF(3, 4);
/* The message of a failed SQLite call; what can only mean missing shadow tables becomes SQLITE_CORRUPT_VTAB. */
int pllm_store_sqlite_error(StoreVtab *table, int rc);
int pllm_store_touch(StoreVtab *table); /* before every write: see the stamp above */
unsigned long pllm_store_observe(void); /* somebody is about to read a stamp */

int pllm_store_begin(sqlite3_vtab *vtab); /* also commit and rollback */
int pllm_store_savepoint(sqlite3_vtab *vtab, int n);

/* ext_store_scan.c: plans and cursors */
int pllm_store_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);
int pllm_store_cursor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **cursor);
int pllm_store_cursor_close(sqlite3_vtab_cursor *cursor);
int pllm_store_filter(sqlite3_vtab_cursor *cursor, int plan, const char *text, int argc, sqlite3_value **argv);
int pllm_store_next(sqlite3_vtab_cursor *cursor);
int pllm_store_eof(sqlite3_vtab_cursor *cursor);
int pllm_store_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int pllm_store_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid);

/* ext_store_write.c: xUpdate */
int pllm_store_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);
/* An integer as a column of INTEGER affinity takes it; SQLITE_MISMATCH or SQLITE_CONSTRAINT (NULL) with a message. */
int pllm_store_integer(StoreVtab *table, const char *column, sqlite3_value *value, sqlite3_int64 *out);
/* Check and bind a text column; the value must live until the statement was run. */
int pllm_store_bind_text(StoreVtab *table, const char *column, sqlite3_value *value, sqlite3_stmt *stmt, int index);

/* ext_norms.c: the ordinary table reward_models */

/* Make it in a schema that has none: mean 0, sd 1 for each name. */
PllmStatus pllm_ext_norms_create(sqlite3 *db, const char *schema, const char *const *names, int n, PllmError *err);
/* Read mean[n] and sd[n]; *kept is the statement, prepared when NULL, reset and left to the caller (NULL after a view). */
PllmStatus pllm_ext_norms(sqlite3 *db, const char *schema, const char *const *names, int n, sqlite3_stmt **kept,
                          double *mean, double *sd, PllmError *err);

/*
** The module of a kind.  xIntegrity (PRAGMA integrity_check reaches into the table) came with SQLite 3.44; an older
** library never looks at the slot behind the ones it knows, so it may be there whatever headers this is compiled
** with.
*/
typedef struct StoreModule {
  sqlite3_module module;
#if SQLITE_VERSION_NUMBER < 3044000
  int (*integrity)(sqlite3_vtab *, const char *, const char *, int, char **);
#endif
} StoreModule;

/* Rows of the text and embedding tables without a narrow row, into *message. */
int pllm_store_orphans(StoreVtab *table, const char *schema, const char *name, char **message);
int pllm_store_integrity(sqlite3_vtab *vtab, const char *schema, const char *name, int flags, char **message);

#if SQLITE_VERSION_NUMBER < 3044000
#define STORE_INTEGRITY                                                                                              \
  }                                                                                                                  \
  , pllm_store_integrity
#else
#define STORE_INTEGRITY                                                                                              \
  .xIntegrity = pllm_store_integrity                                                                                 \
  }
#endif

#define STORE_MODULE(create, connect, disconnect, destroy, shadow)                                                   \
  {                                                                                                                  \
    {                                                                                                                \
      .iVersion = 4, .xCreate = create, .xConnect = connect, .xBestIndex = pllm_store_best_index,                    \
      .xDisconnect = disconnect, .xDestroy = destroy, .xOpen = pllm_store_cursor_open,                               \
      .xClose = pllm_store_cursor_close, .xFilter = pllm_store_filter, .xNext = pllm_store_next,                     \
      .xEof = pllm_store_eof, .xColumn = pllm_store_column, .xRowid = pllm_store_rowid,                              \
      .xUpdate = pllm_store_update, .xBegin = pllm_store_begin, .xCommit = pllm_store_begin,                         \
      .xRollback = pllm_store_begin, .xRename = pllm_store_rename, .xSavepoint = pllm_store_savepoint,               \
      .xRelease = pllm_store_savepoint, .xRollbackTo = pllm_store_savepoint, .xShadowName = shadow, STORE_INTEGRITY  \
    }

#endif
