# Paidup: every command a developer or a first user needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
# PYTHON=... on the command line or in the environment names the Python; else one is looked for.
INSTALL := python=$$(PYTHON='$(PYTHON)' requirements/find-python) && \
	"$$python" requirements/install.py $(if $(PYTHON),--same-python)
# Most tests wait for servers and processes, each runner for those of its own.
AT_ONCE := --numprocesses 3 --dist worksteal
SOURCES := paidup billing models runtime ingest workers ops migrations bench tests requirements .ci setup.py

.DEFAULT_GOAL := help
.PHONY: help setup run-setup demo up check test test-all soak mutants bench bench-read first-run docs picture lock clean

help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Build .venv with the development tools from the hashed locks
	@$(INSTALL) dev

run-setup: ## Build .venv with what `make demo` and `make up` need, and no more
	@$(INSTALL) embedded

demo: run-setup ## Show the whole thing working: real servers, signed events, rows
	@$(BIN)/paidup demo

up: run-setup ## Run everything on this machine until Ctrl-C
	@$(BIN)/paidup up

check: setup ## Format, lint, types, imports, tests without sockets, all of billing covered
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/mypy requirements/install.py .ci/dockerfile_steps.py
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not servers and not slow" --cov --cov-report=
	$(BIN)/coverage report --include='billing/*' --fail-under=100

test: setup ## All tests on real PostgreSQL and Redis, with the coverage floor
	$(BIN)/pytest -q -m "not slow" $(AT_ONCE) --cov --cov-report=
	$(BIN)/coverage report --include='billing/*' --fail-under=100
	$(BIN)/coverage report --fail-under=95

test-all: setup ## Everything, the long fault runs included
	$(BIN)/pytest -q

soak: setup ## 100,000 events while processes of every kind are killed: 0 lost, 0 doubled
	$(BIN)/python -m bench.soak

mutants: ## Bend every line of billing/ in a copy, and see which test notices (some 15 minutes)
	copy=$$(mktemp -d) && git archive HEAD | tar -x -C $$copy && cd $$copy && $(PYTHON) -m venv env \
	&& env/bin/pip install --quiet --require-hashes -r requirements/dev.txt \
	&& env/bin/pip install --quiet mutmut==3.8.1 \
	&& env/bin/mutmut run --max-children 1 && env/bin/mutmut results

bench: setup ## Measure beside peers and limits, in one run (some 25 minutes, unattended)
	bench/setup
	$(BIN)/python -m bench

bench-read: setup ## How fast the read API answers with a million users (five minutes)
	$(BIN)/python -m bench.read_api

first-run: ## How long a newcomer waits: clone to a paid user, with a cold and a warm pip cache
	@python=$$(PYTHON='$(PYTHON)' requirements/find-python) && "$$python" -m bench.first_run

docs: setup ## Write the pages of docs/ that are made from the code
	$(BIN)/python -m ops.pages

picture: setup ## Draw docs/demo.svg, the picture in the README, from what the demo prints
	$(BIN)/python -m bench.picture

lock: ## Pin dependencies anew (needs uv)
	uv pip compile pyproject.toml -o requirements/base.txt $(LOCK)
	uv pip compile pyproject.toml --extra embedded -c requirements/base.txt -o requirements/embedded.txt $(LOCK)
	uv pip compile pyproject.toml --extra embedded --extra dev -c requirements/embedded.txt -o requirements/dev.txt $(LOCK)

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

clean: ## Remove what the other targets made, the data of `make up` excepted
	rm -rf $(VENV) .bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

