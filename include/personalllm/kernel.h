/*
** kernel.h: which machine-dependent code is at work.
*/
#ifndef PERSONALLLM_KERNEL_H
#define PERSONALLLM_KERNEL_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The BLAS that was linked, e.g. "OpenBLAS 0.3.21 ..."; static text. */
const char *pllm_blas_description(void);

/* The vector instruction set that the kernels use on this machine, e.g. "portable"; static text. */
const char *pllm_kernel_description(void);

#ifdef __cplusplus
}
#endif
#endif
