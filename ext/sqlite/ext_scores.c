/*
** ext_scores.c: the columnar score store that bulk jobs read, cached on the connection.
**
** A store is all of one persona_responses table, raw or standardised, loaded from its narrow shadow table in one
** scan.
** S1  It is found again by schema, table, stamp (ext_store.h) and, when standardised, the very means and sds: a stamp
**     names one contents, so whatever happened in between (commits elsewhere, rollback, VACUUM, another file attached
**     under the same name), an equal stamp means an equal store.
** S2  The stamp is read by a statement that stays open until the scan ends.  So stamp, scores and embeddings come
**     from one snapshot, also for an attached database in autocommit mode, where each statement would have its own.
** S3  Stores are counted: a scan keeps the one it began with, the cache the most recently used ones (at most
**     CACHE_STORES, and beyond the newest at most CACHE_BYTES together).  A store of a table whose contents have
**     changed leaves the cache before its successor is loaded.
** S4  Splits are the prompts table's: kept under its own stamp when it is a persona_prompts table, read anew by each
**     scan when it is an ordinary table or a view.
*/
#include "ext_scores.h"

#include <string.h>

#define CACHE_STORES 4
#define CACHE_BYTES ((size_t)256 << 20)
/* reward_models and the prompts table may be views, even of bulk jobs, but must not lead back to the same job. */
#define MAX_NESTING 3

typedef struct Cache {
  Entry *entries;
  Splits *splits; /* the last one used, or NULL */
  int opening;    /* stores being opened, one inside the other */
} Cache;

/* ---- ownership ---- */

static void entry_unref(Entry *entry) {
  if (!entry || --entry->refs > 0) return;
  pllm_ext_names_free(entry->models.names, entry->models.count);
  sqlite3_free(entry->schema);
  sqlite3_free(entry->name);
  pllm_free(entry->mean);
  pllm_free(entry->sd);
  pllm_store_free(entry->store);
  pllm_scores_embeddings_free(&entry->embeddings);
  pllm_free(entry);
}

static void splits_unref(Splits *splits) {
  if (!splits || --splits->refs > 0) return;
  sqlite3_free(splits->schema);
  sqlite3_free(splits->name);
  pllm_splits_free(splits->splits);
  pllm_free(splits);
}

static void cache_free(void *arg) {
  Cache *cache = arg;
  if (!cache) return;
  while (cache->entries) {
    Entry *entry = cache->entries;
    cache->entries = entry->next;
    entry_unref(entry);
  }
  splits_unref(cache->splits);
  pllm_free(cache);
}

static Cache *cache_of(PllmConn *conn) {
  if (!conn->scores) {
    conn->scores = pllm_alloc_zero(1, sizeof(Cache));
    conn->scores_free = cache_free;
  }
  return conn->scores;
}

static size_t entry_bytes(const Entry *entry) {
  return pllm_store_bytes(entry->store) + entry->embeddings.rows * (entry->embeddings.dim * sizeof(float) + 1);
}

/* Drop what S3 does not keep. */
static void trim(Cache *cache) {
  size_t bytes = 0;
  int kept = 0;
  for (Entry **at = &cache->entries; *at;) {
    Entry *entry = *at;
    bytes += kept ? entry_bytes(entry) : 0;
    if (++kept <= CACHE_STORES && bytes <= CACHE_BYTES) {
      at = &entry->next;
      continue;
    }
    *at = entry->next;
    entry_unref(entry);
  }
}

/* ---- the cache ---- */

static int same_norms(const Entry *entry, const double *mean, const double *sd, int n) {
  return entry->models.count == n && memcmp(entry->mean, mean, (size_t)n * sizeof *mean) == 0 &&
         memcmp(entry->sd, sd, (size_t)n * sizeof *sd) == 0;
}

/* Find the store, moving it to the front; drop stores of the same table that nobody can ask for again. */
static Entry *find_entry(Cache *cache, const PllmExtTable *table, sqlite3_int64 stamp, int raw, const double *mean,
                         const double *sd, int n) {
  Entry *hit = NULL;
  for (Entry **at = &cache->entries; *at;) {
    Entry *entry = *at;
    if (sqlite3_stricmp(entry->schema, table->schema) != 0 || sqlite3_stricmp(entry->name, table->name) != 0) {
      at = &entry->next;
    } else if (entry->stamp == stamp && entry->raw == raw && (raw || same_norms(entry, mean, sd, n))) {
      *at = entry->next;
      hit = entry;
    } else if (entry->stamp != stamp || (!raw && !entry->raw)) {
      *at = entry->next;
      entry_unref(entry);
    } else {
      at = &entry->next;
    }
  }
  if (hit) {
    hit->next = cache->entries;
    cache->entries = hit;
  }
  return hit;
}

static PllmStatus new_entry(const PllmExtTable *table, sqlite3_int64 stamp, int raw, const double *mean,
                            const double *sd, Names *models, Entry **out, PllmError *err) {
  Entry *entry = pllm_alloc_zero(1, sizeof *entry);
  size_t n = (size_t)models->count;
  if (!entry) return pllm_fail_nomem(err);
  entry->refs = 1;
  entry->stamp = stamp;
  entry->raw = raw;
  entry->models = *models;
  models->names = NULL;
  models->count = 0;
  entry->schema = sqlite3_mprintf("%s", table->schema);
  entry->name = sqlite3_mprintf("%s", table->name);
  if (!raw) {
    entry->mean = pllm_alloc(n, sizeof *mean);
    entry->sd = pllm_alloc(n, sizeof *sd);
  }
  if (!entry->schema || !entry->name || (!raw && (!entry->mean || !entry->sd))) {
    entry_unref(entry);
    return pllm_fail_nomem(err);
  }
  if (!raw) {
    memcpy(entry->mean, mean, n * sizeof *mean);
    memcpy(entry->sd, sd, n * sizeof *sd);
  }
  *out = entry;
  return PLLM_OK;
}

/* part->entry: from the cache, or loaded. */
static PllmStatus get_entry(Part *part, sqlite3_int64 stamp, int raw, Names *models, PllmError *err) {
  double mean[PLLM_MAX_MODELS], sd[PLLM_MAX_MODELS];
  sqlite3 *db = part->conn->db;
  Cache *cache = part->conn->scores;
  sqlite3_stmt *norms = NULL;
  PllmStatus status = PLLM_OK;
  if (!raw)
    status = pllm_ext_norms(db, part->table.schema, (const char *const *)models->names, models->count, &norms, mean,
                            sd, err);
  sqlite3_finalize(norms);
  if (status != PLLM_OK) return status;
  part->entry = find_entry(cache, &part->table, stamp, raw, mean, sd, models->count);
  if (part->entry) {
    part->entry->refs++;
    return PLLM_OK;
  }
  status = new_entry(&part->table, stamp, raw, mean, sd, models, &part->entry, err);
  if (status == PLLM_OK) status = pllm_scores_load(db, &part->table, part->entry, err);
  if (status != PLLM_OK) return status;
  part->entry->refs++;
  part->entry->next = cache->entries;
  cache->entries = part->entry;
  trim(cache);
  return PLLM_OK;
}

/* ---- splits ---- */

static int same_splits(const Splits *splits, const PllmExtTable *table, sqlite3_int64 stamp) {
  return splits && splits->schema && splits->stamp == stamp && sqlite3_stricmp(splits->schema, table->schema) == 0 &&
         sqlite3_stricmp(splits->name, table->name) == 0;
}

/* part->splits from part->prompts: from the cache, or loaded. */
static PllmStatus get_splits(Part *part, PllmError *err) {
  sqlite3 *db = part->conn->db;
  Cache *cache = part->conn->scores;
  sqlite3_stmt *pin = NULL;
  sqlite3_int64 stamp = 0;
  Splits *splits;
  PllmStatus status =
      pllm_scores_read_stamp(db, &part->prompts, "persona_prompts", &pin, &stamp, &part->prompts_shadow, err);
  if (status != PLLM_OK) return status;
  if (part->prompts_shadow && same_splits(cache->splits, &part->prompts, stamp)) {
    part->splits = cache->splits;
    part->splits->refs++;
    sqlite3_finalize(pin);
    return PLLM_OK;
  }
  part->splits = splits = pllm_alloc_zero(1, sizeof *splits);
  if (!splits) {
    status = pllm_fail_nomem(err);
  } else {
    splits->refs = 1;
    splits->stamp = stamp;
    status = pllm_splits_new(&splits->splits, err);
  }
  if (status == PLLM_OK)
    status = pllm_scores_load_splits(db, &part->prompts, part->prompts_shadow, splits->splits, err);
  sqlite3_finalize(pin);
  if (status != PLLM_OK || !part->prompts_shadow) return status;
  splits->schema = sqlite3_mprintf("%s", part->prompts.schema);
  splits->name = sqlite3_mprintf("%s", part->prompts.name);
  if (!splits->schema || !splits->name) return pllm_fail_nomem(err);
  splits_unref(cache->splits);
  cache->splits = splits;
  splits->refs++;
  return PLLM_OK;
}

/* The prompts table as the responses table names it; a missing one leaves part->splits NULL. */
static PllmStatus find_prompts(Part *part, PllmError *err) {
  PllmError ignored;
  PllmStatus status;
  if (!part->prompts_name) return PLLM_OK;
  status = pllm_ext_table_find(part->conn->db, part->prompts_name, part->table.schema, &part->prompts, &ignored);
  if (status == PLLM_INVALID) return PLLM_OK;
  if (status != PLLM_OK) {
    *err = ignored;
    return status;
  }
  return get_splits(part, err);
}

static PllmStatus make_view(Part *part, PllmError *err) {
  PllmScores *view = &part->base.view;
  *view = *pllm_store_scores(part->entry->store);
  part->split = pllm_alloc(view->n_prompts, sizeof *part->split);
  if (!part->split) return pllm_fail_nomem(err);
  if (part->splits) {
    pllm_splits_assign(part->splits->splits, view->prompt_id, view->n_prompts, part->split);
    view->n_splits = pllm_splits_count(part->splits->splits);
    view->split_names = pllm_splits_names(part->splits->splits);
  } else {
    for (size_t p = 0; p < view->n_prompts; p++) part->split[p] = -1;
  }
  view->split = part->split;
  part->base.reward_models = (const char *const *)part->entry->models.names;
  return PLLM_OK;
}

/* ---- what the header promises ---- */

static int copy_table(const PllmExtTable *from, PllmExtTable *to) {
  to->schema = sqlite3_mprintf("%s", from->schema);
  to->name = sqlite3_mprintf("%s", from->name);
  to->quoted = sqlite3_mprintf("%s", from->quoted);
  return to->schema && to->name && to->quoted;
}

static PllmStatus open_part(Part *part, int raw, PllmError *err) {
  Names models = {NULL, 0};
  sqlite3 *db = part->conn->db;
  sqlite3_int64 stamp = 0;
  int found;
  PllmStatus status = pllm_scores_read_stamp(db, &part->table, "persona_responses", &part->pin, &stamp, &found, err);
  if (status == PLLM_OK && !found) status = pllm_scores_no_such(&part->table, "persona_responses", err);
  if (status == PLLM_OK) status = pllm_scores_read_config(db, &part->table, &models, &part->prompts_name, err);
  if (status == PLLM_OK) status = get_entry(part, stamp, raw, &models, err);
  if (status == PLLM_OK) status = find_prompts(part, err);
  if (status == PLLM_OK) status = make_view(part, err);
  pllm_ext_names_free(models.names, models.count);
  return status;
}

PllmStatus pllm_ext_scores_open(PllmConn *conn, const PllmExtTable *responses, int raw, PllmExtScores **out,
                                PllmError *err) {
  Part *part = pllm_alloc_zero(1, sizeof *part);
  Cache *cache = cache_of(conn);
  PllmStatus status = PLLM_OK;
  *out = NULL;
  if (!part || !cache) {
    pllm_free(part);
    return pllm_fail_nomem(err);
  }
  part->conn = pllm_ext_conn_ref(conn);
  part->base.part = part;
  part->base.table = &part->table;
  if (!copy_table(responses, &part->table)) status = pllm_fail_nomem(err);
  if (status == PLLM_OK && cache->opening == MAX_NESTING)
    status = pllm_fail(err, PLLM_INVALID,
                       "reward_models or the prompts table of \"%.80s\" is a view of this very job", responses->name);
  cache->opening++;
  if (status == PLLM_OK) status = open_part(part, raw != 0, err);
  cache->opening--;
  if (status == PLLM_OK)
    *out = &part->base;
  else
    pllm_ext_scores_close(&part->base);
  return status;
}

void pllm_ext_scores_close(PllmExtScores *scores) {
  Part *part = scores ? scores->part : NULL;
  if (!part) return;
  sqlite3_finalize(part->pin);
  entry_unref(part->entry);
  splits_unref(part->splits);
  pllm_scores_embeddings_free(&part->prompt_embeddings);
  pllm_ext_table_free(&part->table);
  pllm_ext_table_free(&part->prompts);
  sqlite3_free(part->prompts_name);
  pllm_free(part->split);
  pllm_ext_conn_unref(part->conn);
  pllm_free(part);
}

PllmStatus pllm_ext_split_find(const PllmExtScores *scores, const char *split, int *index, PllmError *err) {
  const Part *part = scores->part;
  const PllmScores *view = &scores->view;
  sqlite3_str *list;
  char *text;
  if (!split) {
    *index = PLLM_EXT_SPLIT_ALL;
    return PLLM_OK;
  }
  for (size_t s = 0; s < view->n_splits; s++) {
    if (strcmp(view->split_names[s], split) != 0) continue;
    *index = (int)s;
    return PLLM_OK;
  }
  if (!part->splits)
    return pllm_fail(err, PLLM_INVALID, "no split \"%.60s\": the prompts table %.60s of \"%.60s\" does not exist",
                     split, part->prompts_name ? part->prompts_name : "", part->table.name);
  if (view->n_splits == 0)
    return pllm_fail(err, PLLM_INVALID, "no split \"%.60s\": no prompt of \"%.60s\" is in a split", split,
                     part->prompts.name);
  list = sqlite3_str_new(NULL);
  for (size_t s = 0; s < view->n_splits && s < 8; s++) {
    size_t n = pllm_splits_prompts(part->splits->splits, s);
    sqlite3_str_appendf(list, "%s%.60s (%lld prompt%s)", s ? ", " : "", view->split_names[s], (sqlite3_int64)n,
                        n == 1 ? "" : "s");
  }
  if (view->n_splits > 8) sqlite3_str_appendf(list, " and %lld more", (sqlite3_int64)view->n_splits - 8);
  text = sqlite3_str_finish(list);
  if (!text) return pllm_fail_nomem(err);
  pllm_fail(err, PLLM_INVALID, "no split \"%.60s\"; splits: %s", split, text);
  sqlite3_free(text);
  return PLLM_INVALID;
}
