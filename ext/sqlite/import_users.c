/*
** import_users.c: persona_import of the evaluation set and the interaction database (rule I8 of fn_import.c).
*/
#include "import.h"

#include <string.h>

typedef struct Users {
  Import *import;
  int eval;
  char *schema, *prefix; /* owned (sqlite3_malloc) */
  size_t n_weights;      /* of the lines before, 0 when there was none */
  sqlite3_int64 next_user;
  sqlite3_stmt *user, *turn, *embedding; /* INSERTs */
  PllmUserLine line;
  unsigned char weights[PLLM_MAX_MODELS * sizeof(double)];
} Users;

static PllmStatus create_tables(Users *u, PllmError *err) {
  Import *import = u->import;
  const char *s = u->schema, *t = u->prefix;
  PllmStatus status = pllm_import_exec(
      import, err,
      "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_users\"(user_id INTEGER PRIMARY KEY, split TEXT, weights BLOB, "
      "history_length INTEGER%s)",
      s, t,
      u->eval ? ", test_prompt TEXT, test_prompt_embedding BLOB, best_response TEXT, best_response_model TEXT, "
                "best_response_reward REAL, gpt4o_response TEXT, gpt4o_reward REAL"
              : "");
  if (status == PLLM_OK)
    status = pllm_import_exec(
        import, err,
        "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_history\"(user_id INTEGER, turn INTEGER, prompt TEXT, response_a "
        "TEXT, "
        "response_b TEXT, chosen TEXT, reward REAL, prompt_embedding BLOB, response_a_embedding BLOB, "
        "response_b_embedding BLOB, PRIMARY KEY(user_id, turn))",
        s, t);
  if (status == PLLM_OK)
    status = pllm_import_exec(
        import, err,
        "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_embeddings\"(user_id INTEGER, interactions INTEGER, winning BLOB, "
        "losing BLOB, winning_minus_losing BLOB, PRIMARY KEY(user_id, interactions))",
        s, t);
  return status;
}

static PllmStatus prepare_inserts(Users *u, PllmError *err) {
  Import *import = u->import;
  const char *s = u->schema, *t = u->prefix;
  PllmStatus status = pllm_import_prepare(
      import, &u->user, err, "INSERT INTO \"%w\".\"%w_users\"(user_id, split, weights, history_length%s", s, t,
      u->eval ? ", test_prompt, test_prompt_embedding, best_response, best_response_model, best_response_reward, "
                "gpt4o_response, gpt4o_reward) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
              : ") VALUES (?1, ?2, ?3, ?4)");
  if (status == PLLM_OK)
    status = pllm_import_prepare(
        import, &u->turn, err,
        "INSERT INTO \"%w\".\"%w_history\"(user_id, turn, prompt, response_a, response_b, chosen, reward, "
        "prompt_embedding, response_a_embedding, response_b_embedding) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
        "?10)",
        s, t);
  if (status == PLLM_OK)
    status = pllm_import_prepare(import, &u->embedding, err,
                                 "INSERT INTO \"%w\".\"%w_embeddings\"(user_id, interactions, winning, losing, "
                                 "winning_minus_losing) VALUES (?1, ?2, ?3, ?4, ?5)",
                                 s, t);
  if (status == PLLM_OK)
    status = pllm_import_integer(import, &u->next_user, err,
                                 "SELECT coalesce(max(user_id) + 1, 0) FROM \"%w\".\"%w_users\"", s, t);
  return status;
}

static void bind_real(sqlite3_stmt *stmt, int index, int known, double x) {
  if (known)
    sqlite3_bind_double(stmt, index, x);
  else
    sqlite3_bind_null(stmt, index);
}

/* The number of turns the file has for this user, or the length it says. */
static int64_t history_length(const PllmUserLine *line) {
  int64_t n = 0;
  if (line->has_length) return line->history_length;
  for (size_t i = 0; i < line->n_turns; i++) n += line->turns[i].present;
  return n;
}

static PllmStatus insert_user(Users *u, sqlite3_int64 id, PllmError *err) {
  const PllmUserLine *line = &u->line;
  sqlite3_stmt *stmt = u->user;
  PllmStatus status;
  sqlite3_bind_int64(stmt, 1, id);
  sqlite3_bind_text(stmt, 2, u->import->split, -1, SQLITE_STATIC);
  if (line->n_weights > 0) {
    pllm_vector_store(line->weights, line->n_weights, PLLM_F64, u->weights);
    sqlite3_bind_blob64(stmt, 3, u->weights, line->n_weights * sizeof(double), SQLITE_STATIC);
  } else {
    sqlite3_bind_null(stmt, 3);
  }
  sqlite3_bind_int64(stmt, 4, history_length(line));
  if (u->eval) {
    pllm_import_bind_text(stmt, 5, line->test_prompt);
    pllm_import_bind_embedding(stmt, 6, &line->test_embedding);
    pllm_import_bind_text(stmt, 7, line->best_response);
    pllm_import_bind_text(stmt, 8, line->best_model);
    bind_real(stmt, 9, line->has_best_reward, line->best_reward);
    pllm_import_bind_text(stmt, 10, line->gpt4o_response);
    bind_real(stmt, 11, line->has_gpt4o_reward, line->gpt4o_reward);
  }
  status = pllm_import_step(u->import, stmt, err);
  if (status == PLLM_INVALID && (u->import->rc & 0xFF) == SQLITE_CONSTRAINT)
    return pllm_fail(err, PLLM_INVALID, "key \"person_id\": %lld is in %.80s_users already", (long long)id,
                     u->prefix);
  return status;
}

static PllmStatus insert_turn(Users *u, sqlite3_int64 id, size_t turn, const PllmTurnLine *t, PllmError *err) {
  sqlite3_stmt *stmt = u->turn;
  sqlite3_bind_int64(stmt, 1, id);
  sqlite3_bind_int64(stmt, 2, (sqlite3_int64)turn);
  pllm_import_bind_text(stmt, 3, t->prompt);
  pllm_import_bind_text(stmt, 4, t->response_a);
  pllm_import_bind_text(stmt, 5, t->response_b);
  pllm_import_bind_text(stmt, 6, t->chosen);
  bind_real(stmt, 7, t->has_reward, t->reward);
  pllm_import_bind_embedding(stmt, 8, &t->prompt_embedding);
  pllm_import_bind_embedding(stmt, 9, &t->a_embedding);
  pllm_import_bind_embedding(stmt, 10, &t->b_embedding);
  return pllm_import_step(u->import, stmt, err);
}

static PllmStatus insert_embedding(Users *u, sqlite3_int64 id, const PllmUserEmbedding *e, PllmError *err) {
  sqlite3_stmt *stmt = u->embedding;
  sqlite3_bind_int64(stmt, 1, id);
  /* Without a number in the key they are those of the whole history. */
  sqlite3_bind_int64(stmt, 2, e->interactions ? e->interactions : history_length(&u->line));
  pllm_import_bind_embedding(stmt, 3, &e->winning);
  pllm_import_bind_embedding(stmt, 4, &e->losing);
  pllm_import_bind_embedding(stmt, 5, &e->difference);
  return pllm_import_step(u->import, stmt, err);
}

static PllmStatus insert_line(Users *u, PllmError *err) {
  const PllmUserLine *line = &u->line;
  sqlite3_int64 id = line->person_id;
  PllmStatus status;
  if (u->import->ids == IMPORT_IDS_RENUMBER)
    id = u->next_user++;
  else if (!line->has_id)
    return pllm_fail(
        err, PLLM_INVALID,
        "key \"person_id\" is missing; a whole number is required ({\"ids\": \"renumber\"} numbers the users "
        "anew)");
  if (line->n_weights > 0 && u->n_weights > 0 && line->n_weights != u->n_weights)
    return pllm_fail(err, PLLM_INVALID, "key \"person_weight\" has %zu numbers, but %zu in the lines before",
                     line->n_weights, u->n_weights);
  if (line->n_weights > 0) u->n_weights = line->n_weights;
  status = insert_user(u, id, err);
  for (size_t i = 0; status == PLLM_OK && i < line->n_turns; i++)
    if (line->turns[i].present) status = insert_turn(u, id, i + 1, &line->turns[i], err);
  for (size_t i = 0; status == PLLM_OK && i < line->n_embeddings; i++)
    status = insert_embedding(u, id, &line->embeddings[i], err);
  return status;
}

static PllmStatus consume(void *arg, PllmItem *item, PllmItem *beside, PllmError *err) {
  Users *u = arg;
  Import *import = u->import;
  PllmStatus status;
  (void)beside;
  if (!item->json) return pllm_import_not_json(import->reader, item, err);
  status = pllm_user_line_read(item->json, &u->line, err);
  if (status == PLLM_OK) status = insert_line(u, err);
  if (status == PLLM_OK) import->loaded++;
  return status == PLLM_OK ? status : pllm_import_at(import->reader, item->line, err);
}

/* Option tables: a prefix of names, with a schema if need be. */
static PllmStatus choose_tables(Users *u, PllmError *err) {
  PllmExtTable table;
  const char *text = u->import->tables ? u->import->tables : u->eval ? "eval" : "interaction";
  PllmStatus status = pllm_ext_table_parse(text, &table, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "option \"tables\"");
  u->prefix = table.name;
  u->schema = table.schema;
  table.name = table.schema = NULL;
  pllm_ext_table_free(&table);
  if (!u->schema) u->schema = sqlite3_mprintf("main");
  return u->schema ? PLLM_OK : pllm_fail_nomem(err);
}

PllmStatus pllm_import_users(Import *import, int eval, PllmError *err) {
  Users *u = pllm_alloc_zero(1, sizeof *u);
  PllmPipeline pipeline = {.reader = import->reader, .record_bytes = 1, .arg = u, .consume = consume};
  PllmStatus status;
  if (!u) return pllm_fail_nomem(err);
  u->import = import;
  u->eval = eval;
  status = choose_tables(u, err);
  if (status == PLLM_OK) status = create_tables(u, err);
  if (status == PLLM_OK) status = prepare_inserts(u, err);
  if (status == PLLM_OK) status = pllm_pipeline_run(&pipeline, &import->poll.run, err);
  sqlite3_finalize(u->user);
  sqlite3_finalize(u->turn);
  sqlite3_finalize(u->embedding);
  pllm_user_line_release(&u->line);
  sqlite3_free(u->schema);
  sqlite3_free(u->prefix);
  pllm_free(u);
  return status;
}
