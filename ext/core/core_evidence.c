/*
** core_evidence.c: from feedback rows in any order to centred, scaled choice sets in canonical order.
*/
#include "core_evidence.h"

#include <math.h>
#include <string.h>

size_t pllm_evidence_bytes(PllmForm form, size_t count, size_t dim) {
  size_t rows = form == PLLM_PAIRS ? 2 * count : count;
  return rows * dim * sizeof(double) + 2 * rows * sizeof(double) + count * (sizeof(PllmSet) + sizeof(size_t)) + 64;
}

/* The power of two that brings the largest feature into [0.5, 1): exact, so no scale overflows and none is lost. */
int pllm_feedback_exponent(const PllmFeedback *f) {
  double largest = 0;
  int e = 0;
  for (size_t i = f->first * f->width; i < f->end * f->width; i++) largest = fmax(largest, fabs(f->numbers[i]));
  if (largest > 0) (void)frexp(largest, &e);
  return e;
}

double pllm_age_weight(double age, double half_life) {
  return half_life > 0 ? exp2(-age / half_life) : 1;
}

static void copy_row(PllmEvidence *v, const double *from, int e) {
  double *to = v->x + v->rows++ * v->dim;
  double half = ldexp(1, -(e / 2)), rest = ldexp(1, -(e - e / 2)); /* 2^-e itself may be no double */
  for (size_t b = 0; b < v->dim; b++) to[b] = from[b] * half * rest;
}

static PllmSet *new_set(PllmEvidence *v, double weight) {
  PllmSet *s = &v->set[v->sets++];
  *s = (PllmSet){.first = v->rows, .best = PLLM_NONE, .worst = PLLM_NONE, .weight = weight};
  return s;
}

static PllmStatus read_choices(const PllmFeedback *f, double half_life, int e, PllmEvidence *v, PllmError *err) {
  size_t count = f->end - f->first, end;
  for (size_t i = 0; i < count; i = end) {
    PllmSet *s = new_set(v, 1);
    int64_t key = f->rows[v->order[i]].choice_set;
    size_t best = 0, worst = 0;
    for (end = i; end < count && f->rows[v->order[end]].choice_set == key; end++) {
      unsigned char label = f->rows[v->order[end]].label;
      best += label == PLLM_BEST;
      worst += label == PLLM_WORST;
      if (label == PLLM_BEST) s->best = end - i;
      if (label == PLLM_WORST) s->worst = end - i;
      copy_row(v, f->numbers + v->order[end] * f->width, e);
    }
    if (best > 1 || worst > 1)
      return pllm_fail(err, PLLM_INVALID, "choice_set %lld has %zu rows marked '%s'; at most one is accepted",
                       (long long)key, best > 1 ? best : worst, best > 1 ? "best" : "worst");
    s->rows = end - i;
  }
  for (size_t s = 0; s < v->sets; s++) v->set[s].weight = pllm_age_weight((double)(v->sets - 1 - s), half_life);
  return PLLM_OK;
}

/* Centre each set, and scale all to a root mean square of 1.  Sets that say nothing go. */
static void standardise(PllmEvidence *v) {
  double sum = 0;
  size_t kept = 0, n = 0;
  for (size_t i = 0; i < v->sets; i++) {
    PllmSet *s = &v->set[i];
    double *x = v->x + s->first * v->dim;
    if (s->rows < 2 || (s->best == PLLM_NONE && s->worst == PLLM_NONE)) continue;
    for (size_t b = 0; b < v->dim; b++) {
      double mean = 0;
      for (size_t r = 0; r < s->rows; r++) mean += x[r * v->dim + b] - x[b];
      mean = x[b] + mean / (double)s->rows; /* exactly x[b] when all are equal */
      for (size_t r = 0; r < s->rows; r++) {
        x[r * v->dim + b] -= mean;
        sum += x[r * v->dim + b] * x[r * v->dim + b];
      }
    }
    n += s->rows * v->dim;
    v->set[kept++] = *s;
  }
  v->sets = kept;
  v->informative = sum > 0;
  if (!v->informative) return;
  sum = 1 / sqrt(sum / (double)n);
  v->scale *= sum;
  for (size_t i = 0; i < v->sets; i++) {
    double *x = v->x + v->set[i].first * v->dim;
    for (size_t k = 0; k < v->set[i].rows * v->dim; k++) x[k] *= sum;
  }
}

static void read_ratings(const PllmFeedback *f, double half_life, int e, PllmEvidence *v) {
  size_t count = f->end - f->first;
  double largest = 0, mean = 0, total = 0, square = 0;
  int exponent = 0;
  PllmSet *s = new_set(v, 1);
  for (size_t i = 0; i < count; i++) {
    const PllmRow *row = &f->rows[v->order[i]];
    if (row->label != PLLM_BEST) continue;
    largest = fmax(largest, fabs(row->rating));
    v->weight[v->rows] = pllm_age_weight((double)(f->end - 1 - v->order[i]), half_life);
    v->rating[v->rows] = row->rating;
    copy_row(v, f->numbers + v->order[i] * f->width, e);
  }
  s->rows = v->rows;
  s->best = 0; /* so that the set counts as saying something */
  if (largest > 0) (void)frexp(largest, &exponent);
  for (size_t r = 0; r < v->rows; r++) {
    v->rating[r] = ldexp(v->rating[r], -exponent);
    mean += v->weight[r] * v->rating[r];
    total += v->weight[r];
  }
  for (size_t r = 0; r < v->rows; r++) {
    v->rating[r] -= mean / total;
    square += v->weight[r] * v->rating[r] * v->rating[r];
  }
  /* equal ratings say nothing; centring leaves them at rounding's size, not at 0 */
  if (!(square > 1e-24 * total)) s->rows = 0;
  for (size_t r = 0; r < s->rows; r++) v->rating[r] /= sqrt(square / total);
}

PllmStatus pllm_evidence_build(const PllmFeedback *f, double half_life, void *memory, PllmEvidence *v,
                               PllmError *err) {
  size_t count = f->end - f->first, rows = f->form == PLLM_PAIRS ? 2 * count : count;
  int e = pllm_feedback_exponent(f);
  PllmStatus status = PLLM_OK;
  memset(v, 0, sizeof *v);
  v->dim = f->dim;
  v->ratings = f->form == PLLM_RATINGS;
  v->scale = ldexp(1, -e);
  v->x = memory;
  v->rating = v->x + rows * v->dim;
  v->weight = v->rating + rows;
  v->set = (PllmSet *)(void *)(v->weight + rows);
  v->order = (size_t *)(void *)(v->set + count);
  pllm_feedback_order(f, v->order);
  if (half_life > 0 && f->form != PLLM_CHOICES)
    for (size_t i = 0; i < count; i++) v->order[i] = f->first + i;
  if (f->form == PLLM_CHOICES) {
    status = read_choices(f, half_life, e, v, err);
  } else if (f->form == PLLM_RATINGS) {
    read_ratings(f, half_life, e, v);
  } else {
    for (size_t i = 0; i < count; i++) {
      PllmSet *s = new_set(v, pllm_age_weight((double)(f->end - 1 - v->order[i]), half_life));
      const double *pair = f->numbers + v->order[i] * f->width;
      copy_row(v, pair, e);
      copy_row(v, pair + v->dim, e);
      s->rows = 2;
      s->best = 0;
    }
  }
  if (status == PLLM_OK) standardise(v);
  return status;
}
