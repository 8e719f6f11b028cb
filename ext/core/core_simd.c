/*
** core_simd.c: which instruction set the kernels use.
*/
#include "core_simd.h"

#include <stdatomic.h>

/* One more than the set found (0: not looked yet).  Two threads that look at once find the same. */
static atomic_int found;
static atomic_int limit = PLLM_ISA_MOST;

static PllmIsa detect(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PLLM_ISA_BASE;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return PLLM_ISA_AVX2;
  return __builtin_cpu_supports("avx512vnni") ? PLLM_ISA_VNNI : PLLM_ISA_AVX512;
#endif
  return PLLM_ISA_BASE;
}

PllmIsa pllm_core_isa(void) {
  int isa = atomic_load_explicit(&found, memory_order_relaxed), most;
  if (isa == 0) {
    isa = (int)detect() + 1;
    atomic_store_explicit(&found, isa, memory_order_relaxed);
  }
  most = atomic_load_explicit(&limit, memory_order_relaxed);
  return (PllmIsa)(isa - 1 < most ? isa - 1 : most);
}

void pllm_core_isa_limit(PllmIsa most) {
  atomic_store_explicit(&limit, (int)most, memory_order_relaxed);
}

const char *pllm_kernel_description(void) {
  switch (pllm_core_isa()) {
  case PLLM_ISA_VNNI: return "AVX-512 with VNNI";
  case PLLM_ISA_AVX512: return "AVX-512";
  case PLLM_ISA_AVX2: return "AVX2";
  default: break;
  }
#if defined(__x86_64__)
  return "SSE2";
#elif defined(__aarch64__)
  return "NEON";
#else
  return "portable";
#endif
}
