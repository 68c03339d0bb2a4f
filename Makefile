# Needs nothing but python3.11 or newer (with venv) and make; no services, no Docker, no root.
# The environment is built once into .venv from the lock file and rebuilt only when that changes.

.DEFAULT_GOAL := help
.PHONY: help dev demo test simulate chaos check bench fmt lock clean

# The first interpreter that really starts and is new enough; 3.11 and 3.12 first, because every wheel exists for them.
PYTHON ?= $(shell for name in python3.11 python3.12 python3 python3.13 python3.14; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
# Tests and demo start many processes: what Python compiled once is to be kept, whatever the surroundings say.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One line of the shell per recipe line is easier to read than one script, so stop at the first failure.
.DELETE_ON_ERROR:

help: ## show this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

dev: $(READY) ## build the environment (.venv) and say how to enter it
	@echo "Ready: . $(BIN)/activate, then lianxin --help"

demo: $(READY) ## a township on this machine: hub, three stations, sample town (SCRIPTED=1 plays the story, COUNTY=1 adds a county)
	@$(BIN)/python -m service.demo $(if $(SCRIPTED),--scripted) $(if $(COUNTY),--county)

# loadfile: one file's tests stay on one worker, so what a file prepares once is prepared once. The order of the files is
# ours (tests/conftest.py), not by their number of tests.
test: $(READY) ## all tests, PostgreSQL and Redis included (ARGS="tests/sync -x" narrows them)
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

simulate: $(READY) ## a town under every fault, seed by seed: make simulate SEEDS=500 SEED=1 (JOBS=2 ARGS=--record)
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100) --seed $(or $(SEED),1) --jobs $(or $(JOBS),1) $(ARGS)

check: $(READY) ## style, types and import directions, as CI sees them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) ## the measurements of docs, with their peers
	@$(BIN)/python -m bench $(ARGS)

chaos: $(READY) ## kill real processes while people work (KILLS=500 SEED=7 RECORD=1); 100 kills take about 6 minutes
	@$(BIN)/python -m tests.chaos --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED)) $(if $(RECORD),--record)

fmt: $(READY) ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q pyproject.toml
lock: ## renew the lock files after a change in pyproject.toml (needs uv; UPGRADE=1 takes newer releases)
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra dev --output-file requirements/lock.txt
	$(COMPILE) --constraint requirements/lock.txt --output-file requirements/station.txt
	$(COMPILE) --constraint requirements/lock.txt --extra hub --output-file requirements/hub.txt
	echo setuptools | $(COMPILE:pyproject.toml=-) --constraint requirements/lock.txt --output-file requirements/build.txt

clean: ## remove the environment and caches; the demo's data in .lianxin stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements/lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Lianxin needs Python 3.11 or newer (with venv); none was found on PATH."; exit 1; }
	@echo "Building $(VENV) with $(PYTHON) (about a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
