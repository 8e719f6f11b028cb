/*
** core_neighbors.c: exact cosine top-k join.
**
** Candidates are scaled to length 1 in f32 and packed into panels of 32 (dimension by dimension); a worker packs
** eight queries likewise, multiplies panels slice by slice (BLIS-style: a candidate slice of 16 KB is reused by all
** query panels), and keeps per query a list of what may still be among the k best.
**
** The margin.  Scaling and rounding give each element a relative error of at most 2^-23; a sum of dim products adds
** dim*2^-24 of sum|q||c| <= 1 (Cauchy-Schwarz).  So an estimate is within E = 1.05*(dim + 8)*2^-24 of the exact
** cosine, and a candidate whose estimate is more than 2E below the k-th best estimate cannot be among the k best.
** All others are decided by the canonical similarity.
*/
#include "core_neighbors.h"
#include "core_simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
  LANES = PLLM_NEIGHBOR_LANES,
  QUERIES = PLLM_NEIGHBOR_QUERIES,
  QUERY_BLOCK = 64,      /* queries a worker takes at a time */
  CANDIDATE_BLOCK = 256, /* candidates whose dots a worker holds at a time */
  SPARE = 512            /* room behind k in a query's list before it is cut back */
};

struct PllmNeighbors {
  const float *rows; /* [count][dim], the caller's */
  size_t count, dim, panels;
  float *packed; /* [panels][dim][32] */
};

/* 16 partial sums: every instruction set does the same additions. */
static PLLM_INLINE void dot_body(const float *a, const float *b, size_t dim, double *out) {
  double part[16] = {0}, sum = 0;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16)
    for (size_t j = 0; j < 16; j++) part[j] += (double)a[i + j] * (double)b[i + j];
  for (; i < dim; i++) part[i % 16] += (double)a[i] * (double)b[i];
  for (size_t j = 0; j < 16; j++) sum += part[j];
  *out = sum;
}
PLLM_KERNEL(dot, (const float *a, const float *b, size_t dim, double *out), (a, b, dim, out))

double pllm_cosine(const float *a, const float *b, size_t dim) {
  double ab, aa, bb;
  dot(a, b, dim, &ab);
  dot(a, a, dim, &aa);
  dot(b, b, dim, &bb);
  return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

/* 1/length, or 0 for a zero vector. */
static double inverse_length(const float *row, size_t dim) {
  double square;
  dot(row, row, dim, &square);
  return square > 0 ? 1 / sqrt(square) : 0;
}

PllmNeighbors *pllm_neighbors_new(const float *candidates, size_t count, size_t dim, PllmError *err) {
  PllmNeighbors *n = pllm_alloc_zero(1, sizeof *n);
  size_t panels = count / LANES + (count % LANES != 0);
  if (n && (dim == 0 || panels <= SIZE_MAX / dim / (LANES * sizeof(float))))
    n->packed = pllm_alloc_aligned(panels * dim, LANES * sizeof *n->packed);
  if (!n || !n->packed) {
    pllm_fail_nomem(err);
    pllm_neighbors_free(n);
    return NULL;
  }
  n->rows = candidates;
  n->count = count;
  n->dim = dim;
  n->panels = panels;
  for (size_t c = 0; c < panels * LANES; c++) {
    float *out = n->packed + c / LANES * dim * LANES + c % LANES;
    double scale = c < count ? inverse_length(candidates + c * dim, dim) : 0;
    for (size_t d = 0; d < dim; d++) out[d * LANES] = c < count ? (float)(candidates[c * dim + d] * scale) : 0;
  }
  return n;
}

void pllm_neighbors_free(PllmNeighbors *n) {
  if (n) pllm_free_aligned(n->packed);
  pllm_free(n);
}

/* What may be among the k best of one query: an estimate and a candidate each. */
typedef struct Entry {
  float estimate;
  uint32_t candidate; /* from the join's begin */
} Entry;

typedef struct Search {
  const PllmNeighbors *set;
  const float *queries;
  const size_t *same;
  size_t begin, end, n, k, room; /* room: entries a list can hold */
  PllmNeighbor *found;
  PllmNeighborKernel *kernel;
  float margin;  /* 2E */
  char *scratch; /* scratch_bytes per worker */
  size_t scratch_bytes, packed_bytes, dots_bytes;
} Search;

/* One worker's memory. */
typedef struct Scratch {
  float *packed;       /* [QUERY_BLOCK/8][dim][8] */
  float *dots;         /* [QUERY_BLOCK][CANDIDATE_BLOCK] */
  float *heap;         /* [QUERY_BLOCK][k]: the k best estimates, smallest on top */
  Entry *list;         /* [QUERY_BLOCK][room] */
  PllmNeighbor *exact; /* [room] */
  size_t held[QUERY_BLOCK], seen[QUERY_BLOCK];
} Scratch;

/* Better: more similar, or as similar and earlier. */
static int better(const PllmNeighbor *a, const PllmNeighbor *b) {
  return a->similarity > b->similarity || (a->similarity == b->similarity && a->candidate < b->candidate);
}

/* Sift item into the hole at the top of a heap of n whose top is the worst. */
static void sift(PllmNeighbor *heap, size_t n, size_t at, PllmNeighbor item) {
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= n) break;
    if (child + 1 < n && better(&heap[child], &heap[child + 1])) child++;
    if (!better(&item, &heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = item;
}

/* Sort best first (heap sort: no recursion, no extra memory). */
static void sort_best_first(PllmNeighbor *a, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift(a, n, i, a[i]);
  while (n > 1) {
    PllmNeighbor worst = a[0], last = a[--n];
    sift(a, n, 0, last);
    a[n] = worst;
  }
}

/* Keep of a query's list only what its canonical similarities leave among the k best; they go to s->exact, sorted. */
static size_t decide(const Search *search, const Scratch *s, size_t slot, size_t query) {
  const PllmNeighbors *set = search->set;
  const float *row = search->queries + query * set->dim, *heap = s->heap + slot * search->k;
  Entry *list = s->list + slot * search->room;
  float bound = s->seen[slot] < search->k ? -INFINITY : heap[0] - search->margin;
  size_t n = 0;
  for (size_t i = 0; i < s->held[slot]; i++) {
    size_t candidate = search->begin + list[i].candidate;
    if (!(list[i].estimate >= bound)) continue;
    s->exact[n].candidate = candidate;
    s->exact[n++].similarity = pllm_cosine(row, set->rows + candidate * set->dim, set->dim);
  }
  sort_best_first(s->exact, n);
  return n < search->k ? n : search->k;
}

static void cut_back(const Search *search, Scratch *s, size_t slot, size_t query) {
  Entry *list = s->list + slot * search->room;
  size_t n = decide(search, s, slot, query);
  for (size_t i = 0; i < n; i++) {
    list[i].candidate = (uint32_t)(s->exact[i].candidate - search->begin);
    list[i].estimate = INFINITY; /* decided: later cuts must not drop it by its estimate */
  }
  s->held[slot] = n;
}

/* Put an estimate into the k best estimates. */
static void push_estimate(float *heap, size_t k, size_t *seen, float estimate) {
  size_t at = 0;
  if (*seen < k) {
    at = (*seen)++;
    while (at > 0 && heap[(at - 1) / 2] > estimate) {
      heap[at] = heap[(at - 1) / 2];
      at = (at - 1) / 2;
    }
  } else {
    for (;;) {
      size_t child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && heap[child + 1] < heap[child]) child++;
      if (!(heap[child] < estimate)) break;
      heap[at] = heap[child];
      at = child;
    }
  }
  heap[at] = estimate;
}

/* Look through the dots of one query with candidates [first, first + n) (counted from the join's begin). */
static void scan(const Search *search, Scratch *s, size_t slot, size_t query, const float *dots, size_t first,
                 size_t n) {
  float *heap = s->heap + slot * search->k;
  Entry *list = s->list + slot * search->room;
  size_t k = search->k, left_out = search->same ? search->same[query] : SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    float bound = s->seen[slot] < k ? -INFINITY : heap[0] - search->margin;
    /* most blocks hold nothing: this loop is the one that must be fast */
    while (i + 8 <= n) {
      int any = 0;
      for (size_t j = 0; j < 8; j++) any |= dots[i + j] >= bound;
      if (any) break;
      i += 8;
    }
    if (i >= n) break;
    if (!(dots[i] >= bound) || search->begin + first + i == left_out) continue;
    if (s->held[slot] == search->room) cut_back(search, s, slot, query);
    list[s->held[slot]].estimate = dots[i];
    list[s->held[slot]++].candidate = (uint32_t)(first + i);
    if (s->seen[slot] < k || dots[i] > heap[0]) push_estimate(heap, k, &s->seen[slot], dots[i]);
  }
}

/* Queries [begin, end) scaled and packed in panels of eight; missing ones are zero. */
static void pack_queries(const Search *search, Scratch *s, size_t begin, size_t end) {
  size_t dim = search->set->dim;
  for (size_t q = 0; q < (end - begin + QUERIES - 1) / QUERIES * QUERIES; q++) {
    float *out = s->packed + q / QUERIES * dim * QUERIES + q % QUERIES;
    const float *row = search->queries + (begin + q) * dim;
    double scale = begin + q < end ? inverse_length(row, dim) : 0;
    for (size_t d = 0; d < dim; d++) out[d * QUERIES] = begin + q < end ? (float)(row[d] * scale) : 0;
  }
}

/* Dots of the packed queries with the candidate panels [panel, panel + panels). */
static void multiply(const Search *search, Scratch *s, size_t queries, size_t panel, size_t panels) {
  size_t dim = search->set->dim;
  memset(s->dots, 0, search->dots_bytes);
  for (size_t d = 0; d < dim; d += PLLM_NEIGHBOR_DEPTH) {
    size_t depth = dim - d < PLLM_NEIGHBOR_DEPTH ? dim - d : PLLM_NEIGHBOR_DEPTH;
    for (size_t p = 0; p < panels; p++)
      for (size_t q = 0; q < queries; q += QUERIES)
        search->kernel(s->packed + (q / QUERIES * dim + d) * QUERIES,
                       search->set->packed + ((panel + p) * dim + d) * LANES, depth,
                       s->dots + q * CANDIDATE_BLOCK + p * LANES, CANDIDATE_BLOCK);
  }
}

static void search_piece(void *arg, size_t begin, size_t end, int worker) {
  const Search *search = arg;
  char *p = search->scratch + (size_t)worker * search->scratch_bytes;
  size_t first_panel = search->begin / LANES, last_panel = (search->end + LANES - 1) / LANES;
  Scratch s;
  memset(s.held, 0, sizeof s.held);
  memset(s.seen, 0, sizeof s.seen);
  s.packed = (float *)(void *)p;
  s.dots = (float *)(void *)(p + search->packed_bytes);
  s.exact = (PllmNeighbor *)(void *)(p + search->packed_bytes + search->dots_bytes);
  s.list = (Entry *)(void *)(s.exact + search->room);
  s.heap = (float *)(void *)(s.list + QUERY_BLOCK * search->room);
  pack_queries(search, &s, begin, end);
  for (size_t panel = first_panel; panel < last_panel; panel += CANDIDATE_BLOCK / LANES) {
    size_t panels = last_panel - panel < CANDIDATE_BLOCK / LANES ? last_panel - panel : CANDIDATE_BLOCK / LANES;
    size_t low = panel * LANES, high = (panel + panels) * LANES;
    if (low < search->begin) low = search->begin;
    if (high > search->end) high = search->end;
    multiply(search, &s, end - begin, panel, panels);
    for (size_t q = begin; q < end; q++)
      scan(search, &s, q - begin, q, s.dots + (q - begin) * CANDIDATE_BLOCK + (low - panel * LANES),
           low - search->begin, high - low);
  }
  for (size_t q = begin; q < end; q++) {
    PllmNeighbor *out = search->found + q * search->k;
    size_t n = decide(search, &s, q - begin, q);
    memcpy(out, s.exact, n * sizeof *out);
    for (; n < search->k; n++) {
      out[n].candidate = SIZE_MAX;
      out[n].similarity = 0;
    }
  }
}

static PllmNeighborKernel *best_kernel(void) {
#if defined(__x86_64__)
  if (pllm_core_isa() == PLLM_ISA_AVX512) return pllm_core_neighbors_avx512;
  if (pllm_core_isa() == PLLM_ISA_AVX2) return pllm_core_neighbors_avx2;
#endif
  return pllm_core_neighbors_base;
}

PllmStatus pllm_neighbors_find(const PllmNeighbors *set, size_t begin, size_t end, const float *queries, size_t n,
                               const size_t *same, size_t k, PllmNeighbor *found, const PllmRun *run,
                               PllmError *err) {
  Search search = {.set = set,
                   .queries = queries,
                   .same = same,
                   .begin = begin,
                   .end = end,
                   .n = n,
                   .k = k,
                   .found = found,
                   .kernel = best_kernel()};
  PllmStatus status;
  if (k < 1 || k > PLLM_MAX_NEIGHBORS)
    return pllm_fail(err, PLLM_INVALID, "k is %zu; 1 to %d are possible", k, PLLM_MAX_NEIGHBORS);
  if (begin > end || end > set->count || end - begin > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "candidates %zu to %zu of %zu", begin, end, set->count);
  search.room = k + SPARE;
  search.margin = (float)(2.1 * (double)(set->dim + 8) * 0x1p-24);
  search.packed_bytes = (QUERY_BLOCK * set->dim * sizeof(float) + 63) / 64 * 64;
  search.dots_bytes = QUERY_BLOCK * CANDIDATE_BLOCK * sizeof(float);
  search.scratch_bytes = search.packed_bytes + search.dots_bytes + search.room * sizeof(PllmNeighbor) +
                         QUERY_BLOCK * (search.room * sizeof(Entry) + k * sizeof(float));
  search.scratch_bytes = (search.scratch_bytes + 63) / 64 * 64;
  search.scratch = pllm_alloc_aligned((size_t)pllm_run_threads(run), search.scratch_bytes);
  if (!search.scratch) return pllm_fail_nomem(err);
  status = pllm_parallel(run, n, QUERY_BLOCK, search_piece, &search, err);
  pllm_free_aligned(search.scratch);
  return status;
}
