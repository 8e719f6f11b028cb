/*
** core_philox.c: PLLM_BLOCK philox counters at once.
**
** The rounds are spelled with intrinsics on x86-64 because gcc 12 does not see that the operands of the
** multiplication are below 2^32, and emulates a full 64-bit one with three.  Elsewhere the plain loop vectorises
** well.
*/
#include "core_philox.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* clang-format off */
#define ROUNDS(V, WIDTH, LOAD, STORE, SET, MUL, XOR, AND, SHIFT)                                                      \
  for (int j = 0; j < PLLM_BLOCK; j += (WIDTH)) {                                                                     \
    const V m0 = SET(PLLM_PHILOX_M0), m1 = SET(PLLM_PHILOX_M1), low = SET(0xffffffff);                                \
    V a = LOAD((const void *)&block->word[0][j]), b = LOAD((const void *)&block->word[1][j]);                         \
    V c = LOAD((const void *)&block->word[2][j]), d = LOAD((const void *)&block->word[3][j]);                         \
    uint32_t k0 = key0, k1 = key1;                                                                                    \
    for (int round = 0; round < 10; round++) {                                                                        \
      V p = MUL(a, m0), q = MUL(c, m1);                                                                               \
      a = XOR(XOR(SHIFT(q, 32), b), SET((long long)k0));                                                              \
      c = XOR(XOR(SHIFT(p, 32), d), SET((long long)k1));                                                              \
      b = AND(q, low);                                                                                                \
      d = AND(p, low);                                                                                                \
      k0 += PLLM_PHILOX_W0;                                                                                           \
      k1 += PLLM_PHILOX_W1;                                                                                           \
    }                                                                                                                 \
    STORE((void *)&block->word[0][j], a);                                                                             \
    STORE((void *)&block->word[1][j], b);                                                                             \
    STORE((void *)&block->word[2][j], c);                                                                             \
    STORE((void *)&block->word[3][j], d);                                                                             \
  }
/* clang-format on */

static void rounds_base(PllmPhiloxBlock *block, uint32_t key0,
                        uint32_t key1){ROUNDS(__m128i, 2, _mm_loadu_si128, _mm_storeu_si128, _mm_set1_epi64x,
                                              _mm_mul_epu32, _mm_xor_si128, _mm_and_si128, _mm_srli_epi64)}

PLLM_TARGET_AVX2 static void rounds_avx2(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1){
    ROUNDS(__m256i, 4, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_set1_epi64x, _mm256_mul_epu32,
           _mm256_xor_si256, _mm256_and_si256, _mm256_srli_epi64)}

PLLM_TARGET_AVX512 static void rounds_avx512(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1) {
  ROUNDS(__m512i, 8, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_set1_epi64, _mm512_mul_epu32, _mm512_xor_si512,
         _mm512_and_si512, _mm512_srli_epi64)
}

void pllm_core_philox_block(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1) {
  switch (pllm_core_isa()) {
  case PLLM_ISA_AVX512: rounds_avx512(block, key0, key1); break;
  case PLLM_ISA_AVX2: rounds_avx2(block, key0, key1); break;
  default: rounds_base(block, key0, key1); break;
  }
}

#else

void pllm_core_philox_block(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1) {
  for (int j = 0; j < PLLM_BLOCK; j++) {
    uint64_t a = block->word[0][j], b = block->word[1][j], c = block->word[2][j], d = block->word[3][j];
    uint32_t k0 = key0, k1 = key1;
    for (int round = 0; round < 10; round++) {
      uint64_t p = (a & 0xffffffffu) * PLLM_PHILOX_M0, q = (c & 0xffffffffu) * PLLM_PHILOX_M1;
      a = (q >> 32) ^ b ^ k0;
      c = (p >> 32) ^ d ^ k1;
      b = q & 0xffffffffu;
      d = p & 0xffffffffu;
      k0 += PLLM_PHILOX_W0;
      k1 += PLLM_PHILOX_W1;
    }
    block->word[0][j] = a;
    block->word[1][j] = b;
    block->word[2][j] = c;
    block->word[3][j] = d;
  }
}

#endif
