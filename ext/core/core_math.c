/*
** core_math.c: exp and log of whole arrays.
*/
#include "core_math.h"

/* Blocks go through a local array so that the compiler need not fear that out overlaps in. */
static PLLM_INLINE void exp_n_body(double *out, const double *in, size_t n) {
  double x[PLLM_BLOCK];
  size_t i = 0;
  for (; i + PLLM_BLOCK <= n; i += PLLM_BLOCK) {
    memcpy(x, in + i, sizeof x);
    for (int j = 0; j < PLLM_BLOCK; j++) x[j] = pllm_exp1(x[j]);
    memcpy(out + i, x, sizeof x);
  }
  for (; i < n; i++) out[i] = pllm_exp1(in[i]);
}

static PLLM_INLINE void log_n_body(double *out, const double *in, size_t n) {
  double x[PLLM_BLOCK];
  size_t i = 0;
  for (; i + PLLM_BLOCK <= n; i += PLLM_BLOCK) {
    memcpy(x, in + i, sizeof x);
    for (int j = 0; j < PLLM_BLOCK; j++) x[j] = pllm_log1(x[j]);
    memcpy(out + i, x, sizeof x);
  }
  for (; i < n; i++) out[i] = pllm_log1(in[i]);
}

PLLM_KERNEL(exp_n, (double *out, const double *in, size_t n), (out, in, n))
PLLM_KERNEL(log_n, (double *out, const double *in, size_t n), (out, in, n))

void pllm_exp_n(double *out, const double *in, size_t n) {
  exp_n(out, in, n);
}

void pllm_log_n(double *out, const double *in, size_t n) {
  log_n(out, in, n);
}
