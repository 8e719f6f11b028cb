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

/* Words keep garbage in their upper halves (multiplication reads the lower ones) until the last round is done. */
/* clang-format off */
#define KEYS(V, SET)                                                                                                  \
  V keys[10][2];                                                                                                      \
  for (int round = 0; round < 10; round++) {                                                                          \
    keys[round][0] = SET((long long)key0);                                                                            \
    keys[round][1] = SET((long long)key1);                                                                            \
    key0 += PLLM_PHILOX_W0;                                                                                           \
    key1 += PLLM_PHILOX_W1;                                                                                           \
  }

#define ROUND(V, MUL, XOR, SHIFT, x)                                                                                  \
  {                                                                                                                   \
    V p = MUL(x.a, m0), q = MUL(x.c, m1);                                                                             \
    x.a = XOR(XOR(SHIFT(q, 32), x.b), keys[round][0]);                                                                \
    x.c = XOR(XOR(SHIFT(p, 32), x.d), keys[round][1]);                                                                \
    x.b = q;                                                                                                          \
    x.d = p;                                                                                                          \
  }

/* Two vectors of counters at a time: a round waits for its multiplication. */
#define ROUNDS(V, MUL, XOR, SHIFT)                                                                                    \
  for (int round = 0; round < 10; round++) {                                                                          \
    ROUND(V, MUL, XOR, SHIFT, x)                                                                                      \
    ROUND(V, MUL, XOR, SHIFT, y)                                                                                      \
  }

#define COUNTER(LOAD, j)                                                                                              \
  {                                                                                                                   \
    LOAD((const void *)&block->word[0][j]), LOAD((const void *)&block->word[1][j]),                                   \
        LOAD((const void *)&block->word[2][j]), LOAD((const void *)&block->word[3][j])                                \
  }
#define KEEP(STORE, AND, x, j)                                                                                        \
  STORE((void *)&block->word[0][j], AND(x.a, low));                                                                   \
  STORE((void *)&block->word[1][j], AND(x.b, low));                                                                   \
  STORE((void *)&block->word[2][j], AND(x.c, low));                                                                   \
  STORE((void *)&block->word[3][j], AND(x.d, low));

#define BLOCK(V, WIDTH, LOAD, STORE, SET, MUL, XOR, AND, SHIFT)                                                       \
  KEYS(V, SET)                                                                                                        \
  for (int j = 0; j < PLLM_BLOCK; j += 2 * (WIDTH)) {                                                                 \
    const V m0 = SET(PLLM_PHILOX_M0), m1 = SET(PLLM_PHILOX_M1), low = SET(0xffffffff);                                \
    struct {                                                                                                          \
      V a, b, c, d;                                                                                                   \
    } x = COUNTER(LOAD, j), y = COUNTER(LOAD, j + (WIDTH));                                                           \
    ROUNDS(V, MUL, XOR, SHIFT)                                                                                        \
    KEEP(STORE, AND, x, j)                                                                                            \
    KEEP(STORE, AND, y, j + (WIDTH))                                                                                  \
  }

#define RANGE(V, WIDTH, STORE, SET, MUL, XOR, AND, SHIFT, LEFT, ADD, IOTA)                                            \
  V id = ADD(SET((long long)first), IOTA);                                                                            \
  KEYS(V, SET)                                                                                                        \
  for (int j = 0; j < PLLM_BLOCK; j += 2 * (WIDTH)) {                                                                 \
    const V m0 = SET(PLLM_PHILOX_M0), m1 = SET(PLLM_PHILOX_M1), low = SET(0xffffffff);                                \
    V after = ADD(id, SET(WIDTH));                                                                                    \
    struct {                                                                                                          \
      V a, b, c, d;                                                                                                   \
    } x = {id, SHIFT(id, 32), SET((long long)index), SET((long long)attempt)},                                        \
      y = {after, SHIFT(after, 32), SET((long long)index), SET((long long)attempt)};                                  \
    ROUNDS(V, MUL, XOR, SHIFT)                                                                                        \
    STORE((void *)&bits[0][j], XOR(LEFT(x.b, 32), AND(x.a, low)));                                                    \
    STORE((void *)&bits[1][j], XOR(LEFT(x.d, 32), AND(x.c, low)));                                                    \
    STORE((void *)&bits[0][j + (WIDTH)], XOR(LEFT(y.b, 32), AND(y.a, low)));                                          \
    STORE((void *)&bits[1][j + (WIDTH)], XOR(LEFT(y.d, 32), AND(y.c, low)));                                          \
    id = ADD(after, SET(WIDTH));                                                                                      \
  }

#define ARGS uint64_t first, uint32_t index, uint32_t attempt, uint32_t key0, uint32_t key1, PllmPhiloxBits bits
#define KERNELS(isa, TARGET, V, WIDTH, LOAD, STORE, SET, MUL, XOR, AND, SHIFT, LEFT, ADD, IOTA)                       \
  TARGET static void block_##isa(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1) {                              \
    BLOCK(V, WIDTH, LOAD, STORE, SET, MUL, XOR, AND, SHIFT)                                                           \
  }                                                                                                                   \
  TARGET static void range_##isa(ARGS) {                                                                              \
    RANGE(V, WIDTH, STORE, SET, MUL, XOR, AND, SHIFT, LEFT, ADD, IOTA)                                                \
  }

KERNELS(base, , __m128i, 2, _mm_loadu_si128, _mm_storeu_si128, _mm_set1_epi64x, _mm_mul_epu32, _mm_xor_si128,
        _mm_and_si128, _mm_srli_epi64, _mm_slli_epi64, _mm_add_epi64, _mm_set_epi64x(1, 0))
KERNELS(avx2, PLLM_TARGET_AVX2, __m256i, 4, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_set1_epi64x,
        _mm256_mul_epu32, _mm256_xor_si256, _mm256_and_si256, _mm256_srli_epi64, _mm256_slli_epi64, _mm256_add_epi64,
        _mm256_set_epi64x(3, 2, 1, 0))
KERNELS(avx512, PLLM_TARGET_AVX512, __m512i, 8, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_set1_epi64,
        _mm512_mul_epu32, _mm512_xor_si512, _mm512_and_si512, _mm512_srli_epi64, _mm512_slli_epi64, _mm512_add_epi64,
        _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0))
/* clang-format on */

void pllm_core_philox_block(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1) {
  switch (pllm_core_isa()) {
  case PLLM_ISA_AVX512: block_avx512(block, key0, key1); break;
  case PLLM_ISA_AVX2: block_avx2(block, key0, key1); break;
  default: block_base(block, key0, key1); break;
  }
}

void pllm_core_philox_range(ARGS) {
  switch (pllm_core_isa()) {
  case PLLM_ISA_AVX512: range_avx512(first, index, attempt, key0, key1, bits); break;
  case PLLM_ISA_AVX2: range_avx2(first, index, attempt, key0, key1, bits); break;
  default: range_base(first, index, attempt, key0, key1, bits); break;
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

void pllm_core_philox_range(uint64_t first, uint32_t index, uint32_t attempt, uint32_t key0, uint32_t key1,
                            PllmPhiloxBits bits) {
  PllmPhiloxBlock block;
  for (int j = 0; j < PLLM_BLOCK; j++) {
    uint64_t id = first + (uint64_t)j;
    block.word[0][j] = id & 0xffffffffu;
    block.word[1][j] = id >> 32;
    block.word[2][j] = index;
    block.word[3][j] = attempt;
  }
  pllm_core_philox_block(&block, key0, key1);
  for (int h = 0; h < 2; h++)
    for (int j = 0; j < PLLM_BLOCK; j++) bits[h][j] = block.word[2 * h + 1][j] << 32 | block.word[2 * h][j];
}

#endif
