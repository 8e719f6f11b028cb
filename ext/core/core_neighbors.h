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
#define PLLM_NEIGHBOR_QUERIES 8 /* queries per panel */
#define PLLM_NEIGHBOR_DEPTH 128 /* pairs of dimensions per pass: a panel's slice stays in the first-level cache */

/* A panel of n vectors: int16_t [pairs][n][2], an odd last dimension filled up with zero. */
struct PllmNeighbors {
  const float *rows; /* [count][dim], the caller's */
  size_t count, dim, pairs, panels;
  double *length;  /* [count], canonical */
  double *centre;  /* [dim]: what candidates have in common, or zero */
  double *origin;  /* [dim]: zero */
  double radius;   /* no scaled candidate is further from the centre; 0: all are there */
  double residual; /* no candidate's rounding error is longer */
  int16_t *packed; /* [panels] of PLLM_NEIGHBOR_LANES candidates */
};

/* The canonical dot product of neighbors.h. */
double pllm_core_neighbors_dot(const float *a, const float *b, size_t dim);

/*
** Pack (row / length - centre) * scale for n <= lanes rows [n][set->dim] into one panel of `lanes`; missing rows are
** zero, and rows of length 0 are zero before the centre is taken off.  residual[n] gets the lengths of the rounding
** errors.  temporary holds pairs*2 numbers for each lane.
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
