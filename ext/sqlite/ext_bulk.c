/*
** ext_bulk.c: what persona_votes, persona_interactions, persona_choices and persona_evaluate have in common: a table
** argument, the options `responses` and `scores`, a split, the score store.
**
** B1  `responses` names the persona_responses table; without it, the table of that name in the source's schema, or
**     where SQLite would find it.
** B2  `scores` is normalized (default) or raw.
** B3  A NULL split means all prompts; an unknown one is an error listing splits and counts.
** B4  A scan keeps the scores it began with.  Its hidden column `skipped` counts users without weights and responses
**     that are not fully scored.
*/
#include "ext_int.h"

#include <string.h>

enum { MOST_USERS = 8192, LEAST_USERS = 256, BLOCK_NUMBERS = 1 << 22 };

size_t pllm_ext_bulk_users(size_t n) {
  size_t users = BLOCK_NUMBERS / (n > 0 ? n : 1);
  if (users < LEAST_USERS) users = LEAST_USERS;
  return users > MOST_USERS ? MOST_USERS : users;
}

PllmStatus pllm_ext_bulk_table(PllmTvfCursor *cursor, int arg, const char *name, PllmExtTable *table,
                               PllmError *err) {
  const char *text = pllm_ext_tvf_text(cursor, arg);
  PllmStatus status = text ? pllm_ext_table_find(cursor->conn->db, text, NULL, table, err)
                           : pllm_fail(err, PLLM_INVALID, "NULL; a table name is required");
  return status == PLLM_OK ? status : pllm_error_prefix(err, "argument %d (%s)", arg + 1, name);
}

PllmStatus pllm_ext_bulk_integer(PllmTvfCursor *cursor, int arg, const char *name, sqlite3_int64 min,
                                 sqlite3_int64 max, sqlite3_int64 *value, PllmError *err) {
  sqlite3_value *given = cursor->args[arg];
  if (sqlite3_value_type(given) == SQLITE_INTEGER) {
    *value = sqlite3_value_int64(given);
    if (*value >= min && *value <= max) return PLLM_OK;
    return pllm_fail(err, PLLM_INVALID, "argument %d (%s): %lld; a whole number from %lld to %lld is required",
                     arg + 1, name, *value, min, max);
  }
  return pllm_fail(err, PLLM_INVALID, "argument %d (%s): %s; a whole number from %lld to %lld is required", arg + 1,
                   name, pllm_ext_type_name(given), min, max);
}

static PllmStatus parse_options(PllmTvfCursor *cursor, int arg, PllmOption *own, size_t n, PllmExtBulk *bulk,
                                PllmError *err) {
  PllmOption options[16] = {
      {.name = "responses", .kind = PLLM_OPTION_TEXT, .value = &bulk->responses_name},
      {.name = "scores", .kind = PLLM_OPTION_CHOICE, .value = &bulk->raw, .choices = "normalized|raw"},
  };
  const char *text = pllm_ext_tvf_text(cursor, arg);
  PllmStatus status;
  if (!text) return PLLM_OK;
  for (size_t i = 0; i < n; i++) options[i + 2] = own[i];
  status = pllm_options_parse(text, (size_t)sqlite3_value_bytes(cursor->args[arg]), options, n + 2, err);
  for (size_t i = 0; i < n; i++) own[i] = options[i + 2];
  return status;
}

PllmStatus pllm_ext_bulk_open(PllmTvfCursor *cursor, int source, const char *name, int options, PllmOption *own,
                              size_t n, PllmExtBulk *bulk, PllmError *err) {
  sqlite3 *db = cursor->conn->db;
  const char *responses;
  PllmStatus status = parse_options(cursor, options, own, n, bulk, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_table(cursor, source, name, &bulk->source, err);
  if (status != PLLM_OK) return status;
  responses = bulk->responses_name ? bulk->responses_name : "responses";
  status = pllm_ext_table_find(db, responses, bulk->source.schema, &bulk->responses, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "option \"responses\"");
  status = pllm_ext_poll_open(cursor->conn, &bulk->poll, err);
  if (status != PLLM_OK) return status;
  status = pllm_ext_scores_open(cursor->conn, &bulk->responses, bulk->raw, &bulk->scores, err);
  if (status == PLLM_INVALID && bulk->responses_name) pllm_error_prefix(err, "option \"responses\"");
  if (status == PLLM_OK) cursor->skipped = (sqlite3_int64)bulk->scores->view.skipped;
  return status;
}

PllmStatus pllm_ext_bulk_split(PllmTvfCursor *cursor, int split, PllmExtBulk *bulk, PllmError *err) {
  const PllmScores *view = &bulk->scores->view;
  int index = PLLM_EXT_SPLIT_ALL;
  PllmStatus status = pllm_ext_split_find(bulk->scores, pllm_ext_tvf_text(cursor, split), &index, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "argument %d (split)", split + 1);
  bulk->prompts = pllm_alloc(view->n_prompts, sizeof *bulk->prompts);
  if (!bulk->prompts) return pllm_fail_nomem(err);
  for (size_t p = 0; p < view->n_prompts; p++)
    if (PLLM_EXT_IN_SPLIT(bulk->scores, p, index)) bulk->prompts[bulk->n_prompts++] = p;
  return PLLM_OK;
}

void pllm_ext_bulk_result_f32(sqlite3_context *context, const float *numbers, size_t dim) {
  unsigned char *bytes = sqlite3_malloc64(dim * 4);
  if (!bytes) {
    sqlite3_result_error_nomem(context);
    return;
  }
  for (size_t i = 0; i < dim; i++) {
    double number = (double)numbers[i];
    pllm_vector_store(&number, 1, PLLM_F32, bytes + 4 * i);
  }
  sqlite3_result_blob64(context, bytes, dim * 4, sqlite3_free);
}

void pllm_ext_bulk_close(PllmExtBulk *bulk) {
  pllm_ext_poll_close(&bulk->poll);
  pllm_ext_scores_close(bulk->scores);
  pllm_ext_table_free(&bulk->source);
  pllm_ext_table_free(&bulk->responses);
  pllm_free(bulk->prompts);
  pllm_free(bulk->responses_name);
  memset(bulk, 0, sizeof *bulk);
}
