/*
** show_text.c: JSON and HTML.  All texts are valid UTF-8 already (show_rows.c); errors stick to the sqlite3_str.
*/
#include "show.h"

#include <string.h>

void pllm_ext_json_string(sqlite3_str *out, const char *text) {
  const char *from = text, *p;
  sqlite3_str_appendchar(out, 1, '"');
  for (p = text; *p; p++) {
    unsigned char c = (unsigned char)*p;
    if (c >= 0x20 && c != '"' && c != '\\' && c != '<') continue;
    sqlite3_str_append(out, from, (int)(p - from));
    if (c == '"' || c == '\\')
      sqlite3_str_appendf(out, "\\%c", c);
    else if (c == '\n')
      sqlite3_str_appendall(out, "\\n");
    else
      sqlite3_str_appendf(out, "\\u%04x", c);
    from = p + 1;
  }
  sqlite3_str_append(out, from, (int)(p - from));
  sqlite3_str_appendchar(out, 1, '"');
}

void pllm_ext_json_cell(sqlite3_str *out, const PllmShowCell *cell) {
  char text[32];
  switch (cell->type) {
  case SQLITE_INTEGER: sqlite3_str_appendf(out, "%lld", cell->integer); break;
  case SQLITE_FLOAT:
    if (cell->real - cell->real != 0) { /* an infinity; NaN is NULL in SQLite */
      sqlite3_str_appendall(out, "null");
    } else {
      pllm_number_text(cell->real, text);
      sqlite3_str_appendall(out, text);
    }
    break;
  case SQLITE_TEXT: pllm_ext_json_string(out, cell->text); break;
  default: sqlite3_str_appendall(out, "null");
  }
}

static const char *entity(char c) {
  switch (c) {
  case '&': return "&amp;";
  case '<': return "&lt;";
  case '>': return "&gt;";
  case '"': return "&quot;";
  case '\'': return "&#39;";
  /* Control characters are no text in HTML: show where they are. */
  case '\t':
  case '\n': return NULL;
  default: return (unsigned char)c < 0x20 || c == 0x7f ? "\xEF\xBF\xBD" : NULL;
  }
}

void pllm_ext_html(sqlite3_str *out, const char *text) {
  const char *from = text, *p;
  for (p = text; *p; p++) {
    const char *other = *p == '\r' ? "" : entity(*p); /* a lone CR would be a line end anyway */
    if (!other) continue;
    sqlite3_str_append(out, from, (int)(p - from));
    sqlite3_str_appendall(out, other);
    from = p + 1;
  }
  sqlite3_str_append(out, from, (int)(p - from));
}

void pllm_ext_html_cell(sqlite3_str *out, const PllmShowCell *cell) {
  switch (cell->type) {
  case SQLITE_INTEGER: sqlite3_str_appendf(out, "%lld", cell->integer); break;
  case SQLITE_FLOAT: sqlite3_str_appendf(out, "%.4g", cell->real); break;
  case SQLITE_TEXT: pllm_ext_html(out, cell->text); break;
  default: sqlite3_str_appendall(out, "\xE2\x80\x93"); /* an en dash */
  }
}
