/*
** vt_responses.h: private to vt_responses*.c.
*/
#ifndef PLLM_VT_RESPONSES_H
#define PLLM_VT_RESPONSES_H

#include "ext_store.h"

enum {
  RESPONSES_COL_ID,
  RESPONSES_COL_PROMPT,
  RESPONSES_COL_POSITION,
  RESPONSES_COL_MODEL,
  RESPONSES_COL_TEXT,
  RESPONSES_COL_REWARDS,
  RESPONSES_COL_RAW,
  RESPONSES_COL_EMBEDDING,
  RESPONSES_COL_SCORES /* the first reward model's column; the others follow */
};

typedef struct ResponsesVtab {
  StoreVtab store;
  char **names; /* [n_models] reward models, owned */
  int n_models;
  char *prompts;                     /* the prompts table as it was named, owned */
  sqlite3_stmt *norms;               /* owned: reads reward_models */
  sqlite3_int64 prompt_id, position; /* of the row being written */
} ResponsesVtab;

/* vt_responses_args.c: the arguments of CREATE VIRTUAL TABLE */

/* Parse argv[3...]: reward-model names and prompts=name.  *names and *prompts are sqlite3_malloc'ed. */
PllmStatus pllm_responses_arguments(int argc, const char *const *argv, char ***names, int *n_models, char **prompts,
                                    PllmError *err);

/* vt_responses_write.c: check the values of a row and bind them to its INSERT or UPDATE */
int pllm_responses_bind(StoreVtab *store, sqlite3_value **argv, sqlite3_stmt *old, sqlite3_stmt *stmt);

#endif
