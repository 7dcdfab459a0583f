# `make help` lists the targets. Everything runs in .venv, made from the hashed lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINES := .venv-engines
# Some shells set it; without compiled files every import is three times slower for ever.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test engines lint format matrix images bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv from the lock (does nothing the second time)

$(STAMP): requirements/dev.lock pyproject.toml
	@$(call install,$(VENV),requirements/dev.lock)
	@touch $@

$(ENGINES)/.installed: requirements/engines.lock pyproject.toml
	@$(call install,$(ENGINES),requirements/engines.lock)
	@touch $@

# Make the environment $(1) from the hashed lock $(2).
define install
	if command -v uv >/dev/null 2>&1; then \
	  echo "setup: making $(1) with uv"; \
	  uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(1) && \
	  uv pip install --quiet --compile-bytecode --require-hashes --python $(1)/bin/python -r $(2) && \
	  uv pip install --quiet --no-deps --no-build-isolation --python $(1)/bin/python -e . ; \
	else \
	  echo "setup: making $(1) with pip (uv would be faster)"; \
	  $(PYTHON) -m venv $(1) && \
	  $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(2) && \
	  $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
endef

demo: $(STAMP) ## run an agent on a task and grade it: the main job, in a minute
	@$(BIN)/python run_task.py classification_basic --local --validate

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered -q

engines: $(ENGINES)/.installed ## run the tests of trackers and engines with their libraries (1.3 GB)
	@$(ENGINES)/bin/python -m pytest -n auto -q tests/contracts/test_trackers.py tests/contracts/test_stores.py tests/engines

lint: $(STAMP) ## format check, lint, types, layers, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

matrix: $(STAMP) ## compare the bits of every family between versions of NumPy
	@tests/matrix.sh

images: ## build the images by the README's commands, on a base of our own where there is none
	@docker image inspect debian:bookworm-slim >/dev/null 2>&1 || docker pull -q debian:bookworm-slim 2>/dev/null \
	  || environment/make_base.sh
	@# Builds may need the host's certificates; they are not in the images.
	@trap 'rm -f environment/ca-bundle.crt agents/experiment/ca-bundle.crt' EXIT; \
	  if [[ -n "$${SSL_CERT_FILE:-}" ]]; then \
	    cp "$$SSL_CERT_FILE" environment/ca-bundle.crt; cp "$$SSL_CERT_FILE" agents/experiment/ca-bundle.crt; \
	  fi; \
	  docker build -q -t mlebench-env -f environment/Dockerfile . && \
	  docker build -q -t mlebench-experiment -f agents/experiment/Dockerfile agents/experiment/

bench: $(STAMP) ## measure the speed figures of docs/benchmarks.md
	@$(BIN)/python -m benchmarks

lock: ## resolve requirements/*.lock again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements/base.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 --extra ml --extra real --extra gym --extra dev pyproject.toml -o requirements/dev.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 agents/experiment/requirements.txt -o agents/experiment/requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 --extra ml --extra dev --extra mlflow --extra wandb --extra dask --extra ray --extra slurm --extra postgres --extra trackio --extra gym --extra mcp pyproject.toml -o requirements/engines.lock

clean: ## remove what setup and the tools made (runs/ stays)
	rm -rf $(VENV) $(ENGINES) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
