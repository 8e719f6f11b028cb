/*
** limit.c: the k most similar of 10,000 candidates for each of 1,000 queries: lengths, one matrix product by OpenBLAS in slices
** that a cache holds, and a scan that keeps each query's k best while the slice is there.
*/
#include "../limit.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

enum { SLICE = 2048 };

typedef struct Best {
  float similarity;
  unsigned candidate;
} Best;

typedef struct Neighbors {
  size_t dim, k, queries, candidates;
  int threads;
  const float *query, *candidate;  /* as given */
  float *unit_query, *unit, *dots; /* scaled; [queries][SLICE] */
  size_t first, count;             /* the slice */
  Best *best;                      /* [queries][k], sorted */
  const float *in;
  float *out;
} Neighbors;

static void scale_piece(void *arg, size_t begin, size_t end, int worker) {
  Neighbors *n = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    const float *row = n->in + i * n->dim;
    float sum[16] = {0}, all = 0, scale;
    for (size_t d = 0; d + 16 <= n->dim; d += 16)
      for (size_t j = 0; j < 16; j++) sum[j] += row[d + j] * row[d + j];
    for (size_t d = n->dim / 16 * 16; d < n->dim; d++) all += row[d] * row[d];
    for (size_t j = 0; j < 16; j++) all += sum[j];
    scale = 1 / sqrtf(all);
    for (size_t d = 0; d < n->dim; d++) n->out[i * n->dim + d] = row[d] * scale;
  }
}

static void scan_piece(void *arg, size_t begin, size_t end, int worker) {
  Neighbors *n = arg;
  (void)worker;
  for (size_t q = begin; q < end; q++) {
    Best *best = n->best + q * n->k;
    const float *dots = n->dots + q * SLICE;
    float least = best[n->k - 1].similarity;
    for (size_t c = 0; c < n->count; c++) {
      size_t at = n->k - 1;
      if (c + 16 <= n->count) {
        int any = 0;
        for (size_t j = 0; j < 16; j++) any |= dots[c + j] > least;
        if (!any) {
          c += 15;
          continue;
        }
      }
      if (!(dots[c] > least)) continue;
      for (; at > 0 && best[at - 1].similarity < dots[c]; at--) best[at] = best[at - 1];
      best[at] = (Best){dots[c], (unsigned)(n->first + c)};
      least = best[n->k - 1].similarity;
    }
  }
}

static void *neighbors_open(const Args *args) {
  Neighbors *n = allocate(sizeof *n);
  size_t bytes;
  n->dim = arg_size(args, "dim");
  n->k = arg_size(args, "k");
  n->threads = (int)arg_size(args, "threads");
  n->query = load_file(arg_text(args, "queries"), &bytes);
  n->queries = bytes / (n->dim * sizeof(float));
  n->candidate = load_file(arg_text(args, "candidates"), &bytes);
  n->candidates = bytes / (n->dim * sizeof(float));
  n->unit_query = allocate(n->queries * n->dim * sizeof(float));
  n->unit = allocate(n->candidates * n->dim * sizeof(float));
  n->dots = allocate(n->queries * SLICE * sizeof(float));
  n->best = allocate(n->queries * n->k * sizeof(Best));
  return n;
}

static void neighbors_run(void *state) {
  Neighbors *n = state;
  n->in = n->query;
  n->out = n->unit_query;
  each_piece(n->queries, 64, n->threads, scale_piece, n);
  n->in = n->candidate;
  n->out = n->unit;
  each_piece(n->candidates, 64, n->threads, scale_piece, n);
  for (size_t i = 0; i < n->queries * n->k; i++) n->best[i] = (Best){-2, 0};
  for (n->first = 0; n->first < n->candidates; n->first += SLICE) {
    n->count = n->candidates - n->first < SLICE ? n->candidates - n->first : SLICE;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n->queries, (int)n->count, (int)n->dim, 1, n->unit_query,
                (int)n->dim, n->unit + n->first * n->dim, (int)n->dim, 0, n->dots, SLICE);
    each_piece(n->queries, 64, n->threads, scan_piece, n);
  }
}

static void neighbors_write(void *state, FILE *out) {
  Neighbors *n = state;
  for (size_t i = 0; i < n->queries * n->k; i++) {
    double row[2] = {(double)n->best[i].candidate, (double)n->best[i].similarity};
    fwrite(row, sizeof row, 1, out);
  }
}

const Job limit_neighbors = {"neighbors", neighbors_open, neighbors_run, neighbors_write};
