/*
** core_textfeat.c: the seven syntactic features and the hashed embedding of a text (definitions in text.h, frozen).
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

const char *pllm_text_feature_name(size_t i) {
  static const char *const names[] = {"text_length",     "num_unique_words", "avg_word_length",       "num_stopwords",
                                      "num_punctuation", "num_format",       "num_adjectives_adverbs"};
  return i < PLLM_TEXT_FEATURES ? names[i] : NULL;
}

PllmStatus pllm_u64_push(PllmU64List *list, uint64_t key, PllmError *err) {
  uint64_t *keys = pllm_grow(list->keys, list->count, &list->room, 256, sizeof *keys);
  if (!keys) return pllm_fail_nomem(err);
  list->keys = keys;
  list->keys[list->count++] = key;
  return PLLM_OK;
}

PllmStatus pllm_u64_sort(PllmU64List *list, PllmError *err) {
  uint64_t *scratch = pllm_alloc(list->count, sizeof *scratch);
  if (!scratch) return pllm_fail_nomem(err);
  pllm_sort_u64(list->keys, scratch, list->count);
  pllm_free(scratch);
  return PLLM_OK;
}

size_t pllm_u64_distinct(const PllmU64List *list) {
  size_t distinct = 0;
  for (size_t i = 0; i < list->count; i++) distinct += i == 0 || list->keys[i] != list->keys[i - 1];
  return distinct;
}

static int is_punctuation(unsigned char c) {
  return c > 32 && c < 127 && !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'));
}

/* Lines that open with a bullet, or with digits and a full stop, after white space of any kind. */
static size_t format_lines(const unsigned char *p, const unsigned char *end) {
  size_t lines = 0;
  int opening = 1, digits = 0;
  while (p < end) {
    uint32_t c;
    p += pllm_utf8_next(p, end, &c);
    if (c == '\n') {
      opening = 1;
      digits = 0;
    } else if (opening) {
      if (c >= '0' && c <= '9') {
        digits = 1;
        continue;
      }
      if (!digits && pllm_text_space(c)) continue;
      lines += digits ? c == '.' : c == '-' || c == '*' || c == 0x2022;
      opening = 0;
    }
  }
  return lines;
}

PllmStatus pllm_text_features(const char *text, size_t bytes, double *out, PllmError *err) {
  const unsigned char *start = (const unsigned char *)text;
  PllmTokenizer walk = {.text = start, .end = start + bytes};
  PllmU64List words = {0};
  PllmToken token;
  PllmStatus status = PLLM_OK;
  double chars = 0, stop = 0, modifiers = 0, punctuation = 0;
  while (pllm_token_next(&walk, &token)) {
    unsigned flags = pllm_lexicon_flags(&token);
    uint64_t h = PLLM_FNV_START;
    chars += (double)token.chars;
    stop += (flags & PLLM_LEX_STOP) != 0;
    modifiers += pllm_lexicon_modifier(&token, flags) != 0;
    for (size_t i = 0; i < token.bytes;) {
      uint32_t c;
      i += pllm_utf8_next(token.start + i, walk.end, &c);
      h = (h ^ c) * PLLM_FNV_PRIME;
    }
    if ((status = pllm_u64_push(&words, pllm_hash_mix(h), err)) != PLLM_OK) goto done;
  }
  for (size_t i = 0; i < bytes; i++) punctuation += is_punctuation(start[i]);
  if ((status = pllm_u64_sort(&words, err)) != PLLM_OK) goto done;
  out[0] = (double)words.count;
  out[1] = (double)pllm_u64_distinct(&words);
  out[2] = words.count ? chars / (double)words.count : 0;
  out[3] = stop;
  out[4] = punctuation;
  out[5] = (double)format_lines(start, start + bytes);
  out[6] = modifiers;
done:
  pllm_free(words.keys);
  return status;
}

#define FAMILIES 3
static const double family_weight[FAMILIES] = {1, 0.5, 0.25};

static PllmStatus push_feature(PllmU64List *features, uint64_t hash, unsigned family, PllmError *err) {
  return pllm_u64_push(features, (hash & ~UINT64_C(3)) | family, err);
}

/* E3: slide a window of the last five code points over < word >. */
static PllmStatus push_grams(PllmU64List *features, const PllmToken *token, PllmError *err) {
  const unsigned char *p = token->start, *end = p + token->bytes;
  uint32_t window[5] = {0};
  size_t seen = 0;
  int closed = 0;
  while (!closed) {
    uint32_t c = '<';
    if (seen > 0 && p < end) {
      p += pllm_utf8_next(p, end, &c);
      c = c == 0x2019 ? '\'' : pllm_text_lower(c);
    } else if (seen > 0) {
      c = '>';
      closed = 1;
    }
    memmove(window, window + 1, 4 * sizeof *window);
    window[4] = c;
    seen++;
    for (size_t n = 3; n <= 5 && n <= seen; n++) {
      uint64_t h = PLLM_FNV_START ^ n;
      PllmStatus status;
      for (size_t i = 5 - n; i < 5; i++) h = (h ^ window[i]) * PLLM_FNV_PRIME;
      if ((status = push_feature(features, pllm_hash_mix(h), 2, err)) != PLLM_OK) return status;
    }
  }
  return PLLM_OK;
}

PllmStatus pllm_text_embedding(const char *text, size_t bytes, double *out, size_t dim, PllmError *err) {
  const unsigned char *start = (const unsigned char *)text;
  PllmTokenizer walk = {.text = start, .end = start + bytes};
  PllmU64List features = {0};
  PllmToken token;
  PllmStatus status = PLLM_OK;
  uint64_t before = 0;
  int have_before = 0;
  double norm = 0;
  if (dim < 1 || dim > PLLM_MAX_DIM)
    return pllm_fail(err, PLLM_INVALID, "dimension %zu; 1 to %d is required", dim, PLLM_MAX_DIM);
  while (pllm_token_next(&walk, &token)) {
    uint64_t hash;
    if (token.kind == PLLM_TOKEN_CLITIC || (token.kind == PLLM_TOKEN_MARK && token.first < 0x80) ||
        (pllm_lexicon_flags(&token) & PLLM_LEX_STOP))
      continue;
    hash = pllm_token_hash(&token, 0);
    if ((status = push_feature(&features, hash, 0, err)) != PLLM_OK) goto done;
    if (have_before) {
      uint64_t pair = pllm_hash_mix(before * UINT64_C(0x9E3779B97F4A7C15) + hash);
      if ((status = push_feature(&features, pair, 1, err)) != PLLM_OK) goto done;
    }
    if (token.kind == PLLM_TOKEN_WORD || token.kind == PLLM_TOKEN_NUMBER)
      if ((status = push_grams(&features, &token, err)) != PLLM_OK) goto done;
    before = hash;
    have_before = 1;
  }
  if ((status = pllm_u64_sort(&features, err)) != PLLM_OK) goto done;
  for (size_t i = 0; i < dim; i++) out[i] = 0;
  for (size_t i = 0, next; i < features.count; i = next) {
    uint64_t key = features.keys[i];
    double value;
    for (next = i + 1; next < features.count && features.keys[next] == key;) next++;
    value = family_weight[key & 3] * sqrt((double)(next - i));
    out[((key >> 16 & 0xFFFFFFFF) * dim) >> 32] += key >> 63 ? -value : value;
  }
  for (size_t i = 0; i < dim; i++) norm += out[i] * out[i];
  norm = sqrt(norm);
  if (norm > 0)
    for (size_t i = 0; i < dim; i++) out[i] /= norm;
done:
  pllm_free(features.keys);
  return status;
}
