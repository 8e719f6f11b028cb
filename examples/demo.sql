-- The whole benchmark on the bundled data: `make demo` runs this in the sqlite3 shell.
.bail on
.load build/personalllm
.output /dev/null
SELECT persona_import('examples/demo/train.jsonl', 'train', '{"means": "fitted"}');
SELECT persona_import('examples/demo/test.jsonl', 'test');
.output
.read examples/tour.sql
.print
.print "All of this ran on 64 bundled prompts, whose scores are simple word counts (examples/demo/README.md).  For the"
.print "published data set with its ten reward models, turn its Parquet files into JSON lines with DuckDB's shell,"
.print
.print "  duckdb -c \"COPY (FROM 'hf://datasets/namkoong-lab/PersonalLLM@~parquet/default/train/*.parquet') TO 'train.jsonl';"
.print "             COPY (FROM 'hf://datasets/namkoong-lab/PersonalLLM@~parquet/default/test/*.parquet') TO 'test.jsonl'\""
.print
.print "load them, and take the same tour:"
.print
.print "  sqlite3 personalllm.db"
.print "  sqlite> .load build/personalllm"
.print "  sqlite> SELECT persona_import('train.jsonl', 'train', '{\"means\": \"published\"}');"
.print "  sqlite> SELECT persona_import('test.jsonl', 'test');"
.print "  sqlite> .read examples/tour.sql"
.print
.print "Every name is explained, with examples, in docs/reference.md."
