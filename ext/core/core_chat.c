/*
** core_chat.c: one line of the batch format of OpenAI-compatible servers (icl.h).
*/
#include "core_int.h"

#include <string.h>

/* stop: a text or an array of texts. */
static PllmStatus check_stop(const PllmJson *stop, PllmError *err) {
  const PllmJson *wrong = NULL;
  if (pllm_json_type(stop) == PLLM_JSON_TEXT) return PLLM_OK;
  if (pllm_json_type(stop) != PLLM_JSON_ARRAY) wrong = stop;
  for (const PllmJson *e = pllm_json_first(stop); !wrong && e; e = pllm_json_next(e))
    if (pllm_json_type(e) != PLLM_JSON_TEXT) wrong = e;
  if (!wrong) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "option \"stop\" %s %s; text or an array of texts is required",
                   wrong == stop ? "is" : "holds", pllm_json_type_name(wrong));
}

/* body: an object whose members are written nowhere else, and once. */
static PllmStatus check_body(const PllmJson *body, const PllmOption *known, size_t count, PllmError *err) {
  if (pllm_json_type(body) != PLLM_JSON_OBJECT)
    return pllm_fail(err, PLLM_INVALID, "option \"body\" is %s; an object is required", pllm_json_type_name(body));
  for (const PllmJson *m = pllm_json_first(body); m; m = pllm_json_next(m)) {
    const char *key = pllm_json_key(m);
    if (strcmp(key, "messages") == 0 || strcmp(key, "prompt") == 0)
      return pllm_fail(err, PLLM_INVALID, "option \"body\" has \"%s\", which the content becomes", key);
    if (strcmp(key, "stream") == 0)
      return pllm_fail(err, PLLM_INVALID, "option \"body\" has \"stream\"; a batch is never streamed");
    if (strcmp(key, "model") == 0)
      return pllm_fail(err, PLLM_INVALID, "option \"body\" has \"model\", which is an option of its own");
    if (pllm_json_member(body, key) != m)
      return pllm_fail(err, PLLM_INVALID, "option \"body\" has \"%.40s\" twice", key);
    for (size_t i = 0; i < count; i++)
      if (known[i].given && strcmp(known[i].name, key) == 0)
        return pllm_fail(err, PLLM_INVALID, "\"%s\" is given as an option and in option \"body\"", key);
  }
  return PLLM_OK;
}

PllmStatus pllm_chat_options(const char *text, size_t bytes, PllmChatOptions *options, PllmError *err) {
  PllmChatOptions o = {.temperature = 0, .top_p = 0.95, .max_tokens = 512};
  PllmJson *stop = NULL, *body = NULL;
  PllmOption known[] = {
      {.name = "model", .kind = PLLM_OPTION_TEXT, .value = &o.model},
      {.name = "endpoint", .kind = PLLM_OPTION_CHOICE, .value = &o.raw, .choices = "chat|completions"},
      {.name = "system", .kind = PLLM_OPTION_TEXT, .value = &o.system},
      {.name = "temperature", .kind = PLLM_OPTION_NUMBER, .value = &o.temperature, .min = 0, .max = 100},
      {.name = "top_p", .kind = PLLM_OPTION_NUMBER, .value = &o.top_p, .min = 0, .max = 1},
      {.name = "max_tokens", .kind = PLLM_OPTION_INTEGER, .value = &o.max_tokens, .min = 1, .max = 1e9},
      {.name = "seed", .kind = PLLM_OPTION_INTEGER, .value = &o.seed, .min = 0, .max = 9007199254740992},
      {.name = "stop", .kind = PLLM_OPTION_ANY, .value = &o.stop},
      {.name = "body", .kind = PLLM_OPTION_ANY, .value = &o.body},
  };
  size_t count = sizeof known / sizeof *known;
  PllmStatus status = PLLM_OK;
  o.seed = -1;
  if (text) status = pllm_options_parse(text, bytes, known, count, err);
  if (status == PLLM_OK && o.raw && o.system)
    status = pllm_fail(err, PLLM_INVALID,
                       "option \"system\" needs \"endpoint\":\"chat\"; a completion has no system message");
  if (status == PLLM_OK && o.stop) status = pllm_json_parse(o.stop, strlen(o.stop), &stop, err);
  if (status == PLLM_OK && o.stop) status = check_stop(stop, err);
  if (status == PLLM_OK && o.body) status = pllm_json_parse(o.body, strlen(o.body), &body, err);
  if (status == PLLM_OK && o.body) status = check_body(body, known, count, err);
  pllm_json_free(stop);
  pllm_json_free(body);
  *options = o;
  return status;
}

void pllm_chat_options_free(PllmChatOptions *o) {
  pllm_free(o->model);
  pllm_free(o->system);
  pllm_free(o->stop);
  pllm_free(o->body);
  memset(o, 0, sizeof *o);
}

/* A writer that stops at the first failure. */
typedef struct Line {
  PllmBuffer *buffer;
  PllmStatus status;
  PllmError *err;
} Line;

static void raw(Line *line, const char *text) {
  if (line->status == PLLM_OK) line->status = pllm_buffer_text(line->buffer, text, line->err);
}

static void string(Line *line, const char *text, size_t bytes, const char *name) {
  if (line->status != PLLM_OK) return;
  line->status = pllm_buffer_string(line->buffer, text, bytes, line->err);
  if (line->status == PLLM_INVALID) pllm_error_prefix(line->err, "%s", name);
}

/* A member that is a number, unless `body` has one of the same name. */
static void number(Line *line, const PllmJson *body, const char *name, double value) {
  if (body && pllm_json_member(body, name)) return;
  raw(line, ",\"");
  raw(line, name);
  raw(line, "\":");
  if (line->status != PLLM_OK) return;
  if (value == (double)(int64_t)value) /* 1e15 in digits: some servers read integers only */
    line->status = pllm_buffer_integer(line->buffer, (int64_t)value, line->err);
  else
    line->status = pllm_buffer_number(line->buffer, value, line->err);
}

PllmStatus pllm_chat_request(const PllmChatOptions *o, const char *custom_id, size_t id_bytes, const char *content,
                             size_t bytes, PllmBuffer *text, PllmError *err) {
  const char *model = o->model ? o->model : "meta-llama/Meta-Llama-3-8B-Instruct";
  Line line = {text, PLLM_OK, err};
  PllmJson *body = NULL;
  text->count = 0;
  if (o->body) line.status = pllm_json_parse(o->body, strlen(o->body), &body, err);
  raw(&line, "{\"custom_id\":");
  string(&line, custom_id, id_bytes, "custom_id");
  raw(&line, ",\"method\":\"POST\",\"url\":\"/v1/");
  raw(&line, o->raw ? "completions" : "chat/completions");
  raw(&line, "\",\"body\":{\"model\":");
  string(&line, model, strlen(model), "model");
  if (o->raw) {
    raw(&line, ",\"prompt\":");
    string(&line, content, bytes, "content");
  } else {
    raw(&line, ",\"messages\":[");
    if (o->system) {
      raw(&line, "{\"role\":\"system\",\"content\":");
      string(&line, o->system, strlen(o->system), "system");
      raw(&line, "},");
    }
    raw(&line, "{\"role\":\"user\",\"content\":");
    string(&line, content, bytes, "content");
    raw(&line, "}]");
  }
  number(&line, body, "temperature", o->temperature);
  number(&line, body, "top_p", o->top_p);
  number(&line, body, "max_tokens", (double)o->max_tokens);
  if (o->seed >= 0) number(&line, body, "seed", (double)o->seed);
  if (o->stop) {
    raw(&line, ",\"stop\":");
    raw(&line, o->stop);
  }
  for (const PllmJson *m = body ? pllm_json_first(body) : NULL; m; m = pllm_json_next(m)) {
    if (pllm_json_type(m) == PLLM_JSON_NULL) continue;
    raw(&line, ",");
    string(&line, pllm_json_key(m), strlen(pllm_json_key(m)), "body");
    raw(&line, ":");
    if (line.status == PLLM_OK) line.status = pllm_core_json_print(m, text, err);
  }
  raw(&line, "}}");
  pllm_json_free(body);
  return line.status;
}
