/*
** core_ridge.c: streaming ridge regression, centred by group (core_ridge.h).
*/
#include "core_ridge.h"

#include "core_blas.h"

#include <math.h>
#include <string.h>

enum { ROWS = 128 }; /* rows gathered before they go into the scatter matrix */

struct PllmRidge {
  size_t dim, outputs;
  size_t rows, groups; /* all rows, groups begun */
  size_t in_group;     /* rows of the present group */
  size_t fill;         /* rows waiting in z and t */
  double *scatter;     /* [dim][dim], lower */
  double *cross;       /* [dim][outputs] */
  double *yy;          /* [outputs] */
  double *sum_x, *sum_y;
  double *mean_x, *mean_y; /* of the present group */
  double *z, *t;           /* [ROWS][dim], [ROWS][outputs] */
};

/* ---- the choice of a penalty ---- */

/* Where the block of a group is. */
static size_t block_at(const PllmChoice *c, size_t group) {
  size_t at = 0;
  for (size_t j = 0; j < group; j++)
    at += (c->group_at[j + 1] - c->group_at[j]) * (c->group_at[j + 1] - c->group_at[j]);
  return at;
}

/* Panels of whole groups; false where groups are not left out. */
static int panel_groups(PllmChoice *c) {
  if (!c->group_at || c->groups < PLLM_RIDGE_LEAST_GROUPS) return 0;
  for (size_t j = 0; j < c->groups; j++)
    if (c->group_at[j + 1] - c->group_at[j] > PLLM_RIDGE_MOST_ROWS) return 0;
  return 1;
}

/* G_jj of the groups of a panel: inner products of columns of inv(l). */
static void see_panel(void *arg, size_t first, size_t count, size_t rows, const double *columns) {
  PllmChoice *c = arg;
  size_t low = 0, high = c->groups, at;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (c->group_at[middle] < first)
      low = middle + 1;
    else
      high = middle;
  }
  at = block_at(c, low);
  for (size_t j = low; j < c->groups && c->group_at[j] < first + count; j++) {
    size_t size = c->group_at[j + 1] - c->group_at[j], column = c->group_at[j] - first;
    memset(c->blocks + at, 0, size * size * sizeof *c->blocks);
    pllm_blas_syrk(1, size, rows, 1, columns + column, count, c->blocks + at, size);
    at += size * size;
  }
}

PllmStatus pllm_choice_new(PllmChoice *c, PllmError *err) {
  c->x = pllm_alloc_zero(c->n * c->outputs, sizeof *c->x);
  c->lambda = pllm_alloc_zero(4 * c->outputs, sizeof *c->lambda);
  if (!c->x || !c->lambda) goto nomem;
  c->score = c->lambda + c->outputs;
  c->rss = c->score + c->outputs;
  c->left = c->rss + c->outputs;
  if (!panel_groups(c)) return PLLM_OK;
  c->panel_at = pllm_alloc(c->groups + 1, sizeof *c->panel_at);
  c->blocks = pllm_alloc(block_at(c, c->groups), sizeof *c->blocks);
  c->error = pllm_alloc(PLLM_RIDGE_MOST_ROWS * c->outputs, sizeof *c->error);
  if (!c->panel_at || !c->blocks || !c->error) goto nomem;
  c->panel_at[0] = 0;
  for (size_t j = 1; j <= c->groups; j++) {
    size_t width = c->group_at[j] - c->panel_at[c->panels.count];
    if (width < PLLM_SPD_PANEL && j < c->groups) continue;
    c->panel_at[++c->panels.count] = c->group_at[j];
    if (width > c->panels.widest) c->panels.widest = width;
  }
  c->panels.at = c->panel_at;
  c->panels.see = see_panel;
  c->panels.arg = c;
  return PLLM_OK;
nomem:
  pllm_choice_free(c);
  return pllm_fail_nomem(err);
}

void pllm_choice_free(PllmChoice *c) {
  pllm_free(c->x);
  pllm_free(c->lambda);
  pllm_free(c->panel_at);
  pllm_free(c->blocks);
  pllm_free(c->error);
  memset(c, 0, sizeof *c);
}

/* Below this share of residual degrees of freedom generalised cross-validation is not to be trusted. */
#define LEAST_LEFT 0.1

/* Sums of squared errors on groups that were left out, into press[outputs]; false where a block is singular. */
static int leave_out(PllmChoice *c, const double *x, double *press) {
  size_t at = 0;
  for (size_t o = 0; o < c->outputs; o++) press[o] = 0;
  for (size_t j = 0; j < c->groups; j++) {
    size_t first = c->group_at[j], size = c->group_at[j + 1] - first;
    double *block = c->blocks + at;
    if (!pllm_blas_cholesky(size, block, size)) return 0;
    memcpy(c->error, x + first * c->outputs, size * c->outputs * sizeof *c->error);
    pllm_spd_solve(block, size, c->error, c->outputs);
    for (size_t i = 0; i < size; i++)
      for (size_t o = 0; o < c->outputs; o++) press[o] += c->error[i * c->outputs + o] * c->error[i * c->outputs + o];
    at += size * size;
  }
  return 1;
}

int pllm_choice_visit(void *arg, double lambda, double trace, const double *x) {
  PllmChoice *c = arg;
  double left = c->group_at ? lambda * trace - (double)c->groups : c->freedom - ((double)c->n - lambda * trace);
  double press[PLLM_MAX_MODELS];
  int first = c->visits++ == 0, better = first;
  if (c->panels.at && !leave_out(c, x, press)) return 0;
  if (!c->panels.at && !first && left < LEAST_LEFT * c->freedom) return 0;
  for (size_t o = 0; o < c->outputs; o++) {
    double fit = 0, size = 0, rss, score;
    for (size_t i = 0; i < c->n; i++) {
      double w = x[i * c->outputs + o];
      fit += w * c->b[i * c->outputs + o];
      size += w * w;
    }
    rss = c->group_at ? lambda * lambda * size : c->yy[o] - fit - lambda * size;
    if (!(rss > 0)) rss = 0;
    score = c->panels.at ? press[o] / c->freedom : c->freedom * rss / (left * left);
    if (!first && !(score < c->score[o])) continue;
    better = 1;
    c->lambda[o] = lambda;
    c->score[o] = score;
    c->rss[o] = rss;
    c->left[o] = left;
    for (size_t i = 0; i < c->n; i++) c->x[i * c->outputs + o] = x[i * c->outputs + o];
  }
  return better;
}

PllmStatus pllm_ridge_fit_new(size_t dim, size_t outputs, PllmRidgeFit **out, PllmError *err) {
  PllmRidgeFit *fit = pllm_alloc_zero(1, sizeof *fit);
  *out = fit;
  if (!fit) return pllm_fail_nomem(err);
  fit->dim = dim;
  fit->outputs = outputs;
  fit->weights = pllm_alloc_zero(outputs * dim, sizeof *fit->weights);
  fit->intercept = pllm_alloc_zero(5 * outputs, sizeof *fit->intercept);
  if (!fit->weights || !fit->intercept) {
    pllm_ridge_fit_free(fit);
    *out = NULL;
    return pllm_fail_nomem(err);
  }
  fit->lambda = fit->intercept + outputs;
  fit->freedom = fit->lambda + outputs;
  fit->r2 = fit->freedom + outputs;
  fit->cv = fit->r2 + outputs;
  return PLLM_OK;
}

void pllm_ridge_fit_free(PllmRidgeFit *fit) {
  if (!fit) return;
  pllm_free(fit->weights);
  pllm_free(fit->intercept);
  pllm_free(fit);
}

void pllm_ridge_fit_report(PllmRidgeFit *fit, const PllmChoice *c, double unit) {
  double sum = 0;
  for (size_t o = 0; o < c->outputs; o++) {
    double yy = c->yy[o];
    fit->lambda[o] = c->lambda[o] / unit;
    fit->freedom[o] = c->freedom - c->left[o];
    fit->r2[o] = yy > 0 ? 1 - c->rss[o] / yy : 0;
    fit->cv[o] = yy > 0 ? 1 - c->score[o] * c->freedom / yy : 0;
    sum += 1 - fit->cv[o];
  }
  fit->objective = sum / (double)c->outputs;
  fit->visits = c->visits;
}

/* ---- rows ---- */

PllmStatus pllm_ridge_new(size_t dim, size_t outputs, PllmRidge **out, PllmError *err) {
  PllmRidge *r = pllm_alloc_zero(1, sizeof *r);
  *out = r;
  if (!r) return pllm_fail_nomem(err);
  r->dim = dim;
  r->outputs = outputs;
  r->scatter = pllm_alloc_aligned(dim * dim, sizeof *r->scatter);
  r->z = pllm_alloc_aligned(ROWS * dim, sizeof *r->z);
  r->cross = pllm_alloc_zero(dim * outputs, sizeof *r->cross);
  r->yy = pllm_alloc_zero((3 + ROWS) * outputs, sizeof *r->yy);
  r->sum_x = pllm_alloc_zero(2 * dim, sizeof *r->sum_x);
  if (!r->scatter || !r->z || !r->cross || !r->yy || !r->sum_x) {
    pllm_ridge_free(r);
    *out = NULL;
    return pllm_fail_nomem(err);
  }
  memset(r->scatter, 0, dim * dim * sizeof *r->scatter);
  r->mean_x = r->sum_x + dim;
  r->sum_y = r->yy + outputs;
  r->mean_y = r->sum_y + outputs;
  r->t = r->mean_y + outputs;
  return PLLM_OK;
}

void pllm_ridge_free(PllmRidge *r) {
  if (!r) return;
  pllm_free_aligned(r->scatter);
  pllm_free_aligned(r->z);
  pllm_free(r->cross);
  pllm_free(r->yy);
  pllm_free(r->sum_x);
  pllm_free(r);
}

void pllm_ridge_next_group(PllmRidge *r) {
  r->in_group = 0;
}

size_t pllm_ridge_rows(const PllmRidge *r) {
  return r->rows;
}

/* The waiting rows into the statistics.  cross and yy in the order of rows: small, and the same bits everywhere. */
static PllmStatus flush(PllmRidge *r, const PllmRun *run, PllmError *err) {
  PllmStatus status = pllm_spd_add_scatter(r->scatter, r->dim, r->z, r->fill, run, err);
  if (status != PLLM_OK) return status;
  for (size_t k = 0; k < r->fill; k++) {
    const double *z = r->z + k * r->dim, *t = r->t + k * r->outputs;
    for (size_t i = 0; i < r->dim; i++)
      for (size_t o = 0; o < r->outputs; o++) r->cross[i * r->outputs + o] += z[i] * t[o];
    for (size_t o = 0; o < r->outputs; o++) r->yy[o] += t[o] * t[o];
  }
  r->fill = 0;
  return PLLM_OK;
}

/* scaled = sqrt((k-1)/k) (row - mean), then row joins the mean. */
static void helmert(const double *row, size_t n, double k, double *mean, double *sum, double *scaled) {
  double scale = sqrt((k - 1) / k);
  for (size_t i = 0; i < n; i++) {
    double off = row[i] - mean[i];
    if (k > 1) scaled[i] = scale * off;
    mean[i] = k > 1 ? mean[i] + off / k : row[i];
    sum[i] += row[i];
  }
}

PllmStatus pllm_ridge_add(PllmRidge *r, const double *x, const double *y, const PllmRun *run, PllmError *err) {
  double k = (double)++r->in_group;
  r->rows++;
  r->groups += r->in_group == 1;
  helmert(x, r->dim, k, r->mean_x, r->sum_x, r->z + r->fill * r->dim);
  helmert(y, r->outputs, k, r->mean_y, r->sum_y, r->t + r->fill * r->outputs);
  if (r->in_group > 1 && ++r->fill == ROWS) return flush(r, run, err);
  return PLLM_OK;
}

/* ---- solving ---- */

/* a = s scatter s, b = s cross; returns the mean squared length of a row, and s. */
static double scaled_system(const PllmRidge *r, int columns, double *s, double *a, double *b) {
  double trace = 0, freedom = (double)(r->rows - r->groups);
  for (size_t i = 0; i < r->dim; i++) {
    double own = r->scatter[i * r->dim + i];
    s[i] = !columns ? 1 : own > 0 ? sqrt(freedom / own) : 0;
  }
  for (size_t i = 0; i < r->dim; i++) {
    for (size_t k = 0; k <= i; k++) a[i * r->dim + k] = s[i] * r->scatter[i * r->dim + k] * s[k];
    for (size_t o = 0; o < r->outputs; o++) b[i * r->outputs + o] = s[i] * r->cross[i * r->outputs + o];
    trace += a[i * r->dim + i];
  }
  return trace / freedom;
}

PllmStatus pllm_ridge_solve(PllmRidge *r, int columns, double lambda, const PllmRun *run, PllmRidgeFit **out,
                            PllmError *err) {
  size_t dim = r->dim;
  PllmChoice choice = {.outputs = r->outputs, .n = dim, .freedom = (double)(r->rows - r->groups), .yy = r->yy};
  double *a = NULL, *b = NULL, *s = NULL, unit;
  PllmRidgeFit *fit = NULL;
  PllmStatus status;
  *out = NULL;
  if (r->rows == r->groups) return pllm_fail(err, PLLM_INVALID, PLLM_NO_GROUP, r->rows, r->groups);
  if (r->fill > 0 && (status = flush(r, run, err)) != PLLM_OK) return status;
  a = pllm_alloc_aligned(dim * dim, sizeof *a);
  b = pllm_alloc(dim * r->outputs, sizeof *b);
  s = pllm_alloc(dim, sizeof *s);
  choice.b = b;
  status = a && b && s ? pllm_choice_new(&choice, err) : pllm_fail_nomem(err);
  if (status == PLLM_OK) status = pllm_ridge_fit_new(dim, r->outputs, &fit, err);
  if (status == PLLM_OK) {
    unit = scaled_system(r, columns, s, a, b);
    if (!(unit > 0))
      status = pllm_fail(err, PLLM_INVALID, PLLM_ALL_SAME);
    else if (!isfinite(unit))
      status = pllm_fail(err, PLLM_INVALID, "the features are too large: their squares overflow");
  }
  if (status == PLLM_OK) {
    PllmPath path = {.a = a,
                     .n = dim,
                     .b = b,
                     .columns = r->outputs,
                     .start = unit * (lambda > 0 ? lambda : 1),
                     .ratio = lambda > 0 ? 0 : PLLM_RIDGE_RATIO,
                     .steps = PLLM_RIDGE_STEPS,
                     .visit = pllm_choice_visit,
                     .arg = &choice};
    status = pllm_spd_path(&path, run, err);
  }
  if (status == PLLM_OK) {
    pllm_ridge_fit_report(fit, &choice, unit);
    fit->columns = columns;
    for (size_t o = 0; o < r->outputs; o++) {
      double mean = 0;
      for (size_t i = 0; i < dim; i++) {
        double w = s[i] * choice.x[i * r->outputs + o];
        fit->weights[o * dim + i] = w;
        mean += w * (r->sum_x[i] / (double)r->rows);
      }
      fit->intercept[o] = r->sum_y[o] / (double)r->rows - mean;
    }
    *out = fit;
    fit = NULL;
  }
  pllm_ridge_fit_free(fit);
  pllm_choice_free(&choice);
  pllm_free_aligned(a);
  pllm_free(b);
  pllm_free(s);
  return status;
}
