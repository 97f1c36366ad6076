# Every target does its own set-up. PORT= changes where `make run` serves.
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
export EXTRANET_DOMAIN ?= localhost:$(PORT)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint bench messages lock

help:  ## Show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.run  ## Serve two demo tenants at http://acme.localhost:8000 and http://globex.localhost:8000
	@$(BIN)/extranet init > /dev/null
	@$(BIN)/extranet demo acme
	@$(BIN)/extranet demo globex
	@echo "Both are being served. Ctrl-C stops. Another one: $(BIN)/extranet tenant create --help"
	@echo "Mails become files in var/mail: $(BIN)/extranet worker"
	@exec $(BIN)/extranet serve --bind 127.0.0.1:$(PORT)

test: $(VENV)/.test  ## Run every test, with real nginx and Chromium (installed from Debian when root)
	@sh tests/machine.sh
	@$(BIN)/coverage erase
	@$(BIN)/python -m tests.run $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='tenants/*,extranet/request/*' --fail-under=100
	@$(BIN)/coverage report --fail-under=95

lint: $(VENV)/.test  ## Check style, types and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.test  ## Measure this machine: one table, ratios in one run
	@$(BIN)/python -m tests.bench

messages: $(VENV)/.test  ## Gather the texts of the pages into the catalogues to translate
	@$(BIN)/python -m tests.messages

lock: $(VENV)/.test  ## Write requirements*.txt anew from requirements*.in
	@for list in requirements requirements-dev; do \
		$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-config \
			--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' \
			$$list.in -o $$list.txt; done

$(VENV)/.run: requirements.txt setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes --no-deps -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements-dev.txt setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv > /dev/null; } \
		|| { echo 'Python 3.11 to 3.13 with venv is needed: apt-get install python3-venv' >&2; exit 1; }
	@$(or $(PYTHON),python3) -m venv $(VENV)
