/*
** core_preference.c: one user's posterior as a model, and as draws; core_answer.c says what follows from them.
**
** The model is what the posterior follows from, never samples of it: the evidence as the estimators see it (what was
** shown, centred by choice set and scaled), the prior's settings or its numbers where it was learned, and the
** sampler's seed.  From these the draws are made again, the same on every machine.
**
**   sections: weights [1][dim], the estimate; x [rows][dim], the evidence; sets [sets][5] of (first row, rows, best,
**   worst, weight), best and worst from 0, -1 where not said; scale, of x to the features; settings [1][3] of (1 for
**   a Gaussian prior, alpha, sharpness, the latter 0 where not set); and for a learned prior those of kind prior as
**   prior_mean, prior_alpha, prior_sharpness
*/
#include "core_preference.h"
#include "core_fit.h"
#include "core_learn.h"
#include "core_math.h"
#include "core_model.h"

#include <string.h>

enum { SET_COLUMNS = 5 };

/* ---- as a model ---- */

static PllmStatus copy_prior(const PllmModel *prior, PllmModel *m, PllmError *err) {
  static const char *const from[] = {"weights", "alpha", "sharpness"};
  static const char *const to[] = {"prior_mean", "prior_alpha", "prior_sharpness"};
  for (int i = 0; i < 3; i++) {
    const PllmSection *s = pllm_model_section(prior, from[i]);
    double *numbers;
    PllmStatus status = pllm_model_add(m, to[i], s->rows, s->columns, &numbers, err);
    if (status != PLLM_OK) return status;
    memcpy(numbers, s->numbers, s->rows * s->columns * sizeof *numbers);
  }
  return PLLM_OK;
}

static double place(size_t i) {
  return i == PLLM_NONE ? -1 : (double)i;
}

PllmStatus pllm_posterior_model(const PllmAdaptOptions *o, int gaussian, const PllmEvidence *v, const double *weights,
                                int f32, PllmModel **out, PllmError *err) {
  PllmModel *m = NULL;
  size_t sets = v->informative ? v->sets : 0, rows = 0;
  double *numbers, *x, *set;
  PllmStatus status;
  for (size_t i = 0; i < sets; i++) rows += v->set[i].rows;
  *out = NULL;
  status = pllm_model_new(PLLM_MODEL_POSTERIOR, v->dim, 0, &m, err);
  if (status == PLLM_OK) status = pllm_model_set_options(m, "{\"method\":\"posterior\"}", err);
  if (status == PLLM_OK && o->model && o->model->features)
    status = pllm_model_set_features(m, (const char *const *)o->model->features, v->dim, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "weights", 1, v->dim, &numbers, err);
  if (status == PLLM_OK) memcpy(numbers, weights, v->dim * sizeof *numbers);
  if (status == PLLM_OK) status = pllm_model_add(m, "x", rows, v->dim, &x, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "sets", sets, SET_COLUMNS, &set, err);
  rows = 0;
  for (size_t i = 0; status == PLLM_OK && i < sets; i++, set += SET_COLUMNS) {
    const PllmSet *s = &v->set[i];
    set[0] = (double)rows;
    set[1] = (double)s->rows;
    set[2] = place(s->best);
    set[3] = place(s->worst);
    set[4] = s->weight;
    memcpy(x + rows * v->dim, v->x + s->first * v->dim, s->rows * v->dim * sizeof *x);
    rows += s->rows;
  }
  if (status == PLLM_OK) status = pllm_model_add(m, "scale", 1, 1, &numbers, err);
  if (status == PLLM_OK) *numbers = v->informative ? v->scale : 1;
  if (status == PLLM_OK) status = pllm_model_add(m, "settings", 1, 3, &numbers, err);
  if (status == PLLM_OK) {
    numbers[0] = gaussian;
    numbers[1] = o->alpha;
    numbers[2] = o->sharpness;
  }
  if (status == PLLM_OK && o->model) status = copy_prior(o->model, m, err);
  if (status != PLLM_OK) {
    pllm_model_free(m);
    return status;
  }
  m->seed = o->seed;
  m->flags = PLLM_MODEL_CONVERGED | (f32 ? PLLM_MODEL_F32 : 0);
  m->users = 1;
  m->rows = rows;
  *out = m;
  return PLLM_OK;
}

static int whole(double x, double least, double most) {
  return x >= least && x <= most && x == floor(x);
}

PllmStatus pllm_posterior_check(const PllmModel *m, PllmError *err) {
  const PllmSection *x = pllm_model_section(m, "x"), *sets = pllm_model_section(m, "sets");
  const double *settings = pllm_model_numbers(m, "settings"), scale = *pllm_model_numbers(m, "scale");
  const PllmSection *mean = pllm_model_section(m, "prior_mean"), *alpha = pllm_model_section(m, "prior_alpha");
  const PllmSection *sharp = pllm_model_section(m, "prior_sharpness");
  size_t at = 0;
  for (size_t i = 0; i < sets->rows; i++) {
    const double *s = sets->numbers + i * SET_COLUMNS;
    if (!whole(s[1], 2, (double)(x->rows - at)) || s[0] != (double)at || !whole(s[2], -1, s[1] - 1) ||
        !whole(s[3], -1, s[1] - 1) || (s[2] == s[3]) || !(s[4] > 0 && s[4] <= 1))
      return pllm_fail(err, PLLM_INVALID, "choice set %zu of its evidence", i + 1);
    at += (size_t)s[1];
  }
  if (at != x->rows) return pllm_fail(err, PLLM_INVALID, "rows of evidence outside choice sets");
  for (size_t i = 0; i < x->rows * x->columns; i++)
    if (fabs(x->numbers[i]) > 1e9) return pllm_fail(err, PLLM_INVALID, "evidence that is not scaled");
  if (!(scale > 0) || !whole(settings[0], 0, 1) || (settings[0] == 0 && m->dim > PLLM_MAX_MODELS) ||
      (settings[1] != 0 && !(settings[1] >= 1e-3 && settings[1] <= 1e3)) ||
      (settings[2] != 0 && !(settings[2] >= 1e-3 && settings[2] <= 1e9)))
    return pllm_fail(err, PLLM_INVALID, "the settings of its prior");
  if (!mean != !alpha || !mean != !sharp || (mean && (settings[0] != 0 || settings[1] != 0 || settings[2] != 0)))
    return pllm_fail(err, PLLM_INVALID, "half a learned prior");
  return mean ? pllm_prior_numbers(m->dim, mean, alpha, sharp, err) : PLLM_OK;
}

/* ---- as draws ---- */

void pllm_preference_free(PllmPreference *p) {
  if (!p) return;
  pllm_free(p->share);
  pllm_free(p->w);
  pllm_free(p->terms);
  pllm_free(p->weight);
  pllm_free(p->sharpness);
  pllm_free(p->basis);
  for (size_t i = 0; i < PLLM_SCALES; i++) {
    pllm_free(p->laplace[i].w);
    pllm_free(p->laplace[i].factor);
  }
  pllm_free(p);
}

/* Room for one more draw and its terms. */
static int make_room(PllmPreference *p) {
  size_t room = p->room ? 2 * p->room : 1024, more = p->more ? 2 * p->more : 8192;
  void *a = p->share, *b = p->w, *c = p->terms, *d = p->weight, *e = p->sharpness;
  if (p->count == p->room) {
    if ((a = pllm_resize(p->share, room, sizeof *p->share))) p->share = a;
    if ((b = pllm_resize(p->w, room * p->dim, sizeof *p->w))) p->w = b;
    if ((c = pllm_resize(p->terms, room, sizeof *p->terms))) p->terms = c;
    if (a && b && c) p->room = room;
  }
  if (p->used + PLLM_SHARPNESSES > p->more) {
    if ((d = pllm_resize(p->weight, more, sizeof *p->weight))) p->weight = d;
    if ((e = pllm_resize(p->sharpness, more, sizeof *p->sharpness))) p->sharpness = e;
    if (d && e) p->more = more;
  }
  return a && b && c && d && e;
}

static void keep(void *arg, double share, const double *w, size_t stride, const double *sharp) {
  PllmPreference *p = arg;
  double b = p->scale;
  if (p->failed || (p->failed = !make_room(p))) return;
  p->share[p->count] = share;
  for (size_t k = 0; k < p->dim; k++) p->w[p->count * p->dim + k] = w[k * stride];
  if (p->own_sharpness > 0) {
    p->weight[p->used] = share;
    p->sharpness[p->used++] = p->own_sharpness * p->scale;
  }
  for (int k = 0; k < PLLM_SHARPNESSES && !(p->own_sharpness > 0); k++, b *= 2) {
    if (!(sharp[k] > 1e-12)) continue;
    p->weight[p->used] = share * sharp[k];
    p->sharpness[p->used++] = b;
  }
  p->terms[p->count++] = p->used;
}

/* The evidence of a model, in memory of its own. */
static PllmStatus open_evidence(const PllmModel *m, PllmEvidence *v, PllmError *err) {
  const PllmSection *x = pllm_model_section(m, "x"), *sets = pllm_model_section(m, "sets");
  memset(v, 0, sizeof *v);
  v->dim = m->dim;
  v->rows = x->rows;
  v->sets = sets->rows;
  v->informative = sets->rows > 0;
  v->scale = *pllm_model_numbers(m, "scale");
  v->x = x->numbers; /* borrowed, and only read */
  v->set = pllm_alloc(sets->rows, sizeof *v->set);
  if (!v->set) return pllm_fail_nomem(err);
  for (size_t i = 0; i < sets->rows; i++) {
    const double *s = sets->numbers + i * SET_COLUMNS;
    v->set[i] = (PllmSet){.first = (size_t)s[0],
                          .rows = (size_t)s[1],
                          .best = s[2] < 0 ? PLLM_NONE : (size_t)s[2],
                          .worst = s[3] < 0 ? PLLM_NONE : (size_t)s[3],
                          .weight = s[4]};
  }
  return PLLM_OK;
}

static PllmStatus draw_dirichlet(PllmPreference *p, const PllmModel *m, const PllmEvidence *v, const PllmStop *stop,
                                 PllmError *err) {
  const double *settings = pllm_model_numbers(m, "settings");
  PllmOnlooker onlooker = {keep, p, 0};
  PllmParticles *particles;
  PllmPriorShape shape;
  int learned = pllm_model_section(m, "prior_mean") != NULL;
  double *mean, total = 0;
  void *memory;
  PllmStatus status;
  if (learned)
    pllm_prior_shape_of(m->dim, pllm_model_numbers(m, "prior_mean"), pllm_model_numbers(m, "prior_alpha"),
                        pllm_model_numbers(m, "prior_sharpness"), &shape);
  status = pllm_particles_new(m->dim, settings[1], settings[2], m->seed, learned ? &shape : NULL, &particles, err);
  if (status != PLLM_OK) return status;
  p->own_sharpness = settings[2];
  memory = pllm_alloc_aligned(pllm_posterior_bytes(m->dim, v->rows), 1);
  mean = pllm_alloc(m->dim, sizeof *mean);
  if (memory && mean)
    pllm_posterior_mean(particles, v, memory, stop, &onlooker, mean);
  else
    status = pllm_fail_nomem(err);
  for (size_t i = 0; i < p->count; i++) total += p->share[i];
  for (size_t i = 0; i < p->count; i++) p->share[i] /= total;
  for (size_t i = 0; i < p->used; i++) p->weight[i] /= total;
  if (p->failed) status = pllm_fail_nomem(err);
  pllm_free_aligned(memory);
  pllm_free(mean);
  pllm_particles_free(particles);
  return status;
}

/* An orthonormal basis of the rows' span: the pivots' rows, made orthonormal in the order of the pivots, which is what the
** fit's coordinates are. */
static PllmStatus find_basis(PllmPreference *p, const PllmFit *fit, PllmError *err) {
  size_t n = fit->rank, dim = p->dim;
  p->basis = pllm_alloc(n * dim, sizeof *p->basis);
  if (!p->basis) return pllm_fail_nomem(err);
  for (size_t k = 0; k < n; k++) {
    const double *row = fit->evidence->x + fit->pivot[k] * dim, *z = fit->z + fit->pivot[k] * n;
    double *q = p->basis + k * dim;
    memcpy(q, row, dim * sizeof *q);
    for (size_t j = 0; j < k; j++)
      for (size_t b = 0; b < dim; b++) q[b] -= z[j] * p->basis[j * dim + b];
    for (size_t b = 0; b < dim; b++) q[b] /= z[k];
  }
  return PLLM_OK;
}

static PllmStatus fit_gaussian(PllmPreference *p, const PllmModel *m, const PllmEvidence *v, const PllmStop *stop,
                               PllmError *err) {
  double sharpness = pllm_model_numbers(m, "settings")[2], evidence[PLLM_SCALES], most = 0, sum = 0;
  void *memory = pllm_alloc_aligned(pllm_fit_bytes(v->rows, v->dim), 1);
  PllmFit fit;
  PllmStatus status = memory ? PLLM_OK : pllm_fail_nomem(err);
  p->scales = sharpness > 0 ? 1 : PLLM_SCALES;
  if (status == PLLM_OK && v->informative) {
    pllm_fit_init(&fit, v, memory, stop);
    p->rank = fit.rank;
    p->reduced = fit.reduced;
    if (fit.reduced) status = find_basis(p, &fit, err);
  }
  for (size_t k = 0; status == PLLM_OK && k < p->scales; k++) {
    PllmLaplace *l = &p->laplace[k];
    double b = sharpness > 0 ? sharpness : 0.5;
    for (size_t i = 0; !(sharpness > 0) && i < k; i++) b *= 2;
    l->lambda = (double)v->dim / (b * b);
    evidence[k] = 0;
    if (v->informative) {
      l->w = pllm_alloc(p->rank, sizeof *l->w);
      l->factor = pllm_alloc(p->rank * p->rank, sizeof *l->factor);
      if (!l->w || !l->factor) status = pllm_fail_nomem(err);
      if (status != PLLM_OK) break;
      evidence[k] = pllm_fit_solve(&fit, PLLM_TERMS_SET, l->lambda);
      memcpy(l->w, fit.w, p->rank * sizeof *l->w);
      memcpy(l->factor, fit.hessian, p->rank * p->rank * sizeof *l->factor);
    }
    if (k == 0 || evidence[k] > most) most = evidence[k];
  }
  for (size_t k = 0; status == PLLM_OK && k < p->scales; k++)
    sum += p->laplace[k].share = pllm_exp1(evidence[k] - most);
  for (size_t k = 0; status == PLLM_OK && k < p->scales; k++) p->laplace[k].share /= sum;
  pllm_free_aligned(memory);
  return status;
}

PllmStatus pllm_preference_new(const PllmModel *m, const PllmRun *run, PllmPreference **out, PllmError *err) {
  PllmPreference *p;
  PllmEvidence v;
  atomic_int flag;
  PllmStop stop = {&flag, run};
  PllmStatus status;
  *out = NULL;
  if (m->kind != PLLM_MODEL_POSTERIOR)
    return pllm_fail(err, PLLM_INVALID,
                     "a model of kind %s; a posterior, as adapt_user gives with {\"return\": \"model\"}, is required",
                     pllm_model_kind_name(m->kind));
  atomic_init(&flag, 0);
  status = open_evidence(m, &v, err);
  if (status != PLLM_OK) return status;
  p = pllm_alloc_zero(1, sizeof *p);
  if (p) {
    p->dim = m->dim;
    p->scale = v.scale;
    p->gaussian = pllm_model_numbers(m, "settings")[0] != 0;
    status = p->gaussian ? fit_gaussian(p, m, &v, &stop, err) : draw_dirichlet(p, m, &v, &stop, err);
    if (status == PLLM_OK && atomic_load(&flag)) status = pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  } else {
    status = pllm_fail_nomem(err);
  }
  pllm_free(v.set);
  if (status != PLLM_OK) {
    pllm_preference_free(p);
    return status;
  }
  *out = p;
  return PLLM_OK;
}
