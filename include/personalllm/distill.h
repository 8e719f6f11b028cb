/*
** distill.h: students: small models that predict what reward models would say, from features or from text alone.
**
** A student is ridge regression with an intercept for each prompt: rewards, less their mean over a prompt's
** responses, are fitted by features, less theirs.  What matters is the ranking within a prompt.  The penalty of each
** reward model is chosen by cross-validation (core_ridge.h): generalised, or, for text students of rows that are
** kept, exactly by leaving out one prompt at a time.  What it predicts is intercept + features . weights, on the
** scale of the rewards it learned from; only differences between responses to one prompt mean something.
**
** Rows of one prompt come one after another; a prompt that comes back later is PLLM_INVALID.  Without prompt ids,
** text students take equal prompts in a row as one, other students take all rows as one prompt.
**
** Exactness.  A fit uses BLAS: its last bits may differ with the CPU and the number of threads that the host gave
** BLAS. Given a student, predictions are the same bits everywhere.
*/
#ifndef PERSONALLLM_DISTILL_H
#define PERSONALLLM_DISTILL_H

#include "model.h"
#include "parallel.h"
#include "vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most features of a student that is learned from streamed rows: its normal equations take 8 dim^2 bytes, twice. */
#define PLLM_MAX_STUDENT 16384
/* A text student keeps this many rows' features at most before it goes over to normal equations. */
#define PLLM_EXACT_ROWS 6144

typedef enum PllmScaling {
  PLLM_SCALING_AUTO,   /* whichever predicts better by cross-validation */
  PLLM_SCALING_NONE,   /* features as they are: embeddings */
  PLLM_SCALING_COLUMNS /* every feature to unit variance within prompts: counts, scores */
} PllmScaling;

typedef struct PllmDistillOptions {
  int text;            /* a text student */
  double lambda;       /* penalty, relative to the mean squared length of a centred row; 0: by cross-validation */
  PllmVectorType type; /* of feature BLOBs, 0 when not said (features) */
  size_t dim;          /* of features, 0 when not said (features) */
  PllmScaling scaling; /* (features) */
  size_t random, hashed, exact_rows; /* sizes (text) */
  uint32_t seed;                     /* of the random features (text) */
  char **outputs, **features;        /* owned: names, NULL when not given */
  size_t n_outputs, n_features;
} PllmDistillOptions;

/*
** Parse JSON text (NULL: all defaults).  PLLM_INVALID for what pllm_options_parse refuses, for names that are no
** array of different texts, for an odd `random`.
**   both       lambda   > 0 (default: by cross-validation)
**              rewards  array of the reward models' names
**   features   type     'f64' | 'f32'; dim; scale 'auto' (default) | 'none' | 'columns';
**              names    array of the features' names
**   text       random   number of random features, even, 0..8192 (8192)
**              hashed   number of hashed features of words, 0..32768 (32768)
**              exact_rows  1..16384 (6144): up to so many rows are fitted exactly; with more, at most 2,048 random
**              and
**                       4,096 hashed features are used, streamed into normal equations
**              seed     of the random features (0)
*/
PllmStatus pllm_distill_options(int text, const char *json, size_t bytes, PllmDistillOptions *options,
                                PllmError *err);
void pllm_distill_options_free(PllmDistillOptions *options);

/*
** Learning.  Takes over *options (and leaves it empty).  Memory: features: 8 dim^2 bytes, and as much again to solve;
** text: up to exact_rows rows about 8 KB each, and 16 rows^2 bytes to solve; after that as features.  One thread at a
** time; run is asked to stop.
*/
typedef struct PllmDistill PllmDistill;
PllmStatus pllm_distill_new(PllmDistillOptions *options, PllmDistill **distill, PllmError *err);
void pllm_distill_free(PllmDistill *distill); /* NULL is accepted */

/* A row.  prompt NULL: no prompt ids, which must then hold for all rows.  f32: the features came as f32. */
PllmStatus pllm_distill_features(PllmDistill *distill, const int64_t *prompt_id, const double *features, size_t dim,
                                 int f32, const double *rewards, size_t outputs, const PllmRun *run, PllmError *err);
PllmStatus pllm_distill_text(PllmDistill *distill, const int64_t *prompt_id, const char *prompt, size_t prompt_bytes,
                             const char *response, size_t bytes, const double *rewards, size_t outputs,
                             const PllmRun *run, PllmError *err);
/* A row that said nothing: only counted. */
void pllm_distill_skip(PllmDistill *distill);
size_t pllm_distill_rows(const PllmDistill *distill);
/* May the next row take more than a few milliseconds, so that run is worth giving? */
int pllm_distill_takes_long(const PllmDistill *distill);

/*
** The student; PLLM_INVALID where no prompt has two rows.  Sections (core_model.c): weights[outputs][dim],
** intercept[outputs], fit[outputs][4] = relative penalty, degrees of freedom, R2 within prompts of the rows, the same
** cross-validated; text students also text[2] = random, hashed.  The objective is the mean over outputs
** of the cross-validated share of variance that is not explained.  rows^2 dim or rows dim^2, + penalties min(rows,
** dim)^3.
*/
PllmStatus pllm_distill_finish(PllmDistill *distill, const PllmRun *run, PllmModel **model, PllmError *err);

/* A student made ready to predict; keeps no reference to the model.  Thread-safe once made. */
typedef struct PllmStudent PllmStudent;
PllmStatus pllm_student_new(const PllmModel *model, PllmStudent **student, PllmError *err);
void pllm_student_free(PllmStudent *student);           /* NULL is accepted */
int pllm_student_text_kind(const PllmStudent *student); /* predicts from text? */
size_t pllm_student_dim(const PllmStudent *student);    /* features */
size_t pllm_student_outputs(const PllmStudent *student);

/* Predicted rewards into out[outputs].  features[dim]; O(dim outputs), and O(bytes) more for text, where only
** PLLM_NOMEM can fail. */
void pllm_student_features(const PllmStudent *student, const double *features, double *out);
PllmStatus pllm_student_text(const PllmStudent *student, const char *prompt, size_t prompt_bytes,
                             const char *response, size_t bytes, double *out, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
