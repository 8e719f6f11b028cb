/*
** core_exact.c: exact sums of f32 vectors.
**
** A number is LIMBS digits of 32 bits in int64, so that additions need no carries for a long time: one addition
** changes a limb by less than 2^32, and carries are moved on every 2^20 of them (2^30 would do).  Limb k counts units
** of 2^(32 k - 149).
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

enum { LIMBS = 10, UNIT = 149 }; /* 277 bits of one number, 43 bits for how many there are, the sign */
#define CARRY_AFTER ((uint32_t)1 << 20)

struct PllmExact {
  size_t dim;
  uint32_t added;  /* since the carries were last moved */
  int64_t limbs[]; /* [dim][LIMBS] */
};

PllmExact *pllm_exact_new(size_t dim) {
  PllmExact *sum = pllm_alloc_zero(1, sizeof *sum + dim * LIMBS * sizeof(int64_t));
  if (sum) sum->dim = dim;
  return sum;
}

void pllm_exact_free(PllmExact *sum) {
  pllm_free(sum);
}

/* Bring every limb but the last into 0 .. 2^32 - 1. */
static void carry(int64_t *limb) {
  for (int k = 0; k + 1 < LIMBS; k++) {
    int64_t low = limb[k] & 0xFFFFFFFF; /* two's complement: the remainder is never negative */
    limb[k + 1] += (limb[k] - low) / ((int64_t)1 << 32);
    limb[k] = low;
  }
}

void pllm_exact_add(PllmExact *sum, const float *x, int sign) {
  int64_t *limb = sum->limbs;
  for (size_t i = 0; i < sum->dim; i++, limb += LIMBS) {
    uint32_t bits, exponent;
    uint64_t digits;
    int64_t s;
    memcpy(&bits, x + i, sizeof bits);
    exponent = bits >> 23 & 0xFF;
    digits = bits & 0x7FFFFF;
    if (exponent > 0) {
      digits |= 0x800000;
      exponent--; /* subnormals have the exponent of the smallest normal numbers */
    }
    digits <<= exponent % 32; /* at most 55 bits */
    s = (bits >> 31 ? -1 : 1) * sign;
    limb[exponent / 32] += s * (int64_t)(digits & 0xFFFFFFFF);
    limb[exponent / 32 + 1] += s * (int64_t)(digits >> 32);
  }
  if (++sum->added == CARRY_AFTER) {
    for (size_t k = 0; k < sum->dim; k++) carry(sum->limbs + k * LIMBS);
    sum->added = 0;
  }
}

/* A whole number of units as the nearest f64, ties to even. */
static double nearest(const int64_t *limbs) {
  int64_t limb[LIMBS];
  int negative, top = LIMBS - 1;
  uint64_t high, low;
  int shift = 0;
  memcpy(limb, limbs, sizeof limb);
  carry(limb);
  negative = limb[LIMBS - 1] < 0;
  if (negative) {
    for (int k = 0; k < LIMBS; k++) limb[k] = -limb[k];
    carry(limb);
  }
  while (top > 0 && limb[top] == 0) top--;
  if (top < 2) { /* below 2^64: the conversion rounds to nearest */
    double x = ldexp((double)((uint64_t)limb[1] << 32 | (uint64_t)limb[0]), -UNIT);
    return negative ? -x : x;
  }
  /* The top 64 bits, the lowest of them sticky: whether anything is below.  53 bits and rounding need no more. */
  high = (uint64_t)limb[top] << 32 |
         (uint64_t)limb[top - 1]; /* limb[top] has at most 32 bits but for the last limb, 31 */
  low = (uint64_t)limb[top - 2];
  while (!(high >> 63)) {
    high = high << 1 | (low >> 31 & 1);
    low = low << 1 & 0xFFFFFFFF;
    shift++;
  }
  for (int k = 0; k < top - 2; k++) low |= (uint64_t)limb[k];
  if (low) high |= 1;
  return (negative ? -1 : 1) * ldexp((double)high, 32 * (top - 1) - shift - UNIT);
}

void pllm_exact_mean(const PllmExact *sum, double divisor, double *out) {
  for (size_t i = 0; i < sum->dim; i++) out[i] = nearest(sum->limbs + i * LIMBS) / divisor;
}
