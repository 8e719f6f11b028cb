/*
** core_json.c: the only file that sees cJSON.
**
** cJSON stops at the first byte it does not like without saying so, cuts strings at an escaped U+0000 and passes
** invalid UTF-8 through; so the text is checked first.  Its global error pointer is never used (it is not
** thread-safe).
*/
#include "core_int.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cJSON *node(const PllmJson *json) {
  return (const cJSON *)(const void *)json;
}

static const PllmJson *wrap(const cJSON *json) {
  return (const PllmJson *)(const void *)json;
}

/* Length of the valid UTF-8 sequence at p, 0 if none (overlong, surrogate, beyond U+10FFFF and cut-off ones fail). */
size_t pllm_core_utf8(const unsigned char *p, size_t left) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  uint32_t point;
  size_t n;
  if (p[0] < 0x80) return 1;
  n = p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC2 ? 2 : 0;
  if (n == 0 || p[0] > 0xF4 || n > left) return 0;
  point = p[0] & (0xFFu >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
    point = point << 6 | (p[i] & 0x3Fu);
  }
  return point < least[n] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF) ? 0 : n;
}

/* Bytes from p on that need no look: neither NUL, nor a backslash, nor above 0x7F.  Eight at a time; may stop early. */
static size_t plain_bytes(const unsigned char *p, size_t left) {
  const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
  size_t n = 0;
  for (; left - n >= 8; n += 8) {
    uint64_t word, slash;
    memcpy(&word, p + n, 8);
    slash = word ^ (ones * '\\');
    /* (x - 1) & ~x has its high bit set where a byte is 0 (or above a byte that is) */
    if ((word | ((word - ones) & ~word) | ((slash - ones) & ~slash)) & high) break;
  }
  return n;
}

static PllmStatus check_text(const char *text, size_t bytes, PllmError *err) {
  const unsigned char *p = (const unsigned char *)text;
  for (size_t i = 0; i < bytes;) {
    size_t n = plain_bytes(p + i, bytes - i);
    if ((i += n) == bytes) break;
    n = 1;
    if (p[i] >= 0x80) {
      n = pllm_core_utf8(p + i, bytes - i);
      if (n == 0) return pllm_fail(err, PLLM_INVALID, "invalid UTF-8 at byte %zu", i);
    } else if (p[i] == 0) {
      return pllm_fail(err, PLLM_INVALID, "a NUL byte at byte %zu", i);
    } else if (p[i] == '\\' && i + 1 < bytes) {
      if (bytes - i >= 6 && memcmp(p + i, "\\u0000", 6) == 0)
        return pllm_fail(err, PLLM_INVALID, "the character U+0000 at byte %zu, which text cannot hold", i);
      n = p[i + 1] < 0x80 ? 2 : 1; /* an escaped backslash does not start another escape */
    }
    i += n;
  }
  return PLLM_OK;
}

PllmStatus pllm_json_parse(const char *text, size_t bytes, PllmJson **json, PllmError *err) {
  const char *end = NULL;
  cJSON *root;
  PllmStatus status = check_text(text, bytes, err);
  if (status != PLLM_OK) return status;
  root = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
  if (!root) {
    size_t at = end && end >= text ? (size_t)(end - text) : 0, n;
    /* cJSON reports its last byte for a text that stops too soon */
    if (at + 1 >= bytes)
      return pllm_fail(err, PLLM_INVALID, "not JSON: it is cut off or wrong at its end (%zu bytes)", bytes);
    n = bytes - at < 12 ? bytes - at : 12; /* whole characters only */
    while (n > 0 && at + n < bytes && ((unsigned char)text[at + n] & 0xC0) == 0x80) n--;
    return pllm_fail(err, PLLM_INVALID, "not JSON: unexpected \"%.*s\" at byte %zu", (int)n, text + at, at);
  }
  while (end < text + bytes && (*end == ' ' || *end == '\t' || *end == '\n' || *end == '\r')) end++;
  if (end < text + bytes) {
    cJSON_Delete(root);
    return pllm_fail(err, PLLM_INVALID, "not JSON: unexpected text after the value at byte %zu",
                     (size_t)(end - text));
  }
  *json = (PllmJson *)(void *)root;
  return PLLM_OK;
}

void pllm_json_free(PllmJson *json) {
  cJSON_Delete((cJSON *)(void *)json);
}

PllmJsonType pllm_json_type(const PllmJson *json) {
  switch (node(json)->type & 0xFF) {
  case cJSON_True:
  case cJSON_False: return PLLM_JSON_BOOL;
  case cJSON_Number: return PLLM_JSON_NUMBER;
  case cJSON_String: return PLLM_JSON_TEXT;
  case cJSON_Array: return PLLM_JSON_ARRAY;
  case cJSON_Object: return PLLM_JSON_OBJECT;
  default: return PLLM_JSON_NULL;
  }
}

const char *pllm_json_type_name(const PllmJson *json) {
  static const char *const names[] = {"null", "true or false", "a number", "text", "an array", "an object"};
  return names[pllm_json_type(json)];
}

double pllm_json_number(const PllmJson *json) {
  return cJSON_IsNumber(node(json)) ? node(json)->valuedouble : 0;
}

int pllm_json_bool(const PllmJson *json) {
  return cJSON_IsTrue(node(json)) != 0;
}

const char *pllm_json_text(const PllmJson *json) {
  return cJSON_IsString(node(json)) ? node(json)->valuestring : NULL;
}

const char *pllm_json_key(const PllmJson *json) {
  return node(json)->string;
}

const PllmJson *pllm_json_first(const PllmJson *json) {
  return wrap(node(json)->child);
}

const PllmJson *pllm_json_next(const PllmJson *json) {
  return wrap(node(json)->next);
}

size_t pllm_json_count(const PllmJson *json) {
  size_t n = 0;
  for (const cJSON *child = node(json)->child; child; child = child->next) n++;
  return n;
}

const PllmJson *pllm_json_member(const PllmJson *json, const char *name) {
  return wrap(cJSON_GetObjectItemCaseSensitive(node(json), name));
}

PllmStatus pllm_json_numbers(const PllmJson *json, double *out, size_t dim, PllmError *err) {
  size_t i = 0;
  for (const cJSON *child = node(json)->child; child && i < dim; child = child->next, i++) {
    if (!cJSON_IsNumber(child))
      return pllm_fail(err, PLLM_INVALID, "element %zu is %s; a finite number is required", i,
                       pllm_json_type_name(wrap(child)));
    if (!isfinite(child->valuedouble))
      return pllm_fail(err, PLLM_INVALID, "element %zu is infinite; a finite number is required", i);
    out[i] = child->valuedouble;
  }
  return PLLM_OK;
}

PllmStatus pllm_json_vector(const char *text, size_t bytes, double **numbers, size_t *dim, PllmError *err) {
  PllmJson *json = NULL;
  double *out = NULL;
  size_t n;
  PllmStatus status = pllm_json_parse(text, bytes, &json, err);
  if (status != PLLM_OK) return status;
  n = pllm_json_count(json);
  if (pllm_json_type(json) != PLLM_JSON_ARRAY)
    status = pllm_fail(err, PLLM_INVALID, "%s; an array of numbers such as [1, 2.5] is required",
                       pllm_json_type_name(json));
  else if (n == 0 || n > PLLM_MAX_DIM)
    status = pllm_fail(err, PLLM_INVALID, "an array of %zu numbers; a vector has 1 to %d", n, PLLM_MAX_DIM);
  else if (!(out = pllm_alloc(n, sizeof *out)))
    status = pllm_fail_nomem(err);
  else
    status = pllm_json_numbers(json, out, n, err);
  pllm_json_free(json);
  if (status != PLLM_OK) {
    pllm_free(out);
    return status;
  }
  *numbers = out;
  *dim = n;
  return PLLM_OK;
}

PllmStatus pllm_core_json_print(const PllmJson *json, PllmBuffer *buffer, PllmError *err) {
  char *text = cJSON_PrintUnformatted(node(json));
  PllmStatus status = text ? pllm_buffer_text(buffer, text, err) : pllm_fail_nomem(err);
  cJSON_free(text);
  return status;
}

/* ---- options ---- */

static PllmStatus wrong_type(const PllmOption *o, const cJSON *value, const char *required, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "option \"%s\" is %s; %s is required", o->name,
                   pllm_json_type_name(wrap(value)), required);
}

static PllmStatus store_number(const PllmOption *o, const cJSON *value, PllmError *err) {
  double x = value->valuedouble;
  int whole = o->kind == PLLM_OPTION_INTEGER;
  char low[32], high[32], found[32];
  if (!cJSON_IsNumber(value)) return wrong_type(o, value, whole ? "a whole number" : "a number", err);
  if (!(x >= o->min && x <= o->max) || (whole && x != floor(x))) {
    pllm_number_text(o->min, low);
    pllm_number_text(o->max, high);
    pllm_number_text(x, found);
    return pllm_fail(err, PLLM_INVALID, "option \"%s\" is %s; a %snumber from %s to %s is required", o->name, found,
                     whole ? "whole " : "", low, high);
  }
  if (whole)
    *(int64_t *)o->value = (int64_t)x;
  else
    *(double *)o->value = x;
  return PLLM_OK;
}

static PllmStatus store_choice(const PllmOption *o, const cJSON *value, PllmError *err) {
  int index = 0;
  if (!cJSON_IsString(value)) return wrong_type(o, value, "text", err);
  for (const char *p = o->choices; p; index++) {
    const char *bar = strchr(p, '|');
    size_t n = bar ? (size_t)(bar - p) : strlen(p);
    if (strlen(value->valuestring) == n && memcmp(p, value->valuestring, n) == 0) {
      *(int *)o->value = index;
      return PLLM_OK;
    }
    p = bar ? bar + 1 : NULL;
  }
  return pllm_fail(err, PLLM_INVALID, "option \"%s\" is \"%.40s\"; one of %s is required", o->name,
                   value->valuestring, o->choices);
}

static PllmStatus store_text(const PllmOption *o, const char *text, PllmError *err) {
  size_t n = strlen(text) + 1;
  char *copy = pllm_alloc(n, 1);
  if (!copy) return pllm_fail_nomem(err);
  memcpy(copy, text, n);
  *(char **)o->value = copy;
  return PLLM_OK;
}

static PllmStatus store_numbers(const PllmOption *o, const cJSON *value, PllmError *err) {
  PllmNumbers *out = o->value;
  size_t n = pllm_json_count(wrap(value));
  double *numbers;
  PllmStatus status;
  if (!cJSON_IsArray(value)) return wrong_type(o, value, "an array of numbers", err);
  numbers = pllm_alloc(n, sizeof *numbers);
  if (!numbers) return pllm_fail_nomem(err);
  status = pllm_json_numbers(wrap(value), numbers, n, err);
  if (status != PLLM_OK) {
    pllm_free(numbers);
    return pllm_error_prefix(err, "option \"%s\"", o->name);
  }
  out->numbers = numbers;
  out->count = n;
  return PLLM_OK;
}

static PllmStatus store_option(const PllmOption *o, const cJSON *value, PllmError *err) {
  PllmStatus status;
  char *text;
  switch (o->kind) {
  case PLLM_OPTION_BOOL:
    if (!cJSON_IsBool(value)) return wrong_type(o, value, "true or false", err);
    *(int *)o->value = cJSON_IsTrue(value) != 0;
    return PLLM_OK;
  case PLLM_OPTION_INTEGER:
  case PLLM_OPTION_NUMBER: return store_number(o, value, err);
  case PLLM_OPTION_TEXT:
    if (!cJSON_IsString(value)) return wrong_type(o, value, "text", err);
    return store_text(o, value->valuestring, err);
  case PLLM_OPTION_CHOICE: return store_choice(o, value, err);
  case PLLM_OPTION_NUMBERS: return store_numbers(o, value, err);
  case PLLM_OPTION_ANY:
    text = cJSON_PrintUnformatted(value);
    if (!text) return pllm_fail_nomem(err);
    status = store_text(o, text, err);
    cJSON_free(text);
    return status;
  }
  return pllm_fail(err, PLLM_INTERNAL, "option \"%s\" has an unknown kind", o->name);
}

static PllmStatus unknown_option(const char *name, const PllmOption *options, size_t count, PllmError *err) {
  char known[PLLM_ERROR_TEXT / 2] = "";
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    int n = snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", options[i].name);
    if (n < 0 || (size_t)n >= sizeof known - used) break;
    used += (size_t)n;
  }
  return pllm_fail(err, PLLM_INVALID, "unknown option \"%.40s\"; known options: %s", name, count ? known : "none");
}

void pllm_options_drop(PllmOption *options, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!options[i].given) continue;
    if (options[i].kind == PLLM_OPTION_TEXT || options[i].kind == PLLM_OPTION_ANY) {
      pllm_free(*(char **)options[i].value);
      *(char **)options[i].value = NULL;
    } else if (options[i].kind == PLLM_OPTION_NUMBERS) {
      PllmNumbers *n = options[i].value;
      pllm_free(n->numbers);
      n->numbers = NULL;
      n->count = 0;
    }
    options[i].given = 0;
  }
}

PllmStatus pllm_options_parse(const char *text, size_t bytes, PllmOption *options, size_t count, PllmError *err) {
  PllmJson *json = NULL;
  PllmStatus status = pllm_json_parse(text, bytes, &json, err);
  for (size_t i = 0; i < count; i++) options[i].given = 0;
  if (status != PLLM_OK) return pllm_error_prefix(err, "options");
  if (pllm_json_type(json) != PLLM_JSON_OBJECT) {
    status = pllm_fail(err, PLLM_INVALID, "options are %s; a JSON object such as {\"name\": value} is required",
                       pllm_json_type_name(json));
  }
  for (const cJSON *member = node(json)->child; status == PLLM_OK && member; member = member->next) {
    size_t i = 0;
    while (i < count && strcmp(options[i].name, member->string) != 0) i++;
    if (i == count) {
      status = unknown_option(member->string, options, count, err);
    } else if (options[i].given) {
      status = pllm_fail(err, PLLM_INVALID, "option \"%s\" is given twice", options[i].name);
    } else if (!cJSON_IsNull(member)) {
      status = store_option(&options[i], member, err);
      options[i].given = status == PLLM_OK;
    }
  }
  pllm_json_free(json);
  if (status != PLLM_OK) pllm_options_drop(options, count);
  return status;
}
