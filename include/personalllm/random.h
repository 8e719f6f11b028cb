/*
** random.h: reproducible random numbers.
**
** Two families that never mix:
**
**  - RandomState: numpy's legacy generator, bit for bit.  Published personas and interaction databases were drawn
**    with it, so it exists to reproduce them.  Sequential: draw n needs all draws before it.
**  - Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11): a keyed
**    bijection of 128-bit counters.  Every draw has an address, so any of them can be made alone, in any order, on
**    any thread.
**
** Three layers, each tested alone: raw 32-bit streams; streams to doubles and bounded integers; distributions
** (core_dist.c, frozen).
*/
#ifndef PERSONALLLM_RANDOM_H
#define PERSONALLLM_RANDOM_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Raw streams ---- */

/* MT19937 as numpy seeds it from one integer. */
typedef struct PllmMt19937 {
  uint32_t key[624];
  int next; /* first word of key not handed out; 624: make new ones */
} PllmMt19937;

void pllm_mt19937_seed(PllmMt19937 *mt, uint32_t seed);
uint32_t pllm_mt19937_next(PllmMt19937 *mt);

/* The Philox4x32-10 block: four 32-bit words from a counter and a key. */
void pllm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/*
** How this library addresses its philox draws.  Frozen: changing any of it would change users everyone has drawn.
**
**   key     = { seed, purpose }                          the seed the user gave; what the draw is for
**   counter = { id low, id high, index, attempt }        usually the user_id; which draw; attempt of a rejection loop
*/
typedef enum PllmPurpose {
  PLLM_PURPOSE_WEIGHTS = 1, /* w_a of a user: index and attempt as D2 of core_dirichlet.c says */
  PLLM_PURPOSE_DRIFT = 2,   /* w_b, where a drifting user is heading: likewise */
  PLLM_PURPOSE_PROMPT = 3,  /* which prompts a user meets */
  PLLM_PURPOSE_SHOWN = 4,   /* which responses are shown */
  PLLM_PURPOSE_CHOICE = 5,  /* noise of a user's choice */
  PLLM_PURPOSE_LENGTH = 6,  /* how long a history is */
  PLLM_PURPOSE_PARTICLES = 7, /* the posterior's particles and moves */
  PLLM_PURPOSE_LEARN = 8,   /* where learning across users starts, and its order of users */
  PLLM_PURPOSE_FEATURES = 9 /* random directions of text students */
} PllmPurpose;

/* The block at that address. */
void pllm_philox_draw(uint32_t seed, PllmPurpose purpose, uint64_t id, uint32_t index, uint32_t attempt,
                      uint32_t out[4]);

/* ---- Streams to numbers ---- */

/* numpy's double in [0, 1): 53 bits of two words. */
double pllm_mt19937_double(PllmMt19937 *mt);

/* numpy's masked rejection: uniform in 0..most; most = 0 consumes nothing. */
uint32_t pllm_mt19937_interval(PllmMt19937 *mt, uint32_t most);

/* A double strictly inside (0, 1), never 0 or 1: (n + 1/2) / 2^52 with n the low 52 bits of high:low. */
double pllm_philox_double(uint32_t low, uint32_t high);

/* Uniform in 0..below-1 from the 64 bits high:low (below >= 1): floor(bits * below / 2^64).  The bias of this
** multiplication is under below / 2^64. */
uint32_t pllm_philox_below(uint32_t low, uint32_t high, uint32_t below);

/* ---- numpy.random.RandomState ---- */

typedef struct PllmRandomState {
  PllmMt19937 mt;
  int has_gauss; /* gauss holds the second value of the last polar pair */
  double gauss;
} PllmRandomState;

/* RandomState(seed). */
void pllm_random_seed(PllmRandomState *rs, uint32_t seed);

/* random_sample(). */
double pllm_random_sample(PllmRandomState *rs);

/* randint(lo, hi): lo..hi-1.  Needs lo < hi and hi - lo <= 2^32. */
int64_t pllm_random_randint(PllmRandomState *rs, int64_t lo, int64_t hi);

/* permutation(n) into out[n].  The first k entries are choice(n, size=k, replace=False). */
void pllm_random_permutation(PllmRandomState *rs, uint32_t n, uint32_t *out);

/* standard_normal(), standard_exponential(), standard_gamma(shape) for shape >= 0. */
double pllm_random_gauss(PllmRandomState *rs);
double pllm_random_exponential(PllmRandomState *rs);
double pllm_random_gamma(PllmRandomState *rs, double shape);

/*
** dirichlet(alpha) into weights[n]: n gammas in order, times the reciprocal of their sum (in order).  Returns 0 where
** that is not finite because every gamma underflowed (numpy gives NaN there); weights are then not usable.  The
** values are numpy's up to the C library's log and pow: the same bits on the same libm, else within 1e-12 relative.
*/
int pllm_random_dirichlet(PllmRandomState *rs, const double *alpha, size_t n, double *weights);

#ifdef __cplusplus
}
#endif
#endif
