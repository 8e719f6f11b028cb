/*
** core_posterior_kernel.h: the body of the posterior's kernels, compiled once per instruction set
** (core_posterior_*.c).
**
** Particles lie across the lanes, PLLM_BLOCK to a call.  Nearly all of the sampler's time goes here: utilities, and
** the exponentials of a set's two sums, which share their work (see set_terms).
*/
#include "core_lanes.h"
#include "core_math.h"
#include "core_posterior.h"

typedef PllmLanes Vec;

#define FOR_LANES(l) for (size_t l = 0; l < PLLM_BLOCK; l += PLLM_LANES)

static PLLM_INLINE Vec load(const double *p) {
  return pllm_lanes_load(p);
}

static PLLM_INLINE Vec clamp(Vec x, double low, double high) {
  return pllm_lanes_max(pllm_lanes_min(x, pllm_lanes_all(high)), pllm_lanes_all(low));
}

/* exp(t) and exp(-t) to 1e-9 for the price of little more than one, for |t| at most 350: even and odd part of the
** exponential of what t has beside a multiple of log 2, added and subtracted.  Taylor's coefficients but for the last
** even one, which makes up for the next. */
static PLLM_INLINE void exp_both(Vec t, Vec *up, Vec *down) {
  Vec k = t * 1.44269504088896338700 + PLLM_ROUND;
  Vec r = t - (k - PLLM_ROUND) * 0.69314718055994530942, r2 = r * r;
  Vec even = 1 + r2 * (0.5 + r2 * (1.0 / 24 + r2 * 1.3916296e-3));
  Vec odd = r * (1 + r2 * (1.0 / 6 + r2 * (1.0 / 120 + r2 * (1.0 / 5040))));
  *up = (even + odd) * (Vec)(((PllmBits)k + 1023) << 52);
  *down = (even - odd) * (Vec)(((PllmBits)(2 * PLLM_ROUND - k) + 1023) << 52);
}

/* pllm_log1_normal of every lane. */
static PLLM_INLINE Vec log_normal(Vec x) {
  Vec out;
  for (int i = 0; i < PLLM_LANES; i++) out[i] = pllm_log1_normal(x[i]);
  return out;
}

/* ---- utilities ---- */

/* u[rows][BLOCK] = x[rows][dim] . w[dim][BLOCK], rows of w `stride` apart. */
static PLLM_INLINE void rows_utilities(const double *x, const size_t rows, size_t dim, const double *w, size_t stride,
                                       double *u) {
  FOR_LANES(l) {
    Vec sum[8], wk = load(w + l);
    for (size_t r = 0; r < rows; r++) sum[r] = wk * x[r * dim];
    for (size_t k = 1; k < dim; k++) {
      wk = load(w + k * stride + l);
      for (size_t r = 0; r < rows; r++) sum[r] += wk * x[r * dim + k];
    }
    for (size_t r = 0; r < rows; r++) pllm_lanes_store(u + r * PLLM_BLOCK + l, sum[r]);
  }
}

static void utilities(const double *x, size_t rows, size_t dim, const double *w, size_t stride, double *u) {
  for (; rows >= 8; rows -= 8, x += 8 * dim, u += 8 * PLLM_BLOCK) rows_utilities(x, 8, dim, w, stride, u);
  for (; rows > 0; rows--, x += dim, u += PLLM_BLOCK) rows_utilities(x, 1, dim, w, stride, u);
}

/* ---- the likelihood of a set ---- */

/* Utilities of some lanes: those stored, or what they become when delta of weight moves between two features. */
typedef struct View {
  const double *u, *difference;
  Vec delta;
} View;

static PLLM_INLINE Vec utility(const View *v, size_t row, const int moved) {
  Vec u = load(v->u + row * PLLM_BLOCK);
  return moved ? u + v->delta * v->difference[row] : u;
}

/*
** With d_r = b (u_i - u_r), what row r lacks to the best i, and D = d_j, what the worst j lacks, row r adds exp(-d_r)
** to the sum for the best and exp(-(D - d_r)) to the sum for the worst.  Of these the one with the smaller exponent m
** is exp(-m), the other exp(m) exp(-D): two terms for one exp_both.  Exponents stop at -300, which no ratio of
** likelihoods survives, and where their terms are nothing beside the 1 that the sums hold.
*/
static PLLM_INLINE Vec set_terms(const PllmSet *s, const View *v, Vec b, const int moved) {
  Vec best = pllm_lanes_all(1), worst = best, near, far;
  if (s->best != PLLM_NONE && s->worst != PLLM_NONE) {
    Vec top = utility(v, s->best, moved), all = b * (top - utility(v, s->worst, moved)), bottom;
    exp_both(clamp(all, -300, 350), &near, &bottom);
    best += bottom;
    for (size_t r = 0; r < s->rows; r++) {
      Vec d, rest;
      PllmMask upper;
      if (r == s->best || r == s->worst) continue;
      d = b * (top - utility(v, r, moved));
      rest = all - d;
      upper = d < rest;
      exp_both(clamp(pllm_lanes_choose(upper, d, rest), -300, 150), &far, &near);
      far *= bottom;
      best += pllm_lanes_choose(upper, near, far);
      worst += pllm_lanes_choose(upper, far, near);
    }
    best *= worst;
  } else {
    size_t at = s->best != PLLM_NONE ? s->best : s->worst;
    Vec top = utility(v, at, moved);
    if (at != s->best) b = -b;
    for (size_t r = 0; r < s->rows; r++) {
      if (r == at) continue;
      exp_both(clamp(b * (top - utility(v, r, moved)), -300, 150), &far, &near);
      best += near;
    }
  }
  return s->weight * log_normal(best);
}

static void set_likelihood(const PllmSet *s, const double *u, const double *b, double *ll) {
  FOR_LANES(l) {
    View v = {.u = u + l};
    pllm_lanes_store(ll + l, load(ll + l) - set_terms(s, &v, load(b + l), 0));
  }
}

/* An upper bound of the log likelihood without any exponential: of each sum only the largest term. */
static void set_bound(const PllmSet *s, const double *u, const double *b, double *bound) {
  FOR_LANES(l) {
    Vec top = load(u + l), bottom = pllm_lanes_all(HUGE_VAL), lost = pllm_lanes_all(0);
    for (size_t r = 0; r < s->rows; r++) {
      Vec x = load(u + r * PLLM_BLOCK + l);
      top = pllm_lanes_max(top, x);
      if (r != s->best) bottom = pllm_lanes_min(bottom, x);
    }
    if (s->best != PLLM_NONE) lost += top - load(u + s->best * PLLM_BLOCK + l);
    if (s->worst != PLLM_NONE) lost += load(u + s->worst * PLLM_BLOCK + l) - bottom;
    pllm_lanes_store(bound + l, -s->weight * load(b + l) * lost);
  }
}

/* ---- ratings: the profile likelihood of an unknown offset, scale and noise ---- */

static PLLM_INLINE void ratings_terms(const PllmEvidence *e, const double *u, const double *delta,
                                      const double *difference, double *ll, const int moved) {
  double total = 0;
  for (size_t r = 0; r < e->rows; r++) total += e->weight[r];
  FOR_LANES(l) {
    Vec mean = pllm_lanes_all(0), square = mean, cross = mean, variance, fit;
    View v = {.u = u + l, .difference = difference};
    if (moved) v.delta = load(delta + l);
    for (size_t r = 0; r < e->rows; r++) {
      Vec x = utility(&v, r, moved), weighted = e->weight[r] * x;
      mean += weighted;
      square += weighted * x;
      cross += weighted * e->rating[r];
    }
    mean /= total;
    variance = square / total - mean * mean;
    cross /= total; /* ratings have mean 0 and variance 1 */
    fit = pllm_lanes_choose((cross > 0) & (variance > 0), cross * cross / variance, pllm_lanes_all(0));
    fit = 1 - pllm_lanes_min(fit, pllm_lanes_all(1)) + PLLM_RATING_NOISE;
    pllm_lanes_store(ll + l, load(ll + l) - 0.5 * (total - 1) * log_normal(fit));
  }
}

static void ratings_likelihood(const PllmEvidence *e, const double *u, double *ll) {
  ratings_terms(e, u, NULL, NULL, ll, 0);
}

/* ---- moves ---- */

/*
** What the two features' weights would become.  logit(w_a / (w_a + w_b)) becomes x; with e = exp(-|x|) the shares are
** 1 / (1 + e) and e / (1 + e).
*/
static void propose_two(PllmMove *m) {
  const Vec zero = pllm_lanes_all(0), tiny = pllm_lanes_all(PLLM_LOG_TINY);
  const double tilt_a = m->tilt ? m->tilt[m->a] : 1, tilt_b = m->tilt ? m->tilt[m->b] : 1;
  size_t a = m->a * PLLM_BLOCK, b = m->b * PLLM_BLOCK;
  FOR_LANES(l) {
    Vec wa = load(m->w + a + l), la = load(m->log_w + a + l), lb = load(m->log_w + b + l);
    Vec x = load(m->flip + l) * (la - lb) + load(m->step + l), both = wa + load(m->w + b + l);
    Vec size, share, rest, log_both, unused, ratio;
    PllmMask up = x > 0;
    size = pllm_lanes_choose(up, x, -x);
    exp_both(pllm_lanes_min(size, pllm_lanes_all(350)), &unused, &rest);
    share = 1 / (1 + rest);
    both = pllm_lanes_max(both, pllm_lanes_all(1e-300));
    log_both = log_normal(both) + log_normal(share);
    share *= both;
    rest *= share;
    pllm_lanes_store(m->next_w + a + l, pllm_lanes_choose(up, share, rest));
    pllm_lanes_store(m->next_w + b + l, pllm_lanes_choose(up, rest, share));
    pllm_lanes_store(m->delta + l, pllm_lanes_choose(up, share, rest) - wa);
    share = pllm_lanes_max(log_both - pllm_lanes_choose(up, zero, size), tiny);
    rest = pllm_lanes_max(log_both - pllm_lanes_choose(up, size, zero), tiny);
    pllm_lanes_store(m->next_log_w + a + l, share);
    pllm_lanes_store(m->next_log_w + b + l, rest);
    ratio = load(m->alpha + l) * (tilt_a * (share - la) + tilt_b * (rest - lb));
    pllm_lanes_store(m->prior + l, load(m->prior + l) + ratio);
  }
}

static void judge_two(const PllmEvidence *e, size_t first, size_t end, PllmMove *m) {
  if (e->ratings) {
    if (end > first) ratings_terms(e, m->u, m->delta, m->difference, m->next_ll, 1);
    return;
  }
  for (size_t i = first; i < end; i++) {
    const PllmSet *s = &e->set[i];
    FOR_LANES(l) {
      View v = {.u = m->u + s->first * PLLM_BLOCK + l, .difference = m->difference + s->first};
      v.delta = load(m->delta + l);
      pllm_lanes_store(m->next_ll + l, load(m->next_ll + l) - set_terms(s, &v, load(m->next_sharpness + l), 1));
    }
  }
}

static PLLM_INLINE void take_if(PllmMask accept, double *kept, const double *next) {
  pllm_lanes_store(kept, pllm_lanes_choose(accept, load(next), load(kept)));
}

/* Which lanes accept; the likelihood and the sharpness of those are taken. */
static PLLM_INLINE PllmMask settle(PllmMove *m, size_t l) {
  PllmMask accept = load(m->accept + l) < load(m->next_ll + l) - load(m->ll + l) + load(m->prior + l);
  take_if(accept, m->level + l, m->next_level + l);
  take_if(accept, m->sharpness + l, m->next_sharpness + l);
  take_if(accept, m->ll + l, m->next_ll + l);
  return accept;
}

static void settle_two(const PllmEvidence *e, size_t sets, PllmMove *m) {
  Vec d[PLLM_BLOCK / PLLM_LANES];
  size_t a = m->a * PLLM_BLOCK, b = m->b * PLLM_BLOCK;
  FOR_LANES(l) {
    PllmMask accept = settle(m, l);
    take_if(accept, m->w + a + l, m->next_w + a + l);
    take_if(accept, m->w + b + l, m->next_w + b + l);
    take_if(accept, m->log_w + a + l, m->next_log_w + a + l);
    take_if(accept, m->log_w + b + l, m->next_log_w + b + l);
    d[l / PLLM_LANES] = pllm_lanes_choose(accept, load(m->delta + l), pllm_lanes_all(0));
  }
  for (size_t i = 0; i < sets; i++)
    for (size_t r = e->set[i].first; r < e->set[i].first + e->set[i].rows; r++)
      for (size_t j = 0; j < PLLM_BLOCK / PLLM_LANES; j++) {
        double *at = m->u + r * PLLM_BLOCK + j * PLLM_LANES;
        pllm_lanes_store(at, load(at) + d[j] * m->difference[r]);
      }
}

/* log w + length * direction, normalised. */
static void propose_all(PllmMove *m) {
  const Vec tiny = pllm_lanes_all(PLLM_LOG_TINY), far = pllm_lanes_all(350);
  FOR_LANES(l) {
    Vec top = pllm_lanes_all(-HUGE_VAL), sum = pllm_lanes_all(0), ratio = sum, length = load(m->length + l), scale;
    for (size_t at = l; at < m->dim * PLLM_BLOCK; at += PLLM_BLOCK) {
      Vec next = load(m->log_w + at) + length * load(m->direction + at);
      pllm_lanes_store(m->next_log_w + at, next);
      top = pllm_lanes_max(top, next);
    }
    for (size_t at = l; at < m->dim * PLLM_BLOCK; at += PLLM_BLOCK) {
      Vec unused, share;
      exp_both(pllm_lanes_min(top - load(m->next_log_w + at), far), &unused, &share);
      pllm_lanes_store(m->next_w + at, share);
      sum += share;
    }
    scale = 1 / sum;
    top += log_normal(sum);
    for (size_t k = 0; k < m->dim; k++) {
      size_t at = k * PLLM_BLOCK + l;
      Vec next = pllm_lanes_max(load(m->next_log_w + at) - top, tiny), change = next - load(m->log_w + at);
      pllm_lanes_store(m->next_w + at, load(m->next_w + at) * scale);
      pllm_lanes_store(m->next_log_w + at, next);
      ratio += m->tilt ? m->tilt[k] * change : change;
    }
    pllm_lanes_store(m->prior + l, load(m->prior + l) + load(m->alpha + l) * ratio);
  }
}

static void settle_all(const PllmEvidence *e, size_t sets, PllmMove *m) {
  PllmMask accept[PLLM_BLOCK / PLLM_LANES];
  FOR_LANES(l) accept[l / PLLM_LANES] = settle(m, l);
  for (size_t k = 0; k < m->dim; k++) FOR_LANES(l) {
      take_if(accept[l / PLLM_LANES], m->w + k * PLLM_BLOCK + l, m->next_w + k * PLLM_BLOCK + l);
      take_if(accept[l / PLLM_LANES], m->log_w + k * PLLM_BLOCK + l, m->next_log_w + k * PLLM_BLOCK + l);
    }
  for (size_t i = 0; i < sets; i++)
    for (size_t r = e->set[i].first; r < e->set[i].first + e->set[i].rows; r++)
      FOR_LANES(l) take_if(accept[l / PLLM_LANES], m->u + r * PLLM_BLOCK + l, m->next_u + r * PLLM_BLOCK + l);
}

const PllmPosteriorKernel PLLM_POSTERIOR_KERNEL = {utilities,          set_bound,   set_likelihood,
                                                   ratings_likelihood, propose_two, judge_two,
                                                   settle_two,         propose_all, settle_all};
