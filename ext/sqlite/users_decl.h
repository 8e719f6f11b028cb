/*
** users_decl.h: the declaration of a persona_users table; private to users_decl.c and vt_users.c.
*/
#ifndef PLLM_USERS_DECL_H
#define PLLM_USERS_DECL_H

#include "ext_int.h"

typedef struct UsersDecl {
  PllmPopulation population;
  char *models[PLLM_MAX_MODELS]; /* [population.n_models] reward models' names, owned (sqlite3_malloc) */
} UsersDecl;

void pllm_ext_users_decl_clear(UsersDecl *decl);

/* From the module's arguments argv[0..argc-1] (as xCreate gets them: module, schema, table, arguments). */
PllmStatus pllm_ext_users_parse(sqlite3 *db, int argc, const char *const *argv, UsersDecl *decl, PllmError *err);

/* Create the shadow table and write the declaration to it; read it back. */
PllmStatus pllm_ext_users_store(sqlite3 *db, const char *schema, const char *table, const UsersDecl *decl,
                                PllmError *err);
PllmStatus pllm_ext_users_load(sqlite3 *db, const char *schema, const char *table, UsersDecl *decl, PllmError *err);

#endif
