/*
** core_draw_avx2.c: the kernel of philox users for AVX2.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX2__)
#define PLLM_DRAW_KERNEL pllm_core_draw_avx2
#include "core_draw_kernel.h"
#else
typedef int pllm_no_avx2_here; /* C has no empty translation units */
#endif
