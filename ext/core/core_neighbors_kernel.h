/*
** core_neighbors_kernel.h: the tile kernel, compiled once per instruction set (core_neighbors_*.c).
*/
#include "core_neighbors.h"
#include "core_simd.h"
#include "core_vec.h"

/* AVX-512 and NEON have 32 registers: two vectors of candidates against eight queries; others take one. */
#if PLLM_VEC_LANES == 16 || defined(__ARM_NEON)
#define WIDE 2
#else
#define WIDE 1
#endif

void PLLM_NEIGHBOR_KERNEL(const float *queries, const float *candidates, size_t depth, float *dots, size_t stride) {
  for (size_t lane = 0; lane < PLLM_NEIGHBOR_LANES; lane += (size_t)WIDE * PLLM_VEC_LANES) {
    PllmVec sum[PLLM_NEIGHBOR_QUERIES][WIDE];
    for (int q = 0; q < PLLM_NEIGHBOR_QUERIES; q++)
      for (int v = 0; v < WIDE; v++)
        sum[q][v] = pllm_vec_load(dots + (size_t)q * stride + lane + (size_t)v * PLLM_VEC_LANES);
    for (size_t d = 0; d < depth; d++) {
      PllmVec c[WIDE];
      for (int v = 0; v < WIDE; v++)
        c[v] = pllm_vec_load(candidates + d * PLLM_NEIGHBOR_LANES + lane + (size_t)v * PLLM_VEC_LANES);
      for (int q = 0; q < PLLM_NEIGHBOR_QUERIES; q++) {
        PllmVec x = pllm_vec_all(queries[d * PLLM_NEIGHBOR_QUERIES + (size_t)q]);
        for (int v = 0; v < WIDE; v++) sum[q][v] = pllm_vec_fma(x, c[v], sum[q][v]);
      }
    }
    for (int q = 0; q < PLLM_NEIGHBOR_QUERIES; q++)
      for (int v = 0; v < WIDE; v++)
        pllm_vec_store(dots + (size_t)q * stride + lane + (size_t)v * PLLM_VEC_LANES, sum[q][v]);
  }
}
