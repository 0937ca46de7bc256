# Paidup: every command a developer or a first user needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
# PYTHON=... on the command line or in the environment names the Python; else one is looked for.
INSTALL := python=$$(PYTHON='$(PYTHON)' requirements/find-python) && \
	"$$python" -E requirements/install.py $(if $(PYTHON),--same-python)
# Most tests wait for servers and processes, each runner for those of its own.
AT_ONCE := --numprocesses 3 --dist worksteal
# Those of `make check` compute all the time.
BUSY := --numprocesses logical --dist worksteal
SOURCES := paidup billing models runtime ingest workers ops migrations bench tests requirements .ci setup.py

.DEFAULT_GOAL := help
.PHONY: help setup browser-setup run-setup demo up check test coverage test-all worlds system-worlds soak mutants bench bench-backfill bench-brokers bench-bulk bench-burst bench-console bench-growth bench-read bench-reconcile bench-scaling bench-search first-run docs drill picture dashboard-pictures screenshots simulate lock clean

help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Build .venv with the development tools from the hashed locks
	@$(INSTALL) dev

browser-setup: ## Build .venv with the development tools and what drives a browser in tests
	@$(INSTALL) browser

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
	$(BIN)/pytest -q tests/billing -m "not servers and not slow" $(BUSY) --cov=billing --cov-report=
	$(BIN)/coverage report --include='billing/*' --fail-under=100
	$(BIN)/pytest -q --ignore=tests/billing -m "not servers and not slow" $(BUSY) --no-cov

test: setup ## All tests on real PostgreSQL and Redis, with the coverage floor
	$(BIN)/pytest -q -m "not slow" $(AT_ONCE) --cov --cov-report=
	$(MAKE) --no-print-directory coverage

coverage: ## The coverage floors, of the tests that ran last
	$(BIN)/coverage report --include='billing/*' --fail-under=100
	$(BIN)/coverage report --fail-under=95

test-all: setup worlds system-worlds ## Everything: full counts of faults, 2,000 worlds, 200 through the whole system, ten minutes of soak
	PAIDUP_TEST_FULL=1 $(BIN)/pytest -q
	$(BIN)/python -m bench.soak --minutes 10

worlds: setup ## 2,000 random Stripe worlds against their true ends, in order and shuffled (WORLDS=, SEED=)
	$(BIN)/python -m tests.worlds --worlds $(or $(WORLDS),2000) --seed $(or $(SEED),$(shell date +%F)) $(if $(WORLDS),,--at-least 20)

system-worlds: setup ## 200 random Stripe worlds through ingest, Redis, workers and PostgreSQL (WORLDS=, SEED=)
	$(BIN)/python -m tests.worlds.system --worlds $(or $(WORLDS),200) --seed $(or $(SEED),$(shell date +%F))

soak: setup ## An hour of lifecycles under 33 kinds of faults: nothing lost, doubled, wrong or late
	$(BIN)/python -m bench.soak

mutants: setup ## Change every line of billing/ in a copy and see which changes no test notices (an hour)
	copy=$$(mktemp -d) && git archive HEAD | tar -x -C $$copy && cd $$copy && pwd \
	&& $(CURDIR)/$(BIN)/python -m venv env \
	&& env/bin/python -m pip install --quiet --disable-pip-version-check \
	    --require-hashes --no-deps -r requirements/mutants.txt \
	&& env/bin/mutmut run --max-children 1 && env/bin/mutmut results

bench: setup ## Measure beside peers and limits, in one run (some half an hour, unattended)
	bench/setup
	$(BIN)/python -m bench

bench-growth: setup ## What one further event costs a party with a long past (some ten minutes)
	$(BIN)/python -m bench.growth

bench-brokers: setup ## Wake-ups over RabbitMQ beside those over Redis (five minutes; Debian's rabbitmq-server)
	$(BIN)/python -m bench.brokers

bench-burst: setup ## The longest answer to 20,000 events at once, and how many get a 503 (two minutes)
	$(BIN)/python -m bench.burst

bench-scaling: setup ## Let workers follow a load by the processes needed, and draw docs/scaling.svg (a quarter of an hour)
	$(BIN)/python -m bench.scaling

bench-read: setup ## How fast the read API answers with a million users (five minutes)
	$(BIN)/python -m bench.read_api

bench-backfill: setup ## Read two years of 3,000 subscribers from Stripe, beside a twin that heard every webhook (a quarter of an hour)
	$(BIN)/python -m bench.backfill

bench-bulk: setup ## How soon a preview of 100,000 dead letters shows something; live events beside it (six minutes)
	$(BIN)/python -m bench.bulk

bench-reconcile: setup ## Compare a million events with a Stripe of our own, and repair 100 gaps (half an hour)
	$(BIN)/python -m bench.reconcile

bench-search: setup ## How fast commands find whom a text means, among a million customers (some minutes)
	$(BIN)/python -m bench.search

simulate: setup ## How many events a second up to 50 workers take: docs/scaling.md again (MEASURE=1: measured here first)
	$(BIN)/python -m bench.simulate $(if $(MEASURE),--measure --check)

first-run: ## How long a newcomer waits: clone to a paid user, with a cold and a warm pip cache
	@python=$$(PYTHON='$(PYTHON)' requirements/find-python) && "$$python" -m bench.first_run

bench-console: setup ## How fast the console answers each page with a million events (some ten minutes)
	$(BIN)/python -m bench.console_pages

drill: setup ## Raise an alert on the stack of `make up` and clear it (NAME=, FIRING=1: until it fires, LOOK=1: until Enter)
	@$(BIN)/python -m bench.drills $(NAME) $(if $(FIRING),--firing) $(if $(LOOK),--look)

docs: setup ## Write the pages of docs/ that are made from the code
	$(BIN)/python -m ops.generated_docs

picture: setup ## Draw docs/demo.svg, the picture in the README, from what the demo prints
	$(BIN)/python -m bench.picture

dashboard-pictures: setup ## Draw docs/pictures/dashboard-*.svg from the dashboards' own queries (ten minutes; needs Debian's prometheus)
	$(BIN)/python -m bench.dashboards

screenshots: browser-setup ## Take the pictures of the console in the README (ALL=FOLDER: every page, in five forms)
	$(BIN)/python -m bench.screenshots $(if $(ALL),--all $(ALL))

# A lock is complete (extras, hashes, every system) and names no index, host or folder: what this
# machine sets for uv stays out. `make lock UPGRADE=` keeps each version that still fits.
UPGRADE := --upgrade
LOCK := env -u UV_CONSTRAINT -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_INDEX -u UV_OVERRIDE \
    uv pip compile --no-config --quiet $(UPGRADE) --universal --python-version 3.11 \
    --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header
LOCK_NODE := npm $(if $(UPGRADE),update,install) --prefix bench/sync_engine --package-lock-only \
    --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error

lock: ## Pin every dependency again, the newest that fits (needs uv and npm)
	$(LOCK) -o requirements/base.txt pyproject.toml
	$(LOCK) -o requirements/embedded.txt -c requirements/base.txt pyproject.toml --extra embedded
	$(LOCK) -o requirements/dev.txt -c requirements/embedded.txt pyproject.toml --extra embedded --extra dev
	$(LOCK) -o requirements/mutants.txt -c requirements/dev.txt pyproject.toml requirements/mutants.in --extra embedded --extra dev
	$(LOCK) -o requirements/browser.txt -c requirements/dev.txt pyproject.toml requirements/browser.in --extra embedded --extra dev
	$(LOCK) -o bench/djstripe/requirements.txt bench/djstripe/requirements.in
	$(LOCK) -o bench/postgres.txt bench/postgres.in
	$(LOCK_NODE)

clean: ## Remove what the other targets made, the data of `make up` excepted
	rm -rf $(VENV) .bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

