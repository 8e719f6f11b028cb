/*
** core_evaluate_avx2.c: the evaluation kernel for AVX2 with FMA.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX2__) && defined(__FMA__)
#define PLLM_JUDGE_KERNEL pllm_core_judge_avx2
#include "core_evaluate_kernel.h"
#else
typedef int pllm_no_avx2_here; /* C has no empty translation units */
#endif
