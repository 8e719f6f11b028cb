/*
** core_distill_options.c: what a student is told to be, from JSON and back.
*/
#include "core_catalogue.h"
#include "core_distill.h"

#include <string.h>

void pllm_distill_options_free(PllmDistillOptions *o) {
  pllm_catalogue_names_free(o->outputs, o->n_outputs);
  pllm_catalogue_names_free(o->features, o->n_features);
  memset(o, 0, sizeof *o);
}

PllmStatus pllm_distill_options(int text, const char *json, size_t bytes, PllmDistillOptions *options,
                                PllmError *err) {
  PllmDistillOptions o = {.text = text};
  int64_t dim = 0, random = PLLM_MAX_RANDOM, hashed = PLLM_MAX_HASHED, exact = PLLM_EXACT_ROWS, seed = 0;
  int type = 0, scaling = PLLM_SCALING_AUTO;
  char *rewards = NULL, *features = NULL;
  PllmStatus status = PLLM_OK;
  PllmOption of_features[] = {
      {.name = "lambda", .kind = PLLM_OPTION_NUMBER, .value = &o.lambda, .min = 1e-12, .max = 1e12},
      {.name = "rewards", .kind = PLLM_OPTION_ANY, .value = &rewards},
      {.name = "names", .kind = PLLM_OPTION_ANY, .value = &features},
      {.name = "scale", .kind = PLLM_OPTION_CHOICE, .value = &scaling, .choices = "auto|none|columns"},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_MAX_STUDENT},
  };
  PllmOption of_text[] = {
      of_features[0],
      of_features[1],
      {.name = "random", .kind = PLLM_OPTION_INTEGER, .value = &random, .min = 0, .max = PLLM_MAX_RANDOM},
      {.name = "hashed", .kind = PLLM_OPTION_INTEGER, .value = &hashed, .min = 0, .max = PLLM_MAX_HASHED},
      {.name = "exact_rows", .kind = PLLM_OPTION_INTEGER, .value = &exact, .min = 1, .max = PLLM_MAX_STUDENT},
      {.name = "seed", .kind = PLLM_OPTION_INTEGER, .value = &seed, .min = 0, .max = UINT32_MAX},
  };
  memset(options, 0, sizeof *options);
  if (json)
    status = text ? pllm_options_parse(json, bytes, of_text, sizeof of_text / sizeof *of_text, err)
                  : pllm_options_parse(json, bytes, of_features, sizeof of_features / sizeof *of_features, err);
  if (status == PLLM_OK && rewards)
    status = pllm_catalogue_names("rewards", rewards, &o.outputs, &o.n_outputs, err);
  if (status == PLLM_OK && features)
    status = pllm_catalogue_names("names", features, &o.features, &o.n_features, err);
  if (status == PLLM_OK && random % 2 != 0)
    status =
        pllm_fail(err, PLLM_INVALID,
                  "option \"random\": %d is odd; random features come in pairs, a cosine and a sine", (int)random);
  o.dim = (size_t)dim;
  o.type = !of_features[4].given ? 0 : type ? PLLM_F32 : PLLM_F64;
  o.scaling = (PllmScaling)scaling;
  o.random = (size_t)random;
  o.hashed = (size_t)hashed;
  o.exact_rows = (size_t)exact;
  o.seed = (uint32_t)seed;
  pllm_free(rewards);
  pllm_free(features);
  if (status == PLLM_OK)
    *options = o;
  else
    pllm_distill_options_free(&o);
  return status;
}
