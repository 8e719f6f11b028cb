/*
** core_neighbors_kernel.h: the tile kernel, compiled once per instruction set (core_neighbors_*.c).
**
** A Sums holds LANES sums of pairs; madd adds the products of LANES pairs to them.
*/
#include "core_neighbors.h"

#include <string.h>

#if defined(__SSE2__)

#include <immintrin.h>
#if defined(__AVX512VNNI__)
#define LANES 16
#define OP(name) _mm512_##name
typedef __m512i Pairs, Sums;
#elif defined(__AVX2__)
#define LANES 8
#define OP(name) _mm256_##name
typedef __m256i Pairs, Sums;
#else
#define LANES 4
#define OP(name) _mm_##name
typedef __m128i Pairs, Sums;
#endif
static inline Pairs load(const int16_t *p) {
  return *(const Pairs *)(const void *)p; /* these types may alias any */
}
static inline Pairs all(int32_t pair) {
  return OP(set1_epi32)(pair);
}
static inline Sums none(void) {
  return OP(set1_epi32)(0);
}
static inline Sums madd(Sums s, Pairs a, Pairs b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(s, a, b);
#else
  return OP(add_epi32)(s, OP(madd_epi16)(a, b));
#endif
}
static inline void add_to(int32_t *out, Sums s) {
  Sums *p = (Sums *)(void *)out;
  *p = OP(add_epi32)(*p, s);
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>
#define LANES 4
typedef int16x8_t Pairs;
typedef struct Sums {
  int32x4_t low, high; /* of the products of each pair one after the other: added up at the end */
} Sums;
static inline Pairs load(const int16_t *p) {
  return vld1q_s16(p);
}
static inline Pairs all(int32_t pair) {
  return vreinterpretq_s16_s32(vdupq_n_s32(pair));
}
static inline Sums none(void) {
  Sums s = {vdupq_n_s32(0), vdupq_n_s32(0)};
  return s;
}
static inline Sums madd(Sums s, Pairs a, Pairs b) {
  s.low = vmlal_s16(s.low, vget_low_s16(a), vget_low_s16(b));
  s.high = vmlal_high_s16(s.high, a, b);
  return s;
}
static inline void add_to(int32_t *out, Sums s) {
  vst1q_s32(out, vaddq_s32(vld1q_s32(out), vpaddq_s32(s.low, s.high)));
}

#else

#define LANES 1
typedef struct Pairs {
  int16_t x[2];
} Pairs;
typedef int32_t Sums;
static inline Pairs load(const int16_t *p) {
  Pairs a = {{p[0], p[1]}};
  return a;
}
static inline Pairs all(int32_t pair) {
  Pairs a;
  memcpy(&a, &pair, sizeof a);
  return a;
}
static inline Sums none(void) {
  return 0;
}
static inline Sums madd(Sums s, Pairs a, Pairs b) {
  return s + a.x[0] * b.x[0] + a.x[1] * b.x[1];
}
static inline void add_to(int32_t *out, Sums s) {
  *out += s;
}

#endif

/* gcc moves every sum to another register and back, once a turn: fewer turns, fewer moves. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 4")
#else
#define UNROLL
#endif

/* A tile is two vectors of candidates against as many queries as registers are there for. */
#if LANES == 16 || defined(__ARM_NEON)
#define TILE 8
#else
#define TILE 4
#endif

void PLLM_NEIGHBOR_KERNEL(const int16_t *queries, const int16_t *candidates, size_t pairs, int32_t *dots,
                          size_t stride) {
  for (size_t first = 0; first < PLLM_NEIGHBOR_QUERIES; first += TILE)
    for (size_t lane = 0; lane < PLLM_NEIGHBOR_LANES; lane += 2 * LANES) {
      const int16_t *q = queries + 2 * first, *c = candidates + 2 * lane;
      Sums sum[TILE][2];
      for (int i = 0; i < TILE; i++) sum[i][0] = sum[i][1] = none();
      UNROLL
      for (size_t p = 0; p < pairs; p++, q += 2 * PLLM_NEIGHBOR_QUERIES, c += 2 * PLLM_NEIGHBOR_LANES) {
        Pairs left = load(c), right = load(c + 2 * LANES);
        for (int i = 0; i < TILE; i++) {
          int32_t pair;
          memcpy(&pair, q + 2 * i, sizeof pair);
          sum[i][0] = madd(sum[i][0], all(pair), left);
          sum[i][1] = madd(sum[i][1], all(pair), right);
        }
      }
      for (int i = 0; i < TILE; i++) {
        int32_t *out = dots + (first + (size_t)i) * stride + lane;
        add_to(out, sum[i][0]);
        add_to(out + LANES, sum[i][1]);
      }
    }
}
