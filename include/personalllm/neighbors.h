/*
** neighbors.h: exact cosine top-k join of two sets of embeddings (definitions.md#retrieval).
*/
#ifndef PERSONALLLM_NEIGHBORS_H
#define PERSONALLLM_NEIGHBORS_H

#include "parallel.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PLLM_MAX_NEIGHBORS 65536

/*
** The canonical similarity of two f32 vectors, in f64: products are exact, they are added into 16 partial sums
** (element i into sum i mod 16), these are added in order, and the result is divided by the product of the two
** lengths, computed the same way.  0 when either vector is zero.  O(dim).
*/
double pllm_cosine(const float *a, const float *b, size_t dim);

/* The candidates of a join, packed for the kernel. */
typedef struct PllmNeighbors PllmNeighbors;

/*
** Pack candidates[count][dim] (borrowed: they stay readable until the free; 1 <= dim <= PLLM_MAX_DIM) into *out, which
** the caller frees.  O(count x dim) time on all cores, and half as much memory again as the candidates take.
*/
PllmStatus pllm_neighbors_new(const float *candidates, size_t count, size_t dim, const PllmRun *run,
                              PllmNeighbors **out, PllmError *err);
void pllm_neighbors_free(PllmNeighbors *neighbors);

/*
** The same for candidates that come one after the other and that the set keeps: helper threads pack a block of them while
** the caller fills the next.  open makes an empty set; place gives where the next candidate's dim numbers belong (NULL
** when out of memory), add counts it in, ready packs what is left.  Only then may it be searched; only free is left
** after a failure.  One and a half times the candidates' memory; add waits for helpers once in a block.
*/
PllmStatus pllm_neighbors_open(size_t dim, const PllmRun *run, PllmNeighbors **out, PllmError *err);
float *pllm_neighbors_place(PllmNeighbors *neighbors, PllmError *err);
PllmStatus pllm_neighbors_add(PllmNeighbors *neighbors, PllmError *err);
PllmStatus pllm_neighbors_ready(PllmNeighbors *neighbors, PllmError *err);

typedef struct PllmNeighbor {
  size_t candidate;  /* row in candidates; SIZE_MAX behind the last one found */
  double similarity; /* canonical */
} PllmNeighbor;

/*
** For each of queries[n][dim] the k most similar of the candidates [begin, end), best first, into found[n][k]; equal
** similarities keep the candidates' order.  same (may be NULL) gives for each query a candidate to leave out, or
** SIZE_MAX.  Estimated in 16-bit integers by a tiled kernel, whose error is bounded, and decided by the canonical
** similarity, so that the answer is the same on every machine and for any number of threads.  O(n x (end - begin) x dim), and
** about half a kilobyte times (640 + 3k), and 144 bytes times dim, of memory a thread; 1 <= k <= PLLM_MAX_NEIGHBORS.
*/
PllmStatus pllm_neighbors_find(const PllmNeighbors *neighbors, size_t begin, size_t end, const float *queries,
                               size_t n, const size_t *same, size_t k, PllmNeighbor *found, const PllmRun *run,
                               PllmError *err);

/*
** The same while the caller does something else: start hands the queries to helper threads, wait returns when found of that
** query is there and takes part in the work until then, stop ends whatever is still at work and frees the search (NULL
** is accepted).  Everything passed to start stays readable until then, and run's crew longer.
*/
typedef struct PllmNeighborSearch PllmNeighborSearch;
PllmStatus pllm_neighbors_start(const PllmNeighbors *neighbors, size_t begin, size_t end, const float *queries,
                                size_t n, const size_t *same, size_t k, PllmNeighbor *found, const PllmRun *run,
                                PllmNeighborSearch **search, PllmError *err);
PllmStatus pllm_neighbors_wait(PllmNeighborSearch *search, size_t query, PllmError *err);
void pllm_neighbors_stop(PllmNeighborSearch *search);

#ifdef __cplusplus
}
#endif
#endif
