/*
** vt_users.c: persona_users, populations of simulated users.
**
**     CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0);
**     SELECT user_id, persona_json(weights) FROM users WHERE user_id < 10;
**     SELECT gemma_2b FROM users WHERE user_id = 7 AND turn = 5;              -- a drifting philox user
**
** | column              | type    |        | meaning                                                              |
** |---------------------|---------|--------|----------------------------------------------------------------------|
** | user_id             | INTEGER |        | first .. first + count - 1, ascending                                |
** | weights             | BLOB    |        | f64 weights in the reward models' order; NULL where draws underflow  |
** | <reward model> ...  | REAL    |        | its weight                                                           |
** | turn                | INTEGER | HIDDEN | input: at which turn; unconstrained = 1                              |
**
** Arguments (users_decl.c):
**
** | argument     | default   | meaning                                                                            |
** |--------------|-----------|------------------------------------------------------------------------------------|
** | count        | 1000      | number of users (before min_distance)                                              |
** | alpha        | 0.05      | of the Dirichlet: a number, or [a, b, ...] with one per reward model               |
** | seed         | 0         | 0 .. 2^32-1                                                                        |
** | generator    | numpy     | numpy: the users of RandomState(seed).dirichlet; philox: any without predecessors  |
** | first        | 0         | user_id of the first (philox)                                                      |
** | min_distance | 0         | drop users nearer than this to an earlier one and renumber (numpy, count <= 50000) |
** | drift        | 0         | weights at turn t are (1-l) w_a + l w_b, l = 1 - exp(-drift (t-1)) (philox)        |
** | responses    | responses | table whose reward models the weights are for                                      |
** | models       |           | [a, b, ...]: their names, instead of responses                                     |
**
** U1  Nothing is stored but the declaration, in the shadow table <name>_declaration; every row is a function of it.
** U2  turn is an input: every (user, turn >= 1) has its row, and a query that does not say turn = x (or IN; at the
**     top level of its WHERE or ON, not inside an OR) sees turn 1.  A turn that is NULL or no whole number from 1 has
**     no rows.  The rowid is user_id, plus 2^53 times (turn - 1) mod 1024, so that different turns of one user are
**     different rows.
** U3  Equality and ranges on user_id are pushed down, as is equality on rowid, never with omit.
** U4  Weights are drawn when a column asks for them, in batches that grow while users are taken one after the other:
**     count(*) draws nothing.  A long scan of philox users has the next batch drawn by helper threads (persona_config
**     'threads') while this one is handed out; they end with the scan.
** U5  Reads never write.  INSERT, UPDATE and DELETE are errors.
** U6  A declaration that cannot be understood leaves a table that can be dropped; reading it is an error that says
**     why.
**
** Cost: philox, O(1) memory and time per user wherever it is; numpy, see users.h.
**
** Plan: idxStr has one letter per constraint value, in order: '=' '>' 'G' (>=) '<' 'L' (<=) on user_id, 'r' rowid =,
** 't' turn =.
*/
#include "users_decl.h"

#include <string.h>

enum { USERS_COL_ID, USERS_COL_WEIGHTS, USERS_COL_MODELS };

#define ROWID_BITS 53
#define BATCH_NUMBERS 4096 /* a batch has at most so many weights */
#define BATCH_USERS 256
#define POLL_ABOVE 500000 /* weights in a numpy population from which skipping through it takes noticeable time */

typedef struct UsersVtab {
  sqlite3_vtab base;
  PllmConn *conn; /* borrowed from the module */
  sqlite3 *db;
  char *schema, *name; /* owned; name changes with ALTER TABLE */
  UsersDecl decl;
  char *broken;      /* owned: why the declaration cannot be used, NULL when it can */
  PllmUsers *reader; /* owned: made by the first scan that needs it */
} UsersVtab;

typedef struct UsersCursor {
  sqlite3_vtab_cursor base;
  int64_t id, last; /* current and last user; none when id > last */
  int64_t turn;
  int64_t batch_first;   /* user of row 0 of the batch */
  size_t batch_count;    /* users in the batch */
  size_t batch_want;     /* size of the next one: grows while a scan goes on */
  const double *batch;   /* its weights: `weights`, or ahead's */
  double *weights;       /* owned [room][n_models] */
  unsigned char *known;  /* owned [room]; ahead's users are all known */
  PllmUsersAhead *ahead; /* owned: of a scan that went beyond room, NULL: of none */
  PllmCrew *crew;        /* owned: its helpers */
  unsigned char *bytes;  /* owned [n_models * 8]: the current weights as a value */
  size_t room;
} UsersCursor;

/* ---- Create, connect, drop, rename ---- */

static void users_free(UsersVtab *table) {
  if (!table) return;
  pllm_users_close(table->reader);
  pllm_ext_users_decl_clear(&table->decl);
  sqlite3_free(table->schema);
  sqlite3_free(table->name);
  sqlite3_free(table->broken);
  pllm_free(table);
}

static int declare(sqlite3 *db, const UsersDecl *decl) {
  sqlite3_str *sql = sqlite3_str_new(db);
  char *text;
  int rc;
  sqlite3_str_appendall(sql, "CREATE TABLE x(user_id INTEGER, weights BLOB");
  for (int b = 0; b < decl->population.n_models; b++) sqlite3_str_appendf(sql, ", \"%w\" REAL", decl->models[b]);
  sqlite3_str_appendall(sql, ", turn INTEGER HIDDEN)");
  text = sqlite3_str_finish(sql);
  if (!text) return SQLITE_NOMEM;
  rc = sqlite3_declare_vtab(db, text);
  sqlite3_free(text);
  return rc == SQLITE_OK ? sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS) : rc;
}

static int users_open_table(sqlite3 *db, PllmConn *conn, int argc, const char *const *argv, int create,
                            sqlite3_vtab **out, char **message) {
  UsersVtab *table = pllm_alloc_zero(1, sizeof *table);
  PllmError err;
  PllmStatus status;
  int rc = SQLITE_NOMEM;
  if (!table) return SQLITE_NOMEM;
  table->conn = conn;
  table->db = db;
  table->schema = sqlite3_mprintf("%s", argv[1]);
  table->name = sqlite3_mprintf("%s", argv[2]);
  if (!table->schema || !table->name) goto done;
  if (create) {
    status = pllm_ext_users_parse(db, argc, argv, &table->decl, &err);
    if (status == PLLM_OK) status = pllm_ext_users_store(db, argv[1], argv[2], &table->decl, &err);
  } else {
    status = pllm_ext_users_load(db, argv[1], argv[2], &table->decl, &err);
    if (status == PLLM_CORRUPT) { /* U6 */
      table->broken = sqlite3_mprintf("%s", err.text);
      if (!table->broken) goto done;
      status = PLLM_OK;
    }
  }
  rc = status == PLLM_OK ? declare(db, &table->decl) : pllm_ext_message(message, "persona_users", &err);
done:
  if (rc != SQLITE_OK) {
    users_free(table);
    return rc;
  }
  *out = &table->base;
  return SQLITE_OK;
}

static int usersCreate(sqlite3 *db, void *conn, int argc, const char *const *argv, sqlite3_vtab **out,
                       char **message) {
  return users_open_table(db, conn, argc, argv, 1, out, message);
}

static int usersConnect(sqlite3 *db, void *conn, int argc, const char *const *argv, sqlite3_vtab **out,
                        char **message) {
  return users_open_table(db, conn, argc, argv, 0, out, message);
}

static int usersDisconnect(sqlite3_vtab *vtab) {
  users_free((UsersVtab *)vtab);
  return SQLITE_OK;
}

static int exec_format(sqlite3 *db, char *sql) {
  int rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc;
}

static int usersDestroy(sqlite3_vtab *vtab) {
  UsersVtab *table = (UsersVtab *)vtab;
  int rc = exec_format(table->db,
                       sqlite3_mprintf("DROP TABLE IF EXISTS \"%w\".\"%w_declaration\"", table->schema, table->name));
  if (rc == SQLITE_OK) users_free(table);
  return rc;
}

static int usersRename(sqlite3_vtab *vtab, const char *name) {
  UsersVtab *table = (UsersVtab *)vtab;
  char *copy = sqlite3_mprintf("%s", name);
  int rc = !copy ? SQLITE_NOMEM
                 : exec_format(table->db, sqlite3_mprintf("ALTER TABLE \"%w\".\"%w_declaration\" RENAME TO "
                                                          "\"%w_declaration\"",
                                                          table->schema, table->name, name));
  if (rc != SQLITE_OK) {
    sqlite3_free(copy);
    return rc;
  }
  sqlite3_free(table->name);
  table->name = copy;
  return SQLITE_OK;
}

static int usersShadowName(const char *suffix) {
  return sqlite3_stricmp(suffix, "declaration") == 0;
}

/* U5.  Without this SQLite would only say that the table may not be modified.  SQLite asks to begin before a statement
** writes, and only then.  It matters to refuse there already: before its first xUpdate a DELETE or UPDATE would collect the
** rowids of all users, which may be billions. */
static int usersRefuse(sqlite3_vtab *vtab) {
  UsersVtab *table = (UsersVtab *)vtab;
  sqlite3_free(vtab->zErrMsg);
  vtab->zErrMsg = sqlite3_mprintf("%s: a persona_users table is computed from its declaration and cannot be written; "
                                  "CREATE TABLE ... AS SELECT * FROM %s makes a copy that can",
                                  table->name, table->name);
  return vtab->zErrMsg ? SQLITE_READONLY : SQLITE_NOMEM;
}

/* Within the transaction that created the table SQLite does not ask. */
static int usersUpdate(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
  (void)argc;
  (void)argv;
  (void)rowid;
  return usersRefuse(vtab);
}

/* ---- Planning ---- */

static int usersBestIndex(sqlite3_vtab *vtab, sqlite3_index_info *info) {
  UsersVtab *table = (UsersVtab *)vtab;
  const PllmPopulation *p = &table->decl.population;
  int turn_column = USERS_COL_MODELS + p->n_models, n = 0, exact = 0, lower = 0, upper = 0, turn = 0;
  double rows = (double)p->count;
  char *plan = sqlite3_malloc64((sqlite3_uint64)info->nConstraint + 1);
  if (!plan) return SQLITE_NOMEM;
  for (int c = 0; c < info->nConstraint; c++) {
    int column = info->aConstraint[c].iColumn;
    char letter = 0;
    switch (info->aConstraint[c].op) {
    case SQLITE_INDEX_CONSTRAINT_EQ:
      letter = column == turn_column ? 't' : column == USERS_COL_ID ? '=' : column < 0 ? 'r' : 0;
      break;
    case SQLITE_INDEX_CONSTRAINT_GT: letter = column == USERS_COL_ID ? '>' : 0; break;
    case SQLITE_INDEX_CONSTRAINT_GE: letter = column == USERS_COL_ID ? 'G' : 0; break;
    case SQLITE_INDEX_CONSTRAINT_LT: letter = column == USERS_COL_ID ? '<' : 0; break;
    case SQLITE_INDEX_CONSTRAINT_LE: letter = column == USERS_COL_ID ? 'L' : 0; break;
    default: break;
    }
    if (!letter) continue;
    if (!info->aConstraint[c].usable) {
      if (letter != 't') continue;
      sqlite3_free(plan); /* without its turn a scan would answer for turn 1 */
      return SQLITE_CONSTRAINT;
    }
    if (letter == 't' && turn) continue; /* a second one is checked by SQLite */
    exact |= letter == '=' || letter == 'r';
    lower |= letter == '>' || letter == 'G';
    upper |= letter == '<' || letter == 'L';
    turn |= letter == 't';
    plan[n++] = letter;
    info->aConstraintUsage[c].argvIndex = n;
  }
  plan[n] = 0;
  info->idxStr = plan;
  info->needToFreeIdxStr = 1;
  if (exact) {
    rows = 1.0;
    info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
  } else {
    if (lower) rows /= 4.0;
    if (upper) rows /= 4.0;
    if (rows < 1.0) rows = 1.0;
  }
  /* A numpy user alone costs its block; a philox user only itself. */
  info->estimatedCost = rows * 2.0 + (exact && p->generator == PLLM_GENERATOR_NUMPY ? 20.0 : 2.0);
  info->estimatedRows = (sqlite3_int64)rows;
  if (info->nOrderBy == 1 && !info->aOrderBy[0].desc && info->aOrderBy[0].iColumn <= USERS_COL_ID)
    info->orderByConsumed = 1;
  return SQLITE_OK;
}

/* ---- Scanning ---- */

static int usersOpen(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
  UsersVtab *table = (UsersVtab *)vtab;
  size_t n = (size_t)table->decl.population.n_models, room = n ? BATCH_NUMBERS / n : 1;
  UsersCursor *cursor = pllm_alloc_zero(1, sizeof *cursor);
  if (!cursor) return SQLITE_NOMEM;
  cursor->room = room > BATCH_USERS ? BATCH_USERS : room;
  cursor->weights = pllm_alloc(cursor->room, n * sizeof *cursor->weights);
  cursor->known = pllm_alloc(cursor->room, 1);
  cursor->bytes = pllm_alloc(n, 8);
  cursor->last = -1;
  cursor->batch_want = 4;
  *out = &cursor->base;
  if (cursor->weights && cursor->known && cursor->bytes) return SQLITE_OK;
  pllm_free(cursor->weights);
  pllm_free(cursor->known);
  pllm_free(cursor->bytes);
  pllm_free(cursor);
  return SQLITE_NOMEM;
}

static void end_ahead(UsersCursor *cursor) {
  if (!cursor->ahead) return;
  pllm_users_ahead_close(cursor->ahead);
  cursor->ahead = NULL;
  cursor->batch_count = 0; /* the batch was its */
}

static int usersClose(sqlite3_vtab_cursor *base) {
  UsersCursor *cursor = (UsersCursor *)base;
  end_ahead(cursor);
  pllm_crew_free(cursor->crew);
  pllm_free(cursor->weights);
  pllm_free(cursor->known);
  pllm_free(cursor->bytes);
  pllm_free(cursor);
  return SQLITE_OK;
}

/* Run one core call under the connection's poll where it may take long. */
static PllmStatus with_poll(UsersVtab *table, UsersCursor *cursor, size_t count, PllmError *err) {
  const PllmPopulation *p = &table->decl.population;
  PllmExtPoll poll;
  const PllmRun *run = NULL;
  PllmStatus status = PLLM_OK;
  if (p->generator == PLLM_GENERATOR_NUMPY &&
      (p->count > POLL_ABOVE / p->n_models || (!table->reader && p->min_distance > 0.0))) {
    status = pllm_ext_poll_open(table->conn, &poll, err);
    if (status != PLLM_OK) return status;
    run = &poll.run;
  }
  if (!table->reader) status = pllm_users_open(p, run, &table->reader, err);
  if (status == PLLM_OK && count > 0)
    status =
        pllm_users_read(table->reader, cursor->id, count, cursor->turn, cursor->weights, cursor->known, run, err);
  if (run) pllm_ext_poll_close(&poll);
  return status;
}

/* The next batch of a long scan of philox users. */
static PllmStatus fetch_ahead(UsersVtab *table, UsersCursor *cursor, PllmError *err) {
  PllmStatus status = cursor->crew ? PLLM_OK : pllm_crew_new(&cursor->crew, err);
  if (status == PLLM_OK && !cursor->ahead) {
    PllmRun run = {.threads = table->conn->threads, .crew = cursor->crew};
    status = pllm_users_ahead_open(&table->decl.population, cursor->turn, &run, &cursor->ahead, err);
  }
  if (status == PLLM_OK)
    status =
        pllm_users_ahead_next(cursor->ahead, cursor->id, cursor->last, &cursor->batch, &cursor->batch_count, err);
  cursor->batch_first = cursor->id;
  return status;
}

/* Have the current user in the batch (U4). */
static PllmStatus fetch(UsersVtab *table, UsersCursor *cursor, PllmError *err) {
  int64_t left = cursor->last - cursor->id + 1;
  size_t count;
  PllmStatus status;
  if (cursor->id >= cursor->batch_first && cursor->id - cursor->batch_first < (int64_t)cursor->batch_count)
    return PLLM_OK;
  /* Twice as many as before while users are taken one after the other; few again after a jump. */
  if (cursor->id != cursor->batch_first + (int64_t)cursor->batch_count) {
    end_ahead(cursor);
    cursor->batch_want = 4;
  }
  cursor->batch_count = 0;
  if (cursor->batch_want == cursor->room && table->decl.population.generator == PLLM_GENERATOR_PHILOX)
    return fetch_ahead(table, cursor, err);
  cursor->batch_want *= 2;
  if (cursor->batch_want > cursor->room) cursor->batch_want = cursor->room;
  count = left < (int64_t)cursor->batch_want ? (size_t)left : cursor->batch_want;
  cursor->batch = cursor->weights;
  status = with_poll(table, cursor, count, err);
  if (status != PLLM_OK) return status;
  cursor->batch_first = cursor->id;
  cursor->batch_count = count;
  return PLLM_OK;
}

/* Cut id..last by "user_id op value".  The comparison itself is SQLite's (no omit), so only what surely fails is cut.
 */
static void cut(UsersCursor *cursor, char op, sqlite3_value *value) {
  int64_t low = cursor->id, high = cursor->last;
  int type = sqlite3_value_numeric_type(value);
  if (type == SQLITE_INTEGER) {
    int64_t x = sqlite3_value_int64(value);
    if (op == 'r') x &= ((int64_t)1 << ROWID_BITS) - 1;
    if (strchr("=rG", op) && x > low) low = x;
    if (strchr("=rL", op) && x < high) high = x;
    if (op == '>' && x >= low) low = x < INT64_MAX ? x + 1 : x, high = x < INT64_MAX ? high : -1;
    if (op == '<' && x <= high) high = x > INT64_MIN ? x - 1 : x;
  } else if (type == SQLITE_FLOAT) {
    double x = sqlite3_value_double(value);
    if (op == 'r') return;
    if (strchr("=>G", op) && x > (double)low) low = x < 9.1e15 ? (int64_t)x : INT64_MAX;
    if (strchr("=<L", op) && x < (double)high) high = x > -1.0 ? (int64_t)x : -1;
  } else if (type == SQLITE_NULL || strchr("=r>G", op)) {
    high = -1; /* nothing compares to NULL; text and BLOBs are greater than any number */
  }
  cursor->id = low;
  cursor->last = high;
}

/* U2: the turn a value stands for, 0 if none. */
static int64_t turn_of(sqlite3_value *value) {
  int type = sqlite3_value_numeric_type(value);
  if (type == SQLITE_INTEGER) return sqlite3_value_int64(value) < 1 ? 0 : sqlite3_value_int64(value);
  if (type == SQLITE_FLOAT) {
    double x = sqlite3_value_double(value);
    if (x >= 1.0 && x < 9.2e18 && x == (double)(int64_t)x) return (int64_t)x;
  }
  return 0;
}

static int usersFilter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc, sqlite3_value **argv) {
  UsersCursor *cursor = (UsersCursor *)base;
  UsersVtab *table = (UsersVtab *)base->pVtab;
  const PllmPopulation *p = &table->decl.population;
  PllmError err;
  int64_t turn = 1;
  (void)number;
  end_ahead(cursor);
  cursor->id = 0;
  cursor->last = -1;
  if (table->broken) {
    pllm_fail(&err, PLLM_CORRUPT, "%s", table->broken);
    return pllm_ext_vtab_error(&table->base, table->name, &err);
  }
  for (int i = 0; i < argc; i++)
    if (plan[i] == 't') turn = turn_of(argv[i]);
  if (turn < 1) return SQLITE_OK;
  if (turn != cursor->turn) cursor->batch_count = 0;
  cursor->turn = turn;
  /* How many survive a filter is known only after it. */
  if (p->min_distance > 0.0 && !table->reader) {
    PllmStatus status = with_poll(table, cursor, 0, &err);
    if (status != PLLM_OK) return pllm_ext_vtab_error(&table->base, table->name, &err);
  }
  cursor->id = p->first;
  cursor->last = p->first + (table->reader ? pllm_users_count(table->reader) : p->count) - 1;
  for (int i = 0; i < argc; i++)
    if (plan[i] != 't') cut(cursor, plan[i], argv[i]);
  return SQLITE_OK;
}

static int usersNext(sqlite3_vtab_cursor *base) {
  ((UsersCursor *)base)->id++;
  return SQLITE_OK;
}

static int usersEof(sqlite3_vtab_cursor *base) {
  UsersCursor *cursor = (UsersCursor *)base;
  return cursor->id > cursor->last;
}

static int usersColumn(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
  UsersCursor *cursor = (UsersCursor *)base;
  UsersVtab *table = (UsersVtab *)base->pVtab;
  size_t n = (size_t)table->decl.population.n_models, row;
  PllmError err;
  if (column == USERS_COL_ID) {
    sqlite3_result_int64(context, cursor->id);
    return SQLITE_OK;
  }
  if (column == USERS_COL_MODELS + (int)n) {
    sqlite3_result_int64(context, cursor->turn);
    return SQLITE_OK;
  }
  if (fetch(table, cursor, &err) != PLLM_OK) {
    pllm_ext_result_error(context, table->name, &err);
    return SQLITE_OK;
  }
  row = (size_t)(cursor->id - cursor->batch_first);
  if (!cursor->ahead && !cursor->known[row]) return SQLITE_OK; /* NULL */
  if (column == USERS_COL_WEIGHTS) {
    pllm_vector_store(cursor->batch + row * n, n, PLLM_F64, cursor->bytes);
    sqlite3_result_blob(context, cursor->bytes, (int)(n * 8), SQLITE_TRANSIENT);
  } else {
    sqlite3_result_double(context, cursor->batch[row * n + (size_t)(column - USERS_COL_MODELS)]);
  }
  return SQLITE_OK;
}

static int usersRowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  UsersCursor *cursor = (UsersCursor *)base;
  *rowid = cursor->id | ((cursor->turn - 1) & 1023) << ROWID_BITS;
  return SQLITE_OK;
}

static const sqlite3_module users_module = {
    .iVersion = 3,
    .xCreate = usersCreate,
    .xConnect = usersConnect,
    .xBestIndex = usersBestIndex,
    .xDisconnect = usersDisconnect,
    .xDestroy = usersDestroy,
    .xOpen = usersOpen,
    .xClose = usersClose,
    .xFilter = usersFilter,
    .xNext = usersNext,
    .xEof = usersEof,
    .xColumn = usersColumn,
    .xRowid = usersRowid,
    .xUpdate = usersUpdate,
    .xBegin = usersRefuse,
    .xRename = usersRename,
    .xShadowName = usersShadowName,
};

int pllm_ext_init_users(PllmConn *conn, char **error) {
  return pllm_ext_module(conn, "persona_users", &users_module, error);
}
