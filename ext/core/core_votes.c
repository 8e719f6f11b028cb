/*
** core_votes.c: population choice, fused: utilities, argmax, argmin and tally in one pass over the scores.
**
** The margin.  With W the largest sum|w_b| of a block of users, and S = max|s| of a prompt, an f32 utility of B models
** differs from the exact one by at most W*S*(B+4)*2^-24 (two conversions, B products and sums, first order; the 1.05 below
** covers the rest), and the tag in its k lowest bits moves it by at most 2^(k-23) of itself.  With E the sum of both, two
** utilities whose estimates differ by more than 2E are ordered alike by the exact and by the canonical f64 utility,
** whose own error of B*2^-53 is far inside the slack.  Blocks where W, S or W*S leaves f32's comfortable range get no
** estimate.
**
** No subnormal numbers.  Many processors take a hundred times as long for a product with a subnormal factor or result,
** and a Dirichlet of small alpha gives many weights below 2^-126.  So estimates see weights rounded to multiples of about
** W*2^-32, and scores to multiples of about S*2^-32: factors, products and sums that are not 0 are far from subnormal, and
** together the roundings are worth W*S*(B+1)*2^-32, which is inside the slack as well.  (A tag makes a 0 subnormal, but
** what compares it is as fast as ever.)
*/
#include "core_votes.h"
#include "core_simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
  USER_BLOCK = 512,  /* users whose weights stay in the first-level cache while prompts pass by */
  PROMPT_PIECE = 16, /* prompts one worker takes at a time, where they are not too wide */
  MAX_TAGGED = 1024  /* responses a tag can number without eating the mantissa */
};

/* Multiply-adds of one piece, about: 20 ms even when every choice is decided canonically. */
#define PIECE_WORK ((size_t)1 << 23)

typedef struct Job {
  const PllmScores *scores;
  const size_t *prompts;
  const double *weights;
  size_t users, padded, begin, end; /* users begin .. end-1 are at work */
  const float *tiles;               /* [padded/16][models][16] */
  const double *block_bound;        /* per USER_BLOCK: max over its users of sum|w| */
  int64_t *best, *worst;
  void (*kernel)(const PllmVoteTask *);
  int32_t *numbers;                 /* [max_responses]: 0, 1, 2, ... */
  char *scratch;                    /* one piece of scratch_bytes per worker */
  size_t scratch_bytes, max_responses, prompts_at_once;
} Job;

/* Canonical best and worst of one user on responses [first, first+n). */
static void choose(const Job *job, const double *weights, size_t first, size_t n) {
  size_t models = job->scores->n_models, best = 0, worst = 0;
  const double *rewards = job->scores->rewards + first * models;
  double high = 0, low = 0;
  for (size_t r = 0; r < n; r++) {
    double u = pllm_utility(weights, rewards + r * models, models);
    if (r == 0 || u > high) {
      high = u;
      best = r;
    }
    if (r == 0 || u < low) {
      low = u;
      worst = r;
    }
  }
  job->best[first + best]++;
  job->worst[first + worst]++;
}

/* Scratch of one worker: a piece's prompts as estimates see them, and a prompt's tallies and undecided users of a block. */
typedef struct Scratch {
  double *largest; /* [PROMPT_PIECE]: of each prompt, max |s| */
  float *features; /* [prompts at once][max_responses * models], see core_votes.h */
  uint32_t *best, *worst, *unsure;
} Scratch;

static Scratch scratch_of(const Job *job, int worker) {
  Scratch s;
  char *p = job->scratch + (size_t)worker * job->scratch_bytes;
  s.largest = (double *)(void *)p;
  s.features = (float *)(void *)(s.largest + PROMPT_PIECE);
  s.best = (uint32_t *)(void *)(s.features + job->prompts_at_once * job->max_responses * job->scores->n_models);
  s.worst = s.best + job->max_responses;
  s.unsure = s.worst + job->max_responses;
  return s;
}

/* scale bounds sum |w| times max |feature|. */
static float margin_of(double scale, size_t models, int32_t tag_bits) {
  return (float)(2.1 * 1.05 * scale * ((double)(models + 4) * 0x1p-24 + (double)(tag_bits + 1) * 0x1p-23));
}

#define LEAST 1e-20 /* largest weight of a block, and largest score of a prompt */

static int comfortable(double size, double least) {
  return size > least && size < 1e30;
}

/* One prompt, the i-th of its piece, for a block of users. */
static void prompt_block(const Job *job, size_t prompt, size_t i, size_t start, size_t count, const Scratch *s) {
  size_t models = job->scores->n_models, unsure = 0, first = job->scores->first[prompt];
  size_t n = job->scores->first[prompt + 1] - first;
  double largest = s->largest[i], heaviest = job->block_bound[start / USER_BLOCK], scale = largest * heaviest;
  PllmVoteTask task = {.models = models, .responses = n, .users = count};
  if (n == 0) return;
  task.tag_bits = 7; /* the tallies of small prompts read three bits */
  while ((size_t)task.tag_bits + 1 < n) task.tag_bits = task.tag_bits * 2 + 1;
  /* f32 holds both factors, their products and the sums with room to spare, or nothing is estimated */
  if (!comfortable(largest, LEAST) || !comfortable(heaviest, LEAST) || !comfortable(scale, 1e-18) || n > MAX_TAGGED) {
    for (size_t u = 0; u < count; u++) choose(job, job->weights + (start + u) * models, first, n);
    return;
  }
  task.weights = job->tiles + start * models;
  task.features = s->features + i * job->max_responses * models;
  task.numbers = job->numbers;
  task.margin = margin_of(scale, models, task.tag_bits);
  task.best = s->best;
  task.worst = s->worst;
  task.unsure = s->unsure;
  task.n_unsure = &unsure;
  memset(s->best, 0, 2 * job->max_responses * sizeof *s->best);
  job->kernel(&task);
  for (size_t r = 0; r < n; r++) {
    job->best[first + r] += s->best[r];
    job->worst[first + r] += s->worst[r];
  }
  for (size_t u = 0; u < unsure; u++) choose(job, job->weights + (start + s->unsure[u]) * models, first, n);
}

/* A number up to `largest` as estimates see it: rounded to multiples of 2^-32 to 2^-31 of that, by at most 2^-32. */
static PLLM_INLINE float estimated(double x, double largest) {
  double big = largest * 0x1p21;
  return (float)(x + big - big);
}

/* A prompt's scores, in blocks of 8 responses; returns the largest. */
static double estimated_prompt(const PllmScores *scores, size_t prompt, float *features) {
  size_t models = scores->n_models, first = scores->first[prompt], n = scores->first[prompt + 1] - first;
  const double *rewards = scores->rewards + first * models;
  double largest = 0;
  for (size_t k = 0; k < n * models; k++)
    if (fabs(rewards[k]) > largest) largest = fabs(rewards[k]);
  if (!comfortable(largest, LEAST)) return largest;
  for (size_t r = 0; r < n; r++)
    for (size_t b = 0; b < models; b++)
      features[(r / 8 * models + b) * 8 + r % 8] = estimated(rewards[r * models + b], largest);
  return largest;
}

static void votes_piece(void *arg, size_t begin, size_t end, int worker) {
  const Job *job = arg;
  Scratch s = scratch_of(job, worker);
  size_t stride = job->max_responses * job->scores->n_models;
  for (size_t i = begin; i < end; i++)
    s.largest[i - begin] = estimated_prompt(job->scores, job->prompts[i], s.features + (i - begin) * stride);
  for (size_t start = job->begin; start < job->end; start += USER_BLOCK) {
    size_t count = job->end - start < USER_BLOCK ? job->end - start : USER_BLOCK;
    for (size_t i = begin; i < end; i++) prompt_block(job, job->prompts[i], i - begin, start, count, &s);
  }
}

/* Weights of a block of users, from user `begin` to before `end`, into tiles of 16, and their bound. */
static PllmStatus pack_block(const Job *job, size_t begin, size_t end, float *tiles, double *bound, PllmError *err) {
  size_t models = job->scores->n_models;
  for (size_t u = begin; u < end; u++) {
    const double *w = job->weights + u * models;
    double sum = 0;
    for (size_t b = 0; b < models; b++) sum += fabs(w[b]);
    if (!(sum <= DBL_MAX))
      return pllm_fail(err, PLLM_INVALID, "the weights of user row %zu are not finite, or add up beyond the range of numbers", u);
    if (sum > *bound) *bound = sum;
  }
  if (!comfortable(*bound, LEAST)) return PLLM_OK;
  for (size_t u = begin; u < end; u++)
    for (size_t b = 0; b < models; b++)
      tiles[(u / PLLM_VOTE_TILE * models + b) * PLLM_VOTE_TILE + u % PLLM_VOTE_TILE] =
          estimated(job->weights[u * models + b], *bound);
  return PLLM_OK;
}

/* bound, of each block: zeros. */
static PllmStatus pack(const Job *job, float *tiles, double *bound, PllmError *err) {
  PllmStatus status = PLLM_OK;
  for (size_t begin = 0; status == PLLM_OK && begin < job->users; begin += USER_BLOCK) {
    size_t end = job->users - begin < USER_BLOCK ? job->users : begin + USER_BLOCK;
    status = pack_block(job, begin, end, tiles, &bound[begin / USER_BLOCK], err);
  }
  return status;
}

static void (*best_kernel(void))(const PllmVoteTask *) {
#if defined(__x86_64__)
  if (pllm_core_isa() >= PLLM_ISA_AVX512) return pllm_core_votes_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return pllm_core_votes_avx2;
#endif
  return pllm_core_votes_base;
}

/*
** How many users pass by a prompt before the interrupt is polled, `work` multiply-adds each: as many as fit a piece,
** in whole blocks, or in whole tiles where a prompt is so wide that a block would take too long.
*/
static size_t users_at_once(size_t work) {
  size_t users = PIECE_WORK / (work > 0 ? work : 1), step = PLLM_VOTE_TILE;
  if (users >= USER_BLOCK) return users / USER_BLOCK * USER_BLOCK;
  while (step * 2 <= users) step *= 2; /* divides a block */
  return step;
}

static size_t prompts_at_once(size_t work) {
  size_t prompts = PIECE_WORK / (work > 0 ? work : 1);
  return prompts > PROMPT_PIECE ? PROMPT_PIECE : prompts > 0 ? prompts : 1;
}

PllmStatus pllm_votes(const PllmScores *scores, const size_t *prompts, size_t n_prompts, const double *weights,
                      size_t users, int64_t *best, int64_t *worst, const PllmRun *run, PllmError *err) {
  size_t models = scores->n_models, blocks = users / USER_BLOCK + 1, step;
  Job job = {.scores = scores, .prompts = prompts, .weights = weights, .users = users, .best = best, .worst = worst};
  float *tiles = NULL;
  double *bound = NULL;
  PllmStatus status;
  if (users == 0 || n_prompts == 0) return PLLM_OK;
  job.padded = (users + PLLM_VOTE_TILE - 1) / PLLM_VOTE_TILE * PLLM_VOTE_TILE;
  for (size_t i = 0; i < n_prompts; i++) {
    size_t n = scores->first[prompts[i] + 1] - scores->first[prompts[i]];
    if (n > job.max_responses) job.max_responses = n;
  }
  job.max_responses = (job.max_responses + 7) / 8 * 8;
  step = users_at_once(job.max_responses * models);
  job.prompts_at_once = prompts_at_once(job.max_responses * models * (users < step ? users : step));
  job.scratch_bytes = PROMPT_PIECE * sizeof(double) +
                      (job.max_responses * (job.prompts_at_once * models + 2) + USER_BLOCK) * sizeof(float);
  job.scratch_bytes = (job.scratch_bytes + 63) / 64 * 64;
  job.numbers = pllm_alloc(job.max_responses, sizeof *job.numbers);
  tiles = pllm_alloc_aligned(job.padded, models * sizeof *tiles);
  bound = pllm_alloc_zero(blocks, sizeof *bound);
  job.scratch = pllm_alloc_aligned((size_t)pllm_run_threads(run), job.scratch_bytes);
  if (!tiles || !bound || !job.numbers || !job.scratch) {
    status = pllm_fail_nomem(err);
    goto done;
  }
  memset(tiles + (job.padded - PLLM_VOTE_TILE) * models, 0, PLLM_VOTE_TILE * models * sizeof *tiles);
  status = pack(&job, tiles, bound, err);
  if (status != PLLM_OK) goto done;
  job.tiles = tiles;
  job.block_bound = bound;
  job.kernel = best_kernel();
  for (size_t r = 0; r < job.max_responses; r++) job.numbers[r] = (int32_t)r;
  for (status = PLLM_OK; status == PLLM_OK && job.begin < users; job.begin += step) {
    job.end = users - job.begin < step ? users : job.begin + step;
    status = pllm_parallel(run, n_prompts, job.prompts_at_once, votes_piece, &job, err);
  }
done:
  pllm_free_aligned(tiles);
  pllm_free(bound);
  pllm_free(job.numbers);
  pllm_free_aligned(job.scratch);
  return status;
}
