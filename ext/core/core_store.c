/*
** core_store.c: packed scores, and the columnar store built from them.
**
** A store is filled row by row and sorted once, by an in-place permutation of every column, so that even unsorted
** input never needs a second copy of the score matrix.
*/
#include "core_int.h"
#include "core_names.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t pllm_scores_pack(const double *raw, const uint8_t *known, size_t n_models, void *bytes) {
  unsigned char *p = bytes, *bits = p + 8 * n_models;
  size_t n_known = 0;
  for (size_t b = 0; b < n_models; b++) n_known += known[b];
  if (n_known == 0) return 0;
  pllm_vector_store(raw, n_models, PLLM_F64, p);
  if (n_known == n_models) return 8 * n_models;
  memset(bits, 0, (n_models + 7) / 8);
  for (size_t b = 0; b < n_models; b++) {
    if (known[b])
      bits[b / 8] |= (unsigned char)(1u << b % 8);
    else
      memset(p + 8 * b, 0, 8);
  }
  return 8 * n_models + (n_models + 7) / 8;
}

PllmStatus pllm_scores_unpack(const void *bytes, size_t length, size_t n_models, double *raw, uint8_t *known,
                              int *all, PllmError *err) {
  const unsigned char *bits = NULL;
  *all = 0;
  if (length == 0) {
    memset(known, 0, n_models);
    memset(raw, 0, n_models * sizeof *raw);
    return PLLM_OK;
  }
  if (length == 8 * n_models + (n_models + 7) / 8)
    bits = (const unsigned char *)bytes + 8 * n_models;
  else if (length != 8 * n_models)
    return pllm_fail(err, PLLM_CORRUPT, "%zu bytes of packed scores; %zu reward models need %zu or %zu", length,
                     n_models, 8 * n_models, 8 * n_models + (n_models + 7) / 8);
  pllm_vector_load(bytes, PLLM_F64, n_models, raw);
  *all = bits == NULL;
  for (size_t b = 0; b < n_models; b++) {
    known[b] = bits ? bits[b / 8] >> b % 8 & 1 : 1;
    if (!(fabs(raw[b]) <= DBL_MAX)) return pllm_fail(err, PLLM_CORRUPT, "packed score %zu is not finite", b);
  }
  return PLLM_OK;
}

PllmStatus pllm_scores_normalize(const double *raw, const double *mean, const double *sd, size_t n, size_t n_models,
                                 double *out, size_t *row, PllmError *err) {
  for (size_t i = 0; i < n; i++, raw += n_models, out += n_models) {
    int finite = 1;
    for (size_t b = 0; b < n_models; b++) {
      out[b] = (raw[b] - mean[b]) / sd[b];
      finite &= fabs(out[b]) <= DBL_MAX;
    }
    if (finite) continue;
    if (row) *row = i;
    for (size_t b = 0; b < n_models; b++)
      if (!(fabs(out[b]) <= DBL_MAX))
        return pllm_fail(err, PLLM_INVALID, "the reward of reward model %zu overflows with mean %g and sd %g", b + 1,
                         mean[b], sd[b]);
  }
  return PLLM_OK;
}

struct PllmStore {
  PllmScores view;
  size_t room;
  int finished;
  PllmNames names;
  /* The columns behind view, owned, [room]. */
  int64_t *response_id, *position, *prompts; /* prompts: one a response until finished, then one a prompt */
  int32_t *model;
  double *rewards;
  size_t *first;
};

void pllm_store_free(PllmStore *store) {
  if (!store) return;
  pllm_core_names_free(&store->names);
  pllm_free(store->response_id);
  pllm_free(store->position);
  pllm_free(store->prompts);
  pllm_free(store->model);
  pllm_free(store->rewards);
  pllm_free(store->first);
  pllm_free(store);
}

/* Make every column `room` long.  A failure leaves the old columns valid. */
static PllmStatus resize(PllmStore *store, size_t room, PllmError *err) {
  const size_t b = store->view.n_models;
  void *p;
  if (room > SIZE_MAX / 8 / b) return pllm_fail_nomem(err);
  if (!(p = pllm_resize(store->response_id, room, sizeof *store->response_id))) return pllm_fail_nomem(err);
  store->response_id = p;
  if (!(p = pllm_resize(store->position, room, sizeof *store->position))) return pllm_fail_nomem(err);
  store->position = p;
  if (!(p = pllm_resize(store->prompts, room, sizeof *store->prompts))) return pllm_fail_nomem(err);
  store->prompts = p;
  if (!(p = pllm_resize(store->model, room, sizeof *store->model))) return pllm_fail_nomem(err);
  store->model = p;
  if (!(p = pllm_resize(store->rewards, room * b, sizeof *store->rewards))) return pllm_fail_nomem(err);
  store->rewards = p;
  store->room = room;
  return PLLM_OK;
}

PllmStatus pllm_store_new(size_t n_models, size_t rows, PllmStore **out, PllmError *err) {
  PllmStore *store = pllm_alloc_zero(1, sizeof *store);
  PllmStatus status;
  if (!store) return pllm_fail_nomem(err);
  store->view.n_models = n_models;
  status = resize(store, rows > 0 ? rows : 1, err);
  if (status != PLLM_OK) {
    pllm_store_free(store);
    return status;
  }
  *out = store;
  return PLLM_OK;
}

PllmStatus pllm_store_add(PllmStore *store, int64_t response_id, int64_t prompt_id, int64_t position,
                          const char *model, size_t model_bytes, const void *packed, size_t packed_bytes,
                          PllmError *err) {
  const size_t b = store->view.n_models, i = store->view.n_responses;
  uint8_t known[PLLM_MAX_MODELS];
  PllmStatus status;
  int all;
  if (i == store->room && (status = resize(store, 2 * i, err)) != PLLM_OK) return status;
  status = pllm_scores_unpack(packed, packed_bytes, b, store->rewards + i * b, known, &all, err);
  if (status != PLLM_OK) return status;
  if (!all) {
    store->view.skipped++;
    return PLLM_OK;
  }
  store->model[i] = -1;
  if (model && (status = pllm_core_names_add(&store->names, model, model_bytes, &store->model[i], err)) != PLLM_OK)
    return status;
  store->response_id[i] = response_id;
  store->prompts[i] = prompt_id;
  store->position[i] = position;
  store->view.n_responses = i + 1;
  return PLLM_OK;
}

typedef struct SortKey {
  int64_t prompt, position;
  size_t row;
} SortKey;

static int compare(const void *a, const void *b) {
  const SortKey *x = a, *y = b;
  if (x->prompt != y->prompt) return x->prompt < y->prompt ? -1 : 1;
  return x->position < y->position ? -1 : x->position > y->position;
}

static int is_sorted(const PllmStore *store) {
  for (size_t i = 1; i < store->view.n_responses; i++)
    if (store->prompts[i] < store->prompts[i - 1] ||
        (store->prompts[i] == store->prompts[i - 1] && store->position[i] < store->position[i - 1]))
      return 0;
  return 1;
}

/* Bring the rows into the order of keys by following the cycles of the permutation, one spare row at a time. */
static void permute(PllmStore *store, SortKey *keys) {
  const size_t n = store->view.n_responses, b = store->view.n_models;
  double spare[PLLM_MAX_MODELS];
  for (size_t i = 0; i < n; i++) {
    int64_t id = store->response_id[i];
    int32_t model = store->model[i];
    size_t at = i, from;
    if (keys[i].row == i) continue;
    memcpy(spare, store->rewards + i * b, b * sizeof *spare);
    while ((from = keys[at].row) != i) {
      store->response_id[at] = store->response_id[from];
      store->model[at] = store->model[from];
      memcpy(store->rewards + at * b, store->rewards + from * b, b * sizeof *spare);
      keys[at].row = at;
      at = from;
    }
    store->response_id[at] = id;
    store->model[at] = model;
    memcpy(store->rewards + at * b, spare, b * sizeof *spare);
    keys[at].row = at;
  }
  for (size_t i = 0; i < n; i++) {
    store->prompts[i] = keys[i].prompt;
    store->position[i] = keys[i].position;
  }
}

static PllmStatus sort(PllmStore *store, PllmError *err) {
  const size_t n = store->view.n_responses;
  SortKey *keys;
  if (is_sorted(store)) return PLLM_OK;
  keys = pllm_alloc(n, sizeof *keys);
  if (!keys) return pllm_fail_nomem(err);
  for (size_t i = 0; i < n; i++) keys[i] = (SortKey){store->prompts[i], store->position[i], i};
  qsort(keys, n, sizeof *keys, compare);
  permute(store, keys);
  pllm_free(keys);
  return PLLM_OK;
}

/* From one prompt_id a response to one a prompt, in place, with where each begins. */
static PllmStatus group(PllmStore *store, PllmError *err) {
  const size_t n = store->view.n_responses;
  size_t prompts = 0;
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && store->prompts[i] == store->prompts[i - 1]) {
      if (store->position[i] == store->position[i - 1])
        return pllm_fail(err, PLLM_CORRUPT, "two responses have prompt_id %lld and position %lld",
                         (long long)store->prompts[i], (long long)store->position[i]);
    } else {
      prompts++;
    }
  }
  store->first = pllm_alloc(prompts + 1, sizeof *store->first);
  if (!store->first) return pllm_fail_nomem(err);
  prompts = 0;
  for (size_t i = 0; i < n; i++) {
    if (prompts > 0 && store->prompts[i] == store->prompts[prompts - 1]) continue;
    store->first[prompts] = i;
    store->prompts[prompts++] = store->prompts[i];
  }
  store->first[prompts] = n;
  store->view.n_prompts = prompts;
  return PLLM_OK;
}

PllmStatus pllm_store_finish(PllmStore *store, const double *mean, const double *sd, PllmError *err) {
  PllmScores *view = &store->view;
  size_t row = 0;
  PllmStatus status = sort(store, err);
  if (status == PLLM_OK) status = group(store, err);
  if (status != PLLM_OK) return status;
  if (mean) {
    status =
        pllm_scores_normalize(store->rewards, mean, sd, view->n_responses, view->n_models, store->rewards, &row, err);
    if (status != PLLM_OK) return pllm_error_prefix(err, "response %lld", (long long)store->response_id[row]);
  }
  view->prompt_id = store->prompts;
  view->first = store->first;
  view->response_id = store->response_id;
  view->position = store->position;
  view->model = store->model;
  view->rewards = store->rewards;
  view->n_model_names = store->names.count;
  view->model_names = (const char *const *)store->names.names;
  store->finished = 1;
  return PLLM_OK;
}

const PllmScores *pllm_store_scores(const PllmStore *store) {
  return store->finished ? &store->view : NULL;
}

size_t pllm_store_bytes(const PllmStore *store) {
  return sizeof *store + store->room * (3 * sizeof(int64_t) + sizeof(int32_t) + 8 * store->view.n_models) +
         (store->view.n_prompts + 1) * sizeof(size_t) + store->names.bytes + 64 * store->names.room;
}
