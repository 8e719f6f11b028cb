/*
** core_random.c: raw streams and their conversion to doubles and bounded integers.
*/
#include "core_philox.h"

/* ---- MT19937 (Matsumoto and Nishimura 1998) ---- */

void pllm_mt19937_seed(PllmMt19937 *mt, uint32_t seed) {
  mt->key[0] = seed;
  for (uint32_t i = 1; i < 624; i++) {
    uint32_t last = mt->key[i - 1];
    mt->key[i] = 1812433253u * (last ^ (last >> 30)) + i;
  }
  mt->next = 624;
}

static uint32_t twist(uint32_t high, uint32_t low, uint32_t far_word) {
  uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
  return far_word ^ (y >> 1) ^ (-(y & 1u) & 0x9908b0dfu);
}

static void refill(PllmMt19937 *mt) {
  uint32_t *k = mt->key;
  int i;
  for (i = 0; i < 624 - 397; i++) k[i] = twist(k[i], k[i + 1], k[i + 397]);
  for (; i < 623; i++) k[i] = twist(k[i], k[i + 1], k[i + 397 - 624]);
  k[623] = twist(k[623], k[0], k[396]);
  mt->next = 0;
}

uint32_t pllm_mt19937_next(PllmMt19937 *mt) {
  uint32_t y;
  if (mt->next >= 624) refill(mt);
  y = mt->key[mt->next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

double pllm_mt19937_double(PllmMt19937 *mt) {
  uint32_t a = pllm_mt19937_next(mt) >> 5, b = pllm_mt19937_next(mt) >> 6;
  return (a * 67108864.0 + b) / 9007199254740992.0;
}

uint32_t pllm_mt19937_interval(PllmMt19937 *mt, uint32_t most) {
  uint32_t mask = most, value;
  if (most == 0) return 0;
  mask |= mask >> 1;
  mask |= mask >> 2;
  mask |= mask >> 4;
  mask |= mask >> 8;
  mask |= mask >> 16;
  do value = pllm_mt19937_next(mt) & mask;
  while (value > most);
  return value;
}

/* ---- Philox4x32-10 ---- */

void pllm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p = (uint64_t)a * PLLM_PHILOX_M0, q = (uint64_t)c * PLLM_PHILOX_M1;
    a = (uint32_t)(q >> 32) ^ b ^ k0;
    b = (uint32_t)q;
    c = (uint32_t)(p >> 32) ^ d ^ k1;
    d = (uint32_t)p;
    k0 += PLLM_PHILOX_W0;
    k1 += PLLM_PHILOX_W1;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

void pllm_philox_draw(uint32_t seed, PllmPurpose purpose, uint64_t id, uint32_t index, uint32_t attempt,
                      uint32_t out[4]) {
  const uint32_t key[2] = {seed, (uint32_t)purpose};
  const uint32_t counter[4] = {(uint32_t)id, (uint32_t)(id >> 32), index, attempt};
  pllm_philox4x32(counter, key, out);
}

double pllm_philox_double(uint32_t low, uint32_t high) {
  return pllm_philox_unit((uint64_t)high << 32 | low);
}

uint32_t pllm_philox_below(uint32_t low, uint32_t high, uint32_t below) {
  return (uint32_t)(((uint64_t)high * below + (((uint64_t)low * below) >> 32)) >> 32);
}
