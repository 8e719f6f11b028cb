/*
** dataset.h: one line of the published data set as a record, its reward models, their scale
** (definitions.md#data-set-columns, definitions.md#reward-models).
**
** Keys of a line: prompt_id, prompt, subset, response_i, response_i_model, response_i_NAME (the raw score of reward
** model NAME), prompt_embedding, and prompt_response_i_embedding or, shorter, response_i_embedding, with i = 1, 2
** and so on.  Other keys are ignored.
*/
#ifndef PERSONALLLM_DATASET_H
#define PERSONALLLM_DATASET_H

#include "json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Responses that one line may have. */
#define PLLM_MAX_RESPONSES 4096
/* Ids are JSON numbers, thus doubles: beyond this two ids would look the same. */
#define PLLM_MAX_JSON_ID INT64_C(9007199254740991)

/* A growing set of names.  Start from {0}. */
typedef struct PllmNameList {
  char **name; /* [count], each pllm_alloc'ed */
  size_t count, room;
} PllmNameList;
void pllm_name_list_free(PllmNameList *names);
/* Position of a name, -1 if it is not there: compared without regard to the case of ASCII letters, as SQLite does. */
long pllm_name_list_find(const PllmNameList *names, const char *name);
/* Add a name that is not there yet. */
PllmStatus pllm_name_list_add(PllmNameList *names, const char *name, PllmError *err);
/* Ascending by bytes, as the published code orders reward models (Python's sorted). */
void pllm_name_list_sort(PllmNameList *names);

/* Add the reward models that a line has keys for.  PLLM_INVALID beyond PLLM_MAX_MODELS. */
PllmStatus pllm_dataset_models(const PllmJson *line, PllmNameList *models, PllmError *err);

typedef enum PllmDatasetKind {
  PLLM_DATASET_PROMPTS,      /* the main data set */
  PLLM_DATASET_EVAL,         /* the evaluation set: person_* and test_prompt */
  PLLM_DATASET_INTERACTIONS, /* the interaction database: person_* only */
  PLLM_DATASET_EMBEDDINGS    /* embeddings of prompts and responses, no text */
} PllmDatasetKind;
/* Which file a line comes from, by its keys. */
PllmDatasetKind pllm_dataset_kind(const PllmJson *line);

typedef struct PllmEmbedding {
  const unsigned char *f32; /* [dim] little-endian, NULL when there is none */
  size_t dim;
} PllmEmbedding;

typedef struct PllmResponseLine {
  const char *text, *model; /* NULL where null or missing */
  const double *scores;     /* [models], raw, NaN where null or missing */
  size_t n_scores;          /* how many are known */
  PllmEmbedding embedding;
  int present; /* anything known at all; a response of nothing but nulls is no response */
} PllmResponseLine;

/*
** A parsed line; everything points into its JSON value or into the record's own memory, so it lives until the next
** read or release.  Start from {0}.
*/
typedef struct PllmPromptLine {
  int has_id;                  /* 0 none or null, 1 a number, 2 text */
  int64_t prompt_id;           /* where has_id = 1 */
  const char *id_text;         /* where has_id = 2 */
  const char *prompt, *source; /* NULL where null or missing */
  PllmEmbedding embedding;
  size_t n_responses;
  PllmResponseLine *responses; /* [n_responses], response_1 first */
  int unknown_model;           /* why reading failed: a score of a reward model that is not in the list */
  /* owned memory, reused from line to line */
  size_t response_room, score_room, f32_room;
  double *scores;
  unsigned char *f32;
} PllmPromptLine;
void pllm_prompt_line_release(PllmPromptLine *record);

/*
** Read a line with scores in the order of `models`.  embeddings_only: a line of an embeddings file, where prompt and
** response texts are not required.  PLLM_INVALID names the key: a missing or mistyped one, one given twice, a number
** that is not finite or an id above PLLM_MAX_JSON_ID, a score or model without its response, an unknown reward model.
** O(members + models).
*/
PllmStatus pllm_prompt_line_read(const PllmJson *line, const PllmNameList *models, int embeddings_only,
                                 PllmPromptLine *record, PllmError *err);
/* The same without allocating, for helper threads: 1 when read, 0 when the record is too small or the line is wrong
** (then pllm_prompt_line_read on the calling thread does the work or gives the error). */
int pllm_prompt_line_try(const PllmJson *line, const PllmNameList *models, int embeddings_only,
                         PllmPromptLine *record);

/* ---- scale of the reward models ---- */

/* Mean and population standard deviation (ddof 0), by Welford's recurrence.  Start from {0}. */
typedef struct PllmMoments {
  size_t count;
  double mean, sum2; /* sum2 = sum of (x - mean)^2 */
} PllmMoments;
void pllm_moments_add(PllmMoments *moments, double x);
double pllm_moments_sd(const PllmMoments *moments); /* 0 for an empty one */

/* The published mean and sd of a reward model; 0 when the name is not one of the ten. */
int pllm_published_scale(const char *model, double *mean, double *sd);

/* The scale of a reward model from a JSON text {"NAME": {"mean": m, "sd": s}, ...} parsed before. */
PllmStatus pllm_scale_read(const PllmJson *scales, const char *model, double *mean, double *sd, PllmError *err);

/* ---- one line of the evaluation set or the interaction database (definitions.md#evaluation-set) ---- */

typedef struct PllmTurnLine {
  const char *prompt;
  const char *response_a, *response_b; /* the two shown; reward feedback has one response: response_a */
  const char *chosen;                  /* "a", "b" or NULL */
  int has_reward;
  double reward;
  PllmEmbedding prompt_embedding, a_embedding, b_embedding;
  int present;
} PllmTurnLine;

typedef struct PllmUserEmbedding {
  int64_t interactions; /* the suffix n; 0 without suffix */
  PllmEmbedding winning, losing, difference;
} PllmUserEmbedding;

/* Start from {0}; the same life as PllmPromptLine. */
typedef struct PllmUserLine {
  int has_id;
  int64_t person_id;
  size_t n_weights;
  double *weights; /* [n_weights] in the file's order (sorted reward-model names) */
  int has_length;
  int64_t history_length;
  const char *test_prompt, *best_response, *best_model, *gpt4o_response;
  int has_best_reward, has_gpt4o_reward;
  double best_reward, gpt4o_reward;
  PllmEmbedding test_embedding;
  size_t n_turns;
  PllmTurnLine *turns; /* [n_turns], turn 1 first; those not present are null in the file */
  size_t n_embeddings;
  PllmUserEmbedding *embeddings; /* [n_embeddings], in order of first appearance */
  /* owned memory */
  size_t turn_room, weight_room, embedding_room, f32_room;
  unsigned char *f32;
} PllmUserLine;
void pllm_user_line_release(PllmUserLine *record);
/* Read a line on the calling thread.  PLLM_INVALID names the key. */
PllmStatus pllm_user_line_read(const PllmJson *line, PllmUserLine *record, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
