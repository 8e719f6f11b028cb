/*
** core_votes.h: the vote kernel's task, shared by its instruction-set variants.
*/
#ifndef PLLM_CORE_VOTES_H
#define PLLM_CORE_VOTES_H

#include "core_int.h"

/* Users per tile of the weights' layout: the widest vector. */
#define PLLM_VOTE_TILE 16

/* Best and worst response of one prompt for a block of users. */
typedef struct PllmVoteTask {
  size_t models, responses, users;
  const float *weights;   /* tiles of 16 users, [tile][models][16], 64-byte aligned, padded with zeros */
  const float *features;  /* blocks of 8 responses: [block][models][8] */
  const int32_t *numbers; /* 0, 1, 2, ...: from memory they go into vectors by themselves */
  float margin;           /* leads below this are undecided */
  int32_t tag_bits;       /* low mantissa bits that hold a response's number: 2^k - 1 >= responses - 1 */
  uint32_t *best, *worst; /* [responses], added to */
  uint32_t *unsure;       /* [users]: the users this cannot decide, ascending */
  size_t *n_unsure;
} PllmVoteTask;

void pllm_core_votes_base(const PllmVoteTask *task);
void pllm_core_votes_avx2(const PllmVoteTask *task);
void pllm_core_votes_avx512(const PllmVoteTask *task);

#endif
