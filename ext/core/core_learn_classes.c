/*
** core_learn_classes.c: latent classes of users, a Bradley-Terry model for each.
**
** Every user belongs to one of `rank` classes, a priori alike, and chooses as its weights v_k say.  With d = scale
** (chosen - rejected), scale bringing features, centred by pair, to a root mean square of 1, and the log likelihood
** of a user's pairs  l_uk = sum_j log sigma(v_k . d_j),  minimise over all v_k
**
**     1/P ( - T sum_u log ( 1/rank sum_k exp(l_uk / T) )  +  lambda/2 sum_k |v_k|^2 ),
**
** P the number of pairs, T the temperature: at 1 the likelihood of the mixture, above it users are shared by classes.
** By L-BFGS, v starting from .3 N(0,1) (pllm_learn_normals, stream 0, number b rank + k); the criterion is the
** gradient's norm.
**
** A new user's weights are sum_k softmax(l_k / t)_k v_k, the posterior mean at t = 1; old feedback counts by its age.
** Unlike `neighbors`, which answers with other users' noisy profiles, a class is what many users say together.
**
**   sections: weights [1][dim], of the mean user; basis [rank][dim] = scale v_k, in the features' own units; mixture
**   [1][rank], the mean over users of softmax(l_u / T); history
**
** Cost: O(N dim rank + P rank) an iteration, N distinct vectors; a new user O(rows dim rank).
*/
#include "core_apply.h"
#include "core_learn.h"
#include "core_math.h"
#include "core_model.h"

#include <string.h>

enum { MOST_CLASSES = 64 }; /* of option "rank" */
#define START 0.3

/* loss[k] = -log sigma(s[k]) and wrong[k] = sigma(-s[k]), for all k < count at once; they may not be s. */
static void logistic(const double *s, size_t count, double *loss, double *wrong) {
  double e[MOST_CLASSES] = {0}, near[MOST_CLASSES] = {0};
  for (size_t k = 0; k < count; k++) e[k] = -fabs(s[k]);
  pllm_exp_n(e, e, count);
  for (size_t k = 0; k < count; k++) near[k] = 1 + e[k];
  pllm_log_n(loss, near, count);
  for (size_t k = 0; k < count; k++) {
    wrong[k] = (s[k] > 0 ? e[k] : 1) / near[k];
    loss[k] += s[k] > 0 ? 0 : -s[k];
  }
}

/* ---- a new user ---- */

PllmStatus pllm_classes_check(const PllmModel *m, PllmError *err) {
  if (m->rank < 1 || m->rank > MOST_CLASSES)
    return pllm_fail(err, PLLM_INVALID, "it has %zu classes; 1 to %d are possible", m->rank, MOST_CLASSES);
  return PLLM_OK;
}

void pllm_apply_classes(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                        double *weights) {
  const PllmModel *m = o->model;
  const double *basis = pllm_model_numbers(m, "basis");
  size_t k = m->rank;
  double share[MOST_CLASSES] = {0}, s[MOST_CLASSES], loss[MOST_CLASSES], wrong[MOST_CLASSES];
  PllmDuels d;
  if (!v->informative) {
    memcpy(weights, pllm_model_numbers(m, "weights"), m->dim * sizeof *weights);
    return;
  }
  pllm_duels_init(&d, v, o->implied, basis, k, 1, memory);
  if (pllm_stopped(stop)) return;
  for (size_t i = 0; i < d.count; i++) {
    const double *a = d.z + d.duel[i].a * k, *b = d.z + d.duel[i].b * k;
    for (size_t c = 0; c < k; c++) s[c] = a[c] - b[c];
    logistic(s, k, loss, wrong);
    for (size_t c = 0; c < k; c++) share[c] -= d.duel[i].share * d.total * loss[c] / o->temperature;
  }
  pllm_softmax(share, k, share);
  pllm_mix(basis, share, k, m->dim, weights);
}

/* ---- all users ---- */

typedef struct Classes {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmPairs *pairs;
  size_t k;
  double *z;      /* [padded][k], owned */
  double *slope;  /* [pairs][k]: derivatives by the pair's scores, owned */
  double *g;      /* [k][padded]: derivatives by z, owned */
  double *member; /* [users][k]: softmax(l_u / T), owned */
  double *loss;   /* [users], owned */
  double *v;      /* [dim][k], owned */
  double *history;
} Classes;

static void users_body(void *arg, size_t begin, size_t end, int worker) {
  const Classes *c = arg;
  const PllmPairs *p = c->pairs;
  size_t k = c->k;
  double t = c->options->temperature;
  (void)worker;
  for (size_t u = begin; u < end; u++) {
    double l[MOST_CLASSES] = {0}, s[MOST_CLASSES], loss[MOST_CLASSES], most, sum = 0, *member = c->member + u * k;
    for (size_t i = p->first[u]; i < p->first[u + 1]; i++) {
      const double *a = c->z + p->a[i] * k, *b = c->z + p->b[i] * k;
      for (size_t j = 0; j < k; j++) s[j] = p->scale * (a[j] - b[j]);
      logistic(s, k, loss, c->slope + i * k);
      for (size_t j = 0; j < k; j++) l[j] -= loss[j] / t;
    }
    most = l[0];
    for (size_t j = 1; j < k; j++) most = l[j] > most ? l[j] : most;
    for (size_t j = 0; j < k; j++) sum += member[j] = pllm_exp1(l[j] - most);
    for (size_t j = 0; j < k; j++) member[j] /= sum;
    c->loss[u] = -t * (most + pllm_log1(sum / (double)k));
    for (size_t i = p->first[u]; i < p->first[u + 1]; i++)
      for (size_t j = 0; j < k; j++) c->slope[i * k + j] *= -member[j];
  }
}

static void vectors_body(void *arg, size_t begin, size_t end, int worker) {
  const Classes *c = arg;
  const PllmPairs *p = c->pairs;
  size_t k = c->k, padded = c->crowd->pool.padded;
  (void)worker;
  for (size_t v = begin; v < end; v++) {
    double sum[MOST_CLASSES] = {0};
    for (size_t t = p->touch_first[v]; t < p->touch_first[v + 1]; t++) {
      const double *slope = c->slope + p->touch[t] / 2 * k;
      double sign = p->touch[t] % 2 ? -p->scale : p->scale;
      for (size_t j = 0; j < k; j++) sum[j] += sign * slope[j];
    }
    for (size_t j = 0; j < k; j++) c->g[j * padded + v] = sum[j];
  }
}

static PllmStatus value(void *arg, const double *x, double *value, double *gradient, PllmError *err) {
  Classes *c = arg;
  const PllmPool *pool = &c->crowd->pool;
  size_t k = c->k, users = c->pairs->users;
  double count = (double)c->pairs->count, lambda = c->options->lambda, sum = 0, penalty = 0;
  PllmStatus status = pllm_pool_project(pool, x, k, c->z, c->run, err);
  if (status == PLLM_OK) status = pllm_parallel(c->run, users, 16, users_body, c, err);
  if (status == PLLM_OK) status = pllm_parallel(c->run, pool->count, 256, vectors_body, c, err);
  if (status == PLLM_OK) status = pllm_pool_collect(pool, c->g, k, gradient, c->run, err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < users; u++) sum += c->loss[u];
  for (size_t i = 0; i < pool->dim * k; i++) {
    penalty += x[i] * x[i];
    gradient[i] = (gradient[i] + lambda * x[i]) / count;
  }
  *value = (sum + 0.5 * lambda * penalty) / count;
  return PLLM_OK;
}

static PllmStatus prepare(Classes *c, PllmError *err) {
  size_t k = c->k, users = c->pairs->users, padded = c->crowd->pool.padded, dim = c->crowd->dim;
  if (c->pairs->count > SIZE_MAX / sizeof(double) / k) return pllm_fail_nomem(err);
  c->z = pllm_alloc(padded * k, sizeof *c->z);
  c->slope = pllm_alloc(c->pairs->count * k, sizeof *c->slope);
  c->g = pllm_alloc_zero(padded * k, sizeof *c->g);
  c->member = pllm_alloc(users * k, sizeof *c->member);
  c->loss = pllm_alloc(users, sizeof *c->loss);
  c->v = pllm_alloc(dim * k, sizeof *c->v);
  c->history = pllm_alloc((size_t)c->options->iterations * 2, sizeof *c->history);
  if (!c->z || !c->slope || !c->g || !c->member || !c->loss || !c->v || !c->history) return pllm_fail_nomem(err);
  pllm_learn_normals(c->options->seed, 0, dim * k, c->v);
  for (size_t i = 0; i < dim * k; i++) c->v[i] *= START;
  return PLLM_OK;
}

static PllmStatus fill(Classes *c, PllmModel *m, PllmError *err) {
  size_t k = c->k, dim = c->crowd->dim, users = c->pairs->users;
  double *weights, *basis, *mixture;
  PllmStatus status = pllm_model_add(m, "weights", 1, dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "basis", k, dim, &basis, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "mixture", 1, k, &mixture, err);
  if (status == PLLM_OK) status = pllm_learn_history(m, c->history, m->iterations, err);
  /* memberships at the answer, not at the last step that was tried */
  if (status == PLLM_OK) status = pllm_pool_project(&c->crowd->pool, c->v, k, c->z, c->run, err);
  if (status == PLLM_OK) status = pllm_parallel(c->run, users, 16, users_body, c, err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < users; u++)
    for (size_t j = 0; j < k; j++) mixture[j] += c->member[u * k + j] / (double)users;
  for (size_t b = 0; b < dim; b++)
    for (size_t j = 0; j < k; j++) basis[j * dim + b] = c->pairs->scale * c->v[b * k + j];
  pllm_mix(basis, mixture, k, dim, weights);
  return PLLM_OK;
}

PllmStatus pllm_learn_classes(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *m,
                              PllmError *err) {
  Classes c = {.crowd = crowd, .options = o, .run = run, .k = o->rank};
  PllmLbfgs problem = {.n = crowd->dim * o->rank, .value = value, .arg = &c, .most = o->iterations, .tolerance = 1e-6};
  PllmStatus status = pllm_learn_pairs(crowd, o, run, m, &c.pairs, err);
  if (status != PLLM_OK) return status;
  status = prepare(&c, err);
  problem.history = c.history;
  if (status == PLLM_OK) status = pllm_lbfgs(&problem, c.v, err);
  m->objective = problem.objective;
  m->iterations = problem.iterations;
  m->flags |= PLLM_MODEL_OBJECTIVE | (problem.converged ? PLLM_MODEL_CONVERGED : 0);
  if (status == PLLM_OK) status = fill(&c, m, err);
  pllm_pairs_free(c.pairs);
  pllm_free(c.z);
  pllm_free(c.slope);
  pllm_free(c.g);
  pllm_free(c.member);
  pllm_free(c.loss);
  pllm_free(c.v);
  pllm_free(c.history);
  return status;
}
