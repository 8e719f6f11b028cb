/*
** core_evaluate_kernel.h: the body of the evaluation kernel, compiled once per instruction set (core_evaluate_*.c).
**
** Users lie across the lanes; each lane computes the canonical utilities of its user (products and sums in position
** order, never fused), so every comparison is the canonical one by construction and all variants give the same bits.
*/
#include "core_evaluate.h"
#include "core_simd.h"

#include <string.h>

#if defined(__AVX512F__)
#define WIDTH 8
#elif defined(__AVX2__)
#define WIDTH 4
#else
#define WIDTH 2
#endif

#if defined(__clang__)
#define ALL_UNROLLED _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define ALL_UNROLLED _Pragma("GCC unroll 32")
#else
#define ALL_UNROLLED
#endif

/* gcc's and clang's own vectors; true is all ones. */
typedef double Vec __attribute__((vector_size(8 * WIDTH)));
typedef int64_t Mask __attribute__((vector_size(8 * WIDTH)));

#define SELECT(m, a, b) ((Vec)(((Mask)(a) & (m)) | ((Mask)(b) & ~(m))))
#define COUNT(m) ((Vec)((Mask)one & (m))) /* 1.0 where true */

/* Utilities of n responses; weights are [dim] rows of a tile, features are `stride` apart. */
static PLLM_INLINE void utilities(const double *weights, const double *features, size_t dim, size_t stride,
                                  const size_t n, Vec *u) {
  Vec w;
  memcpy(&w, weights, sizeof w);
  for (size_t r = 0; r < n; r++) u[r] = w * features[r * stride];
  for (size_t b = 1; b < dim; b++) {
    memcpy(&w, weights + b * PLLM_JUDGE_TILE, sizeof w);
    for (size_t r = 0; r < n; r++) u[r] += w * features[r * stride + b];
  }
}

/* Pairs that the truth orders, and of them 2 for each that the estimate orders alike, 1 for one it does not order. */
static PLLM_INLINE void pairs(const Vec *t, const Vec *e, const size_t n, Vec *strict, Vec *right) {
  const Vec one = (Vec){0} + 1.0;
  PLLM_UNROLLED
  for (size_t i = 0; i + 1 < n; i++) PLLM_UNROLLED
  for (size_t j = i + 1; j < n; j++) {
    Mask up = t[i] > t[j], down = t[i]<t[j], up_e = e[i]> e[j], down_e = e[i] < e[j];
    *strict += COUNT(up | down);
    *right += COUNT((up & ~down_e) | (down & ~up_e));
    *right += COUNT((up & up_e) | (down & down_e));
  }
}

/* The same, user by user. */
static void wide_pairs(const Vec *t, const Vec *e, size_t n, double *scratch, Vec *strict, Vec *right) {
  for (size_t i = 0; i < WIDTH; i++) {
    double s, r;
    pllm_core_judge_pairs((const double *)t + i, (const double *)e + i, n, WIDTH, scratch, &s, &r);
    (*strict)[i] = s;
    (*right)[i] = r;
  }
}

/* Add one prompt to the sums, given both utilities of its n responses and the truth's of the reference, if any; chosen
** gets the pick and the best response. */
static PLLM_INLINE void judge(const Vec *t, const Vec *e, const size_t n, const Vec *rival, double *wide, Vec *sums,
                              Mask *chosen) {
  const Vec one = (Vec){0} + 1.0;
  Vec best = t[0], best_e = e[0], worst = t[0], worst_e = e[0], pick = e[0], pick_t = t[0];
  Vec strict = {0}, right = {0};
  Mask best_at = {0}, pick_at = {0}, some, whole;
  for (size_t r = 1; r < n; r++) {
    Mask above = t[r] > best, below = t[r]<worst, liked = e[r]> pick, at = (Mask){0} + (int64_t)r;
    best = SELECT(above, t[r], best);
    best_e = SELECT(above, e[r], best_e);
    best_at = (at & above) | (best_at & ~above);
    worst = SELECT(below, t[r], worst);
    worst_e = SELECT(below, e[r], worst_e);
    pick = SELECT(liked, e[r], pick);
    pick_t = SELECT(liked, t[r], pick_t);
    pick_at = (at & liked) | (pick_at & ~liked);
  }
  if (n > PLLM_JUDGE_WIDE)
    wide_pairs(t, e, n, wide, &strict, &right);
  else
    pairs(t, e, n, &strict, &right);
  some = strict > 0.0;
  whole = n == PLLM_JUDGE_QUICK ? strict == (double)PLLM_JUDGE_QUICK_PAIRS : (Mask){0};
  sums[PLLM_SUM_TOP1] += COUNT(best_at == pick_at);
  sums[PLLM_SUM_PAIR] += COUNT(best_e > worst_e);
  sums[PLLM_SUM_RIGHT] += SELECT(whole, right, (Vec){0});
  sums[PLLM_SUM_ALL_PAIRS] += SELECT(whole, (Vec){0}, right / (2.0 * SELECT(some, strict, one)));
  sums[PLLM_SUM_WITH_PAIR] += COUNT(some);
  chosen[PLLM_ROW_PICK] = pick_at;
  chosen[PLLM_ROW_BEST] = best_at;
  if (rival) sums[PLLM_SUM_WINS] += COUNT(pick_t > *rival);
}

/* Which of one prompt's responses the users of a tile chose. */
typedef uint32_t Chosen[PLLM_N_ROWS][PLLM_JUDGE_TILE];

/* One prompt for the users in lanes `lane` to lane + WIDTH - 1 of the tile. */
static void judge_lanes(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, size_t lane, Chosen *chosen) {
  size_t models = task->models, dim = task->dim, t_stride = task->truth_stride, e_stride = task->estimate_stride;
  const double *truth = task->truth + lane, *estimate = task->estimate + lane;
  const double *tf = task->truth_features + prompt->first * t_stride;
  const double *ef = task->estimate_features + prompt->first * e_stride;
  Vec *t = (Vec *)(void *)task->scratch, *e = t + task->max_responses;
  const Vec *rival = prompt->reference == SIZE_MAX ? NULL : t + prompt->reference;
  Vec sums[PLLM_N_SUMS];
  Mask at[PLLM_N_ROWS];
  for (int i = 0; i < PLLM_N_SUMS; i++) memcpy(&sums[i], task->sums + i * PLLM_JUDGE_TILE + lane, sizeof *sums);
  if (prompt->n == 8) {
    Vec t8[8], e8[8]; /* in registers, where there are enough */
    utilities(truth, tf, models, t_stride, 8, t8);
    utilities(estimate, ef, dim, e_stride, 8, e8);
    for (size_t r = 0; rival && r < 8; r++) t[r] = t8[r];
    judge(t8, e8, 8, rival, NULL, sums, at);
  } else {
    for (size_t r = 0; r < prompt->n; r++) {
      utilities(truth, tf + r * t_stride, models, t_stride, 1, t + r);
      utilities(estimate, ef + r * e_stride, dim, e_stride, 1, e + r);
    }
    judge(t, e, prompt->n, rival, task->scratch + 2 * task->max_responses * PLLM_JUDGE_TILE, sums, at);
  }
  for (int i = 0; i < PLLM_N_SUMS; i++) memcpy(task->sums + i * PLLM_JUDGE_TILE + lane, &sums[i], sizeof *sums);
  for (int i = 0; i < PLLM_N_ROWS; i++)
    for (size_t k = 0; k < WIDTH; k++) (*chosen)[i][lane + k] = (uint32_t)at[i][k];
}

#include "core_evaluate_quick.h"
#include "core_evaluate_sums.h"

static void judge_task(const PllmJudgeTask *task) {
  enum { TOGETHER = 32 }; /* prompts whose rows stay in the first-level cache */
  Chosen chosen[TOGETHER];
  Quick quick;
  Sums sums; /* large: not to be cleared for nothing */
  size_t count = 0; /* prompts judged whose rows are not added */
  quick_begin(task, &quick);
  sums.are_here = 0;
  for (size_t p = 0; p < task->n_prompts; p++) {
    const PllmJudgePrompt *prompt = &task->prompts[p];
    const int is_quick = task->truth_order && prompt->quick != SIZE_MAX, looked_up = SUMS_LOOKED_UP && is_quick;
    if (count == TOGETHER || (looked_up && count > 0)) {
      add_rows(task, prompt - count, &sums, (const Chosen *)chosen, count);
      count = 0;
    }
    if (is_quick)
      judge_quick(task, prompt, &quick, &chosen[count]);
    else
      for (size_t lane = 0; lane < PLLM_JUDGE_TILE; lane += WIDTH) judge_lanes(task, prompt, lane, &chosen[count]);
    if (looked_up)
      look_up(task, prompt, &sums, (const Chosen *)chosen);
    else
      count++;
  }
  add_rows(task, task->prompts + task->n_prompts - count, &sums, (const Chosen *)chosen, count);
  flush(task, &quick.counts);
}

const PllmJudgeKernel PLLM_JUDGE_KERNEL = {judge_task, WIDTH};
