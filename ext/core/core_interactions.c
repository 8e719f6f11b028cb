/*
** core_interactions.c: interaction histories.  The draws and choices are specified in interactions.h.
**
** Two passes over a block of users.  First the prompts: by user, as a shuffle goes on from turn to turn and numpy's
** stream from user to user.  Then what was shown and chosen: by row, each of which depends on nothing but itself.
*/
#include "core_lanes.h"
#include "core_math.h"

enum {
  USER_PIECE_TURNS = 4096, /* turns whose prompts one worker draws at a time */
  ROW_PIECE = 256,         /* rows one worker decides at a time, where prompts are not too wide */
  POLL_WORK = 1 << 21      /* multiply-adds, or numbers drawn, of a piece or between polls, about */
};

#define EULER 0.57721566490153286

struct PllmHistories {
  PllmHistoryPlan plan;
  const PllmScores *scores;
  uint32_t seed;
  size_t *prompts; /* owned, the usable ones */
  size_t n_prompts, max_responses;
  PllmRandomState *numpy; /* owned, NULL for philox */
  uint32_t *permutation;  /* owned, [max_responses], numpy's pairs */
  PllmNeighbors *set;     /* owned, similar: over packed */
  float *packed;          /* owned, [n_prompts][dim] */
  size_t dim;
};

typedef struct PllmHistoriesJob {
  PllmHistories *h;
  const int64_t *user_id;
  const double *weights;
  size_t *start; /* owned, [users + 1]: the rows of each user */
  PllmInteraction *out;
  uint32_t *shuffle; /* owned, [threads][n_prompts]: 0, 1, 2, ... between users */
  double *utility;   /* owned, [threads][max_responses] */
  size_t rows;
  PllmJob *choices; /* owned: the second pass, under way */
} Job;

static uint32_t draw_below(const PllmHistories *h, PllmPurpose purpose, int64_t user, size_t index, uint32_t below) {
  uint32_t words[4];
  pllm_philox_draw(h->seed, purpose, (uint64_t)user, (uint32_t)index, 0, words);
  return pllm_philox_below(words[0], words[1], below);
}

static size_t responses_of(const PllmScores *s, size_t prompt) {
  return s->first[prompt + 1] - s->first[prompt];
}

/* ---- Prompts ---- */

static size_t length_of(PllmHistories *h, int64_t user) {
  size_t least = h->plan.min_per_user, most = h->plan.per_user;
  if (h->numpy) return (size_t)pllm_random_randint(&h->numpy[0], (int64_t)least, (int64_t)most + 1);
  if (least == most) return most;
  return least + draw_below(h, PLLM_PURPOSE_LENGTH, user, 0, (uint32_t)(most - least + 1));
}

static void draw_shuffled(const Job *job, size_t user, uint32_t *order) {
  const PllmHistories *h = job->h;
  size_t n = job->start[user + 1] - job->start[user];
  PllmInteraction *rows = job->out + job->start[user];
  for (size_t t = 0; t < n; t++) {
    size_t j = t + draw_below(h, PLLM_PURPOSE_PROMPT, job->user_id[user], t, (uint32_t)(h->n_prompts - t));
    uint32_t taken = order[j];
    order[j] = order[t];
    order[t] = taken;
    rows[t].prompt = h->prompts[taken];
  }
  /* Put back what moved: every place that lost its number holds, or is held by, one of the first n. */
  for (size_t t = 0; t < n; t++) {
    uint32_t taken = order[t];
    if (taken >= n) order[taken] = taken;
  }
  for (size_t t = 0; t < n; t++) order[t] = (uint32_t)t;
}

static void prompts_piece(void *arg, size_t begin, size_t end, int worker) {
  const Job *job = arg;
  const PllmHistories *h = job->h;
  for (size_t u = begin; u < end; u++) {
    if (h->plan.no_replacement) {
      draw_shuffled(job, u, job->shuffle + (size_t)worker * h->n_prompts);
      continue;
    }
    for (size_t i = job->start[u]; i < job->start[u + 1]; i++)
      job->out[i].prompt =
          h->prompts[draw_below(h, PLLM_PURPOSE_PROMPT, job->user_id[u], i - job->start[u], (uint32_t)h->n_prompts)];
  }
}

/* An anchor each, then what is most similar to it. */
static PllmStatus similar_prompts(const Job *job, size_t users, const PllmRun *run, PllmError *err) {
  const PllmHistories *h = job->h;
  size_t k = h->plan.per_user - 1, *anchor = pllm_alloc(users, sizeof *anchor);
  float *queries = pllm_alloc(users, (h->dim > 0 ? h->dim : 1) * sizeof *queries);
  PllmNeighbor *found = pllm_alloc(users, (k > 0 ? k : 1) * sizeof *found);
  PllmStatus status = anchor && queries && found ? PLLM_OK : pllm_fail_nomem(err);
  for (size_t u = 0; status == PLLM_OK && u < users; u++) {
    anchor[u] = draw_below(h, PLLM_PURPOSE_PROMPT, job->user_id[u], 0, (uint32_t)h->n_prompts);
    memcpy(queries + u * h->dim, h->packed + anchor[u] * h->dim, h->dim * sizeof *queries);
  }
  if (status == PLLM_OK && k > 0)
    status = pllm_neighbors_find(h->set, 0, h->n_prompts, queries, users, anchor, k, found, run, err);
  for (size_t u = 0; status == PLLM_OK && u < users; u++) {
    PllmInteraction *rows = job->out + job->start[u];
    size_t n = job->start[u + 1] - job->start[u];
    for (size_t t = 0; t < n; t++) rows[t].prompt = h->prompts[t == 0 ? anchor[u] : found[u * k + t - 1].candidate];
  }
  pllm_free(anchor);
  pllm_free(queries);
  pllm_free(found);
  return status;
}

/*
** The published generators' draws for one user; rows is NULL for a user without weights.  *work counts what was drawn
** since the last poll.
*/
static PllmStatus numpy_user(PllmHistories *h, size_t n, PllmInteraction *rows, size_t *work, const PllmRun *run,
                             PllmError *err) {
  for (size_t t = 0; t < n; t++) {
    size_t p = h->prompts[pllm_random_randint(h->numpy, 0, (int64_t)h->n_prompts)], m = responses_of(h->scores, p);
    size_t first = 0, second = 0;
    if (h->plan.mode == PLLM_RATING) first = (size_t)pllm_random_randint(h->numpy, 1, (int64_t)m) - 1;
    if (h->plan.mode == PLLM_RANDOM_PAIR) {
      pllm_random_permutation(h->numpy, (uint32_t)m - 1, h->permutation);
      first = h->permutation[0];
      second = h->permutation[1];
    }
    *work += h->plan.mode == PLLM_RANDOM_PAIR ? m : 1;
    if (*work >= POLL_WORK) {
      PllmStatus status = pllm_poll(run, err);
      if (status != PLLM_OK) return status;
      *work = 0;
    }
    if (!rows) continue;
    rows[t].prompt = p;
    rows[t].chosen = first;
    rows[t].rejected = second;
  }
  return PLLM_OK;
}

/* ---- Choices ---- */

/* Canonical utilities of n responses: eight sums side by side, in registers, each in position order. */
static void utilities(const double *w, const double *rewards, size_t models, size_t n, double *u) {
  size_t r = 0;
  for (; r + 8 <= n; r += 8) {
    const double *f = rewards + r * models;
    double a = w[0] * f[0], b = w[0] * f[models], c = w[0] * f[2 * models], d = w[0] * f[3 * models];
    double e = w[0] * f[4 * models], g = w[0] * f[5 * models], h = w[0] * f[6 * models], i = w[0] * f[7 * models];
    for (size_t k = 1; k < models; k++) {
      f++;
      a += w[k] * f[0];
      b += w[k] * f[models];
      c += w[k] * f[2 * models];
      d += w[k] * f[3 * models];
      e += w[k] * f[4 * models];
      g += w[k] * f[5 * models];
      h += w[k] * f[6 * models];
      i += w[k] * f[7 * models];
    }
    u[r] = a;
    u[r + 1] = b;
    u[r + 2] = c;
    u[r + 3] = d;
    u[r + 4] = e;
    u[r + 5] = g;
    u[r + 6] = h;
    u[r + 7] = i;
  }
  for (; r < n; r++) u[r] = pllm_utility(w, rewards + r * models, models);
}

/* Standard Gumbel draws of a response: for choosing it as best, and as worst. */
static void gumbels(const PllmHistories *h, int64_t user, uint32_t turn, size_t response, double *best,
                    double *worst) {
  uint32_t w[4];
  pllm_philox_draw(h->seed, PLLM_PURPOSE_CHOICE, (uint64_t)user, turn - 1, (uint32_t)response, w);
  *best = -pllm_log1(-pllm_log1(pllm_philox_double(w[0], w[1])));
  *worst = -pllm_log1(-pllm_log1(pllm_philox_double(w[2], w[3])));
}

/* First of eight that equals x; the last, where x is no number. */
static size_t first_equal(const double *u, double x) {
  const PllmLanes wanted = pllm_lanes_all(x);
  unsigned equal = 1u << 7;
  PLLM_UNROLLED
  for (int r = 0; r < 8; r += PLLM_LANES) equal |= pllm_lanes_true(pllm_lanes_load(u + r) == wanted) << r;
  return (size_t)__builtin_ctz(equal);
}

static double larger(double a, double b) {
  return a > b ? a : b;
}

static double smaller(double a, double b) {
  return a < b ? a : b;
}

/* First maximum and first minimum.  Eight, as published, without a branch: which is best is anybody's guess. */
static void first_extremes(const double *u, size_t n, size_t *best, size_t *worst) {
  size_t high = 0, low = 0;
  if (n == 8) {
    *best = first_equal(
        u, larger(larger(larger(u[0], u[1]), larger(u[2], u[3])), larger(larger(u[4], u[5]), larger(u[6], u[7]))));
    *worst = first_equal(u, smaller(smaller(smaller(u[0], u[1]), smaller(u[2], u[3])),
                                    smaller(smaller(u[4], u[5]), smaller(u[6], u[7]))));
    return;
  }
  for (size_t r = 1; r < n; r++) {
    if (u[r] > u[high]) high = r;
    if (u[r] < u[low]) low = r;
  }
  *best = high;
  *worst = low;
}

/* Best by u + s g; worst by -u + s g' among the others: the two leaders of the latter are kept, one may be the best. */
static void noisy_extremes(const PllmHistories *h, int64_t user, uint32_t turn, const double *u, size_t n,
                           size_t *best, size_t *worst) {
  double high = 0, low = 0, next = 0, s = h->plan.noise, g, g2;
  size_t top = 0, bottom = 0, second = SIZE_MAX;
  for (size_t r = 0; r < n; r++) {
    double key, away;
    gumbels(h, user, turn, r, &g, &g2);
    key = u[r] + s * g;
    away = s * g2 - u[r];
    if (r == 0 || key > high) {
      high = key;
      top = r;
    }
    if (r == 0) {
      low = away;
    } else if (away > low) {
      next = low;
      second = bottom;
      low = away;
      bottom = r;
    } else if (second == SIZE_MAX || away > next) {
      next = away;
      second = r;
    }
  }
  *best = top;
  *worst = bottom == top ? second : bottom;
}

static void decide_pair(const PllmHistories *h, int64_t user, PllmInteraction *row, const double *w, size_t first,
                        size_t second) {
  const double *rewards = h->scores->rewards + h->scores->first[row->prompt] * h->scores->n_models;
  size_t models = h->scores->n_models;
  double a = pllm_utility(w, rewards + first * models, models),
         b = pllm_utility(w, rewards + second * models, models);
  double key_a = a, key_b = b, unused;
  int take_first;
  if (h->plan.noise > 0) {
    gumbels(h, user, row->turn, first, &key_a, &unused);
    gumbels(h, user, row->turn, second, &key_b, &unused);
    key_a = a + h->plan.noise * key_a;
    key_b = b + h->plan.noise * key_b;
  }
  take_first = key_a > key_b || (key_a == key_b && !h->numpy && first < second);
  row->chosen = take_first ? first : second;
  row->rejected = take_first ? second : first;
  row->chosen_reward = take_first ? a : b;
  row->rejected_reward = take_first ? b : a;
}

static void decide(const Job *job, PllmInteraction *row, double *u) {
  PllmHistories *h = job->h;
  const PllmScores *scores = h->scores;
  int64_t user = job->user_id[row->user];
  size_t models = scores->n_models, begin = scores->first[row->prompt], n = responses_of(scores, row->prompt);
  const double *w = job->weights + row->user * models, *rewards = scores->rewards + begin * models;
  uint32_t words[4];
  if (h->plan.mode != PLLM_BEST_WORST && !h->numpy) {
    pllm_philox_draw(h->seed, PLLM_PURPOSE_SHOWN, (uint64_t)user, row->turn - 1, 0, words);
    row->chosen = pllm_philox_below(words[0], words[1], (uint32_t)n);
    if (h->plan.mode == PLLM_RANDOM_PAIR) {
      row->rejected = pllm_philox_below(words[2], words[3], (uint32_t)n - 1);
      row->rejected += row->rejected >= row->chosen;
    }
  }
  switch (h->plan.mode) {
  case PLLM_BEST_WORST:
    utilities(w, rewards, models, n, u);
    if (h->plan.noise > 0)
      noisy_extremes(h, user, row->turn, u, n, &row->chosen, &row->rejected);
    else
      first_extremes(u, n, &row->chosen, &row->rejected);
    row->chosen_reward = u[row->chosen];
    row->rejected_reward = u[row->rejected];
    break;
  case PLLM_RANDOM_PAIR: decide_pair(h, user, row, w, row->chosen, row->rejected); break;
  case PLLM_RATING:
    row->chosen_reward = pllm_utility(w, rewards + row->chosen * models, models);
    if (h->plan.noise > 0) {
      double g, unused;
      gumbels(h, user, row->turn, row->chosen, &g, &unused);
      row->chosen_reward += h->plan.noise * (g - EULER);
    }
    break;
  }
  row->chosen += begin;
  row->rejected = h->plan.mode == PLLM_RATING ? SIZE_MAX : row->rejected + begin;
}

/* Prompts come at random, so no hardware foresees which rewards are next; we do. */
static PLLM_INLINE void fetch_rewards(const PllmScores *scores, size_t prompt) {
  enum { MOST = 1024 };
  size_t bytes = responses_of(scores, prompt) * scores->n_models * sizeof(double);
  pllm_core_fetch(scores->rewards + scores->first[prompt] * scores->n_models, bytes < MOST ? bytes : MOST);
}

static void choices_piece(void *arg, size_t begin, size_t end, int worker) {
  enum { AHEAD = 8 };
  const Job *job = arg;
  for (size_t i = begin; i < end; i++) {
    if (i + AHEAD < end) fetch_rewards(job->h->scores, job->out[i + AHEAD].prompt);
    decide(job, job->out + i, job->utility + (size_t)worker * job->h->max_responses);
  }
}

/* Rows of a piece.  A noisy choice costs four logarithms each response, about as much as GUMBELS reward models. */
static size_t rows_at_once(const PllmHistories *h) {
  enum { GUMBELS = 100 };
  size_t rows = POLL_WORK / (h->max_responses * (h->scores->n_models + (h->plan.noise > 0 ? GUMBELS : 0)));
  return rows > ROW_PIECE ? ROW_PIECE : rows > 0 ? rows : 1;
}

static void job_free(Job *job) {
  if (!job) return;
  pllm_free(job->start);
  pllm_free(job->utility);
  pllm_free(job->shuffle);
  pllm_free(job);
}

/* How many rows each user has, and numpy's draws. */
static PllmStatus lay_out(Job *job, const uint8_t *known, size_t users, const PllmRun *run, PllmError *err) {
  PllmHistories *h = job->h;
  size_t n = 0, work = 0;
  for (size_t u = 0; u < users; u++) {
    size_t turns = length_of(h, job->user_id[u]);
    int there = !known || known[u];
    job->start[u] = n;
    if (h->numpy) {
      PllmStatus status = numpy_user(h, turns, there ? job->out + n : NULL, &work, run, err);
      if (status != PLLM_OK) return status;
    }
    for (size_t t = 0; there && t < turns; t++, n++) {
      job->out[n].user = (uint32_t)u;
      job->out[n].turn = (uint32_t)t + 1;
    }
  }
  job->start[users] = job->rows = n;
  return PLLM_OK;
}

PllmStatus pllm_histories_start(PllmHistories *h, const int64_t *user_id, const double *weights, const uint8_t *known,
                                size_t users, PllmInteraction *out, const PllmRun *run, PllmHistoriesJob **started,
                                PllmError *err) {
  size_t threads = (size_t)pllm_run_threads(run), piece = USER_PIECE_TURNS / h->plan.per_user + 1;
  Job *job = pllm_alloc_zero(1, sizeof *job);
  PllmStatus status;
  *started = NULL;
  if (!job) return pllm_fail_nomem(err);
  *job = (Job){.h = h, .user_id = user_id, .weights = weights, .out = out};
  job->start = pllm_alloc(users + 1, sizeof *job->start);
  job->utility = pllm_alloc(threads, h->max_responses * sizeof *job->utility);
  if (h->plan.no_replacement) job->shuffle = pllm_alloc(threads, h->n_prompts * sizeof *job->shuffle);
  if (!job->start || !job->utility || (h->plan.no_replacement && !job->shuffle)) {
    job_free(job);
    return pllm_fail_nomem(err);
  }
  for (size_t i = 0; job->shuffle && i < threads * h->n_prompts; i++) job->shuffle[i] = (uint32_t)(i % h->n_prompts);
  status = lay_out(job, known, users, run, err);
  if (status == PLLM_OK && h->plan.similar)
    status = similar_prompts(job, users, run, err);
  else if (status == PLLM_OK && !h->numpy)
    status = pllm_parallel(run, users, piece, prompts_piece, job, err);
  if (status == PLLM_OK)
    status = pllm_job_start(run, job->rows, rows_at_once(h), choices_piece, job, &job->choices, err);
  if (status == PLLM_OK)
    *started = job;
  else
    job_free(job);
  return status;
}

PllmStatus pllm_histories_join(PllmHistoriesJob *job, size_t *rows, PllmError *err) {
  PllmStatus status = pllm_job_join(job->choices, err);
  *rows = status == PLLM_OK ? job->rows : 0;
  job_free(job);
  return status;
}

void pllm_histories_cancel(PllmHistoriesJob *job) {
  if (!job) return;
  pllm_job_cancel(job->choices);
  job_free(job);
}

PllmStatus pllm_histories_make(PllmHistories *h, const int64_t *user_id, const double *weights, const uint8_t *known,
                               size_t users, PllmInteraction *out, size_t *rows, const PllmRun *run, PllmError *err) {
  PllmHistoriesJob *job;
  PllmStatus status = pllm_histories_start(h, user_id, weights, known, users, out, run, &job, err);
  *rows = 0;
  return status == PLLM_OK ? pllm_histories_join(job, rows, err) : status;
}

/* ---- Opening ---- */

static PllmStatus check_plan(PllmHistoryPlan *plan, PllmError *err) {
  if (plan->seed < 0 || plan->seed > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "seed is %lld; a whole number from 0 to 4294967295 is required",
                     (long long)plan->seed);
  if (plan->per_user < 1 || plan->per_user > PLLM_MAX_TURNS)
    return pllm_fail(err, PLLM_INVALID, "per_user is %zu; a whole number from 1 to %d is required", plan->per_user,
                     PLLM_MAX_TURNS);
  if (plan->min_per_user == 0) plan->min_per_user = plan->per_user;
  if (plan->min_per_user > plan->per_user)
    return pllm_fail(err, PLLM_INVALID, "min_per_user is %zu, but per_user is only %zu", plan->min_per_user,
                     plan->per_user);
  if (!(plan->noise >= 0) || plan->noise > 1e300)
    return pllm_fail(err, PLLM_INVALID, "noise is %g; a number from 0 to 1e300 is required", plan->noise);
  if (plan->draws == PLLM_DRAWS_NUMPY && (plan->no_replacement || plan->similar))
    return pllm_fail(
        err, PLLM_INVALID,
        "the published generators, which draws = numpy repeats, draw prompts at random with replacement; "
        "use draws = philox with %s",
        plan->similar ? "similar" : "replacement = false");
  if (plan->draws == PLLM_DRAWS_NUMPY && plan->mode == PLLM_BEST_WORST && plan->min_per_user != plan->per_user)
    return pllm_fail(err, PLLM_INVALID,
                     "the published best_worst generator, which draws = numpy repeats, has one length for all users; "
                     "use draws = philox with min_per_user");
  return PLLM_OK;
}

static size_t responses_needed(const PllmHistoryPlan *plan) {
  size_t shown = plan->mode == PLLM_RATING ? 1 : 2;
  return plan->draws == PLLM_DRAWS_NUMPY && plan->mode != PLLM_BEST_WORST ? shown + 1 : shown;
}

static PllmStatus usable_prompts(PllmHistories *h, const size_t *prompts, size_t n, const float *embeddings,
                                 const uint8_t *has, PllmError *err) {
  size_t needed = responses_needed(&h->plan), least = 1;
  h->prompts = pllm_alloc(n, sizeof *h->prompts);
  if (h->plan.similar) h->packed = pllm_alloc(n, (h->dim > 0 ? h->dim : 1) * sizeof *h->packed);
  if (!h->prompts || (h->plan.similar && !h->packed)) return pllm_fail_nomem(err);
  for (size_t i = 0; i < n; i++) {
    size_t m = responses_of(h->scores, prompts[i]);
    if (m < needed || (h->plan.similar && !has[prompts[i]])) continue;
    if (m > h->max_responses) h->max_responses = m;
    if (h->plan.similar)
      memcpy(h->packed + h->n_prompts * h->dim, embeddings + prompts[i] * h->dim, h->dim * sizeof *h->packed);
    h->prompts[h->n_prompts++] = prompts[i];
  }
  if (h->plan.no_replacement || h->plan.similar) least = h->plan.per_user;
  if (h->n_prompts == 0)
    return pllm_fail(err, PLLM_INVALID, "no prompt to draw from: none of %zu has %zu scored response%s%s", n, needed,
                     needed == 1 ? "" : "s", h->plan.similar ? " and an embedding" : "");
  if (h->n_prompts < least)
    return pllm_fail(err, PLLM_INVALID, "per_user is %zu, but only %zu different prompts can be drawn",
                     h->plan.per_user, h->n_prompts);
  if (h->n_prompts > UINT32_MAX || h->max_responses > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "too many prompts or responses to draw from");
  return PLLM_OK;
}

PllmStatus pllm_histories_open(const PllmHistoryPlan *plan, const PllmScores *scores, const size_t *prompts,
                               size_t n_prompts, const float *embeddings, size_t dim, const uint8_t *has,
                               const PllmRun *run, PllmHistories **out, PllmError *err) {
  PllmHistories *h = pllm_alloc_zero(1, sizeof *h);
  PllmStatus status;
  *out = NULL;
  if (!h) return pllm_fail_nomem(err);
  h->plan = *plan;
  h->scores = scores;
  h->seed = (uint32_t)plan->seed;
  h->dim = plan->similar ? dim : 0;
  status = check_plan(&h->plan, err);
  if (status == PLLM_OK && h->plan.similar && (!embeddings || dim == 0))
    status = pllm_fail(err, PLLM_INVALID, "similar prompts need embeddings, but no prompt has one");
  if (status == PLLM_OK && h->plan.similar && h->plan.per_user > PLLM_MAX_NEIGHBORS)
    status = pllm_fail(err, PLLM_INVALID, "per_user is %zu; similar prompts allow at most %d", h->plan.per_user,
                       PLLM_MAX_NEIGHBORS);
  if (status == PLLM_OK) status = usable_prompts(h, prompts, n_prompts, embeddings, has, err);
  if (status == PLLM_OK && h->plan.similar)
    status = pllm_neighbors_new(h->packed, h->n_prompts, h->dim, run, &h->set, err);
  if (status == PLLM_OK && h->plan.draws == PLLM_DRAWS_NUMPY) {
    h->numpy = pllm_alloc(1, sizeof *h->numpy);
    h->permutation = pllm_alloc(h->max_responses, sizeof *h->permutation);
    if (h->numpy && h->permutation)
      pllm_random_seed(h->numpy, h->seed);
    else
      status = pllm_fail_nomem(err);
  }
  if (status != PLLM_OK) {
    pllm_histories_close(h);
    return status;
  }
  *out = h;
  return PLLM_OK;
}

void pllm_histories_close(PllmHistories *h) {
  if (!h) return;
  pllm_neighbors_free(h->set);
  pllm_free(h->packed);
  pllm_free(h->prompts);
  pllm_free(h->numpy);
  pllm_free(h->permutation);
  pllm_free(h);
}
