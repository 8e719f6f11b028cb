#!/bin/sh
# The layering rules of the tree, as TAP: the core knows nothing of SQLite, the glue nothing of BLAS or cJSON, one
# core file sees each library, no source file grows past what a reader can hold, what a comment cites is there.
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8 # lines are counted in characters
n=0 bad=0
list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
rule() { # rule NAME FOUND: passes when FOUND is empty
  n=$((n + 1))
  if [ -z "$2" ]; then echo "ok $n - $1"; else bad=1; echo "not ok $n - $1"; echo "$2" | sed 's/^/# /'; fi
}
rule "the core and its headers never include SQLite" "$(grep -lE '#include.*sqlite3' -r ext/core include)"
rule "the glue never includes BLAS or cJSON" "$(grep -lE '#include.*(cblas|lapack|openblas|cJSON)' -r ext/sqlite)"
rule "only core_json.c sees cJSON" "$(grep -lE '#include.*cJSON' -r ext include | grep -v '^ext/core/core_json.c$')"
rule "only core_blas.c sees BLAS" "$(grep -lE '#include.*(cblas|lapack|openblas)' -r ext include | grep -v '^ext/core/core_blas.c$')"
rule "the host's BLAS threads and cJSON hooks are never changed" "$(grep -nE 'openblas_set_num_threads|cJSON_InitHooks' -r ext include)"
rule "no source file over 700 lines" "$(find ext include tests -name '*.[ch]' -exec wc -l {} + | awk '$2 != "total" && $1 > 700 {print $1, $2}')"
rule "only the core's allocator file calls malloc" "$(grep -nE '\b(malloc|calloc|realloc|free)\(' -r ext/core ext/sqlite | grep -vE 'core_mem.c|core_json.c|sqlite3_')"
rule "no source line over 130 characters" "$(grep -nE '^.{131,}' -r ext include tests/unit)"
rule "no citation of a page that is not in the tree" "$(grep -rnE '\b(facts,? ([0-9]|appendix)|design\.md)' ext include tests sql examples docs README.md | grep -v '^tests/lint.sh:')"
for page in docs/*.md; do
  grep -E '^##+ ' "$page" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n_-' | sed "s/^-*/$(basename "$page")#/"
done | sort > "$list"
rule "no two headings of a page in docs have one anchor" "$(uniq -d "$list")"
rule "every heading that a comment cites (page.md#heading) is there" "$(grep -rhoE '\b(definitions|reference)\.md#[a-z0-9_-]+' ext include tests sql examples --include='*.[ch]' --include='*.inc' --include='*.sql' --include='*.py' | sort -u | comm -23 - "$list")"
rule "no comment line that a formatter tore off" "$(grep -nE '^ ?\*[^*/ ]' -r ext include tests/unit)"
echo "1..$n"
exit $bad
