# What a developer types; .ci/run calls the same targets. `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q

.PHONY: help dev demo test test-units test-integration test-fast test-slow test-soak test-pythons test-clients test-v2 test-browser lint format bench images notebooks clean

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

dev: | system .venv/.ready  ## make .venv and install what is missing

.PHONY: system
system:
	@.ci/system-packages

.venv/.ready: pyproject.toml .ci/environment
	@.ci/environment
	@touch $@

demo: dev  ## run the first notebook from an empty Docker area, into build/demo/
	@$(BIN)/python notebooks/run.py notebooks/01-web-server.ipynb

test: dev  ## all tests, on two cores, then the notebooks
	@$(MAKE) --jobs=2 --output-sync=target test-units test-integration
	@$(MAKE) notebooks

test-units: dev
	@$(PYTEST) --ignore=tests/integration

test-integration: dev
	@$(PYTEST) tests/integration

test-fast: dev  ## all but the slow tests
	@$(PYTEST) -m 'not slow'

test-slow: dev  ## only the slow tests
	@$(PYTEST) -m slow

test-soak: dev  ## random verbs in several processes with random kill -9 (SECONDS=600 SEED=...)
	@$(BIN)/python -m tests.soak $(or $(SECONDS),600) $(SEED)

test-pythons:  ## unit tests on Python 3.12 and 3.13, where they are installed (TESTS=...)
	@.ci/test-pythons $(TESTS)

test-clients: dev  ## Compose and testcontainers on the Engine API
	@$(BIN)/python -m pip install --quiet --group clients
	@$(PYTEST) tests/integration/api

test-v2: dev  ## engine tests on a cgroup v2 kernel, in an emulated machine (TESTS=...)
	@.ci/system-packages qemu-system-x86 mmdebstrap e2fsprogs
	@$(BIN)/python -m tests.v2 $(TESTS)

test-browser: dev .venv/.browser-ready  ## views in JupyterLab and Notebook, by Chromium (TESTS=...)
	@.ci/system-packages chromium
	@$(PYTEST) $(or $(TESTS),tests/browser)

.venv/.browser-ready: pyproject.toml .ci/environment
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --group browser
	@touch $@

lint: dev  ## ruff, mypy, import-linter, circles of imports, words
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@.ci/check-circles
	@.ci/check-words

format: dev  ## let ruff put the code in order
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

bench: dev  ## time us, and Docker, podman and runc where they are installed (ONLY=cold ...)
	@$(BIN)/python -m benchmarks.run $(if $(ONLY),--only '$(ONLY)')
	@$(if $(ONLY),,$(BIN)/python -m benchmarks.logs)

images: dev  ## make or pull all images of the catalogue ahead of time
	@for image in busybox alpine debian ubuntu httpd mysql:5.7 registry:2 \
	        jupyter/datascience-notebook; do \
	    $(BIN)/dockmagic pull $$image || exit 1; \
	done

notebooks: dev  ## run the notebooks and compare their outputs (nbval)
	@$(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg notebooks

clean:  ## remove what was built (.venv stays)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
