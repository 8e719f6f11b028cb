/*
** fn_fingerprint.c: has the data changed?
**
**   persona_fingerprint(value, ...) -> TEXT                                                              aggregate
**
**   SELECT persona_fingerprint(prompt_id, split, text) FROM prompts;   -- '5f0c...': 32 hexadecimal digits
**
**   F1  The checksum of fingerprint.h of the rows, in any order.  Values count with their types: 1, 1.0, '1' and
**       x'31' differ, as do NULL and an empty text; -0.0 is 0.0.
**   F2  No rows have a fingerprint too.
*/
#include "ext_int.h"

#include <string.h>

static void step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmFingerprint *f = sqlite3_aggregate_context(context, sizeof *f);
  if (!f) {
    sqlite3_result_error_nomem(context);
    return;
  }
  for (int i = 0; i < argc; i++) {
    int type = sqlite3_value_type(argv[i]);
    const void *bytes = NULL;
    double real;
    uint64_t bits;
    switch (type) {
    case SQLITE_NULL: pllm_fingerprint_value(f, PLLM_FINGERPRINT_NULL, "", 0); break;
    case SQLITE_INTEGER:
      pllm_fingerprint_number(f, PLLM_FINGERPRINT_INTEGER, (uint64_t)sqlite3_value_int64(argv[i]));
      break;
    case SQLITE_FLOAT:
      real = sqlite3_value_double(argv[i]) + 0.0; /* makes 0.0 of -0.0 */
      memcpy(&bits, &real, sizeof bits);
      pllm_fingerprint_number(f, PLLM_FINGERPRINT_REAL, bits);
      break;
    default:
      bytes = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(argv[i]) : sqlite3_value_blob(argv[i]);
      if (!bytes && sqlite3_value_bytes(argv[i]) > 0) {
        sqlite3_result_error_nomem(context);
        return;
      }
      pllm_fingerprint_value(f, type == SQLITE_TEXT ? PLLM_FINGERPRINT_TEXT : PLLM_FINGERPRINT_BLOB, bytes,
                             (size_t)sqlite3_value_bytes(argv[i]));
    }
  }
  pllm_fingerprint_end(f);
}

static void final(sqlite3_context *context) {
  const PllmFingerprint *f = sqlite3_aggregate_context(context, 0), none = {.rows = 0};
  char text[33];
  pllm_fingerprint_text(f ? f : &none, text);
  sqlite3_result_text(context, text, 32, SQLITE_TRANSIENT);
}

int pllm_ext_init_fingerprint(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_fingerprint", .args = -1, .flags = PLLM_PURE, .step = step, .final = final},
  };
  return pllm_ext_functions(conn, functions, 1, error);
}
