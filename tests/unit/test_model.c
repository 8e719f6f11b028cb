/*
** test_model.c: models as bytes: a round trip, frozen bytes, and that no bytes whatever do harm.
*/
#include "tap.h"

#include <stdlib.h>

static PllmModel *sample(void) {
  PllmError err;
  PllmModel *m = NULL;
  double *numbers;
  static const char *const names[] = {"alpha", "b\xC3\xA9ta", "c"};
  pllm_model_new(PLLM_MODEL_POOLED, 3, 0, &m, &err);
  m->seed = 7;
  m->flags = PLLM_MODEL_CONVERGED | PLLM_MODEL_OBJECTIVE;
  m->users = 2;
  m->users_skipped = 1;
  m->rows = 5;
  m->rows_skipped = 4;
  m->objective = -0.5;
  m->iterations = 2;
  pllm_model_set_features(m, names, 3, &err);
  pllm_model_set_options(m, "{\"method\":\"pooled\"}", &err);
  pllm_model_add(m, "weights", 1, 3, &numbers, &err);
  numbers[0] = 1.5;
  numbers[2] = -2;
  pllm_model_add(m, "scale", 1, 1, &numbers, &err);
  numbers[0] = 1;
  pllm_model_add(m, "user_lambda", 1, 1, &numbers, &err);
  numbers[0] = 4;
  pllm_model_add(m, "history", 2, 2, &numbers, &err);
  numbers[3] = 0.25;
  return m;
}

static int same_model(const PllmModel *a, const PllmModel *b) {
  int same = a->kind == b->kind && a->dim == b->dim && a->rank == b->rank && a->seed == b->seed &&
             a->flags == b->flags && a->users == b->users && a->users_skipped == b->users_skipped &&
             a->rows == b->rows && a->rows_skipped == b->rows_skipped && a->objective == b->objective &&
             a->iterations == b->iterations && a->n_sections == b->n_sections && strcmp(a->options, b->options) == 0;
  for (size_t i = 0; same && a->features && i < a->dim; i++)
    same = b->features && strcmp(a->features[i], b->features[i]) == 0;
  for (size_t i = 0; same && i < a->n_sections; i++) {
    const PllmSection *s = &a->sections[i], *t = &b->sections[i];
    same = strcmp(s->name, t->name) == 0 && s->rows == t->rows && s->columns == t->columns &&
           memcmp(s->numbers, t->numbers, s->rows * s->columns * 8) == 0;
  }
  return same;
}

/* The first 8k + 1 bytes of an aligned copy of the blob with its length and checksum made right again. */
static void seal(unsigned char *blob, size_t bytes) {
  uint64_t x = bytes;
  for (int i = 0; i < 8; i++) blob[16 + i] = (unsigned char)(x >> 8 * i);
  x = pllm_model_checksum(blob, bytes);
  for (int i = 0; i < 8; i++) blob[24 + i] = (unsigned char)(x >> 8 * i);
}

static size_t most_allocated;
static void *counting_alloc(size_t bytes) {
  if (bytes > most_allocated) most_allocated = bytes;
  return malloc(bytes);
}
static void *counting_resize(void *old, size_t bytes) {
  if (bytes > most_allocated) most_allocated = bytes;
  return realloc(old, bytes);
}

static uint32_t state = 1;
static uint32_t random32(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

/* Decode; when that works, what comes out must encode to the same bytes.  Returns whether it worked. */
static int harmless(const unsigned char *bytes, size_t n, int *wrong) {
  unsigned char *exact = malloc(n ? n : 1), *again;
  size_t again_bytes;
  PllmModel *m = NULL;
  PllmError err = {PLLM_OK, ""};
  PllmStatus status;
  memcpy(exact, bytes, n); /* exactly as long as it says, so that a sanitizer sees any byte read behind it */
  status = pllm_model_decode(exact, n, &m, &err);
  if (status == PLLM_OK) {
    if (pllm_model_encode(m, &again, &again_bytes, &err) != PLLM_OK || again_bytes != n ||
        memcmp(again, bytes, n) != 0)
      ++*wrong;
    pllm_free(again);
    pllm_model_free(m);
  } else if ((status != PLLM_INVALID && status != PLLM_CORRUPT) || m || !err.text[0]) {
    ++*wrong;
  }
  free(exact);
  return status == PLLM_OK;
}

static void round_trip(void) {
  PllmModel *m = sample(), *back = NULL;
  PllmError err;
  unsigned char *blob;
  size_t bytes;
  tap_check(pllm_model_encode(m, &blob, &bytes, &err) == PLLM_OK, "a model encodes");
  tap_check(bytes % 8 == 1 && pllm_model_looks(blob, bytes), "its length is odd");
  tap_check(pllm_model_decode(blob, bytes, &back, &err) == PLLM_OK && same_model(m, back), "and decodes to the same");
  tap_check(pllm_model_claim(blob) == pllm_model_checksum(blob, bytes), "under its checksum");
  pllm_free(blob);
  pllm_model_free(back);
  pllm_model_free(m);
}

static void damage(void) {
  PllmModel *m = sample(), *back;
  PllmError err;
  unsigned char *blob, *copy;
  size_t bytes;
  int accepted = 0, wrong = 0;
  pllm_model_encode(m, &blob, &bytes, &err);
  copy = malloc(bytes + 8);
  for (size_t n = 0; n < bytes; n++) accepted += harmless(blob, n, &wrong);
  tap_check(accepted == 0 && wrong == 0, "every shorter piece is refused");
  for (size_t i = 0; i < bytes * 8; i++) {
    memcpy(copy, blob, bytes);
    copy[i / 8] ^= (unsigned char)(1u << i % 8);
    accepted += harmless(copy, bytes, &wrong);
  }
  tap_check(accepted == 0 && wrong == 0, "every single altered bit is noticed");
  memcpy(copy, blob, bytes);
  memset(copy + bytes, 0, 8);
  tap_fails(pllm_model_decode(copy, bytes + 8, &back, &err), PLLM_CORRUPT, &err, "it was cut off or added to");
  tap_fails(pllm_model_decode(blob, bytes - 8, &back, &err), PLLM_CORRUPT, &err, "it was cut off or added to");
  copy[bytes - 20] ^= 1;
  tap_fails(pllm_model_decode(copy, bytes, &back, &err), PLLM_CORRUPT, &err, "altered: its checksum is wrong");
  memcpy(copy, blob, bytes);
  copy[8] = 2;
  tap_fails(pllm_model_decode(copy, bytes, &back, &err), PLLM_INVALID, &err, "a model of format version 2; this is");
  tap_fails(pllm_model_decode("0123456789abcdef", 16, &back, &err), PLLM_INVALID, &err,
            "a BLOB of 16 bytes is no model (its even length is that of a vector)");
  tap_fails(pllm_model_decode(NULL, 0, &back, &err), PLLM_INVALID, &err, "a BLOB of 0 bytes is no model");
  free(copy);
  pllm_free(blob);
  pllm_model_free(m);
}

/* Hostile bytes under a right checksum: every byte and every word set to something telling, and random noise. */
static void hostile(void) {
  static const unsigned char values[] = {0, 1, 2, 0x7F, 0x80, 0xFF};
  PllmAllocator counting = {counting_alloc, counting_resize, free};
  PllmModel *m = sample();
  PllmError err;
  unsigned char *blob, *copy;
  size_t bytes;
  int accepted = 0, wrong = 0;
  pllm_model_encode(m, &blob, &bytes, &err);
  copy = malloc(bytes);
  pllm_set_allocator(&counting);
  most_allocated = 0;
  for (size_t i = 0; i < bytes; i++)
    for (size_t v = 0; v < sizeof values; v++) {
      memcpy(copy, blob, bytes);
      copy[i] = values[v];
      seal(copy, bytes);
      accepted += harmless(copy, bytes, &wrong);
    }
  for (size_t i = 32; i + 4 <= bytes; i += 4)
    for (size_t v = 0; v < sizeof values; v++) {
      memcpy(copy, blob, bytes);
      memset(copy + i, values[v], 4);
      seal(copy, bytes);
      accepted += harmless(copy, bytes, &wrong);
    }
  tap_check(wrong == 0 && accepted > 0,
            "bytes set to anything under a right checksum: refused, or the same bytes again");
  wrong = 0;
  for (int round = 0; round < 20000; round++) {
    size_t n = bytes;
    memcpy(copy, blob, bytes);
    for (uint32_t k = random32() % 6 + 1; k > 0; k--) copy[random32() % bytes] = (unsigned char)random32();
    if (random32() % 3 == 0) n -= 8 * (random32() % ((uint32_t)bytes / 8));
    if (n >= 33) seal(copy, n);
    harmless(copy, n, &wrong);
  }
  tap_check(wrong == 0, "20,000 random alterations do no harm");
  tap_check(most_allocated < 16 * bytes, "and never make the decoder allocate more than the bytes justify");
  pllm_set_allocator(NULL);
  free(copy);
  pllm_free(blob);
  pllm_model_free(m);
}

static void incomplete(void) {
  PllmError err;
  PllmModel *m = sample();
  unsigned char *blob;
  size_t bytes;
  static const char *const empty[] = {"a", "", "c"};
  m->sections[0].numbers[1] = NAN;
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err, "section \"weights\" has NaN as number 1");
  m->sections[0].numbers[1] = 0;
  m->sections[0].columns = 2;
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err,
            "section \"weights\" is 1 x 2 numbers, which does not go with dim 3 and rank 0");
  m->sections[0].columns = 3;
  memcpy(m->sections[0].name, "weigths", 8);
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err,
            "section \"weights\" is not where a pooled");
  memcpy(m->sections[0].name, "weights", 8);
  pllm_model_add(m, "more", 1, 1, NULL, &err);
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err,
            "\"more\" does not belong in a pooled model");
  pllm_model_set_options(m, "[]", &err);
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err, "the options are an array");
  tap_fails(pllm_model_set_features(m, empty, 3, &err), PLLM_INVALID, &err, "name 2 is empty or no valid UTF-8");
  tap_fails(pllm_model_set_features(m, empty, 2, &err), PLLM_INVALID, &err, "2 names for 3 numbers");
  m->kind = 99;
  tap_fails(pllm_model_encode(m, &blob, &bytes, &err), PLLM_INVALID, &err, "kind 99 is unknown");
  pllm_model_free(m);
}

int main(void) {
  round_trip();
  damage();
  hostile();
  incomplete();
  return tap_done();
}
