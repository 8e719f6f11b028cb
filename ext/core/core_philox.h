/*
** core_philox.h: the philox rounds, one counter at a time or PLLM_BLOCK of them.
*/
#ifndef PLLM_CORE_PHILOX_H
#define PLLM_CORE_PHILOX_H

#include "core_math.h"

#define PLLM_PHILOX_M0 0xd2511f53u
#define PLLM_PHILOX_M1 0xcd9e8d57u
#define PLLM_PHILOX_W0 0x9e3779b9u
#define PLLM_PHILOX_W1 0xbb67ae85u

/* PLLM_BLOCK counters, word i of lane j in word[i][j], each below 2^32: ten rounds in place.  Words travel in 64-bit
** lanes because 32x32 -> 64 bit multiplication of such lanes is one instruction on every vector unit. */
typedef struct PllmPhiloxBlock {
  uint64_t word[4][PLLM_BLOCK];
} PllmPhiloxBlock;

void pllm_core_philox_block(PllmPhiloxBlock *block, uint32_t key0, uint32_t key1);

/* The blocks of counters {id, index, attempt} for ids first .. first + PLLM_BLOCK - 1: words 1:0 as bits[0], words
** 3:2 as bits[1].  (Counters made in registers: a loop that stores narrow and loads wide would wait for its own
** stores.) */
typedef uint64_t PllmPhiloxBits[2][PLLM_BLOCK];
void pllm_core_philox_range(uint64_t first, uint32_t index, uint32_t attempt, uint32_t key0, uint32_t key1,
                            PllmPhiloxBits bits);

/* See pllm_philox_double: n in the mantissa of a number in [1, 2), less 1 - 2^-53, which is exact. */
static PLLM_INLINE double pllm_philox_unit(uint64_t bits) {
  return pllm_bits_double(0x3ff0000000000000u | (bits & 0x000fffffffffffffu)) - 0x1.fffffffffffffp-1;
}

#endif
