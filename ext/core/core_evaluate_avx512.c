/*
** core_evaluate_avx512.c: the evaluation kernel for AVX-512.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512F__)
#define PLLM_JUDGE_KERNEL pllm_core_judge_avx512
#include "core_evaluate_kernel.h"
#else
typedef int pllm_no_avx512_here; /* C has no empty translation units */
#endif
