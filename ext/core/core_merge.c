/*
** core_merge.c: models of the same kind into the model of all their users.
**
** Only what is learned of each user alone merges exactly: the profiles of kind neighbors.  Every other kind is one
** fit over all its users, from which the fit over more users does not follow.
*/
#include "core_learn.h"

#include <string.h>

/* Where the next profile of a model is. */
typedef struct Source {
  const PllmModel *model;
  const double *users, *profiles;
  size_t at;
} Source;

static uint64_t user_of(const Source *s) {
  const double *u = s->users + 2 * s->at;
  return (uint64_t)u[0] << 32 | (uint64_t)u[1];
}

static int before(uint64_t a, uint64_t b) {
  return (int64_t)a < (int64_t)b;
}

static PllmStatus same(const PllmModel *a, const PllmModel *b, size_t number, PllmError *err) {
  if (a->dim != b->dim)
    return pllm_fail(err, PLLM_INVALID, "model %zu: features of %zu numbers, but those of the first have %zu", number,
                     b->dim, a->dim);
  if (strcmp(a->options, b->options) != 0)
    return pllm_fail(err, PLLM_INVALID, "model %zu: options %.100s, but those of the first are %.100s", number,
                     b->options, a->options);
  if (!a->features != !b->features)
    return pllm_fail(err, PLLM_INVALID, "model %zu: features %s names, unlike those of the first", number,
                     b->features ? "have" : "have no");
  for (size_t i = 0; a->features && i < a->dim; i++)
    if (strcmp(a->features[i], b->features[i]) != 0)
      return pllm_fail(err, PLLM_INVALID, "model %zu: feature %zu is \"%.60s\", but \"%.60s\" in the first", number,
                       i + 1, b->features[i], a->features[i]);
  return PLLM_OK;
}

/* Profiles in the order of user ids, as learning from all rows would have put them. */
static PllmStatus merge(Source *sources, size_t count, PllmModel *out, PllmError *err) {
  double *weights, *users, *profiles;
  uint64_t last = 0;
  PllmStatus status = pllm_model_add(out, "weights", 1, out->dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(out, "users", out->rank, 2, &users, err);
  if (status == PLLM_OK) status = pllm_model_add(out, "profiles", out->rank, out->dim, &profiles, err);
  for (size_t i = 0; status == PLLM_OK && i < out->rank; i++) {
    Source *next = NULL;
    for (size_t k = 0; k < count; k++)
      if (sources[k].at < sources[k].model->rank && (!next || before(user_of(&sources[k]), user_of(next))))
        next = &sources[k];
    if (i > 0 && user_of(next) == last)
      return pllm_fail(err, PLLM_INVALID, "user %lld is in several of the models; each must be in one",
                       (long long)(int64_t)last);
    last = user_of(next);
    memcpy(users + 2 * i, next->users + 2 * next->at, 2 * sizeof *users);
    memcpy(profiles + i * out->dim, next->profiles + next->at * out->dim, out->dim * sizeof *profiles);
    next->at++;
  }
  if (status == PLLM_OK) pllm_mean_profile(profiles, out->rank, out->dim, weights);
  return status;
}

int pllm_model_merges(PllmModelKind kind) {
  return kind == PLLM_MODEL_NEIGHBORS;
}

PllmStatus pllm_model_merge(const PllmModel *const *models, size_t count, PllmModel **out, PllmError *err) {
  Source *sources = pllm_alloc(count, sizeof *sources);
  const PllmModel *first = models[0];
  PllmModel *m = NULL;
  size_t users = 0;
  PllmStatus status = sources ? PLLM_OK : pllm_fail_nomem(err);
  *out = NULL;
  for (size_t i = 0; status == PLLM_OK && i < count; i++) {
    if (!pllm_model_merges(models[i]->kind))
      status =
          pllm_fail(err, PLLM_INVALID,
                    "model %zu: a model of kind %s is one fit over all its users and does not merge exactly; only "
                    "neighbors does",
                    i + 1, pllm_model_kind_name(models[i]->kind));
    if (status == PLLM_OK) status = same(first, models[i], i + 1, err);
    if (status != PLLM_OK) break;
    sources[i] = (Source){.model = models[i],
                          .users = pllm_model_numbers(models[i], "users"),
                          .profiles = pllm_model_numbers(models[i], "profiles")};
    users += models[i]->rank;
  }
  if (status == PLLM_OK) status = pllm_model_new(first->kind, first->dim, users, &m, err);
  if (status == PLLM_OK) status = pllm_model_set_options(m, first->options, err);
  if (status == PLLM_OK && first->features)
    status = pllm_model_set_features(m, (const char *const *)first->features, first->dim, err);
  if (status == PLLM_OK) {
    m->flags = first->flags;
    for (size_t i = 0; i < count; i++) {
      m->users += models[i]->users;
      m->users_skipped += models[i]->users_skipped;
      m->rows += models[i]->rows;
      m->rows_skipped += models[i]->rows_skipped;
      m->flags |= models[i]->flags & PLLM_MODEL_F32;
    }
    status = merge(sources, count, m, err);
  }
  pllm_free(sources);
  if (status != PLLM_OK) {
    pllm_model_free(m);
    return status;
  }
  *out = m;
  return PLLM_OK;
}
