/* Logistic regression and the distance of distributions, through the C interface: cases with known answers, order,
** interruption.  The maximum itself is checked against scipy in tests/sql/test_analysis.py. */
#include "tap.h"

enum { ROWS = 40, DIM = 3 };

static PllmFeedback *rows_of(const double *x, const double *y, size_t rows, size_t dim, size_t start) {
  PllmFeedback *f = pllm_feedback_new(PLLM_RATINGS);
  PllmError err;
  for (size_t i = 0; i < rows; i++) {
    size_t r = (i * 7 + start) % rows; /* 7 and rows have no common factor */
    pllm_feedback_add_rating(f, x + r * dim, dim, 0, y[r], 1, &err);
  }
  return f;
}

/* A fit on the stack. */
typedef struct Fit {
  double numbers[4][DIM];
  PllmLogistic report;
  int separated;
} Fit;

static PllmStatus fit(const PllmLogisticOptions *o, const PllmFeedback *f, Fit *out, const PllmRun *run,
                      PllmError *err) {
  memset(out, 0, sizeof *out);
  out->report.coefficients = out->numbers[0];
  out->report.weights = out->numbers[1];
  out->report.mean = out->numbers[2];
  out->report.sd = out->numbers[3];
  return pllm_logistic_fit(o, f, &out->report, &out->separated, run, err);
}

/* One feature of -1 or 1, p of n right: without a penalty the coefficient is half the log odds. */
static void test_log_odds(void) {
  double x[10], y[10];
  PllmLogisticOptions o = {.lambda = 0};
  PllmError err;
  PllmFeedback *f;
  Fit out;
  for (int i = 0; i < 10; i++) {
    x[i] = i % 2 ? 1 : -1;
    y[i] = i < 8 ? i % 2 : (i + 1) % 2;
  }
  f = rows_of(x, y, 10, 1, 0);
  o.separable_null = 1;
  tap_check(fit(&o, f, &out, NULL, &err) == PLLM_OK && !out.separated, "a fit without standardising or intercept");
  tap_close(out.numbers[0][0], log(4.0), 1e-14, "8 of 10 right: log(8/2)");
  tap_close(out.report.log_likelihood, 8 * log(0.8) + 2 * log(0.2), 1e-14, "its likelihood");
  tap_close(out.report.accuracy, 0.8, 0, "its accuracy");
  tap_check(out.report.rows == 10 && out.report.positives == 5 && out.report.dropped == 0, "its counts");
  pllm_feedback_free(f);
  for (int i = 0; i < 10; i++) y[i] = i % 2;
  f = rows_of(x, y, 10, 1, 0);
  tap_check(fit(&o, f, &out, NULL, &err) == PLLM_OK && out.separated, "all right: separated");
  o.lambda = 1;
  tap_check(fit(&o, f, &out, NULL, &err) == PLLM_OK && !out.separated, "a penalty holds them");
  tap_close(10 / (1 + exp(out.numbers[0][0])), out.numbers[0][0], 1e-13, "where it balances the slope");
  pllm_feedback_free(f);
}

static int stop_now(void *arg) {
  return ++*(int *)arg > 3;
}

static void test_order_and_stop(void) {
  double x[ROWS * DIM], y[ROWS];
  PllmLogisticOptions o;
  PllmError err;
  Fit first, other;
  int polls = 0, same = 1;
  PllmRun run = {.threads = 1, .poll = stop_now, .poll_arg = &polls};
  PllmFeedback *f;
  uint64_t state = 9;
  for (size_t i = 0; i < ROWS * DIM; i++) {
    state = pllm_hash_mix(state + i);
    x[i] = (double)(state >> 11) * 0x1p-53;
  }
  for (size_t i = 0; i < ROWS; i++) y[i] = (double)(i % 3 == 0);
  tap_check(pllm_logistic_options(NULL, 0, &o, &err) == PLLM_OK && o.standardize && o.intercept && o.lambda == 1,
            "the defaults");
  f = rows_of(x, y, ROWS, DIM, 0);
  tap_check(fit(&o, f, &first, NULL, &err) == PLLM_OK, "a fit");
  tap_check(fit(&o, f, &other, &run, &err) == PLLM_INTERRUPTED, "a poll that says stop ends it");
  pllm_feedback_free(f);
  for (size_t start = 1; start < ROWS; start += 6) {
    f = rows_of(x, y, ROWS, DIM, start);
    fit(&o, f, &other, NULL, &err);
    same = same && memcmp(first.numbers, other.numbers, sizeof first.numbers) == 0 &&
           memcmp(&first.report.offset, &other.report.offset, sizeof(double)) == 0;
    pllm_feedback_free(f);
  }
  tap_check(same, "rows in any order give the same bits");
}

static void test_wasserstein(void) {
  PllmMassPoint moved[] = {{4, 0, 2}, {1, 0.5, 0}}, same[] = {{2, 1, 3}, {-1, 2, 6}, {2, 0.5, 1.5}};
  PllmMassPoint none[] = {{1, 0, 1}}, far[] = {{-1.7e308, 1, 0}, {1.7e308, 0, 1}};
  PllmError err;
  double distance = -1;
  int defined = 0;
  tap_check(pllm_wasserstein(moved, 2, &defined, &distance, &err) == PLLM_OK && defined && distance == 3,
            "all mass moved by 3");
  tap_check(pllm_wasserstein(same, 3, &defined, &distance, &err) == PLLM_OK && defined && distance == 0,
            "equal shares are 0 apart, exactly");
  tap_check(pllm_wasserstein(none, 1, &defined, &distance, &err) == PLLM_OK && !defined, "no mass: not defined");
  tap_check(pllm_wasserstein(none, 0, &defined, &distance, &err) == PLLM_OK && !defined, "no points: not defined");
  tap_fails(pllm_wasserstein(far, 2, &defined, &distance, &err), PLLM_INVALID, &err, "farther apart than numbers");
}

int main(void) {
  test_log_odds();
  test_order_and_stop();
  test_wasserstein();
  return tap_done();
}
