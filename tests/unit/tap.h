/*
** tap.h: the unit tests' harness, one header.  Each program prints TAP (Test Anything Protocol) lines; tests/run.sh
** adds them up.  A check never stops the program: tap_check(cond, "what is true", ...) prints ok or not ok with the
** line number.  main ends with `return tap_done();`.
*/
#ifndef PLLM_TAP_H
#define PLLM_TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "personalllm.h"

static int tap_count, tap_failed;

#define tap_check(cond, ...) tap_result((cond) != 0, __FILE__, __LINE__, __VA_ARGS__)
#define tap_close(got, want, rel, ...) tap_near((got), (want), (rel), __FILE__, __LINE__, __VA_ARGS__)

static inline int tap_result(int good, const char *file, int line, const char *format, ...) {
  va_list args;
  tap_count++;
  if (!good) tap_failed++;
  printf("%sok %d - ", good ? "" : "not ", tap_count);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  if (!good) printf(" (%s:%d)", file, line);
  printf("\n");
  return good;
}

/* |got - want| <= rel * max(|want|, tiny); prints both on failure. */
static inline int tap_near(double got, double want, double rel, const char *file, int line, const char *what) {
  int good = fabs(got - want) <= rel * (fabs(want) > 1e-300 ? fabs(want) : 1.0);
  tap_result(good, file, line, "%s", what);
  if (!good) printf("# got %.17g, want %.17g\n", got, want);
  return good;
}

/* The error of a call that must fail: its status and a part of its text. */
static inline int tap_fails(PllmStatus got, PllmStatus want, const PllmError *err, const char *part) {
  int good = got == want && strstr(err->text, part) != NULL;
  tap_result(good, __FILE__, __LINE__, "fails with \"%s\"", part);
  if (!good) printf("# status %d, text \"%s\"\n", (int)got, err->text);
  return good;
}

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003): test data only.  A program that wants other numbers sets the state. */
static uint64_t tap_state = 1;

static inline uint64_t tap_random(void) {
  tap_state ^= tap_state << 13;
  tap_state ^= tap_state >> 7;
  tap_state ^= tap_state << 17;
  return tap_state;
}

/* In [0, 1). */
static inline double tap_uniform(void) {
  return (double)(tap_random() >> 11) * 0x1p-53;
}

static inline int tap_done(void) {
  printf("1..%d\n", tap_count);
  return tap_failed != 0;
}

#endif
