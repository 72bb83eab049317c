# Everything a person or a CI machine runs. Needs Python 3.11 or newer, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A CPU build of torch: from the package sources already configured, else from PyTorch's own CPU
# index. Never the default build, which brings gigabytes of CUDA. On a GPU machine:
# make TORCH=torch==2.13.0 TORCHVISION=torchvision==0.28.0 …
TORCH ?= torch==2.13.0+cpu
TORCHVISION ?= torchvision==0.28.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
DEMO_OUT ?= demo
DEMO_FLAGS ?=
# Two processes of one thread each: torch's own threads would wait for each other's processors.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
PATHS := mama_augment mama_train pipelines examples tests benchmarks docs

.PHONY: demo test test-slow test-all test-vllm test-vllm-all constraints-vllm check-constraints-vllm lint format clean
.DEFAULT_GOAL := demo

$(VENV)/installed: pyproject.toml constraints.txt tests/cpu_torchvision/install.sh
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet '$(TORCH)' || $(BIN)/pip install --quiet '$(TORCH)' --index-url $(TORCH_INDEX)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	TORCH_INDEX='$(TORCH_INDEX)' TORCHVISION='$(TORCHVISION)' tests/cpu_torchvision/install.sh $(VENV)
	touch $@

demo: $(VENV)/installed  ## the main job on a generated world, a few minutes on two cores
	$(BIN)/mama-augment demo --out $(DEMO_OUT) $(DEMO_FLAGS)

test: lint  ## lint, types and the fast tests
	$(PYTEST) -m 'not slow and not vllm'

test-slow: lint  ## only the tests that `make test` leaves out, without vLLM
	$(PYTEST) -m 'slow and not vllm'

test-all: lint  ## every test that needs no vLLM, the slow ones included
	$(PYTEST) -m 'not vllm'

VLLM_TESTS := .venv-vllm/bin/python -m pytest tests/augment/caption/engines tests/augment/shapes/captioner/test_llava_vllm.py

test-vllm: .venv-vllm/installed  ## real vLLM, on the CPU, in its own environment: one model of a kind
	$(VLLM_TESTS) -m 'vllm and not vllm_all'

test-vllm-all: .venv-vllm/installed  ## the same with every model
	$(VLLM_TESTS) -m vllm

RESOLVE_VLLM := $(BIN)/uv pip compile pyproject.toml --extra vllm --python-version 3.11 --quiet --no-header --no-annotate

constraints-vllm: $(VENV)/installed  ## the newest set for GPU machines, in place of the one there is
	{ sed '/^#/!d' constraints-vllm.txt; $(RESOLVE_VLLM); } >constraints-vllm.new
	mv constraints-vllm.new constraints-vllm.txt

check-constraints-vllm: $(VENV)/installed  ## whether that set still resolves; asks for metadata only
	tests/check_resolves.sh $(RESOLVE_VLLM) --constraint constraints-vllm.txt

.venv-vllm/installed: pyproject.toml tests/vllm_cpu/make_env.sh
	PYTHON='$(PYTHON)' TORCH='$(TORCH)' TORCH_INDEX='$(TORCH_INDEX)' tests/vllm_cpu/make_env.sh .venv-vllm

lint: $(VENV)/installed
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks examples pipelines docs

format: $(VENV)/installed
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

clean:  ## remove what the demo made; environments stay
	rm -rf $(DEMO_OUT)
