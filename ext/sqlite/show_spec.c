/*
** show_spec.c: the Vega-Lite specification of a figure, from its template.
**
** A template (ext/show/NAME.json.in) is the part of a specification that the data does not change, with
**   "@value"               the column drawn, as a string
**   "@title", "@format"    of its axis: the figure's own, or the column's name and plain numbers where another is drawn
**   "@domain"              the list of the series
**   "@labels"              the list of the different labels
**   "@height"              room for so many rows
**   "@legend"              a legend, or null where there is one series only
** in place of values, and lines `#if COLUMN` ... `#end` around what is drawn only where the data has that column.
*/
#include "show.h"

#include <string.h>

#define NUMBER ",~r" /* plain digits, as many as it takes */
#define ROW_HEIGHT 28
#define SCHEMA "https://vega.github.io/schema/vega-lite/v5.json"

/* Colours that stand out on white and on near-black, in an order that the usual colour blindnesses keep apart. */
#define CONFIG                                                                                                       \
  "{\"view\":{\"stroke\":null},\"axis\":{\"labelLimit\":220},\"axisQuantitative\":{\"tickCount\":6},"                \
  "\"legend\":{\"labelLimit\":220,\"orient\":\"bottom\",\"columns\":2},"                                             \
  "\"bar\":{\"color\":\"#3b7dd8\"},\"tick\":{\"color\":\"#e0245e\"},\"point\":{\"color\":\"#e0245e\"},\"rule\":{"    \
  "\"color\":\"#808080\"},"                                                                                          \
  "\"range\":{\"category\":[\"#3b7dd8\",\"#d9730d\",\"#1f9d77\",\"#c94f9b\",\"#8067d6\",\"#808080\",\"#a58a00\",\"#" \
  "0b98b5\"]}}"

/* Is the column drawn the one that the figure's own words are about? */
static int own_value(const PllmFigureData *data) {
  return sqlite3_stricmp(data->value_name, data->figure->value) == 0;
}

/* The different values of a column, in the order of the rows. */
static void put_different(const PllmFigureData *data, int column, sqlite3_str *out) {
  size_t n = 0;
  for (size_t r = 0; column >= 0 && r < data->rows.n_rows; r++) {
    if (!pllm_ext_figure_first(data, column, r)) continue;
    sqlite3_str_appendall(out, n++ ? "," : "[");
    pllm_ext_json_cell(out, PLLM_SHOW_CELL(&data->rows, r, column));
  }
  sqlite3_str_appendall(out, n ? "]" : "[]");
}

static void value_of(const PllmFigureData *data, const char *name, size_t bytes, sqlite3_str *out) {
  int own = own_value(data);
  if (bytes == 5 && memcmp(name, "value", 5) == 0)
    pllm_ext_json_string(out, data->rows.columns[data->value]);
  else if (bytes == 5 && memcmp(name, "title", 5) == 0)
    pllm_ext_json_string(out, own ? data->figure->value_title : data->value_name);
  else if (bytes == 6 && memcmp(name, "format", 6) == 0)
    pllm_ext_json_string(out, own ? data->figure->value_format : NUMBER);
  else if (bytes == 6 && memcmp(name, "domain", 6) == 0)
    put_different(data, data->series, out);
  else if (bytes == 6 && memcmp(name, "labels", 6) == 0)
    put_different(data, data->label, out);
  else if (bytes == 6 && memcmp(name, "height", 6) == 0)
    sqlite3_str_appendf(out, "%d", ROW_HEIGHT * (int)pllm_ext_figure_different(data, data->label));
  else /* legend */
    sqlite3_str_appendall(out, data->n_series > 1 ? "{}" : "null");
}

/* A line of the template with its "@name" replaced. */
static void put_line(const PllmFigureData *data, const char *line, const char *end, sqlite3_str *out) {
  const char *p = line;
  for (; p + 1 < end; p++) {
    const char *close;
    if (p[0] != '"' || p[1] != '@') continue;
    close = memchr(p + 1, '"', (size_t)(end - p - 1));
    if (!close) break;
    sqlite3_str_append(out, line, (int)(p - line));
    value_of(data, p + 2, (size_t)(close - p - 2), out);
    line = close + 1;
    p = close;
  }
  sqlite3_str_append(out, line, (int)(end - line));
}

/* Is the column named from p to the end of the line in the data? */
static int has_column(const PllmFigureData *data, const char *p, const char *end) {
  char name[40];
  if ((size_t)(end - p) >= sizeof name) return 0;
  memcpy(name, p, (size_t)(end - p));
  name[end - p] = 0;
  return pllm_ext_rows_column(&data->rows, name) >= 0;
}

static void put_template(const PllmFigureData *data, sqlite3_str *out) {
  int skip = 0;
  const char *p = strchr(data->figure->spec, '{') + 1; /* its members go behind ours */
  while (*p) {
    const char *end = p + strcspn(p, "\n"), *first = p + strspn(p, " ");
    if (strncmp(first, "#if ", 4) == 0)
      skip = !has_column(data, first + 4, end);
    else if (strncmp(first, "#end", 4) == 0)
      skip = 0;
    else if (!skip)
      put_line(data, first, end, out);
    p = *end ? end + 1 : end;
  }
}

static void put_values(const PllmShowRows *rows, sqlite3_str *out) {
  for (size_t r = 0; r < rows->n_rows; r++) {
    for (size_t c = 0; c < rows->n_columns; c++) {
      sqlite3_str_appendall(out, c ? "," : r ? ",{" : "{");
      pllm_ext_json_string(out, rows->columns[c]);
      sqlite3_str_appendchar(out, 1, ':');
      pllm_ext_json_cell(out, PLLM_SHOW_CELL(rows, r, c));
    }
    sqlite3_str_appendchar(out, 1, '}');
  }
}

static double value_at(const PllmFigureData *data, size_t row) {
  return PLLM_SHOW_CELL(&data->rows, row, data->value)->real;
}

/* "method posterior, interactions 10: 0.997" */
static void put_point(const PllmFigureData *data, size_t row, sqlite3_str *out) {
  const int columns[2] = {data->n_series > 1 ? data->series : -1, data->label};
  for (int i = 0; i < 2; i++) {
    const PllmShowCell *cell;
    if (columns[i] < 0) continue;
    cell = PLLM_SHOW_CELL(&data->rows, row, columns[i]);
    if (cell->type == SQLITE_TEXT)
      sqlite3_str_appendf(out, " %s,", cell->text);
    else
      sqlite3_str_appendf(out, " %s %.4g,", data->rows.columns[columns[i]], cell->real);
  }
  sqlite3_str_appendf(out, " %.4g", value_at(data, row));
}

void pllm_ext_figure_reading(const PllmFigureData *data, sqlite3_str *out) {
  const PllmFigure *f = data->figure;
  if (own_value(data))
    sqlite3_str_appendall(out, f->reading);
  else
    sqlite3_str_appendf(out, "Shown: %s by %s.", data->rows.columns[data->value], f->label);
  for (size_t i = 0; i < PLLM_FIGURE_NUMBERS && f->optional[i].name; i++)
    if (f->optional[i].reading && pllm_ext_rows_column(&data->rows, f->optional[i].name) >= 0)
      sqlite3_str_appendf(out, " %s", f->optional[i].reading);
}

void pllm_ext_figure_words(const PllmFigureData *data, sqlite3_str *out) {
  size_t high = SIZE_MAX, low = SIZE_MAX, known = 0;
  for (size_t r = 0; r < data->rows.n_rows; r++) {
    if (PLLM_SHOW_CELL(&data->rows, r, data->value)->type == SQLITE_NULL) continue;
    known++;
    if (high == SIZE_MAX || value_at(data, r) > value_at(data, high)) high = r;
    if (low == SIZE_MAX || value_at(data, r) < value_at(data, low)) low = r;
  }
  sqlite3_str_appendf(out, "%s. ", data->figure->title);
  pllm_ext_figure_reading(data, out);
  sqlite3_str_appendf(out, " %d value%s", (int)known, known == 1 ? "" : "s");
  if (known > 1 && value_at(data, high) == value_at(data, low)) {
    sqlite3_str_appendf(out, ", all %.4g", value_at(data, high));
  } else if (known > 0) {
    sqlite3_str_appendall(out, "; highest:");
    put_point(data, high, out);
    sqlite3_str_appendall(out, "; lowest:");
    put_point(data, low, out);
  }
  sqlite3_str_appendchar(out, 1, '.');
}

PllmStatus pllm_ext_figure_spec(const PllmFigureData *data, const char *title, int width, sqlite3_str *out,
                                PllmError *err) {
  sqlite3_str *words = sqlite3_str_new(NULL);
  char *text;
  pllm_ext_figure_words(data, words);
  text = sqlite3_str_finish(words);
  if (!text) return pllm_fail_nomem(err);
  sqlite3_str_appendall(out, "{\"$schema\":\"" SCHEMA "\",\"title\":{\"text\":");
  pllm_ext_json_string(out, title ? title : data->figure->title);
  sqlite3_str_appendall(out, ",\"anchor\":\"start\"},\"description\":");
  pllm_ext_json_string(out, text);
  sqlite3_free(text);
  if (width > 0)
    sqlite3_str_appendf(out, ",\"width\":%d", width);
  else
    sqlite3_str_appendall(out, ",\"width\":\"container\",\"autosize\":{\"type\":\"fit-x\",\"contains\":\"padding\"}");
  sqlite3_str_appendall(out, ",\"config\":" CONFIG ",\"data\":{\"values\":[");
  put_values(&data->rows, out);
  sqlite3_str_appendall(out, "]},");
  put_template(data, out);
  return PLLM_OK;
}
