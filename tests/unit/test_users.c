/* Populations: argument checks, philox users (D1..D5 of core_dirichlet.c), numpy readers, the near-duplicate filter.
 */
#include "tap.h"

#include <stdlib.h>

#include "../../ext/core/core_dirichlet.h"

static PllmError err;

static PllmPopulation philox(int n, double alpha) {
  PllmPopulation p;
  pllm_population_default(&p, n);
  p.generator = PLLM_GENERATOR_PHILOX;
  for (int b = 0; b < n; b++) p.alpha[b] = alpha;
  return p;
}

static void test_checks(void) {
  PllmPopulation p;
#define BAD(change, text)                                                                                            \
  pllm_population_default(&p, 10);                                                                                   \
  change;                                                                                                            \
  tap_fails(pllm_population_check(&p, &err), PLLM_INVALID, &err, text)
  pllm_population_default(&p, 10);
  tap_check(pllm_population_check(&p, &err) == PLLM_OK, "the default population is valid");
  BAD(p.n_models = 0, "0 reward models; 1 to 256 are allowed");
  BAD(p.n_models = 257, "257 reward models");
  BAD(p.count = 0, "count is 0; 1 to 9007199254740992 users are allowed");
  BAD(p.count = INT64_MAX, "count is 9223372036854775807");
  BAD(p.seed = -1, "seed is -1; 0 to 4294967295 is allowed");
  BAD(p.seed = 4294967296, "seed is 4294967296");
  BAD(p.alpha[3] = 0, "alpha (element 4) is 0; numbers from 1e-06 to 1e+06 are allowed");
  BAD(p.alpha[0] = NAN, "alpha (element 1) is");
  BAD(p.min_distance = -1, "min_distance is -1; a number from 0 to 2 is allowed");
  BAD((p.min_distance = 1e-5, p.count = 50001),
      "count is 50001; min_distance compares all pairs and takes at most 50000");
  BAD(p.drift = .1, "drift needs generator=philox");
  BAD(p.first = 1, "generator=philox can begin anywhere");
  BAD((p.generator = PLLM_GENERATOR_PHILOX, p.drift = NAN), "drift is");
  BAD((p.generator = PLLM_GENERATOR_PHILOX, p.first = -1),
      "first is -1; 0 to 9007199254739992 is allowed, so that first + count stays within 2^53");
  BAD((p.generator = PLLM_GENERATOR_PHILOX, p.first = PLLM_MAX_USERS - 999), "first is 9007199254739993");
  BAD((p.generator = PLLM_GENERATOR_PHILOX, p.min_distance = .1), "min_distance needs generator=numpy");
}

/* D1..D4: printed when the generator was written; they must never change. */
static void test_frozen(void) {
  static const struct {
    int64_t seed, id;
    double alpha[4];
    double want[4];
  } vector[] = {
#include "philox_users.inc"
  };
  for (size_t i = 0; i < sizeof vector / sizeof *vector; i++) {
    PllmPopulation p = philox(4, .05);
    double got[4];
    p.seed = vector[i].seed;
    memcpy(p.alpha, vector[i].alpha, sizeof vector[i].alpha);
    pllm_users_philox_batch(&p, vector[i].id, 1, 1, got, NULL, &err);
    if (!tap_check(memcmp(got, vector[i].want, sizeof got) == 0, "frozen philox user %lld of seed %lld, alpha %g",
                   (long long)vector[i].id, (long long)vector[i].seed, vector[i].alpha[0]))
      printf("# {%a, %a, %a, %a}\n", got[0], got[1], got[2], got[3]);
  }
}

/* D2: many at once, on any instruction set and number of threads, are the same bits as one at a time. */
static void test_many(void) {
  static const int dims[] = {1, 2, 3, 10, 33, PLLM_MAX_MODELS};
  static const double alphas[] = {1e-6, .01, .05, .3, .5, .75, 1, 1.000001, 2, 50, 1e6};
  enum { MOST = 270 };
  double *one = malloc(sizeof(double) * MOST * PLLM_MAX_MODELS),
         *many = malloc(sizeof(double) * MOST * PLLM_MAX_MODELS);
  double worst = 0;
  int finite = 1;
  for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
    /* Few models: enough users for two tiles and a rest; many: two blocks. */
    size_t n = (size_t)dims[k], users = n <= 10 ? MOST : 70;
    for (size_t a = 0; a <= sizeof alphas / sizeof *alphas; a++) {
      int good = 1;
      PllmPopulation p = philox(dims[k], .05);
      PllmDirichlet *d = malloc(sizeof *d);
      p.seed = 4294967295;
      p.drift = a % 2 ? .1 : 0;
      for (size_t b = 0; b < n; b++) p.alpha[b] = alphas[a < sizeof alphas / sizeof *alphas ? a : b % a];
      pllm_core_dirichlet_init(d, (uint32_t)p.seed, p.alpha, dims[k], p.drift);
      for (size_t i = 0; i < users; i++) {
        double sum = 0;
        pllm_core_dirichlet_one(d, 0xffffffc0u + i, 3, one + i * n);
        for (size_t b = 0; b < n; b++) {
          sum += one[i * n + b];
          finite &= one[i * n + b] >= 0 && one[i * n + b] <= 1;
        }
        if (fabs(sum - 1) > worst) worst = fabs(sum - 1);
      }
      for (int isa = PLLM_ISA_BASE; isa <= PLLM_ISA_MOST; isa++) {
        PllmRun run = {.threads = 1 + isa};
        pllm_core_isa_limit((PllmIsa)isa);
        pllm_users_philox_batch(&p, 0xffffffc0u, users, 3, many, &run, &err);
        good &= memcmp(one, many, sizeof(double) * users * n) == 0;
      }
      if (!good || a == 0 || k == 3)
        tap_check(good, "%d models, alpha case %d: a batch equals its users one by one", dims[k], (int)a);
      free(d);
    }
  }
  tap_check(finite, "every weight is within [0, 1], from alpha 1e-6 to 1e6");
  tap_check(worst < 1e-14, "weights sum to 1 (worst %.2g)", worst);
  free(one);
  free(many);
}

/* The same for any first user and any count, as far as the last user and no further. */
static void test_ranges(void) {
  static const uint64_t firsts[] = {0, 1, 0xffffffe1u, ((uint64_t)1 << 63) - 70, UINT64_MAX - 100};
  static const size_t counts[] = {1, 2, 3, 7, 8, 9, 10, 11, 63, 64, 65, 127, 255, 256, 257, 333};
  static const int dims[] = {1, 2, 3, 5, 8, 31, 65};
  static const double alphas[][3] = {{.05, .05, .05}, {.4, .4, .4}, {.9, .9, .9},
                                     {3, 3, 3},       {.05, .6, 2}, {1, 1e-5, 30}};
  enum { MOST = 333, N = 65, BEYOND = 4 };
  for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
    int good = 1, inside = 1;
    for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
      size_t n = (size_t)dims[k];
      PllmDirichlet *d = malloc(sizeof *d);
      double alpha[N], *one = malloc(sizeof(double) * MOST * n), *many = malloc(sizeof(double) * (MOST + BEYOND) * n),
                       *scratch = malloc(sizeof(double) * PLLM_DIRICHLET_SCRATCH(n));
      for (size_t b = 0; b < n; b++) alpha[b] = alphas[a][b % 3];
      pllm_core_dirichlet_init(d, (uint32_t)k, alpha, dims[k], .2);
      for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
        int64_t turn = f % 2 ? 4 : 1;
        for (size_t i = 0; i < MOST; i++) pllm_core_dirichlet_one(d, firsts[f] + i, turn, one + i * n);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
          for (int isa = PLLM_ISA_BASE; isa <= PLLM_ISA_MOST; isa++) {
            pllm_core_isa_limit((PllmIsa)isa);
            for (size_t b = 0; b < BEYOND * n; b++) many[counts[c] * n + b] = -1;
            pllm_core_dirichlet_many(d, firsts[f], counts[c], turn, many, scratch);
            good &= memcmp(one, many, sizeof(double) * counts[c] * n) == 0;
            for (size_t b = 0; b < BEYOND * n; b++) inside &= many[counts[c] * n + b] == -1;
          }
      }
      free(d);
      free(one);
      free(many);
      free(scratch);
    }
    tap_check(good, "alpha %g, %g, %g: any range of users equals them one by one", alphas[a][0], alphas[a][1],
              alphas[a][2]);
    tap_check(inside, "and nothing is written beyond");
  }
}

/* Q1..Q3: decisions are those of the exact tests.  Enough draws for lanes that the quick tests leave undecided, of which
** there is about one in 4,000, and for many with weights that underflow beside others. */
static void test_decisions(void) {
  enum { USERS = 6000, N = 10 };
  static const double alphas[] = {.002, .03, .05, .2, .45, .55, 1, 1.2, 5, 1000, 0};
  double *one = malloc(sizeof(double) * USERS * N), *many = malloc(sizeof(double) * USERS * N);
  for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
    int good = 1;
    PllmPopulation p = philox(N, alphas[a]);
    PllmDirichlet *d = malloc(sizeof *d);
    p.seed = 77;
    for (int b = 0; b < N && alphas[a] == 0; b++) p.alpha[b] = alphas[b];
    pllm_core_dirichlet_init(d, (uint32_t)p.seed, p.alpha, N, 0);
    for (uint64_t i = 0; i < USERS; i++) pllm_core_dirichlet_one(d, 1000 + i, 1, one + i * N);
    for (int isa = PLLM_ISA_BASE; isa <= PLLM_ISA_MOST; isa++) {
      pllm_core_isa_limit((PllmIsa)isa);
      pllm_users_philox_batch(&p, 1000, USERS, 1, many, NULL, &err);
      good &= memcmp(one, many, sizeof(double) * USERS * N) == 0;
    }
    tap_check(good, "alpha %g%s: every draw is decided as the exact tests do", alphas[a],
              alphas[a] == 0 ? " (all of them)" : "");
    free(d);
  }
  free(one);
  free(many);
}

/* Mean alpha_b / sum, variance of the Dirichlet, at fixed seeds: within 5 standard errors. */
static void test_moments(void) {
  static const double alphas[] = {.01, .05, .5, 1, 1.5, 20};
  enum { USERS = 40000, N = 5 };
  double *w = malloc(sizeof(double) * USERS * N);
  for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
    PllmPopulation p = philox(N, alphas[a]);
    double total = 0, worst_mean = 0, worst_square = 0;
    p.alpha[N - 1] *= 2; /* not all alike */
    for (int b = 0; b < N; b++) total += p.alpha[b];
    pllm_users_philox_batch(&p, 0, USERS, 1, w, NULL, &err);
    for (int b = 0; b < N; b++) {
      double m = 0, s = 0, mean = p.alpha[b] / total, z;
      double second = mean * (p.alpha[b] + 1) / (total + 1);
      double fourth = second * (p.alpha[b] + 2) / (total + 2) * (p.alpha[b] + 3) / (total + 3);
      for (int i = 0; i < USERS; i++) {
        double x = w[i * N + b];
        m += x;
        s += x * x;
      }
      z = fabs(m / USERS - mean) / sqrt((second - mean * mean) / USERS);
      if (z > worst_mean) worst_mean = z;
      z = fabs(s / USERS - second) / sqrt((fourth - second * second) / USERS);
      if (z > worst_square) worst_square = z;
    }
    tap_check(worst_mean < 5 && worst_square < 5, "alpha %g: means (%.1f) and squares (%.1f standard errors off)",
              alphas[a], worst_mean, worst_square);
  }
  free(w);
}

static void test_drift(void) {
  PllmPopulation p = philox(10, .05);
  double now[10], later[10], end[10], l = 1.0 - pllm_exp1(-.25 * 6), step = 0, gap = 0;
  pllm_users_philox_batch(&p, 7, 1, 1, now, NULL, &err);
  pllm_users_philox_batch(&p, 7, 1, 9, later, NULL, &err);
  tap_check(memcmp(now, later, sizeof now) == 0, "D5 without drift every turn has the same weights");
  p.drift = .25;
  pllm_users_philox_batch(&p, 7, 1, 1, later, NULL, &err);
  tap_check(memcmp(now, later, sizeof now) == 0, "D5 turn 1 is where a drifting user begins");
  pllm_users_philox_batch(&p, 7, 1, INT64_MAX, end, NULL, &err);
  pllm_users_philox_batch(&p, 7, 1, 7, later, NULL, &err);
  for (int b = 0; b < 10; b++) {
    step += fabs(later[b] - ((1 - l) * now[b] + l * end[b]));
    gap += fabs(now[b] - end[b]);
  }
  tap_check(step == 0.0 && gap > .01, "D5 turn 7 lies 1 - exp(-6 d) of the way to an independent draw");
}

static int stop_now(void *arg) {
  (void)arg;
  return 1;
}

/* The reader gives what the plain sequence gives, whatever the order of reading. */
static void test_numpy_reader(int n, int64_t count, const char *what) {
  PllmPopulation p;
  PllmUsers *users = NULL;
  PllmRandomState rs;
  double *all = malloc(sizeof(double) * (size_t)(count * n)), *got = malloc(sizeof(double) * (size_t)(3000 * n));
  unsigned char *known = malloc((size_t)count), some[3000];
  uint32_t at = 1;
  int good = 1;
  PllmRun run = {.poll = stop_now};
  pllm_population_default(&p, n);
  p.count = count;
  p.seed = 42;
  for (int b = 0; b < n; b++) p.alpha[b] = n == 2 ? .0005 : n > 200 ? 1 : .7;
  pllm_random_seed(&rs, 42);
  for (int64_t i = 0; i < count; i++) {
    known[i] = (unsigned char)pllm_random_dirichlet(&rs, p.alpha, (size_t)n, all + i * n);
    if (!known[i]) memset(all + i * n, 0, sizeof(double) * (size_t)n);
  }
  tap_check(pllm_users_open(&p, NULL, &users, &err) == PLLM_OK && pllm_users_count(users) == count, "%s opens", what);
  for (int i = 0; i < 60; i++) {
    int64_t id;
    size_t size;
    at = at * 1664525u + 1013904223u;
    id = i == 0 ? count - 1 : (int64_t)(at % (uint32_t)count);
    size = (size_t)(count - id < 3000 ? count - id : 3000);
    if (i % 3) size = 1;
    good &= pllm_users_read(users, id, size, 1, got, some, NULL, &err) == PLLM_OK;
    good &= memcmp(got, all + id * n, sizeof(double) * size * (size_t)n) == 0;
    good &= memcmp(some, known + id, size) == 0;
  }
  tap_check(good, "%s: reads in any order give the sequence's users", what);
  tap_check(pllm_users_read(users, count, 1, 1, got, NULL, NULL, &err) == PLLM_INTERNAL, "%s: no user beyond the end",
            what);
  if (n > 200)
    tap_fails(pllm_users_read(users, 1, 1, 1, got, NULL, &run, &err), PLLM_INTERRUPTED, &err, "interrupted");
  pllm_users_close(users);
  free(all);
  free(got);
  free(known);
}

static void test_filter(void) {
  enum { COUNT = 1500, N = 4 };
  PllmPopulation p;
  PllmUsers *users = NULL;
  PllmRandomState rs;
  static double w[COUNT][N], got[COUNT][N];
  static unsigned char known[COUNT], dropped[COUNT];
  size_t expected = 0;
  int good = 1;
  PllmRun run = {.poll = stop_now};
  pllm_population_default(&p, N);
  p.count = COUNT;
  p.min_distance = .05;
  for (int b = 0; b < N; b++) p.alpha[b] = .001; /* so small that some users are unknown */
  pllm_random_seed(&rs, 0);
  for (int i = 0; i < COUNT; i++) known[i] = (unsigned char)pllm_random_dirichlet(&rs, p.alpha, N, w[i]);
  /* The published loop: later users nearer than the threshold are dropped, NaN is near to nothing. */
  for (int i = 0; i < COUNT; i++) {
    if (dropped[i]) continue;
    for (int j = i + 1; j < COUNT; j++) {
      double square = 0;
      for (int b = 0; b < N; b++) square += (w[i][b] - w[j][b]) * (w[i][b] - w[j][b]);
      if (known[i] && known[j] && sqrt(square) < p.min_distance) dropped[j] = 1;
    }
  }
  for (int i = 0; i < COUNT; i++) {
    if (dropped[i]) continue;
    if (!known[i]) memset(w[i], 0, sizeof w[i]);
    memmove(w[expected], w[i], sizeof w[i]);
    known[expected++] = known[i];
  }
  for (int threads = 1; threads <= 4; threads++) {
    PllmRun job = {.threads = threads};
    unsigned char some[COUNT];
    good &= pllm_users_open(&p, &job, &users, &err) == PLLM_OK && pllm_users_count(users) == (int64_t)expected &&
            pllm_users_read(users, 0, expected, 1, got[0], some, NULL, &err) == PLLM_OK &&
            memcmp(got, w, sizeof(double) * N * expected) == 0 && memcmp(some, known, expected) == 0;
    pllm_users_close(users);
  }
  tap_check(good && expected > 10 && expected < COUNT, "the filter keeps %d of %d users, renumbered, on any threads",
            (int)expected, COUNT);
  tap_fails(pllm_users_open(&p, &run, &users, &err), PLLM_INTERRUPTED, &err, "interrupted");
  {
    static const double line[] = {0, .25, .5, .75, 1}; /* distances of exactly .25, all exact in binary */
    uint32_t keep[5];
    size_t kept;
    pllm_users_filter(line, NULL, 5, 1, .25, keep, &kept, NULL, &err);
    tap_check(kept == 5, "a distance equal to min_distance is not below it");
    pllm_users_filter(line, NULL, 5, 1, .26, keep, &kept, NULL, &err);
    tap_check(kept == 3 && keep[1] == 2 && keep[2] == 4, "greedy: a dropped user drops nobody");
  }
}

/* A scan that draws ahead gives what a reader gives, whatever is asked for and on any threads, and nothing beyond `last`. */
static void test_ahead(int n, int64_t turn) {
  enum { COUNT = 30000, FIRST = 70 };
  PllmPopulation p = philox(n, .05);
  PllmUsers *reader = NULL;
  double *want = malloc(COUNT * (size_t)n * sizeof *want);
  p.first = FIRST;
  p.count = COUNT;
  p.drift = .1;
  pllm_users_open(&p, NULL, &reader, &err);
  pllm_users_read(reader, FIRST, COUNT, turn, want, NULL, NULL, &err);
  pllm_users_close(reader);
  for (int threads = 1; threads <= 3; threads++) {
    PllmRun run = {.threads = threads};
    PllmUsersAhead *ahead = NULL;
    const double *got;
    size_t count, largest = 0, good = 1, jumps = 0;
    PllmStatus status = pllm_users_ahead_open(&p, turn, &run, &ahead, &err);
    for (int64_t id = FIRST; status == PLLM_OK && id < FIRST + COUNT; id += (int64_t)count) {
      if (jumps == 0 && id > FIRST + COUNT / 2) { /* away from what is being drawn, and on from there */
        id = FIRST + 3;
        jumps = 1;
      }
      status = pllm_users_ahead_next(ahead, id, FIRST + COUNT - 1, &got, &count, &err);
      if (status != PLLM_OK) break;
      good &= count > 0 && id + (int64_t)count <= FIRST + COUNT;
      good = good && memcmp(got, want + (size_t)(id - FIRST) * (size_t)n, count * (size_t)n * sizeof *got) == 0;
      largest = count > largest ? count : largest;
    }
    tap_check(status == PLLM_OK && good && jumps == 1, "%d components, %d threads: ahead of a scan, the same users", n, threads);
    tap_check(largest * (size_t)n <= 65536, "blocks of at most 65,536 weights (%zu users)", largest);
    pllm_users_ahead_next(ahead, FIRST, FIRST + COUNT - 1, &got, &count, &err);
    pllm_users_ahead_close(ahead); /* with a block being drawn */
  }
  p.generator = PLLM_GENERATOR_NUMPY;
  p.first = 0;
  p.drift = 0;
  PllmUsersAhead *none = NULL;
  tap_fails(pllm_users_ahead_open(&p, 1, NULL, &none, &err), PLLM_INTERNAL, &err, "no philox user");
  pllm_users_ahead_close(none);
  free(want);
}

/* Every allocation of opening a reader may fail. */
static int left;
static void *failing_alloc(size_t bytes) {
  return left-- > 0 ? malloc(bytes) : NULL;
}
static void *failing_resize(void *old, size_t bytes) {
  return left-- > 0 ? realloc(old, bytes) : NULL;
}

static void test_memory(void) {
  static const PllmAllocator failing = {failing_alloc, failing_resize, free};
  for (int kind = 0; kind < 5; kind++) {
    PllmPopulation p = philox(3, .05);
    PllmStatus status = PLLM_NOMEM;
    int n = 0, good = 1;
    PllmRun run = {.threads = 2};
    if (kind == 4) p.count = 2000;
    if (kind == 1 || kind == 2) p.generator = PLLM_GENERATOR_NUMPY;
    if (kind == 2) p.min_distance = .01;
    pllm_set_allocator(&failing);
    for (; status == PLLM_NOMEM && n < 50; n++) {
      PllmUsers *users = NULL;
      PllmUsersAhead *ahead = NULL;
      double w[3];
      const double *block;
      size_t count;
      left = n;
      if (kind == 3)
        status = pllm_users_philox_batch(&p, 0, 1, 1, w, NULL, &err);
      else if (kind == 4)
        status = pllm_users_ahead_open(&p, 1, &run, &ahead, &err);
      else
        status = pllm_users_open(&p, NULL, &users, &err);
      if (ahead) status = pllm_users_ahead_next(ahead, 0, 1999, &block, &count, &err);
      pllm_users_ahead_close(ahead);
      good &= status == PLLM_OK || strcmp(err.text, "out of memory") == 0;
      if (status == PLLM_OK && users) pllm_users_close(users);
    }
    pllm_set_allocator(NULL);
    tap_check(good && status == PLLM_OK && n > 1, "kind %d: each of %d allocations may fail", kind, n - 1);
  }
}

int main(void) {
  test_checks();
  test_frozen();
  test_many();
  test_ranges();
  test_decisions();
  test_moments();
  test_drift();
  test_numpy_reader(10, 5000, "a small population");
  test_numpy_reader(2, 300000, "two models that underflow");
  test_numpy_reader(256, 34000, "more blocks than states and cache");
  test_ahead(10, 1);
  test_ahead(200, 5);
  test_filter();
  test_memory();
  return tap_done();
}
