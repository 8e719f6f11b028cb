/*
** core_fit.c: Newton's method for the choice model's convex likelihoods.
**
** With u = x.w the terms are log sigma(u_a - u_b) for a pair (Bradley-Terry), and for a set S with best i and worst j
**   log exp(u_i)/sum_S exp(u)  +  log exp(-u_j)/sum_{S without i} exp(-u)
** (Marley and Louviere's maxdiff choice, best first).  Only exp and log of core_math.h and + - * / sqrt are used: the
** same bits everywhere.
*/
#include "core_fit.h"
#include "core_math.h"
#include "core_newton.h"

#include <float.h>

size_t pllm_fit_bytes(size_t rows, size_t dim) {
  size_t rank = rows < dim ? rows : dim; /* also of fewer rows, which may have to be reduced where `rows` need not */
  return (2 * rank * rank + 5 * rank + 2 * rows) * sizeof(double) + rank * sizeof(size_t) + 64;
}

/* Pivoted Cholesky of the rows' Gram matrix: z z' = x x', columns of z in the order of the pivots, until nothing is
** left but rounding. */
static void reduce(PllmFit *fit) {
  const PllmEvidence *v = fit->evidence;
  size_t rows = v->rows, room = rows;
  double *left = fit->u, first = 0; /* squared length of each row that the pivots do not span yet */
  fit->rank = 0;
  memset(fit->span, 0, rows * room * sizeof *fit->span);
  for (size_t r = 0; r < rows; r++) left[r] = pllm_dot(v->x + r * v->dim, v->x + r * v->dim, v->dim);
  for (size_t k = 0; k < room; k++) {
    size_t best = 0;
    double root;
    for (size_t r = 1; r < rows; r++)
      if (left[r] > left[best]) best = r;
    if (k == 0) first = left[best];
    if (!(left[best] > 1e-12 * first) || pllm_stopped(fit->stop)) break;
    root = sqrt(left[best]);
    fit->pivot[k] = best;
    fit->rank = k + 1;
    for (size_t r = 0; r < rows; r++) {
      double *zr = fit->span + r * room, *zb = fit->span + best * room;
      if (r == best) continue;
      zr[k] = (pllm_dot(v->x + r * v->dim, v->x + best * v->dim, v->dim) - pllm_dot(zr, zb, k)) / root;
      left[r] -= zr[k] * zr[k];
    }
    fit->span[best * room + k] = root;
    left[best] = 0;
  }
  /* close the gaps between rows: rank columns, not room */
  for (size_t r = 0; r < rows; r++)
    memmove(fit->span + r * fit->rank, fit->span + r * room, fit->rank * sizeof(double));
}

void pllm_fit_init(PllmFit *fit, const PllmEvidence *v, void *memory, const PllmStop *stop) {
  size_t rank = v->rows < v->dim ? v->rows : v->dim;
  double *p = memory;
  memset(fit, 0, sizeof *fit);
  fit->evidence = v;
  fit->stop = stop;
  fit->rank = rank;
  fit->reduced = v->dim > v->rows;
  fit->w = p;
  fit->next = fit->w + rank;
  fit->gradient = fit->next + rank;
  fit->step = fit->gradient + rank;
  fit->mean = fit->step + rank;
  fit->hessian = fit->mean + rank;
  fit->u = fit->hessian + rank * rank;
  fit->p = fit->u + v->rows;
  fit->span = fit->p + v->rows;
  fit->pivot = (size_t *)(void *)(fit->span + (fit->reduced ? v->rows * rank : 0));
  fit->z = v->x;
  if (fit->reduced) {
    fit->z = fit->span;
    reduce(fit);
  }
}

/* hessian += h (a - b)(a - b)' on the lower triangle; b may be NULL. */
static void add_outer(PllmFit *fit, double h, const double *a, const double *b) {
  size_t n = fit->rank;
  for (size_t i = 0; i < n; i++) {
    double d = h * (b ? a[i] - b[i] : a[i]), *row = fit->hessian + i * n;
    for (size_t j = 0; j <= i; j++) row[j] += d * (b ? a[j] - b[j] : a[j]);
  }
}

static void add_row(double *to, double h, const double *row, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] += h * row[i];
}

/* log sigma(u_a - u_b), with its derivatives when slopes is set. */
static double pair_term(PllmFit *fit, size_t a, size_t b, double weight, int slopes) {
  double d = fit->u[a] - fit->u[b], e = pllm_exp1(-fabs(d)), p = d > 0 ? 1 / (1 + e) : e / (1 + e);
  if (slopes) {
    add_row(fit->gradient, weight * (1 - p), fit->z + a * fit->rank, fit->rank);
    add_row(fit->gradient, -weight * (1 - p), fit->z + b * fit->rank, fit->rank);
    add_outer(fit, weight * p * (1 - p), fit->z + a * fit->rank, fit->z + b * fit->rank);
  }
  return weight * ((d > 0 ? 0 : d) - pllm_log1(1 + e));
}

/* log of the softmax of sign*u over the set's rows but `without`, at `chosen`. */
static double softmax_term(PllmFit *fit, const PllmSet *s, size_t chosen, size_t without, double sign, int slopes) {
  const double *u = fit->u + s->first;
  double *p = fit->p + s->first, *mean = fit->mean, most = -DBL_MAX, sum = 0;
  size_t n = fit->rank;
  for (size_t r = 0; r < s->rows; r++)
    if (r != without && sign * u[r] > most) most = sign * u[r];
  for (size_t r = 0; r < s->rows; r++) {
    p[r] = r == without ? 0 : pllm_exp1(sign * u[r] - most);
    sum += p[r];
  }
  if (slopes) {
    memset(mean, 0, n * sizeof *mean);
    for (size_t r = 0; r < s->rows; r++) {
      p[r] /= sum;
      if (p[r] == 0) continue;
      add_row(mean, p[r], fit->z + (s->first + r) * n, n);
      add_outer(fit, s->weight * p[r], fit->z + (s->first + r) * n, NULL);
    }
    add_row(fit->gradient, sign * s->weight, fit->z + (s->first + chosen) * n, n);
    add_row(fit->gradient, -sign * s->weight, mean, n);
    add_outer(fit, -s->weight, mean, NULL);
  }
  return s->weight * (sign * u[chosen] - most - pllm_log1(sum));
}

static double choice_terms(PllmFit *fit, const PllmSet *s, PllmTerms terms, int slopes) {
  size_t best = s->best, worst = s->worst;
  double value = 0;
  if (terms == PLLM_TERMS_SET) {
    if (best != PLLM_NONE) value += softmax_term(fit, s, best, PLLM_NONE, 1, slopes);
    if (worst != PLLM_NONE && s->rows > 2) value += softmax_term(fit, s, worst, best, -1, slopes);
    /* of two responses, the worst is what the best is not: the second factor is 1 when both are marked */
    if (worst != PLLM_NONE && s->rows == 2 && best == PLLM_NONE)
      value += softmax_term(fit, s, worst, PLLM_NONE, -1, slopes);
    return value;
  }
  if (terms == PLLM_TERMS_GIVEN && best != PLLM_NONE && worst != PLLM_NONE)
    return pair_term(fit, s->first + best, s->first + worst, s->weight, slopes);
  for (size_t r = 0; r < s->rows; r++) {
    if (best != PLLM_NONE && r != best) value += pair_term(fit, s->first + best, s->first + r, s->weight, slopes);
    if (worst != PLLM_NONE && r != worst && r != best)
      value += pair_term(fit, s->first + r, s->first + worst, s->weight, slopes);
  }
  return value;
}

static double rating_terms(PllmFit *fit, PllmTerms terms, int slopes) {
  const PllmEvidence *v = fit->evidence;
  double value = 0;
  for (size_t a = 0; a < v->rows; a++) {
    if (a % 16 == 0 && pllm_stopped(fit->stop)) break;
    if (terms == PLLM_TERMS_SET) {
      double error = v->rating[a] - fit->u[a];
      if (slopes) {
        add_row(fit->gradient, v->weight[a] * error, fit->z + a * fit->rank, fit->rank);
        add_outer(fit, v->weight[a], fit->z + a * fit->rank, NULL);
      }
      value -= 0.5 * v->weight[a] * error * error;
    } else {
      for (size_t b = 0; b < v->rows && !(b % 256 == 0 && pllm_stopped(fit->stop)); b++)
        if (v->rating[a] > v->rating[b])
          value += pair_term(fit, a, b, v->weight[a] < v->weight[b] ? v->weight[a] : v->weight[b], slopes);
    }
  }
  return value;
}

/* The objective at w, with gradient and hessian (of its negative) when slopes is set. */
static double objective(PllmFit *fit, PllmTerms terms, double lambda, const double *w, int slopes) {
  const PllmEvidence *v = fit->evidence;
  size_t n = fit->rank;
  double value = -0.5 * lambda * pllm_dot(w, w, n);
  if (slopes) {
    memset(fit->hessian, 0, n * n * sizeof *fit->hessian);
    for (size_t i = 0; i < n; i++) {
      fit->gradient[i] = -lambda * w[i];
      fit->hessian[i * n + i] = lambda;
    }
  }
  for (size_t r = 0; r < v->rows; r++)
    fit->u[r] = pllm_dot(fit->z + r * n, w, n) + (fit->offset ? fit->offset[r] : 0);
  if (v->ratings) return value + rating_terms(fit, terms, slopes);
  for (size_t i = 0; i < v->sets && !(i % 16 == 0 && pllm_stopped(fit->stop)); i++)
    value += choice_terms(fit, &v->set[i], terms, slopes);
  return value;
}

static double search_objective(void *arg, const double *w, int slopes) {
  PllmFit *fit = arg;
  return objective(fit, fit->terms, fit->lambda, w, slopes);
}

double pllm_fit_solve(PllmFit *fit, PllmTerms terms, double lambda) {
  PllmNewton search = {.n = fit->rank,
                       .objective = search_objective,
                       .arg = fit,
                       .stop = fit->stop,
                       .w = fit->w,
                       .next = fit->next,
                       .gradient = fit->gradient,
                       .step = fit->step,
                       .hessian = fit->hessian};
  double value;
  fit->terms = terms;
  fit->lambda = lambda;
  value = pllm_newton(&search);
  return value - search.half + 0.5 * (double)fit->rank * pllm_log1(lambda);
}

void pllm_fit_add(const PllmFit *fit, double scale, double *out) {
  const PllmEvidence *v = fit->evidence;
  size_t n = fit->rank;
  if (!fit->reduced) {
    for (size_t b = 0; b < v->dim; b++) out[b] += scale * fit->w[b];
    return;
  }
  /* w = sum of pivot rows a_k x_k with L' a = w: L is the pivots' block of z, lower triangular */
  for (size_t k = n; k-- > 0;) {
    double a = fit->w[k];
    for (size_t j = k + 1; j < n; j++) a -= fit->z[fit->pivot[j] * n + k] * fit->next[j];
    fit->next[k] = a / fit->z[fit->pivot[k] * n + k];
  }
  for (size_t k = 0; k < n; k++) {
    const double *x = v->x + fit->pivot[k] * v->dim;
    for (size_t b = 0; b < v->dim; b++) out[b] += scale * fit->next[k] * x[b];
  }
}
