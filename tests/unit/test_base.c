/* Memory, errors and threads: the ground everything else stands on. */
#include "tap.h"

#include <stdatomic.h>

static void test_memory(void) {
  char *p;
  tap_check(pllm_alloc(SIZE_MAX, 2) == NULL, "an overflowing product gives NULL");
  tap_check(pllm_alloc_aligned(SIZE_MAX / 2, 2) == NULL, "an overflowing aligned size gives NULL");
  p = pllm_alloc(0, 8);
  tap_check(p != NULL, "a count of zero gives a valid pointer");
  pllm_free(p);
  p = pllm_alloc_aligned(100, 8);
  tap_check(p && (uintptr_t)p % 64 == 0, "aligned memory starts on a 64-byte boundary");
  pllm_free_aligned(p);
}

static void test_errors(void) {
  PllmError err;
  char longtext[2 * PLLM_ERROR_TEXT];
  memset(longtext, 'x', sizeof longtext);
  longtext[sizeof longtext - 1] = 0;
  pllm_fail(&err, PLLM_INVALID, "%s", longtext);
  tap_check(strlen(err.text) == PLLM_ERROR_TEXT - 1, "a long text is clipped");
  pllm_error_prefix(&err, "line %d", 7);
  tap_check(strncmp(err.text, "line 7: xxx", 11) == 0, "a prefix goes in front of a long text");
  tap_check(pllm_fail_nomem(&err) == PLLM_NOMEM && strcmp(err.text, "out of memory") == 0,
            "out of memory has one text");
  pllm_fail(&err, PLLM_INVALID, "%.4s|\xff\xc3", "abc\xc3\xa9");
  tap_check(strcmp(err.text, "abc?|??") == 0,
            "bytes that are no UTF-8, as of a clipped character, become question marks");
  pllm_fail(&err, PLLM_INVALID, "h\xc3\xa9 \xe2\x82\xac");
  pllm_error_prefix(&err, "\xf0\x9f\x99\x82");
  tap_check(strcmp(err.text, "\xf0\x9f\x99\x82: h\xc3\xa9 \xe2\x82\xac") == 0, "valid text stays");
}

typedef struct Sum {
  atomic_int seen[1000];
  atomic_int largest;
} Sum;

static void add(void *arg, size_t begin, size_t end, int worker) {
  Sum *s = arg;
  if (worker > atomic_load(&s->largest)) atomic_store(&s->largest, worker);
  for (size_t i = begin; i < end; i++) atomic_fetch_add(&s->seen[i], 1);
}

static int stop_now(void *arg) {
  (void)arg;
  return 1;
}

static void test_job(void) {
  for (int threads = 1; threads <= 4; threads += 3) {
    static Sum s;
    PllmRun run = {.threads = threads};
    PllmError err;
    PllmJob *job = NULL;
    int good = 1;
    memset(&s, 0, sizeof s);
    tap_check(pllm_job_start(&run, 1000, 3, add, &s, &job, &err) == PLLM_OK && pllm_job_join(job, &err) == PLLM_OK,
              "a job in two halves on %d threads", threads);
    for (int i = 0; i < 1000; i++) good &= atomic_load(&s.seen[i]) == 1;
    tap_check(good, "does every item once");
    memset(&s, 0, sizeof s);
    if (pllm_job_start(&run, 1000, 3, add, &s, &job, &err) == PLLM_OK) pllm_job_cancel(job);
    for (int i = 0; i < 1000; i++) good &= atomic_load(&s.seen[i]) <= 1;
    tap_check(good, "a cancelled job does no item twice");
    pllm_job_cancel(NULL);
    memset(&s, 0, sizeof s);
    good = pllm_job_start(&run, 1000, 3, add, &s, &job, &err) == PLLM_OK;
    for (size_t item = 0; item < 1000; item += 37) {
      good &= pllm_job_wait(job, item, &err) == PLLM_OK;
      for (size_t i = item / 3 * 3; i < item / 3 * 3 + 3 && i < 1000; i++) good &= atomic_load(&s.seen[i]) == 1;
    }
    good &= pllm_job_wait(job, 999, &err) == PLLM_OK && pllm_job_wait(job, 0, &err) == PLLM_OK;
    tap_check(good, "waiting for an item has its whole piece done");
    tap_check(pllm_job_join(job, &err) == PLLM_OK, "and leaves the rest to join");
    for (int i = 0; i < 1000; i++) good &= atomic_load(&s.seen[i]) == 1;
    tap_check(good, "which does no item twice");
    run.poll = stop_now;
    if (pllm_job_start(&run, 1000, 3, add, &s, &job, &err) == PLLM_OK)
      tap_fails(pllm_job_join(job, &err), PLLM_INTERRUPTED, &err, "interrupted");
    if (pllm_job_start(&run, 1000, 3, add, &s, &job, &err) == PLLM_OK) {
      tap_fails(pllm_job_wait(job, 999, &err), PLLM_INTERRUPTED, &err, "interrupted");
      run.poll = NULL;
      tap_fails(pllm_job_wait(job, 999, &err), PLLM_INTERRUPTED, &err, "interrupted");
      pllm_job_cancel(job);
    }
  }
}

static void test_parallel(void) {
  for (int threads = 1; threads <= 9; threads += 4) {
    static Sum s;
    PllmRun run = {.threads = threads};
    PllmError err;
    int good = 1;
    memset(&s, 0, sizeof s);
    tap_check(pllm_parallel(&run, 1000, 7, add, &s, &err) == PLLM_OK, "%d threads run", threads);
    for (int i = 0; i < 1000; i++) good &= atomic_load(&s.seen[i]) == 1;
    tap_check(good, "every item is done once by %d threads", threads);
    tap_check(atomic_load(&s.largest) < threads, "worker numbers stay below %d", threads);
    run.poll = stop_now;
    tap_fails(pllm_parallel(&run, 1000, 7, add, &s, &err), PLLM_INTERRUPTED, &err, "interrupted");
  }
}

int main(void) {
  test_memory();
  test_errors();
  test_parallel();
  test_job();
  return tap_done();
}
