/*
** core_names.h: distinct names, numbered from 0 in the order in which they came.
*/
#ifndef PLLM_CORE_NAMES_H
#define PLLM_CORE_NAMES_H

#include "personalllm/base.h"

typedef struct PllmNames {
  char **names; /* [count], owned, NUL-terminated */
  size_t *length;
  size_t count, room;
  int32_t *slots; /* [n_slots], a power of two: index of a name, or -1 */
  size_t n_slots;
  size_t bytes; /* memory held by the names themselves */
} PllmNames;

/* The number of a name, adding it when new; PLLM_NOMEM. */
PllmStatus pllm_core_names_add(PllmNames *names, const char *text, size_t bytes, int32_t *index, PllmError *err);
void pllm_core_names_free(PllmNames *names); /* and zero it */

#endif
