/*
** ext_scores.h: private to ext_scores*.c.
*/
#ifndef PLLM_EXT_SCORES_H
#define PLLM_EXT_SCORES_H

#include "ext_store.h"

typedef struct Embeddings {
  int loaded;
  size_t dim, rows;
  float *matrix;    /* owned, [rows][dim] */
  uint8_t *present; /* owned, [rows] */
} Embeddings;

typedef struct Names {
  char **names; /* owned */
  int count;
} Names;

/* One cached store. */
typedef struct Entry {
  struct Entry *next;  /* most recently used first */
  int refs;            /* the cache's and the scans' */
  char *schema, *name; /* owned */
  sqlite3_int64 stamp;
  int raw;
  Names models;
  double *mean, *sd; /* owned, [models.count]; NULL when raw */
  PllmStore *store;  /* owned */
  Embeddings embeddings;
} Entry;

/* One cached set of splits. */
typedef struct Splits {
  int refs;
  char *schema, *name; /* owned; NULL when it may not be found again */
  sqlite3_int64 stamp;
  PllmSplits *splits; /* owned */
} Splits;

struct PllmExtScoresPart {
  PllmExtScores base;
  PllmConn *conn;              /* one reference */
  Entry *entry;                /* one reference */
  Splits *splits;              /* one reference, or NULL: there is no prompts table */
  PllmExtTable table, prompts; /* owned */
  int prompts_shadow;          /* the prompts table is a persona_prompts table */
  char *prompts_name;          /* owned: how the responses table names it */
  int32_t *split;              /* owned: view.split */
  sqlite3_stmt *pin;           /* owned: holds the snapshot (S2) */
  Embeddings prompt_embeddings;
};
typedef struct PllmExtScoresPart Part;

/* ext_scores_read.c: what is read with SQL */

/*
** Begin to read a table: *pin is left on the row of its stamp, so that the snapshot stays.  *found is 0, and nothing
** fails, when it is no table of that module.
*/
PllmStatus pllm_scores_read_stamp(sqlite3 *db, const PllmExtTable *table, const char *module, sqlite3_stmt **pin,
                                  sqlite3_int64 *stamp, int *found, PllmError *err);
/* The reward models and, unless prompts is NULL, the name of the prompts table (sqlite3_malloc). */
PllmStatus pllm_scores_read_config(sqlite3 *db, const PllmExtTable *table, Names *models, char **prompts,
                                   PllmError *err);
PllmStatus pllm_scores_no_such(const PllmExtTable *table, const char *module, PllmError *err);
/* Fill entry->store. */
PllmStatus pllm_scores_load(sqlite3 *db, const PllmExtTable *table, Entry *entry, PllmError *err);
/* Fill and finish splits; shadow: the table is a persona_prompts table. */
PllmStatus pllm_scores_load_splits(sqlite3 *db, const PllmExtTable *table, int shadow, PllmSplits *splits,
                                   PllmError *err);

/* ext_scores_embed.c */
void pllm_scores_embeddings_free(Embeddings *embeddings); /* and zero */

#endif
