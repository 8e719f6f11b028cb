/*
** core_distill_text.c: from text to the features of text students (core_distill.h).
**
** FROZEN within a major version: what a stored student's weights mean.  The same bits on every CPU.
**
** Words.  The tokens of text.h, each also the line breaks before it (at most two).  Features are single tokens and
** pairs of tokens in a row, as hashes of their lower case, in four families: of the whole response (weight 1), of its
** first and of its last PLLM_EDGE tokens (weight 0.5 each), and, weight 0.8, of the whole response's shapes, with
** triples too.  A shape is the token itself for stop words, marks and clitics; one and the same for all numbers; and
** for other words whether they begin with a capital, a third of their length (at most 4) and their ending (ing, ed,
** ly, s or another).  A feature seen t times counts log(1 + t), negative when bit 63 of its hash is set; each family
** is divided by its Euclidean norm; all is multiplied by WORDS_SCALE.
**
** Scales.  What makes the three kinds of features count as they do: chosen, like the width of the Gaussian kernel
** exp(-GAMMA |a - b|^2 / PLLM_FORM_FEATURES), by cross-validation over the training prompts of alpaca8.
*/
#include "core_distill.h"

#include "core_math.h"

#include <string.h>

#define GAMMA 0.3
#define WORDS_SCALE 0.4
const double pllm_form_scale = 0.03;

typedef enum Family { WHOLE, BEGINNING, END, SHAPES, FAMILIES } Family; /* fits in two bits */
static const double family_weight[FAMILIES] = {1, 0.5, 0.5, 0.8};

/* ---- random features ---- */

/* Two standard normals by Box and Muller. */
static void normals(const uint32_t bits[4], double *a, double *b) {
  double radius = sqrt(-2 * pllm_log1(pllm_philox_double(bits[0], bits[1]))), c, s;
  pllm_cos_sin_turns(pllm_philox_double(bits[2], bits[3]), &c, &s);
  *a = radius * c;
  *b = radius * s;
}

PllmStatus pllm_text_map_init(PllmTextMap *map, size_t random, size_t hashed, uint32_t seed, PllmError *err) {
  size_t half = random / 2;
  double scale = sqrt(2 * GAMMA / PLLM_FORM_FEATURES) / (2 * 3.14159265358979323846);
  map->random = random;
  map->hashed = hashed;
  map->seed = seed;
  map->direction = pllm_alloc(half * PLLM_FORM_FEATURES, sizeof *map->direction);
  if (!map->direction) return pllm_fail_nomem(err);
  for (size_t r = 0; r < half; r++) {
    for (uint32_t i = 0; i < PLLM_FORM_FEATURES; i += 2) {
      uint32_t bits[4];
      double a, b;
      pllm_philox_draw(seed, PLLM_PURPOSE_FEATURES, r, i / 2, 0, bits);
      normals(bits, &a, &b);
      map->direction[i * half + r] = scale * a;
      if (i + 1 < PLLM_FORM_FEATURES) map->direction[(i + 1) * half + r] = scale * b;
    }
  }
  return PLLM_OK;
}

void pllm_text_map_free(PllmTextMap *map) {
  pllm_free(map->direction);
  map->direction = NULL;
}

size_t pllm_text_map_dim(const PllmTextMap *map) {
  return PLLM_FORM_FEATURES + map->random + map->hashed;
}

static PLLM_INLINE void project_body(const double *direction, size_t stride, const double *form, double scale,
                                     double *cosine, double *sine) {
  double turns[PLLM_BLOCK] = {0}, c[PLLM_BLOCK], s[PLLM_BLOCK];
  for (size_t i = 0; i < PLLM_FORM_FEATURES; i++) {
    const double *d = direction + i * stride;
    double x = form[i];
    for (int k = 0; k < PLLM_BLOCK; k++) turns[k] += x * d[k];
  }
  for (int k = 0; k < PLLM_BLOCK; k++) pllm_cos_sin_turns(turns[k], &c[k], &s[k]);
  for (int k = 0; k < PLLM_BLOCK; k++) {
    cosine[k] = scale * c[k];
    sine[k] = scale * s[k];
  }
}
PLLM_KERNEL(project,
            (const double *direction, size_t stride, const double *form, double scale, double *cosine, double *sine),
            (direction, stride, form, scale, cosine, sine))

void pllm_text_random(const PllmTextMap *map, const double *form, size_t first, size_t count, double *cosine,
                      double *sine) {
  size_t half = map->random / 2, k = 0;
  double scale = 1 / sqrt((double)half);
  for (; k + PLLM_BLOCK <= count; k += PLLM_BLOCK)
    project(map->direction + first + k, half, form, scale, cosine + k, sine + k);
  for (; k < count; k++) {
    double turns = 0, c, s;
    for (size_t i = 0; i < PLLM_FORM_FEATURES; i++) turns += form[i] * map->direction[i * half + first + k];
    pllm_cos_sin_turns(turns, &c, &s);
    cosine[k] = scale * c;
    sine[k] = scale * s;
  }
}

/* ---- words ---- */

static PllmStatus push(PllmU64List *keys, uint64_t hash, Family family, PllmError *err) {
  return pllm_u64_push(keys, (hash & ~UINT64_C(3)) | (uint64_t)family, err);
}

static int ends(const PllmToken *token, const char *ending) {
  size_t n = strlen(ending);
  return token->bytes > n && memcmp(token->start + token->bytes - n, ending, n) == 0;
}

static uint64_t shape_hash(const PllmToken *token) {
  uint64_t capital, length, ending;
  if (token->kind == PLLM_TOKEN_NUMBER) return pllm_hash_mix('9');
  if (token->kind != PLLM_TOKEN_WORD || (pllm_lexicon_flags(token) & PLLM_LEX_STOP)) return pllm_token_hash(token, 0);
  capital = token->first != pllm_text_lower(token->first);
  length = token->chars < 12 ? token->chars / 3 : 4;
  ending = ends(token, "ing") ? 1 : ends(token, "ed") ? 2 : ends(token, "ly") ? 3 : ends(token, "s") ? 4 : 0;
  return pllm_hash_mix(1000 + 64 * capital + 8 * length + ending);
}

/* The hashes of the tokens and of their shapes. */
static PllmStatus list_tokens(const char *text, size_t bytes, PllmU64List *tokens, PllmU64List *shapes,
                              PllmError *err) {
  PllmTokenizer walk = {.text = (const unsigned char *)text, .end = (const unsigned char *)text + bytes};
  PllmToken token;
  PllmStatus status = PLLM_OK;
  while (status == PLLM_OK && pllm_token_next(&walk, &token)) {
    for (int i = 0; i < token.breaks && tokens->count > 0 && status == PLLM_OK; i++) {
      status = pllm_u64_push(tokens, pllm_hash_mix('\n'), err);
      if (status == PLLM_OK) status = pllm_u64_push(shapes, pllm_hash_mix('\n'), err);
    }
    if (status == PLLM_OK) status = pllm_u64_push(tokens, pllm_token_hash(&token, 0), err);
    if (status == PLLM_OK) status = pllm_u64_push(shapes, shape_hash(&token), err);
  }
  return status;
}

/* Runs of 1 to `most` of the tokens [begin, end) as features of a family. */
static PllmStatus list_grams(const PllmU64List *tokens, size_t begin, size_t end, size_t most, Family family,
                             PllmU64List *keys, PllmError *err) {
  const uint64_t salt = (uint64_t)family * UINT64_C(0xD1B54A32D192ED03);
  for (size_t i = begin; i < end; i++) {
    uint64_t hash = 0;
    for (size_t n = 0; n < most && i + n < end; n++) {
      PllmStatus status;
      hash = hash * UINT64_C(0x9E3779B97F4A7C15) + tokens->keys[i + n];
      if ((status = push(keys, pllm_hash_mix(hash ^ salt), family, err)) != PLLM_OK) return status;
    }
  }
  return PLLM_OK;
}

/* How many equal keys begin at i. */
static size_t run_length(const PllmU64List *keys, size_t i) {
  size_t next = i + 1;
  while (next < keys->count && keys->keys[next] == keys->keys[i]) next++;
  return next - i;
}

static PllmStatus weigh(const PllmU64List *keys, PllmWords *words, PllmError *err) {
  double norm[FAMILIES] = {0};
  size_t distinct = pllm_u64_distinct(keys);
  if (words->count + distinct > words->room) {
    size_t room = 2 * words->room > words->count + distinct ? 2 * words->room : words->count + distinct;
    PllmWord *more = pllm_resize(words->words, room, sizeof *more);
    if (!more) return pllm_fail_nomem(err);
    words->words = more;
    words->room = room;
  }
  for (size_t i = 0, n; i < keys->count; i += n) {
    double value = pllm_log1(1 + (double)(n = run_length(keys, i)));
    norm[keys->keys[i] & 3] += value * value;
  }
  for (size_t i = 0, n; i < keys->count; i += n) {
    uint64_t key = keys->keys[i];
    double value = pllm_log1(1 + (double)(n = run_length(keys, i))) * family_weight[key & 3] / sqrt(norm[key & 3]);
    words->words[words->count++] =
        (PllmWord){(uint32_t)(key >> 16), (float)(WORDS_SCALE * (key >> 63 ? -value : value))};
  }
  return PLLM_OK;
}

PllmStatus pllm_text_words(const char *response, size_t bytes, PllmWords *words, PllmError *err) {
  PllmU64List tokens = {0}, shapes = {0}, keys = {0};
  PllmStatus status = list_tokens(response, bytes, &tokens, &shapes, err);
  size_t n = tokens.count, edge = n < PLLM_EDGE ? n : PLLM_EDGE;
  if (status == PLLM_OK) status = list_grams(&tokens, 0, n, 2, WHOLE, &keys, err);
  if (status == PLLM_OK) status = list_grams(&tokens, 0, edge, 2, BEGINNING, &keys, err);
  if (status == PLLM_OK) status = list_grams(&tokens, n - edge, n, 2, END, &keys, err);
  if (status == PLLM_OK) status = list_grams(&shapes, 0, n, 3, SHAPES, &keys, err);
  if (status == PLLM_OK) status = pllm_u64_sort(&keys, err);
  if (status == PLLM_OK) status = weigh(&keys, words, err);
  pllm_free(tokens.keys);
  pllm_free(shapes.keys);
  pllm_free(keys.keys);
  return status;
}

void pllm_text_expand(const PllmTextMap *map, const double *form, const PllmWord *words, size_t count, double *x) {
  size_t half = map->random / 2;
  double *random = x + PLLM_FORM_FEATURES, *slots = random + map->random;
  for (size_t i = 0; i < PLLM_FORM_FEATURES; i++) x[i] = pllm_form_scale * form[i];
  pllm_text_random(map, form, 0, half, random, random + half);
  memset(slots, 0, map->hashed * sizeof *slots);
  for (size_t i = 0; i < count && map->hashed > 0; i++)
    slots[pllm_word_slot(&words[i], map->hashed)] += words[i].value;
}
