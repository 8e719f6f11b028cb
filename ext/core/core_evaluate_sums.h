/*
** core_evaluate_sums.h: the features of what users chose, summed in prompt order; part of core_evaluate_kernel.h.
**
** Rows are added user by user, or, with AVX-512, looked up: there one instruction finds, for the users in a vector, the
** feature of the one of 8 responses that each chose.
*/

typedef struct Sums {
  int are_here; /* and not in the task's rows? */
#if WIDTH == 8
#define SUMS_LOOKED_UP 1
  Vec sum[PLLM_N_ROWS][PLLM_JUDGE_QUICK_DIM][PLLM_JUDGE_TILE / WIDTH];
#else
#define SUMS_LOOKED_UP 0
#endif
} Sums;

#if SUMS_LOOKED_UP

/* From the task's rows, or back. */
static PLLM_INLINE void transpose_sums(const PllmJudgeTask *task, Sums *sums, const int back) {
  for (size_t i = 0; i < PLLM_N_ROWS; i++)
    for (size_t user = 0; user < PLLM_JUDGE_TILE; user++) {
      double *row = task->rows + (i * PLLM_JUDGE_TILE + user) * task->truth_stride;
      double *sum = (double *)sums->sum[i] + user;
      for (size_t b = 0; b < task->models; b++)
        if (back)
          row[b] = sum[b * PLLM_JUDGE_TILE];
        else
          sum[b * PLLM_JUDGE_TILE] = row[b];
    }
  sums->are_here = !back;
}

/* Add the chosen rows of a quick prompt. */
static PLLM_INLINE void look_up(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Sums *sums,
                                const Chosen *chosen) {
  enum { VECTORS = PLLM_JUDGE_TILE / WIDTH };
  const double *across = task->quick_truth.across + prompt->quick * task->models * 8;
  if (!sums->are_here) transpose_sums(task, sums, 0);
  for (int i = 0; i < PLLM_N_ROWS; i++) {
    __m512i at[VECTORS];
    for (int v = 0; v < VECTORS; v++)
      at[v] = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)&(*chosen)[i][v * WIDTH]));
    for (size_t b = 0; b < task->models; b++) {
      __m512d x = _mm512_loadu_pd(across + b * 8);
      for (int v = 0; v < VECTORS; v++) sums->sum[i][b][v] += (Vec)_mm512_permutexvar_pd(at[v], x);
    }
  }
}

#else

static void transpose_sums(const PllmJudgeTask *task, Sums *sums, int back) {
  (void)task, (void)sums, (void)back;
}

static void look_up(const PllmJudgeTask *task, const PllmJudgePrompt *prompt, Sums *sums, const Chosen *chosen) {
  (void)task, (void)prompt, (void)sums, (void)chosen;
}

#endif

enum { USERS = 2, COLUMNS = 3 }; /* whose sums, of both kinds, fit the registers */

/* Add the chosen rows of USERS users to their sums, prompt by prompt: n vectors of each from `column` on.  (Vector by
** vector: one memcpy of them all would go through memory.) */
static PLLM_INLINE void add_columns(const PllmJudgeTask *task, const PllmJudgePrompt *prompts, const Chosen *chosen,
                                    size_t count, size_t lane, size_t column, const int n) {
  const size_t stride = task->truth_stride;
  double *to[PLLM_N_ROWS][USERS];
  Vec sum[PLLM_N_ROWS][USERS][COLUMNS], row;
  PLLM_UNROLLED
  for (size_t i = 0; i < PLLM_N_ROWS; i++) PLLM_UNROLLED
  for (size_t k = 0; k < USERS; k++) {
    to[i][k] = task->rows + (i * PLLM_JUDGE_TILE + lane + k) * stride + column;
    PLLM_UNROLLED
    for (int v = 0; v < n; v++) memcpy(&sum[i][k][v], to[i][k] + v * WIDTH, sizeof row);
  }
  for (size_t p = 0; p < count; p++) {
    const double *features = task->truth_features + prompts[p].first * stride + column;
    PLLM_UNROLLED
    for (size_t i = 0; i < PLLM_N_ROWS; i++) PLLM_UNROLLED
    for (size_t k = 0; k < USERS; k++) {
      const double *from = features + chosen[p][i][lane + k] * stride;
      PLLM_UNROLLED
      for (int v = 0; v < n; v++) {
        memcpy(&row, from + v * WIDTH, sizeof row);
        sum[i][k][v] += row;
      }
    }
  }
  PLLM_UNROLLED
  for (size_t i = 0; i < PLLM_N_ROWS; i++) PLLM_UNROLLED
  for (size_t k = 0; k < USERS; k++) {
    PLLM_UNROLLED
    for (int v = 0; v < n; v++) memcpy(to[i][k] + v * WIDTH, &sum[i][k][v], sizeof row);
  }
}

/* Add the chosen rows of count prompts to the task's rows, which have all sums then. */
static void add_rows(const PllmJudgeTask *task, const PllmJudgePrompt *prompts, Sums *sums, const Chosen *chosen,
                     size_t count) {
  if (sums->are_here) transpose_sums(task, sums, 1);
  for (size_t lane = 0; lane < PLLM_JUDGE_TILE; lane += USERS)
    for (size_t column = 0; column < task->models; column += COLUMNS * WIDTH) {
      size_t left = (task->models - column + WIDTH - 1) / WIDTH;
      switch (left) {
      case 1: add_columns(task, prompts, chosen, count, lane, column, 1); break;
      case 2: add_columns(task, prompts, chosen, count, lane, column, 2); break;
      default: add_columns(task, prompts, chosen, count, lane, column, 3); break;
      }
    }
}
