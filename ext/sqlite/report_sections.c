/*
** report_sections.c: the sections of the report, as HTML.
*/
#include "report.h"
#include "show_texts.h"

#include <math.h>
#include <string.h>

#define MOST_ROWS 1000 /* of a table that is no figure's */

static void heading(PllmReport *report, const char *id, const char *title) {
  sqlite3_str_appendf(report->nav, "<li><a href=\"#%s\">", id);
  pllm_ext_html(report->nav, title);
  sqlite3_str_appendall(report->nav, "</a></li>\n");
  sqlite3_str_appendf(report->body, "<section id=\"%s\" aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">", id, id,
                      id);
  pllm_ext_html(report->body, title);
  sqlite3_str_appendall(report->body, "</h2>\n");
}

/* Is this failure one that the page can live with?  Then it is listed. */
static int lives_without(PllmReport *report, const char *what, const PllmError *err) {
  if (err->status != PLLM_INVALID) return 0;
  sqlite3_str_appendall(report->absent, "<li>");
  pllm_ext_html(report->absent, what);
  sqlite3_str_appendall(report->absent, ": ");
  pllm_ext_html(report->absent, err->text);
  sqlite3_str_appendall(report->absent, "</li>\n");
  report->n_absent++;
  return 1;
}

static int is_number(const PllmShowCell *cell) {
  return cell->type == SQLITE_INTEGER || cell->type == SQLITE_FLOAT;
}

/* Right-aligned as numbers when it holds nothing else. */
static int numeric_column(const PllmShowRows *rows, size_t c) {
  for (size_t r = 0; r < rows->n_rows; r++)
    if (PLLM_SHOW_CELL(rows, r, c)->type == SQLITE_TEXT) return 0;
  return 1;
}

static double largest(const PllmShowRows *rows, int column) {
  double most = 0;
  for (size_t r = 0; column >= 0 && r < rows->n_rows; r++) {
    const PllmShowCell *cell = PLLM_SHOW_CELL(rows, r, column);
    if (is_number(cell) && fabs(cell->real) > most) most = fabs(cell->real);
  }
  return most;
}

/* A bar below the number, so that the table alone can be read as a picture. */
static void put_bar(sqlite3_str *out, double value, double most) {
  double percent = most > 0 && isfinite(most) ? 100 * fabs(value) / most : 0;
  if (percent > 0) sqlite3_str_appendf(out, "<span class=\"bar\" style=\"width:%.1f%%\"></span>", percent);
}

/* rows as a table called "kind title"; `drawn` is the column that gets bars, or -1. */
static void put_table(sqlite3_str *out, const PllmShowRows *rows, const char *kind, const char *title, int drawn) {
  double most = largest(rows, drawn);
  sqlite3_str_appendall(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
  sqlite3_str_appendall(out, kind);
  pllm_ext_html(out, title);
  sqlite3_str_appendall(out, "\">\n<table>\n<thead><tr>");
  for (size_t c = 0; c < rows->n_columns; c++) {
    sqlite3_str_appendf(out, "<th scope=\"col\"%s>",
                        c > 0 && (int)c != drawn && numeric_column(rows, c) ? " class=\"number\"" : "");
    pllm_ext_html(out, rows->columns[c]);
    sqlite3_str_appendall(out, "</th>");
  }
  sqlite3_str_appendall(out, "</tr></thead>\n<tbody>\n");
  for (size_t r = 0; r < rows->n_rows; r++) {
    sqlite3_str_appendall(out, "<tr>");
    for (size_t c = 0; c < rows->n_columns; c++) {
      const PllmShowCell *cell = PLLM_SHOW_CELL(rows, r, c);
      const char *tag = c == 0 ? "th" : "td";
      sqlite3_str_appendf(out, "<%s%s%s>", tag, c == 0 ? " scope=\"row\"" : "",
                          (int)c == drawn                    ? " class=\"drawn\""
                          : c > 0 && numeric_column(rows, c) ? " class=\"number\""
                                                             : "");
      pllm_ext_html_cell(out, cell);
      if ((int)c == drawn && is_number(cell)) put_bar(out, cell->real, most);
      sqlite3_str_appendf(out, "</%s>", tag);
    }
    sqlite3_str_appendall(out, "</tr>\n");
  }
  sqlite3_str_appendall(out, "</tbody>\n</table>\n</div>\n");
}

/* All the rows of a query. */
static PllmStatus read_rows(const PllmReport *report, const char *sql, PllmShowRows *rows, PllmError *err) {
  int take[PLLM_SHOW_COLUMNS];
  sqlite3_stmt *stmt = NULL;
  const char *population = report->source.n_populations > 0 ? report->source.populations[0] : NULL;
  PllmStatus status = pllm_ext_rows_prepare(report->db, sql, population, report->source.split, &stmt, err);
  if (status == PLLM_OK) {
    int n = sqlite3_column_count(stmt);
    for (int c = 0; c < n && c < PLLM_SHOW_COLUMNS; c++) take[c] = c;
    status = pllm_ext_rows_read(report->db, stmt, take, (size_t)n, MOST_ROWS, rows, err);
  }
  sqlite3_finalize(stmt);
  return status;
}

/* A query's rows below a smaller heading, or in a section of their own where it has an id; nothing where there are
** none. */
static PllmStatus put_query(PllmReport *report, const char *id, const char *title, const unsigned char *sql,
                            PllmError *err) {
  PllmShowRows rows = {0};
  PllmStatus status = read_rows(report, (const char *)sql, &rows, err);
  if (status != PLLM_OK) {
    if (lives_without(report, title, err)) status = PLLM_OK;
  } else if (rows.n_rows > 0) {
    if (id)
      heading(report, id, title);
    else
      sqlite3_str_appendf(report->body, "<h3>%s</h3>\n", title);
    put_table(report->body, &rows, "", title, -1);
    if (id) sqlite3_str_appendall(report->body, "</section>\n");
  }
  pllm_ext_rows_free(&rows);
  return status;
}

PllmStatus pllm_ext_report_data(PllmReport *report, PllmError *err) {
  PllmStatus status;
  heading(report, "data", "The data");
  status = put_query(report, NULL, "Prompts and responses", pllm_show_report_splits_sql, err);
  if (status == PLLM_OK) status = put_query(report, NULL, "Reward models", pllm_show_report_models_sql, err);
  if (status == PLLM_OK) status = put_query(report, NULL, "Populations", pllm_show_report_populations_sql, err);
  sqlite3_str_appendall(report->body, "</section>\n");
  return status;
}

static PllmStatus put_figure(PllmReport *report, const PllmFigureData *data, PllmError *err) {
  PllmStatus status = PLLM_OK;
  const PllmFigure *f = data->figure;
  sqlite3_str *out = report->body;
  heading(report, f->name, f->title);
  sqlite3_str_appendall(out, "<p>");
  pllm_ext_html(out, f->question);
  sqlite3_str_appendall(out, "</p>\n");
  if (report->charts) {
    sqlite3_str_appendall(out, "<figure>\n<div class=\"chart\"></div>\n<figcaption>");
    pllm_ext_figure_reading(data, out); /* holds column names of ours only: no escapes needed */
    sqlite3_str_appendall(out, "</figcaption>\n</figure>\n");
  }
  sqlite3_str_appendall(out, "<details class=\"numbers\" open>\n<summary>The numbers</summary>\n");
  put_table(out, &data->rows, "The numbers: ", f->title, data->value);
  sqlite3_str_appendall(out, "<p class=\"soft\">From ");
  pllm_ext_html(out, data->origin);
  sqlite3_str_appendall(out, ".</p>\n</details>\n");
  if (report->charts) {
    sqlite3_str_appendf(out, "<script type=\"application/json\" data-chart=\"%s\">", f->name);
    status = pllm_ext_figure_spec(data, NULL, 0, out, err);
    sqlite3_str_appendall(out, "</script>\n");
  }
  sqlite3_str_appendall(out, "</section>\n");
  report->figures++;
  return status;
}

PllmStatus pllm_ext_report_figures(PllmReport *report, PllmError *err) {
  for (size_t i = 0; i < pllm_ext_n_figures; i++) {
    const PllmFigureSource none = {0};
    PllmFigureData data;
    const PllmFigure *f = &pllm_ext_figures[i];
    PllmStatus status = pllm_ext_figure_read(report->db, f, f->sql ? &report->source : &none, &data, err);
    if (status == PLLM_OK) {
      status = put_figure(report, &data, err);
      pllm_ext_figure_free(&data);
      if (status != PLLM_OK) return status;
    } else if (!lives_without(report, f->title, err)) {
      return status;
    }
  }
  return PLLM_OK;
}

PllmStatus pllm_ext_report_runs(PllmReport *report, PllmError *err) {
  return put_query(report, "runs", "Runs of language models", pllm_show_report_runs_sql, err);
}

/* The columns of report_prompts.sql. */
enum { PROMPT_ID, DIVIDED, PROMPT, MODEL, SHARE, RESPONSE };

static void put_response(sqlite3_str *out, const PllmShowCell *row) {
  sqlite3_str_appendf(out, "<li><details><summary><span class=\"share\">%.0f %%</span><span class=\"model\">",
                      100 * row[SHARE].real);
  pllm_ext_html_cell(out, &row[MODEL]);
  sqlite3_str_appendall(out, "</span><span class=\"meter\">");
  put_bar(out, row[SHARE].real, 1);
  sqlite3_str_appendall(out, "</span></summary>\n<blockquote>");
  pllm_ext_html_cell(out, &row[RESPONSE]);
  sqlite3_str_appendall(out, "</blockquote></details></li>\n");
}

static void put_prompts(sqlite3_str *out, const PllmShowRows *rows) {
  int open = 0;
  for (size_t r = 0; r < rows->n_rows; r++) {
    const PllmShowCell *row = PLLM_SHOW_CELL(rows, r, 0);
    if (!open || row[PROMPT_ID].integer != PLLM_SHOW_CELL(rows, r - 1, PROMPT_ID)->integer) {
      if (open) sqlite3_str_appendall(out, "</ul>\n");
      sqlite3_str_appendf(out, "<h3>Prompt %lld: users %s</h3>\n<blockquote>", row[PROMPT_ID].integer,
                          row[DIVIDED].integer ? "disagree" : "agree");
      pllm_ext_html_cell(out, &row[PROMPT]);
      sqlite3_str_appendall(out, "</blockquote>\n<ul class=\"responses\">\n");
      open = 1;
    }
    put_response(out, row);
  }
  if (open) sqlite3_str_appendall(out, "</ul>\n");
}

PllmStatus pllm_ext_report_prompts(PllmReport *report, PllmError *err) {
  PllmShowRows rows = {0};
  PllmStatus status = read_rows(report, (const char *)pllm_show_report_prompts_sql, &rows, err);
  if (status != PLLM_OK) {
    if (lives_without(report, "Prompts that divide and unite users", err)) status = PLLM_OK;
  } else if (rows.n_rows > 0) {
    heading(report, "prompts", "Prompts that divide and unite users");
    sqlite3_str_appendall(report->body,
                          "<p>Where the most popular response has the smallest share of the votes, and where "
                          "it has the largest. Each response opens.</p>\n");
    put_prompts(report->body, &rows);
    sqlite3_str_appendall(report->body, "</section>\n");
  }
  pllm_ext_rows_free(&rows);
  return status;
}

void pllm_ext_report_absent(PllmReport *report) {
  char *items = sqlite3_str_finish(report->absent);
  report->absent = NULL;
  if (!items) return;
  heading(report, "absent", "Not in this report");
  sqlite3_str_appendf(report->body, "<p>What the database at hand does not hold:</p>\n<ul>\n%s</ul>\n</section>\n",
                      items);
  sqlite3_free(items);
}
