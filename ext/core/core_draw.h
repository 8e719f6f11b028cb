/*
** core_draw.h: the kernel that draws many philox users; one version for each instruction set.
*/
#ifndef PLLM_CORE_DRAW_H
#define PLLM_CORE_DRAW_H

#include "core_dirichlet.h"

/* A tile of users to be drawn. */
typedef struct PllmDraw {
  const PllmDirichlet *d;
  PllmPurpose purpose;
  int shift;      /* a tile has 2^shift users, a multiple of PLLM_BLOCK */
  uint64_t first; /* its first user */
  double *tile;   /* [n][2^shift] scratch: logarithms until normalised */
  /* Scratch: lanes that are not settled, lane = component << shift | user: of the attempt under way, by its first
  ** philox block (which `tile` holds for them), and rejected ones with alpha <= 1 and with alpha > 1. */
  uint32_t *again, *small, *large; /* [n << shift] each */
} PllmDraw;

/* Weights of the tile's first `users` users into rows[users][n]. */
typedef void PllmDrawKernel(const PllmDraw *draw, size_t users, double *rows);
PllmDrawKernel pllm_core_draw_base, pllm_core_draw_avx2, pllm_core_draw_avx512;

/* log Gamma(alpha_b) of one user's component b, beginning with that attempt. */
double pllm_core_dirichlet_log(const PllmDirichlet *d, PllmPurpose purpose, uint64_t id, int b, uint32_t attempt);

#endif
