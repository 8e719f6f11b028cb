/*
** core_draw_base.c: the kernel of philox users for the baseline of the target: SSE2, NEON or plain C.  The Makefile sets
** this file's instruction set.
*/
#define PLLM_DRAW_KERNEL pllm_core_draw_base
#include "core_draw_kernel.h"
