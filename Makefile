# make run    a story channel in the terminal, or the Discord bot when MINIATURE_DISCORD_TOKEN is set
# make test   every test, on all cores
# make lint   ruff and mypy
#
# Variables: PYTHON (a Python from 3.11), VENV (where the virtual environment lies), TORCH_INDEX (an extra package index;
# https://download.pytorch.org/whl/cpu has a torch for Linux without gigabytes of GPU libraries).

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=

python := $(VENV)/bin/python
install := $(python) -m pip install --disable-pip-version-check --progress-bar off $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: run test lint

run: $(VENV)/installed
	@MALLOC_ARENA_MAX=2 $(python) -m bot

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(python) -m pytest --numprocesses auto --dist loadfile $(TESTS)

lint: $(VENV)/installed-dev
	$(python) -m ruff check .
	$(python) -m mypy

native := setup.py $(wildcard engine/kernel/*.[ch])

$(VENV)/installed: pyproject.toml $(native) | $(python)
	@echo "Installing into $(VENV); this takes minutes, once."
	@$(install) --quiet -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(native) | $(python)
	@echo "Installing into $(VENV) with what the tests need; this takes minutes, once."
	@$(install) --quiet -e '.[dev]'
	@touch $@ $(VENV)/installed

$(python):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is missing or older than Python 3.11; name another one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
