/*
** import.h: private to fn_import.c and import_*.c.
*/
#ifndef PLLM_IMPORT_H
#define PLLM_IMPORT_H

#include "ext_int.h"

typedef enum ImportIds { IMPORT_IDS_FILE, IMPORT_IDS_RENUMBER } ImportIds;

/* One call of persona_import. */
typedef struct Import {
  PllmConn *conn; /* not owned */
  sqlite3 *db;    /* not owned */
  PllmExtPoll poll;
  const char *path, *split;                                /* arguments, not owned */
  char *embeddings, *means, *prompts, *responses, *tables; /* options, owned (pllm_free), NULL when not given */
  int ids;                                                 /* ImportIds */
  PllmReader *reader;                                      /* owned */
  int autocommit;                                          /* the savepoint opened the transaction */
  sqlite3_int64 loaded;                                    /* lines loaded: the result */
  int rc;                                                  /* code of the SQLite call that failed, else 0 */
} Import;

/* Describe the failed SQLite call rc in *err and keep its code. */
PllmStatus pllm_import_sqlite(Import *import, int rc, PllmError *err);
/* Prepare the statement made by sqlite3_mprintf(format, ...); the usual failure. */
PllmStatus pllm_import_prepare(Import *import, sqlite3_stmt **stmt, PllmError *err, const char *format, ...);
/* Run sqlite3_mprintf(format, ...). */
PllmStatus pllm_import_exec(Import *import, PllmError *err, const char *format, ...);
/* Step a bound statement that gives no rows to its end and reset it. */
PllmStatus pllm_import_step(Import *import, sqlite3_stmt *stmt, PllmError *err);
/* An integer that a query gives, 0 where it gives none or NULL. */
PllmStatus pllm_import_integer(Import *import, sqlite3_int64 *out, PllmError *err, const char *format, ...);
/* Prefix "file line N". */
PllmStatus pllm_import_at(const PllmReader *reader, size_t line, PllmError *err);
/* The error of a line whose JSON is NULL. */
PllmStatus pllm_import_not_json(const PllmReader *reader, const PllmItem *item, PllmError *err);
/* Bind text that lives until the statement was run; NULL binds NULL. */
void pllm_import_bind_text(sqlite3_stmt *stmt, int index, const char *text);
void pllm_import_bind_embedding(sqlite3_stmt *stmt, int index, const PllmEmbedding *embedding);

/* import_prompts.c: the main data set */
PllmStatus pllm_import_prompts(Import *import, const PllmJson *first, PllmError *err);

/* import_scale.c: option means, for the reward models of a table in a schema */
PllmStatus pllm_import_scale(Import *import, const PllmExtTable *prompts, const PllmExtTable *responses,
                             const PllmNameList *models, PllmError *err);

/* import_users.c: the evaluation set and the interaction database */
PllmStatus pllm_import_users(Import *import, int eval, PllmError *err);

#endif
