/*
** core_evaluate_quick.h: evaluation by estimates; part of core_evaluate_kernel.h.
**
** The users of a tile lie across the lanes.  Estimates of a prompt's utilities are 16-bit integers, which order a user's
** canonical utilities wherever neighbours in their order are as far apart as they must be for that user
** (core_evaluate_order.c): there, choices and pairs are known.  Where they are closer, the user's canonical utilities are
** computed and their ranks take the place of the estimates; where even these tie, or many users have close estimates,
** judge_lanes judges the part.  So all results have the bits that judge_lanes would give.
*/
#include "core_shorts.h"

#if PLLM_PAIR_LANES > 1

enum { PARTS = PLLM_JUDGE_TILE / PLLM_SHORTS, VECS = PLLM_SHORTS_VECS };
/* Prompts whose counts 16 bits hold. */
enum { QUICK_PROMPTS = 32767 / PLLM_JUDGE_QUICK_PAIRS };
/* For so many users the order is found one by one sooner than all are judged by judge_lanes. */
enum { FEW = PLLM_SHORTS / 2 };

typedef PllmShorts Shorts;
typedef PllmTruths Truths;

/* Counts of the quick prompts decided, by part. */
typedef struct Counts {
  size_t since; /* prompts since the counts were added up */
  int prompts[PARTS];
  Shorts top1[PARTS], pair[PARTS], differ[PARTS], wins[PARTS];
} Counts;

/* What is a tile's own. */
typedef struct Quick {
  Shorts apart_t[PARTS], apart_e[PARTS]; /* how far apart a user's estimates must be */
  Counts counts;
} Quick;

static void quick_begin(const PllmJudgeTask *task, Quick *quick) {
  memset(&quick->counts, 0, sizeof quick->counts);
  for (int part = 0; task->truth_order && part < PARTS; part++)
    for (int i = 0; i < PLLM_SHORTS; i++) {
      int user = part * PLLM_SHORTS + pllm_shorts_user(i);
      quick->apart_t[part][i] = task->truth_order->apart[user];
      quick->apart_e[part][i] = task->estimate_order->apart[user];
    }
}

/* Estimates of 8 responses for the users of a part.  As many sums at a time as there are registers for. */
static PLLM_INLINE void estimates(const int16_t *weights, const int16_t *features, size_t pairs, Shorts *q) {
  enum { SOME = PLLM_PAIR_LANES == 16 ? 8 : 4 };
  PLLM_UNROLLED
  for (int first = 0; first < 8; first += SOME) {
    PllmSums sum[SOME][VECS];
    PLLM_UNROLLED
    for (int r = 0; r < SOME; r++)
      for (int v = 0; v < VECS; v++) sum[r][v] = pllm_sums_none();
    for (size_t p = 0; p < pairs; p++) {
      PllmPairs w[VECS];
      for (int v = 0; v < VECS; v++)
        w[v] = pllm_pairs_load(weights + 2 * (p * PLLM_JUDGE_TILE + (size_t)v * PLLM_PAIR_LANES));
      PLLM_UNROLLED
      for (int r = 0; r < SOME; r++) {
        PllmPairs x = pllm_pairs_all(features + 2 * (p * 8 + (size_t)(first + r)));
        for (int v = 0; v < VECS; v++) {
          sum[r][v] = pllm_sums_madd(sum[r][v], w[v], x);
          PLLM_SUMS_NOW(sum[r][v]);
        }
      }
    }
    PLLM_UNROLLED
    for (int r = 0; r < SOME; r++) q[first + r] = pllm_shorts_of(sum[r]);
  }
}

/* The least and the greatest of eight, and whether all are apart. */
typedef struct Order {
  Shorts least, greatest;
  Truths apart;
} Order;

/* Sort by 19 exchanges. */
static PLLM_INLINE Order order_of(const Shorts *q, Shorts apart) {
  static const unsigned char exchange[19][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6},
                                                {3, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}, {2, 4}, {3, 5},
                                                {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};
  Shorts sorted[8], gap;
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++) sorted[i] = q[i];
  ALL_UNROLLED
  for (int i = 0; i < 19; i++) {
    Shorts a = sorted[exchange[i][0]], b = sorted[exchange[i][1]];
    sorted[exchange[i][0]] = pllm_shorts_min(a, b);
    sorted[exchange[i][1]] = pllm_shorts_max(a, b);
  }
  gap = pllm_shorts_sub(sorted[1], sorted[0]);
  PLLM_UNROLLED
  for (int i = 1; i < 7; i++) gap = pllm_shorts_min(gap, pllm_shorts_sub(sorted[i + 1], sorted[i]));
  return (Order){sorted[0], sorted[7], pllm_shorts_ge(gap, apart)};
}

/* Which of q is x, one of them. */
static PLLM_INLINE Shorts where(const Shorts *q, Shorts x) {
  Shorts number = {0};
  PLLM_UNROLLED
  for (int16_t i = 1; i < 8; i++) number = pllm_shorts_put(number, pllm_shorts_eq(q[i], x), (Shorts){0} + i);
  return number;
}

/* What `other` has where q is x. */
static PLLM_INLINE Shorts across(const Shorts *q, Shorts x, const Shorts *other) {
  Shorts found = {0};
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++) found = pllm_shorts_put(found, pllm_shorts_eq(q[i], x), other[i]);
  return found;
}

/* Vector by vector: one memcpy of them all would go through memory. */
static PLLM_INLINE void store_chosen(Shorts at, uint32_t *chosen) {
  PllmInts row[VECS];
  pllm_shorts_widen(at, row);
  for (int v = 0; v < VECS; v++) memcpy(chosen + v * PLLM_PAIR_LANES, &row[v], sizeof row[v]);
}

#if WIDTH < 8
#define VECS_OF_8 (8 / WIDTH)
#else
#define VECS_OF_8 1
#endif

/* Canonical utilities of 8 responses, which lie across the lanes, for the user in a tile's lane. */
static PLLM_INLINE void user_utilities(const double *weights, const double *across, size_t dim, Vec *u) {
  for (size_t b = 0; b < dim; b++)
    for (size_t v = 0; v < VECS_OF_8; v++) {
      Vec x;
      memcpy(&x, across + b * 8 + v * WIDTH, sizeof x);
      x *= weights[b * PLLM_JUDGE_TILE];
      u[v] = b == 0 ? x : u[v] + x;
    }
}

/* One side of the evaluation, from a part's first lane on. */
typedef struct Side {
  const double *weights, *across; /* of the part's users; of the prompt's responses */
  size_t dim;
} Side;

/* The ranks of the user's utilities in place of his estimates; false where utilities are equal. */
static int rank_lane(const Side *side, Shorts *q, int lane) {
  Vec u[VECS_OF_8] = {{0}};
  Mask below[VECS_OF_8] = {{0}};
  double x[8];
  int64_t rank[8];
  unsigned ranks = 0;
  user_utilities(side->weights + pllm_shorts_user(lane), side->across, side->dim, u);
  memcpy(x, u, sizeof x);
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++)
    for (int v = 0; v < VECS_OF_8; v++) below[v] -= u[v] > x[i];
  memcpy(rank, below, sizeof rank);
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++) {
    q[i][lane] = (int16_t)rank[i];
    ranks |= 1u << rank[i];
  }
  return ranks == 0xff;
}

/* Ranks for the users whose estimates are not apart; false where that is not to be done or cannot be. */
static PLLM_NOT_INLINE int rank_rest(const Side *side, Shorts *q, Order *order) {
  uint32_t rest = pllm_truths_bits(order->apart) ^ PLLM_SHORTS_ALL;
  if (__builtin_popcount(rest) > FEW) return 0;
  for (; rest; rest &= rest - 1)
    if (!rank_lane(side, q, __builtin_ctz(rest))) return 0;
  *order = order_of(q, (Shorts){0}); /* whether they are apart is settled */
  return 1;
}

/* Have all estimates of a part's users be apart.  By a copy, so that the estimates may stay in registers where they are. */
static PLLM_INLINE int settle(const Side *side, Shorts *q, Order *order) {
  Shorts copy[8];
  Order ranks = *order;
  if (pllm_truths_bits(order->apart) == PLLM_SHORTS_ALL) return 1;
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++) copy[i] = q[i];
  if (!rank_rest(side, copy, &ranks)) return 0;
  PLLM_UNROLLED
  for (int i = 0; i < 8; i++) q[i] = copy[i];
  *order = ranks;
  return 1;
}

/* Judge a quick prompt for the users of a part. */
static PLLM_INLINE void judge_part(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick, int part,
                                   Chosen *chosen) {
  Counts *counts = &quick->counts;
  const int lane = part * PLLM_SHORTS;
  size_t q = prompt->quick, t_pairs = (task->models + 1) / 2, e_pairs = (task->dim + 1) / 2;
  Side truth = {task->truth + lane, task->quick_truth.across + q * task->models * 8, task->models},
       estimate = {task->estimate + lane, task->quick_estimate.across + q * task->dim * 8, task->dim};
  Shorts t[8], e[8], best, pick, differ = {0};
  Order by_t, by_e;
  estimates(task->truth_order->weights + 2 * lane, task->quick_truth.pairs + q * t_pairs * 16, t_pairs, t);
  by_t = order_of(t, quick->apart_t[part]);
  estimates(task->estimate_order->weights + 2 * lane, task->quick_estimate.pairs + q * e_pairs * 16, e_pairs, e);
  by_e = order_of(e, quick->apart_e[part]);
  if (!settle(&truth, t, &by_t) || !settle(&estimate, e, &by_e)) {
    for (int i = 0; i < PLLM_SHORTS; i += WIDTH) judge_lanes(task, prompt, (size_t)(lane + i), chosen);
    return;
  }
  ALL_UNROLLED
  for (int i = 0; i < 7; i++) ALL_UNROLLED
  for (int j = i + 1; j < 8; j++)
    differ = pllm_shorts_plus_true(differ, pllm_shorts_gt(t[i], t[j]) ^ pllm_shorts_gt(e[i], e[j]));
  best = where(t, by_t.greatest);
  pick = where(e, by_e.greatest);
  counts->prompts[part] += 1;
  counts->differ[part] += differ;
  counts->top1[part] = pllm_shorts_plus_true(counts->top1[part], pllm_shorts_eq(best, pick));
  counts->pair[part] = pllm_shorts_plus_true(
      counts->pair[part], pllm_shorts_gt(across(t, by_t.greatest, e), across(t, by_t.least, e)));
  if (prompt->reference != SIZE_MAX)
    counts->wins[part] = pllm_shorts_plus_true(
        counts->wins[part], pllm_shorts_gt(across(e, by_e.greatest, t), t[prompt->reference]));
  store_chosen(pick, (*chosen)[PLLM_ROW_PICK] + lane);
  store_chosen(best, (*chosen)[PLLM_ROW_BEST] + lane);
}

/* The counts into the sums, to begin anew.  Pairs that are not ordered differently are ordered alike: estimates that tie
** are too close. */
static void flush(const PllmJudgeTask *task, Counts *counts) {
  for (int part = 0; part < PARTS; part++)
    for (int i = 0; i < PLLM_SHORTS; i++) {
      double *sums = task->sums + part * PLLM_SHORTS + pllm_shorts_user(i);
      sums[PLLM_SUM_TOP1 * PLLM_JUDGE_TILE] += counts->top1[part][i];
      sums[PLLM_SUM_PAIR * PLLM_JUDGE_TILE] += counts->pair[part][i];
      sums[PLLM_SUM_WINS * PLLM_JUDGE_TILE] += counts->wins[part][i];
      sums[PLLM_SUM_RIGHT * PLLM_JUDGE_TILE] +=
          2 * (PLLM_JUDGE_QUICK_PAIRS * counts->prompts[part] - counts->differ[part][i]);
      sums[PLLM_SUM_WITH_PAIR * PLLM_JUDGE_TILE] += counts->prompts[part];
    }
  memset(counts, 0, sizeof *counts);
}

static PLLM_INLINE void judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick,
                                    Chosen *chosen) {
  for (int part = 0; part < PARTS; part++) judge_part(task, prompt, quick, part, chosen);
  if (++quick->counts.since == QUICK_PROMPTS) flush(task, &quick->counts);
}

#else

typedef int Counts;

typedef struct Quick {
  Counts counts;
} Quick;

static void quick_begin(const PllmJudgeTask *task, Quick *quick) {
  (void)task;
  quick->counts = 0;
}

static void judge_quick(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Quick *quick, Chosen *chosen) {
  (void)quick;
  for (size_t lane = 0; lane < PLLM_JUDGE_TILE; lane += WIDTH) judge_lanes(task, prompt, lane, chosen);
}

static void flush(const PllmJudgeTask *task, const Counts *counts) {
  (void)task;
  (void)counts;
}

#endif
