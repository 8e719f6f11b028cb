/*
** ext_int.h: what the files of ext/sqlite share, one block per file.
**
** Naming: pllm_ext_ for shared symbols, <thing>Connect and friends for a table's callbacks, everything else static.
** The glue translates values and owns plans and cursors; it does no arithmetic of its own.
*/
#ifndef PLLM_EXT_INT_H
#define PLLM_EXT_INT_H

#include "sqlite3ext.h"

#include "personalllm.h"

/* ext_main.c holds the API pointer; every other file sees it as extern. */
#ifndef PLLM_EXT_MAIN
SQLITE_EXTENSION_INIT3
#endif

/* ---- ext_conn.c: what one connection keeps ------------------------------------------------------------------- */

typedef struct PllmConn {
  sqlite3 *db;          /* not owned; valid while any function or module of the extension is registered */
  int refs;             /* registrations that still hold this; freed with the last one */
  int threads;          /* for bulk jobs; 0 = number of cores */
  PllmAdapter *adapter; /* owned; made when first needed: see pllm_ext_adapter */
  void *scores;         /* owned by ext_scores.c: its cache of score stores; freed through scores_free */
  void (*scores_free)(void *);
  struct PllmExtModel *models[4]; /* owned by ext_model.c: the models decoded last, newest first */
} PllmConn;

PllmConn *pllm_ext_conn_new(sqlite3 *db); /* refs = 1; NULL when out of memory */
PllmConn *pllm_ext_conn_ref(PllmConn *conn);
PllmAdapter *pllm_ext_adapter(PllmConn *conn, PllmError *err); /* NULL with *err set when out of memory */
void pllm_ext_conn_unref(void *conn); /* a destructor for create_function_v2 and create_module_v2 */

/*
** How bulk jobs run: on the connection's threads, as one crew for all jobs of a call, with interrupt polling.  SQLite
** 3.40 has no sqlite3_is_interrupted, but stepping any statement on the interrupted connection fails with SQLITE_INTERRUPT,
** so a prepared SELECT 1 is stepped (61 ns).  Open before the jobs, close after them: a statement that outlived them would
** block sqlite3_close.
*/
typedef struct PllmExtPoll {
  PllmRun run; /* pass &poll.run to the core */
  sqlite3 *db;
  sqlite3_stmt *stmt; /* owned */
} PllmExtPoll;
PllmStatus pllm_ext_poll_open(PllmConn *conn, PllmExtPoll *poll, PllmError *err);
void pllm_ext_poll_close(PllmExtPoll *poll);

/* ---- ext_register.c: registration tables ---------------------------------------------------------------------- */

#define PLLM_PURE (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS) /* reads nothing but its arguments */
#define PLLM_DIRECT (SQLITE_UTF8 | SQLITE_DIRECTONLY)                     /* touches files: top-level SQL only */

/* One SQL function.  step set makes it an aggregate; value and inverse set too, a window function.  The user data of
** every callback is the PllmConn. */
typedef struct PllmFunction {
  const char *name;
  int args; /* -1: any number */
  int flags;
  void (*scalar)(sqlite3_context *, int, sqlite3_value **);
  void (*step)(sqlite3_context *, int, sqlite3_value **);
  void (*final)(sqlite3_context *);
  void (*value)(sqlite3_context *);
  void (*inverse)(sqlite3_context *, int, sqlite3_value **);
} PllmFunction;

/* Register all; stops at the first failure and names it in *error (sqlite3_mprintf). */
int pllm_ext_functions(PllmConn *conn, const PllmFunction *functions, int count, char **error);
/* Register a virtual table module; its pAux is the PllmConn. */
int pllm_ext_module(PllmConn *conn, const char *name, const sqlite3_module *module, char **error);

/* Each family's init, called by ext_main.c in this order. */
int pllm_ext_init_vector(PllmConn *conn, char **error);
int pllm_ext_init_config(PllmConn *conn, char **error);
int pllm_ext_init_prompts(PllmConn *conn, char **error);
int pllm_ext_init_responses(PllmConn *conn, char **error);
int pllm_ext_init_adapt(PllmConn *conn, char **error);
int pllm_ext_init_adapt_table(PllmConn *conn, char **error);
int pllm_ext_init_methods(PllmConn *conn, char **error);
int pllm_ext_init_import(PllmConn *conn, char **error);
int pllm_ext_init_export(PllmConn *conn, char **error);
int pllm_ext_init_jsonl(PllmConn *conn, char **error);
int pllm_ext_init_neighbors(PllmConn *conn, char **error);
int pllm_ext_init_votes(PllmConn *conn, char **error);
int pllm_ext_init_interactions(PllmConn *conn, char **error);
int pllm_ext_init_choices(PllmConn *conn, char **error);
int pllm_ext_init_evaluate(PllmConn *conn, char **error);
int pllm_ext_init_users(PllmConn *conn, char **error);
int pllm_ext_init_text(PllmConn *conn, char **error);
int pllm_ext_init_analysis(PllmConn *conn, char **error);
int pllm_ext_init_distill(PllmConn *conn, char **error);
int pllm_ext_init_model(PllmConn *conn, char **error);
int pllm_ext_init_learn(PllmConn *conn, char **error);
int pllm_ext_init_preference(PllmConn *conn, char **error);
int pllm_ext_init_model_tables(PllmConn *conn, char **error);
int pllm_ext_init_icl(PllmConn *conn, char **error);
int pllm_ext_init_chart(PllmConn *conn, char **error);
int pllm_ext_init_report(PllmConn *conn, char **error);
int pllm_ext_init_fingerprint(PllmConn *conn, char **error);

/* ---- ext_err.c: one outlet for errors ------------------------------------------------------------------------- */

int pllm_ext_code(PllmStatus status); /* the SQLite result code of a status */
/* "where: text" as the function's error, with the status's code (out of memory keeps SQLite's own text). */
void pllm_ext_result_error(sqlite3_context *context, const char *where, const PllmError *err);
/* The same as a table's message; returns the code. */
int pllm_ext_vtab_error(sqlite3_vtab *vtab, const char *where, const PllmError *err);
/* The same into the message of an xCreate or xConnect; returns the code. */
int pllm_ext_message(char **message, const char *where, const PllmError *err);
/* Describe a failed SQLite call (rc) on db in *err: its message, and the statuses NOMEM, INTERRUPTED, CORRUPT or IO
** where they apply, else PLLM_INVALID.  Returns the status. */
PllmStatus pllm_ext_sqlite_fail(PllmError *err, sqlite3 *db, int rc);

/* ---- ext_arg.c: decode and check arguments --------------------------------------------------------------------- */

/* A decoded vector argument.  Start from {0}, or from PLLM_EXT_VECTOR_ON(room) to decode short vectors without
** allocating, as functions called once a row do. */
typedef struct PllmExtVector {
  PllmVectorType type; /* what the BLOB was; JSON text counts as f64 */
  size_t dim;
  double *numbers; /* [dim], widened to f64 and checked finite */
  size_t room;     /* elements numbers can hold: memory is reused between calls */
  int borrowed;    /* numbers is the caller's array, not to be freed */
} PllmExtVector;

#define PLLM_EXT_VECTOR_ON(array)                                                                                    \
  { .numbers = (array), .room = sizeof(array) / sizeof *(array), .borrowed = 1 }

void pllm_ext_vector_free(PllmExtVector *vector);

/*
** Decode a vector argument into *vector, reusing its memory.  dim > 0 fixes the dimension (a BLOB may be f64 or f32,
** unless `type`, PLLM_F64 or PLLM_F32, says which it must be); dim = 0 takes the BLOB as `type`, or, with type = 0,
** as f64 guarded against misread f32.  NULL values are the caller's business.  The error names no argument: see
** pllm_ext_arg_error.
*/
PllmStatus pllm_ext_vector_decode(sqlite3_value *value, int type, size_t dim, PllmExtVector *vector, PllmError *err);

/* Prefix "argument N (name): " (N counts from 1) and report through pllm_ext_result_error. */
void pllm_ext_arg_error(sqlite3_context *context, const char *where, int number, const char *name, PllmError *err);

/* A vector as a BLOB result. */
void pllm_ext_result_vector(sqlite3_context *context, const double *numbers, size_t dim, PllmVectorType type);

/* Finish a text that was put together, as the result. */
void pllm_ext_result_str(sqlite3_context *context, sqlite3_str *text);

/* How messages call a value's type: "NULL", "an integer", "a real number", "text", "a BLOB". */
const char *pllm_ext_type_name(sqlite3_value *value);

/* Text of an argument that must be text, not empty; NULL after reporting what else it is. */
const char *pllm_ext_text_argument(sqlite3_context *context, const char *where, int number, const char *name,
                                   sqlite3_value *value);
/* Parse an options argument, NULL meaning none; false after reporting an error. */
int pllm_ext_options_argument(sqlite3_context *context, const char *where, sqlite3_value *value, PllmOption *options,
                              size_t count);

/* ---- ext_model.c: models as arguments -------------------------------------------------------------------------- */

/*
** A decoded model.  The connection keeps the last few, so that a model which comes as a scalar subquery, and so anew
** on every row, is decoded once; every use still verifies the checksum of its bytes (8 bytes a cycle or so), except
** where SQLite says that it is the same value (a bound parameter of a scalar function).
*/
typedef struct PllmExtModel {
  const PllmModel *model;
  size_t bytes;
  uint64_t checksum;
  void *derived; /* private to ext_model.c, like the rest: what a function has made of it, freed by derived_free */
  void (*derived_free)(void *);
  int refs;
} PllmExtModel;

/* The model of a value, which must be a BLOB; the error names no argument.  Close it when done. */
PllmStatus pllm_ext_model_open(PllmConn *conn, sqlite3_value *value, PllmExtModel **out, PllmError *err);
void pllm_ext_model_close(PllmExtModel *model); /* NULL is accepted */
void pllm_ext_models_free(PllmConn *conn);      /* the connection's own */

/*
** Argument i (from 0) of a scalar function, called `name` in messages: borrowed for this call.  NULL after an error
** was reported as `where`.  Values that are NULL are the caller's business.
*/
PllmExtModel *pllm_ext_model_argument(sqlite3_context *context, const char *where, sqlite3_value **argv, int i,
                                      const char *name);

/* What a function has made of the model, kept with it: NULL if nothing, or if another function did.  What release frees
** is of one type, so release is what tells whose it is. */
void *pllm_ext_model_derived(const PllmExtModel *model, void (*release)(void *));
void pllm_ext_model_derive(PllmExtModel *model, void *derived, void (*release)(void *)); /* takes it over */

/* A model as a result.  O(bytes). */
void pllm_ext_result_model(sqlite3_context *context, const char *where, const PllmModel *model);

/* Is value, a BLOB, the model that was opened before?  By length and checksum as it claims them: O(1), for the rows of a
** group, whose first row was verified. */
int pllm_ext_model_same(const PllmExtModel *model, sqlite3_value *value);

/* ---- ext_group.c: aggregates ------------------------------------------------------------------------------------ */

/* The options of a group, start from {0}; free it with the group. */
typedef struct PllmExtSame {
  int seen;
  char *text; /* owned copy, not NUL-terminated; NULL when absent */
  size_t bytes;
} PllmExtSame;
/* Keep the first row's options (NULL, or an SQL NULL, is absent); a later row's must be the same.  PLLM_INVALID names
** argument `number`. */
PllmStatus pllm_ext_same(PllmExtSame *same, sqlite3_value *options, int number, PllmError *err);
void pllm_ext_same_free(PllmExtSame *same);

/* ---- ext_name.c: table names as arguments -------------------------------------------------------------------- */

/* A resolved table or view.  quoted is "schema"."name", ready to paste into SQL. */
typedef struct PllmExtTable {
  char *schema, *name, *quoted; /* owned (sqlite3_malloc) */
} PllmExtTable;
void pllm_ext_table_free(PllmExtTable *table);

/*
** Parse an SQL identifier (bare, "quoted", [quoted] or `quoted`), optionally schema.name, and find it as SQLite
** would: temp, main, then attached databases in order; near != NULL names a schema to look in first.  PLLM_INVALID
** when the text is no identifier or there is no such table or view.
*/
PllmStatus pllm_ext_table_find(sqlite3 *db, const char *text, const char *near, PllmExtTable *table, PllmError *err);

/* The same for a table that may be yet to make: *found = 0 leaves its place, in the schema named, else near, else
** main. */
PllmStatus pllm_ext_table_place(sqlite3 *db, const char *text, const char *near, PllmExtTable *table, int *found,
                                PllmError *err);

/* Only parse: schema is NULL when none is named, quoted always. */
PllmStatus pllm_ext_table_parse(const char *text, PllmExtTable *table, PllmError *err);

/* ---- vt_prompts.c, vt_responses.c: the persistent tables (ext_store.h holds what only they share) -------------- */

/*
** The reward models of a persona_responses table in the order of its vectors, read from its shadow table.
** PLLM_INVALID when `responses` is no such table.  *names and the array are freed with pllm_ext_names_free.
*/
PllmStatus pllm_ext_responses_models(sqlite3 *db, const PllmExtTable *responses, char ***names, int *count,
                                     PllmError *err);
void pllm_ext_names_free(char **names, int count);

/* ---- ext_scores.c: the columnar score store -------------------------------------------------------------------- */

/*
** One scan's view of a persona_responses table: all its fully scored responses as they are in the snapshot of the
** statement that is running.  It never changes while it is open, whatever is written meanwhile; stores are cached on
** the connection and shared, so opening again without a write between costs microseconds.  It keeps a read statement
** open on the table's database: open it in begin (xFilter), close it in end.
*/
typedef struct PllmExtScores {
  PllmScores view;                  /* splits come from the prompts table; without one every split is -1 */
  const char *const *reward_models; /* [view.n_models] */
  const PllmExtTable *table;        /* the responses table */
  struct PllmExtScoresPart *part;   /* private to ext_scores.c */
} PllmExtScores;

/* raw: the scores as the reward models returned them, otherwise (raw - mean) / sd from reward_models.  *out is NULL
** on failure. */
PllmStatus pllm_ext_scores_open(PllmConn *conn, const PllmExtTable *responses, int raw, PllmExtScores **out,
                                PllmError *err);
void pllm_ext_scores_close(PllmExtScores *scores); /* NULL is fine */

/*
** Embeddings of the responses of the view: *matrix is [n_responses][*dim], *present[i] says whether response i has
** one (its row is zero otherwise); *dim is 0 when the table holds none.  Loaded at the first call, then kept with the
** store; valid until close.
*/
PllmStatus pllm_ext_scores_embeddings(PllmExtScores *scores, size_t *dim, const float **matrix,
                                      const uint8_t **present, PllmError *err);
/* The dimension of the table's embeddings, 0 when it holds none, without loading any. */
PllmStatus pllm_ext_scores_embedding_dim(PllmExtScores *scores, size_t *dim, PllmError *err);
/* The embeddings of the prompts of the view, from the prompts table: [n_prompts][*dim].  Loaded once for this scan. */
PllmStatus pllm_ext_scores_prompt_embeddings(PllmExtScores *scores, size_t *dim, const float **matrix,
                                             const uint8_t **present, PllmError *err);

/*
** The index of a split in view.split_names; NULL (all prompts, also those in no split) gives PLLM_EXT_SPLIT_ALL.  An
** unknown one is PLLM_INVALID, listing the splits and how many prompts each has.
*/
#define PLLM_EXT_SPLIT_ALL (-2)
PllmStatus pllm_ext_split_find(const PllmExtScores *scores, const char *split, int *index, PllmError *err);
/* Is prompt p of the view within the split that pllm_ext_split_find gave? */
#define PLLM_EXT_IN_SPLIT(scores, p, index) ((index) == PLLM_EXT_SPLIT_ALL || (scores)->view.split[p] == (index))

/* ---- ext_tvf.c: table-valued functions ------------------------------------------------------------------------- */

/* One scan of a table-valued function; see PllmTvf. */
typedef struct PllmTvfCursor {
  sqlite3_vtab_cursor base;
  PllmConn *conn;
  sqlite3_value **args;  /* owned copies of the arguments of this scan, NULL where not given */
  sqlite3_int64 row;     /* rowid: counts from 1 */
  sqlite3_int64 skipped; /* what the hidden column `skipped` shows; set by begin or next */
  int done;              /* no current row */
  void *state;           /* the function's own, freed by end */
} PllmTvfCursor;

/*
** A table-valued function declares its visible columns and its hidden arguments; ext_tvf.c does the planning, the
** checks for missing or unusable arguments, row numbers and hidden columns (the arguments in order, then `skipped`).
*/
typedef struct PllmTvf {
  const char *name;
  const char *columns; /* "user_id INTEGER, weights BLOB" */
  int n_columns;
  const char *const *args; /* hidden argument names in order, `options` last */
  int n_args, n_required;  /* the first n_required must be given */
  int direct_only;         /* touches files */
  double rows;             /* planner's guess */
  /* Start a scan and move to its first row, or set done.  Errors: fill *err and return its status. */
  PllmStatus (*begin)(PllmTvfCursor *cursor, PllmError *err);
  PllmStatus (*next)(PllmTvfCursor *cursor, PllmError *err);
  void (*column)(PllmTvfCursor *cursor, sqlite3_context *context, int column);
  void (*end)(PllmTvfCursor *cursor); /* free state (may be NULL); before another begin, and at close */
} PllmTvf;

int pllm_ext_tvf(PllmConn *conn, const PllmTvf *tvf, char **error);
/* Text of argument i, NULL when not given or NULL. */
const char *pllm_ext_tvf_text(PllmTvfCursor *cursor, int i);

/* ---- ext_population.c: populations, read in order -------------------------------------------------------------- */

/*
** A population: any table or view with user_id and weights, read in the order of user_id, one user at a time.  NULL
** weights are skipped or handed out as such; a user_id that is no integer or stands twice, and weights of a wrong
** length or that are not finite, are errors naming table and user.
*/
typedef struct PllmExtPopulation {
  sqlite3 *db;            /* not owned */
  sqlite3_stmt *stmt;     /* owned */
  const char *name;       /* of the table, for messages; not owned */
  const char *dim_source; /* what fixes dim, for messages: "responses has %d reward models"; not owned */
  size_t dim;             /* length of every weight vector; 0: the first one fixes it */
  PllmExtVector vector;   /* owned, reused */
  sqlite3_int64 nulls;    /* users without weights so far */
  /* The current user. */
  int done, started;
  sqlite3_int64 user_id;
  const double *weights; /* [dim], NULL where NULL; valid until the next */
} PllmExtPopulation;

PllmStatus pllm_ext_population_open(PllmConn *conn, const PllmExtTable *table, size_t dim,
                                    PllmExtPopulation *population, PllmError *err);
PllmStatus pllm_ext_population_next(PllmExtPopulation *population, PllmError *err); /* the next user, or done */
void pllm_ext_population_close(PllmExtPopulation *population);

/* A block of users; start from {0}. */
typedef struct PllmExtUsers {
  sqlite3_int64 *user_id; /* owned, [room] */
  double *weights;        /* owned, [room][dim]; zeros where known is 0 */
  uint8_t *known;         /* owned, [room] */
  size_t count, room;
} PllmExtUsers;

/* Read up to `most` users.  With keep, users without weights are in the block (known = 0); else they are left out.
** Fewer than `most` means that the population ends. */
PllmStatus pllm_ext_users_read(PllmExtPopulation *population, size_t most, int keep, PllmExtUsers *users,
                               PllmError *err);
void pllm_ext_users_free(PllmExtUsers *users);

/* ---- ext_bulk.c: what the bulk jobs have in common ------------------------------------------------------------- */

/* Users of a block whose vectors have n numbers in all: small enough to bound memory, large enough for the threads. */
size_t pllm_ext_bulk_users(size_t n);

/* One bulk job over a population (or history) and a responses table; start from {0}. */
typedef struct PllmExtBulk {
  PllmExtPoll poll;
  PllmExtTable source, responses; /* owned */
  PllmExtScores *scores;          /* owned */
  size_t *prompts;                /* owned, [n_prompts], the prompts of the split in order; see pllm_ext_bulk_split */
  size_t n_prompts;
  char *responses_name; /* owned: option `responses` */
  int raw;              /* option `scores` */
} PllmExtBulk;

/*
** Open the poll, find the table named by argument `source` (called `name` in messages), parse the options
** (`responses`, `scores` and the n of the job) from argument `options` and open the scores.
*/
PllmStatus pllm_ext_bulk_open(PllmTvfCursor *cursor, int source, const char *name, int options, PllmOption *own,
                              size_t n, PllmExtBulk *bulk, PllmError *err);
/* List the prompts of the split named by an argument (NULL: all). */
PllmStatus pllm_ext_bulk_split(PllmTvfCursor *cursor, int split, PllmExtBulk *bulk, PllmError *err);
/* Find a table named by an argument, with "argument N (name)" in front of errors. */
PllmStatus pllm_ext_bulk_table(PllmTvfCursor *cursor, int arg, const char *name, PllmExtTable *table, PllmError *err);
/* A whole number from min to max given as an argument. */
PllmStatus pllm_ext_bulk_integer(PllmTvfCursor *cursor, int arg, const char *name, sqlite3_int64 min, sqlite3_int64 max,
                                 sqlite3_int64 *value, PllmError *err);
/* A vector of f32 as a BLOB result. */
void pllm_ext_bulk_result_f32(sqlite3_context *context, const float *numbers, size_t dim);
void pllm_ext_bulk_close(PllmExtBulk *bulk);

#endif
