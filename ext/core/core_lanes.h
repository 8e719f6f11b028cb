/*
** core_lanes.h: vectors of f64 for kernels that must give the same bits on every instruction set.
**
** gcc's and clang's own vectors, as wide as the instruction set that the including file is compiled for (see the
** Makefile's *_base, *_avx2 and *_avx512).  Work goes lane by lane in a fixed order and nothing is fused
** (-ffp-contract=off), so the width does not show in any result.
*/
#ifndef PLLM_CORE_LANES_H
#define PLLM_CORE_LANES_H

#include "core_simd.h"

#include <string.h>

#if defined(__AVX512F__)
#define PLLM_LANES 8
#elif defined(__AVX2__)
#define PLLM_LANES 4
#else
#define PLLM_LANES 2
#endif

typedef double PllmLanes __attribute__((vector_size(8 * PLLM_LANES)));
typedef int64_t PllmMask __attribute__((vector_size(8 * PLLM_LANES))); /* true is all ones */
typedef uint64_t PllmBits __attribute__((vector_size(8 * PLLM_LANES)));

#define PLLM_SELECT(m, a, b) ((PllmLanes)(((PllmMask)(a) & (m)) | ((PllmMask)(b) & ~(m))))

static PLLM_INLINE PllmLanes pllm_lanes_all(double x) {
  return (PllmLanes){0} + x;
}

static PLLM_INLINE PllmLanes pllm_lanes_load(const double *p) {
  PllmLanes x;
  memcpy(&x, p, sizeof x);
  return x;
}

static PLLM_INLINE void pllm_lanes_store(double *p, PllmLanes x) {
  memcpy(p, &x, sizeof x);
}

static PLLM_INLINE PllmLanes pllm_lanes_min(PllmLanes a, PllmLanes b) {
  return PLLM_SELECT(a < b, a, b);
}

static PLLM_INLINE PllmLanes pllm_lanes_max(PllmLanes a, PllmLanes b) {
  return PLLM_SELECT(a > b, a, b);
}

#endif
