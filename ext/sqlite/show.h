/*
** show.h: figures, as charts and as tables.  Shared by persona_chart and persona_report.
**
** A figure reads rows, either of its own query (the text of a file in sql/, which the build puts into the extension) or
** of a table or view of documented columns, and fills a Vega-Lite template (ext/show/NAME.json.in) with them.
*/
#ifndef PLLM_SHOW_H
#define PLLM_SHOW_H

#include "ext_int.h"

/* ---- show_rows.c: the rows of a statement, held in memory ------------------------------------------------------- */

typedef struct PllmShowCell {
  int type; /* SQLITE_NULL, SQLITE_INTEGER, SQLITE_FLOAT or SQLITE_TEXT */
  sqlite3_int64 integer;
  double real; /* also of an integer */
  char *text;  /* owned; valid UTF-8 */
} PllmShowCell;

#define PLLM_SHOW_COLUMNS 32 /* that one query may have */

/* Start from {0}. */
typedef struct PllmShowRows {
  char **columns;      /* [n_columns], owned */
  PllmShowCell *cells; /* [n_rows][n_columns], owned */
  size_t n_columns, n_rows, room;
} PllmShowRows;

/*
** Append the rows that are left of a statement: of each the columns take[n], a NULL cell where that is negative.  The
** first call names the columns; later ones must have as many.  More than `most` rows in all, or a BLOB, is
** PLLM_INVALID.
*/
PllmStatus pllm_ext_rows_read(sqlite3 *db, sqlite3_stmt *stmt, const int *take, size_t n, size_t most,
                              PllmShowRows *rows, PllmError *err);
/* Prepare the one statement of sql with its :population and :split (NULL: its default; not copied).  *stmt is for
** sqlite3_finalize in any case. */
PllmStatus pllm_ext_rows_prepare(sqlite3 *db, const char *sql, const char *population, const char *split,
                                 sqlite3_stmt **stmt, PllmError *err);
void pllm_ext_rows_free(PllmShowRows *rows);
/* The column of that name, without regard to case; -1 when there is none. */
int pllm_ext_rows_column(const PllmShowRows *rows, const char *name);
#define PLLM_SHOW_CELL(rows, r, c) (&(rows)->cells[(size_t)(r) * (rows)->n_columns + (size_t)(c)])

/* ---- show_text.c: JSON and HTML --------------------------------------------------------------------------------- */

/* A JSON string with its quotes.  '<' is written as an escape, so that the text can stand in a script element. */
void pllm_ext_json_string(sqlite3_str *out, const char *text);
/* A cell as a JSON value; numbers that JSON has not become null. */
void pllm_ext_json_cell(sqlite3_str *out, const PllmShowCell *cell);
/* Text as HTML, within elements and quoted attributes. */
void pllm_ext_html(sqlite3_str *out, const char *text);
/* A cell for reading: numbers with four significant digits, a dash for NULL. */
void pllm_ext_html_cell(sqlite3_str *out, const PllmShowCell *cell);

/* ---- show_figures.c: what figures there are --------------------------------------------------------------------- */

#define PLLM_FIGURE_NUMBERS 6

/* A column that is drawn where it is there. */
typedef struct PllmFigureOptional {
  const char *name;
  const char *reading; /* how to read its marks; NULL: nothing to say */
} PllmFigureOptional;

/* The roles of a figure's columns.  All must be there except the optional ones. */
typedef struct PllmFigure {
  const char *name;     /* as persona_chart knows it */
  const char *title;    /* a headline */
  const char *question; /* what it answers, in a sentence or two */
  const char *reading;  /* how to read the marks */
  const char *sql;      /* its own query; NULL: it reads `table` */
  const char *table;    /* what it reads by default where it has no query */
  const char *made_by;  /* the file of sql/ that holds the query, or makes the table */
  const char *label;    /* column: what is on the other axis */
  const char *series;   /* column: one line each; NULL: none.  With a query the series are the populations. */
  const char *value;    /* column: what is drawn */
  const char *value_title, *value_format;    /* of its axis; the format is d3's */
  const char *numbers[PLLM_FIGURE_NUMBERS];  /* more columns that must be there, NULL at the end */
  PllmFigureOptional optional[PLLM_FIGURE_NUMBERS]; /* no name at the end */
  const char *spec;                          /* the template: see show_spec.c */
} PllmFigure;

extern const PllmFigure pllm_ext_figures[];
extern const size_t pllm_ext_n_figures;

/* The figure of that name; PLLM_INVALID lists the names there are. */
PllmStatus pllm_ext_figure_find(const char *name, const PllmFigure **figure, PllmError *err);

/* ---- show_data.c: what a figure draws --------------------------------------------------------------------------- */

/* At most so many rows in one chart: more neither draws nor reads well. */
#define PLLM_FIGURE_ROWS 5000
#define PLLM_FIGURE_POPULATIONS 20

/* What is drawn, from where. */
typedef struct PllmFigureSource {
  const char *table;              /* NULL: the figure's query, or its default table */
  const char *value;              /* NULL: the figure's value column */
  const char *split;              /* NULL: the query's default */
  const char *const *populations; /* [n_populations]; none: the query's default */
  size_t n_populations;
} PllmFigureSource;

typedef struct PllmFigureData {
  const PllmFigure *figure;
  const char *value_name;   /* not owned: the column drawn */
  PllmShowRows rows;        /* only the columns the figure knows, the label first */
  int label, series, value; /* columns of rows; series is -1 where there is none */
  size_t n_series;          /* different ones */
  char *origin;             /* owned: what was read, for people */
} PllmFigureData;

/* Read and check.  The error says what is missing and what makes it. */
PllmStatus pllm_ext_figure_read(sqlite3 *db, const PllmFigure *figure, const PllmFigureSource *source,
                                PllmFigureData *data, PllmError *err);
void pllm_ext_figure_free(PllmFigureData *data);
/* Is this the first row with its value of a column?  O(rows). */
int pllm_ext_figure_first(const PllmFigureData *data, int column, size_t row);
/* How many different values a column has; 0 where column is -1.  O(rows x different values). */
size_t pllm_ext_figure_different(const PllmFigureData *data, int column);

/* ---- show_spec.c: the Vega-Lite specification ------------------------------------------------------------------- */

/* width: pixels, or 0 for the width of what it stands in.  Fails with PLLM_NOMEM only; out keeps its own errors. */
PllmStatus pllm_ext_figure_spec(const PllmFigureData *data, const char *title, int width, sqlite3_str *out,
                                PllmError *err);
/* How to read what is drawn. */
void pllm_ext_figure_reading(const PllmFigureData *data, sqlite3_str *out);
/* The figure in words, for those who do not see it: what it is, the highest and the lowest value. */
void pllm_ext_figure_words(const PllmFigureData *data, sqlite3_str *out);

/* ---- fn_chart.c: options that charts and reports share ---------------------------------------------------------- */

/* The option "population": a name or a list of names, as the JSON text that PLLM_OPTION_ANY gives.  Start from {0}. */
typedef struct PllmShowNames {
  char *names[PLLM_FIGURE_POPULATIONS]; /* owned */
  size_t count;
} PllmShowNames;
PllmStatus pllm_ext_show_names(const char *json, const char *option, PllmShowNames *names, PllmError *err);
void pllm_ext_show_names_free(PllmShowNames *names);

#endif
