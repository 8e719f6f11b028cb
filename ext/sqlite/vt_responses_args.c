/*
** vt_responses_args.c: the arguments of persona_responses: reward-model names, each an SQL identifier, quoted if
** needed, and the option prompts=name.
*/
#include "vt_responses.h"

#include <string.h>

static const char *skip_space(const char *p) {
  while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '\f') p++;
  return p;
}

static int is_name_char(unsigned char c) {
  return c >= 0x80 || c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

/* Read an identifier, bare or in one of SQLite's quotes, into out (as long as *text); false when there is none. */
static int identifier(const char **text, char *out) {
  const char *p = *text;
  size_t n = 0;
  if (*p == '"' || *p == '`' || *p == '\'' || *p == '[') {
    char close = *p == '[' ? ']' : *p;
    for (p++; *p; p++) {
      if (*p == close) {
        if (p[1] != close || close == ']') break;
        p++;
      }
      out[n++] = *p;
    }
    if (*p != close) return 0;
    p++;
  } else {
    if ((*p >= '0' && *p <= '9') || *p == '$') return 0;
    while (is_name_char((unsigned char)*p)) out[n++] = *p++;
  }
  out[n] = 0;
  *text = p;
  return n > 0;
}

static PllmStatus check_name(const char *name, char **names, int n, PllmError *err) {
  static const char *const taken[] = {"response_id", "prompt_id", "position", "model",   "text", "rewards",
                                      "raw_rewards", "embedding", "user_id",  "weights", "turn", "rowid"};
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (sqlite3_stricmp(name, taken[i]) == 0)
      return pllm_fail(err, PLLM_INVALID, "argument %d: the name \"%s\" is taken; no reward model may be called %s",
                       n + 1, name,
                       "response_id, prompt_id, position, model, text, rewards, raw_rewards, embedding, user_id, "
                       "weights, turn or rowid");
  for (int i = 0; i < n; i++)
    if (sqlite3_stricmp(name, names[i]) == 0)
      return pllm_fail(err, PLLM_INVALID, "argument %d: the reward model \"%.80s\" is named twice", n + 1, name);
  if (n == PLLM_MAX_MODELS)
    return pllm_fail(err, PLLM_INVALID, "more than %d reward models; at most %d are supported", PLLM_MAX_MODELS,
                     PLLM_MAX_MODELS);
  return PLLM_OK;
}

/* The value of prompts=: one identifier with an optional schema, kept as written. */
static PllmStatus read_prompts(const char *value, char *scratch, char **prompts, PllmError *err) {
  const char *p = skip_space(value), *end = p;
  int good = identifier(&end, scratch);
  if (good && *skip_space(end) == '.') {
    end = skip_space(skip_space(end) + 1);
    good = identifier(&end, scratch);
  }
  if (!good || *skip_space(end))
    return pllm_fail(
        err, PLLM_INVALID,
        "option prompts: \"%.60s\" is no table name; an SQL identifier such as prompts or \"my prompts\" "
        "is required",
        value);
  if (*prompts) return pllm_fail(err, PLLM_INVALID, "option prompts is given twice");
  *prompts = sqlite3_mprintf("%.*s", (int)(end - p), p);
  return *prompts ? PLLM_OK : pllm_fail_nomem(err);
}

static PllmStatus argument(const char *text, int number, char *scratch, char **names, int *n, char **prompts,
                           PllmError *err) {
  const char *p = skip_space(text);
  PllmStatus status;
  int good = identifier(&p, scratch);
  p = skip_space(p);
  if (good && *p == '=') {
    if (sqlite3_stricmp(scratch, "prompts") != 0)
      return pllm_fail(err, PLLM_INVALID, "unknown option \"%.60s\"; known options: prompts", scratch);
    return read_prompts(p + 1, scratch, prompts, err);
  }
  if (!good || *p)
    return pllm_fail(err, PLLM_INVALID,
                     "argument %d: \"%.60s\" is no name of a reward model; an SQL identifier such as gemma_2b or "
                     "\"gemma 2b\", or prompts=name, is required",
                     number, text);
  status = check_name(scratch, names, *n, err);
  if (status != PLLM_OK) return status;
  names[*n] = sqlite3_mprintf("%s", scratch);
  if (!names[*n]) return pllm_fail_nomem(err);
  ++*n;
  return PLLM_OK;
}

PllmStatus pllm_responses_arguments(int argc, const char *const *argv, char ***names, int *n_models, char **prompts,
                                    PllmError *err) {
  PllmStatus status = PLLM_OK;
  size_t longest = 0;
  char *scratch;
  *n_models = 0;
  *prompts = NULL;
  *names = pllm_alloc_zero(PLLM_MAX_MODELS, sizeof **names);
  for (int i = 3; i < argc; i++) longest = strlen(argv[i]) > longest ? strlen(argv[i]) : longest;
  scratch = pllm_alloc(longest + 1, 1);
  if (!*names || !scratch) status = pllm_fail_nomem(err);
  if (status == PLLM_OK && argc == 4 && !*skip_space(argv[3])) argc = 3;
  for (int i = 3; status == PLLM_OK && i < argc; i++)
    status = argument(argv[i], i - 2, scratch, *names, n_models, prompts, err);
  if (status == PLLM_OK && *n_models == 0)
    status = pllm_fail(err, PLLM_INVALID,
                       "no reward models; name at least one, as in persona_responses(beaver_7b, gemma_2b)");
  pllm_free(scratch);
  return status;
}
