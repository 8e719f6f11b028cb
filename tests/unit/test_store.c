/* core_store.c, core_splits.c, core_names.c: packing, the columnar store, splits, and what damaged rows do. */
#include "tap.h"

#include <stdlib.h>

static PllmError err;

static void test_pack(void) {
  unsigned char bytes[PLLM_PACKED_MAX];
  double raw[PLLM_MAX_MODELS], back[PLLM_MAX_MODELS];
  uint8_t known[PLLM_MAX_MODELS], known_back[PLLM_MAX_MODELS];
  int all, good = 1;
  for (size_t n = 1; n <= PLLM_MAX_MODELS; n += n < 20 ? 1 : 47) {
    for (int round = 0; round < 20; round++) {
      size_t n_known = 0, length;
      for (size_t b = 0; b < n; b++) {
        raw[b] = rand() / 1000.0 - 1e6;
        known[b] = round == 0 ? 0 : round == 1 ? 1 : rand() % 2;
        n_known += known[b];
      }
      memset(bytes, 0xA5, sizeof bytes);
      length = pllm_scores_pack(raw, known, n, bytes);
      good &= length == (n_known == 0 ? 0 : n_known == n ? 8 * n : 8 * n + (n + 7) / 8);
      good &= pllm_scores_unpack(bytes, length, n, back, known_back, &all, &err) == PLLM_OK;
      good &= all == (n_known == n) && memcmp(known, known_back, n) == 0;
      for (size_t b = 0; b < n; b++) good &= back[b] == (known[b] ? raw[b] : 0);
    }
  }
  tap_check(good, "packed scores come back, with what is known, for 1 to 256 reward models");
  tap_fails(pllm_scores_unpack(bytes, 18, 2, back, known_back, &all, &err), PLLM_CORRUPT, &err,
            "18 bytes of packed scores; 2 reward models need 16 or 17");
  raw[0] = 1, raw[1] = NAN;
  pllm_vector_store(raw, 2, PLLM_F64, bytes);
  tap_fails(pllm_scores_unpack(bytes, 16, 2, back, known_back, &all, &err), PLLM_CORRUPT, &err,
            "packed score 1 is not finite");
}

static void test_normalize(void) {
  const double raw[] = {1, 2, 3, 4}, mean[] = {0.1, 2}, sd[] = {0.3, 0.7};
  double out[4];
  size_t row = 9;
  int good;
  tap_check(pllm_scores_normalize(raw, mean, sd, 2, 2, out, &row, &err) == PLLM_OK, "rewards are computed");
  good = out[0] == (1 - 0.1) / 0.3 && out[1] == 0 && out[2] == (3 - 0.1) / 0.3 && out[3] == (4 - 2) / 0.7;
  tap_check(good && row == 9, "as (raw - mean) / sd, each operation rounded");
  tap_fails(pllm_scores_normalize(raw, mean, (double[]){1, 1e-310}, 2, 2, out, &row, &err), PLLM_INVALID, &err,
            "the reward of reward model 2 overflows with mean 2 and sd 1e-310");
  tap_check(row == 1, "and the row is told");
}

static const char *const writers[] = {"ann", "bob", NULL, "cy"};

static PllmStatus add(PllmStore *store, int64_t id, int64_t prompt, int64_t position, size_t n_models) {
  unsigned char bytes[PLLM_PACKED_MAX];
  double raw[PLLM_MAX_MODELS];
  const char *model = writers[id & 3];
  for (size_t b = 0; b < n_models; b++) raw[b] = (double)id * 100 + (double)b;
  pllm_vector_store(raw, n_models, PLLM_F64, bytes);
  return pllm_store_add(store, id, prompt, position, model, model ? strlen(model) : 0, bytes, 8 * n_models, &err);
}

/* Random rows in random order must equal what sorting them says. */
static void test_order(void) {
  int good = 1;
  for (int round = 0; round < 40; round++) {
    size_t n_models = 1 + (size_t)rand() % 5, n = (size_t)rand() % 60, k = 0;
    PllmStore *store = NULL;
    const PllmScores *view;
    int64_t cell[24 * 8] = {0};
    good &= pllm_store_new(n_models, round % 2 ? n : 0, &store, &err) == PLLM_OK;
    for (size_t i = 0; i < n; i++) {
      size_t c;
      do c = (size_t)rand() % (24 * 8);
      while (cell[c]);
      cell[c] = (int64_t)i + 1;
      good &= add(store, cell[c], (int64_t)(c / 8) - 12, (int64_t)(c % 8) + 1, n_models) == PLLM_OK;
    }
    good &= pllm_store_scores(store) == NULL;
    good &= pllm_store_finish(store, NULL, NULL, &err) == PLLM_OK;
    view = pllm_store_scores(store);
    good &= view && view->n_responses == n && view->n_models == n_models && view->skipped == 0;
    for (size_t p = 0; good && p < view->n_prompts; p++) {
      good &= view->first[p] < view->first[p + 1] && (p == 0 || view->prompt_id[p] > view->prompt_id[p - 1]);
      for (size_t i = view->first[p]; i < view->first[p + 1]; i++, k++) {
        size_t c = (size_t)(view->prompt_id[p] + 12) * 8 + (size_t)view->position[i] - 1;
        const char *model = writers[view->response_id[i] & 3];
        good &= i == k && view->response_id[i] == cell[c] && cell[c] > 0;
        good &= i == view->first[p] || view->position[i] > view->position[i - 1];
        good &= model ? view->model[i] >= 0 && strcmp(view->model_names[view->model[i]], model) == 0
                      : view->model[i] == -1;
        for (size_t b = 0; b < n_models; b++)
          good &= view->rewards[i * n_models + b] == (double)cell[c] * 100 + (double)b;
      }
    }
    good &= view && k == n && view->first[view->n_prompts] == n && view->n_model_names <= 3;
    pllm_store_free(store);
  }
  tap_check(good, "a store filled in any order is sorted by prompt and position, every column along");
}

static void test_skipped(void) {
  unsigned char bytes[17] = {0};
  PllmStore *store = NULL;
  const PllmScores *view;
  pllm_store_new(2, 4, &store, &err);
  bytes[16] = 1;
  tap_check(pllm_store_add(store, 1, 1, 1, NULL, 0, bytes, 17, &err) == PLLM_OK &&
                pllm_store_add(store, 2, 1, 2, NULL, 0, NULL, 0, &err) == PLLM_OK &&
                add(store, 3, 1, 3, 2) == PLLM_OK,
            "partly and not scored responses may be added");
  tap_check(pllm_store_finish(store, (double[]){300, 301}, (double[]){1, 2}, &err) == PLLM_OK, "finish with means");
  view = pllm_store_scores(store);
  tap_check(view->skipped == 2 && view->n_responses == 1 && view->n_prompts == 1 && view->rewards[0] == 0 &&
                view->rewards[1] == 0,
            "they are counted, not kept");
  pllm_store_free(store);
  pllm_store_new(2, 0, &store, &err);
  add(store, 1, 5, 1, 2);
  add(store, 2, 5, 1, 2);
  tap_fails(pllm_store_finish(store, NULL, NULL, &err), PLLM_CORRUPT, &err,
            "two responses have prompt_id 5 and position 1");
  pllm_store_free(store);
  pllm_store_new(1, 0, &store, &err);
  tap_fails(pllm_store_add(store, 1, 1, 1, NULL, 0, bytes, 3, &err), PLLM_CORRUPT, &err, "3 bytes of packed scores");
  pllm_store_finish(store, NULL, NULL, &err);
  tap_check(pllm_store_scores(store)->n_prompts == 0 && pllm_store_scores(store)->first[0] == 0, "an empty store");
  pllm_store_free(store);
  pllm_store_new(1, 0, &store, &err);
  add(store, 7, 1, 1, 1);
  tap_fails(pllm_store_finish(store, (double[]){0}, (double[]){1e-310}, &err), PLLM_INVALID, &err,
            "response 7: the reward of reward model 1 overflows");
  pllm_store_free(store);
}

static void test_splits(void) {
  static const struct {
    int64_t id;
    const char *split;
  } rows[] = {{30, "test"}, {10, "train"}, {20, NULL}, {25, "train"}, {40, "test"}, {50, "dev"}};
  const int64_t ids[] = {5, 10, 20, 26, 40, 50, 60};
  int32_t out[7];
  PllmSplits *splits = NULL;
  pllm_splits_new(&splits, &err);
  for (size_t i = 0; i < 6; i++)
    pllm_splits_add(splits, rows[i].id, rows[i].split, rows[i].split ? strlen(rows[i].split) : 0, &err);
  tap_check(pllm_splits_finish(splits, &err) == PLLM_OK && pllm_splits_count(splits) == 3, "three splits");
  tap_check(strcmp(pllm_splits_names(splits)[0], "train") == 0 && strcmp(pllm_splits_names(splits)[1], "test") == 0 &&
                strcmp(pllm_splits_names(splits)[2], "dev") == 0,
            "in order of first appearance by prompt_id, whatever order they came in");
  tap_check(pllm_splits_prompts(splits, 0) == 2 && pllm_splits_prompts(splits, 1) == 2 &&
                pllm_splits_prompts(splits, 2) == 1,
            "their prompts are counted");
  pllm_splits_assign(splits, ids, 7, out);
  tap_check(out[0] == -1 && out[1] == 0 && out[2] == -1 && out[3] == -1 && out[4] == 1 && out[5] == 2 && out[6] == -1,
            "prompts get their split, unknown ones and those in none -1");
  pllm_splits_free(splits);
  pllm_splits_new(&splits, &err);
  pllm_splits_add(splits, 1, "a", 1, &err);
  pllm_splits_add(splits, 1, "b", 1, &err);
  tap_fails(pllm_splits_finish(splits, &err), PLLM_INVALID, &err, "prompt_id 1 occurs more than once");
  pllm_splits_free(splits);
  pllm_splits_new(&splits, &err);
  tap_check(pllm_splits_finish(splits, &err) == PLLM_OK && pllm_splits_count(splits) == 0, "no prompts, no splits");
  pllm_splits_assign(splits, ids, 7, out);
  tap_check(out[0] == -1 && out[6] == -1, "and every prompt in none");
  pllm_splits_free(splits);
  pllm_splits_new(&splits, &err);
  for (int i = 0; i < 5000; i++) {
    char name[16];
    pllm_splits_add(splits, i, name, (size_t)snprintf(name, sizeof name, "s%d", i / 2), &err);
  }
  tap_check(pllm_splits_finish(splits, &err) == PLLM_OK && pllm_splits_count(splits) == 2500 &&
                strcmp(pllm_splits_names(splits)[2499], "s2499") == 0,
            "thousands of distinct names");
  pllm_splits_free(splits);
}

/* Fail allocation k for every k until a run meets none: each run reports NOMEM or succeeds, and nothing leaks. */
static long allowed, live;

static void *limited(size_t bytes) {
  void *p = allowed-- > 0 ? malloc(bytes) : NULL;
  live += p != NULL;
  return p;
}

static void *limited_resize(void *old, size_t bytes) {
  void *p = allowed-- > 0 ? realloc(old, bytes) : NULL;
  live += p != NULL && old == NULL;
  return p;
}

static void release(void *old) {
  live -= old != NULL;
  free(old);
}

static PllmStatus scenario(void) {
  PllmStore *store = NULL;
  PllmSplits *splits = NULL;
  PllmStatus status = pllm_store_new(3, 1, &store, &err);
  for (int64_t i = 20; status == PLLM_OK && i > 0; i--) status = add(store, i, i / 4, i % 4 + 1, 3);
  if (status == PLLM_OK) status = pllm_store_finish(store, NULL, NULL, &err);
  if (status == PLLM_OK) status = pllm_splits_new(&splits, &err);
  for (int64_t i = 300; status == PLLM_OK && i > 0; i--)
    status = pllm_splits_add(splits, i, i % 3 ? "a" : "b", 1, &err);
  if (status == PLLM_OK) status = pllm_splits_finish(splits, &err);
  pllm_store_free(store);
  pllm_splits_free(splits);
  return status;
}

static void test_nomem(void) {
  static const PllmAllocator allocator = {limited, limited_resize, release};
  int good = 1, runs = 0;
  PllmStatus status;
  pllm_set_allocator(&allocator);
  do {
    allowed = runs++;
    live = 0;
    status = scenario();
    good &= live == 0 && (status == PLLM_OK || status == PLLM_NOMEM);
  } while (status != PLLM_OK && runs < 1000);
  pllm_set_allocator(NULL);
  tap_check(good && runs > 15 && status == PLLM_OK,
            "every failing allocation is reported and leaks nothing (%d runs)", runs);
}

static void test_guard(void) {
  unsigned char bytes[8 * 64];
  double x[64];
  float f[128];
  for (int i = 0; i < 64; i++) x[i] = (rand() / (double)RAND_MAX - 0.5) / 3;
  pllm_vector_store(x, 64, PLLM_F64, bytes);
  tap_fails(pllm_vector_guard_f32(bytes, sizeof bytes, &err), PLLM_INVALID, &err,
            "these 512 bytes are ordinary numbers as f64 but not as f32");
  for (int i = 0; i < 64; i++) x[i] = (float)x[i];
  pllm_vector_store(x, 64, PLLM_F64, bytes);
  tap_check(pllm_vector_guard_f32(bytes, sizeof bytes, &err) == PLLM_INVALID, "also f64 that came from f32");
  pllm_vector_store(x, 64, PLLM_F32, bytes);
  tap_check(pllm_vector_guard_f32(bytes, 256, &err) == PLLM_OK, "true f32 passes");
  for (int i = 0; i < 128; i++) f[i] = i % 3 ? 1.0f : -1.0f;
  memcpy(bytes, f, sizeof f);
  tap_check(pllm_vector_guard_f32(bytes, sizeof f, &err) == PLLM_OK, "also f32 signs, ordinary in either reading");
  tap_check(pllm_vector_guard_f32(bytes, 12, &err) == PLLM_OK, "an odd number of f32 cannot be f64");
}

int main(void) {
  srand(1);
  test_pack();
  test_normalize();
  test_order();
  test_skipped();
  test_splits();
  test_nomem();
  test_guard();
  return tap_done();
}
