/*
** core_distill.h: what the files of distillation share.
*/
#ifndef PLLM_CORE_DISTILL_H
#define PLLM_CORE_DISTILL_H

#include "core_ridge.h"

/*
** core_distill_form.c: the dense features of a response to a prompt, centred and scaled, within -4..4, into
** out[PLLM_FORM_FEATURES].  Any bytes are accepted; only PLLM_NOMEM can fail.  O(bytes log bytes), thread-safe.
*/
#define PLLM_FORM_FEATURES 177
PllmStatus pllm_form_features(const char *prompt, size_t prompt_bytes, const char *response, size_t bytes,
                              double *out, PllmError *err);

/*
** core_distill_text.c: from text to features.  A text's features are, in this order,
**   form     PLLM_FORM_FEATURES numbers, times pllm_form_scale
**   random   `random` numbers (even): the cosines, then the sines, of random/2 random directions of the form
**   features,
**            over sqrt(random/2): random Fourier features (Rahimi, Recht 2007) of a Gaussian kernel
**   words    `hashed` numbers: signed hashed words and pairs of words, of the whole text, its first and its last
**            PLLM_EDGE tokens, and shapes of words in runs of up to three
** They are a function of the text, the two sizes and the seed.
*/
#define PLLM_EDGE 30
#define PLLM_MAX_RANDOM 8192
#define PLLM_MAX_HASHED 32768

typedef struct PllmTextMap {
  size_t random, hashed;
  uint32_t seed;
  double *direction; /* owned: [PLLM_FORM_FEATURES][random/2], in turns */
} PllmTextMap;
PllmStatus pllm_text_map_init(PllmTextMap *map, size_t random, size_t hashed, uint32_t seed, PllmError *err);
void pllm_text_map_free(PllmTextMap *map);
size_t pllm_text_map_dim(const PllmTextMap *map);

/* A hashed feature: element (hash * hashed) >> 32 of the words. */
typedef struct PllmWord {
  uint32_t hash;
  float value;
} PllmWord;
typedef struct PllmWords {
  PllmWord *words; /* owned */
  size_t count, room;
} PllmWords;

/* Append the hashed features of a response.  O(bytes), only PLLM_NOMEM can fail. */
PllmStatus pllm_text_words(const char *response, size_t bytes, PllmWords *words, PllmError *err);
static inline size_t pllm_word_slot(const PllmWord *word, size_t hashed) {
  return (size_t)((uint64_t)word->hash * hashed >> 32);
}

/* The random features of directions first .. first+count-1 of a row of form features: cosines to cosine[count], sines
** to sine[count], scaled.  O(count PLLM_FORM_FEATURES); the same bits on every CPU. */
void pllm_text_random(const PllmTextMap *map, const double *form, size_t first, size_t count, double *cosine,
                      double *sine);

extern const double pllm_form_scale;

/* All features of a row into x[pllm_text_map_dim(map)]. */
void pllm_text_expand(const PllmTextMap *map, const double *form, const PllmWord *words, size_t count, double *x);

/* core_distill_exact.c: text students from rows that are kept. */
typedef struct PllmTextRows {
  size_t n, outputs, groups, room;
  double *form;  /* [n][PLLM_FORM_FEATURES], scaled by pllm_form_scale only when used */
  double *y;     /* [n][outputs] */
  size_t *first; /* [n+1] where a row's words begin */
  size_t *group; /* [n] */
  PllmWords words;
} PllmTextRows;
PllmStatus pllm_text_rows_add(PllmTextRows *rows, size_t outputs, int new_group, const char *prompt,
                              size_t prompt_bytes, const char *response, size_t bytes, const double *y,
                              PllmError *err);
void pllm_text_rows_free(PllmTextRows *rows);

/*
** Ridge regression on the rows' features, solved through the Gram matrix of the rows (lambda as in pllm_ridge_solve).
** Memory: 2 n^2 numbers; time: O(n^2 dim + penalties n^3).
*/
PllmStatus pllm_text_rows_solve(const PllmTextRows *rows, const PllmTextMap *map, double lambda, const PllmRun *run,
                                PllmRidgeFit **fit, PllmError *err);

#endif
