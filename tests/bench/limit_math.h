/*
** limit_math.h: exponentials and logarithms as fast as a vectorising compiler makes them, to about 1e-12.
*/
#ifndef BENCH_LIMIT_MATH_H
#define BENCH_LIMIT_MATH_H

#include <stddef.h>

void limit_exp_many(const double *in, double *out, size_t n); /* -700 < in < 700 */
void limit_log_many(const double *in, double *out, size_t n); /* normal, positive */
/* Exits, saying so, unless out holds exp (or log) of in to 1e-12. */
void limit_check(const double *in, const double *out, size_t n, int is_exp);

#endif
