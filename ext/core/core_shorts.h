/*
** core_shorts.h: vectors of 16-bit integers, of which a processor compares more at a time than of any other numbers.
**
** A PllmShorts has PLLM_SHORTS lanes, made from PLLM_SHORTS_VECS vectors of sums (core_madd.h), not in their order.
*/
#ifndef PLLM_CORE_SHORTS_H
#define PLLM_CORE_SHORTS_H

#include "core_madd.h"

#if PLLM_PAIR_LANES > 1

#define PLLM_SHORTS_VECS 2
#define PLLM_SHORTS (PLLM_PAIR_LANES * PLLM_SHORTS_VECS)

/* gcc's and clang's own vectors. */
typedef int16_t PllmShorts __attribute__((vector_size(2 * PLLM_SHORTS)));
typedef int32_t PllmInts __attribute__((vector_size(4 * PLLM_PAIR_LANES)));

/* The lane of the sums, counted on from vector to vector, that a lane was made from. */
static inline int pllm_shorts_user(int lane) {
  return lane % 2 * PLLM_PAIR_LANES + lane / 2;
}

/*
** PllmTruths: true or false for each lane, made by comparisons, combined by & | ^.  And
**   pllm_shorts_of: the sums' upper halves; _min, _max; _sub: the difference, within what 16 bits hold;
**   _plus_true: one more where true; _put: x where true, `found` elsewhere, which is 0 where true;
**   pllm_truths_bits: a bit for each lane.
*/
#if PLLM_PAIR_LANES == 16

typedef __mmask32 PllmTruths;
#define PLLM_SHORTS_OP(name, a, b) ((PllmShorts)_mm512_##name((__m512i)(a), (__m512i)(b)))
#define PLLM_SHORTS_COMPARE(name, op, a, b) _mm512_cmp##name##_epi16_mask((__m512i)(a), (__m512i)(b))
static inline PllmShorts pllm_shorts_of(const PllmSums *x) {
  return (PllmShorts)_mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(x[0], 16), x[1]);
}
static inline PllmShorts pllm_shorts_plus_true(PllmShorts x, PllmTruths m) {
  return (PllmShorts)_mm512_mask_add_epi16((__m512i)x, m, (__m512i)x, _mm512_set1_epi16(1));
}
static inline PllmShorts pllm_shorts_put(PllmShorts found, PllmTruths m, PllmShorts x) {
  return (PllmShorts)_mm512_mask_mov_epi16((__m512i)found, m, (__m512i)x);
}
static inline uint32_t pllm_truths_bits(PllmTruths m) {
  return m;
}

#else

typedef PllmShorts PllmTruths; /* all ones where true */
#define PLLM_SHORTS_COMPARE(name, op, a, b) ((a)op(b))
static inline PllmShorts pllm_shorts_plus_true(PllmShorts x, PllmTruths m) {
  return x - m;
}
static inline PllmShorts pllm_shorts_put(PllmShorts found, PllmTruths m, PllmShorts x) {
  return found | (m & x);
}

#if defined(__AVX2__)
#define PLLM_SHORTS_OP(name, a, b) ((PllmShorts)_mm256_##name((__m256i)(a), (__m256i)(b)))
static inline PllmShorts pllm_shorts_of(const PllmSums *x) {
  return (PllmShorts)_mm256_blend_epi16(_mm256_srli_epi32(x[0], 16), x[1], 0xAA);
}
static inline uint32_t pllm_truths_bits(PllmTruths m) {
  uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16((__m256i)m, _mm256_setzero_si256()));
  return (bits & 0xFF) | bits >> 8;
}
#elif defined(__SSE2__)
#define PLLM_SHORTS_OP(name, a, b) ((PllmShorts)_mm_##name((__m128i)(a), (__m128i)(b)))
static inline PllmShorts pllm_shorts_of(const PllmSums *x) {
  return (PllmShorts)_mm_or_si128(_mm_srli_epi32(x[0], 16), _mm_and_si128(x[1], _mm_set1_epi32(-65536)));
}
static inline uint32_t pllm_truths_bits(PllmTruths m) {
  return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16((__m128i)m, _mm_setzero_si128()));
}
#else
static inline PllmShorts pllm_shorts_of(const PllmSums *x) {
  uint32x4_t low = vreinterpretq_u32_s32(pllm_sums_total(x[0])), high = vreinterpretq_u32_s32(pllm_sums_total(x[1]));
  return (PllmShorts)vsriq_n_u32(high, low, 16);
}
static inline uint32_t pllm_truths_bits(PllmTruths m) {
  const PllmShorts bit = {1, 2, 4, 8, 16, 32, 64, 128};
  return vaddvq_u16((uint16x8_t)(m & bit));
}
#endif

#endif

static inline PllmTruths pllm_shorts_gt(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_COMPARE(gt, >, a, b);
}
static inline PllmTruths pllm_shorts_ge(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_COMPARE(ge, >=, a, b);
}
static inline PllmTruths pllm_shorts_eq(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_COMPARE(eq, ==, a, b);
}
#if defined(__SSE2__)
static inline PllmShorts pllm_shorts_min(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_OP(min_epi16, a, b);
}
static inline PllmShorts pllm_shorts_max(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_OP(max_epi16, a, b);
}
static inline PllmShorts pllm_shorts_sub(PllmShorts a, PllmShorts b) {
  return PLLM_SHORTS_OP(subs_epi16, a, b);
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
#endif

/* What pllm_truths_bits has where all lanes are true. */
#define PLLM_SHORTS_ALL (UINT32_MAX >> (32 - PLLM_SHORTS))

/* Numbers of at most 15 bits, in the order of the sums. */
static inline void pllm_shorts_widen(PllmShorts x, PllmInts *out) {
  out[0] = (PllmInts)x & 0xFFFF;
  out[1] = (PllmInts)x >> 16;
}

#endif

#endif
