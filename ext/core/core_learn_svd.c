/*
** core_learn_svd.c: reward factorisation, PReF (arXiv 2503.06358), for fixed features.
**
** r_u(x) = l_u . B x with a basis B of `rank` rows shared by all and signed user vectors l_u; P(chosen over
** rejected) = sigma(l_u . B d), d = scale (chosen - rejected), scale bringing features, centred by pair, to a root
** mean square of 1.
**
** Start, as published: the matrix of pairs by users (1, or -1 where the pair was judged the other way; published as
** 1 and 0 with 1/2 for what is not known, here less 1/2, times 2) is completed ten times: take the best
** approximation of rank k, overwrite what is not known by it.  Kept as sparse plus low rank, it is never formed; the
** published clipping of what is filled in is left out for that.  Each approximation comes from subspace iteration,
** started from the one before (the first from N(0,1) draws of the seed: pllm_learn_normals, stream 0, user u rank +
** k).  Left factors start the pairs' features: B is their least squares on d (conjugate gradients), right factors
** start the users.
**
** Then minimise  mean over pairs of -log sigma + penalty (mean over pairs of |B d| + mean over users of |l_u|)  by
** L-BFGS (norms not squared, as published; smoothed by 1e-6).  The criterion is the gradient's norm.
**
** A new user starts from the mean user, and takes steps of gradient descent on the mean loss of the new pairs,
** without a penalty: early stopping is what regularises.
**
**   sections: weights [1][dim], of the mean user; basis [rank][dim], in the features' own units; mixture [1][rank],
**   the mean l_u; history
**
** Cost: O(N dim rank + P rank) an iteration, N distinct vectors; a new user O(rows dim rank + iterations pairs rank).
*/
#include "core_apply.h"
#include "core_learn.h"

#include <math.h>
#include <string.h>

enum { COMPLETIONS = 10, POWER_STEPS = 4, CG_STEPS = 60, POLL_STEPS = 64 };
#define SMOOTH 1e-6

/* ---- a new user ---- */

void pllm_apply_svd(const PllmAdaptOptions *o, const PllmEvidence *v, char *memory, const PllmStop *stop,
                    double *weights) {
  const PllmModel *m = o->model;
  const double *basis = pllm_model_numbers(m, "basis");
  size_t k = m->rank;
  double *l, *gradient;
  PllmDuels d;
  if (!v->informative) {
    memcpy(weights, pllm_model_numbers(m, "weights"), m->dim * sizeof *weights);
    return;
  }
  l = (double *)(void *)pllm_duels_init(&d, v, o->implied, basis, k, 1, memory);
  gradient = l + k;
  memcpy(l, pllm_model_numbers(m, "mixture"), k * sizeof *l);
  for (uint32_t i = 0; i < o->iterations; i++) {
    if (i % POLL_STEPS == 0 && pllm_stopped(stop)) return;
    pllm_duels_loss(&d, l, gradient);
    for (size_t c = 0; c < k; c++) l[c] -= o->rate * gradient[c];
  }
  pllm_mix(basis, l, k, m->dim, weights);
}

/* ---- all users ---- */

typedef struct Svd {
  const PllmCrowd *crowd;
  const PllmLearnOptions *options;
  const PllmRun *run;
  PllmPairs *pairs;
  PllmPairLoss loss;
  size_t k;
  double *share, *z, *x, *history; /* owned: [users], [padded][k], basis [dim][k] then users [users][k] */
  double *scaled;                  /* owned: [users][k], the scaled users */
} Svd;

/* ---- the start: completing the matrix of pairs by users ---- */

/* Distinct pairs, oriented so that the lower vector comes first, and what each user said of them. */
typedef struct Judged {
  size_t count;    /* distinct pairs */
  size_t *of;      /* [pairs]: which distinct pair, owned */
  double *said;    /* [pairs]: 1 or -1, owned */
  uint32_t *a, *b; /* [count], owned */
} Judged;

static PllmStatus judge(const PllmPairs *p, size_t vectors, Judged *j, PllmError *err) {
  size_t *head = pllm_alloc(vectors, sizeof *head), *next = pllm_alloc(p->count, sizeof *next);
  j->of = pllm_alloc(p->count, sizeof *j->of);
  j->said = pllm_alloc(p->count, sizeof *j->said);
  j->a = pllm_alloc(p->count, sizeof *j->a);
  j->b = pllm_alloc(p->count, sizeof *j->b);
  if (!head || !next || !j->of || !j->said || !j->a || !j->b) {
    pllm_free(head);
    pllm_free(next);
    return pllm_fail_nomem(err);
  }
  for (size_t v = 0; v < vectors; v++) head[v] = SIZE_MAX;
  for (size_t i = 0; i < p->count; i++) {
    uint32_t a = p->a[i] < p->b[i] ? p->a[i] : p->b[i], b = p->a[i] < p->b[i] ? p->b[i] : p->a[i];
    size_t at = head[a];
    while (at != SIZE_MAX && j->b[at] != b) at = next[at];
    if (at == SIZE_MAX) {
      at = j->count++;
      j->a[at] = a;
      j->b[at] = b;
      next[at] = head[a];
      head[a] = at;
    }
    j->of[i] = at;
    j->said[i] = p->a[i] == a ? 1 : -1;
  }
  pllm_free(head);
  pllm_free(next);
  return PLLM_OK;
}

/* Gram-Schmidt, twice, on the columns of q[rows][k]; a column that vanishes becomes 0. */
static void orthonormalise(double *q, size_t rows, size_t k) {
  for (size_t c = 0; c < k; c++) {
    double before = 0, length = 0;
    for (size_t r = 0; r < rows; r++) before += q[r * k + c] * q[r * k + c];
    for (int pass = 0; pass < 2; pass++)
      for (size_t e = 0; e < c; e++) {
        double dot = 0;
        for (size_t r = 0; r < rows; r++) dot += q[r * k + c] * q[r * k + e];
        for (size_t r = 0; r < rows; r++) q[r * k + c] -= dot * q[r * k + e];
      }
    for (size_t r = 0; r < rows; r++) length += q[r * k + c] * q[r * k + c];
    length = length > 1e-20 * before && length > 0 ? 1 / sqrt(length) : 0;
    for (size_t r = 0; r < rows; r++) q[r * k + c] *= length;
  }
}

/*
** The completed matrix is S + left right', where S holds what was said less the approximation there.  out = it times
** in[users][k] (or, transposed, in[pairs][k]); small is k x k scratch.
*/
static void multiply(const Svd *s, const Judged *j, const double *residual, const double *left, const double *right,
                     int transposed, const double *in, double *out, double *small) {
  size_t k = s->k, users = s->pairs->users, rows = transposed ? users : j->count,
         others = transposed ? j->count : users;
  const double *near = transposed ? right : left, *far = transposed ? left : right;
  memset(small, 0, k * k * sizeof *small);
  for (size_t r = 0; r < others; r++)
    for (size_t a = 0; a < k; a++)
      for (size_t b = 0; b < k; b++) small[a * k + b] += far[r * k + a] * in[r * k + b];
  for (size_t r = 0; r < rows; r++)
    for (size_t b = 0; b < k; b++) {
      double sum = 0;
      for (size_t a = 0; a < k; a++) sum += near[r * k + a] * small[a * k + b];
      out[r * k + b] = sum;
    }
  for (size_t i = 0; i < s->pairs->count; i++) {
    size_t row = transposed ? s->pairs->user[i] : j->of[i], column = transposed ? j->of[i] : s->pairs->user[i];
    for (size_t b = 0; b < k; b++) out[row * k + b] += residual[i] * in[column * k + b];
  }
}

/* left[pairs][k] right[users][k]' after the completions. */
static PllmStatus complete(const Svd *s, const Judged *j, double *left, double *right, PllmError *err) {
  size_t k = s->k, users = s->pairs->users, count = s->pairs->count;
  double *residual = pllm_alloc(count, sizeof *residual), *q = pllm_alloc(users * k, sizeof *q);
  double *y = pllm_alloc(j->count * k, sizeof *y), *small = pllm_alloc(k * k, sizeof *small);
  PllmStatus status = residual && q && y && small ? PLLM_OK : pllm_fail_nomem(err);
  memset(left, 0, j->count * k * sizeof *left);
  memset(right, 0, users * k * sizeof *right);
  if (status == PLLM_OK) pllm_learn_normals(s->options->seed, 0, users * k, q);
  for (int t = 0; status == PLLM_OK && t < COMPLETIONS; t++) {
    for (size_t i = 0; i < count; i++) {
      residual[i] = j->said[i];
      for (size_t c = 0; c < k; c++) residual[i] -= left[j->of[i] * k + c] * right[s->pairs->user[i] * k + c];
    }
    for (int step = 0; status == PLLM_OK && step < POWER_STEPS; step++) {
      status = pllm_poll(s->run, err);
      orthonormalise(q, users, k);
      multiply(s, j, residual, left, right, 0, q, y, small);
      orthonormalise(y, j->count, k);
      multiply(s, j, residual, left, right, 1, y, q, small);
    }
    if (status != PLLM_OK) break;
    /* the matrix is about y (y' M) = y q' */
    memcpy(left, y, j->count * k * sizeof *left);
    memcpy(right, q, users * k * sizeof *right);
  }
  pllm_free(residual);
  pllm_free(q);
  pllm_free(y);
  pllm_free(small);
  return status;
}

/* B as least squares of the distinct pairs' left factors on their d: D'D B = D' left, conjugate gradients, column by column. */
static PllmStatus regress(Svd *s, const Judged *j, const double *left, double *basis, PllmError *err) {
  const PllmPool *pool = &s->crowd->pool;
  size_t dim = pool->dim, k = s->k;
  double scale = s->pairs->scale, *memory = pllm_alloc(4 * dim, sizeof *memory), *g = s->loss.g, *z = s->z;
  double *b, *r, *p, *ap;
  PllmStatus status = memory ? PLLM_OK : pllm_fail_nomem(err);
  b = memory;
  for (size_t c = 0; status == PLLM_OK && c < k; c++) {
    double rr = 0, first;
    r = b + dim;
    p = r + dim;
    ap = p + dim;
    memset(b, 0, dim * sizeof *b);
    memset(g, 0, pool->padded * sizeof *g);
    for (size_t i = 0; i < j->count; i++) {
      g[j->a[i]] += scale * left[i * k + c];
      g[j->b[i]] -= scale * left[i * k + c];
    }
    status = pllm_pool_collect(pool, g, 1, r, s->run, err);
    for (size_t i = 0; i < dim; i++) rr += r[i] * r[i];
    first = rr;
    memcpy(p, r, dim * sizeof *p);
    for (int step = 0; status == PLLM_OK && step < CG_STEPS && rr > 1e-16 * first; step++) {
      double pap = 0, alpha, before = rr;
      status = pllm_pool_project(pool, p, 1, z, s->run, err);
      if (status != PLLM_OK) break;
      memset(g, 0, pool->padded * sizeof *g);
      for (size_t i = 0; i < j->count; i++) {
        double u = scale * scale * (z[j->a[i]] - z[j->b[i]]);
        g[j->a[i]] += u;
        g[j->b[i]] -= u;
      }
      status = pllm_pool_collect(pool, g, 1, ap, s->run, err);
      if (status != PLLM_OK) break;
      for (size_t i = 0; i < dim; i++) {
        ap[i] += 1e-6 * (double)j->count * p[i]; /* so that there is one answer */
        pap += p[i] * ap[i];
      }
      alpha = rr / pap;
      rr = 0;
      for (size_t i = 0; i < dim; i++) {
        b[i] += alpha * p[i];
        r[i] -= alpha * ap[i];
        rr += r[i] * r[i];
      }
      for (size_t i = 0; i < dim; i++) p[i] = r[i] + rr / before * p[i];
    }
    for (size_t i = 0; i < dim; i++) basis[i * k + c] = b[i];
  }
  pllm_free(memory);
  return status;
}

/* The two factors share the matrix's size evenly, and what is said without doubt means log odds of 4: a start with small
** ones ends at 0, where the penalty on norms has a minimum too. */
static void balance(double *left, size_t rows, double *right, size_t users, size_t k) {
  for (size_t c = 0; c < k; c++) {
    double a = 0, b = 0, factor;
    for (size_t r = 0; r < rows; r++) a += left[r * k + c] * left[r * k + c];
    for (size_t r = 0; r < users; r++) b += right[r * k + c] * right[r * k + c];
    if (!(a > 0 && b > 0)) continue;
    factor = sqrt(sqrt(b / (double)users) / sqrt(a / (double)rows));
    for (size_t r = 0; r < rows; r++) left[r * k + c] *= 2 * factor;
    for (size_t r = 0; r < users; r++) right[r * k + c] *= 2 / factor;
  }
}

static PllmStatus start(Svd *s, PllmError *err) {
  size_t k = s->k, users = s->pairs->users;
  double *basis = s->x, *right = s->x + s->crowd->dim * k, *left;
  Judged j = {0};
  PllmStatus status = judge(s->pairs, s->crowd->pool.count, &j, err);
  left = pllm_alloc(j.count * k, sizeof *left);
  if (status == PLLM_OK && !left) status = pllm_fail_nomem(err);
  if (status == PLLM_OK) status = complete(s, &j, left, right, err);
  if (status == PLLM_OK) {
    balance(left, j.count, right, users, k);
    status = regress(s, &j, left, basis, err);
  }
  pllm_free(left);
  pllm_free(j.of);
  pllm_free(j.said);
  pllm_free(j.a);
  pllm_free(j.b);
  return status;
}

/* ---- the fit ---- */

/* The penalty on |B d|: adds its gradient by z to loss.g (a gather over vectors would do, but this is one pass). */
static double pair_penalty(Svd *s) {
  const PllmPairs *p = s->pairs;
  size_t k = s->k, padded = s->crowd->pool.padded;
  double share = s->options->penalty / (double)p->count, scale = p->scale, sum = 0;
  for (size_t i = 0; i < p->count; i++) {
    const double *za = s->z + p->a[i] * k, *zb = s->z + p->b[i] * k;
    double square = SMOOTH * SMOOTH;
    for (size_t c = 0; c < k; c++) square += (za[c] - zb[c]) * (za[c] - zb[c]) * scale * scale;
    square = sqrt(square);
    sum += square;
    for (size_t c = 0; c < k; c++) {
      double g = share * scale * (za[c] - zb[c]) / square; /* loss.g is by scale z */
      s->loss.g[c * padded + p->a[i]] += g;
      s->loss.g[c * padded + p->b[i]] -= g;
    }
  }
  return share * sum;
}

static PllmStatus value(void *arg, const double *x, double *value, double *gradient, PllmError *err) {
  Svd *s = arg;
  const PllmPool *pool = &s->crowd->pool;
  size_t k = s->k, dim = pool->dim, users = s->pairs->users;
  double scale = s->pairs->scale, share = s->options->penalty / (double)users, sum = 0;
  double *scaled = s->scaled; /* [users][k]: scale l_u, as z is not scaled */
  PllmStatus status = pllm_pool_project(pool, x, k, s->z, s->run, err);
  for (size_t i = 0; i < users * k; i++) scaled[i] = scale * x[dim * k + i];
  if (status == PLLM_OK) status = pllm_pair_loss_users(&s->loss, s->z, scaled, s->run, err);
  if (status == PLLM_OK) status = pllm_pair_loss_vectors(&s->loss, x + dim * k, s->run, err);
  if (status != PLLM_OK) return status;
  sum = pllm_pair_loss_sum(&s->loss) + pair_penalty(s);
  status = pllm_pool_collect(pool, s->loss.g, k, gradient, s->run, err);
  for (size_t i = 0; i < dim * k; i++) gradient[i] *= scale;
  for (size_t u = 0; u < users; u++) {
    const double *l = x + dim * k + u * k;
    double square = SMOOTH * SMOOTH;
    for (size_t c = 0; c < k; c++) square += l[c] * l[c];
    square = sqrt(square);
    sum += share * square;
    for (size_t c = 0; c < k; c++)
      gradient[dim * k + u * k + c] = scale * s->loss.w_gradient[u * k + c] + share * l[c] / square;
  }
  *value = sum;
  return status;
}

static PllmStatus fill(const Svd *s, const PllmLbfgs *problem, PllmModel *m, PllmError *err) {
  size_t k = s->k, dim = s->crowd->dim, users = s->pairs->users;
  double *weights, *basis, *mixture;
  PllmStatus status = pllm_model_add(m, "weights", 1, dim, &weights, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "basis", k, dim, &basis, err);
  if (status == PLLM_OK) status = pllm_model_add(m, "mixture", 1, k, &mixture, err);
  if (status == PLLM_OK) status = pllm_learn_history(m, problem->history, problem->iterations, err);
  if (status != PLLM_OK) return status;
  for (size_t b = 0; b < dim; b++)
    for (size_t c = 0; c < k; c++) basis[c * dim + b] = s->pairs->scale * s->x[b * k + c];
  for (size_t u = 0; u < users; u++)
    for (size_t c = 0; c < k; c++) mixture[c] += s->x[dim * k + u * k + c] / (double)users;
  pllm_mix(basis, mixture, k, dim, weights);
  m->objective = problem->objective;
  m->iterations = problem->iterations;
  m->flags |= PLLM_MODEL_OBJECTIVE | (problem->converged ? PLLM_MODEL_CONVERGED : 0);
  return PLLM_OK;
}

static PllmStatus fit(Svd *s, PllmModel *m, PllmError *err) {
  size_t users = s->pairs->users, dim = s->crowd->dim, k = s->k;
  PllmLbfgs problem = {.n = (dim + users) * k,
                       .value = value,
                       .arg = s,
                       .most = s->options->iterations,
                       .tolerance = 1e-6,
                       .history = s->history};
  PllmStatus status = pllm_pair_loss_new(&s->loss, &s->crowd->pool, s->pairs, k, 0, err);
  s->share = pllm_alloc(users, sizeof *s->share);
  s->z = pllm_alloc(s->crowd->pool.padded * k, sizeof *s->z);
  s->x = pllm_alloc((dim + users) * k, sizeof *s->x);
  s->scaled = pllm_alloc(users * k, sizeof *s->scaled);
  s->history = problem.history = pllm_alloc((size_t)s->options->iterations * 2, sizeof *s->history);
  if (status == PLLM_OK && (!s->share || !s->z || !s->x || !s->scaled || !s->history)) status = pllm_fail_nomem(err);
  if (status != PLLM_OK) return status;
  for (size_t u = 0; u < users; u++) s->share[u] = 1 / (double)s->pairs->count;
  s->loss.share = s->share;
  status = start(s, err);
  if (status == PLLM_OK) status = pllm_lbfgs(&problem, s->x, err);
  return status == PLLM_OK ? fill(s, &problem, m, err) : status;
}

PllmStatus pllm_learn_svd(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *m,
                          PllmError *err) {
  Svd s = {.crowd = crowd, .options = o, .run = run, .k = o->rank};
  PllmStatus status = pllm_learn_pairs(crowd, o, run, m, &s.pairs, err);
  if (status != PLLM_OK) return status;
  status = fit(&s, m, err);
  pllm_pair_loss_free(&s.loss);
  pllm_pairs_free(s.pairs);
  pllm_free(s.share);
  pllm_free(s.z);
  pllm_free(s.x);
  pllm_free(s.scaled);
  pllm_free(s.history);
  return status;
}
