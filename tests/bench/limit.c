/*
** limit.c: the program `limit`: what a hand-tiled C program makes of each job on this machine, and the machine's ceilings.
** Linked against nothing but libm, POSIX threads and, for the neighbours' matrix product, OpenBLAS.
*/
#include "limit.h"

int main(int argc, char **argv) {
  const Job jobs[] = {limit_votes_f64, limit_votes_f32,
                      limit_neighbors, limit_neighbors_int16,
                      limit_fma_f64,   limit_fma_f32,
                      limit_read,      limit_exp,
                      limit_log,       limit_philox,
                      {0}};
  return program_main(argc, argv, jobs);
}
