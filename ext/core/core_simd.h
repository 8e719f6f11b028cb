/*
** core_simd.h: one vector source, several instruction sets, chosen at run time.
**
** A kernel is an always-inline body of plain loops that the compiler vectorises.  PLLM_KERNEL compiles the body once
** for the baseline and, on x86-64, once for AVX2 and once for AVX-512, and makes a function that calls the best one
** this machine has.  Multiplications and additions are never fused (-ffp-contract=off) and every body fixes its own
** order of operations, so all variants give the same bits.
**
**     static PLLM_INLINE void twice_body(double *x, size_t n) { for (size_t i = 0; i < n; i++) x[i] += x[i]; }
**     PLLM_KERNEL(twice, (double *x, size_t n), (x, n))
**     ... twice(x, n);
**
** gcc's cost model at -O2 vectorises only loops whose trip count is a known multiple of the vector: write the hot
** loop over blocks of PLLM_BLOCK (long enough not to be unrolled flat), and a rest loop behind it.
*/
#ifndef PLLM_CORE_SIMD_H
#define PLLM_CORE_SIMD_H

#include "core_int.h"

#define PLLM_BLOCK 64

#if defined(__GNUC__)
#define PLLM_INLINE inline __attribute__((always_inline))
#define PLLM_NOT_INLINE __attribute__((noinline))
#else
#define PLLM_INLINE inline
#define PLLM_NOT_INLINE
#endif

/* In front of a loop of at most eight turns. */
#if defined(__clang__)
#define PLLM_UNROLLED _Pragma("clang loop unroll_count(8)")
#elif defined(__GNUC__)
#define PLLM_UNROLLED _Pragma("GCC unroll 8")
#else
#define PLLM_UNROLLED
#endif

/* Have memory come nearer.  Inline, as gcc takes a function that does nothing else for one without effect and drops it. */
static PLLM_INLINE void pllm_core_fetch(const void *from, size_t bytes) {
#if defined(__GNUC__)
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)from + i);
#else
  (void)from, (void)bytes;
#endif
}

typedef enum PllmIsa {
  PLLM_ISA_BASE = 0,
  PLLM_ISA_AVX2,
  PLLM_ISA_AVX512,
  PLLM_ISA_VNNI, /* AVX-512 with the dot products of 16-bit integers */
  PLLM_ISA_MOST = PLLM_ISA_VNNI
} PllmIsa;

/* The best instruction set of this machine, or less where pllm_core_isa_limit asked for less. */
PllmIsa pllm_core_isa(void);

/* For tests: use at most this instruction set from now on (PLLM_ISA_MOST lifts the limit). */
void pllm_core_isa_limit(PllmIsa most);

#if defined(__x86_64__) && defined(__GNUC__)
#define PLLM_TARGET_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)
#define PLLM_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define PLLM_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#define PLLM_KERNEL(name, params, args)                                                                              \
  static void name##_base params {                                                                                   \
    name##_body args;                                                                                                \
  }                                                                                                                  \
  PLLM_TARGET_AVX2 static void name##_avx2 params {                                                                  \
    name##_body args;                                                                                                \
  }                                                                                                                  \
  PLLM_TARGET_AVX512 static void name##_avx512 params {                                                              \
    name##_body args;                                                                                                \
  }                                                                                                                  \
  static void name params {                                                                                          \
    PllmIsa isa = pllm_core_isa();                                                                                   \
    if (isa >= PLLM_ISA_AVX512)                                                                                      \
      name##_avx512 args;                                                                                            \
    else if (isa == PLLM_ISA_AVX2)                                                                                   \
      name##_avx2 args;                                                                                              \
    else                                                                                                             \
      name##_base args;                                                                                              \
  }
#else
#define PLLM_KERNEL(name, params, args)                                                                              \
  static void name params {                                                                                          \
    name##_body args;                                                                                                \
  }
#endif

#endif
