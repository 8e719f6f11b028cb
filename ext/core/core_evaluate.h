/*
** core_evaluate.h: the evaluation kernel's task, shared by its instruction-set variants, and the blocks of prompts
** that tasks are made of.
*/
#ifndef PLLM_CORE_EVALUATE_H
#define PLLM_CORE_EVALUATE_H

#include "core_int.h"

/* Users of a tile: the widest vector of 16-bit integers. */
#define PLLM_JUDGE_TILE 32

/* Responses of a prompt that can be estimated (core_evaluate_quick.h), and their pairs. */
#define PLLM_JUDGE_QUICK 8
#define PLLM_JUDGE_QUICK_PAIRS 28
/* Longest vectors that are estimated: the error bound grows with them. */
#define PLLM_JUDGE_QUICK_DIM 64
/* Integers that one prompt's features are estimated by: int16_t [(dim + 1) / 2][8][2]. */
#define PLLM_JUDGE_QUICK_NUMBERS(dim) (((dim) + 1) / 2 * PLLM_JUDGE_QUICK * 2)

/* Above that many responses pairs are counted by sorting. */
#define PLLM_JUDGE_WIDE 512

/* What is summed over prompts for each user. */
enum {
  PLLM_SUM_TOP1,
  PLLM_SUM_PAIR,
  PLLM_SUM_RIGHT,     /* whole numbers, from the prompts of 8 responses of which the truth orders all 28 pairs: */
                      /* twice the pairs that the estimate orders alike, plus those it does not order */
  PLLM_SUM_ALL_PAIRS, /* of the others: that divided by twice the pairs that the truth orders */
  PLLM_SUM_WITH_PAIR, /* prompts with a pair that the truth orders */
  PLLM_SUM_WINS,
  PLLM_N_SUMS
};

/* Whose features are summed for each user; the rewards are utilities of these sums. */
enum { PLLM_ROW_PICK, PLLM_ROW_BEST, PLLM_N_ROWS };

typedef struct PllmJudgePrompt {
  size_t first, n;  /* rows of the block's features; n >= 1 */
  size_t reference; /* row within the prompt, SIZE_MAX: none */
  size_t quick;     /* which of the block's quick prompts, SIZE_MAX: not to be estimated */
} PllmJudgePrompt;

/* Features of the quick prompts: for estimates, PLLM_JUDGE_QUICK_NUMBERS each, and with the responses side by side. */
typedef struct PllmJudgeQuick {
  int16_t *pairs;
  double *across; /* [quick prompt][dim][8] */
} PllmJudgeQuick;

/* Users' weights for estimates, and how far apart each user's estimates must be to order his utilities. */
typedef struct PllmJudgeOrder {
  int16_t *weights; /* [(dim + 1) / 2][TILE][2], 64-byte aligned */
  int16_t apart[PLLM_JUDGE_TILE];
} PllmJudgeOrder;

/* One tile of users on one block of prompts. */
typedef struct PllmJudgeTask {
  const PllmJudgePrompt *prompts;
  size_t n_prompts, models, dim, max_responses;
  const double *truth_features, *estimate_features; /* [rows][truth_stride], [rows][estimate_stride]; may be one array */
  size_t truth_stride, estimate_stride;
  const double *truth, *estimate;                   /* weights [models][TILE] and [dim][TILE], 64-byte aligned */
  const PllmJudgeOrder *truth_order, *estimate_order; /* NULL: estimate nothing of this tile */
  PllmJudgeQuick quick_truth, quick_estimate; /* may be the same */
  double *sums; /* [N_SUMS][TILE], 64-byte aligned, added to */
  double *rows; /* [N_ROWS][TILE][truth_stride], added to */
  double *scratch; /* [2 * max_responses][TILE], 64-byte aligned; behind it, for wide prompts, [4 * max_responses] */
} PllmJudgeTask;

/*
** Of one user's pairs of n responses, utilities t and e `stride` apart: *strict, those the truth orders, and *right,
** twice those that the estimate orders alike plus those that it does not order.  scratch is [4n].
*/
void pllm_core_judge_pairs(const double *t, const double *e, size_t n, size_t stride, double *scratch, double *strict,
                           double *right);

/* ---- core_evaluate_order.c: what estimates are made of ---------------------------------------------------------- */

/* Integers for rows[8][dim], `stride` apart; false where they could not tell utilities apart, or a feature is no number or
** out of range.  dim <= PLLM_JUDGE_QUICK_DIM. */
int pllm_judge_order_responses(const double *rows, size_t dim, size_t stride, int16_t *pairs);
/* Integers for a tile's weights [dim][TILE]; false where the weights of one are all zero, not numbers, or out of range. */
int pllm_judge_order_users(const double *tile, size_t dim, PllmJudgeOrder *order);

/* ---- core_evaluate_block.c: prompts put together for the kernel ------------------------------------------------- */

/* All owned; start from {0}, end with pllm_judge_block_free. */
typedef struct PllmJudgeBlock {
  PllmJudgePrompt *prompts;
  double *truth, *estimate; /* [rows][stride], [rows][dim]; estimate is NULL where the estimate uses the rewards */
  size_t stride;            /* models, rounded up so that rows are whole vectors, with zeros */
  PllmJudgeQuick quick_truth, quick_estimate;
  double *mean; /* [models]: running mean over the prompts so far of the mean of their features */
  size_t room, max_responses, n_prompts, with_reference;
  size_t next; /* the first prompt behind the block */
  double work; /* of the block: multiply-adds a user, about, at most a prompt more than PLLM_JUDGE_WORK */
  int quick;   /* are there to be estimates? */
} PllmJudgeBlock;

/* Room for blocks whose rows are whole vectors of `vector` numbers. */
PllmStatus pllm_judge_block_new(const PllmEvaluation *task, size_t vector, PllmJudgeBlock *block, PllmError *err);
void pllm_judge_block_free(PllmJudgeBlock *block);
void pllm_judge_block_restart(const PllmEvaluation *task, PllmJudgeBlock *block);
/* Put the next block together, into *judge; counts prompts, and those that have a reference. */
void pllm_judge_block_next(const PllmEvaluation *task, PllmJudgeBlock *block, PllmJudgeTask *judge);
#define PLLM_JUDGE_WORK 4e6

/* A kernel, and how many numbers of f64 its vectors hold: rows must be whole vectors. */
typedef struct PllmJudgeKernel {
  void (*judge)(const PllmJudgeTask *task);
  size_t width;
} PllmJudgeKernel;

extern const PllmJudgeKernel pllm_core_judge_base, pllm_core_judge_avx2, pllm_core_judge_avx512, pllm_core_judge_vnni;

#endif
