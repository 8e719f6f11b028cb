/*
** limit_ceilings.c: what this machine can do at most: multiply-adds on numbers that stay in registers, a sum over memory that
** no cache holds, exponentials and logarithms of numbers in the first-level cache.
*/
#include "limit.h"
#include "limit_math.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- multiply-adds ---- */

/* Independent chains of the widest vectors there are: more than latency times throughput of any core, and no more than
 * registers hold beside the factor and the term. */
#if defined(__AVX512F__)
enum { BYTES = 64, CHAINS = 16, STEPS = 1 << 16 };
#elif defined(__AVX__)
enum { BYTES = 32, CHAINS = 12, STEPS = 1 << 16 };
#else
enum { BYTES = 16, CHAINS = 12, STEPS = 1 << 16 };
#endif
typedef double Vec64 __attribute__((vector_size(BYTES)));
typedef float Vec32 __attribute__((vector_size(BYTES)));

typedef struct Ceiling {
  size_t pieces; /* of STEPS steps of all chains */
  int threads;
  double result; /* keeps the compiler honest */
} Ceiling;

#define FMA_PIECE(name, Vec, Number, lanes)                                                                          \
  static void name(void *arg, size_t begin, size_t end, int worker) {                                                \
    Ceiling *c = arg;                                                                                                \
    Vec sum[CHAINS], factor, term;                                                                                   \
    Number total = 0;                                                                                                \
    for (int j = 0; j < lanes; j++) {                                                                                \
      factor[j] = (Number)0.999;                                                                                     \
      term[j] = (Number)0.001;                                                                                       \
    }                                                                                                                \
    for (int i = 0; i < CHAINS; i++) sum[i] = term * (Number)i;                                                      \
    for (size_t piece = begin; piece < end; piece++)                                                                 \
      for (int step = 0; step < STEPS; step++)                                                                       \
        for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;                                            \
    for (int i = 0; i < CHAINS; i++)                                                                                 \
      for (int j = 0; j < lanes; j++) total += sum[i][j];                                                            \
    if (worker == 0) c->result = total;                                                                              \
  }
FMA_PIECE(fma_f64_piece, Vec64, double, BYTES / 8)
FMA_PIECE(fma_f32_piece, Vec32, float, BYTES / 4)

static void *fma_open(const Args *args, double lanes) {
  Ceiling *c = allocate(sizeof *c);
  double flops = (double)arg_size(args, "flops");
  c->pieces = (size_t)(flops / (2.0 * lanes * CHAINS * STEPS)) + 1;
  c->threads = (int)arg_size(args, "threads");
  return c;
}

static void *fma_f64_open(const Args *args) {
  return fma_open(args, BYTES / 8);
}

static void *fma_f32_open(const Args *args) {
  return fma_open(args, BYTES / 4);
}

static void fma_f64_run(void *state) {
  Ceiling *c = state;
  each_piece(c->pieces, 1, c->threads, fma_f64_piece, c);
}

static void fma_f32_run(void *state) {
  Ceiling *c = state;
  each_piece(c->pieces, 1, c->threads, fma_f32_piece, c);
}

/* The work done, as it is rounded up to whole pieces. */
static void fma_write_f64(void *state, FILE *out) {
  double flops = (double)((Ceiling *)state)->pieces * 2.0 * (BYTES / 8) * CHAINS * STEPS;
  fwrite(&flops, sizeof flops, 1, out);
}

static void fma_write_f32(void *state, FILE *out) {
  double flops = (double)((Ceiling *)state)->pieces * 2.0 * (BYTES / 4) * CHAINS * STEPS;
  fwrite(&flops, sizeof flops, 1, out);
}

const Job limit_fma_f64 = {"fma_f64", fma_f64_open, fma_f64_run, fma_write_f64};
const Job limit_fma_f32 = {"fma_f32", fma_f32_open, fma_f32_run, fma_write_f32};

/* ---- memory ---- */

typedef struct Memory {
  Vec64 *data;
  size_t count; /* of vectors */
  int threads;
  double sum;
} Memory;

static void *read_open(const Args *args) {
  Memory *m = allocate(sizeof *m);
  m->count = arg_size(args, "bytes") / sizeof *m->data;
  m->threads = (int)arg_size(args, "threads");
  m->data = allocate(m->count * sizeof *m->data);
  return m;
}

static void read_piece(void *arg, size_t begin, size_t end, int worker) {
  Memory *m = arg;
  Vec64 sum[8];
  memset(sum, 0, sizeof sum);
  for (size_t i = begin; i + 8 <= end; i += 8)
    for (int k = 0; k < 8; k++) sum[k] += m->data[i + (size_t)k];
  for (int k = 1; k < 8; k++) sum[0] += sum[k];
  if (worker == 0) m->sum = sum[0][0];
}

static void read_run(void *state) {
  Memory *m = state;
  each_piece(m->count, 1 << 14, m->threads, read_piece, m);
}

static void read_write(void *state, FILE *out) {
  double bytes = (double)((Memory *)state)->count * sizeof(Vec64);
  fwrite(&bytes, sizeof bytes, 1, out);
}

const Job limit_read = {"read", read_open, read_run, read_write};

/* ---- transcendentals ---- */

enum { BUFFER = 1024 };

typedef struct Loop {
  size_t pieces; /* of BUFFER numbers */
  int threads;
  double in[BUFFER], out[64][BUFFER];
} Loop;

static void exp_piece(void *arg, size_t begin, size_t end, int worker) {
  Loop *l = arg;
  double *out = l->out[worker % 64];
  for (size_t i = begin; i < end; i++) {
    limit_exp_many(l->in, out, BUFFER);
    __asm__ volatile("" : : "r"(out) : "memory");
  }
}

static void log_piece(void *arg, size_t begin, size_t end, int worker) {
  Loop *l = arg;
  double *out = l->out[worker % 64];
  for (size_t i = begin; i < end; i++) {
    limit_log_many(l->in, out, BUFFER);
    __asm__ volatile("" : : "r"(out) : "memory");
  }
}

static void philox_piece(void *arg, size_t begin, size_t end, int worker) {
  Loop *l = arg;
  uint64_t *out = (uint64_t *)(void *)l->out[worker % 64];
  for (size_t i = begin; i < end; i++) {
    limit_philox_many(i * BUFFER, 7, 11, out, BUFFER / 2); /* two numbers a block */
    __asm__ volatile("" : : "r"(out) : "memory");
  }
}

static Loop *loop_open(const Args *args, double from, double to) {
  Loop *l = allocate(sizeof *l);
  l->pieces = arg_size(args, "count") / BUFFER + 1;
  l->threads = (int)arg_size(args, "threads");
  for (int i = 0; i < BUFFER; i++) l->in[i] = from + (to - from) * (i + 0.5) / BUFFER;
  return l;
}

static void *exp_open(const Args *args) {
  Loop *l = loop_open(args, -600, 200);
  limit_exp_many(l->in, l->out[0], BUFFER);
  limit_check(l->in, l->out[0], BUFFER, 1);
  return l;
}

static void *log_open(const Args *args) {
  Loop *l = loop_open(args, 1e-9, 1);
  limit_log_many(l->in, l->out[0], BUFFER);
  limit_check(l->in, l->out[0], BUFFER, 0);
  return l;
}

static void *philox_open(const Args *args) {
  Loop *l = loop_open(args, 0, 1);
  limit_philox_many(0xfffffff8, 7, 11, (uint64_t *)(void *)l->out[0], BUFFER / 2);
  limit_check_philox(0xfffffff8, 7, 11, (const uint64_t *)(const void *)l->out[0], BUFFER / 2);
  return l;
}

static void exp_run(void *state) {
  Loop *l = state;
  each_piece(l->pieces, 64, l->threads, exp_piece, l);
}

static void log_run(void *state) {
  Loop *l = state;
  each_piece(l->pieces, 64, l->threads, log_piece, l);
}

static void philox_run(void *state) {
  Loop *l = state;
  each_piece(l->pieces, 64, l->threads, philox_piece, l);
}

static void loop_write(void *state, FILE *out) {
  double count = (double)((Loop *)state)->pieces * BUFFER;
  fwrite(&count, sizeof count, 1, out);
}

const Job limit_exp = {"exp", exp_open, exp_run, loop_write};
const Job limit_log = {"log", log_open, log_run, loop_write};
const Job limit_philox = {"philox", philox_open, philox_run, loop_write};
