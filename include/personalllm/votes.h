/*
** votes.h: which response does each user like best and least?  (definitions.md#votes)
*/
#ifndef PERSONALLLM_VOTES_H
#define PERSONALLLM_VOTES_H

#include "parallel.h"
#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** Add to best[n_responses] and worst[n_responses] (indexed as in *scores) the votes of users weights[users][n_models]
** on the prompts listed in prompts[n_prompts] (indexes into *scores, any order, each at most once).  A user's best
** response is the first maximum of the canonical utility, the worst the first minimum.
**
** Utilities are estimated in f32 by a vector kernel; a choice whose lead is within the proven error of the estimate
** is decided by the canonical utility, so that the tallies are the same on every machine and for any number of
** threads.  O(users x responses x n_models); memory O(users x n_models) floats for each call (callers pass blocks of
** users).  PLLM_INVALID for a weight that is not finite, PLLM_INTERRUPTED within 50 ms of a poll that says so; the
** tallies are then incomplete.
*/
PllmStatus pllm_votes(const PllmScores *scores, const size_t *prompts, size_t n_prompts, const double *weights,
                      size_t users, int64_t *best, int64_t *worst, const PllmRun *run, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
