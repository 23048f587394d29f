# `make run` starts the backend, `make test` runs the tests; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first of these that is Python 3.11 or newer makes the environments; PYTHON=... names another.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

# An environment is complete when its stamp is there and newer than the files that say what belongs in it.
SERVICE := .venv/.complete
TESTS := .venv-test/.complete
E2E := .venv-e2e/.complete
PROJECT := .venv/.project
BENCH := .venv-bench/.complete
AUDIT := .venv-audit/.complete

JSON ?= bench.json

.PHONY: help run demo test e2e soak audit bench bench-short lint format docs clean servers browser

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

run: $(SERVICE) ## start the backend on port 9090 (PORT=...) with the built-in model (SAM_MODEL=...)
	@exec .venv/bin/sam-backend serve

test: lint servers $(SERVICE) ## lint, check the types, and run every test but the browser's
	BACKEND_BIN=.venv/bin/sam-backend .venv-test/bin/python -m pytest -n 2 --dist loadfile

e2e: browser servers $(PROJECT) $(E2E) ## the tests with a real Label Studio and a real browser
	.venv-e2e/bin/python -m pytest -m e2e tests/e2e

soak: servers $(PROJECT) $(E2E) $(TESTS) ## the long tests, an hour or so: bulk jobs and replicas killed, twenty annotators for ten minutes
	.venv-e2e/bin/python -m pytest -m soak tests/e2e -s
	.venv-test/bin/python -m pytest -m soak -s

audit: ## look all requirements up among the known vulnerabilities, where PyPI's list can be reached
	@if $(PYTHON) tests/support/audit.py --probe; then \
		$(MAKE) --no-print-directory $(AUDIT) && .venv-audit/bin/python tests/support/audit.py; fi

bench: $(BENCH) ## measure speed beside the peers, half an hour; rows go to JSON=bench.json
	.venv-bench/bin/python -m benchmarks.bench --json $(JSON)

bench-short: $(BENCH) ## the same in some minutes: fewer repetitions, smaller inputs
	.venv-bench/bin/python -m benchmarks.bench --short --json $(JSON)

demo: $(SERVICE) $(E2E) ## start Label Studio and the backend on this machine, connected, with example images
	@exec .venv-e2e/bin/python -m examples.demo

lint: $(TESTS) ## ruff, mypy, the import contracts and hadolint
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports
	.venv-test/bin/hadolint Dockerfile

format: $(TESTS) ## let ruff sort, fix and format
	.venv-test/bin/ruff check --fix
	.venv-test/bin/ruff format

docs: $(TESTS) ## write the table of settings into the README
	.venv-test/bin/python -m tests.support.settings_table

clean: ## remove the environments, what the tests left and the tools' caches
	rm -rf .venv .venv-test .venv-e2e .venv-bench .venv-audit .e2e .bench bench.json build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# $(call environment,FOLDER,WHAT,PIP ARGUMENTS...) makes a virtual environment anew, then the project in it.
define new-environment
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer was not found. Install it (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; fi
	@echo "Making $(1) with $(PYTHON): $(2)"
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
endef

$(SERVICE): requirements.txt pyproject.toml
	$(call new-environment,.venv,about 500 MB from the package index; a minute or two.)
	@.venv/bin/pip install -q --no-deps -r requirements.txt
	@.venv/bin/pip install -q --no-deps -e .
	@touch $@

$(PROJECT): $(SERVICE) requirements-project.txt
	@.venv/bin/pip install -q --no-deps -r requirements-project.txt
	@touch $@

$(TESTS): requirements.txt requirements-test.txt requirements-export.txt requirements-project.txt requirements-ray.txt pyproject.toml
	$(call new-environment,.venv-test,the service with PyTorch and the tools; some minutes.)
	@.venv-test/bin/pip install -q --no-deps -r requirements.txt
	@.venv-test/bin/pip install -q --no-deps -r requirements-test.txt
	@.venv-test/bin/pip install -q --no-deps -e .
	@touch $@

$(E2E): requirements-e2e.txt
	$(call new-environment,.venv-e2e,Label Studio and the browser's tests; some minutes.)
	@.venv-e2e/bin/pip install -q -r requirements-e2e.txt
	@touch $@

$(BENCH): requirements.txt requirements-bench.txt requirements-export.txt requirements-project.txt pyproject.toml
	$(call new-environment,.venv-bench,the service beside PyTorch and ONNX Runtime; some minutes.)
	@.venv-bench/bin/pip install -q --no-deps -r requirements.txt
	@.venv-bench/bin/pip install -q --no-deps -r requirements-bench.txt
	@.venv-bench/bin/pip install -q --no-deps -e .
	@touch $@

$(AUDIT): requirements-audit.txt
	$(call new-environment,.venv-audit,pip-audit; some seconds.)
	@.venv-audit/bin/pip install -q --no-deps -r requirements-audit.txt
	@touch $@

# $(call debian,PROGRAMS,PACKAGES) sees to it that Debian's packages are there, or says which are missing.
define debian
	@PATH="$$PATH:/usr/sbin"; for program in $(1); do command -v $$program >/dev/null || missing=1; done; \
	if [ -n "$${missing:-}" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Debian's $(2)."; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
		else echo "Missing one of: $(1) (Debian: sudo apt-get install $(2))." >&2; exit 1; fi; fi
endef

servers:
	$(call debian,redis-server redis-cli haproxy docker-compose wget,redis-server redis-tools haproxy docker-compose wget)

browser:
	$(call debian,chromium chromedriver,chromium chromium-driver)
