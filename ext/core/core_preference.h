/*
** core_preference.h: one user's posterior as a model, and as draws.
*/
#ifndef PLLM_CORE_PREFERENCE_H
#define PLLM_CORE_PREFERENCE_H

#include "core_posterior.h"

/* core_adapt.c: is the prior of these options Gaussian for such features? */
int pllm_adapt_is_gaussian(const PllmAdaptOptions *options, const PllmFeedback *feedback);

/* The posterior of the evidence, whose mean is weights[dim], as a model. */
PllmStatus pllm_posterior_model(const PllmAdaptOptions *options, int gaussian, const PllmEvidence *evidence,
                                const double *weights, int f32, PllmModel **model, PllmError *err);

#endif
