/*
** core_reader.c: lines of a plain or gzip file, in bounded memory.
**
** Bytes are read (or inflated) straight into the caller's batch and only what follows its last line is copied, to
** open the next batch.
*/
#include "core_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK ((size_t)256 << 10) /* bytes per read; about 2 ms of inflating */

struct PllmReader {
  int fd;
  int regular;
  int gzip;
  int end;       /* no more bytes */
  int in_member; /* gzip: inside a member, so the file must not end here */
  size_t line;   /* lines handed out */
  z_stream z;
  unsigned char *in; /* [CHUNK] what was read of the file, before inflating */
  size_t in_used;    /* plain files: bytes of `in` read at open to look at the magic number, not handed out yet */
  char *rest;        /* bytes read but not handed out: what follows the last batch */
  size_t rest_bytes, rest_room;
  size_t name_at; /* offset of the file name in path */
  char path[];
};

/* zlib's memory comes through the hooks; the reader lives on the calling thread. */
static void *z_alloc(void *arg, unsigned items, unsigned size) {
  (void)arg;
  return pllm_alloc(items, size);
}

static void z_free(void *arg, void *block) {
  (void)arg;
  pllm_free(block);
}

const char *pllm_reader_name(const PllmReader *reader) {
  return reader->path + reader->name_at;
}

int pllm_reader_rereadable(const PllmReader *reader) {
  return reader->regular;
}

void pllm_reader_close(PllmReader *reader) {
  if (!reader) return;
  if (reader->fd >= 0) close(reader->fd);
  if (reader->gzip) inflateEnd(&reader->z);
  pllm_free(reader->in);
  pllm_free(reader->rest);
  pllm_free(reader);
}

/* Read up to `bytes` bytes of the file; 0 at its end. */
static PllmStatus read_file(PllmReader *r, void *out, size_t bytes, size_t *got, PllmError *err) {
  ssize_t n;
  do n = read(r->fd, out, bytes);
  while (n < 0 && errno == EINTR);
  if (n < 0) return pllm_fail(err, PLLM_IO, "cannot read %.200s: %s", r->path, strerror(errno));
  *got = (size_t)n;
  return PLLM_OK;
}

static PllmStatus recognise(PllmReader *r, PllmError *err) {
  size_t got;
  while (r->in_used < 4) {
    PllmStatus status = read_file(r, r->in + r->in_used, CHUNK - r->in_used, &got, err);
    if (status != PLLM_OK) return status;
    if (got == 0) break;
    r->in_used += got;
  }
  if (r->in_used >= 4 && memcmp(r->in, "PAR1", 4) == 0)
    return pllm_fail(err, PLLM_INVALID, "%.200s is a Parquet file; JSON lines, plain or gzip, are required",
                     pllm_reader_name(r));
  if (r->in_used >= 4 &&
      (memcmp(r->in, "PK\3\4", 4) == 0 || memcmp(r->in, "\x28\xB5\x2F\xFD", 4) == 0 || memcmp(r->in, "BZh", 3) == 0 ||
       memcmp(r->in,
              "\xFD"
              "7zX",
              4) == 0))
    return pllm_fail(err, PLLM_INVALID,
                     "%.200s is a zip, zstd, bzip2 or xz file; JSON lines, plain or gzip, are required",
                     pllm_reader_name(r));
  if (r->in_used < 2 || r->in[0] != 0x1F || r->in[1] != 0x8B) return PLLM_OK;
  r->z.zalloc = z_alloc;
  r->z.zfree = z_free;
  if (inflateInit2(&r->z, 31) != Z_OK) return pllm_fail_nomem(err);
  r->gzip = 1;
  r->in_member = 1;
  r->z.next_in = r->in;
  r->z.avail_in = (unsigned)r->in_used;
  return PLLM_OK;
}

PllmStatus pllm_reader_open(const char *path, PllmReader **reader, PllmError *err) {
  size_t n = strlen(path) + 1;
  PllmReader *r = pllm_alloc_zero(1, sizeof *r + n);
  const char *slash;
  struct stat info;
  PllmStatus status = PLLM_OK;
  if (!r) return pllm_fail_nomem(err);
  memcpy(r->path, path, n);
  slash = strrchr(r->path, '/');
  r->name_at = slash && slash[1] ? (size_t)(slash + 1 - r->path) : 0;
  r->in = pllm_alloc(CHUNK, 1);
  r->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (!r->in)
    status = pllm_fail_nomem(err);
  else if (r->fd < 0)
    status = pllm_fail(err, PLLM_IO, "cannot open %.200s: %s", path, strerror(errno));
  else if (fstat(r->fd, &info) != 0)
    status = pllm_fail(err, PLLM_IO, "cannot read %.200s: %s", path, strerror(errno));
  else if (S_ISDIR(info.st_mode))
    status = pllm_fail(err, PLLM_IO, "%.200s is a directory; a file of JSON lines is required", path);
  else
    r->regular = S_ISREG(info.st_mode);
  if (status == PLLM_OK) status = recognise(r, err);
  if (status == PLLM_OK)
    *reader = r;
  else
    pllm_reader_close(r);
  return status;
}

static PllmStatus refill(PllmReader *r, size_t *got, PllmError *err) {
  PllmStatus status = read_file(r, r->in, CHUNK, got, err);
  r->z.next_in = r->in;
  r->z.avail_in = status == PLLM_OK ? (unsigned)*got : 0;
  return status;
}

/* Inflate up to CHUNK bytes. */
static PllmStatus read_gzip(PllmReader *r, char *out, size_t *got, PllmError *err) {
  PllmStatus status;
  size_t n;
  r->z.next_out = (unsigned char *)out;
  r->z.avail_out = (unsigned)CHUNK;
  while (r->z.avail_out > 0) {
    int rc;
    if (r->z.avail_in == 0) {
      status = refill(r, &n, err);
      if (status != PLLM_OK) return status;
      if (n == 0) {
        if (r->in_member)
          return pllm_fail(err, PLLM_INVALID, "%.200s: the gzip data are cut off", pllm_reader_name(r));
        r->end = 1;
        break;
      }
    }
    if (!r->in_member) {
      if (r->z.next_in[0] != 0x1F)
        return pllm_fail(err, PLLM_INVALID, "%.200s: bytes after the end of the gzip data", pllm_reader_name(r));
      if (inflateReset(&r->z) != Z_OK) return pllm_fail(err, PLLM_INTERNAL, "zlib refuses a reset");
      r->in_member = 1;
    }
    rc = inflate(&r->z, Z_NO_FLUSH);
    if (rc == Z_MEM_ERROR) return pllm_fail_nomem(err);
    if (rc == Z_STREAM_END)
      r->in_member = 0;
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
      return pllm_fail(err, PLLM_INVALID, "%.200s: damaged gzip data: %s", pllm_reader_name(r),
                       r->z.msg ? r->z.msg : "no such dictionary");
  }
  *got = CHUNK - r->z.avail_out;
  return PLLM_OK;
}

/* Up to CHUNK more bytes of text; sets r->end when there are none. */
static PllmStatus read_text(PllmReader *r, char *out, size_t *got, PllmError *err) {
  PllmStatus status = PLLM_OK;
  if (r->gzip) return read_gzip(r, out, got, err);
  if (r->in_used > 0) {
    memcpy(out, r->in, r->in_used);
    *got = r->in_used;
    r->in_used = 0;
    return PLLM_OK;
  }
  status = read_file(r, out, CHUNK, got, err);
  if (status == PLLM_OK && *got == 0) r->end = 1;
  return status;
}

static PllmStatus text_room(PllmLines *lines, size_t more, PllmError *err) {
  size_t need = lines->used + more, room = lines->text_room;
  char *text;
  if (need <= room) return PLLM_OK;
  room = room + room / 2 > need ? room + room / 2 : need;
  text = pllm_resize(lines->text, room, 1);
  if (!text) return pllm_fail_nomem(err);
  lines->text = text;
  lines->text_room = room;
  return PLLM_OK;
}

/* Take the line text[start..end) unless it is blank. */
static PllmStatus take_line(PllmReader *r, PllmLines *lines, size_t start, size_t end, PllmError *err) {
  const char *text = lines->text;
  PllmLine *line;
  size_t first;
  r->line++;
  if (end - start > PLLM_MAX_LINE)
    return pllm_fail(err, PLLM_INVALID, "%.200s line %zu is longer than %zu bytes", pllm_reader_name(r), r->line,
                     PLLM_MAX_LINE);
  if (r->line == 1 && end - start >= 3 && memcmp(text + start, "\xEF\xBB\xBF", 3) == 0) start += 3;
  if (end > start && text[end - 1] == '\r') end--;
  for (first = start; first < end && (text[first] == ' ' || text[first] == '\t' || text[first] == '\r'); first++) {
  }
  if (first == end) return PLLM_OK;
  line = pllm_grow(lines->line, lines->count, &lines->room, 256, sizeof *line);
  if (!line) return pllm_fail_nomem(err);
  lines->line = line;
  lines->line[lines->count++] = (PllmLine){r->line, start, end - start};
  return PLLM_OK;
}

/* Keep text[start..used) for the next batch. */
static PllmStatus keep_rest(PllmReader *r, PllmLines *lines, size_t start, PllmError *err) {
  size_t n = lines->used - start;
  if (n > r->rest_room) {
    char *rest = pllm_resize(r->rest, n, 1);
    if (!rest) return pllm_fail_nomem(err);
    r->rest = rest;
    r->rest_room = n;
  }
  if (n > 0) memcpy(r->rest, lines->text + start, n);
  r->rest_bytes = n;
  return PLLM_OK;
}

PllmStatus pllm_reader_lines(PllmReader *r, size_t max_lines, size_t bytes, const PllmRun *run, PllmLines *lines,
                             PllmError *err) {
  size_t start = 0, scanned = 0, got; /* the line being read begins at start; text[..scanned) has no more ends */
  PllmStatus status;
  lines->count = 0;
  lines->used = 0;
  status = text_room(lines, r->rest_bytes, err);
  if (status != PLLM_OK) return status;
  if (r->rest_bytes > 0) memcpy(lines->text, r->rest, r->rest_bytes);
  lines->used = r->rest_bytes;
  r->rest_bytes = 0;
  for (;;) {
    while (lines->count < max_lines && scanned < lines->used) {
      char *end = memchr(lines->text + scanned, '\n', lines->used - scanned);
      scanned = end ? (size_t)(end - lines->text) + 1 : lines->used;
      if (!end) break;
      status = take_line(r, lines, start, scanned - 1, err);
      if (status != PLLM_OK) return status;
      start = scanned;
    }
    if (lines->count >= max_lines || (lines->count > 0 && lines->used >= bytes) || r->end) break;
    if (lines->used - start > PLLM_MAX_LINE + CHUNK) /* it will not get shorter */
      return take_line(r, lines, start, lines->used, err);
    if (lines->count == 0 && start > 0) { /* nothing but blank lines so far: drop them */
      lines->used -= start;
      memmove(lines->text, lines->text + start, lines->used);
      scanned -= start;
      start = 0;
    }
    status = pllm_poll(run, err);
    if (status == PLLM_OK) status = text_room(lines, CHUNK, err);
    if (status == PLLM_OK) status = read_text(r, lines->text + lines->used, &got, err);
    if (status != PLLM_OK) return status;
    lines->used += got;
  }
  if (r->end && lines->count < max_lines && start < lines->used) { /* the last line has no line end */
    status = take_line(r, lines, start, lines->used, err);
    start = lines->used;
  }
  return status == PLLM_OK ? keep_rest(r, lines, start, err) : status;
}

PllmStatus pllm_reader_peek(PllmReader *r, const PllmRun *run, PllmLines *lines, PllmError *err) {
  size_t start;
  PllmStatus status = pllm_reader_lines(r, 1, 1, run, lines, err);
  if (status != PLLM_OK || lines->count == 0) return status;
  start = lines->line[0].start;
  r->line = lines->line[0].number - 1;
  return keep_rest(r, lines, start, err);
}

void pllm_lines_free(PllmLines *lines) {
  pllm_free(lines->line);
  pllm_free(lines->text);
  memset(lines, 0, sizeof *lines);
}
