/*
** icl.h: in-context prompts, the paper's way to personalise a language model that is not trained
** (definitions.md#in-context-prompts).
**
** A prompt with examples has four parts: a header that says what the examples hold; the example blocks, each a past
** prompt with one or two responses under labels; a closing instruction; the test prompt and an empty response label.
** A prompt without examples ("zero-shot") is the last part alone.  Two layouts, here with every part that can be set
** in braces:
**
**   lines                               published
**   {header}                            {header}{user} PAST PROMPT
**                                       {liked} RESPONSE
**   {user} PAST PROMPT                  {disliked} RESPONSE
**   {liked} RESPONSE
**   {disliked} RESPONSE                 {closing} {user} TEST PROMPT_
**                                       {response}_
**   {closing}
**
**   {user} TEST PROMPT
**   {response}
**
** "lines" puts an empty line between any two parts and ends with the label.  "published" has the byte layout of the
** published generators: nothing between header and first block, one space between closing and test prompt, a space
** (shown as _) behind the test prompt and behind the last label, and zero-shot has no response label at all.  A
** label is followed by a space unless it is empty.
*/
#ifndef PERSONALLLM_ICL_H
#define PERSONALLLM_ICL_H

#include "buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a block holds, and what header and closing say of it (definitions.md#prompt-variants). */
typedef enum PllmIclVariant {
  PLLM_ICL_WINNING_ONLY,           /* the chosen response, as liked */
  PLLM_ICL_LOSING_ONLY,            /* the rejected response, as disliked */
  PLLM_ICL_LOSING_AS_WINNING_ONLY, /* the rejected response mislabelled as liked: a control */
  PLLM_ICL_WINNING_AND_LOSING,     /* both, the chosen one first */
  PLLM_ICL_NONE                    /* no blocks whatever the examples: zero-shot */
} PllmIclVariant;

typedef struct PllmIclOptions {
  int variant;       /* PllmIclVariant */
  int published;     /* layout */
  int winning_words; /* the closing says winning and losing for liked and disliked, as the published methods do that
                     ** take examples from other users */
  int skip;          /* a block over the budget is passed over; otherwise it ends the list, as published */
  int64_t shots;     /* blocks at most */
  int64_t max_tokens,
      max_chars; /* of all blocks together; a token is estimated as bytes_per_token bytes of UTF-8, rounded
                                 ** up for each block, a char is a code point */
  double bytes_per_token;
  int as_json; /* result {"examples": used, "dropped": others, "tokens": estimated, "ranks": [...], "prompt": text} */
  char *header, *closing, *user, *liked, *disliked, *response; /* owned; NULL: built-in wording */
} PllmIclOptions;

/*
** Options from JSON text (text = NULL: all defaults): variant, layout ("lines", "published"), words ("liked",
** "winning"), overflow ("stop", "skip"), shots, max_tokens (7000), max_chars, bytes_per_token (4), return ("text",
** "json"), header, closing, user, liked, disliked, response.  PLLM_INVALID as pllm_options_parse.  End with
** pllm_icl_options_free, also after a failure.
*/
PllmStatus pllm_icl_options(const char *text, size_t bytes, PllmIclOptions *options, PllmError *err);
void pllm_icl_options_free(PllmIclOptions *options);

/* One prompt being collected: examples come in any order and are used in that of their ranks. */
typedef struct PllmIcl PllmIcl;
PllmIcl *pllm_icl_new(void); /* NULL when out of memory */
void pllm_icl_free(PllmIcl *icl);

/*
** Add an example: prompt, chosen and rejected text, of which a NULL one is not known.  Copied.  PLLM_INVALID, naming
** rank and text, for U+0000 or invalid UTF-8, which no request to a server could carry.  O(bytes).
*/
typedef struct PllmIclExample {
  int64_t rank;
  const char *text[3]; /* prompt, chosen, rejected; NULL: not known */
  size_t bytes[3];
} PllmIclExample;
PllmStatus pllm_icl_add(PllmIcl *icl, const PllmIclExample *example, PllmError *err);

/*
** Assemble the prompt into *out (emptied before).  PLLM_INVALID for two examples of one rank, for an example that
** lacks a text the variant shows, and for U+0000 or invalid UTF-8 in the test prompt.  O(n log n + bytes) for n
** examples.
*/
PllmStatus pllm_icl_assemble(PllmIcl *icl, const PllmIclOptions *options, const char *test_prompt, size_t bytes,
                             PllmBuffer *out, PllmError *err);

/*
** One line of the batch format that OpenAI-compatible servers and `vllm run-batch` read: a JSON object with
** custom_id, method, url and body, without line end.
*/
typedef struct PllmChatOptions {
  int raw; /* endpoint /v1/completions with a plain prompt, as published; otherwise /v1/chat/completions */
  char *model, *system;      /* owned; model NULL: the published one */
  double temperature, top_p; /* default 0 and .95, as published */
  int64_t max_tokens;        /* default 512, as published */
  int64_t seed;              /* negative: not sent */
  char *stop,
      *body; /* owned JSON text: a string or array of strings; an object of further members of the body, which replace
                     ** those of the same name, or leave them out where null */
} PllmChatOptions;

/* Options from JSON text (NULL: all defaults): endpoint ("chat", "completions"), model, system, temperature, top_p,
** max_tokens, seed, stop, body.  Errors and freeing as pllm_icl_options. */
PllmStatus pllm_chat_options(const char *text, size_t bytes, PllmChatOptions *options, PllmError *err);
void pllm_chat_options_free(PllmChatOptions *options);

/* The line into *out (emptied before).  PLLM_INVALID for U+0000 or invalid UTF-8 in either text.  O(bytes). */
PllmStatus pllm_chat_request(const PllmChatOptions *options, const char *custom_id, size_t id_bytes,
                             const char *content, size_t bytes, PllmBuffer *out, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
