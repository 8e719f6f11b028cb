/*
** interactions.h: interaction histories of simulated users: which prompts a user met, what was shown, what the user
** chose (definitions.md#interaction-histories).
*/
#ifndef PERSONALLLM_INTERACTIONS_H
#define PERSONALLLM_INTERACTIONS_H

#include "parallel.h"
#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Turns one history may have. */
#define PLLM_MAX_TURNS 1000000

typedef enum PllmHistoryMode {
  PLLM_BEST_WORST = 0, /* all responses shown; the user names the best and the worst */
  PLLM_RANDOM_PAIR,    /* two different responses shown; the user prefers one */
  PLLM_RATING          /* one response shown; the user rates it with its utility */
} PllmHistoryMode;

typedef enum PllmHistoryDraws {
  PLLM_DRAWS_PHILOX = 0, /* addressed by user and turn: no history depends on another user, a chunk or a thread */
  PLLM_DRAWS_NUMPY       /* RandomState(seed), in the order of the published generators */
} PllmHistoryDraws;

/*
** How histories are made.  A philox history is a function of (seed, user_id) and of the users' weights; random.h says
** how draws are addressed.  With id = user_id and index = turn - 1 unless stated otherwise:
**
**   purpose  attempt   words            what
**   LENGTH   0         0,1 (index 0)    how many turns: min_per_user + below(per_user - min_per_user + 1)
**   PROMPT   0         0,1              with replacement: prompt below(n); without: step `turn` of a Fisher-Yates
**                                       shuffle, below(n - turn + 1) places behind the turns so far; similar: the
**                                       anchor (index 0)
**   SHOWN    0         0,1 and 2,3      rating: response below(m); random_pair: first below(m), second below(m - 1)
**                                       of the others in order
**   CHOICE   response  0,1 and 2,3      Gumbel g and g' of that response (its number among the prompt's, from 0)
**
** A numpy history repeats the published generators for users in the order they are passed:
**   rating       a user's length randint(min, max + 1), then per turn prompt randint(0, n), response randint(1, m)
**   random_pair  the same length, then per turn prompt randint(0, n), responses permutation(m - 1)[:2]
**   best_worst   prompt randint(0, n) per turn (the rows of one (users, length) matrix)
** where m is the number of the prompt's responses.  So the last response is never shown in the first two, as
** published, and an exact tie of a pair goes to the second one drawn.  Users without weights take part in the draws.
**
** Choices, with u the canonical utility and s = noise:
**   best_worst   best = argmax(u + s g), worst = argmax over the others of (-u + s g'): the maxdiff model with
**                sharpness 1/s, P(best = i) = exp(u_i/s) / sum exp(u/s), P(worst = j | i) = exp(-u_j/s) / sum over
**                others exp(-u/s). s = 0: first maximum and first minimum over all (which are one response when all
**                are equal).
**   random_pair  the larger of u + s g; equal: the lower position (numpy: the second drawn)
**   rating       u + s (g - Euler's constant), which has mean u
*/
typedef struct PllmHistoryPlan {
  PllmHistoryMode mode;
  PllmHistoryDraws draws;
  int64_t seed;        /* 0..2^32-1 */
  size_t per_user;     /* turns of the longest history, 1..PLLM_MAX_TURNS */
  size_t min_per_user; /* of the shortest; 0 means per_user */
  int no_replacement;  /* no user meets a prompt twice */
  int similar;         /* a user's prompts: a random anchor, then the most similar others, all different */
  double noise;        /* Gumbel scale s >= 0 */
} PllmHistoryPlan;

/* One turn.  Prompts and responses are indexes into the scores. */
typedef struct PllmInteraction {
  uint32_t user; /* row of the user among those passed */
  uint32_t turn; /* from 1 */
  size_t prompt;
  size_t chosen, rejected;               /* rating: chosen is the response shown, rejected SIZE_MAX */
  double chosen_reward, rejected_reward; /* canonical utilities; rating: chosen_reward is the rating */
} PllmInteraction;

typedef struct PllmHistories PllmHistories;

/*
** Prepare to draw from the prompts listed in prompts[n_prompts] (indexes into *scores, ascending; both borrowed until
** the close).  Prompts with too few scored responses for the mode are left out: best_worst needs 2, random_pair 2
** (numpy: 3), rating 1 (numpy: 2).  similar also needs embeddings[scores->n_prompts][dim] and has[scores->n_prompts],
** borrowed, and leaves out prompts without one; both may be NULL otherwise.  PLLM_INVALID where the plan contradicts
** itself or too few prompts are left.  run serves the packing of embeddings.  O(prompts x dim).
*/
PllmStatus pllm_histories_open(const PllmHistoryPlan *plan, const PllmScores *scores, const size_t *prompts,
                               size_t n_prompts, const float *embeddings, size_t dim, const uint8_t *has,
                               const PllmRun *run, PllmHistories **out, PllmError *err);
void pllm_histories_close(PllmHistories *histories); /* NULL is fine */

/*
** The histories of the next users: user_id[users], weights[users][n_models], and known[users] (0: no weights, no
** history; may be NULL).  Rows go to out (room for users x per_user), ordered by user and turn, their number to
** *rows.  Results do not depend on how users are cut into calls (numpy: as long as their order is the same). O(rows x
** responses x n_models), on run's threads.
*/
PllmStatus pllm_histories_make(PllmHistories *histories, const int64_t *user_id, const double *weights,
                               const uint8_t *known, size_t users, PllmInteraction *out, size_t *rows,
                               const PllmRun *run, PllmError *err);

/*
** The same in two halves: start draws the prompts and lets helper threads begin with the choices, while the caller does
** something else; join helps and waits.  All arguments stay valid until then.  One job at a time for each histories.
** cancel (instead of join) stops early.  With one thread the choices are made in join.
*/
typedef struct PllmHistoriesJob PllmHistoriesJob;
PllmStatus pllm_histories_start(PllmHistories *histories, const int64_t *user_id, const double *weights,
                                const uint8_t *known, size_t users, PllmInteraction *out, const PllmRun *run,
                                PllmHistoriesJob **job, PllmError *err);
PllmStatus pllm_histories_join(PllmHistoriesJob *job, size_t *rows, PllmError *err);
void pllm_histories_cancel(PllmHistoriesJob *job); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
