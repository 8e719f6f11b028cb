/*
** buffer.h: text that grows, and text as a JSON string.
*/
#ifndef PERSONALLLM_BUFFER_H
#define PERSONALLLM_BUFFER_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start from {0}, end with pllm_buffer_free.  bytes[count] is a NUL as soon as anything was added. */
typedef struct PllmBuffer {
  char *bytes;
  size_t count, room;
} PllmBuffer;
void pllm_buffer_free(PllmBuffer *buffer);

/* Append; amortised O(bytes).  Only PLLM_NOMEM can fail; the buffer then is as it was. */
PllmStatus pllm_buffer_add(PllmBuffer *buffer, const char *text, size_t bytes, PllmError *err);
PllmStatus pllm_buffer_text(PllmBuffer *buffer, const char *text, PllmError *err); /* NUL-terminated */
PllmStatus pllm_buffer_integer(PllmBuffer *buffer, int64_t number, PllmError *err);
PllmStatus pllm_buffer_number(PllmBuffer *buffer, double number, PllmError *err); /* finite, shortest form */

/* PLLM_INVALID, naming the byte, where text holds invalid UTF-8 or U+0000, which JSON text cannot hold.  O(bytes). */
PllmStatus pllm_text_check(const char *text, size_t bytes, PllmError *err);

/* Append a JSON string with its quotes; PLLM_INVALID as pllm_text_check, with a part of the string already added. */
PllmStatus pllm_buffer_string(PllmBuffer *buffer, const char *text, size_t bytes, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
