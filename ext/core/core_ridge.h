/*
** core_ridge.h: ridge regression with an intercept for each group of rows (each prompt), and a penalty for each
** output by cross-validation.
**
** What matters is the ranking within a prompt, so features and targets are centred by group: y - mean(y) is fitted by
** (x - mean(x)) w.  Ridge: minimise sum of squares + penalty |w|^2.  A penalty's score is an estimate of the mean
** square error on new rows, and the smallest score wins:
**   from normal equations, generalised cross-validation (Golub, Heath, Wahba 1979): with n rows in g groups, residual
**     sum of squares RSS and residual degrees of freedom r = (n - g) - tr(hat matrix), (n - g) RSS / r^2.  It errs
**     where r is small (two equal rows are fitted by any penalty), so penalties with r < (n - g)/10 are not
**     considered.
**   from the rows' Gram matrix K, exactly leaving out one group at a time: with G = inv(K + penalty I) and a = G y,
**     the errors on group j when it is left out are inv(G_jj) a_j: K is centred by group, so the other groups' part
**     of it does not know group j.  The score is their sum of squares / (n - g).  With fewer than
**     PLLM_RIDGE_LEAST_GROUPS groups, or one of more than PLLM_RIDGE_MOST_ROWS rows, generalised cross-validation
**     here too.
*/
#ifndef PLLM_CORE_RIDGE_H
#define PLLM_CORE_RIDGE_H

#include "core_spd.h"

#define PLLM_RIDGE_LEAST_GROUPS 5
#define PLLM_RIDGE_MOST_ROWS 256

/* The penalty of each output so far; the path's visitor.  Start from zeros with everything down to yy set. */
typedef struct PllmChoice {
  size_t outputs, n;      /* n: unknowns of the system, x has n rows */
  double freedom;         /* rows less groups */
  const size_t *group_at; /* Gram matrix: [groups + 1] first rows of groups; NULL: normal equations */
  size_t groups;
  const double *b;                     /* [n][outputs] right side */
  const double *yy;                    /* [outputs] sum of squares of the centred targets */
  double *x;                           /* [n][outputs] the best solutions */
  double *lambda, *score, *rss, *left; /* [outputs] penalty, its score, RSS, residual degrees of freedom */
  int visits;
  PllmPanels panels; /* panels.at is NULL unless groups are left out */
  size_t *panel_at;  /* owned */
  double *blocks;    /* owned: the blocks G_jj one after the other, lower triangles */
  double *error;     /* owned scratch: [PLLM_RIDGE_MOST_ROWS][outputs] */
} PllmChoice;

PllmStatus pllm_choice_new(PllmChoice *choice, PllmError *err); /* allocates what is owned, x .. left */
void pllm_choice_free(PllmChoice *choice);
int pllm_choice_visit(void *choice, double lambda, double trace, const double *x);
/* What a path needs of it. */
static inline const PllmPanels *pllm_choice_panels(const PllmChoice *choice) {
  return choice->panels.at ? &choice->panels : NULL;
}

/* What both ways of solving say where there is nothing to learn. */
#define PLLM_NO_GROUP "%zu rows of %zu prompts: no prompt has two rows in a row, so there is nothing to rank"
#define PLLM_ALL_SAME "the features are the same for all rows of a prompt"

/* Penalties on the path: start * PLLM_RIDGE_RATIO^k, k = -PLLM_RIDGE_STEPS .. PLLM_RIDGE_STEPS. */
#define PLLM_RIDGE_RATIO 3.1622776601683795
#define PLLM_RIDGE_STEPS 20

/*
** Rows in, sufficient statistics kept: dim^2 + dim (outputs + a block of rows) numbers, whatever the number of rows.
** Centring is done on the way: the k-th row of a group becomes sqrt((k-1)/k) (row - mean of the k-1 before), and the
** scatter of these is exactly the centred scatter (Helmert, Welford), without cancellation.
*/
typedef struct PllmRidge PllmRidge;
PllmStatus pllm_ridge_new(size_t dim, size_t outputs, PllmRidge **ridge, PllmError *err);
void pllm_ridge_free(PllmRidge *ridge); /* NULL is accepted */
void pllm_ridge_next_group(PllmRidge *ridge);
PllmStatus pllm_ridge_add(PllmRidge *ridge, const double *x, const double *y, const PllmRun *run, PllmError *err);

/* What was learned about each output. */
typedef struct PllmRidgeFit {
  size_t dim, outputs;
  double *weights;   /* [outputs][dim] */
  double *intercept; /* [outputs]: mean(y) - mean(x) w over all rows */
  double *lambda;    /* [outputs], relative: see pllm_ridge_solve */
  double *freedom;   /* [outputs] tr(hat matrix) */
  double *r2, *cv;   /* [outputs] 1 - RSS/yy, and the same by the score: what new prompts will give */
  double objective;  /* mean over outputs of 1 - cv */
  int columns;       /* features were scaled to unit variance */
  int visits;        /* penalties tried */
} PllmRidgeFit;
PllmStatus pllm_ridge_fit_new(size_t dim, size_t outputs, PllmRidgeFit **fit, PllmError *err);
void pllm_ridge_fit_free(PllmRidgeFit *fit); /* NULL is accepted */
/* Fill lambda (relative to unit), freedom, r2, cv, objective and visits from a choice. */
void pllm_ridge_fit_report(PllmRidgeFit *fit, const PllmChoice *choice, double unit);

/*
** Solve.  columns: scale every feature to unit variance within groups first (constant ones get weight 0).  lambda is
** the penalty relative to the mean squared length of a centred (scaled) row; 0 chooses one for each output.
** PLLM_INVALID when no group has two rows.  O(penalties dim^3), 2 dim^2 numbers.
*/
PllmStatus pllm_ridge_solve(PllmRidge *ridge, int columns, double lambda, const PllmRun *run, PllmRidgeFit **fit,
                            PllmError *err);
size_t pllm_ridge_rows(const PllmRidge *ridge);

#endif
