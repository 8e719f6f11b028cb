/*
** core_spd.h: symmetric positive definite systems, in pieces short enough to be interrupted.
**
** Matrices are row-major f64, symmetric ones in their lower triangle.  Every function polls run (may be NULL) between
** BLAS calls of at most about a quarter of a gigaflop.
*/
#ifndef PLLM_CORE_SPD_H
#define PLLM_CORE_SPD_H

#include "core_int.h"

/* c[n][n] += z' z for z[rows][n]. */
PllmStatus pllm_spd_add_scatter(double *c, size_t n, const double *z, size_t rows, const PllmRun *run,
                                PllmError *err);

/* k[n][n] += scale * z z' for z[n][columns]. */
PllmStatus pllm_spd_add_gram(double *k, size_t n, const double *z, size_t columns, double scale, const PllmRun *run,
                             PllmError *err);

/* a = l l' in place (blocked, right-looking); PLLM_INVALID when a is not positive definite.  n^3/3 flops. */
PllmStatus pllm_spd_factor(double *a, size_t n, const PllmRun *run, PllmError *err);

/* x[n][columns] becomes inv(l l') x. */
void pllm_spd_solve(const double *l, size_t n, double *x, size_t columns);

/*
** The trace of inv(l l'), from the columns of inv(l), PLLM_SPD_PANEL at a time.  n^3/3 flops.  panels (may be NULL)
** says where panels begin: at[0] = 0 < at[1] < ... < at[count] = n; see is told every panel: its first column, how
** many there are, and columns[n - first][count] of inv(l) from row `first` on (above they are zero).  inv(l l') is
** the matrix of the columns' inner products.  scratch[n][widest panel].
*/
#define PLLM_SPD_PANEL 32
typedef struct PllmPanels {
  const size_t *at;
  size_t count, widest;
  void (*see)(void *arg, size_t first, size_t count, size_t rows, const double *columns);
  void *arg;
} PllmPanels;
PllmStatus pllm_spd_inverse_trace(const double *l, size_t n, const PllmPanels *panels, double *scratch, double *trace,
                                  const PllmRun *run, PllmError *err);

/*
** Ridge regression over a path of penalties, whatever it is written in.  Where a is the scatter of features (n x n)
** or the Gram matrix of rows, for each penalty lambda on the path:  x = inv(a + lambda I) b,  trace = tr inv(a +
** lambda I). visit is told lambda, trace and x[n][columns], and answers whether to go on the same way.  The path
** starts at `start` and goes down by factors of `ratio`, then up from the start, at most `steps` each way; ratio = 0
** visits start only. Needs 2 n^2 numbers: a is kept.  (2/3 n^3 + 2 n^2 columns) flops each.
*/
typedef struct PllmPath {
  const double *a; /* [n][n] */
  size_t n;
  const double *b; /* [n][columns] */
  size_t columns;
  double start, ratio;
  int steps;
  const PllmPanels *panels; /* may be NULL */
  int (*visit)(void *arg, double lambda, double trace, const double *x);
  void *arg;
} PllmPath;
PllmStatus pllm_spd_path(const PllmPath *path, const PllmRun *run, PllmError *err);

#endif
