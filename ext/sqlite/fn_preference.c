/*
** fn_preference.c: preference_probability(posterior, features_a, features_b) -> REAL
**
**   SELECT preference_probability((SELECT adapt_user(chosen, rejected, '{"return": "model"}') FROM history),
**                                 a.rewards, b.rewards)
**   FROM responses a JOIN responses b USING (prompt_id);
**
**   R1  How likely a user with this posterior prefers a to b: the choice model's probability averaged over what the
**       feedback leaves open, so that P(a, b) + P(b, a) = 1 and equal features give 1/2.  Without feedback it is the
**       prior's.
**   R2  posterior is a model that adapt_user or adapt_user_choices gives with "return": "model"; any other is an
**       error.
**   R3  Features are f64 or f32 BLOBs by their length, or JSON text, of the posterior's dimension.  NULL in any
**       argument gives NULL.
**
** The first call with a model samples its posterior again (milliseconds), the connection keeps that with the model; a
** probability then takes some 5,000 exponentials.
*/
#include "ext_int.h"

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

static void probability(sqlite3_context *context, int argc, sqlite3_value **argv) {
  static const char *const where = "preference_probability";
  PllmExtVector a = {0}, b = {0};
  PllmPreference *preference;
  PllmExtModel *m;
  PllmError err;
  double *scratch;
  for (int i = 0; i < argc; i++)
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
  m = pllm_ext_model_argument(context, where, argv, 0, "posterior");
  if (!m) return;
  preference = open(sqlite3_user_data(context), m, &err); /* refuses other kinds */
  if (!preference) {
    pllm_ext_arg_error(context, where, 1, "posterior", &err);
    return;
  }
  if (pllm_ext_vector_decode(argv[1], 0, m->model->dim, &a, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, where, 2, "features_a", &err);
  } else if (pllm_ext_vector_decode(argv[2], 0, m->model->dim, &b, &err) != PLLM_OK) {
    pllm_ext_arg_error(context, where, 3, "features_b", &err);
  } else if (!(scratch = pllm_alloc(pllm_preference_scratch(preference), sizeof *scratch))) {
    sqlite3_result_error_nomem(context);
  } else {
    sqlite3_result_double(context, pllm_preference_probability(preference, a.numbers, b.numbers, scratch));
    pllm_free(scratch);
  }
  pllm_ext_vector_free(&a);
  pllm_ext_vector_free(&b);
}

int pllm_ext_init_preference(PllmConn *conn, char **error) {
  static const PllmFunction functions[] = {
      {.name = "preference_probability", .args = 3, .flags = PLLM_PURE, .scalar = probability},
  };
  return pllm_ext_functions(conn, functions, (int)(sizeof functions / sizeof *functions), error);
}
