# Everything runs in a virtual environment made here; no target touches what is installed on the machine.
#
#   make demo      a real training run: journaled, stopped half-way, resumed, read back
#   make test      ruff, mypy, and all tests, against SQLite and a real mongod
#   make lint      ruff and mypy only
#   make bench     the figures that the design promises, measured here
#   make clean     remove what these made
#
# PYTHON=python3.12 make test uses that interpreter, in an environment of its own.

# Thousands of processes start in the tests; each would compile all of kleio if byte code were not kept.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := test

demo: $(VENV)/.installed-demo
	PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) .demo build dist kleio.egg-info .mypy_cache .ruff_cache .hypothesis
	find kleio tests examples benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

# A stamp for each extra: installed again only when pyproject.toml has changed. The code itself is used in place.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("kleio needs Python 3.10 or newer, and $(PYTHON) is %d.%d; name another: PYTHON=python3.12 make $(MAKECMDGOALS)" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
