/*
** core_newton.c: damped Newton search.
*/
#include "core_newton.h"
#include "core_math.h"

#include <float.h>

enum { MAX_STEPS = 60, MAX_HALVINGS = 40 };

/* Cholesky of the hessian in place (a pivot lost to rounding becomes tiny, not negative); returns half its log
** determinant. */
static double factor(double *h, size_t n) {
  double half = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++) {
      double sum = h[i * n + j] - pllm_dot(h + i * n, h + j * n, j);
      if (i == j) {
        h[i * n + i] = sqrt(sum > DBL_MIN ? sum : DBL_MIN);
        half += pllm_log1(h[i * n + i]);
      } else {
        h[i * n + j] = sum / h[j * n + j];
      }
    }
  return half;
}

static void solve(const double *h, size_t n, double *x) {
  for (size_t i = 0; i < n; i++) x[i] = (x[i] - pllm_dot(h + i * n, x, i)) / h[i * n + i];
  for (size_t i = n; i-- > 0;) {
    for (size_t j = i + 1; j < n; j++) x[i] -= h[j * n + i] * x[j];
    x[i] /= h[i * n + i];
  }
}

double pllm_newton(PllmNewton *s) {
  size_t n = s->n;
  double value;
  memset(s->w, 0, n * sizeof *s->w);
  s->ended = 0;
  value = s->objective(s->arg, s->w, 1);
  for (s->steps = 0;; s->steps++) {
    double gain, t = 1, noise = 1e-13 * (1 + fabs(value));
    int halvings = 0;
    if (pllm_stopped(s->stop)) return value;
    s->half = factor(s->hessian, n);
    memcpy(s->step, s->gradient, n * sizeof *s->step);
    solve(s->hessian, n, s->step);
    gain = pllm_dot(s->step, s->gradient, n);
    if (s->check && s->check(s->arg, gain)) break;
    s->ended = !(gain > 1e-20 * (1 + fabs(value)));
    if (s->ended && gain > 0) /* the last step is there already, and squares what error is left */
      for (size_t i = 0; i < n; i++) s->w[i] += s->step[i];
    if (s->ended || s->steps == MAX_STEPS) break;
    /* near the maximum a step gains less than the objective's rounding: take it all the same, or the last digits of w
    ** would be lost */
    for (; halvings < MAX_HALVINGS; halvings++, t *= 0.5) {
      for (size_t i = 0; i < n; i++) s->next[i] = s->w[i] + t * s->step[i];
      if (s->objective(s->arg, s->next, 0) >= value + 1e-4 * t * gain - noise) break;
    }
    s->ended = halvings == MAX_HALVINGS; /* at the maximum to rounding */
    if (s->ended) break;
    memcpy(s->w, s->next, n * sizeof *s->w);
    value = s->objective(s->arg, s->w, 1);
  }
  return value;
}
