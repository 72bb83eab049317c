#!/usr/bin/env bash
# Makes torchvision importable beside a CPU build of torch, for transformers' video processors.
#   tests/cpu_torchvision/install.sh VENV     TORCHVISION=torchvision==0.28.0+cpu
# The default build's compiled operators need CUDA's torch. Its CPU build is taken where a source
# has it; else torchvision_ops.py lets the Python parts be imported, which are all that is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$1/bin/python
torchvision=${TORCHVISION:-torchvision==0.28.0+cpu}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
pip() { "$python" -m pip --quiet --disable-pip-version-check "$@" 2>/dev/null; }
works() { "$python" -c 'import torchvision' 2>/dev/null; }

works || pip install --no-deps "$torchvision" ||
    pip install --no-deps --retries 1 --timeout 10 "$torchvision" --index-url "$torch_index" || true
if ! works; then
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    cp "$here/torchvision_ops.py" "$site/_torchvision_ops.py"
    echo 'import _torchvision_ops' >"$site/_torchvision_ops.pth"
fi
"$python" -c 'import torchvision.transforms.v2; print("torchvision", torchvision.__version__)'
