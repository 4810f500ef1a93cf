#!/usr/bin/env bash
# Compiles mmcv with its operators against the PyTorch of an environment and installs it there.
#
#   tools/misc/install_mmcv.sh PYTHON REQUIREMENT CONSTRAINTS
#
# Compiling takes about 15 minutes on two cores, so the wheel is kept in a cache of its own. pip's cache
# cannot serve: it does not know that the wheel depends on the PyTorch it was compiled against.
# A CUDA build is chosen where PyTorch sees a GPU, or by FORCE_CUDA=1; TORCH_CUDA_ARCH_LIST is honoured.
set -euo pipefail
python=$1 requirement=$2 constraints=$3

has_operators() { "$python" -c 'import torch, mmcv._ext' 2>/dev/null; }
has_operators && exit

# Of pip's and the compiler's output only ninja's count of files, e.g. [12/78].
show_progress() { grep --line-buffered -oE '^ *\[[0-9]+/[0-9]+\]' || true; }

tag=$("$python" - <<'PY'
import os, platform, sys, torch
tag = f'torch{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}'
if torch.cuda.is_available() or os.environ.get('FORCE_CUDA') == '1':
    native = 'sm%d%d' % torch.cuda.get_device_capability() if torch.cuda.is_available() else 'all'
    tag += '-' + (os.environ.get('TORCH_CUDA_ARCH_LIST') or native).replace(' ', '_').replace(';', '_')
print(tag)
PY
)
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/mmps/${requirement//==/-}-$tag

if ! compgen -G "$wheels/*.whl" >/dev/null; then
    if ! command -v c++ >/dev/null; then
        echo 'error: compiling mmcv needs a C++ compiler (on Debian or Ubuntu: apt-get install g++)' >&2
        exit 1
    fi
    export MAX_JOBS=${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}
    echo "Compiling $requirement with $MAX_JOBS jobs: about 15 minutes on two cores ..."
    mkdir -p "$wheels"
    building=$(mktemp -d "$wheels/building.XXXXXX")
    trap 'rm -rf "$building"' EXIT
    # Without --no-build-isolation the build sees no PyTorch and silently leaves the operators out.
    if ! "$python" -m pip wheel -v --no-deps --no-build-isolation --no-cache-dir -w "$building" \
        "$requirement" 2>&1 | tee "$building/log" | show_progress; then
        tail -n 60 "$building/log" >&2
        echo "error: $requirement could not be compiled; the compiler's last lines stand above" >&2
        exit 1
    fi
    mv "$building"/*.whl "$wheels/"
fi
"$python" -m pip uninstall --yes --quiet onedl-mmcv mmcv mmcv-lite
"$python" -m pip install -c "$constraints" "$wheels"/*.whl

if ! has_operators; then
    rm -rf "$wheels"
    echo "error: $requirement was built without operators that load; the cached wheel is removed" >&2
    "$python" -c 'import torch, mmcv._ext'
fi
