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
** O(bytes of the model).
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

int pllm_ext_init_model(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "model_info", .args = 1, .flags = PLLM_PURE, .scalar = info},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
