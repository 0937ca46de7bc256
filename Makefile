# Paidup: every command a developer or a first user needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
# PYTHON=... on the command line or in the environment names the Python; else one is looked for.
INSTALL := python=$$(PYTHON='$(PYTHON)' requirements/find-python) && \
	"$$python" -E requirements/install.py $(if $(PYTHON),--same-python)
# Most tests wait for servers and processes, each runner for those of its own.
AT_ONCE := --numprocesses 3 --dist worksteal
SOURCES := paidup billing models runtime ingest workers ops migrations bench tests requirements .ci setup.py

.DEFAULT_GOAL := help
.PHONY: help setup browser-setup run-setup demo up check test coverage test-all worlds system-worlds soak mutants bench bench-brokers bench-bulk bench-burst bench-console bench-growth bench-read bench-reconcile bench-scaling bench-search first-run docs drill picture dashboard-pictures screenshots simulate lock clean
