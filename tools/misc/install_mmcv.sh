#!/usr/bin/env bash
# Compiles mmcv with its operators against the PyTorch of an environment and installs it there.
#
#   tools/misc/install_mmcv.sh PYTHON REQUIREMENT CONSTRAINTS
#
# Compiling takes about three minutes on two cores (ten with CUDA), so the wheel is kept in a cache of its own. pip's cache
# cannot serve: it does not know that the wheel depends on the PyTorch it was compiled against.
# A CUDA build is chosen where PyTorch sees a GPU, or by FORCE_CUDA=1; TORCH_CUDA_ARCH_LIST is honoured.
set -euo pipefail
python=$1 requirement=$2 constraints=$3

has_operators() { "$python" -c 'import torch, mmcv._ext' 2>/dev/null; }
has_operators && exit

# Of pip's and the compiler's output only ninja's count of files, e.g. [12/78].
show_progress() { grep --line-buffered -oE '^ *\[[0-9]+/[0-9]+\]' || true; }

# PyTorch's headers take two thirds of the time to compile each of mmcv's files: they are compiled once.
# The options have to be those with which setuptools compiles the files; a mismatch only costs time.
# nvcc cannot use the result, so builds with CUDA go without.
precompile_headers() {
    local folder=$1 include
    echo '#include <torch/types.h>' >"$folder/torch_types.hpp"
    include=$("$python" - <<'PY'
import sysconfig
from torch.utils.cpp_extension import include_paths
print(*(f'-I{path}' for path in [*include_paths(), sysconfig.get_path('include')]))
PY
)
    # shellcheck disable=SC2086 # one word per folder
    c++ -g0 -O2 -DNDEBUG -fPIC -w -std=c++17 -DTORCH_API_INCLUDE_EXTENSION_H \
        -DTORCH_EXTENSION_NAME=_ext $include -x c++-header \
        "$folder/torch_types.hpp" -o "$folder/torch_types.hpp.gch"
    export CFLAGS="-g0 -O2 -DNDEBUG -I$folder -include torch_types.hpp"
}

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
    echo "Compiling $requirement with $MAX_JOBS jobs: some minutes ..."
    mkdir -p "$wheels"
    building=$(mktemp -d "$wheels/building.XXXXXX")
    trap 'rm -rf "$building"' EXIT
    case $tag in
        *-sm* | *-all* | *-[0-9]*.[0-9]*) ;;
        *) precompile_headers "$building" ;;
    esac
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
