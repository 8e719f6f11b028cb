/*
** limit.c: best and worst response of every user on every prompt, tallied: 8 responses and 10 reward models known beforehand.
**
** Users lie across the lanes; the ten weights of a tile of users stay in registers while prompts pass by, each reward is
** broadcast from memory, eight sums run side by side.  A lane's choice is kept as a shift, so that one shifted 1 added to a
** counter per lane tallies all eight responses; the counters are emptied before a field can overflow.
**
** f64 rounds like nobody in particular (fused multiply-adds) but never moves a vote of random data; f32 moves a few in
** hundred millions, which the driver counts, and is here to show what exactness costs.
*/
#include "../limit.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MODELS = 10, RESPONSES = 8, PROMPT_BLOCK = 16 };

typedef struct Votes {
  size_t users, prompts;
  int threads;
  const double *weights, *rewards; /* [users][10], [prompts][8][10] */
  int64_t *best, *worst;           /* [prompts][8] */
  void *tiles;                     /* weights in tiles of lanes: [tile][10][lanes] */
  void (*piece)(void *, size_t, size_t, int);
} Votes;

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES64 8
#define LANES32 16
typedef __m512d V64;
typedef __m512i I64;
typedef __m512 V32;
typedef __m512i I32;
#define load64(p) _mm512_load_pd(p)
#define all64(x) _mm512_set1_pd(x)
#define mul64(a, b) _mm512_mul_pd(a, b)
#define fma64(a, b, c) _mm512_fmadd_pd(a, b, c)
#define int64s(x) _mm512_set1_epi64(x)
/* where a > b: take a and its shift */
#define raise64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __mmask8 m = _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);                                                                 \
    b = _mm512_max_pd(a, b);                                                                                           \
    at = _mm512_mask_mov_epi64(at, m, int64s(shift));                                                                  \
  } while (0)
#define lower64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __mmask8 m = _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);                                                                 \
    b = _mm512_min_pd(a, b);                                                                                           \
    at = _mm512_mask_mov_epi64(at, m, int64s(shift));                                                                  \
  } while (0)
#define count64(sum, at) _mm512_add_epi64(sum, _mm512_sllv_epi64(int64s(1), at))
#define load32(p) _mm512_load_ps(p)
#define all32(x) _mm512_set1_ps(x)
#define mul32(a, b) _mm512_mul_ps(a, b)
#define fma32(a, b, c) _mm512_fmadd_ps(a, b, c)
#define int32s(x) _mm512_set1_epi32(x)
#define raise32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __mmask16 m = _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);                                                                \
    b = _mm512_max_ps(a, b);                                                                                           \
    at = _mm512_mask_mov_epi32(at, m, int32s(shift));                                                                  \
  } while (0)
#define lower32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __mmask16 m = _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);                                                                \
    b = _mm512_min_ps(a, b);                                                                                           \
    at = _mm512_mask_mov_epi32(at, m, int32s(shift));                                                                  \
  } while (0)
#define count32(sum, at) _mm512_add_epi32(sum, _mm512_sllv_epi32(int32s(1), at))
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES64 4
#define LANES32 8
typedef __m256d V64;
typedef __m256i I64;
typedef __m256 V32;
typedef __m256i I32;
#define load64(p) _mm256_load_pd(p)
#define all64(x) _mm256_set1_pd(x)
#define mul64(a, b) _mm256_mul_pd(a, b)
#define fma64(a, b, c) _mm256_fmadd_pd(a, b, c)
#define int64s(x) _mm256_set1_epi64x(x)
#define select64(m, shift, at) _mm256_blendv_epi8(at, int64s(shift), _mm256_castpd_si256(m))
#define raise64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __m256d m = _mm256_cmp_pd(a, b, _CMP_GT_OQ);                                                                       \
    b = _mm256_max_pd(a, b);                                                                                           \
    at = select64(m, shift, at);                                                                                       \
  } while (0)
#define lower64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __m256d m = _mm256_cmp_pd(a, b, _CMP_LT_OQ);                                                                       \
    b = _mm256_min_pd(a, b);                                                                                           \
    at = select64(m, shift, at);                                                                                       \
  } while (0)
#define count64(sum, at) _mm256_add_epi64(sum, _mm256_sllv_epi64(int64s(1), at))
#define load32(p) _mm256_load_ps(p)
#define all32(x) _mm256_set1_ps(x)
#define mul32(a, b) _mm256_mul_ps(a, b)
#define fma32(a, b, c) _mm256_fmadd_ps(a, b, c)
#define int32s(x) _mm256_set1_epi32(x)
#define select32(m, shift, at) _mm256_blendv_epi8(at, int32s(shift), _mm256_castps_si256(m))
#define raise32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __m256 m = _mm256_cmp_ps(a, b, _CMP_GT_OQ);                                                                        \
    b = _mm256_max_ps(a, b);                                                                                           \
    at = select32(m, shift, at);                                                                                       \
  } while (0)
#define lower32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    __m256 m = _mm256_cmp_ps(a, b, _CMP_LT_OQ);                                                                        \
    b = _mm256_min_ps(a, b);                                                                                           \
    at = select32(m, shift, at);                                                                                       \
  } while (0)
#define count32(sum, at) _mm256_add_epi32(sum, _mm256_sllv_epi32(int32s(1), at))
#else /* the compiler's own vectors, 16 bytes: SSE2, NEON and others */
#define LANES64 2
#define LANES32 4
typedef double V64 __attribute__((vector_size(16)));
typedef int64_t I64 __attribute__((vector_size(16)));
typedef float V32 __attribute__((vector_size(16)));
typedef int32_t I32 __attribute__((vector_size(16)));
#define load64(p) (*(const V64 *)(p))
#define all64(x) ((V64){(x), (x)})
#define mul64(a, b) ((a) * (b))
#define fma64(a, b, c) ((a) * (b) + (c))
#define int64s(x) ((I64){(x), (x)})
#define choose64(m, a, b) ((V64)(((m) & (I64)(a)) | (~(m) & (I64)(b))))
#define raise64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    I64 m = (a) > (b);                                                                                                 \
    b = choose64(m, a, b);                                                                                             \
    at = (m & int64s(shift)) | (~m & at);                                                                              \
  } while (0)
#define lower64(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    I64 m = (a) < (b);                                                                                                 \
    b = choose64(m, a, b);                                                                                             \
    at = (m & int64s(shift)) | (~m & at);                                                                              \
  } while (0)
#define count64(sum, at) ((sum) + (int64s(1) << (at)))
#define load32(p) (*(const V32 *)(p))
#define all32(x) ((V32){(x), (x), (x), (x)})
#define mul32(a, b) ((a) * (b))
#define fma32(a, b, c) ((a) * (b) + (c))
#define int32s(x) ((I32){(x), (x), (x), (x)})
#define choose32(m, a, b) ((V32)(((m) & (I32)(a)) | (~(m) & (I32)(b))))
#define raise32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    I32 m = (a) > (b);                                                                                                 \
    b = choose32(m, a, b);                                                                                             \
    at = (m & int32s(shift)) | (~m & at);                                                                              \
  } while (0)
#define lower32(a, shift, b, at)                                                                                       \
  do {                                                                                                                 \
    I32 m = (a) < (b);                                                                                                 \
    b = choose32(m, a, b);                                                                                             \
    at = (m & int32s(shift)) | (~m & at);                                                                              \
  } while (0)
#define count32(sum, at) ((sum) + (int32s(1) << (at)))
#endif

/* One kernel for both widths: 64-bit lanes count in fields of 8 bits (255 tiles), 32-bit lanes in fields of 4 (15). */
#define VOTES_PIECE(name, Number, Counter, V, I, LANES, FIELD, MOST, load, all, mul, fma, ints, raise, lower, count)  \
  static void name(void *arg, size_t begin, size_t end, int worker) {                                                  \
    const Votes *v = arg;                                                                                              \
    size_t tiles = v->users / LANES;                                                                                   \
    Number rewards[PROMPT_BLOCK][MODELS][RESPONSES];                                                                   \
    I best[PROMPT_BLOCK], worst[PROMPT_BLOCK];                                                                         \
    (void)worker;                                                                                                      \
    for (size_t p = begin; p < end; p++)                                                                               \
      for (int r = 0; r < RESPONSES; r++)                                                                              \
        for (int b = 0; b < MODELS; b++)                                                                               \
          rewards[p - begin][b][r] = (Number)v->rewards[(p * RESPONSES + (size_t)r) * MODELS + (size_t)b];             \
    for (size_t first = 0; first < tiles; first += MOST) {                                                             \
      size_t last = first + MOST < tiles ? first + MOST : tiles;                                                       \
      memset(best, 0, sizeof best);                                                                                    \
      memset(worst, 0, sizeof worst);                                                                                  \
      for (size_t t = first; t < last; t++) {                                                                          \
        const Number *tile = (const Number *)v->tiles + t * MODELS * LANES;                                            \
        V w[MODELS];                                                                                                   \
        for (int b = 0; b < MODELS; b++) w[b] = load(tile + b * LANES);                                                \
        for (size_t p = 0; p < end - begin; p++) {                                                                     \
          V u[RESPONSES], high, low;                                                                                   \
          I at_high = ints(0), at_low = ints(0);                                                                       \
          for (int r = 0; r < RESPONSES; r++) u[r] = mul(w[0], all(rewards[p][0][r]));                                 \
          for (int b = 1; b < MODELS; b++)                                                                             \
            for (int r = 0; r < RESPONSES; r++) u[r] = fma(w[b], all(rewards[p][b][r]), u[r]);                         \
          high = low = u[0];                                                                                           \
          for (int r = 1; r < RESPONSES; r++) {                                                                        \
            raise(u[r], r *FIELD, high, at_high);                                                                      \
            lower(u[r], r *FIELD, low, at_low);                                                                        \
          }                                                                                                            \
          best[p] = count(best[p], at_high);                                                                           \
          worst[p] = count(worst[p], at_low);                                                                          \
        }                                                                                                              \
      }                                                                                                                \
      for (size_t p = 0; p < end - begin; p++) {                                                                       \
        Counter lane[LANES];                                                                                           \
        memcpy(lane, &best[p], sizeof lane);                                                                           \
        for (int j = 0; j < LANES; j++)                                                                                \
          for (int r = 0; r < RESPONSES; r++)                                                                          \
            v->best[(begin + p) * RESPONSES + (size_t)r] += lane[j] >> r * FIELD & ((1 << FIELD) - 1);                 \
        memcpy(lane, &worst[p], sizeof lane);                                                                          \
        for (int j = 0; j < LANES; j++)                                                                                \
          for (int r = 0; r < RESPONSES; r++)                                                                          \
            v->worst[(begin + p) * RESPONSES + (size_t)r] += lane[j] >> r * FIELD & ((1 << FIELD) - 1);                \
      }                                                                                                                \
    }                                                                                                                  \
    for (size_t u = tiles * LANES; u < v->users; u++) /* the users that fill no tile */                                \
      for (size_t p = begin; p < end; p++) {                                                                           \
        size_t high = 0, low = 0;                                                                                      \
        Number sum[RESPONSES];                                                                                         \
        for (size_t r = 0; r < RESPONSES; r++) {                                                                       \
          sum[r] = 0;                                                                                                  \
          for (size_t b = 0; b < MODELS; b++) sum[r] += (Number)v->weights[u * MODELS + b] * rewards[p - begin][b][r]; \
          if (sum[r] > sum[high]) high = r;                                                                            \
          if (sum[r] < sum[low]) low = r;                                                                              \
        }                                                                                                              \
        v->best[p * RESPONSES + high]++;                                                                               \
        v->worst[p * RESPONSES + low]++;                                                                               \
      }                                                                                                                \
  }
VOTES_PIECE(piece_f64, double, uint64_t, V64, I64, LANES64, 8, 255, load64, all64, mul64, fma64, int64s, raise64,
            lower64, count64)
VOTES_PIECE(piece_f32, float, uint32_t, V32, I32, LANES32, 4, 15, load32, all32, mul32, fma32, int32s, raise32, lower32,
            count32)

static Votes *votes_open(const Args *args) {
  Votes *v = allocate(sizeof *v);
  size_t bytes;
  v->threads = (int)arg_size(args, "threads");
  v->weights = load_file(arg_text(args, "weights"), &bytes);
  v->users = bytes / (MODELS * sizeof(double));
  v->rewards = load_file(arg_text(args, "rewards"), &bytes);
  v->prompts = bytes / (RESPONSES * MODELS * sizeof(double));
  v->best = allocate(v->prompts * RESPONSES * sizeof *v->best);
  v->worst = allocate(v->prompts * RESPONSES * sizeof *v->worst);
  v->tiles = allocate(v->users * MODELS * sizeof(double));
  return v;
}

static void *f64_open(const Args *args) {
  return votes_open(args);
}

static void votes_run(Votes *v) {
  memset(v->best, 0, v->prompts * RESPONSES * sizeof *v->best);
  memset(v->worst, 0, v->prompts * RESPONSES * sizeof *v->worst);
  each_piece(v->prompts, PROMPT_BLOCK, v->threads, v->piece, v);
}

static void f64_run(void *state) {
  Votes *v = state;
  double *tiles = v->tiles;
  for (size_t u = 0; u < v->users / LANES64 * LANES64; u++)
    for (size_t b = 0; b < MODELS; b++)
      tiles[(u / LANES64 * MODELS + b) * LANES64 + u % LANES64] = v->weights[u * MODELS + b];
  v->piece = piece_f64;
  votes_run(v);
}

/* Many processors take a hundred times as long for products with a subnormal factor or result: a weight that could lead
** to one counts as 0, which moves no vote that f32 does not move anyway. */
static float flushed(double weight) {
  return fabs(weight) < 1e-30 ? 0 : (float)weight;
}

static void f32_run(void *state) {
  Votes *v = state;
  float *tiles = v->tiles;
  for (size_t u = 0; u < v->users / LANES32 * LANES32; u++)
    for (size_t b = 0; b < MODELS; b++)
      tiles[(u / LANES32 * MODELS + b) * LANES32 + u % LANES32] = flushed(v->weights[u * MODELS + b]);
  v->piece = piece_f32;
  votes_run(v);
}

static void votes_write(void *state, FILE *out) {
  Votes *v = state;
  fwrite(v->best, sizeof *v->best, v->prompts * RESPONSES, out);
  fwrite(v->worst, sizeof *v->worst, v->prompts * RESPONSES, out);
}

const Job limit_votes_f64 = {"votes_f64", f64_open, f64_run, votes_write};
const Job limit_votes_f32 = {"votes_f32", f64_open, f32_run, votes_write};
