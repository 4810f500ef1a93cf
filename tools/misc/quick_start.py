"""Person search from nothing in minutes: render a data set, train, search, compare with baselines.

Each step is a tool that can be run alone; the commands are printed. A second run goes on where an
interrupted one stopped.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mmps.cli.common import run_tool
from mmps.utils.config import load_config

CONFIG = 'configs/quick_start/ps_densenet_slim_att_plus_synthetic.py'
TOOLS = Path(__file__).parents[1]
# Enough to see every step work, not enough to learn from.
SHORT_SET = dict(images=80, identities=20, test_images=24, test_identities=8, queries=30)
COLUMNS = {
    'det AP': 'det/AP',
    'mAP': 'search/mAP',
    'top-1': 'search/top1',
    'mAP cross-camera': 'search/mAP_cross_camera',
    'top-1 cross-camera': 'search/top1_cross_camera',
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data-root', type=Path, help='default: data/synthetic_prw[_short]')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/quick_start[_short]')
    parser.add_argument('--short', action='store_true', help='a tiny set and one epoch')
    arguments = parser.parse_args()
    suffix = '_short' if arguments.short else ''
    arguments.data_root = arguments.data_root or Path(f'data/synthetic_prw{suffix}')
    arguments.work_dir = arguments.work_dir or Path(f'work_dirs/quick_start{suffix}')
    return arguments


def run(script: str, *arguments: object) -> None:
    """Run a tool; its failure ends this one with the same status."""
    words = list(map(str, arguments))
    print(f'\n$ python tools/{script} {shlex.join(words)}', flush=True)
    started = time.perf_counter()
    status = subprocess.run([sys.executable, TOOLS / script, *words]).returncode
    if status:
        sys.exit(status)
    print(f'({time.perf_counter() - started:.0f} s)', flush=True)


def render(arguments: argparse.Namespace) -> None:
    sizes = SHORT_SET if arguments.short else {}
    options = [word for k, v in sizes.items() for word in (f'--{k.replace("_", "-")}', v)]
    run('misc/make_synthetic_dataset.py', '--out', arguments.data_root.resolve(), *options)


def config_options(arguments: argparse.Namespace) -> dict[str, object]:
    """What differs from the config: where the data are, and the sizes of the short form."""
    options: dict[str, object] = {
        f'{split}_dataloader.dataset.data_root': str(arguments.data_root.resolve())
        for split in ('train', 'val', 'test')
    }
    if arguments.short:
        options['model.roi_head.reid_head.num_ids'] = SHORT_SET['identities']
        options['train_cfg.max_epochs'] = options['train_cfg.val_interval'] = 1
    return options


def train_and_test(arguments: argparse.Namespace, options: dict[str, object]) -> None:
    work_dir = arguments.work_dir.resolve()
    common = ['--work-dir', work_dir, '--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    run('train.py', CONFIG, '--resume', *common)

    from mmps.utils.checkpoint import newest_checkpoint, save_untrained

    predictions, rankings = work_dir / 'predictions.npz', work_dir / 'rankings'
    outputs = ['--out', predictions, '--show-dir', rankings]
    run('test.py', CONFIG, newest_checkpoint(work_dir), *outputs, *common)
    # as a baseline
    save_untrained(load_config(CONFIG, options).model, work_dir / 'untrained.pth')
    run('test.py', CONFIG, work_dir / 'untrained.pth', '--out', work_dir / 'untrained.npz', *common)


def results(
    arguments: argparse.Namespace, options: dict[str, object]
) -> Iterator[tuple[str, dict]]:
    """A name and the metrics for the trained network and every baseline."""
    from mmps.evaluation.baselines import hsv_baseline, pixel_baseline, random_baseline
    from mmps.evaluation.functional import load_predictions, with_ground_truth_boxes
    from mmps.formats.from_config import search_protocols, test_annotations

    config = load_config(CONFIG, options)
    evaluate, truth = search_protocols(config, CONFIG), test_annotations(config)
    images = arguments.data_root / 'frames'
    trained = load_predictions(arguments.work_dir / 'predictions.npz', truth)
    untrained = load_predictions(arguments.work_dir / 'untrained.npz', truth)
    rows = {
        'mmps': trained,
        'given ground-truth boxes: mmps': with_ground_truth_boxes(truth, trained),
        '  untrained network': with_ground_truth_boxes(truth, untrained),
        '  random': random_baseline(truth, images),
        '  HSV histograms of 6 stripes': hsv_baseline(truth, images),
        '  8 x 20 pixel correlation': pixel_baseline(truth, images),
    }
    for name, predictions in rows.items():
        yield name, evaluate(truth, predictions)


def print_table(rows: Iterator[tuple[str, dict]]) -> None:
    print(f'\n{"test identities, none seen in training":<40}', *(f'{c:>20}' for c in COLUMNS))
    for name, metrics in rows:
        detects = not name.startswith((' ', 'given'))
        cells = [
            f'{metrics[key]:>20.3f}' if detects or key != 'det/AP' else f'{"-":>20}'
            for key in COLUMNS.values()
        ]
        print(f'{name:<40}', *cells)


def main() -> None:
    arguments = parse_arguments()
    options = config_options(arguments)
    render(arguments)
    train_and_test(arguments, options)
    print_table(results(arguments, options))
    print('\nThe query, then the people most similar to it; right ones green, wrong ones red:')
    for sheet in sorted((arguments.work_dir / 'rankings').glob('*.png')):
        print(sheet)


if __name__ == '__main__':
    run_tool(main)
