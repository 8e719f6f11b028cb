/*
** ext_scores_embed.c: embeddings aligned with a score store, loaded when first asked for.
*/
#include "ext_scores.h"

#include <stdlib.h>
#include <string.h>

void pllm_scores_embeddings_free(Embeddings *e) {
  pllm_free(e->matrix);
  pllm_free(e->present);
  memset(e, 0, sizeof *e);
}

typedef struct IdRow {
  int64_t id;
  size_t row;
} IdRow;

static int compare(const void *a, const void *b) {
  const IdRow *x = a, *y = b;
  return x->id < y->id ? -1 : x->id > y->id;
}

static IdRow *sorted_ids(const int64_t *ids, size_t n) {
  IdRow *order = pllm_alloc(n, sizeof *order);
  int sorted = 1;
  for (size_t i = 0; order && i < n; i++) {
    order[i] = (IdRow){ids[i], i};
    sorted &= i == 0 || ids[i] > ids[i - 1];
  }
  if (order && !sorted) qsort(order, n, sizeof *order, compare);
  return order;
}

/* Put one row's embedding in place; the first one decides the dimension.  own: from our shadow table, always f32. */
static PllmStatus take(Embeddings *e, size_t row, sqlite3_value *value, int own, PllmExtVector *x, PllmError *err) {
  PllmStatus status = pllm_ext_vector_decode(value, PLLM_F32, 0, x, err);
  if (status == PLLM_OK && sqlite3_value_type(value) == SQLITE_TEXT)
    status = pllm_vector_fits_f32(x->numbers, x->dim, err);
  if (status == PLLM_OK && e->dim > 0 && x->dim != e->dim)
    status = pllm_fail(err, PLLM_INVALID, "%zu numbers where others have %zu", x->dim, e->dim);
  if (status == PLLM_OK && e->dim == 0) {
    e->matrix = e->rows > SIZE_MAX / x->dim ? NULL : pllm_alloc_zero(e->rows * x->dim, sizeof *e->matrix);
    if (!e->matrix) return pllm_fail_nomem(err);
    e->dim = x->dim;
  }
  if (status != PLLM_OK) {
    if (own && status == PLLM_INVALID) err->status = status = PLLM_CORRUPT;
    return status;
  }
  for (size_t i = 0; i < e->dim; i++) e->matrix[row * e->dim + i] = (float)x->numbers[i];
  e->present[row] = 1;
  return PLLM_OK;
}

/* Load (id, embedding) rows, which come by ascending id, for ids[n]. */
static PllmStatus load(sqlite3 *db, char *sql, const int64_t *ids, size_t n, int own, Embeddings *e, PllmError *err) {
  PllmExtVector x = {0};
  sqlite3_stmt *stmt = NULL;
  IdRow *order = sorted_ids(ids, n);
  size_t at = 0;
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  PllmStatus status = PLLM_OK;
  e->rows = n;
  e->present = pllm_alloc_zero(n, 1);
  if (!order || !e->present) status = pllm_fail_nomem(err);
  if (status == PLLM_OK && rc != SQLITE_OK) status = pllm_ext_sqlite_fail(err, db, rc);
  while (status == PLLM_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    int64_t id = sqlite3_column_int64(stmt, 0);
    if (sqlite3_column_type(stmt, 0) != SQLITE_INTEGER || sqlite3_column_type(stmt, 1) == SQLITE_NULL) continue;
    while (at < n && order[at].id < id) at++;
    if (at == n || order[at].id != id) continue; /* a response without scores, or a prompt without responses */
    status = take(e, order[at].row, sqlite3_column_value(stmt, 1), own, &x, err);
    if (status != PLLM_OK)
      pllm_error_prefix(err, "the embedding of %s %lld", sqlite3_column_name(stmt, 0), (long long)id);
  }
  rc = sqlite3_finalize(stmt);
  if (status == PLLM_OK && rc != SQLITE_OK) status = pllm_ext_sqlite_fail(err, db, rc);
  pllm_ext_vector_free(&x);
  pllm_free(order);
  sqlite3_free(sql);
  if (status == PLLM_OK)
    e->loaded = 1;
  else
    pllm_scores_embeddings_free(e);
  return status;
}

static void give(const Embeddings *e, size_t *dim, const float **matrix, const uint8_t **present) {
  *dim = e->dim;
  *matrix = e->matrix;
  *present = e->present;
}

PllmStatus pllm_ext_scores_embeddings(PllmExtScores *scores, size_t *dim, const float **matrix,
                                      const uint8_t **present, PllmError *err) {
  Part *part = scores->part;
  Embeddings *e = &part->entry->embeddings;
  if (!e->loaded) {
    PllmStatus status = load(part->conn->db,
                             pllm_store_sql(part->table.schema, part->table.name, "",
                                            "SELECT response_id, embedding FROM $embeddings ORDER BY response_id"),
                             scores->view.response_id, scores->view.n_responses, 1, e, err);
    if (status != PLLM_OK) return status;
  }
  give(e, dim, matrix, present);
  return PLLM_OK;
}

PllmStatus pllm_ext_scores_embedding_dim(PllmExtScores *scores, size_t *dim, PllmError *err) {
  Part *part = scores->part;
  sqlite3 *db = part->conn->db;
  char *sql = pllm_store_sql(part->table.schema, part->table.name, "",
                             "SELECT length(embedding) / 4 FROM $embeddings LIMIT 1");
  sqlite3_stmt *stmt = NULL;
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  *dim = 0;
  if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) *dim = (size_t)sqlite3_column_int64(stmt, 0);
  if (rc == SQLITE_OK) rc = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

PllmStatus pllm_ext_scores_prompt_embeddings(PllmExtScores *scores, size_t *dim, const float **matrix,
                                             const uint8_t **present, PllmError *err) {
  Part *part = scores->part;
  Embeddings *e = &part->prompt_embeddings;
  char *sql;
  PllmStatus status;
  if (!part->splits)
    return pllm_fail(err, PLLM_INVALID, "the prompts table %.60s of \"%.60s\" does not exist",
                     part->prompts_name ? part->prompts_name : "", part->table.name);
  if (!e->loaded) {
    sql = part->prompts_shadow
              ? pllm_store_sql(part->prompts.schema, part->prompts.name, "",
                               "SELECT prompt_id, embedding FROM $embeddings ORDER BY prompt_id")
              : sqlite3_mprintf("SELECT prompt_id, embedding FROM %s ORDER BY prompt_id", part->prompts.quoted);
    status = load(part->conn->db, sql, scores->view.prompt_id, scores->view.n_prompts, part->prompts_shadow, e, err);
    if (status != PLLM_OK) return status;
  }
  give(e, dim, matrix, present);
  return PLLM_OK;
}
