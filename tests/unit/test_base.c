/* Memory, errors and threads: the ground everything else stands on. */
#include "tap.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

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
  int *list = NULL, good = 1;
  size_t room = 0;
  for (int i = 0; i < 100; i++) {
    list = pllm_grow(list, (size_t)i, &room, 3, sizeof *list);
    if (list) list[i] = i;
    good &= list != NULL && room == (size_t)(i < 3    ? 3
                                             : i < 6  ? 6
                                             : i < 12 ? 12
                                             : i < 24 ? 24
                                             : i < 48 ? 48
                                             : i < 96 ? 96
                                                      : 192);
  }
  for (int i = 0; i < 100; i++) good &= list[i] == i;
  tap_check(good, "an array grows to twice its room where it is full");
  room = SIZE_MAX / 4;
  tap_check(!pllm_grow(list, room, &room, 3, sizeof *list) && room == SIZE_MAX / 4, "but not beyond memory");
  room = SIZE_MAX / 2 + 1;
  tap_check(!pllm_grow(list, room, &room, 3, 1) && room == SIZE_MAX / 2 + 1 && list[99] == 99,
            "nor what a number holds");
  pllm_free(list);
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

/* Items of a job, and who did them. */
typedef struct Watched {
  Sum sum;
  atomic_int *people;    /* threads that did a piece of any job */
  atomic_int busy[64];   /* by worker */
  atomic_int collisions; /* two threads were one worker */
} Watched;

static _Thread_local int counted; /* in `people` */

static void watch(void *arg, size_t begin, size_t end, int worker) {
  Watched *w = arg;
  if (atomic_fetch_add(&w->busy[worker], 1) != 0) atomic_fetch_add(&w->collisions, 1);
  if (!counted) {
    counted = 1;
    atomic_fetch_add(w->people, 1);
  }
  add(&w->sum, begin, end, worker);
  atomic_fetch_sub(&w->busy[worker], 1);
}

static int each_once(const Watched *w, size_t n, int threads) {
  int good = atomic_load(&w->collisions) == 0 && atomic_load(&w->sum.largest) < threads;
  for (size_t i = 0; i < n; i++) good &= atomic_load(&w->sum.seen[i]) == 1;
  return good;
}

static void test_crew(void) {
  enum { ROUNDS = 300 };
  for (int threads = 1; threads <= 5; threads += 2) {
    static Watched w[2];
    atomic_int people;
    PllmRun run = {.threads = threads};
    PllmError err;
    PllmJob *job[2];
    int good = 1;
    atomic_init(&people, 0);
    counted = 0;
    tap_check(pllm_crew_new(&run.crew, &err) == PLLM_OK, "a crew of %d", threads);
    for (int round = 0; round < ROUNDS && good; round++) {
      int first = round % 2; /* joined first: the older or the newer */
      memset(w, 0, sizeof w);
      run.threads = 1 + round % threads;
      for (int i = 0; i < 2; i++) {
        w[i].people = &people;
        good &= pllm_job_start(&run, 1000, (size_t)(1 + round % 200), watch, &w[i], &job[i], &err) == PLLM_OK;
      }
      if (round % 3 == 0) good &= pllm_job_wait(job[1], 500, &err) == PLLM_OK;
      good &= pllm_job_join(job[first], &err) == PLLM_OK && each_once(&w[first], 1000, run.threads);
      good &= pllm_job_join(job[!first], &err) == PLLM_OK && each_once(&w[!first], 1000, run.threads);
    }
    run.threads = threads;
    tap_check(good, "does every item of two jobs at a time once, each worker being one thread");
    memset(w, 0, sizeof w);
    w[0].people = w[1].people = &people;
    good = pllm_job_start(&run, 1000, 1, watch, &w[0], &job[0], &err) == PLLM_OK &&
           pllm_job_start(&run, 1000, 1, watch, &w[1], &job[1], &err) == PLLM_OK;
    pllm_job_cancel(job[0]);
    good &= pllm_job_join(job[1], &err) == PLLM_OK && each_once(&w[1], 1000, threads);
    tap_check(good, "goes on to the next job when one is cancelled");
    memset(w, 0, sizeof w);
    w[0].people = &people;
    good = pllm_parallel(&run, 1000, 7, watch, &w[0], &err) == PLLM_OK && each_once(&w[0], 1000, threads);
    tap_check(good, "and serves a job in one piece");
    tap_check(atomic_load(&people) <= threads, "all on at most %d threads", threads);
    pllm_crew_free(run.crew);
    pllm_crew_free(NULL);
  }
}

/* A helper holds its piece until it is let go. */
typedef struct Held {
  atomic_int taken, go;
} Held;

static void hold(void *arg, size_t begin, size_t end, int worker) {
  Held *h = arg;
  (void)begin, (void)end;
  if (worker == 0) return;
  atomic_store(&h->taken, 1);
  while (!atomic_load(&h->go)) usleep(1000);
}

/* In a child of fork() there are no helpers: what was begun before cannot be ended, but it can be given up. */
static int child_gives_up(PllmJob *job, PllmJob *second, const PllmRun *run) {
  PllmError err;
  PllmJob *more;
  int good = pllm_job_wait(job, 0, &err) == PLLM_INTERNAL && pllm_job_join(job, &err) == PLLM_INTERNAL;
  good &= pllm_job_start(run, 2, 1, hold, NULL, &more, &err) == PLLM_INTERNAL;
  good &= pllm_parallel(run, 2, 1, hold, NULL, &err) == PLLM_INTERNAL;
  pllm_job_cancel(second);
  pllm_crew_free(run->crew);
  return good;
}

static void test_fork(void) {
  PllmRun run = {.threads = 2};
  PllmError err;
  PllmJob *job[2];
  Held held;
  pid_t child;
  int status = 1;
  atomic_init(&held.taken, 0);
  atomic_init(&held.go, 0);
  if (pllm_crew_new(&run.crew, &err) != PLLM_OK) return;
  for (int i = 0; i < 2; i++)
    if (pllm_job_start(&run, 2, 1, hold, &held, &job[i], &err) != PLLM_OK) return;
  while (!atomic_load(&held.taken)) usleep(1000);
  child = fork();
  if (child == 0) {
    alarm(60);
    _exit(child_gives_up(job[0], job[1], &run) ? 0 : 3);
  }
  waitpid(child, &status, 0);
  tap_check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child of fork() can give up jobs, and cannot end them");
  atomic_store(&held.go, 1);
  tap_check(pllm_job_join(job[0], &err) == PLLM_OK && pllm_job_join(job[1], &err) == PLLM_OK, "its parent ends them");
  pllm_crew_free(run.crew);
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
  test_crew();
  test_fork();
  return tap_done();
}
