/*
** core_distance.c: the greedy near-duplicate filter of users.
**
** Users are taken in blocks.  First every user of a block is compared, on several threads, with the survivors of
** earlier blocks; then the block is settled in index order on the calling thread, which is what makes the filter
** greedy.  No matrix of distances is ever held.
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

#define BLOCK 256

typedef struct Filter {
  const double *weights;
  const unsigned char *known;
  const uint32_t *keep; /* survivors so far */
  size_t kept, begin;   /* survivors of earlier blocks; first user of this block */
  int n;
  double below, surely; /* min_distance; a square of which the root is surely not below it */
  unsigned char *dropped;
} Filter;

/* Is user i strictly nearer than min_distance to user j? */
static int near(const Filter *f, size_t i, size_t j) {
  const double *a = f->weights + i * (size_t)f->n, *b = f->weights + j * (size_t)f->n;
  double square = 0.0;
  if (f->known && !(f->known[i] && f->known[j])) return 0;
  for (int k = 0; k < f->n; k++) {
    double gap = a[k] - b[k];
    square += gap * gap;
    if (square > f->surely) return 0; /* squares only grow */
  }
  return sqrt(square) < f->below;
}

static void compare(void *arg, size_t begin, size_t end, int worker) {
  Filter *f = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    unsigned char drop = 0;
    for (size_t j = 0; j < f->kept && !drop; j++) drop = (unsigned char)near(f, f->begin + i, f->keep[j]);
    f->dropped[i] = drop;
  }
}

PllmStatus pllm_users_filter(const double *weights, const unsigned char *known, size_t count, int n,
                             double min_distance, uint32_t *keep, size_t *kept, const PllmRun *run, PllmError *err) {
  unsigned char dropped[BLOCK];
  Filter f = {weights, known, keep, 0, 0, n, min_distance, 0.0, dropped};
  size_t n_kept = 0;
  f.surely = min_distance * min_distance * (1.0 + 1e-9);
  for (size_t begin = 0; begin < count; begin += BLOCK) {
    size_t size = count - begin < BLOCK ? count - begin : BLOCK, earlier = n_kept;
    PllmStatus status;
    f.begin = begin;
    f.kept = n_kept;
    status = pllm_parallel(run, size, 8, compare, &f, err);
    if (status != PLLM_OK) return status;
    for (size_t i = 0; i < size; i++) {
      int drop = dropped[i];
      for (size_t j = earlier; j < n_kept && !drop; j++) drop = near(&f, begin + i, keep[j]);
      if (!drop) keep[n_kept++] = (uint32_t)(begin + i);
    }
  }
  *kept = n_kept;
  return PLLM_OK;
}
