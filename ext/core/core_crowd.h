/*
** core_crowd.h: the feedback of many users, as the methods that learn across users read it.
*/
#ifndef PLLM_CORE_CROWD_H
#define PLLM_CORE_CROWD_H

#include "core_adapt.h"

/*
** Distinct feature vectors, numbered in the order of their bytes.  Stored in blocks of PLLM_POOL_BLOCK vectors,
** transposed ([count / block][dim][block]), so that kernels run along the vectors; what fills up the last block is 0.
*/
#define PLLM_POOL_BLOCK 64
typedef struct PllmPool {
  size_t count, padded, dim; /* padded: count, rounded up to blocks */
  int f32;                   /* blocks holds float: every vector came as f32 */
  void *blocks;              /* [padded/block][dim][block] double or float, owned */
} PllmPool;

/* Vector i into out[dim]. */
void pllm_pool_vector(const PllmPool *pool, size_t i, double *out);

/* out[i][k] = sum over b of vector_i[b] v[b][k], for all vectors; v is [dim][k], out [padded][k].  Threads. */
PllmStatus pllm_pool_project(const PllmPool *pool, const double *v, size_t k, double *out, const PllmRun *run,
                             PllmError *err);
/* out[b][k] = sum over vectors of vector_i[b] g[k][i]; g is [k][padded], out [dim][k].  Threads; each sum is one thread's.
*/
PllmStatus pllm_pool_collect(const PllmPool *pool, const double *g, size_t k, double *out, const PllmRun *run,
                             PllmError *err);

/* One row of feedback: vector a over vector b, or vector a shown in a choice set. */
typedef struct PllmCrowdRow {
  int64_t user, choice_set;
  uint32_t a, b; /* numbers of the pool; choice sets: b = 0 */
  uint32_t label;
} PllmCrowdRow;

/* Sealed by pllm_crowd_seal: rows in order (user, choice set, label, a, b), whatever order they came in. */
struct PllmCrowd {
  PllmForm form;
  size_t dim;
  PllmCrowdRow *rows; /* [count], room for room; owned */
  size_t count, room;
  size_t f32_rows;
  uint64_t skipped;
  /* While rows are added: vectors as they came, and an open hash table of their numbers + 1 (0: empty). */
  void *vectors; /* [n_vectors][dim] float or double */
  size_t n_vectors, vector_room, n_slots;
  int f32;
  uint32_t *slots;
  /* Once sealed. */
  int sealed;
  PllmPool pool;
  size_t users;
  size_t *first; /* [users + 1]: rows of a user; owned */
};

/* Order the rows and number users and vectors.  PLLM_INVALID names a user and choice set marked twice. */
PllmStatus pllm_crowd_seal(PllmCrowd *crowd, const PllmRun *run, PllmError *err);

/* The rows of user u into *feedback, which has room for them (pllm_crowd_builder).  Never allocates. */
void pllm_crowd_feedback(const PllmCrowd *crowd, size_t u, PllmFeedback *feedback);
/* A builder with room for the rows of any user of the crowd; NULL when out of memory. */
PllmFeedback *pllm_crowd_builder(const PllmCrowd *crowd);

/*
** Preferences as pairs of the pool, by user: one for each pair that was given, or best over worst of a choice set
** (where only one is marked: over, or under, all others), or with `implied` best over all others and all others over
** worst. Pairs of equal vectors say nothing and are left out, and so are users without any.
*/
typedef struct PllmPairs {
  size_t users, count;
  int64_t *user_id; /* [users] */
  size_t *first;    /* [users + 1] */
  uint32_t *a, *b;  /* [count]: vector a over vector b */
  uint32_t *user;   /* [count] */
  /* The pairs that each vector is in: pair * 2, + 1 where it is the one that lost. */
  size_t *touch_first; /* [pool.count + 1] */
  uint32_t *touch;     /* [2 * count] */
  double scale;        /* what brings the vectors, centred by pair, to a root mean square of 1; 1 if nothing does */
} PllmPairs;

/*
** The loss of all pairs under scores of low rank: s = sum over k of w[user][k] (z[a][k] - z[b][k]), each pair's loss
** share[user] times -log sigma(s).  z is [padded][k]; w is [users][k], or [k] for all users where `common` is set.
*/
typedef struct PllmPairLoss {
  const PllmPairs *pairs;
  const PllmPool *pool;
  size_t k;
  int common;
  const double *share; /* [users] */
  double *loss;        /* [users], out */
  double *slope;       /* [pairs], out: derivatives by s */
  double *w_gradient;  /* [users][k], out; NULL when not wanted */
  double *g;           /* [k][padded], out of pllm_pair_loss_vectors: derivatives by z */
} PllmPairLoss;

/* Memory for loss, slope, w_gradient and g; share is left to the caller.  Free with pllm_pair_loss_free. */
PllmStatus pllm_pair_loss_new(PllmPairLoss *l, const PllmPool *pool, const PllmPairs *pairs, size_t k, int common,
                              PllmError *err);
void pllm_pair_loss_free(PllmPairLoss *l);

/* Losses, slopes and gradients by w at (z, w); then the gradient by z.  On threads, the same bits for any number. */
PllmStatus pllm_pair_loss_users(PllmPairLoss *l, const double *z, const double *w, const PllmRun *run,
                                PllmError *err);
PllmStatus pllm_pair_loss_vectors(PllmPairLoss *l, const double *w, const PllmRun *run, PllmError *err);
double pllm_pair_loss_sum(const PllmPairLoss *l); /* of loss, in order */

PllmStatus pllm_pairs_new(const PllmCrowd *crowd, int implied, PllmPairs **pairs, const PllmRun *run, PllmError *err);
void pllm_pairs_free(PllmPairs *pairs);

#endif
