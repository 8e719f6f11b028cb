/*
** fn_model.c: what a model says about itself.
**
**   model_info(model) -> TEXT
**     M1  A JSON object: kind, version (of the format), dim, rank, type of features ('f64' or 'f32'), features and
**         outputs (names, null where not known), options (resolved), seed, users, users_skipped, rows, rows_skipped
**         (what it was learned from), objective (null where the kind has none), iterations, converged, sections
**         ({name, rows, columns}), bytes and checksum (hexadecimal).
**     M2  NULL gives NULL.  Anything but a whole, unaltered model of a version that is known is an error.
**     M3  Students also have fit: for each reward model {name, lambda, freedom, r2, r2_cv} (fn_distill.c).
**
**   SELECT model_info(model) ->> '$.objective' FROM models;
**
**   merge_models(model) -> model
**     M3  An aggregate: the model of the users of all models together, to the byte what learning from all their rows
**         gives.
**         Only kind neighbors merges exactly.  NULL models are skipped; none, or only such, give NULL.
**
**   SELECT merge_models(model) FROM models_by_month;
**
** O(bytes of the models).
*/
#include "ext_int.h"

/* A JSON string with its quotes.  Text in models is valid UTF-8. */
static void add_string(sqlite3_str *out, const char *text) {
  sqlite3_str_appendchar(out, 1, '"');
  for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
    if (*p == '"' || *p == '\\')
      sqlite3_str_appendf(out, "\\%c", *p);
    else if (*p < 0x20)
      sqlite3_str_appendf(out, "\\u%04x", *p);
    else
      sqlite3_str_appendchar(out, 1, (char)*p);
  }
  sqlite3_str_appendchar(out, 1, '"');
}

static void add_names(sqlite3_str *out, char *const *names, size_t count) {
  if (!names) {
    sqlite3_str_appendall(out, "null");
    return;
  }
  for (size_t i = 0; i < count; i++) {
    sqlite3_str_appendchar(out, 1, i ? ',' : '[');
    add_string(out, names[i]);
  }
  sqlite3_str_appendchar(out, 1, ']');
}

static void add_sections(sqlite3_str *out, const PllmModel *m) {
  for (size_t i = 0; i < m->n_sections; i++) {
    const PllmSection *s = &m->sections[i];
    sqlite3_str_appendall(out, i ? ",{\"name\":" : "{\"name\":");
    add_string(out, s->name);
    sqlite3_str_appendf(out, ",\"rows\":%llu,\"columns\":%llu}", (sqlite3_uint64)s->rows, (sqlite3_uint64)s->columns);
  }
}

static void add_number(sqlite3_str *out, const char *name, double x) {
  char number[32];
  pllm_number_text(x, number);
  sqlite3_str_appendf(out, ",\"%s\":%s", name, number);
}

/* M3 */
static void add_fit(sqlite3_str *out, const PllmModel *m) {
  static const char *const columns[] = {"lambda", "freedom", "r2", "r2_cv"};
  const PllmSection *fit = pllm_model_section(m, "fit");
  if (!fit || fit->columns != 4) return;
  sqlite3_str_appendall(out, ",\"fit\":");
  for (size_t i = 0; i < fit->rows; i++) {
    sqlite3_str_appendall(out, i ? ",{\"name\":" : "[{\"name\":");
    if (m->outputs)
      add_string(out, m->outputs[i]);
    else
      sqlite3_str_appendall(out, "null");
    for (size_t k = 0; k < 4; k++) add_number(out, columns[k], fit->numbers[4 * i + k]);
    sqlite3_str_appendchar(out, 1, '}');
  }
  sqlite3_str_appendchar(out, 1, ']');
}

static void info(sqlite3_context *context, int argc, sqlite3_value **argv) {
  const PllmExtModel *opened;
  const PllmModel *m;
  sqlite3_str *out;
  char number[32], *text;
  int bytes;
  (void)argc;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
  opened = pllm_ext_model_argument(context, "model_info", argv, 0, "model");
  if (!opened) return;
  m = opened->model;
  out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendf(out, "{\"kind\":\"%s\",\"version\":%d,\"dim\":%llu,\"rank\":%llu,\"type\":\"%s\",\"features\":",
                      pllm_model_kind_name(m->kind), PLLM_MODEL_VERSION, (sqlite3_uint64)m->dim,
                      (sqlite3_uint64)m->rank, m->flags & PLLM_MODEL_F32 ? "f32" : "f64");
  add_names(out, m->features, m->dim);
  sqlite3_str_appendall(out, ",\"outputs\":");
  add_names(out, m->outputs, m->rank);
  sqlite3_str_appendf(out,
                      ",\"options\":%s,\"seed\":%u,\"users\":%llu,\"users_skipped\":%llu,\"rows\":%llu,"
                      "\"rows_skipped\":%llu,\"objective\":",
                      m->options, m->seed, m->users, m->users_skipped, m->rows, m->rows_skipped);
  pllm_number_text(m->objective, number);
  sqlite3_str_appendall(out, m->flags & PLLM_MODEL_OBJECTIVE ? number : "null");
  sqlite3_str_appendf(out, ",\"iterations\":%u,\"converged\":%s,\"sections\":[", m->iterations,
                      m->flags & PLLM_MODEL_CONVERGED ? "true" : "false");
  add_sections(out, m);
  sqlite3_str_appendchar(out, 1, ']');
  add_fit(out, m);
  sqlite3_str_appendf(out, ",\"bytes\":%llu,\"checksum\":\"%016llx\"}", (sqlite3_uint64)opened->bytes,
                      opened->checksum);
  bytes = sqlite3_str_length(out);
  text = sqlite3_str_finish(out);
  if (text)
    sqlite3_result_text(context, text, bytes, sqlite3_free);
  else
    sqlite3_result_error_nomem(context);
}

/* ---- merge_models ---- */

/* SQLite zeroes it; final frees what it owns. */
typedef struct Merging {
  int failed;
  sqlite3_int64 steps;
  PllmExtModel **models; /* owned, and a reference to each */
  size_t count, room;
} Merging;

static void merging_free(Merging *g) {
  for (size_t i = 0; i < g->count; i++) pllm_ext_model_close(g->models[i]);
  pllm_free(g->models);
  g->models = NULL;
  g->count = g->room = 0;
}

static PllmStatus merging_add(PllmConn *conn, Merging *g, sqlite3_value *value, PllmError *err) {
  PllmExtModel **models = pllm_grow(g->models, g->count, &g->room, 8, sizeof *models);
  PllmStatus status;
  if (!models) return pllm_fail_nomem(err);
  g->models = models;
  status = pllm_ext_model_open(conn, value, &g->models[g->count], err);
  if (status == PLLM_OK) g->count++;
  return status;
}

static void merge_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  Merging *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  (void)argc;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  g->steps++;
  if (g->failed || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
  if (merging_add(sqlite3_user_data(context), g, argv[0], &err) == PLLM_OK) return;
  merging_free(g);
  g->failed = 1;
  pllm_error_prefix(&err, "row %lld of its group: argument 1 (model)", g->steps);
  pllm_ext_result_error(context, "merge_models", &err);
}

static void merge_final(sqlite3_context *context) {
  Merging *g = sqlite3_aggregate_context(context, 0);
  const PllmModel **models;
  PllmModel *merged = NULL;
  PllmError err;
  PllmStatus status;
  if (!g) return;
  if (g->count > 0) {
    models = pllm_alloc(g->count, sizeof *models);
    for (size_t i = 0; models && i < g->count; i++) models[i] = g->models[i]->model;
    status = models ? pllm_model_merge(models, g->count, &merged, &err) : pllm_fail_nomem(&err);
    if (status == PLLM_OK)
      pllm_ext_result_model(context, "merge_models", merged);
    else
      pllm_ext_result_error(context, "merge_models", &err);
    pllm_model_free(merged);
    pllm_free(models);
  }
  merging_free(g);
}

int pllm_ext_init_model(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "model_info", .args = 1, .flags = PLLM_PURE, .scalar = info},
      {.name = "merge_models", .args = 1, .flags = PLLM_PURE, .step = merge_step, .final = merge_final},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
