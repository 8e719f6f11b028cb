/*
** core_blas.c: the only file that sees OpenBLAS.  Its thread count is never changed: that would change the host.
*/
#include "core_int.h"

extern char *openblas_get_config(void);

const char *pllm_blas_description(void) {
  return openblas_get_config();
}
