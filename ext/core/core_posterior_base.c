/*
** core_posterior_base.c: the posterior's kernels for the baseline instruction set.
*/
#define PLLM_POSTERIOR_KERNEL pllm_core_posterior_base
#include "core_posterior_kernel.h"
