/*
** core_answer.c: what a user with a posterior would answer to "a or b?", and what the answer tells.
**
** P(a over b) is the mean of sigma(sharpness (u_a - u_b)) over the posterior.  Under the Dirichlet prior over the
** sampler's draws, each with all sharpnesses by their probability.  Under the Gaussian prior w ~ N(0, b^2/dim): over
** its scales b by Laplace evidence, each posterior taken as normal with mean m and variance v of the difference,
** where the mean of sigma is about sigma(m / sqrt(1 + pi v / 8)) (MacKay 1992).
**
** What asking tells.  With s = sharpness (u_a - u_b), the answer's mutual information with what is unknown, in bits:
**     gain      H(mean of sigma(s)) - mean of H(sigma(s)),  H the entropy of a yes or no
** (Lindley 1956; Houlsby et al. 2011).  Under the Gaussian prior both means are integrals over a normal s, by the
** trapezoidal rule in steps of at most 1 in s and half a standard deviation, which is exact to 1e-8: sigma and H are
** analytic up to +-i pi.  The other measure is that of PReF (2503.06358), with their M the precision of a Laplace
** posterior of one scale; it has the posterior's mean m and variance v of s where they have lambda.h and h' M^-1 h:
**     variance  sigma'(m)^2 v
*/
#include "core_math.h"
#include "core_preference.h"

#define LN2 0.69314718055994530942

/* What an answer of probability 1/2 + half tells more than a coin, ln 2 - H, in nats. */
static double certainty_of(double half) {
  double p = 0.5 + fabs(half), q = 0.5 - fabs(half);
  return LN2 + p * pllm_log1(p) + (q > 0 ? q * pllm_log1(q) : 0);
}

enum { MEAN_LEAD = 1, MEAN_CERTAINTY = 2, MEAN_S = 4, MEAN_UP = 8, AT_ONCE = 8 * PLLM_BLOCK };

/*
** Means over the posterior of s: of sigma(s) - 1/2, whose sign is that of s to the bit, so that P(a, b) and P(b, a)
** add up to 1; of ln 2 - H(sigma(s)), 0 at s = 0 to the bit; of s and its square; of sign(u_a - u_b) / 2.
*/
typedef struct Moments {
  int what; /* MEAN_..; what is not asked for stays 0 */
  double lead, certainty, s, s2, up;
  size_t n; /* values that wait for their exponentials */
  double x[AT_ONCE], share[AT_ONCE];
} Moments;

static void flush(Moments *m) {
  double e[AT_ONCE], more[AT_ONCE];
  for (size_t i = 0; i < m->n; i++) e[i] = -fabs(m->x[i]);
  pllm_exp_n(e, e, m->n);
  for (size_t i = 0; i < m->n; i++) {
    double half = 0.5 * (1 - e[i]) / (1 + e[i]);
    m->lead += m->share[i] * (m->x[i] > 0 ? half : -half);
  }
  if (m->what & MEAN_CERTAINTY) {
    for (size_t i = 0; i < m->n; i++) more[i] = 1 + e[i];
    pllm_log_n(more, more, m->n);
    for (size_t i = 0; i < m->n; i++)
      m->certainty += m->share[i] * (LN2 - (more[i] + fabs(m->x[i]) * e[i] / (1 + e[i])));
  }
  m->n = 0;
}

static void add(Moments *m, double share, double s) {
  if (m->what & MEAN_S) {
    m->s += share * s;
    m->s2 += share * s * s;
  }
  if (!(m->what & (MEAN_LEAD | MEAN_CERTAINTY))) return;
  m->x[m->n] = s;
  m->share[m->n++] = share;
  if (m->n == AT_ONCE) flush(m);
}

static double lead(double s) {
  double e = pllm_exp1(-fabs(s)), half = 0.5 * (1 - e) / (1 + e);
  return s > 0 ? half : -half;
}

static void dirichlet_moments(const PllmPreference *p, const double *d, Moments *m) {
  for (size_t i = 0, t = 0; i < p->count; i++) {
    double s = pllm_utility(p->w + i * p->dim, d, p->dim);
    m->up += p->share[i] * (s > 0 ? 0.5 : s < 0 ? -0.5 : 0);
    for (; t < p->terms[i]; t++) add(m, p->weight[t], p->sharpness[t] * s);
  }
  flush(m);
}

/* Means over a normal s. */
static void add_normal(Moments *m, double share, double mean, double variance) {
  enum { REACH = 8 }; /* standard deviations */
  double deviation = sqrt(variance), total = 0;
  long nodes = deviation > 2 ? (long)ceil(REACH * deviation) : 2 * REACH; /* on each side */
  Moments of = {.what = MEAN_LEAD | MEAN_CERTAINTY};
  for (long i = -nodes; i <= nodes; i++) {
    double t = REACH * ((double)i / (double)nodes), density = pllm_exp1(-0.5 * t * t);
    add(&of, density, mean + deviation * t);
    total += density;
  }
  flush(&of);
  m->lead += share * (of.lead / total);
  m->certainty += share * (of.certainty / total);
}

static void gaussian_moments(const PllmPreference *p, const double *d, double *z, Moments *m) {
  double total = 0, inside = 0;
  size_t n = p->rank;
  for (size_t b = 0; b < p->dim; b++) total += d[b] * d[b] * p->scale * p->scale;
  for (size_t k = 0; k < n; k++) {
    z[k] = p->scale * (p->reduced ? pllm_utility(p->basis + k * p->dim, d, p->dim) : d[k]);
    inside += z[k] * z[k];
  }
  for (size_t i = 0; i < p->scales; i++) {
    const PllmLaplace *l = &p->laplace[i];
    double mean = 0, variance = total > inside ? (total - inside) / l->lambda : 0, *y = z + n;
    for (size_t k = 0; k < n; k++) {
      double left = z[k];
      for (size_t j = 0; j < k; j++) left -= l->factor[k * n + j] * y[j];
      y[k] = left / l->factor[k * n + k]; /* factor y = z, so |y|^2 is the variance */
      mean += z[k] * l->w[k];
      variance += y[k] * y[k];
    }
    if (m->what & MEAN_CERTAINTY) {
      if (l->share > 1e-12) add_normal(m, l->share, mean, variance);
    } else if (m->what & MEAN_LEAD) {
      m->lead += l->share * lead(mean / sqrt(1 + 0.39269908169872415481 * variance));
    }
    if ((m->what & MEAN_UP) && variance > 0) m->up += l->share * 0.5 * erf(mean / sqrt(2 * variance));
    m->s += l->share * mean;
    m->s2 += l->share * (variance + mean * mean);
  }
}

static void find(const PllmPreference *p, const double *a, const double *b, double *scratch, int what, Moments *m) {
  m->what = what;
  m->lead = m->certainty = m->s = m->s2 = m->up = 0;
  m->n = 0;
  for (size_t i = 0; i < p->dim; i++) scratch[i] = a[i] - b[i];
  if (p->gaussian)
    gaussian_moments(p, scratch, scratch + p->dim, m);
  else
    dirichlet_moments(p, scratch, m);
}

size_t pllm_preference_scratch(const PllmPreference *p) {
  return p->dim + 2 * p->rank;
}

double pllm_preference_probability(const PllmPreference *p, const double *a, const double *b, double *scratch) {
  Moments m;
  find(p, a, b, scratch, MEAN_LEAD, &m);
  return 0.5 + m.lead;
}

double pllm_preference_better(const PllmPreference *p, const double *a, const double *b, double *scratch) {
  Moments m;
  find(p, a, b, scratch, MEAN_UP, &m);
  return 0.5 + m.up;
}

double pllm_preference_gain(const PllmPreference *p, const double *a, const double *b, double *scratch) {
  Moments m;
  double gain;
  find(p, a, b, scratch, MEAN_LEAD | MEAN_CERTAINTY, &m);
  gain = (m.certainty - certainty_of(m.lead)) / LN2;
  return gain > 0 ? gain : 0; /* less by rounding only */
}

double pllm_preference_variance(const PllmPreference *p, const double *a, const double *b, double *scratch) {
  Moments m;
  double half, slope, variance;
  find(p, a, b, scratch, MEAN_S, &m);
  half = lead(m.s);
  slope = (0.5 + half) * (0.5 - half);
  variance = m.s2 - m.s * m.s;
  return variance > 0 ? slope * slope * variance : 0;
}
