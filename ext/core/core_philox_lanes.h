/*
** core_philox_lanes.h: philox rounds for vectors of counters, as random.h has them for one.
**
** Words travel in 64-bit lanes because 32x32 -> 64 bit multiplication of such lanes is one instruction on every vector
** unit.  They keep garbage in their upper halves, which the multiplication does not read.
*/
#ifndef PLLM_CORE_PHILOX_LANES_H
#define PLLM_CORE_PHILOX_LANES_H

#include "core_lanes_math.h"
#include "core_philox.h"
#if defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The product of the lower halves. */
static PLLM_INLINE PllmBits pllm_lanes_multiply(PllmBits a, uint32_t by) {
#if defined(__AVX512F__)
  return (PllmBits)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((long long)by));
#elif defined(__AVX2__)
  return (PllmBits)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((long long)by));
#elif defined(__x86_64__)
  return (PllmBits)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((long long)by));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (PllmBits)vmull_n_u32(vmovn_u64((uint64x2_t)a), by);
#else
  return (a & 0xffffffffu) * (uint64_t)by;
#endif
}

/* high << 32, and the lower half of `low` below it. */
static PLLM_INLINE PllmBits pllm_lanes_join(PllmBits high, PllmBits low) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return (PllmBits)_mm256_blend_epi32((__m256i)low, (__m256i)(high << 32), 0xaa);
#else
  return high << 32 | (low & 0xffffffffu);
#endif
}

static PLLM_INLINE PllmBits pllm_lanes_all_bits(uint64_t x) {
  return (PllmBits){0} + x;
}

/* The keys of the ten rounds. */
typedef struct PllmPhiloxKeys {
  PllmBits key[10][2];
} PllmPhiloxKeys;

static PLLM_INLINE void pllm_philox_keys(PllmPhiloxKeys *keys, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    keys->key[round][0] = pllm_lanes_all_bits(key0);
    keys->key[round][1] = pllm_lanes_all_bits(key1);
    key0 += PLLM_PHILOX_W0;
    key1 += PLLM_PHILOX_W1;
  }
}

typedef struct PllmCounters {
  PllmBits a, b, c, d;
} PllmCounters;

/* Rounds first .. 9 of g vectors of counters. */
static PLLM_INLINE void pllm_philox_rounds(PllmCounters *x, const PllmPhiloxKeys *keys, const int first,
                                           const int g) {
  for (int round = first; round < 10; round++) PLLM_EACH(i, g) {
      PllmBits p = pllm_lanes_multiply(x[i].a, PLLM_PHILOX_M0), q = pllm_lanes_multiply(x[i].c, PLLM_PHILOX_M1);
      x[i].a = q >> 32 ^ x[i].b ^ keys->key[round][0];
      x[i].c = p >> 32 ^ x[i].d ^ keys->key[round][1];
      x[i].b = q;
      x[i].d = p;
    }
}

/* The blocks of counters {id, index, 0} for g vectors of ids from `first` on, which have their upper halves in common:
** words 1:0 into low[g], words 3:2 into high[g].  All but the lower half of the id being the same, half of the first
** three rounds is. */
static PLLM_INLINE void pllm_philox_range(const PllmPhiloxKeys *keys, uint32_t key0, uint32_t key1, uint64_t first,
                                          uint32_t index, PllmBits *low, PllmBits *high, const int g) {
  PllmCounters x[PLLM_GROUP_MOST];
  uint64_t q0 = (uint64_t)index * PLLM_PHILOX_M1;
  uint32_t a1 = (uint32_t)(q0 >> 32) ^ (uint32_t)(first >> 32) ^ key0;
  uint64_t p1 = (uint64_t)a1 * PLLM_PHILOX_M0;
  PllmBits b1 = pllm_lanes_all_bits((uint32_t)q0 ^ (key0 + PLLM_PHILOX_W0)),
           c2 = pllm_lanes_all_bits((p1 >> 32) ^ (key1 + PLLM_PHILOX_W1)),
           d2 = pllm_lanes_all_bits((uint32_t)p1 ^ (key1 + 2 * PLLM_PHILOX_W1)), ids = pllm_lanes_all_bits(first);
  for (int i = 0; i < PLLM_LANES; i++) ids[i] += (uint64_t)i;
  PLLM_EACH(i, g) {
    PllmBits p0 = pllm_lanes_multiply(ids + (uint64_t)(i * PLLM_LANES), PLLM_PHILOX_M0);
    PllmBits q1 = pllm_lanes_multiply(p0 >> 32 ^ keys->key[0][1], PLLM_PHILOX_M1), a2 = q1 >> 32 ^ b1, c = c2 ^ p0;
    PllmBits p2 = pllm_lanes_multiply(a2, PLLM_PHILOX_M0), q2 = pllm_lanes_multiply(c, PLLM_PHILOX_M1);
    x[i].a = q2 >> 32 ^ q1 ^ keys->key[2][0];
    x[i].c = p2 >> 32 ^ d2;
    x[i].b = q2;
    x[i].d = p2;
  }
  pllm_philox_rounds(x, keys, 3, g);
  PLLM_EACH(i, g) {
    low[i] = pllm_lanes_join(x[i].b, x[i].a);
    high[i] = pllm_lanes_join(x[i].d, x[i].c);
  }
}

#endif
