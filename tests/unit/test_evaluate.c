/* Evaluation: the same bits as plain loops over the canonical utility, on every instruction set and thread count. */
#include "tap.h"

#include "../../ext/core/core_simd.h"

#include <stdlib.h>

/* Few values: exact ties. */
static double coarse(void) {
  return (double)(int)(tap_uniform() * 3) / 7 - 0.1;
}

typedef struct Case {
  const char *name;
  size_t models, prompts, users;
  size_t responses; /* per prompt; 0: 1..20, ragged */
  size_t dim;       /* of the estimate's own features, 0: the rewards */
  int f32, holes, ties;
  double scale;   /* of rewards and weights; 0: 1.  Below 0: responses apart by a factor of 1 +- that and less */
  double offset;  /* added to all rewards */
  double weights; /* all weights are multiplied by; 0: 1 */
} Case;

static double feature(const PllmEvaluation *task, size_t row, size_t b) {
  return task->features_f64 ? task->features_f64[row * task->dim + b]
                            : (double)task->features_f32[row * task->dim + b];
}

/* The definition, one user, in the order of evaluate.h. */
static void judge(const PllmEvaluation *task, const double *truth, const double *estimate, double *features,
                  PllmJudgement *out) {
  const PllmScores *s = task->scores;
  double top1 = 0, pair = 0, all = 0, with_pair = 0, picked[256] = {0}, bests[256] = {0}, mean[256] = {0}, wins = 0,
         with = 0, whole = 0, n = 0, reward, best_reward;
  for (size_t i = 0; i < task->n_prompts; i++) {
    double t[32], e[32], total[256] = {0}, strict = 0, right = 0;
    size_t m = 0, at[32], best = 0, worst = 0, pick = 0, rival = SIZE_MAX;
    for (size_t r = s->first[task->prompts[i]]; r < s->first[task->prompts[i] + 1]; r++) {
      size_t row = task->row ? task->row[r] : r;
      if (row == SIZE_MAX) continue;
      t[m] = pllm_utility(truth, s->rewards + r * s->n_models, s->n_models);
      if (task->features_f64 || task->features_f32) {
        for (size_t b = 0; b < task->dim; b++) features[b] = feature(task, row, b);
        e[m] = pllm_utility(estimate, features, task->dim);
      } else {
        e[m] = pllm_utility(estimate, s->rewards + r * s->n_models, s->n_models);
      }
      if (s->model[r] == task->reference && rival == SIZE_MAX) rival = m;
      at[m++] = r;
    }
    if (m == 0) continue;
    for (size_t r = 0; r < m; r++) {
      if (t[r] > t[best]) best = r;
      if (t[r] < t[worst]) worst = r;
      if (e[r] > e[pick]) pick = r;
      for (size_t q = 0; q < m; q++)
        if (t[r] > t[q]) {
          strict++;
          right += e[r] > e[q] ? 1 : e[r] == e[q] ? 0.5 : 0;
        }
    }
    n++;
    for (size_t r = s->first[task->prompts[i]]; r < s->first[task->prompts[i] + 1]; r++)
      for (size_t b = 0; b < s->n_models && (!task->row || task->row[r] != SIZE_MAX); b++)
        total[b] += s->rewards[r * s->n_models + b] / (double)m;
    top1 += best == pick;
    pair += strict > 0 && e[best] > e[worst];
    if (m == 8 && strict == 28)
      whole += 2 * right; /* exact sums, divided once */
    else if (strict > 0)
      all += 2 * right / (2 * strict);
    with_pair += strict > 0;
    for (size_t b = 0; b < s->n_models; b++) picked[b] += s->rewards[at[pick] * s->n_models + b];
    for (size_t b = 0; b < s->n_models; b++) bests[b] += s->rewards[at[best] * s->n_models + b];
    for (size_t b = 0; b < s->n_models; b++) mean[b] += (total[b] - mean[b]) / n;
    with += rival != SIZE_MAX;
    wins += rival != SIZE_MAX && t[pick] > t[rival];
  }
  reward = pllm_utility(truth, picked, s->n_models) / n; /* utilities of sums, not sums of utilities */
  best_reward = fmax(reward, pllm_utility(truth, bests, s->n_models) / n);
  *out = (PllmJudgement){top1 / n,
                         pair / with_pair,
                         (whole / 56 + all) / with_pair,
                         reward,
                         best_reward,
                         n > 0 ? pllm_utility(truth, mean, s->n_models) : NAN,
                         best_reward - reward,
                         wins / with};
}

/* The same, block by block of users, one of them of a single user; as many at a time as may be. */
static PllmStatus in_blocks(const PllmEvaluation *task, const double *truth, const double *estimate, size_t users,
                            PllmJudgement *out, const PllmRun *run, int *whole, PllmError *err) {
  PllmEvaluator *evaluator;
  PllmStatus status = pllm_evaluator_new(task, run, &evaluator, err);
  int under_way = 0, most;
  if (status != PLLM_OK) return status;
  *whole = pllm_evaluator_is_whole(evaluator);
  most = *whole ? 2 : 1;
  for (size_t u = 0, n = 1; status == PLLM_OK && u < users; u += n, n = n * 3 + 16) {
    if (n > users - u) n = users - u;
    if (under_way == most) {
      if (pllm_evaluator_start(evaluator, truth, estimate, 1, out, err) != PLLM_INTERNAL) status = PLLM_NOMEM;
      if (status == PLLM_OK) status = pllm_evaluator_join(evaluator, err);
      under_way--;
    }
    if (status == PLLM_OK)
      status = pllm_evaluator_start(evaluator, truth + u * task->scores->n_models, estimate + u * task->dim, n,
                                    out + u, err);
    under_way++;
  }
  for (; status == PLLM_OK && under_way > 0; under_way--) status = pllm_evaluator_join(evaluator, err);
  pllm_evaluator_free(evaluator);
  return status;
}

/* Equal bits, NaN equal to NaN. */
static int same(const PllmJudgement *a, const PllmJudgement *b) {
  double x[8], y[8];
  memcpy(x, a, sizeof x);
  memcpy(y, b, sizeof y);
  for (int i = 0; i < 8; i++)
    if (!(x[i] == y[i] || (isnan(x[i]) && isnan(y[i])))) return 0;
  return 1;
}

static void check(const Case *c) {
  size_t *first = pllm_alloc(c->prompts + 1, sizeof *first), *prompts = pllm_alloc(c->prompts, sizeof *prompts),
         n = 0;
  size_t dim = c->dim ? c->dim : c->models, counted = 0, differ;
  int whole = 0;
  for (size_t p = 0; p <= c->prompts; p++) {
    first[p] = n;
    n += c->responses ? c->responses : 1 + (size_t)(tap_uniform() * 20);
  }
  n = first[c->prompts];
  for (size_t p = 0; p < c->prompts; p++) prompts[p] = c->prompts - 1 - p;
  double *rewards = pllm_alloc(n * c->models, 8), *f64 = pllm_alloc(n * dim, 8), *features = pllm_alloc(dim, 8);
  double *truth = pllm_alloc(c->users * c->models, 8), *estimate = pllm_alloc(c->users * dim, 8);
  float *f32 = pllm_alloc(n * dim, 4);
  int32_t *model = pllm_alloc(n, 4);
  size_t *row = pllm_alloc(n, 8);
  for (size_t i = 0; i < n * c->models; i++) rewards[i] = c->ties ? coarse() : tap_uniform() * 6 - 3;
  for (size_t i = 0; i < n * dim; i++) {
    f64[i] = c->ties ? coarse() : tap_uniform() - 0.5;
    f32[i] = (float)f64[i];
  }
  for (size_t i = 0; i < c->users * c->models; i++) truth[i] = c->ties ? coarse() : tap_uniform() * tap_uniform();
  for (size_t i = 0; i < c->users * dim; i++) estimate[i] = c->ties ? coarse() : tap_uniform() - 0.3;
  if (c->scale > 0) {
    for (size_t i = 0; i < n * c->models; i++) rewards[i] *= c->scale;
    for (size_t i = 0; i < c->users * c->models; i++) truth[i] *= c->scale;
  }
  for (size_t i = 0; i < n * c->models; i++) rewards[i] += c->offset;
  for (size_t i = 0; c->weights > 0 && i < c->users * c->models; i++) truth[i] *= c->weights;
  for (size_t i = 0; c->weights > 0 && i < c->users * dim; i++) estimate[i] *= c->weights;
  for (size_t r = 1; c->scale < 0 && r < n; r++) { /* from far above the margin of estimates to the last bit */
    double apart = c->scale * pow(2, -tap_uniform() * 40);
    for (size_t b = 0; b < c->models; b++)
      if (tap_uniform() < 0.9) rewards[r * c->models + b] = rewards[(r - 1) * c->models + b] * (1 + apart);
    for (size_t b = 0; b < dim; b++) f64[r * dim + b] = f64[(r - 1) * dim + b] * (1 - apart * tap_uniform());
  }
  for (size_t r = 0; r < n; r++) {
    model[r] = (int32_t)(tap_uniform() * 5) - 1;
    row[r] = c->holes && tap_uniform() < 0.3 ? SIZE_MAX : n - 1 - r;
  }
  PllmScores scores = {.n_models = c->models,
                       .n_prompts = c->prompts,
                       .n_responses = n,
                       .first = first,
                       .rewards = rewards,
                       .model = model};
  PllmEvaluation task = {.scores = &scores,
                         .prompts = prompts,
                         .n_prompts = c->prompts,
                         .dim = dim,
                         .reference = 2,
                         .features_f64 = c->dim && !c->f32 ? f64 : NULL,
                         .features_f32 = c->dim && c->f32 ? f32 : NULL,
                         .row = c->holes ? row : NULL};
  PllmJudgement *want = pllm_alloc(c->users, sizeof *want), *got = pllm_alloc(c->users, sizeof *got);
  for (size_t u = 0; u < c->users; u++) judge(&task, truth + u * c->models, estimate + u * dim, features, &want[u]);
  for (int isa = 0; isa <= PLLM_ISA_MOST; isa++)
    for (int threads = 1; threads <= 3; threads += 2) {
      PllmRun run = {.threads = threads};
      PllmError err = {0};
      pllm_core_isa_limit((PllmIsa)isa);
      memset(got, 0, c->users * sizeof *got);
      PllmStatus status = pllm_evaluate(&task, truth, estimate, c->users, got, &run, &err);
      differ = 0;
      for (size_t u = 0; u < c->users; u++) differ += !same(&want[u], &got[u]);
      tap_check(status == PLLM_OK && differ == 0, "%s, %s, %d threads", c->name, pllm_kernel_description(), threads);
      memset(got, 0, c->users * sizeof *got);
      status = in_blocks(&task, truth, estimate, c->users, got, &run, &whole, &err);
      differ = 0;
      for (size_t u = 0; u < c->users; u++) differ += !same(&want[u], &got[u]);
      tap_check(status == PLLM_OK && differ == 0 && whole == (c->prompts < 500 || c->models < 256),
                "%s, %s, %d threads, in blocks", c->name, pllm_kernel_description(), threads);
    }
  pllm_core_isa_limit(PLLM_ISA_MOST);
  for (size_t p = 0; p < c->prompts; p++) {
    size_t r = first[p];
    while (r < first[p + 1] && c->holes && row[r] == SIZE_MAX) r++;
    counted += r < first[p + 1];
  }
  tap_check(pllm_evaluate_prompts(&task) == counted, "%s: prompts that count", c->name);
  pllm_free(first);
  pllm_free(prompts);
  pllm_free(rewards);
  pllm_free(f64);
  pllm_free(f32);
  pllm_free(features);
  pllm_free(truth);
  pllm_free(estimate);
  pllm_free(model);
  pllm_free(row);
  pllm_free(want);
  pllm_free(got);
}

static int polls;

static int stop_at_third(void *arg) {
  (void)arg;
  return ++polls >= 3;
}

int main(void) {
  static const Case cases[] = {
      {"eight responses, ten models", 10, 60, 37, 8, 0, 0, 0, 0, 0, 0, 0},
      {"exact ties", 10, 60, 37, 8, 0, 0, 0, 1, 0, 0, 0},
      {"ragged prompts", 7, 50, 9, 0, 0, 0, 0, 0, 0, 0, 0},
      {"ragged ties", 3, 50, 16, 0, 0, 0, 0, 1, 0, 0, 0},
      {"one response", 3, 20, 5, 1, 0, 0, 0, 0, 0, 0, 0},
      {"one model, one user", 1, 20, 1, 8, 0, 0, 0, 0, 0, 0, 0},
      {"own f64 features", 4, 40, 17, 8, 23, 0, 0, 0, 0, 0, 0},
      {"own f32 features, ties", 4, 40, 17, 0, 5, 1, 0, 1, 0, 0, 0},
      {"features with holes", 4, 60, 20, 0, 6, 0, 1, 1, 0, 0, 0},
      {"rewards with holes", 4, 60, 20, 8, 0, 0, 1, 0, 0, 0, 0},
      {"more prompts than a piece", 256, 90, 11, 8, 0, 0, 0, 0, 0, 0, 0},
      {"more prompts than a block", 256, 600, 11, 8, 0, 0, 0, 0, 0, 0, 0},
      {"long features", 3, 12, 10, 8, 4000, 1, 0, 0, 0, 0, 0},
      {"many users", 10, 200, 333, 8, 0, 0, 0, 0, 0, 0, 0},
      {"many users, own features", 10, 200, 333, 8, 64, 0, 0, 0, 0, 0, 0},
      {"many users, some without all responses", 5, 200, 64, 8, 4, 1, 1, 0, 0, 0, 0},
      {"near-ties", 10, 200, 128, 8, 0, 0, 0, 0, -1e-4, 0, 0},
      {"near-ties of 16 bits", 10, 200, 128, 8, 0, 0, 0, 0, -1e-1, 0, 0},
      {"far from zero", 10, 200, 64, 8, 0, 0, 0, 0, 0, 500, 0},
      {"too far from zero for 16 bits", 10, 50, 32, 8, 0, 0, 0, 0, 0, 1e13, 0},
      {"more prompts than 16 bits count", 1, 2000, 32, 8, 0, 0, 0, 0, 0, 0, 0},
      {"near-ties, own features", 3, 200, 128, 8, 7, 0, 0, 0, -1e-5, 0, 0},
      {"huge", 4, 50, 32, 8, 0, 0, 0, 0, 1e25, 0, 0},
      {"too huge for f32", 4, 50, 32, 8, 0, 0, 0, 0, 1e100, 0, 0},
      {"utilities that overflow", 4, 50, 32, 8, 0, 0, 0, 0, 1e29, 0, 1e250},
      {"tiny", 4, 50, 32, 8, 0, 0, 0, 0, 1e-15, 0, 0},
      {"too tiny for f32", 4, 50, 32, 8, 0, 0, 0, 0, 1e-100, 0, 0},
  };
  PllmScores none = {.n_models = 1};
  PllmEvaluation task = {.scores = &none, .dim = 1, .reference = -1};
  PllmJudgement one;
  double w = 1;
  PllmError err = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i]);
  tap_check(pllm_evaluate(&task, NULL, NULL, 0, NULL, NULL, &err) == PLLM_OK, "no users is no error");
  tap_check(pllm_evaluate(&task, &w, &w, 1, &one, NULL, &err) == PLLM_OK && isnan(one.top1) && isnan(one.regret) &&
                isnan(one.win_rate),
            "means over no prompt are NaN");
  enum { PROMPTS = 50, USERS = 400 };
  size_t first[PROMPTS + 1], prompts[PROMPTS];
  double *many = pllm_alloc_zero(USERS + PROMPTS, sizeof *many);
  PllmJudgement *out = pllm_alloc(USERS, sizeof *out);
  for (size_t p = 0; p <= PROMPTS; p++) first[p] = p;
  for (size_t p = 0; p < PROMPTS; p++) prompts[p] = p;
  none = (PllmScores){.n_models = 1, .n_prompts = PROMPTS, .n_responses = PROMPTS, .first = first, .rewards = many};
  task.prompts = prompts;
  task.n_prompts = PROMPTS;
  PllmRun run = {.threads = 1, .poll = stop_at_third};
  tap_fails(pllm_evaluate(&task, many, many, USERS, out, &run, &err), PLLM_INTERRUPTED, &err, "interrupted");
  PllmEvaluator *evaluator = NULL;
  for (int threads = 1; threads <= 3; threads += 2) { /* freed while helpers may be at work */
    PllmStatus status;
    run = (PllmRun){.threads = threads};
    status = pllm_evaluator_new(&task, &run, &evaluator, &err);
    for (int i = 0; i < 2 && status == PLLM_OK; i++)
      status = pllm_evaluator_start(evaluator, many, many, USERS, out, &err);
    tap_check(status == PLLM_OK, "begun and given up, %d threads", threads);
    pllm_evaluator_free(evaluator);
  }
  pllm_evaluator_free(NULL);
  pllm_free(many);
  pllm_free(out);
  return tap_done();
}
