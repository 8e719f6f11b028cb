/*
** core_adapt.c: the options of adaptation, and the closed-form estimators.
**
**   sum      w = sum over preferences of chosen - rejected (facts 7.5, the Hebbian direction; facts 4.1 up to scale),
**            scaled to sum |w_b| = 1, or 0 when nothing was said.  A choice set says best - mean of the others and
**            mean of the others - worst, or best - worst when both are marked; ratings say sum (rating - mean)
*features.
**   uniform  1/dim each.
*/
#include "core_adapt.h"

#include <math.h>
#include <string.h>

#define ALL_FORMS (1u << PLLM_PAIRS | 1u << PLLM_CHOICES | 1u << PLLM_RATINGS)
#define ALL_METHODS (1u << PLLM_METHOD_SUM | 1u << PLLM_METHOD_UNIFORM)

static const PllmAdaptMethod methods[] = {
    {"sum", PLLM_METHOD_SUM, ALL_FORMS, "rewards, embeddings", "sum of chosen minus rejected features"},
    {"uniform", PLLM_METHOD_UNIFORM, ALL_FORMS, "rewards", "the same weight for all: no personalisation"},
};

static const PllmAdaptOption known[] = {
    {"method", ALL_METHODS, ALL_FORMS, "sum | uniform", "\"sum\""},
    {"type", ALL_METHODS, ALL_FORMS, "f64 | f32: what feature BLOBs are", "null"},
    {"dim", ALL_METHODS, ALL_FORMS, "a whole number from 1 to 65536: the length of features", "null"},
    {"half_life", 1u << PLLM_METHOD_SUM, ALL_FORMS,
     "a number above 0: choice sets (pairs, ratings: rows) after which feedback counts half", "null"},
};

size_t pllm_adapt_methods(const PllmAdaptMethod **list) {
  *list = methods;
  return sizeof methods / sizeof *methods;
}

size_t pllm_adapt_known_options(const PllmAdaptOption **list) {
  *list = known;
  return sizeof known / sizeof *known;
}

PllmStatus pllm_adapt_options(PllmForm form, const char *text, size_t bytes, PllmAdaptOptions *options,
                              PllmError *err) {
  int method = PLLM_METHOD_SUM, type = 0;
  int64_t dim = 0;
  double half_life = 0;
  PllmOption given[] = {
      {.name = "method", .kind = PLLM_OPTION_CHOICE, .value = &method, .choices = "sum|uniform"},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_MAX_DIM},
      {.name = "half_life", .kind = PLLM_OPTION_NUMBER, .value = &half_life, .min = 1e-3, .max = 1e9},
  };
  PllmStatus status = text ? pllm_options_parse(text, bytes, given, sizeof given / sizeof *given, err) : PLLM_OK;
  if (status != PLLM_OK) return status;
  *options =
      (PllmAdaptOptions){.form = form, .method = (PllmMethod)method, .dim = (size_t)dim, .half_life = half_life};
  if (given[1].given) options->type = type ? PLLM_F32 : PLLM_F64;
  return PLLM_OK;
}

/* The factor that brings the largest feature into [0.5, 1): exact, so no scale overflows and none is lost. */
static int exponent(const PllmFeedback *f) {
  double largest = 0;
  int e = 0;
  for (size_t i = f->first * f->width; i < f->end * f->width; i++) largest = fmax(largest, fabs(f->numbers[i]));
  if (largest > 0) (void)frexp(largest, &e);
  return e;
}

static void accumulate(double *w, double weight, const double *x, size_t dim, int e) {
  for (size_t b = 0; b < dim; b++) w[b] += weight * ldexp(x[b], -e);
}

static double age_weight(double age, double half_life) {
  return half_life > 0 ? exp2(-age / half_life) : 1;
}

static PllmStatus sum_choices(const PllmFeedback *f, double half_life, const size_t *order, int e, double *w,
                              PllmError *err) {
  size_t count = f->end - f->first, sets = 0, rank = 0, end;
  for (size_t i = 0; i < count; i++)
    sets += i == 0 || f->rows[order[i]].choice_set != f->rows[order[i - 1]].choice_set;
  for (size_t i = 0; i < count; i = end, rank++) {
    size_t best = 0, worst = 0, others;
    double weight = age_weight((double)(sets - 1 - rank), half_life);
    for (end = i; end < count && f->rows[order[end]].choice_set == f->rows[order[i]].choice_set; end++) {
      best += f->rows[order[end]].label == PLLM_BEST;
      worst += f->rows[order[end]].label == PLLM_WORST;
    }
    if (best > 1 || worst > 1)
      return pllm_fail(err, PLLM_INVALID, "choice_set %lld has %zu rows marked '%s'; at most one is accepted",
                       (long long)f->rows[order[i]].choice_set, best > 1 ? best : worst, best > 1 ? "best" : "worst");
    others = end - i - 1;
    if (others == 0) continue;
    for (size_t r = i; r < end; r++) {
      const double *x = f->numbers + order[r] * f->width;
      PllmLabel label = (PllmLabel)f->rows[order[r]].label;
      double sign = 0;
      if (best && worst)
        sign = label == PLLM_BEST ? 1 : label == PLLM_WORST ? -1 : 0;
      else if (best)
        sign = label == PLLM_BEST ? 1 : -1.0 / (double)others;
      else if (worst)
        sign = label == PLLM_WORST ? -1 : 1.0 / (double)others;
      if (sign != 0) accumulate(w, weight * sign, x, f->dim, e);
    }
  }
  return PLLM_OK;
}

/* order[count] is scratch. */
static PllmStatus estimate(const PllmAdaptOptions *o, const PllmFeedback *f, size_t *order, double *w,
                           PllmError *err) {
  size_t count = f->end - f->first, dim = f->dim;
  int e = exponent(f);
  double total = 0, mean = 0, half_life = o->half_life;
  PllmStatus status = PLLM_OK;
  memset(w, 0, dim * sizeof *w);
  pllm_feedback_order(f, order);
  if (o->half_life > 0 && f->form != PLLM_CHOICES)
    for (size_t i = 0; i < count; i++) order[i] = f->first + i;
  if (f->form == PLLM_CHOICES) {
    status = sum_choices(f, half_life, order, e, w, err);
  } else {
    size_t rated = 0;
    for (size_t i = 0; i < count; i++) {
      rated += f->rows[order[i]].label == PLLM_BEST;
      mean += f->rows[order[i]].rating;
    }
    if (rated) mean /= (double)rated;
    for (size_t i = 0; i < count; i++) {
      const double *x = f->numbers + order[i] * f->width;
      double weight = age_weight((double)(f->end - 1 - order[i]), half_life);
      if (f->form == PLLM_PAIRS) {
        accumulate(w, weight, x, dim, e);
        accumulate(w, -weight, x + dim, dim, e);
      } else if (f->rows[order[i]].label == PLLM_BEST) {
        accumulate(w, weight * (f->rows[order[i]].rating - mean), x, dim, e);
      }
    }
  }
  if (status != PLLM_OK) return status;
  if (o->method == PLLM_METHOD_UNIFORM) {
    for (size_t b = 0; b < dim; b++) w[b] = 1 / (double)dim;
    return PLLM_OK;
  }
  for (size_t b = 0; b < dim; b++) total += fabs(w[b]);
  for (size_t b = 0; total > 0 && b < dim; b++) w[b] /= total;
  return PLLM_OK;
}

PllmStatus pllm_adapt(const PllmAdaptOptions *options, const PllmFeedback *feedback, double *weights,
                      PllmError *err) {
  size_t *order = pllm_alloc(pllm_feedback_count(feedback), sizeof *order);
  PllmStatus status = order ? estimate(options, feedback, order, weights, err) : pllm_fail_nomem(err);
  pllm_free(order);
  return status;
}

typedef struct Batch {
  const PllmAdaptOptions *options;
  PllmFeedback *const *feedback;
  size_t dim, rows; /* most rows of one user */
  double *weights;
  size_t *order;      /* [threads][rows] */
  unsigned char *bad; /* [users] */
} Batch;

static void batch_body(void *arg, size_t begin, size_t end, int worker) {
  Batch *b = arg;
  for (size_t i = begin; i < end; i++) {
    if (pllm_feedback_count(b->feedback[i]) == 0) continue;
    b->bad[i] = estimate(b->options, b->feedback[i], b->order + (size_t)worker * b->rows, b->weights + i * b->dim,
                         NULL) != PLLM_OK;
  }
}

PllmStatus pllm_adapt_batch(const PllmAdaptOptions *options, PllmFeedback *const *feedback, size_t users, size_t dim,
                            double *weights, size_t *failed, const PllmRun *run, PllmError *err) {
  Batch b = {.options = options, .feedback = feedback, .dim = dim, .weights = weights};
  PllmStatus status;
  for (size_t i = 0; i < users; i++)
    if (pllm_feedback_count(feedback[i]) > b.rows) b.rows = pllm_feedback_count(feedback[i]);
  b.order = pllm_alloc((size_t)pllm_run_threads(run) * b.rows, sizeof *b.order);
  b.bad = pllm_alloc_zero(users, 1);
  status = b.order && b.bad ? pllm_parallel(run, users, 16, batch_body, &b, err) : pllm_fail_nomem(err);
  for (size_t i = 0; status == PLLM_OK && i < users; i++) {
    if (!b.bad[i]) continue;
    *failed = i;
    status = pllm_adapt(options, feedback[i], weights + i * dim, err); /* again, for the message */
  }
  pllm_free(b.order);
  pllm_free(b.bad);
  return status;
}
