/*
** vt_jsonl.c: read_jsonl(path), the lines of a file.
**
**   SELECT line, value ->> '$.prompt' FROM read_jsonl('train.jsonl.gz');
**
**   column  type     meaning
**   line    INTEGER  line number, from 1
**   value   TEXT     the line: JSON text
**
** Plain or gzip, as in persona_import; blank lines are skipped but counted.  A line that is no JSON is an error
** naming it, or, with the option "invalid": "null", a row whose value is NULL, counted in `skipped`: a batch that
** was cut off does not take its good lines with it.  DIRECTONLY.  Memory: some hundred kilobytes, or the longest
** line.
*/
#include "ext_int.h"

enum { ARG_PATH, ARG_OPTIONS, N_ARGS };

#define BATCH_BYTES ((size_t)64 << 10)

typedef struct JsonlScan {
  PllmReader *reader; /* owned */
  PllmLines lines;    /* owned */
  size_t at;          /* current line in lines */
  int invalid_null;   /* option invalid */
  int valid;          /* the current line is JSON */
} JsonlScan;

static PllmStatus check_line(PllmTvfCursor *cursor, PllmError *err) {
  JsonlScan *scan = cursor->state;
  const PllmLine *line = &scan->lines.line[scan->at];
  PllmJson *json = NULL;
  PllmStatus status = pllm_json_parse(scan->lines.text + line->start, line->bytes, &json, err);
  pllm_json_free(json);
  scan->valid = status == PLLM_OK;
  if (status == PLLM_INVALID && scan->invalid_null) {
    cursor->skipped++;
    return PLLM_OK;
  }
  if (status == PLLM_INVALID) pllm_error_prefix(err, "%.100s line %zu", pllm_reader_name(scan->reader), line->number);
  return status;
}

static PllmStatus jsonlNext(PllmTvfCursor *cursor, PllmError *err) {
  JsonlScan *scan = cursor->state;
  if (++scan->at >= scan->lines.count) {
    PllmStatus status = pllm_reader_lines(scan->reader, SIZE_MAX, BATCH_BYTES, NULL, &scan->lines, err);
    if (status != PLLM_OK) return status;
    scan->at = 0;
    cursor->done = scan->lines.count == 0;
    if (cursor->done) return PLLM_OK;
  }
  return check_line(cursor, err);
}

static PllmStatus jsonlBegin(PllmTvfCursor *cursor, PllmError *err) {
  const char *path = pllm_ext_tvf_text(cursor, ARG_PATH), *options = pllm_ext_tvf_text(cursor, ARG_OPTIONS);
  JsonlScan *scan;
  int invalid_null = 0;
  PllmOption known[] = {
      {.name = "invalid", .kind = PLLM_OPTION_CHOICE, .value = &invalid_null, .choices = "error|null"}};
  PllmStatus status;
  if (options) {
    status = pllm_options_parse(options, (size_t)sqlite3_value_bytes(cursor->args[ARG_OPTIONS]), known, 1, err);
    if (status != PLLM_OK) return status;
  }
  if (!path || sqlite3_value_type(cursor->args[ARG_PATH]) != SQLITE_TEXT)
    return pllm_fail(err, PLLM_INVALID, "argument 1 (path): %s; text is required",
                     pllm_ext_type_name(cursor->args[ARG_PATH]));
  cursor->state = scan = pllm_alloc_zero(1, sizeof *scan);
  if (!scan) return pllm_fail_nomem(err);
  scan->invalid_null = invalid_null;
  status = pllm_reader_open(path, &scan->reader, err);
  return status == PLLM_OK ? jsonlNext(cursor, err) : status;
}

static void jsonlEnd(PllmTvfCursor *cursor) {
  JsonlScan *scan = cursor->state;
  if (!scan) return;
  pllm_reader_close(scan->reader);
  pllm_lines_free(&scan->lines);
  pllm_free(scan);
}

static void jsonlColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const JsonlScan *scan = cursor->state;
  const PllmLine *line = &scan->lines.line[scan->at];
  if (column == 0)
    sqlite3_result_int64(context, (sqlite3_int64)line->number);
  else if (scan->valid)
    sqlite3_result_text64(context, scan->lines.text + line->start, line->bytes, SQLITE_TRANSIENT, SQLITE_UTF8);
}

int pllm_ext_init_jsonl(PllmConn *conn, char **error) {
  static const char *const args[] = {"path", "options"};
  static const PllmTvf tvf = {.name = "read_jsonl",
                              .columns = "line INTEGER, value TEXT",
                              .n_columns = 2,
                              .args = args,
                              .n_args = N_ARGS,
                              .n_required = 1,
                              .direct_only = 1,
                              .rows = 10000,
                              .begin = jsonlBegin,
                              .next = jsonlNext,
                              .column = jsonlColumn,
                              .end = jsonlEnd};
  return pllm_ext_tvf(conn, &tvf, error);
}
