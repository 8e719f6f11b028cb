/*
** core_int.h: what the files of ext/core share with each other and with nobody else.
*/
#ifndef PLLM_CORE_INT_H
#define PLLM_CORE_INT_H

#include "personalllm.h"

/* ---- core_textfeat.c: lists of hashes ---------------------------------------------------------------------------- */

/* A growing list; start from {0}, free keys with pllm_free. */
typedef struct PllmU64List {
  uint64_t *keys;
  size_t count, room;
} PllmU64List;
PllmStatus pllm_u64_push(PllmU64List *list, uint64_t key, PllmError *err);
PllmStatus pllm_u64_sort(PllmU64List *list, PllmError *err); /* ascending, O(count) */
size_t pllm_u64_distinct(const PllmU64List *sorted);

#endif
