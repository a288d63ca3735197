# From a fresh clone, `make demo` and `make test` are all a newcomer needs: each makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-full lint format docs wheel bench clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: $(READY) ## make the Python environment with the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY) ## a CNN on handwritten digits: train, prune, generate RTL, prove it equal, report
	$(BIN)/systolith run examples/digits.toml --output out/digits

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## lint, then every test but the slow ones
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m 'not slow'

test-full: lint ## lint, then every test
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal

docs: $(READY) ## build the documentation into out/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(READY) ## build wheel and sdist, and try the wheel in an empty environment
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	PYTHON=$(PYTHON) .ci/smoke dist/*.whl constraints.txt

bench: $(READY) ## measure: cycles of every pattern against dense, simulation speed
	$(BIN)/python -m benchmarks.engine.layers

format: $(READY) ## let ruff format everything
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove everything that was built, the environment included
	rm -rf $(VENV) out build dist sim_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
