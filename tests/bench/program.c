/*
** program.c: the frame of the benchmark's C programs; see program.h.
*/
#include "program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_THREADS = 256 };

__attribute__((noreturn)) static void die(const char *what, const char *which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(1);
}

const char *arg_text(const Args *args, const char *key) {
  size_t n = strlen(key);
  for (int i = 0; i < args->count; i++)
    if (strncmp(args->value[i], key, n) == 0 && args->value[i][n] == '=') return args->value[i] + n + 1;
  die("missing argument", key);
  return NULL;
}

size_t arg_size(const Args *args, const char *key) {
  return (size_t)strtoull(arg_text(args, key), NULL, 10);
}

void *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 64) != 0) die("out of memory", "allocate");
  memset(p, 0, bytes);
  return p;
}

void *load_file(const char *path, size_t *bytes) {
  FILE *in = fopen(path, "rb");
  long end = -1;
  void *p;
  if (!in || fseek(in, 0, SEEK_END) != 0 || (end = ftell(in)) < 0) die("cannot read", path);
  rewind(in);
  p = allocate((size_t)end);
  if (fread(p, 1, (size_t)end, in) != (size_t)end) die("cannot read", path);
  fclose(in);
  if (bytes) *bytes = (size_t)end;
  return p;
}

/* ---- threads ---- */

typedef struct Pieces {
  atomic_size_t next;
  size_t count, chunk;
  void (*body)(void *, size_t, size_t, int);
  void *arg;
} Pieces;

typedef struct Worker {
  Pieces *pieces;
  int number;
} Worker;

static void *work(void *arg) {
  Worker *w = arg;
  Pieces *p = w->pieces;
  for (;;) {
    size_t begin = atomic_fetch_add(&p->next, p->chunk);
    if (begin >= p->count) return NULL;
    p->body(p->arg, begin, p->count - begin < p->chunk ? p->count : begin + p->chunk, w->number);
  }
}

void each_piece(size_t count, size_t chunk, int threads, void (*body)(void *, size_t, size_t, int), void *arg) {
  Pieces pieces = {.count = count, .chunk = chunk, .body = body, .arg = arg};
  Worker worker[MAX_THREADS];
  pthread_t thread[MAX_THREADS];
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  for (int i = 0; i < threads; i++) worker[i] = (Worker){&pieces, i};
  for (int i = 1; i < threads; i++)
    if (pthread_create(&thread[i], NULL, work, &worker[i]) != 0) die("cannot start", "a thread");
  work(&worker[0]);
  for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
}

/* ---- the frame ---- */

static double wall_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_now(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + 1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void write_answer(const Job *job, void *state, const char *path) {
  FILE *out = fopen(path, "wb");
  if (!out) die("cannot write", path);
  job->write(state, out);
  if (fclose(out) != 0) die("cannot write", path);
}

int program_main(int argc, char **argv, const Job *jobs) {
  Args args = {argc - 2, argv + 2};
  const Job *job = jobs;
  char line[4096];
  void *state;
  while (argc > 1 && job->name && strcmp(job->name, argv[1]) != 0) job++;
  if (argc < 2 || !job->name) die("usage: PROGRAM JOB key=value ...; unknown job", argc < 2 ? "none" : argv[1]);
  state = job->open(&args);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, "run") == 0) {
      double cpu = cpu_now(), wall = wall_now();
      job->run(state);
      wall = wall_now() - wall;
      printf("%.9f %.6f\n", wall, cpu_now() - cpu);
    } else if (strncmp(line, "write ", 6) == 0) {
      write_answer(job, state, line + 6);
      puts("written");
    } else {
      die("unknown command", line);
    }
    fflush(stdout);
  }
  return 0;
}
