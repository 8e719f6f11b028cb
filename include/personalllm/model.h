/*
** model.h: a learned model as a value.
**
** A model is one BLOB: what kind it is, what it was learned from and how, and named arrays of f64.  It never holds
** samples, and its length is odd (8k + 1), so that it can never pass for a vector.  Equal models are equal bytes, on
** every machine: numbers are little-endian, padding is zero, nothing is optional.  Layout, version 1:
**
**   offset  bytes
**        0      8  "PLLMODEL"
**        8      4  format version          \
**       12      4  kind                     | the same in every version to come
**       16      8  length of the whole BLOB |
**       24      8  checksum of all other bytes /
**       32      4  dim: length of feature vectors
**       36      4  rank: the kind's second dimension (components, base rewards, reward models), or 0
**       40      4  feature names: 0 or dim
**       44      4  output names: 0 or rank
**       48      4  bytes of options
**       52      4  sections
**       56      4  seed
**       60      4  flags: PLLM_MODEL_CONVERGED | ...
**       64   4x 8  users used, users skipped, rows used, rows skipped
**       96      8  objective (f64; 0 unless PLLM_MODEL_OBJECTIVE)
**      104      4  iterations
**      108      4  0
**      112         names: each 4 bytes of length and its UTF-8; zeros to a multiple of 8
**                  options: JSON text, zeros to a multiple of 8
**                  sections: name (16 bytes, zero-filled), rows (4), columns (4), f64[rows][columns]
**   last        1  0xA5
**
** The fit's iterations are a section "history" of columns (objective, criterion); what the criterion is, the kind
** says.
*/
#ifndef PERSONALLLM_MODEL_H
#define PERSONALLLM_MODEL_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PLLM_MODEL_VERSION 1

/* Numbers in BLOBs: never reused.  What sections each kind has is in core_model.c. */
typedef enum PllmModelKind {
  PLLM_MODEL_PRIOR = 1,        /* users' weights are a mixture of Dirichlets (learn_users) */
  PLLM_MODEL_POOLED = 2,       /* one weight vector for all */
  PLLM_MODEL_LORE = 3,         /* low-rank basis, users on a simplex */
  PLLM_MODEL_SVD = 4,          /* low-rank basis, signed users (PReF) */
  PLLM_MODEL_MAML = 5,         /* base rewards and a start for few gradient steps (MRM) */
  PLLM_MODEL_NEIGHBORS = 6,    /* the historical users themselves */
  PLLM_MODEL_POSTERIOR = 7,    /* one user's posterior */
  PLLM_MODEL_STUDENT = 8,      /* features to rewards (distill_rewards) */
  PLLM_MODEL_TEXT_STUDENT = 9, /* text to rewards (distill_text) */
  PLLM_MODEL_CLASSES = 10,     /* latent classes of users */
  PLLM_MODEL_KINDS             /* one more than the last */
} PllmModelKind;

enum {
  PLLM_MODEL_CONVERGED = 1, /* the fit met its own criterion */
  PLLM_MODEL_F32 = 2,       /* features were f32 BLOBs: embeddings */
  PLLM_MODEL_OBJECTIVE = 4  /* the kind has an objective */
};

#define PLLM_SECTION_NAME 15 /* longest name of a section */

typedef struct PllmSection {
  char name[PLLM_SECTION_NAME + 1];
  size_t rows, columns;
  double *numbers; /* [rows][columns], owned */
} PllmSection;

/* Fill the plain fields directly; names, options and sections through the functions below. */
typedef struct PllmModel {
  PllmModelKind kind;
  size_t dim, rank;
  uint32_t seed;
  unsigned flags;
  uint64_t users, users_skipped, rows, rows_skipped;
  double objective;
  uint32_t iterations;
  char **features, **outputs; /* owned: [dim] and [rank] names, NULL where not known */
  char *options;              /* owned: a JSON object, never NULL */
  PllmSection *sections;      /* owned: [n_sections] */
  size_t n_sections;
} PllmModel;

/* "prior", "pooled", ...; NULL for a number that is no kind. */
const char *pllm_model_kind_name(PllmModelKind kind);

/* An empty model: no names, options "{}", no sections.  *model is freed with pllm_model_free. */
PllmStatus pllm_model_new(PllmModelKind kind, size_t dim, size_t rank, PllmModel **model, PllmError *err);
void pllm_model_free(PllmModel *model); /* NULL is accepted */

/* Copies; the last call counts.  names[count] with count = dim (features) or rank (outputs), or 0 for none:
** PLLM_INVALID for another count, an empty name, invalid UTF-8. */
PllmStatus pllm_model_set_features(PllmModel *model, const char *const *names, size_t count, PllmError *err);
PllmStatus pllm_model_set_outputs(PllmModel *model, const char *const *names, size_t count, PllmError *err);
PllmStatus pllm_model_set_options(PllmModel *model, const char *json, PllmError *err);

/* A new section of zeros, to be filled by the caller through *numbers (which the model owns). */
PllmStatus pllm_model_add(PllmModel *model, const char *name, size_t rows, size_t columns, double **numbers,
                          PllmError *err);
/* A section by name, NULL where there is none. */
const PllmSection *pllm_model_section(const PllmModel *model, const char *name);
/* The numbers of a section that pllm_model_check has seen. */
const double *pllm_model_numbers(const PllmModel *model, const char *name);

/*
** Is the model complete: does it have the sections of its kind, in the right shapes, and no others; are its numbers
** finite?  PLLM_INVALID says what is wrong.  Encoding and decoding both ask this, so who is given a decoded model
** need not.
*/
PllmStatus pllm_model_check(const PllmModel *model, PllmError *err);

/* The model's bytes into *blob (pllm_free) and *bytes.  O(bytes). */
PllmStatus pllm_model_encode(const PllmModel *model, unsigned char **blob, size_t *bytes, PllmError *err);

/*
** The model of blob[bytes].  Any bytes are safe: PLLM_CORRUPT for a truncated or altered model, PLLM_INVALID for
** what is no model or comes from a newer version, the text says which.  Allocates no more than the bytes justify.
** What is decoded encodes to the same bytes.  O(bytes).
*/
PllmStatus pllm_model_decode(const void *blob, size_t bytes, PllmModel **model, PllmError *err);

/* Do these bytes look like a model at all (length and magic)? */
int pllm_model_looks(const void *blob, size_t bytes);

/*
** The checksum of a model's bytes: h over the 8-byte little-endian words, the checksum's own taken as 0, in four
** interleaved lanes, each step a bijection of the lane, so that no change of a single word goes unnoticed.  bytes as
** pllm_model_looks accepts them.
*/
uint64_t pllm_model_checksum(const void *blob, size_t bytes);
/* The checksum a model claims to have. */
uint64_t pllm_model_claim(const void *blob);

#ifdef __cplusplus
}
#endif
#endif
