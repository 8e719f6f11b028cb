/*
** core_style.c: the ten text scorers.  style.h is their specification: counts C1..C6, scores S1..S10, rules R1, R2.
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

const char *pllm_style_reward_name(size_t i) {
  static const char *const names[] = {"brevity",   "caution",   "depth",     "drive",     "ease",
                                      "narrative", "precision", "relevance", "structure", "warmth"};
  return i < PLLM_STYLE_REWARDS ? names[i] : NULL;
}

/* What a prompt or a response is scored by.  Doubles, as formulas use them; all but quotes and bold are whole. */
typedef struct Counts {
  double words, chars, content, sentences, openers;
  double hedge, reason, drive, casual, story, past, person, you, warm, tech, unit, order, number;
  double questions, exclaims, quotes, emoji, code, symbols, contractions, numbers;
  double items, headings, bold, labels, paragraphs, verdict;
  int asks_number, asks_verdict; /* R2 */
  unsigned flags;                /* all lexicon flags seen */
  PllmU64List stems;             /* of the content words */
  PllmU64List triples;           /* runs of three words */
} Counts;

static void counts_free(Counts *counts) {
  pllm_free(counts->stems.keys);
  pllm_free(counts->triples.keys);
}

/* C6: the stem's hash. */
static uint64_t stem_hash(const PllmToken *token) {
  char w[64];
  size_t n = token->bytes;
  uint64_t h = PLLM_FNV_START;
  if (n >= sizeof w) return pllm_token_hash(token, 0);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = token->start[i] | 32;
    if (c < 'a' || c > 'z') return pllm_token_hash(token, 0);
    w[i] = (char)c;
  }
  if (n >= 5 && memcmp(w + n - 3, "ies", 3) == 0) {
    w[n - 3] = 'y';
    n -= 2;
  } else if (n >= 4 && w[n - 1] == 's' && w[n - 2] != 's') {
    n--;
  }
  if (n >= 6 && memcmp(w + n - 3, "ing", 3) == 0)
    n -= 3;
  else if (n >= 5 && memcmp(w + n - 2, "ed", 2) == 0)
    n -= 2;
  if (n >= 4 && w[n - 1] == 'e') n--;
  if (n >= 4 && w[n - 1] == w[n - 2]) n--;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)w[i]) * PLLM_FNV_PRIME;
  return pllm_hash_mix(h);
}

static int is_one_of(const PllmToken *token, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++) {
    size_t n = strlen(words[i]), k = 0;
    if (token->bytes != n) continue;
    while (k < n && (token->start[k] | 32) == (unsigned char)words[i][k]) k++;
    if (k == n) return 1;
  }
  return 0;
}

static const char *const how[] = {"how"};
static const char *const amounts[] = {"many", "much", "long", "far",   "old",   "tall", "high",
                                      "fast", "big",  "deep", "heavy", "large", "often"};
static const char *const auxiliaries[] = {"is",     "are",   "was",  "were", "do",   "does", "did", "can", "could",
                                          "should", "would", "will", "has",  "have", "had",  "am",  "may"};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static int ends_sentence(uint32_t c) {
  return c == '.' || c == '!' || c == '?' || c == 0x2026 || c == 0x3002 || c == 0xFF01 || c == 0xFF1F;
}

static int is_symbol(uint32_t c) {
  if (c < 0x80) return c != 0 && strchr("=<>{}%$/+\\^", (int)c) != NULL;
  return c == 0xB0 || c == 0xB1 || c == 0xD7 || c == 0xF7 || c == 0x2030 || (c >= 0x2190 && c <= 0x22FF);
}

/* The byte at p, 0 at the end of the text. */
static unsigned char peek(const unsigned char *p, const unsigned char *end) {
  return p < end ? *p : 0;
}

static void count_mark(Counts *k, const PllmToken *token, const unsigned char *end) {
  uint32_t c = token->first, after = 0;
  const unsigned char *next = token->start + token->bytes;
  if (next < end) pllm_utf8_next(next, end, &after);
  k->questions += c == '?' || c == 0xFF1F;
  k->exclaims += c == '!' || c == 0xFF01;
  k->quotes += c == '"' || c == 0x201C || c == 0x201D ? 0.5 : 0;
  k->emoji += (c >= 0x2600 && c <= 0x27BF) || (c >= 0x1F000 && c <= 0x1FAFF);
  k->code += c == '`';
  k->symbols += is_symbol(c);
  k->bold += (c == '*' || c == '_') && token->chars == 2 ? 0.5 : 0;
  k->labels += c == ':' && after == '\n';
  if (token->breaks > 0) {
    int bullet = (c == '-' || c == '*' || c == 0x2022) && token->chars == 1 && next < end && pllm_text_space(after);
    k->items += bullet || c == '|';
    k->headings += c == '#';
  }
}

static void count_word(Counts *k, const PllmToken *token, unsigned flags) {
  k->words++;
  k->chars += (double)token->chars;
  k->flags |= flags;
  k->hedge += (flags & PLLM_LEX_HEDGE) != 0;
  k->reason += (flags & PLLM_LEX_REASON) != 0;
  k->drive += (flags & PLLM_LEX_DRIVE) != 0;
  k->casual += (flags & PLLM_LEX_CASUAL) != 0;
  k->story += (flags & PLLM_LEX_STORY) != 0;
  k->past += (flags & PLLM_LEX_PAST) != 0;
  k->person += (flags & PLLM_LEX_PERSON) != 0;
  k->you += (flags & PLLM_LEX_YOU) != 0;
  k->warm += (flags & PLLM_LEX_WARM) != 0;
  k->tech += (flags & PLLM_LEX_TECH) != 0;
  k->unit += (flags & PLLM_LEX_UNIT) != 0;
  k->order += (flags & PLLM_LEX_ORDER) != 0;
  k->number += (flags & PLLM_LEX_NUMBER) != 0;
  k->numbers += token->kind == PLLM_TOKEN_NUMBER;
  k->verdict += k->words <= 6 && (flags & PLLM_LEX_VERDICT);
}

/* One pass over a text; the lists come out sorted. */
static PllmStatus count_text(const char *text, size_t bytes, Counts *k, PllmError *err) {
  const unsigned char *start = (const unsigned char *)text, *end = start + bytes;
  PllmTokenizer walk = {.text = start, .end = end};
  PllmToken token;
  PllmStatus status;
  uint64_t last[2] = {0, 0}; /* hashes of the two words before */
  unsigned last_flags = 0;
  double sentence = 0; /* words since the last sentence's end */
  int after_how = 0;
  memset(k, 0, sizeof *k);
  while (pllm_token_next(&walk, &token)) {
    int word = token.kind == PLLM_TOKEN_WORD || token.kind == PLLM_TOKEN_NUMBER || token.kind == PLLM_TOKEN_HAN;
    unsigned flags = word ? pllm_lexicon_flags(&token) : 0;
    uint64_t hash;
    k->paragraphs += token.breaks >= 2;
    if (token.breaks > 0 && sentence > 0) {
      k->sentences++;
      sentence = 0;
    }
    if (token.kind == PLLM_TOKEN_NUMBER && token.breaks > 0) {
      unsigned char after = peek(token.start + token.bytes, end);
      if (after == '.' || after == ')') { /* C1: an enumerator, no word */
        k->items++;
        continue;
      }
    }
    if (token.kind == PLLM_TOKEN_CLITIC) {
      int possessive = (token.start[token.bytes - 1] | 32) == 's' && !(last_flags & (PLLM_LEX_STOP | PLLM_LEX_VERB));
      k->contractions += !possessive;
      continue;
    }
    if (!word) {
      count_mark(k, &token, end);
      if (ends_sentence(token.first) && sentence > 0) {
        k->sentences++;
        sentence = 0;
      }
      continue;
    }
    count_word(k, &token, flags);
    if (sentence == 0) {
      k->openers += (flags & PLLM_LEX_VERB) != 0;
      k->asks_verdict |= is_one_of(&token, auxiliaries, COUNT_OF(auxiliaries));
    }
    k->asks_number |= after_how && is_one_of(&token, amounts, COUNT_OF(amounts));
    after_how = is_one_of(&token, how, COUNT_OF(how));
    sentence++;
    last_flags = flags;
    if (!(flags & PLLM_LEX_STOP) && (token.chars >= 2 || token.kind == PLLM_TOKEN_HAN)) {
      k->content++;
      if ((status = pllm_u64_push(&k->stems, stem_hash(&token), err)) != PLLM_OK) return status;
    }
    hash = pllm_token_hash(&token, 0);
    if (k->words >= 3) {
      uint64_t triple = pllm_hash_mix(last[0] * 3 + pllm_hash_mix(last[1] * 3 + hash));
      if ((status = pllm_u64_push(&k->triples, triple, err)) != PLLM_OK) return status;
    }
    last[0] = last[1];
    last[1] = hash;
  }
  k->sentences += sentence > 0;
  if ((status = pllm_u64_sort(&k->stems, err)) != PLLM_OK) return status;
  return pllm_u64_sort(&k->triples, err);
}

/* Of sorted a's keys: how many are in sorted b; *distinct counts each different one once. */
static double common(const PllmU64List *a, const PllmU64List *b, double *distinct) {
  double found = 0, different = 0;
  for (size_t i = 0, k = 0; i < a->count; i++) {
    while (k < b->count && b->keys[k] < a->keys[i]) k++;
    if (k == b->count) break;
    if (b->keys[k] != a->keys[i]) continue;
    found++;
    different += i == 0 || a->keys[i - 1] != a->keys[i];
  }
  if (distinct) *distinct = different;
  return found;
}

static double saturate(double x, double k) {
  return x / (x + k);
}

static double clip(double x) {
  return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* R1 */
static double overlap(const Counts *p, const Counts *a) {
  double found, hits = common(&a->stems, &p->stems, &found), asked = (double)pllm_u64_distinct(&p->stems), copied = 0;
  if (asked == 0 || a->content == 0) return 0;
  if (a->triples.count > 0) copied = common(&a->triples, &p->triples, NULL) / (double)a->triples.count;
  return sqrt(found / asked * clip(4 * hits / a->content)) * (1 - copied);
}

/* R2: whether the prompt asks for a form, and how well the answer has it. */
static int asked_form(const Counts *p, const Counts *a, double narrative, double *form) {
  double sum = 0, asked = 0;
  if (p->flags & PLLM_LEX_LIST) {
    asked++;
    sum += saturate(a->items, 2);
  }
  if (p->asks_number) {
    asked++;
    sum += a->numbers + a->number > 0;
  }
  if (p->asks_verdict && p->questions > 0) {
    asked++;
    sum += a->verdict > 0;
  }
  if (p->flags & PLLM_LEX_BRIEF) {
    asked++;
    sum += 40 / (40 + a->words);
  }
  if (p->flags & PLLM_LEX_TALE) {
    asked++;
    sum += narrative;
  }
  if (p->flags & PLLM_LEX_CODE) {
    asked++;
    sum += a->code > 0;
  }
  if (asked == 0) return 0;
  *form = sum / asked;
  return 1;
}

PllmStatus pllm_style_rewards(const char *prompt, size_t prompt_bytes, const char *response, size_t response_bytes,
                              double *out, PllmError *err) {
  Counts p = {0}, a = {0};
  PllmStatus status = count_text(response, response_bytes, &a, err);
  double rate, length, form = 0;
  if (status == PLLM_OK) status = count_text(prompt, prompt_bytes, &p, err);
  if (status != PLLM_OK) goto done;
  if (a.words == 0) {
    for (size_t i = 0; i < PLLM_STYLE_REWARDS; i++) out[i] = 0;
    goto done;
  }
  rate = 100 / (a.words + 25);
  length = a.chars / a.words;
  out[0] = saturate(a.words, 1) * 40 / (40 + a.words);
  out[1] = saturate(rate * (a.hedge + a.questions / 2), 4);
  out[2] = 0.4 * saturate((double)pllm_u64_distinct(&a.stems), 40) + 0.4 * saturate(rate * a.reason, 3) +
           0.2 * clip((length - 3.5) / 2.5);
  out[3] = saturate(rate * (a.openers + a.drive + a.exclaims / 2), 6);
  out[4] = 0.6 * saturate(rate * (a.contractions + a.casual), 6) + 0.2 * clip((6 - length) / 2.5) +
           0.2 * saturate(12 * a.sentences / a.words, 1);
  out[5] = saturate(rate * (a.past + a.story + a.person / 2 + a.quotes), 12);
  out[6] = saturate(rate * (a.numbers + a.number / 2 + a.unit + a.tech + a.code + a.symbols / 2), 8);
  out[7] = overlap(&p, &a);
  if (asked_form(&p, &a, out[5], &form)) out[7] = 0.7 * out[7] + 0.3 * form;
  out[8] = 0.5 * saturate(a.items + 2 * a.headings + a.labels, 3) + 0.2 * saturate(a.paragraphs + a.bold, 3) +
           0.3 * saturate(rate * a.order, 3);
  out[9] = saturate(rate * (a.warm + a.you / 4 + a.exclaims / 4 + 3 * a.emoji), 5);
done:
  counts_free(&p);
  counts_free(&a);
  return status;
}
