/* The neighbour join: the same answer as sorting all canonical similarities, on every instruction set and thread
 * count. */
#include "tap.h"

#include "../../ext/core/core_simd.h"

#include <stdlib.h>


static int by_similarity(const void *a, const void *b) {
  const PllmNeighbor *x = a, *y = b;
  if (x->similarity != y->similarity) return x->similarity < y->similarity ? 1 : -1;
  return x->candidate < y->candidate ? -1 : x->candidate > y->candidate;
}

/* copies: how many candidates in a row are equal, or nearly so. */
static void check(const char *name, size_t count, size_t dim, size_t n, size_t k, size_t copies, int exclude) {
  float *c = pllm_alloc(count * dim, sizeof *c), *q = pllm_alloc(n * dim, sizeof *q);
  size_t begin = count / 7, end = count - count / 9, *same = pllm_alloc(n, sizeof *same);
  PllmNeighbor *want = pllm_alloc(count, sizeof *want), *got = pllm_alloc(n * k, sizeof *got);
  for (size_t i = 0; i < count; i++)
    for (size_t d = 0; d < dim; d++)
      c[i * dim + d] = copies > 1 && i % copies ? c[(i - 1) * dim + d] * (d == 0 && i % 3 == 0 ? 1.0000001f : 1.0f)
                                                : (float)(tap_uniform() - 0.5);
  for (size_t i = 0; i < n; i++) {
    same[i] = exclude ? i % count : SIZE_MAX;
    for (size_t d = 0; d < dim; d++) q[i * dim + d] = i == 3 ? 0 : (float)(tap_uniform() - 0.5);
  }
  PllmError err;
  PllmNeighbors *set = pllm_neighbors_new(c, count, dim, &err);
  for (int isa = 0; isa <= PLLM_ISA_AVX512; isa++)
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
  pllm_core_isa_limit(PLLM_ISA_AVX512);
  pllm_neighbors_free(set);
  pllm_free(c);
  pllm_free(q);
  pllm_free(same);
  pllm_free(want);
  pllm_free(got);
}

int main(void) {
  float a[3] = {1, 2, 2}, b[3] = {2, 1, -2}, zero[3] = {0, 0, 0}, huge[3] = {1e38f, 2e38f, 2e38f};
  PllmError err;
  tap_state = 7;
  tap_check(pllm_cosine(a, b, 3) == 0.0, "orthogonal vectors have similarity 0");
  tap_check(pllm_cosine(a, a, 3) == 1.0, "a vector is itself");
  tap_check(pllm_cosine(a, huge, 3) == 1.0, "lengths beyond f32 do no harm");
  tap_check(pllm_cosine(a, zero, 3) == 0.0, "a zero vector is like nothing");
  check("random", 1000, 70, 130, 20, 1, 0);
  check("more asked than there are", 40, 5, 9, 50, 1, 1);
  check("one dimension: nothing but ties", 3000, 1, 70, 10, 1, 0);
  check("near copies", 2000, 33, 20, 15, 700, 1);
  check("deep", 300, 1024, 65, 1, 1, 1);
  PllmNeighbors *set = pllm_neighbors_new(a, 1, 3, &err);
  PllmNeighbor found;
  tap_fails(pllm_neighbors_find(set, 0, 1, b, 1, NULL, 0, &found, NULL, &err), PLLM_INVALID, &err,
            "k is 0; 1 to 65536");
  tap_fails(pllm_neighbors_find(set, 0, 2, b, 1, NULL, 1, &found, NULL, &err), PLLM_INVALID, &err, "0 to 2 of 1");
  pllm_neighbors_free(set);
  return tap_done();
}
