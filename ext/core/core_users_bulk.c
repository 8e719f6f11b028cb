/*
** core_users_bulk.c: many philox users on many threads, at once or ahead of a scan.
*/
#include "core_dirichlet.h"

#define PIECE_BYTES (128u << 10)     /* weights that one piece of a job makes */
#define BLOCK_NUMBERS (1u << 16)     /* weights that the largest block of a scan holds */
#define FIRST_USERS (8 * PLLM_BLOCK) /* users of a scan's first block; each has twice as many as the one before */

/* A range of users being drawn. */
typedef struct Draw {
  PllmDirichlet dirichlet;
  uint64_t first;
  int64_t turn;
  double *weights, *scratch; /* scratch: owned, one piece per worker */
} Draw;

static PllmStatus draw_open(Draw *x, const PllmPopulation *population, int64_t turn, const PllmRun *run,
                            PllmError *err) {
  PllmStatus status = pllm_population_check(population, err);
  size_t n = (size_t)population->n_models;
  if (status != PLLM_OK) return status;
  if (population->generator != PLLM_GENERATOR_PHILOX || turn < 1)
    return pllm_fail(err, PLLM_INTERNAL, "no philox user or turn");
  x->scratch = pllm_alloc_aligned((size_t)pllm_run_threads(run), PLLM_DIRICHLET_SCRATCH(n) * sizeof(double));
  if (!x->scratch) return pllm_fail_nomem(err);
  pllm_core_dirichlet_init(&x->dirichlet, (uint32_t)population->seed, population->alpha, population->n_models,
                           population->drift);
  x->turn = turn;
  return PLLM_OK;
}

static size_t piece_of(const Draw *x) {
  size_t piece = PIECE_BYTES / ((size_t)x->dirichlet.n * sizeof(double)) / PLLM_BLOCK * PLLM_BLOCK;
  return piece < PLLM_BLOCK ? PLLM_BLOCK : piece;
}

static void draw_piece(void *arg, size_t begin, size_t end, int worker) {
  Draw *x = arg;
  size_t n = (size_t)x->dirichlet.n;
  pllm_core_dirichlet_many(&x->dirichlet, x->first + begin, end - begin, x->turn, x->weights + begin * n,
                           x->scratch + (size_t)worker * PLLM_DIRICHLET_SCRATCH(n));
}

PllmStatus pllm_users_philox_batch(const PllmPopulation *population, int64_t user_id, size_t count, int64_t turn,
                                   double *weights, const PllmRun *run, PllmError *err) {
  PllmStatus status;
  Draw *x = pllm_alloc_zero(1, sizeof *x);
  if (!x) return pllm_fail_nomem(err);
  status = user_id < 0 ? pllm_fail(err, PLLM_INTERNAL, "no philox user") : draw_open(x, population, turn, run, err);
  if (status == PLLM_OK) {
    x->first = (uint64_t)user_id;
    x->weights = weights;
    status = pllm_parallel(run, count, piece_of(x), draw_piece, x, err);
  }
  pllm_free_aligned(x->scratch);
  pllm_free(x);
  return status;
}

/* ---- Ahead of a scan ---- */

struct PllmUsersAhead {
  Draw draw;
  PllmRun run;       /* without a poll: a block takes milliseconds */
  double *block[2];  /* owned [most][n_models]: the one given out, the one being drawn */
  size_t most, want; /* users of the largest block, and of the next one to be begun */
  PllmJob *job;      /* owned: drawing block[1], NULL: none */
  int64_t next;      /* user_id it begins with */
  size_t count;      /* and its users */
};

void pllm_users_ahead_close(PllmUsersAhead *a) {
  if (!a) return;
  pllm_job_cancel(a->job);
  pllm_free_aligned(a->draw.scratch);
  pllm_free(a->block[0]);
  pllm_free(a->block[1]);
  pllm_free(a);
}

PllmStatus pllm_users_ahead_open(const PllmPopulation *population, int64_t turn, const PllmRun *run,
                                 PllmUsersAhead **ahead, PllmError *err) {
  PllmUsersAhead *a = pllm_alloc_zero(1, sizeof *a);
  PllmStatus status;
  if (!a) return pllm_fail_nomem(err);
  a->run = pllm_core_run(run, NULL, NULL);
  a->want = FIRST_USERS;
  status = draw_open(&a->draw, population, turn, &a->run, err);
  if (status == PLLM_OK) {
    size_t n = (size_t)population->n_models;
    a->most = BLOCK_NUMBERS / n / PLLM_BLOCK * PLLM_BLOCK;
    for (int i = 0; i < 2; i++) {
      a->block[i] = pllm_alloc(a->most * n, sizeof **a->block);
      if (!a->block[i]) status = pllm_fail_nomem(err);
    }
  }
  if (status == PLLM_OK)
    *ahead = a;
  else
    pllm_users_ahead_close(a);
  return status;
}

/* Begin to draw the block from that user on. */
static PllmStatus begin(PllmUsersAhead *a, int64_t user_id, int64_t last, PllmError *err) {
  size_t users = a->want < a->most ? a->want : a->most;
  a->count = last - user_id < (int64_t)users ? (size_t)(last - user_id) + 1 : users;
  a->want = 2 * users;
  a->next = user_id;
  a->draw.first = (uint64_t)user_id;
  a->draw.weights = a->block[1];
  return pllm_job_start(&a->run, a->count, piece_of(&a->draw), draw_piece, &a->draw, &a->job, err);
}

PllmStatus pllm_users_ahead_next(PllmUsersAhead *a, int64_t user_id, int64_t last, const double **weights,
                                 size_t *count, PllmError *err) {
  PllmStatus status = PLLM_OK;
  PllmJob *job;
  double *drawn;
  if (user_id < 0 || user_id > last) return pllm_fail(err, PLLM_INTERNAL, "pllm_users_ahead_next: no such user");
  if (a->job && a->next != user_id) {
    pllm_job_cancel(a->job);
    a->job = NULL;
  }
  if (!a->job) status = begin(a, user_id, last, err);
  if (status != PLLM_OK) return status;
  job = a->job;
  a->job = NULL;
  status = pllm_job_join(job, err);
  if (status != PLLM_OK) return status;
  drawn = a->block[1];
  a->block[1] = a->block[0];
  a->block[0] = drawn;
  *weights = drawn;
  *count = a->count;
  return last - user_id < (int64_t)a->count ? PLLM_OK : begin(a, user_id + (int64_t)a->count, last, err);
}
