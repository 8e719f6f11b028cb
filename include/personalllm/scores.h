/*
** scores.h: the columnar score store that every bulk job reads.
*/
#ifndef PERSONALLLM_SCORES_H
#define PERSONALLLM_SCORES_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** A read-only view of all fully scored responses of one table, ordered by prompt_id, then position.  Whoever made it
** owns the arrays.  Responses with unknown scores are left out and counted in `skipped`.
*/
typedef struct PllmScores {
  size_t n_models;            /* reward models B */
  size_t n_prompts;           /* prompts with at least one fully scored response */
  size_t n_responses;         /* fully scored responses */
  size_t skipped;             /* responses left out because a score is missing */
  const int64_t *prompt_id;   /* [n_prompts], strictly ascending */
  const int32_t *split;       /* [n_prompts], index into split_names, -1 where the prompts table has no such prompt */
  const size_t *first;        /* [n_prompts + 1]: responses of prompt p are first[p] .. first[p+1]-1 */
  const int64_t *response_id; /* [n_responses] */
  const int64_t *position;    /* [n_responses], ascending within a prompt */
  const int32_t *model;       /* [n_responses], index into model_names, -1 where NULL */
  const double *rewards;      /* [n_responses][n_models]: raw, or (raw - mean) / sd, as asked for */
  size_t n_splits;
  const char *const *split_names; /* [n_splits], in order of first appearance by prompt_id */
  size_t n_model_names;
  const char *const *model_names; /* [n_model_names] the LLMs that wrote the responses */
} PllmScores;

#ifdef __cplusplus
}
#endif
#endif
