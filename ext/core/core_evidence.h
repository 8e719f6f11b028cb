/*
** core_evidence.h: one user's feedback in the form that estimators of the choice model read.
*/
#ifndef PLLM_CORE_EVIDENCE_H
#define PLLM_CORE_EVIDENCE_H

#include "core_adapt.h"

#define PLLM_NONE ((size_t)-1)

/* Rows first .. first+rows-1 were shown together; best and worst count from first, PLLM_NONE where not said. */
typedef struct PllmSet {
  size_t first, rows, best, worst;
  double weight; /* 1, or less with half_life */
} PllmSet;

/*
** Features are centred by set (what is common to a set says nothing) and scaled so that their root mean square is 1:
** sharpness and penalties have the same meaning for every data set.  `informative` is 0 when nothing tells responses
** apart.  Ratings form one set, with rating[rows] centred and scaled likewise.
*/
typedef struct PllmEvidence {
  size_t dim, rows, sets;
  double scale;             /* x = scale times what was given, but for the centring */
  int informative, ratings; /* ratings: one set, read rating and weight rather than best and worst */
  double *x;                /* [rows][dim] */
  PllmSet *set;             /* [sets] */
  double *rating;           /* [rows], ratings only */
  double *weight;           /* [rows], ratings only */
  size_t *order;            /* [feedback rows], scratch */
} PllmEvidence;

/* Bytes that pllm_evidence_build needs for `count` feedback rows of `dim` features. */
size_t pllm_evidence_bytes(PllmForm form, size_t count, size_t dim);

/* Build in memory[pllm_evidence_bytes]; never allocates.  PLLM_INVALID names a choice set marked twice. */
PllmStatus pllm_evidence_build(const PllmFeedback *feedback, double half_life, void *memory, PllmEvidence *evidence,
                               PllmError *err);

/* core_sum.c: the sum of preferences into weights[dim]. */
void pllm_sum_fit(const PllmEvidence *evidence, double *weights);

#endif
