/*
** fn_text.c: what is computed from text alone.  All are pure; their values are frozen within a major version.
**
**   style_rewards(prompt, response) -> BLOB of 10 f64, style_reward_names() -> TEXT
**     R1  Ten text scorers in 0..1 (style.h), a stand-in where there are no reward-model scores; the names are a JSON
**         array in the same, alphabetical order.
**   text_features(text) -> BLOB of 7 f64, text_feature_names() -> TEXT
**     R2  The paper's seven syntactic features (text.h).
**   text_embedding(text [, dim]) -> BLOB of dim f32
**     R3  Hashed word and character n-grams of unit norm (text.h), dim 1..65536, default 256; the zero vector where a
**         text has no word at all.
**   persona_bar(value, max [, width]) -> TEXT
**     R4  A bar of value/max of width characters (default 20, 1..1000) in blocks of an eighth, rounded to the
**         nearest; a value above 0 shows at least one eighth.  Below 0 the bar is empty, from max on it is full.
**         max must be above 0.
**   R5  NULL in any argument gives NULL.  Numbers given as text are taken as SQLite writes them; a BLOB is an error.
**       Invalid UTF-8 is read as U+FFFD.
** Time is linear in the text.
*/
#include "ext_int.h"

static int has_null(int argc, sqlite3_value **argv) {
  for (int i = 0; i < argc; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 1;
  return 0;
}

/* The text of argument i (from 0); NULL after an error was reported. */
static const char *read_text(sqlite3_context *context, const char *where, sqlite3_value **argv, int i,
                             const char *name, size_t *bytes) {
  PllmError err;
  const char *text;
  if (sqlite3_value_type(argv[i]) == SQLITE_BLOB) {
    pllm_fail(&err, PLLM_INVALID, "a BLOB; text is required");
    pllm_ext_arg_error(context, where, i + 1, name, &err);
    return NULL;
  }
  text = (const char *)sqlite3_value_text(argv[i]);
  if (!text) {
    sqlite3_result_error_nomem(context);
    return NULL;
  }
  *bytes = (size_t)sqlite3_value_bytes(argv[i]);
  return text;
}

static void style(sqlite3_context *context, int argc, sqlite3_value **argv) {
  double scores[PLLM_STYLE_REWARDS];
  const char *prompt, *response;
  size_t prompt_bytes, response_bytes;
  PllmError err;
  if (has_null(argc, argv)) return;
  if (!(prompt = read_text(context, "style_rewards", argv, 0, "prompt", &prompt_bytes))) return;
  if (!(response = read_text(context, "style_rewards", argv, 1, "response", &response_bytes))) return;
  if (pllm_style_rewards(prompt, prompt_bytes, response, response_bytes, scores, &err) != PLLM_OK)
    pllm_ext_result_error(context, "style_rewards", &err);
  else
    pllm_ext_result_vector(context, scores, PLLM_STYLE_REWARDS, PLLM_F64);
}

static void features(sqlite3_context *context, int argc, sqlite3_value **argv) {
  double counts[PLLM_TEXT_FEATURES];
  const char *text;
  size_t bytes;
  PllmError err;
  if (has_null(argc, argv)) return;
  if (!(text = read_text(context, "text_features", argv, 0, "text", &bytes))) return;
  if (pllm_text_features(text, bytes, counts, &err) != PLLM_OK)
    pllm_ext_result_error(context, "text_features", &err);
  else
    pllm_ext_result_vector(context, counts, PLLM_TEXT_FEATURES, PLLM_F64);
}

static void embedding(sqlite3_context *context, int argc, sqlite3_value **argv) {
  sqlite3_int64 dim = PLLM_TEXT_EMBEDDING_DIM;
  const char *text;
  double *numbers;
  size_t bytes;
  PllmError err;
  if (has_null(argc, argv)) return;
  if (!(text = read_text(context, "text_embedding", argv, 0, "text", &bytes))) return;
  if (argc > 1) {
    dim = sqlite3_value_int64(argv[1]);
    if (sqlite3_value_type(argv[1]) != SQLITE_INTEGER || dim < 1 || dim > PLLM_MAX_DIM) {
      pllm_fail(&err, PLLM_INVALID, "a whole number from 1 to %d is required", PLLM_MAX_DIM);
      pllm_ext_arg_error(context, "text_embedding", 2, "dim", &err);
      return;
    }
  }
  numbers = pllm_alloc((size_t)dim, sizeof *numbers);
  if (!numbers)
    sqlite3_result_error_nomem(context);
  else if (pllm_text_embedding(text, bytes, numbers, (size_t)dim, &err) != PLLM_OK)
    pllm_ext_result_error(context, "text_embedding", &err);
  else
    pllm_ext_result_vector(context, numbers, (size_t)dim, PLLM_F32);
  pllm_free(numbers);
}

/* A JSON array of names; they need no escapes. */
static void result_names(sqlite3_context *context, const char *(*name)(size_t)) {
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  for (size_t i = 0; name(i); i++) sqlite3_str_appendf(out, "%s\"%s\"", i ? "," : "[", name(i));
  sqlite3_str_appendchar(out, 1, ']');
  pllm_ext_result_str(context, out);
}

static void style_names(sqlite3_context *context, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  result_names(context, pllm_style_reward_name);
}

static void feature_names(sqlite3_context *context, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  result_names(context, pllm_text_feature_name);
}

static int is_number(sqlite3_value *value) {
  int type = sqlite3_value_type(value);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

static void bar(sqlite3_context *context, int argc, sqlite3_value **argv) {
  char text[PLLM_BAR_BYTES];
  sqlite3_int64 width = 20;
  PllmError err;
  if (has_null(argc, argv)) return;
  for (int i = 0; i < 2; i++) {
    if (is_number(argv[i])) continue;
    pllm_fail(&err, PLLM_INVALID, "%s; a number is required", pllm_ext_type_name(argv[i]));
    pllm_ext_arg_error(context, "persona_bar", i + 1, i ? "max" : "value", &err);
    return;
  }
  if (argc > 2) {
    width = sqlite3_value_int64(argv[2]);
    if (sqlite3_value_type(argv[2]) != SQLITE_INTEGER || width < 1 || width > PLLM_BAR_WIDTH) {
      pllm_fail(&err, PLLM_INVALID, "a whole number from 1 to %d is required", PLLM_BAR_WIDTH);
      pllm_ext_arg_error(context, "persona_bar", 3, "width", &err);
      return;
    }
  }
  if (pllm_bar(sqlite3_value_double(argv[0]), sqlite3_value_double(argv[1]), (int)width, text, &err) != PLLM_OK)
    pllm_ext_arg_error(context, "persona_bar", 2, "max", &err);
  else
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

int pllm_ext_init_text(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "style_rewards", .args = 2, .flags = PLLM_PURE, .scalar = style},
      {.name = "style_reward_names", .args = 0, .flags = PLLM_PURE, .scalar = style_names},
      {.name = "text_features", .args = 1, .flags = PLLM_PURE, .scalar = features},
      {.name = "text_feature_names", .args = 0, .flags = PLLM_PURE, .scalar = feature_names},
      {.name = "text_embedding", .args = 1, .flags = PLLM_PURE, .scalar = embedding},
      {.name = "text_embedding", .args = 2, .flags = PLLM_PURE, .scalar = embedding},
      {.name = "persona_bar", .args = 2, .flags = PLLM_PURE, .scalar = bar},
      {.name = "persona_bar", .args = 3, .flags = PLLM_PURE, .scalar = bar},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
