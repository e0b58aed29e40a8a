# Every target installs what it needs: uv (from the package index, into .uv) and the locked environment (.venv).
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --frozen --no-sync
OUT ?= demo-out
PYTEST ?=
COVERAGE_REPORT ?= term:skip-covered
BUILDER ?= docker
BASE ?= docker.io/library/python:3.11-slim-bookworm

.PHONY: cluster cluster-down cluster-logs cluster-shell cluster-status cluster-build cluster-images e2e e2e-all help demo test lint bench crds golden reference chart images experiments setup clean
help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	@$(PYTHON) -m venv .uv || { echo "python3 cannot make virtual environments: apt-get install python3-venv"; exit 1; }
	.uv/bin/python -m pip install --quiet uv

.venv/.synced: uv.lock pyproject.toml $(filter .uv/bin/uv,$(UV))
	$(UV) sync --frozen --quiet --all-extras --no-extra torch
	@touch $@

setup: .venv/.synced  ## Install the locked environment into .venv

demo: .venv/.synced  ## Four real commits: a dataset and a report in demo-out/, within three minutes
	$(RUN) python examples/make_repositories.py examples/repositories
	$(RUN) examples/demo.sh $(OUT)

experiments: .venv/.synced  ## ISO-Bench's configuration, extractions and scripts: imported and run, in experiments-out/
	$(RUN) python examples/make_repositories.py examples/repositories pathspec
	$(RUN) isobench import examples/experiments/experiments.yaml --tests examples/experiments/tests --run-commands --budget-seconds 20 --out experiments-out/manifests
	$(RUN) isobench run experiments-out/manifests/*.yaml --out experiments-out/run

test: .venv/.synced lint  ## Lint, type-check and run every test
	$(RUN) pytest -n auto --dist loadgroup -m "not cluster and not apiserver and not chart" --cov --cov-report=$(COVERAGE_REPORT) $(PYTEST)

lint: .venv/.synced  ## ruff, mypy --strict, import layers
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports

cluster: .venv/.synced  ## A real single-node Kubernetes on this machine, as root, without Docker (tests/cluster)
	$(RUN) python tests/cluster up

cluster-down cluster-logs cluster-shell cluster-status cluster-build cluster-images: cluster-%: .venv/.synced  ## down · logs · shell · status · build · images
	@$(RUN) python tests/cluster $*

e2e: .venv/.synced  ## The main cases on a cluster: this one, or your own with KUBECONFIG set
	$(RUN) pytest -m "chart or apiserver or (cluster and not everything)" $(PYTEST)

e2e-all: .venv/.synced  ## Every case on a cluster
	$(RUN) pytest -m "chart or apiserver or cluster" $(PYTEST)

bench: .venv/.synced  ## Print every figure beside its bound, and at the end which programs missed one
	@missed=; for program in tests/bench/*.py "tests/bench/timing --quick"; do \
	  echo "== $$program"; $(RUN) python $$program || missed="$$missed $${program#tests/bench/},"; \
	done; \
	[ -z "$$missed" ] || { echo "missed a bound or did not get that far:$${missed%,}"; exit 1; }

crds: .venv/.synced  ## Regenerate crds/ and the chart's copy
	$(RUN) python -m isobench_operator.api.crds crds/
	cp crds/*.yaml helm/isobench/files/crds/

images:  ## Build the images with docker, podman or buildah (BUILDER=, BASE=) and print their sizes
	@for name in operator runner; do \
	  $(BUILDER) build --build-arg BASE=$(BASE) --build-arg REVISION=$$(git rev-parse HEAD) -f images/$$name/Dockerfile -t isobench/$$name:0.1.0 . || exit 1; \
	done
	@$(BUILDER) images --filter reference='isobench/*'

chart: .venv/.synced  ## Regenerate the README of the chart from its values
	$(RUN) python helm/readme.py

golden: .venv/.synced  ## Write tests/data/pods anew: the Jobs as a cluster gets them
	PYTHONPATH=tests $(RUN) python -m support.golden

reference: .venv/.synced  ## Regenerate docs/reference/
	$(RUN) python -m isobench_operator.core.reference docs/reference/

clean:  ## Remove what the targets made
	rm -rf .venv .uv demo-out experiments-out examples/repositories .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
