/*
** fn_chart.c: persona_chart(name [, options]) -> TEXT, a Vega-Lite 5 specification with its data inside.
**
**   SELECT persona_chart('winners');
**   SELECT persona_chart('winners', '{"population": ["users_001", "users_05", "users_1"]}');
**   SELECT persona_chart('fewshot', '{"table": "my_results", "value": "top1"}');
**
**   C1  show_figures.c lists the names and what each reads.  A chart of votes runs its query from sql/ on a population
**       ("population": a name or a list of up to 20, drawn side by side; default users) and a split ("split"; default
**       test).  Every chart draws a table or view of the columns listed instead where "table" names one.
**   C2  "value" draws another numeric column of the same rows; "title" and "width" (in pixels, or 0 for the width of
**       what the chart stands in; default 480) are the specification's.
**   C3  The text never holds '<': it can stand in a script element as it is.  Its description, which renderers give to
**       screen readers, says what the chart shows in words.
** Neither deterministic nor innocuous: it reads tables.
*/
#include "show.h"

#include <string.h>

void pllm_ext_show_names_free(PllmShowNames *names) {
  for (size_t i = 0; i < names->count; i++) sqlite3_free(names->names[i]);
  names->count = 0;
}

static PllmStatus add_name(const PllmJson *value, const char *option, PllmShowNames *names, PllmError *err) {
  if (pllm_json_type(value) != PLLM_JSON_TEXT)
    return pllm_fail(err, PLLM_INVALID, "option \"%s\": %s; a name or a list of names is required", option,
                     pllm_json_type_name(value));
  if (names->count == PLLM_FIGURE_POPULATIONS)
    return pllm_fail(err, PLLM_INVALID, "option \"%s\": at most %d names fit", option, PLLM_FIGURE_POPULATIONS);
  names->names[names->count] = sqlite3_mprintf("%s", pllm_json_text(value));
  return names->names[names->count++] ? PLLM_OK : pllm_fail_nomem(err);
}

PllmStatus pllm_ext_show_names(const char *json, const char *option, PllmShowNames *names, PllmError *err) {
  PllmJson *list = NULL;
  PllmStatus status;
  if (!json) return PLLM_OK;
  status = pllm_json_parse(json, strlen(json), &list, err);
  if (status != PLLM_OK) return status;
  if (pllm_json_type(list) != PLLM_JSON_ARRAY)
    status = add_name(list, option, names, err);
  else if (pllm_json_count(list) == 0)
    status =
        pllm_fail(err, PLLM_INVALID, "option \"%s\": an empty list; a name or a list of names is required", option);
  else
    for (const PllmJson *v = pllm_json_first(list); v && status == PLLM_OK; v = pllm_json_next(v))
      status = add_name(v, option, names, err);
  pllm_json_free(list);
  return status;
}

static void chart(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmConn *conn = sqlite3_user_data(context);
  char *population = NULL, *split = NULL, *table = NULL, *title = NULL, *value = NULL;
  int64_t width = 480;
  PllmOption options[] = {
      {.name = "population", .kind = PLLM_OPTION_ANY, .value = &population},
      {.name = "split", .kind = PLLM_OPTION_TEXT, .value = &split},
      {.name = "table", .kind = PLLM_OPTION_TEXT, .value = &table},
      {.name = "title", .kind = PLLM_OPTION_TEXT, .value = &title},
      {.name = "value", .kind = PLLM_OPTION_TEXT, .value = &value},
      {.name = "width", .kind = PLLM_OPTION_INTEGER, .value = &width, .min = 0, .max = 10000},
  };
  const char *name = pllm_ext_text_argument(context, "persona_chart", 1, "name", argv[0]);
  const PllmFigure *figure;
  PllmFigureData data;
  PllmShowNames names = {0};
  PllmError err;
  PllmStatus status;
  if (!name) return;
  if (pllm_ext_figure_find(name, &figure, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, "persona_chart", 1, "name", &err);
    return;
  }
  if (argc == 2 &&
      !pllm_ext_options_argument(context, "persona_chart", argv[1], options, sizeof options / sizeof *options))
    return;
  status = pllm_ext_show_names(population, "population", &names, &err);
  if (status == PLLM_OK) {
    PllmFigureSource source = {.table = table,
                               .value = value,
                               .split = split,
                               .populations = (const char *const *)names.names,
                               .n_populations = names.count};
    status = pllm_ext_figure_read(conn->db, figure, &source, &data, &err);
  }
  if (status == PLLM_OK) {
    sqlite3_str *out = sqlite3_str_new(conn->db);
    status = pllm_ext_figure_spec(&data, title, (int)width, out, &err);
    pllm_ext_figure_free(&data);
    pllm_ext_result_str(context, out);
  }
  if (status != PLLM_OK) pllm_ext_result_error(context, "persona_chart", &err);
  pllm_ext_show_names_free(&names);
  pllm_free(population);
  pllm_free(split);
  pllm_free(table);
  pllm_free(title);
  pllm_free(value);
}

int pllm_ext_init_chart(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_chart", .args = 1, .flags = SQLITE_UTF8, .scalar = chart},
      {.name = "persona_chart", .args = 2, .flags = SQLITE_UTF8, .scalar = chart},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
