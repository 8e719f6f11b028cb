/*
** core_preference.h: one user's posterior as a model, and as draws.
*/
#ifndef PLLM_CORE_PREFERENCE_H
#define PLLM_CORE_PREFERENCE_H

#include "core_posterior.h"

enum { PLLM_SCALES = 10 }; /* of the Gaussian prior */

/* core_adapt.c: is the prior of these options Gaussian for such features? */
int pllm_adapt_is_gaussian(const PllmAdaptOptions *options, const PllmFeedback *feedback);

/* The posterior of the evidence, whose mean is weights[dim], as a model. */
PllmStatus pllm_posterior_model(const PllmAdaptOptions *options, int gaussian, const PllmEvidence *evidence,
                                const double *weights, int f32, PllmModel **model, PllmError *err);

/* One scale of the Gaussian prior: the posterior mean and the Cholesky factor of its precision, in the fit's coordinates. */
typedef struct PllmLaplace {
  double share, lambda;
  double *w, *factor; /* [rank], [rank][rank]; owned */
} PllmLaplace;

struct PllmPreference {
  size_t dim;
  double scale; /* of the features */
  int gaussian;
  /* Dirichlet: draws with their shares, and as terms for each of its sharpnesses, in units of the features.  owned */
  double *share, *w; /* [count], [count][dim] */
  size_t *terms;     /* [count]: where each draw's terms end */
  double *weight, *sharpness; /* [terms]: their share of the posterior, scale included */
  size_t count, room, used, more;
  double own_sharpness; /* instead of those of the posterior, where the options set it; else 0 */
  int failed;           /* an allocation did */
  /* Gaussian.  owned */
  PllmLaplace laplace[PLLM_SCALES];
  size_t scales, rank;
  int reduced;
  double *basis; /* reduced: [rank][dim], orthonormal */
};

#endif
