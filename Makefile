# The two commands of the README, and what continuous integration calls. What is prepared, and how,
# is in the package (`kinda setup`): this file only makes a Python for it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP ?=
PYTEST ?=

# What a target does, with the seconds that it took beside its bar: told at the end, and no failure.
timed = @began=$$(date +%s); $(MAKE) --no-print-directory do-$@ || exit; \
	took=$$(($$(date +%s) - began)); [ $$took -le $(1) ] && met=met || met=missed; \
	echo "make $@: $$took s; the bar on a prepared machine, $(1) s, is $$met"

.PHONY: help venv setup doctor demo lint format test test-unit test-integration test-slow test-kill test-all clean

help:
	@echo "make demo      prepare the machine and run the example experiment"
	@echo "make test      prepare the machine and run the suite"
	@echo "make test-all  the slow tests as well"
	@echo "make test-kill kill builds and removals at every step of the journal (half an hour)"
	@echo "make setup     prepare the machine only (SETUP=--offline, --official or --install)"
	@echo "make doctor    say what this machine has and lacks"
	@echo "make lint      ruff, mypy, import-linter"

# The first step of preparing: it says, as the others do, what is there, is done, and how long it took.
venv: $(VENV)/.ready
	@echo "Python environment: $(VENV), $$($(BIN)/python --version)"

$(VENV)/.ready: pyproject.toml
	@echo "Python environment: making $(VENV) with what pyproject.toml names (about a minute)"
	@began=$$(date +%s) && $(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]' && \
	echo "Python environment: made  [$$(($$(date +%s) - began)) s]"
	@touch $@

.PHONY: do-setup do-demo do-test

setup:
	$(call timed,10)

do-setup: venv
	$(BIN)/python -m pytest_kinda.setup $(SETUP)

doctor: venv
	$(BIN)/python -m pytest_kinda.setup doctor

demo:
	$(call timed,90)

do-demo: setup
	$(BIN)/python -m pytest examples --ignore=examples/p4 -v $(PYTEST)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict pytest_kinda
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Prepared first: tests of captures need what that brings to a bare machine.
test:
	$(call timed,720)

do-test: setup test-unit test-integration

# One that hangs ends its worker, shows where it stood, and has failed; the others go on.
test-unit: venv
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not slow" tests/unit tests/pytester \
	  -o faulthandler_timeout=180 -o faulthandler_exit_on_timeout=true $(PYTEST)

test-integration: setup
	$(BIN)/python -m pytest -m "not slow" tests/integration $(PYTEST)

test-slow: setup
	$(BIN)/python -m pytest -m "slow and not beside" tests $(PYTEST)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow and beside" tests $(PYTEST)

# Every point of a triangle's build, too; `make test-slow` takes a sample of those.
test-kill: setup
	KINDA_TEST_KILL=every $(BIN)/python -m pytest -m slow tests/integration/build $(PYTEST)

test-all: test test-slow

# What running left in this directory. Images and caches stay: `kinda setup` made those.
clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .tox .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
