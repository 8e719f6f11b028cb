/*
** core_posterior.c: the posterior mean of weights on the simplex, by sequential Monte Carlo.
**
** Model.  Prior: w ~ Dirichlet(alpha 1); alpha is .01, .03, .1 or .3 with weights 1/8, or 1 or 3 with weights 1/4
** (half sparse, half not: a sparser prior mistakes noise for a strong taste); sharpness b from {1, 2, 4, ..., 512}
** with weights proportional to b^(1/4), in units where features have root mean square 1 within sets (so that only
** noisy users are soft).  Likelihood of a set S with best i and worst j, as marked:
**     exp(b u_i) / sum_S exp(b u)  *  exp(-b u_j) / sum_{S without i} exp(-b u),   u = x.w
** Ratings: with r the correlation of u and the ratings (offset and scale are the user's own), (1 - max(r,0)^2 +
** 0.01)^(-(n-1)/2).
**
** Method (importance sampling, then resample and move: Chopin 2002, "A sequential particle filter method for static
**   models").
**   1. About 8,192 particles (w, alpha, b) drawn from the prior, each w with all its rotations, so that no reward
**      model is favoured. They are the same for all users.  Sets come one after the other and multiply the particles'
**      weights; particles that fall below e^-20 of the best are dropped, so most sets meet few of them.
**   2. When the effective number falls below 100, 128 lanes are drawn from the particles and moved by Metropolis
**      steps that leave the posterior of the sets seen so far alone: 5 after each such set, 30 at the end, averaging
**      the last 20.
**   A move shifts mass between two components a and b: a is drawn in proportion to w, b uniformly (the pair's mass,
**   and so the proposal's density, is unchanged); logit(w_a/(w_a+w_b)) makes a random step of size .3, 1.5 or 6, one
**   time in five after changing sign; b may double or halve.  The acceptance ratio needs the prior's (t(1-t))^alpha
**   and the likelihoods only.
** Without evidence the mean is exactly 1/dim.
**
** Only + - * / sqrt, the exp and log of core_math.h and table lookups decide the result: the same bits on every CPU
** and for any number of threads.
*/
#include "core_posterior.h"
#include "core_dirichlet.h"
#include "core_math.h"

#include <float.h>

enum {
  PARTICLES = 8192,
  LANES = 2 * PLLM_BLOCK, /* moved particles */
  ENOUGH = 100,           /* effective particles below which they are resampled and moved */
  SET_STEPS = 5,
  LAST_STEPS = 30,
  BURN_IN = 10,     /* of the last steps, not averaged */
  SHOW_EVERY = 4,   /* of those steps that are averaged: how often an onlooker is shown the lanes */
  MOVE_PERIOD = 64, /* steps after which the moves' random numbers come round again */
  SHARPNESSES = 10  /* 2^0 .. 2^9 */
};

#define DROP 20.0         /* log of the weight that is dropped */
#define LOG_TINY (-690.0) /* log weights stop here: what is below 1e-299 does nothing */
#define LOG_2 0.69314718055994530942
#define RATING_NOISE 0.01

static const double prior_alpha[] = {.01, .03, .1, .3, 1, 1, 3, 3}; /* one that stands twice weighs twice */
enum { ALPHAS = sizeof prior_alpha / sizeof *prior_alpha };

/* Kinds of random numbers of a step. */
enum { MOVE_FROM, MOVE_TO, MOVE_STEP, MOVE_FLIP, MOVE_SHARP, MOVE_ACCEPT, MOVE_KINDS };

static double uniform(uint32_t seed, uint64_t id, uint32_t index) {
  uint32_t out[4];
  pllm_philox_draw(seed, PLLM_PURPOSE_PARTICLES, id, index, 0, out);
  return pllm_philox_double(out[0], out[1]);
}

/* Sum of twelve uniforms, less six: bell-shaped and symmetric, which is all that a proposal needs. */
static double bell(uint32_t seed, uint64_t id, uint32_t index) {
  double sum = -6;
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t out[4];
    pllm_philox_draw(seed, PLLM_PURPOSE_PARTICLES, id, index, 1 + i, out);
    for (int k = 0; k < 4; k++) sum += ((double)out[k] + 0.5) * 0x1p-32;
  }
  return sum;
}

static void draw_moves(PllmParticles *p) {
  static const double sizes[] = {.3, 1.5, 6};
  for (uint32_t step = 0; step < MOVE_PERIOD; step++)
    for (uint64_t lane = 0; lane < LANES; lane++) {
      double *m = p->moves + (size_t)step * MOVE_KINDS * LANES + lane;
      uint64_t id = lane << 32 | step;
      double u = uniform(p->seed, id, 5);
      m[MOVE_FROM * LANES] = uniform(p->seed, id, 0);
      m[MOVE_TO * LANES] = uniform(p->seed, id, 1);
      m[MOVE_STEP * LANES] = bell(p->seed, id, 2) * sizes[(int)(3 * uniform(p->seed, id, 3))];
      m[MOVE_FLIP * LANES] = uniform(p->seed, id, 4) < 0.2 ? -1 : 1;
      m[MOVE_SHARP * LANES] = u < 0.25 ? -1 : u > 0.75 ? 1 : 0;
      m[MOVE_ACCEPT * LANES] = pllm_log1(uniform(p->seed, id, 7));
    }
}

/* Sharpness of particle i: a low-discrepancy sequence through the prior's distribution function. */
static double draw_log_b(const PllmPriorShape *shape, size_t i) {
  double total = 0, u, sum = 0, root[SHARPNESSES];
  int k = 0;
  for (k = 0; k < SHARPNESSES; k++)
    total += root[k] = shape ? shape->sharp[k] : k == 0 ? 1 : root[k - 1] * 1.18920711500272106672;
  u = (double)i * 0.61803398874989484820;
  u = (u - floor(u)) * total;
  for (k = 0; k < SHARPNESSES - 1; k++) {
    sum += root[k];
    if (u < sum) break;
  }
  return k * LOG_2;
}

void pllm_particles_free(PllmParticles *p) {
  if (!p) return;
  pllm_free_aligned(p->weights);
  pllm_free_aligned(p->alphas);
  pllm_free_aligned(p->log_b);
  pllm_free_aligned(p->moves);
  pllm_free(p->shape);
  pllm_free(p);
}

/* Users are drawn by seed too: with the same one the particles would be the very users that are to be found. */
static uint32_t particle_seed(uint32_t seed) {
  uint32_t out[4];
  pllm_philox_draw(seed, PLLM_PURPOSE_PARTICLES, UINT64_MAX, 0, 0, out);
  return out[0];
}

/* Group g of the prior: its alpha, and which of the bases it gets (as many as its share of the prior). */
static double group_of(const PllmParticles *p, size_t g, size_t groups, size_t bases, size_t *first, size_t *end) {
  const PllmPriorShape *shape = p->shape;
  double before = 0;
  *first = bases * g / groups;
  *end = bases * (g + 1) / groups;
  if (!shape) return p->alpha > 0 ? p->alpha : prior_alpha[g];
  for (size_t k = 0; k < g; k++) before += shape->share[k];
  *first = (size_t)(before * (double)bases + 0.5);
  *end = g + 1 == groups ? bases : (size_t)((before + shape->share[g]) * (double)bases + 0.5);
  *end = *end < bases ? *end : bases;
  return shape->alpha[g];
}

/* `turns` rotations of each base, no reward model favoured; one where the prior itself favours some. */
static PllmStatus draw_weights(PllmParticles *p, size_t bases, size_t turns, PllmError *err) {
  size_t dim = p->dim, groups = p->shape ? PLLM_GROUPS : p->alpha > 0 ? 1 : ALPHAS, first, end;
  double *alpha = pllm_alloc(dim, sizeof *alpha), *base = pllm_alloc(bases * dim, sizeof *base);
  double *scratch = pllm_alloc(PLLM_DIRICHLET_SCRATCH(dim), sizeof *scratch);
  PllmDirichlet *d = pllm_alloc(1, sizeof *d);
  uint32_t own_seed = particle_seed(p->seed);
  PllmStatus status = alpha && base && scratch && d ? PLLM_OK : pllm_fail_nomem(err);
  for (size_t g = 0; status == PLLM_OK && g < groups; g++) {
    double a = group_of(p, g, groups, bases, &first, &end);
    if (first >= end) continue;
    for (size_t b = 0; b < dim; b++) alpha[b] = p->shape ? a * p->shape->tilt[b] : a;
    pllm_core_dirichlet_init(d, own_seed, alpha, (int)dim, 0);
    pllm_core_dirichlet_many(d, first, end - first, 1, base, scratch);
    for (size_t j = first; j < end; j++)
      for (size_t r = 0; r < turns; r++) {
        size_t i = j * turns + r;
        p->alphas[i] = a;
        p->log_b[i] = p->sharpness > 0 ? pllm_log1(p->sharpness) : draw_log_b(p->shape, i);
        for (size_t b = 0; b < dim; b++) p->weights[(b + r) % dim * p->count + i] = base[(j - first) * dim + b];
      }
  }
  pllm_free(alpha);
  pllm_free(base);
  pllm_free(scratch);
  pllm_free(d);
  return status;
}

int pllm_particles_are(const PllmParticles *p, size_t dim, double alpha, double sharpness, uint32_t seed,
                       const PllmPriorShape *shape) {
  if (!p || p->dim != dim || p->alpha != alpha || p->sharpness != sharpness || p->seed != seed) return 0;
  return shape && p->shape ? memcmp(shape, p->shape, sizeof *shape) == 0 : !shape && !p->shape;
}

/* How many draws, each turned so many times, make about PARTICLES. */
static size_t bases_for(size_t turns) {
  size_t bases = (PARTICLES + turns - 1) / turns;
  while (bases * turns % PLLM_BLOCK != 0) bases++;
  return bases;
}

PllmStatus pllm_particles_new(size_t dim, double alpha, double sharpness, uint32_t seed, const PllmPriorShape *shape,
                              PllmParticles **out, PllmError *err) {
  PllmParticles *p = pllm_alloc_zero(1, sizeof *p);
  size_t turns = shape && !shape->even ? 1 : dim, bases = bases_for(turns);
  PllmStatus status;
  *out = NULL;
  if (!p) return pllm_fail_nomem(err);
  p->dim = dim;
  p->count = bases * turns;
  p->alpha = alpha;
  p->sharpness = sharpness;
  p->seed = seed;
  p->shape = shape ? pllm_alloc(1, sizeof *shape) : NULL;
  if (p->shape) *p->shape = *shape;
  p->weights = pllm_alloc_aligned(p->count * dim, sizeof(double));
  p->alphas = pllm_alloc_aligned(p->count, sizeof(double));
  p->log_b = pllm_alloc_aligned(p->count, sizeof(double));
  p->moves = pllm_alloc_aligned((size_t)MOVE_PERIOD * MOVE_KINDS * LANES, sizeof(double));
  status = p->weights && p->alphas && p->log_b && p->moves && (p->shape || !shape)
               ? draw_weights(p, bases, turns, err)
               : pllm_fail_nomem(err);
  if (status != PLLM_OK) {
    pllm_particles_free(p);
    return status;
  }
  draw_moves(p);
  *out = p;
  return PLLM_OK;
}

/* ---- likelihood of one set for blocks of particles ---- */

/* exp(t) to 1e-12, with t taken as at least -700 and at most 300: no ratio of likelihoods survives more.  No
** division, and branch-free, as nearly all of the sampler's time goes here. */
static PLLM_INLINE double exp_rough(double t) {
  double k, r, p;
  t = t > 300 ? 300 : t;
  t = t < -700 ? -700 : t;
  k = t * 1.44269504088896338700 + PLLM_ROUND;
  r = k - PLLM_ROUND;
  r = (t - r * PLLM_LN2_HI) - r * PLLM_LN2_LO;
  p = 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1;
  p = p * r + 1;
  return p * pllm_bits_double((pllm_double_bits(k) + 1023) << 52);
}

/* w[dim] rows are `stride` apart; n is a multiple of PLLM_BLOCK; u is [rows][PLLM_BLOCK] scratch; ll[n] is added to.
** */
typedef struct SetTask {
  const double *x; /* [rows][dim] */
  const PllmSet *set;
  size_t dim, stride, n;
  const double *w, *b;
  double *u, *ll;
} SetTask;

static PLLM_INLINE void utilities_body(const double *x, size_t rows, size_t dim, const double *w, size_t stride,
                                       double *u) {
  for (size_t r = 0; r < rows; r++) {
    double *out = u + r * PLLM_BLOCK;
    for (size_t l = 0; l < PLLM_BLOCK; l++) out[l] = x[r * dim] * w[l];
    for (size_t k = 1; k < dim; k++) {
      double xk = x[r * dim + k];
      const double *wk = w + k * stride;
      for (size_t l = 0; l < PLLM_BLOCK; l++) out[l] += xk * wk[l];
    }
  }
}

/* sum[l] = sum over rows but `without` of exp(sign b (u_r - u_at)); exponents stop at 300, which no ratio survives.
** */
static PLLM_INLINE void sum_exp_body(const double *u, size_t rows, size_t at, size_t without, double sign,
                                     const double *b, double *sum) {
  for (size_t l = 0; l < PLLM_BLOCK; l++) sum[l] = 0;
  for (size_t r = 0; r < rows; r++) {
    if (r == without) continue;
    for (size_t l = 0; l < PLLM_BLOCK; l++) {
      double t = sign * b[l] * (u[r * PLLM_BLOCK + l] - u[at * PLLM_BLOCK + l]);
      sum[l] += exp_rough(t);
    }
  }
}

static PLLM_INLINE void set_likelihood_body(const SetTask *t) {
  const PllmSet *s = t->set;
  for (size_t i = 0; i < t->n; i += PLLM_BLOCK) {
    double one[PLLM_BLOCK], two[PLLM_BLOCK];
    for (size_t l = 0; l < PLLM_BLOCK; l++) one[l] = two[l] = 1;
    utilities_body(t->x, s->rows, t->dim, t->w + i, t->stride, t->u);
    if (s->best != PLLM_NONE) sum_exp_body(t->u, s->rows, s->best, PLLM_NONE, 1, t->b + i, one);
    if (s->worst != PLLM_NONE) sum_exp_body(t->u, s->rows, s->worst, s->best, -1, t->b + i, two);
    for (size_t l = 0; l < PLLM_BLOCK; l++) t->ll[i + l] -= s->weight * pllm_log1_normal(one[l] * two[l]);
  }
}
PLLM_KERNEL(set_likelihood, (const SetTask *t), (t))

static PLLM_INLINE void utilities_only_body(const double *x, size_t rows, size_t dim, const double *w, size_t stride,
                                            double *u) {
  utilities_body(x, rows, dim, w, stride, u);
}
PLLM_KERNEL(utilities_only, (const double *x, size_t rows, size_t dim, const double *w, size_t stride, double *u),
            (x, rows, dim, w, stride, u))

/* Ratings: the profile likelihood of an unknown offset, scale and noise. */
static void rating_likelihood(const PllmEvidence *v, size_t stride, size_t n, const double *w, double *u, double *ll,
                              const PllmStop *stop) {
  double total = 0, count = 0;
  for (size_t r = 0; r < v->rows; r++) {
    total += v->weight[r];
    count += v->weight[r];
  }
  for (size_t i = 0; i < n && !pllm_stopped(stop); i += PLLM_BLOCK) {
    double mean[PLLM_BLOCK] = {0}, square[PLLM_BLOCK] = {0}, cross[PLLM_BLOCK] = {0};
    /* rows pass one at a time, so that any number of ratings fits the scratch */
    for (size_t r = 0; r < v->rows; r++) {
      utilities_only(v->x + r * v->dim, 1, v->dim, w + i, stride, u);
      for (size_t l = 0; l < PLLM_BLOCK; l++) {
        mean[l] += v->weight[r] * u[l];
        square[l] += v->weight[r] * u[l] * u[l];
        cross[l] += v->weight[r] * u[l] * v->rating[r];
      }
    }
    for (size_t l = 0; l < PLLM_BLOCK; l++) {
      double variance = square[l] / total - mean[l] / total * (mean[l] / total), r2;
      double c = cross[l] / total; /* ratings have mean 0 and variance 1 */
      r2 = c > 0 && variance > 0 ? c * c / variance : 0;
      ll[i + l] -= 0.5 * (count - 1) * pllm_log1(1 - (r2 < 1 ? r2 : 1) + RATING_NOISE);
    }
  }
}

/* ---- one user ---- */

/* Weighted particles: ll is the log weight since they were last resampled, base the log likelihood before that. */
typedef struct Cloud {
  size_t n, stride; /* particles in use, and the distance between rows of w */
  size_t drawn;     /* particles there were when they were drawn or resampled */
  double log_mean;  /* log of the mean of exp(ll) over those */
  double *w, *alpha, *log_b, *b, *ll, *base;
} Cloud;

typedef struct Sampler {
  const PllmParticles *p;
  const PllmEvidence *v;
  const PllmStop *stop;
  Cloud cloud;
  /* The moved particles, [dim][LANES] and [LANES]; ll is their log likelihood. */
  double *w, *log_w, *next_w, *next_log_w, *alpha, *log_b, *next_log_b, *b, *ll, *next_ll, *u;
  double *share; /* [particles]: normalised weights of the cloud */
  PllmOnlooker *onlooker;
  size_t steps;  /* done so far, which choose the moves */
} Sampler;

size_t pllm_posterior_bytes(size_t dim, size_t rows) {
  size_t count = bases_for(dim) * dim; /* never less than without rotations */
  return (count * (dim + 6) + LANES * (4 * dim + 6) + (rows + 1) * PLLM_BLOCK) * sizeof(double);
}

static void add_set(Sampler *s, size_t set, double *w, size_t stride, size_t n, const double *b, double *ll) {
  const PllmEvidence *v = s->v;
  if (v->ratings) {
    rating_likelihood(v, stride, n, w, s->u, ll, s->stop);
  } else {
    SetTask task = {.x = v->x + v->set[set].first * v->dim,
                    .set = &v->set[set],
                    .dim = v->dim,
                    .stride = stride,
                    .n = n,
                    .w = w,
                    .b = b,
                    .u = s->u,
                    .ll = ll};
    set_likelihood(&task);
  }
}

/* Drop particles whose weight no longer matters; the rest move to the front, padded by copies without weight. */
static void compact(Cloud *c, size_t dim) {
  double most = -DBL_MAX;
  size_t kept = 0;
  for (size_t i = 0; i < c->n; i++)
    if (c->ll[i] > most) most = c->ll[i];
  for (size_t i = 0; i < c->n; i++) kept += c->ll[i] > most - DROP;
  if (kept > c->n / 4 * 3) return;
  kept = 0;
  for (size_t i = 0; i < c->n; i++) {
    if (!(c->ll[i] > most - DROP)) continue;
    for (size_t b = 0; b < dim; b++) c->w[b * c->stride + kept] = c->w[b * c->stride + i];
    c->alpha[kept] = c->alpha[i];
    c->log_b[kept] = c->log_b[i];
    c->b[kept] = c->b[i];
    c->ll[kept++] = c->ll[i];
  }
  c->n = kept;
  for (; c->n % PLLM_BLOCK != 0; c->n++) {
    for (size_t b = 0; b < dim; b++) c->w[b * c->stride + c->n] = c->w[b * c->stride + c->n - 1];
    c->alpha[c->n] = c->alpha[c->n - 1];
    c->log_b[c->n] = c->log_b[c->n - 1];
    c->b[c->n] = c->b[c->n - 1];
    c->ll[c->n] = -1e300;
  }
}

/* Normalised weights of the particles into out[n]; returns their effective number. */
static double normalise(Cloud *c, double *out) {
  double most = -DBL_MAX, sum = 0, squares = 0;
  for (size_t i = 0; i < c->n; i++)
    if (c->ll[i] > most) most = c->ll[i];
  for (size_t i = 0; i < c->n; i++) {
    out[i] = pllm_exp1(c->ll[i] - most);
    sum += out[i];
    squares += out[i] * out[i];
  }
  for (size_t i = 0; i < c->n; i++) out[i] /= sum;
  c->log_mean = most + pllm_log1(sum / (double)c->drawn);
  return sum * sum / squares;
}

/* Systematic resampling into the lanes. */
static void resample(Sampler *s) {
  const Cloud *c = &s->cloud;
  size_t at = 0, dim = s->p->dim;
  double sum = s->share[0];
  for (size_t l = 0; l < LANES; l++) {
    while (sum < ((double)l + 0.5) / LANES && at + 1 < c->n) sum += s->share[++at];
    for (size_t b = 0; b < dim; b++) {
      double w = c->w[b * c->stride + at], log_w = w > 0 ? pllm_log1(w) : LOG_TINY;
      s->w[b * LANES + l] = w;
      s->log_w[b * LANES + l] = log_w > LOG_TINY ? log_w : LOG_TINY;
    }
    s->alpha[l] = c->alpha[at];
    s->log_b[l] = c->log_b[at];
    s->b[l] = c->b[at];
    s->ll[l] = c->base[at] + c->ll[at];
  }
}

/* log(1 + exp(x)) */
static double softplus(double x) {
  return x > 0 ? x + pllm_log1(1 + pllm_exp1(-x)) : pllm_log1(1 + pllm_exp1(x));
}

/* Log probability of a sharpness, given as its natural logarithm. */
static double log_sharp(const PllmPriorShape *shape, double log_b) {
  double share = shape->sharp[(size_t)(log_b / LOG_2 + 0.5)];
  return share > 0 ? pllm_log1(share) : -DBL_MAX / 4;
}

/* Propose for every lane; prior[l] receives the log prior ratio. */
static void propose(Sampler *s, const double *move, double *prior) {
  size_t dim = s->p->dim;
  memcpy(s->next_w, s->w, dim * LANES * sizeof(double));
  memcpy(s->next_log_w, s->log_w, dim * LANES * sizeof(double));
  for (size_t l = 0; l < LANES; l++) {
    double total = 0, at = 0, la, lb, whole, x, na, nb, log_b;
    size_t a = 0, b;
    for (size_t k = 0; k < dim; k++) total += s->w[k * LANES + l];
    total *= move[MOVE_FROM * LANES + l];
    while (a + 1 < dim && (at += s->w[a * LANES + l]) < total) a++;
    b = (size_t)(move[MOVE_TO * LANES + l] * (double)(dim - 1));
    if (b >= a) b++;
    if (b >= dim) b = a; /* one dimension: nothing to shift */
    la = s->log_w[a * LANES + l];
    lb = s->log_w[b * LANES + l];
    whole = la > lb ? la + softplus(lb - la) : lb + softplus(la - lb);
    x = move[MOVE_FLIP * LANES + l] * (la - lb) + move[MOVE_STEP * LANES + l];
    na = whole - softplus(-x);
    nb = whole - softplus(x);
    na = na > LOG_TINY ? na : LOG_TINY;
    nb = nb > LOG_TINY ? nb : LOG_TINY;
    prior[l] = 0;
    if (a != b) {
      s->next_log_w[a * LANES + l] = na;
      s->next_log_w[b * LANES + l] = nb;
      s->next_w[a * LANES + l] = pllm_exp1(na);
      s->next_w[b * LANES + l] = pllm_exp1(nb);
      prior[l] = s->p->shape ? s->alpha[l] * (s->p->shape->tilt[a] * (na - la) + s->p->shape->tilt[b] * (nb - lb))
                             : s->alpha[l] * (na + nb - la - lb);
    }
    log_b = s->log_b[l];
    if (s->p->sharpness == 0 && !s->v->ratings) {
      double shifted = log_b + LOG_2 * move[MOVE_SHARP * LANES + l];
      if (shifted > -0.1 && shifted < LOG_2 * (SHARPNESSES - 0.9)) {
        prior[l] += s->p->shape ? log_sharp(s->p->shape, shifted) - log_sharp(s->p->shape, log_b)
                                : 0.25 * (shifted - log_b);
        log_b = shifted;
      } else {
        prior[l] = -DBL_MAX; /* outside the grid */
      }
    }
    s->next_log_b[l] = log_b;
  }
}

/* The lanes to the onlooker.  Their own sharpness moves slowly, so each is shown with the probabilities of all. */
static void show_lanes(Sampler *s, size_t sets) {
  double ll[SHARPNESSES][LANES], b[LANES];
  for (int k = 0; k < SHARPNESSES; k++) {
    for (size_t l = 0; l < LANES; l++) {
      b[l] = (double)(1 << k);
      ll[k][l] = 0;
    }
    for (size_t i = 0; i < sets && !(i % 16 == 0 && pllm_stopped(s->stop)); i++)
      add_set(s, i, s->w, LANES, LANES, b, ll[k]);
  }
  for (size_t l = 0; l < LANES; l++) {
    double sharp[SHARPNESSES], most = -DBL_MAX, sum = 0;
    for (int k = 0; k < SHARPNESSES; k++) {
      sharp[k] = ll[k][l] + (s->p->shape ? log_sharp(s->p->shape, k * LOG_2) : 0.25 * k * LOG_2);
      most = sharp[k] > most ? sharp[k] : most;
    }
    for (int k = 0; k < SHARPNESSES; k++) sum += sharp[k] = pllm_exp1(sharp[k] - most);
    for (int k = 0; k < SHARPNESSES; k++) sharp[k] /= sum;
    s->onlooker->draw(s->onlooker->arg, SHOW_EVERY / (double)(LANES * (LAST_STEPS - BURN_IN)), s->w + l, LANES, sharp);
  }
}

/* Metropolis steps on the posterior of sets 0..sets-1; the average of steps from burn_in on is added to mean. */
static void move(Sampler *s, size_t sets, int steps, int burn_in, double *mean) {
  size_t dim = s->p->dim;
  double prior[LANES], b[LANES];
  for (int step = 0; step < steps; step++) {
    const double *random = s->p->moves + s->steps++ % MOVE_PERIOD * MOVE_KINDS * LANES;
    propose(s, random, prior);
    for (size_t l = 0; l < LANES; l++) {
      b[l] = pllm_exp1(s->next_log_b[l]);
      s->next_ll[l] = 0;
    }
    for (size_t i = 0; i < sets; i++) {
      if (i % 16 == 0 && pllm_stopped(s->stop)) return;
      add_set(s, i, s->next_w, LANES, LANES, b, s->next_ll);
    }
    for (size_t l = 0; l < LANES; l++) {
      if (!(random[MOVE_ACCEPT * LANES + l] < s->next_ll[l] - s->ll[l] + prior[l])) continue;
      for (size_t k = 0; k < dim; k++) {
        s->w[k * LANES + l] = s->next_w[k * LANES + l];
        s->log_w[k * LANES + l] = s->next_log_w[k * LANES + l];
      }
      s->ll[l] = s->next_ll[l];
      s->log_b[l] = s->next_log_b[l];
      s->b[l] = b[l];
    }
    if (step < burn_in) continue;
    for (size_t k = 0; k < dim; k++)
      for (size_t l = 0; l < LANES; l++) mean[k] += s->w[k * LANES + l];
    if (s->onlooker && (step - burn_in) % SHOW_EVERY == 0) show_lanes(s, sets);
  }
}

/* The lanes become the cloud. */
static void lanes_to_cloud(Sampler *s) {
  Cloud *c = &s->cloud;
  c->n = c->stride = c->drawn = LANES;
  memcpy(c->w, s->w, s->p->dim * LANES * sizeof(double));
  memcpy(c->alpha, s->alpha, LANES * sizeof(double));
  memcpy(c->log_b, s->log_b, LANES * sizeof(double));
  memcpy(c->b, s->b, LANES * sizeof(double));
  memcpy(c->base, s->ll, LANES * sizeof(double));
  memset(c->ll, 0, LANES * sizeof(double));
}

static void start(Sampler *s, const PllmParticles *p, const PllmEvidence *v, double *memory) {
  Cloud *c = &s->cloud;
  memset(s, 0, sizeof *s);
  s->p = p;
  s->v = v;
  c->n = c->stride = c->drawn = p->count;
  c->w = memory;
  c->alpha = c->w + p->count * p->dim;
  c->log_b = c->alpha + p->count;
  c->b = c->log_b + p->count;
  c->ll = c->b + p->count;
  c->base = c->ll + p->count;
  s->share = c->base + p->count;
  s->w = s->share + p->count;
  s->log_w = s->w + LANES * p->dim;
  s->next_w = s->log_w + LANES * p->dim;
  s->next_log_w = s->next_w + LANES * p->dim;
  s->alpha = s->next_log_w + LANES * p->dim;
  s->log_b = s->alpha + LANES;
  s->next_log_b = s->log_b + LANES;
  s->b = s->next_log_b + LANES;
  s->ll = s->b + LANES;
  s->next_ll = s->ll + LANES;
  s->u = s->next_ll + LANES;
  memcpy(c->w, p->weights, p->count * p->dim * sizeof(double));
  memcpy(c->alpha, p->alphas, p->count * sizeof(double));
  memcpy(c->log_b, p->log_b, p->count * sizeof(double));
  for (size_t i = 0; i < p->count; i++) c->b[i] = pllm_exp1(c->log_b[i]);
  memset(c->ll, 0, p->count * sizeof(double));
  memset(c->base, 0, p->count * sizeof(double));
}

void pllm_posterior_mean(const PllmParticles *p, const PllmEvidence *v, void *scratch, const PllmStop *stop,
                         PllmOnlooker *onlooker, double *mean) {
  Sampler s;
  Cloud *c = &s.cloud;
  size_t dim = p->dim, sets = v->ratings ? 1 : v->sets;
  double effective = 0, total = 0, evidence = 0;
  int moved = 0;
  memset(mean, 0, dim * sizeof *mean);
  if (!v->informative || dim == 1) {
    for (size_t b = 0; b < dim; b++) mean[b] = (p->shape ? p->shape->tilt[b] : 1) / (double)dim;
    return;
  }
  start(&s, p, v, scratch);
  s.stop = stop;
  s.onlooker = onlooker;
  for (size_t i = 0; i < sets; i++) {
    if (pllm_stopped(stop)) return;
    add_set(&s, i, c->w, c->stride, c->n, c->b, c->ll);
    if (!moved) compact(c, dim);
    effective = normalise(c, s.share);
    if (effective >= ENOUGH || i + 1 == sets) continue;
    evidence += c->log_mean;
    resample(&s);
    move(&s, i + 1, SET_STEPS, SET_STEPS, mean);
    lanes_to_cloud(&s);
    moved = 1;
  }
  if (moved || effective < ENOUGH) {
    resample(&s);
    move(&s, sets, LAST_STEPS, BURN_IN, mean);
  } else {
    for (size_t b = 0; b < dim; b++)
      for (size_t l = 0; l < c->n; l++) mean[b] += s.share[l] * c->w[b * c->stride + l];
    for (size_t l = 0; onlooker && l < c->n; l++)
      if (s.share[l] > 1e-9) {
        double sharp[SHARPNESSES] = {0};
        sharp[(size_t)(c->log_b[l] / LOG_2 + 0.5)] = 1;
        onlooker->draw(onlooker->arg, s.share[l], c->w + l, c->stride, sharp);
      }
  }
  if (onlooker) onlooker->evidence = evidence + c->log_mean;
  for (size_t b = 0; b < dim; b++) total += mean[b];
  for (size_t b = 0; b < dim; b++) mean[b] /= total;
}
