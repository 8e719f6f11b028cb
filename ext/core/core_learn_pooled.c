/*
** core_learn_pooled.c: one Bradley-Terry model for all users, and how far users stray from it
** (definitions.md#bradley-terry).
**
** Minimises  1/P ( sum over all P pairs of -log sigma(w.d) + lambda/2 |w|^2 ),  d = scale (chosen - rejected), by
** L-BFGS; scale brings the features, centred by pair, to a root mean square of 1, so that lambda means the same for
** every data set.  The criterion is the gradient's norm.
**
** Then each user's weights are taken to be normal around these, w_u ~ N(w, 1/lambda_u), and lambda_u is the one of
** 2^-6, 2^-4, ..., 2^10 under which the pairs of the users (the first 128) are likeliest, by Laplace's
** approximation: the empirical Bayes.  Adaptation starts from there.
**
**   sections: weights [1][dim] = scale w, in the features' own units; scale; user_lambda; history
**
** Cost: O(N dim + P) an iteration, N distinct vectors; then about 5 Newton fits for each of 128 users.
*/
#include "core_apply.h"
#include "core_fit.h"
#include "core_learn.h"

#include <string.h>

enum { LAMBDAS = 9, SAMPLE = 128 };

typedef struct Pooled {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmPairs *pairs;
  PllmPairLoss loss;
  double *share; /* [users], owned */
  double *z;     /* [padded], owned */
} Pooled;

static PllmStatus value(void *arg, const double *x, double *value, double *gradient, PllmError *err) {
  Pooled *p = arg;
  const PllmPool *pool = &p->crowd->pool;
  double scale = p->pairs->scale, penalty = 0, lambda = p->options->lambda / (double)p->pairs->count;
  PllmStatus status = pllm_pool_project(pool, x, 1, p->z, p->run, err);
  if (status == PLLM_OK) status = pllm_pair_loss_users(&p->loss, p->z, &scale, p->run, err);
  if (status == PLLM_OK) status = pllm_pair_loss_vectors(&p->loss, &scale, p->run, err);
  if (status == PLLM_OK) status = pllm_pool_collect(pool, p->loss.g, 1, gradient, p->run, err);
  if (status != PLLM_OK) return status;
  for (size_t b = 0; b < pool->dim; b++) {
    penalty += x[b] * x[b];
    gradient[b] += lambda * x[b];
  }
  *value = pllm_pair_loss_sum(&p->loss) + 0.5 * lambda * penalty;
  return PLLM_OK;
}

/* ---- one user around the pooled solution ---- */

/*
** In the evidence's coordinates x' = c x (centred) a weight vector w = m + c v gives x.w = x'.(m/c) + x'.v: the mean
** is an offset of each row, v is fitted.  A penalty on v in the model's coordinates, where features are scaled by s,
** is one of (c/s)^2 times as much here.
*/
static void fit_around(PllmFit *fit, const PllmEvidence *v, const double *mean, char *memory, const PllmStop *stop) {
  double *offset = (double *)(void *)memory;
  for (size_t r = 0; r < v->rows; r++) {
    offset[r] = 0;
    for (size_t b = 0; b < v->dim; b++) offset[r] += v->x[r * v->dim + b] * (mean[b] / v->scale);
  }
  pllm_fit_init(fit, v, offset + v->rows, stop);
  fit->offset = offset;
}

void pllm_apply_pooled(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                       double *w) {
  const double *mean = pllm_model_numbers(o->model, "weights");
  double scale = v->scale / *pllm_model_numbers(o->model, "scale");
  double lambda = o->lambda > 0 ? o->lambda : *pllm_model_numbers(o->model, "user_lambda");
  PllmFit fit;
  memcpy(w, mean, v->dim * sizeof *w);
  if (!v->informative) return;
  fit_around(&fit, v, mean, memory, stop);
  pllm_fit_solve(&fit, o->implied ? PLLM_TERMS_IMPLIED : PLLM_TERMS_GIVEN, lambda * scale * scale);
  pllm_fit_add(&fit, v->scale, w);
}

/* ---- how far users stray ---- */

typedef struct Stray {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const double *weights; /* in the features' units */
  double scale;
  double lambda;
  PllmFeedback **builder; /* [threads] */
  char *memory;           /* [threads][bytes] */
  size_t bytes, fit_at;   /* of a thread; where the fit's memory starts in it */
  double *evidence;       /* [users] */
  const PllmRun *run;
  atomic_int stop;
} Stray;

static void stray_user(Stray *s, size_t u, int worker) {
  char *memory = s->memory + (size_t)worker * s->bytes;
  PllmStop stop = {&s->stop, worker == 0 ? s->run : NULL};
  PllmFeedback *f = s->builder[worker];
  PllmEvidence v;
  PllmFit fit;
  pllm_crowd_feedback(s->crowd, u, f);
  if (pllm_evidence_build(f, 0, memory, &v, NULL) != PLLM_OK || !v.informative) return;
  fit_around(&fit, &v, s->weights, memory + s->fit_at, &stop);
  s->evidence[u] = pllm_fit_solve(&fit, s->options->implied ? PLLM_TERMS_IMPLIED : PLLM_TERMS_GIVEN,
                                  s->lambda * (v.scale / s->scale) * (v.scale / s->scale));
}

static void stray_body(void *arg, size_t begin, size_t end, int worker) {
  Stray *s = arg;
  for (size_t u = begin; u < end && !atomic_load_explicit(&s->stop, memory_order_relaxed); u++)
    stray_user(s, u, worker);
}

static int stray_poll(void *arg) {
  Stray *s = arg;
  PllmStop stop = {&s->stop, s->run};
  return pllm_stopped(&stop);
}

/* The users' log evidence for 4^(i - 3), added up. */
static PllmStatus weigh(Stray *s, size_t users, int i, double *sum, PllmError *err) {
  PllmRun run = pllm_core_run(s->run, stray_poll, s);
  PllmStatus status;
  s->lambda = 1.0 / 64;
  for (int k = 0; k < i; k++) s->lambda *= 4;
  memset(s->evidence, 0, users * sizeof *s->evidence);
  status = pllm_parallel(&run, users, 1, stray_body, s, err);
  if (status == PLLM_OK && atomic_load(&s->stop)) status = pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  *sum = 0;
  for (size_t u = 0; u < users; u++) *sum += s->evidence[u];
  return status;
}

/* Uphill on the grid from lambda 4: the evidence has one maximum in practice. */
static PllmStatus climb(Stray *s, size_t users, double *user_lambda, PllmError *err) {
  double value[LAMBDAS];
  int known[LAMBDAS] = {0}, at = 4;
  for (;;) {
    int best = at;
    for (int i = at > 0 ? at - 1 : 0; i <= at + 1 && i < LAMBDAS; i++) {
      PllmStatus status = known[i] ? PLLM_OK : weigh(s, users, i, &value[i], err);
      if (status != PLLM_OK) return status;
      known[i] = 1;
    }
    for (int i = at > 0 ? at - 1 : 0; i <= at + 1 && i < LAMBDAS; i++)
      if (value[i] > value[best]) best = i;
    if (best == at) break;
    at = best;
  }
  *user_lambda = 1.0 / 64;
  for (int k = 0; k < at; k++) *user_lambda *= 4;
  return PLLM_OK;
}

static PllmStatus find_user_lambda(const Pooled *p, const double *weights, double *user_lambda, PllmError *err) {
  const PllmCrowd *c = p->crowd;
  size_t users = c->users < SAMPLE ? c->users : SAMPLE, most = 0, rows;
  int threads = pllm_run_threads(p->run);
  Stray s = {.crowd = c, .options = p->options, .weights = weights, .scale = p->pairs->scale, .run = p->run};
  PllmStatus status = PLLM_OK;
  for (size_t u = 0; u < users; u++)
    if (c->first[u + 1] - c->first[u] > most) most = c->first[u + 1] - c->first[u];
  rows = c->form == PLLM_PAIRS ? 2 * most : most;
  s.fit_at = (pllm_evidence_bytes(c->form, most, c->dim) + 63) / 64 * 64;
  s.bytes = (s.fit_at + rows * sizeof(double) + pllm_fit_bytes(rows, c->dim) + 63) / 64 * 64;
  atomic_init(&s.stop, 0);
  s.builder = pllm_alloc_zero((size_t)threads, sizeof *s.builder);
  s.memory = pllm_alloc_aligned((size_t)threads, s.bytes);
  s.evidence = pllm_alloc(users, sizeof *s.evidence);
  if (!s.builder || !s.memory || !s.evidence) status = pllm_fail_nomem(err);
  for (int t = 0; status == PLLM_OK && t < threads; t++)
    if (!(s.builder[t] = pllm_crowd_builder(c))) status = pllm_fail_nomem(err);
  if (status == PLLM_OK) status = climb(&s, users, user_lambda, err);
  for (int t = 0; s.builder && t < threads; t++) pllm_feedback_free(s.builder[t]);
  pllm_free(s.builder);
  pllm_free_aligned(s.memory);
  pllm_free(s.evidence);
  return status;
}

/* ---- the method ---- */

static PllmStatus fit(Pooled *p, PllmModel *model, PllmError *err) {
  const PllmLearnOptions *o = p->options;
  size_t dim = p->crowd->dim;
  PllmLbfgs problem = {.n = dim, .value = value, .arg = p, .most = o->iterations, .tolerance = 1e-9};
  double *weights, *scale, *lambda;
  PllmStatus status = pllm_model_add(model, "weights", 1, dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(model, "scale", 1, 1, &scale, err);
  if (status == PLLM_OK) status = pllm_model_add(model, "user_lambda", 1, 1, &lambda, err);
  if (status != PLLM_OK) return status;
  problem.history = pllm_alloc((size_t)o->iterations * 2, sizeof *problem.history);
  if (!problem.history) return pllm_fail_nomem(err);
  status = pllm_lbfgs(&problem, weights, err);
  if (status == PLLM_OK) {
    for (size_t b = 0; b < dim; b++) weights[b] *= p->pairs->scale;
    *scale = p->pairs->scale;
    status = find_user_lambda(p, weights, lambda, err);
  }
  if (status == PLLM_OK) status = pllm_learn_history(model, problem.history, problem.iterations, err);
  model->objective = problem.objective;
  model->iterations = problem.iterations;
  model->flags |= PLLM_MODEL_OBJECTIVE | (problem.converged ? PLLM_MODEL_CONVERGED : 0);
  pllm_free(problem.history);
  return status;
}

PllmStatus pllm_learn_pooled(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *model,
                             PllmError *err) {
  Pooled p = {.crowd = crowd, .options = o, .run = run};
  PllmStatus status = pllm_learn_pairs(crowd, o, run, model, &p.pairs, err);
  if (status != PLLM_OK) return status;
  status = pllm_pair_loss_new(&p.loss, &crowd->pool, p.pairs, 1, 1, err);
  p.share = pllm_alloc(p.pairs->users, sizeof *p.share);
  p.z = pllm_alloc(crowd->pool.padded, sizeof *p.z);
  if (status == PLLM_OK && (!p.share || !p.z)) status = pllm_fail_nomem(err);
  for (size_t u = 0; status == PLLM_OK && u < p.pairs->users; u++) p.share[u] = 1 / (double)p.pairs->count;
  p.loss.share = p.share;
  if (status == PLLM_OK) status = fit(&p, model, err);
  pllm_pair_loss_free(&p.loss);
  pllm_pairs_free(p.pairs);
  pllm_free(p.share);
  pllm_free(p.z);
  return status;
}
