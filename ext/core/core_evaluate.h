/*
** core_evaluate.h: the evaluation kernel's task, shared by its instruction-set variants.
*/
#ifndef PLLM_CORE_EVALUATE_H
#define PLLM_CORE_EVALUATE_H

#include "core_int.h"

/* Users of a tile: the widest vector of f64. */
#define PLLM_JUDGE_TILE 8

/* Above that many responses pairs are counted by sorting. */
#define PLLM_JUDGE_WIDE 512

/* What is summed over prompts for each user. */
enum {
  PLLM_SUM_TOP1,
  PLLM_SUM_PAIR,
  PLLM_SUM_ALL_PAIRS,
  PLLM_SUM_WITH_PAIR, /* prompts with a pair that the truth orders */
  PLLM_SUM_REWARD,
  PLLM_SUM_BEST,
  PLLM_SUM_RANDOM,
  PLLM_SUM_WINS,
  PLLM_N_SUMS
};

typedef struct PllmJudgePrompt {
  size_t first, n;  /* rows of the block's features; n >= 1 */
  size_t reference; /* row within the prompt, SIZE_MAX: none */
} PllmJudgePrompt;

/* One tile of users on one block of prompts. */
typedef struct PllmJudgeTask {
  const PllmJudgePrompt *prompts;
  size_t n_prompts, models, dim, max_responses;
  const double *truth_features, *estimate_features; /* [rows][models], [rows][dim]; may be one array */
  const double *truth, *estimate;                   /* weights [models][TILE] and [dim][TILE], 64-byte aligned */
  double *sums;                                     /* [N_SUMS][TILE], 64-byte aligned, added to */
  double *scratch; /* [2 * max_responses][TILE], 64-byte aligned; behind it, for wide prompts, [4 * max_responses] */
} PllmJudgeTask;

/*
** Of one user's pairs of n responses, utilities t and e `stride` apart: *strict, those the truth orders, and *right,
** twice those that the estimate orders alike plus those that it does not order.  scratch is [4n].
*/
void pllm_core_judge_pairs(const double *t, const double *e, size_t n, size_t stride, double *scratch, double *strict,
                           double *right);

void pllm_core_judge_base(const PllmJudgeTask *task);
void pllm_core_judge_avx2(const PllmJudgeTask *task);
void pllm_core_judge_avx512(const PllmJudgeTask *task);

#endif
