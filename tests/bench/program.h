/*
** program.h: how the benchmark's C programs (limit, core) are driven.
**
** A program is started as `limit JOB key=value ...`, loads its data, prints "ready" and then obeys lines on its standard
** input: "run" does the job once and prints its wall and CPU seconds, "write PATH" writes the last answer there as raw
** numbers and prints "written".  So the driver can run it in turns with everything it is compared with.
*/
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stddef.h>
#include <stdio.h>

typedef struct Args {
  int count;
  char **value;
} Args;

const char *arg_text(const Args *args, const char *key); /* exits when missing */
size_t arg_size(const Args *args, const char *key);

/* A file of raw numbers as memory; *bytes its length.  Exits on failure. */
void *load_file(const char *path, size_t *bytes);
void *allocate(size_t bytes); /* zeroed, 64-byte aligned, touched; exits when short */

typedef struct Job {
  const char *name;
  void *(*open)(const Args *args);
  void (*run)(void *state);
  void (*write)(void *state, FILE *out);
} Job;

/* body(arg, begin, end, worker) for pieces of 0..count on so many threads. */
void each_piece(size_t count, size_t chunk, int threads, void (*body)(void *arg, size_t begin, size_t end, int worker),
                void *arg);

/* The last entry of jobs has no name. */
int program_main(int argc, char **argv, const Job *jobs);

#endif
