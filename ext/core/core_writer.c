/*
** core_writer.c: a file that appears whole or not at all.
**
** The temporary file lies in the same folder, as a rename must not cross file systems, and is created with O_EXCL.
** Where the path must not exist yet, link() takes the name without a race; file systems without hard links fall back
** to a check and a rename.
*/
#include "core_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BUFFER ((size_t)256 << 10)

struct PllmWriter {
  int fd;
  int overwrite;
  int gzip;
  z_stream z;
  size_t used;           /* bytes in buffer */
  unsigned char *buffer; /* [BUFFER] text not written yet */
  unsigned char *packed; /* [BUFFER] gzip only */
  char *temporary;       /* its path, in the same allocation; empty when there is none to remove */
  char path[];
};

static void *z_alloc(void *arg, unsigned items, unsigned size) {
  (void)arg;
  return pllm_alloc(items, size);
}

static void z_free(void *arg, void *block) {
  (void)arg;
  pllm_free(block);
}

static PllmStatus exists(const char *path, PllmError *err) {
  return pllm_fail(err, PLLM_INVALID, "%.200s exists; {\"overwrite\": true} replaces it", path);
}

static PllmStatus check_path(const PllmWriter *w, PllmError *err) {
  struct stat info;
  if (lstat(w->path, &info) != 0) return PLLM_OK;
  if (S_ISDIR(info.st_mode))
    return pllm_fail(err, PLLM_IO, "%.200s is a directory; the path of a file is required", w->path);
  if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) /* renaming over /dev/null would replace it */
    return pllm_fail(err, PLLM_IO, "%.200s is a device or a pipe; the path of a file is required", w->path);
  return w->overwrite ? PLLM_OK : exists(w->path, err);
}

/* Create path.tmp-PID-N for the first N that is free. */
static PllmStatus create_temporary(PllmWriter *w, size_t room, PllmError *err) {
  for (int i = 0; i < 1000; i++) {
    snprintf(w->temporary, room, "%s.tmp-%ld-%d", w->path, (long)getpid(), i);
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd >= 0) return PLLM_OK;
    if (errno != EEXIST) break;
  }
  *w->temporary = 0;
  return pllm_fail(err, PLLM_IO, "cannot create a file beside %.200s: %s", w->path, strerror(errno));
}

PllmStatus pllm_writer_open(const char *path, int overwrite, PllmWriter **writer, PllmError *err) {
  size_t n = strlen(path) + 1, room = n + 40;
  PllmWriter *w = pllm_alloc_zero(1, sizeof *w + n + room);
  PllmStatus status = PLLM_OK;
  if (!w) return pllm_fail_nomem(err);
  memcpy(w->path, path, n);
  w->temporary = w->path + n;
  w->fd = -1;
  w->overwrite = overwrite;
  w->buffer = pllm_alloc(BUFFER, 1);
  w->packed = pllm_alloc(BUFFER, 1);
  if (!w->buffer || !w->packed) status = pllm_fail_nomem(err);
  if (status == PLLM_OK) status = check_path(w, err);
  if (status == PLLM_OK) status = create_temporary(w, room, err);
  if (status == PLLM_OK && n > 4 && memcmp(path + n - 4, ".gz", 3) == 0) {
    w->z.zalloc = z_alloc;
    w->z.zfree = z_free;
    if (deflateInit2(&w->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      status = pllm_fail_nomem(err);
    else
      w->gzip = 1;
  }
  if (status == PLLM_OK)
    *writer = w;
  else
    pllm_writer_close(w);
  return status;
}

static PllmStatus write_file(PllmWriter *w, const unsigned char *bytes, size_t n, PllmError *err) {
  while (n > 0) {
    ssize_t done = write(w->fd, bytes, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return pllm_fail(err, PLLM_IO, "cannot write %.200s: %s", w->path, strerror(errno));
    bytes += done;
    n -= (size_t)done;
  }
  return PLLM_OK;
}

/* Pass on what the buffer holds; finish ends the gzip data. */
static PllmStatus flush(PllmWriter *w, int finish, PllmError *err) {
  PllmStatus status = PLLM_OK;
  int rc = Z_OK;
  if (!w->gzip) {
    status = write_file(w, w->buffer, w->used, err);
    w->used = 0;
    return status;
  }
  w->z.next_in = w->buffer;
  w->z.avail_in = (unsigned)w->used;
  do {
    w->z.next_out = w->packed;
    w->z.avail_out = (unsigned)BUFFER;
    rc = deflate(&w->z, finish ? Z_FINISH : Z_NO_FLUSH);
    if (rc == Z_STREAM_ERROR) return pllm_fail(err, PLLM_INTERNAL, "zlib refuses to deflate");
    status = write_file(w, w->packed, BUFFER - w->z.avail_out, err);
  } while (status == PLLM_OK && (finish ? rc != Z_STREAM_END : w->z.avail_in > 0 || w->z.avail_out == 0));
  w->used = 0;
  return status;
}

PllmStatus pllm_writer_raw(PllmWriter *w, const char *text, size_t bytes, PllmError *err) {
  while (bytes > 0) {
    size_t n = BUFFER - w->used < bytes ? BUFFER - w->used : bytes;
    memcpy(w->buffer + w->used, text, n);
    w->used += n;
    text += n;
    bytes -= n;
    if (w->used == BUFFER) {
      PllmStatus status = flush(w, 0, err);
      if (status != PLLM_OK) return status;
    }
  }
  return PLLM_OK;
}

static PllmStatus put_writer(void *arg, const char *text, size_t bytes, PllmError *err) {
  return pllm_writer_raw(arg, text, bytes, err);
}

PllmStatus pllm_writer_string(PllmWriter *w, const char *text, size_t bytes, PllmError *err) {
  return pllm_core_json_string(text, bytes, put_writer, w, err);
}

/* Best effort: the name itself is on the disk too (some file systems cannot sync a folder). */
static void sync_folder(const PllmWriter *w) {
  const char *slash = strrchr(w->path, '/');
  char folder[4096] = ".";
  int fd;
  if (slash) {
    size_t n = slash == w->path ? 1 : (size_t)(slash - w->path);
    if (n >= sizeof folder) return;
    memcpy(folder, w->path, n);
    folder[n] = 0;
  }
  fd = open(folder, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!fsync(fd);
  close(fd);
}

/* Give the finished file its name. */
static PllmStatus take_name(PllmWriter *w, PllmError *err) {
  PllmStatus status;
  if (!w->overwrite) {
    if (link(w->temporary, w->path) == 0) return PLLM_OK; /* close removes the other name */
    if (errno == EEXIST) return exists(w->path, err);
  }
  status = check_path(w, err);
  if (status != PLLM_OK) return status;
  if (rename(w->temporary, w->path) != 0)
    return pllm_fail(err, PLLM_IO, "cannot rename to %.200s: %s", w->path, strerror(errno));
  *w->temporary = 0;
  return PLLM_OK;
}

PllmStatus pllm_writer_commit(PllmWriter *w, PllmError *err) {
  PllmStatus status = flush(w, 1, err);
  int fd = w->fd;
  if (status != PLLM_OK) return status;
  if (fsync(fd) != 0 && errno != EINVAL)
    return pllm_fail(err, PLLM_IO, "cannot write %.200s: %s", w->path, strerror(errno));
  w->fd = -1;
  if (close(fd) != 0) return pllm_fail(err, PLLM_IO, "cannot write %.200s: %s", w->path, strerror(errno));
  status = take_name(w, err);
  if (status != PLLM_OK) return status;
  if (*w->temporary && unlink(w->temporary) == 0) *w->temporary = 0;
  sync_folder(w);
  return PLLM_OK;
}

void pllm_writer_close(PllmWriter *w) {
  if (!w) return;
  if (w->fd >= 0) close(w->fd);
  if (*w->temporary) unlink(w->temporary);
  if (w->gzip) deflateEnd(&w->z);
  pllm_free(w->buffer);
  pllm_free(w->packed);
  pllm_free(w);
}
