# Two commands do all the set-up: `make demo` and `make test`. Everything lives in .venv.
export PATH := $(or $(PATH),/usr/local/bin:/usr/bin:/bin)
ifndef HOME
export HOME := $(CURDIR)/.venv/home
endif
export UV_SYSTEM_CERTS ?= 1
export UV_PYTHON_DOWNLOADS := never
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH

PYTHON ?= python3
# Where node's header files are: what is compiled for node asks the network for them else.
NODE_HOME = $(patsubst %/bin/node,%,$(realpath $(shell command -v node)))
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: docs links screenshots dependencies audit matrix release demo up test mutants lint bench campaign fuzz hour reads node php strapi ghost simulate constraints clean

demo: $(INSTALLED)  ## the whole path once, on embedded parts
	@$(BIN)/pme-airflow demo

up: $(INSTALLED)  ## a whole Airflow with an emulator, until Ctrl-C
	@$(BIN)/pme-airflow up

test: $(INSTALLED)  ## all tests this machine can run; PYTEST_ARGS="-n 0 …" runs them in one process
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadgroup $(PYTEST_ARGS)

mutants: $(INSTALLED)  ## change details at random, and name the changes that no fast test notices: MODULES= N= SEED= SINCE=
	$(BIN)/python -m tests.support.mutation $(MODULES) $(if $(SINCE),--since $(SINCE) -n $(or $(N),12),-n $(or $(N),200)) \
	  --seed $(or $(SEED),1) $(MUTANTS_ARGS)

campaign: $(INSTALLED)  ## every campaign in full: hours
	PME_FULL=1 $(BIN)/python -m pytest tests/campaigns tests/airflow $(PYTEST_ARGS)

reads: $(INSTALLED)  ## a million reads of the WordPress plugin's endpoint
	PME_FULL=1 $(BIN)/python -m pytest -n 0 tests/targets/test_wordpress_plugin_slots.py -k million $(PYTEST_ARGS)

simulate: $(INSTALLED)  ## days in virtual time, and the page of the docs: SEEDS=5 YEAR=1, or DAYS=14 MODELS=67; JOBS=2
	$(BIN)/python -m tests.support.simulation --seeds $(or $(SEEDS),1) $(if $(YEAR),--year,--days $(or $(DAYS),14) \
		--models $(or $(MODELS),67)) --jobs $(or $(JOBS),1)

fuzz: $(INSTALLED)  ## hostile input for every parser, MINUTES=60; what finds something is kept in .fuzz/
	PME_FULL=1 PME_FUZZ_MINUTES=$(or $(MINUTES),60) $(BIN)/python -m pytest -n 0 -s tests/campaigns/test_fuzz.py $(PYTEST_ARGS)

.PHONY: crashes
crashes: $(INSTALLED)  ## a kill and a failure at each boundary of a run, each followed by a rerun: POINTS=10000 DATABASES="sqlite …"
	$(BIN)/python -m tests.support.crashes $(DATABASES) --points $(or $(POINTS),10000)
	PME_FULL=1 $(BIN)/python -m pytest -n 0 tests/campaigns/test_crashes.py -k "exposed or migration" $(PYTEST_ARGS)

hour: $(INSTALLED)  ## an hour of links of ten minutes in a live Airflow, a fault a minute: TRIGGERER=kept|none|killed
	PME_FULL=1 PME_TRIGGERER=$(or $(TRIGGERER),kept) $(BIN)/python -m pytest -s tests/campaigns/test_live_hour.py $(PYTEST_ARGS)

.PHONY: idle
idle: $(INSTALLED)  ## an Airflow left alone for an hour: its runs, and what watching the ledger costs
	PME_FULL=1 $(BIN)/python -m pytest -n 0 -s tests/campaigns/test_live_idle.py $(PYTEST_ARGS)

.PHONY: due
due: $(INSTALLED)  ## flags, a night's retirements and an API that refuses for MINUTES=60, in a live Airflow
	PME_FULL=1 PME_MINUTES=$(or $(MINUTES),60) $(BIN)/python -m pytest -n 0 -s tests/campaigns/test_live_due.py $(PYTEST_ARGS)

lint: $(INSTALLED)  ## style, types, the direction of imports, sizes and words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.house

matrix: $(INSTALLED)  ## the wheel with each supported Airflow and Python: CELLS="few" or names; all by default
	$(BIN)/python -m tests.support.matrix $(CELLS)

docs: $(INSTALLED)  ## the documentation site, in docs/_build, with warnings as errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo "Open docs/_build/index.html."

links: $(INSTALLED)  ## whether the docs' links to other sites still lead somewhere; needs the network
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links
	@echo "Every link leads somewhere."

screenshots: $(INSTALLED)  ## the pictures of the docs, in Chromium, of an Airflow that is started for it
	@$(BIN)/python -m tests.support.screenshots

dependencies: $(INSTALLED)  ## measure the docs' table of direct dependencies, NAMES="…"; asks the package index, for minutes
	$(BIN)/python -m tests.support.dependencies $(NAMES)

audit: $(INSTALLED)  ## known vulnerabilities of what constraints.txt pins; needs the package index
	@.ci/audit

release: $(INSTALLED)  ## build and check wheel, source archive and bill of materials; upload nothing
	@.ci/release

bench: $(INSTALLED)  ## ratios against the usual way, side by side
	$(BIN)/python -m benchmarks

node: $(INSTALLED)  ## the JavaScript that tests run where it is here: secretlint, the vendor's SDK, Directus
	@npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev --fetch-retries 1 \
	  --fetch-timeout 20000 --prefix .venv/node $$(cat tests/node.txt)
	@cd .venv/node && npm_config_nodedir=$(NODE_HOME) npm rebuild --silent --ignore-scripts=false --foreground-scripts \
	  isolated-vm argon2 >/dev/null

strapi: $(INSTALLED)  ## a Strapi for the campaigns, which takes a minute or two and 700 MB
	@mkdir -p .venv/strapi && cp tests/strapi/package.json .venv/strapi/
	@npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev --legacy-peer-deps \
	  --fetch-retries 1 --prefix .venv/strapi

php: $(INSTALLED)  ## PHP 7.4 to 8.3 as WebAssembly, which load the WordPress plugin; 470 MB
	@npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev --fetch-retries 1 \
	  --prefix .venv/php @php-wasm/node@3.1.56 @php-wasm/universal@3.1.56

ghost: $(INSTALLED)  ## a Ghost for its recipe's nights, which takes some minutes and 600 MB; SQLite is compiled for it
	@rm -rf .venv/ghost && mkdir -p .venv/ghost
	@cd .venv/ghost && npm pack --silent ghost@5.130.5 >/dev/null && tar xzf ghost-*.tgz && rm ghost-*.tgz
	@cd .venv/ghost/package && npm pkg delete devDependencies && npm install --silent --no-package-lock --no-audit \
	  --no-fund --ignore-scripts --omit=dev --legacy-peer-deps --fetch-retries 1
	@cd .venv/ghost/package && npm_config_nodedir=$(NODE_HOME) \
	  npm_config_build_from_source=true npm rebuild --silent --ignore-scripts=false --foreground-scripts sqlite3 >/dev/null

constraints: $(INSTALLED)  ## pin what is newest today
	$(BIN)/uv pip compile pyproject.toml --extra slack --extra s3 --extra postgres --extra mysql --extra scan \
	  --group dev --group docs --group release --universal --python-version 3.10 --upgrade --no-header --no-annotate --no-emit-index-url -q \
	  -o constraints.txt
	$(BIN)/uv pip list --python $(BIN)/python --format freeze | grep '^uv==' >> constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "pme-airflow needs Python 3.10 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "python3 -m venv failed: install your system's python3-venv, or name another with PYTHON="; exit 1; }
	@mkdir -p "$$HOME"
	$(BIN)/python -m pip install -q -c constraints.txt uv
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group dev --group docs --group release -e '.[slack,s3,postgres,mysql]'
	@touch $@

clean:
	rm -rf .venv .demo .up .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz
