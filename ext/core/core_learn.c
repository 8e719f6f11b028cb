/*
** core_learn.c: the options of learning across users, and the choice of method.
*/
#include "core_learn.h"
#include "core_catalogue.h"

#include <stdio.h>
#include <string.h>

#define FORMS (1u << PLLM_PAIRS | 1u << PLLM_CHOICES)
#define PRIOR (1u << PLLM_LEARN_PRIOR)
#define POOLED (1u << PLLM_LEARN_POOLED)
#define LORE (1u << PLLM_LEARN_LORE)
#define SVD (1u << PLLM_LEARN_SVD)
#define MAML (1u << PLLM_LEARN_MAML)
#define NEIGHBORS (1u << PLLM_LEARN_NEIGHBORS)
#define CLASSES (1u << PLLM_LEARN_CLASSES)
#define ALL (PRIOR | POOLED | LORE | SVD | MAML | NEIGHBORS | CLASSES)

/* In the order of PllmLearnMethod. */
static const PllmMethodInfo methods[] = {
    {"pooled", PLLM_LEARN_POOLED, FORMS, "rewards, embeddings", NULL,
     "one Bradley-Terry model for all users, and how far users stray from it"},
    {"prior", PLLM_LEARN_PRIOR, FORMS, "rewards", NULL,
     "how sparse, how sharp and how alike users' weights are: the prior of `posterior`, by EM"},
    {"neighbors", PLLM_LEARN_NEIGHBORS, FORMS, "rewards, embeddings", NULL,
     "the historical users themselves, weighed by how well they explain a new one"},
    {"lore", PLLM_LEARN_LORE, FORMS, "rewards, embeddings", NULL,
     "low-rank reward modelling: a basis for all, users on the simplex (arXiv 2504.14439)"},
    {"svd", PLLM_LEARN_SVD, FORMS, "rewards, embeddings", NULL,
     "reward factorisation: a basis for all from a completed matrix, signed users (PReF, arXiv 2503.06358)"},
    {"maml", PLLM_LEARN_MAML, FORMS, "rewards, embeddings", NULL,
     "meta reward modelling: base rewards and a start from which few steps suffice (MRM, arXiv 2601.18731)"},
    {"classes", PLLM_LEARN_CLASSES, FORMS, "rewards, embeddings", NULL,
     "latent classes of users, a Bradley-Terry model for each"},
};
enum { N_METHODS = sizeof methods / sizeof *methods };
static const struct {
  PllmModelKind kind;
  PllmLearner learn;
} learners[] = {
    [PLLM_LEARN_POOLED] = {PLLM_MODEL_POOLED, pllm_learn_pooled},
    [PLLM_LEARN_PRIOR] = {PLLM_MODEL_PRIOR, pllm_learn_prior},
    [PLLM_LEARN_NEIGHBORS] = {PLLM_MODEL_NEIGHBORS, pllm_learn_neighbors},
    [PLLM_LEARN_LORE] = {PLLM_MODEL_LORE, pllm_learn_lore},
    [PLLM_LEARN_SVD] = {PLLM_MODEL_SVD, pllm_learn_svd},
    [PLLM_LEARN_MAML] = {PLLM_MODEL_MAML, pllm_learn_maml},
    [PLLM_LEARN_CLASSES] = {PLLM_MODEL_CLASSES, pllm_learn_classes},
};

/* An option that several methods have with different defaults stands here several times. */
static const PllmMethodOption known[] = {
    {"method", ALL, FORMS,
     "pooled | prior | neighbors | lore | svd | maml | classes; null: prior for rewards, pooled for embeddings", "null"},
    {"type", ALL, FORMS, "f64 | f32: what feature BLOBs are", "null"},
    {"dim", ALL, FORMS, "a whole number from 1 to 65536: the length of features", "null"},
    {"names", ALL, FORMS, "an array of texts: what the features are called, such as the reward models", "null"},
    {"pairs", POOLED | LORE | SVD | MAML | NEIGHBORS | CLASSES, 1u << PLLM_CHOICES,
     "given | implied: best over worst, or all pairs a set implies", "\"given\""},
    {"lambda", POOLED | NEIGHBORS, FORMS, "a number from 1e-6 to 1e9: the L2 penalty", "1"},
    {"rank", LORE | SVD | MAML, FORMS, "a whole number from 1 to 64: base rewards", "5"},
    {"iterations", POOLED, FORMS, "a whole number from 0 to 1000000: at most so many steps", "500"},
    {"iterations", LORE, FORMS, "a whole number from 0 to 1000000: steps", "1000"},
    {"rate", LORE, FORMS, "a number from 1e-9 to 1000: of Adam", "0.5"},
    {"temperature", LORE, FORMS, "a number from 1e-6 to 1e6: what utilities are divided by", "100"},
    {"seed", LORE | SVD | MAML, FORMS, "a whole number from 0 to 4294967295: of the random start", "0"},
    {"iterations", SVD, FORMS, "a whole number from 0 to 1000000: at most so many steps", "500"},
    {"penalty", SVD, FORMS, "a number from 0 to 1e6: on the mean size of pairs' features and of users", "0.05"},
    {"iterations", MAML, FORMS, "a whole number from 0 to 1000000: outer steps", "2000"},
    {"rate", MAML, FORMS, "a number from 1e-9 to 1000: of Adam, outer", "0.0005"},
    {"inner_rate", MAML, FORMS, "a number from 0 to 1000: of the inner step", "0.001"},
    {"batch", MAML, FORMS, "a whole number from 1 to 4096: users of an outer step", "64"},
    {"query", MAML, FORMS, "a number from 0.01 to 0.99: share of a user's pairs that the inner step is tested on",
     "0.8"},
    {"rho", MAML, FORMS, "a number from 0 to 1: share of the users, the hardest, that count most", "0.5"},
    {"gamma", MAML, FORMS, "a number from -1e6 to 1e6: softness of that; 0 or less: hard", "0.5"},
    {"feature_scale", MAML, FORMS, "a number from 1e-9 to 1e9: times features of root mean square 1", "1"},
    {"iterations", PRIOR, FORMS, "a whole number from 0 to 1000000: rounds of sampling", "3"},
    {"lambda", CLASSES, FORMS, "a number from 1e-6 to 1e9: the L2 penalty", "256"},
    {"rank", CLASSES, FORMS, "a whole number from 1 to 64: classes", "20"},
    {"iterations", CLASSES, FORMS, "a whole number from 0 to 1000000: at most so many steps", "100"},
    {"temperature", CLASSES, FORMS, "a number from 1e-6 to 1e6: 1 is the likelihood; above it users are shared by classes", "1"},
    {"seed", CLASSES, FORMS, "a whole number from 0 to 4294967295: of the random start", "0"},
    {"seed", PRIOR, FORMS, "a whole number from 0 to 4294967295: of the sampler", "0"},
};
enum { N_KNOWN = sizeof known / sizeof *known };

static const PllmCatalogue catalogue = {methods, N_METHODS, known, N_KNOWN};

size_t pllm_learn_methods(const PllmMethodInfo **list) {
  *list = methods;
  return N_METHODS;
}

size_t pllm_learn_known_options(const PllmMethodOption **list) {
  *list = known;
  return N_KNOWN;
}

/* ---- options ---- */

/* as >= 0: the method, where the text does not say. */
static PllmStatus resolve(PllmForm form, const char *text, size_t bytes, int as, PllmLearnOptions *options,
                          PllmError *err) {
  PllmLearnOptions o = {.form = form};
  char choices[128], *names = NULL;
  int method = -1, type = 0, pairs = 0;
  int64_t dim = 0, seed = 0, rank = 0, iterations = 0, batch = 0;
  PllmOption list[] = {
      {.name = "method", .kind = PLLM_OPTION_CHOICE, .value = &method, .choices = choices},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f64|f32"},
      {.name = "dim", .kind = PLLM_OPTION_INTEGER, .value = &dim, .min = 1, .max = PLLM_MAX_DIM},
      {.name = "names", .kind = PLLM_OPTION_ANY, .value = &names},
      {.name = "pairs", .kind = PLLM_OPTION_CHOICE, .value = &pairs, .choices = "given|implied"},
      {.name = "lambda", .kind = PLLM_OPTION_NUMBER, .value = &o.lambda, .min = 1e-6, .max = 1e9},
      {.name = "rank", .kind = PLLM_OPTION_INTEGER, .value = &rank, .min = 1, .max = 64},
      {.name = "rate", .kind = PLLM_OPTION_NUMBER, .value = &o.rate, .min = 1e-9, .max = 1e3},
      {.name = "temperature", .kind = PLLM_OPTION_NUMBER, .value = &o.temperature, .min = 1e-6, .max = 1e6},
      {.name = "penalty", .kind = PLLM_OPTION_NUMBER, .value = &o.penalty, .min = 0, .max = 1e6},
      {.name = "inner_rate", .kind = PLLM_OPTION_NUMBER, .value = &o.inner_rate, .min = 0, .max = 1e3},
      {.name = "batch", .kind = PLLM_OPTION_INTEGER, .value = &batch, .min = 1, .max = 4096},
      {.name = "query", .kind = PLLM_OPTION_NUMBER, .value = &o.query, .min = 0.01, .max = 0.99},
      {.name = "rho", .kind = PLLM_OPTION_NUMBER, .value = &o.rho, .min = 0, .max = 1},
      {.name = "gamma", .kind = PLLM_OPTION_NUMBER, .value = &o.gamma, .min = -1e6, .max = 1e6},
      {.name = "feature_scale", .kind = PLLM_OPTION_NUMBER, .value = &o.feature_scale, .min = 1e-9, .max = 1e9},
      {.name = "seed", .kind = PLLM_OPTION_INTEGER, .value = &seed, .min = 0, .max = UINT32_MAX},
      {.name = "iterations", .kind = PLLM_OPTION_INTEGER, .value = &iterations, .min = 0, .max = 1e6},
  };
  size_t n = sizeof list / sizeof *list;
  PllmStatus status;
  pllm_catalogue_choices(&catalogue, choices, sizeof choices);
  status = pllm_catalogue_parse(&catalogue, form, &method, as, ALL, list, n, text, bytes, err);
  o.given = list[0].given;
  if (list[1].given) o.type = type ? PLLM_F32 : PLLM_F64;
  o.method = method >= 0 ? (PllmLearnMethod)method : PLLM_LEARN_POOLED;
  o.dim = (size_t)dim;
  o.seed = (uint32_t)seed;
  o.implied = pairs;
  o.rank = (size_t)rank;
  o.iterations = (uint32_t)iterations;
  o.batch = (size_t)batch;
  if (status == PLLM_OK && names) status = pllm_catalogue_names("names", names, &o.names, &o.n_names, err);
  pllm_free(names);
  if (status == PLLM_OK && text) {
    o.text = pllm_alloc(bytes + 1, 1);
    if (o.text) {
      memcpy(o.text, text, bytes);
      o.text[bytes] = 0;
    } else {
      status = pllm_fail_nomem(err);
    }
  }
  *options = o;
  if (status != PLLM_OK) pllm_learn_options_free(options);
  return status;
}

PllmStatus pllm_learn_options(PllmForm form, const char *text, size_t bytes, PllmLearnOptions *options,
                              PllmError *err) {
  memset(options, 0, sizeof *options);
  return resolve(form, text, bytes, -1, options, err);
}

void pllm_learn_options_free(PllmLearnOptions *o) {
  pllm_catalogue_names_free(o->names, o->n_names);
  pllm_free(o->text);
  memset(o, 0, sizeof *o);
}

/* The resolved options as a JSON object, without what the model says elsewhere. */
static PllmStatus write_options(const PllmLearnOptions *o, PllmModel *model, PllmError *err) {
  char text[1024], number[32];
  size_t used;
  const struct {
    const char *name;
    double value;
  } numbers[] = {
      {"lambda", o->lambda},
      {"rank", (double)o->rank},
      {"iterations", o->iterations},
      {"rate", o->rate},
      {"temperature", o->temperature},
      {"penalty", o->penalty},
      {"query", o->query},
      {"inner_rate", o->inner_rate},
      {"batch", (double)o->batch},
      {"rho", o->rho},
      {"gamma", o->gamma},
      {"feature_scale", o->feature_scale},
  };
  used = (size_t)snprintf(text, sizeof text, "{\"method\":\"%s\"", methods[o->method].name);
  if (pllm_catalogue_find(&catalogue, "pairs", 1u << o->method, o->form))
    used += (size_t)snprintf(text + used, sizeof text - used, ",\"pairs\":\"%s\"", o->implied ? "implied" : "given");
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    if (!pllm_catalogue_find(&catalogue, numbers[i].name, 1u << o->method, o->form)) continue;
    pllm_number_text(numbers[i].value, number);
    used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":%s", numbers[i].name, number);
  }
  snprintf(text + used, sizeof text - used, "}");
  return pllm_model_set_options(model, text, err);
}

/* ---- learning ---- */

static PllmStatus learn(PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel **out,
                        PllmError *err) {
  PllmModel *m = NULL;
  PllmStatus status;
  if (o->names && o->n_names != crowd->dim)
    return pllm_fail(err, PLLM_INVALID, "option \"names\" has %zu names, but features have %zu numbers", o->n_names,
                     crowd->dim);
  status = pllm_crowd_seal(crowd, run, err);
  if (status == PLLM_OK) status = pllm_model_new(learners[o->method].kind, crowd->dim, o->rank, &m, err);
  if (status == PLLM_OK) status = write_options(o, m, err);
  if (status == PLLM_OK && o->names)
    status = pllm_model_set_features(m, (const char *const *)o->names, o->n_names, err);
  if (status == PLLM_OK) {
    m->seed = o->seed;
    m->flags = crowd->f32_rows > 0 ? PLLM_MODEL_F32 : 0;
    m->users = crowd->users;
    m->rows = crowd->count;
    m->rows_skipped = crowd->skipped;
    status = learners[o->method].learn(crowd, o, run, m, err);
  }
  if (status == PLLM_OK) status = pllm_model_check(m, err);
  if (status != PLLM_OK) {
    pllm_model_free(m);
    return status;
  }
  *out = m;
  return PLLM_OK;
}

PllmStatus pllm_learn(PllmCrowd *crowd, const PllmLearnOptions *options, const PllmRun *run, PllmModel **model,
                      PllmError *err) {
  PllmLearnOptions own;
  PllmLearnMethod method = crowd->f32_rows > 0 || crowd->dim > PLLM_MAX_MODELS ? PLLM_LEARN_POOLED : PLLM_LEARN_PRIOR;
  PllmStatus status;
  *model = NULL;
  if (options->given) return learn(crowd, options, run, model, err);
  status = resolve(options->form, options->text, options->text ? strlen(options->text) : 0, (int)method, &own, err);
  if (status != PLLM_OK) return status;
  status = learn(crowd, &own, run, model, err);
  pllm_learn_options_free(&own);
  return status;
}

PllmStatus pllm_learn_pairs(const PllmCrowd *crowd, const PllmLearnOptions *o, const PllmRun *run, PllmModel *model,
                            PllmPairs **pairs, PllmError *err) {
  PllmStatus status = pllm_pairs_new(crowd, o->implied, pairs, run, err);
  if (status != PLLM_OK) return status;
  model->users = (*pairs)->users;
  model->users_skipped = crowd->users - (*pairs)->users;
  if ((*pairs)->count > 0) return PLLM_OK;
  pllm_pairs_free(*pairs);
  *pairs = NULL;
  return pllm_fail(err, PLLM_INVALID, PLLM_NOTHING_TO_LEARN);
}

PllmStatus pllm_learn_history(PllmModel *model, const double *history, size_t count, PllmError *err) {
  double *numbers;
  PllmStatus status = pllm_model_add(model, "history", count, 2, &numbers, err);
  if (status == PLLM_OK) memcpy(numbers, history, 2 * count * sizeof *numbers);
  return status;
}
