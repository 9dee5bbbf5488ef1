# make demo         the default pipeline for a Pixel 8, from nothing
# make test         lint, types, and all tests but those with real servers, browsers or emulators
# make coverage     the same tests one after another, with the branches that they cover
# make test-system  those with real servers, browsers or emulators
# make test-image   builds the images without a daemon, and runs them (needs root, buildah, podman, runc, mmdebstrap; 10 GB)
# make docs         the documentation as a site, in site/
# make runner       edgekd's own runner for ONNX files, for this machine: artifacts/runner/MACHINE
# make runner-arm64 the same for 64-bit Arm, with all its libraries: for phones and boards (needs gcc-aarch64-linux-gnu)
# make clean        removes what the targets above made, except artifacts/
#
# PYTHON=python3.12           takes this Python (3.11, 3.12 or 3.13) instead of looking for one
# PIP_EXTRA_INDEX_URL=URL     lets pip look there as well. PyPI's torch for Linux on x86-64 is a CUDA build of several
#                             GB; https://download.pytorch.org/whl/cpu has the CPU build, which is all that edgekd uses

export PIP_DISABLE_PIP_VERSION_CHECK := 1
ifneq ($(strip $(PIP_EXTRA_INDEX_URL)),)
export PIP_EXTRA_INDEX_URL
endif

# the tests start hundreds of processes, each of which would compile edgekd anew
unexport PYTHONDONTWRITEBYTECODE

SHELL := /bin/sh
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
NODE_MODULES := tests/system/node/node_modules/.package-lock.json
HEADERS := tests/system/debian13
SOURCES := pyproject.toml setup.py constraints.txt
# of one file one after another, since they share what takes long; each process may need 2 GB
AT_ONCE := -n logical --maxprocesses 4 --dist loadfile
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DELETE_ON_ERROR:
.PHONY: demo test coverage test-system test-image docs runner runner-arm64 clean

demo: $(INSTALLED)
	$(BIN)/edgekd build --device pixel8

test: $(INSTALLED_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not system and not image' $(AT_ONCE)

coverage: $(INSTALLED_DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not system and not image' --cov --cov-branch --cov-report=term:skip-covered

runner: $(INSTALLED)
	$(BIN)/python scripts/make_runner.py

runner-arm64: $(INSTALLED)
	$(BIN)/python scripts/make_runner.py --arm64

# pytest ends with 5 where no test is marked so
test-system: $(INSTALLED_DEV) $(NODE_MODULES) $(HEADERS)
	scripts/make_adbd_root.sh .system/adbd
	[ -e .system/runner-arm64/runner ] || $(BIN)/python scripts/make_runner.py --arm64 --output .system/runner-arm64
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m system --collect-only -q >/dev/null 2>&1; \
	if [ $$? -eq 5 ]; then echo "test-system: no test is marked 'system' yet"; \
	else OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m system; fi

test-image: $(INSTALLED_DEV)
	IMAGE=1 .ci/install-system-packages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m image tests/image

docs: $(INSTALLED_DEV)
	$(BIN)/mkdocs build --strict

# --ignore-scripts: some packages would fetch binaries that nothing here uses
$(NODE_MODULES): tests/system/node/package-lock.json
	@npm ci --prefix tests/system/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# onnxruntime's headers, for the C++ sample: the machine's own, or Debian 13's
$(HEADERS):
	@if [ ! -e /usr/include/onnxruntime/onnxruntime_cxx_api.h ]; then .ci/from-trixie libonnxruntime-dev tests/system/debian13; fi
	@mkdir -p $@

$(INSTALLED): $(SOURCES) | $(BIN)/python
	@echo "installing edgekd[build,tflite,report] into .venv: a few minutes the first time, about 2 GB with a CPU build of torch"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[build,tflite,report]'
	@touch $@

$(INSTALLED_DEV): $(SOURCES) | $(BIN)/python
	@echo "installing edgekd[build,tflite,data,report,sign,demo-text,docs,dev] into .venv: a few minutes the first time, about 2 GB with a CPU build of torch"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[build,tflite,data,report,sign,demo-text,docs,dev]'
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
	rm -rf $(dir $(NODE_MODULES)) $(HEADERS) .venv .system build dist site *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache
	find edgekd scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
