# Two commands need nothing but Python 3.11, make, git and a package index:
#   make demo    the main job, end to end, with real processes
#   make test    the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
KEEP ?=
SECONDS ?= 30
FOREIGN := .venv-foreign
# Tests start hundreds of processes: none of them should compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-mutation fuzz check bench docs format requirements clean

help:
	@sed -n 's/^## //p' Makefile

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The other implementation names Python 3.12, and runs on 3.11.
$(FOREIGN)/.ready: requirements/foreign.txt
	$(PYTHON) -m venv $(FOREIGN)
	$(FOREIGN)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --ignore-requires-python -r requirements/foreign.txt
	touch $@

## make demo [KEEP=1]  run the main job with a server and three agents; KEEP=1 leaves it running
demo: $(READY)
	$(BIN)/python demo/run.py $(if $(KEEP),--keep)

## make test           the test suite (under five minutes on two cores)
test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

## make test-slow      the slower suites: long crash, property and process tests, foreign programs
test-slow: $(READY) $(FOREIGN)/.ready
	ALLOD_FOREIGN_PYTHON=$(CURDIR)/$(FOREIGN)/bin/python $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m slow

## make test-mutation  change what decides in hundreds of small ways, and see that tests notice
test-mutation: $(READY)
	$(BIN)/python -m tests.mutation.hunt --jobs $(JOBS)

## make fuzz [SECONDS=30]  give every parser bad input, for so long each
fuzz: $(READY)
	$(BIN)/python -m fuzz.run --seconds $(SECONDS)

## make check          lint, formatting, types, import contracts, documentation
check: $(READY)
	$(BIN)/ruff check src tests bench demo fuzz docs
	$(BIN)/ruff format --check src tests bench demo fuzz docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

## make docs           build the documentation into docs/_build
docs: $(READY)
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build/html

## make bench          measure, and print one table a script
bench: $(READY)
	for script in bench/*.py; do $(BIN)/python $$script || exit 1; done

## make format         format the code
format: $(READY)
	$(BIN)/ruff format src tests bench demo fuzz docs
	$(BIN)/ruff check --fix src tests bench demo fuzz docs

## make requirements   compile the hashed requirement files again (needs uv)
requirements:
	requirements/compile

clean:
	rm -rf $(VENV) $(FOREIGN) docs/_build build dist
