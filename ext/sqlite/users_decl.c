/*
** users_decl.c: the arguments of persona_users and the shadow table that keeps them.
**
** A1  Arguments are name=value, each at most once; names without regard to case; a value may be quoted with ' or ".
**     SQLite cuts at commas outside brackets, so a list is written [a, b] (or (a, b)).
** A2  Numbers are decimal; where an integer is wanted, 1e6 and 1000000.0 will do.
** A3  The reward models' names come from models=[...], or from a persona_responses table: responses=name,
**     by default the table called responses, looked for in the users' own schema first.
** A4  What the arguments say is resolved once, at CREATE, and kept in the shadow table <name>_declaration (key,
**     position, value): a format number, each argument with its default filled in, one alpha and one model per
**     position.  Connecting reads nothing else, so it never depends on another table.
*/
#include "users_decl.h"

#include <stdarg.h>
#include <string.h>

#define FORMAT 1

enum {
  ARG_COUNT,
  ARG_ALPHA,
  ARG_SEED,
  ARG_GENERATOR,
  ARG_FIRST,
  ARG_MIN_DISTANCE,
  ARG_DRIFT,
  ARG_RESPONSES,
  ARG_MODELS,
  N_ARGS
};
static const char *const arg_names[N_ARGS] = {"count",        "alpha", "seed",      "generator", "first",
                                              "min_distance", "drift", "responses", "models"};
#define KNOWN_ARGS "count, alpha, seed, generator, first, min_distance, drift, responses, models"

void pllm_ext_users_decl_clear(UsersDecl *decl) {
  for (int b = 0; b < PLLM_MAX_MODELS; b++) sqlite3_free(decl->models[b]);
  memset(decl, 0, sizeof *decl);
}

/* ---- Text ---- */

static int is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Narrow [*text, *end) to what is inside white space. */
static void trim(const char **text, const char **end) {
  while (*text < *end && is_space(**text)) ++*text;
  while (*text < *end && is_space((*end)[-1])) --*end;
}

/* A copy of [text, end) without white space around and without quotes; NULL when out of memory. */
static char *unquoted(const char *text, const char *end) {
  char *out, quote = 0;
  size_t n = 0;
  trim(&text, &end);
  out = sqlite3_malloc64((sqlite3_uint64)(end - text) + 1);
  if (!out) return NULL;
  if (end - text >= 2 && (*text == '\'' || *text == '"' || *text == '`') && end[-1] == *text) {
    quote = *text++;
    end--;
  }
  while (text < end) {
    if (quote && *text == quote && text + 1 < end && text[1] == quote) text++; /* doubled: stands for itself */
    out[n++] = *text++;
  }
  out[n] = 0;
  return out;
}

/*
** A decimal number, read exactly: [+-] digits [. digits] [e [+-] digits] with a digit somewhere before the e. Through
** JSON, whose reader rounds correctly whatever the host's locale; JSON wants digits on both sides of the point.
*/
static int read_number(const char *text, double *out) {
  char json[80];
  size_t n = 0;
  int digits = 0;
  PllmJson *value = NULL;
  if (*text == '-') json[n++] = '-';
  if (*text == '-' || *text == '+') text++;
  while (*text == '0' && text[1] >= '0' && text[1] <= '9') text++;
  if (*text < '0' || *text > '9') json[n++] = '0';
  for (; *text >= '0' && *text <= '9' && n < 60; digits++) json[n++] = *text++;
  if (*text == '.') {
    json[n++] = *text++;
    if (*text < '0' || *text > '9') json[n++] = '0';
    for (; *text >= '0' && *text <= '9' && n < 60; digits++) json[n++] = *text++;
  }
  if (digits == 0) return 0;
  if (*text == 'e' || *text == 'E')
    for (int sign = 1; *text && n < 70; sign = 0) {
      char c = *text++;
      if (!(sign || (c >= '0' && c <= '9') || ((c == '-' || c == '+') && (json[n - 1] | 32) == 'e'))) return 0;
      json[n++] = c;
    }
  if (*text || pllm_json_parse(json, n, &value, NULL) != PLLM_OK) return 0;
  *out = pllm_json_number(value);
  digits = pllm_json_type(value) == PLLM_JSON_NUMBER;
  pllm_json_free(value);
  return digits;
}

static PllmStatus number_argument(const char *name, const char *text, double *out, PllmError *err) {
  if (read_number(text, out)) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "%s is \"%.40s\"; a number is required", name, text);
}

static PllmStatus integer_argument(const char *name, const char *text, int64_t *out, PllmError *err) {
  double x;
  if (!read_number(text, &x))
    return pllm_fail(err, PLLM_INVALID, "%s is \"%.40s\"; an integer is required", name, text);
  if (!(x >= -9007199254740992.0 && x <= 9007199254740992.0) || x != (double)(int64_t)x)
    return pllm_fail(err, PLLM_INVALID, "%s is %.40s; an integer (within 2^53) is required", name, text);
  *out = (int64_t)x;
  return PLLM_OK;
}

/* The elements of [a, b] or (a, b) into items (owned, at most `room`), each without quotes; *count may exceed room.
** A text without brackets is one element. */
static PllmStatus read_list(const char *name, const char *text, char **items, int room, int *count, PllmError *err) {
  const char *end = text + strlen(text);
  trim(&text, &end);
  *count = 0;
  if (*text == '[' || *text == '(') {
    if (end - text < 2 || end[-1] != (*text == '[' ? ']' : ')'))
      return pllm_fail(err, PLLM_INVALID, "%s is \"%.40s\"; a list is written [a, b]", name, text);
    text++;
    end--;
  }
  for (;;) {
    const char *p = text;
    char quote = 0;
    for (; p < end && (quote || *p != ','); p++) {
      if (quote && *p == quote)
        quote = 0;
      else if (!quote && (*p == '"' || *p == '\'' || *p == '`'))
        quote = *p;
    }
    if (*count < room) {
      items[*count] = unquoted(text, p);
      if (!items[*count]) return pllm_fail_nomem(err);
    }
    ++*count;
    if (p >= end) return PLLM_OK;
    text = p + 1;
  }
}

/* ---- Reward models' names (A3) ---- */

static PllmStatus add_model(UsersDecl *decl, const char *name, PllmError *err) {
  static const char *const taken[] = {"user_id",  "weights", "turn", "rowid",   "response_id", "prompt_id",
                                      "position", "model",   "text", "rewards", "raw_rewards", "embedding"};
  PllmPopulation *p = &decl->population;
  if (!*name)
    return pllm_fail(err, PLLM_INVALID, "models (element %d) is empty; a name is required", p->n_models + 1);
  if (p->n_models >= PLLM_MAX_MODELS)
    return pllm_fail(err, PLLM_INVALID, "more than %d reward models", PLLM_MAX_MODELS);
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (sqlite3_stricmp(name, taken[i]) == 0)
      return pllm_fail(err, PLLM_INVALID, "a reward model cannot be called \"%s\": a column has that name", name);
  for (int b = 0; b < p->n_models; b++)
    if (sqlite3_stricmp(name, decl->models[b]) == 0)
      return pllm_fail(err, PLLM_INVALID, "reward model \"%.60s\" is named twice (case does not count)", name);
  decl->models[p->n_models] = sqlite3_mprintf("%s", name);
  if (!decl->models[p->n_models]) return pllm_fail_nomem(err);
  p->n_models++;
  return PLLM_OK;
}

static PllmStatus models_from_list(const char *text, UsersDecl *decl, PllmError *err) {
  char *items[PLLM_MAX_MODELS] = {0};
  int count;
  PllmStatus status = read_list("models", text, items, PLLM_MAX_MODELS, &count, err);
  if (status == PLLM_OK && count > PLLM_MAX_MODELS)
    status = pllm_fail(err, PLLM_INVALID, "models has %d names; at most %d are allowed", count, PLLM_MAX_MODELS);
  for (int i = 0; i < count && status == PLLM_OK; i++) status = add_model(decl, items[i], err);
  for (int i = 0; i < PLLM_MAX_MODELS; i++) sqlite3_free(items[i]);
  return status;
}

static PllmStatus models_from_table(sqlite3 *db, const char *near, const char *text, UsersDecl *decl,
                                    PllmError *err) {
  PllmExtTable table = {0};
  char **names = NULL;
  int count = 0;
  PllmStatus status = pllm_ext_table_find(db, text ? text : "responses", near, &table, err);
  if (status == PLLM_INVALID && !text)
    return pllm_fail(err, PLLM_INVALID,
                     "no table \"responses\" to take the reward models from; create it first, or give responses=name "
                     "or models=[name, ...]");
  if (status == PLLM_OK) status = pllm_ext_responses_models(db, &table, &names, &count, err);
  if (status == PLLM_INVALID) pllm_error_prefix(err, "responses");
  for (int i = 0; i < count && status == PLLM_OK; i++) status = add_model(decl, names[i], err);
  pllm_ext_names_free(names, count);
  pllm_ext_table_free(&table);
  return status;
}

/* ---- Arguments (A1, A2) ---- */

static PllmStatus split_arguments(int argc, const char *const *argv, char **values, PllmError *err) {
  for (int i = 3; i < argc; i++) {
    const char *text = argv[i], *end = text + strlen(text), *equals = strchr(text, '='), *stop;
    int a = 0;
    trim(&text, &end);
    if (argc == 4 && text == end) break; /* persona_users() */
    if (!equals)
      return pllm_fail(err, PLLM_INVALID, "argument %d is \"%.60s\"; name=value is required, with name one of: %s",
                       i - 2, text, KNOWN_ARGS);
    stop = equals;
    trim(&text, &stop);
    while (a < N_ARGS &&
           !(sqlite3_strnicmp(text, arg_names[a], (int)(stop - text)) == 0 && arg_names[a][stop - text] == 0))
      a++;
    if (a == N_ARGS)
      return pllm_fail(err, PLLM_INVALID, "unknown argument \"%.*s\"; known arguments: %s",
                       stop - text > 60 ? 60 : (int)(stop - text), text, KNOWN_ARGS);
    if (values[a]) return pllm_fail(err, PLLM_INVALID, "argument \"%s\" is given twice", arg_names[a]);
    /* A table's name keeps its quotes: they belong to the identifier. */
    for (text = equals + 1; text < end && is_space(*text);) text++;
    values[a] =
        a == ARG_RESPONSES && *text != '\'' ? sqlite3_mprintf("%.*s", (int)(end - text), text) : unquoted(text, end);
    if (!values[a]) return pllm_fail_nomem(err);
    if (!*values[a]) return pllm_fail(err, PLLM_INVALID, "argument \"%s\" has no value", arg_names[a]);
  }
  return PLLM_OK;
}

/* alpha: one number for all, or one per reward model. */
static PllmStatus read_alpha(const char *text, UsersDecl *decl, PllmError *err) {
  PllmPopulation *p = &decl->population;
  char *items[PLLM_MAX_MODELS] = {0};
  int count, is_list = *text == '[' || *text == '(';
  PllmStatus status = read_list("alpha", text, items, PLLM_MAX_MODELS, &count, err);
  if (status == PLLM_OK && is_list && count != p->n_models)
    status = pllm_fail(err, PLLM_INVALID, "alpha has %d numbers, but there are %d reward models", count, p->n_models);
  for (int b = 0; b < p->n_models && status == PLLM_OK; b++)
    status = number_argument("alpha", items[is_list ? b : 0], &p->alpha[b], err);
  for (int i = 0; i < PLLM_MAX_MODELS; i++) sqlite3_free(items[i]);
  return status;
}

PllmStatus pllm_ext_users_parse(sqlite3 *db, int argc, const char *const *argv, UsersDecl *decl, PllmError *err) {
  char *v[N_ARGS] = {0};
  PllmPopulation *p = &decl->population;
  PllmStatus status;
  memset(decl, 0, sizeof *decl);
  pllm_population_default(p, 0);
  status = split_arguments(argc, argv, v, err);
  if (status != PLLM_OK) goto done;
  if (v[ARG_GENERATOR]) {
    if (sqlite3_stricmp(v[ARG_GENERATOR], "philox") == 0) {
      p->generator = PLLM_GENERATOR_PHILOX;
    } else if (sqlite3_stricmp(v[ARG_GENERATOR], "numpy") != 0) {
      status = pllm_fail(err, PLLM_INVALID, "generator is \"%.40s\"; numpy or philox is required", v[ARG_GENERATOR]);
      goto done;
    }
  }
  if (v[ARG_COUNT]) status = integer_argument("count", v[ARG_COUNT], &p->count, err);
  if (status == PLLM_OK && v[ARG_SEED]) status = integer_argument("seed", v[ARG_SEED], &p->seed, err);
  if (status == PLLM_OK && v[ARG_FIRST]) status = integer_argument("first", v[ARG_FIRST], &p->first, err);
  if (status == PLLM_OK && v[ARG_MIN_DISTANCE])
    status = number_argument("min_distance", v[ARG_MIN_DISTANCE], &p->min_distance, err);
  if (status == PLLM_OK && v[ARG_DRIFT]) status = number_argument("drift", v[ARG_DRIFT], &p->drift, err);
  if (status != PLLM_OK) goto done;
  if (v[ARG_MODELS] && v[ARG_RESPONSES])
    status = pllm_fail(err, PLLM_INVALID, "both responses and models are given; one of them names the reward models");
  else if (v[ARG_MODELS])
    status = models_from_list(v[ARG_MODELS], decl, err);
  else
    status = models_from_table(db, argv[1], v[ARG_RESPONSES], decl, err);
  if (status == PLLM_OK && v[ARG_ALPHA]) status = read_alpha(v[ARG_ALPHA], decl, err);
  if (status == PLLM_OK) status = pllm_population_check(p, err);
done:
  for (int i = 0; i < N_ARGS; i++) sqlite3_free(v[i]);
  if (status != PLLM_OK) pllm_ext_users_decl_clear(decl);
  return status;
}

/* ---- The shadow table (A4) ---- */

static PllmStatus put(sqlite3_stmt *stmt, sqlite3 *db, const char *key, int position, PllmError *err) {
  int rc;
  sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
  sqlite3_bind_int(stmt, 2, position);
  sqlite3_step(stmt);
  rc = sqlite3_reset(stmt);
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

static PllmStatus run_sql(sqlite3 *db, sqlite3_stmt **stmt, PllmError *err, const char *format, ...) {
  va_list args;
  char *sql;
  int rc;
  va_start(args, format);
  sql = sqlite3_vmprintf(format, args);
  va_end(args);
  if (!sql) return pllm_fail_nomem(err);
  rc = stmt ? sqlite3_prepare_v2(db, sql, -1, stmt, NULL) : sqlite3_exec(db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

PllmStatus pllm_ext_users_store(sqlite3 *db, const char *schema, const char *table, const UsersDecl *decl,
                                PllmError *err) {
  const PllmPopulation *p = &decl->population;
  sqlite3_stmt *stmt = NULL;
  PllmStatus status = run_sql(db, NULL, err,
                              "CREATE TABLE \"%w\".\"%w_declaration\"(key TEXT NOT NULL, position INTEGER NOT NULL, "
                              "value NOT NULL, PRIMARY KEY(key, position)) WITHOUT ROWID",
                              schema, table);
  if (status == PLLM_OK)
    status = run_sql(db, &stmt, err, "INSERT INTO \"%w\".\"%w_declaration\" VALUES(?1, ?2, ?3)", schema, table);
  if (status != PLLM_OK) return status;
  sqlite3_bind_int(stmt, 3, FORMAT);
  status = put(stmt, db, "format", 0, err);
  sqlite3_bind_int64(stmt, 3, p->count);
  if (status == PLLM_OK) status = put(stmt, db, "count", 0, err);
  sqlite3_bind_int64(stmt, 3, p->seed);
  if (status == PLLM_OK) status = put(stmt, db, "seed", 0, err);
  sqlite3_bind_text(stmt, 3, p->generator == PLLM_GENERATOR_PHILOX ? "philox" : "numpy", -1, SQLITE_STATIC);
  if (status == PLLM_OK) status = put(stmt, db, "generator", 0, err);
  sqlite3_bind_int64(stmt, 3, p->first);
  if (status == PLLM_OK) status = put(stmt, db, "first", 0, err);
  sqlite3_bind_double(stmt, 3, p->min_distance);
  if (status == PLLM_OK) status = put(stmt, db, "min_distance", 0, err);
  sqlite3_bind_double(stmt, 3, p->drift);
  if (status == PLLM_OK) status = put(stmt, db, "drift", 0, err);
  for (int b = 0; b < p->n_models && status == PLLM_OK; b++) {
    sqlite3_bind_double(stmt, 3, p->alpha[b]);
    status = put(stmt, db, "alpha", b + 1, err);
    sqlite3_bind_text(stmt, 3, decl->models[b], -1, SQLITE_STATIC);
    if (status == PLLM_OK) status = put(stmt, db, "model", b + 1, err);
  }
  sqlite3_finalize(stmt);
  return status;
}

/* One row of the shadow table; *seen counts what a whole declaration must have. */
static PllmStatus take(UsersDecl *decl, sqlite3_stmt *stmt, int *seen, int *alphas, PllmError *err) {
  const char *key = (const char *)sqlite3_column_text(stmt, 0), *text;
  int position = sqlite3_column_int(stmt, 1), type = sqlite3_column_type(stmt, 2);
  PllmPopulation *p = &decl->population;
  sqlite3_int64 integer = type == SQLITE_INTEGER ? sqlite3_column_int64(stmt, 2) : -1;
  double real = type == SQLITE_TEXT || type == SQLITE_BLOB ? -1.0 : sqlite3_column_double(stmt, 2);
  if (!key) return pllm_fail_nomem(err);
  ++*seen;
  if (strcmp(key, "format") == 0) {
    if (integer != FORMAT)
      return pllm_fail(err, PLLM_CORRUPT, "its declaration has format %lld; this version reads format %d",
                       (long long)integer, FORMAT);
  } else if (strcmp(key, "count") == 0) {
    p->count = integer;
  } else if (strcmp(key, "seed") == 0) {
    p->seed = integer;
  } else if (strcmp(key, "first") == 0) {
    p->first = integer;
  } else if (strcmp(key, "min_distance") == 0) {
    p->min_distance = real;
  } else if (strcmp(key, "drift") == 0) {
    p->drift = real;
  } else if (strcmp(key, "alpha") == 0 && position == *alphas + 1 && position <= PLLM_MAX_MODELS) {
    p->alpha[(*alphas)++] = real;
  } else if (strcmp(key, "model") == 0 && position == p->n_models + 1 && type == SQLITE_TEXT) {
    text = (const char *)sqlite3_column_text(stmt, 2);
    return text ? add_model(decl, text, err) : pllm_fail_nomem(err);
  } else if (strcmp(key, "generator") == 0 && type == SQLITE_TEXT) {
    text = (const char *)sqlite3_column_text(stmt, 2);
    if (!text) return pllm_fail_nomem(err);
    p->generator = strcmp(text, "philox") == 0 ? PLLM_GENERATOR_PHILOX : PLLM_GENERATOR_NUMPY;
  } else {
    return pllm_fail(err, PLLM_CORRUPT, "its declaration has an unexpected \"%.40s\" at position %d", key, position);
  }
  return PLLM_OK;
}

PllmStatus pllm_ext_users_load(sqlite3 *db, const char *schema, const char *table, UsersDecl *decl, PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  int rc = SQLITE_DONE, seen = 0, alphas = 0;
  PllmStatus status;
  memset(decl, 0, sizeof *decl);
  pllm_population_default(&decl->population, 0);
  status =
      run_sql(db, &stmt, err, "SELECT key, position, value FROM \"%w\".\"%w_declaration\" ORDER BY key, position",
              schema, table);
  while (status == PLLM_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) status = take(decl, stmt, &seen, &alphas, err);
  if (status == PLLM_OK && rc != SQLITE_DONE) status = pllm_ext_sqlite_fail(err, db, rc);
  sqlite3_finalize(stmt);
  if (status == PLLM_OK && (alphas != decl->population.n_models || seen != 7 + 2 * alphas))
    status = pllm_fail(err, PLLM_CORRUPT, "its declaration is incomplete");
  if (status == PLLM_OK) status = pllm_population_check(&decl->population, err);
  if (status != PLLM_OK) {
    pllm_ext_users_decl_clear(decl);
    /* Anything but a passing trouble means that the declaration is not what CREATE wrote. */
    if (status == PLLM_INVALID) status = err->status = PLLM_CORRUPT;
  }
  return status;
}
