/*
** core_spd.c: blocked Cholesky and what ridge regression needs of it (core_spd.h).
*/
#include "core_spd.h"

#include "core_blas.h"

#include <string.h>

enum { BLOCK = 96, COLUMNS = 512 };
#define PIECE 1.25e8 /* multiply-adds of one BLAS call: a few hundredths of a second on one slow core */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Rows of a product with `width` multiply-adds a row that make one piece. */
static size_t piece_rows(size_t n, size_t width) {
  double rows = PIECE / (double)(width > 0 ? width : 1);
  return rows >= (double)n ? n : rows < 8 ? 8 : (size_t)rows;
}

/* c[n][n] += alpha op(a) op(a)', lower triangle, a row block at a time. */
static PllmStatus update(double *c, size_t ldc, size_t n, int trans, size_t k, double alpha, const double *a,
                         size_t lda, const PllmRun *run, PllmError *err) {
  for (size_t i = 0, m; i < n; i += m) {
    const double *row = trans ? a + i : a + i * lda;
    PllmStatus status = pllm_poll(run, err);
    if (status != PLLM_OK) return status;
    m = least(n - i, piece_rows(COLUMNS, (i + 1) * k));
    if (i > 0) pllm_blas_gemm(trans, !trans, m, i, k, alpha, row, lda, a, lda, c + i * ldc, ldc);
    pllm_blas_syrk(trans, m, k, alpha, row, lda, c + i * ldc + i, ldc);
  }
  return PLLM_OK;
}

PllmStatus pllm_spd_add_scatter(double *c, size_t n, const double *z, size_t rows, const PllmRun *run,
                                PllmError *err) {
  return update(c, n, n, 1, rows, 1, z, n, run, err);
}

PllmStatus pllm_spd_add_gram(double *k, size_t n, const double *z, size_t columns, double scale, const PllmRun *run,
                             PllmError *err) {
  return update(k, n, n, 0, columns, scale, z, columns, run, err);
}

PllmStatus pllm_spd_factor(double *a, size_t n, const PllmRun *run, PllmError *err) {
  for (size_t j = 0; j < n; j += BLOCK) {
    size_t width = least(BLOCK, n - j), below = n - j - width;
    double *corner = a + j * n + j, *panel = corner + width * n;
    PllmStatus status;
    if (!pllm_blas_cholesky(width, corner, n))
      return pllm_fail(err, PLLM_INVALID,
                       "the normal equations are not positive definite; a larger lambda is needed");
    if (below == 0) break;
    for (size_t i = 0, m; i < below; i += m) {
      if ((status = pllm_poll(run, err)) != PLLM_OK) return status;
      m = least(below - i, piece_rows(below, width * width));
      pllm_blas_trsm(PLLM_SOLVE_RIGHT_TRANS, m, width, corner, n, panel + i * n, n);
    }
    status = update(panel + width, n, below, 0, width, -1, panel, n, run, err);
    if (status != PLLM_OK) return status;
  }
  return PLLM_OK;
}

void pllm_spd_solve(const double *l, size_t n, double *x, size_t columns) {
  pllm_blas_trsm(PLLM_SOLVE_LEFT, n, columns, l, n, x, columns);
  pllm_blas_trsm(PLLM_SOLVE_LEFT_TRANS, n, columns, l, n, x, columns);
}

/* tr inv(l l') is the sum of squares of inv(l). */
PllmStatus pllm_spd_inverse_trace(const double *l, size_t n, const PllmPanels *panels, double *scratch, double *trace,
                                  const PllmRun *run, PllmError *err) {
  double sum = 0;
  size_t panel = 0;
  for (size_t j = 0, width; j < n; j += width, panel++) {
    size_t left = n - j;
    width = panels ? panels->at[panel + 1] - j : least(PLLM_SPD_PANEL, left);
    memset(scratch, 0, left * width * sizeof *scratch);
    for (size_t i = 0; i < width; i++) scratch[i * width + i] = 1;
    for (size_t i = 0, m; i < left; i += m) { /* forward substitution by row blocks */
      const double *rows = l + (j + i) * n + j;
      PllmStatus status = pllm_poll(run, err);
      if (status != PLLM_OK) return status;
      m = least(left - i, least(COLUMNS, piece_rows(left, (i + COLUMNS) * width)));
      if (i > 0) pllm_blas_gemm(0, 0, m, width, i, -1, rows, n, scratch, width, scratch + i * width, width);
      pllm_blas_trsm(PLLM_SOLVE_LEFT, m, width, rows + i, n, scratch + i * width, width);
    }
    for (size_t i = 0; i < left * width; i++) sum += scratch[i] * scratch[i];
    if (panels) panels->see(panels->arg, j, width, left, scratch);
  }
  *trace = sum;
  return PLLM_OK;
}

/* What one walk along the path works in. */
typedef struct Walk {
  const PllmPath *path;
  double *l, *x, *scratch;
} Walk;

/* One penalty: factor a + lambda I in l, solve into x. */
static PllmStatus visit(Walk *walk, double lambda, int *on, const PllmRun *run, PllmError *err) {
  const PllmPath *path = walk->path;
  size_t n = path->n;
  double trace;
  PllmStatus status;
  for (size_t i = 0; i < n; i++) {
    memcpy(walk->l + i * n, path->a + i * n, (i + 1) * sizeof *walk->l);
    walk->l[i * n + i] += lambda;
  }
  if ((status = pllm_spd_factor(walk->l, n, run, err)) != PLLM_OK) return status;
  memcpy(walk->x, path->b, n * path->columns * sizeof *walk->x);
  pllm_spd_solve(walk->l, n, walk->x, path->columns);
  status = pllm_spd_inverse_trace(walk->l, n, path->panels, walk->scratch, &trace, run, err);
  if (status == PLLM_OK) *on = path->visit(path->arg, lambda, trace, walk->x);
  return status;
}

/* From the start on by `factor` while it goes better.  Where a penalty is too small to be solved with, the path
** ends. */
static PllmStatus go(Walk *walk, double factor, const PllmRun *run, PllmError *err) {
  PllmError own = {PLLM_OK, ""};
  double lambda = walk->path->start;
  int on = 1;
  for (int i = 0; i < walk->path->steps && on && own.status == PLLM_OK; i++)
    visit(walk, lambda *= factor, &on, run, &own);
  if (own.status == PLLM_OK || (own.status == PLLM_INVALID && factor < 1)) return PLLM_OK;
  if (err) *err = own;
  return own.status;
}

PllmStatus pllm_spd_path(const PllmPath *path, const PllmRun *run, PllmError *err) {
  size_t n = path->n, widest = path->panels ? path->panels->widest : PLLM_SPD_PANEL;
  Walk walk = {.path = path,
               .l = pllm_alloc_aligned(n * n, sizeof *walk.l),
               .x = pllm_alloc(n * path->columns, sizeof *walk.x),
               .scratch = pllm_alloc(n * widest, sizeof *walk.scratch)};
  int on;
  PllmStatus status = walk.l && walk.x && walk.scratch ? PLLM_OK : pllm_fail_nomem(err);
  if (status == PLLM_OK) status = visit(&walk, path->start, &on, run, err);
  if (status == PLLM_OK && path->ratio > 0) status = go(&walk, 1 / path->ratio, run, err);
  if (status == PLLM_OK && path->ratio > 0) status = go(&walk, path->ratio, run, err);
  pllm_free_aligned(walk.l);
  pllm_free(walk.x);
  pllm_free(walk.scratch);
  return status;
}
