/*
** personalllm.h: the native scoring core of personalllm, usable without SQLite.
**
** One header per topic; this one pulls them all in.  Rules that hold everywhere:
**
**  - Functions that can fail return a PllmStatus and describe the failure in a PllmError that the caller
**    owns (it is a plain struct, so reporting an error never allocates).
**  - Matrices are row-major and dense; shapes are written [rows][columns] in the comments.
**  - Nothing is global except the allocator hooks, which are set once before first use.
**  - Results never depend on the number of threads.
*/
#ifndef PERSONALLLM_H
#define PERSONALLLM_H

#include "personalllm/adapt.h"
#include "personalllm/analysis.h"
#include "personalllm/base.h"
#include "personalllm/buffer.h"
#include "personalllm/dataset.h"
#include "personalllm/distill.h"
#include "personalllm/evaluate.h"
#include "personalllm/exact.h"
#include "personalllm/fingerprint.h"
#include "personalllm/icl.h"
#include "personalllm/interactions.h"
#include "personalllm/json.h"
#include "personalllm/jsonl.h"
#include "personalllm/kernel.h"
#include "personalllm/learn.h"
#include "personalllm/model.h"
#include "personalllm/neighbors.h"
#include "personalllm/parallel.h"
#include "personalllm/random.h"
#include "personalllm/scores.h"
#include "personalllm/store.h"
#include "personalllm/style.h"
#include "personalllm/text.h"
#include "personalllm/users.h"
#include "personalllm/vector.h"
#include "personalllm/votes.h"

#endif
