/*
** core_draw_avx512.c: the kernel of philox users for AVX-512.  The Makefile sets this file's instruction set.
*/
#if defined(__AVX512F__)
#define PLLM_DRAW_KERNEL pllm_core_draw_avx512
#include "core_draw_kernel.h"
#else
typedef int pllm_no_avx512_here; /* C has no empty translation units */
#endif
