/*
** core_learn_neighbors.c: the historical users themselves as a model.
**
** A profile for each user: L2-regularised Bradley-Terry on that user's feedback alone, with features scaled to a
** root mean square of 1 within that user's choice sets (as adapt_user does it), in the features' own units.  Nothing
** ties one user to another, so models of different users merge exactly.
**
** A new user is explained by them as CoPL explains unseen users (arXiv 2503.01658):  l_j is the mean of log
** sigma(s_j(a) - s_j(b)) over the new user's pairs under the utility s_j of profile j, and the weights are sum_j
** softmax(l / temperature)_j profile_j.
**
**   sections: weights [1][dim], the mean profile; users [rank][2], the high and low 32 bits of user_id; profiles
**   [rank][dim]
**
** Cost: a Newton fit a user; a new user takes O(users (dim rows + pairs)).
*/
#include "core_apply.h"
#include "core_fit.h"
#include "core_learn.h"
#include "core_math.h"
#include "core_model.h"

#include <string.h>

PllmStatus pllm_neighbors_check(const PllmModel *m, PllmError *err) {
  const double *users = pllm_model_numbers(m, "users");
  if (m->rank == 0) return pllm_fail(err, PLLM_INVALID, "it has no users");
  for (size_t i = 0; i < 2 * m->rank; i++)
    if (!(users[i] >= 0 && users[i] <= UINT32_MAX && users[i] == floor(users[i])))
      return pllm_fail(err, PLLM_INVALID, "user %zu has no whole number as id", i / 2 + 1);
  return PLLM_OK;
}

/* ---- a new user ---- */

void pllm_apply_neighbors(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                          double *w) {
  const PllmModel *m = o->model;
  const double *profiles = pllm_model_numbers(m, "profiles");
  double *share = (double *)(void *)(memory + pllm_duels_bytes(v->rows, 1)), one = 1, gradient;
  PllmDuels d;
  if (!v->informative) {
    memcpy(w, pllm_model_numbers(m, "weights"), m->dim * sizeof *w);
    return;
  }
  for (size_t j = 0; j < m->rank; j++) {
    if (j % 16 == 0 && pllm_stopped(stop)) return;
    pllm_duels_init(&d, v, o->implied, profiles + j * m->dim, 1, 1, memory);
    share[j] = -pllm_duels_loss(&d, &one, &gradient) / o->temperature;
  }
  pllm_softmax(share, m->rank, share);
  pllm_mix(profiles, share, m->rank, m->dim, w);
}

/* ---- many users ---- */

typedef struct Profiling {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmFeedback **builder; /* [threads] */
  char *memory;           /* [threads][bytes] */
  size_t bytes, fit_at;
  double *profiles;     /* [users][dim] */
  unsigned char *known; /* [users] */
  atomic_int stop;
} Profiling;

static void profile_body(void *arg, size_t begin, size_t end, int worker) {
  Profiling *p = arg;
  char *memory = p->memory + (size_t)worker * p->bytes;
  PllmStop stop = {&p->stop, worker == 0 ? p->run : NULL};
  for (size_t u = begin; u < end && !atomic_load_explicit(&p->stop, memory_order_relaxed); u++) {
    PllmEvidence v;
    PllmFit fit;
    pllm_crowd_feedback(p->crowd, u, p->builder[worker]);
    if (pllm_evidence_build(p->builder[worker], 0, memory, &v, NULL) != PLLM_OK || !v.informative) continue;
    pllm_fit_init(&fit, &v, memory + p->fit_at, &stop);
    pllm_fit_solve(&fit, p->options->implied ? PLLM_TERMS_IMPLIED : PLLM_TERMS_GIVEN, p->options->lambda);
    pllm_fit_add(&fit, v.scale, p->profiles + u * p->crowd->dim);
    p->known[u] = 1;
  }
}

static int profile_poll(void *arg) {
  Profiling *p = arg;
  PllmStop stop = {&p->stop, p->run};
  return pllm_stopped(&stop);
}

static PllmStatus find_profiles(Profiling *p, PllmError *err) {
  const PllmCrowd *c = p->crowd;
  size_t most = 0, rows;
  PllmRun run = pllm_core_run(p->run, profile_poll, p);
  int threads = run.threads;
  PllmStatus status = PLLM_OK;
  for (size_t u = 0; u < c->users; u++)
    if (c->first[u + 1] - c->first[u] > most) most = c->first[u + 1] - c->first[u];
  rows = c->form == PLLM_PAIRS ? 2 * most : most;
  p->fit_at = (pllm_evidence_bytes(c->form, most, c->dim) + 63) / 64 * 64;
  p->bytes = (p->fit_at + pllm_fit_bytes(rows, c->dim) + 63) / 64 * 64;
  p->builder = pllm_alloc_zero((size_t)threads, sizeof *p->builder);
  p->memory = pllm_alloc_aligned((size_t)threads, p->bytes);
  p->profiles = c->users > SIZE_MAX / 8 / c->dim ? NULL : pllm_alloc_zero(c->users * c->dim, sizeof *p->profiles);
  p->known = pllm_alloc_zero(c->users, 1);
  if (!p->builder || !p->memory || !p->profiles || !p->known) return pllm_fail_nomem(err);
  for (int t = 0; t < threads; t++)
    if (!(p->builder[t] = pllm_crowd_builder(c))) return pllm_fail_nomem(err);
  status = pllm_parallel(&run, c->users, 4, profile_body, p, err);
  return status == PLLM_OK && atomic_load(&p->stop) ? pllm_fail(err, PLLM_INTERRUPTED, "interrupted") : status;
}

void pllm_mean_profile(const double *profiles, size_t users, size_t dim, double *weights) {
  memset(weights, 0, dim * sizeof *weights);
  for (size_t u = 0; u < users; u++)
    for (size_t b = 0; b < dim; b++) weights[b] += profiles[u * dim + b] / (double)users;
}

static PllmStatus fill(const Profiling *p, PllmModel *m, PllmError *err) {
  const PllmCrowd *c = p->crowd;
  double *weights, *users, *profiles;
  size_t at = 0;
  PllmStatus status;
  m->rank = 0;
  for (size_t u = 0; u < c->users; u++) m->rank += p->known[u];
  if (m->rank == 0) return pllm_fail(err, PLLM_INVALID, PLLM_NOTHING_TO_LEARN);
  m->users = m->rank;
  m->users_skipped = c->users - m->rank;
  m->flags |= PLLM_MODEL_CONVERGED;
  status = pllm_model_add(m, "weights", 1, c->dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "users", m->rank, 2, &users, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "profiles", m->rank, c->dim, &profiles, err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < c->users; u++) {
    uint64_t id = (uint64_t)c->rows[c->first[u]].user;
    if (!p->known[u]) continue;
    users[2 * at] = (double)(id >> 32);
    users[2 * at + 1] = (double)(id & 0xFFFFFFFFu);
    memcpy(profiles + at++ * c->dim, p->profiles + u * c->dim, c->dim * sizeof *profiles);
  }
  pllm_mean_profile(profiles, m->rank, c->dim, weights);
  return PLLM_OK;
}

PllmStatus pllm_learn_neighbors(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *m,
                                PllmError *err) {
  Profiling p = {.crowd = crowd, .options = o, .run = run};
  int threads = pllm_run_threads(run);
  PllmStatus status;
  atomic_init(&p.stop, 0);
  status = find_profiles(&p, err);
  if (status == PLLM_OK) status = fill(&p, m, err);
  for (int t = 0; p.builder && t < threads; t++) pllm_feedback_free(p.builder[t]);
  pllm_free(p.builder);
  pllm_free_aligned(p.memory);
  pllm_free(p.profiles);
  pllm_free(p.known);
  return status;
}
