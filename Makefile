# `make demo` and `make test` do their own set-up: Python 3.11+, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test test-slow check format bench page train clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mien needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# Stamps: the demo needs no torch, the tests need everything.
$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## analyse public-domain portraits and a clip of them into demo/
	$(BIN)/python examples/demo.py demo

test: $(VENV)/.dev  ## the default suite, a few minutes
	$(BIN)/python -m pytest -m 'not slow'

test-slow: $(VENV)/.dev  ## the longer tests
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev  ## ruff, mypy, and the test of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

format: $(VENV)/.dev  ## lay the code out
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The peer that Mien is measured beside has an environment of its own: its TensorFlow stays out of ours.
$(VENV)/.peers: $(BIN)/python benchmarks/peer_fer.txt
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/peer_fer.txt
	$(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet --no-deps fer==25.10.3
	@touch $@

bench: $(VENV)/.dev  ## speed, memory and cold start, beside a peer on this machine (minutes)
	-@$(MAKE) --no-print-directory $(VENV)/.peers
	$(BIN)/python benchmarks/speed.py

page:  ## build the page of `mien serve` (Node 20+); the built files are committed
	cd web && npm ci && npm run build

clean:  ## remove what the other targets made (runs/ stays)
	rm -rf $(VENV) demo build dist
