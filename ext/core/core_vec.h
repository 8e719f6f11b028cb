/*
** core_vec.h: the few vector operations that the hand-tiled f32 kernels need, for whatever instruction set the file
** that includes this is compiled for (the Makefile compiles one kernel source several times).
**
** A PllmVec holds PLLM_VEC_LANES floats.  These kernels only ever make estimates with a proven error bound: what they
** cannot decide is decided by the canonical f64 utility, so it does not matter that some sets fuse the multiply-add.
*/
#ifndef PLLM_CORE_VEC_H
#define PLLM_CORE_VEC_H

#include "core_int.h"

#include <string.h>

#if defined(__AVX512F__)

#include <immintrin.h>
#define PLLM_VEC_LANES 16
typedef __m512 PllmVec;
static inline PllmVec pllm_vec_load(const float *p) {
  return _mm512_load_ps(p);
}
static inline PllmVec pllm_vec_all(float x) {
  return _mm512_set1_ps(x);
}
static inline PllmVec pllm_vec_fma(PllmVec a, PllmVec b, PllmVec c) {
  return _mm512_fmadd_ps(a, b, c);
}
static inline PllmVec pllm_vec_mul(PllmVec a, PllmVec b) {
  return _mm512_mul_ps(a, b);
}
static inline PllmVec pllm_vec_sub(PllmVec a, PllmVec b) {
  return _mm512_sub_ps(a, b);
}
static inline PllmVec pllm_vec_max(PllmVec a, PllmVec b) {
  return _mm512_max_ps(a, b);
}
static inline PllmVec pllm_vec_min(PllmVec a, PllmVec b) {
  return _mm512_min_ps(a, b);
}
/* Replace the bits of x outside keep by those of tag (tag has none inside keep). */
static inline PllmVec pllm_vec_tag(PllmVec x, int32_t keep, int32_t tag) {
  __m512i y =
      _mm512_ternarylogic_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(keep), _mm512_set1_epi32(tag), 0xEA);
  return _mm512_castsi512_ps(y);
}
/* Bit i is set where lane i of a is below lane i of b, or either is NaN. */
static inline unsigned pllm_vec_not_ge(PllmVec a, PllmVec b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_NGE_UQ);
}
static inline void pllm_vec_store_bits(uint32_t *p, PllmVec x) {
  _mm512_store_si512(p, _mm512_castps_si512(x));
}

/* Votes for up to eight responses, counted in the bytes of 64-bit lanes: at most 255 additions between flushes. */
typedef struct PllmTally {
  __m512i even, odd;
} PllmTally;
static inline void pllm_vec_tally(PllmTally *t, PllmVec x) {
  __m512i one = _mm512_set1_epi64(1), shift = _mm512_slli_epi32(_mm512_castps_si512(x), 3);
  shift = _mm512_and_si512(shift, _mm512_set1_epi32(56));
  t->even = _mm512_add_epi64(t->even, _mm512_sllv_epi64(one, _mm512_and_si512(shift, _mm512_set1_epi64(56))));
  t->odd = _mm512_add_epi64(t->odd, _mm512_sllv_epi64(one, _mm512_srli_epi64(shift, 32)));
}

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>
#define PLLM_VEC_LANES 8
typedef __m256 PllmVec;
static inline PllmVec pllm_vec_load(const float *p) {
  return _mm256_load_ps(p);
}
static inline PllmVec pllm_vec_all(float x) {
  return _mm256_set1_ps(x);
}
static inline PllmVec pllm_vec_fma(PllmVec a, PllmVec b, PllmVec c) {
  return _mm256_fmadd_ps(a, b, c);
}
static inline PllmVec pllm_vec_mul(PllmVec a, PllmVec b) {
  return _mm256_mul_ps(a, b);
}
static inline PllmVec pllm_vec_sub(PllmVec a, PllmVec b) {
  return _mm256_sub_ps(a, b);
}
static inline PllmVec pllm_vec_max(PllmVec a, PllmVec b) {
  return _mm256_max_ps(a, b);
}
static inline PllmVec pllm_vec_min(PllmVec a, PllmVec b) {
  return _mm256_min_ps(a, b);
}
static inline PllmVec pllm_vec_tag(PllmVec x, int32_t keep, int32_t tag) {
  __m256i y = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(keep));
  return _mm256_castsi256_ps(_mm256_or_si256(y, _mm256_set1_epi32(tag)));
}
static inline unsigned pllm_vec_not_ge(PllmVec a, PllmVec b) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGE_UQ));
}
static inline void pllm_vec_store_bits(uint32_t *p, PllmVec x) {
  _mm256_store_si256((__m256i *)(void *)p, _mm256_castps_si256(x));
}

/* Votes for up to eight responses, counted in the bytes of 64-bit lanes: at most 255 additions between flushes. */
typedef struct PllmTally {
  __m256i even, odd;
} PllmTally;
static inline void pllm_vec_tally(PllmTally *t, PllmVec x) {
  __m256i one = _mm256_set1_epi64x(1), shift = _mm256_slli_epi32(_mm256_castps_si256(x), 3);
  shift = _mm256_and_si256(shift, _mm256_set1_epi32(56));
  t->even = _mm256_add_epi64(t->even, _mm256_sllv_epi64(one, _mm256_and_si256(shift, _mm256_set1_epi64x(56))));
  t->odd = _mm256_add_epi64(t->odd, _mm256_sllv_epi64(one, _mm256_srli_epi64(shift, 32)));
}

#elif defined(__SSE2__)

#include <emmintrin.h>
#define PLLM_VEC_LANES 4
typedef __m128 PllmVec;
static inline PllmVec pllm_vec_load(const float *p) {
  return _mm_load_ps(p);
}
static inline PllmVec pllm_vec_all(float x) {
  return _mm_set1_ps(x);
}
static inline PllmVec pllm_vec_fma(PllmVec a, PllmVec b, PllmVec c) {
  return _mm_add_ps(_mm_mul_ps(a, b), c);
}
static inline PllmVec pllm_vec_mul(PllmVec a, PllmVec b) {
  return _mm_mul_ps(a, b);
}
static inline PllmVec pllm_vec_sub(PllmVec a, PllmVec b) {
  return _mm_sub_ps(a, b);
}
static inline PllmVec pllm_vec_max(PllmVec a, PllmVec b) {
  return _mm_max_ps(a, b);
}
static inline PllmVec pllm_vec_min(PllmVec a, PllmVec b) {
  return _mm_min_ps(a, b);
}
static inline PllmVec pllm_vec_tag(PllmVec x, int32_t keep, int32_t tag) {
  __m128i y = _mm_and_si128(_mm_castps_si128(x), _mm_set1_epi32(keep));
  return _mm_castsi128_ps(_mm_or_si128(y, _mm_set1_epi32(tag)));
}
static inline unsigned pllm_vec_not_ge(PllmVec a, PllmVec b) {
  return (unsigned)_mm_movemask_ps(_mm_cmpnge_ps(a, b));
}
static inline void pllm_vec_store_bits(uint32_t *p, PllmVec x) {
  _mm_store_si128((__m128i *)(void *)p, _mm_castps_si128(x));
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>
#define PLLM_VEC_LANES 4
typedef float32x4_t PllmVec;
static inline PllmVec pllm_vec_load(const float *p) {
  return vld1q_f32(p);
}
static inline PllmVec pllm_vec_all(float x) {
  return vdupq_n_f32(x);
}
static inline PllmVec pllm_vec_fma(PllmVec a, PllmVec b, PllmVec c) {
  return vfmaq_f32(c, a, b);
}
static inline PllmVec pllm_vec_mul(PllmVec a, PllmVec b) {
  return vmulq_f32(a, b);
}
static inline PllmVec pllm_vec_sub(PllmVec a, PllmVec b) {
  return vsubq_f32(a, b);
}
static inline PllmVec pllm_vec_max(PllmVec a, PllmVec b) {
  return vmaxq_f32(a, b);
}
static inline PllmVec pllm_vec_min(PllmVec a, PllmVec b) {
  return vminq_f32(a, b);
}
static inline PllmVec pllm_vec_tag(PllmVec x, int32_t keep, int32_t tag) {
  int32x4_t y = vandq_s32(vreinterpretq_s32_f32(x), vdupq_n_s32(keep));
  return vreinterpretq_f32_s32(vorrq_s32(y, vdupq_n_s32(tag)));
}
static inline unsigned pllm_vec_not_ge(PllmVec a, PllmVec b) {
  static const uint32_t bit[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vmvnq_u32(vcgeq_f32(a, b)), vld1q_u32(bit)));
}
static inline void pllm_vec_store_bits(uint32_t *p, PllmVec x) {
  vst1q_u32(p, vreinterpretq_u32_f32(x));
}

#else

#define PLLM_VEC_LANES 1
typedef float PllmVec;
static inline PllmVec pllm_vec_load(const float *p) {
  return *p;
}
static inline PllmVec pllm_vec_all(float x) {
  return x;
}
static inline PllmVec pllm_vec_fma(PllmVec a, PllmVec b, PllmVec c) {
  return a * b + c;
}
static inline PllmVec pllm_vec_mul(PllmVec a, PllmVec b) {
  return a * b;
}
static inline PllmVec pllm_vec_sub(PllmVec a, PllmVec b) {
  return a - b;
}
static inline PllmVec pllm_vec_max(PllmVec a, PllmVec b) {
  return a > b ? a : b;
}
static inline PllmVec pllm_vec_min(PllmVec a, PllmVec b) {
  return a < b ? a : b;
}
static inline PllmVec pllm_vec_tag(PllmVec x, int32_t keep, int32_t tag) {
  int32_t y;
  memcpy(&y, &x, sizeof y);
  y = (y & keep) | tag;
  memcpy(&x, &y, sizeof x);
  return x;
}
static inline unsigned pllm_vec_not_ge(PllmVec a, PllmVec b) {
  return !(a >= b);
}
static inline void pllm_vec_store_bits(uint32_t *p, PllmVec x) {
  memcpy(p, &x, sizeof x);
}

#endif

#if PLLM_VEC_LANES < 8
/* Votes for up to eight responses, counted in the bytes of 64-bit lanes: at most 255 additions between flushes. */
typedef struct PllmTally {
  uint64_t bytes[PLLM_VEC_LANES];
} PllmTally;
static inline void pllm_vec_tally(PllmTally *t, PllmVec x) {
  _Alignas(16) uint32_t bits[PLLM_VEC_LANES];
  pllm_vec_store_bits(bits, x);
  for (int i = 0; i < PLLM_VEC_LANES; i++) t->bytes[i] += (uint64_t)1 << 8 * (bits[i] & 7);
}
#endif

/* Add the bytes up into counts[n], n <= 8, and start again. */
static inline void pllm_vec_flush(PllmTally *t, uint32_t *counts, size_t n) {
  uint64_t words[sizeof *t / sizeof(uint64_t)];
  memcpy(words, t, sizeof words);
  memset(t, 0, sizeof *t);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    for (size_t r = 0; r < n; r++) counts[r] += (uint32_t)(words[i] >> 8 * r & 255);
}

#endif
