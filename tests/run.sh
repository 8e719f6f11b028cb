#!/bin/sh
# Run every suite and add up the TAP lines they print.  A suite is an executable that prints "ok", "not ok" and
# "ok ... # SKIP why" lines; one that dies, or prints no plan line, counts as one failure.  Ends with "N passed, N failed".
#   tests/run.sh [suite...]     (default: unit programs, SQL-level and reference suites, the benchmark's answers)
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}" "${PYTHON:=/usr/bin/python3}" "${SHARED:=../shared}"
export BUILD PYTHON SHARED
out="$BUILD/tests/out"
mkdir -p "$out"

[ $# -gt 0 ] || set -- "$BUILD"/tests/test_* tests/lint.sh tests/compilers.sh \
  tests/sql/test_*.py tests/ref/test_*.py tests/fuzz/test_*.py tests/bench/test_*.py
passed=0 failed=0 skipped=0
for suite in "$@"; do
  [ -f "$suite" ] || continue
  case $suite in *.d) continue ;; esac
  name=$(basename "$suite")
  log="$out/$name.tap"
  case $suite in
    *.py) "$PYTHON" "$suite" >"$log" 2>&1 </dev/null ;;
    *)    "$suite" >"$log" 2>&1 </dev/null ;;
  esac
  status=$?
  skip=$(grep -c '^ok .*# SKIP' "$log")
  good=$(($(grep -c '^ok ' "$log") - skip))
  bad=$(grep -c '^not ok ' "$log")
  if ! grep -q '^1\.\.[0-9]' "$log" || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
    bad=$((bad + 1))
    echo "FAILED $name ended with status $status before its plan line; its last lines:"
    tail -n 5 "$log" | sed 's/^/    /'
  fi
  printf '%-28s %5d passed, %d failed' "$name" "$good" "$bad"
  [ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
  echo
  grep -A 3 '^not ok ' "$log" | sed 's/^/    /'
  grep '^ok .*# SKIP' "$log" | sed 's/^ok [0-9]* *-* */    skipped: /; s/# SKIP */because /'
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
[ "$skipped" -eq 0 ] || echo "skipped: $skipped (reasons above)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
