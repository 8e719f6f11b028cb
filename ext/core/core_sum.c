/*
** core_sum.c: the closed-form estimator.
**
**   sum   w = sum over preferences of chosen - rejected (definitions.md#p-ttt),
**         scaled to sum |w_b| = 1, or 0 when nothing was said.  A choice set says best - mean of the others and mean
**         of the others - worst, or best - worst when both are marked; ratings say sum (rating - mean) features.
**         What cancels but for rounding is 0 too: scaling would make noise of it.
*/
#include "core_evidence.h"

#include <math.h>
#include <string.h>

/* Returns the size of what was added. */
static double add(double *w, double weight, const double *x, size_t dim) {
  double size = 0;
  for (size_t b = 0; b < dim; b++) {
    w[b] += weight * x[b];
    size += fabs(weight * x[b]);
  }
  return size;
}

void pllm_sum_fit(const PllmEvidence *v, double *w) {
  double total = 0, added = 0;
  memset(w, 0, v->dim * sizeof *w);
  for (size_t r = 0; v->ratings && r < v->rows; r++)
    added += add(w, v->weight[r] * v->rating[r], v->x + r * v->dim, v->dim);
  for (size_t i = 0; !v->ratings && i < v->sets; i++) {
    const PllmSet *s = &v->set[i];
    for (size_t r = 0; r < s->rows; r++) {
      double others = (double)(s->rows - 1), sign = 0;
      if (s->best != PLLM_NONE && s->worst != PLLM_NONE)
        sign = r == s->best ? 1 : r == s->worst ? -1 : 0;
      else if (s->best != PLLM_NONE)
        sign = r == s->best ? 1 : -1 / others;
      else
        sign = r == s->worst ? -1 : 1 / others;
      if (sign != 0) added += add(w, s->weight * sign, v->x + (s->first + r) * v->dim, v->dim);
    }
  }
  for (size_t b = 0; b < v->dim; b++) total += fabs(w[b]);
  if (!(total > 1e-13 * added)) total = 0;
  for (size_t b = 0; b < v->dim; b++) w[b] = total > 0 ? w[b] / total : 0;
}
