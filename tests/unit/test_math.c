/* The portable exp and log: accuracy against long double, special values, and equal bits on every instruction set. */
#include "tap.h"

#include <float.h>

#include "../../ext/core/core_lanes_math.h"

#define N 40000

static double in[N], out[N];

/* A fixed stream of 64-bit numbers (splitmix64). */
static uint64_t state;
static uint64_t next64(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static double unit(void) {
  return (double)(next64() >> 11) * 0x1p-53;
}

/* |got - want| in units of the last place of the nearest normal double. */
static double ulps(double got, long double want) {
  int e;
  frexpl(want, &e);
  if (e < DBL_MIN_EXP) e = DBL_MIN_EXP;
  return (double)(fabsl((long double)got - want) / ldexpl(1.0L, e - 53));
}

static uint64_t hash(const double *x, size_t n) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) {
    uint64_t b = pllm_double_bits(x[i]);
    for (int k = 0; k < 8; k++, b >>= 8) h = (h ^ (b & 255)) * 1099511628211u;
  }
  return h;
}

static void fill_exp(void) {
  state = 1;
  for (int i = 0; i < N; i++) {
    int e = (int)(next64() % 60);
    switch (i % 4) {
    case 0: in[i] = unit() * 1450.0 - 740.0; break;
    case 1: in[i] = unit() * 2.0 - 1.0; break;
    case 2: in[i] = -unit() * 50.0; break;
    default: in[i] = (unit() - 0.5) * ldexp(1.0, -e); break;
    }
  }
}

static void fill_log(void) {
  state = 2;
  for (int i = 0; i < N; i++) {
    int e = (int)(next64() % 53);
    switch (i % 4) {
    case 0: in[i] = unit(); break;
    case 1: in[i] = 1.0 + (unit() - 0.5) * ldexp(1.0, -e); break;
    case 2: in[i] = pllm_bits_double(next64() >> 1); break; /* any exponent, subnormals, some inf and NaN */
    default: in[i] = ldexp(unit(), e); break;
    }
  }
}

static void test_accuracy(void) {
  double worst = 0, worst_tiny = 0;
  if (LDBL_MANT_DIG < 64) {
    tap_check(1, "accuracy against long double # SKIP long double is no wider than double here");
    return;
  }
  fill_exp();
  for (int i = 0; i < N; i++) {
    double y = pllm_exp1(in[i]), u;
    if (isinf(y)) continue;
    u = ulps(y, expl((long double)in[i]));
    if (y < DBL_MIN && u > worst_tiny) worst_tiny = u;
    if (y >= DBL_MIN && u > worst) worst = u;
  }
  tap_check(worst < 1.0, "exp is within 1 ulp (worst %.3f)", worst);
  tap_check(worst_tiny < 1.0, "exp is within 1 ulp where the result is subnormal (worst %.3f)", worst_tiny);
  fill_log();
  worst = 0;
  for (int i = 0; i < N; i++) {
    double u;
    if (!(in[i] > 0) || isinf(in[i])) continue;
    u = ulps(pllm_log1(in[i]), logl((long double)in[i]));
    if (u > worst) worst = u;
    if (in[i] >= DBL_MIN && pllm_log1_normal(in[i]) != pllm_log1(in[i])) worst = 99;
  }
  tap_check(worst < 1.0, "log is within 1 ulp, log1_normal equal to it (worst %.3f)", worst);
}

static void test_special(void) {
  const double inf = HUGE_VAL, nan = (double)NAN;
  tap_check(pllm_exp1(0.0) == 1.0 && pllm_exp1(-0.0) == 1.0 && pllm_exp1(1e-320) == 1.0, "exp near 0 is 1");
  tap_check(pllm_exp1(inf) == inf && pllm_exp1(709.79) == inf && pllm_exp1(1e300) == inf, "exp overflows to inf");
  tap_check(pllm_exp1(709.78) < inf, "exp(709.78) is finite");
  tap_check(pllm_exp1(-inf) == 0.0 && pllm_exp1(-746.0) == 0.0 && pllm_exp1(-1e300) == 0.0, "exp underflows to 0");
  tap_check(pllm_exp1(-745.0) == 0x1p-1074, "exp(-745) is the smallest subnormal");
  tap_check(isnan(pllm_exp1(nan)), "exp(NaN) is NaN");
  tap_check(pllm_log1(1.0) == 0.0, "log(1) is 0");
  tap_check(pllm_log1(0.0) == -inf && pllm_log1(-0.0) == -inf, "log(0) is -inf");
  tap_check(pllm_log1(inf) == inf, "log(inf) is inf");
  tap_check(isnan(pllm_log1(-1.0)) && isnan(pllm_log1(-inf)) && isnan(pllm_log1(nan)), "log of a negative is NaN");
}

/* The promise of core_math.h: these hashes were printed by this program (gcc 12 and clang 14, every instruction set
** below) when the functions were written, and must never change. */
static void test_frozen(void) {
  static const char *const name[] = {"baseline", "AVX2", "AVX-512", "AVX-512 with VNNI"};
  for (int isa = PLLM_ISA_BASE; isa <= PLLM_ISA_MOST; isa++) {
    uint64_t h;
    pllm_core_isa_limit((PllmIsa)isa);
    if ((int)pllm_core_isa() != isa) {
      tap_check(1, "%s # SKIP this machine does not have it", name[isa]);
      continue;
    }
    fill_exp();
    pllm_exp_n(out, in, N - 3);
    h = hash(out, N - 3);
    tap_check(h == 0x2f6c4f7be33c0aadu, "%s gives the frozen bits of exp (%016llx)", name[isa],
              (unsigned long long)h);
    fill_log();
    for (int i = 0; i < N; i++) in[i] = in[i] > 0 ? in[i] : 1.0;
    pllm_log_n(in, in, N - 3);
    h = hash(in, N - 3);
    tap_check(h == 0x4dfc736635e34bedu, "%s gives the frozen bits of log (%016llx)", name[isa],
              (unsigned long long)h);
  }
  pllm_core_isa_limit(PLLM_ISA_MOST);
}

/* core_lanes_math.h on this compiler's default vectors: the same bits, within the ranges it names, and the rough one. */
static void test_lanes(void) {
  enum { GROUP = 4 };
  int logs = 1, shallow = 1, deep = 1;
  double worst = 0;
  state = 3;
  for (int i = 0; i < N; i++) {
    PllmLanes x[GROUP], y[GROUP], a[GROUP], b[GROUP], c[GROUP];
    for (int k = 0; k < GROUP * PLLM_LANES; k++)
      x[k / PLLM_LANES][k % PLLM_LANES] = ldexp(1 + unit(), (int)(next64() % 2045) - 1022);
    pllm_lanes_log_begin(x, a, b, c, GROUP);
    pllm_lanes_log_end(a, b, c, y, GROUP);
    for (int k = 0; k < GROUP * PLLM_LANES; k++)
      logs &= y[k / PLLM_LANES][k % PLLM_LANES] == pllm_log1_normal(x[k / PLLM_LANES][k % PLLM_LANES]);
    for (int k = 0; k < GROUP * PLLM_LANES; k++) x[k / PLLM_LANES][k % PLLM_LANES] = 1414 * unit() - 707;
    pllm_lanes_exp_begin(x, a, b, c, GROUP);
    pllm_lanes_exp_end(a, b, c, y, 0, GROUP);
    for (int k = 0; k < GROUP * PLLM_LANES; k++)
      shallow &= y[k / PLLM_LANES][k % PLLM_LANES] == pllm_exp1(x[k / PLLM_LANES][k % PLLM_LANES]);
    for (int k = 0; k < GROUP * PLLM_LANES; k++) x[k / PLLM_LANES][k % PLLM_LANES] = 1400 * unit() - 700;
    pllm_lanes_exp_rough(x, y, GROUP);
    for (int k = 0; k < GROUP * PLLM_LANES; k++) {
      double off = fabs(y[k / PLLM_LANES][k % PLLM_LANES] / pllm_exp1(x[k / PLLM_LANES][k % PLLM_LANES]) - 1);
      worst = off > worst ? off : worst;
    }
    for (int k = 0; k < GROUP * PLLM_LANES; k++) x[k / PLLM_LANES][k % PLLM_LANES] = -750 * unit();
    pllm_lanes_exp_begin(x, a, b, c, GROUP);
    pllm_lanes_exp_end(a, b, c, y, 1, GROUP);
    for (int k = 0; k < GROUP * PLLM_LANES; k++)
      deep &= y[k / PLLM_LANES][k % PLLM_LANES] == pllm_exp1(x[k / PLLM_LANES][k % PLLM_LANES]);
  }
  tap_check(logs, "vectors: the same logarithms");
  tap_check(shallow && deep, "vectors: the same exponentials, subnormal ones too");
  tap_check(worst < PLLM_ROUGH_ERROR, "the rough exponential is within %g of itself (%.2g)", PLLM_ROUGH_ERROR, worst);
}

int main(void) {
  test_accuracy();
  test_special();
  test_frozen();
  test_lanes();
  return tap_done();
}
