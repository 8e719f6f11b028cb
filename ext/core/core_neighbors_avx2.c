/*
** core_neighbors_avx2.c: the neighbour kernel for AVX2.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX2__)
#define PLLM_NEIGHBOR_KERNEL pllm_core_neighbors_avx2
#include "core_neighbors_kernel.h"
#else
typedef int pllm_no_avx2_here; /* C has no empty translation units */
#endif
