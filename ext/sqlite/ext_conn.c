/*
** ext_conn.c: what one connection keeps, and how bulk jobs notice sqlite3_interrupt().
*/
#include "ext_int.h"

PllmConn *pllm_ext_conn_new(sqlite3 *db) {
  PllmConn *conn = pllm_alloc_zero(1, sizeof *conn);
  if (conn) {
    conn->db = db;
    conn->refs = 1;
  }
  return conn;
}

PllmConn *pllm_ext_conn_ref(PllmConn *conn) {
  conn->refs++;
  return conn;
}

void pllm_ext_conn_unref(void *arg) {
  PllmConn *conn = arg;
  if (--conn->refs > 0) return;
  if (conn->scores_free) conn->scores_free(conn->scores);
  pllm_adapter_free(conn->adapter);
  pllm_ext_models_free(conn);
  pllm_free(conn);
}

PllmAdapter *pllm_ext_adapter(PllmConn *conn, PllmError *err) {
  if (!conn->adapter) conn->adapter = pllm_adapter_new();
  if (!conn->adapter) pllm_fail_nomem(err);
  return conn->adapter;
}

static int poll_connection(void *arg) {
  PllmExtPoll *poll = arg;
  int rc = sqlite3_step(poll->stmt);
  sqlite3_reset(poll->stmt);
  return rc == SQLITE_INTERRUPT;
}

PllmStatus pllm_ext_poll_open(PllmConn *conn, PllmExtPoll *poll, PllmError *err) {
  PllmStatus status;
  int rc;
  poll->db = conn->db;
  poll->stmt = NULL;
  poll->run = (PllmRun){.threads = conn->threads, .poll = poll_connection, .poll_arg = poll};
  poll->run.threads = pllm_run_threads(&poll->run); /* once: cores may come and go */
  rc = sqlite3_prepare_v2(conn->db, "SELECT 1", -1, &poll->stmt, NULL);
  if (rc != SQLITE_OK) return pllm_ext_sqlite_fail(err, conn->db, rc);
  status = pllm_crew_new(&poll->run.crew, err);
  if (status != PLLM_OK) pllm_ext_poll_close(poll);
  return status;
}

void pllm_ext_poll_close(PllmExtPoll *poll) {
  pllm_crew_free(poll->run.crew);
  poll->run.crew = NULL;
  sqlite3_finalize(poll->stmt);
  poll->stmt = NULL;
}
