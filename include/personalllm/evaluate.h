/*
** evaluate.h: how well do estimated weights serve each user?  (definitions.md#evaluation-measures, and regret.)
*/
#ifndef PERSONALLLM_EVALUATE_H
#define PERSONALLLM_EVALUATE_H

#include "parallel.h"
#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** What users are judged on.  The truth judges with the rewards of *scores; the estimate picks by its own features of
** each response: the rewards (both pointers NULL), or the rows of an f64 or an f32 matrix.
*/
typedef struct PllmEvaluation {
  const PllmScores *scores;
  const size_t *prompts; /* [n_prompts], indexes into *scores, each at most once */
  size_t n_prompts;
  const double *features_f64; /* [rows][dim] */
  const float *features_f32;
  size_t dim; /* of the estimate's weights; n_models where both pointers are NULL */
  const size_t
      *row; /* [scores->n_responses]: a response's row in the features, SIZE_MAX leaves it out for both sides;
                     ** NULL: response r has row r */
  int32_t reference; /* win_rate is against the first response of this model (index into model_names); -1: none */
} PllmEvaluation;

/*
** Means over one user's prompts; NaN where a mean is over nothing.  With t the truth's and e the estimate's canonical
** utility, pick = argmax e, best = argmax t, worst = argmin t (first on ties).  The mean of t over picks, and over best
** responses, is w times the sum of their rewards, added up in the order of the prompts, over the number of prompts; where
** rounding would leave best_reward below reward, it is reward.
*/
typedef struct PllmJudgement {
  double top1;          /* pick = best */
  /* over the prompts with a pair t(i) > t(j): in one response, or in ties, the truth tells nothing apart */
  double pair_accuracy;      /* e(best) > e(worst) */
  double all_pairs_accuracy; /* over those pairs: e(i) > e(j) counts 1, equality 1/2 */
  double reward;        /* t(pick) */
  double best_reward;   /* t(best) */
  double random_reward; /* t of a random response: w times the mean over prompts of the responses' mean rewards */
  double regret;        /* best_reward - reward */
  double win_rate;      /* t(pick) > t(reference), over prompts that have a reference response */
} PllmJudgement;

/* How many prompts count: those with a response that is not left out.  O(responses). */
size_t pllm_evaluate_prompts(const PllmEvaluation *task);

/*
** Judge users: truth[users][n_models] and estimate[users][dim], all finite, into out[users].  Sums run in the order
** of task->prompts, so that the result is the same on every machine, for any number of threads and any cut into
** calls. O(users x responses x (n_models + dim + responses of a prompt)); memory O(users x (n_models + dim)).
*/
PllmStatus pllm_evaluate(const PllmEvaluation *task, const double *truth, const double *estimate, size_t users,
                         PllmJudgement *out, const PllmRun *run, PllmError *err);

/*
** The same for users that come block by block, in two halves: start lets helper threads begin, while the caller does
** something else; join helps and waits.  *task and all that it points to, and run, which may be NULL, stay valid until free;
** truth, estimate and out until join.  A second block may be started before the first is joined where the evaluator is
** whole: helpers go on to it without a pause.  join ends the older.  Free in the middle stops early (NULL is fine).  Memory
** of an evaluator: the features, of about a million numbers a side at a time, and O(users of a block x n_models).
*/
typedef struct PllmEvaluator PllmEvaluator;
PllmStatus pllm_evaluator_new(const PllmEvaluation *task, const PllmRun *run, PllmEvaluator **evaluator,
                              PllmError *err);
PllmStatus pllm_evaluator_start(PllmEvaluator *evaluator, const double *truth, const double *estimate, size_t users,
                                PllmJudgement *out, PllmError *err);
PllmStatus pllm_evaluator_join(PllmEvaluator *evaluator, PllmError *err);
void pllm_evaluator_free(PllmEvaluator *evaluator);
/* Does it hold all prompts at a time?  Otherwise each block of users lays them out again, and should be large. */
int pllm_evaluator_is_whole(const PllmEvaluator *evaluator);

#ifdef __cplusplus
}
#endif
#endif
