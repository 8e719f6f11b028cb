/*
** core_apply.h: adaptation that starts from what historical users taught.
**
** Weights come out in the features' own units, such that a difference of utilities is the log odds of a choice.  Each
** method takes memory from `memory`, pllm_apply_bytes of it, never allocates, and leaves nothing of use where stop
** says so.
*/
#ifndef PLLM_CORE_APPLY_H
#define PLLM_CORE_APPLY_H

#include "core_evidence.h"

/* core_learn_pooled.c: Bradley-Terry around the pooled solution. */
void pllm_apply_pooled(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory,
                       const PllmStop *stop, double *w);
/* core_learn_neighbors.c: historical users, by how well they explain the feedback. */
void pllm_apply_neighbors(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory,
                          const PllmStop *stop, double *w);
/* core_learn_lore.c: a mixture of base rewards. */
void pllm_apply_lore(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory,
                     const PllmStop *stop, double *w);

/* core_learn_svd.c: a signed combination of base rewards. */
void pllm_apply_svd(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory, const PllmStop *stop,
                    double *w);

/* core_learn_maml.c: a few steps from the common start. */
void pllm_apply_maml(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory, const PllmStop *stop,
                     double *w);

/* core_learn_classes.c: classes of historical users, by how well they explain the feedback. */
void pllm_apply_classes(const PllmAdaptOptions *options, const PllmEvidence *evidence, char *memory,
                        const PllmStop *stop, double *w);

/* Memory for one user with `rows` rows (those of pllm_evidence_build). */
size_t pllm_apply_bytes(const PllmAdaptOptions *options, size_t rows, size_t dim);

/* A preference between two rows of the evidence, as core_crowd.h's pairs. */
typedef struct PllmDuel {
  size_t a, b;
  double share; /* of all, by age: they add up to 1 */
} PllmDuel;

/* One user's preferences seen through a few base rewards: z[row][k] = basis_k . row, in the features' own units. */
typedef struct PllmDuels {
  size_t count, k;
  PllmDuel *duel; /* [count] */
  double total;   /* of the shares, before they were made to add up to 1: the number of duels, but for age */
  double *z;      /* [rows][k] */
} PllmDuels;

/* basis is [k][dim], times `factor`.  Returns the memory left behind it. */
char *pllm_duels_init(PllmDuels *duels, const PllmEvidence *evidence, int implied, const double *basis, size_t k,
                      double factor, char *memory);
size_t pllm_duels_bytes(size_t rows, size_t k);

/* The mean loss -log sigma(s), s = sum over k of w[k] (z_a[k] - z_b[k]), and its gradient[k] by w. */
double pllm_duels_loss(const PllmDuels *duels, const double *w, double *gradient);

/* w[dim] = sum over k of share[k] basis_k */
void pllm_mix(const double *basis, const double *share, size_t k, size_t dim, double *w);

#endif
