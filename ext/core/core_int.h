/*
** core_int.h: what the files of ext/core share with each other and with nobody else.
*/
#ifndef PLLM_CORE_INT_H
#define PLLM_CORE_INT_H

#include "personalllm.h"

#include <stdatomic.h>

/* ---- core_parallel.c: runs, and the way out of a long piece ----------------------------------------------------- */

/*
** Bodies whose pieces take long ask pllm_stopped between parts of a few milliseconds, and give up when it says so.  What
** they have written by then is never shown.
*/
typedef struct PllmStop {
  atomic_int *flag;   /* shared by all threads of a job */
  const PllmRun *run; /* polled; NULL on helper threads, for which the flag must do */
} PllmStop;
int pllm_stopped(const PllmStop *stop);

/* The threads and the crew of a run, which may be NULL, with another poll, which may be too. */
PllmRun pllm_core_run(const PllmRun *run, int (*poll)(void *poll_arg), void *poll_arg);

/* ---- core_mem.c: big blocks ------------------------------------------------------------------------------------ */

/*
** Have the kernel give memory that will all be written at once, and not a page at a time: a third of a new page's cost is
** the fault that asks for it.  Changes nothing else, and nothing at all before Linux 5.14.
*/
void pllm_core_populate(void *memory, size_t bytes);

/* ---- core_json.c: bytes of text -------------------------------------------------------------------------------- */

/* Length of the valid UTF-8 sequence at p, 0 if none (overlong, surrogate, beyond U+10FFFF and cut-off ones fail). */
size_t pllm_core_utf8(const unsigned char *p, size_t left);
/* Append a value's JSON text on one line.  O(its size). */
PllmStatus pllm_core_json_print(const PllmJson *json, PllmBuffer *buffer, PllmError *err);

/* ---- core_buffer.c: JSON strings ------------------------------------------------------------------------------- */

/* Put text as a JSON string with its quotes; PLLM_INVALID, naming the byte, for invalid UTF-8 and U+0000.  O(bytes). */
typedef PllmStatus (*PllmCorePut)(void *arg, const char *text, size_t bytes, PllmError *err);
PllmStatus pllm_core_json_string(const char *text, size_t bytes, PllmCorePut put, void *arg, PllmError *err);

/* ---- core_dataset.c: values of a line, with errors that name their key ----------------------------------------- */

PllmStatus pllm_core_text(const PllmJson *value, const char **out, PllmError *err); /* NULL for null */
PllmStatus pllm_core_real(const PllmJson *value, int *known, double *out, PllmError *err);
PllmStatus pllm_core_whole(const PllmJson *value, int *known, int64_t *out, PllmError *err);
size_t pllm_core_embedding_bytes(const PllmJson *value); /* that reading it takes */
PllmStatus pllm_core_embedding(const PllmJson *value, unsigned char *out, PllmEmbedding *embedding, PllmError *err);

/* ---- core_textfeat.c: lists of hashes -------------------------------------------------------------------------- */

/* A growing list; start from {0}, free keys with pllm_free. */
typedef struct PllmU64List {
  uint64_t *keys;
  size_t count, room;
} PllmU64List;
PllmStatus pllm_u64_push(PllmU64List *list, uint64_t key, PllmError *err);
PllmStatus pllm_u64_sort(PllmU64List *list, PllmError *err); /* ascending, O(count) */
size_t pllm_u64_distinct(const PllmU64List *sorted);

#endif
