PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup test test-slow check demo clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

# two workers with one thread each, because the networks in the tests are too small to use more threads
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# constraints.txt pins the tested versions; pyproject.toml has the supported ranges
$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(BIN)/.ready ## Install ear and the development tools into .venv

test: $(BIN)/.ready ## Run the fast tests
	$(PYTEST)

test-slow: $(BIN)/.ready ## Run the slow tests (minutes), before a release
	$(PYTEST) -m slow

check: $(BIN)/.ready ## Lint, check types and run the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

demo: $(BIN)/.ready ## Generate synthetic ears and train on them
	rm -rf demo
	$(BIN)/ear synth demo/ears --count 400 --seed 0
	$(BIN)/ear train --preset tiny --train-manifest demo/ears/train_teacher.npy --val-manifest demo/ears/val_teacher.npy --run-dir demo/runs

clean: ## Remove everything that the other targets create
	rm -rf $(VENV) demo build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
