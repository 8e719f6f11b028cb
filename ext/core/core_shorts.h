/*
** core_shorts.h: core_vec.h's counterpart for 16-bit integers, of which a vector holds twice as many as of floats and a
** processor compares more at a time.
**
** A PllmShorts has PLLM_SHORTS lanes, made from PLLM_SHORTS_VECS vectors of floats, not always in their order.
*/
#ifndef PLLM_CORE_SHORTS_H
#define PLLM_CORE_SHORTS_H

#include "core_vec.h"

#if PLLM_VEC_LANES > 1

#if PLLM_VEC_LANES == 16
#define PLLM_SHORTS_VECS 1
#else
#define PLLM_SHORTS_VECS 2
#endif
#define PLLM_SHORTS (PLLM_VEC_LANES * PLLM_SHORTS_VECS)

/* gcc's and clang's own vectors; true is all ones. */
typedef int16_t PllmShorts __attribute__((vector_size(2 * PLLM_SHORTS)));
typedef int32_t PllmInts __attribute__((vector_size(4 * PLLM_VEC_LANES)));

/* The lane of the floats, counted on from vector to vector, that a lane was made from. */
static inline int pllm_shorts_user(int lane) {
  return PLLM_SHORTS_VECS == 1 ? lane : lane % 2 * PLLM_VEC_LANES + lane / 2;
}

/* Rounded to whole numbers, which are within +-(2^31 - 2^20), and of these the upper halves. */
#if defined(__AVX512F__)

static inline PllmShorts pllm_shorts_of(const PllmVec *x) {
  return (PllmShorts)_mm512_cvtepi32_epi16(_mm512_srai_epi32(_mm512_cvtps_epi32(x[0]), 16));
}

#elif defined(__AVX2__) && defined(__FMA__)

static inline PllmShorts pllm_shorts_of(const PllmVec *x) {
  __m256i low = _mm256_srli_epi32(_mm256_cvtps_epi32(x[0]), 16);
  return (PllmShorts)_mm256_blend_epi16(low, _mm256_cvtps_epi32(x[1]), 0xAA);
}

#elif defined(__SSE2__)

static inline PllmShorts pllm_shorts_of(const PllmVec *x) {
  __m128i low = _mm_srli_epi32(_mm_cvtps_epi32(x[0]), 16), high = _mm_cvtps_epi32(x[1]);
  return (PllmShorts)_mm_or_si128(low, _mm_and_si128(high, _mm_set1_epi32(-65536)));
}

#else

static inline PllmShorts pllm_shorts_of(const PllmVec *x) {
  uint32x4_t low = vreinterpretq_u32_s32(vcvtnq_s32_f32(x[0])), high = vreinterpretq_u32_s32(vcvtnq_s32_f32(x[1]));
  return (PllmShorts)vsriq_n_u32(high, low, 16);
}

#endif

/* The lesser; the greater; the difference, within what 16 bits hold; are all lanes true? */
#if defined(__SSE2__)

#if defined(__AVX2__)
typedef __m256i PllmShortsRaw;
#define PLLM_SHORTS_OP(name) _mm256_##name
#else
typedef __m128i PllmShortsRaw;
#define PLLM_SHORTS_OP(name) _mm_##name
#endif
static inline PllmShorts pllm_shorts_min(PllmShorts a, PllmShorts b) {
  return (PllmShorts)PLLM_SHORTS_OP(min_epi16)((PllmShortsRaw)a, (PllmShortsRaw)b);
}
static inline PllmShorts pllm_shorts_max(PllmShorts a, PllmShorts b) {
  return (PllmShorts)PLLM_SHORTS_OP(max_epi16)((PllmShortsRaw)a, (PllmShortsRaw)b);
}
static inline PllmShorts pllm_shorts_sub(PllmShorts a, PllmShorts b) {
  return (PllmShorts)PLLM_SHORTS_OP(subs_epi16)((PllmShortsRaw)a, (PllmShortsRaw)b);
}
static inline int pllm_shorts_all(PllmShorts x) {
  return (unsigned)PLLM_SHORTS_OP(movemask_epi8)((PllmShortsRaw)x) == UINT32_MAX >> (32 - sizeof x);
}

#else

static inline PllmShorts pllm_shorts_min(PllmShorts a, PllmShorts b) {
  return (PllmShorts)vminq_s16((int16x8_t)a, (int16x8_t)b);
}
static inline PllmShorts pllm_shorts_max(PllmShorts a, PllmShorts b) {
  return (PllmShorts)vmaxq_s16((int16x8_t)a, (int16x8_t)b);
}
static inline PllmShorts pllm_shorts_sub(PllmShorts a, PllmShorts b) {
  return (PllmShorts)vqsubq_s16((int16x8_t)a, (int16x8_t)b);
}
static inline int pllm_shorts_all(PllmShorts x) {
  return vminvq_u16((uint16x8_t)x) == 0xFFFF;
}

#endif

/* Numbers of at most 15 bits, in the order of the floats. */
static inline void pllm_shorts_widen(PllmShorts x, PllmInts *out) {
#if PLLM_SHORTS_VECS == 1
  out[0] = (PllmInts)_mm512_cvtepu16_epi32((__m256i)x);
#else
  out[0] = (PllmInts)x & 0xFFFF;
  out[1] = (PllmInts)x >> 16;
#endif
}

#endif

#endif
