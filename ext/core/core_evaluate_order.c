/*
** core_evaluate_order.c: utilities of 8 responses as integers that order them (core_evaluate_quick.h).
**
** For each feature the middle of its range over the responses is taken off, which all of them get less of alike, so no
** order changes.  What is left, at most S, becomes the integer X next to x * 32767 / S.  A user's weights become the
** integers W next to w * s, with the largest s such that |W| <= 32767 and sum |W| * 32767 is below 2^31.  An estimate is
** the upper half of sum W X, which no instruction set rounds.
**
** How far apart estimates must be.  W X = w s (32767 x / S) + (W - w s) (32767 x / S) + W (X - 32767 x / S), so sum W X is
** within E = 32767 sum |W - w s| + sum |W| / 2 of the utility in these units.  Upper halves that differ by 2 + n come
** from sums that differ by more than (1 + n) 2^16; with n the whole part of 2 E / 2^16 and a little, that is more than
** 2 E.  The little, 655 units, is far more than what the canonical utilities, and taking off the middle, err:
** (B+4) 2^-53 of the largest feature each, which is at most 2^10 S; that is less than 1 for B = 64.  Features below 1e30
** and weights below 1e270 keep them finite: what overflows ties.
*/
#include "core_evaluate.h"

#include <math.h>

enum { EIGHT = PLLM_JUDGE_QUICK, TILE = PLLM_JUDGE_TILE, MOST = 32767, MOST_SUM = 65400 /* 65,536 but for roundings */ };

/* Users find equal responses equally good, which no estimate can tell. */
static int has_twins(const double *rows, size_t dim, size_t stride) {
  for (size_t i = 0; i < EIGHT; i++)
    for (size_t j = i + 1; j < EIGHT; j++) {
      size_t b = 0;
      while (b < dim && rows[i * stride + b] == rows[j * stride + b]) b++;
      if (b == dim) return 1;
    }
  return 0;
}

int pllm_judge_order_responses(const double *rows, size_t dim, size_t stride, int16_t *pairs) {
  double middle[PLLM_JUDGE_QUICK_DIM], largest = 0, range = 0;
  for (size_t b = 0; b < dim; b++) {
    double low = rows[b], high = rows[b], half;
    for (size_t r = 0; r < EIGHT; r++) {
      double x = rows[r * stride + b];
      if (!(fabs(x) < 1e30)) return 0; /* nor what is not a number */
      if (x < low) low = x;
      if (x > high) high = x;
      if (fabs(x) > largest) largest = fabs(x);
    }
    half = (high - low) / 2;
    middle[b] = low + half;
    if (half > range) range = half;
  }
  if (!(range > 1e-20 && largest <= range * 1024)) return 0;
  for (size_t b = 0; b < dim; b++)
    for (size_t r = 0; r < EIGHT; r++)
      pairs[(b / 2 * EIGHT + r) * 2 + b % 2] = (int16_t)lrint((rows[r * stride + b] - middle[b]) * (MOST / range));
  for (size_t r = 0; dim % 2 && r < EIGHT; r++) pairs[(dim / 2 * EIGHT + r) * 2 + 1] = 0;
  return !has_twins(rows, dim, stride);
}

/* The same for one user of the tile. */
static int order_user(const double *w, size_t dim, int16_t *pairs, int16_t *apart) {
  double sum = 0, most = 0, scale, off = 0, size = 0;
  for (size_t b = 0; b < dim; b++) {
    double x = fabs(w[b * TILE]);
    sum += x;
    if (x > most) most = x;
  }
  if (!(sum > 1e-280 && sum < 1e270)) return 0;
  scale = MOST / most < MOST_SUM / sum ? MOST / most : MOST_SUM / sum;
  for (size_t b = 0; b < dim; b++) {
    double exact = w[b * TILE] * scale;
    long whole = lrint(exact);
    pairs[b / 2 * TILE * 2 + b % 2] = (int16_t)whole;
    off += fabs((double)whole - exact);
    size += fabs((double)whole);
  }
  if (dim % 2) pairs[dim / 2 * TILE * 2 + 1] = 0;
  *apart = (int16_t)(2 + (int)((MOST * off + size / 2) * (2 / 65536.0) + .01));
  return 1;
}

int pllm_judge_order_users(const double *tile, size_t dim, PllmJudgeOrder *order) {
  for (size_t u = 0; u < TILE; u++)
    if (!order_user(tile + u, dim, order->weights + 2 * u, &order->apart[u])) return 0;
  return 1;
}
