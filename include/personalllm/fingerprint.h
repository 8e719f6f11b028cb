/*
** fingerprint.h: has the data changed?  A 128-bit checksum of a set of rows, whatever their order.
**
** Not for adversaries: it tells data apart that differ by accident, and nothing more.  Its values are frozen within
** a major version, as they are stored with results.
*/
#ifndef PERSONALLLM_FINGERPRINT_H
#define PERSONALLLM_FINGERPRINT_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** F1  A value is hashed with its kind and length: for i = 0, 1, ... the i-th eight bytes, little-endian, the last
**     filled up with zeros, h = pllm_hash_mix(h ^ word) in one half and pllm_hash_mix(h + word) in the other, from
**     different starts.  A row is its values in order.
** F2  A fingerprint is the sum modulo 2^64 of its rows' hashes, in both halves, mixed with the number of rows: equal
**     rows count as often as they stand there, and their order does not matter.
*/
typedef struct PllmFingerprint {
  uint64_t row[2]; /* the row being hashed */
  uint64_t sum[2]; /* of the rows that are complete */
  uint64_t rows;
} PllmFingerprint;

typedef enum PllmFingerprintKind { /* part of the frozen values */
                                   PLLM_FINGERPRINT_NULL = 1,
                                   PLLM_FINGERPRINT_INTEGER, /* 8 bytes, little-endian */
                                   PLLM_FINGERPRINT_REAL,    /* 8 bytes, little-endian */
                                   PLLM_FINGERPRINT_TEXT,
                                   PLLM_FINGERPRINT_BLOB
} PllmFingerprintKind;

/* Start from {0}; for each row its values, then pllm_fingerprint_end.  O(bytes). */
void pllm_fingerprint_value(PllmFingerprint *f, PllmFingerprintKind kind, const void *bytes, size_t count);
void pllm_fingerprint_number(PllmFingerprint *f, PllmFingerprintKind kind, uint64_t bits);
void pllm_fingerprint_end(PllmFingerprint *f);
/* 32 hexadecimal digits and a NUL. */
void pllm_fingerprint_text(const PllmFingerprint *f, char out[33]);

#ifdef __cplusplus
}
#endif
#endif
