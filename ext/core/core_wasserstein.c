/*
** core_wasserstein.c: the distance between two distributions on a line.
*/
#include "core_int.h"

#include <math.h>
#include <stdlib.h>

/* A total order in which only equal points tie. */
static int compare(const void *a, const void *b) {
  const PllmMassPoint *x = a, *y = b;
  if (x->position != y->position) return x->position < y->position ? -1 : 1;
  if (x->p != y->p) return x->p < y->p ? -1 : 1;
  return (x->q > y->q) - (x->q < y->q);
}

PllmStatus pllm_wasserstein(PllmMassPoint *x, size_t count, int *defined, double *out, PllmError *err) {
  double p = 0, q = 0, ahead = 0, sum = 0;
  if (count > 1) qsort(x, count, sizeof *x, compare);
  for (size_t i = 0; i < count; i++) {
    p += x[i].p;
    q += x[i].q;
  }
  *defined = p > 0 && q > 0;
  if (p - p != 0 || q - q != 0)
    return pllm_fail(err, PLLM_INVALID, "the masses of %s add up beyond the range of numbers",
                     p - p != 0 ? "p" : "q");
  if (!*defined) return PLLM_OK;
  for (size_t i = 0; i < count; i++) {
    /* the same rounding on both sides: equal shares leave exactly 0 */
    if (i > 0 && ahead != 0) sum += fabs(ahead) * (x[i].position - x[i - 1].position);
    ahead += x[i].p / p - x[i].q / q;
  }
  if (sum - sum != 0) return pllm_fail(err, PLLM_INVALID, "the positions are farther apart than numbers reach");
  *out = sum;
  return PLLM_OK;
}
