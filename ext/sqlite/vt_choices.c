/*
** vt_choices.c: persona_choices(history [, options]): the choice sets that adapt_user_choices learns from.
**
**   SELECT user_id, adapt_user_choices(choice_set, features, feedback) FROM persona_choices('history') GROUP BY 1;
**   -> (user_id, choice_set, response_id, features, feedback), in the order of the history, then by position
**
** C1  history names a table or view with the columns of persona_interactions: user_id, turn, prompt_id, chosen_id,
**     rejected_id, response_id, shown.  One turn is one choice set: choice_set = turn.
** C2  Exactly the rows shown come out.  shown = 'all': every fully scored response of the prompt, chosen_id with
**     feedback 'best', rejected_id with 'worst' (either may be NULL); 'pair': chosen_id and rejected_id alone; 'one':
**     response_id alone, without feedback.  Where chosen_id = rejected_id the user found all equal, and nothing is
**     marked.
** C3  A response that is not one of the prompt's fully scored responses, an unknown prompt and any other value of
**     shown are errors naming user and turn.
** C4  Option features: rewards (default, f64) or embedding (f32; a response without one is an error).
*/
#include "ext_int.h"

#include <string.h>

enum { ARG_HISTORY, ARG_OPTIONS, N_ARGS };
enum { COL_USER_ID, COL_CHOICE_SET, COL_RESPONSE_ID, COL_FEATURES, COL_FEEDBACK, N_COLUMNS };
enum { IN_USER_ID, IN_TURN, IN_PROMPT_ID, IN_CHOSEN_ID, IN_REJECTED_ID, IN_RESPONSE_ID, IN_SHOWN };

typedef struct State {
  PllmExtBulk bulk;
  int embedding; /* option features */
  size_t dim;    /* of the embeddings */
  const float *matrix;
  const uint8_t *present;
  sqlite3_stmt *stmt; /* owned */
  /* The current turn: responses at .. end - 1 of the view are to come, of which a pair shows only two. */
  sqlite3_int64 user_id, turn;
  size_t at, end;
  size_t chosen, rejected; /* SIZE_MAX: none */
  int pair;
} State;

/* A response of the current turn, given by its id in a column of the history. */
static PllmStatus find_response(State *s, int column, const char *name, size_t prompt, size_t *found,
                                PllmError *err) {
  const PllmScores *view = &s->bulk.scores->view;
  sqlite3_value *id = sqlite3_column_value(s->stmt, column);
  if (sqlite3_value_type(id) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "%s is %s; an integer is required", name, pllm_ext_type_name(id));
  for (size_t r = view->first[prompt]; r < view->first[prompt + 1]; r++)
    if (view->response_id[r] == sqlite3_value_int64(id)) {
      *found = r;
      return PLLM_OK;
    }
  return pllm_fail(err, PLLM_INVALID, "%s is %lld, which is no fully scored response of prompt %lld", name,
                   sqlite3_value_int64(id), (long long)view->prompt_id[prompt]);
}

/* Index of the prompt in the view, or SIZE_MAX. */
static size_t find_prompt(const PllmScores *view, sqlite3_int64 prompt_id) {
  size_t low = 0, high = view->n_prompts;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (view->prompt_id[middle] < prompt_id)
      low = middle + 1;
    else
      high = middle;
  }
  return low < view->n_prompts && view->prompt_id[low] == prompt_id ? low : SIZE_MAX;
}

static int is_null(const State *s, int column) {
  return sqlite3_column_type(s->stmt, column) == SQLITE_NULL;
}

static PllmStatus read_shown(State *s, PllmError *err) {
  const PllmScores *view = &s->bulk.scores->view;
  const char *shown = (const char *)sqlite3_column_text(s->stmt, IN_SHOWN);
  sqlite3_value *prompt_id = sqlite3_column_value(s->stmt, IN_PROMPT_ID);
  size_t prompt;
  int all = shown && strcmp(shown, "all") == 0;
  PllmStatus status = PLLM_OK;
  s->pair = shown && strcmp(shown, "pair") == 0;
  s->chosen = s->rejected = SIZE_MAX;
  if (!all && !s->pair && (!shown || strcmp(shown, "one") != 0))
    return pllm_fail(err, PLLM_INVALID, "shown is %s%.40s%s; one of all, pair, one is required", shown ? "\"" : "",
                     shown ? shown : "NULL", shown ? "\"" : "");
  if (sqlite3_value_type(prompt_id) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "prompt_id is %s; an integer is required", pllm_ext_type_name(prompt_id));
  prompt = find_prompt(view, sqlite3_value_int64(prompt_id));
  if (prompt == SIZE_MAX)
    return pllm_fail(err, PLLM_INVALID, "prompt %lld has no fully scored response", sqlite3_value_int64(prompt_id));
  s->at = view->first[prompt];
  s->end = view->first[prompt + 1];
  if (!all && !s->pair) {
    status = find_response(s, IN_RESPONSE_ID, "response_id", prompt, &s->at, err);
    s->end = s->at + 1;
    return status;
  }
  if (s->pair || !is_null(s, IN_CHOSEN_ID))
    status = find_response(s, IN_CHOSEN_ID, "chosen_id", prompt, &s->chosen, err);
  if (status == PLLM_OK && (s->pair || !is_null(s, IN_REJECTED_ID)))
    status = find_response(s, IN_REJECTED_ID, "rejected_id", prompt, &s->rejected, err);
  return status;
}

static PllmStatus next_turn(State *s, PllmTvfCursor *cursor, PllmError *err) {
  int rc = sqlite3_step(s->stmt);
  PllmStatus status;
  if (rc == SQLITE_DONE) {
    cursor->done = 1;
    return PLLM_OK;
  }
  if (rc != SQLITE_ROW) return pllm_ext_sqlite_fail(err, cursor->conn->db, rc);
  for (int i = IN_USER_ID; i <= IN_TURN; i++)
    if (sqlite3_column_type(s->stmt, i) != SQLITE_INTEGER)
      return pllm_fail(err, PLLM_INVALID, "%s: %s is %s; an integer is required", s->bulk.source.name,
                       i == IN_TURN ? "turn" : "user_id", pllm_ext_type_name(sqlite3_column_value(s->stmt, i)));
  s->user_id = sqlite3_column_int64(s->stmt, IN_USER_ID);
  s->turn = sqlite3_column_int64(s->stmt, IN_TURN);
  status = read_shown(s, err);
  if (status == PLLM_OK) return status;
  return pllm_error_prefix(err, "%s: user_id %lld, turn %lld", s->bulk.source.name, s->user_id, s->turn);
}

/* To the next response of the turn that was shown, or to the next turn. */
static PllmStatus settle(State *s, PllmTvfCursor *cursor, PllmError *err) {
  PllmStatus status = PLLM_OK;
  for (;;) {
    while (s->pair && s->at < s->end && s->at != s->chosen && s->at != s->rejected) s->at++;
    if (s->at < s->end) break;
    status = next_turn(s, cursor, err);
    if (status != PLLM_OK || cursor->done) return status;
  }
  if (s->embedding && !s->present[s->at])
    return pllm_fail(err, PLLM_INVALID, "%s: user_id %lld, turn %lld: response %lld has no embedding",
                     s->bulk.source.name, s->user_id, s->turn, (long long)s->bulk.scores->view.response_id[s->at]);
  return PLLM_OK;
}

static PllmStatus choicesBegin(PllmTvfCursor *cursor, PllmError *err) {
  State *s = pllm_alloc_zero(1, sizeof *s);
  PllmOption own[] = {
      {.name = "features", .kind = PLLM_OPTION_CHOICE, .choices = "rewards|embedding"},
  };
  char *sql;
  int rc;
  PllmStatus status;
  if (!s) return pllm_fail_nomem(err);
  cursor->state = s;
  own[0].value = &s->embedding;
  status = pllm_ext_bulk_open(cursor, ARG_HISTORY, "history", ARG_OPTIONS, own, 1, &s->bulk, err);
  if (status == PLLM_OK && s->embedding) {
    status = pllm_ext_scores_embeddings(s->bulk.scores, &s->dim, &s->matrix, &s->present, err);
    if (status == PLLM_OK && s->dim == 0)
      status = pllm_fail(err, PLLM_INVALID, "option \"features\" is \"embedding\", but %s has none",
                         s->bulk.responses.name);
  }
  if (status != PLLM_OK) return status;
  sql = sqlite3_mprintf("SELECT user_id, turn, prompt_id, chosen_id, rejected_id, response_id, shown FROM %s",
                        s->bulk.source.quoted);
  rc = sql ? sqlite3_prepare_v2(cursor->conn->db, sql, -1, &s->stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  if (rc != SQLITE_OK) {
    pllm_ext_sqlite_fail(err, cursor->conn->db, rc);
    return pllm_error_prefix(err, "%s", s->bulk.source.name);
  }
  return settle(s, cursor, err);
}

static PllmStatus choicesNext(PllmTvfCursor *cursor, PllmError *err) {
  State *s = cursor->state;
  s->at++;
  return settle(s, cursor, err);
}

static void choicesColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const State *s = cursor->state;
  const PllmScores *view = &s->bulk.scores->view;
  switch (column) {
  case COL_USER_ID: sqlite3_result_int64(context, s->user_id); break;
  case COL_CHOICE_SET: sqlite3_result_int64(context, s->turn); break;
  case COL_RESPONSE_ID: sqlite3_result_int64(context, view->response_id[s->at]); break;
  case COL_FEATURES:
    if (s->embedding)
      pllm_ext_bulk_result_f32(context, s->matrix + s->at * s->dim, s->dim);
    else
      pllm_ext_result_vector(context, view->rewards + s->at * view->n_models, view->n_models, PLLM_F64);
    break;
  case COL_FEEDBACK:
    if (s->chosen == s->rejected) break;
    if (s->at == s->chosen) sqlite3_result_text(context, "best", 4, SQLITE_STATIC);
    if (s->at == s->rejected) sqlite3_result_text(context, "worst", 5, SQLITE_STATIC);
    break;
  default: break;
  }
}

static void choicesEnd(PllmTvfCursor *cursor) {
  State *s = cursor->state;
  if (!s) return;
  sqlite3_finalize(s->stmt);
  pllm_ext_bulk_close(&s->bulk);
  pllm_free(s);
}

int pllm_ext_init_choices(PllmConn *conn, char **error) {
  static const char *const args[N_ARGS] = {"history", "options"};
  static const PllmTvf tvf = {
      .name = "persona_choices",
      .columns = "user_id INTEGER, choice_set INTEGER, response_id INTEGER, features BLOB, feedback TEXT",
      .n_columns = N_COLUMNS,
      .args = args,
      .n_args = N_ARGS,
      .n_required = 1,
      .rows = 100000,
      .begin = choicesBegin,
      .next = choicesNext,
      .column = choicesColumn,
      .end = choicesEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
