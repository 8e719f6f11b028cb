/*
** json.h: JSON text, options and vectors.  cJSON does the parsing; this is the only door to it.
**
** Limits that come with cJSON and are documented rather than hidden: numbers are doubles, nesting stops at 1000.
*/
#ifndef PERSONALLLM_JSON_H
#define PERSONALLLM_JSON_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A parsed value.  Children belong to the value that was parsed; free only that one. */
typedef struct PllmJson PllmJson;

typedef enum PllmJsonType {
  PLLM_JSON_NULL,
  PLLM_JSON_BOOL,
  PLLM_JSON_NUMBER,
  PLLM_JSON_TEXT,
  PLLM_JSON_ARRAY,
  PLLM_JSON_OBJECT
} PllmJsonType;

/*
** Parse text[bytes] (UTF-8, one value, white space around it).  PLLM_INVALID names the byte offset; an embedded
** U+0000, raw or escaped, and invalid UTF-8 are refused too, as they would be cut or passed through silently.
** Thread-safe. *json is freed with pllm_json_free.  O(bytes).
*/
PllmStatus pllm_json_parse(const char *text, size_t bytes, PllmJson **json, PllmError *err);
void pllm_json_free(PllmJson *json);

PllmJsonType pllm_json_type(const PllmJson *json);
const char *pllm_json_type_name(const PllmJson *json); /* "null", "true", "a number", "text", ... for messages */
double pllm_json_number(const PllmJson *json);         /* 0 unless a number */
int pllm_json_bool(const PllmJson *json);
const char *pllm_json_text(const PllmJson *json); /* NULL unless text; lives as long as json */
const char *pllm_json_key(const PllmJson *json);  /* the member's name, NULL outside objects */

/* Walk an array or object: first child, then the next of the same parent, in the text's order; NULL at the end. */
const PllmJson *pllm_json_first(const PllmJson *json);
const PllmJson *pllm_json_next(const PllmJson *json);
size_t pllm_json_count(const PllmJson *json);
/* Member of an object by exact name; NULL when absent.  O(members). */
const PllmJson *pllm_json_member(const PllmJson *json, const char *name);

/* An array of finite numbers into out[dim]; PLLM_INVALID names the element that is not one. */
PllmStatus pllm_json_numbers(const PllmJson *json, double *out, size_t dim, PllmError *err);

/*
** JSON text of a vector into *numbers (pllm_free) and *dim: 1..PLLM_MAX_DIM finite numbers, else PLLM_INVALID.
*/
PllmStatus pllm_json_vector(const char *text, size_t bytes, double **numbers, size_t *dim, PllmError *err);

/* Shortest decimal form of x that reads back as the same double, into out[32]; JSON-valid for finite x. */
void pllm_number_text(double x, char out[32]);
/* The same for an f32: the text reads back, as a double rounded to f32, as the same f32. */
void pllm_number_text_f32(float x, char out[32]);

/*
** Options: a JSON object checked against a static list of what is known.
*/
typedef enum PllmOptionKind {
  PLLM_OPTION_BOOL,    /* int */
  PLLM_OPTION_INTEGER, /* int64_t within min..max */
  PLLM_OPTION_NUMBER,  /* double within min..max */
  PLLM_OPTION_TEXT,    /* char *, owned by the receiver (pllm_free) */
  PLLM_OPTION_CHOICE,  /* int: index into choices, "a|b|c" */
  PLLM_OPTION_NUMBERS, /* PllmNumbers, owned by the receiver (pllm_free(numbers)) */
  PLLM_OPTION_ANY      /* char *: the value's JSON text, owned by the receiver (pllm_free) */
} PllmOptionKind;

typedef struct PllmNumbers {
  double *numbers;
  size_t count;
} PllmNumbers;

typedef struct PllmOption {
  const char *name;
  PllmOptionKind kind;
  void *value; /* where the value goes; untouched when the option is absent */
  double min, max;
  const char *choices;
  int given; /* set by the parser */
} PllmOption;

/*
** Parse text[bytes] as an object of known options and store each given one.  PLLM_INVALID for anything else: no
** object, an unknown name (the known ones are listed), one given twice, a wrong type or range.  On failure nothing is
** owned by the caller.  null as a value means absent.  O(options given x options known).
*/
PllmStatus pllm_options_parse(const char *text, size_t bytes, PllmOption *options, size_t count, PllmError *err);
/* Give back the texts and numbers that a parse has stored; nothing is given then. */
void pllm_options_drop(PllmOption *options, size_t count);

#ifdef __cplusplus
}
#endif
#endif
