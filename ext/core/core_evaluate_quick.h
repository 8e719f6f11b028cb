/*
** core_evaluate_quick.h: evaluation by f32 estimates; part of core_evaluate_kernel.h.
**
** The users of a tile lie across the lanes, in one vector or in several (groups).  Estimates order a prompt's responses;
** where neighbours in that order differ by more than their margin (core_evaluate_block.c), the canonical utilities are
** ordered alike, so that choices and pairs are known without them.  A group with a user whose estimates come too close
** is judged by judge_lanes, so all results have the bits that it would give.
*/
#include "core_vec.h"

#if PLLM_VEC_LANES > 1

enum { LANES = PLLM_VEC_LANES, GROUPS = PLLM_JUDGE_TILE / LANES };

typedef int32_t Ints __attribute__((vector_size(4 * PLLM_VEC_LANES)));

/* Counts of the quick prompts, whole numbers per lane. */
typedef struct Quick {
  double prompts[GROUPS];
  Ints top1[GROUPS], pair[GROUPS], differ[GROUPS], wins[GROUPS];
} Quick;

/* Estimates of 8 responses, each with its number in its lowest three bits.  As many sums at a time as there are registers
** for and the multiplier's latency needs. */
static PLLM_INLINE void estimates(const float *weights, const float *features, size_t dim, PllmVec u[GROUPS][8]) {
  enum { SOME = GROUPS == 1 ? 8 : GROUPS == 2 ? 4 : 2 };
  UNROLLED
  for (int first = 0; first < 8; first += SOME) {
    PllmVec sum[GROUPS][SOME];
    for (int g = 0; g < GROUPS; g++) {
      PllmVec w = pllm_vec_load(weights + g * LANES);
      for (int r = 0; r < SOME; r++) sum[g][r] = pllm_vec_mul(w, pllm_vec_all(features[first + r]));
    }
    for (size_t b = 1; b < dim; b++) {
      PllmVec w[GROUPS];
      for (int g = 0; g < GROUPS; g++) w[g] = pllm_vec_load(weights + b * PLLM_JUDGE_TILE + g * LANES);
      UNROLLED
      for (int r = 0; r < SOME; r++) {
        PllmVec x = pllm_vec_all(features[b * 8 + (size_t)(first + r)]);
        for (int g = 0; g < GROUPS; g++) sum[g][r] = pllm_vec_fma(w[g], x, sum[g][r]);
      }
    }
    for (int g = 0; g < GROUPS; g++) UNROLLED
    for (int r = 0; r < SOME; r++) u[g][first + r] = pllm_vec_tag(sum[g][r], ~7, first + r);
  }
}

/* Sort eight by 19 exchanges, from the lowest up; returns the smallest difference between neighbours. */
static PLLM_INLINE PllmVec sort(const PllmVec *u, PllmVec *sorted) {
  static const unsigned char exchange[19][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6},
                                                {3, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}, {2, 4}, {3, 5},
                                                {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};
  PllmVec gap;
  UNROLLED
  for (int i = 0; i < 8; i++) sorted[i] = u[i];
  ALL_UNROLLED
  for (int i = 0; i < 19; i++) {
    PllmVec a = sorted[exchange[i][0]], b = sorted[exchange[i][1]];
    sorted[exchange[i][0]] = pllm_vec_min(a, b);
    sorted[exchange[i][1]] = pllm_vec_max(a, b);
  }
  gap = pllm_vec_sub(sorted[1], sorted[0]);
  UNROLLED
  for (int i = 1; i < 7; i++) gap = pllm_vec_min(gap, pllm_vec_sub(sorted[i + 1], sorted[i]));
  return gap;
}

/* u[at], lane by lane. */
static PLLM_INLINE PllmVec element(const PllmVec *u, Ints at) {
  PllmVec two[4], four[2];
  Ints low = at << 31, middle = at << 30, high = at << 29;
  for (int i = 0; i < 4; i++) two[i] = pllm_vec_choose((PllmVec)low, u[2 * i], u[2 * i + 1]);
  for (int i = 0; i < 2; i++) four[i] = pllm_vec_choose((PllmVec)middle, two[2 * i], two[2 * i + 1]);
  return pllm_vec_choose((PllmVec)high, four[0], four[1]);
}

/* One more where one of a > b and x > y holds alone. */
static PLLM_INLINE Ints count_apart(Ints count, PllmVec a, PllmVec b, PllmVec x, PllmVec y) {
#if defined(__AVX512F__) /* comparisons are masks there, which compilers would turn into vectors first */
  __mmask16 apart = _kxor_mask16(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), _mm512_cmp_ps_mask(x, y, _CMP_GT_OQ));
  return (Ints)_mm512_mask_add_epi32((__m512i)count, apart, (__m512i)count, _mm512_set1_epi32(1));
#else
  return count - ((Ints)(a > b) ^ (Ints)(x > y));
#endif
}

/* Judge a quick prompt for one group; 0 without having done anything where an estimate is too close. */
static PLLM_INLINE int judge_group(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, const PllmVec *t,
                                   const PllmVec *e, Quick *quick, int g, Chosen *chosen) {
  PllmVec sorted_t[8], sorted_e[8], gap_t = sort(t, sorted_t), gap_e = sort(e, sorted_e);
  Ints differ = quick->differ[g], best = (Ints)sorted_t[7] & 7, worst = (Ints)sorted_t[0] & 7,
       pick = (Ints)sorted_e[7] & 7, row[PLLM_N_ROWS];
  if (pllm_vec_not_ge(gap_t, pllm_vec_all(task->quick.truth_margin[prompt->quick])) |
      pllm_vec_not_ge(gap_e, pllm_vec_all(task->quick.estimate_margin[prompt->quick])))
    return 0;
  ALL_UNROLLED
  for (int i = 0; i < 7; i++) ALL_UNROLLED
  for (int j = i + 1; j < 8; j++) differ = count_apart(differ, t[i], t[j], e[i], e[j]);
  quick->differ[g] = differ;
  quick->top1[g] -= best == pick;
  quick->pair[g] -= (Ints)(element(e, best) > element(e, worst));
  if (prompt->reference != SIZE_MAX) quick->wins[g] -= (Ints)(element(t, pick) > t[prompt->reference]);
  quick->prompts[g]++;
  row[PLLM_ROW_PICK] = pick + (int32_t)prompt->first;
  row[PLLM_ROW_BEST] = best + (int32_t)prompt->first;
  for (int i = 0; i < PLLM_N_ROWS; i++) memcpy((*chosen)[i] + g * LANES, &row[i], sizeof row[i]);
  return 1;
}

static void judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick, Chosen *chosen) {
  size_t q = prompt->quick;
  PllmVec t[GROUPS][8], e[GROUPS][8];
  estimates(task->quick_truth, task->quick.truth + q * task->models * 8, task->models, t);
  estimates(task->quick_estimate, task->quick.estimate + q * task->dim * 8, task->dim, e);
  for (int g = 0; g < GROUPS; g++)
    if (!judge_group(task, prompt, t[g], e[g], quick, g, chosen))
      for (int lane = g * LANES; lane < (g + 1) * LANES; lane += WIDTH)
        judge_lanes(task, prompt, (size_t)lane, chosen);
}

/* The counts into the sums.  Pairs that are not ordered differently are ordered alike: estimates that tie are too close. */
static void flush(const PllmJudgeTask *task, const Quick *quick) {
  for (int g = 0; g < GROUPS; g++)
    for (int i = 0; i < LANES; i++) {
      double *sums = task->sums + g * LANES + i;
      sums[PLLM_SUM_TOP1 * PLLM_JUDGE_TILE] += quick->top1[g][i];
      sums[PLLM_SUM_PAIR * PLLM_JUDGE_TILE] += quick->pair[g][i];
      sums[PLLM_SUM_WINS * PLLM_JUDGE_TILE] += quick->wins[g][i];
      sums[PLLM_SUM_RIGHT * PLLM_JUDGE_TILE] +=
          2 * (PLLM_JUDGE_QUICK_PAIRS * quick->prompts[g] - quick->differ[g][i]);
      sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE] += quick->prompts[g];
    }
}

#else

typedef struct Quick {
  double prompts[1];
} Quick;

static void judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick, Chosen *chosen) {
  (void)quick;
  for (size_t lane = 0; lane < PLLM_JUDGE_TILE; lane += WIDTH) judge_lanes(task, prompt, lane, chosen);
}

static void flush(const PllmJudgeTask *task, const Quick *quick) {
  (void)task;
  (void)quick;
}

#endif
