# One virtual environment, made from the lock file; `make demo` and `make test` need nothing else.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
# The folder of the demo: a copy of examples/flights keeps its data elsewhere.
FLIGHTS ?= examples/flights
# How often `make crash` kills.
ROUNDS ?= 50
# How many seeds `make simulate` plays, and from which on.
N ?= 10000
FIRST ?= 0

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
QUERY := $(BIN)/headgate -C $(FLIGHTS) query

.DEFAULT_GOAL := help
.PHONY: help install demo test check crash simulate format bench lock clean

help:
	@echo "make demo    install, land a year of flights, backfill it, look at the result"
	@echo "make test    install and run every test"
	@echo "make check   format, lint, types, import rules, fast tests"
	@echo "make crash   kill real processes at random, ROUNDS times (50); CI does 3"
	@echo "make simulate  attack the scheduler with N seeds (10000); CI plays 2000"
	@echo "make format  format and fix what can be fixed"
	@echo "make bench   run every benchmark"
	@echo "make lock    choose the versions of all dependencies again (needs uv)"
	@echo "make clean   remove the virtual environment, caches and the demo's data"

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON) here"; echo "hint: install Python 3.11 or newer, or name it: make PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else 'error: Headgate needs Python 3.11 or newer, $(PYTHON) is %d.%d\nhint: name another: make PYTHON=python3.12' % v[:2])"
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python $(FLIGHTS)/land.py
	$(BIN)/headgate -C $(FLIGHTS) backfill --yes --reason "make demo"
	$(QUERY) "select count(*) n from flights"
	$(QUERY) "select name, sum(flights) flights, round(sum(dep_delay_mean * departed) / sum(departed), 1) mean_delay from carrier_delays_monthly join airlines using (carrier) group by name order by flights desc limit 5"
	$(QUERY) "select origin, flights, late, round(dep_delay_mean, 1) mean_delay, temp_mean from origin_trend where month = 7 and day = 4 order by origin"
	@echo
	@echo "What next:"
	@echo "  $(BIN)/headgate -C $(FLIGHTS) graph"
	@echo "  $(BIN)/headgate -C $(FLIGHTS) explain flights_weather 2013-07-04"
	@echo "  make demo again: nothing is left to do"
	@echo "  docs/tutorial.md: change a file, interrupt a run, kill it, resume"

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n auto --dist loadgroup

check: $(INSTALLED)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --explicit-package-bases src/headgate bench examples
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow" -q

crash: $(INSTALLED)
	@HEADGATE_KILL_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -n auto tests/crash

simulate: $(INSTALLED)
	@$(BIN)/python -m headgate.drivers.faulty --sweep $(FIRST) $(N)

format: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(INSTALLED)
	@$(BIN)/python -m bench

lock:
	@$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@rm -rf $(FLIGHTS)/.headgate $(FLIGHTS)/data $(FLIGHTS)/landing
