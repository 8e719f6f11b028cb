/*
** test_exact.c: exact sums of f32 (exact.h) past the moves of their carries, and text as JSON (buffer.h), without
** SQLite.
*/
#include "tap.h"

#include <float.h>

static void check_carries(void) {
  /* Every digit of every limb full, added and taken away so often that carries move several times. */
  const float x[3] = {FLT_MAX, -0x1.fffffep-3f, 0x1p-149f};
  const double rows = 3.0 * (1 << 20) + 5;
  PllmExact *sum = pllm_exact_new(3);
  double mean[3];
  for (double i = 0; i < rows; i++) pllm_exact_add(sum, x, 1);
  pllm_exact_mean(sum, rows, mean);
  tap_check(mean[0] == (double)FLT_MAX && mean[1] == (double)x[1] && mean[2] == (double)x[2],
            "the mean of three million equal rows is that row");
  for (double i = 0; i < rows; i++) pllm_exact_add(sum, x, -1);
  pllm_exact_mean(sum, 1, mean);
  tap_check(mean[0] == 0 && mean[1] == 0 && mean[2] == 0, "and what was added and taken away leaves nothing");
  for (int i = 0; i < 7; i++) pllm_exact_add(sum, x, -1);
  pllm_exact_mean(sum, 7, mean);
  tap_check(mean[0] == -(double)FLT_MAX && mean[1] == -(double)x[1] && mean[2] == -(double)x[2], "below zero too");
  pllm_exact_free(sum);
}

/* Sums whose rounding to f64 is known: 2^53 + 1 is a tie, one bit far below breaks it. */
static void check_rounding(void) {
  static const struct {
    float add[4];
    double want;
    const char *what;
  } cases[] = {
      {{0x1p53f, 1, 0, 0}, 0x1p53, "a tie goes to even, down"},
      {{0x1p53f, 3, 0, 0}, 0x1p53 + 4, "a tie goes to even, up"},
      {{0x1p53f, 1, 0x1p-149f, 0}, 0x1p53 + 2, "the lowest bit of all breaks a tie"},
      {{0x1p53f, 1, -0x1p-149f, 0}, 0x1p53, "and the other way"},
      {{-0x1p53f, -1, -0x1p-149f, 0}, -0x1p53 - 2, "the same below zero"},
      {{0x1p100f, 0x1p-100f, -0x1p100f, 0}, 0x1p-100, "what cancels leaves the rest"},
      {{0x1p-149f, 0x1p-126f, 0, 0}, 0x1p-126 + 0x1p-149, "subnormals"},
      {{FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX}, 4.0 * (double)FLT_MAX, "above f32's range"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    PllmExact *sum = pllm_exact_new(1);
    double mean;
    for (int k = 0; k < 4; k++) pllm_exact_add(sum, &cases[i].add[k], 1);
    pllm_exact_mean(sum, 1, &mean);
    tap_check(mean == cases[i].want, "%s", cases[i].what);
    pllm_exact_free(sum);
  }
}

static void check_strings(void) {
  PllmBuffer buffer = {0};
  PllmError err = {0};
  const char text[] = "a\"\\/\n\x01\x7F\xC3\xA9\xF0\x9F\x99\x82";
  tap_check(pllm_buffer_string(&buffer, text, sizeof text - 1, &err) == PLLM_OK &&
                strcmp(buffer.bytes, "\"a\\\"\\\\/\\n\\u0001\x7F\xC3\xA9\xF0\x9F\x99\x82\"") == 0,
            "a JSON string escapes what it must and nothing else");
  tap_fails(pllm_buffer_string(&buffer, "ab\0c", 4, &err), PLLM_INVALID, &err, "the character U+0000 at byte 2");
  tap_fails(pllm_text_check("abc\xED\xA0\x80", 6, &err), PLLM_INVALID, &err, "invalid UTF-8 at byte 3");
  pllm_buffer_free(&buffer);
}

int main(void) {
  check_carries();
  check_rounding();
  check_strings();
  return tap_done();
}
