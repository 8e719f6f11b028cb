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
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/* m ? a : b, by one instruction where there is one. */
static PLLM_INLINE PllmLanes pllm_lanes_choose(PllmMask m, PllmLanes a, PllmLanes b) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return (PllmLanes)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)m);
#else
  return (PllmLanes)(((PllmMask)a & m) | ((PllmMask)b & ~m));
#endif
}

/* a < b ? a : b and a > b ? a : b, which is what the instructions do. */
static PLLM_INLINE PllmLanes pllm_lanes_min(PllmLanes a, PllmLanes b) {
#if defined(__AVX512F__)
  return (PllmLanes)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (PllmLanes)_mm256_min_pd((__m256d)a, (__m256d)b);
#elif defined(__x86_64__)
  return (PllmLanes)_mm_min_pd((__m128d)a, (__m128d)b);
#else
  return pllm_lanes_choose(a < b, a, b);
#endif
}

static PLLM_INLINE PllmLanes pllm_lanes_max(PllmLanes a, PllmLanes b) {
#if defined(__AVX512F__)
  return (PllmLanes)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (PllmLanes)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(__x86_64__)
  return (PllmLanes)_mm_max_pd((__m128d)a, (__m128d)b);
#else
  return pllm_lanes_choose(a > b, a, b);
#endif
}

/* Bit i tells whether lane i is true. */
static PLLM_INLINE unsigned pllm_lanes_true(PllmMask m) {
#if defined(__AVX512DQ__)
  return _mm512_movepi64_mask((__m512i)m);
#elif defined(__AVX512F__)
  return _mm512_cmplt_epi64_mask((__m512i)m, _mm512_setzero_si512());
#elif defined(__AVX2__)
  return (unsigned)_mm256_movemask_pd((__m256d)m);
#elif defined(__x86_64__)
  return (unsigned)_mm_movemask_pd((__m128d)m);
#else
  unsigned bits = 0;
  for (int i = 0; i < PLLM_LANES; i++) bits |= (unsigned)(m[i] & 1) << i;
  return bits;
#endif
}

#endif
