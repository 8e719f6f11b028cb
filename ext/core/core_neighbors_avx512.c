/*
** core_neighbors_avx512.c: the neighbour kernel for AVX-512.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512F__)
#define PLLM_NEIGHBOR_KERNEL pllm_core_neighbors_avx512
#include "core_neighbors_kernel.h"
#else
typedef int pllm_no_avx512_here; /* C has no empty translation units */
#endif
