# Every target that needs the environment makes it first, so each works alone in a fresh clone.
# PYTHON names the interpreter (3.11 or newer, with venv); everything else comes from the package index.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.installed
LOCKS := requirements/bootstrap.txt requirements/runtime.txt requirements/dev.txt

# command:package pairs that must be on the system before set-up; none so far.
SYSTEM_PACKAGES :=

# Never fetch an interpreter: the one that PYTHON names is the one that runs.
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some machines forbid bytecode on disk; then each of the many processes that the tests start would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
UV := $(BIN)/uv
UV_TARGET := --quiet --python $(BIN)/python

DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH ?=
MUTANTS ?= --json tests/mutants/result.json
FUZZ ?=

.PHONY: help setup clients lock demo test check format bench mutants soak fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP) ## make .venv from the locks and install interlock into it, editable

$(STAMP): $(LOCKS) pyproject.toml Makefile scripts/system_packages.sh
	@scripts/system_packages.sh $(SYSTEM_PACKAGES)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "interlock needs Python 3.11 or newer, found " + sys.version.split()[0] + ": name another with PYTHON=...")'
	@echo "setup: making $(VENV) with $$($(PYTHON) --version)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@[ -x $(UV) ] || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@$(UV) pip sync $(UV_TARGET) --compile-bytecode --require-hashes requirements/dev.txt
	@$(UV) pip install $(UV_TARGET) --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "setup: done; the command is $(BIN)/interlock"

clients: $(CLIENTS_STAMP) ## make .venv-clients: venue clients that others wrote, for the tests of the simulators

$(CLIENTS_STAMP): requirements/clients.txt $(STAMP)
	@[ -x $(CLIENTS)/bin/python ] || $(PYTHON) -m venv $(CLIENTS)
	@$(UV) pip sync --quiet --python $(CLIENTS)/bin/python --require-hashes requirements/clients.txt
	@touch $@
	@echo "clients: done"

# The locks are compiled on request only: a newer .in file must not re-resolve the world during set-up.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $(LOCK_ARGS)

lock: $(STAMP) ## recompile requirements/*.txt (LOCK_ARGS=--upgrade for newer versions)
	@$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(COMPILE) requirements/runtime.in -o requirements/runtime.txt
	@$(COMPILE) requirements/dev.in -c requirements/bootstrap.txt -c requirements/runtime.txt -o requirements/dev.txt
	@$(COMPILE) requirements/clients.in -o requirements/clients.txt

demo: $(STAMP) ## the demonstration (DEMO_ARGS="...")
	@$(BIN)/interlock demo $(DEMO_ARGS)

test: $(STAMP) $(CLIENTS_STAMP) ## the tests, with coverage and its gate (PYTEST_ARGS="...")
	@echo "test: a run of one second first (the first one of a version compiles, some two minutes)"
	@$(BIN)/python -m tests.compile_once
	@$(BIN)/python -m pytest --cov --cov-report= $(PYTEST_ARGS)
	@$(BIN)/python -m scripts.rooms_covered

check: $(STAMP) ## format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## rewrite the sources the way `make check` wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) $(CLIENTS_STAMP) ## the benchmarks (BENCH=replay for one)
	@$(BIN)/python -m benchmarks.run $(BENCH)

mutants: $(STAMP) ## defects made on purpose, which the tests must notice (MUTANTS="--module limits")
	@$(BIN)/python -m scripts.mutants $(MUTANTS)

soak: $(STAMP) ## the long tests, which `make test` leaves out, and the property tests with many more examples
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n 0 -m "soak or hypothesis" $(PYTEST_ARGS)

fuzz: $(STAMP) ## atheris on every decoder, a minute each (FUZZ="--seconds 600 bybit_reads")
	@$(BIN)/python -m tests.fuzz.run $(FUZZ)

clean: ## remove the environment, caches and reports
	rm -rf $(VENV) $(CLIENTS) build dist htmlcov .coverage .coverage.* .fuzz .hypothesis \
		.import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -depth -name __pycache__ -type d -exec rm -rf {} +
