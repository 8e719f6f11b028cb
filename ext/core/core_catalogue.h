/*
** core_catalogue.h: methods and the options that go with them, in tables that the parser, the checks, the defaults
** and persona_methods() all read.
*/
#ifndef PLLM_CORE_CATALOGUE_H
#define PLLM_CORE_CATALOGUE_H

#include "core_int.h"

/* known[] may have several rows of one name, for methods with different defaults.  Its first is "method". */
typedef struct PllmCatalogue {
  const PllmMethodInfo *methods; /* methods[i].method is i */
  size_t n_methods;
  const PllmMethodOption *known;
  size_t n_known;
} PllmCatalogue;

/* "a|b|c" of the methods' names into text[size], for the option "method". */
void pllm_catalogue_choices(const PllmCatalogue *c, char *text, size_t size);

/* The row of an option that all methods of the mask have, with this form; NULL when they have not. */
const PllmMethodOption *pllm_catalogue_find(const PllmCatalogue *c, const char *name, unsigned mask, PllmForm form);

/*
** Parse text[bytes] (NULL: nothing given) into list[n], which has every option that known[] names, once each, and
** "method" first, whose value is *method, -1 before the call; a method that is not named is `otherwise`.  Where that
** is below 0 too, only options that all methods of `mask` share are accepted, and no defaults set.  Otherwise `mask`
** is not used, what does not go with the method or the form is PLLM_INVALID, and what is not given gets the method's
** default.  given is set for what the text gives.
*/
PllmStatus pllm_catalogue_parse(const PllmCatalogue *c, PllmForm form, int *method, int otherwise, unsigned mask,
                                PllmOption *list, size_t n, const char *text, size_t bytes, PllmError *err);

/* The JSON value of the option `option`, an array of texts, as names (each and the array pllm_free) into *names and *count. */
PllmStatus pllm_catalogue_names(const char *option, const char *json, char ***names, size_t *count,
                                PllmError *err);
void pllm_catalogue_names_free(char **names, size_t count);

#endif
