/*
** core_madd.h: the multiply-add of pairs of 16-bit integers that every instruction set has, for whatever set the file that
** includes this is compiled for (the Makefile compiles one kernel source several times).
**
** A PllmPairs holds PLLM_PAIR_LANES pairs, a PllmSums a sum of products for each.  Sums must fit 32 bits; integers have no
** rounding, so every set gives the same.
*/
#ifndef PLLM_CORE_MADD_H
#define PLLM_CORE_MADD_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)

#include <immintrin.h>
#if defined(__AVX512BW__)
#define PLLM_PAIR_LANES 16
#define PLLM_MADD_OP(name) _mm512_##name
typedef __m512i PllmPairs, PllmSums, PllmTotals;
#elif defined(__AVX2__)
#define PLLM_PAIR_LANES 8
#define PLLM_MADD_OP(name) _mm256_##name
typedef __m256i PllmPairs, PllmSums, PllmTotals;
#else
#define PLLM_PAIR_LANES 4
#define PLLM_MADD_OP(name) _mm_##name
typedef __m128i PllmPairs, PllmSums, PllmTotals;
#endif
static inline PllmPairs pllm_pairs_load(const int16_t *p) {
  return *(const PllmPairs *)(const void *)p; /* these types may alias any */
}
/* One pair for all lanes. */
static inline PllmPairs pllm_pairs_all(const int16_t *p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return PLLM_MADD_OP(set1_epi32)(pair);
}
static inline PllmSums pllm_sums_none(void) {
  return PLLM_MADD_OP(set1_epi32)(0);
}
static inline PllmSums pllm_sums_madd(PllmSums s, PllmPairs a, PllmPairs b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(s, a, b);
#else
  return PLLM_MADD_OP(add_epi32)(s, PLLM_MADD_OP(madd_epi16)(a, b));
#endif
}
static inline PllmTotals pllm_sums_total(PllmSums s) {
  return s;
}
static inline void pllm_totals_add_to(int32_t *out, PllmTotals t) {
  PllmTotals *p = (PllmTotals *)(void *)out;
  *p = PLLM_MADD_OP(add_epi32)(*p, t);
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>
#define PLLM_PAIR_LANES 4
typedef int16x8_t PllmPairs;
typedef struct PllmSums {
  int32x4_t low, high; /* of the products of each pair one after the other: added up at the end */
} PllmSums;
typedef int32x4_t PllmTotals;
static inline PllmPairs pllm_pairs_load(const int16_t *p) {
  return vld1q_s16(p);
}
static inline PllmPairs pllm_pairs_all(const int16_t *p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return vreinterpretq_s16_s32(vdupq_n_s32(pair));
}
static inline PllmSums pllm_sums_none(void) {
  PllmSums s = {vdupq_n_s32(0), vdupq_n_s32(0)};
  return s;
}
static inline PllmSums pllm_sums_madd(PllmSums s, PllmPairs a, PllmPairs b) {
  s.low = vmlal_s16(s.low, vget_low_s16(a), vget_low_s16(b));
  s.high = vmlal_high_s16(s.high, a, b);
  return s;
}
static inline PllmTotals pllm_sums_total(PllmSums s) {
  return vpaddq_s32(s.low, s.high);
}
static inline void pllm_totals_add_to(int32_t *out, PllmTotals t) {
  vst1q_s32(out, vaddq_s32(vld1q_s32(out), t));
}

#else

#define PLLM_PAIR_LANES 1
typedef struct PllmPairs {
  int16_t x[2];
} PllmPairs;
typedef int32_t PllmSums, PllmTotals;
static inline PllmPairs pllm_pairs_load(const int16_t *p) {
  PllmPairs a = {{p[0], p[1]}};
  return a;
}
static inline PllmPairs pllm_pairs_all(const int16_t *p) {
  return pllm_pairs_load(p);
}
static inline PllmSums pllm_sums_none(void) {
  return 0;
}
static inline PllmSums pllm_sums_madd(PllmSums s, PllmPairs a, PllmPairs b) {
  return s + a.x[0] * b.x[0] + a.x[1] * b.x[1];
}
static inline PllmTotals pllm_sums_total(PllmSums s) {
  return s;
}
static inline void pllm_totals_add_to(int32_t *out, PllmTotals t) {
  *out += t;
}

#endif

/* Have a sum be in a register now: gcc puts off the additions of several, and has none left. */
#if defined(__AVX512F__)
#define PLLM_SUMS_NOW(s) __asm__("" : "+v"(s))
#elif defined(__SSE2__)
#define PLLM_SUMS_NOW(s) __asm__("" : "+x"(s))
#else
#define PLLM_SUMS_NOW(s) (void)0
#endif

#endif
