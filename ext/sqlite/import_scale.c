/*
** import_scale.c: option means of persona_import (rule I6 of fn_import.c).
*/
#include "import.h"

#include <string.h>

/* A whole JSON file, as one text. */
static PllmStatus read_scales(Import *import, PllmJson **json, PllmError *err) {
  PllmReader *reader = NULL;
  PllmLines lines = {0};
  PllmBuffer text = {0};
  PllmStatus status = pllm_reader_open(import->means, &reader, err);
  if (status != PLLM_OK)
    return pllm_error_prefix(
        err, "option \"means\" is neither \"published\" nor \"fitted\" nor a file that can be read");
  do {
    status = pllm_reader_lines(reader, SIZE_MAX, PLLM_MAX_LINE, &import->poll.run, &lines, err);
    for (size_t i = 0; status == PLLM_OK && i < lines.count; i++) {
      status = pllm_buffer_add(&text, lines.text + lines.line[i].start, lines.line[i].bytes, err);
      if (status == PLLM_OK) status = pllm_buffer_add(&text, "\n", 1, err);
    }
    if (status == PLLM_OK && text.count > PLLM_MAX_LINE)
      status = pllm_fail(err, PLLM_INVALID, "%.100s is too long", pllm_reader_name(reader));
  } while (status == PLLM_OK && lines.count > 0);
  if (status == PLLM_OK) {
    status = pllm_json_parse(text.bytes ? text.bytes : "", text.count, json, err);
    if (status == PLLM_INVALID) pllm_error_prefix(err, "%.100s", pllm_reader_name(reader));
  }
  pllm_buffer_free(&text);
  pllm_lines_free(&lines);
  pllm_reader_close(reader);
  return status;
}

/* Mean and sd of the raw scores of split train. */
static PllmStatus fit(Import *import, const PllmExtTable *prompts, const PllmExtTable *responses,
                      const PllmNameList *models, PllmMoments *moments, PllmError *err) {
  sqlite3_str *sql = sqlite3_str_new(import->db);
  sqlite3_stmt *stmt = NULL;
  char *text;
  int rc;
  PllmStatus status;
  sqlite3_str_appendall(sql, "SELECT ");
  for (size_t b = 0; b < models->count; b++) sqlite3_str_appendf(sql, "%sr.\"%w\"", b ? ", " : "", models->name[b]);
  sqlite3_str_appendf(sql, " FROM %s AS p CROSS JOIN %s AS r ON r.prompt_id = p.prompt_id WHERE p.split = 'train'",
                      prompts->quoted, responses->quoted);
  text = sqlite3_str_finish(sql);
  if (!text) return pllm_fail_nomem(err);
  status = pllm_import_prepare(import, &stmt, err, "%s", text);
  sqlite3_free(text);
  if (status != PLLM_OK) return status;
  while (sqlite3_step(stmt) == SQLITE_ROW)
    for (size_t b = 0; b < models->count; b++)
      if (sqlite3_column_type(stmt, (int)b) == SQLITE_FLOAT)
        pllm_moments_add(&moments[b], sqlite3_column_double(stmt, (int)b));
  rc = sqlite3_finalize(stmt);
  if (rc != SQLITE_OK) return pllm_import_sqlite(import, rc, err);
  for (size_t b = 0; b < models->count; b++) {
    if (moments[b].count == 0)
      return pllm_fail(err, PLLM_INVALID,
                       "option \"means\" is \"fitted\", but split train has no scores of reward model \"%.60s\"",
                       models->name[b]);
    if (!(pllm_moments_sd(&moments[b]) > 0))
      return pllm_fail(
          err, PLLM_INVALID,
          "option \"means\" is \"fitted\", but all %zu scores of reward model \"%.60s\" in split train are "
          "equal, so its sd is 0",
          moments[b].count, models->name[b]);
  }
  return PLLM_OK;
}

static PllmStatus store(Import *import, const char *schema, const PllmNameList *models, size_t b, double mean,
                        double sd, const char *source, PllmError *err) {
  PllmStatus status;
  sqlite3_stmt *stmt = NULL;
  status =
      pllm_import_prepare(import, &stmt, err,
                          "UPDATE \"%w\".reward_models SET mean = ?1, sd = ?2, source = ?3 WHERE name = ?4 COLLATE "
                          "NOCASE",
                          schema);
  for (int insert = 0; status == PLLM_OK && insert < 2; insert++) {
    sqlite3_bind_double(stmt, 1, mean);
    sqlite3_bind_double(stmt, 2, sd);
    sqlite3_bind_text(stmt, 3, source, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, models->name[b], -1, SQLITE_STATIC);
    if (insert) sqlite3_bind_int64(stmt, 5, (sqlite3_int64)b + 1);
    status = pllm_import_step(import, stmt, err);
    if (status != PLLM_OK || insert || sqlite3_changes(import->db) > 0) break;
    sqlite3_finalize(stmt);
    stmt = NULL;
    status =
        pllm_import_prepare(import, &stmt, err,
                            "INSERT INTO \"%w\".reward_models(mean, sd, source, name, position) VALUES (?1, ?2, ?3, "
                            "?4, ?5)",
                            schema);
  }
  sqlite3_finalize(stmt);
  return status;
}

PllmStatus pllm_import_scale(Import *import, const PllmExtTable *prompts, const PllmExtTable *responses,
                             const PllmNameList *models, PllmError *err) {
  int fitted = strcmp(import->means, "fitted") == 0, published = strcmp(import->means, "published") == 0;
  PllmMoments *moments = pllm_alloc_zero(models->count, sizeof *moments);
  PllmJson *scales = NULL;
  const char *slash = strrchr(import->means, '/'), *source = slash ? slash + 1 : import->means;
  PllmStatus status = moments ? PLLM_OK : pllm_fail_nomem(err);
  if (status == PLLM_OK && fitted) status = fit(import, prompts, responses, models, moments, err);
  if (status == PLLM_OK && !fitted && !published) status = read_scales(import, &scales, err);
  for (size_t b = 0; status == PLLM_OK && b < models->count; b++) {
    double mean = moments[b].mean, sd = pllm_moments_sd(&moments[b]);
    if (published && !pllm_published_scale(models->name[b], &mean, &sd))
      status =
          pllm_fail(err, PLLM_INVALID,
                    "option \"means\" is \"published\", but reward model \"%.60s\" is none of the ten published ones "
                    "(beaver_7b, gemma_2b, ...); \"fitted\" or a JSON file is required",
                    models->name[b]);
    if (scales) {
      status = pllm_scale_read(scales, models->name[b], &mean, &sd, err);
      if (status != PLLM_OK) pllm_error_prefix(err, "%.100s", source);
    }
    if (status == PLLM_OK) status = store(import, responses->schema, models, b, mean, sd, source, err);
  }
  pllm_json_free(scales);
  pllm_free(moments);
  return status;
}
