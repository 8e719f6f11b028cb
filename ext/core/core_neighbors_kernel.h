/*
** core_neighbors_kernel.h: the tile kernel, compiled once per instruction set (core_neighbors_*.c).
*/
#include "core_madd.h"
#include "core_neighbors.h"

/* gcc moves every sum to another register and back, once a turn: fewer turns, fewer moves. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 4")
#else
#define UNROLL
#endif

/* A tile is two vectors of candidates against as many queries as registers are there for. */
#if PLLM_PAIR_LANES == 16 || defined(__ARM_NEON)
#define TILE 8
#else
#define TILE 4
#endif

void PLLM_NEIGHBOR_KERNEL(const int16_t *queries, const int16_t *candidates, size_t pairs, int32_t *dots,
                          size_t stride) {
  for (size_t first = 0; first < PLLM_NEIGHBOR_QUERIES; first += TILE)
    for (size_t lane = 0; lane < PLLM_NEIGHBOR_LANES; lane += 2 * PLLM_PAIR_LANES) {
      const int16_t *q = queries + 2 * first, *c = candidates + 2 * lane;
      PllmSums sum[TILE][2];
      for (int i = 0; i < TILE; i++) sum[i][0] = sum[i][1] = pllm_sums_none();
      UNROLL
      for (size_t p = 0; p < pairs; p++, q += 2 * PLLM_NEIGHBOR_QUERIES, c += 2 * PLLM_NEIGHBOR_LANES) {
        PllmPairs left = pllm_pairs_load(c), right = pllm_pairs_load(c + 2 * PLLM_PAIR_LANES);
        for (int i = 0; i < TILE; i++) {
          PllmPairs all = pllm_pairs_all(q + 2 * i);
          sum[i][0] = pllm_sums_madd(sum[i][0], all, left);
          sum[i][1] = pllm_sums_madd(sum[i][1], all, right);
        }
      }
      for (int i = 0; i < TILE; i++) {
        int32_t *out = dots + (first + (size_t)i) * stride + lane;
        pllm_totals_add_to(out, pllm_sums_total(sum[i][0]));
        pllm_totals_add_to(out + PLLM_PAIR_LANES, pllm_sums_total(sum[i][1]));
      }
    }
}
