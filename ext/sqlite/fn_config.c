/*
** fn_config.c: what is loaded, and the one setting.
**
**   persona_version() -> TEXT                     the extension's version
**   persona_config() -> TEXT                      JSON: version, threads, cores, blas, kernel, sqlite, compiler
**   persona_config(name) -> that entry            an unknown name is an error listing the known ones
**   persona_config('threads', n) -> n             threads of bulk jobs on this connection; 0 = number of cores
** Only threads can be set.  Answers never depend on it.
*/
#include "ext_int.h"

#include <string.h>

static void version(sqlite3_context *context, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  sqlite3_result_text(context, PLLM_VERSION, -1, SQLITE_STATIC);
}

typedef struct Entry {
  const char *name;
  const char *text; /* NULL for a number */
  int number;
} Entry;

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

#define N_ENTRIES 7

static void entries(PllmConn *conn, Entry *e) {
  PllmRun run = {.threads = conn->threads};
  int n = 0;
  e[n++] = (Entry){"version", PLLM_VERSION, 0};
  e[n++] = (Entry){"threads", NULL, pllm_run_threads(&run)};
  e[n++] = (Entry){"cores", NULL, pllm_cores()};
  e[n++] = (Entry){"blas", pllm_blas_description(), 0};
  e[n++] = (Entry){"kernel", pllm_kernel_description(), 0};
  e[n++] = (Entry){"sqlite", sqlite3_libversion(), 0};
  e[n++] = (Entry){"compiler", COMPILER, 0};
}

static void result_entry(sqlite3_context *context, const Entry *e) {
  if (e->text)
    sqlite3_result_text(context, e->text, -1, SQLITE_TRANSIENT);
  else
    sqlite3_result_int(context, e->number);
}

static void config(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmConn *conn = sqlite3_user_data(context);
  Entry e[N_ENTRIES];
  const char *name;
  PllmError err;
  int i = 0;
  entries(conn, e);
  if (argc == 0) {
    sqlite3_str *out = sqlite3_str_new(conn->db);
    for (i = 0; i < N_ENTRIES; i++) {
      sqlite3_str_appendf(out, "%s\"%s\":", i ? "," : "{", e[i].name);
      if (e[i].text)
        sqlite3_str_appendf(out, "\"%s\"", e[i].text);
      else
        sqlite3_str_appendf(out, "%d", e[i].number);
    }
    sqlite3_str_appendchar(out, 1, '}');
    pllm_ext_result_str(context, out);
    return;
  }
  name = (const char *)sqlite3_value_text(argv[0]);
  while (name && i < N_ENTRIES && strcmp(e[i].name, name) != 0) i++;
  if (!name || i == N_ENTRIES) {
    pllm_fail(&err, PLLM_INVALID,
              "\"%.40s\"; one of version, threads, cores, blas, kernel, sqlite, compiler is required",
              name ? name : "NULL");
    pllm_ext_arg_error(context, "persona_config", 1, "name", &err);
    return;
  }
  if (argc == 1) {
    result_entry(context, &e[i]);
    return;
  }
  if (strcmp(name, "threads") != 0) {
    pllm_fail(&err, PLLM_INVALID, "\"%s\" can be read but not set; only threads can be set", name);
    pllm_ext_arg_error(context, "persona_config", 1, "name", &err);
  } else if (sqlite3_value_type(argv[1]) != SQLITE_INTEGER || sqlite3_value_int64(argv[1]) < 0 ||
             sqlite3_value_int64(argv[1]) > PLLM_MAX_THREADS) {
    pllm_fail(&err, PLLM_INVALID, "a whole number of threads from 1 to %d, or 0 for the number of cores, is required",
              PLLM_MAX_THREADS);
    pllm_ext_arg_error(context, "persona_config", 2, "value", &err);
  } else {
    conn->threads = sqlite3_value_int(argv[1]);
    entries(conn, e);
    result_entry(context, &e[i]);
  }
}

int pllm_ext_init_config(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_version", .args = 0, .flags = PLLM_PURE, .scalar = version},
      {.name = "persona_config", .args = 0, .flags = SQLITE_UTF8, .scalar = config},
      {.name = "persona_config", .args = 1, .flags = SQLITE_UTF8, .scalar = config},
      {.name = "persona_config", .args = 2, .flags = PLLM_DIRECT, .scalar = config},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
