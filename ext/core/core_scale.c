/*
** core_scale.c: the scale of reward models: published, fitted, or from a file.
*/
#include "core_int.h"

#include <math.h>
#include <string.h>

void pllm_moments_add(PllmMoments *moments, double x) {
  double away = x - moments->mean;
  moments->count++;
  moments->mean += away / (double)moments->count;
  moments->sum2 += away * (x - moments->mean);
}

double pllm_moments_sd(const PllmMoments *moments) {
  return moments->count > 0 ? sqrt(moments->sum2 / (double)moments->count) : 0;
}

/* mean_train and std_train of the published evaluation code (definitions.md#reward-models). */
static const struct {
  const char *model;
  double mean, sd;
} published[] = {
    {"beaver_7b", 6.233516894340515, 3.012641148973965},
    {"gemma_2b", 4.3304170169830325, 2.038611338958803},
    {"gemma_7b", 1.6259730467796325, 2.6096741570264976},
    {"llama3_sfairx", 1.0637639780044557, 2.953017385451928},
    {"mistral_raft", 8.309211883544922, 3.0728436748484533},
    {"mistral_ray", 3.0136284782886507, 1.6902981149232585},
    {"mistral_weqweasdas", 7.071075622558594, 2.578636650248985},
    {"oasst_deberta_v3", 2.8976835689097644, 1.7207868789061331},
    {"oasst_pythia_1b", 4.293944010734558, 2.3018268820938133},
    {"oasst_pythia_7b", 4.706351243972779, 1.3659142113789966},
};

int pllm_published_scale(const char *model, double *mean, double *sd) {
  for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
    if (strcmp(published[i].model, model) != 0) continue;
    *mean = published[i].mean;
    *sd = published[i].sd;
    return 1;
  }
  return 0;
}

PllmStatus pllm_scale_read(const PllmJson *scales, const char *model, double *mean, double *sd, PllmError *err) {
  static const char *const names[2] = {"mean", "sd"};
  double *out[2] = {mean, sd};
  const PllmJson *entry;
  if (pllm_json_type(scales) != PLLM_JSON_OBJECT)
    return pllm_fail(err, PLLM_INVALID, "%s; an object {\"NAME\": {\"mean\": m, \"sd\": s}, ...} is required",
                     pllm_json_type_name(scales));
  entry = pllm_json_member(scales, model);
  if (!entry) return pllm_fail(err, PLLM_INVALID, "no entry for reward model \"%.60s\"", model);
  if (pllm_json_type(entry) != PLLM_JSON_OBJECT)
    return pllm_fail(err, PLLM_INVALID,
                     "reward model \"%.60s\" is %s; an object {\"mean\": m, \"sd\": s} is required", model,
                     pllm_json_type_name(entry));
  for (int i = 0; i < 2; i++) {
    const PllmJson *value = pllm_json_member(entry, names[i]);
    if (!value) return pllm_fail(err, PLLM_INVALID, "reward model \"%.60s\": key \"%s\" is missing", model, names[i]);
    if (pllm_json_type(value) != PLLM_JSON_NUMBER || !isfinite(pllm_json_number(value)))
      return pllm_fail(err, PLLM_INVALID, "reward model \"%.60s\": key \"%s\" is %s; a finite number is required",
                       model, names[i],
                       pllm_json_type(value) == PLLM_JSON_NUMBER ? "infinite" : pllm_json_type_name(value));
    *out[i] = pllm_json_number(value);
  }
  if (!(*sd > 0)) {
    char found[32];
    pllm_number_text(*sd, found);
    return pllm_fail(err, PLLM_INVALID, "reward model \"%.60s\": key \"sd\" is %s; a positive number is required",
                     model, found);
  }
  return PLLM_OK;
}
