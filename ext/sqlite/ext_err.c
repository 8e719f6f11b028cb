/*
** ext_err.c: the one way from an error record to an SQL error.
*/
#include "ext_int.h"

int pllm_ext_code(PllmStatus status) {
  switch (status) {
  case PLLM_OK: return SQLITE_OK;
  case PLLM_NOMEM: return SQLITE_NOMEM;
  case PLLM_INTERRUPTED: return SQLITE_INTERRUPT;
  case PLLM_CORRUPT: return SQLITE_CORRUPT_VTAB;
  case PLLM_IO: return SQLITE_IOERR;
  case PLLM_INTERNAL: return SQLITE_INTERNAL;
  case PLLM_INVALID: break;
  }
  return SQLITE_ERROR;
}

int pllm_ext_message(char **message, const char *where, const PllmError *err) {
  int rc = pllm_ext_code(err->status);
  if (rc != SQLITE_NOMEM) {
    sqlite3_free(*message);
    *message = sqlite3_mprintf("%s: %s", where, err->text);
    if (*message)
      pllm_text_repair(*message);
    else
      rc = SQLITE_NOMEM;
  }
  return rc;
}

void pllm_ext_result_error(sqlite3_context *context, const char *where, const PllmError *err) {
  char *message = NULL;
  int rc = pllm_ext_message(&message, where, err);
  if (rc == SQLITE_NOMEM) {
    sqlite3_result_error_nomem(context);
    return;
  }
  sqlite3_result_error(context, message, -1);
  sqlite3_result_error_code(context, rc);
  sqlite3_free(message);
}

int pllm_ext_vtab_error(sqlite3_vtab *vtab, const char *where, const PllmError *err) {
  return pllm_ext_message(&vtab->zErrMsg, where, err);
}

PllmStatus pllm_ext_sqlite_fail(PllmError *err, sqlite3 *db, int rc) {
  PllmStatus status = PLLM_INVALID;
  switch (rc & 0xFF) {
  case SQLITE_NOMEM: return pllm_fail_nomem(err);
  case SQLITE_INTERRUPT: status = PLLM_INTERRUPTED; break;
  case SQLITE_CORRUPT: status = PLLM_CORRUPT; break;
  case SQLITE_IOERR:
  case SQLITE_FULL:
  case SQLITE_CANTOPEN: status = PLLM_IO; break;
  default: break;
  }
  return pllm_fail(err, status, "%s", sqlite3_errmsg(db));
}
