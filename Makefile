# `make demo` and `make test` do their own set-up: Python 3.11+, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: dist demo test test-slow check format refresh notebooks docs bench page clean help faults fuzz lock locked audit sbom mutation

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

# Hundreds of processes are started, which read bytecode where it may be kept, and the plugin of schemathesis, which no
# test uses, takes a second in each that collects. worksteal gives each worker half of the tests in the order of their
# files and moves some once a worker has none: few fixtures of a file are made twice, and no worker waits for a last file.
test: $(VENV)/.dev  ## the default suite, minutes on two cores
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -m 'not slow' -p no:schemathesis -n 2 --dist worksteal

test-slow: $(VENV)/.dev  ## what is killed, trained or looked at for longer
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev  ## ruff, mypy, the test of the layers, and the examples in docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -p no:schemathesis --doctest-modules tests/test_layers.py src/mien

format: $(VENV)/.dev  ## lay the code out
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

refresh: $(VENV)/.dev  ## set the line numbers and the drawing in the guide to what the code is now
	$(BIN)/python docs/refresh.py

notebooks: $(VENV)/.dev $(VENV)/.docs  ## run the notebooks of the guide, and keep in them what they show (minutes)
	for n in docs/notebooks/*.ipynb; do (set -e; t=$$(mktemp -d); cp $$n $$t; cd $$t; \
		PATH="$(abspath $(BIN)):$$PATH" jupyter nbconvert --to notebook --execute --inplace *.ipynb; \
		cp *.ipynb "$(CURDIR)/docs/notebooks"; rm -r $$t) || exit 1; done

$(VENV)/.docs: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[docs]'
	@touch $@

# typer, which mkdocs-typer2 calls by its name, is found in .venv/bin.
docs: $(VENV)/.docs  ## build the guide and the reference into site/, strictly
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The peer that Mien is measured beside has an environment of its own: its TensorFlow stays out of ours.
$(VENV)/.peers: $(BIN)/python benchmarks/peer_fer.txt
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/peer_fer.txt
	$(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet --no-deps fer==25.10.3
	@touch $@

bench: $(VENV)/.dev  ## speed, memory and cold start, beside a peer on this machine (minutes)
	-@$(MAKE) --no-print-directory $(VENV)/.peers
	$(BIN)/python benchmarks/speed.py

$(VENV)/.audit: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev,audit]'
	@touch $@ $(VENV)/.dev $(VENV)/.demo

faults: $(VENV)/.dev  ## fifty random kills of a run, here and on Ray (half an hour)
	$(BIN)/python -m pytest tests/batch/test_faults.py -m slow -s

fuzz: $(VENV)/.dev  ## 100,000 damaged photos and clips through `mien analyze` (an hour; goes on where it stopped)
	$(BIN)/python benchmarks/fuzz.py

lock: $(VENV)/.audit  ## choose the versions in constraints.txt anew (UPGRADE=--upgrade: the newest)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command 'make lock' $(UPGRADE) --output-file constraints.txt pyproject.toml

locked: $(BIN)/python  ## fail unless .venv has the versions of constraints.txt
	$(PIP) --dry-run --no-index --no-build-isolation -e '.[dev]'

audit: $(VENV)/.audit  ## ask PyPI for known vulnerabilities in constraints.txt; fails where it cannot be asked
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

# An environment with what users get and no pip in it, so that nothing else is in the list.
sbom: $(VENV)/.audit  ## write what the core install is made of to dist/mien.cdx.json (CycloneDX), and validate it
	rm -rf $(VENV)/core && $(PYTHON) -m venv --without-pip $(VENV)/core
	$(BIN)/python -m pip --disable-pip-version-check --python $(VENV)/core/bin/python install --quiet -c constraints.txt .
	rm $(VENV)/core/lib/python*/site-packages/mien-*.dist-info/direct_url.json  # names a folder of this machine
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --mc-type library --output-reproducible --validate \
		--output-file dist/mien.cdx.json $(VENV)/core/bin/python

# Goes on where it stopped; `rm -rf mutants` begins anew. Again, and of one module: MUTANTS='mien.faces.align.*'
mutation: $(VENV)/.audit  ## change the code that judges place by place, and name what no test notices (half an hour)
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(MUTANTS)
	$(BIN)/mutmut results
	$(BIN)/mutmut results --all true | sed -nE 's/^ +mien\.([a-z_.]+)\.x[^:]*: /\1 /p' | sort | uniq -c

# What builds and checks a release has an environment of its own.
$(VENV)/.dist: $(BIN)/python
	$(PYTHON) -m venv $(VENV)/dist
	$(VENV)/dist/bin/python -m pip --disable-pip-version-check install --quiet build twine
	@touch $@

PYTHONS ?= python3.11 python3.12 python3.13 python3.14
dist: $(VENV)/.dist  ## build wheel and sdist, check them, install and run them from nothing on each of PYTHONS
	rm -rf build dist/mien-*
	$(VENV)/dist/bin/python -m build
	$(VENV)/dist/bin/twine check --strict dist/mien-*
	$(VENV)/dist/bin/python benchmarks/dist.py $(PYTHONS)

page:  ## build the page of `mien serve` (Node 20+); the built files are committed
	cd web && npm ci && npm run build

clean:  ## remove what the other targets made (runs/ stays)
	rm -rf $(VENV) demo build dist mutants site
