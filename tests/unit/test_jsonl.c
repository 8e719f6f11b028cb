/* Files of JSON lines: the reader on whole and damaged files, the pipeline's order, the writer, numbers as text. */
#include "tap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/personalllm-XXXXXX";

static const char *path_of(const char *name) {
  static char path[2][256];
  static int which;
  which = !which;
  snprintf(path[which], sizeof path[which], "%s/%s", folder, name);
  return path[which];
}

static const char *put(const char *name, const char *bytes, size_t n) {
  const char *path = path_of(name);
  FILE *f = fopen(path, "wb");
  if (f) {
    fwrite(bytes, 1, n, f);
    fclose(f);
  }
  return path;
}

static size_t get(const char *name, char *out, size_t room) {
  FILE *f = fopen(path_of(name), "rb");
  size_t n = f ? fread(out, 1, room, f) : 0;
  if (f) fclose(f);
  return n;
}

/* All lines of a file, "number:text|" each, or the error. */
static const char *read_all(const char *path, size_t max_lines, size_t bytes) {
  static char out[4096];
  PllmReader *r = NULL;
  PllmLines lines = {0};
  PllmError err;
  size_t n = 0;
  if (pllm_reader_open(path, &r, &err) != PLLM_OK) {
    snprintf(out, sizeof out, "error %.600s", err.text);
    return out;
  }
  *out = 0;
  if (pllm_reader_peek(r, NULL, &lines, &err) != PLLM_OK)
    snprintf(out, sizeof out, "error %.600s", err.text);
  else if (lines.count > 1)
    snprintf(out, sizeof out, "peeking gives %zu lines", lines.count);
  while (*out == 0 || lines.count > 0) {
    if (pllm_reader_lines(r, max_lines, bytes, NULL, &lines, &err) != PLLM_OK) {
      snprintf(out, sizeof out, "error %.600s", err.text);
      break;
    }
    for (size_t i = 0; i < lines.count && n < sizeof out - 100; i++)
      n += (size_t)snprintf(out + n, sizeof out - n, "%zu:%.*s|", lines.line[i].number,
                            (int)(lines.line[i].bytes < 40 ? lines.line[i].bytes : 40),
                            lines.text + lines.line[i].start);
    if (lines.count == 0) break;
  }
  pllm_lines_free(&lines);
  pllm_reader_close(r);
  return out;
}

static void reads(const char *what, const char *bytes, size_t n, const char *want) {
  const char *path = put("lines", bytes, n), *got;
  for (size_t max = 1; max <= 64; max += 63) {
    got = read_all(path, max, 1);
    tap_check(strcmp(got, want) == 0, "%s, %zu lines at a time: %s", what, max, got);
  }
}

static void test_lines(void) {
  reads("lines", "a\nbc\n", 5, "1:a|2:bc|");
  reads("a last line without a line end", "a\nbc", 4, "1:a|2:bc|");
  reads("CRLF line ends", "a\r\nbc\r\n", 7, "1:a|2:bc|");
  reads("blank lines are skipped but counted", "\n \t\na\n\r\n\nb\n\n", 12, "3:a|6:b|");
  reads("a byte order mark", "\xEF\xBB\xBF{}\nb\n", 8, "1:{}|2:b|");
  reads("an empty file", "", 0, "");
  reads("a file of one byte", "x", 1, "1:x|");
  reads("NUL bytes stay in the line", "a\0b\n", 4, "1:a|");
}

static void test_long_lines(void) {
  size_t n = PLLM_MAX_LINE + 1;
  char *text = malloc(n + 2);
  const char *path;
  if (!text) return;
  memset(text, 'x', n + 2);
  text[n - 1] = '\n';
  text[n] = 'y';
  path = put("long", text, n + 1);
  tap_check(strcmp(read_all(path, 64, 1), "1:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx|2:y|") == 0,
            "a line of the greatest length is read");
  text[n - 1] = 'x';
  text[n] = '\n';
  path = put("long", text, n + 1);
  tap_check(strcmp(read_all(path, 64, 1), "error long line 1 is longer than 33554432 bytes") == 0,
            "a longer one is refused: %s", read_all(path, 64, 1));
  path = put("long", text, n);
  tap_check(strncmp(read_all(path, 64, 1), "error", 5) == 0, "also as the last line");
  for (size_t i = 0; i < n; i++) text[i] = i % 2 ? '\n' : ' ';
  path = put("long", text, n);
  tap_check(strcmp(read_all(path, 64, 1), "") == 0, "megabytes of blank lines are no lines");
  free(text);
  unlink(path);
}

/* A gzip file's bytes, through the writer. */
static size_t pack(const char *text, char *out, size_t room) {
  PllmWriter *w;
  PllmError err;
  size_t n = 0;
  unlink(path_of("p.gz"));
  if (pllm_writer_open(path_of("p.gz"), 0, &w, &err) != PLLM_OK) return 0;
  if (pllm_writer_raw(w, text, strlen(text), &err) == PLLM_OK && pllm_writer_commit(w, &err) == PLLM_OK)
    n = get("p.gz", out, room);
  pllm_writer_close(w);
  return n;
}

static void test_gzip(void) {
  char one[512], two[512], both[1024];
  size_t n = pack("a\nb", one, sizeof one), m = pack("c\nd\n", two, sizeof two);
  tap_check(n > 18 && (unsigned char)one[0] == 0x1F && (unsigned char)one[1] == 0x8B, "the writer makes gzip");
  reads("gzip", one, n, "1:a|2:b|");
  memcpy(both, one, n);
  memcpy(both + n, two, m);
  reads("two gzip members are one text", both, n + m, "1:a|2:bc|3:d|");
  for (size_t cut = 2; cut < n; cut++) {
    const char *got = read_all(put("lines", one, cut), 64, 1);
    if (strcmp(got, "error lines: the gzip data are cut off") != 0) {
      tap_check(0, "gzip cut off after %zu bytes: %s", cut, got);
      return;
    }
  }
  tap_check(1, "gzip cut off anywhere is an error");
  memcpy(both + n, "junk", 4);
  reads("bytes after gzip", both, n + 4, "error lines: bytes after the end of the gzip data");
  memcpy(both + n, two, m);
  reads("a second member cut off", both, n + m / 2, "error lines: the gzip data are cut off");
  one[n - 6] ^= 1;
  reads("a wrong checksum", one, n, "error lines: damaged gzip data: incorrect data check");
}

static void test_no_file(void) {
  char want[512];
  snprintf(want, sizeof want, "error cannot open %s: No such file or directory", path_of("missing"));
  tap_check(strcmp(read_all(path_of("missing"), 1, 1), want) == 0, "a missing file");
  snprintf(want, sizeof want, "error %s is a directory; a file of JSON lines is required", folder);
  tap_check(strcmp(read_all(folder, 1, 1), want) == 0, "a directory");
  reads("Parquet", "PAR1....", 8, "error lines is a Parquet file; JSON lines, plain or gzip, are required");
  reads("zip", "PK\3\4....", 8,
        "error lines is a zip, zstd, bzip2 or xz file; JSON lines, plain or gzip, are required");
}

typedef struct Seen {
  size_t count, beside, bad, stop_at;
  int in_order;
} Seen;

static int prepare(void *arg, PllmItem *item, int is_beside) {
  double *record = item->record;
  (void)arg;
  (void)is_beside;
  *record = pllm_json_number(item->json);
  return 1;
}

static PllmStatus consume(void *arg, PllmItem *item, PllmItem *beside, PllmError *err) {
  Seen *seen = arg;
  seen->count++;
  if (seen->stop_at == seen->count) return pllm_fail(err, PLLM_INVALID, "stop at %zu", item->line);
  if (!item->json)
    seen->bad++;
  else if (!item->prepared || *(double *)item->record != (double)item->line)
    seen->in_order = 0;
  if (item->line != seen->count) seen->in_order = 0;
  if (beside) {
    seen->beside++;
    if (beside->line != item->line || *(double *)beside->record != -(double)item->line) seen->in_order = 0;
  }
  return PLLM_OK;
}

static int stop_now(void *arg) {
  (void)arg;
  return 1;
}

static void test_pipeline(void) {
  enum { LINES = 40000, FEWER = 30000 };
  FILE *f = fopen(path_of("many"), "wb"), *g = fopen(path_of("beside"), "wb");
  PllmError err;
  if (!f || !g) return;
  for (int i = 1; i <= LINES; i++) {
    fprintf(f, i == 777 ? "{bad\n" : "%*s%d\n", i % 7 * 40, "", i);
    if (i <= FEWER) fprintf(g, "%*s-%d\n", i % 5 * 90, "", i);
  }
  fclose(f);
  fclose(g);
  for (int threads = 1; threads <= 5; threads += 2) {
    for (int with = 0; with < 2; with++) {
      PllmRun run = {.threads = threads};
      Seen seen = {.in_order = 1};
      PllmPipeline p = {.record_bytes = sizeof(double), .arg = &seen, .prepare = prepare, .consume = consume};
      PllmStatus status = pllm_reader_open(path_of("many"), &p.reader, &err);
      if (status == PLLM_OK && with) status = pllm_reader_open(path_of("beside"), &p.beside, &err);
      if (status == PLLM_OK) status = pllm_pipeline_run(&p, &run, &err);
      pllm_reader_close(p.reader);
      pllm_reader_close(p.beside);
      tap_check(status == PLLM_OK && seen.count == LINES && seen.bad == 1 && seen.in_order &&
                    seen.beside == (with ? (size_t)FEWER : 0),
                "%d threads parse every line in order%s", threads, with ? ", two files in step" : "");
    }
  }
  for (size_t stop = 1; stop < LINES; stop += 13331) {
    Seen seen = {.in_order = 1, .stop_at = stop};
    PllmPipeline p = {.record_bytes = sizeof(double), .arg = &seen, .prepare = prepare, .consume = consume};
    PllmStatus status = pllm_reader_open(path_of("many"), &p.reader, &err);
    char part[32];
    snprintf(part, sizeof part, "stop at %zu", stop);
    if (status == PLLM_OK) tap_fails(pllm_pipeline_run(&p, NULL, &err), PLLM_INVALID, &err, part);
    pllm_reader_close(p.reader);
  }
  {
    PllmRun run = {.poll = stop_now};
    Seen seen = {.in_order = 1};
    PllmPipeline p = {.record_bytes = sizeof(double), .arg = &seen, .consume = consume};
    if (pllm_reader_open(path_of("many"), &p.reader, &err) == PLLM_OK)
      tap_fails(pllm_pipeline_run(&p, &run, &err), PLLM_INTERRUPTED, &err, "interrupted");
    pllm_reader_close(p.reader);
  }
}

static void test_writer(void) {
  static const char text[] = "a\"b\\c\n\r\t\b\f\x01\x1f\x7f/\xC3\xA9\xF0\x9F\x98\x80";
  char out[256];
  PllmWriter *w;
  PllmError err;
  size_t n;
  struct stat info;
  PllmStatus status = pllm_writer_open(path_of("new"), 0, &w, &err);
  tap_check(status == PLLM_OK && stat(path_of("new"), &info) != 0, "the name appears only at commit");
  status = pllm_writer_string(w, text, sizeof text - 1, &err);
  tap_check(status == PLLM_OK && pllm_writer_commit(w, &err) == PLLM_OK, "a string is written");
  pllm_writer_close(w);
  n = get("new", out, sizeof out);
  {
    PllmJson *json = NULL;
    status = pllm_json_parse(out, n, &json, &err);
    tap_check(status == PLLM_OK && strcmp(pllm_json_text(json), text) == 0, "and reads back: %.*s", (int)n, out);
    pllm_json_free(json);
  }
  tap_fails(pllm_writer_open(path_of("new"), 0, &w, &err), PLLM_INVALID, &err,
            "new exists; {\"overwrite\": true} replaces it");
  tap_check(pllm_writer_open(path_of("new"), 1, &w, &err) == PLLM_OK, "overwriting when told");
  tap_fails(pllm_writer_string(w, "ab\xFF", 3, &err), PLLM_INVALID, &err, "invalid UTF-8 at byte 2");
  tap_fails(pllm_writer_string(w, "a\0b", 3, &err), PLLM_INVALID, &err, "the character U+0000 at byte 1");
  pllm_writer_close(w);
  tap_check(get("new", out, sizeof out) == n, "closed without commit, the old file is as it was");
  tap_check(pllm_writer_open(path_of("late"), 0, &w, &err) == PLLM_OK, "another file");
  put("late", "x", 1);
  tap_fails(pllm_writer_commit(w, &err), PLLM_INVALID, &err, "late exists");
  pllm_writer_close(w);
  tap_check(get("late", out, sizeof out) == 1 && *out == 'x', "a file that appeared meanwhile is kept");
  tap_fails(pllm_writer_open(folder, 1, &w, &err), PLLM_IO, &err, "is a directory; the path of a file is required");
  tap_fails(pllm_writer_open(path_of("no/such"), 1, &w, &err), PLLM_IO, &err, "No such file or directory");
}

static uint64_t bits(double x) {
  uint64_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}

static void test_numbers(void) {
  static const struct {
    double x;
    const char *text;
  } cases[] = {{0.0, "0"},
               {-0.0, "-0"},
               {0.1, "0.1"},
               {-12.5, "-12.5"},
               {100, "100"},
               {1e300, "1e+300"},
               {5e-324, "5e-324"},
               {1.5e-310, "1.5e-310"},
               {123456789.123456, "123456789.123456"},
               {0.00001, "0.00001"},
               {1e15, "1e+15"},
               {999999999999999, "999999999999999"},
               {1.7976931348623157e308, "1.7976931348623157e+308"},
               {1 / 3.0, "0.3333333333333333"}};
  uint64_t state = 1;
  int good = 1, good32 = 1;
  char text[32];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pllm_number_text(cases[i].x, text);
    tap_check(strcmp(text, cases[i].text) == 0, "%s is printed %s", cases[i].text, text);
  }
  for (int i = 0; i < 200000; i++) {
    double x;
    float y;
    uint32_t half;
    state = state * 6364136223846793005u + 1442695040888963407u;
    memcpy(&x, &state, sizeof x);
    if (i % 3 == 0) x = (double)(int64_t)state / 1e15;
    if (i % 3 == 1) x = rint((double)(int64_t)state / 1e12) / 1e6;
    if (!isfinite(x)) continue;
    pllm_number_text(x, text);
    if (bits(strtod(text, NULL)) != bits(x)) good = 0;
    half = (uint32_t)(state >> 32);
    memcpy(&y, &half, sizeof y);
    if (i % 2) y = (float)x;
    if (!isfinite(y)) continue;
    pllm_number_text_f32(y, text);
    if ((float)strtod(text, NULL) != y) good32 = 0;
  }
  tap_check(good, "every double reads back to its bits");
  tap_check(good32, "every float reads back");
  pllm_number_text_f32(0.1f, text);
  tap_check(strcmp(text, "0.1") == 0, "0.1f is printed %s", text);
  pllm_number_text_f32(16777216.0f, text);
  tap_check(strtod(text, NULL) == 16777216.0, "16777216f is printed %s", text);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  test_lines();
  test_long_lines();
  test_gzip();
  test_no_file();
  test_pipeline();
  test_writer();
  test_numbers();
  {
    static const char *const made[] = {"lines", "long", "p.gz", "many", "beside", "new", "late"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(path_of(made[i]));
    tap_check(rmdir(folder) == 0, "no temporary file is left");
  }
  return tap_done();
}
