/*
** core_evaluate.c: judging estimates against the users' true utilities, fused: utilities, choices, pairs and sums in
** one pass, nothing per (user, prompt) ever stored.
**
** Users come in tiles whose weights stay in the first-level cache, prompts in blocks whose features fit the second; a
** tile keeps its sums between blocks, in prompt order.  The kernel is in core_evaluate_kernel.h.
*/
#include "core_evaluate.h"
#include "core_simd.h"

#include <string.h>

enum { BLOCK_NUMBERS = 32768, TILE_PIECE = 4 };
#define BLOCK_WORK 4e6 /* multiply-adds per user of a piece between interrupt polls, about */

typedef struct Job {
  PllmJudgeTask task;             /* of a block; tiles fill in the rest */
  const double *truth, *estimate; /* [tiles][models][TILE], [tiles][dim][TILE] */
  double *sums;                   /* [tiles][N_SUMS][TILE] */
  double *scratch;                /* [threads][scratch_rows][TILE] */
  size_t scratch_rows;
  void (*kernel)(const PllmJudgeTask *);
} Job;

static void tiles_piece(void *arg, size_t begin, size_t end, int worker) {
  const Job *job = arg;
  PllmJudgeTask task = job->task;
  task.scratch = job->scratch + (size_t)worker * job->scratch_rows * PLLM_JUDGE_TILE;
  for (size_t i = begin; i < end; i++) {
    task.truth = job->truth + i * task.models * PLLM_JUDGE_TILE;
    task.estimate = job->estimate + i * task.dim * PLLM_JUDGE_TILE;
    task.sums = job->sums + i * PLLM_N_SUMS * PLLM_JUDGE_TILE;
    job->kernel(&task);
  }
}

static void (*best_kernel(void))(const PllmJudgeTask *) {
#if defined(__x86_64__)
  if (pllm_core_isa() == PLLM_ISA_AVX512) return pllm_core_judge_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return pllm_core_judge_avx2;
#endif
  return pllm_core_judge_base;
}

/* Room for [tiles][n][TILE] zeros. */
static double *tiles_new(size_t tiles, size_t n) {
  double *out = n <= SIZE_MAX / 64 ? pllm_alloc_aligned(tiles, n * PLLM_JUDGE_TILE * sizeof *out) : NULL;
  if (out) memset(out, 0, tiles * n * PLLM_JUDGE_TILE * sizeof *out);
  return out;
}

/* weights[users][dim] into tiles; lanes without a user stay zero. */
static double *pack(const double *weights, size_t users, size_t dim) {
  double *out = tiles_new((users + PLLM_JUDGE_TILE - 1) / PLLM_JUDGE_TILE, dim);
  for (size_t u = 0; out && u < users; u++)
    for (size_t b = 0; b < dim; b++)
      out[(u / PLLM_JUDGE_TILE * dim + b) * PLLM_JUDGE_TILE + u % PLLM_JUDGE_TILE] = weights[u * dim + b];
  return out;
}

static int is_there(const PllmEvaluation *task, size_t response) {
  return !task->row || task->row[response] != SIZE_MAX;
}

size_t pllm_evaluate_prompts(const PllmEvaluation *task) {
  size_t count = 0;
  for (size_t i = 0; i < task->n_prompts; i++) {
    size_t p = task->prompts[i], r = task->scores->first[p];
    while (r < task->scores->first[p + 1] && !is_there(task, r)) r++;
    count += r < task->scores->first[p + 1];
  }
  return count;
}

/* Where a block's features are put together; all owned. */
typedef struct Gather {
  PllmJudgePrompt *prompts;
  double *truth, *estimate; /* estimate is NULL where the estimate uses the rewards */
  size_t room, max_responses;
} Gather;

static void gather_free(Gather *g) {
  pllm_free(g->prompts);
  pllm_free(g->truth);
  pllm_free(g->estimate);
}

/* Room for any block: a block ends with the prompt that fills `room` rows or more, or that brings it to BLOCK_WORK. */
static PllmStatus gather_new(const PllmEvaluation *task, Gather *g, PllmError *err) {
  size_t models = task->scores->n_models, widest = task->dim > models ? task->dim : models, rows;
  int own = task->features_f64 || task->features_f32;
  memset(g, 0, sizeof *g);
  for (size_t i = 0; i < task->n_prompts; i++) {
    size_t p = task->prompts[i], n = task->scores->first[p + 1] - task->scores->first[p];
    if (n > g->max_responses) g->max_responses = n;
  }
  g->room = BLOCK_NUMBERS / widest + 1;
  rows = g->room + g->max_responses;
  g->prompts = pllm_alloc(rows, sizeof *g->prompts);
  g->truth = pllm_alloc(rows, models * sizeof *g->truth);
  if (own) g->estimate = pllm_alloc(rows, task->dim * sizeof *g->estimate);
  return g->prompts && g->truth && (!own || g->estimate) ? PLLM_OK : pllm_fail_nomem(err);
}

/* What a prompt of n responses costs a user, in vectorised multiply-adds: utilities, and pairs or two sorts, about. */
static double work_of(const PllmEvaluation *task, size_t n) {
  enum { PAIR = 8, MERGE = 64 };
  double utilities = (double)n * (double)(task->scores->n_models + task->dim), order = 0;
  if (n <= PLLM_JUDGE_WIDE) return utilities + (double)n * (double)n / 2 * PAIR;
  for (size_t width = 1; width < n; width *= 2) order += 2 * (double)n * MERGE;
  return utilities + order;
}

/* Put the next block together, from the *at-th prompt on; counts prompts that have a reference.  Returns its work. */
static double gather_block(const PllmEvaluation *task, Gather *g, size_t *at, size_t *with_reference,
                           PllmJudgeTask *block) {
  const PllmScores *s = task->scores;
  double work = 0;
  size_t rows = 0, models = s->n_models, dim = task->dim;
  block->n_prompts = 0;
  for (; *at < task->n_prompts && rows < g->room && work < BLOCK_WORK; ++*at) {
    PllmJudgePrompt prompt = {.first = rows, .reference = SIZE_MAX};
    for (size_t r = s->first[task->prompts[*at]]; r < s->first[task->prompts[*at] + 1]; r++) {
      size_t row = task->row ? task->row[r] : r;
      if (row == SIZE_MAX) continue;
      memcpy(g->truth + rows * models, s->rewards + r * models, models * sizeof *g->truth);
      if (task->features_f64)
        memcpy(g->estimate + rows * dim, task->features_f64 + row * dim, dim * sizeof *g->estimate);
      for (size_t b = 0; task->features_f32 && b < dim; b++)
        g->estimate[rows * dim + b] = (double)task->features_f32[row * dim + b];
      if (task->reference >= 0 && s->model[r] == task->reference && prompt.reference == SIZE_MAX)
        prompt.reference = rows - prompt.first;
      rows++;
    }
    prompt.n = rows - prompt.first;
    if (prompt.n == 0) continue;
    *with_reference += prompt.reference != SIZE_MAX;
    g->prompts[block->n_prompts++] = prompt;
    work += work_of(task, prompt.n);
  }
  return work;
}

static void means(const double *sums, size_t prompts, size_t with_reference, PllmJudgement *out) {
  double n = (double)prompts, with_pair = sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE];
  out->top1 = sums[PLLM_SUM_TOP1 * PLLM_JUDGE_TILE] / n;
  out->pair_accuracy = sums[PLLM_SUM_PAIR * PLLM_JUDGE_TILE] / with_pair;
  out->all_pairs_accuracy = sums[PLLM_SUM_ALL_PAIRS * PLLM_JUDGE_TILE] / with_pair;
  out->reward = sums[PLLM_SUM_REWARD * PLLM_JUDGE_TILE] / n;
  out->best_reward = sums[PLLM_SUM_BEST * PLLM_JUDGE_TILE] / n;
  out->random_reward = sums[PLLM_SUM_RANDOM * PLLM_JUDGE_TILE] / n;
  out->regret = out->best_reward - out->reward;
  out->win_rate = sums[PLLM_SUM_WINS * PLLM_JUDGE_TILE] / (double)with_reference;
}

PllmStatus pllm_evaluate(const PllmEvaluation *task, const double *truth, const double *estimate, size_t users,
                         PllmJudgement *out, const PllmRun *run, PllmError *err) {
  size_t tiles = (users + PLLM_JUDGE_TILE - 1) / PLLM_JUDGE_TILE, at = 0, prompts = 0, with_reference = 0;
  double *truth_tiles = NULL, *estimate_tiles = NULL;
  Gather g = {0};
  Job job = {.task = {.models = task->scores->n_models, .dim = task->dim}, .kernel = best_kernel()};
  PllmStatus status;
  if (users == 0) return PLLM_OK;
  status = gather_new(task, &g, err);
  if (status != PLLM_OK) goto done;
  job.task.max_responses = g.max_responses;
  job.task.prompts = g.prompts;
  job.task.truth_features = g.truth;
  job.task.estimate_features = g.estimate ? g.estimate : g.truth;
  job.truth = truth_tiles = pack(truth, users, job.task.models);
  job.estimate = estimate_tiles = pack(estimate, users, job.task.dim);
  job.sums = tiles_new(tiles, PLLM_N_SUMS);
  job.scratch_rows = 2 * g.max_responses;
  if (g.max_responses > PLLM_JUDGE_WIDE) job.scratch_rows += 4 * g.max_responses / PLLM_JUDGE_TILE + 1;
  job.scratch = tiles_new((size_t)pllm_run_threads(run), job.scratch_rows);
  if (!truth_tiles || !estimate_tiles || !job.sums || !job.scratch) {
    status = pllm_fail_nomem(err);
    goto done;
  }
  while (status == PLLM_OK && at < task->n_prompts) {
    double work = gather_block(task, &g, &at, &with_reference, &job.task);
    prompts += job.task.n_prompts;
    status = pllm_parallel(run, tiles, work < 2 * BLOCK_WORK ? TILE_PIECE : 1, tiles_piece, &job, err);
  }
  for (size_t u = 0; status == PLLM_OK && u < users; u++)
    means(job.sums + u / PLLM_JUDGE_TILE * PLLM_N_SUMS * PLLM_JUDGE_TILE + u % PLLM_JUDGE_TILE, prompts,
          with_reference, &out[u]);
done:
  gather_free(&g);
  pllm_free_aligned(truth_tiles);
  pllm_free_aligned(estimate_tiles);
  pllm_free_aligned(job.sums);
  pllm_free_aligned(job.scratch);
  return status;
}
