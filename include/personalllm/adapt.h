/*
** adapt.h: estimate one user's weights from a few feedbacks.
**
** Feedback comes in one of three forms: preferences between two responses, choice sets (everything that was shown,
** with the best and the worst marked), ratings.  An estimator turns the feedback of one user into a weight vector in
** the space of the features, so that the canonical utility of weights and features ranks responses for that user.
**
** Rules that hold for every method:
**   - equal rows give equal bits in whatever order they were added (half_life on pairs and ratings excepted: there
**     the order of adding is the age);
**   - features times a constant c > 0 change no ranking, and neither 1e300 nor 1e-300 overflows;
**   - rows without a label say nothing: only such rows give the method's answer to no feedback at all.
*/
#ifndef PERSONALLLM_ADAPT_H
#define PERSONALLLM_ADAPT_H

#include "model.h"
#include "parallel.h"
#include "vector.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum PllmForm {
  PLLM_PAIRS,   /* adapt_user: chosen over rejected */
  PLLM_CHOICES, /* adapt_user_choices: all rows of a choice set, best and worst marked */
  PLLM_RATINGS  /* adapt_user_ratings: features and a number */
} PllmForm;

typedef enum PllmLabel { PLLM_SHOWN, PLLM_BEST, PLLM_WORST } PllmLabel;

typedef enum PllmMethod {
  PLLM_METHOD_POSTERIOR,     /* posterior mean given the whole choice sets, sharpness inferred */
  PLLM_METHOD_BRADLEY_TERRY, /* L2-regularised Bradley-Terry on the pair, or on all implied pairs */
  PLLM_METHOD_SUM,           /* sum of chosen minus rejected (definitions.md#p-ttt) */
  PLLM_METHOD_UNIFORM,       /* 1/dim each, whatever was said: the no-personalisation baseline */
  /* These start from a model of learn_users: */
  PLLM_METHOD_NEIGHBORS, /* historical users who explain the feedback (core_learn_neighbors.c) */
  PLLM_METHOD_LORE,      /* a mixture of base rewards (core_learn_lore.c) */
  PLLM_METHOD_SVD,       /* a signed combination of base rewards (core_learn_svd.c) */
  PLLM_METHOD_MAML,      /* a few steps from a start that was learned for it (core_learn_maml.c) */
  PLLM_METHOD_CLASSES    /* a mixture of the classes of users that explain the feedback (core_learn_classes.c) */
} PllmMethod;

typedef enum PllmPrior {
  PLLM_PRIOR_AUTO,      /* gaussian for f32 features or more than PLLM_MAX_MODELS of them, else dirichlet */
  PLLM_PRIOR_DIRICHLET, /* on the simplex, sparse: users of reward models (core_posterior.c) */
  PLLM_PRIOR_GAUSSIAN   /* signed, around 0: users of embeddings */
} PllmPrior;

/* Resolved options; make them with pllm_adapt_options.  Plain data: copy freely, nothing to free. */
typedef struct PllmAdaptOptions {
  PllmForm form;
  PllmMethod method;
  PllmVectorType type; /* of feature BLOBs, 0 when not said */
  size_t dim;          /* of feature vectors, 0 when not said */
  double half_life;    /* 0: feedback does not age */
  PllmPrior prior;
  double alpha;     /* of the Dirichlet prior; 0: the default mixture */
  double sharpness; /* 0: inferred */
  double lambda;    /* 0: 1, or the model's; L2 penalty of Bradley-Terry, for features of root mean square 1 within choice sets */
  double rate, temperature; /* of Adam; of the softmax over neighbours */
  uint32_t iterations;
  int implied;      /* Bradley-Terry: all implied pairs, not only the given one */
  uint32_t seed;    /* of the sampler */
  int return_model; /* the posterior as a model, rather than weights: pllm_adapt_model */
  const PllmModel *model; /* what historical users taught; NULL for none; not owned */
} PllmAdaptOptions;

/*
** Parse JSON text (NULL: all defaults) for a form into *options.  PLLM_INVALID for what pllm_options_parse refuses
** and for a method or option that does not go with the form or method.
**
** With a model of learn_users (which must outlive *options) the method is the model's: `bradley_terry` around a
** pooled solution, ...; dim is the model's, and names given are compared with its.  O(bytes).
*/
PllmStatus pllm_adapt_options(PllmForm form, const char *text, size_t bytes, const PllmModel *model,
                              PllmAdaptOptions *options, PllmError *err);

/* Can adaptation start from a model of this kind? */
int pllm_adapt_starts_from(PllmModelKind kind);

/* What persona_methods() lists: the table that pllm_adapt_options (and pllm_learn_options) parses by. */
typedef struct PllmMethodInfo {
  const char *name;
  int method;           /* PllmMethod, or PllmLearnMethod */
  unsigned forms;       /* 1 << PLLM_PAIRS | ... */
  const char *features; /* feature spaces it is meant for */
  const char *model;    /* the kind of model of learn_users it starts from; NULL: none */
  const char *summary;
} PllmMethodInfo;
typedef struct PllmMethodOption {
  const char *name;
  unsigned methods; /* 1 << PLLM_METHOD_SUM | ... */
  unsigned forms;
  const char *accepts;       /* e.g. "a number from 0.001 to 1e9" */
  const char *default_value; /* as JSON text */
} PllmMethodOption;
size_t pllm_adapt_methods(const PllmMethodInfo **methods);
size_t pllm_adapt_known_options(const PllmMethodOption **options);

/*
** One user's feedback, rows in the order they were added.  Rows are copied.  All rows of one builder have one
** dimension; a row of another is PLLM_INVALID with both lengths.  An emptied builder takes any dimension again.
*/
typedef struct PllmFeedback PllmFeedback;
PllmFeedback *pllm_feedback_new(PllmForm form); /* NULL when out of memory */
void pllm_feedback_free(PllmFeedback *feedback);
void pllm_feedback_clear(PllmFeedback *feedback); /* drop the rows, keep the memory */

/* f32 says that a vector came as an f32 BLOB: one such row makes the features embeddings. */
PllmStatus pllm_feedback_add_pair(PllmFeedback *feedback, const double *chosen, const double *rejected, size_t dim,
                                  int f32, PllmError *err);
PllmStatus pllm_feedback_add_choice(PllmFeedback *feedback, int64_t choice_set, const double *features, size_t dim,
                                    int f32, PllmLabel label, PllmError *err);
/* rated = 0: shown but not rated */
PllmStatus pllm_feedback_add_rating(PllmFeedback *feedback, const double *features, size_t dim, int f32,
                                    double rating, int rated, PllmError *err);
/* Forget the oldest row: windows.  Amortised O(dim). */
void pllm_feedback_remove_first(PllmFeedback *feedback);
size_t pllm_feedback_count(const PllmFeedback *feedback);
size_t pllm_feedback_dim(const PllmFeedback *feedback);

/*
** What estimates share: particles drawn once for the last settings used, and scratch memory.  One thread at a time.
*/
typedef struct PllmAdapter PllmAdapter;
PllmAdapter *pllm_adapter_new(void); /* NULL when out of memory */
void pllm_adapter_free(PllmAdapter *adapter);

/*
** The estimate from at least one row into weights[dim], on one thread.  run may be NULL; its poll is asked every few
** milliseconds, and ends the estimate with PLLM_INTERRUPTED.  PLLM_INVALID when a choice set has two best or two
** worst; contradictory tastes are no error.  Results do not depend on what the adapter was used for before.  Cost:
** posterior under the Dirichlet prior see core_posterior.c, else O(rows min(rows, dim)^2) a Newton step; sum O(rows
** dim).
*/
PllmStatus pllm_adapt(PllmAdapter *adapter, const PllmAdaptOptions *options, const PllmFeedback *feedback,
                      double *weights, const PllmRun *run, PllmError *err);

/*
** The posterior (method posterior, pairs or choice sets) as a model, for pllm_preference_new; its "weights" are
** those that pllm_adapt gives.  Otherwise as pllm_adapt.
*/
PllmStatus pllm_adapt_model(PllmAdapter *adapter, const PllmAdaptOptions *options, const PllmFeedback *feedback,
                            const PllmRun *run, PllmModel **model, PllmError *err);

/*
** How likely a user of that posterior prefers a to b: the choice model's probability, averaged over the posterior.
** Making one samples the posterior again (as long as an estimate takes); PLLM_INVALID for a model of another kind.
** A probability takes O(draws dim), some 5,000 exponentials; scratch holds pllm_preference_scratch numbers.
** Read-only after making: threads may share it.
*/
typedef struct PllmPreference PllmPreference;
PllmStatus pllm_preference_new(const PllmModel *model, const PllmRun *run, PllmPreference **preference, PllmError *err);
void pllm_preference_free(PllmPreference *preference); /* NULL is accepted */
size_t pllm_preference_scratch(const PllmPreference *preference);
double pllm_preference_probability(const PllmPreference *preference, const double *a, const double *b,
                                   double *scratch);

/* How likely a is worth more to the user than b, whatever the user would choose: ties count half.  Cost: O(draws dim). */
double pllm_preference_better(const PllmPreference *preference, const double *a, const double *b, double *scratch);

/*
** What the answer to "a or b?" is expected to tell.  gain: its mutual information with the weights and, under the
** Dirichlet prior, the sharpness, in bits, 0 to 1 (Lindley 1956; Houlsby et al. 2011).  variance: sigma'(m)^2 v for
** mean m and variance v of the log odds, what PReF maximises (2503.06358).  Both are 0 for equal features, and the
** same for (b, a).  Cost: as a probability, a gain twice that.
*/
double pllm_preference_gain(const PllmPreference *preference, const double *a, const double *b, double *scratch);
double pllm_preference_variance(const PllmPreference *preference, const double *a, const double *b, double *scratch);

/*
** The same for many users on several threads: weights of user i to weights + i*dim; users without rows are left
** alone. Every builder with rows has dimension dim.  Bit-equal to pllm_adapt for any number of threads.  On
** PLLM_INVALID *failed is the lowest user whose rows are wrong.
*/
PllmStatus pllm_adapt_batch(PllmAdapter *adapter, const PllmAdaptOptions *options, PllmFeedback *const *feedback,
                            size_t users, size_t dim, double *weights, size_t *failed, const PllmRun *run,
                            PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
