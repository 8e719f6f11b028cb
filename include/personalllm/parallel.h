/*
** parallel.h: run independent chunks of a job on several threads, under an interrupt poll.
*/
#ifndef PERSONALLLM_PARALLEL_H
#define PERSONALLLM_PARALLEL_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PLLM_MAX_THREADS 256

/* Helper threads for one job after another; see pllm_crew_new. */
typedef struct PllmCrew PllmCrew;

/* How a job runs.  poll (may be NULL) is called on the calling thread only, between chunks; non-zero stops the
** job with PLLM_INTERRUPTED. */
typedef struct PllmRun {
  int threads; /* 1..PLLM_MAX_THREADS; 0 means the number of online cores */
  int (*poll)(void *poll_arg);
  void *poll_arg;
  PllmCrew *crew; /* whose helpers take the job's pieces; NULL: the job has helpers of its own */
} PllmRun;

/* Number of cores that are online, at least 1. */
int pllm_cores(void);

/* Threads that a job under run may use, at least 1; worker numbers below are less than this. */
int pllm_run_threads(const PllmRun *run);

/* PLLM_INTERRUPTED when run's poll asks to stop, else PLLM_OK.  Calling thread only. */
PllmStatus pllm_poll(const PllmRun *run, PllmError *err);

/*
** Call body(arg, begin, end, worker) for consecutive pieces [begin, end) of 0..count, each at most chunk long
** (chunk >= 1), on up to pllm_run_threads(run) threads.  Pieces go out in order but finish in any order: a body
** writes only to what belongs to its own piece or to its worker's scratch, and never allocates.  Choose chunk so that
** a piece takes well under 50 ms: it is the interrupt's grain.  Helper threads live only as long as the call, or the
** crew; when none can be started the calling thread does all the work.  On interruption the pieces already handed out finish.
*/
PllmStatus pllm_parallel(const PllmRun *run, size_t count, size_t chunk,
                         void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmError *err);

/*
** A crew: threads - 1 helper threads, started by the first jobs and asleep between jobs, until the crew is freed, after its
** jobs.  While one job runs others may be started, and helpers go on to them when it has no pieces left, in the order of
** the starts; so a pipeline need not wait for its helpers between blocks.  Jobs may use more or fewer threads, and end
** before the crew does.  All calls are one thread's; in a child of fork() jobs fail with PLLM_INTERNAL, and can be freed.
*/
PllmStatus pllm_crew_new(PllmCrew **crew, PllmError *err);
void pllm_crew_free(PllmCrew *crew); /* NULL is accepted */

/*
** The same in two halves, for a pipeline: start hands the pieces to threads - 1 helper threads and returns, the
** calling thread does something else, then join takes whatever pieces are left and waits for the helpers.  run must
** stay valid until then.  With one thread all the work happens in join.  cancel (instead of join) hands out no more
** pieces, waits for those at work and frees the job; on failure of start there is no job.
**
** wait, between start and join or cancel, any number of times: returns when the piece that item (below count) is in is
** done, and until then takes pieces as join does.  After a failure of wait only cancel is left.
*/
typedef struct PllmJob PllmJob;
PllmStatus pllm_job_start(const PllmRun *run, size_t count, size_t chunk,
                          void (*body)(void *arg, size_t begin, size_t end, int worker), void *arg, PllmJob **job,
                          PllmError *err);
PllmStatus pllm_job_wait(PllmJob *job, size_t item, PllmError *err);
PllmStatus pllm_job_join(PllmJob *job, PllmError *err);
void pllm_job_cancel(PllmJob *job); /* NULL is accepted */

#ifdef __cplusplus
}
#endif
#endif
