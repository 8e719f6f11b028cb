/*
** core.c: the program `core`: jobs done by the scoring core alone, without SQLite, to tell its share of a query's time.
*/
#include "personalllm.h"
#include "program.h"

#include <stdlib.h>
#include <string.h>

static void check(PllmStatus status, const PllmError *err) {
  if (status == PLLM_OK) return;
  fprintf(stderr, "core: %s\n", err->text);
  exit(1);
}

/* ---- draw: philox users in blocks, the largest weights as bytes ---- */

enum { DRAW_BLOCK = 1 << 16 };

typedef struct Draw {
  PllmPopulation population;
  PllmRun run;
  double *weights;
  double first[64]; /* weights of the block's first user, summed so that nothing is left out */
} Draw;

static void *draw_open(const Args *args) {
  Draw *d = allocate(sizeof *d);
  pllm_population_default(&d->population, (int)arg_size(args, "models"));
  d->population.count = (int64_t)arg_size(args, "count");
  d->population.generator = PLLM_GENERATOR_PHILOX;
  d->run.threads = (int)arg_size(args, "threads");
  d->weights = allocate((size_t)DRAW_BLOCK * (size_t)d->population.n_models * sizeof(double));
  return d;
}

static void draw_run(void *state) {
  Draw *d = state;
  PllmError err;
  memset(d->first, 0, sizeof d->first);
  for (int64_t id = 0; id < d->population.count; id += DRAW_BLOCK) {
    int64_t left = d->population.count - id;
    size_t n = left < DRAW_BLOCK ? (size_t)left : DRAW_BLOCK;
    check(pllm_users_philox_batch(&d->population, id, n, 1, d->weights, &d->run, &err), &err);
    for (int b = 0; b < d->population.n_models; b++) d->first[b] += d->weights[b];
  }
}

static void draw_write(void *state, FILE *out) {
  Draw *d = state;
  fwrite(d->first, sizeof(double), (size_t)d->population.n_models, out);
}

/* ---- read: a sequence of numpy users, one thread ---- */

typedef struct Read {
  PllmPopulation population;
  double *weights;
  double first[64];
} Read;

static void *read_open(const Args *args) {
  Read *r = allocate(sizeof *r);
  pllm_population_default(&r->population, (int)arg_size(args, "models"));
  r->population.count = (int64_t)arg_size(args, "count");
  r->weights = allocate((size_t)DRAW_BLOCK * (size_t)r->population.n_models * sizeof(double));
  return r;
}

static void read_run(void *state) {
  Read *r = state;
  PllmUsers *users = NULL;
  PllmError err;
  check(pllm_users_open(&r->population, NULL, &users, &err), &err);
  memset(r->first, 0, sizeof r->first);
  for (int64_t id = 0; id < r->population.count; id += DRAW_BLOCK) {
    int64_t left = r->population.count - id;
    size_t n = left < DRAW_BLOCK ? (size_t)left : DRAW_BLOCK;
    check(pllm_users_read(users, id, n, 1, r->weights, NULL, NULL, &err), &err);
    for (int b = 0; b < r->population.n_models; b++) r->first[b] += r->weights[b];
  }
  pllm_users_close(users);
}

static void read_write(void *state, FILE *out) {
  Read *r = state;
  fwrite(r->first, sizeof(double), (size_t)r->population.n_models, out);
}

/* ---- adapt: estimates of many users from their feedback ---- */

typedef struct Adapt {
  PllmAdaptOptions options;
  PllmRun run;
  PllmAdapter *adapter;
  PllmFeedback **feedback;
  size_t users, dim;
  double *weights;
} Adapt;

/*
** Choices: features [users][sets][shown][dim], marks [users][sets][2] (best and worst, counted within the set).
** Pairs: features [users][sets][2][dim], chosen and rejected.
*/
static void *adapt_open(const Args *args) {
  Adapt *a = allocate(sizeof *a);
  size_t bytes, sets = arg_size(args, "sets"), shown = arg_size(args, "shown"), dim = arg_size(args, "dim");
  const char *text = arg_text(args, "options");
  int pairs = strcmp(arg_text(args, "form"), "pairs") == 0;
  const double *features = load_file(arg_text(args, "features"), &bytes);
  const double *marks = pairs ? NULL : load_file(arg_text(args, "marks"), NULL);
  PllmError err;
  a->users = bytes / (sets * shown * dim * sizeof *features);
  a->dim = dim;
  a->run.threads = (int)arg_size(args, "threads");
  a->adapter = pllm_adapter_new();
  a->feedback = allocate(a->users * sizeof *a->feedback);
  a->weights = allocate(a->users * dim * sizeof *a->weights);
  check(pllm_adapt_options(pairs ? PLLM_PAIRS : PLLM_CHOICES, text, strlen(text), NULL, &a->options, &err), &err);
  for (size_t u = 0; u < a->users; u++) {
    a->feedback[u] = pllm_feedback_new(pairs ? PLLM_PAIRS : PLLM_CHOICES);
    for (size_t s = 0; s < sets; s++) {
      const double *set = features + (u * sets + s) * shown * dim;
      if (pairs) {
        check(pllm_feedback_add_pair(a->feedback[u], set, set + dim, dim, 0, &err), &err);
        continue;
      }
      for (size_t r = 0; r < shown; r++) {
        const double *mark = marks + (u * sets + s) * 2;
        PllmLabel label = mark[0] == (double)r ? PLLM_BEST : mark[1] == (double)r ? PLLM_WORST : PLLM_SHOWN;
        check(pllm_feedback_add_choice(a->feedback[u], (int64_t)s + 1, set + r * dim, dim, 0, label, &err), &err);
      }
    }
  }
  return a;
}

static void adapt_run(void *state) {
  Adapt *a = state;
  PllmError err;
  size_t failed;
  check(pllm_adapt_batch(a->adapter, &a->options, a->feedback, a->users, a->dim, a->weights, &failed, &a->run, &err), &err);
}

static void adapt_write(void *state, FILE *out) {
  Adapt *a = state;
  fwrite(a->weights, sizeof *a->weights, a->users * a->dim, out);
}

int main(int argc, char **argv) {
  const Job jobs[] = {{"draw", draw_open, draw_run, draw_write},
                      {"read", read_open, read_run, read_write},
                      {"adapt", adapt_open, adapt_run, adapt_write},
                      {0}};
  return program_main(argc, argv, jobs);
}
