/*
** core_evaluate_block.c: the prompts of an evaluation, block by block, in the layouts that the kernel reads.
**
** A prompt of 8 responses that are told apart by both sides is also laid out for estimates (core_evaluate_order.c).
*/
#include "core_evaluate.h"

#include <string.h>

enum { BLOCK_NUMBERS = 1 << 20, EIGHT = PLLM_JUDGE_QUICK };

static void quick_free(PllmJudgeQuick *quick) {
  pllm_free_aligned(quick->pairs);
  pllm_free_aligned(quick->across);
}

void pllm_judge_block_free(PllmJudgeBlock *block) {
  pllm_free(block->prompts);
  pllm_free_aligned(block->truth);
  pllm_free(block->estimate);
  quick_free(&block->quick_truth);
  quick_free(&block->quick_estimate);
  pllm_free(block->mean);
}

static PllmStatus quick_new(PllmJudgeQuick *quick, size_t prompts, size_t dim) {
  quick->pairs = pllm_alloc_aligned(prompts, PLLM_JUDGE_QUICK_NUMBERS(dim) * sizeof *quick->pairs);
  quick->across = pllm_alloc_aligned(prompts, dim * EIGHT * sizeof *quick->across);
  return quick->pairs && quick->across ? PLLM_OK : PLLM_NOMEM;
}

PllmStatus pllm_judge_block_new(const PllmEvaluation *task, size_t vector, PllmJudgeBlock *block, PllmError *err) {
  size_t models = task->scores->n_models, widest = task->dim > models ? task->dim : models, rows, all = 0;
  int own = task->features_f64 || task->features_f32;
  memset(block, 0, sizeof *block);
  for (size_t i = 0; i < task->n_prompts; i++) {
    size_t p = task->prompts[i], n = task->scores->first[p + 1] - task->scores->first[p];
    if (n > block->max_responses) block->max_responses = n;
    all += n;
  }
  /* room for any block: it ends with the prompt that fills so many rows or more, or that brings it to its work */
  block->room = BLOCK_NUMBERS / widest + 1;
  if (block->room > all) block->room = all > 0 ? all : 1;
  rows = block->room + block->max_responses;
  block->quick = widest <= PLLM_JUDGE_QUICK_DIM;
  block->prompts = pllm_alloc(rows, sizeof *block->prompts);
  block->stride = (models + vector - 1) / vector * vector;
  block->truth = pllm_alloc_aligned(rows, block->stride * sizeof *block->truth);
  block->mean = pllm_alloc_zero(models, sizeof *block->mean);
  if (own) block->estimate = pllm_alloc(rows, task->dim * sizeof *block->estimate);
  if (!block->prompts || !block->truth || !block->mean || (own && !block->estimate)) return pllm_fail_nomem(err);
  memset(block->truth, 0, rows * block->stride * sizeof *block->truth);
  if (!block->quick) return PLLM_OK;
  if (quick_new(&block->quick_truth, block->room / EIGHT + 1, models) != PLLM_OK ||
      (own && quick_new(&block->quick_estimate, block->room / EIGHT + 1, task->dim) != PLLM_OK))
    return pllm_fail_nomem(err);
  return PLLM_OK;
}

/* What a prompt of n responses costs a user, in vectorised multiply-adds: utilities, and pairs or two sorts, about. */
static double work_of(const PllmEvaluation *task, size_t n) {
  enum { PAIR = 8, MERGE = 64 };
  double utilities = (double)n * (double)(task->scores->n_models + task->dim), order = 0;
  if (n <= PLLM_JUDGE_WIDE) return utilities + (double)n * (double)n / 2 * PAIR;
  for (size_t width = 1; width < n; width *= 2) order += 2 * (double)n * MERGE;
  return utilities + order;
}

/* Lay a prompt out as quick prompt `at`, if it can be estimated; rows[8][dim] are its features, `stride` apart. */
static int add_quick(const PllmJudgeQuick *quick, const double *rows, size_t dim, size_t stride, size_t at) {
  double *across = quick->across + at * dim * EIGHT;
  for (size_t r = 0; r < EIGHT; r++)
    for (size_t b = 0; b < dim; b++) across[b * EIGHT + r] = rows[r * stride + b];
  return pllm_judge_order_responses(rows, dim, stride, quick->pairs + at * PLLM_JUDGE_QUICK_NUMBERS(dim));
}

/* Copy the features of a prompt's responses behind the block's rows. */
static PllmJudgePrompt add_prompt(const PllmEvaluation *task, PllmJudgeBlock *block, size_t p, size_t rows) {
  const PllmScores *s = task->scores;
  size_t models = s->n_models, dim = task->dim;
  PllmJudgePrompt prompt = {.first = rows, .reference = SIZE_MAX, .quick = SIZE_MAX};
  for (size_t r = s->first[p]; r < s->first[p + 1]; r++) {
    size_t row = task->row ? task->row[r] : r;
    if (row == SIZE_MAX) continue;
    memcpy(block->truth + rows * block->stride, s->rewards + r * models, models * sizeof *block->truth);
    if (task->features_f64)
      memcpy(block->estimate + rows * dim, task->features_f64 + row * dim, dim * sizeof *block->estimate);
    for (size_t b = 0; task->features_f32 && b < dim; b++)
      block->estimate[rows * dim + b] = (double)task->features_f32[row * dim + b];
    if (task->reference >= 0 && s->model[r] == task->reference && prompt.reference == SIZE_MAX)
      prompt.reference = rows - prompt.first;
    rows++;
  }
  prompt.n = rows - prompt.first;
  return prompt;
}

static void add_to_mean(PllmJudgeBlock *block, size_t models, const PllmJudgePrompt *prompt) {
  const double *rows = block->truth + prompt->first * block->stride;
  for (size_t b = 0; b < models; b++) {
    double sum = 0;
    for (size_t r = 0; r < prompt->n; r++) sum += rows[r * block->stride + b] / (double)prompt->n;
    block->mean[b] += (sum - block->mean[b]) / (double)block->n_prompts;
  }
}

void pllm_judge_block_restart(const PllmEvaluation *task, PllmJudgeBlock *block) {
  block->next = block->n_prompts = block->with_reference = 0;
  memset(block->mean, 0, task->scores->n_models * sizeof *block->mean);
}

void pllm_judge_block_next(const PllmEvaluation *task, PllmJudgeBlock *block, PllmJudgeTask *judge) {
  size_t rows = 0, quick = 0, models = task->scores->n_models, dim = task->dim;
  block->work = 0;
  judge->n_prompts = 0;
  for (; block->next < task->n_prompts && rows < block->room && block->work < PLLM_JUDGE_WORK; block->next++) {
    PllmJudgePrompt prompt = add_prompt(task, block, task->prompts[block->next], rows);
    if (prompt.n == 0) continue;
    block->n_prompts++;
    block->with_reference += prompt.reference != SIZE_MAX;
    add_to_mean(block, models, &prompt);
    if (block->quick && prompt.n == EIGHT &&
        add_quick(&block->quick_truth, block->truth + rows * block->stride, models, block->stride, quick) &&
        (!block->estimate || add_quick(&block->quick_estimate, block->estimate + rows * dim, dim, dim, quick)))
      prompt.quick = quick++;
    rows += prompt.n;
    block->prompts[judge->n_prompts++] = prompt;
    block->work += work_of(task, prompt.n);
  }
}
