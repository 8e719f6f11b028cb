/*
** core_evaluate_pairs.c: how many of a wide prompt's pairs an estimate orders as the truth does, in n log n.
**
** Knight, "A computer method for calculating Kendall's tau with ungrouped data", JASA 61 (1966).  Sorted by the
** truth, and by the estimate where the truth is equal, exactly the pairs that the two order oppositely are inversions
** of the estimate; a merge sort counts them.  All counts are whole numbers, so the result is that of the plain double
** loop.
*/
#include "core_evaluate.h"
#include "core_simd.h"

#include <string.h>

typedef struct Pair {
  double t, e;
} Pair;

_Static_assert(sizeof(Pair) == 2 * sizeof(double), "a worker's scratch holds 2n pairs in 4n numbers");

/* Without branches, here and in the merge: which of two comes first is anyone's guess. */
static PLLM_INLINE size_t precedes(Pair a, Pair b, const int by_estimate) {
  if (by_estimate) return (size_t)(a.e < b.e);
  return (size_t)((a.t < b.t) | ((a.t == b.t) & (a.e < b.e)));
}

/* Sort a[n], with other[n] to work in; returns the number of inversions. */
static PLLM_INLINE double merge_sort(Pair *a, Pair *other, size_t n, const int by_estimate) {
  Pair *from = a, *to = other;
  uint64_t inversions = 0;
  for (size_t width = 1; width < n; width *= 2) {
    Pair *sorted = to;
    for (size_t begin = 0; begin < n; begin += 2 * width) {
      size_t middle = n - begin < width ? n : begin + width, end = n - begin < 2 * width ? n : begin + 2 * width;
      size_t i = begin, j = middle, k = begin;
      while (i < middle && j < end) {
        size_t later = precedes(from[j], from[i], by_estimate);
        inversions += later * (middle - i);
        to[k++] = from[later ? j : i];
        j += later;
        i += 1 - later;
      }
      memcpy(to + k, from + i, (middle - i) * sizeof *to);
      memcpy(to + k + middle - i, from + j, (end - j) * sizeof *to);
    }
    to = from;
    from = sorted;
  }
  if (from != a) memcpy(a, from, n * sizeof *a);
  return (double)inversions;
}

/* Pairs of equal neighbours' groups in sorted a[n]: equal in t, in e, or in both. */
static double ties(const Pair *a, size_t n, int in_t, int in_e) {
  uint64_t count = 0, run = 0;
  for (size_t i = 1; i < n; i++) {
    run = (!in_t || a[i].t == a[i - 1].t) && (!in_e || a[i].e == a[i - 1].e) ? run + 1 : 0;
    count += run;
  }
  return (double)count;
}

void pllm_core_judge_pairs(const double *t, const double *e, size_t n, size_t stride, double *scratch, double *strict,
                           double *right) {
  Pair *a = (Pair *)(void *)scratch;
  double tied_both, tied, opposite;
  for (size_t i = 0; i < n; i++) a[i] = (Pair){t[i * stride], e[i * stride]};
  merge_sort(a, a + n, n, 0);
  *strict = (double)n * (double)(n - 1) / 2 - ties(a, n, 1, 0);
  tied_both = ties(a, n, 1, 1);
  opposite = merge_sort(a, a + n, n, 1);
  tied = ties(a, n, 0, 1) - tied_both;
  *right = 2 * (*strict - opposite) - tied;
}
