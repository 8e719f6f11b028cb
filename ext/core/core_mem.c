/*
** core_mem.c: allocator hooks, checked size arithmetic and aligned buffers.
*/
#include "core_int.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

static const PllmAllocator default_allocator = {malloc, realloc, free};
static PllmAllocator hooks = {malloc, realloc, free};

void pllm_set_allocator(const PllmAllocator *allocator) {
  hooks = allocator ? *allocator : default_allocator;
}

/* count * size in *bytes, never zero; false on overflow. */
static int checked_bytes(size_t count, size_t size, size_t *bytes) {
  if (size != 0 && count > SIZE_MAX / size) return 0;
  *bytes = count * size;
  if (*bytes == 0) *bytes = 1;
  return 1;
}

void *pllm_alloc(size_t count, size_t size) {
  size_t bytes;
  return checked_bytes(count, size, &bytes) ? hooks.alloc(bytes) : NULL;
}

void *pllm_alloc_zero(size_t count, size_t size) {
  size_t bytes;
  void *p;
  if (!checked_bytes(count, size, &bytes)) return NULL;
  p = hooks.alloc(bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void *pllm_resize(void *old, size_t count, size_t size) {
  size_t bytes;
  if (!checked_bytes(count, size, &bytes)) return NULL;
  return old ? hooks.resize(old, bytes) : hooks.alloc(bytes);
}

void *pllm_grow(void *old, size_t count, size_t *room, size_t first, size_t size) {
  size_t more = *room > 0 ? 2 * *room : first;
  void *grown;
  if (count < *room) return old;
  grown = *room <= SIZE_MAX / 2 ? pllm_resize(old, more, size) : NULL;
  if (grown) *room = more;
  return grown;
}

void pllm_free(void *old) {
  if (old) hooks.release(old);
}

/* The hooks promise no alignment, so the start of the block they gave is kept just below the aligned address. */
#define ALIGNMENT ((size_t)64)

void *pllm_alloc_aligned(size_t count, size_t size) {
  size_t bytes;
  char *block, *aligned;
  if (!checked_bytes(count, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT - sizeof(void *)) return NULL;
  block = hooks.alloc(bytes + ALIGNMENT + sizeof(void *));
  if (!block) return NULL;
  aligned = block + sizeof(void *);
  aligned += (ALIGNMENT - (uintptr_t)aligned % ALIGNMENT) % ALIGNMENT;
  memcpy(aligned - sizeof(void *), &block, sizeof block);
  return aligned;
}

void pllm_free_aligned(void *old) {
  char *block;
  if (!old) return;
  memcpy(&block, (char *)old - sizeof(void *), sizeof block);
  hooks.release(block);
}

void pllm_core_populate(void *memory, size_t bytes) {
#if defined(MADV_POPULATE_WRITE)
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page, end = ((uintptr_t)memory + bytes) / page * page;
  if (begin < end) (void)!madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
#else
  (void)memory, (void)bytes;
#endif
}
