/*
** core_posterior_avx2.c: the posterior's kernels for AVX2.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX2__) && defined(__FMA__)
#define PLLM_POSTERIOR_KERNEL pllm_core_posterior_avx2
#include "core_posterior_kernel.h"
#else
typedef int pllm_no_avx2_here; /* C has no empty translation units */
#endif
