/*
** vector.h: the value format of vectors, and the canonical utility.
**
** A vector is a run of little-endian IEEE numbers, f64 (weights, rewards) or f32 (embeddings), or JSON text such as
** [1, 2.5].  Weights are always f64, so their length fixes the dimension and tells an f32 feature from an f64 one.
*/
#ifndef PERSONALLLM_VECTOR_H
#define PERSONALLLM_VECTOR_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum PllmVectorType { PLLM_F64 = 8, PLLM_F32 = 4 } PllmVectorType; /* the value is the element's size */

/* Read dim little-endian elements (any alignment) into out[dim]; f32 widens exactly.  O(dim), cannot fail. */
void pllm_vector_load(const void *bytes, PllmVectorType type, size_t dim, double *out);

/* Write dim numbers as little-endian elements; f32 rounds to nearest even.  O(dim), cannot fail. */
void pllm_vector_store(const double *numbers, size_t dim, PllmVectorType type, void *bytes);

/* numbers[dim] rounded to f32 in the machine's own byte order.  O(dim), cannot fail. */
void pllm_vector_narrow(const double *numbers, size_t dim, float *out);

/* dim little-endian f32 elements in the machine's own byte order; PLLM_INVALID as pllm_vector_finite.  O(dim). */
PllmStatus pllm_vector_load_f32(const void *bytes, size_t dim, float *out, PllmError *err);

/* PLLM_INVALID naming the first element that is NaN or infinite. */
PllmStatus pllm_vector_finite(const double *numbers, size_t dim, PllmError *err);

/* PLLM_INVALID naming the first element that is finite as f64 but not as f32. */
PllmStatus pllm_vector_fits_f32(const double *numbers, size_t dim, PllmError *err);

/*
** Which type a BLOB of `bytes` bytes is when the dimension is known: f64 when it is 8*dim long, f32 when 4*dim,
** otherwise PLLM_INVALID with both lengths.
*/
PllmStatus pllm_vector_type(size_t bytes, size_t dim, PllmVectorType *type, PllmError *err);

/*
** Which dimension a BLOB has when only the type is known.  PLLM_INVALID when the length does not fit, is zero or is
** above PLLM_MAX_DIM elements.  With guard set, an f64 reading that looks like misread f32 numbers (at least two
** elements, every one below 1e-3 in size, while all f32 readings are 0 or within 1e-6..1e3, and enough low
** words are not 0) is refused with that hint.
*/
PllmStatus pllm_vector_dim(const void *blob, size_t bytes, PllmVectorType type, int guard, size_t *dim,
                           PllmError *err);

/*
** PLLM_INVALID when a BLOB that was taken for f32 looks like misread f64 numbers: read as f64 every number is zero or
** of ordinary size (1e-8..1e4), read as f32 some are not finite or absurd (above 1e9, or below 1e-15 and not zero).
*/
PllmStatus pllm_vector_guard_f32(const void *blob, size_t bytes, PllmError *err);

/*
** The canonical utility: the sum in position order of weights[b]*features[b], each product and sum rounded to f64, no
** fused multiply-add (definitions.md#utility).  Every choice in this library is decided by it.
*/
double pllm_utility(const double *weights, const double *features, size_t dim);

/* The same of numbers as they are stored: dim little-endian f64, any alignment.  Not finite where one of them is not. */
double pllm_utility_stored(const void *weights, const void *features, size_t dim);

#ifdef __cplusplus
}
#endif
#endif
