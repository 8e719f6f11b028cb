/*
** core_dirichlet.h: users drawn by counter; shared by core_dirichlet.c and core_users.c.
*/
#ifndef PLLM_CORE_DIRICHLET_H
#define PLLM_CORE_DIRICHLET_H

#include "core_philox.h"

/* Constants of one component's gamma sampler. */
typedef struct PllmShape {
  int large;     /* alpha > 1: the log-logistic sampler, else the power sampler */
  int whole;     /* many: the first attempt makes the exact test at once */
  int squarings; /* small: u^(2^squarings) >= u^(1/alpha) */
  double alpha;
  double rest;                     /* small: 1 - alpha */
  double inverse;                  /* small: 1 / alpha; large: 1 / sqrt(2 alpha - 1) */
  double log_alpha, offset, slope; /* large: log(alpha), alpha - log(4), alpha + sqrt(2 alpha - 1) */
} PllmShape;

typedef struct PllmDirichlet {
  uint32_t seed;
  int n;       /* components */
  int uniform; /* all shapes are equal */
  double drift;
  PllmShape shape[PLLM_MAX_MODELS];
} PllmDirichlet;

/* Users drawn together: many, so that rejected lanes fill vectors too, but a tile [n][users] should stay in the
** cache. */
#define PLLM_DIRICHLET_TILE(n) ((n) <= 32 ? 4 * PLLM_BLOCK : PLLM_BLOCK)

/* Doubles of scratch that a worker needs to draw many users with n components: a tile and three lists of its lanes. */
#define PLLM_DIRICHLET_SCRATCH(n) ((size_t)(n)*PLLM_DIRICHLET_TILE(n) * 5 / 2)

void pllm_core_dirichlet_init(PllmDirichlet *d, uint32_t seed, const double *alpha, int n, double drift);

/* The weights of one user at a turn (>= 1), and the same for users first .. first + count - 1 into out[count][n]:
** equal bits, many at once being several times faster.  scratch: PLLM_DIRICHLET_SCRATCH(n) doubles. */
void pllm_core_dirichlet_one(const PllmDirichlet *d, uint64_t id, int64_t turn, double *out);
void pllm_core_dirichlet_many(const PllmDirichlet *d, uint64_t first, size_t count, int64_t turn, double *out,
                              double *scratch);

#endif
