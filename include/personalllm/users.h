/*
** users.h: populations of simulated users, each a vector of reward-model weights drawn from a Dirichlet distribution.
**
** A population is a function of its declaration: nothing is stored, any row can be made again.
*/
#ifndef PERSONALLLM_USERS_H
#define PERSONALLLM_USERS_H

#include "parallel.h"
#include "random.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Users one population may have: user ids stay exact as doubles and JSON numbers. */
#define PLLM_MAX_USERS 9007199254740992
/* Users that min_distance may filter: it compares every user with every survivor. */
#define PLLM_MAX_FILTERED_USERS 50000
#define PLLM_MIN_ALPHA 1e-6
#define PLLM_MAX_ALPHA 1e6
/* exp(-drift) is what is left of the first weights one turn later; beyond this nothing is. */
#define PLLM_MAX_DRIFT 1e6

typedef enum PllmGenerator {
  PLLM_GENERATOR_NUMPY = 0, /* RandomState(seed).dirichlet(alpha, size=count): the published users */
  PLLM_GENERATOR_PHILOX     /* any user without its predecessors; layout in random.h, method in core_dirichlet.c */
} PllmGenerator;

typedef struct PllmPopulation {
  int64_t count; /* users before any filter, 1..PLLM_MAX_USERS */
  int64_t first; /* philox: user_id of the first, >= 0; numpy: 0 */
  int64_t seed;  /* 0..2^32-1 */
  PllmGenerator generator;
  double min_distance;           /* numpy: drop users nearer than this to an earlier survivor; 0: no filter */
  double drift;                  /* philox: >= 0, 0: users stay as they are */
  int n_models;                  /* length of a weight vector, 1..PLLM_MAX_MODELS */
  double alpha[PLLM_MAX_MODELS]; /* of the Dirichlet, PLLM_MIN_ALPHA..PLLM_MAX_ALPHA each */
} PllmPopulation;

/* A population of n_models models with every alpha equal: 1,000 numpy users, seed 0, alpha .05, no filter, no drift.
 */
void pllm_population_default(PllmPopulation *population, int n_models);

/* PLLM_INVALID with a sentence naming the argument unless all of the above holds. */
PllmStatus pllm_population_check(const PllmPopulation *population, PllmError *err);

/*
** A reader of a population.  One thread at a time.
**
**  - philox: users are drawn where they are asked for; no memory grows with the population.
**  - numpy: users come in sequence, so the reader keeps generator states at regular intervals (at most 2,048, the
**    interval doubling as the sequence grows) and the blocks read last (8 MiB): going back costs at most one
**    interval.  About 13 MiB however many users.
**  - min_distance: the survivors' weights are kept (at most 50,000 users).
*/
typedef struct PllmUsers PllmUsers;

/* Check the population and make a reader, which the caller closes.  With min_distance this runs the filter: time
** grows with count times survivors, on run's threads, under run's poll. */
PllmStatus pllm_users_open(const PllmPopulation *population, const PllmRun *run, PllmUsers **users, PllmError *err);
void pllm_users_close(PllmUsers *users);

/* Number of users (after the filter); ids are first .. first + number - 1. */
int64_t pllm_users_count(const PllmUsers *users);
int64_t pllm_users_first(const PllmUsers *users);

/*
** The weights of users user_id .. user_id + count - 1 at a turn (>= 1), into weights[count][n_models].  known[i] is 0
** where numpy's draws all underflow (numpy gives NaN): that row is then all zero.  known may be NULL.  All ids must
** be of the population.  Polls run between blocks.
*/
PllmStatus pllm_users_read(PllmUsers *users, int64_t user_id, size_t count, int64_t turn, double *weights,
                           unsigned char *known, const PllmRun *run, PllmError *err);

/* The same for a philox population without a reader, on run's threads: the bulk jobs' and the benchmark's way in. */
PllmStatus pllm_users_philox_batch(const PllmPopulation *population, int64_t user_id, size_t count, int64_t turn,
                                   double *weights, const PllmRun *run, PllmError *err);

/*
** A scan of philox users that draws ahead: while the caller works through one block of users, run's helper threads draw
** the next one.  Blocks grow from 512 users to 65,536 weights, so that a scan that ends early has drawn little for
** nothing; two of the largest are the memory that this takes (1 MiB).  Run's poll is not asked: a block
** takes milliseconds.  Its crew, if any, must outlive the scan.  One thread at a time.
*/
typedef struct PllmUsersAhead PllmUsersAhead;
PllmStatus pllm_users_ahead_open(const PllmPopulation *population, int64_t turn, const PllmRun *run,
                                 PllmUsersAhead **ahead, PllmError *err);
void pllm_users_ahead_close(PllmUsersAhead *ahead); /* NULL is accepted */

/*
** The block that begins with a user: *weights[*count][n_models], the scan's until the next call, *count at least 1.  Then
** the block behind it, up to user `last`, is begun.  Any user may be asked for, but only the one behind the block before
** has been drawn already.  The weights are those of pllm_users_read, on any number of threads.
*/
PllmStatus pllm_users_ahead_next(PllmUsersAhead *ahead, int64_t user_id, int64_t last, const double **weights,
                                 size_t *count, PllmError *err);

/*
** The published near-duplicate filter on weights[count][n]: in index order, user i survives unless an earlier
** survivor is at a Euclidean distance (squares summed in position order) strictly below min_distance.  A row with
** known = 0 is near to nothing (NaN compares so).  Survivors' indices go to keep[count] in order, their number to
** *kept.  Memory: one byte per user; time: count times survivors, on run's threads; the result does not depend on
** them.
*/
PllmStatus pllm_users_filter(const double *weights, const unsigned char *known, size_t count, int n,
                             double min_distance, uint32_t *keep, size_t *kept, const PllmRun *run, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
