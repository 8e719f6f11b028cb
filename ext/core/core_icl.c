/*
** core_icl.c: in-context prompts (definitions.md#in-context-prompts).
**
** The examples' texts are copied one behind the other; sorting moves only their entries.
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

enum { PROMPT, CHOSEN, REJECTED };
static const char *const text_names[3] = {"example_prompt", "chosen_text", "rejected_text"};

#define ANY INT64_C(9007199254740992) /* no limit: the largest whole number that JSON text keeps, 2^53 */

/* What a block of a variant shows, in this order. */
typedef struct Part {
  int text; /* CHOSEN or REJECTED */
  int disliked;
} Part;

/* The built-in wording: what differs between the variants.  Own words with the content of the published ones. */
static const struct Variant {
  int count;
  Part part[2];
  const char *header, *closing[2]; /* closing in words liked and winning */
} variants[] = {
    [PLLM_ICL_WINNING_ONLY] = {1,
                               {{CHOSEN, 0}},
                               "Here are past conversations, each with a response that was liked.",
                               {"Your response should be similar to the liked responses.",
                                "Your response should be similar to the winning responses."}},
    [PLLM_ICL_LOSING_ONLY] = {1,
                              {{REJECTED, 1}},
                              "Here are past conversations, each with a response that was disliked.",
                              {"Your response should be different from the disliked responses.",
                               "Your response should be different from the losing responses."}},
    [PLLM_ICL_LOSING_AS_WINNING_ONLY] = {1,
                                         {{REJECTED, 0}},
                                         "Here are past conversations, each with a response that was liked.",
                                         {"Your response should be similar to the liked responses.",
                                          "Your response should be similar to the winning responses."}},
    [PLLM_ICL_WINNING_AND_LOSING] =
        {2,
         {{CHOSEN, 0}, {REJECTED, 1}},
         "Here are past conversations, each with a response that was liked and one that was disliked.",
         {"Your response should be similar to the liked responses and different from the disliked responses.",
          "Your response should be similar to the winning responses and different from the losing responses."}},
    [PLLM_ICL_NONE] = {0, {{0, 0}}, "", {"", ""}},
};
static const char instruction[] = "Use these conversations to answer the prompt below. ";

PllmStatus pllm_icl_options(const char *text, size_t bytes, PllmIclOptions *options, PllmError *err) {
  PllmIclOptions o = {.shots = ANY, .max_tokens = 7000, .max_chars = ANY, .bytes_per_token = 4};
  PllmOption known[] = {
      {.name = "variant",
       .kind = PLLM_OPTION_CHOICE,
       .value = &o.variant,
       .choices = "winning_only|losing_only|losing_as_winning_only|winning_and_losing|none"},
      {.name = "shots", .kind = PLLM_OPTION_INTEGER, .value = &o.shots, .min = 0, .max = (double)ANY},
      {.name = "max_tokens", .kind = PLLM_OPTION_INTEGER, .value = &o.max_tokens, .min = 0, .max = (double)ANY},
      {.name = "bytes_per_token", .kind = PLLM_OPTION_NUMBER, .value = &o.bytes_per_token, .min = 0.1, .max = 1000},
      {.name = "max_chars", .kind = PLLM_OPTION_INTEGER, .value = &o.max_chars, .min = 0, .max = (double)ANY},
      {.name = "overflow", .kind = PLLM_OPTION_CHOICE, .value = &o.skip, .choices = "stop|skip"},
      {.name = "layout", .kind = PLLM_OPTION_CHOICE, .value = &o.published, .choices = "lines|published"},
      {.name = "words", .kind = PLLM_OPTION_CHOICE, .value = &o.winning_words, .choices = "liked|winning"},
      {.name = "header", .kind = PLLM_OPTION_TEXT, .value = &o.header},
      {.name = "closing", .kind = PLLM_OPTION_TEXT, .value = &o.closing},
      {.name = "user", .kind = PLLM_OPTION_TEXT, .value = &o.user},
      {.name = "liked", .kind = PLLM_OPTION_TEXT, .value = &o.liked},
      {.name = "disliked", .kind = PLLM_OPTION_TEXT, .value = &o.disliked},
      {.name = "response", .kind = PLLM_OPTION_TEXT, .value = &o.response},
      {.name = "return", .kind = PLLM_OPTION_CHOICE, .value = &o.as_json, .choices = "text|json"},
  };
  PllmStatus status = PLLM_OK;
  if (text) status = pllm_options_parse(text, bytes, known, sizeof known / sizeof *known, err);
  *options = o;
  return status;
}

void pllm_icl_options_free(PllmIclOptions *o) {
  pllm_free(o->header);
  pllm_free(o->closing);
  pllm_free(o->user);
  pllm_free(o->liked);
  pllm_free(o->disliked);
  pllm_free(o->response);
  memset(o, 0, sizeof *o);
}

typedef struct Entry {
  int64_t rank;
  size_t start[3], bytes[3]; /* in texts; start is SIZE_MAX where the text is not known */
} Entry;

struct PllmIcl {
  PllmBuffer texts;
  Entry *entries; /* owned, [room] */
  size_t count, room;
};

PllmIcl *pllm_icl_new(void) {
  return pllm_alloc_zero(1, sizeof(PllmIcl));
}

void pllm_icl_free(PllmIcl *icl) {
  if (!icl) return;
  pllm_buffer_free(&icl->texts);
  pllm_free(icl->entries);
  pllm_free(icl);
}

PllmStatus pllm_icl_add(PllmIcl *icl, const PllmIclExample *example, PllmError *err) {
  Entry entry = {.rank = example->rank};
  Entry *entries = pllm_grow(icl->entries, icl->count, &icl->room, 8, sizeof *entries);
  if (!entries) return pllm_fail_nomem(err);
  icl->entries = entries;
  for (int i = 0; i < 3; i++) {
    PllmStatus status;
    entry.start[i] = SIZE_MAX;
    if (!example->text[i]) continue;
    status = pllm_text_check(example->text[i], example->bytes[i], err);
    if (status != PLLM_OK) return pllm_error_prefix(err, "rank %lld: %s", (long long)entry.rank, text_names[i]);
    entry.start[i] = icl->texts.count;
    entry.bytes[i] = example->bytes[i];
    status = pllm_buffer_add(&icl->texts, example->text[i], example->bytes[i], err);
    if (status != PLLM_OK) return status;
  }
  icl->entries[icl->count++] = entry;
  return PLLM_OK;
}

/* By rank, in place; ranks may be in any order but are distinct, so that no order is lost.  O(n log^2 n). */
static PllmStatus sort_entries(PllmIcl *icl, PllmError *err) {
  size_t gap = 1;
  while (gap < icl->count / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3)
    for (size_t i = gap; i < icl->count; i++) {
      Entry entry = icl->entries[i];
      size_t at = i;
      for (; at >= gap && icl->entries[at - gap].rank > entry.rank; at -= gap)
        icl->entries[at] = icl->entries[at - gap];
      icl->entries[at] = entry;
    }
  for (size_t i = 1; i < icl->count; i++)
    if (icl->entries[i].rank == icl->entries[i - 1].rank)
      return pllm_fail(err, PLLM_INVALID, "two examples have rank %lld; ranks are distinct within a group",
                       (long long)icl->entries[i].rank);
  return PLLM_OK;
}

/* A writer that stops at the first failure, so that a prompt reads as the list of its parts. */
typedef struct Out {
  PllmBuffer *buffer;
  PllmStatus status;
  PllmError *err;
} Out;

static void put(Out *out, const char *text, size_t bytes) {
  if (out->status == PLLM_OK) out->status = pllm_buffer_add(out->buffer, text, bytes, out->err);
}

static void put_text(Out *out, const char *text) {
  put(out, text, strlen(text));
}

/* A label and a text behind it. */
static void put_line(Out *out, const char *label, const char *text, size_t bytes) {
  put_text(out, label);
  if (*label) put_text(out, " ");
  put(out, text, bytes);
}

static const char *or_else(const char *given, const char *built_in) {
  return given ? given : built_in;
}

/* One block with the empty line behind it. */
static void put_block(Out *out, const PllmIclOptions *o, const PllmIcl *icl, const Entry *entry) {
  const struct Variant *variant = &variants[o->variant];
  const char *texts = icl->texts.bytes;
  put_line(out, or_else(o->user, "User:"), texts + entry->start[PROMPT], entry->bytes[PROMPT]);
  put_text(out, "\n");
  for (int i = 0; i < variant->count; i++) {
    Part part = variant->part[i];
    const char *label =
        part.disliked ? or_else(o->disliked, "Disliked Response:") : or_else(o->liked, "Liked Response:");
    put_line(out, label, texts + entry->start[part.text], entry->bytes[part.text]);
    put_text(out, "\n");
  }
  put_text(out, "\n");
}

static PllmStatus check_entry(const struct Variant *variant, const Entry *entry, PllmError *err) {
  int missing = -1;
  for (int i = variant->count - 1; i >= 0; i--)
    if (entry->start[variant->part[i].text] == SIZE_MAX) missing = variant->part[i].text;
  if (entry->start[PROMPT] == SIZE_MAX) missing = PROMPT;
  if (missing < 0) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "rank %lld: %s is NULL; the variant shows it", (long long)entry->rank,
                   text_names[missing]);
}

static int64_t characters(const char *text, size_t bytes) {
  int64_t n = 0;
  for (size_t i = 0; i < bytes; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
  return n;
}

/* What the budget let in. */
typedef struct Used {
  PllmBuffer blocks, ranks; /* owned; ranks as "1,2,5" */
  int64_t examples, tokens;
} Used;

static PllmStatus fill(PllmIcl *icl, const PllmIclOptions *o, Used *used, PllmError *err) {
  const struct Variant *variant = &variants[o->variant];
  Out out = {&used->blocks, PLLM_OK, err};
  int64_t chars = 0;
  PllmStatus status = sort_entries(icl, err);
  for (size_t i = 0; status == PLLM_OK && variant->count > 0 && i < icl->count && used->examples < o->shots; i++) {
    size_t before = used->blocks.count, size;
    double tokens;
    int64_t n;
    status = check_entry(variant, &icl->entries[i], err);
    if (status != PLLM_OK) break;
    put_block(&out, o, icl, &icl->entries[i]);
    status = out.status;
    if (status != PLLM_OK) break;
    size = used->blocks.count - before;
    tokens = ceil((double)size / o->bytes_per_token);
    n = characters(used->blocks.bytes + before, size);
    if ((double)used->tokens + tokens > (double)o->max_tokens || chars + n > o->max_chars) {
      used->blocks.count = before;
      if (o->skip) continue;
      break;
    }
    used->tokens += (int64_t)tokens;
    chars += n;
    if (used->examples++ > 0) status = pllm_buffer_text(&used->ranks, ",", err);
    if (status == PLLM_OK) status = pllm_buffer_integer(&used->ranks, icl->entries[i].rank, err);
  }
  return status;
}

static PllmStatus write_prompt(const Used *used, const PllmIclOptions *o, const char *test_prompt, size_t bytes,
                               PllmBuffer *text, PllmError *err) {
  const struct Variant *variant = &variants[o->variant];
  const char *response = or_else(o->response, "Response:");
  Out out = {text, PLLM_OK, err};
  if (used->examples > 0) {
    put_text(&out, or_else(o->header, variant->header));
    if (!o->published) put_text(&out, "\n\n");
    put(&out, used->blocks.bytes, used->blocks.count);
    if (o->closing) {
      put_text(&out, o->closing);
    } else {
      put_text(&out, instruction);
      put_text(&out, variant->closing[o->winning_words]);
    }
    put_text(&out, o->published ? " " : "\n\n");
  }
  put_line(&out, or_else(o->user, "User:"), test_prompt, bytes);
  if (!o->published) {
    put_text(&out, "\n");
    put_text(&out, response);
  } else if (used->examples > 0) {
    put_text(&out, " \n");
    put_line(&out, response, "", 0);
  }
  return out.status;
}

static void put_integer(Out *out, const char *before, int64_t number) {
  put_text(out, before);
  if (out->status == PLLM_OK) out->status = pllm_buffer_integer(out->buffer, number, out->err);
}

static PllmStatus write_json(const Used *used, size_t given, const PllmBuffer *prompt, PllmBuffer *text,
                             PllmError *err) {
  Out out = {text, PLLM_OK, err};
  put_integer(&out, "{\"examples\":", used->examples);
  put_integer(&out, ",\"dropped\":", (int64_t)given - used->examples);
  put_integer(&out, ",\"tokens\":", used->tokens);
  put_text(&out, ",\"ranks\":[");
  put(&out, used->ranks.bytes, used->ranks.count);
  put_text(&out, "],\"prompt\":");
  if (out.status == PLLM_OK) out.status = pllm_buffer_string(text, prompt->bytes, prompt->count, err);
  put_text(&out, "}");
  return out.status;
}

PllmStatus pllm_icl_assemble(PllmIcl *icl, const PllmIclOptions *options, const char *test_prompt, size_t bytes,
                             PllmBuffer *text, PllmError *err) {
  Used used = {.examples = 0};
  PllmBuffer prompt = {0};
  PllmStatus status = pllm_text_check(test_prompt, bytes, err);
  text->count = 0;
  if (status != PLLM_OK) pllm_error_prefix(err, "test_prompt");
  if (status == PLLM_OK) status = fill(icl, options, &used, err);
  if (status == PLLM_OK)
    status = write_prompt(&used, options, test_prompt, bytes, options->as_json ? &prompt : text, err);
  if (status == PLLM_OK && options->as_json) status = write_json(&used, icl->count, &prompt, text, err);
  pllm_buffer_free(&used.blocks);
  pllm_buffer_free(&used.ranks);
  pllm_buffer_free(&prompt);
  return status;
}
