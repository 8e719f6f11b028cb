/*
** core_neighbors.c: exact cosine top-k join.
**
** Candidates lie packed in panels of 32 (core_neighbors_pack.c); a worker packs eight queries likewise, multiplies panels
** slice by slice (BLIS-style: a candidate slice of 16 KB is reused by all query panels), and keeps per query a list of
** what may still be among the k best.
**
** The margin.  Let S be the scale, R the candidates' radius, m their centre; x and y have length 1.  The packed query
** is S x + e, a packed candidate is S (y - m) / R + f, and their product, which is a whole number and exact, is
** S^2 (<x,y> - <x,m>) / R + S <x,f> + <e, packed candidate>.  By Cauchy-Schwarz the last two are at most
** E = S |f| + |e| (S + |f|): an estimate is that near to the similarity times S^2 / R, up to a number that is the same
** for all candidates of the query.  So a candidate whose estimate is more than 2E below the k-th best estimate cannot be
** among the k best.  All others are decided by the canonical similarity, for whose roundings E has some room as well.
*/
#include "core_neighbors.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

enum {
  LANES = PLLM_NEIGHBOR_LANES,
  QUERIES = PLLM_NEIGHBOR_QUERIES,
  QUERY_BLOCK = 64,      /* queries a worker takes at a time */
  CANDIDATE_BLOCK = 256, /* candidates whose dots a worker holds at a time; between blocks it may be interrupted */
  SPARE = 512            /* room behind 2k in a query's list before it is cut back to k */
};

/* What may be among the k best of one query: an estimate and a candidate each. */
typedef struct Entry {
  int32_t estimate;
  uint32_t candidate; /* from the join's begin */
} Entry;

typedef struct Search {
  const PllmNeighbors *set;
  const float *queries;
  const size_t *same;
  size_t begin, end, n, k, room; /* room: entries a list can hold */
  PllmNeighbor *found;
  PllmNeighborKernel *kernel;
  const PllmRun *run;
  atomic_int stop;
  char *scratch; /* scratch_bytes per worker */
  size_t scratch_bytes, packed_bytes, dots_bytes, temporary_bytes;
} Search;

/* One worker's memory. */
typedef struct Scratch {
  int16_t *packed;     /* [QUERY_BLOCK/8] panels */
  int32_t *dots;       /* [QUERY_BLOCK][CANDIDATE_BLOCK] */
  int16_t *temporary;  /* [8][2*pairs] */
  PllmNeighbor *exact; /* [room] */
  Entry *list;         /* [QUERY_BLOCK][room] */
  int32_t *heap;       /* [QUERY_BLOCK][k]: the k best estimates, smallest on top */
  size_t held[QUERY_BLOCK], seen[QUERY_BLOCK];
  double length[QUERY_BLOCK];
  int64_t margin[QUERY_BLOCK]; /* 2E */
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

/* The least estimate that may belong to one of the k best. */
static int32_t bound_of(const Search *search, const Scratch *s, size_t slot) {
  int64_t bound = INT32_MIN;
  if (s->seen[slot] == search->k) bound = s->heap[slot * search->k] - s->margin[slot];
  return bound < INT32_MIN ? INT32_MIN : (int32_t)bound;
}

/* As pllm_cosine, whose bits it has, but with lengths that are known. */
static double similarity(const Search *search, const Scratch *s, size_t slot, size_t query, size_t candidate) {
  const PllmNeighbors *set = search->set;
  double a = s->length[slot], b = set->length[candidate];
  if (!(a > 0 && b > 0)) return 0;
  return pllm_core_neighbors_dot(search->queries + query * set->dim, set->rows + candidate * set->dim, set->dim) /
         (a * b);
}

/* Keep of a query's list only what its canonical similarities leave among the k best; they go to s->exact, sorted. */
static size_t decide(const Search *search, const Scratch *s, size_t slot, size_t query) {
  const Entry *list = s->list + slot * search->room;
  int32_t bound = bound_of(search, s, slot);
  size_t n = 0;
  for (size_t i = 0; i < s->held[slot]; i++) {
    size_t candidate = search->begin + list[i].candidate;
    if (list[i].estimate < bound) continue;
    s->exact[n].candidate = candidate;
    s->exact[n++].similarity = similarity(search, s, slot, query, candidate);
  }
  sort_best_first(s->exact, n);
  return n < search->k ? n : search->k;
}

static void cut_back(const Search *search, Scratch *s, size_t slot, size_t query) {
  Entry *list = s->list + slot * search->room;
  size_t n = decide(search, s, slot, query);
  for (size_t i = 0; i < n; i++) {
    list[i].candidate = (uint32_t)(s->exact[i].candidate - search->begin);
    list[i].estimate = INT32_MAX; /* decided: later cuts must not drop it by its estimate */
  }
  s->held[slot] = n;
}

/* Put an estimate into the k best estimates. */
static void push_estimate(int32_t *heap, size_t k, size_t *seen, int32_t estimate) {
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

/* Whether any of PLLM_BLOCK dots reaches the bound. */
static PLLM_INLINE void any_reaches_body(const int32_t *dots, int32_t bound, int *out) {
  int any = 0;
  for (size_t i = 0; i < PLLM_BLOCK; i++) any |= dots[i] >= bound;
  *out = any;
}
PLLM_KERNEL(any_reaches, (const int32_t *dots, int32_t bound, int *out), (dots, bound, out))

/* Look through the dots of one query with candidates [first, first + n) (counted from the join's begin). */
static void scan(const Search *search, Scratch *s, size_t slot, size_t query, const int32_t *dots, size_t first,
                 size_t n) {
  int32_t *heap = s->heap + slot * search->k, bound = bound_of(search, s, slot);
  Entry *list = s->list + slot * search->room;
  size_t k = search->k, left_out = search->same ? search->same[query] : SIZE_MAX;
  for (size_t i = 0, checked = 0; i < n; i++) {
    if (i >= checked) { /* most blocks hold nothing: this is what must be fast */
      int any = 0;
      for (; i + PLLM_BLOCK <= n; i += PLLM_BLOCK) {
        any_reaches(dots + i, bound, &any);
        if (any) break;
      }
      checked = i + PLLM_BLOCK;
      if (i == n) break;
    }
    if (dots[i] < bound || search->begin + first + i == left_out) continue;
    if (s->held[slot] == search->room) cut_back(search, s, slot, query);
    list[s->held[slot]].estimate = dots[i];
    list[s->held[slot]++].candidate = (uint32_t)(first + i);
    if (s->seen[slot] < k || dots[i] > heap[0]) {
      push_estimate(heap, k, &s->seen[slot], dots[i]);
      bound = bound_of(search, s, slot);
    }
  }
}

/* Queries [begin, end) in panels of eight, with their lengths and margins. */
static void pack_queries(const Search *search, Scratch *s, size_t begin, size_t end) {
  const PllmNeighbors *set = search->set;
  double scale = PLLM_NEIGHBOR_SCALE, residual[QUERIES];
  /* candidates' roundings in f64, the similarities' own, and those of the bounds here */
  double slack = set->radius > 0 ? (double)(set->dim + 64) * 0x1p-50 * scale * scale / set->radius + 2 : 0;
  for (size_t q = begin; q < end; q += QUERIES) {
    size_t slot = q - begin, n = end - q < QUERIES ? end - q : QUERIES;
    const float *rows = search->queries + q * set->dim;
    for (size_t i = 0; i < n; i++)
      s->length[slot + i] = sqrt(pllm_core_neighbors_dot(rows + i * set->dim, rows + i * set->dim, set->dim));
    pllm_core_neighbors_pack(set, rows, s->length + slot, n, QUERIES, set->origin, scale, s->temporary,
                             s->packed + slot * 2 * set->pairs, residual);
    for (size_t i = 0; i < n; i++) {
      double e = scale * set->residual + residual[i] * (scale + set->residual) + slack;
      s->margin[slot + i] = (int64_t)fmin(2.0001 * e + 1, 0x1p33);
    }
  }
}

/* Dots of the packed queries with the candidate panels [panel, panel + panels). */
static void multiply(const Search *search, Scratch *s, size_t queries, size_t panel, size_t panels) {
  const PllmNeighbors *set = search->set;
  memset(s->dots, 0, search->dots_bytes);
  for (size_t d = 0; d < set->pairs; d += PLLM_NEIGHBOR_DEPTH) {
    size_t depth = set->pairs - d < PLLM_NEIGHBOR_DEPTH ? set->pairs - d : PLLM_NEIGHBOR_DEPTH;
    for (size_t p = 0; p < panels; p++)
      for (size_t q = 0; q < queries; q += QUERIES)
        search->kernel(s->packed + (q / QUERIES * set->pairs + d) * 2 * QUERIES,
                       set->packed + ((panel + p) * set->pairs + d) * 2 * LANES, depth,
                       s->dots + q * CANDIDATE_BLOCK + p * LANES, CANDIDATE_BLOCK);
  }
}

static void search_piece(void *arg, size_t begin, size_t end, int worker) {
  Search *search = arg;
  PllmStop stop = {&search->stop, worker == 0 ? search->run : NULL};
  char *p = search->scratch + (size_t)worker * search->scratch_bytes;
  size_t first_panel = search->begin / LANES, last_panel = (search->end + LANES - 1) / LANES;
  Scratch s;
  memset(s.held, 0, sizeof s.held);
  memset(s.seen, 0, sizeof s.seen);
  s.packed = (int16_t *)(void *)p;
  s.dots = (int32_t *)(void *)(p += search->packed_bytes);
  s.temporary = (int16_t *)(void *)(p += search->dots_bytes);
  s.exact = (PllmNeighbor *)(void *)(p += search->temporary_bytes);
  s.list = (Entry *)(void *)(s.exact + search->room);
  s.heap = (int32_t *)(void *)(s.list + QUERY_BLOCK * search->room);
  pack_queries(search, &s, begin, end);
  for (size_t panel = first_panel; panel < last_panel; panel += CANDIDATE_BLOCK / LANES) {
    size_t panels = last_panel - panel < CANDIDATE_BLOCK / LANES ? last_panel - panel : CANDIDATE_BLOCK / LANES;
    size_t low = panel * LANES, high = (panel + panels) * LANES;
    if (low < search->begin) low = search->begin;
    if (high > search->end) high = search->end;
    if (pllm_stopped(&stop)) return;
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

/* The helpers must hear of an interruption while the calling thread has no piece left. */
static int search_poll(void *arg) {
  Search *search = arg;
  PllmStop stop = {&search->stop, search->run};
  return pllm_stopped(&stop);
}

static PllmNeighborKernel *best_kernel(void) {
#if defined(__x86_64__)
  if (pllm_core_has_vnni()) return pllm_core_neighbors_vnni;
  if (pllm_core_isa() >= PLLM_ISA_AVX2) return pllm_core_neighbors_avx2;
#endif
  return pllm_core_neighbors_base;
}

static size_t round_up(size_t bytes) {
  return (bytes + 63) / 64 * 64;
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
                   .kernel = best_kernel(),
                   .run = run};
  PllmRun inner = {.threads = pllm_run_threads(run), .poll = search_poll, .poll_arg = &search};
  PllmStatus status;
  if (k < 1 || k > PLLM_MAX_NEIGHBORS)
    return pllm_fail(err, PLLM_INVALID, "k is %zu; 1 to %d are possible", k, PLLM_MAX_NEIGHBORS);
  if (begin > end || end > set->count || end - begin > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "candidates %zu to %zu of %zu", begin, end, set->count);
  atomic_init(&search.stop, 0);
  search.room = 2 * k + SPARE;
  search.packed_bytes = round_up(QUERY_BLOCK * 2 * set->pairs * sizeof(int16_t));
  search.dots_bytes = QUERY_BLOCK * CANDIDATE_BLOCK * sizeof(int32_t);
  search.temporary_bytes = round_up(QUERIES * 2 * set->pairs * sizeof(int16_t));
  search.scratch_bytes =
      round_up(search.packed_bytes + search.dots_bytes + search.temporary_bytes + search.room * sizeof(PllmNeighbor) +
               QUERY_BLOCK * (search.room * sizeof(Entry) + k * sizeof(int32_t)));
  search.scratch = pllm_alloc_aligned((size_t)inner.threads, search.scratch_bytes);
  if (!search.scratch) return pllm_fail_nomem(err);
  status = pllm_parallel(&inner, n, QUERY_BLOCK, search_piece, &search, err);
  if (status == PLLM_OK && atomic_load(&search.stop)) status = pllm_fail(err, PLLM_INTERRUPTED, "interrupted");
  pllm_free_aligned(search.scratch);
  return status;
}
