PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup test test-slow check demo clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

# two workers of one thread each: the networks of the tests are too small for more threads
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# versions that this state of the project is tested with; pyproject.toml has the ranges
$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(BIN)/.ready ## Install ear and its tools into .venv

test: $(BIN)/.ready ## Run the tests
	$(PYTEST)

test-slow: $(BIN)/.ready ## Run the tests that take minutes, before a release
	$(PYTEST) -m slow

check: $(BIN)/.ready ## Lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

demo: $(BIN)/.ready ## Draw ears, train on them, show what came of it
	rm -rf demo
	$(BIN)/ear synth demo/ears --count 400 --seed 0
	$(BIN)/ear train --preset tiny --train-manifest demo/ears/train_teacher.npy --val-manifest demo/ears/val_teacher.npy --run-dir demo/runs

clean: ## Remove what the other targets made
	rm -rf $(VENV) demo build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
