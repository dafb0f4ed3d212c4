# make demo | test | test-guards | examples | numpy-suite | lab | bench | bench-docs | lint | docs: each sets up what it needs in .venv, from Python, a C compiler and the package index.
#
#   PYTHON=python3.13   which Python .venv is made with (3.11 or newer); VENV=dir puts it elsewhere
#   ARGS="--seconds 20" goes to the command behind demo, test and bench
#   HOTSWAP_DEBUG=1     builds for gdb, freed tables poisoned; make debug is short for it

VENV ?= .venv
ARGS ?=
FIND_PYTHON := for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done
PYTHON ?= $(shell $(FIND_PYTHON))

BIN := $(VENV)/bin
FLAVOUR := $(if $(filter 1,$(HOTSWAP_DEBUG)),debug,release)
BUILT := $(VENV)/built-$(FLAVOUR)
PROJECT := pyproject.toml setup.py
HEADERS := $(wildcard src/hotswap/arch/*.h src/hotswap/*.h)
ENGINE := $(shell find src/hotswap -name '*.pxd') $(shell find src/hotswap/engine -name '*.py') src/hotswap/npalloc.py src/hotswap/bench/roundtrip.py src/hotswap/bench/recorder.py \
	$(wildcard src/hotswap/run/preload/*)
RESETUP = $(filter $(PROJECT),$?)
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export HOTSWAP_DEBUG PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-guards examples numpy-suite lab bench bench-docs lint build debug docs clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

demo: $(BUILT)
	$(BIN)/hotswap demo $(ARGS)

test: $(BUILT)
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) $(ARGS)

# Two processes: the lab's tests in one, those of real memory in the other (tests/conftest.py). Where one dies the run ends.
SIDE_BY_SIDE := --numprocesses 2 --dist loadgroup --max-worker-restart 0

# The engine's tests and the demo under each design of what keeps areas from vanishing, compiled. Left out are test_guards.py, which goes
# through the designs itself; the lab's tests, whose cases name the design: HOTSWAP_GUARD says nothing to the lab's twin of the engine;
# and tests of what no area is switched off in. none is the bug, and
# GUARDS=none may end with a process that died, or not. ARGS goes to pytest; GUARDS=rcu asks for some only.
NO_GUARD := guards lab_* heap areafile header config docs bench* check cli tools examples notebook
GUARDS ?= mmlist stop_machine stop_machine_work rcu srcu percpu_ref rcu_pointer
test-guards: $(BUILT)
	@failed=; for guard in $(GUARDS); do \
		echo "HOTSWAP_GUARD=$$guard"; export HOTSWAP_GUARD=$$guard; \
		$(BIN)/python -m pytest -q $(NO_GUARD:%=--ignore-glob 'tests/test_%.py') $(ARGS) || failed="$$failed $$guard"; \
		$(BIN)/hotswap demo --seconds 20 || failed="$$failed $$guard(demo)"; \
	done; [ -z "$$failed" ] || { echo "failed under:$$failed"; exit 1; }

# The examples and a notebook's kernel, with pandas, Arrow, scikit-learn and ipykernel, which the other tests do without (half a gigabyte).
examples: $(BUILT)
	$(BIN)/python -m pip install --quiet --editable '.[examples]' --no-build-isolation
	$(BIN)/python -m pytest -q -rs tests/test_examples.py tests/test_notebook.py $(ARGS)

# NumPy's own tests under hotswap run, an area going off and on, against the same without. ARGS="--parts linalg,ma" is quicker.
numpy-suite: $(BUILT)
	$(BIN)/python tools/numpy_suite.py $(ARGS)

# Every race of the lab, and the page that shows them, docs/races.md, made from that run. ARGS="--preemptions 1" is quicker.
lab: $(BUILT)
	@mkdir -p bench-out
	$(BIN)/hotswap lab run --all --json $(ARGS) >bench-out/lab.json
	$(BIN)/hotswap lab corpus bench-out/lab.json

bench: $(BUILT)
	$(BENCH_EXTRA)
	$(BIN)/hotswap bench $(ARGS)

# The same, and its table and picture into docs/bench.md and docs/bench.png; as root, or the kernel's own swap is left out.
bench-docs: $(BUILT)
	$(BENCH_EXTRA)
	$(BIN)/hotswap bench --profile --docs docs $(ARGS)

# pandas and dask, which two of the comparisons need; without them those rows say that they were left out.
BENCH_EXTRA = @$(BIN)/python -c 'import pandas, distributed, matplotlib' 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --editable '.[bench]' --no-build-isolation || echo "pandas and dask could not be had: without them" >&2

lint: $(BUILT)
	@failed=; for check in "ruff check ." "ruff format --check ." mypy "python tools/rules.py"; do \
		echo "$$check"; $(BIN)/$$check || failed=1; done; [ -z "$$failed" ]

docs: $(BUILT)
	$(BIN)/python -m pytest -q tests/test_docs.py

build: $(BUILT)

debug:
	$(MAKE) HOTSWAP_DEBUG=1 build

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache bench-out
	find src -name '*.so' -delete
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

# Where the project's own files changed, or for the first time: everything. Otherwise only the modules that changed; the build
# does not see which header a module includes, nor all that name a declaration file, so one of these means all. Extensions are put beside their sources.
$(BUILT): $(PROJECT) $(HEADERS) $(ENGINE)
	@$(if $(RESETUP),$(SET_UP),$(REBUILD))
	@rm -f $(VENV)/built-*
	@touch $@

REBUILD = $(BIN)/python setup.py -q build_ext --inplace --parallel $(JOBS) $(if $(filter %.h %.pxd,$?),--force)

define SET_UP
set -e; \
if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	[ -n "$(PYTHON)" ] || { echo "hotswap needs Python 3.11 or newer and found none; install it, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is not there; say which Python to use: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; choose another: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments; install its venv module (package python3-venv on Debian)" >&2; exit 1; }; \
	"$(PYTHON)" -m venv --clear $(VENV); \
fi; \
$(BIN)/python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || { echo "$(PYTHON) lacks its headers (Python.h); install them (package python3-dev on Debian)" >&2; exit 1; }; \
cc=$$($(BIN)/python -c 'import os, sysconfig; print((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0])'); \
command -v "$$cc" >/dev/null || { echo "there is no C compiler ($$cc); install one (package gcc on Debian), or name it: make CC=..." >&2; exit 1; }; \
echo "setting up $(VENV) and building the engine ($(FLAVOUR)): a minute or two the first time"; \
$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' >$(VENV)/build-requires; \
$(BIN)/python -m pip install --quiet -r $(VENV)/build-requires; \
$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[dev]'
endef
