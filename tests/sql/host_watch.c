/* Which threads use SQLite?  Wraps its mutexes and its allocator, which every use of a handle and every allocation goes
** through, and counts the calls of threads other than the one that asked.  For test_host.py; install before SQLite is used. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static sqlite3_mutex_methods mutex;
static sqlite3_mem_methods memory;
static pthread_t owner;
static atomic_int watching, foreign;

static void note(void) {
  if (atomic_load(&watching) && !pthread_equal(pthread_self(), owner)) atomic_fetch_add(&foreign, 1);
}
static void enter(sqlite3_mutex *m) {
  note();
  mutex.xMutexEnter(m);
}
static int try(sqlite3_mutex *m) {
  note();
  return mutex.xMutexTry(m);
}
static void *allocate(int n) {
  note();
  return memory.xMalloc(n);
}
static void release(void *p) {
  note();
  memory.xFree(p);
}
static void *resize(void *p, int n) {
  note();
  return memory.xRealloc(p, n);
}

int watch_install(void) {
  sqlite3_mutex_methods m;
  sqlite3_mem_methods a;
  int rc = sqlite3_initialize(); /* chooses both */
  if (rc == SQLITE_OK) rc = sqlite3_shutdown(); /* the only time to ask for them and to change them */
  if (rc == SQLITE_OK) rc = sqlite3_config(SQLITE_CONFIG_GETMUTEX, &mutex);
  if (rc == SQLITE_OK) rc = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
  m = mutex;
  m.xMutexEnter = enter;
  m.xMutexTry = try;
  a = memory;
  a.xMalloc = allocate;
  a.xFree = release;
  a.xRealloc = resize;
  if (rc == SQLITE_OK) rc = sqlite3_config(SQLITE_CONFIG_MUTEX, &m);
  if (rc == SQLITE_OK) rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &a);
  return rc == SQLITE_OK ? sqlite3_initialize() : rc;
}

/* Count from now on, until watch_end. */
void watch_begin(void) {
  owner = pthread_self();
  atomic_store(&foreign, 0);
  atomic_store(&watching, 1);
}
int watch_end(void) {
  atomic_store(&watching, 0);
  return atomic_load(&foreign);
}
