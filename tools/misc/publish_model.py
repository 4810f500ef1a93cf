"""Turn a checkpoint into a file to hand on: ``python tools/misc/publish_model.py CHECKPOINT``.

Optimizer, log and the tables of the loss go; weights and config stay; the name gets the hash.
"""

import argparse
import hashlib
import io
import re
from pathlib import Path
from typing import Any

from mmps.cli.common import run_tool
from mmps.utils.config import config_of_checkpoint
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file

# Where the training ran, which says nothing about the model.
PRIVATE = ('work_dir', 'load_from', 'resume', 'launcher')
TIMESTAMP = re.compile(r'_\d{8}_\d{6}$')


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Turn a checkpoint into a file to hand on.')
    parser.add_argument('checkpoint', type=Path, help='what train.py has saved')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to write to (default: beside it)'
    )
    parser.add_argument('--name', help='what the file is called (default: as the config)')
    parser.add_argument(
        '--trained-weights',
        action='store_true',
        help='the weights themselves instead of their moving average, where there is one',
    )
    parser.add_argument(
        '--keep-tables',
        action='store_true',
        help='keep the table of training identities and the queue, to train on with the same data',
    )
    parser.add_argument(
        '--half', action='store_true', help='weights in half precision, for half the size'
    )
    return parser.parse_args(argv)


def publish(
    checkpoint: Path,
    out: Path,
    name: str | None,
    trained_weights: bool,
    keep_tables: bool,
    half: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Write ``out/NAME-HASH.pth``, HASH being the first 8 digits of the file's SHA-256.

    It holds ``state_dict`` and ``meta``, which is given: config, classes, versions, how long it was
    trained and, as far as the log beside the checkpoint tells, its metrics. Before it gets its name
    it is read back, with tensors and plain values only, and loaded into the model of that config.
    """
    import torch
    from mmengine.registry import init_default_scope

    from mmps.registry import MODELS
    from mmps.utils.checkpoint import check_state_dict, loss_prefixes, read_checkpoint, weights_of

    content = read_checkpoint(checkpoint)
    state, config = weights_of(content, str(checkpoint)), config_of_checkpoint(checkpoint)
    if trained_weights:
        state |= averaged_weights(content, checkpoint)
    init_default_scope(config.get('default_scope', 'mmps'))
    model = MODELS.build(config.model)
    check_state_dict(model, state, str(checkpoint))
    dropped = () if keep_tables else loss_prefixes(model)
    state = {k: v.contiguous() for k, v in state.items() if not k.startswith(dropped)}
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    meta = published_meta(content['meta'], config, checkpoint)
    buffer = io.BytesIO()
    torch.save({'meta': meta, 'state_dict': state}, buffer)
    name = name or TIMESTAMP.sub('', content['meta']['experiment_name'])
    path = out / f'{name}-{hashlib.sha256(buffer.getbuffer()).hexdigest()[:8]}.pth'
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
        again = read_checkpoint(temporary)['state_dict']
        model = MODELS.build(config_of_checkpoint(temporary).model)
        check_state_dict(model, again, str(temporary), with_losses=keep_tables)
        model.load_state_dict(again, strict=False)
    return path, meta


def averaged_weights(content: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """The weights that were averaged: mmengine saves them as the average's, and vice versa."""
    if 'ema_state_dict' not in content:
        raise UserError(f'{checkpoint} holds no moving average of the weights, only the weights')
    state, prefix = content['ema_state_dict'], 'module.'
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def published_meta(meta: dict[str, Any], config: Any, checkpoint: Path) -> dict[str, Any]:
    """What the published file says of the model beside its weights."""
    import torch

    from mmps.version import __version__

    for key in PRIVATE:
        config.pop(key, None)
    kept = {
        'cfg': config.pretty_text,
        'dataset_meta': meta.get('dataset_meta', {}),
        'mmps_version': __version__,
        'mmengine_version': meta['mmengine_version'],
        'torch_version': str(torch.__version__),
        'epoch': meta['epoch'],
        'iter': meta['iter'],
        'seed': meta['seed'],
    }
    metrics = validated_metrics(checkpoint.parent, meta['iter'])
    return kept | ({'metrics': metrics} if metrics else {})


def validated_metrics(work_dir: Path, iteration: int) -> dict[str, float]:
    """What the validation of this very state found; empty where there is no log of it."""
    from mmps.utils.training_log import read_training_log

    try:
        log = read_training_log(work_dir)
    except UserError:
        return {}
    points = {key: dict(log.curves[key]) for key in sorted(log.validated)}
    return {key: values[iteration] for key, values in points.items() if iteration in values}


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    path, meta = publish(
        arguments.checkpoint,
        arguments.out or arguments.checkpoint.parent,
        arguments.name,
        arguments.trained_weights,
        arguments.keep_tables,
        arguments.half,
    )
    megabytes = arguments.checkpoint.stat().st_size / 1e6, path.stat().st_size / 1e6
    print(f'{path}: {megabytes[1]:.1f} MB of {megabytes[0]:.1f} MB, epoch {meta["epoch"]}')
    for key, value in meta.get('metrics', {}).items():
        print(f'  {key} {value:.4f}')


if __name__ == '__main__':
    run_tool(main)
