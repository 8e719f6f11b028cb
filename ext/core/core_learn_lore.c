/*
** core_learn_lore.c: LoRe, low-rank reward modelling (arXiv 2504.14439).
**
** A basis of `rank` directions V_k shared by all, and users on the simplex: w_u = softmax(a_u), P(chosen over
** rejected) = sigma(d . sum_k w_uk V_k / temperature), d = chosen - rejected in the features' own units.  As
** published: minimise sum_u 1/m_u sum_j -log sigma over V and all a_u, both starting from N(0,1), by full-batch
** Adam; the criterion is the gradient's norm, and the fit counts as converged when its last ten steps have changed
** the objective by less than 1e-3 of it. A new user keeps V and fits a_u by the same loss, from N(0,1), by Adam.
** The random starts come from the seed: V is stream 0 of pllm_learn_normals (number b rank + k), the a_u stream 1 (u
** rank + k, users in order), a new user's stream 2.
**
**   sections: weights [1][dim], of a user with the mean w; basis [rank][dim]; mixture [1][rank], the mean w;
**   temperature; history
**
** Cost: O(N dim rank + P rank) an iteration, N distinct vectors; a new user O(rows dim rank + iterations pairs rank).
*/
#include "core_apply.h"
#include "core_learn.h"

#include <math.h>
#include <string.h>

/* ---- a new user ---- */

enum { POLL_STEPS = 16 };

void pllm_apply_lore(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                     double *weights) {
  const PllmModel *m = o->model;
  const double *basis = pllm_model_numbers(m, "basis");
  size_t k = m->rank;
  double *a, *w, *by_w, *by_a, factor = 1 / *pllm_model_numbers(m, "temperature");
  PllmAdam adam = {.count = k};
  PllmDuels d;
  if (!v->informative) {
    memcpy(weights, pllm_model_numbers(m, "weights"), m->dim * sizeof *weights);
    return;
  }
  a = (double *)(void *)pllm_duels_init(&d, v, o->implied, basis, k, factor, memory);
  w = a + k;
  by_w = w + k;
  by_a = by_w + k;
  adam.mean = by_a + k;
  adam.square = adam.mean + k;
  pllm_learn_normals(o->seed, 2, k, a);
  pllm_adam_start(&adam);
  for (uint32_t i = 0; i < o->iterations; i++) {
    if (i % POLL_STEPS == 0 && pllm_stopped(stop)) return;
    pllm_softmax(a, k, w);
    pllm_duels_loss(&d, w, by_w);
    pllm_softmax_gradient(w, by_w, k, by_a);
    pllm_adam_step(&adam, o->rate, by_a, a);
  }
  pllm_softmax(a, k, w);
  pllm_mix(basis, w, k, m->dim, weights);
  for (size_t b = 0; b < m->dim; b++) weights[b] *= factor;
}

/* ---- all users ---- */

typedef struct Lore {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmPairs *pairs;
  PllmPairLoss loss;
  size_t k;
  double *share, *z, *w; /* owned: [users], [padded][k], [users][k] */
  double *v, *a, *v_gradient,
      *history; /* owned: [dim][k], [users][k], [dim][k]; a's gradient takes the place of w's */
  PllmAdam v_adam, a_adam;
} Lore;

static PllmStatus prepare(Lore *l, PllmError *err) {
  size_t users = l->pairs->users, dim = l->crowd->dim, k = l->k;
  PllmStatus status = pllm_pair_loss_new(&l->loss, &l->crowd->pool, l->pairs, k, 0, err);
  l->share = pllm_alloc(users, sizeof *l->share);
  l->z = pllm_alloc(l->crowd->pool.padded * k, sizeof *l->z);
  l->w = pllm_alloc(users * k, sizeof *l->w);
  l->a = pllm_alloc(users * k, sizeof *l->a);
  l->v = pllm_alloc(dim * k, sizeof *l->v);
  l->v_gradient = pllm_alloc(dim * k, sizeof *l->v_gradient);
  l->history = pllm_alloc((size_t)l->options->iterations * 2, sizeof *l->history);
  if (status == PLLM_OK && (!l->share || !l->z || !l->w || !l->a || !l->v || !l->v_gradient || !l->history))
    status = pllm_fail_nomem(err);
  if (status == PLLM_OK) status = pllm_adam_new(&l->v_adam, dim * k, err);
  if (status == PLLM_OK) status = pllm_adam_new(&l->a_adam, users * k, err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < users; u++) l->share[u] = 1 / (double)(l->pairs->first[u + 1] - l->pairs->first[u]);
  l->loss.share = l->share;
  pllm_learn_normals(l->options->seed, 0, dim * k, l->v);
  pllm_learn_normals(l->options->seed, 1, users * k, l->a);
  return PLLM_OK;
}

/* One pass: the objective, and the gradients into v_gradient and, by a, into loss.w_gradient. */
static PllmStatus pass(Lore *l, double *objective, double *norm, PllmError *err) {
  size_t users = l->pairs->users, dim = l->crowd->dim, k = l->k;
  double factor = 1 / l->options->temperature, sum = 0;
  PllmStatus status = pllm_pool_project(&l->crowd->pool, l->v, k, l->z, l->run, err);
  for (size_t u = 0; u < users; u++) pllm_softmax(l->a + u * k, k, l->w + u * k);
  for (size_t i = 0; i < l->crowd->pool.padded * k; i++) l->z[i] *= factor;
  if (status == PLLM_OK) status = pllm_pair_loss_users(&l->loss, l->z, l->w, l->run, err);
  if (status == PLLM_OK) status = pllm_pair_loss_vectors(&l->loss, l->w, l->run, err);
  if (status == PLLM_OK) status = pllm_pool_collect(&l->crowd->pool, l->loss.g, k, l->v_gradient, l->run, err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < users; u++) {
    double *gradient = l->loss.w_gradient + u * k;
    pllm_softmax_gradient(l->w + u * k, gradient, k, gradient);
    for (size_t c = 0; c < k; c++) sum += gradient[c] * gradient[c];
  }
  for (size_t i = 0; i < dim * k; i++) {
    l->v_gradient[i] *= factor;
    sum += l->v_gradient[i] * l->v_gradient[i];
  }
  *objective = pllm_pair_loss_sum(&l->loss);
  *norm = sqrt(sum);
  return PLLM_OK;
}

static PllmStatus fit(Lore *l, PllmModel *m, PllmError *err) {
  const PllmLearnOptions *o = l->options;
  double before = 0;
  PllmStatus status = PLLM_OK;
  for (uint32_t i = 0; status == PLLM_OK; i++) {
    double objective = 0, norm = 0;
    status = pass(l, &objective, &norm, err);
    m->objective = objective;
    if (status != PLLM_OK || i == o->iterations) break;
    l->history[2 * i] = objective;
    l->history[2 * i + 1] = norm;
    pllm_adam_step(&l->v_adam, o->rate, l->v_gradient, l->v);
    pllm_adam_step(&l->a_adam, o->rate, l->loss.w_gradient, l->a);
    m->iterations = i + 1;
  }
  if (status != PLLM_OK) return status;
  m->flags |= PLLM_MODEL_OBJECTIVE;
  if (m->iterations >= 10) before = l->history[2 * (m->iterations - 10)];
  if (m->iterations >= 10 && fabs(before - m->objective) <= 1e-3 * m->objective) m->flags |= PLLM_MODEL_CONVERGED;
  return PLLM_OK;
}

static PllmStatus fill(Lore *l, PllmModel *m, PllmError *err) {
  size_t users = l->pairs->users, dim = l->crowd->dim, k = l->k;
  double *weights, *basis, *mixture, *temperature;
  PllmStatus status = pllm_model_add(m, "weights", 1, dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "basis", k, dim, &basis, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "mixture", 1, k, &mixture, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "temperature", 1, 1, &temperature, err);
  if (status == PLLM_OK) status = pllm_learn_history(m, l->history, m->iterations, err);
  if (status != PLLM_OK) return status;
  *temperature = l->options->temperature;
  for (size_t u = 0; u < users; u++)
    for (size_t c = 0; c < k; c++) mixture[c] += l->w[u * k + c] / (double)users;
  for (size_t b = 0; b < dim; b++)
    for (size_t c = 0; c < k; c++) basis[c * dim + b] = l->v[b * k + c];
  pllm_mix(basis, mixture, k, dim, weights);
  for (size_t b = 0; b < dim; b++) weights[b] /= *temperature;
  return PLLM_OK;
}

PllmStatus pllm_learn_lore(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *m,
                           PllmError *err) {
  Lore l = {.crowd = crowd, .options = o, .run = run, .k = o->rank};
  PllmStatus status = pllm_learn_pairs(crowd, o, run, m, &l.pairs, err);
  if (status != PLLM_OK) return status;
  status = prepare(&l, err);
  if (status == PLLM_OK) status = fit(&l, m, err);
  if (status == PLLM_OK) status = fill(&l, m, err);
  pllm_pair_loss_free(&l.loss);
  pllm_pairs_free(l.pairs);
  pllm_adam_free(&l.v_adam);
  pllm_adam_free(&l.a_adam);
  pllm_free(l.share);
  pllm_free(l.z);
  pllm_free(l.w);
  pllm_free(l.a);
  pllm_free(l.v);
  pllm_free(l.v_gradient);
  pllm_free(l.history);
  return status;
}
