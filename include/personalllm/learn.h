/*
** learn.h: what the feedback of many users teaches, as a model from which adaptation to one user starts.
**
** learn_users never sees anybody's true weights, only feedback.  Rules that hold for every method:
**   - equal rows give equal bytes of model, in whatever order they were added and for any number of threads;
**   - users whose feedback says nothing are skipped and counted;
**   - random starts come from philox draws under the seed in the options.
*/
#ifndef PERSONALLLM_LEARN_H
#define PERSONALLLM_LEARN_H

#include "adapt.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum PllmLearnMethod {
  PLLM_LEARN_POOLED,    /* one Bradley-Terry model for all (core_learn_pooled.c) */
  PLLM_LEARN_PRIOR,     /* empirical Bayes: a mixture of Dirichlets (core_learn_prior.c) */
  PLLM_LEARN_NEIGHBORS, /* the historical users themselves (core_learn_neighbors.c) */
  PLLM_LEARN_LORE,      /* low-rank reward modelling, LoRe: arXiv 2504.14439 (core_learn_lore.c) */
  PLLM_LEARN_SVD,       /* reward factorisation, PReF: arXiv 2503.06358 (core_learn_svd.c) */
  PLLM_LEARN_MAML,      /* meta reward modelling, MRM: arXiv 2601.18731 (core_learn_maml.c) */
  PLLM_LEARN_CLASSES    /* latent classes of users, a Bradley-Terry model each (core_learn_classes.c) */
} PllmLearnMethod;

/* Resolved options; free with pllm_learn_options_free.  Numbers that a method does not use are 0. */
typedef struct PllmLearnOptions {
  PllmForm form; /* PLLM_PAIRS or PLLM_CHOICES */
  PllmLearnMethod method;
  int given;           /* the method was named, not left to the features */
  char *text;          /* the options as they came, NULL when none; owned */
  PllmVectorType type; /* of feature BLOBs, 0 when not said */
  size_t dim;          /* of feature vectors, 0 when not said */
  char **names;        /* [dim] of the features, NULL when not said; owned */
  size_t n_names;
  uint32_t seed;
  int implied; /* all implied pairs of a choice set, not only best over worst */
  double lambda;
  size_t rank;
  uint32_t iterations;
  double rate, temperature, penalty, query, inner_rate, rho, gamma, feature_scale;
  size_t batch;
} PllmLearnOptions;

/* Parse JSON text (NULL: all defaults).  Errors as pllm_adapt_options. */
PllmStatus pllm_learn_options(PllmForm form, const char *text, size_t bytes, PllmLearnOptions *options,
                              PllmError *err);
void pllm_learn_options_free(PllmLearnOptions *options);

/* What persona_methods() lists, as in adapt.h. */
size_t pllm_learn_methods(const PllmMethodInfo **methods);
size_t pllm_learn_known_options(const PllmMethodOption **options);

/*
** The feedback of many users.  Equal vectors are stored once, as f32 while all come as f32.  Rows may come in any
** order.  All vectors have one dimension; another one is PLLM_INVALID with both lengths.  At most 2^31 - 1 different
** vectors.
*/
typedef struct PllmCrowd PllmCrowd;
PllmCrowd *pllm_crowd_new(PllmForm form); /* NULL when out of memory */
void pllm_crowd_free(PllmCrowd *crowd);
PllmStatus pllm_crowd_add_pair(PllmCrowd *crowd, int64_t user, const double *chosen, const double *rejected,
                               size_t dim, int f32, PllmError *err);
PllmStatus pllm_crowd_add_choice(PllmCrowd *crowd, int64_t user, int64_t choice_set, const double *features,
                                 size_t dim, int f32, PllmLabel label, PllmError *err);
void pllm_crowd_skip(PllmCrowd *crowd); /* count a row that says nothing */
size_t pllm_crowd_count(const PllmCrowd *crowd);
size_t pllm_crowd_dim(const PllmCrowd *crowd);

/*
** The model that the crowd's feedback (at least one row) teaches; no more rows can be added afterwards.  PLLM_INVALID
** when a choice set has two best or two worst (naming user and set), when no user's feedback says anything, or when
** the method does not go with the features.  Cost: see each method's file.
*/
PllmStatus pllm_learn(PllmCrowd *crowd, const PllmLearnOptions *options, const PllmRun *run, PllmModel **model,
                      PllmError *err);

/*
** The model of the users of models[count] (at least one) together: to the byte what learning from all their rows
** would give. Only kind neighbors merges, whose users are learned each alone: pllm_model_merges.  PLLM_INVALID names
** the first model of another kind, dimension, options or names, and a user who is in two.  O(users (models + dim)).
*/
int pllm_model_merges(PllmModelKind kind);
PllmStatus pllm_model_merge(const PllmModel *const *models, size_t count, PllmModel **model, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
