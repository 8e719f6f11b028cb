/*
** core_pipeline.c: parse lines on all cores, consume them in order.
**
** Three batches go round: while the calling thread consumes batch k and then reads batch k+2, helper threads parse
** batch k+1; what they have not parsed by then the calling thread parses with them.  So it never waits while there is
** work, and with one thread everything still happens, one after the other.  cJSON allocates with malloc, never
** through the hooks, so helpers may parse; they also free the trees of the batch whose slots they take over.
*/
#include "core_int.h"

#include <string.h>

#define BATCHES 3
#define BATCH_BYTES ((size_t)2 << 20)
#define BATCH_LINES 16384

/* One of the two files' side of a batch. */
typedef struct Side {
  PllmLines lines;
  PllmItem *item; /* [room]; those from lines.count on may still hold an old tree */
  char *records;  /* [room][record_bytes] */
  size_t room;
} Side;

typedef struct Batch {
  const PllmPipeline *pipeline;
  Side side[2]; /* the file and the one beside it */
} Batch;

static PllmStatus side_room(Side *side, size_t record_bytes, PllmError *err) {
  size_t n = side->lines.count, room = side->room;
  PllmItem *item;
  char *records;
  if (n <= room) return PLLM_OK;
  item = pllm_resize(side->item, n, sizeof *item);
  if (!item) return pllm_fail_nomem(err);
  side->item = item;
  records = pllm_resize(side->records, n, record_bytes);
  if (!records) return pllm_fail_nomem(err);
  side->records = records;
  memset(item + room, 0, (n - room) * sizeof *item);
  memset(records + room * record_bytes, 0, (n - room) * record_bytes);
  side->room = n;
  for (size_t i = 0; i < n; i++) item[i].record = records + i * record_bytes;
  return PLLM_OK;
}

static PllmStatus read_side(Side *side, PllmReader *reader, size_t max_lines, size_t bytes, size_t record_bytes,
                            const PllmRun *run, PllmError *err) {
  PllmStatus status = pllm_reader_lines(reader, max_lines, bytes, run, &side->lines, err);
  if (status == PLLM_OK) status = side_room(side, record_bytes, err);
  if (status != PLLM_OK) {
    side->lines.count = 0;
    return status;
  }
  for (size_t i = 0; i < side->lines.count; i++) {
    const PllmLine *line = &side->lines.line[i];
    side->item[i].line = line->number;
    side->item[i].text = side->lines.text + line->start;
    side->item[i].bytes = line->bytes;
  }
  return PLLM_OK;
}

/* Lines of a second file may be far longer than ours (embeddings): *max_lines keeps them near the batch size. */
static PllmStatus read_batch(Batch *b, size_t *max_lines, const PllmRun *run, PllmError *err) {
  const PllmPipeline *p = b->pipeline;
  PllmStatus status = read_side(&b->side[0], p->reader, *max_lines, BATCH_BYTES, p->record_bytes, run, err);
  size_t n = b->side[0].lines.count, bytes = 0;
  b->side[1].lines.count = 0;
  if (status != PLLM_OK || !p->beside || n == 0) return status;
  status = read_side(&b->side[1], p->beside, n, SIZE_MAX, p->record_bytes, run, err);
  if (status != PLLM_OK || (n = b->side[1].lines.count) == 0) return status;
  for (size_t i = 0; i < n; i++) bytes += b->side[1].lines.line[i].bytes;
  *max_lines = BATCH_BYTES / (bytes / n + 1) + 1;
  return PLLM_OK;
}

static void parse_item(const PllmPipeline *p, PllmItem *item, int is_beside) {
  pllm_json_free(item->json);
  item->json = NULL;
  item->prepared = 0;
  if (pllm_json_parse(item->text, item->bytes, &item->json, NULL) == PLLM_OK && p->prepare)
    item->prepared = p->prepare(p->arg, item, is_beside);
}

static void parse_items(void *arg, size_t begin, size_t end, int worker) {
  Batch *b = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    for (int s = 0; s < 2; s++)
      if (i < b->side[s].lines.count) parse_item(b->pipeline, &b->side[s].item[i], s);
  }
}

static PllmStatus start_batch(Batch *b, const PllmRun *run, PllmJob **job, PllmError *err) {
  return pllm_job_start(run, b->side[0].lines.count, 1, parse_items, b, job, err);
}

static PllmStatus consume_batch(Batch *b, PllmError *err) {
  const PllmPipeline *p = b->pipeline;
  PllmStatus status = PLLM_OK;
  for (size_t i = 0; status == PLLM_OK && i < b->side[0].lines.count; i++)
    status = p->consume(p->arg, &b->side[0].item[i], i < b->side[1].lines.count ? &b->side[1].item[i] : NULL, err);
  return status;
}

static void free_batch(Batch *b) {
  for (int s = 0; s < 2; s++) {
    Side *side = &b->side[s];
    for (size_t i = 0; i < side->room; i++) {
      pllm_json_free(side->item[i].json);
      if (b->pipeline->release) b->pipeline->release(side->item[i].record);
    }
    pllm_lines_free(&side->lines);
    pllm_free(side->item);
    pllm_free(side->records);
  }
}

PllmStatus pllm_pipeline_run(const PllmPipeline *pipeline, const PllmRun *run, PllmError *err) {
  Batch batch[BATCHES];
  PllmJob *job = NULL;
  size_t max_lines = pipeline->beside ? 16 : BATCH_LINES;
  PllmStatus status;
  memset(batch, 0, sizeof batch);
  for (int i = 0; i < BATCHES; i++) batch[i].pipeline = pipeline;
  status = read_batch(&batch[0], &max_lines, run, err);
  if (status == PLLM_OK) status = start_batch(&batch[0], run, &job, err);
  if (status == PLLM_OK) status = read_batch(&batch[1], &max_lines, run, err);
  for (int k = 0; status == PLLM_OK; k = (k + 1) % BATCHES) {
    Batch *next = &batch[(k + 1) % BATCHES], *after = &batch[(k + 2) % BATCHES];
    PllmJob *parsed = job;
    job = NULL;
    status = pllm_job_join(parsed, err);
    if (status != PLLM_OK || batch[k].side[0].lines.count == 0) break;
    status = start_batch(next, run, &job, err);
    if (status == PLLM_OK) status = consume_batch(&batch[k], err);
    if (status == PLLM_OK) status = read_batch(after, &max_lines, run, err);
  }
  pllm_job_cancel(job);
  for (int i = 0; i < BATCHES; i++) free_batch(&batch[i]);
  return status;
}
