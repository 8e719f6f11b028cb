/* The feedback builder: rows come and go in order, whatever the dimension, and canonical order hides how they came. */
#include "tap.h"

#include <stdlib.h>


static PllmError err;
static PllmAdapter *adapter;

/* A window of random width slides over numbered ratings; the sum estimate tells which rows are left. */
static void sliding(void) {
  PllmFeedback *f = pllm_feedback_new(PLLM_RATINGS);
  PllmAdaptOptions options;
  int64_t oldest = 0, newest = 0;
  int good = 1;
  pllm_adapt_options(PLLM_RATINGS, "{\"method\":\"sum\"}", 16, NULL, &options, &err);
  for (int step = 0; step < 20000; step++) {
    /* long stretches of growth and of shrinking, so that memory grows, the gap closes and the builder empties */
    int grow = (step / 700) % 2 == 0 ? tap_random() % 3 != 0 : tap_random() % 3 == 0;
    if (grow) {
      double x[2] = {(double)(newest % 97), 1};
      newest++;
      good &= pllm_feedback_add_rating(f, x, 2, 0, (double)(newest % 5), 1, &err) == PLLM_OK;
    } else if (oldest < newest) {
      pllm_feedback_remove_first(f);
      oldest++;
    }
    good &= pllm_feedback_count(f) == (size_t)(newest - oldest);
    good &= pllm_feedback_dim(f) == (newest > oldest ? 2 : 0);
    if (step % 97 == 0 && newest > oldest) {
      PllmFeedback *fresh = pllm_feedback_new(PLLM_RATINGS);
      double got[2], want[2];
      for (int64_t i = newest; i-- > oldest;) {
        double x[2] = {(double)(i % 97), 1};
        pllm_feedback_add_rating(fresh, x, 2, 0, (double)((i + 1) % 5), 1, &err);
      }
      good &= pllm_adapt(adapter, &options, f, got, NULL, &err) == PLLM_OK &&
              pllm_adapt(adapter, &options, fresh, want, NULL, &err) == PLLM_OK;
      good &= memcmp(got, want, sizeof got) == 0;
      pllm_feedback_free(fresh);
    }
  }
  tap_check(good, "a sliding window over 20,000 steps equals a fresh builder in reverse order, to the bit");
  pllm_feedback_free(f);
}

static void dimensions(void) {
  PllmFeedback *f = pllm_feedback_new(PLLM_PAIRS);
  double x[40] = {1}, y[40] = {2}, w[40];
  PllmAdaptOptions options;
  int good = 1;
  pllm_feedback_remove_first(f);
  tap_check(pllm_feedback_count(f) == 0, "nothing can be removed from nothing");
  tap_check(pllm_feedback_add_pair(f, x, y, 3, 0, &err) == PLLM_OK, "the first row fixes the dimension");
  tap_fails(pllm_feedback_add_pair(f, x, y, 4, 0, &err), PLLM_INVALID, &err, "4 numbers, but the rows before have 3");
  tap_check(pllm_feedback_count(f) == 1, "a refused row is not kept");
  pllm_adapt_options(PLLM_PAIRS, NULL, 0, NULL, &options, &err);
  for (size_t dim = 1; dim <= 40; dim++) {
    pllm_feedback_clear(f);
    for (int i = 0; i < 50; i++) good &= pllm_feedback_add_pair(f, x, y, dim, 0, &err) == PLLM_OK;
    good &= pllm_feedback_dim(f) == dim && pllm_feedback_count(f) == 50;
    good &= pllm_adapt(adapter, &options, f, w, NULL, &err) == PLLM_OK;
  }
  tap_check(good, "a cleared builder takes any dimension and reuses its memory");
  pllm_feedback_free(f);
  pllm_feedback_free(NULL);
}

/* A builder whose allocations fail at every point stays usable. */
static long budget;
static void *failing_alloc(size_t bytes) {
  return budget-- > 0 ? malloc(bytes) : NULL;
}
static void *failing_resize(void *old, size_t bytes) {
  return budget-- > 0 ? realloc(old, bytes) : NULL;
}
static void plain_free(void *old) {
  free(old);
}

static void out_of_memory(void) {
  static const PllmAllocator failing = {failing_alloc, failing_resize, plain_free};
  int good = 1, finished = 0;
  pllm_set_allocator(&failing);
  for (long limit = 0; !finished && limit < 200; limit++) {
    PllmStatus status = PLLM_OK;
    PllmFeedback *f;
    size_t kept = 0;
    budget = limit;
    f = pllm_feedback_new(PLLM_CHOICES);
    for (int64_t i = 0; f && status == PLLM_OK && i < 100; i++) {
      double x[3] = {(double)i, 2, 1};
      status = pllm_feedback_add_choice(f, i / 4, x, 3, 0, i % 4 ? PLLM_SHOWN : PLLM_BEST, &err);
      kept += status == PLLM_OK;
    }
    good &= !f || (pllm_feedback_count(f) == kept && (status == PLLM_OK || status == PLLM_NOMEM));
    finished = f && status == PLLM_OK;
    pllm_feedback_free(f);
  }
  pllm_set_allocator(NULL);
  tap_check(good && finished, "every allocation may fail: out of memory, and no row is half added");
}

static void batch(void) {
  enum { USERS = 100 };
  PllmFeedback *feedback[USERS];
  PllmAdaptOptions options;
  double weights[USERS * 2], alone[2];
  size_t failed = 0;
  int good = 1;
  pllm_adapt_options(PLLM_CHOICES, "{\"method\":\"sum\"}", 16, NULL, &options, &err);
  for (int u = 0; u < USERS; u++) {
    feedback[u] = pllm_feedback_new(PLLM_CHOICES);
    for (int i = 0; u % 7 && i < 8; i++) {
      double x[2] = {(double)(tap_random() % 100), (double)(tap_random() % 100)};
      pllm_feedback_add_choice(feedback[u], i / 4, x, 2, 0, i % 4 == 0 ? PLLM_BEST : PLLM_SHOWN, &err);
    }
  }
  for (int threads = 1; threads <= 4; threads++) {
    PllmRun run = {.threads = threads};
    for (int i = 0; i < USERS * 2; i++) weights[i] = -7;
    good &= pllm_adapt_batch(adapter, &options, feedback, USERS, 2, weights, &failed, &run, &err) == PLLM_OK;
    for (int u = 0; u < USERS; u++) {
      alone[0] = alone[1] = -7;
      if (u % 7) good &= pllm_adapt(adapter, &options, feedback[u], alone, NULL, &err) == PLLM_OK;
      good &= memcmp(alone, weights + 2 * u, sizeof alone) == 0;
    }
  }
  tap_check(good, "a batch equals its users one by one on 1 to 4 threads, and leaves users without rows alone");
  for (int u = 40; u < 60; u += 5) {
    double x[2] = {1, 1};
    for (int i = 0; i < 2; i++) pllm_feedback_add_choice(feedback[u], -3, x, 2, 0, PLLM_WORST, &err);
  }
  PllmRun run = {.threads = 3};
  tap_fails(pllm_adapt_batch(adapter, &options, feedback, USERS, 2, weights, &failed, &run, &err), PLLM_INVALID, &err,
            "choice_set -3 has 2 rows marked 'worst'");
  tap_check(failed == 40, "of several wrong users the lowest is reported");
  for (int u = 0; u < USERS; u++) pllm_feedback_free(feedback[u]);
}

int main(void) {
  tap_state = 88172645463325252u;
  adapter = pllm_adapter_new();
  sliding();
  dimensions();
  out_of_memory();
  batch();
  pllm_adapter_free(adapter);
  return tap_done();
}
