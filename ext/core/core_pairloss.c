/*
** core_pairloss.c: the logistic loss of all users' pairs, and its gradients, in two passes.
**
** Scores are differences of projected vectors, so a pass over P pairs costs O(P k), and the features are touched
** once a distinct vector (core_pool.c), not once a pair.  The first pass runs over users, the second over vectors,
** each collecting the slopes of the pairs it is in: nothing is added up across threads.
*/
#include "core_learn.h"

#include <string.h>

PllmStatus pllm_pair_loss_new(PllmPairLoss *l, const PllmPool *pool, const PllmPairs *pairs, size_t k, int common,
                              PllmError *err) {
  *l = (PllmPairLoss){.pairs = pairs, .pool = pool, .k = k, .common = common};
  l->loss = pllm_alloc_zero(pairs->users, sizeof *l->loss);
  l->slope = pllm_alloc_zero(pairs->count, sizeof *l->slope);
  l->w_gradient = common ? NULL : pllm_alloc_zero(pairs->users * k, sizeof *l->w_gradient);
  l->g = pllm_alloc_zero(k * pool->padded, sizeof *l->g);
  return l->loss && l->slope && (common || l->w_gradient) && l->g ? PLLM_OK : pllm_fail_nomem(err);
}

void pllm_pair_loss_free(PllmPairLoss *l) {
  pllm_free(l->loss);
  pllm_free(l->slope);
  pllm_free(l->w_gradient);
  pllm_free(l->g);
}

typedef struct LossJob {
  PllmPairLoss *l;
  const double *z, *w;
} LossJob;

static void users_body(void *arg, size_t begin, size_t end, int worker) {
  const LossJob *j = arg;
  PllmPairLoss *l = j->l;
  const PllmPairs *p = l->pairs;
  size_t k = l->k;
  (void)worker;
  for (size_t u = begin; u < end; u++) {
    const double *w = l->common ? j->w : j->w + u * k;
    double *gradient = l->w_gradient ? l->w_gradient + u * k : NULL, sum = 0;
    if (gradient) memset(gradient, 0, k * sizeof *gradient);
    for (size_t i = p->first[u]; i < p->first[u + 1]; i++) {
      const double *za = j->z + p->a[i] * k, *zb = j->z + p->b[i] * k;
      double s = 0, slope;
      for (size_t c = 0; c < k; c++) s += w[c] * (za[c] - zb[c]);
      sum += pllm_logistic_loss(s, &slope);
      slope *= l->share[u];
      l->slope[i] = slope;
      for (size_t c = 0; gradient && c < k; c++) gradient[c] += slope * (za[c] - zb[c]);
    }
    l->loss[u] = l->share[u] * sum;
  }
}

PllmStatus pllm_pair_loss_users(PllmPairLoss *l, const double *z, const double *w, const PllmRun *run,
                                PllmError *err) {
  LossJob job = {l, z, w};
  return pllm_parallel(run, l->pairs->users, 16, users_body, &job, err);
}

static void vectors_body(void *arg, size_t begin, size_t end, int worker) {
  const LossJob *j = arg;
  PllmPairLoss *l = j->l;
  const PllmPairs *p = l->pairs;
  (void)worker;
  for (size_t v = begin; v < end; v++) {
    for (size_t c = 0; c < l->k; c++) l->g[c * l->pool->padded + v] = 0;
    for (size_t t = p->touch_first[v]; t < p->touch_first[v + 1]; t++) {
      size_t i = p->touch[t] / 2;
      const double *w = l->common ? j->w : j->w + p->user[i] * l->k;
      double slope = p->touch[t] % 2 ? -l->slope[i] : l->slope[i];
      for (size_t c = 0; c < l->k; c++) l->g[c * l->pool->padded + v] += slope * w[c];
    }
  }
}

PllmStatus pllm_pair_loss_vectors(PllmPairLoss *l, const double *w, const PllmRun *run, PllmError *err) {
  LossJob job = {l, NULL, w};
  return pllm_parallel(run, l->pool->count, 256, vectors_body, &job, err);
}

double pllm_pair_loss_sum(const PllmPairLoss *l) {
  double sum = 0;
  for (size_t u = 0; u < l->pairs->users; u++) sum += l->loss[u];
  return sum;
}
