/* The posterior's kernels against plain loops in long double, the same bits on every instruction set, and steps that
** leave every lane's state consistent. */
#include "tap.h"

#include "../../ext/core/core_posterior.h"

#include <stddef.h>

enum { DIM = 7, ROWS = 40 };

static double x[ROWS * DIM], rating[ROWS], weight[ROWS];
static PllmSet sets[] = {
    {0, 8, 2, 5, 1},     {8, 8, 7, PLLM_NONE, 0.5}, {16, 3, PLLM_NONE, 0, 1}, {19, 2, 1, 0, 1},
    {21, 9, 0, 8, 0.25}, {30, 2, 0, PLLM_NONE, 1},  {32, 8, 4, 3, 1},
};
enum { SETS = sizeof sets / sizeof *sets };
static PllmEvidence choices = {.dim = DIM, .rows = ROWS, .sets = SETS, .informative = 1, .x = x, .set = sets};
static PllmSet all_rows = {0, ROWS, 0, PLLM_NONE, 1};
static PllmEvidence ratings = {.dim = DIM,
                               .rows = ROWS,
                               .sets = 1,
                               .informative = 1,
                               .ratings = 1,
                               .x = x,
                               .set = &all_rows,
                               .rating = rating,
                               .weight = weight};

/* ---- what the documentation says, in long double ---- */

static long double plain_utility(const double *w, size_t lane, size_t row) {
  long double u = 0;
  for (size_t k = 0; k < DIM; k++) u += (long double)x[row * DIM + k] * w[k * PLLM_BLOCK + lane];
  return u;
}

static long double plain_set(const PllmSet *s, const double *w, size_t lane, double b) {
  long double best = 0, worst = 0, ll = 0;
  for (size_t r = 0; r < s->rows; r++) {
    long double u = b * plain_utility(w, lane, s->first + r);
    if (s->best != PLLM_NONE) best += expl(u - b * plain_utility(w, lane, s->first + s->best));
    if (s->worst != PLLM_NONE && r != s->best) worst += expl(b * plain_utility(w, lane, s->first + s->worst) - u);
  }
  if (s->best != PLLM_NONE) ll -= logl(best);
  if (s->worst != PLLM_NONE) ll -= logl(worst);
  return s->weight * ll;
}

static long double plain_ratings(const double *w, size_t lane) {
  long double total = 0, mean = 0, square = 0, cross = 0, r;
  for (size_t i = 0; i < ROWS; i++) {
    long double u = plain_utility(w, lane, i);
    total += weight[i];
    mean += weight[i] * u;
    square += weight[i] * u * u;
    cross += weight[i] * u * rating[i];
  }
  mean /= total;
  r = cross / total / sqrtl(square / total - mean * mean);
  return -(total - 1) / 2 * logl(1 - (r > 0 ? r * r : 0) + PLLM_RATING_NOISE);
}

static long double plain_likelihood(const PllmEvidence *e, const double *w, size_t lane, double b) {
  long double ll = 0;
  if (e->ratings) return plain_ratings(w, lane);
  for (size_t i = 0; i < SETS; i++) ll += plain_set(&sets[i], w, lane, b);
  return ll;
}

/* ---- lanes ---- */

static void draw_weights(double *w, double *log_w) {
  for (size_t l = 0; l < PLLM_BLOCK; l++) {
    double total = 0;
    for (size_t k = 0; k < DIM; k++) {
      log_w[k * PLLM_BLOCK + l] = l % 8 == 3 && k > 1 ? -690 : -12 * tap_uniform() * tap_uniform();
      total += exp(log_w[k * PLLM_BLOCK + l]);
    }
    for (size_t k = 0; k < DIM; k++) {
      log_w[k * PLLM_BLOCK + l] -= log(total);
      if (log_w[k * PLLM_BLOCK + l] < -690) log_w[k * PLLM_BLOCK + l] = -690;
      w[k * PLLM_BLOCK + l] = exp(log_w[k * PLLM_BLOCK + l]);
    }
  }
}

static int near(double got, long double want, double rel) {
  return fabsl(got - want) <= rel * (1 + fabsl(want));
}

static void likelihoods(const PllmPosteriorKernel *k) {
  static double w[DIM * PLLM_BLOCK], log_w[DIM * PLLM_BLOCK], u[ROWS * PLLM_BLOCK], b[PLLM_BLOCK];
  int same = 1, right = 1, below = 1, tight = 0, rated = 1;
  double ll[PLLM_BLOCK], bound[PLLM_BLOCK];
  draw_weights(w, log_w);
  for (size_t l = 0; l < PLLM_BLOCK; l++) b[l] = l % 4 == 0 ? 1e-3 : ldexp(1, (int)(l % 11));
  k->utilities(x, ROWS, DIM, w, PLLM_BLOCK, u);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t l = 0; l < PLLM_BLOCK; l++) same &= near(u[r * PLLM_BLOCK + l], plain_utility(w, l, r), 1e-15);
  for (size_t i = 0; i < SETS; i++) {
    for (size_t l = 0; l < PLLM_BLOCK; l++) ll[l] = 0.5;
    k->set_likelihood(&sets[i], u + sets[i].first * PLLM_BLOCK, b, ll);
    k->set_bound(&sets[i], u + sets[i].first * PLLM_BLOCK, b, bound);
    for (size_t l = 0; l < PLLM_BLOCK; l++) {
      long double want = plain_set(&sets[i], w, l, b[l]);
      if (want > -290 * sets[i].weight)
        right &= near(ll[l] - 0.5, want, 1e-8);
      else
        right &= ll[l] < -280 * sets[i].weight && ll[l] > -1500;
      below &= bound[l] >= (double)want - 1e-9 && bound[l] <= 0;
      tight += bound[l] < (double)want + 3; /* of up to nine terms only the largest is there */
    }
  }
  memset(ll, 0, sizeof ll);
  k->ratings_likelihood(&ratings, u, ll);
  for (size_t l = 0; l < PLLM_BLOCK; l++) rated &= near(ll[l], plain_ratings(w, l), 1e-7);
  tap_check(same, "%s: utilities", pllm_kernel_description());
  tap_check(right, "%s: likelihoods of sets to 1e-8, also where exponents go out of range",
            pllm_kernel_description());
  tap_check(below && tight > SETS * PLLM_BLOCK / 2, "%s: bounds are above them, and most of them near",
            pllm_kernel_description());
  tap_check(rated, "%s: likelihoods of ratings", pllm_kernel_description());
}

/* All that a step reads and writes. */
typedef struct Lanes {
  double w[DIM * PLLM_BLOCK], log_w[DIM * PLLM_BLOCK], u[ROWS * PLLM_BLOCK], ll[PLLM_BLOCK];
  double sharpness[PLLM_BLOCK], level[PLLM_BLOCK], alpha[PLLM_BLOCK];
  double step[PLLM_BLOCK], flip[PLLM_BLOCK], length[PLLM_BLOCK], accept[PLLM_BLOCK];
  double direction[DIM * PLLM_BLOCK], difference[ROWS];
  double next_w[DIM * PLLM_BLOCK], next_log_w[DIM * PLLM_BLOCK], next_u[ROWS * PLLM_BLOCK];
  PllmMove move;
} Lanes;

static void set_up(Lanes *s, const PllmEvidence *e, const double *tilt) {
  PllmMove *m = &s->move;
  memset(s, 0, sizeof *s);
  draw_weights(s->w, s->log_w);
  m->step = s->step;
  m->flip = s->flip;
  m->length = s->length;
  m->accept = s->accept;
  m->w = s->w;
  m->log_w = s->log_w;
  m->u = s->u;
  m->ll = s->ll;
  m->sharpness = s->sharpness;
  m->level = s->level;
  m->alpha = s->alpha;
  m->tilt = tilt;
  m->dim = DIM;
  m->a = 4;
  m->b = 1;
  m->direction = s->direction;
  m->difference = s->difference;
  m->next_w = s->next_w;
  m->next_log_w = s->next_log_w;
  m->next_u = s->next_u;
  for (size_t r = 0; r < ROWS; r++) s->difference[r] = x[r * DIM + m->a] - x[r * DIM + m->b];
  for (size_t k = 0; k < DIM * PLLM_BLOCK; k++) s->direction[k] = 8 * tap_uniform() - 4;
  for (size_t l = 0; l < PLLM_BLOCK; l++) {
    s->step[l] = (tap_uniform() - 0.5) * (l % 3 ? 2 : 30);
    s->flip[l] = l % 5 ? 1 : -1;
    s->length[l] = tap_uniform();
    s->accept[l] = l % 4 == 1 ? -1e6 : log(tap_uniform()); /* some accept whatever comes */
    s->alpha[l] = l % 2 ? 0.03 : 3;
    s->level[l] = (double)(l % 7);
    s->sharpness[l] = ldexp(1, (int)s->level[l]);
    m->next_level[l] = s->level[l] + (double)(l % 3) - 1;
    m->next_sharpness[l] = ldexp(1, (int)m->next_level[l]);
    m->prior[l] = 0.25 * log(2) * ((double)(l % 3) - 1);
    s->ll[l] = (double)plain_likelihood(e, s->w, l, s->sharpness[l]);
  }
}

/* One step of a kind; then every lane holds what it was, or what it was to become, and all of it. */
static void step(const PllmPosteriorKernel *k, const PllmEvidence *e, const double *tilt, int all, Lanes *after) {
  static Lanes before;
  PllmMove *m = &after->move;
  size_t n = e->sets;
  int moves = 1, priors = 1, lls = 1, decided = 1, whole = 1, accepted = 0;
  set_up(after, e, tilt);
  k->utilities(x, ROWS, DIM, after->w, PLLM_BLOCK, after->u);
  before = *after;
  if (all) {
    k->propose_all(m);
    memset(m->next_ll, 0, sizeof m->next_ll);
    k->utilities(x, ROWS, DIM, m->next_w, PLLM_BLOCK, m->next_u);
    for (size_t i = 0; i < n && !e->ratings; i++)
      k->set_likelihood(&sets[i], m->next_u + sets[i].first * PLLM_BLOCK, m->next_sharpness, m->next_ll);
    if (e->ratings) k->ratings_likelihood(e, m->next_u, m->next_ll);
    k->settle_all(e, n, m);
  } else {
    memcpy(after->next_w, after->w, sizeof after->w);
    memcpy(after->next_log_w, after->log_w, sizeof after->log_w);
    k->propose_two(m);
    memset(m->next_ll, 0, sizeof m->next_ll);
    k->judge_two(e, 0, n / 2, m);
    k->judge_two(e, n / 2, n, m);
    k->settle_two(e, n, m);
  }
  for (size_t l = 0; l < PLLM_BLOCK; l++) {
    long double prior = before.move.prior[l], target[DIM], sum = 0,
                ll = plain_likelihood(e, m->next_w, l, m->next_sharpness[l]);
    const double *old = before.log_w + l;
    int takes = before.accept[l] < m->next_ll[l] - before.ll[l] + m->prior[l];
    const double *w = takes ? m->next_w : before.w, *log_w = takes ? m->next_log_w : before.log_w;
    accepted += takes;
    for (size_t j = 0; j < DIM; j++) target[j] = old[j * PLLM_BLOCK];
    if (all) {
      for (size_t j = 0; j < DIM; j++) target[j] += before.length[l] * before.direction[j * PLLM_BLOCK + l];
    } else {
      long double la = target[m->a], lb = target[m->b], logit = before.flip[l] * (la - lb) + before.step[l];
      long double both = logl(expl(la) + expl(lb));
      target[m->a] = both - logl(1 + expl(-logit));
      target[m->b] = both - logl(1 + expl(logit));
    }
    for (size_t j = 0; j < DIM; j++) sum += all ? expl(target[j]) : 0;
    for (size_t j = 0; j < DIM; j++) {
      size_t at = j * PLLM_BLOCK + l;
      target[j] = fmaxl(all ? target[j] - logl(sum) : target[j], -690);
      moves &= near(m->next_log_w[at], target[j], 1e-7) && near(m->next_w[at], expl(target[j]), 1e-8);
      prior += after->alpha[l] * (tilt ? tilt[j] : 1) * (target[j] - old[j * PLLM_BLOCK]);
      decided &= after->w[at] == w[at] && after->log_w[at] == log_w[at];
    }
    priors &= near(m->prior[l], prior, 1e-7);
    lls &= ll < -280 ? m->next_ll[l] < -270 : near(m->next_ll[l], ll, 1e-7);
    decided &= after->ll[l] == (takes ? m->next_ll : before.ll)[l];
    decided &= after->sharpness[l] == (takes ? m->next_sharpness : before.sharpness)[l];
    decided &= after->level[l] == (takes ? m->next_level : before.level)[l];
    for (size_t i = 0; i < n; i++)
      for (size_t r = e->set[i].first; r < e->set[i].first + e->set[i].rows; r++)
        whole &= near(after->u[r * PLLM_BLOCK + l], plain_utility(after->w, l, r), 1e-13);
  }
  const char *what = all ? "all features" : "two features", *about = e->ratings ? "ratings" : "choice sets";
  tap_check(moves, "%s, %s, %s%s: what is proposed", pllm_kernel_description(), what, about, tilt ? ", tilted" : "");
  tap_check(priors, "%s, %s, %s%s: the prior's ratio", pllm_kernel_description(), what, about,
            tilt ? ", tilted" : "");
  tap_check(lls, "%s, %s, %s: the likelihood of what is proposed", pllm_kernel_description(), what, about);
  tap_check(decided && accepted > 10 && accepted < PLLM_BLOCK - 5, "%s, %s, %s: %d of %d lanes accept, all of it",
            pllm_kernel_description(), what, about, accepted, PLLM_BLOCK);
  tap_check(whole, "%s, %s, %s: utilities are those of the weights", pllm_kernel_description(), what, about);
}

/* ---- what is drawn once ---- */

static void particles(void) {
  PllmParticles *p = NULL, *again = NULL;
  PllmError err;
  double most = 0;
  int good = pllm_particles_new(DIM, 0, 0, 9, NULL, &p, &err) == PLLM_OK;
  size_t count[PLLM_SHARPNESSES] = {0}, sparse = 0;
  for (size_t k = 0; k < DIM; k++) {
    double sum = 0;
    for (size_t i = 0; i < p->count; i++) sum += p->weights[k * p->count + i];
    most = fmax(most, fabs(sum / (double)p->count * DIM - 1));
  }
  tap_check(good && most < 1e-12, "rotations favour no feature");
  for (size_t i = 0; i < p->count; i++) {
    good &= p->sharpnesses[i] == ldexp(1, (int)p->levels[i]);
    count[(int)p->levels[i]]++;
    sparse += p->alphas[i] < 1;
  }
  for (int k = 1; k < PLLM_SHARPNESSES; k++) good &= fabs((double)count[k] / (double)count[k - 1] - 1.189) < 0.02;
  tap_check(good, "sharpness 2^k in proportion to 2^(k/4)");
  tap_check(fabs((double)sparse / (double)p->count - 0.5) < 0.01, "half of the prior is sparse");
  pllm_particles_new(DIM, 0, 0, 9, NULL, &again, &err);
  tap_check(again && memcmp(p->weights, again->weights, p->count * DIM * sizeof(double)) == 0, "a seed's particles");
  pllm_particles_free(p);
  pllm_particles_free(again);
}

int main(void) {
  static const double tilt[DIM] = {2, 0.5, 1, 0.25, 1.75, 0.5, 1};
  static Lanes first[8], now;
  tap_state = 88172645463325252u;
  for (size_t i = 0; i < ROWS * DIM; i++) x[i] = 3 * tap_uniform() - 1.5;
  for (size_t i = 0; i < ROWS; i++) {
    rating[i] = 2 * tap_uniform() - 1;
    weight[i] = i % 3 ? 1 : 0.5;
  }
  for (int isa = PLLM_ISA_BASE; isa <= PLLM_ISA_MOST; isa++) {
    const PllmPosteriorKernel *k;
    int same = 1;
    pllm_core_isa_limit((PllmIsa)isa);
    if ((int)pllm_core_isa() < isa) continue;
    k = pllm_posterior_kernel();
    tap_state = 1234567;
    likelihoods(k);
    for (int kind = 0; kind < 8; kind++) {
      step(k, kind & 1 ? &ratings : &choices, kind & 2 ? tilt : NULL, kind >> 2, &now);
      if (isa == PLLM_ISA_BASE) first[kind] = now;
      same &= memcmp(&first[kind], &now, offsetof(Lanes, move)) == 0;
    }
    tap_check(same, "%s: steps give the baseline's bits", pllm_kernel_description());
  }
  pllm_core_isa_limit(PLLM_ISA_MOST);
  particles();
  return tap_done();
}
