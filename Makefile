# Everything a person types. `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/.ready
DISTRIBUTIONS := client harness/python
# Tests mostly wait: more of them at once than there are processors take half the time.
TESTS_AT_ONCE ?= 3
TYPED := conftest.py benchmarks services $(wildcard chaos drill tests client/src client/tests harness/python/src harness/python/tests)

.PHONY: help setup engines up down status backup restore rekey test chaos drill bench check fmt lock clean

help: ## lists these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) $(PEERS) ## creates .venv and installs what requirements.lock names; quick when nothing changed
	@:

engines: ## installs R with Plumber, which some tests run, from the distribution (as root)
	@tests/engines.sh

up: $(READY) ## starts the platform on this machine, publishes examples/iris and calls it
	@$(BIN)/python -m services.embedded up

down: $(READY) ## stops everything that `make up` started; what should run is remembered
	@$(BIN)/python -m services.embedded down

status: $(READY) ## shows the processes of the platform
	@$(BIN)/python -m services.embedded status

backup: $(READY) ## writes all that the platform keeps to TO=file, while it works; with the keys of its secrets: KEYS=yes
	@$(BIN)/python -m services.embedded backup "$(TO)" $(if $(KEYS),--with-keys)

restore: $(READY) ## fills a home in which nothing ever ran with the backup FROM=file
	@$(BIN)/python -m services.embedded restore "$(FROM)"

rekey: $(READY) ## seals access tokens and passwords with a new key, and throws the old one away
	@$(BIN)/python -m services.embedded rekey

test: $(READY) $(PEERS) ## runs every test that can run on this machine, fast ones first
	@$(BIN)/python -m pytest -n $(TESTS_AT_ONCE) --dist loadfile

chaos: $(READY) ## kills a platform at random and looks what is left of it; CHAOS="--seed 7" plays one seed again
	@$(BIN)/python -m chaos $(CHAOS)

drill: $(READY) ## kills one part after another of the platform that is up, under load, and counts what its callers lost
	@$(BIN)/python -m drill $(DRILL)

bench: $(READY) ## measures the platform on this machine and writes benchmarks/results
	@$(BIN)/python -m benchmarks

check: $(READY) ## ruff, format, strict types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/lint-imports

fmt: $(READY) ## formats the code and sorts its imports
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(READY) ## writes requirements.lock and {tests,benchmarks}/locks/*.lock anew, with the newest versions that fit
	@$(BIN)/uv pip compile pyproject.toml $(DISTRIBUTIONS:%=%/pyproject.toml) --universal --python-version 3.11 \
	    --all-extras --generate-hashes --no-annotate --upgrade --quiet \
	    --custom-compile-command "make lock" --output-file requirements.lock
	@for each in tests/locks/*.in benchmarks/locks/*.in; do $(BIN)/uv pip compile $$each --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --upgrade --quiet --custom-compile-command "make lock" \
	    --output-file $${each%.in}.lock || exit 1; done

clean: ## removes .venv and what tools left behind; the platform's state in .modelway stays
	@rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

# A set-up that was interrupted leaves .installing behind and is begun again from an empty environment.
$(READY): requirements.lock pyproject.toml $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo 'Modelway needs Python 3.11 or newer, and "$(PYTHON)" is not: name one, as in: make setup PYTHON=python3.12' >&2; \
	    exit 1; }
	@if [ -e .venv/.installing ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "Creating .venv"; $(PYTHON) -m venv --clear .venv || { \
	    echo 'The virtual environment could not be created; on Debian and Ubuntu: apt install python3-venv' >&2; \
	    exit 1; }; fi
	@touch .venv/.installing
	@echo "Installing what requirements.lock names"
	@awk '/^uv==/ {p=1} p {print} p && !/\\$$/ {exit}' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --editable . $(DISTRIBUTIONS:%=--editable ./%)
	@rm .venv/.installing
	@touch $@

# Programs that only tests run, each in an environment of its own, because their pins do not meet ours.
$(PEERS): $(READY) tests/peers.py $(wildcard tests/locks/*.lock)
	@echo "Installing what tests/locks/*.lock name"
	@$(BIN)/python -m tests.peers
	@touch $@
