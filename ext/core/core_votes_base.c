/*
** core_votes_base.c: the vote kernel for the baseline of the target: SSE2, NEON or plain C.  The Makefile sets this
** file's instruction set.
*/

#define PLLM_VOTE_KERNEL pllm_core_votes_base
#include "core_votes_kernel.h"
