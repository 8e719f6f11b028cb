/*
** core_feedback.c: one user's feedback as rows.
**
** Rows lie in the order of adding; forgetting the oldest only moves `first`, and the gap is closed when memory runs
** out or all rows are gone, so that a sliding window costs O(dim) a row.
*/
#include "core_adapt.h"

#include <string.h>

PllmFeedback *pllm_feedback_new(PllmForm form) {
  PllmFeedback *f = pllm_alloc_zero(1, sizeof *f);
  if (f) f->form = form;
  return f;
}

void pllm_feedback_free(PllmFeedback *f) {
  if (!f) return;
  pllm_free(f->rows);
  pllm_free(f->numbers);
  pllm_free(f);
}

void pllm_feedback_clear(PllmFeedback *f) {
  f->first = f->end = f->f32_rows = f->dim = f->width = 0;
}

size_t pllm_feedback_count(const PllmFeedback *f) {
  return f->end - f->first;
}

size_t pllm_feedback_dim(const PllmFeedback *f) {
  return f->dim;
}

/* Close the gap of forgotten rows, then make room for one more. */
static PllmStatus reserve(PllmFeedback *f, PllmError *err) {
  size_t count = f->end - f->first, room = f->room;
  if (f->end < room && f->end < f->number_room / f->width) return PLLM_OK;
  if (f->first > 0) {
    memmove(f->rows, f->rows + f->first, count * sizeof *f->rows);
    memmove(f->numbers, f->numbers + f->first * f->width, count * f->width * sizeof *f->numbers);
    f->first = 0;
    f->end = count;
  }
  if (count >= room / 2 + room / 4) { /* keep a quarter free, or the gap would be closed for every row */
    PllmRow *rows;
    room = room ? room * 2 : 8;
    rows = pllm_resize(f->rows, room, sizeof *rows);
    if (!rows) return pllm_fail_nomem(err);
    f->rows = rows;
    f->room = room;
  }
  if (f->number_room / f->width < f->room) {
    double *numbers =
        f->room > SIZE_MAX / f->width ? NULL : pllm_resize(f->numbers, f->room * f->width, sizeof *numbers);
    if (!numbers) return pllm_fail_nomem(err);
    f->numbers = numbers;
    f->number_room = f->room * f->width;
  }
  return PLLM_OK;
}

static PllmStatus add(PllmFeedback *f, PllmRow row, const double *a, const double *b, size_t dim, PllmError *err) {
  PllmStatus status;
  double *to;
  if (f->dim == 0) {
    f->dim = dim;
    f->width = b ? 2 * dim : dim;
  }
  if (dim != f->dim) return pllm_fail(err, PLLM_INVALID, "%zu numbers, but the rows before have %zu", dim, f->dim);
  status = reserve(f, err);
  if (status != PLLM_OK) {
    if (f->first == f->end) pllm_feedback_clear(f); /* an empty builder has no dimension */
    return status;
  }
  to = f->numbers + f->end * f->width;
  memcpy(to, a, dim * sizeof *to);
  if (b) memcpy(to + dim, b, dim * sizeof *to);
  f->rows[f->end++] = row;
  f->f32_rows += row.f32;
  return PLLM_OK;
}

PllmStatus pllm_feedback_add_pair(PllmFeedback *f, const double *chosen, const double *rejected, size_t dim, int f32,
                                  PllmError *err) {
  return add(f, (PllmRow){.label = PLLM_BEST, .f32 = f32 != 0}, chosen, rejected, dim, err);
}

PllmStatus pllm_feedback_add_choice(PllmFeedback *f, int64_t choice_set, const double *features, size_t dim, int f32,
                                    PllmLabel label, PllmError *err) {
  PllmRow row = {.choice_set = choice_set, .label = (unsigned char)label, .f32 = f32 != 0};
  return add(f, row, features, NULL, dim, err);
}

PllmStatus pllm_feedback_add_rating(PllmFeedback *f, const double *features, size_t dim, int f32, double rating,
                                    int rated, PllmError *err) {
  PllmRow row = {.rating = rated ? rating : 0, .label = rated ? PLLM_BEST : PLLM_SHOWN, .f32 = f32 != 0};
  return add(f, row, features, NULL, dim, err);
}

void pllm_feedback_remove_first(PllmFeedback *f) {
  if (f->first == f->end) return;
  f->f32_rows -= f->rows[f->first++].f32;
  if (f->first == f->end) pllm_feedback_clear(f);
}

/* A total order in which only equal rows tie. */
static int compare(const PllmFeedback *f, size_t a, size_t b) {
  const PllmRow *x = &f->rows[a], *y = &f->rows[b];
  if (x->choice_set != y->choice_set) return x->choice_set < y->choice_set ? -1 : 1;
  if (x->label != y->label) return x->label < y->label ? -1 : 1;
  if (x->rating != y->rating) return x->rating < y->rating ? -1 : 1;
  return memcmp(f->numbers + a * f->width, f->numbers + b * f->width, f->width * sizeof *f->numbers);
}

/* Heap sort: in place and never worse than n log n, whatever the input. */
static void sift(const PllmFeedback *f, size_t *order, size_t at, size_t count) {
  size_t moved = order[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && compare(f, order[child], order[child + 1]) < 0) child++;
    if (compare(f, moved, order[child]) >= 0) break;
    order[at] = order[child];
  }
  order[at] = moved;
}

void pllm_feedback_order(const PllmFeedback *f, size_t *order) {
  size_t count = f->end - f->first;
  for (size_t i = 0; i < count; i++) order[i] = f->first + i;
  for (size_t i = count / 2; i-- > 0;) sift(f, order, i, count);
  for (size_t i = count; i-- > 1;) {
    size_t top = order[0];
    order[0] = order[i];
    order[i] = top;
    sift(f, order, 0, i);
  }
}
