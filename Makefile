# On a machine with only Python 3.11, pip and make:
#
#   make demo     sets everything up and runs the main job
#   make test     sets everything up and runs the tests
#
# `make help` lists the rest. Everything is installed into .venv, which is made anew when
# pyproject.toml or constraints.txt change. To test with other versions than the pinned ones:
#
#   make test-new                                                         # Python 3.13
#   make test VENV=.venv-312 PYTHON=python3.12 CONSTRAINTS=/dev/null

# Python 3.11 where there is one: that is what constraints.txt was made with.
PYTHON      ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
VENV        ?= .venv
PYENV_313   := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.13.*/bin/python
CONSTRAINTS ?= constraints.txt
WORKERS     ?= 2
BIN         := $(VENV)/bin

# The CPU build of torch is enough. Where pip finds only the registry's build (on Linux: with
# gigabytes of CUDA libraries), name an index that has the CPU build, as on torch's own install page:
#   make demo TORCH_ARGS="--index-url ADDRESS"
TORCH_ARGS  ?=

# Data that do not ship. Where they are missing, what needs them is skipped by name.
ifneq ($(wildcard ../shared/data/.),)
METASCI_DATA_DIR ?= $(abspath ../shared/data)
export METASCI_DATA_DIR
endif

export MPLBACKEND ?= Agg
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

# As many processes as workers, one thread in each: more only get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-new test-slow test-install app-test page-test import-test federated-test rewards-test executorch-test check wheel format docs models clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.installed  ## the environment in .venv

# torch first, so that nothing else picks another build of it
$(VENV)/.installed: pyproject.toml $(filter-out /dev/null,$(CONSTRAINTS))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $(TORCH_ARGS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[bayes,dev,docs,materials,scale]"
	@touch $@

demo: setup  ## the main job: calibrate an alloy and a patient from a few measurements
	$(BIN)/python -m metasci.studies.demo

test: setup  ## tests and doctests
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: setup  ## the few tests that take half a minute or more
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -m slow

test-new:  ## the tests on Python 3.13 with the newest of everything, in .venv-new
	$(MAKE) test VENV=.venv-new CONSTRAINTS=/dev/null \
		PYTHON="$$(python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null || ls -d $(PYENV_313) | tail -n 1)"

CHROMIUM := command -v chromium >/dev/null || (export DEBIAN_FRONTEND=noninteractive; timeout 120 apt-get update -qq \
	&& timeout 300 apt-get install -y -qq chromium) >/dev/null 2>&1 || true

# Playwright drives Debian's own Chromium. Where it cannot be installed, the tests that look are skipped by name.
app-test: setup  ## the app and the reports in a browser: installs Chromium where it can
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[app]" playwright
	$(CHROMIUM)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 0 tests/test_app.py tests/test_app_browser.py tests/test_report_browser.py

# onnxruntime-web is no part of the package: npm fetches it beside the environment, and git knows nothing of it.
ORT_WEB := $(VENV)/onnxruntime-web
page-test: setup  ## the calibrator's page in a browser: needs npm, installs Chromium where it can
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[export]" playwright
	npm install --silent --no-audit --no-fund --prefix $(ORT_WEB) onnxruntime-web@1.30.0
	$(CHROMIUM)
	METASCI_ORT_WEB=$(ORT_WEB)/node_modules/onnxruntime-web/dist \
		$(ONE_THREAD) $(BIN)/python -m pytest -n 0 tests/test_calibrator_page.py

import-test: setup  ## NONMEM control streams and PEtab problems, with the libraries that read them
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[nonmem,petab]"
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) tests/test_nonmem.py tests/test_nonmem_models.py tests/test_control_streams.py tests/test_petab.py

rewards-test: setup  ## hospitals that treat sepsis: their patients, and a learner of policies beside
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[rewards]"
	$(ONE_THREAD) $(BIN)/python -m pytest -n 0 tests/test_sepsis.py

executorch-test: setup  ## calibrators as ExecuTorch files
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[executorch]"
	$(ONE_THREAD) $(BIN)/python -m pytest -n 0 tests/test_programs.py

# Flower pins other versions than constraints.txt, so that it has an environment of its own.
FLOWER := $(VENV)-flower
federated-test:  ## federated learning over Flower: its simulation, and its server and clients over loopback
	test -x $(FLOWER)/bin/python || $(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/python -m pip install --quiet $(TORCH_ARGS) torch
	$(FLOWER)/bin/python -m pip install --quiet --editable ".[federated]" hypothesis pytest scikit-learn
	FLWR_TELEMETRY_ENABLED=0 $(ONE_THREAD) $(FLOWER)/bin/python -m pytest -p no:xdist -o addopts="" tests/test_federated_flower.py

check: setup  ## style, types, and imports that run one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: setup  ## build wheel and sdist, in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

# By hand: it installs from the network, and takes some minutes for each Python. PYTHONS="python3.11" tries one.
PYTHONS ?=
test-install: wheel  ## the wheel as users have it, on Python 3.11 to 3.13, without and with extras
	$(BIN)/python tests/installs.py dist/*.whl $(PYTHONS) --torch "$(TORCH_ARGS)"

format: setup  ## put the style right where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

models: setup  ## learn all shipped priors anew, into models/
	$(BIN)/python -m metasci.studies.ship

clean:  ## remove the environment, caches and built files
	rm -rf $(VENV) .venv-new build dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find metasci tests -name __pycache__ -type d -prune -exec rm -rf {} +
