# `make help` lists the targets. Everything runs in .venv, made from the hashed lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Some shells set it; without compiled files every import is three times slower for ever.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test lint format bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv from the lock (does nothing the second time)

$(STAMP): requirements/dev.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  echo "setup: making $(VENV) with uv"; \
	  uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV) && \
	  uv pip install --quiet --compile-bytecode --require-hashes --python $(BIN)/python -r requirements/dev.lock && \
	  uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e . ; \
	else \
	  echo "setup: making $(VENV) with pip (uv would be faster)"; \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

demo: $(STAMP) ## run an agent on a task and grade it: the main job, in a minute
	@PATH="$(CURDIR)/$(BIN):$$PATH" python run_task.py classification_basic --local --validate

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered -q

lint: $(STAMP) ## format check, lint, types, layers, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## measure the speed figures of docs/benchmarks.md
	@$(BIN)/python -m benchmarks

lock: ## resolve requirements/*.lock again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements/base.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 --extra ml --extra real --extra dev pyproject.toml -o requirements/dev.lock

clean: ## remove what setup and the tools made (runs/ stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
