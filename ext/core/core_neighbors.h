/*
** core_neighbors.h: the tile kernel of the neighbour join, shared by its instruction-set variants.
*/
#ifndef PLLM_CORE_NEIGHBORS_H
#define PLLM_CORE_NEIGHBORS_H

#include "core_int.h"

#define PLLM_NEIGHBOR_LANES 32  /* candidates per panel */
#define PLLM_NEIGHBOR_QUERIES 8 /* queries per panel */
#define PLLM_NEIGHBOR_DEPTH 128 /* dimensions per pass: a candidate panel's slice stays in the first-level cache */

/*
** dots[query][32] += sum over depth of queries[d][8] * candidates[d][32], for 8 queries.  Both panels and dots are
** 64-byte aligned; dots rows are `stride` floats apart.
*/
typedef void PllmNeighborKernel(const float *queries, const float *candidates, size_t depth, float *dots,
                                size_t stride);
PllmNeighborKernel pllm_core_neighbors_base, pllm_core_neighbors_avx2, pllm_core_neighbors_avx512;

#endif
