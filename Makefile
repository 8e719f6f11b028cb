# personalllm: `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu machine.
# `make help` lists the targets.  Everything built lands in build/.

CC      ?= cc
CFLAGS  ?= -O2 -g
BUILD   ?= build
# Debian's python3: the tests' numpy comes from its packages, not from a python3 that may come first in PATH.
PYTHON  ?= /usr/bin/python3
# Where the optional real data (alpaca8) is looked for; tests that need it are skipped, saying so, without it.
SHARED  ?= ../shared
export BUILD PYTHON SHARED

# -ffp-contract=off: the canonical utility rounds every product (no fused multiply-add behind our back).
# -fno-trapping-math: nobody traps floating-point exceptions, and without it gcc vectorises no loop with a select;
# no value changes.
# _GNU_SOURCE is for POSIX threads, pread and friends under -std=c11.
WARN     = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
ALLFLAGS = -std=c11 $(WARN) $(WERROR) -ffp-contract=off -fno-math-errno -fno-trapping-math -fPIC -fvisibility=hidden -D_GNU_SOURCE -Iinclude -pthread $(CFLAGS)
LIBS     = -lopenblas -lcjson -lz -lm -pthread

UNAME   := $(shell uname -s)
ifeq ($(UNAME),Darwin)
SO      = dylib
SHARE   = -dynamiclib -undefined dynamic_lookup
else ifneq ($(findstring MINGW,$(UNAME)),)
SO      = dll
SHARE   = -shared
else
SO      = so
# Only the entry point is exported; -z defs would reject it, as the SQLite API comes from the host.
SHARE   = -shared -Wl,-O1
endif

CORE_SRC = $(sort $(wildcard ext/core/*.c))
GLUE_SRC = $(sort $(wildcard ext/sqlite/*.c))
CORE_OBJ = $(CORE_SRC:%.c=$(BUILD)/obj/%.o)
GLUE_OBJ = $(GLUE_SRC:%.c=$(BUILD)/obj/%.o)
UNIT_SRC = $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN = $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)

LIBRARY   = $(BUILD)/libpersonalllm_core.a
EXTENSION = $(BUILD)/personalllm.$(SO)

.PHONY: all core unit-programs demo report test test-report test-arm64 docs lint clean help
all: deps-build $(EXTENSION) ## build the extension (the default)

core: $(LIBRARY) ## build only the scoring core

unit-programs: $(UNIT_BIN)

# Kernels that exist once per instruction set; which one runs is decided at run time (core_simd.h).
ifeq ($(shell $(CC) -dumpmachine | cut -d- -f1),x86_64)
$(BUILD)/obj/%_avx2.o: ISA = -mavx2 -mfma
AVX512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl
$(BUILD)/obj/%_avx512.o: ISA = $(AVX512)
$(BUILD)/obj/%_vnni.o: ISA = $(AVX512) -mavx512vnni
$(BUILD)/obj/%_avx2.o $(BUILD)/obj/%_avx512.o $(BUILD)/obj/%_vnni.o $(BUILD)/obj/%_base.o: ISA += -O3
endif

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC $<"; $(CC) $(ALLFLAGS) $(ISA) -MMD -MP -c $< -o $@

# Texts that the extension carries: the queries and the templates of its charts.
SHOW_TEXT = $(sort $(wildcard ext/show/*)) sql/top_share.sql sql/winners.sql sql/win_rates.sql sql/entropy.sql
SHOW_OBJ  = $(BUILD)/obj/gen/show_texts.o
show_name = $(subst -,_,$(subst .,_,$(notdir $(1))))

$(BUILD)/gen/show_texts.h: Makefile $(SHOW_TEXT)
	@mkdir -p $(@D)
	@{ $(foreach f,$(SHOW_TEXT),echo "extern const unsigned char pllm_show_$(call show_name,$(f))[];";) } > $@

$(BUILD)/gen/show_texts.c: $(BUILD)/gen/show_texts.h
	@{ echo '#include "show_texts.h"'; $(foreach f,$(SHOW_TEXT),echo "const unsigned char pllm_show_$(call show_name,$(f))[] = {"; \
	  od -An -v -tu1 $(f) | sed 's/[0-9][0-9]*/&,/g'; echo "0};";) } > $@

$(SHOW_OBJ): $(BUILD)/gen/show_texts.c
	@mkdir -p $(@D)
	@echo "CC $<"; $(CC) $(ALLFLAGS) -c $< -o $@

SHOW_USERS = $(patsubst %,$(BUILD)/obj/ext/sqlite/%.o,show_figures report_sections fn_report)
$(SHOW_USERS): $(BUILD)/gen/show_texts.h
$(SHOW_USERS): ALLFLAGS += -I$(BUILD)/gen

$(LIBRARY): $(CORE_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(EXTENSION): $(GLUE_OBJ) $(SHOW_OBJ) $(LIBRARY)
	@echo "LD $@"; $(CC) $(ALLFLAGS) $(SHARE) -o $@ $(GLUE_OBJ) $(SHOW_OBJ) $(LIBRARY) $(LIBS)

$(BUILD)/tests/%: tests/unit/%.c tests/unit/tap.h $(LIBRARY)
	@mkdir -p $(@D)
	@echo "CC $<"; $(CC) $(ALLFLAGS) -MMD -MP -o $@ $< $(LIBRARY) $(LIBS)

-include $(CORE_OBJ:.o=.d) $(GLUE_OBJ:.o=.d) $(UNIT_BIN:=.d)

# What is missing is installed once, with sudo where we are not root.
PKG_BUILD = gcc libc6-dev libsqlite3-dev libopenblas-dev libcjson-dev zlib1g-dev
PKG_DEMO  = sqlite3
PKG_TEST  = sqlite3 python3 python3-numpy python3-scipy clang liblingua-en-tagger-perl
define install
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef
.PHONY: deps-build deps-demo deps-test deps-report
ifneq ($(shell command -v dpkg-query),)
deps-build: ; $(call install,$(PKG_BUILD))
deps-demo:  ; $(call install,$(PKG_BUILD) $(PKG_DEMO))
deps-test:  ; $(call install,$(PKG_BUILD) $(PKG_DEMO) $(PKG_TEST))
deps-report: ; $(call install,$(PKG_REPORT))
else
deps-build deps-demo deps-test deps-report:
	@echo "not a Debian system: see the README for the packages that $@ needs"
endif

demo: deps-demo ## install what is missing, build, run the whole benchmark on the bundled data
	@$(MAKE) --no-print-directory $(EXTENSION)
	@sqlite3 :memory: < examples/demo.sql

test: deps-test ## install what is missing, build, run every test suite; ends with "N passed, N failed"
	@$(MAKE) --no-print-directory $(EXTENSION) $(UNIT_BIN) bench-programs $(if $(shell command -v chromium),$(VEGA))
	@tests/run.sh

# The chart libraries come from npm and are bundled into build/; without npm (or its registry) the report has tables only.
VEGA = $(BUILD)/report/vega.js
$(VEGA): examples/report/package.json examples/report/package-lock.json
	@mkdir -p $(@D)
	@if command -v npm >/dev/null && cp $^ $(@D) && (cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts --fetch-retries=1); then \
	  for p in vega vega-lite vega-embed; do \
	    sed '/^\/\/# sourceMappingURL/d' $(@D)/node_modules/$$p/build/$$p.min.js && echo ';' || exit 1; \
	  done > $@.tmp && mv $@.tmp $@; \
	else echo "no npm, or no registry: the report will have tables instead of charts"; fi

report: deps-demo ## write build/report.html: figures and tables of the demo data, or of the database DB=path
	@$(MAKE) --no-print-directory $(EXTENSION) $(VEGA)
	@examples/report/report.sh "$(DB)"

docs: deps-test ## write what the documentation's examples print into README.md and docs/reference.md
	@$(MAKE) --no-print-directory $(EXTENSION)
	@$(PYTHON) tests/sql/test_docs.py --fill

include tests/bench/bench.mk

test-arm64: ## cross-build for arm64 and run the unit programs under emulation (installs Debian's cross tools)
	@tests/arm64.sh

# Everything again with each access to memory and each overflow checked.  Python is not, but loads the checkers first.
SANITIZED = BUILD=build-asan CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
CHECKED   = BUILD=build-asan ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)"
.PHONY: test-asan fuzz test-newer-sqlite test-avx512
test-asan: deps-test ## every suite under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan/ (slow)
	@$(MAKE) --no-print-directory $(SANITIZED) all bench-programs unit-programs
	@$(CHECKED) tests/run.sh

fuzz: deps-test ## random statements under the same sanitizers: FUZZ_COUNT=100 times those of the tests, from FUZZ_SEED
	@$(MAKE) --no-print-directory $(SANITIZED) all
	@$(CHECKED) FUZZ_COUNT=$(or $(FUZZ_COUNT),20) FUZZ_SEED=$(or $(FUZZ_SEED),$$(date +%s)) tests/run.sh tests/fuzz/test_fuzz.py

test-newer-sqlite: deps-test ## the SQL-level suites on a newer SQLite than Debian's, built from npm's better-sqlite3
	@$(MAKE) --no-print-directory $(EXTENSION)
	@tests/newer_sqlite.sh

test-avx512: deps-test ## the kernels' unit programs on an emulated processor with AVX-512 (slow; installs Bochs)
	@$(MAKE) --no-print-directory unit-programs
	@tests/avx512.sh

# `make test` draws the report where Chromium is and runs the notebook where Jupyter is; this target gets both first.
PKG_REPORT = chromium fonts-dejavu-core python3-nbclient python3-ipykernel python3-jsonschema
test-report: deps-test deps-report ## install Chromium and Jupyter if they are missing, test charts, report and notebook
	$(if $(shell command -v npm),,$(call install,nodejs npm))
	@$(MAKE) --no-print-directory $(EXTENSION) $(VEGA)
	@tests/run.sh tests/sql/test_chart.py tests/sql/test_report.py tests/sql/test_notebook.py

lint: ## the layering rules: the core never sees SQLite, the glue never sees BLAS or cJSON
	@tests/lint.sh

clean: ## remove build/
	rm -rf $(BUILD)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
