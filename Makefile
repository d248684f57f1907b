# Two commands: `make demo` shows the whole way of a fact, `make test` proves it.
PYTHON ?= python3
STACK ?= embedded
# Processes that share the test files out, each with services of its own: most tests wait more than they work.
TESTERS ?= 2
STAMP := .venv/.installed

.PHONY: setup test demo check payments faults faults-archive faults-plants cutovers outlive bench
.DEFAULT_GOAL := setup

setup: $(STAMP)  ## the virtual environment, exactly as locked; .venv/bin/onefact

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "onefact needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "onefact needs Python 3.11 or newer, this is $$($(PYTHON) -V): make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	@echo 'installing what requirements.lock names into .venv; at first this takes a minute or two'
	@.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: setup  ## every test; real services in containers where Docker answers, else embedded
	.venv/bin/pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder --durations=25 --durations-min=3

demo: setup  ## publish, read, replay, compare; STACK=embedded or compose
	STACK=$(STACK) .venv/bin/python -m deploy.demo

check: setup  ## style, types, layers; nothing is started
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/onefact schemas --check
	.venv/bin/pytest -q tests/test_tidy.py

faults: setup  ## real faults against real services, invariants after each; SEED, KIND, CASES, CASE, JOBS, RESUME, PLANT: tests/faults/__main__.py
	.venv/bin/python -m tests.faults

faults-archive: setup  ## the same over archive, compaction, tiers, bootstrap and rebuilds; SEED, CASES, FIRST, RESUME, PLANTS="name ..." or all
	REPORT=$${REPORT-tests/archive/faults/REPORT.md} .venv/bin/python -m tests.archive.faults

faults-plants: setup  ## each planted bug alone, until the campaign finds it; SEED, PLANTS="name ..."
	.venv/bin/python -m tests.faults.plants

payments: setup  ## 200 orders paid with a provider that fails 30 %, drops 10 % of its answers and is away for 20 s; SEED
	ORDERS=200 AWAY_S=20 .venv/bin/pytest -q -s tests/orders/test_provider.py

cutovers: setup  ## 20 cut-overs of a model of each store, forth and back, under a read and a write load
	CUTOVERS=20 .venv/bin/pytest -q -s tests/projections/test_cutovers.py

outlive: setup  ## a demo's Kafka, registry and stores are deleted, and come back from its archive as they were; COMMANDS
	.venv/bin/python -m tests.archive.outlive

bench: setup  ## the product beside its peers, to bench/RESULTS.md; ROWS="decider ...", COMMANDS, PAIRS
	.venv/bin/python -m bench
