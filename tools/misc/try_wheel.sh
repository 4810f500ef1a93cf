#!/usr/bin/env bash
# Builds a wheel, installs it into an empty environment, and runs its demo from an empty folder.
#
#   tools/misc/try_wheel.sh PYTHON REQUIREMENT_OF_MMCV CONSTRAINTS
set -euo pipefail
python=$1 mmcv=$2 constraints=$3

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m pip wheel --quiet --no-deps --no-build-isolation -w "$scratch" .
"$python" -m venv "$scratch/venv"
new=$scratch/venv/bin/python
"$new" -m pip install --quiet 'setuptools>=80,<82' wheel packaging ninja psutil
"$new" -m pip install --quiet -c "$constraints" torch numpy
tools/misc/install_mmcv.sh "$new" "$mmcv" "$constraints"
wheel=$(echo "$scratch"/mmps-*.whl)
"$new" -m pip install --quiet -c "$constraints" "${wheel}[mm,tensorboard]"
mkdir "$scratch/empty"
cd "$scratch/empty"
"$scratch/venv/bin/mmps" demo --short
