/*
** core_philox.h: constants of the philox rounds (core_random.c; core_philox_lanes.h has them for vectors), and units.
*/
#ifndef PLLM_CORE_PHILOX_H
#define PLLM_CORE_PHILOX_H

#include "core_math.h"

#define PLLM_PHILOX_M0 0xd2511f53u
#define PLLM_PHILOX_M1 0xcd9e8d57u
#define PLLM_PHILOX_W0 0x9e3779b9u
#define PLLM_PHILOX_W1 0xbb67ae85u

/* See pllm_philox_double: n in the mantissa of a number in [1, 2), less 1 - 2^-53, which is exact. */
static PLLM_INLINE double pllm_philox_unit(uint64_t bits) {
  return pllm_bits_double(0x3ff0000000000000u | (bits & 0x000fffffffffffffu)) - 0x1.fffffffffffffp-1;
}

#endif
