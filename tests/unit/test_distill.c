/* Distillation: linear algebra against naive loops, ridge against brute force, leaving out a prompt by really leaving
** it out, rows that are kept against rows that are streamed, equal bits on every instruction set, short memory. */
#include "tap.h"

#include <stdlib.h>

#include "../../ext/core/core_distill.h"
#include "../../ext/core/core_math.h"

static uint64_t state = 1;
static double unit(void) {
  state += 0x9e3779b97f4a7c15u;
  return (double)(pllm_hash_mix(state) >> 11) * 0x1p-53 - 0.5;
}

static double furthest(const double *a, const double *b, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fabs(a[i] - b[i]) > most ? fabs(a[i] - b[i]) : most;
  return most;
}

/* ---- core_spd.c ---- */

enum { N = 600, ROWS = 640 }; /* more than one piece of everything */
static double z[ROWS * N], a[N * N], l[N * N], want[N * N], x[N * 3], b[N * 3], scratch[N * 100], inverse[N * N];

static size_t seen;
static double block_error;
static void see(void *arg, size_t first, size_t count, size_t rows, const double *columns) {
  (void)arg;
  seen += count;
  if (rows != N - first) block_error = 1;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      double sum = 0;
      for (size_t k = 0; k < rows; k++) sum += columns[k * count + i] * columns[k * count + j];
      sum = fabs(sum - inverse[(first + i) * N + first + j]);
      block_error = sum > block_error ? sum : block_error;
    }
  }
}

static void test_spd(void) {
  static const size_t at[] = {0, 7, 100, 140, 150, 240, 330, 420, 510, N};
  PllmPanels panels = {.at = at, .count = 9, .widest = 93, .see = see};
  double trace = 0, sum = 0, worst = 0;
  PllmError err;
  for (size_t i = 0; i < ROWS * N; i++) z[i] = unit();
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++)
      for (size_t k = 0; k < ROWS; k++) want[i * N + j] += z[k * N + i] * z[k * N + j];
  tap_check(pllm_spd_add_scatter(a, N, z, ROWS, NULL, &err) == PLLM_OK, "the scatter is added");
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j <= i; j++) worst = fmax(worst, fabs(a[i * N + j] - want[i * N + j]));
  tap_check(worst < 1e-12, "... and is z'z");
  memset(l, 0, sizeof l);
  tap_check(pllm_spd_add_gram(l, N, z, ROWS, 0.5, NULL, &err) == PLLM_OK, "a Gram matrix is added");
  worst = 0;
  for (size_t i = 0; i < N; i++) {
    for (size_t j = 0; j <= i; j++) {
      sum = 0;
      for (size_t k = 0; k < ROWS; k++) sum += 0.5 * z[i * ROWS + k] * z[j * ROWS + k];
      worst = fmax(worst, fabs(l[i * N + j] - sum));
    }
  }
  tap_check(worst < 1e-12, "... and is zz' times its scale");
  memcpy(l, a, sizeof l);
  tap_check(pllm_spd_factor(l, N, NULL, &err) == PLLM_OK, "Cholesky over several blocks");
  worst = 0;
  for (size_t i = 0; i < N; i++) {
    for (size_t j = 0; j <= i; j++) {
      sum = 0;
      for (size_t k = 0; k <= j; k++) sum += l[i * N + k] * l[j * N + k];
      worst = fmax(worst, fabs(sum - a[i * N + j]));
    }
  }
  tap_check(worst < 1e-12, "... gives back its matrix");
  for (size_t i = 0; i < N * 3; i++) x[i] = b[i] = unit();
  pllm_spd_solve(l, N, x, 3);
  worst = 0;
  for (size_t i = 0; i < N; i++) {
    for (size_t c = 0; c < 3; c++) {
      sum = 0;
      for (size_t j = 0; j < N; j++) sum += want[i * N + j] * x[j * 3 + c];
      worst = fmax(worst, fabs(sum - b[i * 3 + c]));
    }
  }
  tap_check(worst < 1e-11, "... and solves");
  for (size_t i = 0; i < N; i++) inverse[i * N + i] = 1;
  pllm_spd_solve(l, N, inverse, N);
  sum = 0;
  for (size_t i = 0; i < N; i++) sum += inverse[i * N + i];
  tap_check(pllm_spd_inverse_trace(l, N, NULL, scratch, &trace, NULL, &err) == PLLM_OK, "the inverse's trace");
  tap_close(trace, sum, 1e-11, "... is that of the inverse");
  tap_check(pllm_spd_inverse_trace(l, N, &panels, scratch, &trace, NULL, &err) == PLLM_OK && seen == N,
            "panels as asked for");
  tap_close(trace, sum, 1e-11, "... give the same trace");
  tap_check(block_error < 1e-11, "... and the inverse's blocks (off by %g)", block_error);
  a[5 * N + 5] = -1;
  tap_fails(pllm_spd_factor(a, N, NULL, &err), PLLM_INVALID, &err, "not positive definite");
}

/* ---- cos and sin of turns ---- */

static void test_turns(void) {
  double worst = 0, exact = 0;
  for (int i = 0; i < 200000; i++) {
    double t = unit() * (i % 4 == 0 ? 1 : i % 4 == 1 ? 30 : i % 4 == 2 ? 1e-6 : 1000), c, s;
    long double angle = 2 * 3.141592653589793238462643L * (t - floorl(t));
    pllm_cos_sin_turns(t, &c, &s);
    worst = fmax(worst, fmax((double)fabsl(c - cosl(angle)), (double)fabsl(s - sinl(angle))));
  }
  tap_check(worst < 2 * 0x1p-52, "cos and sin of turns are within two units of 1's last place (%g)", worst);
  for (int k = -8; k <= 8; k++) {
    double c, s;
    pllm_cos_sin_turns(k / 4.0, &c, &s);
    exact += fabs(c - ((k & 3) == 0   ? 1
                       : (k & 3) == 2 ? -1
                                      : 0)) +
             fabs(s - ((k & 3) == 1   ? 1
                       : (k & 3) == 3 ? -1
                                      : 0));
  }
  tap_check(exact == 0, "quarter turns are exact");
}

/* ---- core_ridge.c: against normal equations of explicitly centred rows ---- */

enum { DIM = 6, OUT = 2, PROMPTS = 40 };
typedef struct Row {
  double x[DIM], y[OUT];
  int group;
} Row;
static Row rows[PROMPTS * 5];
static size_t n_rows;

static void make_rows(void) {
  for (int g = 0; g < PROMPTS; g++) {
    double level = 10 * unit();
    for (int k = 0; k < 1 + g % 5; k++) {
      Row *r = &rows[n_rows++];
      r->group = g;
      for (int i = 0; i < DIM; i++) r->x[i] = (unit() + level) * (i + 1);
      for (int o = 0; o < OUT; o++) r->y[o] = r->x[0] - 0.3 * r->x[1 + o] + 0.2 * unit() + 5 * level;
    }
  }
}

/* Solve m w = v by elimination (m[n][n], destroyed). */
static void eliminate(double *m, double *v, int n) {
  for (int k = 0; k < n; k++)
    for (int i = k + 1; i < n; i++) {
      double f = m[i * n + k] / m[k * n + k];
      for (int j = k; j < n; j++) m[i * n + j] -= f * m[k * n + j];
      v[i] -= f * v[k];
    }
  for (int k = n - 1; k >= 0; k--) {
    for (int j = k + 1; j < n; j++) v[k] -= m[k * n + j] * v[j];
    v[k] /= m[k * n + k];
  }
}

/* Brute force for one output and relative penalty: weights, and the generalised cross-validation's share. */
static double brute(int columns, double lambda, int o, double *w, double *freedom) {
  double s[DIM] = {0}, own[DIM] = {0}, m[DIM * DIM] = {0}, v[DIM] = {0}, unit_of = 0, yy = 0, rss = 0, hat = 0;
  static double cx[PROMPTS * 5][DIM], cy[PROMPTS * 5];
  size_t groups = 0;
  for (size_t i = 0; i < n_rows; i++) {
    size_t first = i, end = i;
    while (first > 0 && rows[first - 1].group == rows[i].group) first--;
    while (end < n_rows && rows[end].group == rows[i].group) end++;
    groups += first == i;
    cy[i] = rows[i].y[o];
    for (size_t k = first; k < end; k++) cy[i] -= rows[k].y[o] / (double)(end - first);
    for (int j = 0; j < DIM; j++) {
      cx[i][j] = rows[i].x[j];
      for (size_t k = first; k < end; k++) cx[i][j] -= rows[k].x[j] / (double)(end - first);
      own[j] += cx[i][j] * cx[i][j];
    }
    yy += cy[i] * cy[i];
  }
  *freedom = (double)(n_rows - groups);
  for (int j = 0; j < DIM; j++) s[j] = columns ? sqrt(*freedom / own[j]) : 1;
  for (int j = 0; j < DIM; j++) unit_of += s[j] * s[j] * own[j] / *freedom;
  for (int j = 0; j < DIM; j++) {
    for (int k = 0; k < DIM; k++)
      for (size_t i = 0; i < n_rows; i++) m[j * DIM + k] += s[j] * cx[i][j] * cx[i][k] * s[k];
    m[j * DIM + j] += lambda * unit_of;
    for (size_t i = 0; i < n_rows; i++) v[j] += s[j] * cx[i][j] * cy[i];
  }
  for (int j = 0; j < DIM; j++) { /* tr(hat) = d - lambda tr(inverse) */
    double copy[DIM * DIM], e[DIM] = {0};
    memcpy(copy, m, sizeof copy);
    e[j] = 1;
    eliminate(copy, e, DIM);
    hat += 1 - lambda * unit_of * e[j];
  }
  eliminate(m, v, DIM);
  for (int j = 0; j < DIM; j++) w[j] = s[j] * v[j];
  for (size_t i = 0; i < n_rows; i++) {
    double off = cy[i];
    for (int j = 0; j < DIM; j++) off -= cx[i][j] * w[j];
    rss += off * off;
  }
  return 1 - *freedom * rss / ((*freedom - hat) * (*freedom - hat)) * *freedom / yy;
}

static PllmRidge *fill_ridge(void) {
  PllmRidge *r;
  PllmError err;
  pllm_ridge_new(DIM, OUT, &r, &err);
  for (size_t i = 0; i < n_rows; i++) {
    if (i == 0 || rows[i].group != rows[i - 1].group) pllm_ridge_next_group(r);
    pllm_ridge_add(r, rows[i].x, rows[i].y, NULL, &err);
  }
  return r;
}

static void test_ridge(void) {
  PllmRidge *r;
  PllmRidgeFit *fit;
  PllmError err;
  make_rows();
  r = fill_ridge();
  for (int columns = 0; columns < 2; columns++) {
    double w[DIM], freedom, worst = 0, best = -1, at = 0;
    tap_check(pllm_ridge_solve(r, columns, 0.01, NULL, &fit, &err) == PLLM_OK, "ridge with a given penalty");
    for (int o = 0; o < OUT; o++) {
      double cv = brute(columns, 0.01, o, w, &freedom);
      worst = fmax(worst, furthest(w, fit->weights + o * DIM, DIM));
      tap_close(fit->cv[o], cv, 1e-9, "... generalised cross-validation is that of brute force");
    }
    tap_check(worst < 1e-10, "... and so are the weights (off by %g)", worst);
    pllm_ridge_fit_free(fit);
    tap_check(pllm_ridge_solve(r, columns, 0, NULL, &fit, &err) == PLLM_OK, "ridge with a penalty of its own choice");
    for (int k = -PLLM_RIDGE_STEPS; k <= PLLM_RIDGE_STEPS; k++) {
      double lambda = pow(PLLM_RIDGE_RATIO, k), cv = brute(columns, lambda, 1, w, &freedom);
      if (cv > best) {
        best = cv;
        at = lambda;
      }
    }
    tap_close(fit->lambda[1], at, 1e-9, "... chooses the best of the path");
    tap_close(fit->cv[1], best, 1e-9, "... and says how good it is");
    pllm_ridge_fit_free(fit);
  }
  pllm_ridge_free(r);
}

/* ---- text students ---- */

static const char *const parts[] = {"Sure, here is a list:\n",    "- one\n- two\n",
                                    "I am sorry, but I cannot.",  "It depends",
                                    " on what you mean by that.", " However, 12 grams of flour",
                                    " might be enough!",          "\n\n## Heading\n",
                                    "**bold** and `code`",        " Let me know.",
                                    " \xc3\xa9t\xc3\xa9?"};

typedef struct Text {
  char prompt[64], response[400];
  double y[OUT];
  int64_t id;
} Text;
enum { TEXTS = 60 };
static Text texts[TEXTS];

static void make_texts(void) {
  for (int i = 0; i < TEXTS; i++) {
    Text *t = &texts[i];
    t->id = i / 4;
    snprintf(t->prompt, sizeof t->prompt, "Question %d about flour?", (int)t->id);
    for (int k = 0; k < 2 + i % 7; k++) strcat(t->response, parts[(size_t)((unit() + 0.5) * 11) % 11]);
    for (int o = 0; o < OUT; o++) t->y[o] = (double)strlen(t->response) / 100 + (o ? unit() : 0) + (double)t->id;
  }
}

/* A student of the texts but those of prompt `without`. */
static PllmStatus learn(const char *options, int64_t without, PllmModel **model, PllmError *err) {
  PllmDistillOptions o;
  PllmDistill *d = NULL;
  PllmStatus status = pllm_distill_options(1, options, strlen(options), &o, err);
  *model = NULL;
  if (status == PLLM_OK) status = pllm_distill_new(&o, &d, err);
  pllm_distill_options_free(&o);
  for (int i = 0; i < TEXTS && status == PLLM_OK; i++)
    if (texts[i].id != without)
      status = pllm_distill_text(d, &texts[i].id, texts[i].prompt, strlen(texts[i].prompt), texts[i].response,
                                 strlen(texts[i].response), texts[i].y, OUT, NULL, err);
  if (status == PLLM_OK) status = pllm_distill_finish(d, NULL, model, err);
  pllm_distill_free(d);
  return status;
}

static void predict(const PllmModel *model, double *out) {
  PllmStudent *student;
  PllmError err;
  pllm_student_new(model, &student, &err);
  for (int i = 0; i < TEXTS; i++)
    pllm_student_text(student, texts[i].prompt, strlen(texts[i].prompt), texts[i].response, strlen(texts[i].response),
                      out + i * OUT, &err);
  pllm_student_free(student);
}

/* The mean squared length of a centred row, which relative penalties are relative to, without prompt `without`. */
static double unit_length(const PllmTextMap *map, int64_t without) {
  size_t dim = pllm_text_map_dim(map), count = 0;
  double sum = 0, *features = pllm_alloc(4 * dim, sizeof *features);
  for (int i = 0; i < TEXTS; i += 4) {
    if (texts[i].id == without) continue;
    for (int k = 0; k < 4; k++) {
      double form[PLLM_FORM_FEATURES];
      PllmWords words = {0};
      PllmError err;
      const Text *t = &texts[i + k];
      pllm_form_features(t->prompt, strlen(t->prompt), t->response, strlen(t->response), form, &err);
      pllm_text_words(t->response, strlen(t->response), &words, &err);
      pllm_text_expand(map, form, words.words, words.count, features + (size_t)k * dim);
      pllm_free(words.words);
    }
    for (size_t f = 0; f < dim; f++) {
      double mean = 0;
      for (size_t k = 0; k < 4; k++) mean += features[k * dim + f] / 4;
      for (size_t k = 0; k < 4; k++) sum += (features[k * dim + f] - mean) * (features[k * dim + f] - mean);
    }
    count += 3;
  }
  pllm_free(features);
  return sum / (double)count;
}

static void test_text(void) {
  PllmModel *kept, *streamed, *less;
  PllmTextMap map;
  PllmError err;
  static double p[TEXTS * OUT], q[TEXTS * OUT];
  double press[OUT] = {0}, yy[OUT] = {0}, whole;
  make_texts();
  tap_check(learn("{\"lambda\":0.2,\"random\":30,\"hashed\":50}", -1, &kept, &err) == PLLM_OK,
            "a student of kept rows");
  tap_check(learn("{\"lambda\":0.2,\"random\":30,\"hashed\":50,\"exact_rows\":9}", -1, &streamed, &err) == PLLM_OK,
            "a student of streamed rows");
  predict(kept, p);
  predict(streamed, q);
  tap_check(furthest(p, q, TEXTS * OUT) < 1e-9, "... predicts the same (off by %g)", furthest(p, q, TEXTS * OUT));
  tap_close(pllm_model_numbers(kept, "fit")[1], pllm_model_numbers(streamed, "fit")[1], 1e-9,
            "... with the same degrees of freedom");
  tap_close(pllm_model_numbers(kept, "fit")[2], pllm_model_numbers(streamed, "fit")[2], 1e-9, "... and the same R2");
  pllm_model_free(streamed);

  pllm_text_map_init(&map, 30, 50, 0, &err);
  whole = unit_length(&map, -1);
  for (int64_t id = 0; id < TEXTS / 4; id++) {
    char options[128];
    snprintf(options, sizeof options, "{\"lambda\":%.17g,\"random\":30,\"hashed\":50}",
             0.2 * whole / unit_length(&map, id));
    learn(options, id, &less, &err);
    predict(less, q);
    pllm_model_free(less);
    for (int o = 0; o < OUT; o++) {
      double y = 0, e = 0;
      for (int k = 0; k < 4; k++) {
        y += texts[id * 4 + k].y[o] / 4;
        e += q[(id * 4 + k) * OUT + o] / 4;
      }
      for (int k = 0; k < 4; k++) {
        double cy = texts[id * 4 + k].y[o] - y, ce = q[(id * 4 + k) * OUT + o] - e;
        press[o] += (cy - ce) * (cy - ce);
        yy[o] += cy * cy;
      }
    }
  }
  tap_close(pllm_model_numbers(kept, "fit")[3], 1 - press[0] / yy[0], 1e-9,
            "leaving out one prompt at a time is what really leaving them out gives");
  tap_close(pllm_model_numbers(kept, "fit")[7], 1 - press[1] / yy[1], 1e-9, "... for every output");
  pllm_text_map_free(&map);
  pllm_model_free(kept);
}

/* ---- the same bits everywhere ---- */

static void test_bits(void) {
  static double form[PLLM_FORM_FEATURES], cosine[3][100], sine[3][100];
  PllmTextMap map;
  PllmError err;
  for (int i = 0; i < PLLM_FORM_FEATURES; i++) form[i] = 8 * unit();
  pllm_text_map_init(&map, 200, 0, 7, &err);
  for (int isa = 0; isa <= PLLM_ISA_AVX512; isa++) {
    pllm_core_isa_limit((PllmIsa)isa);
    pllm_text_random(&map, form, 0, 100, cosine[isa], sine[isa]);
  }
  pllm_core_isa_limit(PLLM_ISA_MOST);
  tap_check(memcmp(cosine[0], cosine[1], sizeof *cosine) == 0 && memcmp(cosine[0], cosine[2], sizeof *cosine) == 0 &&
                memcmp(sine[0], sine[1], sizeof *sine) == 0 && memcmp(sine[0], sine[2], sizeof *sine) == 0,
            "random features are the same bits on every instruction set");
  for (int i = 0; i < 100; i++) { /* blocks and rest agree with one at a time */
    double c, s;
    pllm_text_random(&map, form, (size_t)i, 1, &c, &s);
    if (c != cosine[0][i] || s != sine[0][i]) cosine[0][0] = 9;
  }
  tap_check(cosine[0][0] != 9, "... and for any number of them at once");
  pllm_text_map_free(&map);
}

/* What stored students read must never change within a major version, on any machine. */
static void test_frozen(void) {
  static const char *const responses[] = {
      "",
      ("Sure! Here's a list:\n\n1. **Flour** (12 g)\n2. Sugar\n\n| a | b |\n# End\nI'm sorry, I can't help. Let me "
       "know?"),
      "\xe4\xbd\xa0\xe5\xa5\xbd caf\xc3\xa9 \xff\xf0\x9f\x98\x80 quickly running, walked; \"quoted\" don't `x` ...",
  };
  uint64_t hash = PLLM_FNV_START;
  static double features[PLLM_FORM_FEATURES + 128 + 64];
  PllmTextMap map;
  PllmError err;
  pllm_text_map_init(&map, 128, 64, 3, &err);
  for (size_t i = 0; i < 3; i++) {
    static const char prompt[] = "How much flour and sugar do I need?";
    double form[PLLM_FORM_FEATURES];
    PllmWords words = {0};
    pllm_form_features(prompt, strlen(prompt), responses[i], strlen(responses[i]), form, &err);
    pllm_text_words(responses[i], strlen(responses[i]), &words, &err);
    pllm_text_expand(&map, form, words.words, words.count, features);
    for (size_t k = 0; k < pllm_text_map_dim(&map); k++)
      hash = (hash ^ pllm_double_bits(features[k])) * PLLM_FNV_PRIME;
    pllm_free(words.words);
  }
  pllm_text_map_free(&map);
  tap_check(hash == UINT64_C(0xd4e4d27cbacb8e03), "the features of texts are what they were (%016llx)",
            (unsigned long long)hash);
}

/* ---- short memory ---- */

static long left, living;
static void *count_alloc(size_t bytes) {
  if (left-- <= 0) return NULL;
  living++;
  return malloc(bytes);
}
static void *count_resize(void *old, size_t bytes) {
  if (left-- <= 0) return NULL;
  living += old == NULL;
  return realloc(old, bytes);
}
static void count_release(void *old) {
  living -= old != NULL;
  free(old);
}

static void test_memory(const char *options) {
  PllmAllocator counting = {count_alloc, count_resize, count_release};
  PllmError err;
  PllmModel *model;
  long at = 0, wrong = 0;
  PllmStatus status;
  pllm_set_allocator(&counting);
  do {
    left = at;
    err.status = PLLM_OK;
    status = learn(options, -1, &model, &err);
    left = 1000000;
    if (status == PLLM_OK) pllm_model_free(model);
    wrong += (status != PLLM_OK && (status != PLLM_NOMEM || model)) || living != 0;
    at += 1 + at / 40;
  } while (status != PLLM_OK);
  pllm_set_allocator(NULL);
  tap_check(wrong == 0 && at > 100, "short memory is said, and all of it comes back: %s", options);
}

int main(void) {
  test_spd();
  test_turns();
  test_ridge();
  test_text();
  test_bits();
  test_frozen();
  test_memory("{\"random\":8,\"hashed\":16}");
  test_memory("{\"random\":8,\"hashed\":16,\"exact_rows\":5,\"rewards\":[\"a\",\"b\"]}");
  return tap_done();
}
