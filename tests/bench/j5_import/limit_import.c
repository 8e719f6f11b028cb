/*
** limit.c: the program `limit_import`: a data set in the published schema, parsed by cJSON line by line and inserted through two
** prepared statements into ordinary tables of a new database file with default settings.  One thread: nothing overlaps.
** Job parse only parses.
*/
#include "../program.h"

#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { RESPONSES = 8, MAX_MODELS = 64 };

typedef struct Import {
  const char *path, *database;
  char names[4096]; /* of the reward models, cut at commas */
  const char *model[MAX_MODELS];
  int models, insert;
  double lines, scores;
} Import;

__attribute__((noreturn)) static void die(const char *what, const char *which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(1);
}

static Import *import_open(const Args *args) {
  Import *m = allocate(sizeof *m);
  m->path = arg_text(args, "file");
  m->database = arg_text(args, "database");
  snprintf(m->names, sizeof m->names, "%s", arg_text(args, "models"));
  for (char *p = strtok(m->names, ","); p && m->models < MAX_MODELS; p = strtok(NULL, ",")) m->model[m->models++] = p;
  return m;
}

static void *insert_open(const Args *args) {
  Import *m = import_open(args);
  m->insert = 1;
  return m;
}

static void *parse_open(const Args *args) {
  return import_open(args);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) die(sql, sqlite3_errmsg(db));
}

static void bind_text(sqlite3_stmt *stmt, int at, const cJSON *value) {
  if (cJSON_IsString(value))
    sqlite3_bind_text(stmt, at, value->valuestring, -1, SQLITE_STATIC);
  else
    sqlite3_bind_null(stmt, at);
}

static void step(sqlite3 *db, sqlite3_stmt *stmt) {
  sqlite3_step(stmt);
  if (sqlite3_reset(stmt) != SQLITE_OK) die("insert", sqlite3_errmsg(db));
}

/*
** The members of a line in one pass, as its keys come in any order: a table from name to slot would be faster only where
** lookups by name (quadratic in cJSON) are the alternative.
*/
typedef struct Line {
  const cJSON *id, *prompt, *source, *text[RESPONSES], *model[RESPONSES];
  double score[RESPONSES][MAX_MODELS];
} Line;

static void read_line(const Import *m, const cJSON *json, Line *line) {
  memset(line, 0, sizeof *line);
  for (const cJSON *member = json->child; member; member = member->next) {
    const char *key = member->string, *rest;
    int r;
    if (strncmp(key, "response_", 9) != 0 || key[9] < '1' || key[9] > '0' + RESPONSES) {
      if (strcmp(key, "prompt_id") == 0) line->id = member;
      if (strcmp(key, "prompt") == 0) line->prompt = member;
      if (strcmp(key, "subset") == 0) line->source = member;
      continue;
    }
    r = key[9] - '1';
    rest = key + 10;
    if (*rest == 0)
      line->text[r] = member;
    else if (strcmp(rest, "_model") == 0)
      line->model[r] = member;
    else
      for (int b = 0; b < m->models; b++)
        if (strcmp(rest + 1, m->model[b]) == 0) line->score[r][b] = member->valuedouble;
  }
}

static void import_run(void *state) {
  Import *m = state;
  FILE *in = fopen(m->path, "rb");
  char *text = NULL;
  size_t room = 0;
  ssize_t length;
  sqlite3 *db = NULL;
  sqlite3_stmt *prompt = NULL, *response = NULL;
  sqlite3_int64 response_id = 0;
  if (!in) die("cannot read", m->path);
  m->lines = m->scores = 0;
  if (m->insert) {
    if (sqlite3_open(m->database, &db) != SQLITE_OK) die("cannot open", m->database);
    run(db, "CREATE TABLE p(prompt_id INTEGER PRIMARY KEY, split TEXT, source TEXT, text TEXT);"
            "CREATE TABLE r(response_id INTEGER PRIMARY KEY, prompt_id INTEGER, position INTEGER, model TEXT, text TEXT, "
            "raw BLOB); CREATE UNIQUE INDEX r_prompt ON r(prompt_id, position); BEGIN");
    if (sqlite3_prepare_v2(db, "INSERT INTO p VALUES (?1, 'train', ?2, ?3)", -1, &prompt, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO r VALUES (?1, ?2, ?3, ?4, ?5, ?6)", -1, &response, NULL) != SQLITE_OK)
      die("prepare", sqlite3_errmsg(db));
  }
  while ((length = getline(&text, &room, in)) > 0) {
    cJSON *json = cJSON_ParseWithLength(text, (size_t)length);
    Line line;
    if (!json) die("not JSON", m->path);
    m->lines++;
    if (m->insert) {
      read_line(m, json, &line);
      sqlite3_bind_int64(prompt, 1, (sqlite3_int64)line.id->valuedouble);
      bind_text(prompt, 2, line.source);
      bind_text(prompt, 3, line.prompt);
      step(db, prompt);
      for (int r = 0; r < RESPONSES; r++) {
        sqlite3_bind_int64(response, 1, ++response_id);
        sqlite3_bind_int64(response, 2, (sqlite3_int64)line.id->valuedouble);
        sqlite3_bind_int64(response, 3, r + 1);
        bind_text(response, 4, line.model[r]);
        bind_text(response, 5, line.text[r]);
        sqlite3_bind_blob(response, 6, line.score[r], m->models * (int)sizeof(double), SQLITE_STATIC);
        step(db, response);
        for (int b = 0; b < m->models; b++) m->scores += line.score[r][b];
      }
    }
    cJSON_Delete(json);
  }
  free(text);
  fclose(in);
  if (!m->insert) return;
  run(db, "COMMIT");
  sqlite3_finalize(prompt);
  sqlite3_finalize(response);
  sqlite3_close(db);
}

static void import_write(void *state, FILE *out) {
  fwrite(&((Import *)state)->lines, sizeof(double), 2, out);
}

int main(int argc, char **argv) {
  const Job jobs[] = {{"insert", insert_open, import_run, import_write}, {"parse", parse_open, import_run, import_write}, {0}};
  return program_main(argc, argv, jobs);
}
