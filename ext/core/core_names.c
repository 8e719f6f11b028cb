/*
** core_names.c: distinct names by open addressing; a hostile table may hold a different name in every row.
*/
#include "core_names.h"

#include <string.h>

static uint64_t hash(const char *text, size_t bytes) { /* FNV-1a */
  uint64_t h = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
  return h ^ h >> 32;
}

static size_t find_slot(const PllmNames *names, const char *text, size_t bytes) {
  size_t mask = names->n_slots - 1, s = (size_t)hash(text, bytes) & mask;
  while (names->slots[s] >= 0) {
    size_t i = (size_t)names->slots[s];
    if (names->length[i] == bytes && memcmp(names->names[i], text, bytes) == 0) break;
    s = (s + 1) & mask;
  }
  return s;
}

/* Room for one more name, with at most half of the slots taken. */
static PllmStatus grow(PllmNames *names, PllmError *err) {
  size_t room = names->room ? 2 * names->room : 16;
  char **texts;
  size_t *length;
  int32_t *slots;
  if (names->count < names->room) return PLLM_OK;
  if (room > INT32_MAX) return pllm_fail(err, PLLM_INVALID, "more than %d different names", INT32_MAX);
  texts = pllm_resize(names->names, room, sizeof *texts);
  if (!texts) return pllm_fail_nomem(err);
  names->names = texts;
  length = pllm_resize(names->length, room, sizeof *length);
  if (!length) return pllm_fail_nomem(err);
  names->length = length;
  slots = pllm_resize(names->slots, 2 * room, sizeof *slots);
  if (!slots) return pllm_fail_nomem(err);
  names->slots = slots;
  names->n_slots = 2 * room;
  names->room = room;
  for (size_t s = 0; s < names->n_slots; s++) slots[s] = -1;
  for (size_t i = 0; i < names->count; i++) slots[find_slot(names, texts[i], length[i])] = (int32_t)i;
  return PLLM_OK;
}

PllmStatus pllm_core_names_add(PllmNames *names, const char *text, size_t bytes, int32_t *index, PllmError *err) {
  PllmStatus status = grow(names, err);
  size_t s;
  char *copy;
  if (status != PLLM_OK) return status;
  s = find_slot(names, text, bytes);
  if (names->slots[s] < 0) {
    copy = pllm_alloc(bytes + 1, 1);
    if (!copy) return pllm_fail_nomem(err);
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    names->names[names->count] = copy;
    names->length[names->count] = bytes;
    names->slots[s] = (int32_t)names->count++;
    names->bytes += bytes + 1;
  }
  *index = names->slots[s];
  return PLLM_OK;
}

void pllm_core_names_free(PllmNames *names) {
  for (size_t i = 0; i < names->count; i++) pllm_free(names->names[i]);
  pllm_free(names->names);
  pllm_free(names->length);
  pllm_free(names->slots);
  memset(names, 0, sizeof *names);
}
