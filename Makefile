# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)

# A folder with wheels known to pip serves uv too; without one, uv takes the CPU build of torch (or TORCH=auto).
TORCH ?= cpu
ifneq ($(strip $(PIP_FIND_LINKS)),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
else
export UV_TORCH_BACKEND ?= $(TORCH)
endif

.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Create the environment in .venv

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "error: need Python 3.11 or 3.12, $(PYTHON) is $$($(PYTHON) -V); set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' constraints.txt)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable '.[dev]'
	@touch $@

synth: setup ## Add the packages of the sample benchmark's generator
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable '.[synth]'

data: setup ## Pull the bundled sample benchmark
	rmtl data pull

demo: setup ## Run the whole chain on the sample and print a served answer
	bash benchmarks/demo.sh

test: lint unit ## Check style, types and layers, and run the tests

lint: setup ## Run ruff, mypy and import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports

unit: setup data ## Run pytest
	pytest --numprocesses 2 --dist loadfile

clean: ## Remove what the steps made (not data, not the environment)
	rm -rf artifacts reports/plots reports/data_docs

.PHONY: help setup synth data demo test lint unit clean
