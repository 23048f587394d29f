# `make run` starts the backend, `make test` runs the tests; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first of these that is Python 3.11 or newer makes the environments; PYTHON=... names another.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
define NO_PYTHON
No Python 3.11 or newer found. Install one (on Debian: apt-get install python3 python3-venv) or name it: make $@ PYTHON=/path/to/python3
endef

SERVICE := .venv/.complete
TESTS := .venv-test/.complete
E2E := .venv-e2e/.complete

.PHONY: help run demo test e2e lint format clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: $(SERVICE) ## start the backend on port 9090 (PORT=...), with the built-in model unless SAM_MODEL says otherwise
	@exec .venv/bin/sam-backend serve

test: lint $(SERVICE) ## lint, check the types, and run every test but the browser's
	SAM_BACKEND_BIN=.venv/bin/sam-backend .venv-test/bin/python -m pytest

lint: $(TESTS) ## ruff, mypy and the import contracts
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports

format: $(TESTS) ## let ruff sort, fix and format
	.venv-test/bin/ruff check --fix
	.venv-test/bin/ruff format

clean: ## remove the environments and the tools' caches
	rm -rf .venv .venv-test .venv-e2e build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
