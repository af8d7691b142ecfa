# make run    answers a first call from one command and keeps running
# make demo   the same, then exits: 0 only if the conversation went as recorded
# make setup  creates the environment in .venv, with the `trunkline` command
# make livekit   runs LiveKit server, LiveKit SIP and Redis on free loopback ports, until Ctrl-C; builds them once
# make livekit-parts   builds them, and installs livekit-agents for comparison, without starting anything
# make test   all tests;  make check adds ruff and mypy --strict
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || (command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && echo python3.11) || echo python3)
VENV := .venv
# Integration tests wait for calls in real time, so more of them run side by side than there are cores.
LANES ?= 3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run demo setup test test-livekit unit check lint types lock livekit livekit-parts clean

run: setup
	$(BIN)/trunkline demo --stay

demo: setup
	$(BIN)/trunkline demo

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3,11) <= sys.version_info < (3,13) else "Trunkline needs Python 3.11 or 3.12; found %s. Set PYTHON=..." % sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Other tracebacks need the source's syntax tree, and CPython 3.11.7 fails to make one when a garbage collection comes
# between (gh-106905): pytest then ends in the middle, with INTERNALERROR.
PYTEST = $(BIN)/python -m pytest -q --tb=native

unit: setup
	$(PYTEST) -n 2 tests/unit

# What only the tests of Whisper need, 250 MB.
$(VENV)/.whisper: $(STAMP) requirements-whisper.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-whisper.lock
	@touch $@

test: setup $(VENV)/.whisper
	@$(PYTEST) -n 2 tests/unit; unit=$$?; \
	$(PYTEST) -n $(LANES) --dist loadfile tests/integration; exit $$((unit | $$?))

test-livekit: setup livekit-parts
	$(PYTEST) -n $(LANES) --dist loadfile tests/integration/livekit

livekit-parts: setup
	$(PYTHON) deploy/livekit/build.py
	$(BIN)/python -m bench.livekit_stack.peer

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra campaigns --extra livekit --extra postgres --extra speech --group dev pyproject.toml -o requirements.lock
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["whisper"], sep="\n")' \
	| uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock - -o requirements-whisper.lock

livekit:
	@$(PYTHON) deploy/livekit/stack.py

clean:
	rm -rf $(VENV) var
