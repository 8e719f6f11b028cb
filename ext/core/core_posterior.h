/*
** core_posterior.h: the posterior mean of weights on the simplex.
*/
#ifndef PLLM_CORE_POSTERIOR_H
#define PLLM_CORE_POSTERIOR_H

#include "core_evidence.h"
#include "core_simd.h"

#define PLLM_MOVED (2 * PLLM_BLOCK) /* lanes: particles that are moved, in two blocks */
#define PLLM_LOG_TINY (-690.0)      /* log weights stop here: what is below 1e-299 does nothing */
#define PLLM_LOG_2 0.69314718055994530942
#define PLLM_RATING_NOISE 0.01

/* A prior that was learned (core_learn_prior.c): weights are Dirichlet(alpha[g] tilt) with probability share[g], where
** tilt has mean 1, and sharpness is 2^k with probability sharp[k]. */
enum { PLLM_GROUPS = 10, PLLM_SHARPNESSES = 10 };
typedef struct PllmPriorShape {
  size_t dim;
  double alpha[PLLM_GROUPS], share[PLLM_GROUPS], sharp[PLLM_SHARPNESSES];
  double tilt[PLLM_MAX_MODELS]; /* [dim] */
  int even;                     /* tilt is 1 throughout: no reward model is favoured */
} PllmPriorShape;

/* core_learn_prior.c: the prior of a model of that kind. */
void pllm_prior_shape(const PllmModel *model, PllmPriorShape *shape);
/* The same from the numbers of its sections. */
void pllm_prior_shape_of(size_t dim, const double *mean, const double *alpha, const double *sharp,
                         PllmPriorShape *shape);

/*
** Who looks on: draws from the posterior, with their shares of it (they add up to 1): weights stride apart, and the
** probability of each sharpness 2^k given those weights and the evidence.
*/
typedef struct PllmOnlooker {
  void (*draw)(void *arg, double share, const double *w, size_t stride, const double *sharp);
  void *arg;
  double evidence; /* out: log of the probability of what was chosen, under the prior */
} PllmOnlooker;

/* ---- core_particles.c: what the sampler draws once and every user shares; a function of the settings alone ---- */

/* Random numbers of a step for each lane; of the first lane of each block those for the block. */
enum {
  PLLM_MOVE_FROM,   /* uniform, for the block */
  PLLM_MOVE_TO,     /* uniform, for the block */
  PLLM_MOVE_STEP,   /* of a logit */
  PLLM_MOVE_FLIP,   /* -1 or 1: factor of the logit */
  PLLM_MOVE_TURN,   /* -1, 0, 1: of log2 sharpness */
  PLLM_MOVE_LENGTH, /* of a difference between two lanes */
  PLLM_MOVE_ACCEPT, /* log of a uniform */
  PLLM_MOVE_KINDS
};
#define PLLM_MOVE_PERIOD 128 /* steps after which the random numbers come round again */

typedef struct PllmParticles {
  size_t dim, count; /* count: particles, a multiple of PLLM_BLOCK */
  double alpha;      /* 0: the mixture */
  double sharpness;  /* 0: inferred */
  uint32_t seed;
  double *weights;                    /* [dim][count] */
  double *alphas;                     /* [count] */
  double *sharpnesses, *levels;       /* [count], and their log2 */
  double log_sharp[PLLM_SHARPNESSES]; /* log prior probability of sharpness 2^k, but for a constant */
  double *moves;                      /* random numbers of the moves, [PERIOD][KINDS][MOVED] */
  PllmPriorShape *shape;              /* owned: a learned prior, NULL: the default one */
} PllmParticles;

/* shape (copied) may be NULL; with one, alpha and sharpness are 0. */
PllmStatus pllm_particles_new(size_t dim, double alpha, double sharpness, uint32_t seed, const PllmPriorShape *shape,
                              PllmParticles **particles, PllmError *err);
/* Are they what pllm_particles_new would make? */
int pllm_particles_are(const PllmParticles *particles, size_t dim, double alpha, double sharpness, uint32_t seed,
                       const PllmPriorShape *shape);
void pllm_particles_free(PllmParticles *particles);
size_t pllm_particles_most(size_t dim); /* the most that count may be */

/* ---- core_posterior.c ---- */

/* Scratch of one thread; rows is the most rows any user has. */
size_t pllm_posterior_bytes(size_t dim, size_t rows);

/*
** The posterior mean into mean[dim], which is on the simplex; nothing of use when stop says so.  onlooker may be
** NULL; without evidence it sees the prior's particles.  Never allocates. O(particles x rows x dim) for the first
** sets, then O(lanes x steps x rows x dim); see core_posterior.c.
*/
void pllm_posterior_mean(const PllmParticles *particles, const PllmEvidence *evidence, void *scratch,
                         const PllmStop *stop, PllmOnlooker *onlooker, double *mean);

/* ---- core_posterior_kernel.h: PLLM_BLOCK particles at a time, whose arrays are [BLOCK] or [rows][BLOCK] ---- */

/* A Metropolis step of a block of lanes. */
typedef struct PllmMove {
  const double *step, *flip, *length, *accept; /* random numbers */
  /* The lanes; w, log_w are [dim][BLOCK], u is [rows][BLOCK]. */
  double *w, *log_w, *u, *ll, *sharpness, *level;
  const double *alpha;
  const double *tilt; /* [dim], by which alpha is multiplied; NULL: 1 throughout */
  size_t dim, a, b;   /* the two features whose weights change */
  double *direction;  /* [dim][BLOCK]: in which all log weights change */
  double *difference; /* [rows]: feature a less feature b */
  /* What the lanes may become. */
  double *next_w, *next_log_w, *next_u; /* of a and b (u not at all), or of all features */
  double next_sharpness[PLLM_BLOCK], next_level[PLLM_BLOCK], next_ll[PLLM_BLOCK];
  double delta[PLLM_BLOCK]; /* weight that a gains and b loses */
  double prior[PLLM_BLOCK]; /* log of the prior's ratio; that of the sharpness given, that of the weights added */
} PllmMove;

typedef struct PllmPosteriorKernel {
  /* u[rows][BLOCK] = x[rows][dim] . w[dim][BLOCK], rows of w `stride` apart */
  void (*utilities)(const double *x, size_t rows, size_t dim, const double *w, size_t stride, double *u);
  /* an upper bound of a set's log likelihood, without exponentials */
  void (*set_bound)(const PllmSet *set, const double *u, const double *sharpness, double *bound);
  /* added to ll */
  void (*set_likelihood)(const PllmSet *set, const double *u, const double *sharpness, double *ll);
  void (*ratings_likelihood)(const PllmEvidence *evidence, const double *u, double *ll);
  /* a step with two features, on the first `sets` sets (ratings: on all); judge_two adds sets first..end-1 to next_ll,
  ** given the difference of the features */
  void (*propose_two)(PllmMove *move);
  void (*judge_two)(const PllmEvidence *evidence, size_t first, size_t end, PllmMove *move);
  void (*settle_two)(const PllmEvidence *evidence, size_t sets, PllmMove *move);
  /* the same with all */
  void (*propose_all)(PllmMove *move);
  void (*settle_all)(const PllmEvidence *evidence, size_t sets, PllmMove *move);
} PllmPosteriorKernel;

/* The best that this machine has. */
const PllmPosteriorKernel *pllm_posterior_kernel(void);
extern const PllmPosteriorKernel pllm_core_posterior_base, pllm_core_posterior_avx2, pllm_core_posterior_avx512;

#endif
