/*
** core_posterior_avx512.c: the posterior's kernels for AVX-512.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512F__)
#define PLLM_POSTERIOR_KERNEL pllm_core_posterior_avx512
#include "core_posterior_kernel.h"
#else
typedef int pllm_no_avx512_here; /* C has no empty translation units */
#endif
