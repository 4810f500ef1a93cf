"""Person search from nothing in minutes: render a data set, train, search, compare with baselines.

Each step is a tool that can be run alone. The commands are printed; what they print goes to a log.
A second run goes on where an interrupted one stopped.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from mmps.cli.common import run_tool
from mmps.cli.main import call_of
from mmps.utils.config import load_config

MODEL = 'quick-start'
CONFIG = 'configs/quick_start/ps_densenet_slim_att_plus_synthetic.py'
TOOLS = Path(__file__).parents[1]
FAST_SET = dict(images=4, identities=4, test_images=60, test_identities=16, queries=20)
# Enough to see every step work, not enough to learn from.
SHORT_SET = dict(images=80, identities=20, test_images=24, test_identities=8, queries=30)
PROGRESS = re.compile(r'Epoch\((train|val|test)\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\]')
"""What mmengine logs: epoch, step, steps of an epoch."""
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
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--short', action='store_true', help='a tiny set and one epoch')
    how.add_argument(
        '--fast',
        action='store_true',
        help='no training: search with the network that comes with mmps, and open the page',
    )
    parser.add_argument('--no-page', action='store_true', help='with --fast: end before the page')
    arguments = parser.parse_args()
    suffix = '_short' if arguments.short else '_fast' if arguments.fast else ''
    arguments.data_root = arguments.data_root or Path(f'data/synthetic_prw{suffix}')
    arguments.work_dir = arguments.work_dir or Path(f'work_dirs/quick_start{suffix}')
    return arguments


def run(log: Path, script: str, *arguments: object, epochs: int = 1) -> None:
    """Run a tool below ``tools/``; its failure ends this one with the same status.

    What the tool prints goes to a log, its progress is shown here. ``epochs`` is how often it goes
    through its data, where that is what takes long.
    """
    words = list(map(str, arguments))
    print(f'\n$ {call_of(script)} {shlex.join(words)}', flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    command = [sys.executable, '-u', TOOLS / script, *words]
    pipe = subprocess.PIPE
    lines: list[str] = []
    with (
        open(log, 'a') as file,
        # Rendering shows its own progress there.
        subprocess.Popen(
            command,
            stdout=pipe,
            stderr=None if 'synthetic' in script else subprocess.STDOUT,
            text=True,
        ) as process,
        tqdm(
            unit='step', leave=False, delay=1, mininterval=1 if sys.stderr.isatty() else 30
        ) as bar,
    ):
        for line in process.stdout:
            file.write(line)
            lines = [*lines[-20:], line]
            if match := PROGRESS.search(line):
                stage, epoch, step, steps = match.groups()
                bar.set_description(stage)
                bar.total = int(steps) * (epochs if stage == 'train' else 1)
                bar.n = int(steps) * (int(epoch or 1) - 1 if stage == 'train' else 0) + int(step)
                bar.refresh() if sys.stderr.isatty() else bar.update(0)
    if process.returncode:
        print(''.join(lines), file=sys.stderr)
        print(f'error: that failed; all that it printed is in {log}', file=sys.stderr)
        sys.exit(process.returncode)
    print(f'({time.perf_counter() - started:.0f} s)', flush=True)


def render(arguments: argparse.Namespace) -> None:
    sizes = SHORT_SET if arguments.short else FAST_SET if arguments.fast else {}
    options = [word for k, v in sizes.items() for word in (f'--{k.replace("_", "-")}', v)]
    log = arguments.work_dir / 'quick_start.log'
    run(log, 'misc/make_synthetic_dataset.py', '--out', arguments.data_root.resolve(), *options)


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
    log, epochs = work_dir / 'quick_start.log', load_config(CONFIG, options).train_cfg.max_epochs
    run(log, 'train.py', CONFIG, '--resume', *common, epochs=epochs)

    from mmengine.logging import MMLogger

    from mmps.utils.checkpoint import newest_checkpoint, save_untrained

    predictions, rankings = work_dir / 'predictions.npz', work_dir / 'rankings'
    outputs = ['--out', predictions, '--show-dir', rankings]
    run(log, 'test.py', CONFIG, newest_checkpoint(work_dir), *outputs, *common)
    # As a baseline; mmengine would tell of every weight.
    MMLogger.get_instance('quick_start', log_level='WARNING')
    save_untrained(load_config(CONFIG, options).model, work_dir / 'untrained.pth')
    untrained = work_dir / 'untrained.pth'
    run(log, 'test.py', CONFIG, untrained, '--out', work_dir / 'untrained.npz', *common)


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


def a_query(arguments: argparse.Namespace) -> tuple[Path, str]:
    """A scene of the test set, and the box of a person to look for."""
    line = (arguments.data_root / 'query_info.txt').read_text().splitlines()[0]
    _, x, y, width, height, name = line.split()
    x, y, width, height = map(float, (x, y, width, height))
    box = ','.join(f'{value:.0f}' for value in (x, y, x + width, y + height))
    return arguments.data_root / 'frames' / f'{name}.jpg', box


def print_next_steps(arguments: argparse.Namespace) -> None:
    """Commands that go on from here, with a person of the test set to look for."""
    from mmps.utils.checkpoint import newest_checkpoint

    model, (scene, box) = newest_checkpoint(arguments.work_dir), a_query(arguments)
    people = f'--gallery {arguments.work_dir / "people.lance"}'
    query = f'{scene} --box {box}'
    print('\nNow index the scenes, and look for somebody in them:')
    print(f'{call_of("index_gallery.py")} {model} {scene.parent} {people}')
    print(
        f'{call_of("search_person.py")} {model} {query} {people} '
        f'--show-dir {arguments.work_dir / "found"}'
    )


def search_at_once(arguments: argparse.Namespace) -> None:
    """Search rendered scenes with the network that comes with mmps, and open the page."""
    log, gallery = arguments.work_dir / 'quick_start.log', arguments.work_dir / 'people.lance'
    scene, box = a_query(arguments)
    options = ['--gallery', gallery]
    pattern = r'c(?P<camera>\d)s\d_'
    run(log, 'index_gallery.py', MODEL, scene.parent, *options, '--name-pattern', pattern)
    found = arguments.work_dir / 'found'
    run(log, 'search_person.py', MODEL, scene, '--box', box, *options, '--show-dir', found)
    print(f'\nWho was found, best first: {found / "ranking.png"}')
    if arguments.no_page:
        return
    print('\nThe page, in which to search for others (Ctrl-C ends it):', flush=True)
    words = [TOOLS / 'demo.py', MODEL, *options, '--open']
    sys.exit(subprocess.run([sys.executable, *map(str, words)]).returncode)


def main() -> None:
    arguments = parse_arguments()
    if arguments.fast:
        render(arguments)
        search_at_once(arguments)
        return
    options = config_options(arguments)
    if not arguments.short:
        print('This takes 20 to 30 minutes on two cores: rendering 2, training the rest.')
    render(arguments)
    train_and_test(arguments, options)
    print_table(results(arguments, options))
    print('\nThe query, then the people most similar to it; right ones green, wrong ones red:')
    for sheet in sorted((arguments.work_dir / 'rankings').glob('*.png')):
        print(sheet)
    print_next_steps(arguments)


if __name__ == '__main__':
    run_tool(main)
