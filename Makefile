# The performance workbook. `make` alone lists the targets.
# Needs only Python >= 3.11 with venv, and make. Written for GNU make 3.81, the one macOS has.

PYTHON ?= python3
PROFILE ?= quick
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.stamp
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

# Nothing but .venv is seen: no user site, no foreign path, no pip setting that installs elsewhere.
export PYTHONNOUSERSITE := 1
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP JUPYTER_PATH
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_DRY_RUN

.DEFAULT_GOAL := help
.PHONY: help setup report test check lab baseline demo bench fuzz death servers trial lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv, the locked packages and perflib in it (nothing, when current)

report: setup ## run every scenario, write data/reports/latest/index.html (PROFILE=brief: full durations)
	$(BIN)/perflib report --profile $(PROFILE) $(ARGS)

test: setup ## run all the tests (ARGS="-k layers": some)
	$(BIN)/pytest -m "not measuring" -n 2 --dist loadgroup $(ARGS) || [ $$? -eq 5 ]  # 5: ARGS names none of these
	$(BIN)/pytest -m measuring $(ARGS) || [ $$? -eq 5 ]

check: setup ## lint, format, types, layers, notebook form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --verify --keep-id $(NOTEBOOKS))

lab: setup ## open JupyterLab on notebooks/00_start_here.ipynb
	$(BIN)/jupyter-lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

baseline: setup ## measure light_load and baseline at full length, write performance_baselines.json
	$(BIN)/perflib baseline record light_load baseline --profile brief $(ARGS)

demo: setup ## serve the sample dashboard (ARGS="--port 9000": elsewhere)
	$(BIN)/perflib demo $(ARGS)

bench: setup ## measure the generator against wrk, oha, k6 and others (ARGS=--quick: 3 minutes, not 50)
	$(BIN)/python -m tests.benchmarks.run $(ARGS)

fuzz: setup ## the fuzz tests for 10 minutes (ARGS="--seconds 60": for one)
	$(BIN)/python -m tests.long.fuzz $(ARGS)

death: setup ## disturb 200 runs at random moments, count what is lost (ARGS="--trials 20": fewer)
	$(BIN)/python -m tests.long.death $(ARGS)

servers: setup ## the first report of real servers, Node and Go among them, with its commands and seconds
	$(BIN)/pytest -s tests/long/servers.py tests/integration/test_first_report.py $(ARGS)

trial: setup ## plant causes in servers, count how often `perflib why` names them (ARGS="--seeds 2 --sound 2": fewer)
	$(BIN)/pytest -q tests/long/planted.py
	$(BIN)/python -m tests.long.why $(ARGS)

lock: ## renew requirements.txt from pyproject.toml (needs uv; ARGS=--upgrade: newest versions)
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
	    --no-emit-package pip --no-emit-index-url --no-emit-find-links --no-header $(ARGS) pyproject.toml -o requirements.txt

clean: ## remove .venv and caches, never data/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find perflib tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamp holds the folder it was made in: a copied or moved .venv, or one whose Python is gone, is made anew.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): requirements.txt pyproject.toml
	@test "$$(cat $@ 2>/dev/null || echo '$(CURDIR)')" = '$(CURDIR)' && \
	    $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || rm -rf .venv
	@test -d .venv || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "$(PYTHON) is missing or older than Python 3.11; name a newer one: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo '$(CURDIR)' > $@
	@echo 'Ready. `. .venv/bin/activate` puts perflib on the path of this shell.'
