#!/bin/sh
# A newer SQLite than this system's: build the library from the source that the npm package better-sqlite3 carries and run
# the SQL-level suites on it, with an extension built for SQLite 3.40.  For developers (`make test-newer-sqlite`).
#   tests/newer_sqlite.sh [suite...]
set -eu
cd "$(dirname "$0")/.."
package=better-sqlite3@12.11.1 # SQLite 3.53.2
folder=${BUILD:-build}/newer
mkdir -p "$folder"
library=$folder/libsqlite3.so.0
if [ ! -f "$library" ]; then
  tarball=$(cd "$folder" && npm pack --silent "$package")
  tar -xzf "$folder/$tarball" -C "$folder"
  # with what the tests use
  ${CC:-cc} -O2 -shared -fPIC -o "$library" "$folder/package/deps/sqlite3/sqlite3.c" \
    -DSQLITE_ENABLE_FTS3 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_STMTVTAB \
    -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_ENABLE_DBPAGE_VTAB \
    -lm -ldl -pthread
fi
LD_LIBRARY_PATH=$(cd "$folder" && pwd) && export LD_LIBRARY_PATH
echo "SQLite $("${PYTHON:-/usr/bin/python3}" -c 'import sqlite3; print(sqlite3.sqlite_version)')"
# Not those that run this system's sqlite3 shell, which takes no library but its own.
[ $# -gt 0 ] || set -- $(ls tests/sql/test_*.py tests/ref/test_*.py tests/fuzz/test_*.py | grep -v -e _docs -e _generation -e _walkthrough)
exec tests/run.sh "$@"
