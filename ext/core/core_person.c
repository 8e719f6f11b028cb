/*
** core_person.c: one line of the evaluation set or of the interaction database as a record
** (definitions.md#evaluation-set, definitions.md#interaction-database).
**
** Turn keys, i = 1, 2, ...: prompt_i, response_i_a, response_i_b, chosen_i (pairs) or response_i, reward_i (reward
** feedback), prompt_i_embedding, prompt_response_i_a_embedding, prompt_response_i_b_embedding.  A turn whose prompt
** is null or missing is past the history's end.  Other keys are ignored; a key given twice is an error.
*/
#include "core_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum PersonKey {
  PERSON_OTHER,
  PERSON_ID,
  PERSON_WEIGHT,
  PERSON_LENGTH,
  PERSON_TEST_PROMPT,
  PERSON_BEST,
  PERSON_BEST_MODEL,
  PERSON_BEST_REWARD,
  PERSON_GPT4O,
  PERSON_GPT4O_REWARD,
  PERSON_TEST_EMBEDDING,
  PERSON_WINNING, /* from here on they may have an n */
  PERSON_LOSING,
  PERSON_DIFFERENCE,
  TURN_PROMPT, /* from here on they have a turn */
  TURN_A,
  TURN_B,
  TURN_RESPONSE,
  TURN_CHOSEN,
  TURN_REWARD,
  TURN_PROMPT_EMBEDDING,
  TURN_A_EMBEDDING,
  TURN_B_EMBEDDING
} PersonKey;

/* What stands where the number stands: # is a number, @ an optional _number at the end. */
static const struct {
  const char *pattern;
  PersonKey key;
} patterns[] = {
    {"person_id", PERSON_ID},
    {"person_weight", PERSON_WEIGHT},
    {"user_history_length", PERSON_LENGTH},
    {"test_prompt", PERSON_TEST_PROMPT},
    {"test_prompt_embedding", PERSON_TEST_EMBEDDING},
    {"best_response", PERSON_BEST},
    {"best_response_model", PERSON_BEST_MODEL},
    {"best_response_reward", PERSON_BEST_REWARD},
    {"gpt4o_response", PERSON_GPT4O},
    {"gpt4o_reward", PERSON_GPT4O_REWARD},
    {"user_embedding_avg_winning@", PERSON_WINNING},
    {"user_embedding_avg_losing@", PERSON_LOSING},
    {"user_embedding_avg_win_minus_lose@", PERSON_DIFFERENCE},
    {"prompt_response_#_a_embedding", TURN_A_EMBEDDING},
    {"prompt_response_#_b_embedding", TURN_B_EMBEDDING},
    {"prompt_#_embedding", TURN_PROMPT_EMBEDDING},
    {"prompt_#", TURN_PROMPT},
    {"response_#_a", TURN_A},
    {"response_#_b", TURN_B},
    {"response_#", TURN_RESPONSE},
    {"chosen_#", TURN_CHOSEN},
    {"reward_#", TURN_REWARD},
};

/* Does key have this form?  *number is its number, 0 without one. */
static int matches(const char *key, const char *pattern, size_t *number) {
  *number = 0;
  for (; *pattern; pattern++) {
    if (*pattern == '@') {
      if (*key == 0) continue;
      if (*key++ != '_') return 0;
    }
    if (*pattern == '@' || *pattern == '#') {
      if (*key < '1' || *key > '9') return 0;
      for (; *key >= '0' && *key <= '9'; key++)
        if (*number <= PLLM_MAX_RESPONSES) *number = *number * 10 + (size_t)(*key - '0');
    } else if (*key++ != *pattern) {
      return 0;
    }
  }
  return *key == 0;
}

static PersonKey classify(const char *key, size_t *number) {
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (matches(key, patterns[i].pattern, number)) return patterns[i].key;
  return PERSON_OTHER;
}

static int has_embedding(PersonKey key) {
  return (key >= PERSON_TEST_EMBEDDING && key <= PERSON_DIFFERENCE) || key >= TURN_PROMPT_EMBEDDING;
}

/* Grow *memory to hold n elements. */
static PllmStatus grow(void **memory, size_t *room, size_t n, size_t size, PllmError *err) {
  void *grown;
  if (n <= *room) return PLLM_OK;
  grown = pllm_resize(*memory, n, size);
  if (!grown) return pllm_fail_nomem(err);
  *memory = grown;
  *room = n;
  return PLLM_OK;
}

/* Memory for the whole line: turns, weights, embeddings. */
static PllmStatus measure(const PllmJson *line, PllmUserLine *u, PllmError *err) {
  size_t turns = 0, weights = 0, embeddings = 0, bytes = 0, number;
  void *memory;
  PllmStatus status;
  for (const PllmJson *m = pllm_json_first(line); m; m = pllm_json_next(m)) {
    PersonKey key = classify(pllm_json_key(m), &number);
    if (number > PLLM_MAX_RESPONSES)
      return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is not in the schema: numbers run from 1 to %d",
                       pllm_json_key(m), PLLM_MAX_RESPONSES);
    if (key >= TURN_PROMPT && number > turns) turns = number;
    if (key >= PERSON_WINNING && key <= PERSON_DIFFERENCE) embeddings++;
    if (key == PERSON_WEIGHT) weights = pllm_json_count(m);
    if (has_embedding(key)) bytes += pllm_core_embedding_bytes(m);
  }
  if (weights > PLLM_MAX_MODELS)
    return pllm_fail(err, PLLM_INVALID, "key \"person_weight\" has %zu numbers; at most %d are supported", weights,
                     PLLM_MAX_MODELS);
  memory = u->turns;
  status = grow(&memory, &u->turn_room, turns, sizeof *u->turns, err);
  u->turns = memory;
  memory = u->weights;
  if (status == PLLM_OK) status = grow(&memory, &u->weight_room, weights, sizeof *u->weights, err);
  u->weights = memory;
  memory = u->embeddings;
  if (status == PLLM_OK) status = grow(&memory, &u->embedding_room, embeddings, sizeof *u->embeddings, err);
  u->embeddings = memory;
  memory = u->f32;
  if (status == PLLM_OK) status = grow(&memory, &u->f32_room, bytes, 1, err);
  u->f32 = memory;
  if (status != PLLM_OK) return status;
  u->n_turns = turns;
  if (turns > 0) memset(u->turns, 0, turns * sizeof *u->turns);
  return PLLM_OK;
}

static PllmStatus read_weights(const PllmJson *value, PllmUserLine *u, PllmError *err) {
  PllmStatus status;
  if (pllm_json_type(value) == PLLM_JSON_NULL) return PLLM_OK;
  if (pllm_json_type(value) != PLLM_JSON_ARRAY || pllm_json_count(value) == 0)
    return pllm_fail(err, PLLM_INVALID, "key \"person_weight\" is %s; an array of numbers is required",
                     pllm_json_type(value) == PLLM_JSON_ARRAY ? "empty" : pllm_json_type_name(value));
  u->n_weights = pllm_json_count(value);
  status = pllm_json_numbers(value, u->weights, u->n_weights, err);
  return status == PLLM_OK ? status : pllm_error_prefix(err, "key \"person_weight\"");
}

/* The entry of these n interactions, made if need be. */
static PllmUserEmbedding *embedding_of(PllmUserLine *u, size_t n) {
  size_t i = 0;
  while (i < u->n_embeddings && u->embeddings[i].interactions != (int64_t)n) i++;
  if (i == u->n_embeddings) {
    memset(&u->embeddings[i], 0, sizeof u->embeddings[i]);
    u->embeddings[i].interactions = (int64_t)n;
    u->n_embeddings++;
  }
  return &u->embeddings[i];
}

/* Where an embedding key's value goes. */
static PllmEmbedding *embedding_at(PllmUserLine *u, PersonKey key, size_t number) {
  switch (key) {
  case PERSON_WINNING: return &embedding_of(u, number)->winning;
  case PERSON_LOSING: return &embedding_of(u, number)->losing;
  case PERSON_DIFFERENCE: return &embedding_of(u, number)->difference;
  case TURN_PROMPT_EMBEDDING: return &u->turns[number - 1].prompt_embedding;
  case TURN_A_EMBEDDING: return &u->turns[number - 1].a_embedding;
  case TURN_B_EMBEDDING: return &u->turns[number - 1].b_embedding;
  default: return &u->test_embedding;
  }
}

static PllmStatus read_chosen(const PllmJson *value, PllmTurnLine *turn, PllmError *err) {
  PllmStatus status = pllm_core_text(value, &turn->chosen, err);
  if (status == PLLM_OK && turn->chosen && strcmp(turn->chosen, "a") != 0 && strcmp(turn->chosen, "b") != 0)
    return pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is \"%.20s\"; \"a\", \"b\" or null is required",
                     pllm_json_key(value), turn->chosen);
  return status;
}

static PllmStatus read_turn(const PllmJson *value, PersonKey key, PllmTurnLine *turn, PllmError *err) {
  switch (key) {
  case TURN_PROMPT: return pllm_core_text(value, &turn->prompt, err);
  case TURN_A:
  case TURN_RESPONSE: return pllm_core_text(value, &turn->response_a, err);
  case TURN_B: return pllm_core_text(value, &turn->response_b, err);
  case TURN_CHOSEN: return read_chosen(value, turn, err);
  default: return pllm_core_real(value, &turn->has_reward, &turn->reward, err);
  }
}

static PllmStatus read_person(const PllmJson *value, PersonKey key, PllmUserLine *u, PllmError *err) {
  switch (key) {
  case PERSON_ID: return pllm_core_whole(value, &u->has_id, &u->person_id, err);
  case PERSON_WEIGHT: return read_weights(value, u, err);
  case PERSON_LENGTH: return pllm_core_whole(value, &u->has_length, &u->history_length, err);
  case PERSON_TEST_PROMPT: return pllm_core_text(value, &u->test_prompt, err);
  case PERSON_BEST: return pllm_core_text(value, &u->best_response, err);
  case PERSON_BEST_MODEL: return pllm_core_text(value, &u->best_model, err);
  case PERSON_BEST_REWARD: return pllm_core_real(value, &u->has_best_reward, &u->best_reward, err);
  case PERSON_GPT4O: return pllm_core_text(value, &u->gpt4o_response, err);
  case PERSON_GPT4O_REWARD: return pllm_core_real(value, &u->has_gpt4o_reward, &u->gpt4o_reward, err);
  default: return PLLM_OK;
  }
}

static int compare_keys(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A line has hundreds of keys, so duplicates are found by sorting them. */
static PllmStatus check_twice(const PllmJson *line, PllmError *err) {
  size_t n = pllm_json_count(line), i = 0;
  const char **keys = pllm_alloc(n, sizeof *keys);
  PllmStatus status = PLLM_OK;
  if (!keys) return pllm_fail_nomem(err);
  for (const PllmJson *m = pllm_json_first(line); m; m = pllm_json_next(m)) keys[i++] = pllm_json_key(m);
  qsort(keys, n, sizeof *keys, compare_keys);
  for (i = 1; i < n && status == PLLM_OK; i++)
    if (strcmp(keys[i - 1], keys[i]) == 0)
      status = pllm_fail(err, PLLM_INVALID, "key \"%.60s\" is given twice", keys[i]);
  pllm_free(keys);
  return status;
}

PllmStatus pllm_user_line_read(const PllmJson *line, PllmUserLine *u, PllmError *err) {
  PllmUserLine kept = *u;
  size_t used = 0, number;
  PllmStatus status;
  if (pllm_json_type(line) != PLLM_JSON_OBJECT)
    return pllm_fail(err, PLLM_INVALID, "the line is %s; an object is required", pllm_json_type_name(line));
  memset(u, 0, sizeof *u);
  u->turns = kept.turns;
  u->turn_room = kept.turn_room;
  u->weights = kept.weights;
  u->weight_room = kept.weight_room;
  u->embeddings = kept.embeddings;
  u->embedding_room = kept.embedding_room;
  u->f32 = kept.f32;
  u->f32_room = kept.f32_room;
  status = check_twice(line, err);
  if (status == PLLM_OK) status = measure(line, u, err);
  for (const PllmJson *m = pllm_json_first(line); status == PLLM_OK && m; m = pllm_json_next(m)) {
    PersonKey key = classify(pllm_json_key(m), &number);
    if (has_embedding(key)) {
      size_t bytes = pllm_core_embedding_bytes(m);
      status = pllm_core_embedding(m, bytes > 0 ? u->f32 + used : NULL, embedding_at(u, key, number), err);
      used += bytes;
    } else if (key >= TURN_PROMPT) {
      status = read_turn(m, key, &u->turns[number - 1], err);
    } else {
      status = read_person(m, key, u, err);
    }
  }
  for (size_t i = 0; status == PLLM_OK && i < u->n_turns; i++) u->turns[i].present = u->turns[i].prompt != NULL;
  return status;
}

void pllm_user_line_release(PllmUserLine *u) {
  pllm_free(u->turns);
  pllm_free(u->weights);
  pllm_free(u->embeddings);
  pllm_free(u->f32);
  memset(u, 0, sizeof *u);
}
