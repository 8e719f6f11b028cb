/*
** core_number.c: numbers as decimal text, shortest form that reads back as the same number.
**
** Most numbers people store have few decimals.  For such an x some m / 10^k with m < 2^53 and k <= 22 is x: both are
** exact doubles, so the division is correctly rounded and is by definition what a reader makes of the decimal text
** "m e-k".  The smallest such k gives the shortest text, without a single call of printf.  Other numbers are printed
** with one digit more and more until they read back.
*/
#include "core_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double power10[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#define TWO53 9007199254740992.0

/* m (>= 0) with its last k digits behind the point, signed. */
static void write_scaled(uint64_t m, int k, int negative, char *out) {
  char digits[24];
  int n = 0;
  do {
    digits[n++] = (char)('0' + m % 10);
    m /= 10;
  } while (m > 0);
  while (n <= k) digits[n++] = '0';
  if (negative) *out++ = '-';
  while (n > 0) {
    *out++ = digits[--n];
    if (n == k && k > 0) *out++ = '.';
  }
  *out = 0;
}

/* The host may have set a locale with a decimal comma. */
static void point(char *text) {
  for (char *p = text; *p; p++)
    if (*p == ',') *p = '.';
}

void pllm_number_text(double x, char out[32]) {
  double a = fabs(x);
  int first = 1;
  if (a == 0 || (a >= 1e-5 && a < 1e15)) {
    for (int k = 0; k <= 22 && a * power10[k] < TWO53; k++) {
      double m = rint(a * power10[k]);
      if (m < TWO53 && m / power10[k] == a) {
        write_scaled((uint64_t)m, k, signbit(x) != 0, out);
        return;
      }
    }
    first = 16; /* every text of up to 15 digits has been tried */
  }
  for (int digits = first; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, x);
    if (digits == 17 || strtod(out, NULL) == x) break;
  }
  point(out);
}

void pllm_number_text_f32(float x, char out[32]) {
  double a = fabs((double)x);
  if (a == 0 || (a >= 1e-5 && a < 1e7)) {
    /* What a reader does with the text: the nearest double, then the nearest float. */
    for (int k = 0; k <= 15; k++) {
      double m = rint(a * power10[k]);
      if (m < TWO53 && (float)(m / power10[k]) == (float)a) {
        write_scaled((uint64_t)m, k, signbit(x) != 0, out);
        return;
      }
    }
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, (double)x);
    if (digits == 17 || (float)strtod(out, NULL) == x) break;
  }
  point(out);
}
