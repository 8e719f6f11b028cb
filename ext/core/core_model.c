/*
** core_model.c: models in memory, and which sections each kind has.
*/
#include "core_model.h"

#include <math.h>
#include <string.h>

/* How many rows or columns a section has. */
typedef enum Extent { ONE, TWO, THREE, FIVE, DIM, RANK, FREE } Extent;

typedef struct Shape {
  PllmModelKind kind;
  const char *name;
  Extent rows, columns;
  int optional;
} Shape;

/*
** The sections of each kind, in the order in which they are stored.  What a section means is said where it is
** learned. `weights` is what ranks without any feedback (students: one row for each reward model).
*/
static const Shape shapes[] = {
    {PLLM_MODEL_PRIOR, "weights", ONE, DIM, 0},
    {PLLM_MODEL_PRIOR, "alpha", RANK, TWO, 0},
    {PLLM_MODEL_PRIOR, "sharpness", FREE, TWO, 0},
    {PLLM_MODEL_PRIOR, "history", FREE, TWO, 0},
    {PLLM_MODEL_POOLED, "weights", ONE, DIM, 0},
    {PLLM_MODEL_POOLED, "scale", ONE, ONE, 0},
    {PLLM_MODEL_POOLED, "user_lambda", ONE, ONE, 0},
    {PLLM_MODEL_POOLED, "history", FREE, TWO, 0},
    {PLLM_MODEL_LORE, "weights", ONE, DIM, 0},
    {PLLM_MODEL_LORE, "basis", RANK, DIM, 0},
    {PLLM_MODEL_LORE, "mixture", ONE, RANK, 0},
    {PLLM_MODEL_LORE, "temperature", ONE, ONE, 0},
    {PLLM_MODEL_LORE, "history", FREE, TWO, 0},
    {PLLM_MODEL_SVD, "weights", ONE, DIM, 0},
    {PLLM_MODEL_SVD, "basis", RANK, DIM, 0},
    {PLLM_MODEL_SVD, "mixture", ONE, RANK, 0},
    {PLLM_MODEL_SVD, "history", FREE, TWO, 0},
    {PLLM_MODEL_MAML, "weights", ONE, DIM, 0},
    {PLLM_MODEL_MAML, "basis", RANK, DIM, 0},
    {PLLM_MODEL_MAML, "theta", ONE, RANK, 0},
    {PLLM_MODEL_MAML, "history", FREE, TWO, 0},
    {PLLM_MODEL_CLASSES, "weights", ONE, DIM, 0},
    {PLLM_MODEL_CLASSES, "basis", RANK, DIM, 0},
    {PLLM_MODEL_CLASSES, "mixture", ONE, RANK, 0},
    {PLLM_MODEL_CLASSES, "history", FREE, TWO, 0},
    {PLLM_MODEL_POSTERIOR, "weights", ONE, DIM, 0},
    {PLLM_MODEL_POSTERIOR, "x", FREE, DIM, 0},
    {PLLM_MODEL_POSTERIOR, "sets", FREE, FIVE, 0},
    {PLLM_MODEL_POSTERIOR, "scale", ONE, ONE, 0},
    {PLLM_MODEL_POSTERIOR, "settings", ONE, THREE, 0},
    {PLLM_MODEL_POSTERIOR, "prior_mean", ONE, DIM, 1},
    {PLLM_MODEL_POSTERIOR, "prior_alpha", FREE, TWO, 1},
    {PLLM_MODEL_POSTERIOR, "prior_sharpness", FREE, TWO, 1},
    {PLLM_MODEL_NEIGHBORS, "weights", ONE, DIM, 0},
    {PLLM_MODEL_NEIGHBORS, "users", RANK, TWO, 0},
    {PLLM_MODEL_NEIGHBORS, "profiles", RANK, DIM, 0},
    {PLLM_MODEL_STUDENT, "weights", RANK, DIM, 0},
    {PLLM_MODEL_STUDENT, "intercept", ONE, RANK, 0},
    {PLLM_MODEL_STUDENT, "fit", RANK, FREE, 0},
    {PLLM_MODEL_TEXT_STUDENT, "weights", RANK, DIM, 0},
    {PLLM_MODEL_TEXT_STUDENT, "intercept", ONE, RANK, 0},
    {PLLM_MODEL_TEXT_STUDENT, "fit", RANK, FREE, 0},
    {PLLM_MODEL_TEXT_STUDENT, "text", ONE, TWO, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const char *const kind_names[PLLM_MODEL_KINDS] = {
    [PLLM_MODEL_PRIOR] = "prior",
    [PLLM_MODEL_POOLED] = "pooled",
    [PLLM_MODEL_LORE] = "lore",
    [PLLM_MODEL_SVD] = "svd",
    [PLLM_MODEL_MAML] = "maml",
    [PLLM_MODEL_NEIGHBORS] = "neighbors",
    [PLLM_MODEL_POSTERIOR] = "posterior",
    [PLLM_MODEL_STUDENT] = "student",
    [PLLM_MODEL_TEXT_STUDENT] = "text_student",
    [PLLM_MODEL_CLASSES] = "classes",
};

const char *pllm_model_kind_name(PllmModelKind kind) {
  return (unsigned)kind < PLLM_MODEL_KINDS ? kind_names[kind] : NULL;
}

/* ---- making one ---- */

PllmStatus pllm_model_new(PllmModelKind kind, size_t dim, size_t rank, PllmModel **out, PllmError *err) {
  PllmModel *m = pllm_alloc_zero(1, sizeof *m);
  *out = NULL;
  if (!m) return pllm_fail_nomem(err);
  m->kind = kind;
  m->dim = dim;
  m->rank = rank;
  if (pllm_model_set_options(m, "{}", err) != PLLM_OK) {
    pllm_model_free(m);
    return err->status;
  }
  *out = m;
  return PLLM_OK;
}

static void free_names(char **names, size_t count) {
  if (!names) return;
  for (size_t i = 0; i < count; i++) pllm_free(names[i]);
  pllm_free(names);
}

void pllm_model_free(PllmModel *m) {
  if (!m) return;
  free_names(m->features, m->dim);
  free_names(m->outputs, m->rank);
  for (size_t i = 0; i < m->n_sections; i++) pllm_free(m->sections[i].numbers);
  pllm_free(m->sections);
  pllm_free(m->options);
  pllm_free(m);
}

static char *copy_text(const char *text, size_t bytes) {
  char *copy = pllm_alloc(bytes + 1, 1);
  if (!copy) return NULL;
  memcpy(copy, text, bytes);
  copy[bytes] = 0;
  return copy;
}

int pllm_core_name_ok(const char *text, size_t bytes) {
  size_t n;
  if (bytes == 0) return 0;
  for (size_t i = 0; i < bytes; i += n) {
    n = pllm_core_utf8((const unsigned char *)text + i, bytes - i);
    if (n == 0 || text[i] == 0) return 0;
  }
  return 1;
}

PllmStatus pllm_core_names_copy(char ***names, size_t expected, const PllmText *texts, size_t count, PllmError *err) {
  char **copies;
  if (count != 0 && count != expected)
    return pllm_fail(err, PLLM_INVALID, "%zu names for %zu numbers; one name each is required", count, expected);
  for (size_t i = 0; i < count; i++)
    if (!pllm_core_name_ok(texts[i].text, texts[i].bytes))
      return pllm_fail(err, PLLM_INVALID, "name %zu is empty or no valid UTF-8", i + 1);
  copies = count ? pllm_alloc_zero(count, sizeof *copies) : NULL;
  if (count && !copies) return pllm_fail_nomem(err);
  for (size_t i = 0; i < count; i++) {
    copies[i] = copy_text(texts[i].text, texts[i].bytes);
    if (copies[i]) continue;
    free_names(copies, count);
    return pllm_fail_nomem(err);
  }
  free_names(*names, expected);
  *names = copies;
  return PLLM_OK;
}

static PllmStatus set_names(char ***to, size_t expected, const char *const *names, size_t count, PllmError *err) {
  PllmText *texts = pllm_alloc(count, sizeof *texts);
  PllmStatus status;
  if (!texts) return pllm_fail_nomem(err);
  for (size_t i = 0; i < count; i++) texts[i] = (PllmText){names[i], strlen(names[i])};
  status = pllm_core_names_copy(to, expected, texts, count, err);
  pllm_free(texts);
  return status;
}

PllmStatus pllm_model_set_features(PllmModel *m, const char *const *names, size_t count, PllmError *err) {
  return set_names(&m->features, m->dim, names, count, err);
}

PllmStatus pllm_model_set_outputs(PllmModel *m, const char *const *names, size_t count, PllmError *err) {
  return set_names(&m->outputs, m->rank, names, count, err);
}

PllmStatus pllm_model_set_options(PllmModel *m, const char *json, PllmError *err) {
  char *copy = copy_text(json, strlen(json));
  if (!copy) return pllm_fail_nomem(err);
  pllm_free(m->options);
  m->options = copy;
  return PLLM_OK;
}

PllmStatus pllm_model_add(PllmModel *m, const char *name, size_t rows, size_t columns, double **numbers,
                          PllmError *err) {
  PllmSection *sections = pllm_resize(m->sections, m->n_sections + 1, sizeof *sections), *s;
  if (!sections) return pllm_fail_nomem(err);
  m->sections = sections;
  s = &sections[m->n_sections];
  memset(s, 0, sizeof *s);
  memcpy(s->name, name, strlen(name) < PLLM_SECTION_NAME ? strlen(name) : PLLM_SECTION_NAME);
  s->rows = rows;
  s->columns = columns;
  if (columns > 0 && rows > SIZE_MAX / columns) return pllm_fail_nomem(err);
  s->numbers = pllm_alloc_zero(rows * columns, sizeof *s->numbers);
  if (!s->numbers) return pllm_fail_nomem(err);
  m->n_sections++;
  if (numbers) *numbers = s->numbers;
  return PLLM_OK;
}

const PllmSection *pllm_model_section(const PllmModel *m, const char *name) {
  for (size_t i = 0; i < m->n_sections; i++)
    if (strcmp(m->sections[i].name, name) == 0) return &m->sections[i];
  return NULL;
}

const double *pllm_model_numbers(const PllmModel *m, const char *name) {
  const PllmSection *s = pllm_model_section(m, name);
  return s ? s->numbers : NULL;
}

/* ---- is it complete? ---- */

static int fits(size_t found, Extent extent, const PllmModel *m) {
  switch (extent) {
  case ONE: return found == 1;
  case TWO: return found == 2;
  case THREE: return found == 3;
  case FIVE: return found == 5;
  case DIM: return found == m->dim;
  case RANK: return found == m->rank;
  case FREE: break;
  }
  return 1;
}

static PllmStatus check_sections(const PllmModel *m, PllmError *err) {
  size_t at = 0; /* sections come in the order of the table, so equal models are equal bytes */
  int known = 0;
  for (size_t i = 0; i < N_SHAPES; i++) {
    const Shape *shape = &shapes[i];
    const PllmSection *s = at < m->n_sections ? &m->sections[at] : NULL;
    if (shape->kind != m->kind) continue;
    known = 1;
    if (!s || strcmp(s->name, shape->name) != 0) {
      if (shape->optional) continue;
      return pllm_fail(err, PLLM_INVALID, "section \"%s\" is not where a %s model has it", shape->name,
                       kind_names[m->kind]);
    }
    at++;
    if (!fits(s->rows, shape->rows, m) || !fits(s->columns, shape->columns, m))
      return pllm_fail(err, PLLM_INVALID,
                       "section \"%s\" is %zu x %zu numbers, which does not go with dim %zu and rank %zu", s->name,
                       s->rows, s->columns, m->dim, m->rank);
    for (size_t k = 0; k < s->rows * s->columns; k++)
      if (!isfinite(s->numbers[k]))
        return pllm_fail(err, PLLM_INVALID, "section \"%s\" has %s as number %zu", s->name,
                         isnan(s->numbers[k]) ? "NaN" : "infinity", k);
  }
  if (!known) return pllm_fail(err, PLLM_INVALID, "models of kind %s are not known yet", kind_names[m->kind]);
  if (at < m->n_sections)
    return pllm_fail(err, PLLM_INVALID, "section \"%s\" does not belong in a %s model", m->sections[at].name,
                     kind_names[m->kind]);
  return PLLM_OK;
}

PllmStatus pllm_model_check(const PllmModel *m, PllmError *err) {
  PllmJson *json = NULL;
  PllmStatus status;
  if (!pllm_model_kind_name(m->kind)) return pllm_fail(err, PLLM_INVALID, "kind %d is unknown", (int)m->kind);
  if (m->dim < 1 || m->dim > PLLM_MAX_DIM || m->rank > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "dim %zu; 1 to %d is required", m->dim, PLLM_MAX_DIM);
  if (m->flags & ~(unsigned)(PLLM_MODEL_CONVERGED | PLLM_MODEL_F32 | PLLM_MODEL_OBJECTIVE))
    return pllm_fail(err, PLLM_INVALID, "flags %u are unknown", m->flags);
  if (!isfinite(m->objective) || (!(m->flags & PLLM_MODEL_OBJECTIVE) && m->objective != 0))
    return pllm_fail(err, PLLM_INVALID, "the objective is no number that can be");
  status = pllm_json_parse(m->options, strlen(m->options), &json, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "the options");
  if (pllm_json_type(json) != PLLM_JSON_OBJECT)
    status = pllm_fail(err, PLLM_INVALID, "the options are %s; an object is required", pllm_json_type_name(json));
  pllm_json_free(json);
  if (status == PLLM_OK) status = check_sections(m, err);
  if (status == PLLM_OK && (m->kind == PLLM_MODEL_STUDENT || m->kind == PLLM_MODEL_TEXT_STUDENT) &&
      (m->rank < 1 || m->rank > PLLM_MAX_MODELS))
    status = pllm_fail(err, PLLM_INVALID, "a student of %zu reward models; 1 to %d are required", m->rank, PLLM_MAX_MODELS);
  if (status == PLLM_OK && m->kind == PLLM_MODEL_PRIOR) status = pllm_prior_check(m, err);
  if (status == PLLM_OK && m->kind == PLLM_MODEL_POSTERIOR) status = pllm_posterior_check(m, err);
  if (status == PLLM_OK && m->kind == PLLM_MODEL_NEIGHBORS) status = pllm_neighbors_check(m, err);
  if (status == PLLM_OK && m->kind == PLLM_MODEL_CLASSES) status = pllm_classes_check(m, err);
  return status;
}
