/* The vote kernel: the same tallies as the canonical utility, on every instruction set and number of threads. */
#include "tap.h"

#include "../../ext/core/core_simd.h"

#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

typedef struct Case {
  const char *name;
  size_t models, prompts, users;
  size_t responses; /* per prompt; 0: 0..20, ragged; SIZE_MAX: none */
  double scale;     /* of the rewards */
  int ties;         /* rewards and weights from a few values: exact ties everywhere, and near ties by rounding */
  double weight;    /* scale of the weights */
  double decades;   /* over which weights and rewards spread below their scale, as weights of a small alpha do */
} Case;

/* A factor from 10^-decades to 1. */
static double spread(double decades) {
  return decades > 0 ? pow(10, -decades * tap_uniform()) : 1;
}

static void check(const Case *c) {
  size_t *first = pllm_alloc(c->prompts + 1, sizeof *first), n = 0;
  for (size_t p = 0; p <= c->prompts; p++) {
    first[p] = n;
    n += c->responses == SIZE_MAX ? 0 : c->responses ? c->responses : (size_t)(tap_uniform() * 21);
  }
  n = first[c->prompts];
  size_t *prompts = pllm_alloc(c->prompts, sizeof *prompts);
  for (size_t p = 0; p < c->prompts; p++) prompts[p] = c->prompts - 1 - p;
  double *rewards = pllm_alloc(n * c->models, sizeof *rewards), *weights = pllm_alloc(c->users * c->models, 8);
  for (size_t i = 0; i < n * c->models; i++)
    rewards[i] = c->scale * spread(c->decades) * (c->ties ? (double)(int)(tap_uniform() * 3) / 10 : tap_uniform() * 6 - 3);
  for (size_t i = 0; i < c->users * c->models; i++)
    weights[i] = c->weight * spread(c->decades) *
                 (c->ties ? (double)(int)(tap_uniform() * 3) / 7 : tap_uniform() * tap_uniform());
  PllmScores scores = {
      .n_models = c->models, .n_prompts = c->prompts, .n_responses = n, .first = first, .rewards = rewards};
  int64_t *want = pllm_alloc_zero(2 * n, 8), *got = pllm_alloc(2 * n, 8);
  for (size_t u = 0; u < c->users; u++)
    for (size_t p = 0; p < c->prompts; p++) {
      size_t best = first[p], worst = first[p];
      for (size_t r = first[p] + 1; r < first[p + 1]; r++) {
        const double *w = weights + u * c->models;
        double value = pllm_utility(w, rewards + r * c->models, c->models);
        if (value > pllm_utility(w, rewards + best * c->models, c->models)) best = r;
        if (value < pllm_utility(w, rewards + worst * c->models, c->models)) worst = r;
      }
      if (first[p + 1] > first[p]) {
        want[best]++;
        want[n + worst]++;
      }
    }
  for (int isa = 0; isa <= PLLM_ISA_MOST; isa++)
    for (int threads = 1; threads <= 3; threads += 2) {
      PllmRun run = {.threads = threads};
      PllmError err = {0};
      pllm_core_isa_limit((PllmIsa)isa);
      memset(got, 0, 2 * n * 8);
      feclearexcept(FE_ALL_EXCEPT);
      PllmStatus status = pllm_votes(&scores, prompts, c->prompts, weights, c->users, got, got + n, &run, &err);
      tap_check(status == PLLM_OK && memcmp(got, want, 2 * n * 8) == 0, "%s, %s, %d threads", c->name,
                pllm_kernel_description(), threads);
      if (c->decades > 0 && threads == 1)
        tap_check(!fetestexcept(FE_UNDERFLOW), "%s, %s: no subnormal numbers, which many processors are slow with", c->name,
                  pllm_kernel_description());
    }
  pllm_core_isa_limit(PLLM_ISA_MOST);
  pllm_free(first);
  pllm_free(prompts);
  pllm_free(rewards);
  pllm_free(weights);
  pllm_free(want);
  pllm_free(got);
}

/* Was a factor or a result subnormal?  On x86-64 the processor also tells of those that are exact. */
static int had_subnormals(void) {
#if defined(__SSE2__)
  return (_mm_getcsr() & (_MM_EXCEPT_DENORM | _MM_EXCEPT_UNDERFLOW)) != 0;
#else
  return fetestexcept(FE_UNDERFLOW) != 0;
#endif
}

static void forget_subnormals(void) {
  feclearexcept(FE_ALL_EXCEPT);
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() & ~(unsigned)_MM_EXCEPT_MASK);
#endif
}

/* Weights and scores of every power of two up to w and s; the smallest come first, so that sums are small as well. */
static void check_powers(double w, double s) {
  enum { POWERS = 48 };
  static double weights[16 * POWERS], rewards[8 * POWERS];
  size_t first[2] = {0, 8}, prompt = 0;
  PllmScores scores = {.n_models = POWERS, .n_prompts = 1, .n_responses = 8, .first = first, .rewards = rewards};
  for (size_t i = 0; i < POWERS; i++) {
    for (size_t u = 0; u < 16; u++) weights[u * POWERS + i] = ldexp(w, (int)i - POWERS); /* they add up to w */
    for (size_t r = 0; r < 8; r++) rewards[r * POWERS + i] = ldexp(r % 2 ? s : -s, (int)i + 1 - POWERS);
  }
  for (int isa = 0; isa <= PLLM_ISA_MOST; isa++) {
    int64_t best[8] = {0}, worst[8] = {0};
    PllmRun run = {.threads = 1};
    PllmError err;
    pllm_core_isa_limit((PllmIsa)isa);
    forget_subnormals();
    tap_check(pllm_votes(&scores, &prompt, 1, weights, 16, best, worst, &run, &err) == PLLM_OK && best[1] == 16 &&
                  worst[0] == 16 && !had_subnormals(),
              "powers of two below %g and %g, %s: no subnormal numbers", w, s, pllm_kernel_description());
  }
  pllm_core_isa_limit(PLLM_ISA_MOST);
}

int main(void) {
  static const Case cases[] = {
      {"eight responses, ten models", 10, 40, 1030, 8, 1, 0, 1, 0},
      {"one response", 3, 20, 17, 1, 1, 0, 1, 0},
      {"ragged prompts", 7, 60, 515, 0, 1, 0, 1, 0},
      {"one model", 1, 50, 40, 5, 1, 0, 1, 0},
      {"exact and near ties", 10, 60, 300, 8, 1, 1, 1, 0},
      {"ragged ties", 4, 60, 300, 0, 1, 1, 1, 0},
      {"many responses", 5, 3, 50, 1500, 1, 0, 1, 0},
      {"a thousand responses", 5, 3, 50, 1000, 1, 0, 1, 0},
      {"so wide that users come in tiles", 256, 3, 75, 1000, 1, 0, 1, 0},
      {"so wide that nothing is estimated", 256, 2, 40, 1500, 1, 0, 1, 0},
      {"256 models", 256, 10, 33, 8, 1, 0, 1, 0},
      {"rewards beyond f32", 10, 20, 100, 8, 1e200, 0, 1, 0},
      {"rewards below f32", 10, 20, 100, 8, 1e-200, 0, 1, 0},
      {"rewards of zero", 10, 20, 100, 8, 0, 0, 1, 0},
      {"rewards subnormal in f32, huge weights", 10, 20, 600, 8, 1e-42, 0, 1e30, 0},
      {"weights subnormal in f32, huge rewards", 10, 20, 600, 8, 1e28, 0, 1e-42, 0},
      {"weights beyond f32, tiny rewards", 10, 20, 600, 8, 1e-35, 0, 1e45, 0},
      {"weights below f32, huge rewards", 10, 20, 600, 8, 1e29, 0, 1e-48, 0},
      {"small weights, large rewards", 10, 20, 600, 8, 1e20, 0, 1e-25, 0},
      {"weights and rewards of many magnitudes", 10, 40, 1030, 8, 1, 0, 1, 60},
      {"ragged prompts of many magnitudes", 7, 60, 515, 0, 1, 0, 1, 60},
      {"many magnitudes at the least that is estimated", 10, 20, 600, 8, 1e-9, 0, 1e-9, 12},
      {"no response at all", 2, 3, 20, SIZE_MAX, 1, 0, 1, 0},
  };
  PllmScores none = {.n_models = 1};
  double bad[2] = {1, NAN};
  int64_t tally[2] = {0, 0};
  size_t first[2] = {0, 1}, prompt = 0;
  double reward = 1;
  PllmError err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i]);
  check_powers(1, 1);
  check_powers(1.01e-9, 1e-9);
  check_powers(1e-11, 1e-11);
  check_powers(1e-25, 1e12);
  check_powers(1e12, 1e-25);
  tap_check(pllm_votes(&none, NULL, 0, NULL, 0, NULL, NULL, NULL, &err) == PLLM_OK, "nothing to do is no error");
  none = (PllmScores){.n_models = 1, .n_prompts = 1, .n_responses = 1, .first = first, .rewards = &reward};
  tap_fails(pllm_votes(&none, &prompt, 1, bad, 2, tally, tally + 1, NULL, &err), PLLM_INVALID, &err, "not finite");
  return tap_done();
}
