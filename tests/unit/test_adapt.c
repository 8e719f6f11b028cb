/* The estimators through the core's own interface: options, odd feedback, and bits that only the rows decide. */
#include "tap.h"

#include "../../ext/core/core_simd.h"

#include <stdlib.h>

static PllmError err;
static PllmAdapter *adapter;

static size_t below(size_t n) {
  return (size_t)(tap_uniform() * (double)n);
}

/* ---- every method in every form ---- */

enum { DIM = 10, MAX_ROWS = 8 * 11 };

static const char *const variants[] = {
    "{\"method\":\"posterior\"}",
    "{\"method\":\"posterior\",\"prior\":\"gaussian\"}",
    "{\"method\":\"posterior\",\"alpha\":0.2,\"sharpness\":20,\"seed\":5}",
    "{\"method\":\"posterior\",\"sharpness\":1000000}",
    "{\"method\":\"bradley_terry\"}",
    "{\"method\":\"bradley_terry\",\"lambda\":0.01}",
    "{\"method\":\"sum\"}",
    "{\"method\":\"uniform\"}",
    "{\"method\":\"bradley_terry\",\"pairs\":\"implied\"}", /* choice sets only */
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static const char *const form_names[] = {"pairs", "choice sets", "ratings"};

static PllmAdaptOptions options_of(PllmForm form, const char *text) {
  PllmAdaptOptions o;
  if (pllm_adapt_options(form, text, strlen(text), NULL, &o, &err) != PLLM_OK) {
    tap_check(0, "options %s: %s", text, err.text);
    exit(1);
  }
  return o;
}

/* One row in any form, so that one feedback can be added in any order. */
typedef struct Row {
  double a[DIM], b[DIM], rating;
  int64_t set;
  PllmLabel label;
} Row;

typedef struct Case {
  PllmForm form;
  size_t dim, rows;
  Row row[MAX_ROWS];
} Case;

static PllmStatus add_row(PllmFeedback *f, const Case *c, const Row *r) {
  switch (c->form) {
  case PLLM_PAIRS: return pllm_feedback_add_pair(f, r->a, r->b, c->dim, 0, &err);
  case PLLM_CHOICES: return pllm_feedback_add_choice(f, r->set, r->a, c->dim, 0, r->label, &err);
  default: return pllm_feedback_add_rating(f, r->a, c->dim, 0, r->rating, r->label != PLLM_SHOWN, &err);
  }
}

/* A user with some sparse taste, who sometimes errs. */
static void draw_case(Case *c, PllmForm form, size_t dim, size_t sets) {
  double taste[DIM] = {0};
  memset(c, 0, sizeof *c);
  c->form = form;
  c->dim = dim;
  taste[below(dim)] += 0.6;
  taste[below(dim)] += 0.4;
  if (form != PLLM_CHOICES) sets *= 3; /* fewer rows than features, and more */
  for (size_t s = 0; s < sets; s++) {
    size_t n = form == PLLM_CHOICES ? 2 + below(7) : 1, best = 0, worst = 0, kind = below(4);
    Row *row = c->row + c->rows;
    double u[8];
    for (size_t i = 0; i < n; i++) {
      u[i] = 0;
      for (size_t k = 0; k < dim; k++) {
        row[i].a[k] = tap_uniform() * 4 - 2;
        row[i].b[k] = row[i].a[k] - (tap_uniform() - 0.3) * taste[k] - (tap_uniform() - 0.5) * 0.2;
        u[i] += taste[k] * row[i].a[k];
      }
      if (s > 0 && tap_uniform() < 0.2) memcpy(row[i].a, c->row[0].a, sizeof row[i].a); /* identical responses happen */
      row[i].set = (int64_t)(s * 7) - 20;
      row[i].rating = floor(3 + 2 * u[i]);
      row[i].label = form == PLLM_RATINGS && kind > 0 ? PLLM_BEST : PLLM_SHOWN;
      if (u[i] > u[best]) best = i;
      if (u[i] < u[worst]) worst = i;
    }
    if (form == PLLM_CHOICES) {
      if (kind != 1) row[best].label = PLLM_BEST;
      if (kind != 2 && worst != best) row[worst].label = PLLM_WORST;
    }
    c->rows += n;
  }
}

/* The estimate of the case's rows, added in the order of `order` (NULL: as drawn), times a power of two. */
static PllmStatus estimate(const PllmAdaptOptions *o, const Case *c, const size_t *order, int power, double *w) {
  PllmFeedback *f = pllm_feedback_new(c->form);
  PllmStatus status = PLLM_OK;
  for (size_t i = 0; status == PLLM_OK && i < c->rows; i++) {
    Row r = c->row[order ? order[i] : i];
    for (size_t k = 0; k < c->dim; k++) {
      r.a[k] = ldexp(r.a[k], power);
      r.b[k] = ldexp(r.b[k], power);
    }
    status = add_row(f, c, &r);
  }
  if (status == PLLM_OK) status = pllm_adapt(adapter, o, f, w, NULL, &err);
  pllm_feedback_free(f);
  return status;
}

static int is_same(const double *a, const double *b, size_t dim) {
  return memcmp(a, b, dim * sizeof *a) == 0;
}

/* What nothing may change: the order of rows, the instruction set, a power of two, what the adapter did before. */
static void same_bits(PllmForm form, const char *text) {
  PllmAdaptOptions o = options_of(form, text);
  int orders = 1, sets = 1, scales = 1, learned = 0, finite = 1;
  for (int trial = 0; trial < 6; trial++) {
    static Case c;
    double w[DIM], got[DIM], total = 0;
    size_t order[MAX_ROWS];
    draw_case(&c, form, trial < 2 ? 2 + (size_t)trial : DIM, 1 + (size_t)trial * 2);
    if (estimate(&o, &c, NULL, 0, w) != PLLM_OK) {
      tap_check(0, "%s %s: %s", form_names[form], text, err.text);
      return;
    }
    for (size_t k = 0; k < c.dim; k++) {
      finite &= isfinite(w[k]) != 0;
      total += w[k];
      learned |= w[k] != w[0];
    }
    if (o.method == PLLM_METHOD_POSTERIOR && o.prior != PLLM_PRIOR_GAUSSIAN)
      for (size_t k = 0; k < c.dim; k++) finite &= w[k] >= 0 && fabs(total - 1) < 1e-12;
    for (size_t i = 0; i < c.rows; i++) order[i] = i;
    for (int shuffle = 0; shuffle < 3; shuffle++) {
      for (size_t i = c.rows; i > 1; i--) {
        size_t j = below(i), moved = order[i - 1];
        order[i - 1] = order[j];
        order[j] = moved;
      }
      orders &= estimate(&o, &c, order, 0, got) == PLLM_OK && is_same(w, got, c.dim);
    }
    for (int isa = PLLM_ISA_BASE; isa < PLLM_ISA_MOST; isa++) {
      pllm_core_isa_limit((PllmIsa)isa);
      sets &= estimate(&o, &c, NULL, 0, got) == PLLM_OK && is_same(w, got, c.dim);
      pllm_adapter_free(adapter); /* the particles too, not only what becomes of them */
      adapter = pllm_adapter_new();
      sets &= estimate(&o, &c, NULL, 0, got) == PLLM_OK && is_same(w, got, c.dim);
    }
    pllm_core_isa_limit(PLLM_ISA_MOST);
    for (int power = -900; power <= 900; power += 450)
      scales &= estimate(&o, &c, NULL, power, got) == PLLM_OK && is_same(w, got, c.dim);
  }
  tap_check(finite, "%s %s: finite, and on the simplex where the prior is", form_names[form], text);
  tap_check(learned || o.method == PLLM_METHOD_UNIFORM, "%s %s: something is learned", form_names[form], text);
  tap_check(orders, "%s %s: equal rows give equal bits in any order", form_names[form], text);
  tap_check(sets, "%s %s: the same bits on every instruction set", form_names[form], text);
  tap_check(scales, "%s %s: features times a power of two change no bit", form_names[form], text);
}

/* Any number of threads, users with and without rows, large and small. */
static void threads(PllmForm form, const char *text) {
  enum { USERS = 23 };
  static Case c[USERS];
  PllmFeedback *feedback[USERS];
  PllmAdaptOptions o = options_of(form, text);
  double want[USERS * DIM], got[USERS * DIM];
  size_t failed = 0;
  int good = 1;
  for (size_t u = 0; u < USERS; u++) {
    draw_case(&c[u], form, DIM, u % 5 == 3 ? 0 : 1 + below(9));
    feedback[u] = pllm_feedback_new(form);
    for (size_t i = 0; i < c[u].rows; i++) good &= add_row(feedback[u], &c[u], &c[u].row[i]) == PLLM_OK;
    for (size_t k = 0; k < DIM; k++) want[u * DIM + k] = -7;
    if (c[u].rows > 0) good &= estimate(&o, &c[u], NULL, 0, want + u * DIM) == PLLM_OK;
  }
  for (int n = 1; n <= 5; n += 2) {
    PllmRun run = {.threads = n};
    for (size_t i = 0; i < USERS * DIM; i++) got[i] = -7;
    good &= pllm_adapt_batch(adapter, &o, feedback, USERS, DIM, got, &failed, &run, &err) == PLLM_OK;
    good &= is_same(got, want, USERS * DIM);
  }
  for (size_t u = 0; u < USERS; u++) pllm_feedback_free(feedback[u]);
  tap_check(good, "%s %s: a batch on 1, 3 and 5 threads is its users one by one, to the bit", form_names[form], text);
}

/* A window: what was removed was never there. */
static void windows(PllmForm form, const char *text) {
  PllmAdaptOptions o = options_of(form, text);
  static Case c, left;
  int good = 1, removed = 0;
  for (int trial = 0; trial < 5; trial++) {
    PllmFeedback *f = pllm_feedback_new(form);
    double got[DIM], want[DIM];
    size_t drop;
    draw_case(&c, form, DIM, 9);
    drop = 1 + below(c.rows - 1);
    left = c;
    left.rows -= drop;
    memmove(left.row, left.row + drop, left.rows * sizeof *left.row);
    for (size_t i = 0; i < c.rows; i++) { /* removals between additions */
      good &= add_row(f, &c, &c.row[i]) == PLLM_OK;
      if (i % 2 == 1 && drop > 0) {
        pllm_feedback_remove_first(f);
        removed++;
        drop--;
      }
    }
    for (; drop > 0; drop--) pllm_feedback_remove_first(f);
    good &= pllm_feedback_count(f) == left.rows;
    good &= pllm_adapt(adapter, &o, f, got, NULL, &err) == PLLM_OK;
    good &= estimate(&o, &left, NULL, 0, want) == PLLM_OK && is_same(got, want, DIM);
    pllm_feedback_free(f);
  }
  tap_check(good && removed > 0, "%s %s: rows that were removed were never there", form_names[form], text);
}

/* An adapter keeps particles and memory, never anything that shows. */
static void history(void) {
  static const char *const settings[] = {"{}", "{\"seed\":1}", "{\"alpha\":0.3}", "{\"sharpness\":8}",
                                         "{\"sharpness\":8,\"alpha\":0.3}"};
  enum { SETTINGS = sizeof settings / sizeof *settings };
  static Case c[2];
  double want[SETTINGS][2][DIM], got[DIM];
  int good = 1, differ = 1;
  for (size_t k = 0; k < 2; k++) draw_case(&c[k], PLLM_CHOICES, DIM - 3 * k, 3);
  for (size_t s = 0; s < SETTINGS; s++)
    for (size_t k = 0; k < 2; k++) {
      PllmAdaptOptions o = options_of(PLLM_CHOICES, settings[s]);
      pllm_adapter_free(adapter);
      adapter = pllm_adapter_new();
      good &= estimate(&o, &c[k], NULL, 0, want[s][k]) == PLLM_OK;
      for (size_t other = 0; other < s; other++) differ &= !is_same(want[s][k], want[other][k], c[k].dim);
    }
  for (int trial = 0; trial < 60; trial++) {
    size_t s = below(SETTINGS), k = below(2);
    PllmAdaptOptions o = options_of(PLLM_CHOICES, settings[s]);
    good &= estimate(&o, &c[k], NULL, 0, got) == PLLM_OK && is_same(got, want[s][k], c[k].dim);
  }
  tap_check(differ, "alpha, sharpness and seed each change the estimate");
  tap_check(good, "an adapter's past changes nothing");
}

/* One f32 row makes the features embeddings, with the signed prior, until it leaves the window. */
static void f32_rows(void) {
  PllmAdaptOptions o = options_of(PLLM_PAIRS, "{}");
  PllmFeedback *f = pllm_feedback_new(PLLM_PAIRS);
  double x[3] = {1, 0, 0}, y[3] = {0, 1, 0}, w[3];
  pllm_feedback_add_pair(f, x, y, 3, 1, &err);
  pllm_feedback_add_pair(f, x, y, 3, 0, &err);
  tap_check(pllm_adapt(adapter, &o, f, w, NULL, &err) == PLLM_OK && w[1] < 0, "f32 features: signed weights");
  pllm_feedback_remove_first(f);
  tap_check(pllm_adapt(adapter, &o, f, w, NULL, &err) == PLLM_OK && w[1] > 0 && w[0] > w[1],
            "without the f32 row: weights on the simplex");
  pllm_feedback_free(f);
}

/* ---- odd feedback ---- */

static void fill(Row *r, const double *a, const double *b) {
  memset(r, 0, sizeof *r);
  memcpy(r->a, a, 3 * sizeof *a);
  memcpy(r->b, b, 3 * sizeof *b);
}

/* Rows of a case that says a is better than b. */
static void prefer(Case *c, const double *a, const double *b, int64_t set) {
  Row *r = c->row + c->rows;
  fill(&r[0], a, b);
  fill(&r[1], b, a);
  r[0].set = r[1].set = set;
  r[0].label = PLLM_BEST;
  r[1].label = c->form == PLLM_RATINGS ? PLLM_BEST : PLLM_SHOWN;
  r[0].rating = 2;
  r[1].rating = 1;
  c->rows += c->form == PLLM_PAIRS ? 1 : 2;
}

static double lead(const double *w, const double *a, const double *b) {
  double sum = 0;
  for (int k = 0; k < 3; k++) sum += w[k] * (a[k] - b[k]);
  return sum;
}

static void odd(PllmForm form, const char *text) {
  PllmAdaptOptions o = options_of(form, text);
  int simplex = o.method == PLLM_METHOD_POSTERIOR && o.prior != PLLM_PRIOR_GAUSSIAN;
  const double flat = simplex || o.method == PLLM_METHOD_UNIFORM ? 1.0 / 3 : 0;
  const double a[3] = {1.5, -1, 0.25}, b[3] = {-0.5, 0.75, 0.25}, constant[3] = {4, 4, 4}, zero[3] = {0};
  const double huge[3] = {1e308, -1e308, 5e-324};
  const double *const silent[][2] = {{a, a}, {constant, constant}, {zero, zero}, {huge, huge}};
  double w[3], start[3] = {flat, flat, flat};
  Case c = {.form = form, .dim = 3};
  int good = 1;
  if (o.method == PLLM_METHOD_UNIFORM) return;

  prefer(&c, a, b, 1);
  good = estimate(&o, &c, NULL, 0, w) == PLLM_OK;
  tap_check(good && lead(w, a, b) > lead(start, a, b), "%s %s: one row teaches", form_names[form], text);

  prefer(&c, b, a, 2);
  good = estimate(&o, &c, NULL, 0, w) == PLLM_OK;
  for (int k = 0; k < 3; k++) good &= isfinite(w[k]) != 0;
  tap_check(good && fabs(lead(w, a, b)) <= fmax(fabs(lead(start, a, b)), 0.15), "%s %s: contradiction teaches little",
            form_names[form], text);

  good = 1;
  for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
    c.rows = 0;
    prefer(&c, silent[i][0], silent[i][1], 1);
    good &= estimate(&o, &c, NULL, 0, w) == PLLM_OK;
    for (int k = 0; k < 3; k++) good &= fabs(w[k] - flat) < 1e-15;
  }
  tap_check(good, "%s %s: what cannot be told apart says nothing", form_names[form], text);

  c.rows = 0;
  prefer(&c, a, huge, 1);
  prefer(&c, huge, b, 2);
  good = estimate(&o, &c, NULL, 0, w) == PLLM_OK;
  for (int k = 0; k < 3; k++) good &= isfinite(w[k]) != 0;
  tap_check(good, "%s %s: huge and tiny features side by side", form_names[form], text);

  if (form == PLLM_PAIRS) return;
  c.rows = 0;
  prefer(&c, a, b, 1);
  c.row[0].label = c.row[1].label = PLLM_SHOWN;
  good = estimate(&o, &c, NULL, 0, w) == PLLM_OK;
  for (int k = 0; k < 3; k++) good &= fabs(w[k] - flat) < 1e-15;
  tap_check(good, "%s %s: unlabelled rows say nothing", form_names[form], text);
}

/* A set that is marked twice is named. */
static void marked_twice(void) {
  static const struct {
    PllmLabel label;
    const char *message;
  } cases[] = {{PLLM_BEST, "choice_set -9 has 3 rows marked 'best'; at most one is accepted"},
               {PLLM_WORST, "choice_set -9 has 3 rows marked 'worst'; at most one is accepted"}};
  for (size_t i = 0; i < 2; i++)
    for (size_t v = 0; v < VARIANTS; v++) {
      PllmAdaptOptions o = options_of(PLLM_CHOICES, variants[v]);
      PllmFeedback *f = pllm_feedback_new(PLLM_CHOICES);
      double x[2] = {1, 2}, w[2];
      for (int r = 0; r < 3; r++) {
        x[0] += 1;
        pllm_feedback_add_choice(f, -9, x, 2, 0, cases[i].label, &err);
      }
      tap_fails(pllm_adapt(adapter, &o, f, w, NULL, &err), PLLM_INVALID, &err, cases[i].message);
      pllm_feedback_free(f);
    }
}

/* ---- options ---- */

static void option_errors(void) {
  static const struct {
    PllmForm form;
    const char *text, *message;
  } bad[] = {
      {PLLM_CHOICES, "{\"methods\":\"sum\"}",
       "unknown option \"methods\"; known options: method, type, dim, half_life"},
      {PLLM_CHOICES, "{\"method\":\"best\"}", "option \"method\""},
      {PLLM_CHOICES, "{\"lambda\":1}", "option \"lambda\" does not go with method \"posterior\""},
      {PLLM_CHOICES, "{\"method\":\"sum\",\"seed\":1}", "option \"seed\" does not go with method \"sum\""},
      {PLLM_CHOICES, "{\"method\":\"uniform\",\"half_life\":1}",
       "option \"half_life\" does not go with method \"uniform\""},
      {PLLM_PAIRS, "{\"method\":\"bradley_terry\",\"pairs\":\"given\"}", "option \"pairs\" does not go with pairs"},
      {PLLM_RATINGS, "{\"method\":\"bradley_terry\",\"pairs\":\"implied\"}",
       "option \"pairs\" does not go with ratings"},
      {PLLM_PAIRS, "{\"alpha\":0.1,\"prior\":\"gaussian\"}", "option \"alpha\" goes with the dirichlet prior only"},
      {PLLM_PAIRS, "{\"alpha\":0}", "option \"alpha\""},
      {PLLM_PAIRS, "{\"half_life\":-1}", "option \"half_life\""},
      {PLLM_PAIRS, "{\"seed\":4294967296}", "option \"seed\""},
      {PLLM_PAIRS, "{\"dim\":0}", "option \"dim\""},
      {PLLM_PAIRS, "[1]", ""},
      {PLLM_PAIRS, "{", ""},
  };
  PllmAdaptOptions o;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    err.text[0] = '\0';
    tap_fails(pllm_adapt_options(bad[i].form, bad[i].text, strlen(bad[i].text), NULL, &o, &err), PLLM_INVALID, &err,
              bad[i].message);
  }
  o = options_of(PLLM_CHOICES, "{\"alpha\":0.5,\"half_life\":3,\"type\":\"f32\",\"dim\":7}");
  tap_check(o.method == PLLM_METHOD_POSTERIOR && o.prior == PLLM_PRIOR_DIRICHLET && o.alpha == 0.5 &&
                o.half_life == 3 && o.type == PLLM_F32 && o.dim == 7 && o.lambda == 0,
            "options arrive, alpha means the dirichlet prior, the rest has its default");
  const PllmMethodInfo *methods;
  const PllmMethodOption *known;
  size_t n = pllm_adapt_methods(&methods), m = pllm_adapt_known_options(&known);
  int in_order = 1;
  for (size_t i = 0; i < n; i++) in_order = in_order && methods[i].method == (int)i;
  tap_check(n > PLLM_METHOD_UNIFORM && in_order && m > n && strcmp(known[0].name, "method") == 0,
            "the tables of methods and options");
}

/* The Dirichlet prior is for reward models; more features than that are embeddings unless told otherwise. */
static void many_features(void) {
  enum { WIDE = PLLM_MAX_MODELS + 1 };
  static double a[WIDE], b[WIDE], w[WIDE];
  PllmFeedback *f = pllm_feedback_new(PLLM_PAIRS);
  PllmAdaptOptions o = options_of(PLLM_PAIRS, "{}");
  a[3] = 1;
  b[5] = 1;
  pllm_feedback_add_pair(f, a, b, WIDE, 0, &err);
  tap_check(pllm_adapt(adapter, &o, f, w, NULL, &err) == PLLM_OK && w[3] > 0 && w[5] < 0 && w[0] == 0,
            "more features than reward models: the signed prior");
  o = options_of(PLLM_PAIRS, "{\"prior\":\"dirichlet\"}");
  tap_fails(pllm_adapt(adapter, &o, f, w, NULL, &err), PLLM_INVALID, &err, "the dirichlet prior is for at most");
  pllm_feedback_free(f);
}

int main(void) {
  tap_state = 88172645463325252u;
  adapter = pllm_adapter_new();
  for (int form = PLLM_PAIRS; form <= PLLM_RATINGS; form++)
    for (size_t v = 0; v < VARIANTS - (form != PLLM_CHOICES); v++) {
      same_bits((PllmForm)form, variants[v]);
      threads((PllmForm)form, variants[v]);
      windows((PllmForm)form, variants[v]);
      odd((PllmForm)form, variants[v]);
    }
  history();
  f32_rows();
  marked_twice();
  option_errors();
  many_features();
  pllm_adapter_free(adapter);
  pllm_adapter_free(NULL);
  return tap_done();
}
