/*
** limit_math.c: the vectorised exponential, logarithm and random bits that jobs bound by them are held against.
*/
#include "limit_math.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

static inline double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint64_t to_bits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* exp(t) = 2^k exp(r), |r| <= log(2)/2: Taylor to the 11th power, in Estrin's order for short chains. */
void limit_exp_many(const double *in, double *out, size_t n) {
  const double round = 0x1.8p52;
  for (size_t i = 0; i < n; i++) {
    double t = in[i], k = t * 1.44269504088896338700 + round, whole = k - round, r, r2, r4, p;
    r = t - whole * 0.693147180369123816490;
    r = r - whole * 1.90821492927058770002e-10;
    r2 = r * r;
    r4 = r2 * r2;
    p = (1 + r) + r2 * (0.5 + r * (1.0 / 6)) +
        r4 * ((1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040)) +
              r4 * ((1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800))));
    out[i] = p * from_bits((to_bits(k) + 1023) << 52);
  }
}

/* log(x) = e log(2) + 2 artanh(f / (2 + f)), x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2). */
void limit_log_many(const double *in, double *out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t bits = to_bits(in[i]), shifted = bits + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    /* the exponent as a double without an integer conversion */
    double e = from_bits(0x4330000000000000 | shifted >> 52) - (0x1p52 + 1023);
    double m = from_bits((shifted & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
    double f = m - 1, s = f / (2 + f), z = s * s, z2 = z * z, z4 = z2 * z2;
    double p = (2.0 / 3 + z * (2.0 / 5)) + z2 * (2.0 / 7 + z * (2.0 / 9)) +
               z4 * ((2.0 / 11 + z * (2.0 / 13)) + z2 * (2.0 / 15 + z * (2.0 / 17)));
    out[i] = e * 0.69314718055994530942 + (2 * s + s * z * p);
  }
}

/* ---- Philox 4x32, ten rounds: Salmon et al. 2011 ---- */

#if defined(__AVX512F__)
enum { WIDE = 8 };
typedef __m512i Wide;
#define SET(x) _mm512_set1_epi64((long long)(x))
#define MULTIPLY(a, b) _mm512_mul_epu32(a, b)
#define HIGH(a) _mm512_srli_epi64(a, 32)
#define UP(a) _mm512_slli_epi64(a, 32)
#define XOR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define LOW_OR(a, b) _mm512_ternarylogic_epi64(a, SET(0xffffffff), b, 0xEA) /* (a & low) | b */
#define ADD(a, b) _mm512_add_epi64(a, b)
#define COUNT _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0)
#elif defined(__AVX2__)
enum { WIDE = 4 };
typedef __m256i Wide;
#define SET(x) _mm256_set1_epi64x((long long)(x))
#define MULTIPLY(a, b) _mm256_mul_epu32(a, b)
#define HIGH(a) _mm256_srli_epi64(a, 32)
#define UP(a) _mm256_slli_epi64(a, 32)
#define XOR3(a, b, c) _mm256_xor_si256(_mm256_xor_si256(a, c), b)
#define LOW_OR(a, b) _mm256_blend_epi32(a, b, 0xAA) /* b has its lower halves zero */
#define ADD(a, b) _mm256_add_epi64(a, b)
#define COUNT _mm256_set_epi64x(3, 2, 1, 0)
#else
enum { WIDE = 1 };
typedef uint64_t Wide;
#define SET(x) ((uint64_t)(x))
#define MULTIPLY(a, b) (((a)&0xffffffff) * (b))
#define HIGH(a) ((a) >> 32)
#define UP(a) ((a) << 32)
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define LOW_OR(a, b) (((a)&0xffffffff) | (b))
#define ADD(a, b) ((a) + (b))
#define COUNT 0
#endif

/* Upper halves of the words hold garbage, which the multiplication does not read. */
void limit_philox_many(uint64_t first, uint32_t key0, uint32_t key1, uint64_t *out, size_t n) {
  Wide id = ADD(SET(first), COUNT), keys[10][2];
  for (uint32_t i = 0; i < 10; i++) {
    keys[i][0] = SET((uint32_t)(key0 + i * 0x9e3779b9u));
    keys[i][1] = SET((uint32_t)(key1 + i * 0xbb67ae85u));
  }
  for (size_t j = 0; j < n; j += WIDE) {
    Wide a = id, b = HIGH(id), c = SET(0), d = SET(0);
#pragma GCC unroll 10
    for (int i = 0; i < 10; i++) {
      Wide p = MULTIPLY(a, SET(0xd2511f53)), q = MULTIPLY(c, SET(0xcd9e8d57));
      a = XOR3(HIGH(q), b, keys[i][0]);
      c = XOR3(HIGH(p), d, keys[i][1]);
      b = q;
      d = p;
    }
    a = LOW_OR(a, UP(b));
    c = LOW_OR(c, UP(d));
    memcpy(out + j, &a, sizeof a);
    memcpy(out + n + j, &c, sizeof c);
    id = ADD(id, SET(WIDE));
  }
}

void limit_check_philox(uint64_t first, uint32_t key0, uint32_t key1, const uint64_t *out, size_t n) {
  for (size_t j = 0; j < n; j++) {
    uint32_t a = (uint32_t)(first + j), b = (uint32_t)((first + j) >> 32), c = 0, d = 0, k0 = key0, k1 = key1;
    for (int i = 0; i < 10; i++) {
      uint64_t p = (uint64_t)a * 0xd2511f53, q = (uint64_t)c * 0xcd9e8d57;
      a = (uint32_t)(q >> 32) ^ b ^ k0;
      c = (uint32_t)(p >> 32) ^ d ^ k1;
      b = (uint32_t)q;
      d = (uint32_t)p;
      k0 += 0x9e3779b9;
      k1 += 0xbb67ae85;
    }
    if (out[j] == ((uint64_t)b << 32 | a) && out[n + j] == ((uint64_t)d << 32 | c)) continue;
    fprintf(stderr, "the limit's philox block %zu is wrong\n", j);
    exit(1);
  }
}

void limit_check(const double *in, const double *out, size_t n, int is_exp) {
  for (size_t i = 0; i < n; i++) {
    double want = is_exp ? exp(in[i]) : log(in[i]);
    if (fabs(out[i] - want) <= 1e-12 * fabs(want) + 1e-15) continue;
    fprintf(stderr, "the limit's %s(%g) is %.17g, not %.17g\n", is_exp ? "exp" : "log", in[i], out[i], want);
    exit(1);
  }
}
