/*
** text.h: the tokeniser and what is computed from its tokens: syntactic features and the built-in embedding.
**
** FROZEN within a major version: the same bytes give the same bits on every CPU, compiler and locale.  No locale, no
** C library maths: UTF-8 bytes, the tables of core_text.c and core_lexicon.c, and + - * / sqrt in f64.
**
** Characters.  Text is decoded as UTF-8; every maximal ill-formed part counts as one U+FFFD, as in the Unicode
** standard (3.9, "substitution of maximal subparts") and Python's errors="replace".  Every code point has one class:
**   space   U+0009..000D, 001C..0020, 0085, 00A0, 1680, 2000..200A, 2028, 2029, 202F, 205F, 3000
**   extend  U+200D, 20E3, FE00..FE0F, 1F3FB..1F3FF, E0020..E007F (they modify the character before them)
**   han     U+3005..3007, 3040..30FF, 3100..312F, 31A0..31BF, 31F0..31FF, 3400..4DBF, 4E00..9FFF, F900..FAFF,
**           FF66..FF9D, 20000..3FFFD: scripts written without spaces, where each code point is a word of its own
**   word    0-9 A-Z a-z, U+00AA, 00B5, 00BA and every other code point from U+00C0 on outside the classes above and
**           the marks U+00D7, 00F7, 2010..2BFF (less the above), 2E00..2E7F, 3001..3004, 3008..303F, D800..F8FF,
**           FE10..FE1F, FE30..FE6F, FF00..FF0F, FF1A..FF20, FF3B..FF40, FF5B..FF65, FFE0..FFFF, 1F000..1FAFF, and
**           from E0000 on
**   mark    everything else
**
** Tokens.  T1  White space separates tokens and is never part of one.
**   T2  A word is a run of word characters; a single ' or U+2019 or - or . or _ between two word characters belongs
**       to it, and so does a single , or : between two digits 0-9.  It is a number when it starts with a digit.
**   T3  A word that ends in n't, 's, 're, 've, 'll, 'd or 'm (either apostrophe, ASCII letters of either case, with
**       at least one character before it) is two tokens: the word before, and the clitic.
**   T4  A han character is a word of its own.
**   T5  A run of one and the same of . - * _ = ~ ` # is one mark; any other mark is a token of its own.
**   T6  extend characters directly after a token belong to it and end it; elsewhere one opens a mark of its own.
** The rules follow nltk's Treebank tokeniser where they can; it also keeps / * and most unspaced marks inside words,
** abbreviations with their final full stop, and rewrites quotes.
*/
#ifndef PERSONALLLM_TEXT_H
#define PERSONALLLM_TEXT_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum PllmTokenKind {
  PLLM_TOKEN_WORD,
  PLLM_TOKEN_NUMBER,
  PLLM_TOKEN_CLITIC,
  PLLM_TOKEN_HAN,
  PLLM_TOKEN_MARK
} PllmTokenKind;

typedef struct PllmToken {
  const unsigned char *start; /* into the text */
  size_t bytes;
  size_t chars; /* code points */
  PllmTokenKind kind;
  uint32_t first; /* its first code point */
  int breaks;     /* line breaks (U+000A) in the white space before it, clipped at 2; the text's start counts 1 */
} PllmToken;

/* A walk over a text.  Set text and end, the rest to 0. */
typedef struct PllmTokenizer {
  const unsigned char *text, *end;
  size_t clitic; /* bytes of a clitic that is still to be given */
  int started;
} PllmTokenizer;

/* The next token; false at the end.  O(bytes read), any bytes are accepted.  Thread-safe. */
int pllm_token_next(PllmTokenizer *tokenizer, PllmToken *token);

/* Decode one code point at p < end into *code; returns the bytes it takes (at least 1). */
size_t pllm_utf8_next(const unsigned char *p, const unsigned char *end, uint32_t *code);

/* Simple lower case of the Latin, Greek and Cyrillic capitals A-Z, C0..DE, 100..17D, 391..3A9, 400..42F; others stay.
 */
uint32_t pllm_text_lower(uint32_t code);

/* True for the white space of the class above. */
int pllm_text_space(uint32_t code);

/* A 64-bit hash of a token's lower-cased code points, U+2019 read as an apostrophe: h = PLLM_FNV_START ^ seed; for
** each code point h = (h ^ code) * PLLM_FNV_PRIME; pllm_hash_mix(h).  Words are compared by this hash. */
#define PLLM_FNV_START UINT64_C(0xCBF29CE484222325)
#define PLLM_FNV_PRIME UINT64_C(0x100000001B3)
uint64_t pllm_token_hash(const PllmToken *token, uint64_t seed);

/* splitmix64's finaliser: every bit of the result depends on every bit of x. */
uint64_t pllm_hash_mix(uint64_t x);

/* Sort keys[count] ascending with scratch[count]; O(count), stable, never allocates. */
void pllm_sort_u64(uint64_t *keys, uint64_t *scratch, size_t count);

/*
** Words by kind: a word's flags in the built-in English lexicon, 0 when it is not there.
*/
typedef enum PllmLexicon {
  PLLM_LEX_STOP = 1 << 0,     /* the one-word entries of nltk's English stop list */
  PLLM_LEX_HEDGE = 1 << 1,    /* may, perhaps, depends, evidence: caution */
  PLLM_LEX_REASON = 1 << 2,   /* because, therefore, concept: explanation */
  PLLM_LEX_DRIVE = 1 << 3,    /* goal, commit, progress: motivation */
  PLLM_LEX_VERB = 1 << 4,     /* verbs that open an instruction */
  PLLM_LEX_CASUAL = 1 << 5,   /* yeah, kinda, honestly: small talk */
  PLLM_LEX_STORY = 1 << 6,    /* yesterday, grandmother, rain: places, people and times of a story */
  PLLM_LEX_PAST = 1 << 7,     /* past tenses of common verbs */
  PLLM_LEX_PERSON = 1 << 8,   /* first and third person pronouns */
  PLLM_LEX_YOU = 1 << 9,      /* second person pronouns */
  PLLM_LEX_WARM = 1 << 10,    /* glad, hug, thanks: affection */
  PLLM_LEX_TECH = 1 << 11,    /* measure, threshold, default: engineering */
  PLLM_LEX_UNIT = 1 << 12,    /* grams, percent, minutes */
  PLLM_LEX_ORDER = 1 << 13,   /* first, next, finally, option: signposts */
  PLLM_LEX_NUMBER = 1 << 14,  /* number words */
  PLLM_LEX_LIST = 1 << 15,    /* a prompt with it asks for a list */
  PLLM_LEX_BRIEF = 1 << 16,   /* ... for a short answer */
  PLLM_LEX_TALE = 1 << 17,    /* ... for a story or poem */
  PLLM_LEX_CODE = 1 << 18,    /* ... for code */
  PLLM_LEX_VERDICT = 1 << 19, /* yes, no, depends: answers a yes-or-no question */
  PLLM_LEX_ADJ = 1 << 20,     /* adjectives */
  PLLM_LEX_ADV = 1 << 21,     /* adverbs */
  PLLM_LEX_PLAIN = 1 << 22    /* neither, though the suffix rules would say so (family, hospital) */
} PllmLexicon;

/* The flags of a token, matched in lower case; only words of ASCII letters are in the lexicon.  O(log words). */
unsigned pllm_lexicon_flags(const PllmToken *token);

/*
** True when a token counts as an adjective or adverb: the clitic n't; a word flagged ADJ or ADV; or one that is not
** flagged PLAIN or STOP, has only ASCII letters and ends as an adverb or adjective does: ly with at least 5 letters,
** or ous, ful, less, able, ible, ive, al, ic, ish with at least 6.
*/
int pllm_lexicon_modifier(const PllmToken *token, unsigned flags);

/*
** The paper's seven syntactic features of a response (PersonalLLM, section on syntactic features), in this order:
**   text_length             tokens
**   num_unique_words        distinct tokens, case-sensitive (compared by a 64-bit hash of their code points)
**   avg_word_length         code points in tokens / tokens, 0 without tokens
**   num_stopwords           tokens whose lower case is in the stop list
**   num_punctuation         characters (not tokens) of ASCII punctuation
**   num_format              lines whose first non-space is - * or the bullet U+2022, or digits followed by a
**                           full stop
**   num_adjectives_adverbs  tokens for which pllm_lexicon_modifier is true
** The paper takes tokens and tags from nltk; these are this library's own tokens and a lexicon with suffix rules that
** see no context: tests/ref/test_tagger.py measures how far they agree with a statistical tagger and with a reader.
** out[PLLM_TEXT_FEATURES]; only PLLM_NOMEM can fail.  O(bytes).
*/
#define PLLM_TEXT_FEATURES 7
PllmStatus pllm_text_features(const char *text, size_t bytes, double *out, PllmError *err);
const char *pllm_text_feature_name(size_t i); /* static; NULL from PLLM_TEXT_FEATURES on */

/*
** A model-free embedding: signed feature hashing (Weinberger et al. 2009) of
**   E1  words: every token that is no clitic, no stop word and no mark below U+0080, by pllm_token_hash with seed 0;
**       weight 1;
**   E2  pairs: two such tokens in a row (what E1 leaves out is skipped over), pllm_hash_mix(a * G + b) of their
**       hashes with G = 0x9E3779B97F4A7C15; weight 1/2;
**   E3  runs of n = 3, 4 and 5 code points, lower-cased, of < word > for the words and numbers of E1, hashed like a
**       token with seed n; weight 1/4.
** The lowest two bits of a hash are then replaced by 0 (E1), 1 (E2) or 2 (E3).  A feature seen t times adds weight *
** sqrt(t), negative when bit 63 is set, to element (bits 16..47) * dim / 2^32; features add in ascending order of
** hash.  The sum is divided by its Euclidean norm (squares added in order of position).  A text without any feature
** (empty, or only punctuation and stop words) gives the zero vector.
** out[dim] in f64, 1 <= dim <= PLLM_MAX_DIM, else PLLM_INVALID.  O(bytes + dim).
*/
#define PLLM_TEXT_EMBEDDING_DIM 256
PllmStatus pllm_text_embedding(const char *text, size_t bytes, double *out, size_t dim, PllmError *err);

/*
** A text bar of value/max on width characters (1..PLLM_BAR_WIDTH), in UTF-8 blocks of an eighth (U+2588 and U+2589..
** 258F), NUL-terminated into out[PLLM_BAR_BYTES].  round(8 width value/max) eighths, halves up; at least one when
** value > 0; none when value <= 0; full when value >= max.  PLLM_INVALID unless 0 < max < infinity.
*/
#define PLLM_BAR_WIDTH 1000
#define PLLM_BAR_BYTES (3 * PLLM_BAR_WIDTH + 1)
PllmStatus pllm_bar(double value, double max, int width, char *out, PllmError *err);

#ifdef __cplusplus
}
#endif
#endif
