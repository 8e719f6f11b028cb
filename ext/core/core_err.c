/*
** core_err.c: the fixed-size error record.
*/
#include "core_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pllm_text_repair(char *text) {
  unsigned char *p = (unsigned char *)text;
  size_t left = strlen(text);
  while (left > 0) {
    size_t n = pllm_core_utf8(p, left);
    if (n == 0) {
      *p = '?';
      n = 1;
    }
    p += n;
    left -= n;
  }
}

PllmStatus pllm_fail(PllmError *err, PllmStatus status, const char *format, ...) {
  if (err) {
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    pllm_text_repair(err->text);
    err->status = status;
  }
  return status;
}

PllmStatus pllm_fail_nomem(PllmError *err) {
  return pllm_fail(err, PLLM_NOMEM, "out of memory");
}

PllmStatus pllm_error_prefix(PllmError *err, const char *format, ...) {
  char text[PLLM_ERROR_TEXT];
  va_list args;
  int n;
  if (!err) return PLLM_INTERNAL;
  va_start(args, format);
  n = vsnprintf(text, sizeof text - 2, format, args);
  va_end(args);
  if (n >= 0 && (size_t)n < sizeof text - 2) {
    size_t room = sizeof text - (size_t)n - 3, old = strlen(err->text);
    if (old > room) old = room;
    memcpy(text + n, ": ", 2);
    memcpy(text + n + 2, err->text, old);
    text[(size_t)n + 2 + old] = 0;
    memcpy(err->text, text, sizeof text);
    pllm_text_repair(err->text);
  }
  return err->status;
}
