/*
** fn_report.c: persona_report(path [, options]) -> INTEGER, the number of figures in the page written.
**
**   SELECT persona_report('report.html');
**   SELECT persona_report('report.html', '{"library": "build/report/vega.js", "overwrite": true}');
**
**   R1  One self-contained HTML page: what is in the database (main tables prompts, responses, reward_models), every figure
**       of persona_chart that can be drawn from it, each with the table behind it, the table runs, and the prompts on
**       which users agree and disagree most.  What is missing is listed with what makes it.
**   R2  "library" names a JavaScript file with vega, vega-lite and vega-embed, which is copied into the page to draw
**       the figures; `make report` makes it.  Without it the tables show the figures as bars.
**   R3  "population" (a name or a list; default users) and "split" are those of the charts of votes; "title".
**   R4  The page asks the network for nothing (it forbids itself to), follows the device's width and colours, and can be
**       read without scripts.  It appears whole or not at all; an existing file is an error unless "overwrite": true.
** DIRECTONLY: it writes a file.
*/
#include "report.h"
#include "show_texts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST_LIBRARY ((size_t)64 << 20) /* bytes */

/* Only what is in the page itself, and styles, scripts and images made by it; vega compiles expressions. */
#define POLICY                                                                                                       \
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:"

static PllmStatus read_library(const char *path, char **text, PllmError *err) {
  FILE *file = fopen(path, "rb");
  size_t room = 0, used = 0;
  PllmStatus status = PLLM_OK;
  if (!file) return pllm_fail(err, PLLM_IO, "option \"library\": cannot read %.200s: %s", path, strerror(errno));
  while (status == PLLM_OK && !feof(file)) {
    if (used + 65536 > room) {
      char *grown = pllm_resize(*text, room = 2 * room + 65537, 1);
      if (!grown) status = pllm_fail_nomem(err);
      if (grown) *text = grown;
    }
    if (status == PLLM_OK) used += fread(*text + used, 1, 65536, file);
    if (ferror(file))
      status = pllm_fail(err, PLLM_IO, "option \"library\": cannot read %.200s: %s", path, strerror(errno));
    else if (used > MOST_LIBRARY)
      status = pllm_fail(err, PLLM_INVALID, "option \"library\": %.200s is larger than %d MiB", path,
                         (int)(MOST_LIBRARY >> 20));
  }
  fclose(file);
  if (status != PLLM_OK) return status;
  (*text)[used] = 0;
  if (strlen(*text) != used || sqlite3_strlike("%</script%", *text, 0) == 0 || strstr(*text, "<!--"))
    return pllm_fail(err, PLLM_INVALID,
                     "option \"library\": %.200s holds a NUL character, </script or <!--, which would end the page's "
                     "script early",
                     path);
  return PLLM_OK;
}

/* The page from its parts; the writer fails, the strings keep their errors for the end. */
static PllmStatus write_page(PllmWriter *writer, const char *title, const char *library, sqlite3_str *nav,
                             sqlite3_str *body, PllmError *err) {
  sqlite3_str *head = sqlite3_str_new(NULL);
  const char *parts[8] = {0};
  PllmStatus status = PLLM_OK;
  size_t n = 0;
  sqlite3_str_appendall(head, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                              "<meta http-equiv=\"Content-Security-Policy\" content=\"" POLICY "\">\n"
                              "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
  pllm_ext_html(head, title);
  sqlite3_str_appendf(head, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>",
                      (const char *)pllm_show_page_css);
  pllm_ext_html(head, title);
  sqlite3_str_appendall(head, "</h1>\n<nav aria-label=\"Sections\"><ul>\n");
  if (!library)
    sqlite3_str_appendall(body, "<p class=\"note\">This page was written without the chart library: its figures are "
                                "tables with bars. <code>make report</code> adds the library, as does the option "
                                "<code>library</code> of persona_report.</p>\n");
  sqlite3_str_appendf(body,
                      "</main>\n<footer>Written by persona_report, personalllm %s, SQLite %s. This page holds all "
                      "it needs and asks the network for nothing.</footer>\n",
                      PLLM_VERSION, sqlite3_libversion());
  parts[n++] = sqlite3_str_value(head);
  parts[n++] = sqlite3_str_value(nav);
  parts[n++] = "</ul></nav>\n</header>\n<main>\n";
  parts[n++] = sqlite3_str_value(body);
  if (library) {
    parts[n++] = "<script>\n";
    parts[n++] = library;
    parts[n++] = "\n</script>\n<script>\n";
    parts[n++] = (const char *)pllm_show_page_js;
  }
  if (sqlite3_str_errcode(head) || sqlite3_str_errcode(nav) || sqlite3_str_errcode(body))
    status = pllm_fail_nomem(err);
  for (size_t i = 0; i < n && status == PLLM_OK; i++)
    if (parts[i]) status = pllm_writer_raw(writer, parts[i], strlen(parts[i]), err);
  if (status == PLLM_OK && library) status = pllm_writer_raw(writer, "</script>\n", 10, err);
  if (status == PLLM_OK) status = pllm_writer_raw(writer, "</body>\n</html>\n", 16, err);
  sqlite3_free(sqlite3_str_finish(head));
  return status;
}

static PllmStatus write_report(PllmReport *report, const char *path, int overwrite, const char *title,
                               const char *library, PllmError *err) {
  PllmWriter *writer = NULL;
  PllmStatus status = pllm_writer_open(path, overwrite, &writer, err);
  report->nav = sqlite3_str_new(NULL);
  report->body = sqlite3_str_new(NULL);
  report->absent = sqlite3_str_new(NULL);
  report->charts = library != NULL;
  if (status == PLLM_OK) status = pllm_ext_report_data(report, err);
  if (status == PLLM_OK) status = pllm_ext_report_figures(report, err);
  if (status == PLLM_OK) status = pllm_ext_report_runs(report, err);
  if (status == PLLM_OK) status = pllm_ext_report_prompts(report, err);
  if (status == PLLM_OK && sqlite3_str_errcode(report->absent)) status = pllm_fail_nomem(err);
  if (status == PLLM_OK) pllm_ext_report_absent(report);
  if (status == PLLM_OK)
    status = write_page(writer, title ? title : "PersonalLLM report", library, report->nav, report->body, err);
  if (status == PLLM_OK) status = pllm_writer_commit(writer, err);
  pllm_writer_close(writer);
  sqlite3_free(sqlite3_str_finish(report->nav));
  sqlite3_free(sqlite3_str_finish(report->body));
  sqlite3_free(sqlite3_str_finish(report->absent));
  return status;
}

static void persona_report(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmConn *conn = sqlite3_user_data(context);
  char *library_path = NULL, *library = NULL, *population = NULL, *split = NULL, *title = NULL;
  int overwrite = 0;
  PllmOption options[] = {
      {.name = "library", .kind = PLLM_OPTION_TEXT, .value = &library_path},
      {.name = "overwrite", .kind = PLLM_OPTION_BOOL, .value = &overwrite},
      {.name = "population", .kind = PLLM_OPTION_ANY, .value = &population},
      {.name = "split", .kind = PLLM_OPTION_TEXT, .value = &split},
      {.name = "title", .kind = PLLM_OPTION_TEXT, .value = &title},
  };
  const char *path = pllm_ext_text_argument(context, "persona_report", 1, "path", argv[0]);
  PllmShowNames names = {0};
  PllmReport report = {.db = conn->db};
  PllmError err;
  PllmStatus status;
  if (!path) return;
  if (argc == 2 &&
      !pllm_ext_options_argument(context, "persona_report", argv[1], options, sizeof options / sizeof *options))
    return;
  status = pllm_ext_show_names(population, "population", &names, &err);
  if (status == PLLM_OK && library_path) status = read_library(library_path, &library, &err);
  if (status == PLLM_OK) {
    report.source.populations = (const char *const *)names.names;
    report.source.n_populations = names.count;
    report.source.split = split;
    status = write_report(&report, path, overwrite, title, library, &err);
  }
  if (status == PLLM_OK)
    sqlite3_result_int(context, report.figures);
  else
    pllm_ext_result_error(context, "persona_report", &err);
  pllm_ext_show_names_free(&names);
  pllm_free(library_path);
  pllm_free(library);
  pllm_free(population);
  pllm_free(split);
  pllm_free(title);
}

int pllm_ext_init_report(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_report", .args = 1, .flags = PLLM_DIRECT, .scalar = persona_report},
      {.name = "persona_report", .args = 2, .flags = PLLM_DIRECT, .scalar = persona_report},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
