/*
** ext_group.c: what aggregate functions share.
*/
#include "ext_int.h"

#include <string.h>

PllmStatus pllm_ext_same(PllmExtSame *same, sqlite3_value *options, int number, PllmError *err) {
  const char *text = NULL;
  size_t bytes = 0;
  if (options && sqlite3_value_type(options) != SQLITE_NULL) {
    if (sqlite3_value_type(options) != SQLITE_TEXT)
      return pllm_fail(err, PLLM_INVALID,
                       "argument %d (options): %s; a JSON object such as {\"name\": value} is required", number,
                       pllm_ext_type_name(options));
    text = (const char *)sqlite3_value_text(options);
    if (!text) return pllm_fail_nomem(err);
    bytes = (size_t)sqlite3_value_bytes(options);
  }
  if (!same->seen) {
    if (text) {
      same->text = pllm_alloc(bytes, 1);
      if (!same->text) return pllm_fail_nomem(err);
      memcpy(same->text, text, bytes);
    }
    same->bytes = bytes;
    same->seen = 1;
    return PLLM_OK;
  }
  if (!text && !same->text) return PLLM_OK;
  if (!text || !same->text)
    return pllm_fail(err, PLLM_INVALID,
                     "options are given on some rows and absent on others; they must be the same on every row of a "
                     "group");
  if (bytes == same->bytes && memcmp(text, same->text, bytes) == 0) return PLLM_OK;
  return pllm_fail(
      err, PLLM_INVALID,
      "argument %d (options): %.60s, but %.*s on the rows before; they must be the same on every row of a "
      "group",
      number, text, same->bytes < 60 ? (int)same->bytes : 60, same->text);
}

void pllm_ext_same_free(PllmExtSame *same) {
  pllm_free(same->text);
  same->text = NULL;
}
