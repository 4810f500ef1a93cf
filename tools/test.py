"""Evaluate a trained model: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from mmps.apis.network import default_backend, needs_checkpoint
from mmps.apis.searcher import AMP
from mmps.cli.common import add_run_arguments, check_weights, load_run_config, run_tool
from mmps.cli.search import model_parser
from mmps.engine.amp import inference_precision
from mmps.formats.from_config import search_evaluator
from mmps.published import find_model, is_model_name
from mmps.published.models import published_config
from mmps.utils.config import require_entries
from mmps.utils.errors import UserError
from mmps.utils.memory import keep_freed_memory


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = model_parser('Evaluate a person-search model on the test set of its config.', argv)
    precisions = (*AMP, 'half')
    parser.add_argument(
        '--data',
        metavar='CONFIG',
        help='of a published model: the config whose test set and metric are taken (default: own '
        'data in COCO style)',
    )
    parser.add_argument(
        '--backend',
        choices=('onnxruntime', 'openvino'),
        default='onnxruntime',
        help='what runs an exported model (default: onnxruntime)',
    )
    add_run_arguments(parser)
    parser.add_argument(
        '--out', metavar='P.npz', help='write the predictions to this file, for eval_search.py'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw rankings of some queries into this folder'
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='half',
        choices=precisions,
        help='compute in bfloat16; auto: where CPU or GPU have it; half (without a value): in '
        'float16 on GPUs, in bfloat16 on CPUs that have it',
    )
    words = list(sys.argv[1:] if argv is None else argv)
    for place, (word, following) in enumerate(itertools.pairwise(words)):
        if word == '--amp' and following not in precisions:  # CONFIG may follow
            words[place] = '--amp=half'
    return parser.parse_args(words)


def set_test_amp(config, amp: str) -> None:
    """Switch on the mixed precision of mmengine's test loop."""
    import torch

    gpu = torch.cuda.is_available()
    if amp != 'half' or not gpu:
        wanted = 'bfloat16' if amp == 'half' else amp
        precision = inference_precision(wanted, 'cuda' if gpu else 'cpu')
        if amp == 'auto':
            print(f'--amp auto: {precision}')
        if precision == 'float32':
            return
        # The loop takes what is set for the process: float16 on GPUs if nothing is.
        torch.set_autocast_dtype('cuda', torch.bfloat16)
    config.test_cfg.fp16 = True


def take_exported(config, arguments: argparse.Namespace) -> None:
    """Put the exported model in the place of the config's."""
    options = {}
    if arguments.amp:
        options = dict(precision='auto' if arguments.amp == 'auto' else 'bfloat16')
    config.load_from = None
    config.model = dict(
        type='ExportedPersonSearch',
        path=arguments.checkpoint,
        backend=arguments.backend,
        **options,
    )


def take_published(arguments: argparse.Namespace):
    """The config of the published model that the arguments name, on the data set they name."""
    model = find_model(arguments.config)
    arguments.checkpoint = model.checkpoint and str(model.checkpoint)
    return published_config(model, *([arguments.data] if arguments.data else []))


def draw_rankings(runner, evaluator, folder: str) -> None:
    """Draw rankings from the predictions of the test that just ran, on one rank."""
    from mmengine.dist import is_main_process

    if not is_main_process():
        return
    from mmps.evaluation.functional import load_predictions
    from mmps.visualization import save_ranking_sheets

    dataset = runner.test_dataloader.dataset
    entries = (dataset.get_data_info(index) for index in range(len(dataset)))
    options = {key: evaluator[key] for key in ('score_thr', 'iou_thr') if key in evaluator}
    if 'gallery_sizes' in evaluator:
        options['gallery_size'] = evaluator.gallery_sizes[0]
    sheets = save_ranking_sheets(
        dataset.search_annotations,
        load_predictions(evaluator.out),
        {entry['img_name']: entry['img_path'] for entry in entries},
        folder,
        **options,
    )
    for sheet in sheets:
        print(f'rankings: {sheet}')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    published = is_model_name(arguments.config)
    if arguments.data and not published:
        raise UserError('--data: only of a published model; else the config names the data set')
    config = load_run_config(arguments, take_published(arguments) if published else None)
    require_entries(config, arguments.config, ('model', 'test_dataloader', 'test_evaluator'))
    if arguments.checkpoint is None and needs_checkpoint(config.model):
        raise UserError(f'the model of {arguments.config} needs a checkpoint')
    config.load_from, config.resume = arguments.checkpoint, False
    exported = default_backend(arguments.checkpoint) != 'torch'
    if exported:
        take_exported(config, arguments)
    elif arguments.amp:
        set_test_amp(config, arguments.amp)

    from mmengine.runner import Runner

    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.out or arguments.show_dir:
            evaluator = search_evaluator(config, arguments.config)
            evaluator.out = arguments.out or str(Path(scratch, 'predictions.npz'))
        runner = Runner.from_cfg(config)
        if config.load_from is not None:
            check_weights(runner, arguments.checkpoint)
        runner.register_hook(dict(type='ProgressHook'))
        runner.test()
        if arguments.show_dir:
            draw_rankings(runner, evaluator, arguments.show_dir)


if __name__ == '__main__':
    run_tool(main)
