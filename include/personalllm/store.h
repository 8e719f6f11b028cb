/*
** store.h: how scores are packed into one value, and how a score store is built from rows in any order.
*/
#ifndef PERSONALLLM_STORE_H
#define PERSONALLLM_STORE_H

#include "base.h"
#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** Packed scores of one response, B reward models.  No score known: no bytes.  All known: B little-endian f64.  Some
** known: B f64 (0 where unknown), then ceil(B/8) bytes in which bit b%8 of byte b/8 says that score b is known.
*/
#define PLLM_PACKED_MAX (PLLM_MAX_MODELS * 8 + PLLM_MAX_MODELS / 8)

/* Pack raw[n_models] with known[n_models] (0 or 1) into bytes[PLLM_PACKED_MAX]; returns the length.  O(B). */
size_t pllm_scores_pack(const double *raw, const uint8_t *known, size_t n_models, void *bytes);

/*
** Unpack into raw[n_models] and known[n_models]; *all is set when every score is known.  PLLM_CORRUPT for a length
** that fits no form or a known score that is not finite.  O(B).
*/
PllmStatus pllm_scores_unpack(const void *bytes, size_t length, size_t n_models, double *raw, uint8_t *known,
                              int *all, PllmError *err);

/*
** out[b] = (raw[b] - mean[b]) / sd[b] (definitions.md#normalisation), for n rows of n_models; out may be raw.
** PLLM_INVALID when a result overflows; *row then says which row (row may be NULL).  O(n B).
*/
PllmStatus pllm_scores_normalize(const double *raw, const double *mean, const double *sd, size_t n, size_t n_models,
                                 double *out, size_t *row, PllmError *err);

/*
** A columnar store: start, add the rows in any order (cheapest by prompt, then position), finish once, then read.
*/
typedef struct PllmStore PllmStore;

/* rows: how many are expected (a hint).  *store is freed with pllm_store_free.  */
PllmStatus pllm_store_new(size_t n_models, size_t rows, PllmStore **store, PllmError *err);
void pllm_store_free(PllmStore *store);

/*
** Add one response.  model may be NULL.  Partly or not scored responses only count as skipped.  PLLM_CORRUPT as in
** pllm_scores_unpack.  O(B) amortised.
*/
PllmStatus pllm_store_add(PllmStore *store, int64_t response_id, int64_t prompt_id, int64_t position,
                          const char *model, size_t model_bytes, const void *packed, size_t packed_bytes,
                          PllmError *err);

/*
** Sort, and normalise in place when mean and sd are given (both NULL: raw).  PLLM_CORRUPT when two responses share
** prompt and position; PLLM_INVALID as pllm_scores_normalize.  O(n B + n log n); memory beyond the store itself is
** O(n), and nothing when the rows came sorted.
*/
PllmStatus pllm_store_finish(PllmStore *store, const double *mean, const double *sd, PllmError *err);

/* The finished store; split is NULL and n_splits 0, as splits belong to the prompts: see PllmSplits. */
const PllmScores *pllm_store_scores(const PllmStore *store);

size_t pllm_store_bytes(const PllmStore *store); /* memory it holds */

/*
** Which prompt is in which split.  Add in any order, finish once.
*/
typedef struct PllmSplits PllmSplits;

PllmStatus pllm_splits_new(PllmSplits **splits, PllmError *err);
void pllm_splits_free(PllmSplits *splits);
/* split may be NULL: the prompt exists but is in no split. */
PllmStatus pllm_splits_add(PllmSplits *splits, int64_t prompt_id, const char *split, size_t bytes, PllmError *err);
/* PLLM_INVALID when a prompt_id occurs twice (an ordinary table may hold that). */
PllmStatus pllm_splits_finish(PllmSplits *splits, PllmError *err);
size_t pllm_splits_count(const PllmSplits *splits);
const char *const *pllm_splits_names(const PllmSplits *splits);     /* in order of first appearance by prompt_id */
size_t pllm_splits_prompts(const PllmSplits *splits, size_t split); /* prompts in that split */
size_t pllm_splits_bytes(const PllmSplits *splits);
/* out[i] = index of the split of prompt_id[i] (ascending), -1 where it is in none.  O(n + prompts). */
void pllm_splits_assign(const PllmSplits *splits, const int64_t *prompt_id, size_t n, int32_t *out);

#ifdef __cplusplus
}
#endif
#endif
