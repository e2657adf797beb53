# `make serve` and `make test` do all of their set-up on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Pyramid 2.1 imports pkg_resources, which warns of its own end at every start.
export PYTHONWARNINGS ?= ignore:pkg_resources is deprecated as an API:UserWarning

# In two processes at once, each with servers of its own; a test that hangs ends the run.
TESTING ?= --numprocesses 2 --dist worksteal --timeout 600

# Who can sign in at the demo identity provider; the second has an account here and is sent back to it.
ADA := {"sub": "ada", "email": "ada@corp.example", "email_verified": true}
DEMO := {"sub": "demo", "email": "demo@example.com", "email_verified": true}

.PHONY: serve serve-sso test test-fast model fuzz lint check lock licences bench bench-check soak catalogues screenshots \
    figures clean

serve: $(VENV)/.serve
	$(BIN)/pserve development.ini

serve-sso: $(VENV)/.demo
	@PYTHONWARNINGS=ignore $(BIN)/oidc-provider-mock --port 9400 --user-claims '$(ADA)' --user-claims '$(DEMO)' & \
	trap "kill $$!" EXIT; $(BIN)/pserve sso-demo.ini

test: $(VENV)/.test
	$(BIN)/pytest $(TESTING)

# Without any server: SQLite and the embedded Redis.
test-fast: $(VENV)/.test-fast
	$(BIN)/pytest $(TESTING) --kinds embedded

# Other stories than those of `make test`, of 50 steps each, beside a model of the whole server (docs/testing.md).
STORIES ?= 1000
model: $(VENV)/.test
	MODEL_STORIES=$(STORIES) $(BIN)/pytest --timeout 0 tests/functional/test_model_of_the_server.py

# So many times the inputs of `make test`, drawn anew; the last line says how many (docs/testing.md).
TIMES ?= 15
fuzz: $(VENV)/.test
	FUZZ_TIMES=$(TIMES) $(BIN)/pytest --timeout 0 tests/fuzz

lint: $(VENV)/.test
	$(BIN)/ruff format --check oauthdevice tests bench
	$(BIN)/ruff check oauthdevice tests bench
	$(BIN)/mypy

# Known holes in what the server stands on, as it is locked and as it is installed here (docs/supply-chain.md).
check: $(VENV)/.supply-chain
	$(BIN)/python -m tests.supply_chain audit $(AUDIT)

# What production is installed from, a hash for each file; `make lock LOCK=--upgrade` takes the newest of all.
lock: $(VENV)/.supply-chain
	$(BIN)/uv pip compile --quiet --extra production --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --custom-compile-command 'make lock' --output-file requirements.lock $(LOCK) setup.cfg
	$(MAKE) --no-print-directory licences

licences: $(VENV)/.supply-chain
	$(BIN)/python -m tests.supply_chain licences docs/licences.md

# Ours, its peers and the floor that it stands on at the same work, into docs/performance.md: some 20 minutes, alone on
# the machine. `make bench BENCH='--rounds 1 --seconds 2'` is a quick look; see `python -m bench --help`.
bench: $(VENV)/.bench
	$(BIN)/python -W ignore -m bench $(BENCH)

# A pending poll takes as many instructions as were recorded, or 10 % more or less.
bench-check: $(VENV)/.bench
	$(BIN)/python -W ignore -m bench.check

# Ten thousand devices for a quarter of an hour, then with a storm of codes and with guessers beside them.
soak: $(VENV)/.bench
	$(BIN)/python -W ignore -m bench.soak $(SOAK)

# Brings what the templates say now into every catalogue; what is new there is empty and must be translated.
catalogues: $(VENV)/.serve
	$(BIN)/pybabel --quiet extract --mapping pyproject.toml --keyword Scope:2 --add-location file --sort-by-file \
	    --project oauthdevice --output $(VENV)/messages.pot .
	for po in locales/*.po; do \
	    $(BIN)/pybabel --quiet update --input-file $(VENV)/messages.pot --output-file $$po --locale $$(basename $$po .po) \
	        --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --no-wrap || exit; \
	done

# Every state of every page into docs/screens, light and dark, wide and narrow; docs/consent.png for the README.
screenshots: $(VENV)/.test
	$(BIN)/python -m tests.browser.screenshots

# Requests, bytes and time to paint of every page into docs/page-figures.md.
figures: $(VENV)/.test
	$(BIN)/python -m tests.browser.figures

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: setup.cfg pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.demo: setup.cfg pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	touch $@ $(VENV)/.serve

$(VENV)/.test-fast: setup.cfg pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.serve

$(VENV)/.test: $(VENV)/.test-fast tests/install-servers.sh tests/oidc_provider/package-lock.json
	sh tests/install-servers.sh
	touch $@

$(VENV)/.supply-chain: setup.cfg pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[production,supply-chain]'
	touch $@ $(VENV)/.serve

$(VENV)/.bench: setup.cfg pyproject.toml bench/install.sh | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	sh bench/install.sh
	touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV) tests/oidc_provider/node_modules bench/peers/oidc_provider/node_modules var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
