/*
** core_apply.c: one user's preferences as adaptation from a model reads them.
*/
#include "core_apply.h"
#include "core_fit.h"
#include "core_learn.h"

#include <string.h>

/* Pairs go with the same marks as in core_pairs.c; out may be NULL. */
static size_t list(const PllmEvidence *v, int implied, PllmDuel *out) {
  size_t n = 0;
  for (size_t i = 0; i < v->sets; i++) {
    const PllmSet *s = &v->set[i];
    int both = s->best != PLLM_NONE && s->worst != PLLM_NONE;
    if (both && !implied) {
      if (out) out[n] = (PllmDuel){s->first + s->best, s->first + s->worst, s->weight};
      n++;
      continue;
    }
    for (size_t r = 0; r < s->rows; r++) {
      if (s->best != PLLM_NONE && r != s->best) {
        if (out) out[n] = (PllmDuel){s->first + s->best, s->first + r, s->weight};
        n++;
      }
      if (s->worst != PLLM_NONE && r != s->worst && r != s->best) {
        if (out) out[n] = (PllmDuel){s->first + r, s->first + s->worst, s->weight};
        n++;
      }
    }
  }
  return n;
}

static size_t round_up(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

size_t pllm_duels_bytes(size_t rows, size_t k) {
  return round_up(2 * rows * sizeof(PllmDuel)) + round_up(rows * k * sizeof(double));
}

char *pllm_duels_init(PllmDuels *d, const PllmEvidence *v, int implied, const double *basis, size_t k, double factor,
                      char *memory) {
  d->total = 0;
  d->duel = (PllmDuel *)(void *)memory;
  d->count = list(v, implied, d->duel);
  d->k = k;
  memory += round_up(2 * v->rows * sizeof(PllmDuel));
  d->z = (double *)(void *)memory;
  for (size_t i = 0; i < d->count; i++) d->total += d->duel[i].share;
  for (size_t i = 0; i < d->count; i++) d->duel[i].share /= d->total;
  for (size_t r = 0; r < v->rows; r++)
    for (size_t c = 0; c < k; c++) {
      double sum = 0;
      for (size_t b = 0; b < v->dim; b++) sum += v->x[r * v->dim + b] * basis[c * v->dim + b];
      d->z[r * k + c] = sum / v->scale * factor;
    }
  return memory + round_up(v->rows * k * sizeof(double));
}

double pllm_duels_loss(const PllmDuels *d, const double *w, double *gradient) {
  double loss = 0;
  memset(gradient, 0, d->k * sizeof *gradient);
  for (size_t i = 0; i < d->count; i++) {
    const double *a = d->z + d->duel[i].a * d->k, *b = d->z + d->duel[i].b * d->k;
    double s = 0, slope;
    for (size_t c = 0; c < d->k; c++) s += w[c] * (a[c] - b[c]);
    loss += d->duel[i].share * pllm_logistic_loss(s, &slope);
    for (size_t c = 0; c < d->k; c++) gradient[c] += d->duel[i].share * slope * (a[c] - b[c]);
  }
  return loss;
}

void pllm_mix(const double *basis, const double *share, size_t k, size_t dim, double *w) {
  memset(w, 0, dim * sizeof *w);
  for (size_t c = 0; c < k; c++)
    for (size_t b = 0; b < dim; b++) w[b] += share[c] * basis[c * dim + b];
}

size_t pllm_apply_bytes(const PllmAdaptOptions *o, size_t rows, size_t dim) {
  size_t rank = o->model->rank;
  switch (o->model->kind) {
  case PLLM_MODEL_POOLED: return pllm_fit_bytes(rows, dim) + rows * sizeof(double);
  case PLLM_MODEL_NEIGHBORS: return pllm_duels_bytes(rows, 1) + round_up(rank * sizeof(double));
  default: return pllm_duels_bytes(rows, rank) + 8 * rank * sizeof(double);
  }
}
