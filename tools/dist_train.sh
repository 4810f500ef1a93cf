#!/usr/bin/env bash
# Train with several processes, one per GPU, or on a CPU where PyTorch sees no GPU:
#
#   tools/dist_train.sh CONFIG GPUS [options of train.py ...]
#
# On several machines run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
usage='usage: tools/dist_train.sh CONFIG GPUS [options of train.py ...]'
config=${1:?$usage} gpus=${2:?$usage}
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
