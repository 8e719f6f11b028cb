/*
** ext_register.c: registration tables.
*/
#include "ext_int.h"

int pllm_ext_functions(PllmConn *conn, const PllmFunction *functions, int count, char **error) {
  for (int i = 0; i < count; i++) {
    const PllmFunction *f = &functions[i];
    PllmConn *held = pllm_ext_conn_ref(conn); /* the destructor gives it back, also when registration fails */
    int rc;
    if (f->inverse)
      rc = sqlite3_create_window_function(conn->db, f->name, f->args, f->flags, held, f->step, f->final, f->value,
                                          f->inverse, pllm_ext_conn_unref);
    else
      rc = sqlite3_create_function_v2(conn->db, f->name, f->args, f->flags, held, f->scalar, f->step, f->final,
                                      pllm_ext_conn_unref);
    if (rc != SQLITE_OK) {
      *error = sqlite3_mprintf("personalllm: cannot register %s(): %s", f->name, sqlite3_errmsg(conn->db));
      return rc;
    }
  }
  return SQLITE_OK;
}

int pllm_ext_module(PllmConn *conn, const char *name, const sqlite3_module *module, char **error) {
  int rc = sqlite3_create_module_v2(conn->db, name, module, pllm_ext_conn_ref(conn), pllm_ext_conn_unref);
  if (rc != SQLITE_OK)
    *error = sqlite3_mprintf("personalllm: cannot register table %s: %s", name, sqlite3_errmsg(conn->db));
  return rc;
}
