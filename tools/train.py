"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
from pathlib import Path

from mmps.cli.common import (
    add_run_arguments,
    check_weights,
    config_parser,
    load_run_config,
    run_tool,
)
from mmps.engine.amp import set_amp
from mmps.formats.from_config import check_training_set, set_num_ids
from mmps.utils.config import require_entries
from mmps.utils.errors import UserError
from mmps.utils.memory import keep_freed_memory


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Train a person-search model.')
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or without a value from the newest one in the work dir',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='float16',
        choices=('float16', 'bfloat16'),
        help='mixed precision: float16 (default) on GPUs, bfloat16 on GPUs and CPUs that have it',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's base batch size to the images per step",
    )
    return parser.parse_args(argv)


def set_resume(config, checkpoint: str | None) -> None:
    """Point the config at the checkpoint to resume from, if there is one."""
    from mmps.utils.checkpoint import newest_checkpoint

    if checkpoint is None:
        return
    if checkpoint == 'auto':
        newest = newest_checkpoint(config.work_dir)
        if newest is None:
            print(f'--resume: no checkpoint in {config.work_dir}, starting from the beginning')
            return
        checkpoint = str(newest)
    elif not Path(checkpoint).is_file():
        raise UserError(f'--resume: checkpoint {checkpoint} does not exist')
    print(f'resuming from {checkpoint}')
    config.resume = True
    config.load_from = checkpoint


def set_auto_scale_lr(config, path: str) -> None:
    """Switch on the scaling of the learning rate by the images of an optimiser step.

    mmengine counts those of one batch of all ranks. With accumulation a step has several batches.
    """
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise UserError(f'--auto-scale-lr: config {path} has no auto_scale_lr.base_batch_size')
    config.auto_scale_lr.enable = True
    config.auto_scale_lr.base_batch_size /= config.optim_wrapper.get('accumulative_counts', 1)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_run_config(arguments)
    require_entries(config, arguments.config, ('model', 'train_dataloader', 'train_cfg'))
    set_num_ids(config)
    set_resume(config, arguments.resume)
    if not config.get('resume'):
        check_training_set(config)
    if arguments.amp:
        set_amp(config, arguments.amp)
    if arguments.auto_scale_lr:
        set_auto_scale_lr(config, arguments.config)

    from mmengine.runner import Runner

    keep_freed_memory()
    runner = Runner.from_cfg(config)
    if config.get('load_from') and not config.get('resume'):
        fitting, count = check_weights(runner, config.load_from)
        print(f'{fitting} of {count} tensors loaded from {config.load_from}')
    runner.register_hook(dict(type='ProgressHook'))
    runner.train()


if __name__ == '__main__':
    run_tool(main)
