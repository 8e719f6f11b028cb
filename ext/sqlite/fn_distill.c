/*
** fn_distill.c: students that predict reward models' scores, and their predictions.
**
**   distill_rewards(features, rewards [, prompt_id] [, options]) -> model
**   distill_text(prompt, response, rewards [, prompt_id] [, options]) -> model
**   predict_rewards(model, features) -> BLOB of f64
**   predict_rewards(model, prompt, response) -> BLOB of f64
**
**   CREATE TABLE student AS SELECT distill_text(p.text, r.text, r.rewards, r.prompt_id) AS model
**     FROM prompts p JOIN responses r USING (prompt_id) WHERE p.split = 'train';
**   SELECT predict_rewards((SELECT model FROM student), 'How do magnets work?', 'Nobody knows.');
**
** Learning (distill.h):
**   D1  An aggregate over responses; rewards is the vector of all reward models' scores of one, f64 or JSON text, of
**       the same length on every row.  The model predicts vectors like it.
**   D2  Rewards and features are centred by prompt: what matters is the ranking within a prompt.  Rows of a prompt
**       come together (FROM (SELECT ... ORDER BY prompt_id)); a prompt_id that comes back is an error.  Without
**       prompt_id, distill_text takes equal prompts in a row as one, and distill_rewards takes all rows as one
**       prompt.
**   D3  prompt_id is an INTEGER on all rows or NULL (absent) on all; options is JSON text, the same on every row.
**   D4  Options of both: lambda (a penalty for all reward models, instead of one for each by cross-validation),
**       rewards (an array of their names).  Of distill_rewards: scale (auto, none, columns), names (of features),
**       type, dim.  Of distill_text: random, hashed (numbers of features), exact_rows, seed.
**   D5  Rows with NULL as features, prompt, response or rewards are skipped and counted; no rows give NULL.  Rows of
**       which no two belong to one prompt are an error.
**   D6  model_info gives for each reward model the relative penalty, the degrees of freedom and R2 within prompts, of
**       the rows (r2) and cross-validated (r2_cv).
** Predicting:
**   P1  One number for each reward model.  Only differences between responses to one prompt mean something: a
**       prompt's own level is not predicted.
**   P2  NULL in any argument gives NULL.  Features are f64 or f32 by their length.  The same model and arguments give
**       the same bits on every machine.
**
** Cost: see distill.h; a prediction from text takes well under a millisecond.
*/
#include "ext_int.h"

/* ---- learning ---- */

/* One group; SQLite zeroes it.  Its contents are freed by xFinal. */
typedef struct Group {
  int failed;
  sqlite3_int64 steps;
  PllmExtSame options_text;
  PllmVectorType type; /* of feature BLOBs */
  size_t dim;
  PllmExtVector features, rewards; /* scratch */
  PllmDistill *distill;            /* owned */
} Group;

static const char *const names[] = {"distill_rewards", "distill_text"};

static void group_free(Group *g) {
  pllm_ext_same_free(&g->options_text);
  pllm_ext_vector_free(&g->features);
  pllm_ext_vector_free(&g->rewards);
  pllm_distill_free(g->distill);
  g->distill = NULL;
}

static PllmStatus open_group(Group *g, int text, sqlite3_value *options, int number, PllmError *err) {
  int first = !g->options_text.seen;
  PllmDistillOptions parsed;
  PllmStatus status = pllm_ext_same(&g->options_text, options, number, err);
  if (status != PLLM_OK || !first) return status;
  status = pllm_distill_options(text, g->options_text.text, g->options_text.bytes, &parsed, err);
  if (status != PLLM_OK)
    return status == PLLM_INVALID ? pllm_error_prefix(err, "argument %d (options)", number) : status;
  g->type = parsed.type;
  g->dim = parsed.dim;
  status = pllm_distill_new(&parsed, &g->distill, err);
  pllm_distill_options_free(&parsed);
  return status;
}

/* Sort the arguments from `at` on into prompt_id and options; NULL where absent. */
static PllmStatus trailing(int argc, sqlite3_value **argv, int at, sqlite3_value **prompt_id, sqlite3_value **options,
                           PllmError *err) {
  int left = argc - at, type = left > 0 ? sqlite3_value_type(argv[at]) : SQLITE_NULL;
  *prompt_id = *options = NULL;
  if (type == SQLITE_INTEGER)
    *prompt_id = argv[at];
  else if (type == SQLITE_TEXT && left == 1)
    *options = argv[at];
  else if (type != SQLITE_NULL)
    return pllm_fail(err, PLLM_INVALID, "argument %d (prompt_id): %s; an integer%s or NULL is required", at + 1,
                     pllm_ext_type_name(argv[at]), left == 1 ? ", options (JSON text)" : "");
  if (left > 1) *options = argv[at + 1];
  return PLLM_OK;
}

/* Argument i as a vector; the error names it. */
static PllmStatus vector(sqlite3_value **argv, int i, const char *name, int type, size_t dim, PllmExtVector *vector,
                         PllmError *err) {
  PllmStatus status;
  if (dim > 0 && type != 0 && sqlite3_value_type(argv[i]) == SQLITE_BLOB &&
      (size_t)sqlite3_value_bytes(argv[i]) != dim * (size_t)type)
    status = pllm_fail(err, PLLM_INVALID, "a BLOB of %d bytes where %zu f%d numbers (%zu bytes) are expected",
                       sqlite3_value_bytes(argv[i]), dim, 8 * type, dim * (size_t)type);
  else
    status = pllm_ext_vector_decode(argv[i], type, dim, vector, err);
  return status == PLLM_OK ? status : pllm_error_prefix(err, "argument %d (%s)", i + 1, name);
}

/* Argument i as text, any value but a BLOB as SQLite writes it; the error names it. */
static PllmStatus text_argument(sqlite3_value **argv, int i, const char *name, const char **text, size_t *bytes,
                                PllmError *err) {
  if (sqlite3_value_type(argv[i]) == SQLITE_BLOB)
    return pllm_fail(err, PLLM_INVALID, "argument %d (%s): a BLOB; text is required", i + 1, name);
  *text = (const char *)sqlite3_value_text(argv[i]);
  if (!*text) return pllm_fail_nomem(err);
  *bytes = (size_t)sqlite3_value_bytes(argv[i]);
  return PLLM_OK;
}

static PllmStatus add_row(Group *g, int text, sqlite3_value **argv, const int64_t *prompt_id, const PllmRun *run,
                          PllmError *err) {
  const char *prompt, *response;
  size_t prompt_bytes, bytes;
  PllmStatus status;
  if (!text) {
    status = vector(argv, 0, "features", (int)g->type, g->dim, &g->features, err);
    if (status == PLLM_OK) status = vector(argv, 1, "rewards", PLLM_F64, 0, &g->rewards, err);
    if (status != PLLM_OK) return status;
    return pllm_distill_features(g->distill, prompt_id, g->features.numbers, g->features.dim,
                                 g->type == PLLM_F32 || g->features.type == PLLM_F32, g->rewards.numbers,
                                 g->rewards.dim, run, err);
  }
  status = text_argument(argv, 0, "prompt", &prompt, &prompt_bytes, err);
  if (status == PLLM_OK) status = text_argument(argv, 1, "response", &response, &bytes, err);
  if (status == PLLM_OK) status = vector(argv, 2, "rewards", PLLM_F64, 0, &g->rewards, err);
  if (status != PLLM_OK) return status;
  return pllm_distill_text(g->distill, prompt_id, prompt, prompt_bytes, response, bytes, g->rewards.numbers,
                           g->rewards.dim, run, err);
}

static PllmStatus take_row(PllmConn *conn, Group *g, int text, int argc, sqlite3_value **argv, PllmError *err) {
  sqlite3_value *prompt, *options;
  sqlite3_int64 id = 0;
  int64_t prompt_id;
  PllmExtPoll poll;
  PllmStatus status = trailing(argc, argv, text ? 3 : 2, &prompt, &options, err);
  if (status == PLLM_OK) status = open_group(g, text, options, argc, err);
  if (status != PLLM_OK) return status;
  for (int i = 0; i < (text ? 3 : 2); i++) {
    if (sqlite3_value_type(argv[i]) != SQLITE_NULL) continue;
    pllm_distill_skip(g->distill);
    return PLLM_OK;
  }
  if (prompt) id = sqlite3_value_int64(prompt);
  prompt_id = id;
  if (!pllm_distill_takes_long(g->distill))
    status = add_row(g, text, argv, prompt ? &prompt_id : NULL, NULL, err);
  else {
    status = pllm_ext_poll_open(conn, &poll, err);
    if (status != PLLM_OK) return status;
    status = add_row(g, text, argv, prompt ? &prompt_id : NULL, &poll.run, err);
    pllm_ext_poll_close(&poll);
  }
  return status == PLLM_INVALID ? pllm_error_prefix(err, "row %lld of its group", g->steps) : status;
}

static void step(sqlite3_context *context, int text, int argc, sqlite3_value **argv) {
  Group *g = sqlite3_aggregate_context(context, sizeof *g);
  PllmError err;
  if (!g) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (g->failed) return;
  g->steps++;
  if (take_row(sqlite3_user_data(context), g, text, argc, argv, &err) == PLLM_OK) return;
  group_free(g);
  g->failed = 1;
  pllm_ext_result_error(context, names[text], &err);
}

static void finish(sqlite3_context *context, int text) {
  Group *g = sqlite3_aggregate_context(context, 0);
  PllmConn *conn = sqlite3_user_data(context);
  PllmModel *model = NULL;
  PllmExtPoll poll;
  PllmError err;
  PllmStatus status = PLLM_OK;
  if (!g || g->failed) return;
  if (g->distill && pllm_distill_rows(g->distill) > 0) {
    status = pllm_ext_poll_open(conn, &poll, &err);
    if (status == PLLM_OK) status = pllm_distill_finish(g->distill, &poll.run, &model, &err);
    pllm_ext_poll_close(&poll);
    if (status == PLLM_OK)
      pllm_ext_result_model(context, names[text], model);
    else
      pllm_ext_result_error(context, names[text], &err);
  }
  pllm_model_free(model);
  group_free(g);
}

static void rewards_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  step(context, 0, argc, argv);
}
static void rewards_final(sqlite3_context *context) {
  finish(context, 0);
}
static void text_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  step(context, 1, argc, argv);
}
static void text_final(sqlite3_context *context) {
  finish(context, 1);
}

/* ---- predicting ---- */

static void free_student(void *student) {
  pllm_student_free(student);
}

/* The model's student, made at the first use of the model. */
static PllmStatus open_student(PllmExtModel *m, PllmStudent **student, PllmError *err) {
  PllmStatus status;
  *student = pllm_ext_model_derived(m, free_student);
  if (*student) return PLLM_OK;
  status = pllm_student_new(m->model, student, err);
  if (status != PLLM_OK) return status == PLLM_INVALID ? pllm_error_prefix(err, "argument 1 (model)") : status;
  pllm_ext_model_derive(m, *student, free_student);
  return PLLM_OK;
}

static PllmStatus predict_row(const PllmStudent *student, int argc, sqlite3_value **argv, double *out,
                              PllmError *err) {
  const char *prompt, *response;
  size_t prompt_bytes, bytes;
  double few[64];
  PllmExtVector features = PLLM_EXT_VECTOR_ON(few);
  PllmStatus status;
  if (pllm_student_text_kind(student) != (argc == 3))
    return argc == 3
               ? pllm_fail(err, PLLM_INVALID,
                           "argument 1 (model): it predicts from %zu features: predict_rewards(model, features)",
                           pllm_student_dim(student))
               : pllm_fail(err, PLLM_INVALID,
                           "argument 1 (model): it predicts from text: predict_rewards(model, prompt, response)");
  if (argc == 3) {
    status = text_argument(argv, 1, "prompt", &prompt, &prompt_bytes, err);
    if (status == PLLM_OK) status = text_argument(argv, 2, "response", &response, &bytes, err);
    if (status == PLLM_OK) status = pllm_student_text(student, prompt, prompt_bytes, response, bytes, out, err);
    return status;
  }
  status = vector(argv, 1, "features", 0, pllm_student_dim(student), &features, err);
  if (status == PLLM_OK) pllm_student_features(student, features.numbers, out);
  pllm_ext_vector_free(&features);
  return status;
}

static void predict(sqlite3_context *context, int argc, sqlite3_value **argv) {
  double out[PLLM_MAX_MODELS];
  PllmExtModel *m;
  PllmStudent *student;
  PllmError err;
  PllmStatus status;
  for (int i = 0; i < argc; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
  m = pllm_ext_model_argument(context, "predict_rewards", argv, 0, "model");
  if (!m) return;
  status = open_student(m, &student, &err);
  if (status == PLLM_OK) status = predict_row(student, argc, argv, out, &err);
  if (status == PLLM_OK)
    pllm_ext_result_vector(context, out, pllm_student_outputs(student), PLLM_F64);
  else
    pllm_ext_result_error(context, "predict_rewards", &err);
}

int pllm_ext_init_distill(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "distill_rewards", .args = 2, .flags = PLLM_PURE, .step = rewards_step, .final = rewards_final},
      {.name = "distill_rewards", .args = 3, .flags = PLLM_PURE, .step = rewards_step, .final = rewards_final},
      {.name = "distill_rewards", .args = 4, .flags = PLLM_PURE, .step = rewards_step, .final = rewards_final},
      {.name = "distill_text", .args = 3, .flags = PLLM_PURE, .step = text_step, .final = text_final},
      {.name = "distill_text", .args = 4, .flags = PLLM_PURE, .step = text_step, .final = text_final},
      {.name = "distill_text", .args = 5, .flags = PLLM_PURE, .step = text_step, .final = text_final},
      {.name = "predict_rewards", .args = 2, .flags = PLLM_PURE, .scalar = predict},
      {.name = "predict_rewards", .args = 3, .flags = PLLM_PURE, .scalar = predict},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
