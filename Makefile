# `make` alone lists the targets. Everything is installed into .venv from hashed locks; nothing else is touched.

.DEFAULT_GOAL := help
.PHONY: help env demo up test soak check bench bench-quick lock clean

VENV := .venv
# The first Python from 3.11 on; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV := $(VENV)/bin/uv

# $(call install,LOCK): exactly the packages of a lock, and this project. uv does it in seconds, pip in minutes. All is
# compiled at once: where Python may not keep what it compiles, each process would compile it again, for two seconds and more.
define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and none was found. Install it, or set PYTHON=."; exit 1; }
	@echo "Setting up $(VENV) from $(1) …"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement requirements-uv.lock
	@$(UV) pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes --requirement $(1) || \
		$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(1)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(VENV)/bin/python -m compileall -q m2m_pipeline
	@touch $@
endef

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

env: $(VENV)/.runtime ## make the environment in .venv: commands then are .venv/bin/m2m …

demo: $(VENV)/.runtime ## a bulk change with every kind of outcome, checked against the carrier's ledger
	@$(VENV)/bin/m2m demo

up: $(VENV)/.runtime ## PostgreSQL, carrier simulator and Dagster, until Ctrl-C
	@$(VENV)/bin/m2m up

test: $(VENV)/.dev ## all tests, on an embedded PostgreSQL and a simulated carrier
	@$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

soak: $(VENV)/.dev ## faults by the hundred, and a report; hours. SOAK="--only zombies --rounds 10" chooses
	@$(VENV)/bin/python -m m2m_pipeline_tests.faults.soak $(SOAK)

check: $(VENV)/.dev ## lint, formatting, types, import contracts
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/basedpyright --warnings
	@$(VENV)/bin/lint-imports

bench: $(VENV)/.bench ## what the platform reaches, against its targets and against others; 23 minutes
	@$(VENV)/bin/python -m benchmarks

bench-quick: $(VENV)/.bench ## the same in small sizes, without the history: a hint in 3 minutes
	@$(VENV)/bin/python -m benchmarks --quick

lock: $(VENV)/.dev ## resolve the locks anew
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--extra localdb --extra build pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--extra localdb --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--extra localdb --extra build --extra bench -c requirements.lock pyproject.toml -o requirements-bench.lock

clean: ## remove the environment and what the tools left behind
	@rm -rf $(VENV) .m2m .pytest_cache .ruff_cache .hypothesis build *.egg-info

$(VENV)/.runtime: requirements.lock requirements-uv.lock pyproject.toml
	$(call install,requirements.lock)

$(VENV)/.dev: requirements-dev.lock requirements-uv.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.runtime

$(VENV)/.bench: requirements-bench.lock requirements-uv.lock pyproject.toml
	$(call install,requirements-bench.lock)
	@touch $(VENV)/.runtime
