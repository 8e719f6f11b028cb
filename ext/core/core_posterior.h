/*
** core_posterior.h: the posterior mean of weights on the simplex.
*/
#ifndef PLLM_CORE_POSTERIOR_H
#define PLLM_CORE_POSTERIOR_H

#include "core_evidence.h"

/* A prior that was learned (core_learn_prior.c): weights are Dirichlet(alpha[g] tilt) with probability share[g], where tilt
** has mean 1, and sharpness is 2^k with probability sharp[k]. */
enum { PLLM_GROUPS = 10, PLLM_SHARPNESSES = 10 };
typedef struct PllmPriorShape {
  size_t dim;
  double alpha[PLLM_GROUPS], share[PLLM_GROUPS], sharp[PLLM_SHARPNESSES];
  double tilt[PLLM_MAX_MODELS]; /* [dim] */
  int even;                     /* tilt is 1 throughout: no reward model is favoured */
} PllmPriorShape;

/* core_learn_prior.c: the prior of a model of that kind. */
void pllm_prior_shape(const PllmModel *model, PllmPriorShape *shape);

/*
** Who looks on: draws from the posterior, with their shares of it (they add up to 1): weights stride apart, and the
** probability of each sharpness 2^k given those weights and the evidence.
*/
typedef struct PllmOnlooker {
  void (*draw)(void *arg, double share, const double *w, size_t stride, const double *sharp);
  void *arg;
  double evidence; /* out: log of the probability of what was chosen, under the prior */
} PllmOnlooker;

/* What the sampler draws once and every user shares; a function of the settings alone. */
typedef struct PllmParticles {
  size_t dim, count; /* count: particles, a multiple of PLLM_BLOCK */
  double alpha;      /* 0: the mixture */
  double sharpness;  /* 0: inferred */
  uint32_t seed;
  double *weights; /* [dim][count] */
  double *alphas;  /* [count] */
  double *log_b;   /* [count], natural log of the sharpness */
  double *moves;   /* random numbers of the moves, [step][kind][lane] */
  PllmPriorShape *shape; /* owned: a learned prior, NULL: the default one */
} PllmParticles;

/* shape (copied) may be NULL; with one, alpha and sharpness are 0. */
PllmStatus pllm_particles_new(size_t dim, double alpha, double sharpness, uint32_t seed, const PllmPriorShape *shape,
                              PllmParticles **particles, PllmError *err);
/* Are they what pllm_particles_new would make? */
int pllm_particles_are(const PllmParticles *particles, size_t dim, double alpha, double sharpness, uint32_t seed,
                       const PllmPriorShape *shape);
void pllm_particles_free(PllmParticles *particles);

/* Scratch of one thread; rows is the most rows any set of any user has. */
size_t pllm_posterior_bytes(size_t dim, size_t rows);

/*
** The posterior mean into mean[dim], which is on the simplex; nothing of use when stop says so.  onlooker may be
** NULL; it sees nothing where there is no evidence.  Never allocates. O(particles x rows x dim) for the first sets,
** then O(lanes x steps x rows x dim); see core_posterior.c.
*/
void pllm_posterior_mean(const PllmParticles *particles, const PllmEvidence *evidence, void *scratch,
                         const PllmStop *stop, PllmOnlooker *onlooker, double *mean);

#endif
