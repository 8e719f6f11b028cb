/*
** base.h: status codes, the error record, memory and the version of the scoring core.
*/
#ifndef PERSONALLLM_BASE_H
#define PERSONALLLM_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one place where the version is written. */
#define PLLM_VERSION "0.1.0"

/* Reward models (the length of a weight vector) one table may have. */
#define PLLM_MAX_MODELS 256
/* Longest feature or embedding vector. */
#define PLLM_MAX_DIM 65536

typedef enum PllmStatus {
  PLLM_OK = 0,
  PLLM_NOMEM,       /* an allocation failed */
  PLLM_INVALID,     /* an argument or datum is wrong; the text says which */
  PLLM_IO,          /* a file could not be read or written */
  PLLM_CORRUPT,     /* stored bytes contradict themselves */
  PLLM_INTERRUPTED, /* the caller's poll function asked to stop */
  PLLM_INTERNAL     /* a contradiction inside this library: a bug */
} PllmStatus;

#define PLLM_ERROR_TEXT 512

/* Filled by a failing function; untouched by a succeeding one. */
typedef struct PllmError {
  PllmStatus status;
  char text[PLLM_ERROR_TEXT]; /* one sentence, no trailing full stop, NUL-terminated, clipped to fit */
} PllmError;

#if defined(__GNUC__)
#define PLLM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PLLM_PRINTF(fmt, args)
#endif

/* Store a status and a printf-style sentence in *err (err may be NULL) and return the status. */
PllmStatus pllm_fail(PllmError *err, PllmStatus status, const char *format, ...) PLLM_PRINTF(3, 4);

/* The fixed out-of-memory report. */
PllmStatus pllm_fail_nomem(PllmError *err);

/* Put "where: " in front of the text of a failed *err, clipping the end if need be.  Returns err->status. */
PllmStatus pllm_error_prefix(PllmError *err, const char *format, ...) PLLM_PRINTF(2, 3);

/* Put '?' for every byte of a message that is not valid UTF-8: a quoted BLOB, a character that clipping cut in two. */
void pllm_text_repair(char *text);

/*
** Memory.  Every allocation of the core goes through these hooks (defaults: malloc, realloc, free), so that a
** host can count, limit or fail them.  realloc and free accept NULL.  Worker threads never allocate.
*/
typedef struct PllmAllocator {
  void *(*alloc)(size_t bytes);
  void *(*resize)(void *old, size_t bytes);
  void (*release)(void *old);
} PllmAllocator;

/* Set the hooks; call before anything was allocated.  NULL restores the defaults. */
void pllm_set_allocator(const PllmAllocator *allocator);

/* Like malloc/calloc/realloc, for count elements of size bytes; NULL when the product overflows or memory is
** short.  A count of zero gives a valid pointer.  Freed with pllm_free. */
void *pllm_alloc(size_t count, size_t size);
void *pllm_alloc_zero(size_t count, size_t size);
void *pllm_resize(void *old, size_t count, size_t size);
/*
** Room for one more behind count elements of size bytes: the array `old` or, when *room of them are there already, one of
** twice the room, at least `first`, with *room set.  NULL when out of memory; old and *room are then as before.
*/
void *pllm_grow(void *old, size_t count, size_t *room, size_t first, size_t size);
void pllm_free(void *old);

/* pllm_alloc on a 64-byte boundary, for vector kernels.  Freed with pllm_free_aligned. */
void *pllm_alloc_aligned(size_t count, size_t size);
void pllm_free_aligned(void *old);

#ifdef __cplusplus
}
#endif
#endif
