/*
** core_evaluate_quick.h: evaluation by estimates; part of core_evaluate_kernel.h.
**
** The users of a tile lie across the lanes.  f32 estimates of a prompt's utilities become 16-bit integers, which order the
** canonical utilities wherever neighbours in their order differ by PLLM_JUDGE_APART or more (core_evaluate_block.c): there,
** choices and pairs are known.  What users with closer estimates think is found by judge_user or judge_lanes, so that all
** results have the bits that these would give.
*/
#include "core_shorts.h"

#if PLLM_VEC_LANES > 1

enum { PARTS = PLLM_JUDGE_TILE / PLLM_SHORTS, VECS = PLLM_SHORTS_VECS };
/* Prompts whose counts 16 bits hold. */
enum { QUICK_PROMPTS = 32767 / PLLM_JUDGE_QUICK_PAIRS };
/* So many users are judged one by one sooner than with their neighbours. */
enum { FEW = PLLM_SHORTS / 4 };

typedef PllmShorts Shorts;

/* Counts of the quick prompts decided, per lane. */
typedef struct Quick {
  size_t since; /* prompts since the counts were added up */
  Shorts prompts[PARTS], top1[PARTS], pair[PARTS], differ[PARTS], wins[PARTS];
} Quick;

/* Estimates of 8 responses for the users of a part.  As many sums at a time as there are registers for and the
** multiplier's latency needs. */
static PLLM_INLINE void estimates(const float *weights, const float *features, size_t dim, Shorts *q) {
  enum { SOME = 8 / VECS };
  UNROLLED
  for (int first = 0; first < 8; first += SOME) {
    PllmVec sum[SOME][VECS], w[VECS];
    for (int v = 0; v < VECS; v++) w[v] = pllm_vec_load(weights + v * PLLM_VEC_LANES);
    for (int r = 0; r < SOME; r++)
      for (int v = 0; v < VECS; v++) sum[r][v] = pllm_vec_mul(w[v], pllm_vec_all(features[first + r]));
    for (size_t b = 1; b < dim; b++) {
      for (int v = 0; v < VECS; v++) w[v] = pllm_vec_load(weights + b * PLLM_JUDGE_TILE + v * PLLM_VEC_LANES);
      UNROLLED
      for (int r = 0; r < SOME; r++) {
        PllmVec x = pllm_vec_all(features[b * 8 + (size_t)(first + r)]);
        for (int v = 0; v < VECS; v++) sum[r][v] = pllm_vec_fma(w[v], x, sum[r][v]);
      }
    }
    UNROLLED
    for (int r = 0; r < SOME; r++) q[first + r] = pllm_shorts_of(sum[r]);
  }
}

/* The least and the greatest of eight, and whether all are apart. */
typedef struct Order {
  Shorts least, greatest, apart;
} Order;

/* Sort by 19 exchanges. */
static PLLM_INLINE Order order_of(const Shorts *q) {
  static const unsigned char exchange[19][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6},
                                                {3, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}, {2, 4}, {3, 5},
                                                {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};
  Shorts sorted[8], gap;
  UNROLLED
  for (int i = 0; i < 8; i++) sorted[i] = q[i];
  ALL_UNROLLED
  for (int i = 0; i < 19; i++) {
    Shorts a = sorted[exchange[i][0]], b = sorted[exchange[i][1]];
    sorted[exchange[i][0]] = pllm_shorts_min(a, b);
    sorted[exchange[i][1]] = pllm_shorts_max(a, b);
  }
  gap = pllm_shorts_sub(sorted[1], sorted[0]);
  UNROLLED
  for (int i = 1; i < 7; i++) gap = pllm_shorts_min(gap, pllm_shorts_sub(sorted[i + 1], sorted[i]));
  return (Order){sorted[0], sorted[7], gap >= (int16_t)PLLM_JUDGE_APART};
}

/* Which of q is x (one of them), in *at, and what other has there. */
static PLLM_INLINE Shorts element(const Shorts *q, Shorts x, const Shorts *other, Shorts *at) {
  Shorts here = q[0] == x, found = here & other[0], number = {0};
  UNROLLED
  for (int16_t i = 1; i < 8; i++) {
    here = q[i] == x;
    found |= here & other[i];
    number |= here & i;
  }
  *at = number;
  return found;
}

/* Vector by vector: one memcpy of them all would go through memory. */
static PLLM_INLINE void store_rows(Shorts at, const PllmJudgePrompt *prompt, uint32_t *rows) {
  PllmInts row[VECS];
  pllm_shorts_widen(at, row);
  for (int v = 0; v < VECS; v++) {
    row[v] += (int32_t)prompt->first;
    memcpy(rows + v * PLLM_VEC_LANES, &row[v], sizeof row[v]);
  }
}

/* The users of a part that are not in sure: how many. */
static int rest_of(Shorts sure) {
  int n = PLLM_SHORTS;
  for (int i = 0; i < PLLM_SHORTS; i++) n += sure[i];
  return n;
}

/* Judge a quick prompt for the users of a part. */
static PLLM_INLINE void judge_part(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick, int part,
                                   Chosen *chosen) {
  const int lane = part * PLLM_SHORTS;
  size_t q = prompt->quick;
  Shorts t[8], e[8], best, worst, pick, best_e, worst_e, pick_t, differ = {0}, sure;
  Order by_t, by_e;
  int rest = 0;
  estimates(task->quick_truth + lane, task->quick.truth + q * task->models * 8, task->models, t);
  by_t = order_of(t);
  estimates(task->quick_estimate + lane, task->quick.estimate + q * task->dim * 8, task->dim, e);
  by_e = order_of(e);
  sure = by_t.apart & by_e.apart;
  if (!pllm_shorts_all(sure) && (rest = rest_of(sure)) > FEW) {
    for (int i = 0; i < PLLM_SHORTS; i += WIDTH) judge_lanes(task, prompt, (size_t)(lane + i), chosen);
    return;
  }
  ALL_UNROLLED
  for (int i = 0; i < 7; i++) ALL_UNROLLED
  for (int j = i + 1; j < 8; j++) differ -= (t[i] > t[j]) ^ (e[i] > e[j]);
  best_e = element(t, by_t.greatest, e, &best);
  worst_e = element(t, by_t.least, e, &worst);
  pick_t = element(e, by_e.greatest, t, &pick);
  quick->prompts[part] -= sure;
  quick->differ[part] += differ & sure;
  quick->top1[part] -= (best == pick) & sure;
  quick->pair[part] -= (best_e > worst_e) & sure;
  if (prompt->reference != SIZE_MAX) quick->wins[part] -= (pick_t > t[prompt->reference]) & sure;
  store_rows(pick, prompt, (*chosen)[PLLM_ROW_PICK] + lane);
  store_rows(best, prompt, (*chosen)[PLLM_ROW_BEST] + lane);
  for (int i = 0; rest > 0; i++)
    if (!sure[i]) {
      judge_user(task, prompt, (size_t)(lane + pllm_shorts_user(i)), chosen);
      rest--;
    }
}

/* The counts into the sums.  Pairs that are not ordered differently are ordered alike: estimates that tie are too close. */
static void flush(const PllmJudgeTask *task, Quick *quick) {
  for (int part = 0; part < PARTS; part++)
    for (int i = 0; i < PLLM_SHORTS; i++) {
      double *sums = task->sums + part * PLLM_SHORTS + pllm_shorts_user(i);
      sums[PLLM_SUM_TOP1 * PLLM_JUDGE_TILE] += quick->top1[part][i];
      sums[PLLM_SUM_PAIR * PLLM_JUDGE_TILE] += quick->pair[part][i];
      sums[PLLM_SUM_WINS * PLLM_JUDGE_TILE] += quick->wins[part][i];
      sums[PLLM_SUM_RIGHT * PLLM_JUDGE_TILE] +=
          2 * (PLLM_JUDGE_QUICK_PAIRS * quick->prompts[part][i] - quick->differ[part][i]);
      sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE] += quick->prompts[part][i];
    }
  memset(quick, 0, sizeof *quick);
}

static PLLM_INLINE void judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick,
                                    Chosen *chosen) {
  for (int part = 0; part < PARTS; part++) judge_part(task, prompt, quick, part, chosen);
  if (++quick->since == QUICK_PROMPTS) flush(task, quick);
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
