/*
** adapt_args.h: what fn_adapt.c (the aggregates) and vt_adapt.c (persona_adapt) share, so that both read a row of
** feedback in exactly the same way and give the same bits.
*/
#ifndef PLLM_ADAPT_ARGS_H
#define PLLM_ADAPT_ARGS_H

#include "ext_int.h"

/* The trailing arguments of one row, borrowed from argv; NULL where absent. */
typedef struct PllmExtTrailing {
  sqlite3_value *options;   /* TEXT */
  sqlite3_value *model;     /* BLOB */
  int options_at, model_at; /* their argument numbers, counted from 1 */
} PllmExtTrailing;

/* Sort argv[first..argc) into options (TEXT) and model (BLOB), in either order; NULL is absent.  Anything else, or
** two of one kind, is PLLM_INVALID naming the argument. */
PllmStatus pllm_ext_trailing(int argc, sqlite3_value **argv, int first, PllmExtTrailing *trailing, PllmError *err);

/* Is the model of a row the one of the rows before (NULL: none)? */
PllmStatus pllm_ext_model_repeats(const PllmExtModel *model, const PllmExtTrailing *trailing, PllmError *err);

/* How many values a row of this form has, and their names: chosen, rejected | choice_set, features, feedback |
** features, rating. */
int pllm_ext_form_columns(PllmForm form);
const char *pllm_ext_form_column(PllmForm form, int i);

/* Reads rows of one form.  Start with pllm_ext_rows_open or pllm_ext_rows_learn, end with pllm_ext_rows_close (also
** after a failed open). */
typedef struct PllmExtRows {
  PllmForm form;
  int first;                /* argument number of the first value, for messages: "argument 1 (chosen)"; 0: "column chosen" */
  size_t dim;               /* of feature vectors, and */
  PllmVectorType type;      /* what their BLOBs are; 0 where not said */
  PllmExtModel *model;      /* owned: what adaptation starts from, NULL for none */
  PllmAdaptOptions options; /* of adaptation */
  PllmCrowd *crowd;         /* not owned: where rows go, as those of `user`; NULL: to the feedback given */
  sqlite3_int64 user;
  PllmExtVector a, b; /* scratch */
} PllmExtRows;

/* Errors name the model's argument. */
PllmStatus pllm_ext_rows_open(PllmConn *conn, PllmExtRows *rows, PllmForm form, const PllmExtTrailing *trailing,
                              PllmError *err);
/* Read rows for learning across users instead. */
void pllm_ext_rows_learn(PllmExtRows *rows, const PllmLearnOptions *options);
void pllm_ext_rows_close(PllmExtRows *rows);

/*
** Add the row values[pllm_ext_form_columns(form)] to feedback, or, where it says nothing, leave feedback alone and
** set *skipped:
**   pairs    chosen or rejected is NULL;
**   ratings  features is NULL (the response's scores are not known);
**   choices  all three are NULL (a user without history in an outer join).
** The error names the argument or column, and the choice set.
*/
PllmStatus pllm_ext_rows_add(PllmExtRows *rows, sqlite3_value **values, PllmFeedback *feedback, int *skipped,
                             PllmError *err);
/* Would pllm_ext_rows_add skip this row? */
int pllm_ext_rows_skips(PllmForm form, sqlite3_value **values);

#endif
