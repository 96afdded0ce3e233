# The two commands of the README, and what continuous integration calls.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help venv lint format test test-unit test-integration test-slow test-all

help:
	@echo "make test      prepare the machine and run the suite"
	@echo "make test-all  the slow tests as well"
	@echo "make lint      ruff, mypy, import-linter"

venv: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict pytest_kinda
	@if grep -q '^\[tool.importlinter\]' pyproject.toml; then $(BIN)/lint-imports; fi

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: test-unit test-integration

test-unit: venv
	$(BIN)/python -m pytest -m "not slow" tests/unit tests/pytester

test-integration: venv
	@if ls tests/integration/test_*.py >/dev/null 2>&1; then \
	  $(BIN)/python -m pytest -m "not slow" tests/integration; fi

test-slow: venv
	$(BIN)/python -m pytest -m slow tests

test-all: test test-slow
