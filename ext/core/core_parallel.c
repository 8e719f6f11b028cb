/*
** core_parallel.c: threads that live as long as one job.
**
** A job's threads are started for it and joined before it returns: nothing survives a call, so a host may fork or
** unload the library at any other time, and starting a thread (tens of microseconds) is nothing beside a bulk job.
*/
#include "core_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define NO_PIECE SIZE_MAX

typedef struct Worker {
  pthread_t thread;
  PllmJob *job;
  int number;
} Worker;

struct PllmJob {
  atomic_size_t next; /* first item not handed out */
  atomic_int stop;    /* the poll asked to stop: hand out no more */
  size_t count, chunk;
  void (*body)(void *arg, size_t begin, size_t end, int worker);
  void *arg;
  const PllmRun *run;
  int started;             /* helper threads */
  int running;             /* of them not yet done; guarded by lock */
  unsigned char *finished; /* owned, NULL where nobody waits for single pieces; guarded by lock */
  pthread_mutex_t lock;
  pthread_cond_t done; /* a helper, or a piece, is done */
  Worker workers[PLLM_MAX_THREADS];
};

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

int pllm_stopped(const PllmStop *stop) {
  if (atomic_load_explicit(stop->flag, memory_order_relaxed)) return 1;
  if (!stop->run || pllm_poll(stop->run, NULL) == PLLM_OK) return 0;
  atomic_store(stop->flag, 1);
  return 1;
}

/* Take and run one piece; false when none is left. */
static int run_piece(PllmJob *job, int worker) {
  size_t begin;
  if (atomic_load_explicit(&job->stop, memory_order_relaxed)) return 0;
  begin = atomic_fetch_add(&job->next, job->chunk);
  if (begin >= job->count) return 0;
  job->body(job->arg, begin, job->count - begin < job->chunk ? job->count : begin + job->chunk, worker);
  if (job->finished) {
    pthread_mutex_lock(&job->lock);
    job->finished[begin / job->chunk] = 1;
    pthread_cond_signal(&job->done);
    pthread_mutex_unlock(&job->lock);
  }
  return 1;
}

static void *worker_main(void *arg) {
  Worker *w = arg;
  while (run_piece(w->job, w->number)) {
  }
  pthread_mutex_lock(&w->job->lock);
  w->job->running--;
  pthread_cond_signal(&w->job->done);
  pthread_mutex_unlock(&w->job->lock);
  return NULL;
}

static PllmStatus check_chunk(size_t count, size_t chunk, PllmError *err) {
  if (chunk == 0 || count > SIZE_MAX - (size_t)(PLLM_MAX_THREADS + 1) * chunk)
    return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: chunk out of range");
  return PLLM_OK;
}

/* Fill *job (but its `finished`) and start its helpers; a thread that cannot be started leaves its share to the others. */
static PllmStatus start(PllmJob *job, const PllmRun *run, size_t count, size_t chunk,
                        void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmError *err) {
  int threads = pllm_run_threads(run);
  size_t pieces;
  atomic_init(&job->next, 0);
  atomic_init(&job->stop, 0);
  job->count = count;
  job->chunk = chunk;
  job->body = body;
  job->arg = arg;
  job->run = run;
  job->started = job->running = 0;
  if (pthread_mutex_init(&job->lock, NULL)) return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: no mutex");
  if (pthread_cond_init(&job->done, NULL)) {
    pthread_mutex_destroy(&job->lock);
    return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: no condition");
  }
  pieces = count / chunk + (count % chunk != 0);
  if ((size_t)threads > pieces) threads = (int)pieces;
  for (int i = 1; i < threads; i++) {
    Worker *w = &job->workers[job->started];
    w->job = job;
    w->number = i;
    pthread_mutex_lock(&job->lock);
    job->running++;
    pthread_mutex_unlock(&job->lock);
    if (pthread_create(&w->thread, NULL, worker_main, w)) {
      pthread_mutex_lock(&job->lock);
      job->running--;
      pthread_mutex_unlock(&job->lock);
      break;
    }
    job->started++;
  }
  return PLLM_OK;
}

static void wait_for_helpers(PllmJob *job) {
  for (int i = 0; i < job->started; i++) pthread_join(job->workers[i].thread, NULL);
  pthread_cond_destroy(&job->done);
  pthread_mutex_destroy(&job->lock);
}

/* Whether helpers are still at that piece, or at any when it is NO_PIECE.  Under the lock. */
static int at_work(const PllmJob *job, size_t piece) {
  return job->running > 0 && (piece == NO_PIECE || !job->finished[piece]);
}

/* Keep polling while helpers are at it: a body with long pieces may listen to what the poll says. */
static PllmStatus poll_helpers(PllmJob *job, size_t piece, PllmError *err) {
  PllmStatus status = PLLM_OK;
  pthread_mutex_lock(&job->lock);
  while (at_work(job, piece) && status == PLLM_OK) {
    struct timespec until;
    int working;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_nsec -= 1000000000;
      until.tv_sec++;
    }
    pthread_cond_timedwait(&job->done, &job->lock, &until);
    working = at_work(job, piece);
    pthread_mutex_unlock(&job->lock);
    if (working) status = pllm_poll(job->run, err);
    pthread_mutex_lock(&job->lock);
  }
  pthread_mutex_unlock(&job->lock);
  return status;
}

static PllmStatus finish(PllmJob *job, PllmError *err) {
  PllmStatus status;
  do {
    status = pllm_poll(job->run, err);
    if (status != PLLM_OK) atomic_store(&job->stop, 1);
  } while (status == PLLM_OK && run_piece(job, 0));
  if (status == PLLM_OK) status = poll_helpers(job, NO_PIECE, err);
  wait_for_helpers(job);
  return status;
}

PllmStatus pllm_parallel(const PllmRun *run, size_t count, size_t chunk,
                         void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmError *err) {
  PllmJob job;
  PllmStatus status = check_chunk(count, chunk, err);
  job.finished = NULL;
  if (status == PLLM_OK) status = start(&job, run, count, chunk, body, arg, err);
  return status == PLLM_OK ? finish(&job, err) : status;
}

static void job_free(PllmJob *job) {
  if (job) pllm_free(job->finished);
  pllm_free(job);
}

PllmStatus pllm_job_start(const PllmRun *run, size_t count, size_t chunk,
                          void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmJob **job,
                          PllmError *err) {
  PllmJob *fresh = NULL;
  PllmStatus status = check_chunk(count, chunk, err);
  if (status != PLLM_OK) return status;
  fresh = pllm_alloc_zero(1, sizeof *fresh);
  if (fresh) fresh->finished = pllm_alloc_zero(count / chunk + 1, 1);
  status = fresh && fresh->finished ? start(fresh, run, count, chunk, body, arg, err) : pllm_fail_nomem(err);
  if (status == PLLM_OK)
    *job = fresh;
  else
    job_free(fresh);
  return status;
}

PllmStatus pllm_job_wait(PllmJob *job, size_t item, PllmError *err) {
  size_t piece = item / job->chunk;
  for (;;) {
    PllmStatus status = pllm_poll(job->run, err);
    int finished;
    if (atomic_load(&job->stop)) return pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
    if (status == PLLM_OK) {
      pthread_mutex_lock(&job->lock);
      finished = job->finished[piece];
      pthread_mutex_unlock(&job->lock);
      if (finished) return PLLM_OK;
      if (!run_piece(job, 0)) status = poll_helpers(job, piece, err);
    }
    if (status != PLLM_OK) {
      atomic_store(&job->stop, 1);
      return status;
    }
  }
}

PllmStatus pllm_job_join(PllmJob *job, PllmError *err) {
  PllmStatus status = finish(job, err);
  job_free(job);
  return status;
}

void pllm_job_cancel(PllmJob *job) {
  if (!job) return;
  atomic_store(&job->stop, 1);
  wait_for_helpers(job);
  job_free(job);
}
