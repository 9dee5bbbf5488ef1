# make demo         the default pipeline for a Pixel 8, from nothing
# make test         lint, types, and all tests but those with real servers, browsers or emulators
# make test-system  the latter
# make clean        removes what the targets above made, except artifacts/
#
# PYTHON=python3.12           takes this Python (3.11, 3.12 or 3.13) instead of looking for one
# PIP_EXTRA_INDEX_URL=URL     lets pip look there as well. PyPI's torch for Linux on x86-64 is a CUDA build of several
#                             GB; https://download.pytorch.org/whl/cpu has the CPU build, which is all that edgekd uses

export PIP_DISABLE_PIP_VERSION_CHECK := 1
ifneq ($(strip $(PIP_EXTRA_INDEX_URL)),)
export PIP_EXTRA_INDEX_URL
endif

SHELL := /bin/sh
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
SOURCES := pyproject.toml setup.py constraints.txt
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DELETE_ON_ERROR:
.PHONY: demo test test-system clean

demo: $(INSTALLED)
	$(BIN)/edgekd build --device pixel8

test: $(INSTALLED_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not system' --cov --cov-branch --cov-report=term:skip-covered

# pytest ends with 5 where no test is marked so
test-system: $(INSTALLED_DEV)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m system --collect-only -q >/dev/null 2>&1; \
	if [ $$? -eq 5 ]; then echo "test-system: no test is marked 'system' yet"; \
	else OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m system; fi

$(INSTALLED): $(SOURCES) | $(BIN)/python
	@echo "installing edgekd[build,tflite] into .venv: a few minutes the first time, about 2 GB with a CPU build of torch"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[build,tflite]'
	@touch $@

$(INSTALLED_DEV): $(SOURCES) | $(BIN)/python
	@echo "installing edgekd[build,tflite,data,report,demo-text,dev] into .venv: a few minutes the first time, about 2 GB with a CPU build of torch"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[build,tflite,data,report,demo-text,dev]'
	@touch $(INSTALLED) $@

# A Python that was asked for is taken or refused; only where none was, others are tried after python3.
$(BIN)/python:
	@for python in $(if $(PYTHON),'$(PYTHON)',python3 python3.11 python3.12 python3.13); do \
		if "$$python" -c '$(IN_RANGE)' 2>/dev/null; then \
			echo "making .venv with $$("$$python" --version)"; \
			exec "$$python" -m venv --clear .venv; \
		fi; \
	done; \
	echo "error: found no Python 3.11, 3.12 or 3.13 (tried: $(or $(PYTHON),python3 python3.11 python3.12 python3.13))" >&2; \
	echo "hint: install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

clean:
	rm -rf .venv build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache
	find edgekd scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
