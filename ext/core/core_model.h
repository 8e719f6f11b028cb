/*
** core_model.h: what core_model.c and core_model_bytes.c share.
*/
#ifndef PLLM_CORE_MODEL_H
#define PLLM_CORE_MODEL_H

#include "core_int.h"

typedef struct PllmText {
  const char *text; /* [bytes], not NUL-terminated */
  size_t bytes;
} PllmText;

/* Not empty, valid UTF-8, no NUL. */
int pllm_core_name_ok(const char *text, size_t bytes);

/* Replace *names[expected] by copies of texts[count]; count is expected or 0. */
PllmStatus pllm_core_names_copy(char ***names, size_t expected, const PllmText *texts, size_t count, PllmError *err);

/* What the numbers of a kind must be, beyond finite: core_learn_prior.c. */
PllmStatus pllm_prior_numbers(size_t dim, const PllmSection *mean, const PllmSection *alpha, const PllmSection *sharp,
                              PllmError *err);
PllmStatus pllm_posterior_check(const PllmModel *model, PllmError *err); /* core_preference.c */
PllmStatus pllm_prior_check(const PllmModel *model, PllmError *err);
PllmStatus pllm_neighbors_check(const PllmModel *model, PllmError *err); /* core_learn_neighbors.c */
PllmStatus pllm_classes_check(const PllmModel *model, PllmError *err);   /* core_learn_classes.c */

#endif
