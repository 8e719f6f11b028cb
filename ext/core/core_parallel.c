/*
** core_parallel.c: jobs in pieces, and the helper threads that take them.
**
** Helpers belong to a crew.  A crew lives as long as one job, or as long as what runs several of them (a statement): with
** it the last helper ends, so that a host may fork or unload the library at any other time.  Starting a thread takes tens
** of microseconds: nothing beside a bulk job, but something between the blocks of one.
*/
#include "core_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define NO_PIECE SIZE_MAX

typedef struct Helper {
  pthread_t thread;
  PllmCrew *crew;
  int number;
} Helper;

/* Guarded by lock, but for what a job's `next` and `stop` are. */
struct PllmCrew {
  pthread_mutex_t lock;
  pthread_cond_t work; /* there is a job, or it is time to go */
  pthread_cond_t done; /* a helper has done a piece that somebody may wait for, or its last one of a job */
  PllmJob *first;      /* jobs that may have pieces to hand out, the oldest first */
  int quit;
  pid_t process; /* a child of fork() has a copy of this, but no helpers */
  int helpers;   /* started */
  Helper helper[PLLM_MAX_THREADS];
};

struct PllmJob {
  PllmCrew *crew;
  PllmJob *after;     /* in the crew's list */
  PllmCrew *own;      /* owned: the crew, where it is this job's alone */
  atomic_size_t next; /* first item not handed out */
  atomic_int stop;    /* the poll asked to stop: hand out no more */
  size_t count, chunk;
  void (*body)(void *arg, size_t begin, size_t end, int worker);
  void *arg;
  const PllmRun *run;
  int threads;             /* worker numbers are below that */
  int running;             /* helpers at its pieces */
  unsigned char *finished; /* owned, NULL where nobody waits for single pieces */
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

PllmRun pllm_core_run(const PllmRun *run, int (*poll)(void *poll_arg), void *poll_arg) {
  return (PllmRun){
      .threads = pllm_run_threads(run), .poll = poll, .poll_arg = poll_arg, .crew = run ? run->crew : NULL};
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
    pthread_mutex_lock(&job->crew->lock);
    job->finished[begin / job->chunk] = 1;
    pthread_cond_broadcast(&job->crew->done);
    pthread_mutex_unlock(&job->crew->lock);
  }
  return 1;
}

/* ---- Crews ---- */

/* No helper is to begin with a job any more.  Under the lock. */
static void withdraw(PllmJob *job) {
  PllmJob **at = &job->crew->first;
  while (*at && *at != job) at = &(*at)->after;
  if (*at) *at = job->after;
}

/* The oldest job that has a place for helper `number`.  Under the lock. */
static PllmJob *job_for(const PllmCrew *crew, int number) {
  PllmJob *job = crew->first;
  while (job && job->threads <= number) job = job->after;
  return job;
}

static void *helper_main(void *arg) {
  const Helper *h = arg;
  PllmCrew *crew = h->crew;
  pthread_mutex_lock(&crew->lock);
  while (!crew->quit) {
    PllmJob *job = job_for(crew, h->number);
    if (!job) {
      pthread_cond_wait(&crew->work, &crew->lock);
      continue;
    }
    job->running++;
    pthread_mutex_unlock(&crew->lock);
    while (run_piece(job, h->number)) {
    }
    pthread_mutex_lock(&crew->lock);
    withdraw(job);
    job->running--;
    pthread_cond_broadcast(&crew->done);
  }
  pthread_mutex_unlock(&crew->lock);
  return NULL;
}

static PllmStatus crew_begin(PllmCrew *crew, PllmError *err) {
  crew->first = NULL;
  crew->quit = crew->helpers = 0;
  crew->process = getpid();
  if (pthread_mutex_init(&crew->lock, NULL)) return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: no mutex");
  if (pthread_cond_init(&crew->work, NULL) == 0) {
    if (pthread_cond_init(&crew->done, NULL) == 0) return PLLM_OK;
    pthread_cond_destroy(&crew->work);
  }
  pthread_mutex_destroy(&crew->lock);
  return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: no condition");
}

static int in_child(const PllmCrew *crew) {
  return crew->process != getpid();
}

/* Helpers' pieces are lost to a child, and what they had locked stays locked there. */
static PllmStatus refuse_in_child(const PllmCrew *crew, PllmError *err) {
  if (!in_child(crew)) return PLLM_OK;
  return pllm_fail(err, PLLM_INTERNAL, "begun before fork(); a child process needs a connection of its own");
}

static void crew_end(PllmCrew *crew) {
  if (in_child(crew)) return;
  pthread_mutex_lock(&crew->lock);
  crew->quit = 1;
  pthread_cond_broadcast(&crew->work);
  pthread_mutex_unlock(&crew->lock);
  for (int i = 0; i < crew->helpers; i++) pthread_join(crew->helper[i].thread, NULL);
  pthread_cond_destroy(&crew->done);
  pthread_cond_destroy(&crew->work);
  pthread_mutex_destroy(&crew->lock);
}

PllmStatus pllm_crew_new(PllmCrew **crew, PllmError *err) {
  PllmCrew *fresh = pllm_alloc_zero(1, sizeof *fresh);
  PllmStatus status = fresh ? crew_begin(fresh, err) : pllm_fail_nomem(err);
  if (status != PLLM_OK) {
    pllm_free(fresh);
    fresh = NULL;
  }
  *crew = fresh;
  return status;
}

void pllm_crew_free(PllmCrew *crew) {
  if (crew) crew_end(crew);
  pllm_free(crew);
}

/* Up to so many helpers, as far as threads can be started.  Under the lock. */
static void recruit(PllmCrew *crew, int helpers) {
  while (crew->helpers < helpers) {
    Helper *h = &crew->helper[crew->helpers];
    h->crew = crew;
    h->number = crew->helpers + 1;
    if (pthread_create(&h->thread, NULL, helper_main, h)) return;
    crew->helpers++;
  }
}

/* ---- Jobs ---- */

static PllmStatus check_chunk(size_t count, size_t chunk, PllmError *err) {
  if (chunk == 0 || count > SIZE_MAX - (size_t)(PLLM_MAX_THREADS + 1) * chunk)
    return pllm_fail(err, PLLM_INTERNAL, "pllm_parallel: chunk out of range");
  return PLLM_OK;
}

/* Fill *job (but its crew and `finished`) and give it to the crew; without a helper the calling thread does it all. */
static void start(PllmJob *job, const PllmRun *run, size_t count, size_t chunk,
                  void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg) {
  size_t pieces = count / chunk + (count % chunk != 0);
  PllmJob **at = &job->crew->first;
  atomic_init(&job->next, 0);
  atomic_init(&job->stop, 0);
  job->count = count;
  job->chunk = chunk;
  job->body = body;
  job->arg = arg;
  job->run = run;
  job->running = 0;
  job->after = NULL;
  job->threads = pllm_run_threads(run);
  if ((size_t)job->threads > pieces) job->threads = (int)pieces;
  if (job->threads < 2) return;
  pthread_mutex_lock(&job->crew->lock);
  while (*at) at = &(*at)->after;
  *at = job;
  recruit(job->crew, job->threads - 1);
  pthread_cond_broadcast(&job->crew->work);
  pthread_mutex_unlock(&job->crew->lock);
}

/* Whether helpers are still at that piece, or at any when it is NO_PIECE.  Under the lock. */
static int at_work(const PllmJob *job, size_t piece) {
  return job->running > 0 && (piece == NO_PIECE || !job->finished[piece]);
}

/* Keep polling while helpers are at it: a body with long pieces may listen to what the poll says.  Under the lock. */
static PllmStatus poll_helpers(PllmJob *job, size_t piece, PllmError *err) {
  PllmStatus status = PLLM_OK;
  while (at_work(job, piece) && status == PLLM_OK) {
    struct timespec until;
    int working;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_nsec -= 1000000000;
      until.tv_sec++;
    }
    pthread_cond_timedwait(&job->crew->done, &job->crew->lock, &until);
    working = at_work(job, piece);
    pthread_mutex_unlock(&job->crew->lock);
    if (working) status = pllm_poll(job->run, err);
    pthread_mutex_lock(&job->crew->lock);
  }
  return status;
}

/* Take the job back from its helpers, which end with the pieces they are at. */
static PllmStatus take_back(PllmJob *job, PllmStatus status, PllmError *err) {
  if (in_child(job->crew)) return status;
  pthread_mutex_lock(&job->crew->lock);
  withdraw(job);
  if (status == PLLM_OK) status = poll_helpers(job, NO_PIECE, err);
  if (status != PLLM_OK) atomic_store(&job->stop, 1);
  while (at_work(job, NO_PIECE)) pthread_cond_wait(&job->crew->done, &job->crew->lock);
  pthread_mutex_unlock(&job->crew->lock);
  return status;
}

static PllmStatus finish(PllmJob *job, PllmError *err) {
  PllmStatus status = refuse_in_child(job->crew, err);
  if (status != PLLM_OK) return status;
  do {
    status = pllm_poll(job->run, err);
    if (status != PLLM_OK) atomic_store(&job->stop, 1);
  } while (status == PLLM_OK && run_piece(job, 0));
  return take_back(job, status, err);
}

PllmStatus pllm_parallel(const PllmRun *run, size_t count, size_t chunk,
                         void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmError *err) {
  PllmCrew own;
  PllmJob job;
  PllmStatus status = check_chunk(count, chunk, err);
  job.crew = run && run->crew ? run->crew : &own;
  job.finished = NULL;
  if (status == PLLM_OK) status = job.crew == &own ? crew_begin(&own, err) : refuse_in_child(job.crew, err);
  if (status != PLLM_OK) return status;
  start(&job, run, count, chunk, body, arg);
  status = finish(&job, err);
  if (job.crew == &own) crew_end(&own);
  return status;
}

static void job_free(PllmJob *job) {
  if (!job) return;
  pllm_crew_free(job->own);
  pllm_free(job->finished);
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
  if (!fresh || !fresh->finished) status = pllm_fail_nomem(err);
  if (status == PLLM_OK)
    status = run && run->crew ? refuse_in_child(run->crew, err) : pllm_crew_new(&fresh->own, err);
  if (status != PLLM_OK) {
    job_free(fresh);
    return status;
  }
  fresh->crew = fresh->own ? fresh->own : run->crew;
  start(fresh, run, count, chunk, body, arg);
  *job = fresh;
  return PLLM_OK;
}

PllmStatus pllm_job_wait(PllmJob *job, size_t item, PllmError *err) {
  size_t piece = item / job->chunk;
  for (;;) {
    PllmStatus status = refuse_in_child(job->crew, err);
    int finished;
    if (status == PLLM_OK) status = pllm_poll(job->run, err);
    if (atomic_load(&job->stop)) return pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
    if (status == PLLM_OK) {
      pthread_mutex_lock(&job->crew->lock);
      finished = job->finished[piece];
      pthread_mutex_unlock(&job->crew->lock);
      if (finished) return PLLM_OK;
      if (!run_piece(job, 0)) {
        pthread_mutex_lock(&job->crew->lock);
        status = poll_helpers(job, piece, err);
        pthread_mutex_unlock(&job->crew->lock);
      }
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
  take_back(job, PLLM_INTERRUPTED, NULL);
  job_free(job);
}
