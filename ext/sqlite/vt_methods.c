/*
** vt_methods.c: every way to learn, from the tables that the options are parsed by.
**
**   persona_methods() -> (method TEXT, function TEXT, feedback TEXT, features TEXT, options TEXT, defaults TEXT,
**                         summary TEXT, model TEXT)
**
** One row per method and function.  model is the kind of model of learn_users that the method starts from, NULL
** where it starts from none.  options and defaults are JSON objects with the same keys: what an option accepts, and
** its value when not given.
**
**   SELECT o.key, o.value FROM persona_methods() m, json_each(m.options) o
**     WHERE m.method = 'bradley_terry' AND m.function = 'adapt_user';
*/
#include "ext_int.h"

typedef size_t Methods(const PllmMethodInfo **);
typedef size_t Options(const PllmMethodOption **);

enum { COL_METHOD, COL_FUNCTION, COL_FEEDBACK, COL_FEATURES, COL_OPTIONS, COL_DEFAULTS, COL_SUMMARY, COL_MODEL };

static const struct {
  PllmForm form;
  const char *function, *feedback;
  Methods *methods;
  Options *options;
} functions[] = {
    {PLLM_CHOICES, "adapt_user_choices", "choice sets: best, worst or both of what was shown", pllm_adapt_methods,
     pllm_adapt_known_options},
    {PLLM_PAIRS, "adapt_user", "pairs: chosen over rejected", pllm_adapt_methods, pllm_adapt_known_options},
    {PLLM_RATINGS, "adapt_user_ratings", "ratings", pllm_adapt_methods, pllm_adapt_known_options},
    {PLLM_CHOICES, "learn_users_choices", "choice sets of many users", pllm_learn_methods, pllm_learn_known_options},
    {PLLM_PAIRS, "learn_users", "pairs of many users", pllm_learn_methods, pllm_learn_known_options},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* Where a scan stands: the method of the function. */
typedef struct MethodsScan {
  size_t function, method;
} MethodsScan;

/* Move to the first row from here on whose method takes the function's form of feedback. */
static PllmStatus settle(PllmTvfCursor *cursor) {
  MethodsScan *scan = cursor->state;
  for (; scan->function < FUNCTIONS; scan->function++, scan->method = 0) {
    const PllmMethodInfo *methods;
    size_t count = functions[scan->function].methods(&methods);
    while (scan->method < count && !(methods[scan->method].forms >> functions[scan->function].form & 1)) scan->method++;
    if (scan->method < count) break;
  }
  cursor->done = scan->function == FUNCTIONS;
  return PLLM_OK;
}

static PllmStatus methodsBegin(PllmTvfCursor *cursor, PllmError *err) {
  cursor->state = pllm_alloc_zero(1, sizeof(MethodsScan));
  return cursor->state ? settle(cursor) : pllm_fail_nomem(err);
}

static PllmStatus methodsNext(PllmTvfCursor *cursor, PllmError *err) {
  (void)err;
  ((MethodsScan *)cursor->state)->method++;
  return settle(cursor);
}

/* The options of a function's method as a JSON object of what they accept, or of their defaults. */
static void result_options(sqlite3_context *context, size_t function, int method, int defaults) {
  const PllmMethodOption *options;
  size_t count = functions[function].options(&options), shown = 0;
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendchar(out, 1, '{');
  for (size_t i = 0; i < count; i++) {
    const PllmMethodOption *o = &options[i];
    if (!(o->methods >> method & 1) || !(o->forms >> functions[function].form & 1)) continue;
    sqlite3_str_appendf(out, "%s\"%s\":", shown++ ? "," : "", o->name);
    if (defaults)
      sqlite3_str_appendall(out, o->default_value);
    else
      sqlite3_str_appendf(out, "\"%s\"", o->accepts);
  }
  sqlite3_str_appendchar(out, 1, '}');
  pllm_ext_result_str(context, out);
}

static void methodsColumn(PllmTvfCursor *cursor, sqlite3_context *context, int column) {
  const MethodsScan *scan = cursor->state;
  const PllmMethodInfo *methods, *m;
  const char *text = NULL;
  functions[scan->function].methods(&methods);
  m = &methods[scan->method];
  switch (column) {
  case COL_METHOD: text = m->name; break;
  case COL_FUNCTION: text = functions[scan->function].function; break;
  case COL_FEEDBACK: text = functions[scan->function].feedback; break;
  case COL_FEATURES: text = m->features; break;
  case COL_OPTIONS:
  case COL_DEFAULTS: result_options(context, scan->function, m->method, column == COL_DEFAULTS); return;
  case COL_SUMMARY: text = m->summary; break;
  default: text = m->model; break;
  }
  sqlite3_result_text(context, text, -1, SQLITE_STATIC);
}

static void methodsEnd(PllmTvfCursor *cursor) {
  pllm_free(cursor->state);
}

int pllm_ext_init_methods(PllmConn *conn, char **error) {
  static const PllmTvf tvf = {
      .name = "persona_methods",
      .columns =
          "method TEXT, function TEXT, feedback TEXT, features TEXT, options TEXT, defaults TEXT, summary TEXT, "
          "model TEXT",
      .n_columns = 8,
      .rows = 10,
      .begin = methodsBegin,
      .next = methodsNext,
      .column = methodsColumn,
      .end = methodsEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
