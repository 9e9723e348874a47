# The doors of the project; surface.md of the README names them. Nothing here needs root, Docker or a Debian package.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Tests start hundreds of processes of ours: without compiled files each compiles every module again, half of the suite's time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test lint audit bench soak chaos assets dist lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup:  ## create .venv, install, build web assets
	@$(PYTHON) tools/bootstrap.py

demo: setup  ## set up and run the living demo (ARGS="--check" runs it without a browser)
	@$(BIN)/python -m simulators.demo $(ARGS)

test: setup  ## set up and run the tests
	@$(BIN)/python tools/present.py
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not soak" $(ARGS) || { \
	  echo "== what failed while both cores were busy is run once more, alone; it must pass then =="; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m "not soak" $(ARGS); }

lint: setup  ## ruff, mypy, import contracts, bandit
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/bandit -q -ll -c pyproject.toml -r alarms contract edge server simulators

audit: setup  ## known vulnerabilities of the locked packages (ARGS=--offline-ok where the service cannot be reached)
	@$(BIN)/python tools/audit.py $(ARGS)

bench: setup  ## print measured figures (ARGS=--quick)
	@$(BIN)/python -m benchmarks $(ARGS)

soak: setup  ## long seeded fault runs; SOAK_MINUTES limits them
	@$(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

chaos: setup  ## kill processes of a running slice, again and again
	@$(BIN)/python -m pytest -m faults $(ARGS)

assets:  ## rebuild web assets
	@rm -rf dashboards/static/vendor && $(PYTHON) tools/bootstrap.py

dist: setup  ## build a wheel; fails without web assets
	@test -f dashboards/static/vendor/manifest.json || { echo "web assets are missing: run 'make assets' first" >&2; exit 1; }
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel

lock:  ## renew the locks: hashes, no addresses
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra edge --extra server --extra sim --extra dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  tools/node.in -o requirements-node.lock

clean:  ## remove what was built; keeps .venv
	@rm -rf var dist build dashboards/static/vendor dashboards/web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
