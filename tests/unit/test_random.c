/* Raw streams, their conversions, and numpy's legacy distributions against tests/ref/numpy_random.csv. */
#include "tap.h"

#include <stdlib.h>

#include "../../ext/core/core_philox.h"

static void test_mt19937(void) {
  PllmMt19937 mt;
  uint32_t x = 0;
  /* The C++ standard's check value of mt19937: the 10,000th output of the default seed. */
  pllm_mt19937_seed(&mt, 5489);
  for (int i = 0; i < 10000; i++) x = pllm_mt19937_next(&mt);
  tap_check(x == 4123659995u, "MT19937: output 10,000 of seed 5489");
  pllm_mt19937_seed(&mt, 5489);
  tap_check(pllm_mt19937_interval(&mt, 0) == 0 && pllm_mt19937_next(&mt) == 3499211612u,
            "an interval of one value consumes nothing");
}

/* The known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void test_philox(void) {
  static const struct {
    uint32_t counter[4], key[2], want[4];
  } kat[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (int i = 0; i < 3; i++) {
    uint32_t out[4];
    pllm_philox4x32(kat[i].counter, kat[i].key, out);
    tap_check(memcmp(out, kat[i].want, sizeof out) == 0, "philox4x32-10: known answer %d", i + 1);
  }
  {
    uint32_t a[4], b[4];
    const uint32_t counter[4] = {0x55667788, 0x11223344, 7, 9}, key[2] = {123, PLLM_PURPOSE_CHOICE};
    pllm_philox_draw(123, PLLM_PURPOSE_CHOICE, 0x1122334455667788u, 7, 9, a);
    pllm_philox4x32(counter, key, b);
    tap_check(memcmp(a, b, sizeof a) == 0, "a draw's address is key {seed, purpose}, counter {id, index, attempt}");
  }
  tap_check(pllm_philox_double(0, 0) == 0x1p-53 && pllm_philox_double(~0u, ~0u) == 1.0 - 0x1p-53,
            "doubles stay inside (0, 1)");
  tap_check(pllm_philox_double(1, 1) == (4294967297.0 + 0.5) * 0x1p-52, "a double is (n + 1/2) / 2^52");
  tap_check(pllm_philox_below(~0u, ~0u, 7) == 6 && pllm_philox_below(0, 0, 7) == 0, "bounded: both ends");
  tap_check(pllm_philox_below(0, 0x80000000u, 3) == 1 && pllm_philox_below(0xaaaaaaabu, 0xaaaaaaaau, 3) == 2 &&
                pllm_philox_below(0xaaaaaaaau, 0xaaaaaaaau, 3) == 1,
            "bounded: floor(bits * below / 2^64), low word included");
}

/* ---- numpy's vectors ---- */

#define MAX_VALUES 1024

/* Results of one line's calls into got[n]. */
static void call(const char *kind, uint32_t seed, const double *arg, size_t n_args, double *got, size_t n) {
  PllmRandomState rs;
  uint32_t shuffled[128];
  pllm_random_seed(&rs, seed);
  if (strcmp(kind, "permutation") == 0) pllm_random_permutation(&rs, (uint32_t)arg[0], shuffled);
  if (strcmp(kind, "mixed") == 0) {
    got[0] = pllm_random_gauss(&rs);
    got[1] = (double)pllm_random_randint(&rs, 0, 7);
    got[2] = pllm_random_gauss(&rs);
    got[3] = pllm_random_sample(&rs);
    got[4] = pllm_random_gamma(&rs, 2.5);
    got[5] = pllm_random_gamma(&rs, .3);
    pllm_random_permutation(&rs, 7, shuffled);
    got[6] = shuffled[0] + 1;
    got[7] = shuffled[1] + 1;
    return;
  }
  if (strcmp(kind, "dirichlet") == 0) {
    for (int i = 0; i <= (int)arg[0]; i++) pllm_random_dirichlet(&rs, arg + 1, n_args - 1, got);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    double w[16];
    switch (kind[0]) {
    case 's': got[i] = pllm_random_sample(&rs); break;
    case 'e': got[i] = pllm_random_exponential(&rs); break;
    case 'r': got[i] = (double)pllm_random_randint(&rs, (int64_t)arg[0], (int64_t)arg[1]); break;
    case 'p': got[i] = shuffled[i]; break;
    case 'u': got[i] = !pllm_random_dirichlet(&rs, arg, n_args, w); break;
    default: got[i] = strcmp(kind, "gauss") == 0 ? pllm_random_gauss(&rs) : pllm_random_gamma(&rs, arg[0]); break;
    }
  }
}

static const char *const kinds[] = {"sample", "gauss", "exponential", "randint",  "permutation",
                                    "mixed",  "gamma", "dirichlet",   "underflow"};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static void test_numpy(void) {
  static char line[1 << 16];
  static double arg[64], want[MAX_VALUES], got[MAX_VALUES];
  int lines[N_KINDS] = {0}, wrong[N_KINDS] = {0};
  long values = 0, equal = 0;
  double worst = 0;
  FILE *file = fopen("tests/ref/numpy_random.csv", "r");
  tap_check(file != NULL, "tests/ref/numpy_random.csv is readable");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    char *kind = line, *p = strchr(line, ',');
    size_t n_args, n, k;
    uint32_t seed;
    if (line[0] == '#' || !p) continue;
    *p++ = 0;
    seed = (uint32_t)strtoul(p, &p, 10);
    n_args = strtoul(p + 1, &p, 10);
    for (size_t i = 0; i < n_args; i++) arg[i] = strtod(p + 1, &p);
    n = strtoul(p + 1, &p, 10);
    for (size_t i = 0; i < n; i++) want[i] = strtod(p + 1, &p);
    call(kind, seed, arg, n_args, got, n);
    for (k = 0; k < N_KINDS - 1 && strcmp(kind, kinds[k]); k++) continue;
    lines[k]++;
    for (size_t i = 0; i < n; i++) {
      double error = fabs(got[i] - want[i]) / (fabs(want[i]) > 1e-290 ? fabs(want[i]) : 1e-290);
      values++;
      equal += got[i] == want[i];
      if (!(error <= 1e-12)) wrong[k]++;
      if (!(error <= worst)) worst = error;
    }
  }
  fclose(file);
  for (size_t k = 0; k < N_KINDS; k++)
    tap_check(lines[k] > 0 && wrong[k] == 0, "numpy's %s: %d vectors within 1e-12", kinds[k], lines[k]);
  printf("# %ld of %ld values equal to the bit, largest relative error %.2g\n", equal, values, worst);
}

int main(void) {
  test_mt19937();
  test_philox();
  test_numpy();
  return tap_done();
}
