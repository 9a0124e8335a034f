# Every verb installs what it needs: Python packages from the lock into .venv, and for the tests
# Debian packages where that is allowed. Nothing outside this folder is written otherwise.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup peers run demo test test-all check format conformance bench model variants sample clean

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## Create .venv and install the locked dependencies

$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(BIN)/uv sync --frozen --inexact --extra postgres --quiet
	@touch $(READY)

peers: $(READY) ## Install what the tests talk to: PostgreSQL, Node.js clients (Debian packages where allowed)
	@$(BIN)/uv sync --frozen --inexact --extra postgres --group bench --quiet
	@tests/install-peers

run: $(READY) ## The main job on a synthetic federation, then serve it (http://127.0.0.1:8080)
	@$(BIN)/mpi demo

demo: $(READY) ## The same, to the summary only
	@$(BIN)/mpi demo --no-serve

test: peers ## The whole suite but the long ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not long and not benchmark"

test-all: peers ## Every test, the long ones too (Spark, Splink)
	@$(BIN)/uv sync --frozen --inexact --all-extras --group bench --quiet
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not benchmark"

check: $(READY) ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

conformance: $(READY) ## Write docs/conformance.md, from the tests, and the tables of docs/dicom-conformance.md
	$(BIN)/python -m tests.conformance.rendering
	$(BIN)/python -m tests.conformance.dicom.statement

bench: peers ## Measure; appends to docs/benchmarks/history.jsonl (an hour with a million records)
	@$(BIN)/uv sync --frozen --inexact --all-extras --group bench --quiet
	$(BIN)/python -m pytest -m benchmark -s --no-header -p no:randomly tests/benchmarks

model: $(READY) ## Estimate the default match model again from synthetic data
	$(BIN)/python tests/benchmarks/train_default_model.py

variants: $(READY) ## What each piece of the engine is worth: the table of docs/matching.md
	$(BIN)/python tests/benchmarks/variants.py

sample: $(READY) ## Write the committed synthetic sample again
	$(BIN)/python -m mpi_synthetic --persons 50 --sites 4 --seed 20260101 --out datasets/synthetic/sample

clean: ## Remove what the verbs made
	rm -rf $(VENV) var .pytest_cache .hypothesis .mypy_cache .ruff_cache tests/peers/node_modules
