/*
** core_newton.h: damped Newton search for the maximum of a concave function, for every estimator that needs one.
*/
#ifndef PLLM_CORE_NEWTON_H
#define PLLM_CORE_NEWTON_H

#include "core_adapt.h"

typedef struct PllmNewton {
  size_t n;
  /* The objective at w; with slopes set, also gradient[n] and the lower triangle of hessian[n][n], that of the
  ** objective's negative, both of this struct. */
  double (*objective)(void *arg, const double *w, int slopes);
  /* Asked before every move along step (NULL: never), where gain = step.gradient, twice what a quadratic would gain;
  ** non-zero ends the search where it is. */
  int (*check)(void *arg, double gain);
  void *arg;
  const PllmStop *stop;
  double *w, *next, *gradient, *step; /* [n] */
  double *hessian;                    /* [n][n] */
  /* What came of it. */
  double half;      /* half the log determinant of the last hessian */
  int steps, ended; /* moves made; the gain was down to rounding (not so when stopped, checked or out of steps) */
} PllmNewton;

/*
** Maximise from w = 0: halve each Newton step until it gains a share of what it promises (Armijo).  Returns the
** objective at w; nothing of use when stop says so.  O(steps (objective + n^3)); never allocates.  + - * / sqrt and
** core_math.h only: the same bits everywhere.
*/
double pllm_newton(PllmNewton *search);

static inline double pllm_dot(const double *a, const double *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

#endif
