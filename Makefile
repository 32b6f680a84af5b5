# Everything here works in a fresh clone: the first target to need it makes .venv and installs the pinned packages.
#   make demo      classify phantom volumes with the shipped model        make test      the tests CI runs
#   make help      all targets
# PYTHON=python3.12 chooses the interpreter of a new .venv (3.11 or later).
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch from that index: the CPU build is a fraction of the default.

PYTHON ?= python3
TORCH_INDEX ?=
ZOO ?=
BUNDLE := crossd_vessel_classification
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# As many processes as the machine has cores, each with one thread; WORKERS=0 is one process, for a debugger
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal
test test-all: export OMP_NUM_THREADS = 1
# ITK's wrappers warn once more while Python shuts down, after pytest's last line
test test-all test-clients: export PYTHONWARNINGS = ignore:builtin type:DeprecationWarning

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-clients lint format audit bundle verify-zoo release check-release clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) --editable '.[dev,codecs,dicom,imagenet]'
	@touch $@

setup: $(READY) ## make .venv and install the pinned packages (the other targets do this by themselves)

demo: $(READY) ## classify phantom vessels (NIfTI files and a DICOM series) with the shipped model
	$(BIN)/python -m crossd.cli demo --output_dir demo

test: $(READY) ## the tests CI runs
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: $(READY) ## all tests, the slow ones included
	$(PYTEST) $(PYTEST_ARGS)

lint: $(READY) ## ruff format, ruff check, mypy: report only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bundle: $(READY) ## assemble the self-contained model-zoo form in dist/zoo
	$(BIN)/python -m scripts.maintain.zoo --output_dir dist/zoo

verify-zoo: $(if $(ZOO),bundle) ## the model zoo's own checks, without network: ZOO=<checkout of Project-MONAI/model-zoo>
	@PYTHON=$(abspath $(BIN)/python) scripts/maintain/verify_zoo.sh "$(ZOO)" dist/zoo/$(BUNDLE)

audit: $(READY) ## look the pinned packages up for known vulnerabilities; says so where the database cannot be reached
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && \
	    build/audit/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 pip-audit==2.10.1; } || true
	@$(BIN)/python -m scripts.maintain.audit --pip_audit build/audit/bin/pip-audit

release: $(READY) ## build wheel, sdist and the zip of the zoo form, with checksums, in dist/release
	rm -rf dist/release
	PIP_CONSTRAINT=$(abspath constraints.txt) $(BIN)/python -m build --outdir dist/release
	$(BIN)/python -m scripts.maintain.zoo --output_dir dist/zoo --zip dist/release
	cd dist/release && sha256sum * > SHA256SUMS && cat SHA256SUMS

check-release: release ## install its wheel in a clean environment; run the README's examples and the zoo zip there
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) scripts/maintain/check_release.sh dist/release

test-clients: $(READY) ## run the bundle in MONAI Deploy, Label, NVFLARE and the zoo (ZOO=…), and write docs/clients.md
	$(BIN)/python tests/clients/environments.py
	CLIENTS_PAGE=docs/clients.md ZOO=$(abspath $(ZOO)) $(BIN)/python -m pytest tests/clients --timeout 1800 $(PYTEST_ARGS)

clean: ## remove what the targets made, .venv and .venv-clients excepted
	rm -rf demo dist build output eval .pytest_cache .mypy_cache .ruff_cache bundle/crossd.egg-info
	find bundle tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
