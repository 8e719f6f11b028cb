/*
** core_posterior.h: the posterior mean of weights on the simplex.
*/
#ifndef PLLM_CORE_POSTERIOR_H
#define PLLM_CORE_POSTERIOR_H

#include "core_evidence.h"

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
} PllmParticles;

PllmStatus pllm_particles_new(size_t dim, double alpha, double sharpness, uint32_t seed, PllmParticles **particles,
                              PllmError *err);
void pllm_particles_free(PllmParticles *particles);

/* Scratch of one thread; rows is the most rows any set of any user has. */
size_t pllm_posterior_bytes(size_t dim, size_t rows);

/*
** The posterior mean into mean[dim], which is on the simplex; nothing of use when stop says so.  Never allocates.
** O(particles x rows x dim) for the first sets, then O(lanes x steps x rows x dim); see core_posterior.c.
*/
void pllm_posterior_mean(const PllmParticles *particles, const PllmEvidence *evidence, void *scratch,
                         const PllmStop *stop, double *mean);

#endif
