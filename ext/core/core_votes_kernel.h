/*
** core_votes_kernel.h: the body of the vote kernel, compiled once per instruction set (core_votes_*.c).
**
** Users lie across the lanes; responses go through eight accumulators at a time, so that each weight is loaded once
** for eight multiply-adds and no utility ever leaves the registers.  Every utility carries its response's number in
** its lowest mantissa bits, so one max keeps value and argmax together; the runner-up is kept beside it, and a lane
** whose lead is below the margin (twice the error bound of two f32 utilities, see core_votes.c) is handed back
** undecided.
*/
#include "core_simd.h"
#include "core_vec.h"
#include "core_votes.h"

#include <math.h>

/* Best, runner-up, worst and runner-up of the worst, per lane. */
typedef struct Extremes {
  PllmVec best, second, worst, next;
} Extremes;

/* Utilities of n <= 8 responses; features is their block, [models][8]. */
static PLLM_INLINE void utilities(const float *weights, size_t models, const float *features, const int n,
                                  PllmVec *u) {
  PllmVec w = pllm_vec_load(weights);
  for (int r = 0; r < n; r++) u[r] = pllm_vec_mul(w, pllm_vec_all(features[r]));
  for (size_t b = 1; b < models; b++) {
    w = pllm_vec_load(weights + b * PLLM_VOTE_TILE);
    for (int r = 0; r < n; r++) u[r] = pllm_vec_fma(w, pllm_vec_all(features[b * 8 + (size_t)r]), u[r]);
  }
}

/* The two extremes of two pairs, each with high >= low. */
static PLLM_INLINE Extremes merge_pairs(PllmVec high1, PllmVec low1, PllmVec high2, PllmVec low2) {
  Extremes e;
  PllmVec inner_high = pllm_vec_min(high1, high2), inner_low = pllm_vec_max(low1, low2);
  e.best = pllm_vec_max(high1, high2);
  e.worst = pllm_vec_min(low1, low2);
  e.second = pllm_vec_max(inner_high, inner_low);
  e.next = pllm_vec_min(inner_high, inner_low);
  return e;
}

static PLLM_INLINE Extremes merge(Extremes a, Extremes b) {
  Extremes e;
  e.best = pllm_vec_max(a.best, b.best);
  e.second = pllm_vec_max(pllm_vec_min(a.best, b.best), pllm_vec_max(a.second, b.second));
  e.worst = pllm_vec_min(a.worst, b.worst);
  e.next = pllm_vec_min(pllm_vec_max(a.worst, b.worst), pllm_vec_min(a.next, b.next));
  return e;
}

static PLLM_INLINE Extremes extremes_of_8(const PllmVec *u) {
  PllmVec high[4], low[4];
  for (int i = 0; i < 4; i++) {
    high[i] = pllm_vec_max(u[2 * i], u[2 * i + 1]);
    low[i] = pllm_vec_min(u[2 * i], u[2 * i + 1]);
  }
  return merge(merge_pairs(high[0], low[0], high[1], low[1]), merge_pairs(high[2], low[2], high[3], low[3]));
}

static PLLM_INLINE Extremes extremes_of(const PllmVec *u, const int n) {
  Extremes e = {pllm_vec_all(-INFINITY), pllm_vec_all(-INFINITY), pllm_vec_all(INFINITY), pllm_vec_all(INFINITY)};
  if (n == 8) return extremes_of_8(u);
  for (int r = 0; r < n; r++) {
    e.second = pllm_vec_max(e.second, pllm_vec_min(e.best, u[r]));
    e.best = pllm_vec_max(e.best, u[r]);
    e.next = pllm_vec_min(e.next, pllm_vec_max(e.worst, u[r]));
    e.worst = pllm_vec_min(e.worst, u[r]);
  }
  return e;
}

/* Responses first to first + n - 1. */
static PLLM_INLINE Extremes block(const PllmVoteTask *t, const float *weights, size_t first, const int n) {
  PllmVec u[8];
  utilities(weights, t->models, t->features + first * t->models, n, u);
  for (int r = 0; r < n; r++) u[r] = pllm_vec_tag(u[r], ~t->tag_bits, t->numbers[first + (size_t)r]);
  return extremes_of(u, n);
}

static PLLM_INLINE Extremes rest(const PllmVoteTask *t, const float *weights, size_t first) {
  switch (t->responses - first) {
  case 1: return block(t, weights, first, 1);
  case 2: return block(t, weights, first, 2);
  case 3: return block(t, weights, first, 3);
  case 4: return block(t, weights, first, 4);
  case 5: return block(t, weights, first, 5);
  case 6: return block(t, weights, first, 6);
  case 7: return block(t, weights, first, 7);
  default: return block(t, weights, first, 8);
  }
}

/* A vector with users that are not there, or undecided: lane by lane.  Inline, as a call would have every vector that the
** loop around it keeps in a register wait in memory. */
static PLLM_INLINE void vote_lanes(const PllmVoteTask *t, size_t user, unsigned valid, unsigned unsure, Extremes e) {
  _Alignas(64) uint32_t best[PLLM_VEC_LANES], worst[PLLM_VEC_LANES];
  pllm_vec_store_bits(best, e.best);
  pllm_vec_store_bits(worst, e.worst);
  for (unsigned i = 0; i < PLLM_VEC_LANES; i++) {
    if (!(valid >> i & 1)) continue;
    if (unsure >> i & 1) {
      t->unsure[(*t->n_unsure)++] = (uint32_t)(user + i);
    } else {
      t->best[best[i] & (uint32_t)t->tag_bits]++;
      t->worst[worst[i] & (uint32_t)t->tag_bits]++;
    }
  }
}

static PLLM_INLINE Extremes extremes_of_users(const PllmVoteTask *t, size_t user, const int small, const int eight) {
  const float *weights = t->weights + user / PLLM_VOTE_TILE * PLLM_VOTE_TILE * t->models + user % PLLM_VOTE_TILE;
  Extremes e = eight ? block(t, weights, 0, 8) : rest(t, weights, 0);
  if (!small)
    for (size_t r = 8; r < t->responses; r += 8) e = merge(e, rest(t, weights, r));
  return e;
}

/* small: at most eight responses, whose votes fit the bytes of a tally.  eight: at least eight. */
static PLLM_INLINE void vote_all(const PllmVoteTask *t, const int small, const int eight) {
  enum { ALL = (1u << PLLM_VEC_LANES) - 1, GROUP = 255 * PLLM_VEC_LANES }; /* users between flushes */
  PllmVec margin = pllm_vec_all(t->margin);
  PllmTally best, worst;
  memset(&best, 0, sizeof best);
  memset(&worst, 0, sizeof worst);
  for (size_t start = 0; start < t->users; start += GROUP) {
    size_t end = t->users - start < GROUP ? t->users : start + GROUP;
    for (size_t user = start; user < end; user += PLLM_VEC_LANES) {
      Extremes e = extremes_of_users(t, user, small, eight);
      unsigned unsure = pllm_vec_not_ge(pllm_vec_sub(e.best, e.second), margin) |
                        pllm_vec_not_ge(pllm_vec_sub(e.next, e.worst), margin);
      unsigned valid = t->users - user < PLLM_VEC_LANES ? (1u << (t->users - user)) - 1 : ALL;
      if (small && unsure == 0 && valid == ALL) {
        pllm_vec_tally(&best, e.best);
        pllm_vec_tally(&worst, e.worst);
      } else {
        vote_lanes(t, user, valid, unsure, e);
      }
    }
    if (small) {
      pllm_vec_flush(&best, t->best, t->responses);
      pllm_vec_flush(&worst, t->worst, t->responses);
    }
  }
}

void PLLM_VOTE_KERNEL(const PllmVoteTask *task) {
  if (task->responses == 8)
    vote_all(task, 1, 1);
  else if (task->responses < 8)
    vote_all(task, 1, 0);
  else
    vote_all(task, 0, 1);
}
