/*
** core_pool.c: products of all feature vectors with a few directions, and back.
**
** Sums run in an order that neither threads nor instruction sets change: a projection adds along the dimensions, a
** collection adds every 64th vector in 64 lanes, and the lanes in pairs.
*/
#include "core_crowd.h"
#include "core_simd.h"

#include <string.h>

enum { LANES = PLLM_POOL_BLOCK };

void pllm_pool_vector(const PllmPool *pool, size_t i, double *out) {
  size_t at = i / LANES * pool->dim * LANES + i % LANES;
  for (size_t b = 0; b < pool->dim; b++, at += LANES)
    out[b] = pool->f32 ? (double)((const float *)pool->blocks)[at] : ((const double *)pool->blocks)[at];
}

/* ---- kernels: f32 and f64 alike ---- */

#define PROJECT(type)                                                                                                \
  const type *x = block;                                                                                             \
  for (size_t c = 0; c < k; c++) {                                                                                   \
    double sum[LANES];                                                                                               \
    for (size_t l = 0; l < LANES; l++) sum[l] = 0;                                                                   \
    for (size_t b = 0; b < dim; b++) {                                                                               \
      double w = v[b * k + c];                                                                                       \
      const type *xb = x + b * LANES;                                                                                \
      for (size_t l = 0; l < LANES; l++) sum[l] += (double)xb[l] * w;                                                \
    }                                                                                                                \
    for (size_t l = 0; l < LANES; l++) out[l * k + c] = sum[l];                                                      \
  }

static PLLM_INLINE void project32_body(const void *block, size_t dim, const double *v, size_t k, double *out) {
  PROJECT(float)
}
static PLLM_INLINE void project64_body(const void *block, size_t dim, const double *v, size_t k, double *out){
    PROJECT(double)} PLLM_KERNEL(project32, (const void *block, size_t dim, const double *v, size_t k, double *out),
                                 (block, dim, v, k, out))
    PLLM_KERNEL(project64, (const void *block, size_t dim, const double *v, size_t k, double *out),
                (block, dim, v, k, out))

/* Dimension b of all blocks (stride numbers apart) times g[n]. */
#define COLLECT(type)                                                                                                \
  const type *x = first;                                                                                             \
  double sum[LANES];                                                                                                 \
  for (size_t l = 0; l < LANES; l++) sum[l] = 0;                                                                     \
  for (size_t i = 0; i < n; i += LANES, x += stride)                                                                 \
    for (size_t l = 0; l < LANES; l++) sum[l] += (double)x[l] * g[i + l];                                            \
  for (size_t half = LANES / 2; half > 0; half /= 2)                                                                 \
    for (size_t l = 0; l < half; l++) sum[l] += sum[l + half];                                                       \
  *out = sum[0];

        static PLLM_INLINE
    void collect32_body(const void *first, size_t stride, const double *g, size_t n, double *out) {
  COLLECT(float)
}
static PLLM_INLINE void collect64_body(const void *first, size_t stride, const double *g, size_t n, double *out){
    COLLECT(double)} PLLM_KERNEL(collect32,
                                 (const void *first, size_t stride, const double *g, size_t n, double *out),
                                 (first, stride, g, n, out))
    PLLM_KERNEL(collect64, (const void *first, size_t stride, const double *g, size_t n, double *out),
                (first, stride, g, n, out))

    /* ---- jobs ---- */

    typedef struct PoolJob {
  const PllmPool *pool;
  const double *in;
  size_t k;
  double *out;
} PoolJob;

static void project_body(void *arg, size_t begin, size_t end, int worker) {
  const PoolJob *j = arg;
  const PllmPool *pool = j->pool;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    size_t at = i * pool->dim * LANES;
    if (pool->f32)
      project32((const float *)pool->blocks + at, pool->dim, j->in, j->k, j->out + i * LANES * j->k);
    else
      project64((const double *)pool->blocks + at, pool->dim, j->in, j->k, j->out + i * LANES * j->k);
  }
}

static void collect_body(void *arg, size_t begin, size_t end, int worker) {
  const PoolJob *j = arg;
  const PllmPool *pool = j->pool;
  (void)worker;
  for (size_t b = begin; b < end; b++)
    for (size_t c = 0; c < j->k; c++) {
      const double *g = j->in + c * pool->padded;
      double *out = j->out + b * j->k + c;
      if (pool->f32)
        collect32((const float *)pool->blocks + b * LANES, pool->dim * LANES, g, pool->padded, out);
      else
        collect64((const double *)pool->blocks + b * LANES, pool->dim * LANES, g, pool->padded, out);
    }
}

/* Items that make a piece of a few milliseconds at most, each item costing `cost` multiplications. */
static size_t chunk(size_t cost) {
  size_t items = ((size_t)1 << 20) / (cost ? cost : 1);
  return items > 0 ? items : 1;
}

PllmStatus pllm_pool_project(const PllmPool *pool, const double *v, size_t k, double *out, const PllmRun *run,
                             PllmError *err) {
  PoolJob job = {pool, v, k, out};
  return pllm_parallel(run, pool->padded / LANES, chunk(pool->dim * LANES * k), project_body, &job, err);
}

PllmStatus pllm_pool_collect(const PllmPool *pool, const double *g, size_t k, double *out, const PllmRun *run,
                             PllmError *err) {
  PoolJob job = {pool, g, k, out};
  return pllm_parallel(run, pool->dim, chunk(pool->padded * k), collect_body, &job, err);
}
