/*
** limit.h: the hand-written limits.  Each file defines one job of the program `limit`; all are compiled for the machine
** they run on (-march=native), specialised where the task allows it, and know nothing of the library they are held against.
*/
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include "program.h"

extern const Job limit_votes_f64, limit_votes_f32;                 /* j1_votes/limit.c */
extern const Job limit_neighbors, limit_neighbors_int16;           /* j4_neighbors/limit.c */
extern const Job limit_fma_f64, limit_fma_f32, limit_read;         /* limit_ceilings.c */
extern const Job limit_exp, limit_log, limit_philox;               /* limit_ceilings.c */

#endif
