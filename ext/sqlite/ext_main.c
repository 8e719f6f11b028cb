/*
** ext_main.c: the entry point of the extension, and the only holder of SQLite's API pointer.
*/
#define PLLM_EXT_MAIN
#include "sqlite3ext.h"
SQLITE_EXTENSION_INIT1
#include "ext_int.h"

#if defined(_WIN32)
#define PLLM_EXPORT __declspec(dllexport)
#else
#define PLLM_EXPORT __attribute__((visibility("default")))
#endif

/* The core allocates through SQLite, so that its limits, statistics and fault injection reach the core too. */
static void *core_alloc(size_t bytes) {
  return sqlite3_malloc64(bytes);
}

static void *core_resize(void *old, size_t bytes) {
  return sqlite3_realloc64(old, bytes);
}

static void core_release(void *old) {
  sqlite3_free(old);
}

static const PllmAllocator sqlite_allocator = {core_alloc, core_resize, core_release};

PLLM_EXPORT int sqlite3_personalllm_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

PLLM_EXPORT int sqlite3_personalllm_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
  static int (*const families[])(PllmConn *, char **) = {
      pllm_ext_init_vector,
      pllm_ext_init_config,
      pllm_ext_init_prompts,
      pllm_ext_init_responses,
      pllm_ext_init_import,
      pllm_ext_init_export,
      pllm_ext_init_jsonl,
      pllm_ext_init_adapt,
      pllm_ext_init_adapt_table,
      pllm_ext_init_methods,
      pllm_ext_init_neighbors,
      pllm_ext_init_votes,
      pllm_ext_init_interactions,
      pllm_ext_init_choices,
      pllm_ext_init_evaluate,
      pllm_ext_init_users,
      pllm_ext_init_text,
      pllm_ext_init_analysis,
      pllm_ext_init_distill,
      pllm_ext_init_model,
      pllm_ext_init_learn,
      pllm_ext_init_preference,
      pllm_ext_init_model_tables,
      pllm_ext_init_icl,
      pllm_ext_init_chart,
      pllm_ext_init_report,
      pllm_ext_init_fingerprint,
  };
  PllmConn *conn;
  int rc = SQLITE_OK;
  SQLITE_EXTENSION_INIT2(api);
  if (sqlite3_libversion_number() < 3040000) {
    *error = sqlite3_mprintf("personalllm: SQLite %s is too old; 3.40.0 or newer is required", sqlite3_libversion());
    return SQLITE_ERROR;
  }
  pllm_set_allocator(&sqlite_allocator);
  conn = pllm_ext_conn_new(db);
  if (!conn) return SQLITE_NOMEM;
  for (size_t i = 0; rc == SQLITE_OK && i < sizeof families / sizeof *families; i++) rc = families[i](conn, error);
  pllm_ext_conn_unref(conn);
  return rc;
}
