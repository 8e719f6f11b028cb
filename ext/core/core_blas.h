/*
** core_blas.h: the few BLAS and LAPACK calls this library makes, on row-major matrices of f64.
**
** OpenBLAS uses as many threads as its host lets it, and its results may differ in the last bits with that number and
** with the CPU.  So BLAS is for fitting only: what a fitted model says is computed without it.  Symmetric matrices are
** kept in their lower triangle.  Sizes must fit in an int.
*/
#ifndef PLLM_CORE_BLAS_H
#define PLLM_CORE_BLAS_H

#include "core_int.h"

/* c[m][n] (rows ldc apart) += alpha * op(a) op(b), op(a) being m x k and op(b) k x n; trans_a, trans_b: op transposes. */
void pllm_blas_gemm(int trans_a, int trans_b, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                    const double *b, size_t ldb, double *c, size_t ldc);

/* The lower triangle of c[n][n] += alpha * op(a) op(a)'; op(a) is n x k, stored k x n when trans. */
void pllm_blas_syrk(int trans, size_t n, size_t k, double alpha, const double *a, size_t lda, double *c, size_t ldc);

/* b[m][n] becomes b inv(l') (right) or inv(l) b (left), or inv(l') b (left, trans), for lower triangular l. */
typedef enum PllmSolve { PLLM_SOLVE_LEFT, PLLM_SOLVE_LEFT_TRANS, PLLM_SOLVE_RIGHT_TRANS } PllmSolve;
void pllm_blas_trsm(PllmSolve solve, size_t m, size_t n, const double *l, size_t ldl, double *b, size_t ldb);

/* Cholesky: the lower triangle of a[n][n] becomes that of l, a = l l'; the upper one stays.  0 when a is not positive
** definite. */
int pllm_blas_cholesky(size_t n, double *a, size_t lda);

#endif
