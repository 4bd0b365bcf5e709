PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SCALE  ?= 0.05

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv installs five times as fast as pip; where it cannot be had, pip does the same from the same lock.
define install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv 2>/dev/null || true
	@if test -x $(BIN)/uv; then \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1) && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  $(BIN)/pip install --quiet --require-hashes -r $(1) && \
	  $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@
endef

$(BIN)/.run: requirements.lock pyproject.toml
	$(call install,requirements.lock)

$(BIN)/.dev: requirements-dev.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $(BIN)/.run

.PHONY: demo
demo: $(BIN)/.run ## Set up, then run a whole pilot exchange on this machine
	@$(BIN)/sandbox demo --home .sandbox/demo --scale $(SCALE) $(ARGS)

.PHONY: test
test: $(BIN)/.dev ## Run every test, Rego included
	$(BIN)/python -m pytest -n auto $(ARGS)

.PHONY: check
check: $(BIN)/.dev ## Format, lint, types, imports, compose file, Rego tests with all lines reached
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/sandbox policy test --coverage --policies policies

.PHONY: fix
fix: $(BIN)/.dev ## Fix what a machine can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(BIN)/.dev ## Measure, as ratios side by side in one run
	$(BIN)/python -m tests.bench.run $(ARGS)

.PHONY: lock
lock: $(BIN)/.dev ## Pin the newest versions anew, with hashes
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group build --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
