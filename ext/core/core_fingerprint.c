/*
** core_fingerprint.c: checksums of sets of rows (fingerprint.h).
*/
#include "core_int.h"

#include <stdio.h>
#include <string.h>

static const uint64_t start[2] = {UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xD1B54A32D192ED03)};

static void word(PllmFingerprint *f, uint64_t bits) {
  f->row[0] = pllm_hash_mix(f->row[0] ^ bits);
  f->row[1] = pllm_hash_mix(f->row[1] + bits);
}

static void begin(PllmFingerprint *f, PllmFingerprintKind kind, uint64_t count) {
  if (f->row[0] == 0 && f->row[1] == 0) memcpy(f->row, start, sizeof start);
  word(f, (uint64_t)kind << 56 ^ count);
}

void pllm_fingerprint_value(PllmFingerprint *f, PllmFingerprintKind kind, const void *bytes, size_t count) {
  const unsigned char *p = bytes;
  begin(f, kind, count);
  for (size_t i = 0; i < count; i += 8) {
    uint64_t bits = 0;
    for (size_t k = 0; k < 8 && i + k < count; k++) bits |= (uint64_t)p[i + k] << (8 * k);
    word(f, bits);
  }
}

void pllm_fingerprint_number(PllmFingerprint *f, PllmFingerprintKind kind, uint64_t bits) {
  begin(f, kind, 8);
  word(f, bits);
}

void pllm_fingerprint_end(PllmFingerprint *f) {
  if (f->row[0] == 0 && f->row[1] == 0) memcpy(f->row, start, sizeof start); /* a row without values */
  for (int i = 0; i < 2; i++) {
    f->sum[i] += pllm_hash_mix(f->row[i] + start[1 - i]);
    f->row[i] = 0;
  }
  f->rows++;
}

void pllm_fingerprint_text(const PllmFingerprint *f, char out[33]) {
  snprintf(out, 33, "%016llx%016llx", (unsigned long long)pllm_hash_mix(f->sum[0] + f->rows * start[0]),
           (unsigned long long)pllm_hash_mix(f->sum[1] + f->rows * start[1]));
}
