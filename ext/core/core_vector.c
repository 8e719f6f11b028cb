/*
** core_vector.c: the value format of vectors, and the canonical utility.
*/
#include "core_simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BIG_ENDIAN_HOST 1
#define SWAP32(x) __builtin_bswap32(x)
#define SWAP64(x) __builtin_bswap64(x)
#else
#define BIG_ENDIAN_HOST 0
#define SWAP32(x) (x)
#define SWAP64(x) (x)
#endif

static double load_f64(const unsigned char *p) {
  uint64_t bits;
  double x;
  memcpy(&bits, p, 8);
  bits = SWAP64(bits);
  memcpy(&x, &bits, 8);
  return x;
}

static float load_f32(const unsigned char *p) {
  uint32_t bits;
  float x;
  memcpy(&bits, p, 4);
  bits = SWAP32(bits);
  memcpy(&x, &bits, 4);
  return x;
}

void pllm_vector_load(const void *bytes, PllmVectorType type, size_t dim, double *out) {
  const unsigned char *p = bytes;
  if (type == PLLM_F64)
    for (size_t i = 0; i < dim; i++) out[i] = load_f64(p + 8 * i);
  else
    for (size_t i = 0; i < dim; i++) out[i] = load_f32(p + 4 * i);
}

void pllm_vector_store(const double *numbers, size_t dim, PllmVectorType type, void *bytes) {
  unsigned char *p = bytes;
  for (size_t i = 0; i < dim; i++) {
    if (type == PLLM_F64) {
      uint64_t bits;
      memcpy(&bits, &numbers[i], 8);
      bits = SWAP64(bits);
      memcpy(p + 8 * i, &bits, 8);
    } else {
      float x = (float)numbers[i];
      uint32_t bits;
      memcpy(&bits, &x, 4);
      bits = SWAP32(bits);
      memcpy(p + 4 * i, &bits, 4);
    }
  }
}

void pllm_vector_narrow(const double *numbers, size_t dim, float *out) {
  for (size_t i = 0; i < dim; i++) out[i] = (float)numbers[i];
}

static PllmStatus not_finite(double number, size_t i, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "element %zu is %s; a finite number is required", i,
                   isnan(number) ? "NaN" : "infinite");
}

PllmStatus pllm_vector_finite(const double *numbers, size_t dim, PllmError *err) {
  int all = 1;
  for (size_t i = 0; i < dim; i++) all &= fabs(numbers[i]) <= DBL_MAX; /* no branch: nearly always true */
  if (all) return PLLM_OK;
  for (size_t i = 0; i < dim; i++)
    if (!isfinite(numbers[i])) return not_finite(numbers[i], i, err);
  return PLLM_OK;
}

/* Zero, unless a number is NaN or infinite: then NaN.  No branch: they nearly always are neither. */
static PLLM_INLINE void add_zeros_body(const float *x, size_t dim, float *out) {
  float part[16] = {0};
  size_t i = 0;
  for (; i + 16 <= dim; i += 16)
    for (size_t j = 0; j < 16; j++) part[j] += x[i + j] * 0;
  for (; i < dim; i++) part[i % 16] += x[i] * 0;
  for (size_t j = 1; j < 16; j++) part[0] += part[j];
  *out = part[0];
}
PLLM_KERNEL(add_zeros, (const float *x, size_t dim, float *out), (x, dim, out))

PllmStatus pllm_vector_load_f32(const void *bytes, size_t dim, float *out, PllmError *err) {
  float zero;
  memcpy(out, bytes, dim * sizeof *out);
#if BIG_ENDIAN_HOST
  for (size_t i = 0; i < dim; i++) out[i] = load_f32((const unsigned char *)bytes + 4 * i);
#endif
  add_zeros(out, dim, &zero);
  for (size_t i = 0; zero != 0 && i < dim; i++)
    if (!isfinite(out[i])) return not_finite(out[i], i, err);
  return PLLM_OK;
}

PllmStatus pllm_vector_fits_f32(const double *numbers, size_t dim, PllmError *err) {
  for (size_t i = 0; i < dim; i++)
    if (isinf((float)numbers[i]))
      return pllm_fail(err, PLLM_INVALID, "element %zu is %g, which is too large for f32", i, numbers[i]);
  return PLLM_OK;
}

PllmStatus pllm_vector_type(size_t bytes, size_t dim, PllmVectorType *type, PllmError *err) {
  if (bytes == 8 * dim) {
    *type = PLLM_F64;
  } else if (bytes == 4 * dim) {
    *type = PLLM_F32;
  } else {
    return pllm_fail(err, PLLM_INVALID,
                     "a BLOB of %zu bytes where %zu numbers are expected; that is %zu bytes as f64 or %zu as f32",
                     bytes, dim, 8 * dim, 4 * dim);
  }
  return PLLM_OK;
}

/*
** An f32 vector read as f64 is finite and silently wrong: two floats of ordinary size make one double far below 1e-3.
** A true f64 vector of such small numbers nearly always has some f32 half outside 1e-6..1e3, as its low words are
** noise, or, for round numbers, zero.  Zeros are also what sparse embeddings have, so they count for neither; but two
** low words have to be ordinary numbers, or one below a high word of zero, where an f64 would be denormal.
*/
static int looks_like_f32(const unsigned char *p, size_t dim64) {
  size_t low = 0;
  if (dim64 < 2) return 0;
  for (size_t i = 0; i < dim64; i++)
    if (!(fabs(load_f64(p + 8 * i)) < 1e-3)) return 0;
  for (size_t i = 0; i < 2 * dim64; i++) {
    float x = fabsf(load_f32(p + 4 * i));
    if (x == 0) continue;
    if (!(x >= 1e-6f && x <= 1e3f)) return 0;
    if (i % 2 == 0) low += load_f32(p + 4 * i + 4) == 0 ? 2 : 1;
  }
  return low >= 2;
}

PllmStatus pllm_vector_dim(const void *blob, size_t bytes, PllmVectorType type, int guard, size_t *dim,
                           PllmError *err) {
  size_t n = bytes / (size_t)type;
  if (bytes == 0) return pllm_fail(err, PLLM_INVALID, "an empty BLOB; a vector has at least one number");
  if (bytes % (size_t)type != 0)
    return pllm_fail(err, PLLM_INVALID, "a BLOB of %zu bytes, which is no multiple of %d; %s vectors are required",
                     bytes, (int)type, type == PLLM_F64 ? "f64" : "f32");
  if (n > PLLM_MAX_DIM)
    return pllm_fail(err, PLLM_INVALID, "a vector of %zu numbers; at most %d are supported", n, PLLM_MAX_DIM);
  if (guard && type == PLLM_F64 && looks_like_f32(blob, n))
    return pllm_fail(err, PLLM_INVALID,
                     "read as %zu f64 numbers all are below 0.001, read as %zu f32 numbers all are ordinary; say "
                     "\"type\":\"f32\" or \"type\":\"f64\" (persona_vector(x, 'f32', 'f64') converts)",
                     n, 2 * n);
  *dim = n;
  return PLLM_OK;
}

/* The high word of an ordinary double is an ordinary float, its low word is noise: any bit pattern at all. */
PllmStatus pllm_vector_guard_f32(const void *blob, size_t bytes, PllmError *err) {
  const unsigned char *p = blob;
  size_t dim = bytes / 8, absurd = 0;
  if (bytes % 8 != 0) return PLLM_OK;
  for (size_t i = 0; i < dim; i++) {
    double x = fabs(load_f64(p + 8 * i));
    if (x != 0 && !(x >= 1e-8 && x <= 1e4)) return PLLM_OK;
  }
  for (size_t i = 0; i < 2 * dim; i++) {
    double x = fabs((double)load_f32(p + 4 * i));
    absurd += x != 0 && !(x >= 1e-15 && x <= 1e9);
  }
  if (absurd == 0) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID,
                   "these %zu bytes are ordinary numbers as f64 but not as f32, and f32 is required "
                   "(persona_vector(x, 'f64', 'f32') converts)",
                   bytes);
}

double pllm_utility(const double *weights, const double *features, size_t dim) {
  double sum = 0;
  for (size_t b = 0; b < dim; b++) {
    double product = weights[b] * features[b];
    sum = b ? sum + product : product;
  }
  return sum;
}

double pllm_utility_stored(const void *weights, const void *features, size_t dim) {
  const unsigned char *w = weights, *x = features;
  double sum = 0;
  for (size_t b = 0; b < dim; b++) {
    double product = load_f64(w + 8 * b) * load_f64(x + 8 * b);
    sum = b ? sum + product : product;
  }
  return sum;
}
