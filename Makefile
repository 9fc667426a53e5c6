# Two commands do all the set-up: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.installed-docs

.PHONY: help install demo browser test lint docs check bench clean
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

browser:           ## Chromium for the tests of pages, where it is absent and can be installed
	.ci/install-browser

test: $(STAMP) browser  ## run the tests
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)     ## formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[test,docs]'
	touch $(DOCS)

docs: $(DOCS)      ## the guide as a site in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html

check: lint docs test  ## everything a change must pass

bench: $(STAMP)    ## the hot paths beside their plain versions, one thread, ratios of one run
	$(BIN)/python -m benchmarks

clean:             ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
