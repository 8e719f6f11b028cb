/*
** core_neighbors_vnni.c: the neighbour kernel for AVX-512 with VNNI.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512VNNI__)
#define PLLM_NEIGHBOR_KERNEL pllm_core_neighbors_vnni
#include "core_neighbors_kernel.h"
#else
typedef int pllm_no_vnni_here; /* C has no empty translation units */
#endif
