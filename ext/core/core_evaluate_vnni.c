/*
** core_evaluate_vnni.c: the evaluation kernel for AVX-512 with VNNI.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512VNNI__)
#define PLLM_JUDGE_KERNEL pllm_core_judge_vnni
#include "core_evaluate_kernel.h"
#else
typedef int pllm_no_vnni_here; /* C has no empty translation units */
#endif
