/*
** show_data.c: what a figure draws: rows of its own query or of a table, reduced to the columns that it knows.
*/
#include "show.h"

#include <string.h>

/* A figure's columns in the order in which data.rows holds them. */
#define MOST_COLUMNS (3 + 2 * PLLM_FIGURE_NUMBERS)
typedef struct Wanted {
  const char *name[MOST_COLUMNS];
  int found[MOST_COLUMNS]; /* where the source has it */
  size_t count;
} Wanted;

static void want(Wanted *wanted, const char *name, int found) {
  wanted->name[wanted->count] = name;
  wanted->found[wanted->count++] = found;
}

/* The columns that a source must have: "a, b, c". */
static const char *required_columns(const PllmFigureData *data, char *list, size_t room) {
  const PllmFigure *f = data->figure;
  const char *series = f->series && !f->sql ? f->series : NULL; /* of votes it is what the population is called */
  sqlite3_snprintf((int)room, list, "%s%s%s, %.60s", series ? series : "", series ? ", " : "", f->label,
                   data->value_name);
  for (size_t i = 0; i < PLLM_FIGURE_NUMBERS && f->numbers[i]; i++) {
    size_t used = strlen(list);
    sqlite3_snprintf((int)(room - used), list + used, ", %s", f->numbers[i]);
  }
  return list;
}

static PllmStatus missing(const PllmFigureData *data, const char *column, PllmError *err) {
  char list[PLLM_ERROR_TEXT / 2];
  return pllm_fail(err, PLLM_INVALID, "%s has no column \"%.60s\"; columns %s are required", data->origin, column,
                   required_columns(data, list, sizeof list));
}

/* The k-th of the figure's columns, NULL where it has none: series, label, value, numbers, optional (intervals and the
** published values). */
static const char *known_column(const PllmFigureData *data, size_t k) {
  const PllmFigure *f = data->figure;
  if (k == 0) return f->series;
  if (k == 1) return f->label;
  if (k == 2) return data->value_name;
  k -= 3;
  if (k < PLLM_FIGURE_NUMBERS) return f->numbers[k];
  if (sqlite3_stricmp(data->value_name, f->value) != 0) return NULL; /* the rest goes with the figure's own value */
  return f->optional[k - PLLM_FIGURE_NUMBERS].name;
}

/* Find the figure's columns among the source's. */
static PllmStatus match(PllmFigureData *data, sqlite3_stmt *stmt, Wanted *wanted, PllmError *err) {
  const PllmFigure *f = data->figure;
  int n = sqlite3_column_count(stmt), i;
  wanted->count = 0;
  for (size_t k = 0; k < MOST_COLUMNS; k++) {
    int optional = k >= 3 + PLLM_FIGURE_NUMBERS || (k == 0 && f->sql);
    const char *name = known_column(data, k);
    if (!name || (k >= 3 && sqlite3_stricmp(name, data->value_name) == 0)) continue;
    for (i = 0; i < n; i++) {
      const char *column = sqlite3_column_name(stmt, i);
      if (!column) return pllm_fail_nomem(err);
      if (sqlite3_stricmp(column, name) == 0) break;
    }
    if (i == n && !optional) return missing(data, name, err);
    if (i < n || k == 0) want(wanted, name, i < n ? i : -1);
  }
  return PLLM_OK;
}

static PllmStatus set_origin(PllmFigureData *data, char *origin, PllmError *err) { /* takes origin */
  if (!origin) return pllm_fail_nomem(err);
  pllm_text_repair(origin);
  sqlite3_free(data->origin);
  data->origin = origin;
  return PLLM_OK;
}

/* Complete the rows from `first` on: what the series is called, and numbers where numbers must be. */
static PllmStatus complete(PllmFigureData *data, const Wanted *wanted, size_t first, const char *series,
                           PllmError *err) {
  for (size_t r = first; r < data->rows.n_rows; r++)
    for (size_t c = 0; c < wanted->count; c++) {
      PllmShowCell *cell = PLLM_SHOW_CELL(&data->rows, r, c);
      if (wanted->found[c] < 0) {
        cell->text = sqlite3_mprintf("%s", series);
        if (!cell->text) return pllm_fail_nomem(err);
        cell->type = SQLITE_TEXT;
      } else if ((int)c > data->label && cell->type == SQLITE_TEXT) {
        return pllm_fail(err, PLLM_INVALID, "%s, row %zu: column %.60s is the text \"%.40s\"; a number is required",
                         data->origin, r - first + 1, wanted->name[c], cell->text);
      }
    }
  return PLLM_OK;
}

/* Columns are called as the template calls them, whatever their case in the source. */
static PllmStatus rename_columns(PllmFigureData *data, const Wanted *wanted, PllmError *err) {
  for (size_t c = 0; c < wanted->count; c++) {
    char *name;
    if ((int)c == data->value) continue;
    name = sqlite3_mprintf("%s", wanted->name[c]);
    if (!name) return pllm_fail_nomem(err);
    sqlite3_free(data->rows.columns[c]);
    data->rows.columns[c] = name;
  }
  return PLLM_OK;
}

/* The statement's rows, the figure's columns chosen by name. */
static PllmStatus read_statement(sqlite3 *db, PllmFigureData *data, sqlite3_stmt *stmt, const char *series,
                                 PllmError *err) {
  size_t first = data->rows.n_rows;
  Wanted wanted;
  PllmStatus status = match(data, stmt, &wanted, err);
  data->series = data->figure->series ? 0 : -1;
  data->label = data->series + 1;
  data->value = data->label + 1;
  if (status == PLLM_OK)
    status = pllm_ext_rows_read(db, stmt, wanted.found, wanted.count, PLLM_FIGURE_ROWS, &data->rows, err);
  if (status == PLLM_OK && first == 0) status = rename_columns(data, &wanted, err);
  return status == PLLM_OK ? complete(data, &wanted, first, series, err) : status;
}

static PllmStatus read_query(sqlite3 *db, PllmFigureData *data, const char *population, const char *split,
                             PllmError *err) {
  sqlite3_stmt *stmt = NULL;
  PllmStatus status = set_origin(data,
                                 sqlite3_mprintf("%s, population %s%s%s", data->figure->made_by, population,
                                                 split ? ", split " : "", split ? split : ""),
                                 err);
  if (status != PLLM_OK) return status;
  status = pllm_ext_rows_prepare(db, data->figure->sql, population, split, &stmt, err);
  if (status == PLLM_OK) status = read_statement(db, data, stmt, population, err);
  sqlite3_finalize(stmt);
  return status;
}

static PllmStatus no_table(const PllmFigureData *data, PllmError *err) {
  char list[PLLM_ERROR_TEXT / 2];
  return pllm_fail(err, PLLM_INVALID,
                   "no such table: %s; %s makes it, or option \"table\" names a table or view with columns %s",
                   data->figure->table, data->figure->made_by, required_columns(data, list, sizeof list));
}

static PllmStatus read_table(sqlite3 *db, PllmFigureData *data, const char *name, PllmError *err) {
  PllmExtTable table = {0};
  sqlite3_stmt *stmt = NULL;
  char *sql = NULL;
  int found = 1;
  PllmStatus status = name ? pllm_ext_table_find(db, name, NULL, &table, err)
                           : pllm_ext_table_place(db, data->figure->table, "temp", &table, &found, err);
  if (status == PLLM_OK && !found) status = no_table(data, err);
  if (status == PLLM_OK) status = set_origin(data, sqlite3_mprintf("table %s", table.name), err);
  if (status == PLLM_OK) {
    sql = sqlite3_mprintf("SELECT * FROM %s", table.quoted);
    status = sql ? pllm_ext_rows_prepare(db, sql, NULL, NULL, &stmt, err) : pllm_fail_nomem(err);
    if (status == PLLM_INVALID && !name) /* as of a view of a table that is not there */
      pllm_error_prefix(err, "table %s, made by %s", data->figure->table, data->figure->made_by);
    if (status == PLLM_OK) status = read_statement(db, data, stmt, table.name, err);
  }
  sqlite3_free(sql);
  sqlite3_finalize(stmt);
  pllm_ext_table_free(&table);
  return status;
}

static int same_cell(const PllmShowCell *a, const PllmShowCell *b) {
  if (a->type != b->type) return 0;
  return a->type == SQLITE_TEXT ? strcmp(a->text, b->text) == 0 : a->real == b->real;
}

int pllm_ext_figure_first(const PllmFigureData *data, int column, size_t row) {
  const PllmShowCell *cell = PLLM_SHOW_CELL(&data->rows, row, column);
  size_t r = 0;
  while (!same_cell(PLLM_SHOW_CELL(&data->rows, r, column), cell)) r++;
  return r == row;
}

size_t pllm_ext_figure_different(const PllmFigureData *data, int column) {
  size_t n = 0;
  for (size_t r = 0; column >= 0 && r < data->rows.n_rows; r++) n += (size_t)pllm_ext_figure_first(data, column, r);
  return n;
}

PllmStatus pllm_ext_figure_read(sqlite3 *db, const PllmFigure *figure, const PllmFigureSource *source,
                                PllmFigureData *data, PllmError *err) {
  PllmStatus status = PLLM_OK;
  memset(data, 0, sizeof *data);
  data->figure = figure;
  data->value_name = source->value ? source->value : figure->value;
  if ((source->n_populations > 0 || source->split) && (source->table || !figure->sql))
    status =
        pllm_fail(err, PLLM_INVALID, "a table is drawn as it is; options \"population\" and \"split\" do not apply");
  else if (source->table || !figure->sql)
    status = read_table(db, data, source->table, err);
  else if (source->n_populations == 0)
    status = read_query(db, data, "users", source->split, err);
  for (size_t i = 0; status == PLLM_OK && i < source->n_populations; i++)
    status = read_query(db, data, source->populations[i], source->split, err);
  if (status == PLLM_OK && source->n_populations > 1)
    status = set_origin(data,
                        sqlite3_mprintf("%s, %d populations%s%s", figure->made_by, (int)source->n_populations,
                                        source->split ? ", split " : "", source->split ? source->split : ""),
                        err);
  if (status == PLLM_OK && data->rows.n_rows == 0)
    status = pllm_fail(err, PLLM_INVALID, "%s: no rows, nothing to draw", data->origin);
  if (status == PLLM_OK) data->n_series = pllm_ext_figure_different(data, data->series);
  if (status != PLLM_OK) {
    pllm_error_prefix(err, "%s", figure->name);
    pllm_ext_figure_free(data);
  }
  return status;
}

void pllm_ext_figure_free(PllmFigureData *data) {
  pllm_ext_rows_free(&data->rows);
  sqlite3_free(data->origin);
  memset(data, 0, sizeof *data);
}
