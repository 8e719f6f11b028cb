/*
** core_adapt.c: the options of adaptation, the choice of estimator, one user or many.
*/
#include "core_fit.h"
#include "core_math.h"
#include "core_posterior.h"

#include <string.h>

#define ALL_FORMS (1u << PLLM_PAIRS | 1u << PLLM_CHOICES | 1u << PLLM_RATINGS)
#define POSTERIOR (1u << PLLM_METHOD_POSTERIOR)
#define BRADLEY_TERRY (1u << PLLM_METHOD_BRADLEY_TERRY)
#define SUM (1u << PLLM_METHOD_SUM)
#define UNIFORM (1u << PLLM_METHOD_UNIFORM)

/* In the order of PllmMethod. */
static const PllmAdaptMethod methods[] = {
    {"posterior", PLLM_METHOD_POSTERIOR, ALL_FORMS, "rewards, embeddings",
     "posterior mean given all that was shown; the sharpness of choice is inferred"},
    {"bradley_terry", PLLM_METHOD_BRADLEY_TERRY, ALL_FORMS, "rewards, embeddings",
     "L2-regularised Bradley-Terry on pairs"},
    {"sum", PLLM_METHOD_SUM, ALL_FORMS, "rewards, embeddings", "sum of chosen minus rejected features"},
    {"uniform", PLLM_METHOD_UNIFORM, ALL_FORMS, "rewards", "the same weight for all: no personalisation"},
};
#define METHOD_CHOICES "posterior|bradley_terry|sum|uniform"

static const PllmAdaptOption known[] = {
    {"method", POSTERIOR | BRADLEY_TERRY | SUM | UNIFORM, ALL_FORMS, "posterior | bradley_terry | sum | uniform",
     "\"posterior\""},
    {"type", POSTERIOR | BRADLEY_TERRY | SUM | UNIFORM, ALL_FORMS, "f64 | f32: what feature BLOBs are", "null"},
    {"dim", POSTERIOR | BRADLEY_TERRY | SUM | UNIFORM, ALL_FORMS,
     "a whole number from 1 to 65536: the length of features", "null"},
    {"half_life", POSTERIOR | BRADLEY_TERRY | SUM, ALL_FORMS,
     "a number above 0: choice sets (pairs, ratings: rows) after which feedback counts half", "null"},
    {"prior", POSTERIOR, ALL_FORMS, "dirichlet | gaussian; null: gaussian for f32 features, else dirichlet", "null"},
    {"alpha", POSTERIOR, ALL_FORMS, "a number from 0.001 to 1000: of the Dirichlet prior; null: a mixture", "null"},
    {"sharpness", POSTERIOR, ALL_FORMS, "a number from 0.001 to 1e9; null: inferred", "null"},
    {"seed", POSTERIOR, ALL_FORMS, "a whole number from 0 to 4294967295: of the sampler", "0"},
    {"lambda", BRADLEY_TERRY, ALL_FORMS, "a number from 1e-6 to 1e9: the L2 penalty", "1"},
    {"pairs", BRADLEY_TERRY, 1u << PLLM_CHOICES, "given | implied: best over worst, or all pairs a set implies",
     "\"given\""},
};
enum { N_KNOWN = sizeof known / sizeof *known };

size_t pllm_adapt_methods(const PllmAdaptMethod **list) {
  *list = methods;
  return sizeof methods / sizeof *methods;
}

size_t pllm_adapt_known_options(const PllmAdaptOption **list) {
  *list = known;
  return N_KNOWN;
}

static const char *form_name(PllmForm form) {
  return form == PLLM_PAIRS ? "pairs" : form == PLLM_CHOICES ? "choice sets" : "ratings";
}

PllmStatus pllm_adapt_options(PllmForm form, const char *text, size_t bytes, PllmAdaptOptions *options,
                              PllmError *err) {
  PllmAdaptOptions o = {.form = form, .method = PLLM_METHOD_POSTERIOR, .lambda = 1};
  int method = PLLM_METHOD_POSTERIOR, type = 0, prior = 0, pairs = 0;
  int64_t dim = 0, seed = 0;
  PllmOption given[N_KNOWN] = {
      {.name = "method", .kind = PLLM_OPTION_CHOICE, .value = &method, .choices = METHOD_CHOICES},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_MAX_DIM},
      {.name = "half_life", .kind = PLLM_OPTION_NUMBER, .value = &o.half_life, .min = 1e-3, .max = 1e9},
      {.name = "prior", .kind = PLLM_OPTION_CHOICE, .value = &prior, .choices = "dirichlet|gaussian"},
      {.name = "alpha", .kind = PLLM_OPTION_NUMBER, .value = &o.alpha, .min = 1e-3, .max = 1e3},
      {.name = "sharpness", .kind = PLLM_OPTION_NUMBER, .value = &o.sharpness, .min = 1e-3, .max = 1e9},
      {.name = "seed", .kind = PLLM_OPTION_INTEGER, .value = &seed, .min = 0, .max = UINT32_MAX},
      {.name = "lambda", .kind = PLLM_OPTION_NUMBER, .value = &o.lambda, .min = 1e-6, .max = 1e9},
      {.name = "pairs", .kind = PLLM_OPTION_CHOICE, .value = &pairs, .choices = "given|implied"},
  };
  PllmStatus status = text ? pllm_options_parse(text, bytes, given, N_KNOWN, err) : PLLM_OK;
  if (status != PLLM_OK) return status;
  for (size_t i = 0; i < N_KNOWN; i++) { /* given[] and known[] are in one order */
    if (!given[i].given) continue;
    if (!(known[i].methods & 1u << method))
      return pllm_fail(err, PLLM_INVALID, "option \"%s\" does not go with method \"%s\"", known[i].name,
                       methods[method].name);
    if (!(known[i].forms & 1u << form))
      return pllm_fail(err, PLLM_INVALID, "option \"%s\" does not go with %s", known[i].name, form_name(form));
  }
  o.method = (PllmMethod)method;
  o.dim = (size_t)dim;
  o.seed = (uint32_t)seed;
  o.implied = pairs;
  if (given[1].given) o.type = type ? PLLM_F32 : PLLM_F64;
  if (given[4].given) o.prior = prior ? PLLM_PRIOR_GAUSSIAN : PLLM_PRIOR_DIRICHLET;
  if (o.alpha > 0 && o.prior == PLLM_PRIOR_GAUSSIAN)
    return pllm_fail(err, PLLM_INVALID, "option \"alpha\" goes with the dirichlet prior only");
  if (o.alpha > 0) o.prior = PLLM_PRIOR_DIRICHLET;
  *options = o;
  return PLLM_OK;
}

/* ---- one user ---- */

struct PllmAdapter {
  PllmParticles *particles; /* owned; of the settings last used */
  void *memory;             /* owned scratch: threads pieces of `bytes` */
  size_t bytes, threads;
};

PllmAdapter *pllm_adapter_new(void) {
  return pllm_alloc_zero(1, sizeof(PllmAdapter));
}

void pllm_adapter_free(PllmAdapter *a) {
  if (!a) return;
  pllm_particles_free(a->particles);
  pllm_free_aligned(a->memory);
  pllm_free(a);
}

static int is_gaussian(const PllmAdaptOptions *o, const PllmFeedback *f) {
  if (o->prior == PLLM_PRIOR_AUTO) return f->f32_rows > 0 || f->dim > PLLM_MAX_MODELS;
  return o->prior == PLLM_PRIOR_GAUSSIAN;
}

static size_t round_up(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

/* Particles for the options, and scratch for `threads` threads that estimate from up to `count` rows. */
static PllmStatus prepare(PllmAdapter *a, const PllmAdaptOptions *o, const PllmFeedback *f, size_t count, int threads,
                          PllmError *err) {
  size_t rows = o->form == PLLM_PAIRS ? 2 * count : count, bytes = 0, dim = f->dim;
  if (o->method == PLLM_METHOD_POSTERIOR && !is_gaussian(o, f)) {
    PllmParticles *p = a->particles;
    if (dim > PLLM_MAX_MODELS)
      return pllm_fail(err, PLLM_INVALID, "%zu features; the dirichlet prior is for at most %d reward models", dim,
                       PLLM_MAX_MODELS);
    if (!p || p->dim != dim || p->alpha != o->alpha || p->sharpness != o->sharpness || p->seed != o->seed) {
      pllm_particles_free(p);
      a->particles = NULL;
      if (pllm_particles_new(dim, o->alpha, o->sharpness, o->seed, &a->particles, err) != PLLM_OK) return err->status;
    }
    bytes = pllm_posterior_bytes(dim, rows);
  } else if (o->method == PLLM_METHOD_POSTERIOR || o->method == PLLM_METHOD_BRADLEY_TERRY) {
    bytes = pllm_fit_bytes(rows, dim);
  }
  bytes = round_up(bytes) + round_up(pllm_evidence_bytes(o->form, count, dim));
  if (bytes > a->bytes || (size_t)threads > a->threads) {
    pllm_free_aligned(a->memory);
    a->bytes = a->threads = 0;
    a->memory = pllm_alloc_aligned(bytes, (size_t)threads);
    if (!a->memory) return pllm_fail_nomem(err);
    a->bytes = bytes;
    a->threads = (size_t)threads;
  }
  return PLLM_OK;
}

/*
** Gaussian prior: w ~ N(0, b^2/dim) with b from {1/2, 1, ..., 256} (option sharpness: that one), so that b is the
** spread of utilities.  The mean over b of the maximum divided by b, weighted by its Laplace evidence.
*/
static void gaussian_mean(const PllmAdaptOptions *o, PllmFit *fit, double *w) {
  enum { SCALES = 10 };
  double evidence[SCALES], most = 0, sum = 0;
  int n = o->sharpness > 0 ? 1 : SCALES;
  for (int pass = 0; pass < 2; pass++)
    for (int k = 0; k < n; k++) {
      double b = 0.5, value, share;
      if (o->sharpness > 0)
        b = o->sharpness;
      else
        for (int i = 0; i < k; i++) b *= 2;
      if (pass == 1 && !(evidence[k] - most > -30)) continue;
      value = pllm_fit_solve(fit, PLLM_TERMS_SET, (double)fit->evidence->dim / (b * b));
      if (pass == 0) {
        evidence[k] = value;
        if (k == 0 || value > most) most = value;
      } else {
        share = pllm_exp1(evidence[k] - most);
        pllm_fit_add(fit, share / b, w);
        sum += share;
      }
    }
  for (size_t b = 0; b < fit->evidence->dim; b++) w[b] /= sum;
}

int pllm_stopped(const PllmStop *stop) {
  if (atomic_load_explicit(stop->flag, memory_order_relaxed)) return 1;
  if (!stop->run || pllm_poll(stop->run, NULL) == PLLM_OK) return 0;
  atomic_store(stop->flag, 1);
  return 1;
}

/* memory is one piece of the adapter's.  Never allocates. */
static PllmStatus estimate(const PllmAdapter *a, const PllmAdaptOptions *o, const PllmFeedback *f, char *memory,
                           const PllmStop *stop, double *w, PllmError *err) {
  PllmEvidence evidence;
  PllmFit fit;
  size_t dim = f->dim;
  char *rest = memory + round_up(pllm_evidence_bytes(o->form, pllm_feedback_count(f), dim));
  PllmStatus status = pllm_evidence_build(f, o->half_life, memory, &evidence, err);
  if (status != PLLM_OK) return status;
  switch (o->method) {
  case PLLM_METHOD_POSTERIOR:
    if (!is_gaussian(o, f)) {
      pllm_posterior_mean(a->particles, &evidence, rest, stop, w);
      break;
    }
    memset(w, 0, dim * sizeof *w);
    if (!evidence.informative) return PLLM_OK;
    pllm_fit_init(&fit, &evidence, rest, stop);
    gaussian_mean(o, &fit, w);
    break;
  case PLLM_METHOD_BRADLEY_TERRY:
    memset(w, 0, dim * sizeof *w);
    if (!evidence.informative) return PLLM_OK;
    pllm_fit_init(&fit, &evidence, rest, stop);
    pllm_fit_solve(&fit, o->implied ? PLLM_TERMS_IMPLIED : PLLM_TERMS_GIVEN, o->lambda);
    pllm_fit_add(&fit, 1, w);
    break;
  case PLLM_METHOD_SUM: pllm_sum_fit(&evidence, w); break;
  case PLLM_METHOD_UNIFORM:
    for (size_t b = 0; b < dim; b++) w[b] = 1 / (double)dim;
    return PLLM_OK;
  }
  return atomic_load_explicit(stop->flag, memory_order_relaxed) ? pllm_fail(err, PLLM_INTERRUPTED, "interrupted")
                                                                : PLLM_OK;
}

PllmStatus pllm_adapt(PllmAdapter *adapter, const PllmAdaptOptions *options, const PllmFeedback *feedback,
                      double *weights, const PllmRun *run, PllmError *err) {
  atomic_int flag;
  PllmStop stop = {&flag, run};
  PllmStatus status = prepare(adapter, options, feedback, pllm_feedback_count(feedback), 1, err);
  atomic_init(&flag, 0);
  return status == PLLM_OK ? estimate(adapter, options, feedback, adapter->memory, &stop, weights, err) : status;
}

/* ---- many users ---- */

typedef struct Batch {
  const PllmAdapter *adapter;
  const PllmAdaptOptions *options;
  PllmFeedback *const *feedback;
  size_t dim;
  double *weights;
  unsigned char *bad; /* [users] */
  const PllmRun *run;
  atomic_int stop;
} Batch;

/* What interrupts the job interrupts the estimates that are under way. */
static int batch_poll(void *arg) {
  Batch *b = arg;
  PllmStop stop = {&b->stop, b->run};
  return pllm_stopped(&stop);
}

static void batch_body(void *arg, size_t begin, size_t end, int worker) {
  Batch *b = arg;
  char *memory = (char *)b->adapter->memory + (size_t)worker * b->adapter->bytes;
  PllmStop stop = {&b->stop, worker == 0 ? b->run : NULL}; /* worker 0 is the calling thread */
  for (size_t i = begin; i < end; i++) {
    if (pllm_feedback_count(b->feedback[i]) == 0) continue;
    b->bad[i] = estimate(b->adapter, b->options, b->feedback[i], memory, &stop, b->weights + i * b->dim, NULL) ==
                PLLM_INVALID;
  }
}

PllmStatus pllm_adapt_batch(PllmAdapter *adapter, const PllmAdaptOptions *options, PllmFeedback *const *feedback,
                            size_t users, size_t dim, double *weights, size_t *failed, const PllmRun *run,
                            PllmError *err) {
  Batch b = {
      .adapter = adapter, .options = options, .feedback = feedback, .dim = dim, .weights = weights, .run = run};
  PllmRun polled = {.threads = run ? run->threads : 0, .poll = batch_poll, .poll_arg = &b};
  const PllmFeedback *most = NULL, *gaussian = NULL;
  size_t count = 0;
  PllmStatus status = PLLM_OK;
  for (size_t i = 0; i < users; i++) {
    size_t rows = pllm_feedback_count(feedback[i]);
    if (rows == 0) continue;
    if (is_gaussian(options, feedback[i]))
      gaussian = feedback[i];
    else
      most = feedback[i];
    if (rows > count) count = rows;
  }
  atomic_init(&b.stop, 0);
  b.bad = pllm_alloc_zero(users, 1);
  if (!b.bad) return pllm_fail_nomem(err);
  /* users may differ in prior (f32 rows or not): scratch for both kinds */
  if (most) status = prepare(adapter, options, most, count, pllm_run_threads(run), err);
  if (status == PLLM_OK && gaussian) status = prepare(adapter, options, gaussian, count, pllm_run_threads(run), err);
  if (status == PLLM_OK) status = pllm_parallel(&polled, users, 4, batch_body, &b, err);
  if (status == PLLM_OK && atomic_load(&b.stop)) status = pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  for (size_t i = 0; status == PLLM_OK && i < users; i++) {
    if (!b.bad[i]) continue;
    *failed = i;
    status = pllm_adapt(adapter, options, feedback[i], weights + i * dim, run, err); /* again, for the message */
  }
  pllm_free(b.bad);
  return status;
}
