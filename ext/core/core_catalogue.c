/*
** core_catalogue.c: parse the options of a method by its tables.
*/
#include "core_catalogue.h"

#include <stdio.h>
#include <string.h>

void pllm_catalogue_choices(const PllmCatalogue *c, char *text, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < c->n_methods && used < size; i++)
    used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", c->methods[i].name);
}

const PllmMethodOption *pllm_catalogue_find(const PllmCatalogue *c, const char *name, unsigned mask, PllmForm form) {
  for (size_t i = 0; i < c->n_known; i++)
    if (strcmp(c->known[i].name, name) == 0 && (c->known[i].methods & mask) == mask && c->known[i].forms & 1u << form)
      return &c->known[i];
  return NULL;
}

static const char *form_name(PllmForm form) {
  return form == PLLM_PAIRS ? "pairs" : form == PLLM_CHOICES ? "choice sets" : "ratings";
}

/* What was given goes with the methods and the form. */
static PllmStatus check(const PllmCatalogue *c, PllmForm form, int method, unsigned mask, const PllmOption *list,
                        size_t n, PllmError *err) {
  for (size_t i = 0; i < n; i++) {
    int other_form = 0;
    if (!list[i].given || pllm_catalogue_find(c, list[i].name, mask, form)) continue;
    for (int f = PLLM_PAIRS; f <= PLLM_RATINGS; f++)
      other_form = other_form || pllm_catalogue_find(c, list[i].name, mask, (PllmForm)f);
    if (method < 0)
      return pllm_fail(err, PLLM_INVALID, "option \"%s\" needs option \"method\" beside it", list[i].name);
    return other_form
               ? pllm_fail(err, PLLM_INVALID, "option \"%s\" does not go with %s", list[i].name, form_name(form))
               : pllm_fail(err, PLLM_INVALID, "option \"%s\" does not go with method \"%s\"", list[i].name,
                           c->methods[method].name);
  }
  return PLLM_OK;
}

/* The method's defaults, by the same parser as what is given. */
static PllmStatus set_defaults(const PllmCatalogue *c, PllmForm form, int method, PllmOption *list, size_t n,
                               PllmError *err) {
  char text[1024] = "{";
  size_t used = 1;
  for (size_t i = 0; i < c->n_known; i++)
    if (c->known[i].methods & 1u << method && c->known[i].forms & 1u << form)
      used += (size_t)snprintf(text + used, sizeof text - used, "%s\"%s\":%s", used > 1 ? "," : "", c->known[i].name,
                               strcmp(c->known[i].name, "method") == 0 ? "null" : c->known[i].default_value);
  used += (size_t)snprintf(text + used, sizeof text - used, "}");
  return pllm_options_parse(text, used, list, n, err);
}

PllmStatus pllm_catalogue_parse(const PllmCatalogue *c, PllmForm form, int *method, int otherwise, unsigned mask,
                                PllmOption *list, size_t n, const char *text, size_t bytes, PllmError *err) {
  PllmStatus status = text ? pllm_options_parse(text, bytes, list, n, err) : PLLM_OK;
  if (status != PLLM_OK) return status;
  if (*method < 0) *method = otherwise;
  if (*method >= 0) mask = 1u << *method;
  status = check(c, form, *method, mask, list, n, err);
  if (status == PLLM_OK && *method < 0) return PLLM_OK;
  pllm_options_drop(list, n); /* the second parse stores them again */
  if (status == PLLM_OK) status = set_defaults(c, form, *method, list, n, err);
  for (size_t i = 0; i < n; i++) list[i].given = 0;
  if (status == PLLM_OK && text) status = pllm_options_parse(text, bytes, list, n, err);
  return status;
}

void pllm_catalogue_names_free(char **names, size_t count) {
  for (size_t i = 0; names && i < count; i++) pllm_free(names[i]);
  pllm_free(names);
}

PllmStatus pllm_catalogue_names(const char *option, const char *json, char ***out, size_t *out_count,
                                PllmError *err) {
  PllmJson *list = NULL;
  const PllmJson *name;
  char **names = NULL;
  size_t count;
  PllmStatus status = pllm_json_parse(json, strlen(json), &list, err);
  if (status != PLLM_OK) return status;
  count = pllm_json_count(list);
  if (pllm_json_type(list) != PLLM_JSON_ARRAY || count == 0)
    status = pllm_fail(err, PLLM_INVALID, "option \"%s\" is %s; an array of texts is required", option,
                       pllm_json_type(list) == PLLM_JSON_ARRAY ? "empty" : pllm_json_type_name(list));
  else if (!(names = pllm_alloc_zero(count, sizeof *names)))
    status = pllm_fail_nomem(err);
  name = pllm_json_first(list);
  for (size_t i = 0; status == PLLM_OK && i < count; i++, name = pllm_json_next(name)) {
    const char *text = pllm_json_text(name);
    if (!text || !*text)
      status = pllm_fail(err, PLLM_INVALID, "option \"%s\" has %s as name %zu; text is required", option,
                         text ? "empty text" : pllm_json_type_name(name), i + 1);
    else if (!(names[i] = pllm_alloc(strlen(text) + 1, 1)))
      status = pllm_fail_nomem(err);
    else
      memcpy(names[i], text, strlen(text) + 1);
  }
  pllm_json_free(list);
  if (status != PLLM_OK) {
    pllm_catalogue_names_free(names, count);
    return status;
  }
  *out = names;
  *out_count = count;
  return PLLM_OK;
}
