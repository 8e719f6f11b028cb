/*
** vt_votes.c: persona_votes(population, split [, options]): which responses does a population like best and least?
**
**   SELECT response_id, best_votes FROM persona_votes('users', 'test');
**   -> (prompt_id, response_id, best_votes, worst_votes), one row per fully scored response, by prompt_id and
**   position
**
** V1  Every user with weights votes once per prompt for the response of largest utility and once against the one of
**     smallest; ties go to the lowest position (definitions.md#votes).  So both columns sum to the number of
**     users on every prompt.
** V2  Options: see ext_bulk.c.
** Memory: a block of users at a time, and two counts per response.
*/
#include "ext_int.h"

enum { ARG_POPULATION, ARG_SPLIT, ARG_OPTIONS, N_ARGS };
enum { COL_PROMPT_ID, COL_RESPONSE_ID, COL_BEST_VOTES, COL_WORST_VOTES, N_COLUMNS };

typedef struct State {
  PllmExtBulk bulk;
  PllmExtPopulation population;
  PllmExtUsers users;
  int64_t *best, *worst;   /* owned, [n_responses] */
  size_t prompt, response; /* current row: prompts[prompt], and index in the view */
} State;

/* To the first response of prompts[prompt], or the end (prompts of a view have at least one). */
static void settle(State *s, PllmTvfCursor *cursor) {
  if (s->prompt == s->bulk.n_prompts)
    cursor->done = 1;
  else
    s->response = s->bulk.scores->view.first[s->bulk.prompts[s->prompt]];
}

static PllmStatus tally(State *s, PllmTvfCursor *cursor, PllmError *err) {
  const PllmScores *view = &s->bulk.scores->view;
  size_t most = pllm_ext_bulk_users(view->n_models);
  PllmStatus status;
  do {
    status = pllm_ext_users_read(&s->population, most, 0, &s->users, err);
    if (status != PLLM_OK) return status;
    status = pllm_votes(view, s->bulk.prompts, s->bulk.n_prompts, s->users.weights, s->users.count, s->best, s->worst,
                        &s->bulk.poll.run, err);
  } while (status == PLLM_OK && s->users.count == most);
  cursor->skipped += s->population.nulls;
  return status;
}

static PllmStatus votesBegin(PllmTvfCursor *cursor, PllmError *err) {
  State *s = pllm_alloc_zero(1, sizeof *s);
  PllmStatus status;
  if (!s) return pllm_fail_nomem(err);
  cursor->state = s;
  status = pllm_ext_bulk_open(cursor, ARG_POPULATION, "population", ARG_OPTIONS, NULL, 0, &s->bulk, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_split(cursor, ARG_SPLIT, &s->bulk, err);
  if (status == PLLM_OK)
    status =
        pllm_ext_population_open(cursor->conn, &s->bulk.source, s->bulk.scores->view.n_models, &s->population, err);
  if (status != PLLM_OK) return status;
  s->population.dim_source = "the responses table has that many reward models";
  s->best = pllm_alloc_zero(s->bulk.scores->view.n_responses, sizeof *s->best);
  s->worst = pllm_alloc_zero(s->bulk.scores->view.n_responses, sizeof *s->worst);
  if (!s->best || !s->worst) return pllm_fail_nomem(err);
  status = tally(s, cursor, err);
  if (status == PLLM_OK) settle(s, cursor);
  return status;
}

static PllmStatus votesNext(PllmTvfCursor *cursor, PllmError *err) {
  State *s = cursor->state;
  (void)err;
  if (++s->response == s->bulk.scores->view.first[s->bulk.prompts[s->prompt] + 1]) {
    s->prompt++;
    settle(s, cursor);
  }
  return PLLM_OK;
}

static void votesColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const State *s = cursor->state;
  const PllmScores *view = &s->bulk.scores->view;
  switch (column) {
  case COL_PROMPT_ID: sqlite3_result_int64(context, view->prompt_id[s->bulk.prompts[s->prompt]]); break;
  case COL_RESPONSE_ID: sqlite3_result_int64(context, view->response_id[s->response]); break;
  case COL_BEST_VOTES: sqlite3_result_int64(context, s->best[s->response]); break;
  case COL_WORST_VOTES: sqlite3_result_int64(context, s->worst[s->response]); break;
  default: break;
  }
}

static void votesEnd(PllmTvfCursor *cursor) {
  State *s = cursor->state;
  if (!s) return;
  pllm_ext_population_close(&s->population);
  pllm_ext_users_free(&s->users);
  pllm_ext_bulk_close(&s->bulk);
  pllm_free(s->best);
  pllm_free(s->worst);
  pllm_free(s);
}

int pllm_ext_init_votes(PllmConn *conn, char **error) {
  static const char *const args[N_ARGS] = {"population", "split", "options"};
  static const PllmTvf tvf = {
      .name = "persona_votes",
      .columns = "prompt_id INTEGER, response_id INTEGER, best_votes INTEGER, worst_votes INTEGER",
      .n_columns = N_COLUMNS,
      .args = args,
      .n_args = N_ARGS,
      .n_required = 2,
      .rows = 10000,
      .begin = votesBegin,
      .next = votesNext,
      .column = votesColumn,
      .end = votesEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
