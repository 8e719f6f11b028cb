/*
** core_learn_maml.c: meta reward modelling, MRM (arXiv 2601.18731), for fixed features.
**
** Base rewards are B x with `rank` rows shared by all; a user's reward is softmax(theta_u) . B x.  Learned are B and
** the theta that users start from, such that one small step on a few of a user's pairs does well on the others.
**
** Each outer step takes the next `batch` users of a random order (a new one each time all have had their turn), and
** of each user's pairs, newly shuffled, a share `query` to be tested on and the rest as support (a user with one
** pair has it in both).
**   inner   one Adam step of rate `inner_rate` from zero moments on theta, by the mean Bradley-Terry loss of the
**   support
**           pairs: theta' = theta - inner_rate g / (|g| + 1e-8)
**   outer   L_u, the mean loss of the query pairs at theta'.  Robust objective: with tau the (1 - rho) quantile of
**   the batch's
**           L_u (linear between order statistics), sum_u sigma((L_u - tau)/gamma) L_u, tau held fixed, the sigmoid
**           differentiated; gamma <= 0: the users with L_u > tau alone count (tau itself too where nobody is above
**           it).
** The gradient goes through the inner step, is clipped to norm 1, and moves B and theta by Adam of rate `rate`,
** warmed up over the first 5 % of the steps and then falling as a cosine.  The criterion is the gradient's norm
** before clipping. The fit counts as converged when the mean objective of its last tenth is within 2 % of that of
** the tenth before.
**
** Features are scaled to a root mean square of 1, centred by pair, times `feature_scale` (published: 0.01 times a
** language model's hidden state).  B starts from N(0, 1/dim) (pllm_learn_normals, stream 0, b rank + k), theta from
** 0.  Orders come from Fisher-Yates shuffles: position i of epoch e swaps with pllm_philox_below of draw { id i,
** index 3, attempt e } for users, { i, 4 + user, e } for a user's pairs.
**
** A new user starts from theta and takes a few Adam steps on all pairs.
**
**   sections: weights [1][dim], at theta; basis [rank][dim], in the features' own units; theta [1][rank]; history
**
** Cost: O(N dim rank + pairs rank) an outer step, N distinct vectors.
*/
#include "core_apply.h"
#include "core_learn.h"
#include "core_math.h"

#include <string.h>

#define EPSILON 1e-8 /* Adam's */

/* ---- a new user ---- */

void pllm_apply_maml(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                     double *weights) {
  const PllmModel *m = o->model;
  const double *basis = pllm_model_numbers(m, "basis");
  size_t k = m->rank;
  double *theta, *share, *by_share, *gradient;
  PllmAdam adam = {.count = k};
  PllmDuels d;
  if (!v->informative) {
    memcpy(weights, pllm_model_numbers(m, "weights"), m->dim * sizeof *weights);
    return;
  }
  theta = (double *)(void *)pllm_duels_init(&d, v, o->implied, basis, k, 1, memory);
  share = theta + k;
  by_share = share + k;
  gradient = by_share + k;
  adam.mean = gradient + k;
  adam.square = adam.mean + k;
  memcpy(theta, pllm_model_numbers(m, "theta"), k * sizeof *theta);
  pllm_adam_start(&adam);
  for (uint32_t i = 0; i < o->iterations; i++) {
    if (i % 16 == 0 && pllm_stopped(stop)) return;
    pllm_softmax(theta, k, share);
    pllm_duels_loss(&d, share, by_share);
    pllm_softmax_gradient(share, by_share, k, gradient);
    pllm_adam_step(&adam, o->rate, gradient, theta);
  }
  pllm_softmax(theta, k, share);
  pllm_mix(basis, share, k, m->dim, weights);
}

/* ---- all users ---- */

typedef struct Maml {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmPairs *pairs;
  size_t k, batch; /* users of a batch, at most all */
  double scale;    /* of features */
  /* owned: */
  double *x, *gradient;                /* basis [dim][k], then theta [k] */
  double *z;                           /* [padded][k] */
  double *by_z;                        /* [pairs][k]: gradients by a pair's difference of z */
  double *g;                           /* [k][padded] */
  double *history;                     /* [iterations][2] */
  double *loss, *by_theta;             /* [batch], [batch][k] */
  double *sorted;                      /* [batch] */
  double *scratch;                     /* [batch][8 k] */
  uint32_t *order, *shuffled, *member; /* [users], [pairs], [batch] */
  PllmAdam adam;
} Maml;

/* Shuffle list[count]: Fisher-Yates from the end. */
static void shuffle(uint32_t seed, uint32_t stream, uint32_t epoch, uint32_t *list, size_t count) {
  for (size_t i = count; i-- > 1;) {
    uint32_t bits[4], moved = list[i];
    size_t with;
    pllm_philox_draw(seed, PLLM_PURPOSE_LEARN, i, stream, epoch, bits);
    with = pllm_philox_below(bits[0], bits[1], (uint32_t)i + 1);
    list[i] = list[with];
    list[with] = moved;
  }
}

/* One user of the batch: loss at the query pairs after the inner step, and its gradients by theta and by each pair's z,
** yet to be multiplied by the user's part in the objective. */
static void user_pass(Maml *m, size_t slot) {
  const PllmPairs *p = m->pairs;
  size_t k = m->k, u = m->member[slot], first = p->first[u], count = p->first[u + 1] - first;
  size_t tested = (size_t)(m->options->query * (double)count + 0.5);
  const uint32_t *list = m->shuffled + first;
  const double *theta = m->x + m->crowd->dim * k;
  double *share = m->scratch + slot * 8 * k, *inner = share + k, *next = inner + k, *next_share = next + k;
  double *by_share = next_share + k, *by_next = by_share + k, *h = by_next + k, *by_theta = m->by_theta + slot * k;
  size_t support, query, supported;
  double loss = 0, h_mean = 0;
  tested = tested < 1 ? 1 : count > 1 && tested > count - 1 ? count - 1 : tested;
  supported = count > 1 ? count - tested : 1;
  support = count > 1 ? tested : 0; /* queries come first; a single pair is both */
  query = 0;
  /* the inner step */
  pllm_softmax(theta, k, share);
  memset(by_share, 0, k * sizeof *by_share);
  for (size_t i = support; i < support + supported; i++) {
    const double *za = m->z + p->a[list[i]] * k, *zb = m->z + p->b[list[i]] * k;
    double s = 0, slope;
    for (size_t c = 0; c < k; c++) s += share[c] * (za[c] - zb[c]);
    pllm_logistic_loss(s, &slope);
    for (size_t c = 0; c < k; c++) by_share[c] += slope / (double)supported * (za[c] - zb[c]);
  }
  pllm_softmax_gradient(share, by_share, k, inner);
  for (size_t c = 0; c < k; c++) next[c] = theta[c] - m->options->inner_rate * inner[c] / (fabs(inner[c]) + EPSILON);
  /* the query pairs after it */
  pllm_softmax(next, k, next_share);
  memset(by_share, 0, k * sizeof *by_share);
  for (size_t i = query; i < query + tested; i++) {
    const double *za = m->z + p->a[list[i]] * k, *zb = m->z + p->b[list[i]] * k;
    double s = 0, slope, *by_z = m->by_z + (size_t)list[i] * k;
    for (size_t c = 0; c < k; c++) s += next_share[c] * (za[c] - zb[c]);
    loss += pllm_logistic_loss(s, &slope) / (double)tested;
    for (size_t c = 0; c < k; c++) {
      by_share[c] += slope / (double)tested * (za[c] - zb[c]);
      by_z[c] = slope / (double)tested * next_share[c];
    }
  }
  m->loss[slot] = loss;
  pllm_softmax_gradient(next_share, by_share, k, by_next);
  /* back through the inner step: h = (d theta'/d g) by_next, then the derivatives of h . g(theta, z) */
  for (size_t c = 0; c < k; c++) {
    double size = fabs(inner[c]) + EPSILON;
    h[c] = -m->options->inner_rate * EPSILON / (size * size) * by_next[c];
    h_mean += share[c] * h[c];
    by_theta[c] = by_next[c];
  }
  for (size_t i = support; i < support + supported; i++) {
    const double *za = m->z + p->a[list[i]] * k, *zb = m->z + p->b[list[i]] * k;
    double s = 0, t = 0, slope, curve, *by_z = m->by_z + (size_t)list[i] * k;
    for (size_t c = 0; c < k; c++) {
      s += share[c] * (za[c] - zb[c]);
      t += share[c] * h[c] * (za[c] - zb[c]);
    }
    pllm_logistic_loss(s, &slope);
    curve = -slope * (1 + slope) / (double)supported; /* sigma (1 - sigma) */
    slope /= (double)supported;
    /* h . g = sum_j slope_j (t_j - h_mean s_j) */
    for (size_t c = 0; c < k; c++) {
      double d = za[c] - zb[c], by_s = curve * (t - h_mean * s);
      by_z[c] += by_s * share[c] + slope * share[c] * (h[c] - h_mean);
      by_theta[c] +=
          by_s * share[c] * (d - s) + slope * share[c] * (h[c] * d - t - (h[c] - h_mean) * s - h_mean * (d - s));
    }
  }
}

static void users_body(void *arg, size_t begin, size_t end, int worker) {
  (void)worker;
  for (size_t slot = begin; slot < end; slot++) user_pass(arg, slot);
}

/* The (1 - rho) quantile of the batch's losses. */
static double quantile(Maml *m, size_t users) {
  double at = (1 - m->options->rho) * (double)(users - 1), low;
  size_t below;
  memcpy(m->sorted, m->loss, users * sizeof *m->sorted);
  for (size_t i = 1; i < users; i++) { /* a batch is short */
    double x = m->sorted[i];
    size_t k = i;
    for (; k > 0 && m->sorted[k - 1] > x; k--) m->sorted[k] = m->sorted[k - 1];
    m->sorted[k] = x;
  }
  below = (size_t)at;
  low = m->sorted[below];
  return below + 1 < users ? low + (at - (double)below) * (m->sorted[below + 1] - low) : low;
}

/* The robust objective; each user's part in it multiplies the gradients. */
static double robust(Maml *m, size_t users) {
  const PllmPairs *p = m->pairs;
  double tau = quantile(m, users), gamma = m->options->gamma, sum = 0;
  int above = 0;
  for (size_t i = 0; i < users; i++) above = above || m->loss[i] > tau;
  for (size_t i = 0; i < users; i++) {
    double part, weight;
    if (gamma > 0) {
      double s = (m->loss[i] - tau) / gamma, e = pllm_exp1(-fabs(s));
      part = s > 0 ? 1 / (1 + e) : e / (1 + e);
      weight = part + m->loss[i] * part * (1 - part) / gamma;
    } else {
      weight = part = m->loss[i] > tau || (!above && m->loss[i] == tau);
    }
    sum += part * m->loss[i];
    for (size_t c = 0; c < m->k; c++) m->by_theta[i * m->k + c] *= weight;
    for (size_t j = p->first[m->member[i]] * m->k; j < p->first[m->member[i] + 1] * m->k; j++) m->by_z[j] *= weight;
  }
  return sum;
}

static void vectors_body(void *arg, size_t begin, size_t end, int worker) {
  Maml *m = arg;
  const PllmPairs *p = m->pairs;
  size_t padded = m->crowd->pool.padded;
  (void)worker;
  for (size_t v = begin; v < end; v++) {
    for (size_t c = 0; c < m->k; c++) m->g[c * padded + v] = 0;
    for (size_t t = p->touch_first[v]; t < p->touch_first[v + 1]; t++) {
      const double *by_z = m->by_z + (size_t)(p->touch[t] / 2) * m->k;
      for (size_t c = 0; c < m->k; c++) m->g[c * padded + v] += p->touch[t] % 2 ? -by_z[c] : by_z[c];
    }
  }
}

/* The objective of a batch and its gradient by basis and theta. */
static PllmStatus batch_pass(Maml *m, size_t users, double *objective, PllmError *err) {
  const PllmPool *pool = &m->crowd->pool;
  size_t k = m->k, dim = pool->dim;
  PllmStatus status = pllm_pool_project(pool, m->x, k, m->z, m->run, err);
  for (size_t i = 0; i < pool->padded * k; i++) m->z[i] *= m->scale;
  memset(m->by_z, 0, m->pairs->count * k * sizeof *m->by_z);
  if (status == PLLM_OK) status = pllm_parallel(m->run, users, 4, users_body, m, err);
  if (status != PLLM_OK) return status;
  *objective = robust(m, users);
  status = pllm_parallel(m->run, pool->count, 256, vectors_body, m, err);
  if (status == PLLM_OK) status = pllm_pool_collect(pool, m->g, k, m->gradient, m->run, err);
  for (size_t i = 0; i < dim * k; i++) m->gradient[i] *= m->scale;
  memset(m->gradient + dim * k, 0, k * sizeof *m->gradient);
  for (size_t u = 0; u < users; u++)
    for (size_t c = 0; c < k; c++) m->gradient[dim * k + c] += m->by_theta[u * k + c];
  return status;
}

/* cos(pi x) for x in 0..1, by its series about 1/2: the same bits everywhere. */
static double cos_pi(double x) {
  double y = 3.14159265358979323846 * (0.5 - x), term = y, sum = y;
  for (int i = 1; i < 12; i++) {
    term *= -y * y / (double)(2 * i * (2 * i + 1));
    sum += term;
  }
  return sum;
}

static double rate_at(const PllmLearnOptions *o, uint32_t step) {
  double warm = 0.05 * o->iterations;
  if (step < warm) return o->rate * (step + 1 < warm ? (step + 1) / warm : 1);
  return o->rate * 0.5 * (1 + cos_pi((step - warm) / (o->iterations - warm)));
}

static PllmStatus fit(Maml *m, PllmModel *model, PllmError *err) {
  const PllmLearnOptions *o = m->options;
  size_t n = (m->crowd->dim + 1) * m->k, at = m->pairs->users, tenth = o->iterations / 10;
  uint32_t epoch = 0;
  double late = 0, before = 0;
  for (uint32_t step = 0; step < o->iterations; step++) {
    size_t users;
    double objective = 0, norm = 0;
    PllmStatus status;
    if (at >= m->pairs->users) {
      at = 0;
      shuffle(o->seed, 3, epoch, m->order, m->pairs->users);
      for (size_t u = 0; u < m->pairs->users; u++)
        shuffle(o->seed, 4 + (uint32_t)u, epoch, m->shuffled + m->pairs->first[u],
                m->pairs->first[u + 1] - m->pairs->first[u]);
      epoch++;
    }
    users = m->pairs->users - at < m->batch ? m->pairs->users - at : m->batch;
    memcpy(m->member, m->order + at, users * sizeof *m->member);
    at += users;
    status = batch_pass(m, users, &objective, err);
    if (status != PLLM_OK) return status;
    for (size_t i = 0; i < n; i++) norm += m->gradient[i] * m->gradient[i];
    norm = sqrt(norm);
    for (size_t i = 0; norm > 1 && i < n; i++) m->gradient[i] /= norm;
    pllm_adam_step(&m->adam, rate_at(o, step), m->gradient, m->x);
    objective /= (double)users;
    m->history[2 * step] = objective;
    m->history[2 * step + 1] = norm;
    if (step + tenth >= o->iterations)
      late += objective;
    else if (step + 2 * tenth >= o->iterations)
      before += objective;
    model->objective = objective;
  }
  model->iterations = o->iterations;
  if (o->iterations > 0) model->flags |= PLLM_MODEL_OBJECTIVE;
  if (tenth > 0 && fabs(late - before) <= 0.02 * before) model->flags |= PLLM_MODEL_CONVERGED;
  return PLLM_OK;
}

static PllmStatus prepare(Maml *m, PllmError *err) {
  size_t k = m->k, dim = m->crowd->dim, users = m->pairs->users, count = m->pairs->count;
  size_t padded = m->crowd->pool.padded;
  m->batch = m->options->batch < users ? m->options->batch : users;
  m->scale = m->pairs->scale * m->options->feature_scale;
  m->x = pllm_alloc_zero((dim + 1) * k, sizeof *m->x);
  m->gradient = pllm_alloc((dim + 1) * k, sizeof *m->gradient);
  m->z = pllm_alloc(padded * k, sizeof *m->z);
  m->by_z = pllm_alloc(count * k, sizeof *m->by_z);
  m->g = pllm_alloc_zero(padded * k, sizeof *m->g);
  m->history = pllm_alloc((size_t)m->options->iterations * 2, sizeof *m->history);
  m->loss = pllm_alloc(m->batch, sizeof *m->loss);
  m->sorted = pllm_alloc(m->batch, sizeof *m->sorted);
  m->by_theta = pllm_alloc(m->batch * k, sizeof *m->by_theta);
  m->scratch = pllm_alloc(m->batch * 8 * k, sizeof *m->scratch);
  m->order = pllm_alloc(users, sizeof *m->order);
  m->shuffled = pllm_alloc(count, sizeof *m->shuffled);
  m->member = pllm_alloc(m->batch, sizeof *m->member);
  if (!m->x || !m->gradient || !m->z || !m->by_z || !m->g || !m->history || !m->loss || !m->sorted || !m->by_theta ||
      !m->scratch || !m->order || !m->shuffled || !m->member)
    return pllm_fail_nomem(err);
  pllm_learn_normals(m->options->seed, 0, dim * k, m->x);
  for (size_t i = 0; i < dim * k; i++) m->x[i] /= sqrt((double)dim);
  for (size_t u = 0; u < users; u++) m->order[u] = (uint32_t)u;
  for (size_t i = 0; i < count; i++) m->shuffled[i] = (uint32_t)i;
  return pllm_adam_new(&m->adam, (dim + 1) * k, err);
}

static PllmStatus fill(const Maml *m, PllmModel *model, PllmError *err) {
  size_t k = m->k, dim = m->crowd->dim;
  double *weights, *basis, *theta, *share;
  PllmStatus status = pllm_model_add(model, "weights", 1, dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(model, "basis", k, dim, &basis, err);
  if (status == PLLM_OK) status = pllm_model_add(model, "theta", 1, k, &theta, err);
  if (status == PLLM_OK) status = pllm_learn_history(model, m->history, model->iterations, err);
  if (status != PLLM_OK) return status;
  for (size_t b = 0; b < dim; b++)
    for (size_t c = 0; c < k; c++) basis[c * dim + b] = m->scale * m->x[b * k + c];
  memcpy(theta, m->x + dim * k, k * sizeof *theta);
  share = m->scratch;
  pllm_softmax(theta, k, share);
  pllm_mix(basis, share, k, dim, weights);
  return PLLM_OK;
}

PllmStatus pllm_learn_maml(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *model,
                           PllmError *err) {
  Maml m = {.crowd = crowd, .options = o, .run = run, .k = o->rank};
  PllmStatus status = pllm_learn_pairs(crowd, o, run, model, &m.pairs, err);
  if (status != PLLM_OK) return status;
  status = prepare(&m, err);
  if (status == PLLM_OK) status = fit(&m, model, err);
  if (status == PLLM_OK) status = fill(&m, model, err);
  pllm_pairs_free(m.pairs);
  pllm_adam_free(&m.adam);
  pllm_free(m.x);
  pllm_free(m.gradient);
  pllm_free(m.z);
  pllm_free(m.by_z);
  pllm_free(m.g);
  pllm_free(m.history);
  pllm_free(m.loss);
  pllm_free(m.sorted);
  pllm_free(m.by_theta);
  pllm_free(m.scratch);
  pllm_free(m.order);
  pllm_free(m.shuffled);
  pllm_free(m.member);
  return status;
}
