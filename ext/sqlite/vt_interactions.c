/*
** vt_interactions.c: persona_interactions(population, split, per_user, mode, seed [, options]): what users did.
**
**   CREATE TABLE history AS SELECT * FROM persona_interactions('users', 'train', 10, 'best_worst', 7);
**   -> (user_id, turn, prompt_id, chosen_id, rejected_id, chosen_reward, rejected_reward, response_id, rating,
**      shown), by user_id and turn
**
** | mode        | shown | chosen, rejected                                   | response_id, rating              |
** |-------------|-------|----------------------------------------------------|----------------------------------|
** | best_worst  | all   | the best and the worst of the prompt's responses   | NULL                             |
** | random_pair | pair  | the preferred and the other of two random ones     | NULL                             |
** | rating      | one   | NULL                                               | a random one, the user's utility |
**
** Options beside those of ext_bulk.c:
**
** | option       | default  | meaning                                                                               |
** |--------------|----------|---------------------------------------------------------------------------------------|
** | replacement  | true     | false: no user meets a prompt twice                                                   |
** | min_per_user | per_user | lengths are uniform in min_per_user .. per_user                                       |
** | similar      | false    | turn 1 is a random prompt, the turns after it the prompts most similar to it          |
** | noise        | 0        | Gumbel scale of the users' choices (and of their ratings)                             |
** | draws        | philox   | philox: a history depends on seed and user_id alone; numpy: the published generators' |
**
** I1  Draws, choices, ties and noise are specified in interactions.h; rewards are canonical utilities without noise.
** I2  Users without weights are skipped and counted.  Prompts with fewer scored responses than a choice needs are not
**     drawn.
** I3  The same arguments give the same rows, for any number of threads.
** Memory: two blocks of users, each about 65,000 turns (more only where one user has more): while the rows of one are
** taken, helper threads make the choices of the next.
*/
#include "ext_int.h"

#include <string.h>

enum { ARG_POPULATION, ARG_SPLIT, ARG_PER_USER, ARG_MODE, ARG_SEED, ARG_OPTIONS, N_ARGS };
enum {
  COL_USER_ID,
  COL_TURN,
  COL_PROMPT_ID,
  COL_CHOSEN_ID,
  COL_REJECTED_ID,
  COL_CHOSEN_REWARD,
  COL_REJECTED_REWARD,
  COL_RESPONSE_ID,
  COL_RATING,
  COL_SHOWN,
  N_COLUMNS
};
enum { BLOCK_TURNS = 65536 };

/* Users read together, and their rows. */
typedef struct Block {
  PllmExtUsers users;
  PllmInteraction *rows; /* owned, [most * per_user] */
  PllmHistoriesJob *job; /* owned: the rows are being made */
  size_t count;
  sqlite3_int64 skipped; /* up to and including these users */
  PllmError err;         /* why the users could not be read, or the rows not be made: shown when their turn comes */
  PllmStatus status;
} Block;

typedef struct State {
  PllmExtBulk bulk;
  PllmExtPopulation population;
  PllmHistoryPlan plan;
  PllmHistories *histories; /* owned */
  Block block[2];
  int current;           /* the block whose rows are taken; the other one is on its way */
  size_t most;           /* users of a block */
  size_t at;             /* the current row */
  sqlite3_int64 skipped; /* responses: users come on top while they are read */
} State;

/* Read the next users with weights into a block and have their rows begun. */
static void begin_block(State *s, Block *b) {
  b->count = 0;
  b->status = PLLM_OK;
  do {
    /* numpy's stream passes over users without weights, so they stay in the block */
    b->status = pllm_ext_users_read(&s->population, s->most, s->plan.draws == PLLM_DRAWS_NUMPY, &b->users, &b->err);
  } while (b->status == PLLM_OK && b->users.count == 0 && !s->population.done);
  b->skipped = s->skipped + s->population.nulls;
  if (b->status == PLLM_OK && b->users.count > 0)
    b->status = pllm_histories_start(s->histories, (const int64_t *)b->users.user_id, b->users.weights, b->users.known,
                                     b->users.count, b->rows, &s->bulk.poll.run, &b->job, &b->err);
}

static void finish_block(Block *b) {
  PllmHistoriesJob *job = b->job;
  b->job = NULL;
  if (job) b->status = pllm_histories_join(job, &b->count, &b->err);
}

/* To the first row of the next block that has one (users may have no rows), and the block after it on its way. */
static PllmStatus next_block(State *s, PllmTvfCursor *cursor, PllmError *err) {
  Block *b;
  do {
    s->current = !s->current;
    b = &s->block[s->current];
    finish_block(b);
    if (b->status != PLLM_OK) {
      *err = b->err;
      return b->status;
    }
    if (b->users.count > 0) begin_block(s, &s->block[!s->current]);
  } while (b->count == 0 && b->users.count > 0);
  s->at = 0;
  cursor->skipped = b->skipped;
  cursor->done = b->count == 0;
  return PLLM_OK;
}

static PllmStatus read_mode(PllmTvfCursor *cursor, PllmHistoryPlan *plan, PllmError *err) {
  static const char *const modes[] = {"best_worst", "random_pair", "rating"};
  const char *text = pllm_ext_tvf_text(cursor, ARG_MODE);
  for (int i = 0; text && i < 3; i++)
    if (strcmp(text, modes[i]) == 0) {
      plan->mode = (PllmHistoryMode)i;
      return PLLM_OK;
    }
  return pllm_fail(err, PLLM_INVALID,
                   "argument %d (mode): %s%.40s%s; one of best_worst, random_pair, rating is required", ARG_MODE + 1,
                   text ? "\"" : "", text ? text : "NULL", text ? "\"" : "");
}

static PllmStatus open_histories(State *s, PllmError *err) {
  const float *embeddings = NULL;
  const uint8_t *has = NULL;
  size_t dim = 0;
  PllmStatus status = PLLM_OK;
  if (s->plan.similar) status = pllm_ext_scores_prompt_embeddings(s->bulk.scores, &dim, &embeddings, &has, err);
  if (status != PLLM_OK) return status;
  return pllm_histories_open(&s->plan, &s->bulk.scores->view, s->bulk.prompts, s->bulk.n_prompts, embeddings, dim,
                             has, &s->bulk.poll.run, &s->histories, err);
}

static PllmStatus read_arguments(State *s, PllmTvfCursor *cursor, PllmError *err) {
  sqlite3_int64 per_user = 0, seed = 0;
  int64_t min_per_user = 0;
  int replacement = 1, draws = 0;
  PllmOption own[] = {
      {.name = "replacement", .kind = PLLM_OPTION_BOOL, .value = &replacement},
      {.name = "min_per_user", .kind = PLLM_OPTION_INTEGER, .value = &min_per_user, .min = 1, .max = PLLM_MAX_TURNS},
      {.name = "similar", .kind = PLLM_OPTION_BOOL, .value = &s->plan.similar},
      {.name = "noise", .kind = PLLM_OPTION_NUMBER, .value = &s->plan.noise, .min = 0, .max = 1e300},
      {.name = "draws", .kind = PLLM_OPTION_CHOICE, .value = &draws, .choices = "philox|numpy"},
  };
  PllmStatus status = pllm_ext_bulk_integer(cursor, ARG_PER_USER, "per_user", 1, PLLM_MAX_TURNS, &per_user, err);
  if (status == PLLM_OK) status = read_mode(cursor, &s->plan, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_integer(cursor, ARG_SEED, "seed", 0, UINT32_MAX, &seed, err);
  if (status == PLLM_OK)
    status = pllm_ext_bulk_open(cursor, ARG_POPULATION, "population", ARG_OPTIONS, own, sizeof own / sizeof *own,
                                &s->bulk, err);
  s->plan.per_user = (size_t)per_user;
  s->plan.min_per_user = (size_t)min_per_user;
  s->plan.seed = seed;
  s->plan.no_replacement = !replacement;
  s->plan.draws = draws ? PLLM_DRAWS_NUMPY : PLLM_DRAWS_PHILOX;
  return status;
}

static PllmStatus interactionsBegin(PllmTvfCursor *cursor, PllmError *err) {
  State *s = pllm_alloc_zero(1, sizeof *s);
  size_t models;
  PllmStatus status;
  if (!s) return pllm_fail_nomem(err);
  cursor->state = s;
  status = read_arguments(s, cursor, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_split(cursor, ARG_SPLIT, &s->bulk, err);
  if (status == PLLM_OK) status = open_histories(s, err);
  if (status != PLLM_OK) return status;
  models = s->bulk.scores->view.n_models;
  status = pllm_ext_population_open(cursor->conn, &s->bulk.source, models, &s->population, err);
  if (status != PLLM_OK) return status;
  s->population.dim_source = "the responses table has that many reward models";
  s->skipped = cursor->skipped;
  s->most = BLOCK_TURNS / s->plan.per_user;
  if (s->most > pllm_ext_bulk_users(models)) s->most = pllm_ext_bulk_users(models);
  if (s->most < 1) s->most = 1;
  for (int i = 0; i < 2; i++) {
    s->block[i].rows = pllm_alloc(s->most * s->plan.per_user, sizeof *s->block[i].rows);
    if (!s->block[i].rows) return pllm_fail_nomem(err);
  }
  begin_block(s, &s->block[!s->current]);
  return next_block(s, cursor, err);
}

static PllmStatus interactionsNext(PllmTvfCursor *cursor, PllmError *err) {
  State *s = cursor->state;
  const Block *b = &s->block[s->current];
  if (++s->at == b->count) return next_block(s, cursor, err);
#if defined(__GNUC__)
  enum { AHEAD = 8 };
  if (b->count - s->at > AHEAD) { /* rows name prompts and responses in any order: have a later row's ids come nearer */
    const PllmInteraction *later = &b->rows[s->at + AHEAD];
    __builtin_prefetch(&s->bulk.scores->view.prompt_id[later->prompt]);
    __builtin_prefetch(&s->bulk.scores->view.response_id[later->chosen]);
  }
#endif
  return PLLM_OK;
}

static void interactionsColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  static const char *const shown[] = {"all", "pair", "one"};
  const State *s = cursor->state;
  const Block *block = &s->block[s->current];
  const PllmInteraction *row = &block->rows[s->at];
  const PllmScores *view = &s->bulk.scores->view;
  int rated = s->plan.mode == PLLM_RATING;
  switch (column) {
  case COL_USER_ID: sqlite3_result_int64(context, block->users.user_id[row->user]); break;
  case COL_TURN: sqlite3_result_int64(context, row->turn); break;
  case COL_PROMPT_ID: sqlite3_result_int64(context, view->prompt_id[row->prompt]); break;
  case COL_CHOSEN_ID:
    if (!rated) sqlite3_result_int64(context, view->response_id[row->chosen]);
    break;
  case COL_REJECTED_ID:
    if (!rated) sqlite3_result_int64(context, view->response_id[row->rejected]);
    break;
  case COL_CHOSEN_REWARD:
    if (!rated) sqlite3_result_double(context, row->chosen_reward);
    break;
  case COL_REJECTED_REWARD:
    if (!rated) sqlite3_result_double(context, row->rejected_reward);
    break;
  case COL_RESPONSE_ID:
    if (rated) sqlite3_result_int64(context, view->response_id[row->chosen]);
    break;
  case COL_RATING:
    if (rated) sqlite3_result_double(context, row->chosen_reward);
    break;
  case COL_SHOWN: sqlite3_result_text(context, shown[s->plan.mode], -1, SQLITE_STATIC); break;
  default: break;
  }
}

static void interactionsEnd(PllmTvfCursor *cursor) {
  State *s = cursor->state;
  if (!s) return;
  for (int i = 0; i < 2; i++) {
    pllm_histories_cancel(s->block[i].job);
    pllm_ext_users_free(&s->block[i].users);
    pllm_free(s->block[i].rows);
  }
  pllm_histories_close(s->histories);
  pllm_ext_population_close(&s->population);
  pllm_ext_bulk_close(&s->bulk);
  pllm_free(s);
}

int pllm_ext_init_interactions(PllmConn *conn, char **error) {
  static const char *const args[N_ARGS] = {"population", "split", "per_user", "mode", "seed", "options"};
  static const PllmTvf tvf = {
      .name = "persona_interactions",
      .columns = "user_id INTEGER, turn INTEGER, prompt_id INTEGER, chosen_id INTEGER, rejected_id INTEGER, "
                 "chosen_reward REAL, rejected_reward REAL, response_id INTEGER, rating REAL, shown TEXT",
      .n_columns = N_COLUMNS,
      .args = args,
      .n_args = N_ARGS,
      .n_required = 5,
      .rows = 100000,
      .begin = interactionsBegin,
      .next = interactionsNext,
      .column = interactionsColumn,
      .end = interactionsEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
