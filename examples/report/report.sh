#!/bin/sh
# report.sh [database]: write build/report.html, what `make report` runs.
#
# With a database it only reads it: results are made in temporary tables.  Where it has no table `users`, a thousand users
# are declared for the report alone; where it has no split `test`, votes are drawn of its split with most prompts.
# Without a database the demo data is loaded, with three populations side by side.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
database=${1:-}
options="'overwrite', json('true')"
[ ! -f "$BUILD/report/vega.js" ] || options="$options, 'library', '$BUILD/report/vega.js'"

if [ -n "$database" ]; then
  split=$(sqlite3 -readonly "$database" ".load $BUILD/personalllm" "SELECT split FROM prompts WHERE split IS NOT NULL
            GROUP BY split ORDER BY split = 'test' DESC, count(*) DESC LIMIT 1" 2>/dev/null || true)
  [ -z "$split" ] || [ "$split" = test ] || options="$options, 'split', '$(printf %s "$split" | sed "s/'/''/g")'"
fi

{
  echo ".bail off"
  echo ".load $BUILD/personalllm"
  echo ".output /dev/null"
  if [ -z "$database" ]; then
    cat <<'SQL'
SELECT persona_import('examples/demo/train.jsonl', 'train', '{"means": "fitted"}');
SELECT persona_import('examples/demo/test.jsonl', 'test');
CREATE VIRTUAL TABLE users_alpha_001 USING persona_users(count=1000, alpha=0.01, seed=0);
CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0);
CREATE VIRTUAL TABLE users_alpha_01 USING persona_users(count=1000, alpha=0.1, seed=0);
SQL
    options="$options, 'title', 'PersonalLLM on the demo data'"
    options="$options, 'population', json('[\"users_alpha_001\", \"users\", \"users_alpha_01\"]')"
  elif [ "$(sqlite3 -readonly "$database" "SELECT count(*) FROM sqlite_schema WHERE name = 'users'")" = 0 ]; then
    echo "CREATE VIRTUAL TABLE temp.users USING persona_users(count=1000, alpha=0.05, seed=0);"
  fi
  for query in published syntax coefficients adaptation leaderboard continual; do # what keeps a table that a figure draws
    [ ! -f "sql/$query.sql" ] || echo ".read sql/$query.sql"
  done
  echo ".output"
  echo "SELECT printf('%s: %d figure(s)', '$BUILD/report.html', persona_report('$BUILD/report.html', json_object($options)));"
} | if [ -z "$database" ]; then sqlite3 :memory:; else sqlite3 -readonly "$database"; fi
