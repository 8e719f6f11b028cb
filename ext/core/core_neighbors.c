/*
** core_neighbors.c: exact cosine top-k join.
**
** Candidates lie packed in panels of 32 (core_neighbors_pack.c); a worker packs eight queries likewise, multiplies panels
** slice by slice (BLIS-style: a candidate slice of 8 KB is reused by all query panels), and keeps per query a list of
** what may still be among the k best.
**
** An estimate gives a lower and an upper bound for the similarity, less a number that is the same for all candidates of
** the query (core_neighbors_pack.c).  A candidate whose upper bound is below the k-th best lower bound cannot be among
** the k best.  All others are decided by the canonical similarity.
*/
#include "core_neighbors.h"
#include "core_simd.h"

#include <math.h>
#include <string.h>

enum {
  LANES = PLLM_NEIGHBOR_LANES,
  QUERIES = PLLM_NEIGHBOR_QUERIES,
  QUERY_BLOCK = 64, /* queries a worker takes at a time */
  GROUP = PLLM_NEIGHBOR_GROUP,
  CANDIDATE_BLOCK = GROUP * LANES, /* candidates whose dots a worker holds; between blocks it may be interrupted */
  LINE = 64 / sizeof(int16_t),     /* numbers that a cache fetches at once */
  SPARE = 512                      /* room behind 2k in a query's list before it is cut back to k */
};

/* What may be among the k best of one query: an upper bound (INFINITY: decided) and a candidate each. */
typedef struct Entry {
  float most;         /* compared with a lower bound rounded as well: rounding keeps the order */
  uint32_t candidate; /* from the join's begin */
} Entry;

struct PllmNeighborSearch {
  const PllmNeighbors *set;
  const float *queries;
  const size_t *same;
  size_t begin, end, k, room; /* room: entries a list can hold */
  PllmNeighbor *found;
  PllmNeighborKernel *kernel;
  PllmRun run, inner; /* the caller's, and the job's */
  PllmJob *job;       /* owned */
  atomic_int stop;
  char *scratch; /* owned, scratch_bytes per worker */
  size_t scratch_bytes, packed_bytes, dots_bytes, temporary_bytes;
};
typedef PllmNeighborSearch Search;

/* One worker's memory. */
typedef struct Scratch {
  int16_t *packed;     /* [QUERY_BLOCK/8] panels */
  int32_t *dots;       /* [QUERY_BLOCK][CANDIDATE_BLOCK] */
  int16_t *temporary;  /* [8][lane] */
  PllmNeighbor *exact; /* [room] */
  double *heap;        /* [QUERY_BLOCK][k]: the k best lower bounds, smallest on top */
  Entry *list;         /* [QUERY_BLOCK][room] */
  size_t held[QUERY_BLOCK], seen[QUERY_BLOCK];
  double length[QUERY_BLOCK];
  double residual[QUERY_BLOCK]; /* lengths of the packed queries' rounding errors */
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

/* What an upper bound must reach to belong to one of the k best. */
static double least_of(const Search *search, const Scratch *s, size_t slot) {
  return s->seen[slot] == search->k ? s->heap[slot * search->k] : -INFINITY;
}

/* The most that a panel's estimates may be off for a query. */
static PLLM_INLINE double error_of(const PllmNeighborGroup *group, size_t panel, double residual) {
  return group->error[panel] + residual * group->slope[panel];
}

/* The least estimate whose upper bound may reach `least`: up to two too low, never too high. */
static PLLM_INLINE int32_t bound_of(const PllmNeighborGroup *group, size_t panel, double residual, double least) {
  double bound = (least - error_of(group, panel, residual)) * group->per_unit[panel];
  bound = bound > -2147483647.0 ? bound : -2147483647.0; /* not a number either */
  bound = bound < 2147483647.0 ? bound : 2147483647.0;
  return (int32_t)bound - 1;
}

/* As pllm_cosine, whose bits it has, but with lengths that are known. */
static double similarity(const Search *search, const Scratch *s, size_t slot, size_t query, size_t candidate) {
  const PllmNeighbors *set = search->set;
  double a = s->length[slot], b = pllm_core_neighbors_length(set, candidate);
  if (!(a > 0 && b > 0)) return 0;
  return pllm_core_neighbors_dot(search->queries + query * set->dim, pllm_core_neighbors_row(set, candidate),
                                 set->dim) /
         (a * b);
}

/* Keep of a query's list only what its canonical similarities leave among the k best; they go to s->exact, sorted. */
static size_t decide(const Search *search, const Scratch *s, size_t slot, size_t query) {
  const Entry *list = s->list + slot * search->room;
  float least = (float)least_of(search, s, slot);
  size_t n = 0;
  for (size_t i = 0; i < s->held[slot]; i++)
    if (list[i].most >= least) s->exact[n++].candidate = search->begin + list[i].candidate;
  for (size_t i = 0; i < n; i++) {
    if (i + 1 < n) /* candidates stand anywhere in memory */
      pllm_core_fetch(pllm_core_neighbors_row(search->set, s->exact[i + 1].candidate), search->set->dim * sizeof(float));
    s->exact[i].similarity = similarity(search, s, slot, query, s->exact[i].candidate);
  }
  sort_best_first(s->exact, n);
  return n < search->k ? n : search->k;
}

static void cut_back(const Search *search, Scratch *s, size_t slot, size_t query) {
  Entry *list = s->list + slot * search->room;
  size_t n = decide(search, s, slot, query);
  for (size_t i = 0; i < n; i++) {
    list[i].candidate = (uint32_t)(s->exact[i].candidate - search->begin);
    list[i].most = INFINITY; /* decided: later cuts must not drop it by its bound */
  }
  s->held[slot] = n;
}

/* Put a lower bound into the k best. */
static void push_least(double *heap, size_t k, size_t *seen, double least) {
  size_t at = 0;
  if (*seen < k) {
    at = (*seen)++;
    while (at > 0 && heap[(at - 1) / 2] > least) {
      heap[at] = heap[(at - 1) / 2];
      at = (at - 1) / 2;
    }
  } else {
    for (;;) {
      size_t child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && heap[child + 1] < heap[child]) child++;
      if (!(heap[child] < least)) break;
      heap[at] = heap[child];
      at = child;
    }
  }
  heap[at] = least;
}

/* Which panels of a group have dots that reach their bounds. */
static PLLM_INLINE void reached_body(const PllmNeighborGroup *group, const int32_t *dots, double residual,
                                     double least, uint32_t *panels) {
  int32_t bound[GROUP];
  uint32_t mask = 0;
  for (size_t p = 0; p < GROUP; p++) bound[p] = bound_of(group, p, residual, least);
  for (size_t p = 0; p < GROUP; p++, dots += LANES) {
    int any = 0;
    for (size_t i = 0; i < LANES; i++) any |= dots[i] >= bound[p];
    mask |= (uint32_t)(any & 1) << p;
  }
  *panels = mask;
}
PLLM_KERNEL(reached,
            (const PllmNeighborGroup *group, const int32_t *dots, double residual, double least, uint32_t *panels),
            (group, dots, residual, least, panels))

/* Look through the dots of one query with a panel whose lane 0 is that candidate. */
static void scan(const Search *search, Scratch *s, size_t slot, size_t query, const PllmNeighborGroup *group,
                 size_t panel, const int32_t *dots, size_t first) {
  double *heap = s->heap + slot * search->k, residual = s->residual[slot], unit = group->unit[panel],
         error = error_of(group, panel, residual);
  int32_t bound = bound_of(group, panel, residual, least_of(search, s, slot));
  size_t k = search->k, left_out = search->same ? search->same[query] : SIZE_MAX;
  Entry *list = s->list + slot * search->room;
  for (size_t i = 0; i < LANES; i++) {
    size_t candidate = first + i;
    double middle;
    if (dots[i] < bound || candidate < search->begin || candidate >= search->end || candidate == left_out) continue;
    middle = dots[i] * unit;
    if (s->held[slot] == search->room) cut_back(search, s, slot, query);
    list[s->held[slot]].most = (float)(middle + error);
    list[s->held[slot]++].candidate = (uint32_t)(candidate - search->begin);
    if (s->seen[slot] < k || middle - error > heap[0]) {
      push_least(heap, k, &s->seen[slot], middle - error);
      bound = bound_of(group, panel, residual, least_of(search, s, slot));
    }
  }
}

/* Queries [begin, end) in panels of eight, with their lengths and rounding errors. */
static void pack_queries(const Search *search, Scratch *s, size_t begin, size_t end) {
  const PllmNeighbors *set = search->set;
  for (size_t q = begin; q < end; q += QUERIES) {
    size_t slot = q - begin, n = end - q < QUERIES ? end - q : QUERIES;
    const float *rows = search->queries + q * set->dim;
    for (size_t i = 0; i < n; i++)
      s->length[slot + i] = sqrt(pllm_core_neighbors_dot(rows + i * set->dim, rows + i * set->dim, set->dim));
    pllm_core_neighbors_pack(set, rows, s->length + slot, n, QUERIES, set->origin, PLLM_NEIGHBOR_SCALE, s->temporary,
                             s->packed + slot * 2 * set->pairs, s->residual + slot);
  }
}

/* Dots of the packed queries with `panels` panels of candidates.  While one slice is multiplied, the next is fetched: each
** panel of queries asks for its share, and the memory's waiting time is nobody's. */
static void multiply(const Search *search, Scratch *s, size_t queries, const int16_t *packed, size_t panels) {
  const size_t pairs = search->set->pairs, depth = PLLM_NEIGHBOR_DEPTH, turns = (queries + QUERIES - 1) / QUERIES,
               share = (depth * 2 * LANES / LINE + turns - 1) / turns * LINE;
  memset(s->dots, 0, search->dots_bytes);
  for (size_t d = 0; d < pairs; d += depth)
    for (size_t p = 0; p < panels; p++) {
      size_t now = pairs - d < depth ? pairs - d : depth, after = pairs - d - now < depth ? pairs - d - now : depth;
      const int16_t *slice = packed + (p * pairs + d) * 2 * LANES,
                    *next = p + 1 < panels ? slice + pairs * 2 * LANES : packed + (d + now) * 2 * LANES;
      size_t numbers = (p + 1 < panels ? now : after) * 2 * LANES;
      for (size_t q = 0; q < queries; q += QUERIES) {
        size_t some = share < numbers ? share : numbers;
        pllm_core_fetch(next, some * sizeof *next);
        next += some;
        numbers -= some;
        search->kernel(s->packed + (q / QUERIES * pairs + d) * 2 * QUERIES, slice, now,
                       s->dots + q * CANDIDATE_BLOCK + p * LANES, CANDIDATE_BLOCK);
      }
    }
}

static Scratch scratch_of(const Search *search, int worker) {
  Scratch s;
  char *p = search->scratch + (size_t)worker * search->scratch_bytes;
  memset(s.held, 0, sizeof s.held);
  memset(s.seen, 0, sizeof s.seen);
  s.packed = (int16_t *)(void *)p;
  s.dots = (int32_t *)(void *)(p += search->packed_bytes);
  s.temporary = (int16_t *)(void *)(p += search->dots_bytes);
  s.exact = (PllmNeighbor *)(void *)(p += search->temporary_bytes);
  s.heap = (double *)(void *)(s.exact + search->room);
  s.list = (Entry *)(void *)(s.heap + QUERY_BLOCK * search->k);
  return s;
}

/* What queries [begin, end) find in the group of panels that begins with candidate `first`. */
static void search_group(const Search *search, Scratch *s, size_t begin, size_t end, size_t first) {
  const PllmNeighbors *set = search->set;
  const PllmNeighborBlock *block = &set->blocks[first / set->block_rows];
  const PllmNeighborGroup *group = block->group + first % set->block_rows / CANDIDATE_BLOCK;
  size_t at = first % set->block_rows, left = (search->end - first + LANES - 1) / LANES,
         panels = left < GROUP ? left : GROUP;
  multiply(search, s, end - begin, block->packed + at * 2 * set->pairs, panels);
  for (size_t q = begin; q < end; q++) {
    const int32_t *dots = s->dots + (q - begin) * CANDIDATE_BLOCK;
    uint32_t open;
    reached(group, dots, s->residual[q - begin], least_of(search, s, q - begin), &open);
    for (size_t p = 0; open >> p != 0; p++)
      if (open >> p & 1) scan(search, s, q - begin, q, group, p, dots + p * LANES, first + p * LANES);
  }
}

static void search_piece(void *arg, size_t begin, size_t end, int worker) {
  Search *search = arg;
  PllmStop stop = {&search->stop, worker == 0 ? &search->run : NULL};
  Scratch s = scratch_of(search, worker);
  pack_queries(search, &s, begin, end);
  for (size_t first = search->begin / CANDIDATE_BLOCK * CANDIDATE_BLOCK; first < search->end;
       first += CANDIDATE_BLOCK) {
    if (pllm_stopped(&stop)) return;
    search_group(search, &s, begin, end, first);
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
  PllmStop stop = {&search->stop, &search->run};
  return pllm_stopped(&stop);
}

static PllmNeighborKernel *best_kernel(void) {
#if defined(__x86_64__)
  if (pllm_core_isa() >= PLLM_ISA_VNNI) return pllm_core_neighbors_vnni;
  if (pllm_core_isa() >= PLLM_ISA_AVX2) return pllm_core_neighbors_avx2;
#endif
  return pllm_core_neighbors_base;
}

static size_t round_up(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

void pllm_neighbors_stop(PllmNeighborSearch *search) {
  if (!search) return;
  atomic_store(&search->stop, 1);
  pllm_job_cancel(search->job);
  pllm_free_aligned(search->scratch);
  pllm_free(search);
}

PllmStatus pllm_neighbors_start(const PllmNeighbors *set, size_t begin, size_t end, const float *queries, size_t n,
                                const size_t *same, size_t k, PllmNeighbor *found, const PllmRun *run,
                                PllmNeighborSearch **out, PllmError *err) {
  Search *s;
  PllmStatus status;
  *out = NULL;
  if (k < 1 || k > PLLM_MAX_NEIGHBORS)
    return pllm_fail(err, PLLM_INVALID, "k is %zu; 1 to %d are possible", k, PLLM_MAX_NEIGHBORS);
  if (begin > end || end > set->count || end - begin > UINT32_MAX)
    return pllm_fail(err, PLLM_INVALID, "candidates %zu to %zu of %zu", begin, end, set->count);
  s = pllm_alloc_zero(1, sizeof *s);
  if (!s) return pllm_fail_nomem(err);
  s->set = set;
  s->queries = queries;
  s->same = same;
  s->begin = begin;
  s->end = end;
  s->k = k;
  s->found = found;
  s->kernel = best_kernel();
  if (run) s->run = *run;
  s->inner = pllm_core_run(run, search_poll, s);
  atomic_init(&s->stop, 0);
  s->room = 2 * k + SPARE;
  s->packed_bytes = round_up(QUERY_BLOCK * 2 * set->pairs * sizeof(int16_t));
  s->dots_bytes = QUERY_BLOCK * CANDIDATE_BLOCK * sizeof(int32_t);
  s->temporary_bytes = round_up(QUERIES * set->lane * sizeof(int16_t));
  s->scratch_bytes = round_up(s->packed_bytes + s->dots_bytes + s->temporary_bytes + s->room * sizeof(PllmNeighbor) +
                              QUERY_BLOCK * (s->room * sizeof(Entry) + k * sizeof(double)));
  s->scratch = pllm_alloc_aligned((size_t)s->inner.threads, s->scratch_bytes);
  status =
      s->scratch ? pllm_job_start(&s->inner, n, QUERY_BLOCK, search_piece, s, &s->job, err) : pllm_fail_nomem(err);
  if (status == PLLM_OK)
    *out = s;
  else
    pllm_neighbors_stop(s);
  return status;
}

PllmStatus pllm_neighbors_wait(PllmNeighborSearch *search, size_t query, PllmError *err) {
  PllmStatus status = pllm_job_wait(search->job, query, err);
  return status == PLLM_OK && atomic_load(&search->stop) ? pllm_fail(err, PLLM_INTERRUPTED, "interrupted") : status;
}

PllmStatus pllm_neighbors_find(const PllmNeighbors *set, size_t begin, size_t end, const float *queries, size_t n,
                               const size_t *same, size_t k, PllmNeighbor *found, const PllmRun *run,
                               PllmError *err) {
  PllmNeighborSearch *search;
  PllmStatus status = pllm_neighbors_start(set, begin, end, queries, n, same, k, found, run, &search, err);
  for (size_t q = 0; status == PLLM_OK && q < n; q += QUERY_BLOCK) status = pllm_neighbors_wait(search, q, err);
  pllm_neighbors_stop(search);
  return status;
}
