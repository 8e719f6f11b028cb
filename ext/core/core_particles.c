/*
** core_particles.c: what the sampler of core_posterior.c draws from the prior, once for all users.
*/
#include "core_dirichlet.h"
#include "core_math.h"
#include "core_posterior.h"

#include <float.h>

enum { PARTICLES = 8192 };

static const double prior_alpha[] = {.01, .03, .1, .3, 1, 1, 3, 3}; /* one that stands twice weighs twice */
enum { ALPHAS = sizeof prior_alpha / sizeof *prior_alpha };

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
  for (uint32_t step = 0; step < PLLM_MOVE_PERIOD; step++)
    for (uint64_t lane = 0; lane < PLLM_MOVED; lane++) {
      double *m = p->moves + (size_t)step * PLLM_MOVE_KINDS * PLLM_MOVED + lane;
      uint64_t id = lane << 32 | step;
      double u = uniform(p->seed, id, 5);
      m[PLLM_MOVE_FROM * PLLM_MOVED] = uniform(p->seed, id, 0);
      m[PLLM_MOVE_TO * PLLM_MOVED] = uniform(p->seed, id, 1);
      m[PLLM_MOVE_STEP * PLLM_MOVED] = bell(p->seed, id, 2) * sizes[(int)(3 * uniform(p->seed, id, 3))];
      m[PLLM_MOVE_FLIP * PLLM_MOVED] = uniform(p->seed, id, 4) < 0.2 ? -1 : 1;
      m[PLLM_MOVE_TURN * PLLM_MOVED] = u < 0.25 ? -1 : u > 0.75 ? 1 : 0;
      m[PLLM_MOVE_LENGTH * PLLM_MOVED] = 0.2 + 0.6 * uniform(p->seed, id, 8);
      m[PLLM_MOVE_ACCEPT * PLLM_MOVED] = pllm_log1(uniform(p->seed, id, 7));
    }
}

/* log2 of the sharpness of particle i: a low-discrepancy sequence through the prior's distribution function. */
static double draw_level(const PllmParticles *p, size_t i) {
  double total = 0, u, sum = 0;
  int k;
  for (k = 0; k < PLLM_SHARPNESSES; k++) total += pllm_exp1(p->log_sharp[k]);
  u = (double)i * 0.61803398874989484820;
  u = (u - floor(u)) * total;
  for (k = 0; k < PLLM_SHARPNESSES - 1; k++) {
    sum += pllm_exp1(p->log_sharp[k]);
    if (u < sum) break;
  }
  return k;
}

void pllm_particles_free(PllmParticles *p) {
  if (!p) return;
  pllm_free_aligned(p->weights);
  pllm_free_aligned(p->alphas);
  pllm_free_aligned(p->sharpnesses);
  pllm_free_aligned(p->levels);
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
        p->levels[i] = p->sharpness > 0 ? 0 : draw_level(p, i);
        p->sharpnesses[i] = p->sharpness > 0 ? p->sharpness : ldexp(1, (int)p->levels[i]);
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

/* Log probabilities of the sharpnesses, but for a constant. */
static void draw_sharpness(PllmParticles *p) {
  for (int k = 0; k < PLLM_SHARPNESSES; k++) {
    double share = p->shape ? p->shape->sharp[k] : 1;
    p->log_sharp[k] = p->shape ? (share > 0 ? pllm_log1(share) : -DBL_MAX / 4) : 0.25 * PLLM_LOG_2 * k;
  }
}

/* How many draws, each turned so many times, make about PARTICLES. */
static size_t bases_for(size_t turns) {
  size_t bases = (PARTICLES + turns - 1) / turns;
  while (bases * turns % PLLM_BLOCK != 0) bases++;
  return bases;
}

size_t pllm_particles_most(size_t dim) {
  return bases_for(dim) * dim; /* never less than without rotations */
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
  p->sharpnesses = pllm_alloc_aligned(p->count, sizeof(double));
  p->levels = pllm_alloc_aligned(p->count, sizeof(double));
  p->moves = pllm_alloc_aligned((size_t)PLLM_MOVE_PERIOD * PLLM_MOVE_KINDS * PLLM_MOVED, sizeof(double));
  draw_sharpness(p);
  status = p->weights && p->alphas && p->sharpnesses && p->levels && p->moves && (p->shape || !shape)
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
