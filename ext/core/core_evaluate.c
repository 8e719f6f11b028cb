/*
** core_evaluate.c: judging estimates against the users' true utilities, fused: utilities, choices, pairs and sums in
** one pass, nothing per (user, prompt) ever stored.
**
** Users come in tiles whose weights stay in the first-level cache, prompts in blocks (core_evaluate_block.c) whose
** features fit the second; a tile keeps its sums between blocks, in prompt order.  The kernel is in
** core_evaluate_kernel.h.
*/
#include "core_evaluate.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

enum { TILE_PIECE = 2 };

typedef struct Job {
  PllmJudgeTask task;             /* of a block; tiles fill in the rest */
  const double *truth, *estimate; /* [tiles][models][TILE], [tiles][dim][TILE] */
  /* the same divided by sum |w|, and whether f32 has room for all of a tile; NULL: no estimates */
  const float *quick_truth, *quick_estimate;
  const uint8_t *fits;
  double *sums;                   /* [tiles][N_SUMS][TILE] */
  double *rows;                   /* [tiles][N_ROWS][TILE][truth_stride] */
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
    task.rows = job->rows + i * PLLM_N_ROWS * PLLM_JUDGE_TILE * task.truth_stride;
    task.quick_truth = task.quick_estimate = NULL;
    if (job->fits && job->fits[i]) {
      task.quick_truth = job->quick_truth + i * task.models * PLLM_JUDGE_TILE;
      task.quick_estimate = job->quick_estimate + i * task.dim * PLLM_JUDGE_TILE;
    }
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

/* Tiles divided by their users' sum |w|.  A tile that f32 does not fit is marked in fits; it need not be filled, nor
** need the last one, which may lack users. */
static float *pack_quick(const double *weights, size_t users, size_t dim, uint8_t *fits) {
  size_t tiles = (users + PLLM_JUDGE_TILE - 1) / PLLM_JUDGE_TILE;
  float *out = pllm_alloc_aligned(tiles, dim * PLLM_JUDGE_TILE * sizeof *out);
  for (size_t u = 0; out && u < users; u++) {
    const double *w = weights + u * dim;
    double sum = 0;
    for (size_t b = 0; b < dim; b++) sum += fabs(w[b]);
    if (!(sum > 1e-280 && sum < 1e280)) {
      fits[u / PLLM_JUDGE_TILE] = 0;
      continue;
    }
    for (size_t b = 0; b < dim; b++)
      out[(u / PLLM_JUDGE_TILE * dim + b) * PLLM_JUDGE_TILE + u % PLLM_JUDGE_TILE] = (float)(w[b] / sum);
  }
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

/* rows: the sums of the picks' features and, TILE strides on, of the best responses'. */
static void means(const double *sums, const double *rows, const double *weights, size_t models,
                  const PllmJudgeBlock *all, PllmJudgement *out) {
  double n = (double)all->n_prompts, with_pair = sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE];
  double whole = sums[PLLM_SUM_RIGHT * PLLM_JUDGE_TILE] / (2 * PLLM_JUDGE_QUICK_PAIRS);
  out->top1 = sums[PLLM_SUM_TOP1 * PLLM_JUDGE_TILE] / n;
  out->pair_accuracy = sums[PLLM_SUM_PAIR * PLLM_JUDGE_TILE] / with_pair;
  out->all_pairs_accuracy = (whole + sums[PLLM_SUM_ALL_PAIRS * PLLM_JUDGE_TILE]) / with_pair;
  out->reward = pllm_utility(weights, rows, models) / n;
  out->best_reward = pllm_utility(weights, rows + PLLM_ROW_BEST * PLLM_JUDGE_TILE * all->stride, models) / n;
  if (out->best_reward < out->reward) out->best_reward = out->reward; /* by rounding alone */
  out->regret = out->best_reward - out->reward;
  out->win_rate = sums[PLLM_SUM_WINS * PLLM_JUDGE_TILE] / (double)all->with_reference;
}

PllmStatus pllm_evaluate(const PllmEvaluation *task, const double *truth, const double *estimate, size_t users,
                         PllmJudgement *out, const PllmRun *run, PllmError *err) {
  size_t tiles = (users + PLLM_JUDGE_TILE - 1) / PLLM_JUDGE_TILE, at = 0, models = task->scores->n_models;
  double *truth_tiles = NULL, *estimate_tiles = NULL;
  float *quick_truth = NULL, *quick_estimate = NULL;
  uint8_t *fits = NULL;
  PllmJudgeBlock block = {0};
  Job job = {.task = {.models = models, .dim = task->dim}, .kernel = best_kernel()};
  PllmStatus status;
  if (users == 0) return PLLM_OK;
  status = pllm_judge_block_new(task, users >= PLLM_JUDGE_TILE, &block, err);
  if (status != PLLM_OK) goto done;
  job.task.max_responses = block.max_responses;
  job.task.prompts = block.prompts;
  job.task.truth_features = block.truth;
  job.task.truth_stride = block.stride;
  job.task.estimate_features = block.estimate ? block.estimate : block.truth;
  job.task.estimate_stride = block.estimate ? task->dim : block.stride;
  job.task.quick = (PllmJudgeQuick){.truth = block.quick_truth,
                                    .estimate = block.estimate ? block.quick_estimate : block.quick_truth,
                                    .truth_margin = block.truth_margin,
                                    .estimate_margin = block.estimate_margin};
  job.truth = truth_tiles = pack(truth, users, models);
  job.estimate = estimate_tiles = pack(estimate, users, task->dim);
  job.sums = tiles_new(tiles, PLLM_N_SUMS);
  job.rows = tiles_new(tiles, PLLM_N_ROWS * block.stride);
  job.scratch_rows = 2 * block.max_responses;
  if (block.max_responses > PLLM_JUDGE_WIDE) job.scratch_rows += 4 * block.max_responses / PLLM_JUDGE_TILE + 1;
  job.scratch = tiles_new((size_t)pllm_run_threads(run), job.scratch_rows);
  if (!truth_tiles || !estimate_tiles || !job.sums || !job.rows || !job.scratch) status = pllm_fail_nomem(err);
  if (status == PLLM_OK && block.quick) {
    job.fits = fits = pllm_alloc(tiles, sizeof *fits);
    if (fits) memset(fits, 1, tiles);
    if (fits && users % PLLM_JUDGE_TILE != 0) fits[tiles - 1] = 0;
    job.quick_truth = quick_truth = fits ? pack_quick(truth, users, models, fits) : NULL;
    job.quick_estimate = quick_estimate = fits ? pack_quick(estimate, users, task->dim, fits) : NULL;
    if (!quick_truth || !quick_estimate) status = pllm_fail_nomem(err);
  }
  while (status == PLLM_OK && at < task->n_prompts) {
    double work = pllm_judge_block_next(task, &block, &at, &job.task);
    status = pllm_parallel(run, tiles, work < PLLM_JUDGE_WORK ? TILE_PIECE : 1, tiles_piece, &job, err);
  }
  for (size_t u = 0; status == PLLM_OK && u < users; u++) {
    size_t tile = u / PLLM_JUDGE_TILE, lane = u % PLLM_JUDGE_TILE;
    means(job.sums + tile * PLLM_N_SUMS * PLLM_JUDGE_TILE + lane,
          job.rows + (tile * PLLM_N_ROWS * PLLM_JUDGE_TILE + lane) * block.stride, truth + u * models, models, &block,
          &out[u]);
    out[u].random_reward = block.n_prompts ? pllm_utility(truth + u * models, block.mean, models) : NAN;
  }
done:
  pllm_judge_block_free(&block);
  pllm_free_aligned(truth_tiles);
  pllm_free_aligned(estimate_tiles);
  pllm_free_aligned(quick_truth);
  pllm_free_aligned(quick_estimate);
  pllm_free(fits);
  pllm_free_aligned(job.sums);
  pllm_free_aligned(job.rows);
  pllm_free_aligned(job.scratch);
  return status;
}
