# `make serve` and `make test` do all of their set-up on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Pyramid 2.1 imports pkg_resources, which warns of its own end at every start.
export PYTHONWARNINGS ?= ignore:pkg_resources is deprecated as an API:UserWarning

.PHONY: serve test lint clean

serve: $(VENV)/.serve
	$(BIN)/pserve development.ini

test: $(VENV)/.test
	$(BIN)/pytest

lint: $(VENV)/.test
	$(BIN)/ruff format --check oauthdevice tests
	$(BIN)/ruff check oauthdevice tests
	$(BIN)/mypy

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: setup.cfg pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: setup.cfg pyproject.toml tests/install-servers.sh | $(BIN)/pip
	sh tests/install-servers.sh
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV) var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
