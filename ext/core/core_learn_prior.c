/*
** core_learn_prior.c: empirical Bayes: the prior of `posterior` (core_posterior.c), learned from users' feedback.
**
** What is learned of a population: how sparse its users' weights are, how sharp their choices, and which reward
** models they favour on the whole.  Weights are Dirichlet(alpha dim m), alpha from a grid of ten with probabilities
** share[g], m their mean; sharpness is 2^k, k = 0..9, with probabilities sharp[k].
**
** EM, in rounds.  Each round samples every user's posterior under the prior of the round before, four parts of it to
** one of the prior that it starts from (all shares equal, sharp[k] in proportion to 2^(k/4), m = 1/dim), so that
** users whom it does not expect are sampled well too.  That gives tables T_u[g][k], the posterior probability of
** each alpha and sharpness (given w exactly, averaged over the draws of w).  The EM for the shares then needs no
** more sampling:
**     r_u(g,k) ~ T_u[g][k] share_g sharp_k / (the same of the sampling prior),  share_g = mean of r_u(g), sharp_k
**     likewise,
** with pseudo-counts, even over the grid, of one user and a fiftieth of all, until nothing changes by 1e-6.  m is
** the mean of the posterior means, drawn to 1/dim by as much of its spread as chance would give (the positive-part
** James-Stein estimator; all of it where no more is seen than chance gives, and then the prior is even).  All but
** the last round look at 512 users at most.
**   objective   mean over users of the log probability of their choices under the prior, as the sampler estimates it
**   criterion   the largest change of a share, sharp or m since the round before; converged below .1
**
**   sections: weights [1][dim] = m; alpha [10][2], alpha and share; sharpness [10][2], sharpness and probability;
**   history
** At most 4 KiB, but for names.
**
** Cost: one posterior a user and round, on all threads.
*/
#include "core_learn.h"
#include "core_math.h"
#include "core_model.h"
#include "core_posterior.h"

#include <string.h>

#define PSEUDO_USERS 0.02 /* for each user: anybody may be of any kind */
#define DEFENCE 0.2       /* of the starting prior, in the one that is sampled from */

enum { TABLE = PLLM_GROUPS * PLLM_SHARPNESSES, FEW = 512, MOST_STEPS = 1000 };

static const double grid[PLLM_GROUPS] = {.01, .02, .04, .08, .15, .3, .6, 1.2, 2.5, 5};

/* log of the gamma function for x > 0, to 1e-13: Stirling's series beyond 8, by recurrence before. */
static double log_gamma(double x) {
  double product = 1, y;
  for (; x < 8; x++) product *= x;
  y = 1 / (x * x);
  return (x - 0.5) * pllm_log1(x) - x + 0.91893853320467274178 - pllm_log1(product) +
         (1.0 / 12 - y * (1.0 / 360 - y * (1.0 / 1260 - y * (1.0 / 1680 - y * (1.0 / 1188))))) / x;
}

/* ---- the prior as a model ---- */

void pllm_prior_shape_of(size_t dim, const double *mean, const double *alpha, const double *sharp,
                         PllmPriorShape *shape) {
  memset(shape, 0, sizeof *shape);
  shape->dim = dim;
  shape->even = 1;
  for (int g = 0; g < PLLM_GROUPS; g++) {
    shape->alpha[g] = alpha[2 * g];
    shape->share[g] = alpha[2 * g + 1];
  }
  for (int k = 0; k < PLLM_SHARPNESSES; k++) shape->sharp[k] = sharp[2 * k + 1];
  for (size_t b = 0; b < dim; b++) shape->even = shape->even && mean[b] == mean[0];
  for (size_t b = 0; b < dim; b++) shape->tilt[b] = shape->even ? 1 : mean[b] * (double)dim;
}

void pllm_prior_shape(const PllmModel *m, PllmPriorShape *shape) {
  pllm_prior_shape_of(m->dim, pllm_model_numbers(m, "weights"), pllm_model_numbers(m, "alpha"),
                      pllm_model_numbers(m, "sharpness"), shape);
}

static int adds_up(const double *p, size_t n, size_t stride) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    if (!(p[i * stride] >= 0)) return 0;
    sum += p[i * stride];
  }
  return fabs(sum - 1) < 1e-9;
}

PllmStatus pllm_prior_numbers(size_t dim, const PllmSection *mean, const PllmSection *alpha, const PllmSection *sharp,
                              PllmError *err) {
  if (dim > PLLM_MAX_MODELS || alpha->rows != PLLM_GROUPS || sharp->rows != PLLM_SHARPNESSES)
    return pllm_fail(err, PLLM_INVALID, "a prior of %zu features, %zu alphas and %zu sharpnesses", dim, alpha->rows,
                     sharp->rows);
  for (size_t b = 0; b < dim; b++)
    if (!(mean->numbers[b] >= 1e-9))
      return pllm_fail(err, PLLM_INVALID, "a prior's mean of feature %zu is too small", b + 1);
  for (size_t g = 0; g < PLLM_GROUPS; g++)
    if (!(alpha->numbers[2 * g] >= 1e-3 && alpha->numbers[2 * g] <= 1e3))
      return pllm_fail(err, PLLM_INVALID, "a prior's alpha %zu is not from 0.001 to 1000", g + 1);
  if (!adds_up(mean->numbers, dim, 1) || !adds_up(alpha->numbers + 1, PLLM_GROUPS, 2) ||
      !adds_up(sharp->numbers + 1, PLLM_SHARPNESSES, 2))
    return pllm_fail(err, PLLM_INVALID, "a prior's probabilities do not add up to 1");
  return PLLM_OK;
}

PllmStatus pllm_prior_check(const PllmModel *m, PllmError *err) {
  return pllm_prior_numbers(m->dim, pllm_model_section(m, "weights"), pllm_model_section(m, "alpha"),
                            pllm_model_section(m, "sharpness"), err);
}

/* ---- one round of sampling ---- */

/* One user under the onlooker: the table of the draws' alphas and sharpnesses. */
typedef struct Look {
  const PllmPriorShape *shape;
  const double *constant; /* [PLLM_GROUPS]: of each group's log density, with the log of its share */
  double *table;          /* [PLLM_GROUPS][PLLM_SHARPNESSES] */
} Look;

static void look(void *arg, double share, const double *w, size_t stride, const double *sharp) {
  const Look *l = arg;
  double total = 0, most = -HUGE_VAL, log_density[PLLM_GROUPS], sum = 0;
  for (size_t b = 0; b < l->shape->dim; b++) {
    double x = w[b * stride];
    total += l->shape->tilt[b] * (x > 1e-299 ? pllm_log1(x) : -690.0);
  }
  for (int g = 0; g < PLLM_GROUPS; g++) {
    if (!(l->shape->share[g] > 0)) continue;
    log_density[g] = l->constant[g] + l->shape->alpha[g] * total;
    most = log_density[g] > most ? log_density[g] : most;
  }
  for (int g = 0; g < PLLM_GROUPS; g++) {
    log_density[g] = l->shape->share[g] > 0 ? pllm_exp1(log_density[g] - most) : 0;
    sum += log_density[g];
  }
  for (int g = 0; g < PLLM_GROUPS; g++)
    for (int k = 0; k < PLLM_SHARPNESSES; k++)
      l->table[g * PLLM_SHARPNESSES + k] += share * log_density[g] / sum * sharp[k];
}

typedef struct Round {
  const PllmCrowd *crowd;
  const PllmRun *run;
  const PllmPriorShape *shape;
  const PllmParticles *particles;
  double constant[PLLM_GROUPS];
  size_t users, stride;   /* users looked at: every stride-th */
  double *tables;         /* [users][TABLE] */
  double *means;          /* [users][dim] */
  double *evidence;       /* [users] */
  unsigned char *known;   /* [users] */
  PllmFeedback **builder; /* [threads] */
  char *memory;           /* [threads][bytes] */
  size_t bytes, posterior_at;
  atomic_int stop;
} Round;

static void round_body(void *arg, size_t begin, size_t end, int worker) {
  Round *r = arg;
  char *memory = r->memory + (size_t)worker * r->bytes;
  PllmStop stop = {&r->stop, worker == 0 ? r->run : NULL};
  for (size_t i = begin; i < end && !atomic_load_explicit(&r->stop, memory_order_relaxed); i++) {
    Look l = {r->shape, r->constant, r->tables + i * TABLE};
    PllmOnlooker onlooker = {look, &l, 0};
    PllmEvidence v;
    pllm_crowd_feedback(r->crowd, i * r->stride, r->builder[worker]);
    memset(l.table, 0, TABLE * sizeof *l.table);
    r->known[i] = 0;
    if (pllm_evidence_build(r->builder[worker], 0, memory, &v, NULL) != PLLM_OK || !v.informative) continue;
    pllm_posterior_mean(r->particles, &v, memory + r->posterior_at, &stop, &onlooker, r->means + i * r->crowd->dim);
    r->evidence[i] = onlooker.evidence;
    r->known[i] = 1;
  }
}

static int round_poll(void *arg) {
  Round *r = arg;
  PllmStop stop = {&r->stop, r->run};
  return pllm_stopped(&stop);
}

static PllmStatus sample(Round *r, uint32_t seed, PllmError *err) {
  PllmRun run = pllm_core_run(r->run, round_poll, r);
  PllmParticles *particles;
  PllmStatus status;
  for (int g = 0; g < PLLM_GROUPS; g++) {
    double alpha = r->shape->alpha[g], share = r->shape->share[g], sum = 0;
    for (size_t b = 0; b < r->crowd->dim; b++) {
      sum += alpha * r->shape->tilt[b];
      r->constant[g] = b == 0 ? 0 : r->constant[g];
      r->constant[g] -= log_gamma(alpha * r->shape->tilt[b]);
    }
    r->constant[g] += log_gamma(sum) + (share > 0 ? pllm_log1(share) : 0);
  }
  status = pllm_particles_new(r->crowd->dim, 0, 0, seed, r->shape, &particles, err);
  if (status != PLLM_OK) return status;
  r->particles = particles;
  status = pllm_parallel(&run, r->users, 1, round_body, r, err);
  pllm_particles_free(particles);
  return status == PLLM_OK && atomic_load(&r->stop) ? pllm_fail(err, PLLM_INTERRUPTED, "interrupted") : status;
}

/* ---- what the samples say ---- */

/* EM for share and sharp from the tables that were sampled under `from`; returns the gain in mean log probability. */
static double maximise(const Round *r, const PllmPriorShape *from, PllmPriorShape *to) {
  double gain = 0, pseudo = 1;
  for (size_t u = 0; u < r->users; u++) pseudo += PSEUDO_USERS * r->known[u];
  for (int step = 0; step < MOST_STEPS; step++) {
    double share[PLLM_GROUPS], sharp[PLLM_SHARPNESSES], ratio[TABLE], users = 0, change = 0;
    for (int g = 0; g < PLLM_GROUPS; g++) share[g] = pseudo / PLLM_GROUPS;
    for (int k = 0; k < PLLM_SHARPNESSES; k++) sharp[k] = pseudo / PLLM_SHARPNESSES;
    for (int g = 0; g < PLLM_GROUPS; g++)
      for (int k = 0; k < PLLM_SHARPNESSES; k++)
        ratio[g * PLLM_SHARPNESSES + k] = to->share[g] / from->share[g] * (to->sharp[k] / from->sharp[k]);
    gain = 0;
    for (size_t u = 0; u < r->users; u++) {
      const double *t = r->tables + u * TABLE;
      double sum = 0;
      if (!r->known[u]) continue;
      for (int i = 0; i < TABLE; i++) sum += t[i] * ratio[i];
      for (int g = 0; g < PLLM_GROUPS; g++)
        for (int k = 0; k < PLLM_SHARPNESSES; k++) {
          double p = t[g * PLLM_SHARPNESSES + k] * ratio[g * PLLM_SHARPNESSES + k] / sum;
          share[g] += p;
          sharp[k] += p;
        }
      gain += pllm_log1(sum);
      users++;
    }
    for (int g = 0; g < PLLM_GROUPS; g++) {
      share[g] /= users + pseudo;
      change = fmax(change, fabs(share[g] - to->share[g]));
      to->share[g] = share[g];
    }
    for (int k = 0; k < PLLM_SHARPNESSES; k++) {
      sharp[k] /= users + pseudo;
      change = fmax(change, fabs(sharp[k] - to->sharp[k]));
      to->sharp[k] = sharp[k];
    }
    gain /= users;
    if (change < 1e-6) break;
  }
  return gain;
}

/* The mean of the users' means, drawn to 1/dim. */
static void centre(const Round *r, PllmPriorShape *to) {
  size_t dim = r->crowd->dim;
  double mean[PLLM_MAX_MODELS] = {0}, users = 0, spread = 0, chance = 0, keep;
  for (size_t u = 0; u < r->users; u++) {
    if (!r->known[u]) continue;
    users++;
    for (size_t b = 0; b < dim; b++) mean[b] += r->means[u * dim + b];
  }
  for (size_t b = 0; b < dim; b++) {
    mean[b] /= users;
    spread += (mean[b] - 1 / (double)dim) * (mean[b] - 1 / (double)dim);
    for (size_t u = 0; u < r->users; u++) {
      double d = r->known[u] ? r->means[u * dim + b] - mean[b] : 0;
      chance += d * d / (users * users);
    }
  }
  keep = spread > chance ? 1 - chance / spread : 0;
  to->even = keep == 0;
  for (size_t b = 0; b < dim; b++) {
    double m = 1 / (double)dim + keep * (mean[b] - 1 / (double)dim);
    to->tilt[b] = to->even ? 1 : (users * m * (double)dim + 1) / (users + 1);
  }
}

static double largest_change(const PllmPriorShape *a, const PllmPriorShape *b) {
  double change = 0;
  for (int g = 0; g < PLLM_GROUPS; g++) change = fmax(change, fabs(a->share[g] - b->share[g]));
  for (int k = 0; k < PLLM_SHARPNESSES; k++) change = fmax(change, fabs(a->sharp[k] - b->sharp[k]));
  for (size_t i = 0; i < a->dim; i++) change = fmax(change, fabs(a->tilt[i] - b->tilt[i]) / (double)a->dim);
  return change;
}

/* ---- the method ---- */

static PllmStatus prepare(Round *r, PllmError *err) {
  const PllmCrowd *c = r->crowd;
  int threads = pllm_run_threads(r->run);
  size_t most = 0, rows;
  for (size_t u = 0; u < c->users; u++)
    if (c->first[u + 1] - c->first[u] > most) most = c->first[u + 1] - c->first[u];
  rows = c->form == PLLM_PAIRS ? 2 * most : most;
  r->posterior_at = (pllm_evidence_bytes(c->form, most, c->dim) + 63) / 64 * 64;
  r->bytes = (r->posterior_at + pllm_posterior_bytes(c->dim, rows) + 63) / 64 * 64;
  r->tables = pllm_alloc(c->users * TABLE, sizeof *r->tables);
  r->means = pllm_alloc(c->users * c->dim, sizeof *r->means);
  r->evidence = pllm_alloc(c->users, sizeof *r->evidence);
  r->known = pllm_alloc_zero(c->users, 1);
  r->builder = pllm_alloc_zero((size_t)threads, sizeof *r->builder);
  r->memory = pllm_alloc_aligned((size_t)threads, r->bytes);
  if (!r->tables || !r->means || !r->evidence || !r->known || !r->builder || !r->memory) return pllm_fail_nomem(err);
  for (int t = 0; t < threads; t++)
    if (!(r->builder[t] = pllm_crowd_builder(c))) return pllm_fail_nomem(err);
  return PLLM_OK;
}

static void start(PllmPriorShape *shape, size_t dim) {
  double total = 0;
  memset(shape, 0, sizeof *shape);
  shape->dim = dim;
  shape->even = 1;
  for (int g = 0; g < PLLM_GROUPS; g++) {
    shape->alpha[g] = grid[g];
    shape->share[g] = 1.0 / PLLM_GROUPS;
  }
  for (int k = 0; k < PLLM_SHARPNESSES; k++) {
    shape->sharp[k] = k == 0 ? 1 : shape->sharp[k - 1] * 1.18920711500272106672; /* 2^(1/4) */
    total += shape->sharp[k];
  }
  for (int k = 0; k < PLLM_SHARPNESSES; k++) shape->sharp[k] /= total;
  for (size_t b = 0; b < dim; b++) shape->tilt[b] = 1;
}

static PllmStatus fill(const PllmPriorShape *shape, const double *history, PllmModel *m, PllmError *err) {
  double *weights, *alpha, *sharp, total = 0;
  PllmStatus status = pllm_model_add(m, "weights", 1, shape->dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "alpha", PLLM_GROUPS, 2, &alpha, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "sharpness", PLLM_SHARPNESSES, 2, &sharp, err);
  if (status == PLLM_OK) status = pllm_learn_history(m, history, m->iterations, err);
  if (status != PLLM_OK) return status;
  for (size_t b = 0; b < shape->dim; b++) total += shape->tilt[b];
  for (size_t b = 0; b < shape->dim; b++) weights[b] = shape->tilt[b] / total;
  for (int g = 0; g < PLLM_GROUPS; g++) {
    alpha[2 * g] = shape->alpha[g];
    alpha[2 * g + 1] = shape->share[g];
  }
  for (int k = 0; k < PLLM_SHARPNESSES; k++) {
    sharp[2 * k] = k == 0 ? 1 : 2 * sharp[2 * k - 2];
    sharp[2 * k + 1] = shape->sharp[k];
  }
  return PLLM_OK;
}

/* The rounds; what is learned into *shape. */
static PllmStatus learn(Round *r, const PllmLearnOptions *o, PllmModel *m, PllmPriorShape *shape, double *history,
                        PllmError *err) {
  const PllmCrowd *c = r->crowd;
  PllmPriorShape first, before, last;
  double objective = 0, change = 1;
  start(&first, c->dim);
  *shape = first;
  r->shape = &before;
  for (uint32_t i = 0; i < o->iterations; i++) {
    PllmStatus status;
    size_t known = 0;
    before = *shape;
    for (int g = 0; g < PLLM_GROUPS; g++) before.share[g] += DEFENCE * (first.share[g] - before.share[g]);
    for (int k = 0; k < PLLM_SHARPNESSES; k++) before.sharp[k] += DEFENCE * (first.sharp[k] - before.sharp[k]);
    last = *shape;
    r->stride = i + 1 < o->iterations ? (c->users + FEW - 1) / FEW : 1;
    r->users = (c->users + r->stride - 1) / r->stride;
    status = sample(r, o->seed, err);
    if (status != PLLM_OK) return status;
    objective = 0;
    for (size_t u = 0; u < r->users; u++) {
      objective += r->known[u] ? r->evidence[u] : 0;
      known += r->known[u];
    }
    if (r->stride == 1) {
      m->users = known;
      m->users_skipped = c->users - known;
    }
    if (known == 0 && r->stride > 1) continue; /* unlucky: the last round looks at all */
    if (known == 0) return pllm_fail(err, PLLM_INVALID, PLLM_NOTHING_TO_LEARN);
    objective = objective / (double)known + maximise(r, &before, shape);
    centre(r, shape);
    change = largest_change(&last, shape);
    history[2 * m->iterations] = objective;
    history[2 * m->iterations + 1] = change;
    m->iterations++;
  }
  m->objective = objective;
  m->flags |= PLLM_MODEL_OBJECTIVE | (change < 0.1 ? PLLM_MODEL_CONVERGED : 0);
  return PLLM_OK;
}

PllmStatus pllm_learn_prior(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *m,
                            PllmError *err) {
  Round r = {.crowd = crowd, .run = run};
  PllmPriorShape shape;
  double *history;
  int threads = pllm_run_threads(run);
  PllmStatus status;
  if (crowd->f32_rows > 0)
    return pllm_fail(err, PLLM_INVALID, "method \"prior\" is for rewards, not for f32 embeddings; \"pooled\" takes both");
  if (crowd->dim > PLLM_MAX_MODELS || crowd->dim < 2)
    return pllm_fail(err, PLLM_INVALID,
                     "method \"prior\" is for the rewards of 2 to %d reward models, and features have %zu numbers; "
                     "\"pooled\" takes any",
                     PLLM_MAX_MODELS, crowd->dim);
  m->rank = PLLM_GROUPS;
  atomic_init(&r.stop, 0);
  history = pllm_alloc((size_t)o->iterations * 2, sizeof *history);
  status = history ? prepare(&r, err) : pllm_fail_nomem(err);
  if (status == PLLM_OK) status = learn(&r, o, m, &shape, history, err);
  if (status == PLLM_OK) status = fill(&shape, history, m, err);
  for (int t = 0; r.builder && t < threads; t++) pllm_feedback_free(r.builder[t]);
  pllm_free(r.builder);
  pllm_free_aligned(r.memory);
  pllm_free(r.tables);
  pllm_free(r.means);
  pllm_free(r.evidence);
  pllm_free(r.known);
  pllm_free(history);
  return status;
}
