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
**      model is favoured.  They are the same for all users.  Sets come one after the other and multiply the
**      particles' weights; particles that fall below e^-14 of the best are dropped, most of them by a bound of their
**      likelihood that takes no exponential.
**   2. When the effective number falls below 32, 128 lanes in two blocks are drawn from the particles and moved by
**      Metropolis steps that leave the posterior of the sets seen so far alone: 8 after each such set, 30 at the end,
**      averaging the last 20.  Steps are of two kinds by turns:
**      two features   weight moves between features a and b: logit(w_a/(w_a+w_b)) makes a random step of size .3, 1.5
**                     or 6, one time in five after changing sign.  The block shares a and b, drawn in proportion to
**                     the other block's mean weights (b half the time from all); so utilities change by a multiple of
**                     the same difference of features in all lanes.  The prior's ratio is that of (w_a w_b)^alpha.
**      all features   log w, but for normalisation, moves by .2 to .8 times the difference between two lanes of the
**                     other block (differential evolution), which has the posterior's directions and sizes.  The
**                     prior's ratio is that of prod w^alpha.
**      In both b may double or halve.  What a block does depends on the other block's lanes, which stay where they
**      are meanwhile, so that the product of posteriors is left alone.
** Without evidence the mean is exactly 1/dim.
**
** Exponentials: a likelihood of n rows takes n-1 where the best is marked, n-1 where the worst is, n-2 of which come
** with the others (core_posterior_kernel.h): 7 pairs for eight responses.
**
** Only + - * / sqrt, the exp and log of core_math.h, the kernels' own and table lookups decide the result, in an
** order that no vector width changes: the same bits on every CPU and for any number of threads.
*/
#include "core_posterior.h"
#include "core_math.h"

#include <float.h>

enum {
  ENOUGH = 32, /* effective particles below which they are resampled and moved */
  SET_STEPS = 8,
  LAST_STEPS = 30,
  BURN_IN = 10,  /* of the last steps, not averaged */
  AT_ONCE = 256, /* sets between looks at the way out */
  SHOW_EVERY = 4 /* of those steps that are averaged: how often an onlooker is shown the lanes */
};

#define DROP 14.0  /* log of the weight that is dropped */
#define SLACK 1e-6 /* what rounding may add to a likelihood beyond its bound */

/* Weighted particles: ll is the log weight since they were last resampled, base the log likelihood before that. */
typedef struct Cloud {
  size_t n, room;  /* particles in use; rows of w are `room` apart */
  size_t drawn;    /* when they were last resampled, or first drawn */
  double most;     /* largest ll */
  double log_mean; /* log of the mean of exp(ll) over those */
  double *w, *alpha, *sharpness, *level, *ll, *base;
} Cloud;

typedef struct Sampler {
  const PllmParticles *p;
  const PllmEvidence *v;
  const PllmStop *stop;
  const PllmPosteriorKernel *kernel;
  Cloud cloud;
  double *share; /* [room]: normalised weights of the cloud */
  size_t *kept;  /* [room] */
  /* The moved particles: [MOVED], [dim][BLOCK] for each block, [rows][BLOCK] for each block. */
  double *w, *log_w, *alpha, *sharpness, *level, *ll, *u;
  double *block, *pending; /* [rows][BLOCK], utilities of some of the cloud */
  PllmMove *move;
  PllmOnlooker *onlooker;
  size_t steps; /* done so far, which choose the moves' random numbers */
} Sampler;

const PllmPosteriorKernel *pllm_posterior_kernel(void) {
#if defined(__x86_64__)
  if (pllm_core_isa() >= PLLM_ISA_AVX512) return &pllm_core_posterior_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return &pllm_core_posterior_avx2;
#endif
  return &pllm_core_posterior_base;
}

/* Utilities of a set's rows for a block of particles.  Long sets take a while: between pieces of them, and when asked
** to, listen. */
static void set_utilities(const Sampler *s, const PllmSet *set, const double *w, size_t stride, double *u, int listen) {
  enum { PIECE = 1024 };
  size_t dim = s->v->dim, rows = set->rows;
  const double *x = s->v->x + set->first * dim;
  for (; rows > PIECE && !pllm_stopped(s->stop); rows -= PIECE, x += PIECE * dim, u += PIECE * PLLM_BLOCK)
    s->kernel->utilities(x, PIECE, dim, w, stride, u);
  if (!listen || !pllm_stopped(s->stop)) s->kernel->utilities(x, rows < PIECE ? rows : PIECE, dim, w, stride, u);
}

/* ---- the cloud ---- */

/* Particles whose likelihood may matter wait here until they fill a block; their utilities are in s->pending. */
typedef struct Pending {
  size_t n, particle[PLLM_BLOCK];
  double sharpness[PLLM_BLOCK];
} Pending;

/* The likelihoods of the particles that wait. */
static void flush(Sampler *s, const PllmSet *set, Pending *wait, double *most) {
  double ll[PLLM_BLOCK] = {0};
  for (size_t k = wait->n; k < PLLM_BLOCK; k++) { /* fill the rest of the block with what does no harm */
    wait->sharpness[k] = 0;
    for (size_t r = 0; r < set->rows; r++) s->pending[r * PLLM_BLOCK + k] = 0;
  }
  s->kernel->set_likelihood(set, s->pending, wait->sharpness, ll);
  for (size_t k = 0; k < wait->n; k++) {
    double *to = &s->cloud.ll[wait->particle[k]];
    *to += ll[k];
    if (*to > *most) *most = *to;
  }
  wait->n = 0;
}

/* `count` particles of the block that begins with particle `first` join those that wait. */
static void join(Sampler *s, const PllmSet *set, const double *sharpness, size_t first, const unsigned char *lane,
                 size_t count, Pending *wait, double *most) {
  while (count > 0) {
    size_t n = PLLM_BLOCK - wait->n < count ? PLLM_BLOCK - wait->n : count;
    for (size_t r = 0; r < set->rows; r++) {
      const double *from = s->block + r * PLLM_BLOCK;
      double *to = s->pending + r * PLLM_BLOCK + wait->n;
      for (size_t k = 0; k < n; k++) to[k] = from[lane[k]];
    }
    for (size_t k = 0; k < n; k++) {
      wait->sharpness[wait->n + k] = sharpness[first + lane[k]];
      wait->particle[wait->n + k] = first + lane[k];
    }
    wait->n += n;
    lane += n;
    count -= n;
    if (wait->n == PLLM_BLOCK) flush(s, set, wait, most);
  }
}

/*
** Multiply a set's likelihood into the weights of the particles w, which may be the cloud's own or those that all
** users share.  Those that fall below e^-DROP of the best so far by what bounds their likelihood never meet an
** exponential; s->kept lists the others.  Returns the largest log weight.
*/
static double weigh_set(Sampler *s, const PllmSet *set, const double *w, size_t stride, const double *sharpness,
                        size_t *kept) {
  Cloud *c = &s->cloud;
  Pending wait = {0};
  double most = -DBL_MAX, bound[PLLM_BLOCK];
  unsigned char lane[PLLM_BLOCK];
  *kept = 0;
  for (size_t i = 0; i < c->n; i += PLLM_BLOCK) {
    size_t n = c->n - i < PLLM_BLOCK ? c->n - i : PLLM_BLOCK, count = 0;
    double least = most - DROP - SLACK;
    set_utilities(s, set, w + i, stride, s->block, 0);
    s->kernel->set_bound(set, s->block, sharpness + i, bound);
    for (size_t l = 0; l < n; l++) { /* no branch: nobody could guess it */
      lane[count] = (unsigned char)l;
      count += c->ll[i + l] + bound[l] >= least;
    }
    for (size_t k = 0; k < count; k++) s->kept[*kept + k] = i + lane[k];
    *kept += count;
    join(s, set, sharpness, i, lane, count, &wait, &most);
  }
  if (wait.n > 0) flush(s, set, &wait, &most);
  return most;
}

/* The same for ratings, which have no bound. */
static double weigh_ratings(Sampler *s, const double *w, size_t stride, size_t *kept) {
  Cloud *c = &s->cloud;
  double most = -DBL_MAX;
  for (size_t i = 0; i < c->n && !pllm_stopped(s->stop); i += PLLM_BLOCK) {
    set_utilities(s, &s->v->set[0], w + i, stride, s->block, 0);
    s->kernel->ratings_likelihood(s->v, s->block, c->ll + i);
    for (size_t l = 0; l < PLLM_BLOCK; l++) most = c->ll[i + l] > most ? c->ll[i + l] : most;
  }
  for (size_t i = 0; i < c->n; i++) s->kept[i] = i;
  *kept = c->n;
  return most;
}

/* Particles of the cloud, and of what fills its last block. */
static size_t padded(size_t n) {
  return (n + PLLM_BLOCK - 1) / PLLM_BLOCK * PLLM_BLOCK;
}

/* A set into the weights; particles that matter no more are dropped, the others move to the front of the cloud. */
static void weigh(Sampler *s, size_t set) {
  const PllmParticles *p = s->p;
  Cloud *c = &s->cloud;
  int shared = set == 0; /* the first set meets the particles of all users */
  const double *w = shared ? p->weights : c->w, *sharpness = shared ? p->sharpnesses : c->sharpness;
  const double *alpha = shared ? p->alphas : c->alpha, *level = shared ? p->levels : c->level;
  size_t stride = shared ? p->count : c->room, kept, n = 0;
  double most =
      s->v->ratings ? weigh_ratings(s, w, stride, &kept) : weigh_set(s, &s->v->set[set], w, stride, sharpness, &kept);
  for (size_t k = 0; k < kept; k++) {
    size_t i = s->kept[k];
    s->kept[n] = i;
    n += c->ll[i] > most - DROP;
  }
  for (size_t b = 0; b < p->dim; b++)
    for (size_t k = 0; k < n; k++) c->w[b * c->room + k] = w[b * stride + s->kept[k]];
  for (size_t k = 0; k < n; k++) {
    size_t i = s->kept[k];
    c->alpha[k] = alpha[i];
    c->sharpness[k] = sharpness[i];
    c->level[k] = level[i];
    c->ll[k] = c->ll[i];
    c->base[k] = c->base[i];
  }
  c->n = n;
  c->most = most;
  for (size_t end = padded(n); n < end; n++) { /* blocks are read whole */
    for (size_t b = 0; b < p->dim; b++) c->w[b * c->room + n] = 0;
    c->sharpness[n] = 0;
  }
}

/* Sum of a[i] b[i] in eight strands, an order that every vector width can follow; n is a multiple of 8. */
static double dot8(const double *a, const double *b, size_t n) {
  double s[8] = {0};
  for (size_t i = 0; i < n; i += 8)
    for (size_t j = 0; j < 8; j++) s[j] += a[i + j] * b[i + j];
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static double sum8(const double *a, size_t n) {
  double s[8] = {0};
  for (size_t i = 0; i < n; i += 8)
    for (size_t j = 0; j < 8; j++) s[j] += a[i + j];
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Normalised weights of the cloud into share; returns their effective number. */
static double normalise(Sampler *s) {
  Cloud *c = &s->cloud;
  double sum, scale, *share = s->share;
  size_t n = c->n, end = padded(n);
  for (size_t i = 0; i < n; i++) share[i] = c->ll[i] - c->most;
  pllm_exp_n(share, share, n);
  for (size_t i = n; i < end; i++) share[i] = 0;
  sum = sum8(share, end);
  scale = 1 / sum;
  for (size_t i = 0; i < n; i++) share[i] *= scale;
  c->log_mean = c->most + pllm_log1(sum / (double)c->drawn);
  return 1 / dot8(share, share, end);
}

static void cloud_mean(const Sampler *s, double *mean) {
  const Cloud *c = &s->cloud;
  for (size_t b = 0; b < s->p->dim; b++) mean[b] = dot8(s->share, c->w + b * c->room, padded(c->n));
}

/* Without evidence: the particles themselves. */
static void show_prior(const PllmParticles *p, PllmOnlooker *onlooker) {
  for (size_t i = 0; i < p->count; i++) {
    double sharp[PLLM_SHARPNESSES] = {0};
    sharp[(int)p->levels[i]] = 1;
    onlooker->draw(onlooker->arg, 1 / (double)p->count, p->weights + i, p->count, sharp);
  }
}

static void show_cloud(const Sampler *s) {
  const Cloud *c = &s->cloud;
  for (size_t i = 0; i < c->n; i++) {
    double sharp[PLLM_SHARPNESSES] = {0};
    if (!(s->share[i] > 1e-9)) continue;
    sharp[(int)c->level[i]] = 1;
    s->onlooker->draw(s->onlooker->arg, s->share[i], c->w + i, c->room, sharp);
  }
}

/* ---- the lanes ---- */

/* Systematic resampling into the lanes. */
static void resample(Sampler *s) {
  const Cloud *c = &s->cloud;
  size_t at[PLLM_MOVED], i = 0, dim = s->p->dim;
  double sum = s->share[0];
  for (size_t l = 0; l < PLLM_MOVED; l++) {
    while (sum < ((double)l + 0.5) / PLLM_MOVED && i + 1 < c->n) sum += s->share[++i];
    at[l] = i;
    s->alpha[l] = c->alpha[i];
    s->sharpness[l] = c->sharpness[i];
    s->level[l] = c->level[i];
    s->ll[l] = c->base[i] + c->ll[i];
  }
  for (size_t l = 0; l < PLLM_MOVED; l += PLLM_BLOCK)
    for (size_t b = 0; b < dim; b++)
      for (size_t k = 0; k < PLLM_BLOCK; k++) s->w[(l * dim) + b * PLLM_BLOCK + k] = c->w[b * c->room + at[l + k]];
  pllm_log_n(s->log_w, s->w, dim * PLLM_MOVED);
  for (size_t k = 0; k < dim * PLLM_MOVED; k++)
    s->log_w[k] = s->log_w[k] > PLLM_LOG_TINY ? s->log_w[k] : PLLM_LOG_TINY;
}

/* Choose one of n in proportion to mass. */
static size_t choose(const double *mass, size_t n, double uniform) {
  double total = 0, sum = mass[0];
  size_t i = 0;
  for (size_t k = 0; k < n; k++) total += mass[k];
  total *= uniform;
  while (i + 1 < n && sum < total) sum += mass[++i];
  return i;
}

/* Choose another than `not`, one time in two in proportion to mass, else any. */
static size_t choose_other(double *mass, size_t n, size_t not, double uniform) {
  int any = uniform < 0.5;
  for (size_t k = 0; any && k < n; k++) mass[k] = 1;
  mass[not ] = 0;
  return choose(mass, n, any ? 2 * uniform : 2 * uniform - 1);
}

/* sums[k] += the block's weights of feature k. */
static void add_weights(const double *w, size_t dim, double *sums) {
  for (size_t k = 0; k < dim; k++) sums[k] += sum8(w + k * PLLM_BLOCK, PLLM_BLOCK);
}

/* Sharpness may double or halve. */
static void propose_sharpness(const Sampler *s, const double *turn, PllmMove *m) {
  if (s->p->sharpness > 0 || s->v->ratings) turn = NULL;
  for (size_t l = 0; l < PLLM_BLOCK; l++) {
    double level = m->level[l] + (turn ? turn[l] : 0);
    int inside = level >= 0 && level < PLLM_SHARPNESSES;
    m->next_level[l] = inside ? level : m->level[l];
    m->next_sharpness[l] = m->sharpness[l] * (m->next_level[l] > m->level[l]   ? 2
                                              : m->next_level[l] < m->level[l] ? 0.5
                                                                               : 1);
    m->prior[l] = inside ? s->p->log_sharp[(int)level] - s->p->log_sharp[(int)m->level[l]] : -DBL_MAX / 4;
  }
}

/* Weight moves between two features, the same two for the whole block: their choice may depend on the other block. */
static void step_two(Sampler *s, size_t sets, const double *random, const double *theirs) {
  PllmMove *m = s->move;
  const PllmEvidence *v = s->v;
  size_t dim = m->dim;
  double mass[PLLM_MAX_MODELS] = {0};
  add_weights(theirs, dim, mass);
  m->a = choose(mass, dim, random[PLLM_MOVE_FROM * PLLM_MOVED]);
  m->b = choose_other(mass, dim, m->a, random[PLLM_MOVE_TO * PLLM_MOVED]);
  for (size_t i = 0; i < sets; i++)
    for (size_t r = v->set[i].first; r < v->set[i].first + v->set[i].rows; r++)
      m->difference[r] = v->x[r * dim + m->a] - v->x[r * dim + m->b];
  s->kernel->propose_two(m);
  memset(m->next_ll, 0, sizeof m->next_ll);
  for (size_t i = 0; i < sets && !(i > 0 && pllm_stopped(s->stop)); i += AT_ONCE)
    s->kernel->judge_two(v, i, sets - i < AT_ONCE ? sets : i + AT_ONCE, m);
  s->kernel->settle_two(v, sets, m);
}

/* Each lane moves by the difference of two lanes of the other block, which knows the posterior's directions and sizes
** (ter Braak 2006, "A Markov Chain Monte Carlo version of the genetic algorithm Differential Evolution"). */
static void step_all(Sampler *s, size_t sets, const double *random, const double *theirs) {
  PllmMove *m = s->move;
  const PllmEvidence *v = s->v;
  size_t one = (size_t)(random[PLLM_MOVE_FROM * PLLM_MOVED] * PLLM_BLOCK);
  size_t two = (size_t)(random[PLLM_MOVE_TO * PLLM_MOVED] * (PLLM_BLOCK - 1));
  two += two >= one;
  for (size_t k = 0; k < m->dim; k++)
    for (size_t l = 0; l < PLLM_BLOCK; l++)
      m->direction[k * PLLM_BLOCK + l] =
          theirs[k * PLLM_BLOCK + (l + one) % PLLM_BLOCK] - theirs[k * PLLM_BLOCK + (l + two) % PLLM_BLOCK];
  s->kernel->propose_all(m);
  memset(m->next_ll, 0, sizeof m->next_ll);
  for (size_t i = 0; i < sets; i++) {
    const PllmSet *set = &v->set[i];
    double *u = m->next_u + set->first * PLLM_BLOCK;
    set_utilities(s, set, m->next_w, PLLM_BLOCK, u, i % AT_ONCE == AT_ONCE - 1);
    if (v->ratings)
      s->kernel->ratings_likelihood(v, u, m->next_ll);
    else
      s->kernel->set_likelihood(set, u, m->next_sharpness, m->next_ll);
  }
  s->kernel->settle_all(v, sets, m);
}

/* One Metropolis step of a block of lanes, on the posterior of sets 0..sets-1. */
static void step_block(Sampler *s, size_t sets, const double *random, size_t block) {
  size_t dim = s->p->dim, first = block * PLLM_BLOCK, other = (block ^ 1) * PLLM_BLOCK;
  PllmMove *m = s->move;
  random += first;
  m->step = random + PLLM_MOVE_STEP * PLLM_MOVED;
  m->flip = random + PLLM_MOVE_FLIP * PLLM_MOVED;
  m->length = random + PLLM_MOVE_LENGTH * PLLM_MOVED;
  m->accept = random + PLLM_MOVE_ACCEPT * PLLM_MOVED;
  m->w = s->w + first * dim;
  m->log_w = s->log_w + first * dim;
  m->u = s->u + first * s->v->rows;
  m->ll = s->ll + first;
  m->sharpness = s->sharpness + first;
  m->level = s->level + first;
  m->alpha = s->alpha + first;
  propose_sharpness(s, random + PLLM_MOVE_TURN * PLLM_MOVED, m);
  if (s->steps % 2 == 0)
    step_two(s, sets, random, s->w + other * dim);
  else
    step_all(s, sets, random, s->log_w + other * dim);
}

/* The lanes to the onlooker.  Their own sharpness moves slowly, so each is shown with the probabilities of all. */
static void show_lanes(Sampler *s, size_t sets) {
  double ll[PLLM_SHARPNESSES][PLLM_BLOCK], b[PLLM_BLOCK];
  for (size_t first = 0; first < PLLM_MOVED; first += PLLM_BLOCK) {
    const double *u = s->u + first * s->v->rows;
    memset(ll, 0, sizeof ll);
    /* one that was set (level 0 stands for it), and ratings, need no likelihoods */
    for (int k = 0; k < PLLM_SHARPNESSES && !s->v->ratings && !(s->p->sharpness > 0); k++) {
      for (size_t l = 0; l < PLLM_BLOCK; l++) b[l] = (double)(1 << k);
      for (size_t i = 0; i < sets && !(i % 16 == 0 && pllm_stopped(s->stop)); i++)
        s->kernel->set_likelihood(&s->v->set[i], u + s->v->set[i].first * PLLM_BLOCK, b, ll[k]);
    }
    for (size_t l = 0; l < PLLM_BLOCK; l++) {
      double sharp[PLLM_SHARPNESSES], most = -DBL_MAX, sum = 0;
      for (int k = 0; k < PLLM_SHARPNESSES; k++) {
        sharp[k] = ll[k][l] + s->p->log_sharp[k];
        most = sharp[k] > most ? sharp[k] : most;
      }
      for (int k = 0; k < PLLM_SHARPNESSES; k++) sum += sharp[k] = pllm_exp1(sharp[k] - most);
      for (int k = 0; k < PLLM_SHARPNESSES; k++) sharp[k] /= sum;
      s->onlooker->draw(s->onlooker->arg, SHOW_EVERY / (double)(PLLM_MOVED * (LAST_STEPS - BURN_IN)),
                        s->w + first * s->p->dim + l, PLLM_BLOCK, sharp);
    }
  }
}

/* Metropolis steps on the posterior of sets 0..sets-1; the average of steps from burn_in on is added to mean. */
static void move(Sampler *s, size_t sets, int steps, int burn_in, double *mean) {
  size_t dim = s->p->dim;
  for (size_t l = 0; l < PLLM_MOVED; l += PLLM_BLOCK)
    for (size_t i = 0; i < sets; i++)
      set_utilities(s, &s->v->set[i], s->w + l * dim, PLLM_BLOCK,
                    s->u + l * s->v->rows + s->v->set[i].first * PLLM_BLOCK, i % AT_ONCE == AT_ONCE - 1);
  for (int step = 0; step < steps && !pllm_stopped(s->stop); step++, s->steps++) {
    const double *random = s->p->moves + s->steps % PLLM_MOVE_PERIOD * PLLM_MOVE_KINDS * PLLM_MOVED;
    for (size_t block = 0; block < PLLM_MOVED / PLLM_BLOCK; block++) step_block(s, sets, random, block);
    if (step < burn_in) continue;
    for (size_t l = 0; l < PLLM_MOVED; l += PLLM_BLOCK) add_weights(s->w + l * dim, dim, mean);
    if (s->onlooker && (step - burn_in) % SHOW_EVERY == 0) show_lanes(s, sets);
  }
}

/* The lanes become the cloud. */
static void lanes_to_cloud(Sampler *s) {
  Cloud *c = &s->cloud;
  size_t dim = s->p->dim;
  c->n = c->drawn = PLLM_MOVED;
  for (size_t l = 0; l < PLLM_MOVED; l += PLLM_BLOCK)
    for (size_t b = 0; b < dim; b++)
      memcpy(c->w + b * c->room + l, s->w + l * dim + b * PLLM_BLOCK, PLLM_BLOCK * sizeof(double));
  memcpy(c->alpha, s->alpha, PLLM_MOVED * sizeof(double));
  memcpy(c->sharpness, s->sharpness, PLLM_MOVED * sizeof(double));
  memcpy(c->level, s->level, PLLM_MOVED * sizeof(double));
  memcpy(c->base, s->ll, PLLM_MOVED * sizeof(double));
  memset(c->ll, 0, PLLM_MOVED * sizeof(double));
}

/* ---- one user ---- */

size_t pllm_posterior_bytes(size_t dim, size_t rows) {
  size_t cloud = pllm_particles_most(dim) * (dim + 7), lanes = PLLM_MOVED * (2 * dim + 4 + rows);
  size_t blocks = PLLM_BLOCK * (2 * rows + 3 * dim);
  return (cloud + lanes + blocks + rows) * sizeof(double) + sizeof(PllmMove);
}

static double *take(double **memory, size_t n) {
  double *at = *memory;
  *memory += n;
  return at;
}

static void start(Sampler *s, const PllmParticles *p, const PllmEvidence *v, double *memory) {
  size_t dim = p->dim, count = p->count;
  Cloud *c = &s->cloud;
  PllmMove *m;
  memset(s, 0, sizeof *s);
  s->p = p;
  s->v = v;
  s->kernel = pllm_posterior_kernel();
  c->n = c->room = c->drawn = count;
  c->w = take(&memory, count * dim);
  c->alpha = take(&memory, count);
  c->sharpness = take(&memory, count);
  c->level = take(&memory, count);
  c->ll = take(&memory, count);
  c->base = take(&memory, count);
  s->share = take(&memory, count);
  s->kept = (size_t *)(void *)take(&memory, count);
  s->w = take(&memory, PLLM_MOVED * dim);
  s->log_w = take(&memory, PLLM_MOVED * dim);
  s->alpha = take(&memory, PLLM_MOVED);
  s->sharpness = take(&memory, PLLM_MOVED);
  s->level = take(&memory, PLLM_MOVED);
  s->ll = take(&memory, PLLM_MOVED);
  s->u = take(&memory, PLLM_MOVED * v->rows);
  s->block = take(&memory, PLLM_BLOCK * v->rows);
  s->pending = take(&memory, PLLM_BLOCK * v->rows);
  m = s->move = (PllmMove *)(void *)take(&memory, sizeof(PllmMove) / sizeof(double));
  memset(m, 0, sizeof *m);
  m->dim = dim;
  m->tilt = p->shape ? p->shape->tilt : NULL;
  m->next_u = s->block;
  m->next_w = take(&memory, PLLM_BLOCK * dim);
  m->next_log_w = take(&memory, PLLM_BLOCK * dim);
  m->direction = take(&memory, PLLM_BLOCK * dim);
  m->difference = memory;
  memset(c->ll, 0, count * sizeof(double));
  memset(c->base, 0, count * sizeof(double));
}

_Static_assert(sizeof(PllmMove) % sizeof(double) == 0, "a move lies among numbers");

void pllm_posterior_mean(const PllmParticles *p, const PllmEvidence *v, void *scratch, const PllmStop *stop,
                         PllmOnlooker *onlooker, double *mean) {
  Sampler s;
  size_t dim = p->dim, sets = v->ratings ? 1 : v->sets;
  double effective = 0, total = 0, evidence = 0;
  int moved = 0;
  memset(mean, 0, dim * sizeof *mean);
  if (!v->informative || dim == 1) {
    for (size_t b = 0; b < dim; b++) mean[b] = (p->shape ? p->shape->tilt[b] : 1) / (double)dim;
    if (onlooker) {
      show_prior(p, onlooker);
      onlooker->evidence = 0;
    }
    return;
  }
  start(&s, p, v, scratch);
  s.stop = stop;
  s.onlooker = onlooker;
  for (size_t i = 0; i < sets; i++) {
    if (pllm_stopped(stop)) return;
    weigh(&s, i);
    effective = normalise(&s);
    if (effective >= ENOUGH || i + 1 == sets) continue;
    evidence += s.cloud.log_mean;
    resample(&s);
    move(&s, i + 1, SET_STEPS, SET_STEPS, mean);
    lanes_to_cloud(&s);
    moved = 1;
  }
  if (moved || effective < ENOUGH) {
    resample(&s);
    move(&s, sets, LAST_STEPS, BURN_IN, mean);
  } else {
    cloud_mean(&s, mean);
    if (onlooker) show_cloud(&s);
  }
  if (onlooker) onlooker->evidence = evidence + s.cloud.log_mean;
  for (size_t b = 0; b < dim; b++) total += mean[b];
  for (size_t b = 0; b < dim; b++) mean[b] /= total;
}
