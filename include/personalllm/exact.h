/*
** exact.h: exact sums of f32 vectors, the arithmetic of user embeddings.
**
** A mean of embeddings (definitions.md#user-embeddings) should not depend on the order in which a database hands over
** its rows, and a row that leaves a window should be gone without a trace.  Sums of floating-point numbers promise
** neither, sums of integers both: every f32 is a whole multiple of 2^-149, so its exact sum is a whole number of 277
** bits and a few more.
*/
#ifndef PERSONALLLM_EXACT_H
#define PERSONALLLM_EXACT_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct PllmExact PllmExact;

/* A sum of no vectors of dim numbers, 1..PLLM_MAX_DIM; 80 bytes a number.  NULL when out of memory. */
PllmExact *pllm_exact_new(size_t dim);
void pllm_exact_free(PllmExact *sum); /* NULL is fine */

/* Add (sign = 1) or take away (sign = -1) x[dim], which must be finite.  Exact for up to 2^42 calls; O(dim). */
void pllm_exact_add(PllmExact *sum, const float *x, int sign);

/*
** out[dim] = sum / divisor (above 0): the exact sum rounded to f64, divided in f64.  The same bits for the same
** summands in any order.  O(dim).
*/
void pllm_exact_mean(const PllmExact *sum, double divisor, double *out);

#ifdef __cplusplus
}
#endif
#endif
