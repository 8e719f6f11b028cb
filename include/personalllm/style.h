/*
** style.h: ten transparent text scorers, the embedded default where there are no reward-model scores.
**
** A STAND-IN, not reward models: each is a short formula over token counts, in English, so that everything can be
** tried with nothing downloaded.  FROZEN within a major version and bit-equal everywhere, as text.h says.
**
** Counts, of the response unless said otherwise (tokens, classes and lexicon flags as in text.h):
**   C1  An enumerator is a number token that opens a line and is directly followed by . or ).
**       An item is an enumerator, or a mark - or * or U+2022 of one character that opens a line and is followed by
**       white space, or a | that opens a line.
**   C2  words: word, number and han tokens that are no enumerators; chars: their code points.
**       HEDGE, REASON and so on: words with that lexicon flag.
**       content: words with no STOP flag, and of two or more code points unless han; a stem is a content word's stem
**       (C6) and distinct the number of different stems.
**   C3  A sentence ends at a mark beginning with . ! ? U+2026, U+3002, U+FF01 or U+FF1F, at a line break and at the
**       end, if it has a word.  openers: words flagged VERB that are their sentence's first word.
**   C4  questions, exclaims: marks ? and ! (also U+FF1F, U+FF01).  quotes: marks " U+201C U+201D, half each.
**       emoji: marks with first code point in U+2600..27BF or 1F000..1FAFF.  code: marks of `.
**       symbols: marks = < > { } % $ / + \ ^ and U+00B0, 00B1, 00D7, 00F7, 2030, 2190..22FF.
**       contractions: clitics, but 's only after a word flagged STOP or VERB ("it's", "let's").
**       numbers: number tokens that are no enumerators.
**   C5  headings: # marks that open a line.  bold: marks ** or __, half each.
**       labels: marks : directly followed by a line break.  paragraphs: tokens with two line breaks before them.
**   C6  Stem of a word of at most 63 ASCII letters, in lower case, the first rule that fits at each step:
**       (a) ies after at least 2 letters becomes y; s after at least 3, not after s, goes;
**       (b) ing after at least 3, or ed after at least 3, goes;  (c) e after at least 3 goes;
**       (d) two equal last letters, after at least 2, become one.
**       Other tokens are their own stem.  Stems are compared by a hash as in pllm_token_hash.
**
** With r(x) = (100 / (words + 25)) x, a rate per hundred words that short texts cannot blow up, s(x, k) = x/(x + k),
** and c(x) = x clipped to 0..1, the scores, all in 0..1, are, in alphabetical order and summed from left to right:
**   S1   brevity    s(words, 1) * 40 / (40 + words)
**   S2   caution    s(r(HEDGE + questions/2), 4)
**   S3   depth      2/5 s(distinct, 40) + 2/5 s(r(REASON), 3) + 1/5 c((chars/words - 7/2) / (5/2))
**   S4   drive      s(r(openers + DRIVE + exclaims/2), 6)
**   S5   ease       3/5 s(r(contractions + CASUAL), 6) + 1/5 c((6 - chars/words) / (5/2))
**                   + 1/5 s(12 sentences/words, 1)
**   S6   narrative  s(r(PAST + STORY + PERSON/2 + quotes), 12)
**   S7   precision  s(r(numbers + NUMBER/2 + UNIT + TECH + code + symbols/2), 8)
**   S8   relevance  overlap (R1), mixed with form (R2) where the prompt asks for one: 7/10 overlap + 3/10 form
**   S9   structure  1/2 s(items + 2 headings + labels, 3) + 1/5 s(paragraphs + bold, 3) + 3/10 s(r(ORDER), 3)
**   S10  warmth     s(r(WARM + YOU/4 + exclaims/4 + 3 emoji), 5)
** A response without words scores 0 in all ten.
**   R1  With P the distinct stems of the prompt, found those that the response has too, hits the response's content
**       words whose stem is in P, and copied the share of the response's runs of three words that are runs of the
**       prompt (0 below three words): overlap = sqrt(found/P * c(4 hits/content)) * (1 - copied); 0 when P or content
**       is 0.
**   R2  form is the mean over what the prompt asks for; nothing asked, no form.
**       list   a word flagged LIST: s(items, 2)
**       number "how" followed by many, much, long, far, old, tall, high, fast, big, deep, heavy, large or often: 1 if
**              numbers + NUMBER > 0
**       verdict a sentence opens with is are was were do does did can could should would will has have had am may,
**              and there is a question mark: 1 if one of the response's first six words is flagged VERDICT
**       brief  a word flagged BRIEF: 40 / (40 + words)
**       tale   a word flagged TALE: narrative
**       code   a word flagged CODE: 1 if code > 0
*/
#ifndef PERSONALLLM_STYLE_H
#define PERSONALLLM_STYLE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PLLM_STYLE_REWARDS 10

/* The ten scores of a response to a prompt into out[PLLM_STYLE_REWARDS].  Any bytes are accepted; only PLLM_NOMEM can
** fail.  O(bytes), thread-safe. */
PllmStatus pllm_style_rewards(const char *prompt, size_t prompt_bytes, const char *response, size_t response_bytes,
                              double *out, PllmError *err);

/* The name of score i in alphabetical order, so that sorting reward models by name keeps the order; static, NULL from
** PLLM_STYLE_REWARDS on. */
const char *pllm_style_reward_name(size_t i);

#ifdef __cplusplus
}
#endif
#endif
