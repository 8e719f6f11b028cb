/*
** vt_methods.c: every way of adaptation, from the table that the options are parsed by.
**
**   persona_methods() -> (method TEXT, function TEXT, feedback TEXT, features TEXT, options TEXT, defaults TEXT,
**                         summary TEXT)
**
** One row per method and function.  options and defaults are JSON objects with the same keys: what an option accepts,
** and its value when not given.
**
**   SELECT o.key, o.value FROM persona_methods() m, json_each(m.options) o
**     WHERE m.method = 'bradley_terry' AND m.function = 'adapt_user';
*/
#include "ext_int.h"

enum { COL_METHOD, COL_FUNCTION, COL_FEEDBACK, COL_FEATURES, COL_OPTIONS, COL_DEFAULTS, COL_SUMMARY };

#define FORMS 3
static const struct {
  PllmForm form;
  const char *function, *feedback;
} forms[FORMS] = {
    {PLLM_CHOICES, "adapt_user_choices", "choice sets: best, worst or both of what was shown"},
    {PLLM_PAIRS, "adapt_user", "pairs: chosen over rejected"},
    {PLLM_RATINGS, "adapt_user_ratings", "ratings"},
};

/* Where a scan stands: row n is method n / FORMS with form n % FORMS. */
typedef struct MethodsScan {
  size_t at;
} MethodsScan;

/* Move to the first row from scan->at on whose method takes the form. */
static PllmStatus settle(PllmTvfCursor *cursor) {
  MethodsScan *scan = cursor->state;
  const PllmAdaptMethod *methods;
  size_t count = pllm_adapt_methods(&methods);
  while (scan->at < count * FORMS && !(methods[scan->at / FORMS].forms >> forms[scan->at % FORMS].form & 1))
    scan->at++;
  cursor->done = scan->at >= count * FORMS;
  return PLLM_OK;
}

static PllmStatus methodsBegin(PllmTvfCursor *cursor, PllmError *err) {
  cursor->state = pllm_alloc_zero(1, sizeof(MethodsScan));
  return cursor->state ? settle(cursor) : pllm_fail_nomem(err);
}

static PllmStatus methodsNext(PllmTvfCursor *cursor, PllmError *err) {
  (void)err;
  ((MethodsScan *)cursor->state)->at++;
  return settle(cursor);
}

/* The options of a method and form as a JSON object of what they accept, or of their defaults. */
static void result_options(sqlite3_context *context, PllmMethod method, PllmForm form, int defaults) {
  const PllmAdaptOption *options;
  size_t count = pllm_adapt_known_options(&options), shown = 0;
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendchar(out, 1, '{');
  for (size_t i = 0; i < count; i++) {
    const PllmAdaptOption *o = &options[i];
    if (!(o->methods >> method & 1) || !(o->forms >> form & 1)) continue;
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
  size_t at = ((MethodsScan *)cursor->state)->at;
  const PllmAdaptMethod *methods, *m;
  const char *text = NULL;
  PllmForm form = forms[at % FORMS].form;
  pllm_adapt_methods(&methods);
  m = &methods[at / FORMS];
  switch (column) {
  case COL_METHOD: text = m->name; break;
  case COL_FUNCTION: text = forms[at % FORMS].function; break;
  case COL_FEEDBACK: text = forms[at % FORMS].feedback; break;
  case COL_FEATURES: text = m->features; break;
  case COL_OPTIONS:
  case COL_DEFAULTS: result_options(context, m->method, form, column == COL_DEFAULTS); return;
  default: text = m->summary; break;
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
          "method TEXT, function TEXT, feedback TEXT, features TEXT, options TEXT, defaults TEXT, summary TEXT",
      .n_columns = 7,
      .rows = 10,
      .begin = methodsBegin,
      .next = methodsNext,
      .column = methodsColumn,
      .end = methodsEnd,
  };
  return pllm_ext_tvf(conn, &tvf, error);
}
