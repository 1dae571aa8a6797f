# The same commands here and in CI. Each sets up .venv on first use: Python 3.11 or newer and make are enough.
#
#   PYTHON=…   the interpreter; by default the first that works of python3.11, 3.12, 3.13 and python3
#   EXTRAS=…   what to install of edgekit; by default everything, without torch where pip cannot find its CPU build
#   JOBS=…     test processes side by side
#   TESTS=…    what another Python's tests are; by default all

JOBS ?= 2
TESTS ?= tests
BIN := .venv/bin
# $(call find,NAMES): the first interpreter that runs and is new enough. A name on PATH alone proves nothing.
find = $(shell for p in $(1); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
PYTHON ?= $(call find,python3.11 python3.12 python3.13 python3)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-3.12 test-3.13 test-tensorflow lint bench fidelity coverage quantization docs clean

help: ## list the commands
	@sed -n 's/^\([a-z0-9. -]*\):.* ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 28

demo: .venv/.stamp ## train a small classifier and take it to three verified targets, in ./demo
	$(BIN)/python examples/digits/demo.py

test: .venv/.stamp ## run all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: .venv/.stamp ## check style, architecture and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.stamp ## run the benchmarks
	$(BIN)/python benchmarks/run.py

fidelity: .venv/.stamp ## how true timings and comparisons are: an hour and a half on a machine that does nothing else
	$(BIN)/python benchmarks/fidelity.py --output docs/latency.md

coverage: .venv/.stamp ## how many models reach each target, beside each converter alone: hours, can be resumed
	$(BIN)/pip install -q --no-deps -c constraints.txt keras-hub
	$(BIN)/python benchmarks/export_speed.py --output build/coverage/speed.md
	$(BIN)/python benchmarks/coverage.py --all-routes --output docs/coverage.md
	$(BIN)/python benchmarks/coverage_order.py build/coverage/records.jsonl --write

quantization: .venv/.stamp ## SQNR, accuracy, size and speed of every precision, beside each library alone: half an hour
	$(BIN)/python benchmarks/quantization.py --output docs/quantization-table.md

docs: .venv/.stamp ## write the generated tables of README.md
	$(BIN)/python docs/generate.py

test-3.12 test-3.13: test-%: .venv-%/.stamp ## run the quick tests on another Python
	.venv-$*/bin/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(TESTS)

test-tensorflow: .venv-tensorflow/.stamp ## run the tests that need TensorFlow, which nothing else does
	.venv-tensorflow/bin/python -m pytest -m tensorflow tests/conformance/test_hops.py tests/data/test_factory.py \
		tests/exporter/test_saved_model_source.py tests/exporter/test_ways.py

clean: ## remove all that these commands made
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo edgekit-out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call setup,PYTHON,FOLDER): an environment with edgekit, its libraries and the tools.
# Torch is probed first: constraints.txt admits only its CPU build on Linux, so the answer is that build or none.
define setup
	@test -n "$(1)" || { echo "No Python 3.11 or newer was found; name one with PYTHON=…" >&2; exit 1; }
	@echo "Setting up $(2) with $(1): once, a minute or two."
	@"$(1)" -m venv $(2) || { echo "Python's venv module is incomplete; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@extras="$(EXTRAS)"; \
	if [ -z "$$extras" ]; then \
		extras=all; \
		$(2)/bin/pip install --dry-run --no-deps -c constraints.txt torch >/dev/null 2>&1 || { extras=all-but-torch; \
			echo "pip finds no CPU build of the pinned torch for this Python: going without torch." >&2; }; \
	fi; \
	$(2)/bin/pip install -q -c constraints.txt -e ".[$$extras,dev]"
	@touch $(2)/.stamp
endef

.venv/.stamp: pyproject.toml constraints.txt
	$(call setup,$(PYTHON),.venv)

.venv-tensorflow/.stamp: override EXTRAS := tensorflow,keras,jax,openvino,tflite
.venv-tensorflow/.stamp: pyproject.toml constraints.txt
	$(call setup,$(PYTHON),.venv-tensorflow)

.venv-%/.stamp: pyproject.toml constraints.txt
	$(call setup,$(call find,python$* $(wildcard $(HOME)/.pyenv/versions/$*.*/bin/python$*)),.venv-$*)
