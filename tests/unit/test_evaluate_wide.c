/* Evaluation of wide prompts, where pairs are counted by sorting: what plain double loops give, on every path. */
#include "tap.h"

#include "../../ext/core/core_evaluate.h"
#include "../../ext/core/core_simd.h"

#include <math.h>
#include <string.h>

enum { USERS = 11, MODELS = 3, PROMPTS = 5 };


/* Pairs that t orders, and twice those that e orders alike plus those it does not order. */
static void plain_pairs(const double *t, const double *e, size_t n, size_t stride, double *strict, double *right) {
  *strict = *right = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      if (!(t[i * stride] > t[j * stride])) continue;
      *strict += 1;
      *right += e[i * stride] > e[j * stride] ? 2 : e[i * stride] == e[j * stride];
    }
}

/* values: how many different utilities there are; 0: all different. */
static void check_pairs(size_t n, size_t stride, int values) {
  double *t = pllm_alloc_zero(n * stride, sizeof *t), *e = pllm_alloc_zero(n * stride, sizeof *e);
  double *scratch = pllm_alloc(4 * n, sizeof *scratch), strict, right, want_strict, want_right;
  for (size_t i = 0; i < n; i++) {
    t[i * stride] = values ? floor(tap_uniform() * values) - 1 : tap_uniform();
    e[i * stride] = values ? floor(tap_uniform() * values) * -0.5 : tap_uniform();
  }
  plain_pairs(t, e, n, stride, &want_strict, &want_right);
  pllm_core_judge_pairs(t, e, n, stride, scratch, &strict, &right);
  tap_check(strict == want_strict && right == want_right, "%zu responses, stride %zu, %d values: %g of %g, %g of %g",
            n, stride, values, right, want_right, strict, want_strict);
  pllm_free(t);
  pllm_free(e);
  pllm_free(scratch);
}

static void check_evaluation(const PllmScores *scores, const double *truth, const double *estimate) {
  size_t prompts[PROMPTS];
  PllmEvaluation task = {.scores = scores, .prompts = prompts, .n_prompts = PROMPTS, .dim = MODELS, .reference = -1};
  double want[USERS] = {0};
  for (size_t p = 0; p < PROMPTS; p++) prompts[p] = p;
  for (size_t u = 0; u < USERS; u++)
    for (size_t p = 0; p < PROMPTS; p++) {
      double t[1200], e[1200], strict, right;
      size_t n = scores->first[p + 1] - scores->first[p];
      for (size_t r = 0; r < n; r++) {
        t[r] = pllm_utility(truth + u * MODELS, scores->rewards + (scores->first[p] + r) * MODELS, MODELS);
        e[r] = pllm_utility(estimate + u * MODELS, scores->rewards + (scores->first[p] + r) * MODELS, MODELS);
      }
      plain_pairs(t, e, n, 1, &strict, &right);
      want[u] += right / (2 * strict) / PROMPTS;
    }
  for (int isa = 0; isa <= PLLM_ISA_MOST; isa++)
    for (int threads = 1; threads <= 3; threads += 2) {
      PllmRun run = {.threads = threads};
      PllmError err;
      PllmJudgement out[USERS];
      int good;
      pllm_core_isa_limit((PllmIsa)isa);
      good = pllm_evaluate(&task, truth, estimate, USERS, out, &run, &err) == PLLM_OK;
      for (size_t u = 0; good && u < USERS; u++) good = fabs(out[u].all_pairs_accuracy - want[u]) < 1e-12;
      tap_check(good, "narrow and wide prompts, %s, %d threads", pllm_kernel_description(), threads);
    }
  pllm_core_isa_limit(PLLM_ISA_MOST);
}

int main(void) {
  static const size_t sizes[] = {1, 2, 3, 7, 8, 64, 513, 1000};
  static const size_t first[PROMPTS + 1] = {0, PLLM_JUDGE_WIDE, 2 * PLLM_JUDGE_WIDE + 1, 1033, 2233, 2800};
  static double rewards[2800 * MODELS], truth[USERS * MODELS], estimate[USERS * MODELS];
  PllmScores scores = {.n_models = MODELS, .n_prompts = PROMPTS, .n_responses = 2800, .first = first};
  tap_state = 7;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int values = 0; values <= 6; values += values ? 4 : 2) check_pairs(sizes[i], i % 3 + 1, values);
  check_pairs(700, 1, 1);
  for (size_t i = 0; i < sizeof rewards / sizeof *rewards; i++) rewards[i] = floor(tap_uniform() * 5);
  for (size_t i = 0; i < USERS * MODELS; i++) {
    truth[i] = tap_uniform();
    estimate[i] = floor(tap_uniform() * 3);
  }
  scores.rewards = rewards;
  check_evaluation(&scores, truth, estimate);
  return tap_done();
}
