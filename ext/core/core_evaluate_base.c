/*
** core_evaluate_base.c: the evaluation kernel for the baseline of the target: SSE2, NEON or plain C.  The Makefile
** sets this file's instruction set.
*/

#define PLLM_JUDGE_KERNEL pllm_core_judge_base
#include "core_evaluate_kernel.h"
