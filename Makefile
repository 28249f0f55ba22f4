PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check conformance bench clean

help:   ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

demo: $(VENV)/installed   ## the main job on real data: melting temperature from sequence
	$(BIN)/leastwise demo

test: $(VENV)/installed-dev   ## all tests and doctests
	$(BIN)/python -m pytest -n auto

check: $(VENV)/installed-dev   ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

conformance: $(VENV)/installed-dev   ## scikit-learn's own tests and check_estimator on our estimators
	$(BIN)/python -m tests.conformance.run

bench: $(VENV)/installed-dev   ## every number that we claim, measured on this machine (30 minutes)
	$(BIN)/python -m benchmarks

clean:   ## remove what make made
	rm -rf $(VENV) leastwise-demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; make PYTHON=/path/to/python3.11 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (once, a few minutes) ..."
	$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	@touch $@
