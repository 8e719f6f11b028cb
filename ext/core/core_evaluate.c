/*
** core_evaluate.c: judging estimates against the users' true utilities, fused: utilities, choices, pairs and sums in
** one pass, nothing per (user, prompt) ever stored.
**
** Users come in tiles whose weights stay in the first-level cache, prompts in blocks (core_evaluate_block.c), which
** tiles go through in pieces whose features fit the second; a tile keeps its sums between blocks, in prompt order.  The
** kernel is in core_evaluate_kernel.h.  Where one block has all prompts it is put together once for all users.
*/
#include "core_evaluate.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

/* PIECE_NUMBERS: of a side's features, those that fit the second-level cache. */
enum { PIECE_TILES = 2, PIECE_NUMBERS = 16384 };

enum { UNDER_WAY = 2 }; /* blocks of users at a time */

/* Users at work. */
typedef struct Judging {
  const PllmEvaluator *e;
  size_t room;   /* tiles */
  double *sums;  /* owned, [room][N_SUMS][TILE] */
  double *rows;  /* owned, [room][N_ROWS][TILE][stride] */
  char *scratch; /* owned, scratch_bytes for each worker: the tile's weights, then the kernel's */
  const double *truth, *estimate;
  size_t users;
  PllmJudgement *out;
  int first, last; /* is this block the first, the last of the prompts? */
  PllmJob *job;
} Judging;

struct PllmEvaluator {
  PllmEvaluation task;
  PllmRun run;
  PllmCrew *crew; /* owned: run's, where the caller has none */
  PllmJudgeBlock block;
  PllmJudgeTask judge; /* of the block; tiles fill in the rest */
  int whole;           /* it has all prompts */
  size_t piece_rows;   /* rows of PIECE_NUMBERS */
  const PllmJudgeKernel *kernel;
  size_t scratch_bytes, weight_bytes;
  Judging judging[UNDER_WAY];
  int oldest, under_way; /* the first of those started and not joined, and their number */
};

/* ---- Tiles of users ---- */

/* weights[users][dim] of up to TILE users, side by side.  Lanes without a user repeat the last: with zeros the tile could not
** be estimated. */
static void pack(const double *weights, size_t users, size_t dim, double *tile) {
  for (size_t b = 0; b < dim; b++)
    for (size_t u = 0; u < PLLM_JUDGE_TILE; u++)
      tile[b * PLLM_JUDGE_TILE + u] = weights[(u < users ? u : users - 1) * dim + b];
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

/* The judgements of a tile's users, whose sums are complete. */
static void finish_tile(const Judging *j, size_t tile) {
  const PllmEvaluator *e = j->e;
  size_t models = e->task.scores->n_models, first = tile * PLLM_JUDGE_TILE;
  for (size_t u = first; u < j->users && u < first + PLLM_JUDGE_TILE; u++) {
    const double *weights = j->truth + u * models;
    means(j->sums + tile * PLLM_N_SUMS * PLLM_JUDGE_TILE + (u - first),
          j->rows + (tile * PLLM_N_ROWS * PLLM_JUDGE_TILE + (u - first)) * e->block.stride, weights, models,
          &e->block, &j->out[u]);
    j->out[u].random_reward = e->block.n_prompts ? pllm_utility(weights, e->block.mean, models) : NAN;
  }
}

/* A tile at work: its weights packed, in the worker's scratch. */
typedef struct Tile {
  PllmJudgeTask task;
  PllmJudgeOrder truth, estimate;
} Tile;

static void tile_begin(const Judging *j, size_t tile, char *scratch, Tile *out) {
  const PllmEvaluator *e = j->e;
  size_t models = e->task.scores->n_models, dim = e->task.dim, first = tile * PLLM_JUDGE_TILE;
  size_t users = j->users - first < PLLM_JUDGE_TILE ? j->users - first : PLLM_JUDGE_TILE;
  size_t sums = PLLM_N_SUMS * PLLM_JUDGE_TILE, rows = PLLM_N_ROWS * PLLM_JUDGE_TILE * e->block.stride;
  double *truth = (double *)(void *)scratch, *estimate = truth + models * PLLM_JUDGE_TILE;
  PllmJudgeTask *task = &out->task;
  *task = e->judge;
  task->sums = j->sums + tile * sums;
  task->rows = j->rows + tile * rows;
  if (j->first) {
    memset(task->sums, 0, sums * sizeof *task->sums);
    memset(task->rows, 0, rows * sizeof *task->rows);
  }
  pack(j->truth + first * models, users, models, truth);
  pack(j->estimate + first * dim, users, dim, estimate);
  task->truth = truth;
  task->estimate = estimate;
  out->truth.weights = (int16_t *)(void *)(estimate + dim * PLLM_JUDGE_TILE);
  out->estimate.weights = out->truth.weights + (models + 1) / 2 * 2 * PLLM_JUDGE_TILE;
  if (e->block.quick && pllm_judge_order_users(truth, models, &out->truth) &&
      pllm_judge_order_users(estimate, dim, &out->estimate)) {
    task->truth_order = &out->truth;
    task->estimate_order = &out->estimate;
  }
}

/* Some tiles on the block's prompts, so many at a time that the tiles find their features in the cache. */
static void tiles_piece(void *arg, size_t begin, size_t end, int worker) {
  const Judging *j = arg;
  const PllmEvaluator *e = j->e;
  char *scratch = j->scratch + (size_t)worker * e->scratch_bytes;
  Tile tile[PIECE_TILES];
  size_t n = e->judge.n_prompts, after;
  for (size_t i = begin; i < end; i++) {
    tile_begin(j, i, scratch + (i - begin) * e->weight_bytes, &tile[i - begin]);
    tile[i - begin].task.scratch = (double *)(void *)(scratch + PIECE_TILES * e->weight_bytes);
  }
  for (size_t p = 0; p < n; p = after) {
    size_t rows = 0;
    for (after = p; after < n && rows < e->piece_rows; after++) rows += e->judge.prompts[after].n;
    for (size_t i = begin; i < end; i++) {
      PllmJudgeTask *task = &tile[i - begin].task;
      task->prompts = e->judge.prompts + p;
      task->n_prompts = after - p;
      e->kernel->judge(task);
    }
  }
  for (size_t i = begin; j->last && i < end; i++) finish_tile(j, i);
}

/* ---- Prompts ---- */

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

/* ---- Evaluators ---- */

static const PllmJudgeKernel *best_kernel(void) {
#if defined(__x86_64__)
  if (pllm_core_isa() == PLLM_ISA_VNNI) return &pllm_core_judge_vnni;
  if (pllm_core_isa() == PLLM_ISA_AVX512) return &pllm_core_judge_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return &pllm_core_judge_avx2;
#endif
  return &pllm_core_judge_base;
}

static void scratch_sizes(PllmEvaluator *e) {
  size_t models = e->task.scores->n_models, dim = e->task.dim, n = 2 * e->block.max_responses;
  if (e->block.max_responses > PLLM_JUDGE_WIDE) n += 4 * e->block.max_responses / PLLM_JUDGE_TILE + 1;
  e->weight_bytes = (models + dim) * PLLM_JUDGE_TILE * sizeof(double) +
                    ((models + 1) / 2 + (dim + 1) / 2) * 2 * PLLM_JUDGE_TILE * sizeof(int16_t);
  e->scratch_bytes = PIECE_TILES * e->weight_bytes + n * PLLM_JUDGE_TILE * sizeof(double);
}

PllmStatus pllm_evaluator_new(const PllmEvaluation *task, const PllmRun *run, PllmEvaluator **evaluator,
                              PllmError *err) {
  PllmEvaluator *e = pllm_alloc_zero(1, sizeof *e);
  PllmJudgeBlock *block;
  size_t models = task->scores->n_models;
  PllmStatus status;
  *evaluator = NULL;
  if (!e) return pllm_fail_nomem(err);
  e->task = *task;
  if (run) e->run = *run;
  e->run.threads = pllm_run_threads(run);
  e->kernel = best_kernel();
  e->piece_rows = PIECE_NUMBERS / (task->dim > models ? task->dim : models) + 1;
  block = &e->block;
  status = pllm_judge_block_new(task, e->kernel->width, block, err);
  if (status == PLLM_OK && !e->run.crew) {
    status = pllm_crew_new(&e->crew, err);
    e->run.crew = e->crew;
  }
  if (status != PLLM_OK) {
    pllm_evaluator_free(e);
    return status;
  }
  e->judge = (PllmJudgeTask){
      .prompts = block->prompts,
      .models = models,
      .dim = task->dim,
      .max_responses = block->max_responses,
      .truth_features = block->truth,
      .truth_stride = block->stride,
      .estimate_features = block->estimate ? block->estimate : block->truth,
      .estimate_stride = block->estimate ? task->dim : block->stride,
      .quick_truth = block->quick_truth,
      .quick_estimate = block->estimate ? block->quick_estimate : block->quick_truth,
  };
  scratch_sizes(e);
  pllm_judge_block_next(task, block, &e->judge);
  e->whole = block->next == task->n_prompts;
  *evaluator = e;
  return PLLM_OK;
}

void pllm_evaluator_free(PllmEvaluator *e) {
  if (!e) return;
  for (int i = 0; i < UNDER_WAY; i++) {
    pllm_job_cancel(e->judging[i].job);
    pllm_free_aligned(e->judging[i].sums);
    pllm_free_aligned(e->judging[i].rows);
    pllm_free_aligned(e->judging[i].scratch);
  }
  pllm_crew_free(e->crew);
  pllm_judge_block_free(&e->block);
  pllm_free(e);
}

int pllm_evaluator_is_whole(const PllmEvaluator *e) {
  return e->whole;
}

static PllmStatus reserve(const PllmEvaluator *e, Judging *j, size_t tiles, PllmError *err) {
  if (!j->scratch) j->scratch = pllm_alloc_aligned((size_t)pllm_run_threads(&e->run), e->scratch_bytes);
  if (!j->scratch) return pllm_fail_nomem(err);
  if (tiles <= j->room) return PLLM_OK;
  pllm_free_aligned(j->sums);
  pllm_free_aligned(j->rows);
  j->room = 0;
  j->sums = pllm_alloc_aligned(tiles, PLLM_N_SUMS * PLLM_JUDGE_TILE * sizeof *j->sums);
  j->rows = pllm_alloc_aligned(tiles, e->block.stride * PLLM_N_ROWS * PLLM_JUDGE_TILE * sizeof *j->rows);
  if (!j->sums || !j->rows) return pllm_fail_nomem(err);
  j->room = tiles;
  return PLLM_OK;
}

static size_t tiles_of(const Judging *j) {
  return (j->users + PLLM_JUDGE_TILE - 1) / PLLM_JUDGE_TILE;
}

/* Fewer where a tile takes long, for the sake of interrupts and of many threads. */
static size_t tiles_at_once(const PllmEvaluator *e) {
  size_t tiles = PIECE_TILES;
  while (tiles > 1 && (double)tiles * e->block.work > PLLM_JUDGE_WORK) tiles /= 2;
  return tiles;
}

PllmStatus pllm_evaluator_start(PllmEvaluator *e, const double *truth, const double *estimate, size_t users,
                                PllmJudgement *out, PllmError *err) {
  Judging *j = &e->judging[(e->oldest + e->under_way) % UNDER_WAY];
  PllmStatus status;
  if (e->under_way >= (e->whole ? UNDER_WAY : 1))
    return pllm_fail(err, PLLM_INTERNAL, "pllm_evaluator_start: %d blocks are not joined", e->under_way);
  j->e = e;
  j->truth = truth;
  j->estimate = estimate;
  j->users = users;
  j->out = out;
  status = reserve(e, j, tiles_of(j), err);
  if (status != PLLM_OK) return status;
  if (!e->whole) {
    pllm_judge_block_restart(&e->task, &e->block);
    pllm_judge_block_next(&e->task, &e->block, &e->judge);
  }
  j->first = 1;
  j->last = e->block.next == e->task.n_prompts;
  status = pllm_job_start(&e->run, tiles_of(j), tiles_at_once(e), tiles_piece, j, &j->job, err);
  if (status == PLLM_OK) e->under_way++;
  return status;
}

PllmStatus pllm_evaluator_join(PllmEvaluator *e, PllmError *err) {
  Judging *j = &e->judging[e->oldest];
  PllmJob *job = j->job;
  PllmStatus status;
  j->job = NULL;
  e->oldest = (e->oldest + 1) % UNDER_WAY;
  e->under_way--;
  status = pllm_job_join(job, err);
  while (status == PLLM_OK && !j->last) {
    pllm_judge_block_next(&e->task, &e->block, &e->judge);
    j->first = 0;
    j->last = e->block.next == e->task.n_prompts;
    status = pllm_parallel(&e->run, tiles_of(j), tiles_at_once(e), tiles_piece, j, err);
  }
  return status;
}

PllmStatus pllm_evaluate(const PllmEvaluation *task, const double *truth, const double *estimate, size_t users,
                         PllmJudgement *out, const PllmRun *run, PllmError *err) {
  PllmEvaluator *e;
  PllmStatus status;
  if (users == 0) return PLLM_OK;
  status = pllm_evaluator_new(task, run, &e, err);
  if (status == PLLM_OK) status = pllm_evaluator_start(e, truth, estimate, users, out, err);
  if (status == PLLM_OK) status = pllm_evaluator_join(e, err);
  pllm_evaluator_free(e);
  return status;
}
