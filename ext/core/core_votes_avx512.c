/*
** core_votes_avx512.c: the vote kernel for AVX-512.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512F__)
#define PLLM_VOTE_KERNEL pllm_core_votes_avx512
#include "core_votes_kernel.h"
#else
typedef int pllm_no_avx512_here; /* C has no empty translation units */
#endif
