# From a fresh clone, `make demo` and `make test` are all a newcomer needs: each makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
# pinned: constraints.txt; newest: whatever pyproject.toml allows; oldest: its lower bounds.
DEPENDENCIES ?= pinned
CONSTRAINTS_pinned := -c constraints.txt
CONSTRAINTS_newest :=
CONSTRAINTS_oldest := -c oldest.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-full test-torchvision lint format docs wheel bench zoo clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

venv: $(READY) ## make the Python environment with the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	sed -n 's/^ *"\([A-Za-z0-9_.-]*\)\(\[[a-z]*\]\)\{0,1\}>=\([0-9.]*\).*/\1==\3.*/p' pyproject.toml >oldest.txt
	$(BIN)/pip install --quiet --disable-pip-version-check $(CONSTRAINTS_$(DEPENDENCIES)) -e '.[dev]'
	touch $@

demo: $(READY) ## a CNN on handwritten digits: train, prune, generate RTL, verify it, report
	$(BIN)/systolith run examples/digits.toml --output out/digits

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests run on all cores; a second thread of each would only wait for one.
test test-full: export OMP_NUM_THREADS := 1

test: lint ## lint, then every test but the slow ones
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m 'not slow'

test-full: lint ## lint, then every test
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal

test-torchvision: $(READY) ## torchvision's classes, as integers; installs it without CUDA in out/torchvision
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target out/torchvision torchvision==0.28.0  # the release for torch 2.13
	PYTHONPATH=out/torchvision OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/sw/frontend/test_torchvision.py

docs: $(READY) ## build the documentation into out/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(READY) ## build wheel and sdist, and try the wheel in an empty environment
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	PYTHON=$(PYTHON) .ci/smoke dist/*.whl constraints.txt

bench: $(READY) ## measure: cycles of every pattern against dense, simulation speed
	$(BIN)/python -m benchmarks.engine.layers

zoo: $(READY) ## quantize every network of the zoo, simulate its RTL, compare: an hour or two
	$(BIN)/python -m benchmarks.zoo --all

format: $(READY) ## let ruff format everything
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove everything that was built, the environment included
	rm -rf $(VENV) out build dist oldest.txt sim_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
