# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTOGRAPH := artifacts/demo/astronaut.png
export PATH := $(abspath $(BIN)):$(PATH)

# Every step is a process of its own: where Python may keep no bytecode, each would compile what it imports anew.
export UV_COMPILE_BYTECODE = 1

# A folder with wheels known to pip serves uv too; without one, uv takes the CPU build of torch (or TORCH=auto).
TORCH ?= cpu
ifneq ($(strip $(PIP_FIND_LINKS)),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
else
export UV_TORCH_BACKEND ?= $(TORCH)
endif

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
RMTL_IMAGE ?= residual-mtl:$(VERSION)
RMTL_SERVE_IMAGE ?= residual-mtl-serve:$(VERSION)
# A certificate and a folder of wheels go into the context, and from there into the build stages only.
IMAGE_ARGUMENTS = VERSION=$(VERSION) RMTL_GIT_REVISION=$(shell git rev-parse HEAD) TORCH=$(TORCH) PIP_INDEX_URL \
  $(if $(BASE_IMAGE),BASE_IMAGE) \
  $(if $(PIP_CERT),PIP_CERT=/build/ca.crt) \
  $(if $(PIP_FIND_LINKS),PIP_FIND_LINKS=$(if $(wildcard $(PIP_FIND_LINKS)/.),/build/wheels,$(PIP_FIND_LINKS)))

.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-16s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Create the environment in .venv

$(VENV)/.ready: pyproject.toml constraints.txt overrides.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "error: need Python 3.11 or 3.12, $(PYTHON) is $$($(PYTHON) -V); set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' constraints.txt)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --overrides overrides.txt --editable '.[dev]'
	@touch $@

synth: setup ## Add the packages of the sample benchmark's generator
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --overrides overrides.txt --editable '.[synth]'

data: setup ## Pull the bundled sample benchmark
	rmtl data pull

photograph: setup $(PHOTOGRAPH) ## Fetch a rights-free photograph of a face

# Of all of scikit-image only this picture (NASA, public domain) is kept.
$(PHOTOGRAPH): | $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --no-deps --group photograph --target $(@D)/wheel
	mv $(@D)/wheel/skimage/data/$(@F) $@
	rm -r $(@D)/wheel

demo: setup photograph ## Run the whole chain on the sample, print a served answer, and look at a photograph
	bash benchmarks/demo.sh

test: lint unit ## Check style, types and layers, and run the tests

lint: setup ## Run ruff, mypy and import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports

unit: setup data ## Run pytest
	pytest --numprocesses 2 --dist loadfile

images: ## Build the images residual-mtl and residual-mtl-serve
	@rm -rf build/image && mkdir -p build/image/wheels
	@$(if $(PIP_CERT),cp --dereference $(PIP_CERT) build/image/ca.crt)
	@$(if $(wildcard $(PIP_FIND_LINKS)/*.whl),cp $(PIP_FIND_LINKS)/*.whl build/image/wheels)
	docker build $(IMAGE_OPTIONS) $(addprefix --build-arg ,$(IMAGE_ARGUMENTS)) --target serve --tag $(RMTL_SERVE_IMAGE) .
	docker build $(IMAGE_OPTIONS) $(addprefix --build-arg ,$(IMAGE_ARGUMENTS)) --target train --tag $(RMTL_IMAGE) .

test-containers: setup ## Build the images and run the tests inside them (starts an engine as root where none runs)
	pytest -m container

supply-chain: setup ## Check bill of materials, licences, secrets, wheel, and known vulnerabilities
	python -m supply

test-long: setup data ## Run the tests that take minutes: killed and broken-off runs, searches
	pytest --numprocesses 2 --dist load -m long

clean: ## Stop the endpoint and remove what the steps made (not data, not the environment)
	-rmtl deploy --stop
	rm -rf artifacts reports/plots reports/data_docs

.PHONY: help setup synth data photograph demo test lint unit test-long images test-containers supply-chain clean
