/*
** core_student.c: what a student predicts (distill.h).
**
** No BLAS: sums in a fixed order, so that the same model and the same text give the same bits on every machine.
*/
#include "core_distill.h"

#include "core_simd.h"

#include <math.h>
#include <string.h>

struct PllmStudent {
  size_t dim, outputs;
  int text;
  PllmTextMap map;
  double *weights;   /* owned: [dim][outputs] */
  double *intercept; /* owned: [outputs] */
};

/* The sizes in section "text", if they fit the model. */
static PllmStatus read_sizes(const PllmModel *m, size_t *random, size_t *hashed, PllmError *err) {
  const PllmSection *s = pllm_model_section(m, "text");
  double a = s && s->columns == 2 ? s->numbers[0] : -1, b = s && s->columns == 2 ? s->numbers[1] : -1;
  *random = a >= 0 && a <= PLLM_MAX_RANDOM ? (size_t)a : 0;
  *hashed = b >= 0 && b <= PLLM_MAX_HASHED ? (size_t)b : 0;
  if ((double)*random != a || (double)*hashed != b || *random % 2 || m->dim != PLLM_FORM_FEATURES + *random + *hashed)
    return pllm_fail(err, PLLM_INVALID, "a text student of %g random and %g hashed features has no %zu weights", a, b,
                     m->dim);
  return PLLM_OK;
}

PllmStatus pllm_student_new(const PllmModel *m, PllmStudent **out, PllmError *err) {
  const double *weights = pllm_model_numbers(m, "weights"), *intercept = pllm_model_numbers(m, "intercept");
  size_t random = 0, hashed = 0;
  PllmStudent *s;
  PllmStatus status = PLLM_OK;
  *out = NULL;
  if (m->kind != PLLM_MODEL_STUDENT && m->kind != PLLM_MODEL_TEXT_STUDENT)
    return pllm_fail(err, PLLM_INVALID,
                     "a model of kind %s predicts no rewards; one from distill_rewards or "
                     "distill_text is required",
                     pllm_model_kind_name(m->kind));
  if (m->kind == PLLM_MODEL_TEXT_STUDENT && (status = read_sizes(m, &random, &hashed, err)) != PLLM_OK) return status;
  s = pllm_alloc_zero(1, sizeof *s);
  if (!s) return pllm_fail_nomem(err);
  s->dim = m->dim;
  s->outputs = m->rank;
  s->text = m->kind == PLLM_MODEL_TEXT_STUDENT;
  s->weights = pllm_alloc(m->dim * m->rank, sizeof *s->weights);
  s->intercept = pllm_alloc(m->rank, sizeof *s->intercept);
  if (!s->weights || !s->intercept) status = pllm_fail_nomem(err);
  if (status == PLLM_OK && s->text) status = pllm_text_map_init(&s->map, random, hashed, m->seed, err);
  if (status != PLLM_OK) {
    pllm_student_free(s);
    return status;
  }
  for (size_t o = 0; o < s->outputs; o++) {
    s->intercept[o] = intercept[o];
    for (size_t i = 0; i < s->dim; i++) s->weights[i * s->outputs + o] = weights[o * s->dim + i];
  }
  *out = s;
  return PLLM_OK;
}

void pllm_student_free(PllmStudent *s) {
  if (!s) return;
  pllm_text_map_free(&s->map);
  pllm_free(s->weights);
  pllm_free(s->intercept);
  pllm_free(s);
}

int pllm_student_text_kind(const PllmStudent *s) {
  return s->text;
}

size_t pllm_student_dim(const PllmStudent *s) {
  return s->dim;
}

size_t pllm_student_outputs(const PllmStudent *s) {
  return s->outputs;
}

static void add(const PllmStudent *s, size_t feature, double x, double *out) {
  const double *w = s->weights + feature * s->outputs;
  for (size_t o = 0; o < s->outputs; o++) out[o] += x * w[o];
}

void pllm_student_features(const PllmStudent *s, const double *features, double *out) {
  memcpy(out, s->intercept, s->outputs * sizeof *out);
  for (size_t i = 0; i < s->dim; i++) add(s, i, features[i], out);
}

PllmStatus pllm_student_text(const PllmStudent *s, const char *prompt, size_t prompt_bytes, const char *response,
                             size_t bytes, double *out, PllmError *err) {
  size_t half = s->map.random / 2, words_at = PLLM_FORM_FEATURES + s->map.random;
  double form[PLLM_FORM_FEATURES], cosine[PLLM_BLOCK], sine[PLLM_BLOCK];
  PllmWords words = {0};
  PllmStatus status = pllm_form_features(prompt, prompt_bytes, response, bytes, form, err);
  if (status == PLLM_OK && s->map.hashed > 0) status = pllm_text_words(response, bytes, &words, err);
  if (status == PLLM_OK) {
    memcpy(out, s->intercept, s->outputs * sizeof *out);
    for (size_t i = 0; i < PLLM_FORM_FEATURES; i++) add(s, i, pllm_form_scale * form[i], out);
    for (size_t at = 0; at < half; at += PLLM_BLOCK) {
      size_t count = half - at < PLLM_BLOCK ? half - at : PLLM_BLOCK;
      pllm_text_random(&s->map, form, at, count, cosine, sine);
      for (size_t k = 0; k < count; k++) {
        add(s, PLLM_FORM_FEATURES + at + k, cosine[k], out);
        add(s, PLLM_FORM_FEATURES + half + at + k, sine[k], out);
      }
    }
    for (size_t i = 0; i < words.count; i++)
      add(s, words_at + pllm_word_slot(&words.words[i], s->map.hashed), words.words[i].value, out);
  }
  pllm_free(words.words);
  return status;
}
