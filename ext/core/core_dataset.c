/*
** core_dataset.c: one line of the published data set as a record.
**
** R1  A response is there when its key response_i is; its text may be null.  Numbers run from 1 without gaps: a
**     missing response_i before another one, or beside a response_i_... that is not null, is an error (it is a
**     mistyped key).
** R2  A response of which nothing is known (text, model, scores, embedding all null) is no response, as columnar
**     files fill what is missing with null.
** R3  Scores may be null or missing, one by one.  A score of an unknown reward model is an error.
** R4  A key given twice is an error.  Keys outside the schema are ignored.
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

/* ---- names ---- */

void pllm_name_list_free(PllmNameList *names) {
  for (size_t i = 0; i < names->count; i++) pllm_free(names->name[i]);
  pllm_free(names->name);
  memset(names, 0, sizeof *names);
}

static int lower(char c) {
  return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static int same_name(const char *a, const char *b) {
  while (*a && lower(*a) == lower(*b)) a++, b++;
  return lower(*a) == lower(*b);
}

long pllm_name_list_find(const PllmNameList *names, const char *name) {
  for (size_t i = 0; i < names->count; i++)
    if (same_name(names->name[i], name)) return (long)i;
  return -1;
}

PllmStatus pllm_name_list_add(PllmNameList *names, const char *name, PllmError *err) {
  size_t n = strlen(name) + 1;
  char *copy, **grown = pllm_grow(names->name, names->count, &names->room, 16, sizeof *grown);
  if (!grown) return pllm_fail_nomem(err);
  names->name = grown;
  copy = pllm_alloc(n, 1);
  if (!copy) return pllm_fail_nomem(err);
  memcpy(copy, name, n);
  names->name[names->count++] = copy;
  return PLLM_OK;
}

void pllm_name_list_sort(PllmNameList *names) {
  for (size_t i = 1; i < names->count; i++) { /* a few names, once per import */
    char *name = names->name[i];
    size_t j = i;
    for (; j > 0 && strcmp(names->name[j - 1], name) > 0; j--) names->name[j] = names->name[j - 1];
    names->name[j] = name;
  }
}

/* ---- keys ---- */

typedef enum KeyKind {
  KEY_OTHER,
  KEY_ID,
  KEY_PROMPT,
  KEY_SOURCE,
  KEY_PROMPT_EMBEDDING,
  KEY_TEXT, /* from here on they have a response number */
  KEY_MODEL,
  KEY_EMBEDDING,
  KEY_SCORE,
  KEY_BAD
} KeyKind;

typedef struct Key {
  KeyKind kind;
  size_t number;    /* of the response, from 1 */
  const char *name; /* of the reward model, in the key's own memory */
} Key;

static Key classify(const char *key) {
  Key k = {KEY_OTHER, 0, NULL};
  const char *p = key;
  int prompt_response = 0;
  if (strncmp(p, "prompt", 6) == 0) {
    p += 6;
    if (*p == 0) k.kind = KEY_PROMPT;
    if (strcmp(p, "_id") == 0) k.kind = KEY_ID;
    if (strcmp(p, "_embedding") == 0) k.kind = KEY_PROMPT_EMBEDDING;
    if (strncmp(p, "_response_", 10) != 0) return k;
    prompt_response = 1;
    p++;
  } else if (*p == 's') {
    if (strcmp(p, "subset") == 0) k.kind = KEY_SOURCE;
    return k;
  }
  if (strncmp(p, "response_", 9) != 0 || p[9] < '0' || p[9] > '9') return k;
  p += 9;
  if (*p == '0') k.kind = KEY_BAD;
  for (; *p >= '0' && *p <= '9'; p++) {
    k.number = k.number * 10 + (size_t)(*p - '0');
    if (k.number > PLLM_MAX_RESPONSES) {
      k.kind = KEY_BAD;
      return k;
    }
  }
  if (k.kind == KEY_BAD) return k;
  if (prompt_response) {
    if (strcmp(p, "_embedding") == 0) k.kind = KEY_EMBEDDING;
  } else if (*p == 0) {
    k.kind = KEY_TEXT;
  } else if (*p == '_') {
    k.name = p + 1;
    k.kind = strcmp(k.name, "model") == 0       ? KEY_MODEL
             : strcmp(k.name, "embedding") == 0 ? KEY_EMBEDDING
             : *k.name                          ? KEY_SCORE
                                                : KEY_BAD;
  }
  return k;
}

static PllmStatus bad_key(const char *key, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is not in the schema: responses are numbered from 1 to %d", key,
                   PLLM_MAX_RESPONSES);
}

PllmStatus pllm_dataset_models(const PllmJson *line, PllmNameList *models, PllmError *err) {
  for (const PllmJson *m = pllm_json_first(line); m; m = pllm_json_next(m)) {
    const char *key = pllm_json_key(m);
    Key k;
    if (!key) break; /* no object: reading the line says so */
    k = classify(key);
    if (k.kind == KEY_BAD) return bad_key(key, err);
    if (k.kind == KEY_SCORE && pllm_name_list_find(models, k.name) < 0) {
      PllmStatus status;
      if (models->count == PLLM_MAX_MODELS)
        return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" would be one reward model more than %d", key,
                         PLLM_MAX_MODELS);
      status = pllm_name_list_add(models, k.name, err);
      if (status != PLLM_OK) return status;
    }
  }
  return PLLM_OK;
}

PllmDatasetKind pllm_dataset_kind(const PllmJson *line) {
  int person = 0, test = 0, prompt = 0, embedding = 0;
  for (const PllmJson *m = pllm_json_first(line); m; m = pllm_json_next(m)) {
    const char *key = pllm_json_key(m);
    KeyKind kind;
    if (!key) break;
    person |= strcmp(key, "person_id") == 0 || strcmp(key, "person_weight") == 0;
    test |= strcmp(key, "test_prompt") == 0;
    kind = classify(key).kind;
    prompt |= kind == KEY_PROMPT || kind == KEY_TEXT;
    embedding |= kind == KEY_EMBEDDING || kind == KEY_PROMPT_EMBEDDING;
  }
  if (person) return test ? PLLM_DATASET_EVAL : PLLM_DATASET_INTERACTIONS;
  return embedding && !prompt ? PLLM_DATASET_EMBEDDINGS : PLLM_DATASET_PROMPTS;
}

/* ---- values ---- */

PllmStatus pllm_core_text(const PllmJson *value, const char **out, PllmError *err) {
  if (pllm_json_type(value) != PLLM_JSON_TEXT && pllm_json_type(value) != PLLM_JSON_NULL)
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is %s; text is required", pllm_json_key(value),
                     pllm_json_type_name(value));
  *out = pllm_json_text(value);
  return PLLM_OK;
}

PllmStatus pllm_core_real(const PllmJson *value, int *known, double *out, PllmError *err) {
  double x = pllm_json_number(value);
  *known = pllm_json_type(value) != PLLM_JSON_NULL;
  if (!*known) return PLLM_OK;
  if (pllm_json_type(value) != PLLM_JSON_NUMBER || !isfinite(x))
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is %s; a finite number is required", pllm_json_key(value),
                     pllm_json_type(value) == PLLM_JSON_NUMBER ? "infinite" : pllm_json_type_name(value));
  *out = x;
  return PLLM_OK;
}

PllmStatus pllm_core_whole(const PllmJson *value, int *known, int64_t *out, PllmError *err) {
  double x = 0;
  char found[32];
  PllmStatus status;
  *known = 0;
  if (pllm_json_type(value) != PLLM_JSON_NULL && pllm_json_type(value) != PLLM_JSON_NUMBER)
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is %s; a whole number is required", pllm_json_key(value),
                     pllm_json_type_name(value));
  status = pllm_core_real(value, known, &x, err);
  if (status != PLLM_OK || !*known) return status;
  if (x != floor(x) || fabs(x) > (double)PLLM_MAX_JSON_ID) {
    *known = 0;
    pllm_number_text(x, found);
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is %s; a whole number within +-9007199254740991 is required",
                     pllm_json_key(value), found);
  }
  *out = (int64_t)x;
  return PLLM_OK;
}

size_t pllm_core_embedding_bytes(const PllmJson *value) {
  return pllm_json_type(value) == PLLM_JSON_ARRAY ? 4 * pllm_json_count(value) : 0;
}

PllmStatus pllm_core_embedding(const PllmJson *value, unsigned char *out, PllmEmbedding *embedding, PllmError *err) {
  size_t n = 0;
  embedding->f32 = NULL;
  embedding->dim = 0;
  if (pllm_json_type(value) == PLLM_JSON_NULL) return PLLM_OK;
  if (pllm_json_type(value) != PLLM_JSON_ARRAY)
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is %s; an array of numbers is required", pllm_json_key(value),
                     pllm_json_type_name(value));
  for (const PllmJson *e = pllm_json_first(value); e; e = pllm_json_next(e), n++) {
    double x = pllm_json_number(e);
    if (n == PLLM_MAX_DIM) break;
    if (pllm_json_type(e) != PLLM_JSON_NUMBER || !isfinite((float)x)) {
      char found[32];
      if (pllm_json_type(e) == PLLM_JSON_NUMBER) pllm_number_text(x, found);
      return pllm_fail(err, PLLM_INVALID, "key \"%.60s\": element %zu is %s; a finite f32 number is required",
                       pllm_json_key(value), n,
                       pllm_json_type(e) != PLLM_JSON_NUMBER ? pllm_json_type_name(e)
                       : isfinite(x)                         ? found
                                                             : "infinite");
    }
    pllm_vector_store(&x, 1, PLLM_F32, out + 4 * n);
  }
  if (n == 0 || pllm_json_count(value) > PLLM_MAX_DIM)
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is an array of %zu numbers; an embedding has 1 to %d",
                     pllm_json_key(value), pllm_json_count(value), PLLM_MAX_DIM);
  embedding->f32 = out;
  embedding->dim = n;
  return PLLM_OK;
}

/* ---- a line ---- */

/* What has been seen of the line so far, besides what the record says. */
typedef struct Fill {
  const PllmNameList *models;
  PllmPromptLine *record;
  PllmError *err;
  unsigned seen;   /* bit per KeyKind below KEY_TEXT */
  size_t f32_used; /* bytes */
  size_t hint;     /* the reward model of the last score: keys come in the same order line after line */
  int full;        /* the record's memory does not suffice */
} Fill;

/* Bits of PllmResponseLine.present while a line is being read. */
enum { SEEN_TEXT = 1, SEEN_MODEL = 2, SEEN_EMBEDDING = 4 };

static unsigned char *score_seen(const PllmPromptLine *record) {
  return (unsigned char *)(record->scores + record->score_room);
}

static PllmStatus twice(const PllmJson *value, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is given twice", pllm_json_key(value));
}

static PllmStatus fill_embedding(Fill *f, const PllmJson *value, PllmEmbedding *embedding) {
  size_t bytes = pllm_core_embedding_bytes(value);
  if (bytes > f->record->f32_room - f->f32_used) {
    f->full = 1;
    return PLLM_INVALID;
  }
  f->f32_used += bytes;
  return pllm_core_embedding(value, bytes > 0 ? f->record->f32 + f->f32_used - bytes : NULL, embedding, f->err);
}

static long find_model(Fill *f, const char *name) {
  const PllmNameList *models = f->models;
  for (size_t i = f->hint; i < models->count && i < f->hint + 2; i++)
    if (strcmp(models->name[i], name) == 0) return (long)i;
  return pllm_name_list_find(models, name);
}

static PllmStatus unknown_model(Fill *f, const PllmJson *value, const char *name) {
  const PllmNameList *models = f->models;
  f->record->unknown_model = 1;
  return pllm_fail(
      f->err, PLLM_INVALID, "key \"%.60s\": no reward model \"%.60s\" in the table, which has %zu%s%.60s%s",
      pllm_json_key(value), name, models->count, models->count ? " (" : "", models->count ? models->name[0] : "",
      models->count > 1 ? ", ...)"
      : models->count   ? ")"
                        : "");
}

static PllmStatus fill_score(Fill *f, const PllmJson *value, const Key *k) {
  PllmPromptLine *record = f->record;
  PllmResponseLine *response = &record->responses[k->number - 1];
  long b = find_model(f, k->name);
  double x = NAN;
  int known;
  size_t at;
  PllmStatus status;
  if (b < 0) return unknown_model(f, value, k->name);
  f->hint = (size_t)b;
  at = (k->number - 1) * f->models->count + (size_t)b;
  if (score_seen(record)[at]) return twice(value, f->err);
  score_seen(record)[at] = 1;
  status = pllm_core_real(value, &known, &x, f->err);
  record->scores[at] = x;
  response->n_scores += (size_t)known;
  return status;
}

/* Start the responses up to number. */
static int fill_responses(Fill *f, size_t number) {
  PllmPromptLine *record = f->record;
  size_t b = f->models->count;
  if (number > record->response_room || number * b > record->score_room) {
    f->full = 1;
    return 0;
  }
  for (size_t i = record->n_responses; i < number; i++) {
    memset(&record->responses[i], 0, sizeof record->responses[i]);
    record->responses[i].scores = b > 0 ? record->scores + i * b : NULL;
    for (size_t m = 0; m < b; m++) record->scores[i * b + m] = NAN;
    if (b > 0) memset(score_seen(record) + i * b, 0, b);
  }
  if (number > record->n_responses) record->n_responses = number;
  return 1;
}

static PllmStatus fill_response(Fill *f, const PllmJson *value, const Key *k) {
  int bit = k->kind == KEY_TEXT ? SEEN_TEXT : k->kind == KEY_MODEL ? SEEN_MODEL : SEEN_EMBEDDING;
  PllmResponseLine *response;
  if (!fill_responses(f, k->number)) return PLLM_INVALID;
  if (k->kind == KEY_SCORE) return fill_score(f, value, k);
  response = &f->record->responses[k->number - 1];
  if (response->present & bit) return twice(value, f->err);
  response->present |= bit;
  if (k->kind == KEY_EMBEDDING) return fill_embedding(f, value, &response->embedding);
  return pllm_core_text(value, k->kind == KEY_TEXT ? &response->text : &response->model, f->err);
}

static PllmStatus fill_id(Fill *f, const PllmJson *value) {
  PllmPromptLine *record = f->record;
  int known;
  PllmStatus status;
  if (pllm_json_type(value) == PLLM_JSON_TEXT) {
    record->has_id = 2;
    record->id_text = pllm_json_text(value);
    return PLLM_OK;
  }
  status = pllm_core_whole(value, &known, &record->prompt_id, f->err);
  record->has_id = known;
  return status;
}

static PllmStatus fill_member(Fill *f, const PllmJson *value) {
  PllmPromptLine *record = f->record;
  Key k = classify(pllm_json_key(value));
  if (k.kind == KEY_OTHER) return PLLM_OK;
  if (k.kind == KEY_BAD) return bad_key(pllm_json_key(value), f->err);
  if (k.kind >= KEY_TEXT) return fill_response(f, value, &k);
  if (f->seen >> k.kind & 1) return twice(value, f->err);
  f->seen |= 1u << k.kind;
  switch (k.kind) {
  case KEY_ID: return fill_id(f, value);
  case KEY_PROMPT: return pllm_core_text(value, &record->prompt, f->err);
  case KEY_SOURCE: return pllm_core_text(value, &record->source, f->err);
  default: return fill_embedding(f, value, &record->embedding);
  }
}

/* Rules R1 and R2, once the whole line is known. */
static PllmStatus finish_responses(const Fill *f, int embeddings_only) {
  PllmPromptLine *record = f->record;
  if (!embeddings_only && !(f->seen >> KEY_PROMPT & 1))
    return pllm_fail(f->err, PLLM_INVALID, "key \"prompt\" is missing");
  if (!embeddings_only && record->n_responses == 0)
    return pllm_fail(f->err, PLLM_INVALID, "key \"response_1\" is missing");
  for (size_t i = 0; i < record->n_responses; i++) {
    PllmResponseLine *r = &record->responses[i];
    int seen_text = r->present & SEEN_TEXT;
    r->present = r->text || r->model || r->n_scores > 0 || r->embedding.f32;
    if (seen_text || embeddings_only) continue;
    if (r->present)
      return pllm_fail(f->err, PLLM_INVALID,
                       "key \"response_%zu\" is missing, but other keys of that response are there", i + 1);
    return pllm_fail(f->err, PLLM_INVALID, "key \"response_%zu\" is missing, but there is a response %zu", i + 1,
                     record->n_responses);
  }
  return PLLM_OK;
}

static PllmStatus fill(Fill *f, const PllmJson *line, int embeddings_only) {
  PllmPromptLine *record = f->record;
  PllmStatus status = PLLM_OK;
  if (pllm_json_type(line) != PLLM_JSON_OBJECT)
    return pllm_fail(f->err, PLLM_INVALID, "the line is %s; an object is required", pllm_json_type_name(line));
  record->has_id = 0;
  record->prompt = record->source = record->id_text = NULL;
  memset(&record->embedding, 0, sizeof record->embedding);
  record->n_responses = 0;
  record->unknown_model = 0;
  for (const PllmJson *m = pllm_json_first(line); status == PLLM_OK && m; m = pllm_json_next(m))
    status = fill_member(f, m);
  return status == PLLM_OK ? finish_responses(f, embeddings_only) : status;
}

int pllm_prompt_line_try(const PllmJson *line, const PllmNameList *models, int embeddings_only,
                         PllmPromptLine *record) {
  Fill f = {.models = models, .record = record};
  return fill(&f, line, embeddings_only) == PLLM_OK;
}

/* Memory for n responses and f32_bytes of embeddings. */
static PllmStatus record_room(PllmPromptLine *record, size_t n, size_t models, size_t f32_bytes, PllmError *err) {
  if (n > record->response_room) {
    PllmResponseLine *responses = pllm_resize(record->responses, n, sizeof *responses);
    if (!responses) return pllm_fail_nomem(err);
    record->responses = responses;
    record->response_room = n;
  }
  if (n * models > record->score_room) {
    double *scores = pllm_resize(record->scores, n * models, sizeof *scores + 1);
    if (!scores) return pllm_fail_nomem(err);
    record->scores = scores;
    record->score_room = n * models;
  }
  if (f32_bytes > record->f32_room) {
    unsigned char *f32 = pllm_resize(record->f32, f32_bytes, 1);
    if (!f32) return pllm_fail_nomem(err);
    record->f32 = f32;
    record->f32_room = f32_bytes;
  }
  return PLLM_OK;
}

PllmStatus pllm_prompt_line_read(const PllmJson *line, const PllmNameList *models, int embeddings_only,
                                 PllmPromptLine *record, PllmError *err) {
  Fill f = {.models = models, .record = record, .err = err};
  size_t n = 0, bytes = 0;
  PllmStatus status;
  for (const PllmJson *m = pllm_json_first(line); m && pllm_json_key(m); m = pllm_json_next(m)) {
    Key k = classify(pllm_json_key(m));
    if (k.kind >= KEY_TEXT && k.kind < KEY_BAD && k.number > n) n = k.number;
    if (k.kind == KEY_EMBEDDING || k.kind == KEY_PROMPT_EMBEDDING) bytes += pllm_core_embedding_bytes(m);
  }
  status = record_room(record, n, models->count, bytes, err);
  return status == PLLM_OK ? fill(&f, line, embeddings_only) : status;
}

void pllm_prompt_line_release(PllmPromptLine *record) {
  pllm_free(record->responses);
  pllm_free(record->scores);
  pllm_free(record->f32);
  memset(record, 0, sizeof *record);
}
