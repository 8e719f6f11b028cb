/*
** fn_preference.c: preference_probability(posterior, features_a, features_b [, what]) -> REAL
**                  preference_information(posterior, features_a, features_b [, measure]) -> REAL
**
**   SELECT preference_probability((SELECT adapt_user(chosen, rejected, '{"return": "model"}') FROM history),
**                                 a.rewards, b.rewards)
**   FROM responses a JOIN responses b USING (prompt_id);
**
**   R1  How likely a user with this posterior prefers a to b: the choice model's probability averaged over what the
**       feedback leaves open, so that P(a, b) + P(b, a) = 1 and equal features give 1/2.  Without feedback it is the
**       prior's.  what = 'choice' (the default) is that; 'utility': how likely a is worth more, noise of choice aside.
**   R2  posterior is a model that adapt_user or adapt_user_choices gives with "return": "model"; any other is an
**       error.
**   R3  Features are f64 or f32 BLOBs by their length, or JSON text, of the posterior's dimension.  NULL in any
**       argument gives NULL.
**   R4  What the answer to "a or b?" is expected to tell, 0 for equal features, the same for (b, a).  measure = 'gain'
**       (the default): in bits, about weights and sharpness; 'variance': PReF's, sigma'(m)^2 v.
**
** The first call with a model samples its posterior again (milliseconds), the connection keeps that with the model; a
** probability then takes some 5,000 exponentials, a gain as many logarithms too.
*/
#include "ext_int.h"

#include <string.h>

static void release(void *preference) {
  pllm_preference_free(preference);
}

static PllmPreference *open(PllmConn *conn, PllmExtModel *m, PllmError *err) {
  PllmExtPoll poll;
  PllmPreference *preference = pllm_ext_model_derived(m, release);
  PllmStatus status;
  if (preference) return preference;
  status = pllm_ext_poll_open(conn, &poll, err);
  if (status == PLLM_OK) status = pllm_preference_new(m->model, &poll.run, &preference, err);
  pllm_ext_poll_close(&poll);
  if (status != PLLM_OK) return NULL;
  pllm_ext_model_derive(m, preference, release);
  return preference;
}

typedef double (*Measure)(const PllmPreference *preference, const double *a, const double *b, double *scratch);

typedef struct Family {
  const char *where, *argument, *names[2]; /* what the fourth argument is called, and accepts */
  Measure measures[2];                     /* the first is the default */
} Family;

static const Family families[] = {
    {"preference_probability", "what", {"choice", "utility"}, {pllm_preference_probability, pllm_preference_better}},
    {"preference_information", "measure", {"gain", "variance"}, {pllm_preference_gain, pllm_preference_variance}},
};

static Measure measure_of(sqlite3_context *context, const Family *f, sqlite3_value *value) {
  const char *text = sqlite3_value_type(value) == SQLITE_TEXT ? (const char *)sqlite3_value_text(value) : NULL;
  PllmError err;
  for (int i = 0; text && i < 2; i++)
    if (strcmp(text, f->names[i]) == 0) return f->measures[i];
  if (text)
    pllm_fail(&err, PLLM_INVALID, "\"%.40s\"; one of %s|%s is required", text, f->names[0], f->names[1]);
  else
    pllm_fail(&err, PLLM_INVALID, "%s; one of %s|%s is required", pllm_ext_type_name(value), f->names[0], f->names[1]);
  pllm_ext_arg_error(context, f->where, 4, f->argument, &err);
  return NULL;
}

static void answer(sqlite3_context *context, const Family *f, int argc, sqlite3_value **argv) {
  PllmExtVector a = {0}, b = {0};
  PllmPreference *preference;
  Measure compute = f->measures[0];
  PllmExtModel *m;
  PllmError err;
  double *scratch;
  for (int i = 0; i < argc; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
  if (argc > 3 && !(compute = measure_of(context, f, argv[3]))) return;
  m = pllm_ext_model_argument(context, f->where, argv, 0, "posterior");
  if (!m) return;
  preference = open(sqlite3_user_data(context), m, &err); /* refuses other kinds */
  if (!preference) {
    pllm_ext_arg_error(context, f->where, 1, "posterior", &err);
    return;
  }
  if (pllm_ext_vector_decode(argv[1], 0, m->model->dim, &a, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, f->where, 2, "features_a", &err);
  } else if (pllm_ext_vector_decode(argv[2], 0, m->model->dim, &b, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, f->where, 3, "features_b", &err);
  } else if (!(scratch = pllm_alloc(pllm_preference_scratch(preference), sizeof *scratch))) {
    sqlite3_result_error_nomem(context);
  } else {
    sqlite3_result_double(context, compute(preference, a.numbers, b.numbers, scratch));
    pllm_free(scratch);
  }
  pllm_ext_vector_free(&a);
  pllm_ext_vector_free(&b);
}

static void probability(sqlite3_context *context, int argc, sqlite3_value **argv) {
  answer(context, &families[0], argc, argv);
}

static void information(sqlite3_context *context, int argc, sqlite3_value **argv) {
  answer(context, &families[1], argc, argv);
}

int pllm_ext_init_preference(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "preference_probability", .args = 3, .flags = PLLM_PURE, .scalar = probability},
      {.name = "preference_probability", .args = 4, .flags = PLLM_PURE, .scalar = probability},
      {.name = "preference_information", .args = 3, .flags = PLLM_PURE, .scalar = information},
      {.name = "preference_information", .args = 4, .flags = PLLM_PURE, .scalar = information},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
