/*
** core_evaluate_quick.h: evaluation by f32 estimates, for AVX-512; part of core_evaluate_kernel.h.
**
** Sixteen users lie across the lanes.  Estimates order all pairs of a prompt's responses; where they differ by more than
** their margin (core_evaluate_block.c), the canonical utilities are ordered alike, so that picks and pairs are known
** without them.  Only the rewards of the pick and of the best response are summed, and these are computed canonically: the
** eight responses' values of one reward model fill a vector, from which every lane selects its own.  A tile with a user whose
** estimates come too close is judged by judge_prompt, so all results have the bits that it would give.
*/
#include <immintrin.h>
#include <math.h>

/* Counts of the quick prompts, whole numbers per lane; flushed at the end of a block. */
typedef struct QuickCounts {
  __m512i top1, pair, differ;
  double prompts;
} QuickCounts;

/* Estimates of 8 responses, each with its number in its lowest three bits. */
static PLLM_INLINE void estimates(const float *weights, const float *features, size_t dim, __m512 *u) {
  const __m512i keep = _mm512_set1_epi32(~7);
  __m512 w = _mm512_load_ps(weights);
  UNROLLED
  for (int r = 0; r < 8; r++) u[r] = _mm512_mul_ps(w, _mm512_set1_ps(features[r]));
  for (size_t b = 1; b < dim; b++) {
    w = _mm512_load_ps(weights + b * PLLM_JUDGE_TILE);
    UNROLLED
    for (int r = 0; r < 8; r++) u[r] = _mm512_fmadd_ps(w, _mm512_set1_ps(features[b * 8 + (size_t)r]), u[r]);
  }
  UNROLLED
  for (int r = 0; r < 8; r++) {
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(u[r]), keep);
    u[r] = _mm512_castsi512_ps(_mm512_or_si512(bits, _mm512_set1_epi32(r)));
  }
}

static PLLM_INLINE __m512 highest(const __m512 *u) {
  return _mm512_max_ps(_mm512_max_ps(_mm512_max_ps(u[0], u[1]), _mm512_max_ps(u[2], u[3])),
                       _mm512_max_ps(_mm512_max_ps(u[4], u[5]), _mm512_max_ps(u[6], u[7])));
}

static PLLM_INLINE __m512 lowest(const __m512 *u) {
  return _mm512_min_ps(_mm512_min_ps(_mm512_min_ps(u[0], u[1]), _mm512_min_ps(u[2], u[3])),
                       _mm512_min_ps(_mm512_min_ps(u[4], u[5]), _mm512_min_ps(u[6], u[7])));
}

/* Which response an extreme is. */
static PLLM_INLINE __m512i tag_of(__m512 u) {
  return _mm512_and_si512(_mm512_castps_si512(u), _mm512_set1_epi32(7));
}

/* u[at], lane by lane. */
static PLLM_INLINE __m512 element(const __m512 *u, __m512i at) {
  __mmask16 one = _mm512_test_epi32_mask(at, _mm512_set1_epi32(1)),
            two = _mm512_test_epi32_mask(at, _mm512_set1_epi32(2)),
            four = _mm512_test_epi32_mask(at, _mm512_set1_epi32(4));
  __m512 a = _mm512_mask_blend_ps(one, u[0], u[1]), b = _mm512_mask_blend_ps(one, u[2], u[3]),
         c = _mm512_mask_blend_ps(one, u[4], u[5]), d = _mm512_mask_blend_ps(one, u[6], u[7]);
  return _mm512_mask_blend_ps(four, _mm512_mask_blend_ps(two, a, b), _mm512_mask_blend_ps(two, c, d));
}

/* Canonical utilities of response at[lane] for eight users. */
static PLLM_INLINE __m512d canonical(const double *weights, const double *rewards, size_t models, __m512i at) {
  __m512d u = _mm512_mul_pd(_mm512_load_pd(weights), _mm512_permutexvar_pd(at, _mm512_load_pd(rewards)));
  for (size_t b = 1; b < models; b++) {
    __m512d value = _mm512_permutexvar_pd(at, _mm512_load_pd(rewards + b * 8));
    u = _mm512_add_pd(u, _mm512_mul_pd(_mm512_load_pd(weights + b * PLLM_JUDGE_TILE), value));
  }
  return u;
}

static PLLM_INLINE void add_to(double *sum, __m512d x) {
  _mm512_store_pd(sum, _mm512_add_pd(_mm512_load_pd(sum), x));
}

/* The rewards of a quick prompt into the sums, for the users from `lane` on: half a tile. */
static PLLM_INLINE void add_rewards(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, size_t lane,
                                    __m256i pick_at, __m256i best_at) {
  const double *weights = task->truth + lane, *rewards = task->quick.rewards + prompt->quick * task->models * 8;
  double *sums = task->sums + lane;
  __m512d pick = canonical(weights, rewards, task->models, _mm512_cvtepi32_epi64(pick_at));
  __m512d best = canonical(weights, rewards, task->models, _mm512_cvtepi32_epi64(best_at));
  add_to(sums + PLLM_SUM_REWARD * PLLM_JUDGE_TILE, pick);
  add_to(sums + PLLM_SUM_BEST * PLLM_JUDGE_TILE, best);
  if (prompt->reference != SIZE_MAX) {
    __m512i at = _mm512_set1_epi64((long long)prompt->reference);
    __mmask8 wins = _mm512_cmp_pd_mask(pick, canonical(weights, rewards, task->models, at), _CMP_GT_OQ);
    add_to(sums + PLLM_SUM_WINS * PLLM_JUDGE_TILE, _mm512_maskz_mov_pd(wins, _mm512_set1_pd(1)));
  }
}

/* Judge a quick prompt; 0 without having done anything where an estimate is too close. */
static PLLM_INLINE int judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, QuickCounts *counts) {
  const __m512i one = _mm512_set1_epi32(1);
  size_t q = prompt->quick;
  __m512 t[8], e[8], gap_t = _mm512_set1_ps(INFINITY), gap_e = gap_t;
  __m512i differ = _mm512_setzero_si512(), best, worst, pick;
  estimates(task->quick_truth, task->quick.truth + q * task->models * 8, task->models, t);
  estimates(task->quick_estimate, task->quick.estimate + q * task->dim * 8, task->dim, e);
  UNROLLED
  for (int i = 0; i < 7; i++) UNROLLED
  for (int j = i + 1; j < 8; j++) {
    enum { SMALLER_SIZE = 0x0A }; /* of two numbers, the smaller absolute value */
    __m512 dt = _mm512_sub_ps(t[i], t[j]), de = _mm512_sub_ps(e[i], e[j]);
    __m512i sign = _mm512_xor_si512(_mm512_castps_si512(dt), _mm512_castps_si512(de));
    gap_t = _mm512_range_ps(gap_t, dt, SMALLER_SIZE);
    gap_e = _mm512_range_ps(gap_e, de, SMALLER_SIZE);
    differ = _mm512_add_epi32(differ, _mm512_srli_epi32(sign, 31));
  }
  if (_mm512_cmp_ps_mask(gap_t, _mm512_set1_ps(task->quick.truth_margin[q]), _CMP_NGE_UQ) |
      _mm512_cmp_ps_mask(gap_e, _mm512_set1_ps(task->quick.estimate_margin[q]), _CMP_NGE_UQ))
    return 0;
  best = tag_of(highest(t));
  worst = tag_of(lowest(t));
  pick = tag_of(highest(e));
  counts->differ = _mm512_add_epi32(counts->differ, differ);
  counts->top1 = _mm512_mask_add_epi32(counts->top1, _mm512_cmpeq_epi32_mask(best, pick), counts->top1, one);
  counts->pair = _mm512_mask_add_epi32(
      counts->pair, _mm512_cmp_ps_mask(element(e, best), element(e, worst), _CMP_GT_OQ), counts->pair, one);
  counts->prompts++;
  add_rewards(task, prompt, 0, _mm512_castsi512_si256(pick), _mm512_castsi512_si256(best));
  add_rewards(task, prompt, 8, _mm512_extracti32x8_epi32(pick, 1), _mm512_extracti32x8_epi32(best, 1));
  return 1;
}

static PLLM_INLINE void flush(double *sum, __m512i counts) {
  add_to(sum, _mm512_cvtepi32_pd(_mm512_castsi512_si256(counts)));
  add_to(sum + 8, _mm512_cvtepi32_pd(_mm512_extracti32x8_epi32(counts, 1)));
}

static void judge_quickly(const PllmJudgeTask *task) {
  const __m512i zero = _mm512_setzero_si512();
  QuickCounts counts = {zero, zero, zero, 0};
  double *right = task->sums + PLLM_SUM_RIGHT * PLLM_JUDGE_TILE;
  for (size_t p = 0; p < task->n_prompts; p++) {
    const PllmJudgePrompt *prompt = &task->prompts[p];
    if (prompt->quick == SIZE_MAX || !judge_quick(task, prompt, &counts)) judge_prompt(task, prompt);
  }
  flush(task->sums + PLLM_SUM_TOP1 * PLLM_JUDGE_TILE, counts.top1);
  flush(task->sums + PLLM_SUM_PAIR * PLLM_JUDGE_TILE, counts.pair);
  /* pairs that are not ordered differently are ordered alike: estimates that tie are too close */
  flush(right, _mm512_slli_epi32(_mm512_sub_epi32(zero, counts.differ), 1));
  for (size_t lane = 0; lane < PLLM_JUDGE_TILE; lane++) {
    right[lane] += 2 * PLLM_JUDGE_QUICK_PAIRS * counts.prompts;
    task->sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE + lane] += counts.prompts;
  }
}
