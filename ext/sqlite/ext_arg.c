/*
** ext_arg.c: decode and check arguments.
*/
#include "ext_int.h"

#include <string.h>

void pllm_ext_vector_free(PllmExtVector *vector) {
  if (!vector->borrowed) pllm_free(vector->numbers);
  memset(vector, 0, sizeof *vector);
}

const char *pllm_ext_type_name(sqlite3_value *value) {
  switch (sqlite3_value_type(value)) {
  case SQLITE_NULL: return "NULL";
  case SQLITE_INTEGER: return "an integer";
  case SQLITE_FLOAT: return "a real number";
  case SQLITE_TEXT: return "text";
  default: return "a BLOB";
  }
}

static PllmStatus decode_text(sqlite3_value *value, size_t dim, PllmExtVector *vector, PllmError *err) {
  const char *text = (const char *)sqlite3_value_text(value);
  double *numbers;
  size_t n;
  PllmStatus status;
  if (!text) return pllm_fail_nomem(err);
  status = pllm_json_vector(text, (size_t)sqlite3_value_bytes(value), &numbers, &n, err);
  if (status != PLLM_OK) return status;
  if (dim > 0 && n != dim) {
    pllm_free(numbers);
    return pllm_fail(err, PLLM_INVALID, "%zu numbers where %zu are expected", n, dim);
  }
  if (!vector->borrowed) pllm_free(vector->numbers);
  vector->borrowed = 0;
  vector->numbers = numbers;
  vector->room = vector->dim = n;
  vector->type = PLLM_F64;
  return PLLM_OK;
}

PllmStatus pllm_ext_vector_decode(sqlite3_value *value, int type, size_t dim, PllmExtVector *vector, PllmError *err) {
  const void *blob;
  size_t bytes, n = dim;
  PllmVectorType found = type == PLLM_F32 ? PLLM_F32 : PLLM_F64;
  PllmStatus status;
  if (sqlite3_value_type(value) == SQLITE_TEXT) return decode_text(value, dim, vector, err);
  if (sqlite3_value_type(value) != SQLITE_BLOB)
    return pllm_fail(err, PLLM_INVALID,
                     "%s; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required",
                     pllm_ext_type_name(value));
  blob = sqlite3_value_blob(value);
  bytes = (size_t)sqlite3_value_bytes(value);
  if (!blob && bytes > 0) return pllm_fail_nomem(err);
  if (dim > 0 && type != 0)
    status = bytes == dim * (size_t)type ? PLLM_OK
                                         : pllm_fail(err, PLLM_INVALID,
                                                     "a BLOB of %zu bytes where %zu f%d numbers (%zu bytes) are expected",
                                                     bytes, dim, 8 * type, dim * (size_t)type);
  else if (dim > 0)
    status = pllm_vector_type(bytes, dim, &found, err);
  else
    status = pllm_vector_dim(blob, bytes, found, type == 0, &n, err);
  if (status != PLLM_OK) return status;
  if (vector->room < n) {
    double *numbers = pllm_resize(vector->borrowed ? NULL : vector->numbers, n, sizeof *numbers);
    if (!numbers) return pllm_fail_nomem(err);
    vector->borrowed = 0;
    vector->numbers = numbers;
    vector->room = n;
  }
  pllm_vector_load(blob, found, n, vector->numbers);
  vector->type = found;
  vector->dim = n;
  return pllm_vector_finite(vector->numbers, n, err);
}

void pllm_ext_arg_error(sqlite3_context *context, const char *where, int number, const char *name, PllmError *err) {
  pllm_error_prefix(err, "argument %d (%s)", number, name);
  pllm_ext_result_error(context, where, err);
}

void pllm_ext_result_vector(sqlite3_context *context, const double *numbers, size_t dim, PllmVectorType type) {
  void *bytes = sqlite3_malloc64(dim * (size_t)type);
  if (!bytes) {
    sqlite3_result_error_nomem(context);
    return;
  }
  pllm_vector_store(numbers, dim, type, bytes);
  sqlite3_result_blob64(context, bytes, dim * (size_t)type, sqlite3_free);
}

void pllm_ext_result_str(sqlite3_context *context, sqlite3_str *text) {
  int rc = sqlite3_str_errcode(text), bytes = sqlite3_str_length(text);
  char *result = sqlite3_str_finish(text);
  if (rc == SQLITE_TOOBIG)
    sqlite3_result_error_toobig(context);
  else if (rc != SQLITE_OK)
    sqlite3_result_error_nomem(context);
  else
    sqlite3_result_text(context, result ? result : "", bytes, result ? sqlite3_free : SQLITE_STATIC);
}

const char *pllm_ext_text_argument(sqlite3_context *context, const char *where, int number, const char *name,
                                   sqlite3_value *value) {
  PllmError err;
  const char *text = NULL;
  if (sqlite3_value_type(value) != SQLITE_TEXT) {
    pllm_fail(&err, PLLM_INVALID, "%s; text is required", pllm_ext_type_name(value));
  } else {
    text = (const char *)sqlite3_value_text(value);
    if (!text) {
      pllm_fail_nomem(&err);
    } else if (!*text || strlen(text) != (size_t)sqlite3_value_bytes(value)) {
      pllm_fail(&err, PLLM_INVALID,
                *text ? "text with a NUL character in it; text is required" : "empty text; text is required");
      text = NULL;
    }
  }
  if (!text) pllm_ext_arg_error(context, where, number, name, &err);
  return text;
}

int pllm_ext_options_argument(sqlite3_context *context, const char *where, sqlite3_value *value, PllmOption *options,
                              size_t count) {
  PllmError err;
  const char *text;
  PllmStatus status;
  if (sqlite3_value_type(value) == SQLITE_NULL) return 1;
  text = sqlite3_value_type(value) == SQLITE_TEXT ? (const char *)sqlite3_value_text(value) : NULL;
  if (sqlite3_value_type(value) != SQLITE_TEXT)
    status = pllm_fail(&err, PLLM_INVALID, "options are %s; a JSON object such as {\"name\": value} is required",
                       pllm_ext_type_name(value));
  else if (!text)
    status = pllm_fail_nomem(&err);
  else
    status = pllm_options_parse(text, (size_t)sqlite3_value_bytes(value), options, count, &err);
  if (status != PLLM_OK) pllm_ext_result_error(context, where, &err);
  return status == PLLM_OK;
}
