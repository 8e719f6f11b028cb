/*
** test_style.c: tokens (T1..T6 of text.h), the lexicon, hashing and sorting, scores and the bar, without SQLite.
*/
#include "tap.h"

#include <stdlib.h>

/* The tokens of a text as "kind:token kind:token ...", and whether a line break came before (/). */
static const char *show(const char *text, size_t bytes) {
  static char out[1024];
  static const char kinds[] = "wnchm";
  const unsigned char *start = (const unsigned char *)text;
  PllmTokenizer walk = {.text = start, .end = start + bytes};
  PllmToken token;
  size_t n = 0;
  out[0] = 0;
  while (n + 100 < sizeof out && pllm_token_next(&walk, &token))
    n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s%c:%.*s", n ? " " : "", token.breaks, "//",
                          kinds[token.kind], (int)token.bytes, (const char *)token.start);
  return out;
}

static void check_tokens(void) {
  static const struct {
    const char *text, *want, *rule;
  } cases[] = {
      {"", "", "nothing"},
      {"a b\nc\n\n\nd", "/w:a w:b /w:c //w:d", "T1 white space separates, line breaks are counted up to two"},
      {"well-known e.g. x_y rock'n'roll", "/w:well-known w:e.g m:. w:x_y w:rock'n'roll", "T2 joiners"},
      {"'tis dogs' a--b -c d-", "/m:' w:tis w:dogs m:' w:a m:-- w:b m:- w:c w:d m:-", "T2 joiners only between"},
      {"1,400 3.14 12:30 x,y 1, 2nd", "/n:1,400 n:3.14 n:12:30 w:x m:, w:y n:1 m:, n:2nd", "T2 numbers"},
      {"don't IT'S we\xE2\x80\x99ve n't o'clock", "/w:do c:n't w:IT c:'S w:we c:\xE2\x80\x99ve w:n't w:o'clock",
       "T3 clitics"},
      {"\xE6\x9D\xB1\xE4\xBA\xAC"
       "a",
       "/h:\xE6\x9D\xB1 h:\xE4\xBA\xAC w:a", "T4 han"},
      {"**b** ... ?! ((", "/m:** w:b m:** m:... m:? m:! m:( m:(", "T5 marks"},
      {"\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBDx \xE2\x98\x80\xEF\xB8\x8F",
       "/m:\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD w:x m:\xE2\x98\x80\xEF\xB8\x8F", "T6 extend characters"},
      {"caf\xC3\xA9 na\xC3\xAFve", "/w:caf\xC3\xA9 w:na\xC3\xAFve", "letters beyond ASCII"},
      {"a\xFF"
       "b\xE2\x80",
       "/w:a m:\xFF w:b m:\xE2\x80", "ill-formed parts are marks"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *got = show(cases[i].text, strlen(cases[i].text));
    if (!tap_check(strcmp(got, cases[i].want) == 0, "%s", cases[i].rule))
      printf("# got %s\n# want %s\n", got, cases[i].want);
  }
  tap_check(strcmp(show("a\0b", 3), "/w:a m: w:b") == 0, "a NUL byte is a mark and ends nothing");
}

static unsigned flags_of(const char *word) {
  PllmToken token = {.start = (const unsigned char *)word, .bytes = strlen(word), .kind = PLLM_TOKEN_WORD};
  return pllm_lexicon_flags(&token);
}

static int modifier(const char *word) {
  PllmToken token = {.start = (const unsigned char *)word, .bytes = strlen(word), .kind = PLLM_TOKEN_WORD};
  return pllm_lexicon_modifier(&token, pllm_lexicon_flags(&token));
}

static void check_lexicon(void) {
  tap_check(flags_of("the") == PLLM_LEX_STOP && flags_of("THE") == PLLM_LEX_STOP, "stop words in either case");
  tap_check(flags_of("perhaps") & PLLM_LEX_HEDGE, "a hedge");
  tap_check(flags_of("zzz") == 0 && flags_of("") == 0 && flags_of("a1") == 0, "unknown words have no flags");
  tap_check(flags_of("a") != 0 && flags_of("zero") != 0, "the first and the last words are found");
  tap_check(flags_of("accountabilityaccountability") == 0, "words longer than any in the table");
  tap_check(modifier("quickly") && modifier("beautiful") && modifier("very"), "adverbs and adjectives");
  tap_check(!modifier("family") && !modifier("hospital") && !modifier("fly") && !modifier("the") &&
                !modifier("table"),
            "words that only look so");
}

static void check_sort(void) {
  uint64_t keys[3000], scratch[3000], x = 1, sum = 0, after = 0;
  for (size_t n = 0; n <= 3000; n = n < 70 ? n + 1 : n + 977) {
    int sorted = 1;
    sum = after = 0;
    for (size_t i = 0; i < n; i++) {
      x = pllm_hash_mix(x + i);
      keys[i] = i % 3 ? x : x & 0xFF;
      sum += keys[i];
    }
    pllm_sort_u64(keys, scratch, n);
    for (size_t i = 0; i < n; i++) {
      after += keys[i];
      if (i > 0 && keys[i - 1] > keys[i]) sorted = 0;
    }
    if (n < 3 || n == 63 || n == 64 || n > 1000 || !sorted || sum != after)
      tap_check(sorted && sum == after, "%zu keys are sorted and all there", n);
  }
  tap_check(pllm_hash_mix(0) == 0 && pllm_hash_mix(1) == UINT64_C(0x5692161D100B05E5), "splitmix64's finaliser");
}

static void check_scores(void) {
  static const char answer[] = "It depends. Perhaps you could try?";
  double out[PLLM_STYLE_REWARDS], features[PLLM_TEXT_FEATURES], embedding[8];
  PllmError err;
  size_t n = 0;
  while (pllm_style_reward_name(n)) n++;
  tap_check(n == PLLM_STYLE_REWARDS && strcmp(pllm_style_reward_name(0), "brevity") == 0, "ten names");
  tap_check(!pllm_text_feature_name(PLLM_TEXT_FEATURES) && pllm_text_feature_name(6), "seven feature names");
  tap_check(pllm_style_rewards("", 0, answer, strlen(answer), out, &err) == PLLM_OK, "a response is scored");
  /* by hand: 6 words in 2 sentences, hedges depends, perhaps and could, one question mark */
  tap_close(out[0], 6.0 / 7 * 40 / 46, 1e-15, "S1 brevity");
  tap_close(out[1], (3.5 * 100 / 31) / (3.5 * 100 / 31 + 4), 1e-15, "S2 caution");
  tap_close(out[3], (1 * 100.0 / 31) / (1 * 100.0 / 31 + 6), 1e-15, "S4 drive: try");
  tap_check(out[5] == 0 && out[6] == 0 && out[7] == 0 && out[8] == 0, "S6..S9 nothing to find");
  tap_close(out[9], (0.25 * 100 / 31) / (0.25 * 100 / 31 + 5), 1e-15, "S10 warmth: you");
  tap_check(pllm_text_features(NULL, 0, features, &err) == PLLM_OK && features[0] == 0 && features[2] == 0,
            "no text");
  tap_check(pllm_text_embedding("x", 1, embedding, 8, &err) == PLLM_OK, "an embedding");
  tap_fails(pllm_text_embedding("x", 1, embedding, 0, &err), PLLM_INVALID, &err,
            "dimension 0; 1 to 65536 is required");
}

static int allocations, limit;

static void *counting_alloc(size_t bytes) {
  return allocations++ == limit ? NULL : malloc(bytes);
}

static void *counting_resize(void *old, size_t bytes) {
  return allocations++ == limit ? NULL : realloc(old, bytes);
}

/* Fail every allocation in turn: out of memory is reported, and nothing leaks (as the sanitizer build shows). */
static void check_memory(void) {
  static const PllmAllocator failing = {counting_alloc, counting_resize, free};
  static char text[4000];
  double out[16];
  PllmError err;
  int wrong = 0, runs = 0;
  for (size_t i = 0; i < sizeof text; i++) text[i] = i % 6 == 5 ? ' ' : (char)('a' + i * i % 23);
  pllm_set_allocator(&failing);
  for (int job = 0; job < 3; job++) {
    for (limit = 0;; limit++) {
      PllmStatus status;
      allocations = 0;
      status = job == 0   ? pllm_style_rewards(text, sizeof text, text, sizeof text, out, &err)
               : job == 1 ? pllm_text_features(text, sizeof text, out, &err)
                          : pllm_text_embedding(text, sizeof text, out, 16, &err);
      runs++;
      if (allocations <= limit) {
        wrong += status != PLLM_OK;
        break;
      }
      wrong += status != PLLM_NOMEM || strcmp(err.text, "out of memory") != 0;
    }
  }
  pllm_set_allocator(NULL);
  tap_check(wrong == 0 && runs > 15, "each failed allocation is reported (%d runs)", runs);
}

static void check_bar(void) {
  char out[PLLM_BAR_BYTES];
  PllmError err;
  tap_check(pllm_bar(0.55, 1, 2, out, &err) == PLLM_OK && strcmp(out, "\xE2\x96\x88\xE2\x96\x8F") == 0,
            "9 of 16 eighths");
  tap_check(pllm_bar(1, 1, PLLM_BAR_WIDTH, out, &err) == PLLM_OK && strlen(out) == PLLM_BAR_BYTES - 1,
            "the widest bar fills its room");
  tap_check(pllm_bar((double)NAN, 1, 3, out, &err) == PLLM_OK && out[0] == 0, "NaN is an empty bar");
  tap_fails(pllm_bar(1, (double)NAN, 3, out, &err), PLLM_INVALID, &err, "a number above 0 is required");
}

int main(void) {
  check_tokens();
  check_lexicon();
  check_sort();
  check_scores();
  check_memory();
  check_bar();
  return tap_done();
}
