/*
** core_text.c: UTF-8, character classes and the tokeniser.  The rules T1..T6 are in text.h; they are frozen.
*/
#include "core_int.h"

#include <float.h>
#include <math.h>
#include <string.h>

size_t pllm_utf8_next(const unsigned char *p, const unsigned char *end, uint32_t *code) {
  size_t room = (size_t)(end - p), need, i;
  uint32_t c = p[0], low = 0x80, high = 0xBF; /* bounds of the second byte: Unicode's table 3-7 */
  *code = c;
  if (c < 0x80) return 1;
  *code = 0xFFFD;
  if (c < 0xC2 || c > 0xF4) return 1;
  need = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (c == 0xE0) low = 0xA0;
  if (c == 0xED) high = 0x9F;
  if (c == 0xF0) low = 0x90;
  if (c == 0xF4) high = 0x8F;
  c &= need == 2 ? 0x1F : need == 3 ? 0x0F : 0x07;
  for (i = 1; i < need; i++) {
    if (i >= room || p[i] < low || p[i] > high) return i;
    c = c << 6 | (p[i] & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  *code = c;
  return need;
}

typedef enum CharClass { SPACE, EXTEND, HAN, WORD, MARK } CharClass;

static const struct {
  uint32_t first, last;
  CharClass class;
} ranges[] = {
    {0x00C0, 0x00D6, WORD},    {0x00D7, 0x00D7, MARK},     {0x00D8, 0x00F6, WORD},   {0x00F7, 0x00F7, MARK},
    {0x00F8, 0x167F, WORD},    {0x1680, 0x1680, SPACE},    {0x1681, 0x1FFF, WORD},   {0x2000, 0x200A, SPACE},
    {0x200B, 0x200C, WORD},    {0x200D, 0x200D, EXTEND},   {0x200E, 0x200F, WORD},   {0x2010, 0x2027, MARK},
    {0x2028, 0x2029, SPACE},   {0x202A, 0x202E, MARK},     {0x202F, 0x202F, SPACE},  {0x2030, 0x205E, MARK},
    {0x205F, 0x205F, SPACE},   {0x2060, 0x20E2, MARK},     {0x20E3, 0x20E3, EXTEND}, {0x20E4, 0x2BFF, MARK},
    {0x2C00, 0x2DFF, WORD},    {0x2E00, 0x2E7F, MARK},     {0x2E80, 0x2FFF, WORD},   {0x3000, 0x3000, SPACE},
    {0x3001, 0x3004, MARK},    {0x3005, 0x3007, HAN},      {0x3008, 0x303F, MARK},   {0x3040, 0x312F, HAN},
    {0x3130, 0x319F, WORD},    {0x31A0, 0x31BF, HAN},      {0x31C0, 0x31EF, WORD},   {0x31F0, 0x31FF, HAN},
    {0x3200, 0x33FF, WORD},    {0x3400, 0x4DBF, HAN},      {0x4DC0, 0x4DFF, WORD},   {0x4E00, 0x9FFF, HAN},
    {0xA000, 0xD7FF, WORD},    {0xD800, 0xF8FF, MARK},     {0xF900, 0xFAFF, HAN},    {0xFB00, 0xFDFF, WORD},
    {0xFE00, 0xFE0F, EXTEND},  {0xFE10, 0xFE1F, MARK},     {0xFE20, 0xFE2F, WORD},   {0xFE30, 0xFE6F, MARK},
    {0xFE70, 0xFEFF, WORD},    {0xFF00, 0xFF0F, MARK},     {0xFF10, 0xFF19, WORD},   {0xFF1A, 0xFF20, MARK},
    {0xFF21, 0xFF3A, WORD},    {0xFF3B, 0xFF40, MARK},     {0xFF41, 0xFF5A, WORD},   {0xFF5B, 0xFF65, MARK},
    {0xFF66, 0xFF9D, HAN},     {0xFF9E, 0xFFDF, WORD},     {0xFFE0, 0xFFFF, MARK},   {0x10000, 0x1EFFF, WORD},
    {0x1F000, 0x1F3FA, MARK},  {0x1F3FB, 0x1F3FF, EXTEND}, {0x1F400, 0x1FAFF, MARK}, {0x1FB00, 0x1FFFF, WORD},
    {0x20000, 0x3FFFD, HAN},   {0x3FFFE, 0xDFFFF, WORD},   {0xE0000, 0xE001F, MARK}, {0xE0020, 0xE007F, EXTEND},
    {0xE0080, 0x10FFFF, MARK},
};

static int is_digit(uint32_t c) {
  return c >= '0' && c <= '9';
}

static int is_letter(uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static CharClass char_class(uint32_t c) {
  size_t low = 0, high = sizeof ranges / sizeof *ranges;
  if (c < 0xC0) {
    if (is_letter(c) || is_digit(c) || c == 0xAA || c == 0xB5 || c == 0xBA) return WORD;
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ? SPACE : MARK;
  }
  while (low + 1 < high) {
    size_t middle = (low + high) / 2;
    if (c < ranges[middle].first)
      high = middle;
    else
      low = middle;
  }
  return ranges[low].class;
}

int pllm_text_space(uint32_t code) {
  return char_class(code) == SPACE;
}

uint32_t pllm_text_lower(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) || (c >= 0x410 && c <= 0x42F))
    return c + 32;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  if ((c >= 0x100 && c <= 0x12F) || (c >= 0x132 && c <= 0x137) || (c >= 0x14A && c <= 0x177)) return c | 1;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c + (c & 1);
  return c == 0x178 ? 0xFF : c;
}

/* Length of the clitic that ends word[0..bytes), 0 when there is none (T3). */
static size_t clitic_length(const unsigned char *word, size_t bytes) {
  static const char *const endings[] = {"s", "re", "ve", "ll", "d", "m", "t"};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t n = strlen(endings[i]), mark = 1, total;
    int same = bytes > n;
    for (size_t k = 0; same && k < n; k++) same = (word[bytes - n + k] | 32) == endings[i][k];
    if (!same) continue;
    if (bytes >= n + 3 && memcmp(word + bytes - n - 3, "\xE2\x80\x99", 3) == 0)
      mark = 3;
    else if (word[bytes - n - 1] != '\'')
      continue;
    total = n + mark;
    if (endings[i][0] == 't') { /* n't takes its n */
      if (bytes < total + 1 || (word[bytes - total - 1] | 32) != 'n') return 0;
      total++;
    }
    return total < bytes ? total : 0;
  }
  return 0;
}

/* Take the extend characters at p into the token (T6). */
static const unsigned char *take_extend(const unsigned char *p, const unsigned char *end, size_t *chars) {
  uint32_t c;
  while (p < end) {
    size_t n = pllm_utf8_next(p, end, &c);
    if (char_class(c) != EXTEND) break;
    p += n;
    (*chars)++;
  }
  return p;
}

/* The end of the word that starts at p (T2); *chars counts its code points. */
static const unsigned char *take_word(const unsigned char *p, const unsigned char *end, size_t *chars) {
  uint32_t c = 0, last = 0;
  while (p < end) {
    size_t n = pllm_utf8_next(p, end, &c), m;
    uint32_t after;
    if (char_class(c) == WORD) {
      p += n;
      (*chars)++;
      last = c;
      continue;
    }
    if (p + n >= end) break;
    m = pllm_utf8_next(p + n, end, &after);
    if (c == ',' || c == ':') {
      if (!is_digit(last) || !is_digit(after)) break;
    } else if (c == '\'' || c == 0x2019 || c == '-' || c == '.' || c == '_') {
      if (char_class(after) != WORD) break;
    } else {
      break;
    }
    p += n + m;
    *chars += 2;
    last = after;
  }
  return p;
}

static size_t count_chars(const unsigned char *p, size_t bytes) {
  size_t chars = 0;
  for (size_t i = 0; i < bytes; i++) chars += (p[i] & 0xC0) != 0x80;
  return chars;
}

int pllm_token_next(PllmTokenizer *t, PllmToken *token) {
  const unsigned char *p = t->text, *end = t->end;
  uint32_t c = 0;
  size_t n = 0;
  CharClass class = SPACE;
  memset(token, 0, sizeof *token);
  token->breaks = !t->started;
  t->started = 1;
  if (t->clitic > 0) { /* a clitic is ASCII but for U+2019, so its characters are well-formed */
    const unsigned char *rest = p + t->clitic;
    token->start = p;
    token->kind = PLLM_TOKEN_CLITIC;
    token->chars = count_chars(p, t->clitic);
    pllm_utf8_next(p, end, &token->first);
    t->clitic = 0;
    t->text = take_extend(rest, end, &token->chars);
    token->bytes = (size_t)(t->text - p);
    return 1;
  }
  while (p < end) {
    n = pllm_utf8_next(p, end, &c);
    class = char_class(c);
    if (class != SPACE) break;
    if (c == '\n' && token->breaks < 2) token->breaks++;
    p += n;
  }
  t->text = p;
  if (p >= end) return 0;
  token->start = p;
  token->first = c;
  token->chars = 1;
  p += n;
  if (class == WORD) {
    size_t clitic;
    token->kind = is_digit(c) ? PLLM_TOKEN_NUMBER : PLLM_TOKEN_WORD;
    token->chars = 0;
    p = take_word(token->start, end, &token->chars);
    clitic = clitic_length(token->start, (size_t)(p - token->start));
    if (clitic > 0) {
      t->clitic = clitic;
      p -= clitic;
      token->chars -= count_chars(p, clitic);
      token->bytes = (size_t)(p - token->start);
      t->text = p;
      return 1;
    }
  } else if (class == HAN) {
    token->kind = PLLM_TOKEN_HAN;
  } else {
    token->kind = PLLM_TOKEN_MARK;
    if (c < 0x80 && c != 0 && strchr(".-*_=~`#", (int)c)) {
      while (p < end && *p == c) {
        p++;
        token->chars++;
      }
    }
  }
  p = take_extend(p, end, &token->chars);
  token->bytes = (size_t)(p - token->start);
  t->text = p;
  return 1;
}

uint64_t pllm_hash_mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

uint64_t pllm_token_hash(const PllmToken *token, uint64_t seed) {
  const unsigned char *p = token->start, *end = p + token->bytes;
  uint64_t h = PLLM_FNV_START ^ seed;
  while (p < end) {
    uint32_t c;
    p += pllm_utf8_next(p, end, &c);
    c = c == 0x2019 ? '\'' : pllm_text_lower(c);
    h = (h ^ c) * PLLM_FNV_PRIME;
  }
  return pllm_hash_mix(h);
}

void pllm_sort_u64(uint64_t *keys, uint64_t *scratch, size_t count) {
  uint64_t *from = keys, *to = scratch;
  if (count < 64) { /* insertion beats eight passes over 256 counters */
    for (size_t i = 1; i < count; i++) {
      uint64_t key = keys[i];
      size_t k = i;
      for (; k > 0 && keys[k - 1] > key; k--) keys[k] = keys[k - 1];
      keys[k] = key;
    }
    return;
  }
  for (int shift = 0; shift < 64; shift += 8) {
    size_t place[256] = {0}, sum = 0;
    uint64_t *swap = from;
    for (size_t i = 0; i < count; i++) place[from[i] >> shift & 0xFF]++;
    for (size_t b = 0; b < 256; b++) {
      size_t n = place[b];
      place[b] = sum;
      sum += n;
    }
    for (size_t i = 0; i < count; i++) to[place[from[i] >> shift & 0xFF]++] = from[i];
    from = to;
    to = swap;
  }
}

PllmStatus pllm_bar(double value, double max, int width, char *out, PllmError *err) {
  int eighths = 0;
  if (!(max > 0 && max <= DBL_MAX)) return pllm_fail(err, PLLM_INVALID, "%g; a number above 0 is required", max);
  if (value >= max)
    eighths = 8 * width;
  else if (value > 0)
    eighths = (int)floor(value / max * (8 * width) + 0.5);
  if (eighths == 0 && value > 0) eighths = 1;
  for (; eighths > 0; eighths -= 8, out += 3) { /* U+2588 is the full block, U+258F one eighth */
    out[0] = (char)0xE2;
    out[1] = (char)0x96;
    out[2] = (char)(0x88 + (eighths >= 8 ? 0 : 8 - eighths));
  }
  *out = 0;
  return PLLM_OK;
}
