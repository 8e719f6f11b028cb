/*
** import_prompts.c: persona_import of the main data set (rules I2 to I5 of fn_import.c).
*/
#include "import.h"

#include <string.h>

/* Where embeddings of the second file go. */
typedef enum Match {
  MATCH_NONE, /* no second file */
  MATCH_STEP, /* its n-th line has belonged to our n-th line so far */
  MATCH_LATER /* the order differs from line `later` on: those are applied by prompt_id at the end */
} Match;

typedef struct Prompts {
  Import *import;
  PllmExtTable prompts, responses;
  PllmNameList models; /* of the responses table, in its order */
  int created;         /* the responses table is new, so its models may still change */
  int unknown_model;   /* why loading failed: a score of a reward model that is not in models */
  sqlite3_int64 next_prompt, next_response;
  sqlite3_stmt *insert_prompt;
  sqlite3_stmt *insert_full;    /* a response with all scores: raw_rewards */
  sqlite3_stmt *insert_partial; /* one column for each reward model */
  PllmReader *embeddings;       /* the second file */
  Match match;
  int by_order; /* some of its lines had no prompt_id */
  size_t later; /* number of its first line that is applied at the end */
  sqlite3_stmt *find_prompt, *set_prompt, *set_response;
  unsigned char raw[PLLM_MAX_MODELS * sizeof(double)];
} Prompts;

/* ---- tables ---- */

/* Is this table one of our module's?  Its configuration says so. */
static PllmStatus check_module(Prompts *p, const PllmExtTable *table, const char *module, PllmError *err) {
  Import *import = p->import;
  sqlite3_stmt *stmt = NULL;
  char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\".\"%w_config\" WHERE key = 'module' AND value = %Q", table->schema,
                              table->name, module);
  int rc = sql ? sqlite3_prepare_v2(import->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM, found = 0;
  sqlite3_free(sql);
  if (rc == SQLITE_OK) {
    found = sqlite3_step(stmt) == SQLITE_ROW;
    rc = sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  if (rc != SQLITE_OK && rc != SQLITE_ERROR) return pllm_import_sqlite(import, rc, err);
  if (found) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "table %.100s is no %s table", table->name, module);
}

/* The reward models of an existing table, and whether it belongs to our prompts table. */
static PllmStatus read_models(Prompts *p, PllmError *err) {
  Import *import = p->import;
  PllmExtTable linked;
  sqlite3_stmt *stmt = NULL;
  int found = 0, rc, same = 1;
  PllmStatus status =
      pllm_import_prepare(import, &stmt, err,
                          "SELECT key, value FROM \"%w\".\"%w_config\" WHERE key IN ('reward_model', 'prompts') "
                          "ORDER BY key, position",
                          p->responses.schema, p->responses.name);
  while (status == PLLM_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    const char *key = (const char *)sqlite3_column_text(stmt, 0);
    const char *value = (const char *)sqlite3_column_text(stmt, 1);
    if (!key || !value) {
      status = pllm_fail_nomem(err);
    } else if (*key == 'r') {
      status = pllm_name_list_add(&p->models, value, err);
    } else {
      status = pllm_ext_table_place(import->db, value, p->responses.schema, &linked, &found, err);
      if (status != PLLM_OK) break;
      same = sqlite3_stricmp(linked.schema, p->prompts.schema) == 0 &&
             sqlite3_stricmp(linked.name, p->prompts.name) == 0;
      if (!same)
        status = pllm_fail(err, PLLM_INVALID, "table %.80s belongs to the prompts table %.80s, not to %.80s",
                           p->responses.name, linked.quoted, p->prompts.quoted);
      pllm_ext_table_free(&linked);
    }
  }
  if (status != PLLM_OK) {
    sqlite3_finalize(stmt);
    return status;
  }
  rc = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? PLLM_OK : pllm_import_sqlite(import, rc, err);
}

/* CREATE the responses table with the models found, and rows of reward_models for those it lacks. */
static PllmStatus create_responses(Prompts *p, PllmError *err) {
  Import *import = p->import;
  sqlite3_str *sql = sqlite3_str_new(import->db);
  char *text;
  PllmStatus status;
  sqlite3_str_appendf(sql, "CREATE VIRTUAL TABLE %s USING persona_responses(", p->responses.quoted);
  for (size_t b = 0; b < p->models.count; b++) sqlite3_str_appendf(sql, "\"%w\", ", p->models.name[b]);
  if (sqlite3_stricmp(p->prompts.schema, p->responses.schema) == 0)
    sqlite3_str_appendf(sql, "prompts=\"%w\")", p->prompts.name);
  else
    sqlite3_str_appendf(sql, "prompts=%s)", p->prompts.quoted);
  text = sqlite3_str_finish(sql);
  if (!text) return pllm_fail_nomem(err);
  status = pllm_import_exec(import, err, "%s", text);
  sqlite3_free(text);
  for (size_t b = 0; status == PLLM_OK && b < p->models.count; b++)
    status =
        pllm_import_exec(import, err,
                         "INSERT INTO \"%w\".reward_models(position, name, mean, sd) SELECT %d, %Q, 0, 1 WHERE NOT "
                         "EXISTS (SELECT 1 FROM \"%w\".reward_models WHERE name = %Q COLLATE NOCASE)",
                         p->responses.schema, (int)b + 1, p->models.name[b], p->responses.schema, p->models.name[b]);
  return status;
}

/* Find or make both tables.  models holds what the file has where the responses table must be made. */
static PllmStatus open_tables(Prompts *p, const PllmJson *first, PllmError *err) {
  Import *import = p->import;
  const char *near = NULL;
  int found;
  PllmStatus status;
  if (import->prompts)
    status = pllm_ext_table_place(import->db, import->prompts, NULL, &p->prompts, &found, err);
  else
    status = pllm_ext_table_place(import->db, "prompts", NULL, &p->prompts, &found, err);
  if (status != PLLM_OK) return status;
  if (found)
    status = check_module(p, &p->prompts, "persona_prompts", err);
  else
    status = pllm_import_exec(import, err, "CREATE VIRTUAL TABLE %s USING persona_prompts()", p->prompts.quoted);
  if (status != PLLM_OK) return status;
  near = p->prompts.schema;
  if (import->responses) {
    status = pllm_ext_table_place(import->db, import->responses, near, &p->responses, &found, err);
  } else {
    char *name = sqlite3_mprintf("\"%w\".responses", near); /* of that schema, not of another where it has none */
    status = name ? pllm_ext_table_place(import->db, name, near, &p->responses, &found, err) : pllm_fail_nomem(err);
    sqlite3_free(name);
  }
  if (status != PLLM_OK) return status;
  if (found) {
    status = check_module(p, &p->responses, "persona_responses", err);
    if (status == PLLM_OK) {
      pllm_name_list_free(&p->models);
      status = read_models(p, err);
    }
    return status;
  }
  p->created = 1;
  if (p->models.count == 0) status = pllm_dataset_models(first, &p->models, err);
  if (status != PLLM_OK) return pllm_import_at(import->reader, 1, err);
  if (p->models.count == 0)
    return pllm_fail(
        err, PLLM_INVALID,
        "%.100s line 1 has no scores, such as key \"response_1_gemma_2b\", that would name the reward models "
        "of a new responses table",
        pllm_reader_name(import->reader));
  pllm_name_list_sort(&p->models);
  return create_responses(p, err);
}

/* The largest id of a table plus 1. */
static PllmStatus next_id(Import *import, const PllmExtTable *table, const char *id, sqlite3_int64 *next,
                          PllmError *err) {
  PllmStatus status =
      pllm_import_integer(import, next, err, "SELECT %s FROM %s ORDER BY %s DESC LIMIT 1", id, table->quoted, id);
  if (status != PLLM_OK) return status;
  if (*next < 0) *next = 0;
  if (*next > INT64_MAX - 2) return pllm_fail(err, PLLM_INVALID, "table %.100s has no ids left", table->name);
  ++*next;
  return PLLM_OK;
}

static PllmStatus prepare_inserts(Prompts *p, PllmError *err) {
  Import *import = p->import;
  sqlite3_str *sql;
  char *text;
  PllmStatus status = pllm_import_prepare(import, &p->insert_prompt, err,
                                          "INSERT INTO %s(prompt_id, split, source, text, embedding) "
                                          "VALUES (?1, ?2, ?3, ?4, ?5)",
                                          p->prompts.quoted);
  if (status != PLLM_OK) return status;
  sqlite3_bind_text(p->insert_prompt, 2, import->split, -1, SQLITE_STATIC);
  status =
      pllm_import_prepare(import, &p->insert_full, err,
                          "INSERT INTO %s(response_id, prompt_id, position, model, text, embedding, raw_rewards) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                          p->responses.quoted);
  if (status != PLLM_OK) return status;
  sql = sqlite3_str_new(import->db);
  sqlite3_str_appendf(sql, "INSERT INTO %s(response_id, prompt_id, position, model, text, embedding",
                      p->responses.quoted);
  for (size_t b = 0; b < p->models.count; b++) sqlite3_str_appendf(sql, ", \"%w\"", p->models.name[b]);
  sqlite3_str_appendall(sql, ") VALUES (?1, ?2, ?3, ?4, ?5, ?6");
  for (size_t b = 0; b < p->models.count; b++) sqlite3_str_appendf(sql, ", ?%d", (int)b + 7);
  sqlite3_str_appendchar(sql, 1, ')');
  text = sqlite3_str_finish(sql);
  if (!text) return pllm_fail_nomem(err);
  status = pllm_import_prepare(import, &p->insert_partial, err, "%s", text);
  sqlite3_free(text);
  return status;
}

static void drop_statements(Prompts *p) {
  sqlite3_stmt **stmts[] = {&p->insert_prompt, &p->insert_full, &p->insert_partial,
                            &p->find_prompt,   &p->set_prompt,  &p->set_response};
  for (size_t i = 0; i < sizeof stmts / sizeof *stmts; i++) {
    sqlite3_finalize(*stmts[i]);
    *stmts[i] = NULL;
  }
}

/* ---- lines ---- */

/* On a helper thread. */
static int read_on_helper(void *arg, PllmItem *item, int is_beside) {
  return pllm_prompt_line_try(item->json, &((Prompts *)arg)->models, is_beside, item->record);
}

/* A line's record, read here where the helper could not. */
static PllmStatus read_line(Prompts *p, const PllmReader *reader, PllmItem *item, int embeddings_only,
                            PllmError *err) {
  PllmStatus status;
  if (!item->json) return pllm_import_not_json(reader, item, err);
  if (item->prepared) return PLLM_OK;
  status = pllm_prompt_line_read(item->json, &p->models, embeddings_only, item->record, err);
  p->unknown_model = ((PllmPromptLine *)item->record)->unknown_model;
  return status == PLLM_OK ? status : pllm_import_at(reader, item->line, err);
}

static void release_record(void *record) {
  pllm_prompt_line_release(record);
}

static PllmStatus choose_id(Prompts *p, const PllmPromptLine *line, sqlite3_int64 *id, PllmError *err) {
  if (p->import->ids == IMPORT_IDS_RENUMBER) {
    *id = p->next_prompt++;
    return PLLM_OK;
  }
  if (line->has_id == 1) {
    *id = line->prompt_id;
    return PLLM_OK;
  }
  return pllm_fail(err, PLLM_INVALID,
                   "key \"prompt_id\" is %s; a whole number is required ({\"ids\": \"renumber\"} numbers "
                   "the prompts anew)",
                   line->has_id == 2 ? "text" : "missing");
}

/* The responses of an embeddings line must be responses of the prompt. */
static PllmStatus take_embeddings(PllmPromptLine *line, const PllmPromptLine *extra, PllmError *err) {
  if (extra->embedding.f32) line->embedding = extra->embedding;
  for (size_t i = 0; i < extra->n_responses; i++) {
    if (!extra->responses[i].embedding.f32) continue;
    if (i >= line->n_responses || !line->responses[i].present)
      return pllm_fail(err, PLLM_INVALID, "key \"response_%zu_embedding\", but the prompt has no response %zu", i + 1,
                       i + 1);
    line->responses[i].embedding = extra->responses[i].embedding;
  }
  return PLLM_OK;
}

static int same_id(const PllmPromptLine *a, const PllmPromptLine *b) {
  if (a->has_id != b->has_id) return 0;
  return a->has_id == 1 ? a->prompt_id == b->prompt_id : strcmp(a->id_text, b->id_text) == 0;
}

/* The second file's line that goes with this one. */
static PllmStatus match_embeddings(Prompts *p, PllmItem *item, PllmItem *beside, PllmError *err) {
  PllmPromptLine *line = item->record, *extra;
  PllmStatus status;
  if (p->match != MATCH_STEP) return PLLM_OK;
  if (!beside) {
    if (!p->by_order) return PLLM_OK;
    status =
        pllm_fail(err, PLLM_INVALID, "%.100s has no line for it; lines without prompt_id are matched by their order",
                  pllm_reader_name(p->embeddings));
    pllm_import_at(p->import->reader, item->line, err);
    return status;
  }
  status = read_line(p, p->embeddings, beside, 1, err);
  if (status != PLLM_OK) return status;
  extra = beside->record;
  if (extra->has_id && line->has_id && !same_id(extra, line)) {
    if (!p->by_order && p->import->ids == IMPORT_IDS_FILE) {
      p->match = MATCH_LATER;
      p->later = beside->line;
      return PLLM_OK;
    }
    pllm_fail(err, PLLM_INVALID, "key \"prompt_id\" is another than in %.100s line %zu; %s",
              pllm_reader_name(p->import->reader), item->line,
              p->by_order ? "earlier lines had none, so all are matched by their order"
                          : "with \"ids\": \"renumber\" both files must have the same order");
    return pllm_import_at(p->embeddings, beside->line, err);
  }
  if (!extra->has_id) p->by_order = 1;
  status = take_embeddings(line, extra, err);
  return status == PLLM_OK ? status : pllm_import_at(p->embeddings, beside->line, err);
}

static PllmStatus insert_response(Prompts *p, sqlite3_int64 prompt_id, size_t position, const PllmResponseLine *r,
                                  PllmError *err) {
  int full = r->n_scores == p->models.count;
  sqlite3_stmt *stmt = full ? p->insert_full : p->insert_partial;
  sqlite3_bind_int64(stmt, 1, p->next_response++);
  sqlite3_bind_int64(stmt, 2, prompt_id);
  sqlite3_bind_int64(stmt, 3, (sqlite3_int64)position);
  pllm_import_bind_text(stmt, 4, r->model);
  pllm_import_bind_text(stmt, 5, r->text);
  pllm_import_bind_embedding(stmt, 6, &r->embedding);
  if (full) {
    pllm_vector_store(r->scores, p->models.count, PLLM_F64, p->raw);
    sqlite3_bind_blob64(stmt, 7, p->raw, p->models.count * sizeof(double), SQLITE_STATIC);
  } else {
    for (size_t b = 0; b < p->models.count; b++)
      sqlite3_bind_double(stmt, (int)b + 7, r->scores[b]); /* NaN is NULL */
  }
  return pllm_import_step(p->import, stmt, err);
}

static PllmStatus insert_line(Prompts *p, const PllmPromptLine *line, PllmError *err) {
  sqlite3_stmt *stmt = p->insert_prompt;
  sqlite3_int64 id = 0; /* set by choose_id, which gcc does not see */
  PllmStatus status = choose_id(p, line, &id, err);
  if (status != PLLM_OK) return status;
  sqlite3_bind_int64(stmt, 1, id);
  pllm_import_bind_text(stmt, 3, line->source);
  pllm_import_bind_text(stmt, 4, line->prompt);
  pllm_import_bind_embedding(stmt, 5, &line->embedding);
  status = pllm_import_step(p->import, stmt, err);
  if (status == PLLM_INVALID && (p->import->rc & 0xFF) == SQLITE_CONSTRAINT)
    return pllm_fail(err, PLLM_INVALID, "key \"prompt_id\": %lld is in %.80s already", (long long)id,
                     p->prompts.name);
  for (size_t i = 0; status == PLLM_OK && i < line->n_responses; i++)
    if (line->responses[i].present) status = insert_response(p, id, i + 1, &line->responses[i], err);
  return status;
}

static PllmStatus consume(void *arg, PllmItem *item, PllmItem *beside, PllmError *err) {
  Prompts *p = arg;
  Import *import = p->import;
  PllmStatus status = read_line(p, import->reader, item, 0, err);
  if (status == PLLM_OK) status = match_embeddings(p, item, beside, err);
  if (status != PLLM_OK) return status;
  status = insert_line(p, item->record, err);
  if (status != PLLM_OK) return pllm_import_at(import->reader, item->line, err);
  import->loaded++;
  return PLLM_OK;
}

/* ---- embeddings in another order ---- */

static PllmStatus consume_later(void *arg, PllmItem *item, PllmItem *beside, PllmError *err) {
  Prompts *p = arg;
  Import *import = p->import;
  PllmPromptLine *line = item->record;
  PllmStatus status;
  int found;
  (void)beside;
  if (item->line < p->later) return PLLM_OK;
  status = read_line(p, p->embeddings, item, 1, err);
  if (status != PLLM_OK) return status;
  if (line->has_id != 1) {
    pllm_fail(err, PLLM_INVALID,
              "key \"prompt_id\" is %s; the lines are matched by it, as their order differs from %.100s",
              line->has_id ? "text" : "missing", pllm_reader_name(import->reader));
    return pllm_import_at(p->embeddings, item->line, err);
  }
  sqlite3_bind_int64(p->find_prompt, 1, line->prompt_id);
  found = sqlite3_step(p->find_prompt) == SQLITE_ROW && sqlite3_column_int(p->find_prompt, 0);
  if (found && line->embedding.f32 && sqlite3_column_int(p->find_prompt, 1)) found = 2;
  status = pllm_import_step(import, p->find_prompt, err);
  if (status != PLLM_OK) return status;
  if (found != 1) {
    pllm_fail(err, PLLM_INVALID,
              found ? "key \"prompt_id\": %lld has an embedding already"
                    : "key \"prompt_id\": there is no prompt %lld in the split",
              (long long)line->prompt_id);
    return pllm_import_at(p->embeddings, item->line, err);
  }
  if (line->embedding.f32) {
    sqlite3_bind_int64(p->set_prompt, 1, line->prompt_id);
    pllm_import_bind_embedding(p->set_prompt, 2, &line->embedding);
    status = pllm_import_step(import, p->set_prompt, err);
  }
  for (size_t i = 0; status == PLLM_OK && i < line->n_responses; i++) {
    if (!line->responses[i].embedding.f32) continue;
    sqlite3_bind_int64(p->set_response, 1, line->prompt_id);
    sqlite3_bind_int64(p->set_response, 2, (sqlite3_int64)i + 1);
    pllm_import_bind_embedding(p->set_response, 3, &line->responses[i].embedding);
    status = pllm_import_step(import, p->set_response, err);
    if (status == PLLM_OK && sqlite3_changes(import->db) == 0)
      status = pllm_fail(err, PLLM_INVALID, "key \"response_%zu_embedding\", but the prompt has no response %zu",
                         i + 1, i + 1);
  }
  return status == PLLM_OK ? status : pllm_import_at(p->embeddings, item->line, err);
}

/* Read the second file again and apply its lines from `later` on by prompt_id. */
static PllmStatus apply_later(Prompts *p, PllmError *err) {
  Import *import = p->import;
  PllmPipeline pipeline = {
      .record_bytes = sizeof(PllmPromptLine), .arg = p, .consume = consume_later, .release = release_record};
  PllmStatus status;
  if (!pllm_reader_rereadable(p->embeddings))
    return pllm_fail(err, PLLM_INVALID,
                     "%.100s has another order than %.100s and cannot be read twice; a regular file is "
                     "required",
                     pllm_reader_name(p->embeddings), pllm_reader_name(import->reader));
  pllm_reader_close(p->embeddings);
  p->embeddings = NULL;
  status = pllm_reader_open(import->embeddings, &p->embeddings, err);
  if (status == PLLM_OK)
    status = pllm_import_prepare(import, &p->find_prompt, err,
                                 "SELECT split IS %Q, embedding IS NOT NULL FROM %s WHERE "
                                 "prompt_id = ?1",
                                 import->split, p->prompts.quoted);
  if (status == PLLM_OK)
    status = pllm_import_prepare(import, &p->set_prompt, err, "UPDATE %s SET embedding = ?2 WHERE prompt_id = ?1",
                                 p->prompts.quoted);
  if (status == PLLM_OK)
    status = pllm_import_prepare(import, &p->set_response, err,
                                 "UPDATE %s SET embedding = ?3 WHERE prompt_id = ?1 AND position = ?2",
                                 p->responses.quoted);
  pipeline.reader = p->embeddings;
  return status == PLLM_OK ? pllm_pipeline_run(&pipeline, &import->poll.run, err) : status;
}

/* What is left of the second file once all prompts are loaded. */
static PllmStatus finish_embeddings(Prompts *p, PllmError *err) {
  PllmLines lines = {0};
  PllmStatus status;
  if (p->match == MATCH_STEP) {
    status = pllm_reader_lines(p->embeddings, 1, 1, &p->import->poll.run, &lines, err);
    if (status == PLLM_OK && lines.count > 0) {
      p->match = MATCH_LATER;
      p->later = lines.line[0].number;
      if (p->by_order) {
        status = pllm_fail(err, PLLM_INVALID,
                           "%.100s has no line for it; lines without prompt_id are matched by their order",
                           pllm_reader_name(p->import->reader));
        pllm_import_at(p->embeddings, p->later, err);
      }
    }
    pllm_lines_free(&lines);
    if (status != PLLM_OK) return status;
  }
  return p->match == MATCH_LATER ? apply_later(p, err) : PLLM_OK;
}

/* ---- the whole file ---- */

static PllmStatus load(Prompts *p, const PllmJson *first, PllmError *err) {
  Import *import = p->import;
  PllmPipeline pipeline = {.record_bytes = sizeof(PllmPromptLine),
                           .arg = p,
                           .prepare = read_on_helper,
                           .consume = consume,
                           .release = release_record};
  PllmStatus status = open_tables(p, first, err);
  if (status == PLLM_OK) status = next_id(import, &p->prompts, "prompt_id", &p->next_prompt, err);
  if (status == PLLM_OK) status = next_id(import, &p->responses, "response_id", &p->next_response, err);
  if (status == PLLM_OK) status = prepare_inserts(p, err);
  if (status == PLLM_OK && import->embeddings) {
    status = pllm_reader_open(import->embeddings, &p->embeddings, err);
    if (status != PLLM_OK) pllm_error_prefix(err, "option \"embeddings\"");
    p->match = MATCH_STEP;
  }
  pipeline.reader = import->reader;
  pipeline.beside = p->embeddings;
  if (status == PLLM_OK) status = pllm_pipeline_run(&pipeline, &import->poll.run, err);
  if (status == PLLM_OK && p->match != MATCH_NONE) status = finish_embeddings(p, err);
  if (status == PLLM_OK && import->means)
    status = pllm_import_scale(import, &p->prompts, &p->responses, &p->models, err);
  return status;
}

static PllmStatus collect_models(void *arg, PllmItem *item, PllmItem *beside, PllmError *err) {
  Prompts *p = arg;
  PllmStatus status;
  (void)beside;
  if (!item->json) return pllm_import_not_json(p->import->reader, item, err);
  status = pllm_dataset_models(item->json, &p->models, err);
  return status == PLLM_OK ? status : pllm_import_at(p->import->reader, item->line, err);
}

static PllmStatus reopen(Import *import, PllmError *err) {
  pllm_reader_close(import->reader);
  import->reader = NULL;
  return pllm_reader_open(import->path, &import->reader, err);
}

static void close_tables(Prompts *p) {
  drop_statements(p);
  pllm_ext_table_free(&p->prompts);
  pllm_ext_table_free(&p->responses);
  pllm_reader_close(p->embeddings);
  p->embeddings = NULL;
}

/* A later line has a reward model that the first has not: collect those of all lines and start again. */
static PllmStatus start_again(Prompts *p, const PllmJson *first, PllmError *err) {
  Import *import = p->import;
  PllmPipeline pipeline = {.record_bytes = 1, .arg = p, .consume = collect_models};
  PllmStatus status = reopen(import, err);
  close_tables(p);
  import->rc = 0;
  import->loaded = 0;
  p->created = p->unknown_model = p->by_order = 0;
  p->match = MATCH_NONE;
  if (status != PLLM_OK) return status;
  status = pllm_import_exec(import, err, "ROLLBACK TO personalllm_import; SELECT 1 FROM main.sqlite_schema");
  pipeline.reader = import->reader;
  if (status == PLLM_OK) status = pllm_pipeline_run(&pipeline, &import->poll.run, err);
  if (status == PLLM_OK) status = reopen(import, err);
  return status == PLLM_OK ? load(p, first, err) : status;
}

PllmStatus pllm_import_prompts(Import *import, const PllmJson *first, PllmError *err) {
  Prompts *p = pllm_alloc_zero(1, sizeof *p);
  PllmStatus status;
  if (!p) return pllm_fail_nomem(err);
  p->import = import;
  status = load(p, first, err);
  if (status == PLLM_INVALID && p->unknown_model && p->created && pllm_reader_rereadable(import->reader))
    status = start_again(p, first, err);
  close_tables(p);
  pllm_name_list_free(&p->models);
  pllm_free(p);
  return status;
}
