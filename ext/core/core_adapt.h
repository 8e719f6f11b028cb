/*
** core_adapt.h: what the estimators of adaptation share with each other (core_feedback.c, core_adapt.c).
*/
#ifndef PLLM_CORE_ADAPT_H
#define PLLM_CORE_ADAPT_H

#include "core_int.h"

/* One row.  Pairs keep chosen, then rejected, in one vector of 2*dim. */
typedef struct PllmRow {
  int64_t choice_set;
  double rating;
  unsigned char label; /* PllmLabel; ratings: PLLM_SHOWN when not rated */
  unsigned char f32;
} PllmRow;

struct PllmFeedback {
  PllmForm form;
  size_t dim;         /* of one feature vector; 0 while there are no rows */
  size_t width;       /* numbers in a row: dim, or 2*dim for pairs */
  size_t first;       /* rows before it are forgotten */
  size_t end, room;   /* rows first..end-1 are kept, there is memory for room */
  size_t number_room; /* numbers that `numbers` has memory for */
  size_t f32_rows;
  PllmRow *rows;   /* [room], owned */
  double *numbers; /* [room][width], owned */
};

/*
** Rows in canonical order (choice set, label, rating, then features), so that no sum depends on the order of adding.
** order[count] holds row indexes.  Never allocates; O(count log count) comparisons.
*/
void pllm_feedback_order(const PllmFeedback *feedback, size_t *order);

/* The power of two that brings the largest feature into [0.5, 1), and the weight of feedback of some age. */
int pllm_feedback_exponent(const PllmFeedback *feedback);
double pllm_age_weight(double age, double half_life);

#endif
