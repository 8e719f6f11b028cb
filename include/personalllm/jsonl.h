/*
** jsonl.h: files of JSON lines, plain or gzip: read them, parse them on all cores in order, write them.
*/
#ifndef PERSONALLLM_JSONL_H
#define PERSONALLLM_JSONL_H

#include "json.h"
#include "parallel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Longest line, in bytes, its line end not counted. */
#define PLLM_MAX_LINE ((size_t)32 << 20)

/*
** A file being read, front to back.  gzip is recognised by its magic number, whatever the file's name; several gzip
** members in a row are one file.  PLLM_IO or PLLM_INVALID with a sentence that names the file: missing, a directory,
** unreadable, cut-off or damaged gzip data, bytes after the end of it, a Parquet file.  Not thread-safe.
*/
typedef struct PllmReader PllmReader;
PllmStatus pllm_reader_open(const char *path, PllmReader **reader, PllmError *err);
void pllm_reader_close(PllmReader *reader); /* NULL is accepted */

/* The file's name without folders, for messages; lives as long as the reader. */
const char *pllm_reader_name(const PllmReader *reader);
/* Can the path be opened and read once more (a regular file, not a pipe)? */
int pllm_reader_rereadable(const PllmReader *reader);

typedef struct PllmLine {
  size_t number; /* counts from 1, blank lines included */
  size_t start;  /* offset in PllmLines.text */
  size_t bytes;  /* without line end (\n or \r\n) */
} PllmLine;

/* Lines read together.  Start from {0}; memory is reused by the next read and freed with pllm_lines_free. */
typedef struct PllmLines {
  PllmLine *line; /* [count] */
  size_t count, room;
  char *text;
  size_t used, text_room;
} PllmLines;

/*
** Read up to max_lines lines, stopping once they are about `bytes` long together; count = 0 means the end of the
** file.  Lines of white space only are left out, as is a byte order mark; the last line needs no line end.  A line
** above PLLM_MAX_LINE is PLLM_INVALID.  The poll of run (may be NULL) is asked between reads.  Memory: bytes + the
** longest line + 256 KiB.
*/
PllmStatus pllm_reader_lines(PllmReader *reader, size_t max_lines, size_t bytes, const PllmRun *run, PllmLines *lines,
                             PllmError *err);
/* The next line, as the only one of *lines, which the next read gives again. */
PllmStatus pllm_reader_peek(PllmReader *reader, const PllmRun *run, PllmLines *lines, PllmError *err);
void pllm_lines_free(PllmLines *lines);

/*
** Parse a file's lines on all cores and consume them in order.  While the calling thread consumes one batch, helper
** threads parse the next; a batch is freed by helper threads too.
*/
typedef struct PllmItem {
  size_t line;      /* its number */
  const char *text; /* [bytes] */
  size_t bytes;
  PllmJson *json; /* NULL when the text is not JSON: parsing it again gives the error */
  void *record;   /* of the size asked for, zeroed at first, then kept as the previous user left it */
  int prepared;   /* what prepare returned */
} PllmItem;

typedef struct PllmPipeline {
  PllmReader *reader;
  PllmReader *beside; /* NULL, or a second file read in step: its n-th line goes with reader's n-th line */
  size_t record_bytes;
  void *arg;
  /* Called on a helper thread for each parsed line of either file, so it must not allocate; may be NULL. */
  int (*prepare)(void *arg, PllmItem *item, int is_beside);
  /* Called on the calling thread, in order.  beside is NULL when there is no such line (any more). */
  PllmStatus (*consume)(void *arg, PllmItem *item, PllmItem *beside, PllmError *err);
  /* Frees what a record owns; called once for each record at the end, on the calling thread; may be NULL. */
  void (*release)(void *record);
} PllmPipeline;

/* Run until the end of reader, the first error or an interrupt.  Memory: 3 batches of 2 MB and their parsed form. */
PllmStatus pllm_pipeline_run(const PllmPipeline *pipeline, const PllmRun *run, PllmError *err);

/*
** A file being written.  Everything goes to a temporary file in the same folder, which commit flushes to the disk and
** renames; until then a file of that name is untouched, and close without commit leaves nothing behind.  gzip when
** the path ends in .gz.  Not thread-safe.
*/
typedef struct PllmWriter PllmWriter;
/* overwrite = 0: PLLM_INVALID when the path exists, at open and again at commit. */
PllmStatus pllm_writer_open(const char *path, int overwrite, PllmWriter **writer, PllmError *err);
PllmStatus pllm_writer_raw(PllmWriter *writer, const char *text, size_t bytes, PllmError *err);
/* A JSON string with its quotes.  PLLM_INVALID when the text has invalid UTF-8 or U+0000. */
PllmStatus pllm_writer_string(PllmWriter *writer, const char *text, size_t bytes, PllmError *err);
/* Flush, sync and rename; PLLM_IO on failure.  Call close in any case. */
PllmStatus pllm_writer_commit(PllmWriter *writer, PllmError *err);
void pllm_writer_close(PllmWriter *writer); /* NULL is accepted */

#ifdef __cplusplus
}
#endif
#endif
