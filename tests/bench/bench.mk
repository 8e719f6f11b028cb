# bench.mk: the benchmark's part of the Makefile; see bench.py.
# The limits are compiled for the machine they run on; the floors and the core's own program as the extension is.
BENCH      = $(BUILD)/bench
BENCH_BIN  = $(BENCH)/limit $(BENCH)/limit_import $(BENCH)/core $(BENCH)/floor.$(SO)
BENCH_CC   = $(CC) -std=c11 $(WARN) $(WERROR) -D_GNU_SOURCE -O3 -fno-math-errno -fno-trapping-math -pthread -g
NATIVE    ?= -march=native
BENCH_H    = tests/bench/program.h tests/bench/limit.h tests/bench/limit_math.h
LIMIT_SRC  = $(wildcard tests/bench/limit*.c) tests/bench/program.c $(wildcard tests/bench/j*/limit.c)

$(BENCH)/limit: $(LIMIT_SRC) $(BENCH_H)
	@mkdir -p $(@D)
	@echo "CC $@"; $(BENCH_CC) $(NATIVE) -ffp-contract=fast -o $@ $(LIMIT_SRC) -lm -lopenblas

$(BENCH)/limit_import: tests/bench/j5_import/limit_import.c tests/bench/program.c $(BENCH_H)
	@mkdir -p $(@D)
	@echo "CC $@"; $(BENCH_CC) $(NATIVE) -o $@ $(filter %.c,$^) -lcjson -lsqlite3 -lm

$(BENCH)/core: tests/bench/core.c tests/bench/program.c $(BENCH_H) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "CC $@"; $(CC) $(ALLFLAGS) -o $@ tests/bench/core.c tests/bench/program.c $(LIBRARY) $(LIBS)

$(BENCH)/floor.$(SO): tests/bench/floor.c
	@mkdir -p $(@D)
	@echo "CC $@"; $(CC) $(ALLFLAGS) $(SHARE) -o $@ $<

$(BENCH)/node_modules: tests/bench/package.json tests/bench/package-lock.json
	@mkdir -p $(BENCH)
	@if command -v npm >/dev/null; then \
	  cp tests/bench/package.json tests/bench/package-lock.json tests/bench/.npmrc $(BENCH)/ && \
	  (cd $(BENCH) && npm install --silent && touch node_modules) || echo "npm cannot install: DuckDB and sqlite-vec are left out"; \
	else echo "no npm: DuckDB and sqlite-vec are left out"; fi

.PHONY: bench bench-doc bench-smoke bench-programs
bench-programs: $(EXTENSION) $(BENCH_BIN)
bench: deps-test ## the whole benchmark: minutes, prints tables, keeps build/bench/results.db; BENCH_ARGS="j1 --rounds 3" chooses
	@$(MAKE) --no-print-directory bench-programs $(BUILD)/bench/node_modules
	@$(PYTHON) tests/bench/bench.py $(or $(BENCH_ARGS),--growth)

bench-doc: deps-test ## the same, and writes docs/benchmarks.md
	@$(MAKE) --no-print-directory bench-programs $(BUILD)/bench/node_modules
	@mkdir -p docs; $(PYTHON) tests/bench/bench.py --growth --doc docs/benchmarks.md

bench-smoke: deps-test ## the benchmark's answers on small sizes, seconds, no times
	@$(MAKE) --no-print-directory bench-programs
	@tests/run.sh tests/bench/test_smoke.py
