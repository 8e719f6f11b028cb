/*
** ext_population.c: read a population (any table or view with user_id and weights) in order and in blocks.
*/
#include "ext_int.h"

#include <string.h>

PllmStatus pllm_ext_population_open(PllmConn *conn, const PllmExtTable *table, size_t dim,
                                    PllmExtPopulation *population, PllmError *err) {
  char *sql = sqlite3_mprintf("SELECT user_id, weights FROM %s ORDER BY user_id", table->quoted);
  int rc;
  memset(population, 0, sizeof *population);
  population->db = conn->db;
  population->name = table->name;
  population->dim = dim;
  rc = sql ? sqlite3_prepare_v2(conn->db, sql, -1, &population->stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  if (rc == SQLITE_OK) return PLLM_OK;
  pllm_ext_sqlite_fail(err, conn->db, rc);
  return pllm_error_prefix(err, "%s", table->name);
}

static PllmStatus decode(PllmExtPopulation *p, sqlite3_value *weights, PllmError *err) {
  PllmStatus status = pllm_ext_vector_decode(weights, PLLM_F64, 0, &p->vector, err); /* weights are always f64 */
  if (status != PLLM_OK) return status;
  if (p->dim == 0) p->dim = p->vector.dim;
  if (p->vector.dim == p->dim) return PLLM_OK;
  return pllm_fail(err, PLLM_INVALID, "%zu numbers; %zu are required%s%s", p->vector.dim, p->dim,
                   p->dim_source ? ", as " : "", p->dim_source ? p->dim_source : "");
}

PllmStatus pllm_ext_population_next(PllmExtPopulation *p, PllmError *err) {
  int rc = p->done ? SQLITE_DONE : sqlite3_step(p->stmt);
  sqlite3_value *id, *weights;
  PllmStatus status = PLLM_OK;
  p->weights = NULL;
  if (rc == SQLITE_DONE) {
    p->done = 1;
    return PLLM_OK;
  }
  if (rc != SQLITE_ROW) {
    status = pllm_ext_sqlite_fail(err, p->db, rc);
    return status == PLLM_INVALID ? pllm_error_prefix(err, "%s", p->name) : status;
  }
  id = sqlite3_column_value(p->stmt, 0);
  weights = sqlite3_column_value(p->stmt, 1);
  if (sqlite3_value_type(id) != SQLITE_INTEGER)
    return pllm_fail(err, PLLM_INVALID, "%s: user_id is %s; an integer is required", p->name, pllm_ext_type_name(id));
  if (p->started && sqlite3_value_int64(id) == p->user_id)
    return pllm_fail(err, PLLM_INVALID, "%s: user_id %lld stands twice", p->name, p->user_id);
  p->started = 1;
  p->user_id = sqlite3_value_int64(id);
  if (sqlite3_value_type(weights) == SQLITE_NULL) {
    p->nulls++;
    return PLLM_OK;
  }
  status = decode(p, weights, err);
  if (status != PLLM_OK) return pllm_error_prefix(err, "%s: user_id %lld: weights", p->name, p->user_id);
  p->weights = p->vector.numbers;
  return PLLM_OK;
}

void pllm_ext_population_close(PllmExtPopulation *p) {
  sqlite3_finalize(p->stmt);
  pllm_ext_vector_free(&p->vector);
  memset(p, 0, sizeof *p);
}

static PllmStatus reserve(PllmExtUsers *users, size_t most, size_t dim, PllmError *err) {
  pllm_ext_users_free(users);
  if (dim > 0 && most <= SIZE_MAX / dim) users->weights = pllm_alloc(most * dim, sizeof *users->weights);
  users->user_id = pllm_alloc(most, sizeof *users->user_id);
  users->known = pllm_alloc(most, sizeof *users->known);
  if (!users->user_id || !users->weights || !users->known) return pllm_fail_nomem(err);
  users->room = most;
  return PLLM_OK;
}

PllmStatus pllm_ext_users_read(PllmExtPopulation *p, size_t most, int keep, PllmExtUsers *users, PllmError *err) {
  size_t dim = p->dim;
  PllmStatus status = users->room < most ? reserve(users, most, dim, err) : PLLM_OK;
  users->count = 0;
  while (status == PLLM_OK && users->count < most) {
    status = pllm_ext_population_next(p, err);
    if (status != PLLM_OK || p->done) break;
    if (!p->weights && !keep) continue;
    users->user_id[users->count] = p->user_id;
    users->known[users->count] = p->weights != NULL;
    if (p->weights)
      memcpy(users->weights + users->count * dim, p->weights, dim * sizeof *p->weights);
    else
      memset(users->weights + users->count * dim, 0, dim * sizeof *p->weights);
    users->count++;
  }
  return status;
}

void pllm_ext_users_free(PllmExtUsers *users) {
  pllm_free(users->user_id);
  pllm_free(users->weights);
  pllm_free(users->known);
  memset(users, 0, sizeof *users);
}
