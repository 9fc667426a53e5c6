# Two commands do all the set-up: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test lint check bench clean
help:           ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch hatchling editables
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[test]'
	touch $(STAMP)

install: $(STAMP)  ## make .venv and install the package into it

demo: $(STAMP)     ## the whole way on the built-in shop; writes demo/index.html
	$(BIN)/alignrec demo --out demo

test: $(STAMP)     ## run the tests
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)     ## formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test   ## everything a change must pass

bench: $(STAMP)    ## the hot paths beside their plain versions, one thread, ratios of one run
	$(BIN)/python -m benchmarks

clean:             ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
