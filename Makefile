# Targets whose line ends with `## text` are listed by `make help`.

VENV   := .venv
BIN    := $(VENV)/bin
CODE   := actors connectors schedules simulator sync serve_app.py
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Without cached bytecode every Ray worker compiles its imports again: 1.2 instead of 0.5 CPU-seconds per actor.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run demo down check static format test services lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with the pinned dependencies, compiled

run: setup ## install if needed, then start Sync (Ctrl-C stops it)
	@exec $(BIN)/syncctl up

demo: $(VENV)/.installed-dev ## the same with simulated vendors and an org that has an account of each
	@exec $(BIN)/syncctl up --demo

down: setup ## stop a Sync that runs in the background
	@$(BIN)/syncctl down

check: static ## the quick check: format, lint, types, layers, unit tests
	@$(BIN)/python -m pytest -q tests/unit tests/properties

static: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## rewrite the sources in the one format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

test: $(VENV)/.installed-dev services ## every test, with real services (installs them where it can)
	@$(BIN)/python -m pytest

services:
	@sh .ci/services

lock: ## resolve the dependencies again (needs uv)
	@uv pip compile pyproject.toml --group build $(LOCK) -o requirements.txt
	@uv pip compile pyproject.toml --group build --group dev --constraint requirements.txt $(LOCK) -o requirements-dev.txt
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

clean: ## remove what was installed and cached (data in var/ stay)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find $(CODE) tests bench -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Sync needs Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "Installing the pinned packages into $(VENV) (about 700 MB, once)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(CODE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
