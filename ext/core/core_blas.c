/*
** core_blas.c: the only file that sees OpenBLAS.  Its thread count is never changed: that would change the host.
*/
#include "core_blas.h"

#include <cblas.h>

/* LAPACK comes with OpenBLAS, its C header does not. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);

const char *pllm_blas_description(void) {
  return openblas_get_config();
}

void pllm_blas_gemm(int trans_a, int trans_b, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                    const double *b, size_t ldb, double *c, size_t ldc) {
  cblas_dgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
              (int)k, alpha, a, (int)lda, b, (int)ldb, 1.0, c, (int)ldc);
}

void pllm_blas_syrk(int trans, size_t n, size_t k, double alpha, const double *a, size_t lda, double *c, size_t ldc) {
  cblas_dsyrk(CblasRowMajor, CblasLower, trans ? CblasTrans : CblasNoTrans, (int)n, (int)k, alpha, a, (int)lda, 1.0,
              c, (int)ldc);
}

void pllm_blas_trsm(PllmSolve solve, size_t m, size_t n, const double *l, size_t ldl, double *b, size_t ldb) {
  cblas_dtrsm(CblasRowMajor, solve == PLLM_SOLVE_RIGHT_TRANS ? CblasRight : CblasLeft, CblasLower,
              solve == PLLM_SOLVE_LEFT ? CblasNoTrans : CblasTrans, CblasNonUnit, (int)m, (int)n, 1.0, l, (int)ldl, b,
              (int)ldb);
}

int pllm_blas_cholesky(size_t n, double *a, size_t lda) {
  int order = (int)n, stride = (int)lda, info = 0;
  dpotrf_("U", &order, a, &stride, &info); /* LAPACK's upper triangle by columns is our lower one by rows */
  return info == 0;
}
