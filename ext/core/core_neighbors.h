/*
** core_neighbors.h: the packed form of the neighbour join, and its tile kernel, shared by its instruction-set variants.
**
** Vectors of length 1 are rounded to 16-bit whole numbers after scaling to PLLM_NEIGHBOR_SCALE, so that products of
** two fit the multiply-add of pairs that every instruction set has, and sums of any part of them fit 32 bits
** (Cauchy-Schwarz: 32767^2 and a little for the rounding is below 2^31).  Integer sums have no order, so estimates are
** the same on every machine.
*/
#ifndef PLLM_CORE_NEIGHBORS_H
#define PLLM_CORE_NEIGHBORS_H

#include "core_int.h"

#define PLLM_NEIGHBOR_SCALE 32767
#define PLLM_NEIGHBOR_LANES 32  /* candidates per panel */
#define PLLM_NEIGHBOR_GROUP 8   /* panels whose dots a worker holds at a time; blocks are made of groups */
#define PLLM_NEIGHBOR_QUERIES 8 /* queries per panel */
#define PLLM_NEIGHBOR_DEPTH                                                                                          \
  64 /* pairs of dimensions per pass: slices of a panel and 64 queries fit the first-level cache */

/*
** What the estimates of a group's panels are worth: the similarity, less a number that is the same for all candidates of
** a query, is estimate * unit, give or take error + slope * (length of the query's rounding error).
*/
typedef struct PllmNeighborGroup {
  double unit[PLLM_NEIGHBOR_GROUP], per_unit[PLLM_NEIGHBOR_GROUP]; /* per_unit: 1 / unit, or 0 where unit is */
  double error[PLLM_NEIGHBOR_GROUP], slope[PLLM_NEIGHBOR_GROUP];
} PllmNeighborGroup;

/* Candidates in a row.  A panel of n vectors: int16_t [pairs][n][2], an odd last dimension filled up with zero. */
typedef struct PllmNeighborBlock {
  const float *rows;        /* [block_rows][dim] */
  float *own;               /* owned: the same rows, NULL where they are the caller's */
  double *length;           /* owned [block_rows], canonical */
  int16_t *packed;          /* owned [block_rows / PLLM_NEIGHBOR_LANES] panels */
  PllmNeighborGroup *group; /* owned; behind the last candidate zero */
} PllmNeighborBlock;

struct PllmNeighbors {
  size_t dim, pairs, count;
  size_t block_rows; /* candidates per block: whole groups of panels, and 1 << block_shift */
  int block_shift;
  PllmNeighborBlock *blocks;
  size_t n_blocks, room;
  double *centre;            /* [dim]: what candidates have in common, or zero */
  double *origin;            /* [dim]: zero */
  int16_t *temporary;        /* [threads][PLLM_NEIGHBOR_LANES][lane] */
  size_t lane;               /* 2*pairs and a few more: rows of 2 KB would all fall on the same sets of a cache */
  PllmRun run;               /* without a poll: blocks take milliseconds */
  PllmJob *job;              /* owned: packing a block, NULL: none */
  PllmNeighborBlock packing; /* a copy of that block, as the array may move */
  size_t packing_rows;       /* and its candidates */
};

/* Row of a candidate, and its length. */
const float *pllm_core_neighbors_row(const PllmNeighbors *set, size_t candidate);
double pllm_core_neighbors_length(const PllmNeighbors *set, size_t candidate);

/* The canonical dot product of neighbors.h. */
double pllm_core_neighbors_dot(const float *a, const float *b, size_t dim);

/*
** Pack (row / length - centre) * scale for n <= lanes rows [n][set->dim] into one panel of `lanes`; missing rows are
** zero, and rows of length 0 are zero before the centre is taken off.  residual[n] gets the lengths of the rounding
** errors.  temporary holds set->lane numbers for each lane.
*/
void pllm_core_neighbors_pack(const PllmNeighbors *set, const float *rows, const double *length, size_t n,
                              size_t lanes, const double *centre, double scale, int16_t *temporary, int16_t *panel,
                              double *residual);

/*
** dots[query][32] += sums over pairs of queries[pair][8][2] * candidates[pair][32][2], for 8 queries.  Both panels and
** dots are 64-byte aligned; dots rows are `stride` numbers apart.
*/
typedef void PllmNeighborKernel(const int16_t *queries, const int16_t *candidates, size_t pairs, int32_t *dots,
                                size_t stride);
PllmNeighborKernel pllm_core_neighbors_base, pllm_core_neighbors_avx2, pllm_core_neighbors_vnni;

#endif
