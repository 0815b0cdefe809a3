# Everything a person or CI runs. The first use of a target makes a virtual environment in .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := .venv-wheel
# Reading schemathesis takes longer than most tests, and all of its own are slow.
UNREAD := -p no:schemathesis --ignore tests/service/test_schemathesis.py
VLLM_VENV := .venv-vllm
MEASURE :=

.PHONY: help demo demo-llm test coverage check lint types test-wheel test-vllm $(VLLM_VENV) format docs clean

help:
	@echo "make demo       route the example tickets with the embedded engine"
	@echo "make demo-llm   a real vLLM on this machine's CPU classifies tickets; installs about 3 GB, and asks before"
	@echo "make test       the tests, without the slow ones and those of a browser"
	@echo "make test-vllm  the tests that need a real vLLM; installs about 3 GB"
	@echo "make check      lint, types, all tests with coverage, the slow ones on the built wheel"
	@echo "make format     format the code"
	@echo "make docs       write the generated parts of the documentation anew"

demo: $(VENV)/.runtime
	@$(BIN)/python examples/demo.py

demo-llm: $(VENV)/.runtime
	@$(BIN)/python examples/demo_llm.py

test: $(VENV)/.development
	$(MEASURE) $(BIN)/pytest -n 2 -m "not slow and not vllm and not browser" $(UNREAD)

# Where vLLM cannot be installed, the tests say why: they are skipped, in CI they fail.
test-vllm: $(VENV)/.development
	@test -n "$$LLMTRIAGE_VLLM_URL" || $(BIN)/python examples/local_vllm.py || true
	$(BIN)/pytest tests/vllm -m vllm

# What `make test` reached, if it was told to measure it: that takes half as long again.
coverage: $(VENV)/.development
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint types
	rm -f .coverage .coverage.*
	$(MAKE) test MEASURE="$(BIN)/coverage run"
	$(MAKE) coverage test-wheel test-vllm

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.development
	$(BIN)/mypy

test-wheel: $(VENV)/.development
	rm -rf build dist $(WHEEL_VENV)
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip install --quiet "$$(ls dist/*.whl)[dev]"
	EXPECT_WHEEL=1 $(WHEEL_VENV)/bin/pytest -n 2 -p no:cacheprovider -m "(slow or browser) and not vllm"

format: $(VENV)/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.development
	$(BIN)/python docs/make_cli_page.py
	$(BIN)/python docs/make_openapi.py
	MAKE_PICTURES=1 $(BIN)/pytest -q tests/browser -k picture

clean:
	rm -rf $(VENV) $(WHEEL_VENV) $(VLLM_VENV) build dist demo .coverage .coverage.* .hypothesis .*_cache

# Keeps what is there if it is what is wanted.
$(VLLM_VENV): $(VENV)/.runtime
	@$(BIN)/python examples/local_vllm.py

$(VENV)/.runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llmtriage needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "this Python cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[plots]"
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@
