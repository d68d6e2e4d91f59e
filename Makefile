# Comanda. `make help` lists what there is to do; every target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
SIDE_BY_SIDE = --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder
ROOMS := contract flow store kube operator router botpod simulator cli
SOURCES := $(ROOMS) tests bench tools
say = printf '\033[1m» %s\033[0m\n'

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test e2e torture sabotage check crds images bench fmt lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything into .venv (Python 3.11+, make, a C compiler and a package index are enough)

$(READY): uv.lock pyproject.toml tools/uv.txt
	@$(say) "Setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Comanda needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make setup PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(say) "  uv, the installer"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tools/uv.txt
	@$(say) "  the locked packages"
	@$(BIN)/uv export --quiet --frozen --all-extras --no-emit-project --format requirements.txt > $(VENV)/requirements.txt
	@cat tools/uv.txt >> $(VENV)/requirements.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(VENV)/requirements.txt
	@$(say) "  comanda itself"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q $(ROOMS)
	@touch $@

demo: setup ## Three restaurants take orders on this machine; then chat with them (ONCE=1 ends after the orders)
	@$(BIN)/comanda demo $(if $(ONCE),--once) $(DEMO_ARGS)

test: setup ## Run every test (WORKERS=2: so many at a time; one is enough for a debugger)
	@chromium=$$($(BIN)/python tools/system.py chromium) && postgres=$$($(BIN)/python tools/system.py postgres) && \
		strace=$$($(BIN)/python tools/system.py strace) && $(BIN)/python tools/system.py openssl > /dev/null && \
		$(BIN)/python tools/system.py faketime > /dev/null && \
		COMANDA_CHROMIUM=$$chromium COMANDA_POSTGRES=$$postgres COMANDA_STRACE=$$strace $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TEST_ARGS)

e2e: setup ## The chart on a real cluster of two nodes, with images built here (Linux, root; E2E=existing: any kubeconfig)
	@COMANDA_E2E=$(or $(E2E),kind) $(BIN)/python -m pytest tests/e2e/cluster $(if $(filter existing,$(E2E)),,tests/e2e/compose) $(E2E_ARGS)

torture: setup ## Many more runs under faults (TORTURE_ARGS="--seeds 50 --faults 40 --database both")
	@$(BIN)/python -m tests.torture.run $(TORTURE_ARGS)

sabotage: setup ## Take one safeguard away at a time and see that the tests notice
	@$(BIN)/python -m tests.torture.sabotage

check: setup ## What CI checks: format, lint, types, room borders, generated files, docs
	@$(say) "format" && $(BIN)/ruff format --check --quiet $(SOURCES)
	@$(say) "lint" && $(BIN)/ruff check --quiet $(SOURCES)
	@$(say) "types" && $(BIN)/mypy $(ROOMS) tests tools
	@$(say) "room borders" && $(BIN)/lint-imports --no-cache | tail -n 12
	@$(say) "lock file" && $(BIN)/uv lock --check --quiet
	@$(say) "generated files" && $(BIN)/python -m tools.generate --check
	@$(say) "docs" && $(BIN)/python tools/docs.py

crds: setup ## Write crds/, docs/reference/ and the chart's values from the models
	@$(BIN)/python -m tools.generate

images: setup ## Build the container images, the same to the digest each time (IMAGES_ARGS="--registry …")
	@$(BIN)/python -m tools.images $(IMAGES_ARGS)

bench: setup ## Measure against a peer: make bench NAME=path
	@$(BIN)/python bench/$(or $(NAME),path)/run.py $(BENCH_ARGS)

fmt: setup ## Format and mend what the linter can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lock: setup ## Resolve dependencies into uv.lock (LOCK_ARGS=--upgrade takes new versions)
	@$(BIN)/python tools/lock.py $(LOCK_ARGS)

clean: ## Remove what was built or cached here
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .comanda dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
