/*
** core_logistic.c: logistic regression by Newton's method.
**
** The search runs on z = (x - centre) / scale, a column for every feature that is kept, and for the constant.
** Columns are centred wherever that changes nothing but the constant's coefficient, and always scaled to a root mean
** square of 1 with the penalty scaled along: conditioning does not depend on the features' units, and 1e300 does not
** overflow.
**
** Classes that a direction separates have no maximum without a penalty, and the search would climb for ever.  It is
** stopped by a certificate: a w with all margins y_i z_i.w above 0, or, when little is left to gain and yet the
** margins still move, a Newton step along which no margin shrinks.  (Near the end of a climb that has a maximum the
** step is tiny; along a separating direction it is about 1 for ever.)
*/
#include "core_math.h"
#include "core_newton.h"

/* Added to the hessian's diagonal, per row, where nothing penalises: of several separating directions some saturate
** long before the others, and rounding would make steps along them of any size. */
#define DAMPING 1e-10

typedef struct Problem {
  size_t rows, n;        /* n: columns, the constant last where there is one */
  const double *z;       /* [rows][n] */
  const double *y;       /* [rows], 0 or 1 */
  const double *penalty; /* [n] */
  const PllmNewton *search;
  const PllmStop *stop;
  int certify; /* nothing penalises: look for a separating direction */
  int separated;
  double gain;           /* what the last step promised */
  double log_likelihood; /* at the last w that was asked for */
} Problem;

PllmStatus pllm_logistic_options(const char *text, size_t bytes, PllmLogisticOptions *options, PllmError *err) {
  PllmLogisticOptions o = {.standardize = 1, .intercept = 1, .lambda = 1};
  int type = 0;
  int64_t dim = 0;
  PllmOption known[] = {
      {.name = "standardize", .kind = PLLM_OPTION_BOOL, .value = &o.standardize},
      {.name = "intercept", .kind = PLLM_OPTION_BOOL, .value = &o.intercept},
      {.name = "lambda", .kind = PLLM_OPTION_NUMBER, .value = &o.lambda, .min = 0, .max = 1e9},
      {.name = "separable", .kind = PLLM_OPTION_CHOICE, .value = &o.separable_null, .choices = "error|null"},
      {.name = "return", .kind = PLLM_OPTION_CHOICE, .value = &o.report, .choices = "coefficients|report"},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_LOGISTIC_MAX_DIM},
  };
  PllmStatus status = text ? pllm_options_parse(text, bytes, known, sizeof known / sizeof *known, err) : PLLM_OK;
  if (status != PLLM_OK) return status;
  if (o.lambda > 0 && o.lambda < PLLM_LOGISTIC_MIN_LAMBDA)
    return pllm_fail(err, PLLM_INVALID, "option \"lambda\" is %g; 0 or a number from %g to 1e9 is required", o.lambda,
                     PLLM_LOGISTIC_MIN_LAMBDA);
  if (known[5].given) o.type = type ? PLLM_F32 : PLLM_F64;
  o.dim = (size_t)dim;
  *options = o;
  return PLLM_OK;
}

/* Sum of log P(label) less the penalty. */
static double objective(void *arg, const double *w, int slopes) {
  Problem *p = arg;
  PllmNewton *s = (PllmNewton *)p->search;
  size_t n = p->n;
  double value = 0, penalty = 0;
  for (size_t j = 0; j < n; j++) penalty += 0.5 * p->penalty[j] * w[j] * w[j];
  if (slopes) {
    memset(s->hessian, 0, n * n * sizeof *s->hessian);
    for (size_t j = 0; j < n; j++) {
      s->gradient[j] = -p->penalty[j] * w[j];
      s->hessian[j * n + j] = p->penalty[j] + (p->certify ? DAMPING * (double)p->rows : 0);
    }
  }
  for (size_t i = 0; i < p->rows && !(i % 64 == 0 && pllm_stopped(p->stop)); i++) {
    const double *z = p->z + i * n;
    double u = pllm_dot(z, w, n), m = p->y[i] > 0 ? u : -u; /* the margin */
    double e = pllm_exp1(-fabs(m)), right = m > 0 ? 1 / (1 + e) : e / (1 + e),
           wrong = m > 0 ? e / (1 + e) : 1 / (1 + e);
    value += (m > 0 ? 0 : m) - pllm_log1(1 + e);
    if (!slopes) continue;
    for (size_t j = 0; j < n; j++) {
      double *row = s->hessian + j * n, h = right * wrong * z[j];
      s->gradient[j] += (p->y[i] > 0 ? wrong : -wrong) * z[j];
      for (size_t k = 0; k <= j; k++) row[k] += h * z[k];
    }
  }
  p->log_likelihood = value;
  return value - penalty;
}

/* The smallest and the largest margin that a direction gives the rows. */
static void margins(const Problem *p, const double *w, double *least, double *most) {
  *least = HUGE_VAL;
  *most = -HUGE_VAL;
  for (size_t i = 0; i < p->rows; i++) {
    double u = pllm_dot(p->z + i * p->n, w, p->n), m = p->y[i] > 0 ? u : -u;
    if (m < *least) *least = m;
    if (m > *most) *most = m;
  }
}

static int check(void *arg, double gain) {
  Problem *p = arg;
  double least, most;
  p->gain = gain;
  if (!p->certify) return 0;
  margins(p, p->search->w, &least, &most);
  p->separated = least > 0;
  if (!p->separated && gain < 1e-7) {
    margins(p, p->search->step, &least, &most);
    p->separated = most > 0.1 && least > -1e-5 * most;
  }
  return p->separated;
}

/* One number for every feature, and the columns that are kept. */
typedef struct Columns {
  int *exponent;          /* features are read as x * 2^-exponent */
  double *centre, *scale; /* of that */
  size_t *kept;           /* feature of each column */
  size_t n;               /* columns, without the constant */
} Columns;

/* Mean and standard deviation of every feature, and from them the columns.  The sums run over rows in canonical
** order, from the first row's value: exact where all are equal. */
static void read_columns(const PllmFeedback *f, const size_t *order, int centred, Columns *c, PllmLogistic *fit) {
  size_t count = f->end - f->first;
  for (size_t b = 0; b < f->dim; b++) {
    double largest = 0, mean = 0, square = 0, first;
    int e = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(f->numbers[order[i] * f->width + b]));
    if (largest > 0) (void)frexp(largest, &e);
    first = ldexp(f->numbers[order[0] * f->width + b], -e);
    for (size_t i = 0; i < count; i++) mean += ldexp(f->numbers[order[i] * f->width + b], -e) - first;
    mean = first + mean / (double)count;
    for (size_t i = 0; i < count; i++) {
      double d = ldexp(f->numbers[order[i] * f->width + b], -e) - mean;
      square += d * d;
    }
    square /= (double)count;
    fit->mean[b] = ldexp(mean, e);
    fit->sd[b] = ldexp(sqrt(square), e);
    c->exponent[b] = e;
    c->centre[b] = centred ? mean : 0;
    c->scale[b] = sqrt(centred ? square : square + mean * mean);
    if (!(c->scale[b] > 0)) c->scale[b] = 1; /* all 0: the column stays 0 */
  }
}

/* Where nothing is penalised, leave out each feature that those before it determine (their residual is rounding). */
static size_t drop(const double *z, size_t rows, size_t n, double *gram, size_t *kept) {
  size_t m = 0;
  for (size_t j = 0; j < n; j++) {
    double *row = gram + m * n, left = 0;
    for (size_t i = 0; i < rows; i++) left += z[i * n + j] * z[i * n + j];
    for (size_t k = 0; k < m; k++) {
      double sum = 0;
      for (size_t i = 0; i < rows; i++) sum += z[i * n + j] * z[i * n + kept[k]];
      row[k] = (sum - pllm_dot(row, gram + k * n, k)) / gram[k * n + k];
      left -= row[k] * row[k];
    }
    if (!(left > 1e-10 * (double)rows)) continue; /* columns have mean square 1, or are 0 */
    row[m] = sqrt(left);
    kept[m++] = j;
  }
  return m;
}

static void measure(const Problem *p, const double *w, PllmLogistic *fit) {
  double hits = 0;
  for (size_t i = 0; i < p->rows; i++) {
    double u = pllm_dot(p->z + i * p->n, w, p->n);
    hits += u == 0 ? 0.5 : (u > 0) == (p->y[i] > 0);
  }
  fit->accuracy = hits / (double)p->rows;
  fit->log_likelihood = p->log_likelihood;
}

/* From coefficients of z to those of x. */
static PllmStatus translate(const PllmLogisticOptions *o, const Columns *c, size_t dim, const double *w,
                            PllmLogistic *fit, PllmError *err) {
  memset(fit->coefficients, 0, dim * sizeof(double));
  memset(fit->weights, 0, dim * sizeof(double));
  fit->intercept = fit->offset = o->intercept ? w[c->n] : 0;
  for (size_t k = 0; k < c->n; k++) {
    size_t b = c->kept[k];
    fit->weights[b] = ldexp(w[k] / c->scale[b], -c->exponent[b]);
    fit->coefficients[b] = o->standardize ? w[k] : fit->weights[b];
    fit->offset -= w[k] / c->scale[b] * c->centre[b];
    if (fit->weights[b] - fit->weights[b] != 0)
      return pllm_fail(err, PLLM_INVALID, "feature %zu is so small that its weight is beyond the range of numbers",
                       b + 1);
  }
  if (!o->standardize) fit->intercept = fit->offset;
  return PLLM_OK;
}

/* Everything a fit needs beside the rows, in three allocations. */
typedef struct Memory {
  double *numbers, *z, *y, *penalty, *gram;
  size_t *order;
  int *exponent;
} Memory;

static PllmStatus reserve(size_t rows, size_t dim, Memory *m, Columns *c, PllmNewton *search, PllmError *err) {
  size_t room = dim + 1; /* and the constant */
  if (rows <= (SIZE_MAX / 16 - 2 * room * room) / (room + 10))
    m->numbers = pllm_alloc(rows * (room + 1) + 7 * room + 2 * room * room, sizeof *m->numbers);
  m->order = pllm_alloc(rows + dim, sizeof *m->order);
  m->exponent = pllm_alloc(dim, sizeof *m->exponent);
  if (!m->numbers || !m->order || !m->exponent) return pllm_fail_nomem(err);
  m->z = m->numbers;
  m->y = m->z + rows * room;
  m->penalty = m->y + rows;
  c->centre = m->penalty + room;
  c->scale = c->centre + room;
  search->w = c->scale + room;
  search->next = search->w + room;
  search->gradient = search->next + room;
  search->step = search->gradient + room;
  search->hessian = search->step + room;
  m->gram = search->hessian + room * room;
  c->exponent = m->exponent;
  c->kept = m->order + rows;
  return PLLM_OK;
}

static void release(Memory *m) {
  pllm_free(m->numbers);
  pllm_free(m->order);
  pllm_free(m->exponent);
}

/* The columns of z, with the constant last, and their penalties. */
static void design(const PllmLogisticOptions *o, const PllmFeedback *f, const Memory *m, Columns *c, Problem *p) {
  size_t dim = f->dim;
  double *z = m->z;
  for (size_t i = 0; i < p->rows; i++)
    for (size_t b = 0; b < dim; b++) {
      double x = ldexp(f->numbers[m->order[i] * f->width + b], -c->exponent[b]);
      z[i * dim + b] = (x - c->centre[b]) / c->scale[b];
    }
  c->n = dim;
  for (size_t b = 0; b < dim; b++) c->kept[b] = b;
  if (o->lambda == 0) c->n = drop(z, p->rows, dim, m->gram, c->kept);
  p->n = c->n + (o->intercept != 0);
  /* rows grow or shrink in place: from the end where they grow */
  for (size_t at = 0; at < p->rows; at++) {
    size_t i = p->n > dim ? p->rows - 1 - at : at;
    double *from = z + i * dim, *to = z + i * p->n;
    if (p->n > dim)
      memmove(to, from, dim * sizeof *to);
    else
      for (size_t k = 0; k < c->n; k++) to[k] = from[c->kept[k]];
    if (o->intercept) to[c->n] = 1;
  }
  for (size_t k = 0; k < c->n; k++) {
    double s = c->scale[c->kept[k]];
    m->penalty[k] =
        o->standardize ? o->lambda : fmin(ldexp(o->lambda / (s * s), -2 * c->exponent[c->kept[k]]), 1e280);
  }
  m->penalty[c->n] = 0;
}

PllmStatus pllm_logistic_fit(const PllmLogisticOptions *o, const PllmFeedback *f, PllmLogistic *fit, int *separated,
                             const PllmRun *run, PllmError *err) {
  atomic_int flag;
  PllmStop stop = {&flag, run};
  PllmNewton search = {.objective = objective, .check = check, .stop = &stop};
  Problem p = {.rows = f->end - f->first, .search = &search, .stop = &stop, .certify = o->lambda == 0};
  Columns c = {0};
  Memory m = {0};
  PllmStatus status;
  atomic_init(&flag, 0);
  if (f->dim > PLLM_LOGISTIC_MAX_DIM)
    return pllm_fail(err, PLLM_INVALID, "%zu features; at most %d are fitted", f->dim, PLLM_LOGISTIC_MAX_DIM);
  status = reserve(p.rows, f->dim, &m, &c, &search, err);
  if (status != PLLM_OK) goto done;
  pllm_feedback_order(f, m.order);
  fit->rows = p.rows;
  fit->positives = 0;
  for (size_t i = 0; i < p.rows; i++) {
    m.y[i] = f->rows[m.order[i]].rating;
    fit->positives += m.y[i] > 0;
  }
  *separated = o->intercept && (fit->positives == 0 || fit->positives == p.rows);
  if (*separated) goto done;
  read_columns(f, m.order, o->standardize || o->intercept, &c, fit);
  design(o, f, &m, &c, &p);
  p.z = m.z;
  p.y = m.y;
  p.penalty = m.penalty;
  search.n = p.n;
  search.arg = &p;
  pllm_newton(&search);
  /* out of steps, or stuck with something left to gain: rounding hides what separates */
  *separated = p.separated || !search.ended || (p.certify && p.gain > 1e-9);
  if (!*separated) {
    objective(&p, search.w, 0);
    measure(&p, search.w, fit);
    fit->iterations = search.steps;
    fit->dropped = f->dim - c.n;
    status = translate(o, &c, f->dim, search.w, fit, err);
  }
  if (atomic_load_explicit(&flag, memory_order_relaxed)) status = pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
done:
  release(&m);
  return status;
}
