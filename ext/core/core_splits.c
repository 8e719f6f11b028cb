/*
** core_splits.c: which prompt is in which split.
*/
#include "core_int.h"
#include "core_names.h"

#include <stdlib.h>
#include <string.h>

typedef struct Entry {
  int64_t prompt_id;
  int32_t split; /* -1: none */
} Entry;

struct PllmSplits {
  Entry *entries; /* owned, [room]; sorted by prompt_id once finished */
  size_t count, room;
  PllmNames names;
  size_t *prompts; /* owned, [names.count] once finished */
};

PllmStatus pllm_splits_new(PllmSplits **splits, PllmError *err) {
  *splits = pllm_alloc_zero(1, sizeof **splits);
  return *splits ? PLLM_OK : pllm_fail_nomem(err);
}

void pllm_splits_free(PllmSplits *splits) {
  if (!splits) return;
  pllm_core_names_free(&splits->names);
  pllm_free(splits->entries);
  pllm_free(splits->prompts);
  pllm_free(splits);
}

PllmStatus pllm_splits_add(PllmSplits *splits, int64_t prompt_id, const char *split, size_t bytes, PllmError *err) {
  Entry *entry = pllm_grow(splits->entries, splits->count, &splits->room, 256, sizeof *entry);
  if (!entry) return pllm_fail_nomem(err);
  splits->entries = entry;
  entry = &splits->entries[splits->count];
  entry->prompt_id = prompt_id;
  entry->split = -1;
  if (split) {
    PllmStatus status = pllm_core_names_add(&splits->names, split, bytes, &entry->split, err);
    if (status != PLLM_OK) return status;
  }
  splits->count++;
  return PLLM_OK;
}

static int compare(const void *a, const void *b) {
  const Entry *x = a, *y = b;
  return x->prompt_id < y->prompt_id ? -1 : x->prompt_id > y->prompt_id;
}

/* Number the splits in order of first appearance by prompt_id, whatever order the rows came in. */
static PllmStatus renumber(PllmSplits *splits, PllmError *err) {
  PllmNames sorted = {0};
  for (size_t i = 0; i < splits->count; i++) {
    Entry *entry = &splits->entries[i];
    PllmStatus status;
    if (entry->split < 0) continue;
    status = pllm_core_names_add(&sorted, splits->names.names[entry->split], splits->names.length[entry->split],
                                 &entry->split, err);
    if (status != PLLM_OK) {
      pllm_core_names_free(&sorted);
      return status;
    }
  }
  pllm_core_names_free(&splits->names);
  splits->names = sorted;
  return PLLM_OK;
}

PllmStatus pllm_splits_finish(PllmSplits *splits, PllmError *err) {
  int ascending = 1;
  for (size_t i = 1; i < splits->count && ascending; i++)
    ascending = splits->entries[i].prompt_id > splits->entries[i - 1].prompt_id;
  if (!ascending) {
    PllmStatus status;
    qsort(splits->entries, splits->count, sizeof *splits->entries, compare);
    for (size_t i = 1; i < splits->count; i++)
      if (splits->entries[i].prompt_id == splits->entries[i - 1].prompt_id)
        return pllm_fail(err, PLLM_INVALID, "prompt_id %lld occurs more than once",
                         (long long)splits->entries[i].prompt_id);
    status = renumber(splits, err);
    if (status != PLLM_OK) return status;
  }
  splits->prompts = pllm_alloc_zero(splits->names.count, sizeof *splits->prompts);
  if (!splits->prompts) return pllm_fail_nomem(err);
  for (size_t i = 0; i < splits->count; i++)
    if (splits->entries[i].split >= 0) splits->prompts[splits->entries[i].split]++;
  return PLLM_OK;
}

size_t pllm_splits_count(const PllmSplits *splits) {
  return splits->names.count;
}

const char *const *pllm_splits_names(const PllmSplits *splits) {
  return (const char *const *)splits->names.names;
}

size_t pllm_splits_prompts(const PllmSplits *splits, size_t split) {
  return splits->prompts[split];
}

size_t pllm_splits_bytes(const PllmSplits *splits) {
  return sizeof *splits + splits->room * sizeof(Entry) + splits->names.bytes + 72 * splits->names.room;
}

void pllm_splits_assign(const PllmSplits *splits, const int64_t *prompt_id, size_t n, int32_t *out) {
  const Entry *entry = splits->entries, *end = entry ? entry + splits->count : NULL;
  for (size_t i = 0; i < n; i++) {
    while (entry != end && entry->prompt_id < prompt_id[i]) entry++;
    out[i] = entry != end && entry->prompt_id == prompt_id[i] ? entry->split : -1;
  }
}
