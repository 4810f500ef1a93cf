#!/usr/bin/env bash
# Train on a SLURM cluster, one task per GPU:
#
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5] tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR \
#       [options of train.py ...]
#
# SRUN_ARGS is handed to srun.
set -euo pipefail
usage='usage: tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [options of train.py ...]'
partition=${1:?$usage} job=${2:?$usage} config=${3:?$usage} work_dir=${4:?$usage}
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
((per_node <= gpus)) || per_node=$gpus
# shellcheck disable=SC2086  # SRUN_ARGS holds several arguments
exec srun --partition="$partition" --job-name="$job" --kill-on-bad-exit=1 \
    --ntasks="$gpus" --ntasks-per-node="$per_node" --gres="gpu:$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --work-dir "$work_dir" \
    --launcher slurm "${@:5}"
