/*
** core_parallel.c: threads that live as long as one job.
**
** A job's threads are started for it and joined before it returns: nothing survives a call, so a host may fork or
** unload the library at any other time, and starting a thread (tens of microseconds) is nothing beside a bulk job.
*/
#include "core_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct Job {
  atomic_size_t next; /* first item not handed out */
  atomic_int stop;    /* the poll asked to stop: hand out no more */
  size_t count, chunk;
  void (*body)(void *arg, size_t begin, size_t end, int worker);
  void *arg;
} Job;

typedef struct Worker {
  pthread_t thread;
  Job *job;
  int number;
} Worker;

int pllm_cores(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  if (n < 1) n = 1;
  return n > PLLM_MAX_THREADS ? PLLM_MAX_THREADS : (int)n;
}

int pllm_run_threads(const PllmRun *run) {
  if (!run || run->threads <= 0) return pllm_cores();
  return run->threads > PLLM_MAX_THREADS ? PLLM_MAX_THREADS : run->threads;
}

PllmStatus pllm_poll(const PllmRun *run, PllmError *err) {
  if (run && run->poll && run->poll(run->poll_arg)) return pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  return PLLM_OK;
}

/* Take and run one piece; false when none is left. */
static int run_piece(Job *job, int worker) {
  size_t begin;
  if (atomic_load_explicit(&job->stop, memory_order_relaxed)) return 0;
  begin = atomic_fetch_add(&job->next, job->chunk);
  if (begin >= job->count) return 0;
  job->body(job->arg, begin, job->count - begin < job->chunk ? job->count : begin + job->chunk, worker);
  return 1;
}

static void *worker_main(void *arg) {
  Worker *w = arg;
  while (run_piece(w->job, w->number)) {
  }
  return NULL;
}

PllmStatus pllm_parallel(const PllmRun *run, size_t count, size_t chunk,
                         void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmError *err) {
  Worker workers[PLLM_MAX_THREADS];
  int threads = pllm_run_threads(run), started = 0, i;
  size_t pieces;
  PllmStatus status = PLLM_OK;
  Job job = {.count = count, .chunk = chunk, .body = body, .arg = arg};
  if (chunk == 0 || count > SIZE_MAX - (size_t)(PLLM_MAX_THREADS + 1) * chunk)
    return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: chunk out of range");
  pieces = count / chunk + (count % chunk != 0);
  if ((size_t)threads > pieces) threads = (int)pieces;
  for (i = 1; i < threads; i++) {
    workers[started].job = &job;
    workers[started].number = i;
    if (pthread_create(&workers[started].thread, NULL, worker_main, &workers[started])) break;
    started++;
  }
  do {
    status = pllm_poll(run, err);
    if (status != PLLM_OK) atomic_store(&job.stop, 1);
  } while (status == PLLM_OK && run_piece(&job, 0));
  for (i = 0; i < started; i++) pthread_join(workers[i].thread, NULL);
  return status;
}
