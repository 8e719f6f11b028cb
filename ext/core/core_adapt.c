/*
** core_adapt.c: the options of adaptation, the choice of estimator, one user or many.
*/
#include "core_apply.h"
#include "core_catalogue.h"
#include "core_fit.h"
#include "core_math.h"
#include "core_preference.h"

#include <string.h>

#define ALL_FORMS (1u << PLLM_PAIRS | 1u << PLLM_CHOICES | 1u << PLLM_RATINGS)
#define PREFERENCES (1u << PLLM_PAIRS | 1u << PLLM_CHOICES)
#define POSTERIOR (1u << PLLM_METHOD_POSTERIOR)
#define BRADLEY_TERRY (1u << PLLM_METHOD_BRADLEY_TERRY)
#define SUM (1u << PLLM_METHOD_SUM)
#define UNIFORM (1u << PLLM_METHOD_UNIFORM)
#define NEIGHBORS (1u << PLLM_METHOD_NEIGHBORS)
#define LORE (1u << PLLM_METHOD_LORE)
#define SVD (1u << PLLM_METHOD_SVD)
#define MAML (1u << PLLM_METHOD_MAML)
#define CLASSES (1u << PLLM_METHOD_CLASSES)
#define ALL (POSTERIOR | BRADLEY_TERRY | SUM | UNIFORM | NEIGHBORS | LORE | SVD | MAML | CLASSES)

/* In the order of PllmMethod. */
static const PllmMethodInfo methods[] = {
    {"posterior", PLLM_METHOD_POSTERIOR, ALL_FORMS, "rewards, embeddings", "prior (optional)",
     "posterior mean given all that was shown; the sharpness of choice is inferred"},
    {"bradley_terry", PLLM_METHOD_BRADLEY_TERRY, ALL_FORMS, "rewards, embeddings", "pooled (optional)",
     "L2-regularised Bradley-Terry on pairs, around 0 or around a pooled solution"},
    {"sum", PLLM_METHOD_SUM, ALL_FORMS, "rewards, embeddings", NULL,
     "sum of chosen minus rejected features"},
    {"uniform", PLLM_METHOD_UNIFORM, ALL_FORMS, "rewards", NULL,
     "the same weight for all: no personalisation"},
    {"neighbors", PLLM_METHOD_NEIGHBORS, PREFERENCES, "rewards, embeddings", "neighbors",
     "historical users, weighed by how well they explain the feedback"},
    {"lore", PLLM_METHOD_LORE, PREFERENCES, "rewards, embeddings", "lore",
     "a mixture of the base rewards that historical users share"},
    {"svd", PLLM_METHOD_SVD, PREFERENCES, "rewards, embeddings", "svd",
     "a signed combination of the base rewards that historical users share"},
    {"maml", PLLM_METHOD_MAML, PREFERENCES, "rewards, embeddings", "maml",
     "a few steps from the start that historical users share"},
    {"classes", PLLM_METHOD_CLASSES, PREFERENCES, "rewards, embeddings", "classes",
     "classes of historical users, weighed by how well they explain the feedback"},
};

static const PllmMethodOption known[] = {
    {"method", ALL, ALL_FORMS, 
     "posterior | bradley_terry | sum | uniform | neighbors | lore | svd | maml | classes; null: posterior, or what goes "
     "with the model",
     "\"posterior\""},
    {"type", ALL, ALL_FORMS, "f64 | f32: what feature BLOBs are", "null"},
    {"dim", ALL, ALL_FORMS,
     "a whole number from 1 to 65536: the length of features", "null"},
    {"half_life", ALL & ~UNIFORM, ALL_FORMS,
     "a number from 0.001 to 1e9: choice sets (pairs, ratings: rows) after which feedback counts half", "null"},
    {"prior", POSTERIOR, ALL_FORMS, "dirichlet | gaussian; null: gaussian for f32 features, else dirichlet", "null"},
    {"alpha", POSTERIOR, ALL_FORMS, "a number from 0.001 to 1000: of the Dirichlet prior; null: a mixture", "null"},
    {"sharpness", POSTERIOR, ALL_FORMS, "a number from 0.001 to 1e9; null: inferred", "null"},
    {"seed", POSTERIOR, ALL_FORMS, "a whole number from 0 to 4294967295: of the sampler", "0"},
    {"lambda", BRADLEY_TERRY, ALL_FORMS,
     "a number from 1e-6 to 1e9: the L2 penalty; null: 1, or what a pooled model has learned", "null"},
    {"seed", LORE, PREFERENCES, "a whole number from 0 to 4294967295: of the random start", "0"},
    {"iterations", LORE, PREFERENCES, "a whole number from 0 to 1000000: steps", "500"},
    {"rate", LORE, PREFERENCES, "a number from 1e-9 to 1000: of Adam", "0.1"},
    {"iterations", SVD, PREFERENCES, "a whole number from 0 to 1000000: steps", "5000"},
    {"rate", SVD, PREFERENCES, "a number from 1e-9 to 1000: of gradient descent", "0.01"},
    {"iterations", MAML, PREFERENCES, "a whole number from 0 to 1000000: steps", "5"},
    {"rate", MAML, PREFERENCES, "a number from 1e-9 to 1000: of Adam", "0.001"},
    {"temperature", NEIGHBORS, PREFERENCES,
     "a number from 1e-6 to 1e6: low ones trust the best explanations alone", "0.07"},
    {"temperature", CLASSES, PREFERENCES, "a number from 1e-6 to 1e6: 1 is the posterior mean over classes", "1"},
    {"pairs", BRADLEY_TERRY | NEIGHBORS | LORE | SVD | MAML | CLASSES, 1u << PLLM_CHOICES,
     "given | implied: best over worst, or all pairs a set implies", "\"given\""},
    {"return", POSTERIOR, PREFERENCES, "weights | model: the posterior as a model, for preference_probability",
     "\"weights\""},
    {"names", ALL, ALL_FORMS,
     "an array of texts: what the features are called, to be compared with the model's", "null"},
};
enum { N_KNOWN = sizeof known / sizeof *known };

size_t pllm_adapt_methods(const PllmMethodInfo **list) {
  *list = methods;
  return sizeof methods / sizeof *methods;
}

size_t pllm_adapt_known_options(const PllmMethodOption **list) {
  *list = known;
  return N_KNOWN;
}

static const PllmCatalogue catalogue = {methods, sizeof methods / sizeof *methods, known, N_KNOWN};

/* The method that each kind of model stands for, -1 for none. */
static int method_of(PllmModelKind kind) {
  switch (kind) {
  case PLLM_MODEL_PRIOR: return PLLM_METHOD_POSTERIOR;
  case PLLM_MODEL_POOLED: return PLLM_METHOD_BRADLEY_TERRY;
  case PLLM_MODEL_NEIGHBORS: return PLLM_METHOD_NEIGHBORS;
  case PLLM_MODEL_LORE: return PLLM_METHOD_LORE;
  case PLLM_MODEL_SVD: return PLLM_METHOD_SVD;
  case PLLM_MODEL_MAML: return PLLM_METHOD_MAML;
  case PLLM_MODEL_CLASSES: return PLLM_METHOD_CLASSES;
  default: return -1;
  }
}

int pllm_adapt_starts_from(PllmModelKind kind) {
  return method_of(kind) >= 0;
}

/* What was said of features must be what the model says. */
static PllmStatus check_model(const PllmModel *model, const char *names, PllmAdaptOptions *o, PllmError *err) {
  char **list = NULL;
  size_t count = 0;
  PllmStatus status = PLLM_OK;
  if (o->dim > 0 && o->dim != model->dim)
    return pllm_fail(err, PLLM_INVALID, "option \"dim\" is %zu, but the model's features have %zu numbers", o->dim,
                     model->dim);
  o->dim = model->dim;
  if (!names) return PLLM_OK;
  status = pllm_catalogue_names("names", names, &list, &count, err);
  if (status == PLLM_OK && count != model->dim)
    status = pllm_fail(err, PLLM_INVALID, "option \"names\" has %zu names, but the model's features have %zu numbers",
                       count, model->dim);
  for (size_t i = 0; status == PLLM_OK && model->features && i < count; i++)
    if (strcmp(list[i], model->features[i]) != 0)
      status = pllm_fail(err, PLLM_INVALID, "feature %zu is \"%.60s\", but \"%.60s\" in the model", i + 1, list[i],
                         model->features[i]);
  pllm_catalogue_names_free(list, count);
  return status;
}

PllmStatus pllm_adapt_options(PllmForm form, const char *text, size_t bytes, const PllmModel *model,
                              PllmAdaptOptions *options, PllmError *err) {
  PllmAdaptOptions o = {.form = form, .model = model};
  int method = -1, type = 0, prior = 0, pairs = 0;
  int64_t dim = 0, seed = 0, iterations = 0;
  char choices[128], *names = NULL;
  PllmOption list[] = {
      {.name = "method", .kind = PLLM_OPTION_CHOICE, .value = &method, .choices = choices},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_MAX_DIM},
      {.name = "half_life", .kind = PLLM_OPTION_NUMBER, .value = &o.half_life, .min = 1e-3, .max = 1e9},
      {.name = "prior", .kind = PLLM_OPTION_CHOICE, .value = &prior, .choices = "dirichlet|gaussian"},
      {.name = "alpha", .kind = PLLM_OPTION_NUMBER, .value = &o.alpha, .min = 1e-3, .max = 1e3},
      {.name = "sharpness", .kind = PLLM_OPTION_NUMBER, .value = &o.sharpness, .min = 1e-3, .max = 1e9},
      {.name = "seed", .kind = PLLM_OPTION_INTEGER, .value = &seed, .min = 0, .max = UINT32_MAX},
      {.name = "lambda", .kind = PLLM_OPTION_NUMBER, .value = &o.lambda, .min = 1e-6, .max = 1e9},
      {.name = "pairs", .kind = PLLM_OPTION_CHOICE, .value = &pairs, .choices = "given|implied"},
      {.name = "return", .kind = PLLM_OPTION_CHOICE, .value = &o.return_model, .choices = "weights|model"},
      {.name = "names", .kind = PLLM_OPTION_ANY, .value = &names},
      {.name = "iterations", .kind = PLLM_OPTION_INTEGER, .value = &iterations, .min = 0, .max = 1e6},
      {.name = "rate", .kind = PLLM_OPTION_NUMBER, .value = &o.rate, .min = 1e-9, .max = 1e3},
      {.name = "temperature", .kind = PLLM_OPTION_NUMBER, .value = &o.temperature, .min = 1e-6, .max = 1e6},
  };
  size_t n = sizeof list / sizeof *list;
  PllmStatus status;
  pllm_catalogue_choices(&catalogue, choices, sizeof choices);
  status = pllm_catalogue_parse(&catalogue, form, &method, model ? method_of(model->kind) : PLLM_METHOD_POSTERIOR, 0,
                                list, n, text, bytes, err);
  if (status == PLLM_OK && model && list[0].given && method != method_of(model->kind))
    status = pllm_fail(err, PLLM_INVALID, "method \"%s\" does not go with a model of kind %s; \"%s\" does",
                       methods[method].name, pllm_model_kind_name(model->kind), methods[method_of(model->kind)].name);
  if (status == PLLM_OK && !model && names)
    status = pllm_fail(err, PLLM_INVALID, "option \"names\" is for comparison with a model's, and no model is given");
  if (status == PLLM_OK && !model && methods[method].method >= PLLM_METHOD_NEIGHBORS)
    status = pllm_fail(err, PLLM_INVALID, "method \"%s\" starts from a model of learn_users, and none is given",
                       methods[method].name);
  if (status == PLLM_OK && !(methods[method].forms & 1u << form))
    status = pllm_fail(err, PLLM_INVALID, "method \"%s\" does not go with ratings", methods[method].name);
  o.method = (PllmMethod)method;
  o.dim = (size_t)dim;
  o.seed = (uint32_t)seed;
  o.iterations = (uint32_t)iterations;
  o.implied = pairs;
  if (list[1].given) o.type = type ? PLLM_F32 : PLLM_F64;
  if (list[4].given) o.prior = prior ? PLLM_PRIOR_GAUSSIAN : PLLM_PRIOR_DIRICHLET;
  if (status == PLLM_OK && model) status = check_model(model, names, &o, err);
  pllm_free(names);
  if (status != PLLM_OK) return status;
  if (model && (list[4].given || o.alpha > 0 || o.sharpness > 0))
    return pllm_fail(err, PLLM_INVALID, "option \"%s\" does not go with a learned prior",
                     list[4].given ? "prior" : o.alpha > 0 ? "alpha" : "sharpness");
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

int pllm_adapt_is_gaussian(const PllmAdaptOptions *o, const PllmFeedback *f) {
  if (o->model) return 0;
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
  PllmPriorShape shape;
  PllmStatus status;
  if (o->model && dim != o->model->dim)
    return pllm_fail(err, PLLM_INVALID, "%zu features; the model's have %zu numbers", dim, o->model->dim);
  if (o->method == PLLM_METHOD_POSTERIOR && !pllm_adapt_is_gaussian(o, f)) {
    PllmParticles *p = a->particles;
    if (dim > PLLM_MAX_MODELS)
      return pllm_fail(err, PLLM_INVALID, "%zu features; the dirichlet prior is for at most %d reward models", dim,
                       PLLM_MAX_MODELS);
    if (o->model) pllm_prior_shape(o->model, &shape);
    if (!pllm_particles_are(p, dim, o->alpha, o->sharpness, o->seed, o->model ? &shape : NULL)) {
      pllm_particles_free(p);
      a->particles = NULL;
      status = pllm_particles_new(dim, o->alpha, o->sharpness, o->seed, o->model ? &shape : NULL, &a->particles, err);
      if (status != PLLM_OK) return status;
    }
    bytes = pllm_posterior_bytes(dim, rows);
  } else if (o->model) {
    bytes = pllm_apply_bytes(o, rows, dim);
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
    if (!pllm_adapt_is_gaussian(o, f)) {
      pllm_posterior_mean(a->particles, &evidence, rest, stop, NULL, w);
      break;
    }
    memset(w, 0, dim * sizeof *w);
    if (!evidence.informative) return PLLM_OK;
    pllm_fit_init(&fit, &evidence, rest, stop);
    gaussian_mean(o, &fit, w);
    break;
  case PLLM_METHOD_BRADLEY_TERRY:
    if (o->model) {
      pllm_apply_pooled(o, &evidence, rest, stop, w);
      break;
    }
    memset(w, 0, dim * sizeof *w);
    if (!evidence.informative) return PLLM_OK;
    pllm_fit_init(&fit, &evidence, rest, stop);
    pllm_fit_solve(&fit, o->implied ? PLLM_TERMS_IMPLIED : PLLM_TERMS_GIVEN, o->lambda > 0 ? o->lambda : 1);
    pllm_fit_add(&fit, 1, w);
    break;
  case PLLM_METHOD_NEIGHBORS: pllm_apply_neighbors(o, &evidence, rest, stop, w); break;
  case PLLM_METHOD_LORE: pllm_apply_lore(o, &evidence, rest, stop, w); break;
  case PLLM_METHOD_SVD: pllm_apply_svd(o, &evidence, rest, stop, w); break;
  case PLLM_METHOD_MAML: pllm_apply_maml(o, &evidence, rest, stop, w); break;
  case PLLM_METHOD_CLASSES: pllm_apply_classes(o, &evidence, rest, stop, w); break;
  case PLLM_METHOD_SUM: pllm_sum_fit(&evidence, w); break;
  case PLLM_METHOD_UNIFORM:
    for (size_t b = 0; b < dim; b++) w[b] = 1 / (double)dim;
    return PLLM_OK;
  }
  if (atomic_load_explicit(stop->flag, memory_order_relaxed)) return pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  if (o->model && pllm_vector_finite(w, dim, NULL) != PLLM_OK)
    return pllm_fail(err, PLLM_INVALID, "the features are out of all proportion to those the model was learned from");
  return PLLM_OK;
}

PllmStatus pllm_adapt(PllmAdapter *adapter, const PllmAdaptOptions *options, const PllmFeedback *feedback,
                      double *weights, const PllmRun *run, PllmError *err) {
  atomic_int flag;
  PllmStop stop = {&flag, run};
  PllmStatus status = prepare(adapter, options, feedback, pllm_feedback_count(feedback), 1, err);
  atomic_init(&flag, 0);
  return status == PLLM_OK ? estimate(adapter, options, feedback, adapter->memory, &stop, weights, err) : status;
}

PllmStatus pllm_adapt_model(PllmAdapter *adapter, const PllmAdaptOptions *options, const PllmFeedback *feedback,
                            const PllmRun *run, PllmModel **model, PllmError *err) {
  double *weights = pllm_alloc(feedback->dim, sizeof *weights);
  PllmEvidence evidence;
  PllmStatus status = weights ? pllm_adapt(adapter, options, feedback, weights, run, err) : pllm_fail_nomem(err);
  *model = NULL;
  if (status == PLLM_OK) status = pllm_evidence_build(feedback, options->half_life, adapter->memory, &evidence, err);
  if (status == PLLM_OK)
    status = pllm_posterior_model(options, pllm_adapt_is_gaussian(options, feedback), &evidence, weights,
                                  feedback->f32_rows > 0, model, err);
  pllm_free(weights);
  return status;
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
  PllmRun polled = pllm_core_run(run, batch_poll, &b);
  const PllmFeedback *most = NULL, *gaussian = NULL;
  size_t count = 0;
  PllmStatus status = PLLM_OK;
  for (size_t i = 0; i < users; i++) {
    size_t rows = pllm_feedback_count(feedback[i]);
    if (rows == 0) continue;
    if (pllm_adapt_is_gaussian(options, feedback[i]))
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
