#!/bin/sh
# The other compiler, as TAP: every source without a warning from clang, every public header alone in C11 and in C++.
# (The suites themselves run what $CC built.)  Skips, saying so, where clang is not installed.
cd "$(dirname "$0")/.." || exit 1
n=0 bad=0
rule() { # rule NAME COMMAND...: passes when the command succeeds without a word
  name=$1 && shift
  n=$((n + 1))
  said=$("$@" 2>&1) && [ -z "$said" ] && { echo "ok $n - $name"; return; }
  bad=1
  echo "not ok $n - $name"
  echo "$said" | head -n 20 | sed 's/^/# /'
}
flags="-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror -Iinclude -I${BUILD:-build}/gen"
if ! command -v clang >/dev/null; then
  echo "ok 1 - clang # SKIP clang is not installed"
  echo "1..1"
  exit 0
fi
isa() { # the instruction set that the Makefile gives this file
  case $(uname -m):$1 in
    x86_64:*_avx2.c) echo "-mavx2 -mfma" ;;
    x86_64:*_vnni.c) echo "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni" ;;
    x86_64:*_avx512.c) echo "-mavx512f -mavx512bw -mavx512dq -mavx512vl" ;;
  esac
}
for folder in ext/core ext/sqlite tests/unit; do
  all() {
    for source in "$folder"/*.c; do
      # -O1: some warnings need data flow
      clang -std=c11 -O1 $flags -ffp-contract=off -fPIC -D_GNU_SOURCE $(isa "$source") -c "$source" -o /dev/null || return
    done
  }
  rule "clang builds $folder without a warning" all
done
for header in include/personalllm.h include/personalllm/*.h; do
  rule "$header stands alone in C" clang -std=c11 $flags -fsyntax-only -x c-header "$header"
  rule "$header stands alone in C++" clang -std=c++11 -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++-header "$header"
done
echo "1..$n"
exit $bad
