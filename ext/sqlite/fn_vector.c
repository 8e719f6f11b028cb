/*
** fn_vector.c: vectors and the utility.
**
**   persona_reward(weights, features) -> REAL
**     R1  The canonical utility: sum_b weights[b]*features[b] in position order, every product and sum rounded to
**         f64.
**     R2  weights is f64 (or JSON); its length fixes the dimension and tells an f32 feature BLOB from an f64 one.
**   persona_vector(x [, from] [, to]) -> BLOB
**     R3  x is JSON text or a vector BLOB; from = 'f64' | 'f32' says what a BLOB is, to what is wanted (default: from
**         for a BLOB with from given, else f64).  Without from a BLOB is f64, refused when it looks like f32.
**   persona_json(vector [, type]) -> TEXT
**     R4  A JSON array whose numbers read back as the same doubles.
**   R5  NULL in any argument gives NULL.  A wrong type, length or a number that is not finite is an error.
** Each is O(dimension).
*/
#include "ext_int.h"

#include <math.h>

static int has_null(int argc, sqlite3_value **argv) {
  for (int i = 0; i < argc; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 1;
  return 0;
}

/*
** Two BLOBs of f64 of one length, read where they lie: a row costs little more than the call.  What is not finite makes
** the sum not finite, so a finite sum vouches for every number; anything else takes the long way, which can say what is
** wrong.
*/
static int plain_reward(sqlite3_context *context, sqlite3_value **argv) {
  const unsigned char *w, *x;
  double sum;
  int bytes;
  if (sqlite3_value_type(argv[0]) != SQLITE_BLOB || sqlite3_value_type(argv[1]) != SQLITE_BLOB) return 0;
  bytes = sqlite3_value_bytes(argv[0]);
  if (bytes < 8 || bytes % 8 != 0 || bytes / 8 > PLLM_MAX_DIM || bytes != sqlite3_value_bytes(argv[1])) return 0;
  w = sqlite3_value_blob(argv[0]);
  x = sqlite3_value_blob(argv[1]);
  if (!w || !x) return 0;
  sum = pllm_utility_stored(w, x, (size_t)bytes / 8);
  if (!isfinite(sum)) return 0;
  sqlite3_result_double(context, sum);
  return 1;
}

/* All that is not plain.  A function of its own, as its room on the stack is. */
static void any_reward(sqlite3_context *context, sqlite3_value **argv) {
  double weights_room[32], features_room[32];
  PllmExtVector weights = PLLM_EXT_VECTOR_ON(weights_room), features = PLLM_EXT_VECTOR_ON(features_room);
  PllmError err;
  if (pllm_ext_vector_decode(argv[0], PLLM_F64, 0, &weights, &err) != PLLM_OK)
    pllm_ext_arg_error(context, "persona_reward", 1, "weights", &err);
  else if (pllm_ext_vector_decode(argv[1], 0, weights.dim, &features, &err) != PLLM_OK)
    pllm_ext_arg_error(context, "persona_reward", 2, "features", &err);
  else
    sqlite3_result_double(context, pllm_utility(weights.numbers, features.numbers, weights.dim));
  pllm_ext_vector_free(&weights);
  pllm_ext_vector_free(&features);
}

static void reward(sqlite3_context *context, int argc, sqlite3_value **argv) {
  if (!plain_reward(context, argv) && !has_null(argc, argv)) any_reward(context, argv);
}

/* 'f64' or 'f32' in any letter case; 0 and an error otherwise. */
static int read_type(sqlite3_context *context, const char *where, int number, const char *name,
                     sqlite3_value *value) {
  const char *text = (const char *)sqlite3_value_text(value);
  PllmError err;
  if (text && sqlite3_stricmp(text, "f64") == 0) return PLLM_F64;
  if (text && sqlite3_stricmp(text, "f32") == 0) return PLLM_F32;
  pllm_fail(&err, PLLM_INVALID, "\"%.20s\"; 'f64' or 'f32' is required", text ? text : "");
  pllm_ext_arg_error(context, where, number, name, &err);
  return 0;
}

static void vector(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmExtVector x = {0};
  PllmError err;
  int from = 0, to;
  if (has_null(argc, argv)) return;
  if (argc > 1 && !(from = read_type(context, "persona_vector", 2, "from", argv[1]))) return;
  to = from ? from : PLLM_F64;
  if (argc > 2 && !(to = read_type(context, "persona_vector", 3, "to", argv[2]))) return;
  if (pllm_ext_vector_decode(argv[0], from, 0, &x, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, "persona_vector", 1, "x", &err);
  } else if (to == PLLM_F32 && pllm_vector_fits_f32(x.numbers, x.dim, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, "persona_vector", 1, "x", &err);
  } else {
    pllm_ext_result_vector(context, x.numbers, x.dim, (PllmVectorType)to);
  }
  pllm_ext_vector_free(&x);
}

static void json(sqlite3_context *context, int argc, sqlite3_value **argv) {
  PllmExtVector x = {0};
  PllmError err;
  sqlite3_str *out;
  char number[32];
  int type = 0;
  if (has_null(argc, argv)) return;
  if (argc > 1 && !(type = read_type(context, "persona_json", 2, "type", argv[1]))) return;
  if (pllm_ext_vector_decode(argv[0], type, 0, &x, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, "persona_json", 1, "vector", &err);
    pllm_ext_vector_free(&x);
    return;
  }
  out = sqlite3_str_new(sqlite3_context_db_handle(context));
  for (size_t i = 0; i < x.dim; i++) {
    pllm_number_text(x.numbers[i], number);
    sqlite3_str_appendf(out, "%s%s", i ? "," : "[", number);
  }
  sqlite3_str_appendchar(out, 1, ']');
  pllm_ext_result_str(context, out);
  pllm_ext_vector_free(&x);
}

int pllm_ext_init_vector(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "persona_reward", .args = 2, .flags = PLLM_PURE, .scalar = reward},
      {.name = "persona_vector", .args = 1, .flags = PLLM_PURE, .scalar = vector},
      {.name = "persona_vector", .args = 2, .flags = PLLM_PURE, .scalar = vector},
      {.name = "persona_vector", .args = 3, .flags = PLLM_PURE, .scalar = vector},
      {.name = "persona_json", .args = 1, .flags = PLLM_PURE, .scalar = json},
      {.name = "persona_json", .args = 2, .flags = PLLM_PURE, .scalar = json},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
