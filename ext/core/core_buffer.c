/*
** core_buffer.c: text that grows, and the one place that escapes JSON strings.
*/
#include "core_int.h"

#include <stdio.h>
#include <string.h>

void pllm_buffer_free(PllmBuffer *buffer) {
  pllm_free(buffer->bytes);
  memset(buffer, 0, sizeof *buffer);
}

PllmStatus pllm_buffer_add(PllmBuffer *buffer, const char *text, size_t bytes, PllmError *err) {
  if (bytes >= SIZE_MAX / 2 - buffer->count) return pllm_fail_nomem(err);
  if (buffer->count + bytes >= buffer->room) {
    size_t room = 2 * (buffer->count + bytes) + 64;
    char *grown = pllm_resize(buffer->bytes, room, 1);
    if (!grown) return pllm_fail_nomem(err);
    buffer->bytes = grown;
    buffer->room = room;
  }
  if (bytes > 0) memcpy(buffer->bytes + buffer->count, text, bytes);
  buffer->count += bytes;
  buffer->bytes[buffer->count] = 0;
  return PLLM_OK;
}

PllmStatus pllm_buffer_text(PllmBuffer *buffer, const char *text, PllmError *err) {
  return pllm_buffer_add(buffer, text, strlen(text), err);
}

PllmStatus pllm_buffer_integer(PllmBuffer *buffer, int64_t number, PllmError *err) {
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)number);
  return pllm_buffer_text(buffer, text, err);
}

PllmStatus pllm_buffer_number(PllmBuffer *buffer, double number, PllmError *err) {
  char text[32];
  pllm_number_text(number, text);
  return pllm_buffer_text(buffer, text, err);
}

/* The escape of a byte that JSON strings cannot hold as it is. */
static size_t escape(unsigned char c, char out[8]) {
  static const char plain[] = "\"\"\\\\\nn\rr\tt\bb\ff";
  for (const char *p = plain; *p; p += 2) {
    if ((unsigned char)*p != c) continue;
    out[0] = '\\';
    out[1] = p[1];
    return 2;
  }
  return (size_t)snprintf(out, 8, "\\u%04x", c);
}

/* Length of the character at p, 0 after failing for one that JSON text cannot hold. */
static size_t character(const unsigned char *p, size_t left, size_t at, PllmError *err) {
  size_t n = p[0] < 0x80 ? 1 : pllm_core_utf8(p, left);
  if (n > 0 && p[0] != 0) return n;
  pllm_fail(err, PLLM_INVALID, "%s at byte %zu, which JSON text cannot hold",
            n == 0 ? "invalid UTF-8" : "the character U+0000", at);
  return 0;
}

PllmStatus pllm_text_check(const char *text, size_t bytes, PllmError *err) {
  const unsigned char *p = (const unsigned char *)text;
  for (size_t i = 0; i < bytes;) {
    size_t n = character(p + i, bytes - i, i, err);
    if (n == 0) return PLLM_INVALID;
    i += n;
  }
  return PLLM_OK;
}

PllmStatus pllm_core_json_string(const char *text, size_t bytes, PllmCorePut put, void *arg, PllmError *err) {
  const unsigned char *p = (const unsigned char *)text;
  PllmStatus status = put(arg, "\"", 1, err);
  size_t i = 0, from = 0; /* text[from..i) is put as it is */
  while (status == PLLM_OK && i < bytes) {
    size_t n = character(p + i, bytes - i, i, err);
    if (n == 0) return PLLM_INVALID;
    if (p[i] < 0x20 || p[i] == '"' || p[i] == '\\') {
      char out[8];
      size_t m = escape(p[i], out);
      status = put(arg, text + from, i - from, err);
      if (status == PLLM_OK) status = put(arg, out, m, err);
      from = i + 1;
    }
    i += n;
  }
  if (status == PLLM_OK) status = put(arg, text + from, bytes - from, err);
  return status == PLLM_OK ? put(arg, "\"", 1, err) : status;
}

static PllmStatus put_buffer(void *arg, const char *text, size_t bytes, PllmError *err) {
  return pllm_buffer_add(arg, text, bytes, err);
}

PllmStatus pllm_buffer_string(PllmBuffer *buffer, const char *text, size_t bytes, PllmError *err) {
  return pllm_core_json_string(text, bytes, put_buffer, buffer, err);
}
