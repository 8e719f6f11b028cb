/*
** core_shorts.h: vectors of 16-bit integers, of which a processor compares more at a time than of any other numbers.
**
** A PllmShorts has PLLM_SHORTS lanes, made from PLLM_SHORTS_VECS vectors of sums (core_madd.h), not always in their order.
*/
#ifndef PLLM_CORE_SHORTS_H
#define PLLM_CORE_SHORTS_H

#include "core_madd.h"

#if PLLM_PAIR_LANES > 1

#if PLLM_PAIR_LANES == 16
#define PLLM_SHORTS_VECS 1
#else
#define PLLM_SHORTS_VECS 2
#endif
#define PLLM_SHORTS (PLLM_PAIR_LANES * PLLM_SHORTS_VECS)

/* gcc's and clang's own vectors; true is all ones. */
typedef int16_t PllmShorts __attribute__((vector_size(2 * PLLM_SHORTS)));
typedef int32_t PllmInts __attribute__((vector_size(4 * PLLM_PAIR_LANES)));

/* The lane of the sums, counted on from vector to vector, that a lane was made from. */
static inline int pllm_shorts_user(int lane) {
  return PLLM_SHORTS_VECS == 1 ? lane : lane % 2 * PLLM_PAIR_LANES + lane / 2;
}

/* The sums' upper halves. */
static inline PllmShorts pllm_shorts_of(const PllmSums *x) {
#if PLLM_SHORTS_VECS == 1
  return (PllmShorts)_mm512_cvtepi32_epi16(_mm512_srai_epi32(x[0], 16));
#elif defined(__AVX2__)
  return (PllmShorts)_mm256_blend_epi16(_mm256_srli_epi32(x[0], 16), x[1], 0xAA);
#elif defined(__SSE2__)
  return (PllmShorts)_mm_or_si128(_mm_srli_epi32(x[0], 16), _mm_and_si128(x[1], _mm_set1_epi32(-65536)));
#else
  uint32x4_t low = vreinterpretq_u32_s32(pllm_sums_total(x[0])), high = vreinterpretq_u32_s32(pllm_sums_total(x[1]));
  return (PllmShorts)vsriq_n_u32(high, low, 16);
#endif
}

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

/* Numbers of at most 15 bits, in the order of the sums. */
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
