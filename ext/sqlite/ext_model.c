/*
** ext_model.c: models as arguments and results.
*/
#include "ext_int.h"

#include <string.h>

enum { KEPT = sizeof((PllmConn *)0)->models / sizeof *((PllmConn *)0)->models };

void pllm_ext_model_close(PllmExtModel *m) {
  if (!m || --m->refs > 0) return;
  if (m->derived_free) m->derived_free(m->derived);
  pllm_model_free((PllmModel *)m->model);
  pllm_free(m);
}

void pllm_ext_models_free(PllmConn *conn) {
  for (int i = 0; i < KEPT; i++) {
    pllm_ext_model_close(conn->models[i]);
    conn->models[i] = NULL;
  }
}

/* Put m in front; what was last goes if m was not there. */
static void keep(PllmConn *conn, PllmExtModel *m) {
  int i = 0;
  while (i < KEPT && conn->models[i] != m) i++;
  if (i == KEPT) {
    pllm_ext_model_close(conn->models[--i]);
    m->refs++;
  }
  memmove(conn->models + 1, conn->models, (size_t)i * sizeof *conn->models);
  conn->models[0] = m;
}

PllmStatus pllm_ext_model_open(PllmConn *conn, sqlite3_value *value, PllmExtModel **out, PllmError *err) {
  const void *blob;
  size_t bytes;
  uint64_t checksum = 0;
  PllmModel *model;
  PllmExtModel *m;
  PllmStatus status;
  *out = NULL;
  if (sqlite3_value_type(value) != SQLITE_BLOB)
    return pllm_fail(err, PLLM_INVALID, "%s; a model (a BLOB) is required", pllm_ext_type_name(value));
  blob = sqlite3_value_blob(value);
  bytes = (size_t)sqlite3_value_bytes(value);
  if (!blob && bytes > 0) return pllm_fail_nomem(err);
  if (pllm_model_looks(blob, bytes)) {
    checksum = pllm_model_checksum(blob, bytes);
    for (int i = 0; i < KEPT && conn->models[i]; i++) {
      m = conn->models[i];
      if (m->bytes != bytes || m->checksum != checksum || checksum != pllm_model_claim(blob)) continue;
      m->refs++;
      keep(conn, m);
      *out = m;
      return PLLM_OK;
    }
  }
  status = pllm_model_decode(blob, bytes, &model, err);
  if (status != PLLM_OK) return status;
  m = pllm_alloc_zero(1, sizeof *m);
  if (!m) {
    pllm_model_free(model);
    return pllm_fail_nomem(err);
  }
  m->model = model;
  m->bytes = bytes;
  m->checksum = checksum;
  m->refs = 1;
  keep(conn, m);
  *out = m;
  return PLLM_OK;
}

void *pllm_ext_model_derived(const PllmExtModel *m, void (*release)(void *)) {
  return m->derived_free == release ? m->derived : NULL;
}

void pllm_ext_model_derive(PllmExtModel *m, void *derived, void (*release)(void *)) {
  if (m->derived_free) m->derived_free(m->derived);
  m->derived = derived;
  m->derived_free = release;
}

static void unref(void *model) {
  pllm_ext_model_close(model);
}

PllmExtModel *pllm_ext_model_argument(sqlite3_context *context, const char *where, sqlite3_value **argv, int i,
                                      const char *name) {
  PllmExtModel *m = sqlite3_get_auxdata(context, i);
  PllmError err;
  if (m) return m;
  if (pllm_ext_model_open(sqlite3_user_data(context), argv[i], &m, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, where, i + 1, name, &err);
    return NULL;
  }
  /* SQLite may give it back at once, but the connection keeps it too, as the newest */
  sqlite3_set_auxdata(context, i, m, unref);
  return m;
}

int pllm_ext_model_same(const PllmExtModel *m, sqlite3_value *value) {
  size_t bytes = (size_t)sqlite3_value_bytes(value);
  const void *blob = sqlite3_value_blob(value);
  return bytes == m->bytes && pllm_model_looks(blob, bytes) && pllm_model_claim(blob) == m->checksum;
}

void pllm_ext_result_model(sqlite3_context *context, const char *where, const PllmModel *model) {
  unsigned char *blob;
  size_t bytes;
  PllmError err;
  if (pllm_model_encode(model, &blob, &bytes, &err) != PLLM_OK)
    pllm_ext_result_error(context, where, &err);
  else
    sqlite3_result_blob64(context, blob, bytes, pllm_free);
}
