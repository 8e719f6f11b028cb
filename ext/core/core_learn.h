/*
** core_learn.h: what the methods that learn across users share.
*/
#ifndef PLLM_CORE_LEARN_H
#define PLLM_CORE_LEARN_H

#include "core_crowd.h"

/*
** One method: fill in the sections of *model (its kind, dim and provenance are set), its rank, objective, iterations
** and flags.  users_skipped and rows_skipped may be added to.
*/
typedef PllmStatus (*PllmLearner)(const PllmCrowd *crowd, const PllmLearnOptions *options, const PllmRun *run,
                                  PllmModel *model, PllmError *err);
PllmStatus pllm_learn_prior(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_pooled(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_lore(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_svd(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_maml(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_classes(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *, PllmError *);
PllmStatus pllm_learn_neighbors(const PllmCrowd *, const PllmLearnOptions *, const PllmRun *, PllmModel *,
                                PllmError *);

#define PLLM_NOTHING_TO_LEARN "no user's feedback prefers one response to a different one: nothing to learn"

/* The pairs of the crowd by the options; users without any count as skipped; PLLM_INVALID when there are none. */
PllmStatus pllm_learn_pairs(const PllmCrowd *crowd, const PllmLearnOptions *options, const PllmRun *run,
                            PllmModel *model, PllmPairs **pairs, PllmError *err);

/* The fit's course as the model's "history": [count][2] of (objective, criterion). */
PllmStatus pllm_learn_history(PllmModel *model, const double *history, size_t count, PllmError *err);

/*
** Standard normal numbers out[count] at philox addresses { seed, PLLM_PURPOSE_LEARN }, { i, 0, stream, attempt }: by
** Marsaglia's polar method with the log of core_math.h, the first of each pair, so that number i is a function of i.
*/
void pllm_learn_normals(uint32_t seed, uint32_t stream, size_t count, double *out);

/* -log sigma(s), and, where slope is not NULL, its derivative -(1 - sigma(s)). */
double pllm_logistic_loss(double s, double *slope);

/* out[k] = exp(in[k]) / sum exp(in) */
void pllm_softmax(const double *in, size_t count, double *out);

/* The gradient by a from the one by w = softmax(a); they may be one array. */
void pllm_softmax_gradient(const double *w, const double *by_w, size_t count, double *by_a);

/* core_learn_neighbors.c: the mean of profiles[users][dim] into weights[dim], users in order. */
void pllm_mean_profile(const double *profiles, size_t users, size_t dim, double *weights);

/* Adam (Kingma and Ba 2015) with betas .9 and .999 and epsilon 1e-8: one step of all x[count]. */
typedef struct PllmAdam {
  size_t count;
  double *mean, *square; /* [count], owned */
  double beta1, beta2;   /* the betas' powers so far */
} PllmAdam;
PllmStatus pllm_adam_new(PllmAdam *adam, size_t count, PllmError *err);
void pllm_adam_free(PllmAdam *adam);
void pllm_adam_start(PllmAdam *adam); /* forget all steps */
void pllm_adam_step(PllmAdam *adam, double rate, const double *gradient, double *x);

/*
** core_lbfgs.c: minimise a smooth function of x[n] from where x stands.
*/
typedef struct PllmLbfgs {
  size_t n;
  /* Value and gradient[n] at x. */
  PllmStatus (*value)(void *arg, const double *x, double *value, double *gradient, PllmError *err);
  void *arg;
  uint32_t most;    /* iterations */
  double tolerance; /* on the gradient's Euclidean norm */
  double *history;  /* [most][2]: value and gradient norm after each iteration */
  uint32_t iterations;
  double objective;
  int converged;
} PllmLbfgs;
PllmStatus pllm_lbfgs(PllmLbfgs *problem, double *x, PllmError *err);

#endif
