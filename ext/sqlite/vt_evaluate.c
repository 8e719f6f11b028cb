/*
** vt_evaluate.c: persona_evaluate(truth, estimate, split [, options]): how well do estimated weights serve each user?
**
**   SELECT avg(top1), sum(reward - random_reward) / sum(best_reward - random_reward) AS captured_share
**   FROM persona_evaluate('users', 'adapted', 'test');
**   -> (user_id, prompts, top1, pair_accuracy, all_pairs_accuracy, reward, best_reward, random_reward, regret,
**      win_rate), one row per user of the truth that has weights, by user_id
**
** E1  truth and estimate are populations, read as a merge join on user_id.  The truth judges with the rewards.  A
**     user of the truth without an estimate (no row, or NULL weights) has NULL everywhere but in prompts; an estimate
**     for a user that the truth does not have is an error.
** E2  The estimate picks by rewards if its weights are as long as the truth's, by embedding if they are as long as
**     the embeddings; where neither or both fit, option features says: 'rewards', 'embedding', or the name of a table
**     (response_id, features).
** E3  Responses without the estimate's features are left out for both sides and counted in skipped; prompts counts
**     the split's prompts that have a response left.
** E4  Metrics are defined in evaluate.h.  pair_accuracy and all_pairs_accuracy are over the prompts with two
**     responses that the truth does not rate alike, NULL where there is none.  win_rate needs option reference, the
**     model whose response the pick must beat, and is over the prompts that have one.
** Memory: two blocks of users, the features of a table, and about a million numbers of the features of either side, laid
** out: while the rows of one block of users are taken and the users of the next are read, helper threads judge.
*/
#include "ext_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ARG_TRUTH, ARG_ESTIMATE, ARG_SPLIT, ARG_OPTIONS, N_ARGS };
enum {
  COL_USER_ID,
  COL_PROMPTS,
  COL_TOP1,
  COL_PAIR_ACCURACY,
  COL_ALL_PAIRS_ACCURACY,
  COL_REWARD,
  COL_BEST_REWARD,
  COL_RANDOM_REWARD,
  COL_REGRET,
  COL_WIN_RATE,
  N_COLUMNS
};

/* Users read together. */
typedef struct Block {
  PllmExtUsers users;        /* of the truth */
  double *truth, *estimate;  /* owned, [most][n_models] and [most][dim]: users that have both */
  size_t *judgement_of;      /* owned, [most]: index into judgements, SIZE_MAX: no estimate */
  PllmJudgement *judgements; /* owned, [most] */
  size_t judged;
  int running;           /* the judgements are being made */
  sqlite3_int64 skipped; /* up to and including these users */
  PllmError err;         /* why the users could not be read: shown when their turn comes */
  PllmStatus status;
} Block;

/* BLOCK_USERS: of a block that needs no layout of its own: the first one is read, and the last one's rows are taken, while
** nothing else can be done. */
enum { BLOCK_USERS = 1024 };

typedef struct State {
  PllmExtBulk bulk;
  PllmExtTable estimate_table, features_table; /* owned */
  PllmExtPopulation truth, estimate;
  PllmEvaluation task;
  char *features, *reference; /* owned, the options */
  double *table_features;     /* owned, [rows][dim] */
  size_t *row;                /* owned, task.row */
  sqlite3_int64 prompts;      /* that count */
  sqlite3_int64 skipped;      /* responses; users come on top while they are read */
  PllmEvaluator *evaluator;   /* owned */
  Block block[2];
  int current;     /* the block whose rows are taken; the other one is on its way */
  size_t most, at; /* users of a block, the current one */
} State;

/* ---- The estimate's features ---- */

typedef struct IdIndex {
  sqlite3_int64 id;
  size_t index;
} IdIndex;

static int by_id(const void *a, const void *b) {
  sqlite3_int64 x = ((const IdIndex *)a)->id, y = ((const IdIndex *)b)->id;
  return (x > y) - (x < y);
}

/* The responses of the split by id; *n entries, owned by the caller. */
static IdIndex *responses_by_id(const State *s, size_t *n) {
  const PllmScores *view = &s->bulk.scores->view;
  IdIndex *list = pllm_alloc(view->n_responses, sizeof *list);
  *n = 0;
  for (size_t i = 0; list && i < s->bulk.n_prompts; i++)
    for (size_t r = view->first[s->bulk.prompts[i]]; r < view->first[s->bulk.prompts[i] + 1]; r++) {
      list[*n].id = view->response_id[r];
      list[(*n)++].index = r;
    }
  if (list) qsort(list, *n, sizeof *list, by_id);
  return list;
}

/* Take one row of the table (response_id, features). */
static PllmStatus take_features(State *s, sqlite3_stmt *stmt, const IdIndex *list, size_t n, PllmExtVector *vector,
                                size_t *rows, size_t *room, PllmError *err) {
  sqlite3_value *id = sqlite3_column_value(stmt, 0), *value = sqlite3_column_value(stmt, 1);
  IdIndex key = {.id = sqlite3_value_int64(id)}, *found;
  size_t dim = s->task.dim;
  double *grown;
  PllmStatus status;
  if (sqlite3_value_type(id) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "response_id is %s; an integer is required", pllm_ext_type_name(id));
  found = n > 0 ? bsearch(&key, list, n, sizeof *list, by_id) : NULL;
  if (!found || sqlite3_value_type(value) == SQLITE_NULL) return PLLM_OK;
  if (s->row[found->index] != SIZE_MAX)
    return pllm_fail(err, PLLM_INVALID, "response_id %lld stands twice", sqlite3_value_int64(id));
  status = pllm_ext_vector_decode(value, 0, dim, vector, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "response_id %lld: features", sqlite3_value_int64(id));
  grown = pllm_grow(s->table_features, *rows, room, 256, dim * sizeof *grown);
  if (!grown) return pllm_fail_nomem(err);
  s->table_features = grown;
  memcpy(s->table_features + *rows * dim, vector->numbers, dim * sizeof *vector->numbers);
  s->row[found->index] = (*rows)++;
  return PLLM_OK;
}

static PllmStatus read_features_table(State *s, PllmConn *conn, PllmError *err) {
  PllmExtVector vector = {0};
  sqlite3_stmt *stmt = NULL;
  IdIndex *list = NULL;
  char *sql;
  size_t n = 0, rows = 0, room = 0;
  int rc;
  PllmStatus status = pllm_ext_table_find(conn->db, s->features, s->bulk.source.schema, &s->features_table, err);
  if (status != PLLM_OK)
    return pllm_error_prefix(err, "option \"features\" is neither rewards nor embedding nor a table");
  sql = sqlite3_mprintf("SELECT response_id, features FROM %s", s->features_table.quoted);
  rc = sql ? sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  if (rc == SQLITE_OK && !(list = responses_by_id(s, &n))) rc = SQLITE_NOMEM;
  while (rc == SQLITE_OK || rc == SQLITE_ROW) {
    rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) break;
    status = take_features(s, stmt, list, n, &vector, &rows, &room, err);
    if (status != PLLM_OK) goto done;
  }
  if (rc != SQLITE_DONE) status = pllm_ext_sqlite_fail(err, conn->db, rc);
  if (status == PLLM_OK && !s->table_features) { /* the core takes no matrix for the rewards */
    s->table_features = pllm_alloc_zero(s->task.dim, sizeof *s->table_features);
    if (!s->table_features) status = pllm_fail_nomem(err);
  }
  s->task.features_f64 = s->table_features;
done:
  sqlite3_finalize(stmt);
  pllm_ext_vector_free(&vector);
  pllm_free(list);
  return status == PLLM_OK ? status : pllm_error_prefix(err, "%s", s->features_table.name);
}

/* Length of the first weights of the estimate, 0 when there are none. */
static PllmStatus peek_dim(State *s, sqlite3 *db, size_t *dim, PllmError *err) {
  PllmExtVector vector = {0};
  sqlite3_stmt *stmt = NULL;
  char *sql =
      sqlite3_mprintf("SELECT user_id, weights FROM %s WHERE weights IS NOT NULL LIMIT 1", s->estimate_table.quoted);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  PllmStatus status = PLLM_OK;
  sqlite3_free(sql);
  *dim = 0;
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) {
    status = pllm_ext_vector_decode(sqlite3_column_value(stmt, 1), PLLM_F64, 0, &vector, err);
    if (status != PLLM_OK)
      pllm_error_prefix(err, "%s: user_id %s: weights", s->estimate_table.name,
                        sqlite3_column_type(stmt, 0) == SQLITE_NULL ? "NULL"
                                                                    : (const char *)sqlite3_column_text(stmt, 0));
    *dim = vector.dim;
  } else if (rc != SQLITE_DONE) {
    status = pllm_ext_sqlite_fail(err, db, rc);
    if (status == PLLM_INVALID) pllm_error_prefix(err, "%s", s->estimate_table.name);
  }
  sqlite3_finalize(stmt);
  pllm_ext_vector_free(&vector);
  return status;
}

/* Responses of the split without features are left out; others of the view are never asked for. */
static void count_left_out(State *s) {
  const PllmScores *view = &s->bulk.scores->view;
  for (size_t i = 0; i < s->bulk.n_prompts; i++)
    for (size_t r = view->first[s->bulk.prompts[i]]; r < view->first[s->bulk.prompts[i] + 1]; r++)
      s->skipped += s->row[r] == SIZE_MAX;
}

/* Rule E2. */
static PllmStatus choose_features(State *s, PllmConn *conn, PllmError *err) {
  const PllmScores *view = &s->bulk.scores->view;
  const float *matrix = NULL;
  const uint8_t *present = NULL;
  size_t dim = 0, embedding = 0, loaded = 0;
  int rewards = s->features && strcmp(s->features, "rewards") == 0;
  int embeddings = s->features && strcmp(s->features, "embedding") == 0;
  PllmStatus status = peek_dim(s, conn->db, &dim, err);
  s->task.dim = dim > 0 ? dim : view->n_models;
  if (status != PLLM_OK || dim == 0) return status; /* nothing to judge */
  if (!s->features || embeddings) status = pllm_ext_scores_embedding_dim(s->bulk.scores, &embedding, err);
  if (status != PLLM_OK) return status;
  if (embeddings && embedding == 0)
    return pllm_fail(err, PLLM_INVALID, "option \"features\" is \"embedding\", but %s has none",
                     s->bulk.responses.name);
  if (!s->features) {
    rewards = dim == view->n_models;
    embeddings = dim == embedding;
    if (rewards && embeddings)
      return pllm_fail(err, PLLM_INVALID,
                       "%s: weights of %zu numbers fit rewards and embedding; option \"features\" must say which",
                       s->estimate_table.name, dim);
    if (!rewards && !embeddings)
      return pllm_fail(
          err, PLLM_INVALID,
          "%s: weights of %zu numbers fit neither the %zu rewards nor the embedding (%zu numbers); option "
          "\"features\" can name a table (response_id, features)",
          s->estimate_table.name, dim, view->n_models, embedding);
  }
  if (rewards) {
    s->task.dim = view->n_models;
    s->estimate.dim_source = "there are that many rewards";
    return PLLM_OK;
  }
  s->row = pllm_alloc(view->n_responses, sizeof *s->row);
  if (!s->row) return pllm_fail_nomem(err);
  s->task.row = s->row;
  if (embeddings) {
    status = pllm_ext_scores_embeddings(s->bulk.scores, &loaded, &matrix, &present, err);
    if (status != PLLM_OK) return status;
    for (size_t r = 0; r < view->n_responses; r++) s->row[r] = loaded > 0 && present[r] ? r : SIZE_MAX;
    s->task.features_f32 = matrix;
    s->task.dim = loaded > 0 ? loaded : embedding; /* unscored responses alone may have embeddings */
    s->estimate.dim_source = "the embedding has that many";
  } else {
    for (size_t r = 0; r < view->n_responses; r++) s->row[r] = SIZE_MAX;
    status = read_features_table(s, conn, err);
  }
  if (status == PLLM_OK) count_left_out(s);
  return status;
}

static PllmStatus find_reference(State *s, PllmError *err) {
  const PllmScores *view = &s->bulk.scores->view;
  char list[PLLM_ERROR_TEXT / 2] = "";
  size_t used = 0;
  s->task.reference = -1;
  if (!s->reference) return PLLM_OK;
  for (size_t i = 0; i < view->n_model_names; i++) {
    if (strcmp(view->model_names[i], s->reference) == 0) {
      s->task.reference = (int32_t)i;
      return PLLM_OK;
    }
    sqlite3_snprintf((int)(sizeof list - used), list + used, "%s%.40s", i ? ", " : "", view->model_names[i]);
    used += strlen(list + used);
  }
  return pllm_fail(err, PLLM_INVALID, "option \"reference\": no response is by model \"%.60s\"; models: %s",
                   s->reference, used ? list : "none");
}

/* ---- Users ---- */

static PllmStatus unknown_user(const State *s, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "%s: user_id %lld is not in %s", s->estimate.name, s->estimate.user_id,
                   s->truth.name);
}

/* Merge the next users of the truth with the estimate (which stands on its first user not yet matched). */
static PllmStatus read_users(State *s, Block *b, PllmError *err) {
  size_t models = s->bulk.scores->view.n_models, dim = s->task.dim, n = 0;
  PllmStatus status = pllm_ext_users_read(&s->truth, s->most, 1, &b->users, err);
  for (size_t u = 0; status == PLLM_OK && u < b->users.count; u++) {
    b->judgement_of[u] = SIZE_MAX;
    if (s->estimate.done || s->estimate.user_id > b->users.user_id[u]) continue;
    if (s->estimate.user_id < b->users.user_id[u]) return unknown_user(s, err);
    if (s->estimate.weights && b->users.known[u]) {
      memcpy(b->truth + n * models, b->users.weights + u * models, models * sizeof *b->truth);
      memcpy(b->estimate + n * dim, s->estimate.weights, dim * sizeof *b->estimate);
      b->judgement_of[u] = n++;
    }
    status = pllm_ext_population_next(&s->estimate, err);
  }
  if (status != PLLM_OK) return status;
  if (b->users.count < s->most && !s->estimate.done) return unknown_user(s, err);
  b->skipped = s->skipped + s->truth.nulls;
  b->judged = n;
  return PLLM_OK;
}

static void read_block(State *s, Block *b) {
  b->status = read_users(s, b, &b->err);
  if (b->status != PLLM_OK) b->users.count = b->judged = 0;
}

static void start_block(State *s, Block *b) {
  if (b->status != PLLM_OK || b->judged == 0) return;
  b->status = pllm_evaluator_start(s->evaluator, b->truth, b->estimate, b->judged, b->judgements, &b->err);
  b->running = b->status == PLLM_OK;
}

static void finish_block(State *s, Block *b) {
  if (b->running) b->status = pllm_evaluator_join(s->evaluator, &b->err);
  b->running = 0;
}

/* To the next block, with the one after it on its way: that is read while helper threads judge the next one, and they go
** on to it by themselves if they can. */
static PllmStatus next_block(State *s, PllmTvfCursor *cursor, PllmError *err) {
  Block *after = &s->block[s->current], *next = &s->block[!s->current];
  int more = next->status == PLLM_OK && next->users.count == s->most, at_once = pllm_evaluator_is_whole(s->evaluator);
  if (more) read_block(s, after);
  if (more && at_once) start_block(s, after);
  finish_block(s, next);
  if (next->status != PLLM_OK) {
    *err = next->err;
    return next->status;
  }
  if (more && !at_once) start_block(s, after);
  s->current = !s->current;
  s->at = 0;
  cursor->skipped = next->skipped;
  return PLLM_OK;
}

/* To the next user of the truth that has weights. */
static PllmStatus settle(State *s, PllmTvfCursor *cursor, PllmError *err) {
  for (;;) {
    const Block *b = &s->block[s->current];
    while (s->at < b->users.count && !b->users.known[s->at]) s->at++;
    if (s->at < b->users.count) return PLLM_OK;
    if (b->users.count < s->most) {
      cursor->done = 1;
      return PLLM_OK;
    }
    PllmStatus status = next_block(s, cursor, err);
    if (status != PLLM_OK) return status;
  }
}

static PllmStatus open_block(const State *s, Block *b, PllmError *err) {
  b->truth = pllm_alloc(s->most, s->bulk.scores->view.n_models * sizeof *b->truth);
  b->estimate = pllm_alloc(s->most, s->task.dim * sizeof *b->estimate);
  b->judgement_of = pllm_alloc(s->most, sizeof *b->judgement_of);
  b->judgements = pllm_alloc(s->most, sizeof *b->judgements);
  return b->truth && b->estimate && b->judgement_of && b->judgements ? PLLM_OK : pllm_fail_nomem(err);
}

static void close_block(Block *b) {
  pllm_ext_users_free(&b->users);
  pllm_free(b->truth);
  pllm_free(b->estimate);
  pllm_free(b->judgement_of);
  pllm_free(b->judgements);
}

static PllmStatus open_populations(State *s, PllmTvfCursor *cursor, PllmError *err) {
  const char *source = s->estimate.dim_source;
  size_t models = s->bulk.scores->view.n_models;
  PllmStatus status = pllm_ext_population_open(cursor->conn, &s->bulk.source, models, &s->truth, err);
  if (status == PLLM_OK)
    status = pllm_ext_population_open(cursor->conn, &s->estimate_table, s->task.dim, &s->estimate, err);
  s->truth.dim_source = "there are that many rewards";
  s->estimate.dim_source = source ? source : "the features have that many";
  if (status == PLLM_OK) status = pllm_ext_population_next(&s->estimate, err);
  if (status == PLLM_OK) status = pllm_evaluator_new(&s->task, &s->bulk.poll.run, &s->evaluator, err);
  if (status != PLLM_OK) return status;
  s->most = pllm_ext_bulk_users(models + s->task.dim);
  if (s->most > BLOCK_USERS && pllm_evaluator_is_whole(s->evaluator)) s->most = BLOCK_USERS;
  for (int i = 0; status == PLLM_OK && i < 2; i++) status = open_block(s, &s->block[i], err);
  return status;
}

static PllmStatus evaluateBegin(PllmTvfCursor *cursor, PllmError *err) {
  State *s = pllm_alloc_zero(1, sizeof *s);
  PllmOption own[] = {
      {.name = "features", .kind = PLLM_OPTION_TEXT},
      {.name = "reference", .kind = PLLM_OPTION_TEXT},
  };
  PllmStatus status;
  if (!s) return pllm_fail_nomem(err);
  cursor->state = s;
  own[0].value = &s->features;
  own[1].value = &s->reference;
  status = pllm_ext_bulk_open(cursor, ARG_TRUTH, "truth", ARG_OPTIONS, own, sizeof own / sizeof *own, &s->bulk, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_split(cursor, ARG_SPLIT, &s->bulk, err);
  if (status == PLLM_OK) status = pllm_ext_bulk_table(cursor, ARG_ESTIMATE, "estimate", &s->estimate_table, err);
  if (status == PLLM_OK) status = find_reference(s, err);
  if (status != PLLM_OK) return status;
  s->task.scores = &s->bulk.scores->view;
  s->task.prompts = s->bulk.prompts;
  s->task.n_prompts = s->bulk.n_prompts;
  s->skipped = cursor->skipped;
  status = choose_features(s, cursor->conn, err);
  if (status == PLLM_OK) status = open_populations(s, cursor, err);
  if (status != PLLM_OK) return status;
  s->prompts = (sqlite3_int64)pllm_evaluate_prompts(&s->task);
  read_block(s, &s->block[!s->current]);
  start_block(s, &s->block[!s->current]);
  status = next_block(s, cursor, err);
  return status == PLLM_OK ? settle(s, cursor, err) : status;
}

static PllmStatus evaluateNext(PllmTvfCursor *cursor, PllmError *err) {
  State *s = cursor->state;
  s->at++;
  return settle(s, cursor, err);
}

static double metric(const PllmJudgement *j, int column) {
  switch (column) {
  case COL_TOP1: return j->top1;
  case COL_PAIR_ACCURACY: return j->pair_accuracy;
  case COL_ALL_PAIRS_ACCURACY: return j->all_pairs_accuracy;
  case COL_REWARD: return j->reward;
  case COL_BEST_REWARD: return j->best_reward;
  case COL_RANDOM_REWARD: return j->random_reward;
  case COL_REGRET: return j->regret;
  case COL_WIN_RATE: return j->win_rate;
  default: return NAN;
  }
}

static void evaluateColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const State *s = cursor->state;
  const Block *b = &s->block[s->current];
  size_t judgement = b->judgement_of[s->at];
  if (column == COL_USER_ID) {
    sqlite3_result_int64(context, b->users.user_id[s->at]);
  } else if (column == COL_PROMPTS) {
    sqlite3_result_int64(context, s->prompts);
  } else if (judgement != SIZE_MAX) {
    double value = metric(&b->judgements[judgement], column);
    if (!isnan(value)) sqlite3_result_double(context, value); /* a mean over nothing is NULL */
  }
}

static void evaluateEnd(PllmTvfCursor *cursor) {
  State *s = cursor->state;
  if (!s) return;
  pllm_evaluator_free(s->evaluator); /* before what it reads */
  for (int i = 0; i < 2; i++) close_block(&s->block[i]);
  pllm_ext_population_close(&s->truth);
  pllm_ext_population_close(&s->estimate);
  pllm_ext_table_free(&s->estimate_table);
  pllm_ext_table_free(&s->features_table);
  pllm_ext_bulk_close(&s->bulk);
  pllm_free(s->features);
  pllm_free(s->reference);
  pllm_free(s->table_features);
  pllm_free(s->row);
  pllm_free(s);
}

int pllm_ext_init_evaluate(PllmConn *conn, char **error) {
  static const char *const args[N_ARGS] = {"truth", "estimate", "split", "options"};
  static const PllmTvf tvf = {
      .name = "persona_evaluate",
      .columns =
          "user_id INTEGER, prompts INTEGER, top1 REAL, pair_accuracy REAL, all_pairs_accuracy REAL, reward REAL, "
          "best_reward REAL, random_reward REAL, regret REAL, win_rate REAL",
      .n_columns = N_COLUMNS,
      .args = args,
      .n_args = N_ARGS,
      .n_required = 3,
      .rows = 1000,
      .begin = evaluateBegin,
      .next = evaluateNext,
      .column = evaluateColumn,
      .end = evaluateEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
