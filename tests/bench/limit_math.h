/*
** limit_math.h: exponentials and logarithms as fast as a vectorising compiler makes them, to about 1e-12, and random bits.
*/
#ifndef BENCH_LIMIT_MATH_H
#define BENCH_LIMIT_MATH_H

#include <stddef.h>
#include <stdint.h>

void limit_exp_many(const double *in, double *out, size_t n); /* -700 < in < 700 */
void limit_log_many(const double *in, double *out, size_t n); /* normal, positive */
/* The philox blocks of counters first .. first + n - 1 (n a multiple of 8): lower and upper 64 bits, each n of them. */
void limit_philox_many(uint64_t first, uint32_t key0, uint32_t key1, uint64_t *out, size_t n);
/* Exits, saying so, unless out holds just these bits. */
void limit_check_philox(uint64_t first, uint32_t key0, uint32_t key1, const uint64_t *out, size_t n);
/* Exits, saying so, unless out holds exp (or log) of in to 1e-12. */
void limit_check(const double *in, const double *out, size_t n, int is_exp);

#endif
