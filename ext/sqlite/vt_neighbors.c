/*
** vt_neighbors.c: persona_neighbors(candidates, queries, k [, options]): exact cosine top-k join.
**
**   SELECT * FROM persona_neighbors('prompts_train', 'prompts_test', 5);
**   -> (query_id, rank, id, similarity), rank from 1, queries in the order of (part, id), most similar first
**
** R1  candidates and queries name tables or views (id INTEGER, embedding [, part]).  Embeddings are f32 BLOBs or JSON
**     text (option "type":"f64" reads BLOBs as f64); they are compared as f32.  All have one dimension.
** R2  Where both have a column part, a query sees only the candidates of its part: candidates are restricted before
**     the top-k.  A query whose part is NULL, or a queries table without part, sees all candidates.
** R3  Rows whose embedding is NULL are skipped and counted in `skipped`.  An id that is no integer, or stands twice
**     in a part, is an error.
** R4  Option "exclude_same_id":true leaves out the candidate that has the query's id.
** R5  A query gets min(k, candidates) rows.  Equal similarities come in the order of the candidates' (part, id).  A
**     zero vector has similarity 0 with everything.
** R6  Similarities are canonical (neighbors.h): the same on every machine, for any number of threads.
** Candidates are packed by helper threads while they are read, and queries answered while rows are given out.
** Memory: one and a half times the candidates' embeddings, and of queries 2,048 at a time, fewer where k is above 1,024.
*/
#include "ext_int.h"

#include <string.h>

enum { ARG_CANDIDATES, ARG_QUERIES, ARG_K, ARG_OPTIONS, N_ARGS };
enum { COL_QUERY_ID, COL_RANK, COL_ID, COL_SIMILARITY, N_COLUMNS };
enum { QUERY_CHUNK = 2048, ANSWER_CHUNK = 2 << 20 }; /* queries, and neighbours of them, at a time */

/* Rows of one of the two tables. */
typedef struct Rows {
  sqlite3_int64 *id; /* owned, [count] */
  float *embedding;  /* owned, [count][dim], of queries; those of candidates are in the set */
  size_t count, room, dim;
} Rows;

/* Candidates of one part: rows begin .. end-1. */
typedef struct Part {
  sqlite3_value *value; /* owned */
  size_t begin, end;
} Part;

typedef struct State {
  PllmExtPoll poll;
  int type, exclude_same_id;
  size_t k;
  Rows candidates, queries;
  PllmNeighbors *set; /* owned: of the candidates, from the first embedding on */
  Part *parts;        /* owned, in SQLite's order of their values */
  size_t n_parts;
  int by_part;                /* both tables have a part */
  int ready;                  /* the candidates are packed: their last block, while the queries were read */
  PllmNeighborSearch *search; /* owned: of the chunk, running or done */
  sqlite3_stmt *stmt;         /* owned: the queries not read yet, ordered by (part, id) */
  int pending;                /* stmt stands on a row that starts the next chunk */
  const char *queries_name;   /* argument text, for messages */
  PllmExtVector vector;       /* reused by every decode */
  size_t chunk;               /* queries at a time */
  size_t *same;               /* owned, [chunk] */
  PllmNeighbor *found;        /* owned, [chunk][k] */
  size_t query, rank;         /* current row */
} State;

static int has_part(sqlite3 *db, const PllmExtTable *table, int *found) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(db, "SELECT 1 FROM pragma_table_xinfo(?1, ?2) WHERE name = 'part' COLLATE NOCASE", -1,
                              &stmt, NULL);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_text(stmt, 1, table->name, -1, SQLITE_STATIC);
  sqlite3_bind_text(stmt, 2, table->schema, -1, SQLITE_STATIC);
  *found = sqlite3_step(stmt) == SQLITE_ROW;
  return sqlite3_finalize(stmt);
}

static PllmStatus prepare(sqlite3 *db, const PllmExtTable *table, int part, sqlite3_stmt **stmt, PllmError *err) {
  char *sql = sqlite3_mprintf(part ? "SELECT id, embedding, part FROM %s ORDER BY part, id"
                                   : "SELECT id, embedding, NULL FROM %s ORDER BY id",
                              table->quoted);
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc == SQLITE_OK ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

/* Same type and same bytes; numbers by value. */
static int same_value(sqlite3_value *a, sqlite3_value *b) {
  int type = sqlite3_value_type(a);
  if (type != sqlite3_value_type(b)) return 0;
  switch (type) {
  case SQLITE_NULL: return 1;
  case SQLITE_INTEGER: return sqlite3_value_int64(a) == sqlite3_value_int64(b);
  case SQLITE_FLOAT: return sqlite3_value_double(a) == sqlite3_value_double(b);
  default: break;
  }
  int n = sqlite3_value_bytes(a);
  if (n != sqlite3_value_bytes(b)) return 0;
  return n == 0 || memcmp(sqlite3_value_blob(a), sqlite3_value_blob(b), (size_t)n) == 0;
}

static PllmStatus make_room(const State *s, Rows *rows, PllmError *err) {
  size_t room = rows->room ? rows->room * 2 : 256;
  sqlite3_int64 *ids;
  float *all = NULL;
  if (rows->count < rows->room) return PLLM_OK;
  ids = pllm_resize(rows->id, room, sizeof *ids);
  if (!ids) return pllm_fail_nomem(err);
  rows->id = ids;
  if (rows == &s->queries) {
    if (room <= SIZE_MAX / sizeof *all / rows->dim) all = pllm_resize(rows->embedding, room * rows->dim, sizeof *all);
    if (!all) return pllm_fail_nomem(err);
    rows->embedding = all;
  }
  rows->room = room;
  return PLLM_OK;
}

/* Where the next row's embedding of dim numbers belongs. */
static PllmStatus place(State *s, Rows *rows, size_t dim, float **out, PllmError *err) {
  PllmStatus status = PLLM_OK;
  rows->dim = dim;
  if (rows == &s->candidates && !s->set) status = pllm_neighbors_open(dim, &s->poll.run, &s->set, err);
  if (status == PLLM_OK) status = make_room(s, rows, err);
  if (status != PLLM_OK) return status;
  *out = rows == &s->candidates ? pllm_neighbors_place(s->set, err) : rows->embedding + rows->count * dim;
  return *out ? PLLM_OK : PLLM_NOMEM;
}

/* Read an embedding into the next row: f32 BLOBs, which are most, with one copy. */
static PllmStatus read_embedding(State *s, Rows *rows, sqlite3_value *embedding, PllmError *err) {
  int as_stored = s->type == PLLM_F32 && sqlite3_value_type(embedding) == SQLITE_BLOB;
  const void *blob = as_stored ? sqlite3_value_blob(embedding) : NULL;
  size_t bytes = as_stored ? (size_t)sqlite3_value_bytes(embedding) : 0, dim = 0;
  float *out;
  PllmStatus status;
  if (bytes > 0 && !blob) return pllm_fail_nomem(err);
  status = as_stored ? pllm_vector_dim(blob, bytes, PLLM_F32, 0, &dim, err)
                     : pllm_ext_vector_decode(embedding, s->type, 0, &s->vector, err);
  if (!as_stored) dim = s->vector.dim;
  if (status == PLLM_OK && rows->dim > 0 && dim != rows->dim)
    status = pllm_fail(err, PLLM_INVALID, "%zu numbers where the others have %zu", dim, rows->dim);
  if (status == PLLM_OK && !as_stored) status = pllm_vector_fits_f32(s->vector.numbers, dim, err);
  if (status == PLLM_OK) status = place(s, rows, dim, &out, err);
  if (status != PLLM_OK) return status;
  if (as_stored) return pllm_vector_load_f32(blob, dim, out, err);
  pllm_vector_narrow(s->vector.numbers, dim, out);
  return PLLM_OK;
}

/* Append stmt's current row.  *skip is set when its embedding is NULL. */
static PllmStatus append(State *s, Rows *rows, sqlite3_stmt *stmt, int *skip, PllmError *err) {
  sqlite3_value *id = sqlite3_column_value(stmt, 0), *embedding = sqlite3_column_value(stmt, 1);
  PllmStatus status;
  *skip = sqlite3_value_type(embedding) == SQLITE_NULL;
  if (sqlite3_value_type(id) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "id is %s; an integer is required", pllm_ext_type_name(id));
  if (*skip) return PLLM_OK;
  status = read_embedding(s, rows, embedding, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "id %lld: embedding", sqlite3_value_int64(id));
  rows->id[rows->count++] = sqlite3_value_int64(id);
  return rows == &s->candidates ? pllm_neighbors_add(s->set, err) : PLLM_OK;
}

static PllmStatus new_part(State *s, sqlite3_value *value, PllmError *err) {
  Part *parts = pllm_resize(s->parts, s->n_parts + 1, sizeof *parts); /* parts are few beside rows */
  if (!parts) return pllm_fail_nomem(err);
  s->parts = parts;
  parts[s->n_parts].value = sqlite3_value_dup(value);
  parts[s->n_parts].begin = parts[s->n_parts].end = s->candidates.count;
  if (!parts[s->n_parts].value) return pllm_fail_nomem(err);
  s->n_parts++;
  return PLLM_OK;
}

static PllmStatus read_candidates(State *s, PllmTvfCursor *cursor, const PllmExtTable *table, PllmError *err) {
  sqlite3 *db = cursor->conn->db;
  sqlite3_stmt *stmt = NULL;
  sqlite3_int64 last = 0;
  int rc = SQLITE_OK, fresh = 1, skip;
  PllmStatus status = prepare(db, table, s->by_part, &stmt, err);
  while (status == PLLM_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    sqlite3_value *part = sqlite3_column_value(stmt, 2);
    if (s->n_parts == 0 || !same_value(s->parts[s->n_parts - 1].value, part)) {
      status = new_part(s, part, err);
      fresh = 1;
    }
    if (status == PLLM_OK && !fresh && sqlite3_column_int64(stmt, 0) == last &&
        sqlite3_column_type(stmt, 0) == SQLITE_INTEGER)
      status = pllm_fail(err, PLLM_INVALID, "id %lld stands twice", last);
    if (status == PLLM_OK) status = append(s, &s->candidates, stmt, &skip, err);
    if (status != PLLM_OK) break;
    last = sqlite3_column_int64(stmt, 0);
    fresh = 0;
    cursor->skipped += skip;
    s->parts[s->n_parts - 1].end = s->candidates.count;
  }
  if (status == PLLM_OK && rc != SQLITE_DONE) status = pllm_ext_sqlite_fail(err, db, rc);
  sqlite3_finalize(stmt);
  return status == PLLM_OK ? status : pllm_error_prefix(err, "%s", table->name);
}

/* The candidates of a query's part: [begin, end). */
static void range_of(const State *s, sqlite3_value *part, size_t *begin, size_t *end) {
  *begin = 0;
  *end = s->candidates.count;
  if (!s->by_part || sqlite3_value_type(part) == SQLITE_NULL) return;
  *end = 0;
  for (size_t i = 0; i < s->n_parts; i++)
    if (same_value(s->parts[i].value, part)) {
      *begin = s->parts[i].begin;
      *end = s->parts[i].end;
      return;
    }
}

/* Row of the candidate with this id within [begin, end), whose ids ascend (within one part), or SIZE_MAX. */
static size_t row_of(const State *s, sqlite3_int64 id, size_t begin, size_t end) {
  for (size_t i = 0; i < s->n_parts; i++) {
    size_t low = s->parts[i].begin, high = s->parts[i].end;
    if (low < begin || high > end) continue;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (s->candidates.id[middle] < id)
        low = middle + 1;
      else
        high = middle;
    }
    if (low < s->parts[i].end && s->candidates.id[low] == id) return low;
  }
  return SIZE_MAX;
}

static PllmStatus step_queries(State *s, sqlite3 *db, PllmError *err) {
  int rc = sqlite3_step(s->stmt);
  s->pending = rc == SQLITE_ROW;
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? PLLM_OK : pllm_ext_sqlite_fail(err, db, rc);
}

/* Read the next chunk of queries, all of one part, and begin to answer it.  Leaves queries.count = 0 at the end. */
static PllmStatus next_chunk(State *s, PllmTvfCursor *cursor, PllmError *err) {
  sqlite3 *db = cursor->conn->db;
  sqlite3_value *part;
  size_t begin, end;
  int skip;
  PllmStatus status = PLLM_OK;
  pllm_neighbors_stop(s->search);
  s->search = NULL;
  s->queries.count = 0;
  s->query = s->rank = 0;
  while (s->pending && s->queries.count == 0 && status == PLLM_OK) {
    part = sqlite3_value_dup(sqlite3_column_value(s->stmt, 2));
    if (!part) return pllm_fail_nomem(err);
    range_of(s, part, &begin, &end);
    do {
      status = append(s, &s->queries, s->stmt, &skip, err);
      if (status == PLLM_OK) {
        cursor->skipped += skip;
        status = step_queries(s, db, err);
      }
    } while (status == PLLM_OK && s->pending && s->queries.count < s->chunk &&
             same_value(part, sqlite3_column_value(s->stmt, 2)));
    sqlite3_value_free(part);
    if (status != PLLM_OK) return pllm_error_prefix(err, "%s", s->queries_name);
    if (s->queries.count > 0 && s->candidates.count > 0 && s->queries.dim != s->candidates.dim)
      return pllm_fail(err, PLLM_INVALID, "%s has embeddings of %zu numbers, the candidates of %zu", s->queries_name,
                       s->queries.dim, s->candidates.dim);
    if (begin == end) s->queries.count = 0; /* nothing to find: on to the next part */
  }
  if (status != PLLM_OK || s->queries.count == 0) return status;
  if (!s->ready) status = pllm_neighbors_ready(s->set, err);
  if (status != PLLM_OK) return status;
  s->ready = 1;
  for (size_t q = 0; q < s->queries.count && s->exclude_same_id; q++)
    s->same[q] = row_of(s, s->queries.id[q], begin, end);
  return pllm_neighbors_start(s->set, begin, end, s->queries.embedding, s->queries.count,
                              s->exclude_same_id ? s->same : NULL, s->k, s->found, &s->poll.run, &s->search, err);
}

/* Move to the first row at or behind (query, rank) that exists. */
static PllmStatus settle(State *s, PllmTvfCursor *cursor, PllmError *err) {
  for (;;) {
    if (s->query == s->queries.count) {
      PllmStatus status = next_chunk(s, cursor, err);
      if (status != PLLM_OK) return status;
      if (s->queries.count == 0) {
        cursor->done = 1;
        return PLLM_OK;
      }
    }
    if (s->rank == 0) {
      PllmStatus status = pllm_neighbors_wait(s->search, s->query, err);
      if (status != PLLM_OK) return status;
    }
    if (s->rank < s->k && s->found[s->query * s->k + s->rank].candidate != SIZE_MAX) return PLLM_OK;
    s->query++;
    s->rank = 0;
  }
}

static PllmStatus read_options(State *s, PllmTvfCursor *cursor, PllmError *err) {
  const char *text = pllm_ext_tvf_text(cursor, ARG_OPTIONS);
  sqlite3_value *k = cursor->args[ARG_K];
  int type = 0;
  PllmOption options[] = {
      {.name = "exclude_same_id", .kind = PLLM_OPTION_BOOL, .value = &s->exclude_same_id},
      {.name = "type", .kind = PLLM_OPTION_CHOICE, .value = &type, .choices = "f32|f64"},
  };
  if (text) {
    PllmStatus status = pllm_options_parse(text, strlen(text), options, sizeof options / sizeof *options, err);
    if (status != PLLM_OK) return status;
  }
  s->type = type == 0 ? PLLM_F32 : PLLM_F64;
  if (sqlite3_value_type(k) != SQLITE_INTEGER || sqlite3_value_int64(k) < 1 ||
      sqlite3_value_int64(k) > PLLM_MAX_NEIGHBORS)
    return pllm_fail(err, PLLM_INVALID, "argument 3 (k): a whole number from 1 to %d is required",
                     PLLM_MAX_NEIGHBORS);
  s->k = (size_t)sqlite3_value_int64(k);
  return PLLM_OK;
}

static PllmStatus find_table(PllmTvfCursor *cursor, int arg, const char *name, PllmExtTable *table, PllmError *err) {
  const char *text = pllm_ext_tvf_text(cursor, arg);
  PllmStatus status = text ? pllm_ext_table_find(cursor->conn->db, text, NULL, table, err)
                           : pllm_fail(err, PLLM_INVALID, "NULL; a table name is required");
  return status == PLLM_OK ? status : pllm_error_prefix(err, "argument %d (%s)", arg + 1, name);
}

static PllmStatus neighborsBegin(PllmTvfCursor *cursor, PllmError *err) {
  sqlite3 *db = cursor->conn->db;
  PllmExtTable candidates = {0}, queries = {0};
  State *s = pllm_alloc_zero(1, sizeof *s);
  int candidates_part = 0, queries_part = 0, rc;
  PllmStatus status;
  if (!s) return pllm_fail_nomem(err);
  cursor->state = s;
  s->queries_name = pllm_ext_tvf_text(cursor, ARG_QUERIES);
  status = read_options(s, cursor, err);
  if (status == PLLM_OK) status = find_table(cursor, ARG_CANDIDATES, "candidates", &candidates, err);
  if (status == PLLM_OK) status = find_table(cursor, ARG_QUERIES, "queries", &queries, err);
  if (status == PLLM_OK) status = pllm_ext_poll_open(cursor->conn, &s->poll, err);
  if (status != PLLM_OK) goto done;
  rc = has_part(db, &candidates, &candidates_part);
  if (rc == SQLITE_OK) rc = has_part(db, &queries, &queries_part);
  s->chunk = ANSWER_CHUNK / s->k < QUERY_CHUNK ? ANSWER_CHUNK / s->k : QUERY_CHUNK;
  s->same = pllm_alloc(s->chunk, sizeof *s->same);
  s->found = pllm_alloc(s->chunk * s->k, sizeof *s->found);
  if (rc != SQLITE_OK || !s->same || !s->found) {
    status = rc != SQLITE_OK ? pllm_ext_sqlite_fail(err, db, rc) : pllm_fail_nomem(err);
    goto done;
  }
  if (queries_part && !candidates_part) {
    status = pllm_fail(err, PLLM_INVALID, "%s has a column part, but %s has none to restrict by", queries.name,
                       candidates.name);
    goto done;
  }
  s->by_part = candidates_part && queries_part;
  status = read_candidates(s, cursor, &candidates, err);
  if (status == PLLM_OK) status = prepare(db, &queries, s->by_part, &s->stmt, err);
  if (status == PLLM_OK) status = step_queries(s, db, err);
  if (status == PLLM_OK) status = settle(s, cursor, err);
done:
  pllm_ext_table_free(&candidates);
  pllm_ext_table_free(&queries);
  return status;
}

static PllmStatus neighborsNext(PllmTvfCursor *cursor, PllmError *err) {
  State *s = cursor->state;
  s->rank++;
  return settle(s, cursor, err);
}

static void neighborsColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const State *s = cursor->state;
  const PllmNeighbor *found = &s->found[s->query * s->k + s->rank];
  switch (column) {
  case COL_QUERY_ID: sqlite3_result_int64(context, s->queries.id[s->query]); break;
  case COL_RANK: sqlite3_result_int64(context, (sqlite3_int64)s->rank + 1); break;
  case COL_ID: sqlite3_result_int64(context, s->candidates.id[found->candidate]); break;
  case COL_SIMILARITY: sqlite3_result_double(context, found->similarity); break;
  default: break;
  }
}

static void rows_free(Rows *rows) {
  pllm_free(rows->id);
  pllm_free(rows->embedding);
}

static void neighborsEnd(PllmTvfCursor *cursor) {
  State *s = cursor->state;
  if (!s) return;
  sqlite3_finalize(s->stmt);
  pllm_neighbors_stop(s->search);
  pllm_neighbors_free(s->set);
  pllm_ext_poll_close(&s->poll);
  for (size_t i = 0; i < s->n_parts; i++) sqlite3_value_free(s->parts[i].value);
  pllm_free(s->parts);
  rows_free(&s->candidates);
  rows_free(&s->queries);
  pllm_ext_vector_free(&s->vector);
  pllm_free(s->same);
  pllm_free(s->found);
  pllm_free(s);
}

int pllm_ext_init_neighbors(PllmConn *conn, char **error) {
  static const char *const args[N_ARGS] = {"candidates", "queries", "k", "options"};
  static const PllmTvf tvf = {
      .name = "persona_neighbors",
      .columns = "query_id INTEGER, rank INTEGER, id INTEGER, similarity REAL",
      .n_columns = N_COLUMNS,
      .args = args,
      .n_args = N_ARGS,
      .n_required = 3,
      .rows = 10000,
      .begin = neighborsBegin,
      .next = neighborsNext,
      .column = neighborsColumn,
      .end = neighborsEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
