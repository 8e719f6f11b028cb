/*
** core_model_bytes.c: models as bytes (the layout is in model.h).
*/
#include "core_model.h"

#include <string.h>

static const char magic[8] = {'P', 'L', 'L', 'M', 'O', 'D', 'E', 'L'};

#define HEADER ((size_t)112)
#define SECTION_HEADER ((size_t)24)
#define LAST_BYTE 0xA5

/* ---- numbers, little-endian at any alignment ---- */

static uint32_t get32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const unsigned char *p) {
  return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(unsigned char *p, uint32_t x) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(x >> 8 * i);
}

static void put64(unsigned char *p, uint64_t x) {
  put32(p, (uint32_t)x);
  put32(p + 4, (uint32_t)(x >> 32));
}

static size_t round_up(size_t bytes) {
  return (bytes + 7) / 8 * 8;
}

/* ---- recognising one ---- */

int pllm_model_looks(const void *blob, size_t bytes) {
  return bytes % 8 == 1 && bytes > HEADER && memcmp(blob, magic, sizeof magic) == 0;
}

uint64_t pllm_model_claim(const void *blob) {
  return get64((const unsigned char *)blob + 24);
}

static uint64_t step(uint64_t h, uint64_t word) {
  h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
  return h ^ h >> 32;
}

uint64_t pllm_model_checksum(const void *blob, size_t bytes) {
  const unsigned char *p = blob;
  uint64_t lane[4] = {1, 2, 3, 4}, h = bytes;
  size_t words = bytes / 8, i = 4;
  for (size_t k = 0; k < 4; k++) lane[k] = step(lane[k], k == 3 ? 0 : get64(p + 8 * k));
  for (; i + 4 <= words; i += 4)
    for (size_t k = 0; k < 4; k++) lane[k] = step(lane[k], get64(p + 8 * (i + k)));
  for (; i < words; i++) lane[i % 4] = step(lane[i % 4], get64(p + 8 * i));
  for (size_t k = 0; k < 4; k++) h = step(h, lane[k]);
  return step(h, p[bytes - 1]);
}

/* ---- encoding ---- */

static size_t names_bytes(char *const *names, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; names && i < count; i++) bytes += 4 + strlen(names[i]);
  return bytes;
}

static unsigned char *put_names(unsigned char *p, char *const *names, size_t count) {
  for (size_t i = 0; names && i < count; i++) {
    size_t n = strlen(names[i]);
    put32(p, (uint32_t)n);
    memcpy(p + 4, names[i], n);
    p += 4 + n;
  }
  return p;
}

PllmStatus pllm_model_encode(const PllmModel *m, unsigned char **out, size_t *out_bytes, PllmError *err) {
  size_t options = strlen(m->options), names = names_bytes(m->features, m->dim) + names_bytes(m->outputs, m->rank);
  size_t bytes = HEADER + round_up(names) + round_up(options) + 1;
  unsigned char *blob, *p;
  PllmStatus status = pllm_model_check(m, err);
  *out = NULL;
  if (status != PLLM_OK) return pllm_error_prefix(err, "this model cannot be stored");
  for (size_t i = 0; i < m->n_sections; i++) {
    const PllmSection *s = &m->sections[i];
    if (s->rows > UINT32_MAX || s->columns > UINT32_MAX) return pllm_fail_nomem(err);
    bytes += SECTION_HEADER + s->rows * s->columns * 8;
  }
  blob = pllm_alloc_zero(bytes, 1);
  if (!blob) return pllm_fail_nomem(err);
  memcpy(blob, magic, sizeof magic);
  put32(blob + 8, PLLM_MODEL_VERSION);
  put32(blob + 12, (uint32_t)m->kind);
  put64(blob + 16, bytes);
  put32(blob + 32, (uint32_t)m->dim);
  put32(blob + 36, (uint32_t)m->rank);
  put32(blob + 40, m->features ? (uint32_t)m->dim : 0);
  put32(blob + 44, m->outputs ? (uint32_t)m->rank : 0);
  put32(blob + 48, (uint32_t)options);
  put32(blob + 52, (uint32_t)m->n_sections);
  put32(blob + 56, m->seed);
  put32(blob + 60, m->flags);
  put64(blob + 64, m->users);
  put64(blob + 72, m->users_skipped);
  put64(blob + 80, m->rows);
  put64(blob + 88, m->rows_skipped);
  pllm_vector_store(&m->objective, 1, PLLM_F64, blob + 96);
  put32(blob + 104, m->iterations);
  p = put_names(put_names(blob + HEADER, m->features, m->dim), m->outputs, m->rank);
  p = blob + HEADER + round_up(names);
  memcpy(p, m->options, options);
  p += round_up(options);
  for (size_t i = 0; i < m->n_sections; i++) {
    const PllmSection *s = &m->sections[i];
    memcpy(p, s->name, sizeof s->name);
    put32(p + 16, (uint32_t)s->rows);
    put32(p + 20, (uint32_t)s->columns);
    pllm_vector_store(s->numbers, s->rows * s->columns, PLLM_F64, p + SECTION_HEADER);
    p += SECTION_HEADER + s->rows * s->columns * 8;
  }
  *p = LAST_BYTE;
  put64(blob + 24, pllm_model_checksum(blob, bytes));
  *out = blob;
  *out_bytes = bytes;
  return PLLM_OK;
}

/* ---- decoding ---- */

/* What is left to read.  Every take is checked against it, so nothing is read, or allocated, that is not there. */
typedef struct Input {
  const unsigned char *p;
  size_t left;
} Input;

static const unsigned char *take(Input *in, size_t bytes) {
  const unsigned char *p = in->p;
  if (bytes > in->left) return NULL;
  in->p += bytes;
  in->left -= bytes;
  return p;
}

static PllmStatus broken(PllmError *err, const char *what) {
  return pllm_fail(err, PLLM_CORRUPT, "the model contradicts itself: %s", what);
}

/* The header's fixed part: is this a whole, unaltered model of a version we read? */
static PllmStatus check_frame(const unsigned char *b, size_t bytes, PllmError *err) {
  uint32_t version;
  if (bytes < HEADER + 1 || memcmp(b, magic, sizeof magic) != 0)
    return pllm_fail(err, PLLM_INVALID, "a BLOB of %zu bytes is no model%s", bytes,
                     bytes % 2 == 0 && bytes > 0 ? " (its even length is that of a vector)" : "");
  version = get32(b + 8);
  if (version > PLLM_MODEL_VERSION)
    return pllm_fail(err, PLLM_INVALID,
                     "a model of format version %u; this is personalllm %s, which reads versions up to %d", version,
                     PLLM_VERSION, PLLM_MODEL_VERSION);
  if (get64(b + 16) != bytes)
    return pllm_fail(err, PLLM_CORRUPT, "a model of %llu bytes, of which there are %zu: it was cut off or added to",
                     (unsigned long long)get64(b + 16), bytes);
  if (bytes % 8 != 1 || version == 0 || pllm_model_checksum(b, bytes) != pllm_model_claim(b))
    return pllm_fail(err, PLLM_CORRUPT, "the model was altered: its checksum is wrong");
  return PLLM_OK;
}

static int is_zero(const unsigned char *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    if (p[i]) return 0;
  return 1;
}

/* Two lists of names, and the zeros behind them. */
static PllmStatus read_names(Input *in, PllmModel *m, const size_t counts[2], PllmError *err) {
  size_t most = counts[0] > counts[1] ? counts[0] : counts[1], read = 0;
  PllmText *texts;
  PllmStatus status = PLLM_OK;
  const unsigned char *p;
  if (most > in->left / 4) return broken(err, "more names than bytes");
  texts = pllm_alloc(most, sizeof *texts);
  if (!texts) return pllm_fail_nomem(err);
  for (int list = 0; list < 2 && status == PLLM_OK; list++) {
    size_t expected = list ? m->rank : m->dim;
    if (counts[list] != 0 && counts[list] != expected) status = broken(err, "not one name each");
    for (size_t i = 0; i < counts[list] && status == PLLM_OK; i++) {
      size_t n;
      p = take(in, 4);
      n = p ? get32(p) : 0;
      p = p ? take(in, n) : NULL;
      if (!p || !pllm_core_name_ok((const char *)p, n)) {
        status = broken(err, "a name is cut off, empty or no valid UTF-8");
      } else {
        texts[i] = (PllmText){(const char *)p, n};
        read += 4 + n;
      }
    }
    if (status == PLLM_OK)
      status = pllm_core_names_copy(list ? &m->outputs : &m->features, expected, texts, counts[list], err);
  }
  pllm_free(texts);
  if (status != PLLM_OK) return status;
  p = take(in, round_up(read) - read);
  return p && is_zero(p, round_up(read) - read) ? PLLM_OK : broken(err, "what stands behind the names");
}

static PllmStatus read_options(Input *in, PllmModel *m, size_t bytes, PllmError *err) {
  const unsigned char *p = bytes <= in->left ? take(in, round_up(bytes)) : NULL;
  char *copy;
  if (!p || !pllm_core_name_ok((const char *)p, bytes) || !is_zero(p + bytes, round_up(bytes) - bytes))
    return broken(err, "its options");
  copy = pllm_alloc(bytes + 1, 1);
  if (!copy) return pllm_fail_nomem(err);
  memcpy(copy, p, bytes);
  copy[bytes] = 0;
  pllm_free(m->options);
  m->options = copy;
  return PLLM_OK;
}

static PllmStatus read_section(Input *in, PllmModel *m, PllmError *err) {
  const unsigned char *p = take(in, SECTION_HEADER);
  char name[PLLM_SECTION_NAME + 1];
  size_t rows, columns, length;
  double *numbers;
  PllmStatus status;
  if (!p) return broken(err, "a section is cut off");
  memcpy(name, p, sizeof name);
  length = strnlen(name, sizeof name);
  rows = get32(p + 16);
  columns = get32(p + 20);
  if (length == sizeof name || !is_zero(p + length, sizeof name - length)) return broken(err, "a section's name");
  if (columns > 0 && rows > in->left / 8 / columns) return broken(err, "a section is longer than the model");
  status = pllm_model_add(m, name, rows, columns, &numbers, err);
  if (status == PLLM_OK) pllm_vector_load(take(in, rows * columns * 8), PLLM_F64, rows * columns, numbers);
  return status;
}

PllmStatus pllm_model_decode(const void *blob, size_t bytes, PllmModel **out, PllmError *err) {
  const unsigned char *b = blob;
  Input in;
  size_t counts[2], sections;
  PllmModel *m;
  PllmStatus status = check_frame(b, bytes, err);
  *out = NULL;
  if (status != PLLM_OK) return status;
  in = (Input){b + HEADER, bytes - HEADER - 1};
  status = pllm_model_new((PllmModelKind)get32(b + 12), get32(b + 32), get32(b + 36), &m, err);
  if (status != PLLM_OK) return status;
  counts[0] = get32(b + 40);
  counts[1] = get32(b + 44);
  sections = get32(b + 52);
  m->seed = get32(b + 56);
  m->flags = get32(b + 60);
  m->users = get64(b + 64);
  m->users_skipped = get64(b + 72);
  m->rows = get64(b + 80);
  m->rows_skipped = get64(b + 88);
  pllm_vector_load(b + 96, PLLM_F64, 1, &m->objective);
  m->iterations = get32(b + 104);
  if (get32(b + 108) != 0) status = broken(err, "its header");
  if (status == PLLM_OK) status = read_names(&in, m, counts, err);
  if (status == PLLM_OK) status = read_options(&in, m, get32(b + 48), err);
  if (status == PLLM_OK && sections > in.left / SECTION_HEADER) status = broken(err, "more sections than bytes");
  for (size_t i = 0; i < sections && status == PLLM_OK; i++) status = read_section(&in, m, err);
  if (status == PLLM_OK && (in.left != 0 || b[bytes - 1] != LAST_BYTE)) status = broken(err, "its end");
  if (status == PLLM_OK) {
    PllmError why;
    status = pllm_model_check(m, &why);
    if (status == PLLM_INVALID)
      status = broken(err, why.text);
    else if (status != PLLM_OK)
      pllm_fail_nomem(err);
  }
  if (status != PLLM_OK) {
    pllm_model_free(m);
    return status;
  }
  *out = m;
  return PLLM_OK;
}
