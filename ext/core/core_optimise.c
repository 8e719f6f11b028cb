/*
** core_optimise.c: the numerical tools of learning: random starts, the logistic loss, Adam, L-BFGS.
**
** Only + - * / sqrt and the exp and log of core_math.h: the same bits everywhere.
*/
#include "core_learn.h"
#include "core_math.h"

#include <string.h>

void pllm_learn_normals(uint32_t seed, uint32_t stream, size_t count, double *out) {
  for (size_t i = 0; i < count; i++)
    for (uint32_t attempt = 0;; attempt++) {
      uint32_t bits[4];
      double x, y, r;
      pllm_philox_draw(seed, PLLM_PURPOSE_LEARN, i, stream, attempt, bits);
      x = 2 * pllm_philox_double(bits[0], bits[1]) - 1;
      y = 2 * pllm_philox_double(bits[2], bits[3]) - 1;
      r = x * x + y * y;
      if (r >= 1 || r == 0) continue;
      out[i] = x * sqrt(-2 * pllm_log1(r) / r);
      break;
    }
}

double pllm_logistic_loss(double s, double *slope) {
  double e = pllm_exp1(-fabs(s)), wrong = s > 0 ? e / (1 + e) : 1 / (1 + e);
  if (slope) *slope = -wrong;
  return (s > 0 ? 0 : -s) + pllm_log1(1 + e);
}

void pllm_softmax(const double *in, size_t count, double *out) {
  double most = in[0], sum = 0;
  for (size_t k = 1; k < count; k++) most = in[k] > most ? in[k] : most;
  for (size_t k = 0; k < count; k++) sum += out[k] = pllm_exp1(in[k] - most);
  for (size_t k = 0; k < count; k++) out[k] /= sum;
}

void pllm_softmax_gradient(const double *w, const double *by_w, size_t count, double *by_a) {
  double mean = 0;
  for (size_t k = 0; k < count; k++) mean += w[k] * by_w[k];
  for (size_t k = 0; k < count; k++) by_a[k] = w[k] * (by_w[k] - mean);
}

/* ---- Adam ---- */

PllmStatus pllm_adam_new(PllmAdam *a, size_t count, PllmError *err) {
  a->count = count;
  a->mean = pllm_alloc(count, sizeof *a->mean);
  a->square = pllm_alloc(count, sizeof *a->square);
  if (!a->mean || !a->square) return pllm_fail_nomem(err);
  pllm_adam_start(a);
  return PLLM_OK;
}

void pllm_adam_free(PllmAdam *a) {
  pllm_free(a->mean);
  pllm_free(a->square);
}

void pllm_adam_start(PllmAdam *a) {
  memset(a->mean, 0, a->count * sizeof *a->mean);
  memset(a->square, 0, a->count * sizeof *a->square);
  a->beta1 = a->beta2 = 1;
}

void pllm_adam_step(PllmAdam *a, double rate, const double *gradient, double *x) {
  a->beta1 *= 0.9;
  a->beta2 *= 0.999;
  for (size_t i = 0; i < a->count; i++) {
    double g = gradient[i], root;
    a->mean[i] = 0.9 * a->mean[i] + (1 - 0.9) * g;
    a->square[i] = 0.999 * a->square[i] + (1 - 0.999) * g * g;
    root = sqrt(a->square[i] / (1 - a->beta2));
    x[i] -= rate * (a->mean[i] / (1 - a->beta1)) / (root + 1e-8);
  }
}

/* ---- L-BFGS (Liu and Nocedal 1989), with backtracking ---- */

enum { MEMORY = 10, MAX_HALVINGS = 40 };

static double dot(const double *a, const double *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* The last steps s and changes of gradient y, in rings of MEMORY. */
typedef struct Memory {
  double *s, *y; /* [MEMORY][n] */
  double rho[MEMORY];
  size_t n, count, next;
} Memory;

/* direction = - (approximate inverse Hessian) gradient */
static void find_direction(const Memory *m, const double *gradient, double *direction) {
  double alpha[MEMORY];
  size_t n = m->n, kept = m->count < MEMORY ? m->count : MEMORY;
  for (size_t i = 0; i < n; i++) direction[i] = -gradient[i];
  for (size_t k = 0; k < kept; k++) {
    size_t at = (m->next + MEMORY - 1 - k) % MEMORY;
    alpha[at] = m->rho[at] * dot(m->s + at * n, direction, n);
    for (size_t i = 0; i < n; i++) direction[i] -= alpha[at] * m->y[at * n + i];
  }
  if (kept > 0) {
    size_t at = (m->next + MEMORY - 1) % MEMORY;
    double scale = 1 / (m->rho[at] * dot(m->y + at * n, m->y + at * n, n));
    for (size_t i = 0; i < n; i++) direction[i] *= scale;
  }
  for (size_t k = kept; k-- > 0;) {
    size_t at = (m->next + MEMORY - 1 - k) % MEMORY;
    double beta = m->rho[at] * dot(m->y + at * n, direction, n);
    for (size_t i = 0; i < n; i++) direction[i] += (alpha[at] - beta) * m->s[at * n + i];
  }
}

static void remember(Memory *m, const double *x, const double *next, const double *g, const double *next_g) {
  double *s = m->s + m->next * m->n, *y = m->y + m->next * m->n, product;
  for (size_t i = 0; i < m->n; i++) {
    s[i] = next[i] - x[i];
    y[i] = next_g[i] - g[i];
  }
  product = dot(s, y, m->n);
  if (!(product > 1e-12 * sqrt(dot(s, s, m->n) * dot(y, y, m->n)))) return; /* no curvature to learn from */
  m->rho[m->next] = 1 / product;
  m->next = (m->next + 1) % MEMORY;
  m->count++;
}

PllmStatus pllm_lbfgs(PllmLbfgs *p, double *x, PllmError *err) {
  size_t n = p->n;
  double *memory = pllm_alloc(n > SIZE_MAX / 8 / (2 * MEMORY + 4) ? SIZE_MAX : n * (2 * MEMORY + 4), sizeof *memory);
  double *gradient, *next, *next_gradient, *direction, value = 0, norm;
  Memory m = {.n = n};
  PllmStatus status;
  if (!memory) return pllm_fail_nomem(err);
  m.s = memory;
  m.y = m.s + MEMORY * n;
  gradient = m.y + MEMORY * n;
  next = gradient + n;
  next_gradient = next + n;
  direction = next_gradient + n;
  status = p->value(p->arg, x, &value, gradient, err);
  norm = status == PLLM_OK ? sqrt(dot(gradient, gradient, n)) : 0;
  p->iterations = 0;
  p->converged = 0;
  while (status == PLLM_OK) {
    double slope, t = 1, next_value = value;
    int halvings = 0;
    p->converged = norm <= p->tolerance;
    if (p->converged || p->iterations == p->most) break;
    find_direction(&m, gradient, direction);
    slope = dot(direction, gradient, n);
    if (!(slope < 0)) { /* the memory misleads: start again from steepest descent */
      m.count = m.next = 0;
      for (size_t i = 0; i < n; i++) direction[i] = -gradient[i];
      slope = -norm * norm;
    }
    if (m.count == 0) t = norm > 1 ? 1 / norm : 1;
    for (; halvings < MAX_HALVINGS; halvings++, t *= 0.5) {
      for (size_t i = 0; i < n; i++) next[i] = x[i] + t * direction[i];
      status = p->value(p->arg, next, &next_value, next_gradient, err);
      if (status != PLLM_OK || next_value <= value + 1e-4 * t * slope) break;
      /* where rounding hides the descent, a smaller gradient shows it */
      if (next_value - value <= 1e-14 * fabs(value) && dot(next_gradient, next_gradient, n) < norm * norm) break;
    }
    if (status != PLLM_OK) break;
    if (halvings == MAX_HALVINGS) break; /* at the minimum to rounding */
    remember(&m, x, next, gradient, next_gradient);
    memcpy(x, next, n * sizeof *x);
    memcpy(gradient, next_gradient, n * sizeof *x);
    value = next_value;
    norm = sqrt(dot(gradient, gradient, n));
    p->history[2 * p->iterations] = value;
    p->history[2 * p->iterations + 1] = norm;
    p->iterations++;
  }
  p->objective = value;
  /* where rounding hides any descent, the gradient is as small as it gets */
  if (status == PLLM_OK && !p->converged) p->converged = norm <= 1e4 * p->tolerance;
  pllm_free(memory);
  return status;
}
