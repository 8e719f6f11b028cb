/* The neighbour join: the same answer as sorting all canonical similarities, on every instruction set and thread
 * count. */
#include "tap.h"

#include "../../ext/core/core_simd.h"

#include <stdlib.h>
#include <string.h>

static int by_similarity(const void *a, const void *b) {
  const PllmNeighbor *x = a, *y = b;
  if (x->similarity != y->similarity) return x->similarity < y->similarity ? 1 : -1;
  return x->candidate < y->candidate ? -1 : x->candidate > y->candidate;
}

/* What the vectors are like. */
typedef enum Kind { SCATTERED, CLUSTERED, SHIFTED, AXES, TINY, HUGE_ONES, MIXED, ZERO, N_KINDS } Kind;
static const char *const kind_name[] = {"scattered", "clustered", "much in common", "axes",
                                        "tiny",      "huge",      "all of these",   "zero"};

static float number_of(Kind kind, size_t i, size_t d, size_t dim) {
  float x = (float)(tap_uniform() - 0.5);
  switch (kind) {
  case SCATTERED: return x;
  case CLUSTERED: return (float)((i % 5 + 1) * (d + 1) % 7) - 3 + x / 100;
  case SHIFTED: return (float)(d % 3) + x / 100000;
  case AXES: return i % dim == d ? (i % 2 ? 1.0f : -1.0f) : 0;
  case TINY: return x * 1e-44f;
  case HUGE_ONES: return x * 3e38f;
  case ZERO: return 0;
  default: return number_of((Kind)(i % MIXED), i, d, dim);
  }
}

/* copies: how many candidates in a row are equal, or nearly so. */
static void check(const char *name, Kind kind, size_t count, size_t dim, size_t n, size_t k, size_t copies,
                  int exclude) {
  float *c = pllm_alloc(count * dim, sizeof *c), *q = pllm_alloc(n * dim, sizeof *q);
  size_t begin = count / 7, end = count - count / 9, *same = pllm_alloc(n, sizeof *same);
  PllmNeighbor *want = pllm_alloc(count, sizeof *want), *got = pllm_alloc(n * k, sizeof *got);
  for (size_t i = 0; i < count; i++)
    for (size_t d = 0; d < dim; d++)
      c[i * dim + d] = copies > 1 && i % copies ? c[(i - 1) * dim + d] * (d == 0 && i % 3 == 0 ? 1.0000001f : 1.0f)
                                                : number_of(kind, i, d, dim);
  for (size_t i = 0; i < n; i++) {
    same[i] = exclude ? i % count : SIZE_MAX;
    for (size_t d = 0; d < dim; d++) q[i * dim + d] = i == 3 ? 0 : number_of(kind, i, d, dim);
  }
  PllmError err;
  PllmNeighbors *set;
  tap_check(pllm_neighbors_new(c, count, dim, NULL, &set, &err) == PLLM_OK, "%s: packed", name);
  for (int isa = 0; isa <= PLLM_ISA_MOST; isa++)
    for (int threads = 1; threads <= 3; threads += 2) {
      PllmRun run = {.threads = threads};
      int good = 1;
      pllm_core_isa_limit((PllmIsa)isa);
      good &= pllm_neighbors_find(set, begin, end, q, n, same, k, got, &run, &err) == PLLM_OK;
      for (size_t i = 0; i < n && good; i++) {
        size_t m = 0;
        for (size_t j = begin; j < end; j++)
          if (j != same[i]) want[m++] = (PllmNeighbor){j, pllm_cosine(q + i * dim, c + j * dim, dim)};
        qsort(want, m, sizeof *want, by_similarity);
        for (size_t r = 0; r < k; r++)
          good &=
              r < m ? got[i * k + r].candidate == want[r].candidate && got[i * k + r].similarity == want[r].similarity
                    : got[i * k + r].candidate == SIZE_MAX;
      }
      tap_check(good, "%s, %s, %d threads", name, pllm_kernel_description(), threads);
    }
  pllm_core_isa_limit(PLLM_ISA_MOST);
  pllm_neighbors_free(set);
  pllm_free(c);
  pllm_free(q);
  pllm_free(same);
  pllm_free(want);
  pllm_free(got);
}

static int stop_now(void *arg) {
  (void)arg;
  return 1;
}

/* Candidates in several blocks, there at once or one by one, searched at once or piece by piece. */
static void check_stream(size_t count, size_t dim, int threads) {
  enum { QUERIES = 150, K = 5 };
  float *c = pllm_alloc(count * dim, sizeof *c), *q = pllm_alloc(QUERIES * dim, sizeof *q);
  PllmNeighbor *want = pllm_alloc(count, sizeof *want), *got = pllm_alloc(QUERIES * K, sizeof *got),
               *at_once = pllm_alloc(QUERIES * K, sizeof *at_once);
  PllmRun run = {.threads = threads};
  PllmNeighbors *whole, *stream;
  PllmNeighborSearch *search;
  PllmError err;
  int good;
  for (size_t i = 0; i < count * dim; i++) c[i] = (float)(tap_uniform() - (i / dim > count / 2 ? 0.5 : 0.2));
  for (size_t i = 0; i < QUERIES * dim; i++) q[i] = (float)(tap_uniform() - 0.5);
  good = pllm_neighbors_new(c, count, dim, &run, &whole, &err) == PLLM_OK &&
         pllm_neighbors_find(whole, 0, count, q, QUERIES, NULL, K, at_once, &run, &err) == PLLM_OK;
  good &= pllm_neighbors_open(dim, &run, &stream, &err) == PLLM_OK;
  for (size_t i = 0; i < count && good; i++) {
    float *place = pllm_neighbors_place(stream, &err);
    good &= place != NULL;
    if (place) memcpy(place, c + i * dim, dim * sizeof *place);
    good &= pllm_neighbors_add(stream, &err) == PLLM_OK;
  }
  good &= pllm_neighbors_ready(stream, &err) == PLLM_OK;
  good &= pllm_neighbors_start(stream, 0, count, q, QUERIES, NULL, K, got, &run, &search, &err) == PLLM_OK;
  for (size_t i = 0; i < QUERIES; i++) {
    good &= pllm_neighbors_wait(search, i, &err) == PLLM_OK;
    for (size_t j = 0; j < count; j++) want[j] = (PllmNeighbor){j, pllm_cosine(q + i * dim, c + j * dim, dim)};
    qsort(want, count, sizeof *want, by_similarity);
    for (size_t r = 0; r < K; r++) {
      size_t candidate = r < count ? want[r].candidate : SIZE_MAX;
      good &= got[i * K + r].candidate == candidate && at_once[i * K + r].candidate == candidate;
    }
  }
  pllm_neighbors_stop(search);
  tap_check(good, "%zu candidates of %zu dimensions one by one on %d threads", count, dim, threads);
  good = pllm_neighbors_start(stream, 0, count, q, QUERIES, NULL, K, got, &run, &search, &err) == PLLM_OK;
  pllm_neighbors_stop(search);
  run.poll = stop_now;
  tap_fails(pllm_neighbors_find(stream, 0, count, q, QUERIES, NULL, K, got, &run, &err), PLLM_INTERRUPTED, &err,
            "interrupted");
  tap_check(good, "a search that nobody waits for ends");
  pllm_neighbors_free(stream);
  pllm_neighbors_free(whole);
  pllm_free(c);
  pllm_free(q);
  pllm_free(want);
  pllm_free(got);
  pllm_free(at_once);
}

int main(void) {
  float a[3] = {1, 2, 2}, b[3] = {2, 1, -2}, zero[3] = {0, 0, 0}, huge[3] = {1e38f, 2e38f, 2e38f};
  PllmError err;
  tap_state = 7;
  tap_check(pllm_cosine(a, b, 3) == 0.0, "orthogonal vectors have similarity 0");
  tap_check(pllm_cosine(a, a, 3) == 1.0, "a vector is itself");
  tap_check(pllm_cosine(a, huge, 3) == 1.0, "lengths beyond f32 do no harm");
  tap_check(pllm_cosine(a, zero, 3) == 0.0, "a zero vector is like nothing");
  check("random", SCATTERED, 1000, 70, 130, 20, 1, 0);
  check("more asked than there are", SCATTERED, 40, 5, 9, 50, 1, 1);
  check("one dimension: nothing but ties", SCATTERED, 3000, 1, 70, 10, 1, 0);
  check("near copies", SCATTERED, 2000, 33, 20, 15, 700, 1);
  check("deep", SCATTERED, 300, 1024, 65, 1, 1, 1);
  for (int kind = 0; kind < N_KINDS; kind++) {
    static const size_t dims[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 67, 255, 300};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
      char name[64];
      snprintf(name, sizeof name, "%s, %zu dimensions", kind_name[kind], dims[i]);
      check(name, (Kind)kind, 300, dims[i], 17, 1 + 20 * (i % 3), 1, i % 2);
    }
  }
  PllmNeighbors *set;
  tap_check(pllm_neighbors_new(a, 1, 3, NULL, &set, &err) == PLLM_OK, "one candidate");
  PllmNeighbor found;
  tap_fails(pllm_neighbors_find(set, 0, 1, b, 1, NULL, 0, &found, NULL, &err), PLLM_INVALID, &err,
            "k is 0; 1 to 65536");
  tap_fails(pllm_neighbors_find(set, 0, 2, b, 1, NULL, 1, &found, NULL, &err), PLLM_INVALID, &err, "0 to 2 of 1");
  pllm_neighbors_free(set);
  for (int threads = 1; threads <= 4; threads += 3) {
    check_stream(1, 4, threads);
    check_stream(255, 4, threads);
    check_stream(4096, 3, threads);
    check_stream(4097, 3, threads);
    check_stream(9000, 2, threads);
    check_stream(1700, 1000, threads);
  }
  tap_check(pllm_neighbors_open(5, NULL, &set, &err) == PLLM_OK && pllm_neighbors_place(set, &err) != NULL &&
                pllm_neighbors_ready(set, &err) == PLLM_OK,
            "a set without candidates");
  pllm_neighbors_free(set);
  tap_fails(pllm_neighbors_open(0, NULL, &set, &err), PLLM_INVALID, &err, "0 dimensions; 1 to");
  return tap_done();
}
