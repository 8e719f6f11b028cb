/*
** core_fit.h: maximum a posteriori weights under a Gaussian prior, for every convex likelihood of the choice model.
*/
#ifndef PLLM_CORE_FIT_H
#define PLLM_CORE_FIT_H

#include "core_evidence.h"

typedef enum PllmTerms {
  PLLM_TERMS_GIVEN,   /* Bradley-Terry: best over worst (where only one is marked: over, or under, all others) */
  PLLM_TERMS_IMPLIED, /* Bradley-Terry: best over all others, all others over worst; all ordered pairs of ratings */
  PLLM_TERMS_SET      /* best and worst of the whole set (maxdiff); ratings: least squares */
} PllmTerms;

/* A fit in `rank` coordinates: the features themselves, or, when they have more dimensions than there are rows, an
** orthonormal basis of the rows' span, where the maximum must lie. */
typedef struct PllmFit {
  const PllmEvidence *evidence;
  const PllmStop *stop;
  size_t rank;
  int reduced;
  const double *z;                           /* [rows][rank] */
  double *span;                              /* z's memory when reduced */
  size_t *pivot;                             /* [rank] rows that span the rest */
  double *w, *next, *gradient, *step, *mean; /* [rank] */
  double *hessian;                           /* [rank][rank] */
  double *u, *p;                             /* [rows] */
  PllmTerms terms;                           /* of the solve that is under way */
  double lambda;
  const double *offset;                      /* [rows] added to the utilities: a prior mean's; NULL for none */
} PllmFit;

/* Enough for that many rows and for fewer. */
size_t pllm_fit_bytes(size_t rows, size_t dim);
void pllm_fit_init(PllmFit *fit, const PllmEvidence *evidence, void *memory, const PllmStop *stop);

/*
** Maximise sum of terms - lambda/2 |w|^2 by damped Newton steps (lambda > 0: strictly concave, one maximum) from 0.
** Returns the Laplace approximation of the log evidence of lambda; nothing of use when stop says so.  O(iterations
** (rows rank^2 + rank^3)); never allocates.
*/
double pllm_fit_solve(PllmFit *fit, PllmTerms terms, double lambda);

/* Add scale * the solution, in the features' space, to out[dim]. */
void pllm_fit_add(const PllmFit *fit, double scale, double *out);

#endif
