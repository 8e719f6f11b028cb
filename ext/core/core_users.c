/*
** core_users.c: populations and their readers.
*/
#include "core_dirichlet.h"

#define MAX_STATES 2048          /* generator states a numpy reader keeps: 5 MiB */
#define CACHE_BYTES (8u << 20)   /* weights a numpy reader keeps */

void pllm_population_default(PllmPopulation *population, int n_models) {
  memset(population, 0, sizeof *population);
  population->count = 1000;
  population->generator = PLLM_GENERATOR_NUMPY;
  population->n_models = n_models;
  for (int b = 0; b < PLLM_MAX_MODELS; b++) population->alpha[b] = 0.05;
}

PllmStatus pllm_population_check(const PllmPopulation *p, PllmError *err) {
  if (p->n_models < 1 || p->n_models > PLLM_MAX_MODELS)
    return pllm_fail(err, PLLM_INVALID, "%d reward models; 1 to %d are allowed", p->n_models, PLLM_MAX_MODELS);
  if (p->count < 1 || p->count > PLLM_MAX_USERS)
    return pllm_fail(err, PLLM_INVALID, "count is %lld; 1 to %lld users are allowed", (long long)p->count,
                     (long long)PLLM_MAX_USERS);
  if (p->seed < 0 || p->seed > 0xffffffff)
    return pllm_fail(err, PLLM_INVALID, "seed is %lld; 0 to 4294967295 is allowed", (long long)p->seed);
  for (int b = 0; b < p->n_models; b++)
    if (!(p->alpha[b] >= PLLM_MIN_ALPHA && p->alpha[b] <= PLLM_MAX_ALPHA))
      return pllm_fail(err, PLLM_INVALID, "alpha (element %d) is %g; numbers from %g to %g are allowed", b + 1,
                       p->alpha[b], PLLM_MIN_ALPHA, PLLM_MAX_ALPHA);
  if (!(p->min_distance >= 0.0 && p->min_distance <= 2.0))
    return pllm_fail(err, PLLM_INVALID, "min_distance is %g; a number from 0 to 2 is allowed", p->min_distance);
  if (!(p->drift >= 0.0 && p->drift <= PLLM_MAX_DRIFT))
    return pllm_fail(err, PLLM_INVALID, "drift is %g; a number from 0 to %g is allowed", p->drift, PLLM_MAX_DRIFT);
  if (p->first < 0 || p->first > PLLM_MAX_USERS - p->count)
    return pllm_fail(err, PLLM_INVALID,
                     "first is %lld; 0 to %lld is allowed, so that first + count stays within 2^53",
                     (long long)p->first, (long long)(PLLM_MAX_USERS - p->count));
  if (p->generator == PLLM_GENERATOR_NUMPY) {
    if (p->first != 0)
      return pllm_fail(err, PLLM_INVALID,
                       "first is %lld, but the numpy generator draws its users in sequence from 0; "
                       "generator=philox can begin anywhere",
                       (long long)p->first);
    if (p->drift != 0.0)
      return pllm_fail(err, PLLM_INVALID, "drift needs generator=philox; numpy users do not drift");
    if (p->min_distance > 0.0 && p->count > PLLM_MAX_FILTERED_USERS)
      return pllm_fail(err, PLLM_INVALID, "count is %lld; min_distance compares all pairs and takes at most %d users",
                       (long long)p->count, PLLM_MAX_FILTERED_USERS);
  } else if (p->min_distance != 0.0) {
    return pllm_fail(err, PLLM_INVALID, "min_distance needs generator=numpy; philox users do not know each other");
  }
  return PLLM_OK;
}

/* ---- Readers ---- */

typedef struct State { /* of the generator before block `block` */
  int64_t block;
  PllmRandomState random;
} State;

struct PllmUsers {
  PllmPopulation population;
  int64_t count;
  /* philox */
  PllmDirichlet dirichlet;
  double *scratch; /* owned, aligned */
  /* numpy without filter: user blocks of block_users */
  size_t block_users, slots;
  State head;    /* ready to make block head.block */
  State *states; /* owned [MAX_STATES]: state i is of block i * stride */
  int64_t n_states, stride;
  int64_t *slot_block;  /* owned [slots]: which block a slot of the cache holds, -1 none; block b goes to b % slots */
  double *cache;        /* owned [slots][block_users][n_models] */
  unsigned char *known; /* owned [slots][block_users]; with a filter: [count] */
  /* numpy with filter */
  double *survivors; /* owned [count][n_models] */
};

void pllm_users_close(PllmUsers *users) {
  if (!users) return;
  pllm_free_aligned(users->scratch);
  pllm_free(users->states);
  pllm_free(users->slot_block);
  pllm_free(users->cache);
  pllm_free(users->known);
  pllm_free(users->survivors);
  pllm_free(users);
}

static void draw_numpy(const PllmPopulation *p, PllmRandomState *random, size_t count, double *weights,
                       unsigned char *known) {
  size_t n = (size_t)p->n_models;
  for (size_t i = 0; i < count; i++) {
    known[i] = (unsigned char)pllm_random_dirichlet(random, p->alpha, n, weights + i * n);
    if (!known[i]) memset(weights + i * n, 0, n * sizeof *weights);
  }
}

/* Draw all users, filter them, keep the survivors. */
static PllmStatus open_filtered(PllmUsers *u, const PllmRun *run, PllmError *err) {
  size_t n = (size_t)u->population.n_models, count = (size_t)u->population.count, kept = 0;
  uint32_t *keep = pllm_alloc(count, sizeof *keep);
  PllmRandomState random;
  PllmStatus status;
  u->survivors = pllm_alloc(count, n * sizeof *u->survivors);
  u->known = pllm_alloc(count, 1);
  if (!keep || !u->survivors || !u->known) {
    status = pllm_fail_nomem(err);
    goto done;
  }
  pllm_random_seed(&random, (uint32_t)u->population.seed);
  for (size_t i = 0; i < count; i += 1024) {
    status = pllm_poll(run, err);
    if (status != PLLM_OK) goto done;
    draw_numpy(&u->population, &random, count - i < 1024 ? count - i : 1024, u->survivors + i * n, u->known + i);
  }
  status =
      pllm_users_filter(u->survivors, u->known, count, (int)n, u->population.min_distance, keep, &kept, run, err);
  if (status != PLLM_OK) goto done;
  for (size_t i = 0; i < kept; i++) { /* keep[i] >= i: nothing is overwritten that is still needed */
    memmove(u->survivors + i * n, u->survivors + keep[i] * n, n * sizeof *u->survivors);
    u->known[i] = u->known[keep[i]];
  }
  u->count = (int64_t)kept;
  { /* give back what the dropped users held; keeping it would be no error */
    double *smaller = pllm_resize(u->survivors, kept, n * sizeof *smaller);
    if (smaller) u->survivors = smaller;
  }
done:
  pllm_free(keep);
  return status;
}

static PllmStatus open_sequence(PllmUsers *u, PllmError *err) {
  size_t n = (size_t)u->population.n_models, blocks, users = 4096 / n;
  u->block_users = users < 16 ? 16 : users > 512 ? 512 : users;
  blocks = (size_t)((u->population.count - 1) / (int64_t)u->block_users) + 1;
  u->slots = CACHE_BYTES / (u->block_users * n * sizeof(double));
  if (u->slots > blocks) u->slots = blocks;
  u->stride = 1;
  u->states = pllm_alloc(blocks < MAX_STATES ? blocks : MAX_STATES, sizeof *u->states);
  u->slot_block = pllm_alloc(u->slots, sizeof *u->slot_block);
  u->cache = pllm_alloc(u->slots * u->block_users, n * sizeof *u->cache);
  u->known = pllm_alloc(u->slots, u->block_users);
  if (!u->states || !u->slot_block || !u->cache || !u->known) return pllm_fail_nomem(err);
  for (size_t i = 0; i < u->slots; i++) u->slot_block[i] = -1;
  u->head.block = 0;
  pllm_random_seed(&u->head.random, (uint32_t)u->population.seed);
  return PLLM_OK;
}

PllmStatus pllm_users_open(const PllmPopulation *population, const PllmRun *run, PllmUsers **users, PllmError *err) {
  PllmStatus status = pllm_population_check(population, err);
  PllmUsers *u;
  if (status != PLLM_OK) return status;
  u = pllm_alloc_zero(1, sizeof *u);
  if (!u) return pllm_fail_nomem(err);
  u->population = *population;
  u->count = population->count;
  if (population->generator == PLLM_GENERATOR_PHILOX) {
    pllm_core_dirichlet_init(&u->dirichlet, (uint32_t)population->seed, population->alpha, population->n_models,
                             population->drift);
    u->scratch = pllm_alloc_aligned(PLLM_DIRICHLET_SCRATCH(population->n_models), sizeof(double));
    if (!u->scratch) status = pllm_fail_nomem(err);
  } else if (population->min_distance > 0.0) {
    status = open_filtered(u, run, err);
  } else {
    status = open_sequence(u, err);
  }
  if (status == PLLM_OK)
    *users = u;
  else
    pllm_users_close(u);
  return status;
}

int64_t pllm_users_count(const PllmUsers *users) {
  return users->count;
}

int64_t pllm_users_first(const PllmUsers *users) {
  return users->population.first;
}

/* Make block head.block into its slot and move head on, keeping its state where one belongs. */
static void make_block(PllmUsers *u) {
  int64_t block = u->head.block, left = u->count - block * (int64_t)u->block_users;
  size_t slot = (size_t)(block % (int64_t)u->slots), n = (size_t)u->population.n_models;
  if (block == u->n_states * u->stride) {
    if (u->n_states == MAX_STATES) { /* full: keep every other one */
      for (int64_t i = 0; i < MAX_STATES / 2; i++) u->states[i] = u->states[2 * i];
      u->n_states = MAX_STATES / 2;
      u->stride *= 2;
    }
    if (block == u->n_states * u->stride) u->states[u->n_states++] = u->head;
  }
  draw_numpy(&u->population, &u->head.random, left < (int64_t)u->block_users ? (size_t)left : u->block_users,
             u->cache + slot * u->block_users * n, u->known + slot * u->block_users);
  u->slot_block[slot] = block;
  u->head.block++;
}

/* Have `block` in the cache. */
static PllmStatus find_block(PllmUsers *u, int64_t block, const PllmRun *run, PllmError *err) {
  if (u->slot_block[block % (int64_t)u->slots] == block) return PLLM_OK;
  /* From the last state kept at or before the block, unless head is between the two. */
  if (u->n_states > 0) {
    int64_t i = block / u->stride;
    if (i >= u->n_states) i = u->n_states - 1;
    if (u->head.block > block || u->head.block < u->states[i].block) u->head = u->states[i];
  }
  while (u->head.block <= block) {
    PllmStatus status = pllm_poll(run, err);
    if (status != PLLM_OK) return status;
    make_block(u);
  }
  return PLLM_OK;
}

PllmStatus pllm_users_read(PllmUsers *u, int64_t user_id, size_t count, int64_t turn, double *weights,
                           unsigned char *known, const PllmRun *run, PllmError *err) {
  size_t n = (size_t)u->population.n_models;
  uint64_t at = (uint64_t)user_id - (uint64_t)u->population.first;
  if (user_id < u->population.first || at >= (uint64_t)u->count || count > (uint64_t)u->count - at || turn < 1)
    return pllm_fail(err, PLLM_INTERNAL, "pllm_users_read: no such user or turn");
  if (u->survivors) {
    memcpy(weights, u->survivors + at * n, count * n * sizeof *weights);
    if (known) memcpy(known, u->known + at, count);
    return PLLM_OK;
  }
  while (count > 0) {
    size_t users = count;
    PllmStatus status;
    if (u->population.generator == PLLM_GENERATOR_PHILOX) {
      status = pllm_poll(run, err);
      if (status != PLLM_OK) return status;
      if (users > 16 * PLLM_BLOCK) users = 16 * PLLM_BLOCK;
      pllm_core_dirichlet_many(&u->dirichlet, (uint64_t)u->population.first + at, users, turn, weights, u->scratch);
      if (known) memset(known, 1, users);
    } else {
      size_t slot, in_block = (size_t)(at % u->block_users);
      int64_t block = (int64_t)(at / u->block_users);
      status = find_block(u, block, run, err);
      if (status != PLLM_OK) return status;
      slot = (size_t)(block % (int64_t)u->slots) * u->block_users + in_block;
      if (users > u->block_users - in_block) users = u->block_users - in_block;
      memcpy(weights, u->cache + slot * n, users * n * sizeof *weights);
      if (known) memcpy(known, u->known + slot, users);
    }
    at += users;
    count -= users;
    weights += users * n;
    if (known) known += users;
  }
  return PLLM_OK;
}
