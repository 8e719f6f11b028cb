/*
** core_distill_form.c: what a response looks like, in numbers: the dense features of text students.
**
** FROZEN within a major version, like everything that a stored student reads: a change here changes what its weights
** mean.  Counts of words, marks, lines and classes of words, as logarithms log(1 + n) and as rates n/(words + 10),
** the share of the prompt that comes back, the beginning and the end.  Each is then centred and scaled by constants
** (core_distill_norm.h: mean and standard deviation over the 4,000 training responses of alpaca8) and clipped to
** -4..4, so that a text's features depend on nothing but the text, and rows can be streamed.
*/
#include "core_distill.h"

#include "core_math.h"
#include "core_distill_norm.h"

#include <string.h>

/* Groups of words, in lower case; a word is in one at most.  Sorted by word. */
typedef enum Group {
  G_I,
  G_MY,
  G_WE,
  G_SHE,
  G_THEY,
  G_SORRY,
  G_BUT,
  G_SURE,
  G_IMPORTANT,
  G_IS,
  G_WAS,
  G_THE,
  G_AND,
  G_OF,
  G_TO,
  G_A,
  G_NOT,
  G_HELP,
  G_EXAMPLE,
  G_STEP,
  G_OVERALL,
  G_THANKS,
  G_BECAUSE,
  G_CAN,
  G_IN,
  G_FOR,
  G_THAT,
  G_WITH,
  G_OR,
  G_IT,
  G_KNOW,
  GROUPS
} Group;

static const struct {
  const char *word;
  Group group;
} words[] = {
    {"a", G_A},
    {"absolutely", G_SURE},
    {"although", G_BUT},
    {"an", G_A},
    {"and", G_AND},
    {"apologize", G_SORRY},
    {"are", G_IS},
    {"assist", G_HELP},
    {"because", G_BECAUSE},
    {"but", G_BUT},
    {"can", G_CAN},
    {"cannot", G_SORRY},
    {"certainly", G_SURE},
    {"conclusion", G_OVERALL},
    {"consider", G_IMPORTANT},
    {"could", G_CAN},
    {"course", G_SURE},
    {"ensure", G_IMPORTANT},
    {"example", G_EXAMPLE},
    {"feel", G_KNOW},
    {"finally", G_OVERALL},
    {"for", G_FOR},
    {"free", G_KNOW},
    {"glad", G_THANKS},
    {"had", G_WAS},
    {"happy", G_THANKS},
    {"he", G_SHE},
    {"help", G_HELP},
    {"her", G_SHE},
    {"here", G_SURE},
    {"him", G_SHE},
    {"his", G_SHE},
    {"hope", G_THANKS},
    {"however", G_BUT},
    {"i", G_I},
    {"important", G_IMPORTANT},
    {"in", G_IN},
    {"instance", G_EXAMPLE},
    {"is", G_IS},
    {"it", G_IT},
    {"its", G_IT},
    {"know", G_KNOW},
    {"let", G_KNOW},
    {"may", G_CAN},
    {"me", G_MY},
    {"might", G_CAN},
    {"my", G_MY},
    {"n't", G_NOT},
    {"not", G_NOT},
    {"note", G_IMPORTANT},
    {"of", G_OF},
    {"or", G_OR},
    {"our", G_WE},
    {"overall", G_OVERALL},
    {"please", G_THANKS},
    {"questions", G_KNOW},
    {"remember", G_IMPORTANT},
    {"said", G_WAS},
    {"she", G_SHE},
    {"since", G_BECAUSE},
    {"sorry", G_SORRY},
    {"step", G_STEP},
    {"steps", G_STEP},
    {"summary", G_OVERALL},
    {"sure", G_SURE},
    {"thank", G_THANKS},
    {"thanks", G_THANKS},
    {"that", G_THAT},
    {"the", G_THE},
    {"their", G_THEY},
    {"them", G_THEY},
    {"therefore", G_BECAUSE},
    {"they", G_THEY},
    {"this", G_THAT},
    {"though", G_BUT},
    {"thus", G_BECAUSE},
    {"to", G_TO},
    {"unable", G_SORRY},
    {"unfortunately", G_SORRY},
    {"us", G_WE},
    {"was", G_WAS},
    {"we", G_WE},
    {"went", G_WAS},
    {"were", G_WAS},
    {"with", G_WITH},
};

static Group word_group(const PllmToken *token) {
  char word[16];
  size_t low = 0, high = sizeof words / sizeof *words;
  if (token->bytes >= sizeof word) return GROUPS;
  for (size_t i = 0; i < token->bytes; i++) {
    unsigned char c = token->start[i];
    word[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  word[token->bytes] = 0;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(word, words[middle].word);
    if (order == 0) return words[middle].group;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return GROUPS;
}

enum { FLAGS = 22, OPENING = 25, CLOSING = 30 };
static const char marks[] = ",.!?:;(\"'-/$%=*_<\\`|#";
enum { MARKS = sizeof marks - 1 };
static const double hinges[] = {20, 60, 150, 300, 450};

/* What one walk over a response counts. */
typedef struct Tally {
  double words, tokens, chars, numbers, sentences, lines, paragraphs;
  double items, enumerators, headings, tables, labels, fences;
  double flag[FLAGS], group[GROUPS], modifiers;
  double opening[GROUPS + 1], closing[GROUPS + 1]; /* the last is words flagged YOU */
  double upper, digits, wide, mark[MARKS], longest;
  double first_line, line; /* words in it, and in the line so far */
  double found, hits; /* distinct words of the prompt that come back; words of the response that the prompt has */
  PllmU64List seen;
  unsigned char ring[CLOSING], ring_you[CLOSING]; /* of the last words */
  uint32_t last;                                  /* first code point of the last token */
  PllmTokenKind last_kind, first_kind;
} Tally;

/* Bytes: classes of characters, lines. */
static void count_bytes(const unsigned char *p, const unsigned char *end, Tally *t) {
  double line = 0;
  for (; p < end; p++) {
    const char *at = *p ? strchr(marks, *p) : NULL;
    if (at) t->mark[at - marks]++;
    t->upper += *p >= 'A' && *p <= 'Z';
    t->digits += *p >= '0' && *p <= '9';
    t->wide += *p >= 0xC0; /* a lead byte: one a character */
    line = *p == '\n' ? 0 : line + 1;
    if (line > t->longest) t->longest = line;
  }
}

static void count_open(Tally *t, const PllmToken *token, const unsigned char *end) {
  const unsigned char *next = token->start + token->bytes;
  uint32_t c = token->first;
  int space = next < end && (*next == ' ' || *next == '\t');
  if (token->kind == PLLM_TOKEN_NUMBER) t->enumerators += next < end && (*next == '.' || *next == ')');
  if (token->kind != PLLM_TOKEN_MARK) return;
  t->items += (c == '-' || c == '*' || c == 0x2022) && token->chars == 1 && space;
  t->headings += c == '#';
  t->tables += c == '|';
  t->fences += c == '`' && token->chars >= 3;
}

static PllmStatus walk(const char *text, size_t bytes, const PllmU64List *asked, Tally *t, PllmError *err) {
  const unsigned char *start = (const unsigned char *)text, *end = start + bytes;
  PllmTokenizer tokens = {.text = start, .end = end};
  PllmToken token;
  PllmStatus status;
  double sentence = 0;
  count_bytes(start, end, t);
  while (pllm_token_next(&tokens, &token)) {
    int word = token.kind != PLLM_TOKEN_MARK && token.kind != PLLM_TOKEN_CLITIC,
        clitic = token.kind == PLLM_TOKEN_CLITIC;
    unsigned flags = word ? pllm_lexicon_flags(&token) : 0;
    if (t->tokens == 0) t->first_kind = token.kind;
    t->tokens++;
    t->last = token.first;
    t->last_kind = token.kind;
    if (token.breaks > 0) {
      if (t->lines == 1) t->first_line = t->line;
      t->lines++;
      t->paragraphs += token.breaks > 1;
      t->line = 0;
      t->sentences += sentence > 0;
      sentence = 0;
      count_open(t, &token, end);
    }
    if (!word && !clitic) {
      t->labels += token.first == ':' && token.start + token.bytes < end && token.start[token.bytes] == '\n';
      if (token.first == '.' || token.first == '!' || token.first == '?') {
        t->sentences += sentence > 0;
        sentence = 0;
      }
      continue;
    }
    t->modifiers += pllm_lexicon_modifier(&token, flags) != 0;
    if (word) {
      uint64_t hash = pllm_token_hash(&token, 0);
      size_t low = 0, high = asked->count;
      if ((status = pllm_u64_push(&t->seen, hash, err)) != PLLM_OK) return status;
      while (low < high) {
        size_t middle = (low + high) / 2;
        if (asked->keys[middle] < hash)
          low = middle + 1;
        else
          high = middle;
      }
      t->hits += low < asked->count && asked->keys[low] == hash;
      t->chars += (double)token.chars;
      t->numbers += token.kind == PLLM_TOKEN_NUMBER;
      for (int i = 0; i < FLAGS; i++) t->flag[i] += flags >> i & 1;
    }
    {
      Group group = word_group(&token);
      int you = (flags & PLLM_LEX_YOU) != 0;
      size_t at = (size_t)t->words % CLOSING;
      if (group < GROUPS) t->group[group]++;
      if (word) {
        if (t->words < OPENING) {
          if (group < GROUPS) t->opening[group]++;
          t->opening[GROUPS] += you;
        }
        t->ring[at] = (unsigned char)group;
        t->ring_you[at] = (unsigned char)you;
        t->words++;
        t->line++;
        sentence++;
      }
    }
  }
  t->sentences += sentence > 0;
  if (t->lines == 1) t->first_line = t->line;
  for (size_t i = 0; i < CLOSING && (double)i < t->words; i++) {
    if (t->ring[i] < GROUPS) t->closing[t->ring[i]]++;
    t->closing[GROUPS] += t->ring_you[i];
  }
  return pllm_u64_sort(&t->seen, err);
}

/* The distinct words of a prompt that are no stop words, ascending. */
static PllmStatus asked_words(const char *text, size_t bytes, PllmU64List *asked, PllmError *err) {
  PllmTokenizer tokens = {.text = (const unsigned char *)text, .end = (const unsigned char *)text + bytes};
  PllmToken token;
  PllmStatus status;
  size_t kept = 0;
  while (pllm_token_next(&tokens, &token)) {
    if (token.kind == PLLM_TOKEN_MARK || token.kind == PLLM_TOKEN_CLITIC) continue;
    if (pllm_lexicon_flags(&token) & PLLM_LEX_STOP) continue;
    if ((status = pllm_u64_push(asked, pllm_token_hash(&token, 0), err)) != PLLM_OK) return status;
  }
  if ((status = pllm_u64_sort(asked, err)) != PLLM_OK) return status;
  for (size_t i = 0; i < asked->count; i++)
    if (i == 0 || asked->keys[i] != asked->keys[i - 1]) asked->keys[kept++] = asked->keys[i];
  asked->count = kept;
  return PLLM_OK;
}

/* How many of asked (distinct, sorted) are in seen (sorted). */
static double found(const PllmU64List *asked, const PllmU64List *seen) {
  double count = 0;
  for (size_t i = 0, k = 0; i < asked->count; i++) {
    while (k < seen->count && seen->keys[k] < asked->keys[i]) k++;
    count += k < seen->count && seen->keys[k] == asked->keys[i];
  }
  return count;
}

static double larger(double x) {
  return pllm_log1(1 + x);
}

/* The features before they are centred and scaled; returns how many. */
static size_t list_features(const Tally *t, double bytes, double asked, double *out) {
  double *x = out, n = t->words, per = 10 / (n + 10), distinct = (double)pllm_u64_distinct(&t->seen);
  const double plain[] = {n,         t->tokens,     bytes,      distinct,       t->sentences,
                          t->lines,  t->paragraphs, t->items,   t->enumerators, t->headings,
                          t->tables, t->labels,     t->fences,  t->numbers,     t->upper,
                          t->digits, t->wide,       t->longest, t->first_line,  t->line,
                          t->hits,   t->modifiers};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) *x++ = larger(plain[i]);
  *x++ = distinct / (n + 1);
  *x++ = t->chars / (n + 1);
  *x++ = n / (t->sentences + 1);
  *x++ = t->upper / (bytes + 1);
  *x++ = t->digits / (bytes + 1);
  *x++ = t->wide / (bytes + 1);
  *x++ = (t->mark[0] + t->mark[1]) / (bytes + 1);
  *x++ = t->hits / (n + 1);
  *x++ = t->found / (asked + 1);
  *x++ = per * t->modifiers;
  for (size_t i = 0; i < sizeof hinges / sizeof *hinges; i++) *x++ = n < hinges[i] ? n / hinges[i] : 1;
  for (int i = 0; i < MARKS; i++) *x++ = larger(t->mark[i]);
  for (int i = 0; i < FLAGS; i++) {
    *x++ = larger(t->flag[i]);
    *x++ = per * t->flag[i];
  }
  for (int i = 0; i < GROUPS; i++) {
    *x++ = larger(t->group[i]);
    *x++ = per * t->group[i];
  }
  *x++ = t->opening[G_I] + t->opening[G_MY];
  *x++ = t->opening[G_SORRY];
  *x++ = t->opening[G_SURE];
  *x++ = t->opening[GROUPS];
  *x++ = t->closing[G_I] + t->closing[G_MY];
  *x++ = t->closing[G_HELP] + t->closing[G_KNOW];
  *x++ = t->closing[G_OVERALL];
  *x++ = t->closing[GROUPS];
  *x++ = t->last == '.' || t->last == '!';
  *x++ = t->last == '?';
  *x++ = t->last == ':';
  *x++ = t->last_kind != PLLM_TOKEN_MARK;
  *x++ = t->first_kind == PLLM_TOKEN_MARK;
  return (size_t)(x - out);
}

PllmStatus pllm_form_features(const char *prompt, size_t prompt_bytes, const char *response, size_t bytes,
                              double *out, PllmError *err) {
  Tally t = {0};
  PllmU64List asked = {0};
  PllmStatus status = asked_words(prompt, prompt_bytes, &asked, err);
  if (status == PLLM_OK) status = walk(response, bytes, &asked, &t, err);
  if (status == PLLM_OK) {
    t.found = found(&asked, &t.seen);
    if (list_features(&t, (double)bytes, (double)asked.count, out) != PLLM_FORM_FEATURES)
      status = pllm_fail(err, PLLM_INTERNAL, "the form features are not %d", PLLM_FORM_FEATURES);
    for (size_t i = 0; status == PLLM_OK && i < PLLM_FORM_FEATURES; i++) {
      double z = (out[i] - form_mean[i]) / form_sd[i];
      out[i] = z < -4 ? -4 : z > 4 ? 4 : z;
    }
  }
  pllm_free(t.seen.keys);
  pllm_free(asked.keys);
  return status;
}
