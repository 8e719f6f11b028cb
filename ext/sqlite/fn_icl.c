/*
** fn_icl.c: from histories to a language model: user embeddings, in-context prompts, requests.
**
**   embed_user(chosen_embedding, rejected_embedding [, kind]) -> BLOB f32              aggregate and window function
**     E1  The mean over rows of chosen - rejected ('winning_minus_losing', the default), of chosen ('winning') or of
**         rejected ('losing'); definitions.md#user-embeddings: no centring, no scaling to a norm.
**     E2  Embeddings are f32 BLOBs or JSON text (rounded to f32), all of one dimension.  A row that lacks what its
**         kind needs (NULL) is skipped; the other side of 'winning' and 'losing' is not looked at.  No rows give
**         NULL.
**     E3  Equal rows give equal bits in any order, and rows that leave a window's frame leave nothing behind
**         (exact.h).
**   icl_prompt(test_prompt, rank, example_prompt, chosen_text, rejected_text [, options]) -> TEXT          aggregate
**     P1  The prompt of icl.h with the rows as examples, in the order of rank, whatever the order of the rows.
**         Layouts, variants, wording, budgets and defaults are specified there.
**     P2  A row whose rank is NULL is no example (an outer join that found none); without examples the prompt is
**         zero-shot.  No rows at all, or a NULL test_prompt, give NULL.  test_prompt is the same on every row.
**     P3  rank is an integer, distinct within a group.  A text that the variant shows must not be NULL.
**   chat_request(custom_id, content [, options]) -> TEXT                                              pure function
**     C1  One line of the batch format of OpenAI-compatible servers, without line end (icl.h).  NULL in custom_id or
**         content gives NULL.  The defaults are the published decoding: temperature 0, top_p .95, 512 tokens.
**   R1  Texts may be numbers, written as SQLite does; a BLOB is an error.  U+0000 and invalid UTF-8 are errors
**       naming the byte: JSON, in which requests travel, cannot hold them.
**   R2  kind, test_prompt and options are the same on every row of a group.
** Memory: embed_user 80 bytes a dimension; icl_prompt the texts of its group.
*/
#include "ext_int.h"

#include <string.h>

/* ---- a text that is the same on every row of a group ----------------------------------------------------------- */

typedef struct Constant {
  int set;    /* a row was seen */
  char *text; /* owned; NULL for NULL */
  size_t bytes;
} Constant;

/* Borrow the text of a value; *text stays NULL for NULL. */
static PllmStatus borrow_text(sqlite3_value *value, const char **text, size_t *bytes, PllmError *err) {
  *text = NULL;
  *bytes = 0;
  if (sqlite3_value_type(value) == SQLITE_NULL) return PLLM_OK;
  if (sqlite3_value_type(value) == SQLITE_BLOB) return pllm_fail(err, PLLM_INVALID, "a BLOB; text is required");
  *text = (const char *)sqlite3_value_text(value);
  if (!*text) return pllm_fail_nomem(err);
  *bytes = (size_t)sqlite3_value_bytes(value);
  return PLLM_OK;
}

/* Keep the first row's text; a later row's must equal it. */
static PllmStatus constant_row(Constant *constant, sqlite3_value *value, PllmError *err) {
  const char *text;
  size_t bytes;
  PllmStatus status = borrow_text(value, &text, &bytes, err);
  if (status != PLLM_OK) return status;
  if (!constant->set) {
    if (text) {
      constant->text = pllm_alloc(bytes + 1, 1);
      if (!constant->text) return pllm_fail_nomem(err);
      memcpy(constant->text, text, bytes);
      constant->text[bytes] = 0;
    }
    constant->bytes = bytes;
    constant->set = 1;
    return PLLM_OK;
  }
  if (!text == !constant->text && bytes == constant->bytes && (!text || memcmp(text, constant->text, bytes) == 0))
    return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID,
                   "%.60s, but %.60s on the rows before; it must be the same on every row of a group",
                   text ? text : "NULL", constant->text ? constant->text : "NULL");
}

static void constant_free(Constant *constant) {
  pllm_free(constant->text);
  memset(constant, 0, sizeof *constant);
}

/* A buffer as the result; takes its memory, which the core's allocator took from SQLite. */
static void result_buffer(sqlite3_context *context, PllmBuffer *buffer) {
  sqlite3_result_text64(context, buffer->bytes, buffer->count, pllm_free, SQLITE_UTF8);
  memset(buffer, 0, sizeof *buffer);
}

/* ---- embed_user ------------------------------------------------------------------------------------------------ */

enum { WINNING_MINUS_LOSING, WINNING, LOSING, KINDS };
static const char *const kind_names[KINDS] = {"winning_minus_losing", "winning", "losing"};

typedef struct UserGroup {
  int failed;
  Constant kind_text;
  int kind;
  size_t dim;
  sqlite3_int64 steps; /* rows handed over, for messages */
  sqlite3_int64 rows;  /* rows in the sum */
  PllmExact *sum;      /* owned */
  PllmExtVector vector;
  float *narrow;  /* owned, [2][dim] */
  double *result; /* owned, [dim] */
} UserGroup;

static void user_free(UserGroup *g) {
  constant_free(&g->kind_text);
  pllm_exact_free(g->sum);
  pllm_ext_vector_free(&g->vector);
  pllm_free(g->narrow);
  pllm_free(g->result);
  g->sum = NULL;
  g->narrow = NULL;
  g->result = NULL;
}

static PllmStatus read_kind(UserGroup *g, sqlite3_value *value, PllmError *err) {
  int first = !g->kind_text.set;
  PllmStatus status = constant_row(&g->kind_text, value, err);
  if (status == PLLM_OK && first && g->kind_text.text) {
    while (g->kind < KINDS && (strlen(kind_names[g->kind]) != g->kind_text.bytes ||
                               memcmp(g->kind_text.text, kind_names[g->kind], g->kind_text.bytes) != 0))
      g->kind++;
    if (g->kind == KINDS)
      status = pllm_fail(err, PLLM_INVALID, "\"%.40s\"; one of %s|%s|%s is required", g->kind_text.text,
                         kind_names[0], kind_names[1], kind_names[2]);
  }
  return status == PLLM_OK ? status : pllm_error_prefix(err, "argument 3 (kind)");
}

/* Does the row say anything? */
static int user_skips(const UserGroup *g, sqlite3_value **argv) {
  return (g->kind != LOSING && sqlite3_value_type(argv[0]) == SQLITE_NULL) ||
         (g->kind != WINNING && sqlite3_value_type(argv[1]) == SQLITE_NULL);
}

/* Decode one side into narrow[side], opening the sum where it is the first vector of the group. */
static PllmStatus read_side(UserGroup *g, sqlite3_value **argv, int side, PllmError *err) {
  static const char *const names[2] = {"chosen_embedding", "rejected_embedding"};
  PllmStatus status = pllm_ext_vector_decode(argv[side], PLLM_F32, 0, &g->vector, err);
  if (status == PLLM_OK) status = pllm_vector_fits_f32(g->vector.numbers, g->vector.dim, err);
  if (status == PLLM_OK && g->sum && g->vector.dim != g->dim)
    status = pllm_fail(err, PLLM_INVALID, "%zu numbers, but the embeddings before have %zu", g->vector.dim, g->dim);
  if (status == PLLM_OK && !g->sum) {
    g->dim = g->vector.dim;
    g->sum = pllm_exact_new(g->dim);
    g->narrow = pllm_alloc(2 * g->dim, sizeof *g->narrow);
    if (!g->sum || !g->narrow) return pllm_fail_nomem(err);
  }
  if (status == PLLM_INVALID)
    return pllm_error_prefix(err, "row %lld of its group: argument %d (%s)", g->steps, side + 1, names[side]);
  if (status == PLLM_OK) pllm_vector_narrow(g->vector.numbers, g->dim, g->narrow + (size_t)side * g->dim);
  return status;
}

/* Add (sign 1) or remove (-1) a row. */
static PllmStatus user_row(UserGroup *g, sqlite3_value **argv, int sign, PllmError *err) {
  PllmStatus status = PLLM_OK;
  if (user_skips(g, argv)) return PLLM_OK;
  if (g->kind != LOSING) status = read_side(g, argv, 0, err);
  if (status == PLLM_OK && g->kind != WINNING) status = read_side(g, argv, 1, err);
  if (status != PLLM_OK) return status;
  if (g->kind != LOSING) pllm_exact_add(g->sum, g->narrow, sign);
  if (g->kind != WINNING) pllm_exact_add(g->sum, g->narrow + g->dim, g->kind == LOSING ? sign : -sign);
  g->rows += sign;
  return PLLM_OK;
}

static void user_fail(sqlite3_context *context, UserGroup *g, const PllmError *err) {
  user_free(g);
  g->failed = 1;
  pllm_ext_result_error(context, "embed_user", err);
}

static void user_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  UserGroup *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  PllmStatus status = PLLM_OK;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed) return;
  g->steps++;
  if (argc > 2) status = read_kind(g, argv[2], &err);
  if (status == PLLM_OK) status = user_row(g, argv, 1, &err);
  if (status != PLLM_OK) user_fail(context, g, &err);
}

static void user_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
  UserGroup *g = sqlite3_aggregate_context(context, 0);
  PllmError err;
  (void)argc;
  if (!g || g->failed) return;
  if (user_row(g, argv, -1, &err) != PLLM_OK) user_fail(context, g, &err);
}

static void user_value(sqlite3_context *context) {
  UserGroup *g = sqlite3_aggregate_context(context, 0);
  PllmError err;
  PllmStatus status = PLLM_OK;
  if (!g || g->failed || g->rows == 0) return;
  if (!g->result) g->result = pllm_alloc(g->dim, sizeof *g->result);
  if (!g->result) {
    sqlite3_result_error_nomem(context);
    return;
  }
  pllm_exact_mean(g->sum, (double)g->rows, g->result);
  status = pllm_vector_fits_f32(g->result, g->dim, &err);
  if (status == PLLM_OK)
    pllm_ext_result_vector(context, g->result, g->dim, PLLM_F32);
  else
    user_fail(context, g, &err);
}

static void user_final(sqlite3_context *context) {
  UserGroup *g = sqlite3_aggregate_context(context, 0);
  user_value(context);
  if (g) user_free(g);
}

/* ---- icl_prompt ------------------------------------------------------------------------------------------------ */

enum { ARG_TEST_PROMPT, ARG_RANK, ARG_EXAMPLE, ARG_OPTIONS = ARG_EXAMPLE + 3 };
static const char *const icl_names[] = {"test_prompt", "rank",          "example_prompt",
                                        "chosen_text", "rejected_text", "options"};

typedef struct IclGroup {
  int failed;
  Constant test_prompt, options_text;
  PllmIclOptions options;
  int parsed;   /* options are set */
  PllmIcl *icl; /* owned */
} IclGroup;

static void icl_free(IclGroup *g) {
  constant_free(&g->test_prompt);
  constant_free(&g->options_text);
  if (g->parsed) pllm_icl_options_free(&g->options);
  pllm_icl_free(g->icl);
  g->parsed = 0;
  g->icl = NULL;
}

static PllmStatus named(PllmStatus status, int arg, PllmError *err) {
  if (status == PLLM_INVALID) pllm_error_prefix(err, "argument %d (%s)", arg + 1, icl_names[arg]);
  return status;
}

/* The options of the first row: JSON text or absent. */
static PllmStatus icl_options(IclGroup *g, int argc, sqlite3_value **argv, PllmError *err) {
  PllmStatus status = PLLM_OK;
  if (argc > ARG_OPTIONS) {
    int type = sqlite3_value_type(argv[ARG_OPTIONS]);
    if (type != SQLITE_TEXT && type != SQLITE_NULL)
      return pllm_fail(err, PLLM_INVALID, "options are %s; a JSON object such as {\"name\": value} is required",
                       pllm_ext_type_name(argv[ARG_OPTIONS]));
    status = named(constant_row(&g->options_text, argv[ARG_OPTIONS], err), ARG_OPTIONS, err);
  }
  if (status != PLLM_OK || g->parsed) return status;
  status = pllm_icl_options(g->options_text.text, g->options_text.bytes, &g->options, err);
  g->parsed = 1;
  return status;
}

static PllmStatus icl_row(IclGroup *g, int argc, sqlite3_value **argv, PllmError *err) {
  PllmIclExample example;
  PllmStatus status = icl_options(g, argc, argv, err);
  if (status == PLLM_OK)
    status = named(constant_row(&g->test_prompt, argv[ARG_TEST_PROMPT], err), ARG_TEST_PROMPT, err);
  if (status != PLLM_OK || sqlite3_value_type(argv[ARG_RANK]) == SQLITE_NULL) return status;
  if (sqlite3_value_type(argv[ARG_RANK]) != SQLITE_INTEGER)
    return named(pllm_fail(err, PLLM_INVALID, "%s; an integer is required", pllm_ext_type_name(argv[ARG_RANK])),
                 ARG_RANK, err);
  example.rank = sqlite3_value_int64(argv[ARG_RANK]);
  for (int i = 0; status == PLLM_OK && i < 3; i++)
    status =
        named(borrow_text(argv[ARG_EXAMPLE + i], &example.text[i], &example.bytes[i], err), ARG_EXAMPLE + i, err);
  if (status == PLLM_OK && !g->icl && !(g->icl = pllm_icl_new())) status = pllm_fail_nomem(err);
  return status == PLLM_OK ? pllm_icl_add(g->icl, &example, err) : status;
}

static void icl_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  IclGroup *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  if (!g) {
    sqlite3_result_error_nomem(context);
  } else if (!g->failed && icl_row(g, argc, argv, &err) != PLLM_OK) {
    icl_free(g);
    g->failed = 1;
    pllm_ext_result_error(context, "icl_prompt", &err);
  }
}

static void icl_final(sqlite3_context *context) {
  IclGroup *g = sqlite3_aggregate_context(context, 0);
  PllmBuffer text = {0};
  PllmError err;
  PllmStatus status = PLLM_OK;
  if (!g || g->failed) return;
  if (g->test_prompt.text) {
    if (!g->icl && !(g->icl = pllm_icl_new())) status = pllm_fail_nomem(&err);
    if (status == PLLM_OK)
      status = pllm_icl_assemble(g->icl, &g->options, g->test_prompt.text, g->test_prompt.bytes, &text, &err);
    if (status == PLLM_OK)
      result_buffer(context, &text);
    else
      pllm_ext_result_error(context, "icl_prompt", &err);
    pllm_buffer_free(&text);
  }
  icl_free(g);
}

/* ---- chat_request ---------------------------------------------------------------------------------------------- */

static void chat(sqlite3_context *context, int argc, sqlite3_value **argv) {
  static const char *const names[2] = {"custom_id", "content"};
  PllmChatOptions options;
  PllmBuffer line = {0};
  const char *text[2], *json = NULL;
  size_t bytes[2], json_bytes = 0;
  PllmError err;
  PllmStatus status = PLLM_OK;
  for (int i = 0; i < 2; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
  for (int i = 0; status == PLLM_OK && i < 2; i++) {
    status = borrow_text(argv[i], &text[i], &bytes[i], &err);
    if (status == PLLM_OK && i == 0 && bytes[i] == 0)
      status = pllm_fail(&err, PLLM_INVALID, "empty text; answers are matched by it");
    if (status == PLLM_INVALID) pllm_error_prefix(&err, "argument %d (%s)", i + 1, names[i]);
  }
  if (status == PLLM_OK && argc > 2 && sqlite3_value_type(argv[2]) != SQLITE_NULL) {
    if (sqlite3_value_type(argv[2]) != SQLITE_TEXT)
      status = pllm_fail(&err, PLLM_INVALID, "options are %s; a JSON object such as {\"name\": value} is required",
                         pllm_ext_type_name(argv[2]));
    else
      status = borrow_text(argv[2], &json, &json_bytes, &err);
  }
  if (status == PLLM_OK) {
    status = pllm_chat_options(json, json_bytes, &options, &err);
    if (status == PLLM_OK) status = pllm_chat_request(&options, text[0], bytes[0], text[1], bytes[1], &line, &err);
    pllm_chat_options_free(&options);
  }
  if (status == PLLM_OK)
    result_buffer(context, &line);
  else
    pllm_ext_result_error(context, "chat_request", &err);
  pllm_buffer_free(&line);
}

#define EMBED_USER(n)                                                                                                \
  {                                                                                                                  \
    .name = "embed_user", .args = n, .flags = PLLM_PURE, .step = user_step, .final = user_final,                     \
    .value = user_value, .inverse = user_inverse                                                                     \
  }

int pllm_ext_init_icl(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      EMBED_USER(2),
      EMBED_USER(3),
      {.name = "icl_prompt", .args = 5, .flags = PLLM_PURE, .step = icl_step, .final = icl_final},
      {.name = "icl_prompt", .args = 6, .flags = PLLM_PURE, .step = icl_step, .final = icl_final},
      {.name = "chat_request", .args = 2, .flags = PLLM_PURE, .scalar = chat},
      {.name = "chat_request", .args = 3, .flags = PLLM_PURE, .scalar = chat},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
