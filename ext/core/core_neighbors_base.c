/*
** core_neighbors_base.c: the neighbour kernel for the baseline of the target: SSE2, NEON or plain C.  The Makefile
** sets this file's instruction set.
*/
#define PLLM_NEIGHBOR_KERNEL pllm_core_neighbors_base
#include "core_neighbors_kernel.h"
