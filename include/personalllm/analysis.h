/*
** analysis.h: the statistics of the paper's analyses: logistic regression of preferences on features, and the
** distance between distributions of answers.
*/
#ifndef PERSONALLLM_ANALYSIS_H
#define PERSONALLLM_ANALYSIS_H

#include "adapt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Features a logistic regression may have. */
#define PLLM_LOGISTIC_MAX_DIM 2048
/* The smallest penalty above 0: below it nothing would hold separated classes. */
#define PLLM_LOGISTIC_MIN_LAMBDA 1e-9

/* Plain data, nothing to free; make it with pllm_logistic_options. */
typedef struct PllmLogisticOptions {
  int standardize; /* features become (x - mean) / sd, sd over the rows given (divided by their number) */
  int intercept;   /* a constant, never penalised */
  double lambda;   /* penalty lambda/2 |coefficients|^2; sklearn's C is 1/lambda */
  /* What the host asks of a fit; the core only parses them. */
  int separable_null;  /* separable classes give NULL, not an error */
  int report;          /* return the report, not the coefficients */
  PllmVectorType type; /* of feature BLOBs, 0 when not said */
  size_t dim;          /* of feature vectors, 0 when not said */
} PllmLogisticOptions;

/* Parse JSON text (NULL: all defaults) into *options: standardize true, intercept true, lambda 1 (what sklearn's
** StandardScaler and LogisticRegression do by default).  PLLM_INVALID for what pllm_options_parse refuses. */
PllmStatus pllm_logistic_options(const char *text, size_t bytes, PllmLogisticOptions *options, PllmError *err);

/* A fit.  The caller sets the arrays, each [dim]. */
typedef struct PllmLogistic {
  double *coefficients; /* in the units of the fit: per standard deviation where standardised */
  double *weights;      /* in the units of the features: label 1 is the likelier one where */
  double offset;        /*   offset + utility(weights, features) > 0 */
  double intercept;     /* in the units of the fit; 0 without one */
  double *mean, *sd;    /* of each feature over the rows */
  size_t rows, positives;
  size_t dropped; /* features with coefficient 0 because the ones before them determine them (lambda = 0 only) */
  int iterations;
  double log_likelihood; /* of the labels, natural logarithm, without the penalty */
  double accuracy;       /* share of the rows whose likelier label is their own; an exact tie counts half */
} PllmLogistic;

/*
** Maximise  sum over rows of log P(label | features) - lambda/2 |coefficients|^2,  where P(1 | x) = 1 / (1 +
** exp(-(x.c + intercept)))  (PersonalLLM, regressions of preferences on syntactic and semantic features;
** definitions.md#feature-regression).
**
** rows: at least one, of the form PLLM_RATINGS, every rating 0 or 1.  Equal rows give equal bits in any order.
**
** *separated is set, and nothing else, when there is no maximum: lambda = 0 and some direction puts all 0 on one side
** and all 1 on the other (or on the border), or an intercept and all labels equal.  The penalised maximum is unique;
** without a penalty a feature that is constant or a linear combination of those before it (and of the intercept) gets
** 0, and the rest is unique.
**
** PLLM_INVALID for more than PLLM_LOGISTIC_MAX_DIM features, and for weights beyond the range of doubles.  run may be
** NULL; its poll is asked every few milliseconds.  O(iterations (rows dim^2 + dim^3)) time, rows dim memory beside
** the rows.
*/
PllmStatus pllm_logistic_fit(const PllmLogisticOptions *options, const PllmFeedback *rows, PllmLogistic *fit,
                             int *separated, const PllmRun *run, PllmError *err);

/* One point of two distributions on a line. */
typedef struct PllmMassPoint {
  double position; /* finite */
  double p, q;     /* masses, finite and not negative */
} PllmMassPoint;

/*
** The Wasserstein-1 (earth mover's) distance between the distributions with masses p and q: the integral over the
** line of |P(x) - Q(x)|, their cumulative shares (scipy.stats.wasserstein_distance; PersonalLLM and OpinionQA,
** representativeness; definitions.md#opinionqa).  Masses are scaled to sum 1, points may repeat.  Sorts the points,
** so that equal points give equal bits in any order; 0 exactly for equal shares.  *defined = 0, and *out untouched,
** when p or q has no mass.  PLLM_INVALID when masses or distances add up beyond the range of doubles.  O(count log
** count).
*/
PllmStatus pllm_wasserstein(PllmMassPoint *points, size_t count, int *defined, double *out, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
