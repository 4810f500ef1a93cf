"""Compare trainings by their logs.

``python tools/analysis_tools/analyze_logs.py WORK_DIR [WORK_DIR ...]`` prints a table for each and,
with ``--plot``, draws their curves side by side. The runs of a resumed training are joined.
"""

import argparse
from datetime import timedelta
from pathlib import Path

from mmps.cli.common import run_tool
from mmps.utils.errors import UserError

DEFAULT_PLOT = (
    'loss',
    'loss_reid',
    'lr',
    'search/mAP',
    'oim/own_similarity',
    'oim/other_similarity',
)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Tables and curves of trainings, from their logs.')
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--keys', nargs='+', metavar='KEY', help='only these, e.g. loss search/mAP (default: all)'
    )
    parser.add_argument('--plot', metavar='CURVES.png', help='draw the curves into this file')
    return parser.parse_args(argv)


def short_names(work_dirs: list[Path]) -> list[str]:
    """The work dirs without what they begin with in common."""
    parts = [work_dir.resolve().parts for work_dir in work_dirs]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return [str(Path(*p[shared:])) for p in parts]


def check_keys(keys: list[str], logs) -> None:
    known = {key for log in logs for key in log.curves}
    for key in keys:
        if key not in known:
            raise UserError(f'--keys {key}: not in any of the logs; they have {", ".join(known)}')


def print_table(name: str, log, keys: list[str] | None) -> None:
    """Totals of a training, then a line per curve."""
    runs = f' in {log.runs} runs' if log.runs > 1 else ''
    print(f'{name}: {log.iterations} iterations, {log.epochs} epochs{runs}')
    if log.seconds:
        print(
            f'  {log.seconds / log.steps:.3f} s per step, {log.data_seconds / log.seconds:.1%} of '
            f'it waiting for data; {timedelta(seconds=round(log.seconds))} in training steps'
        )
    shown = [key for key in keys or log.curves if key in log.curves]
    width = max(map(len, shown), default=0) + 2
    print(f'  {"":<{width}}{"last":>12}{"best":>12}{"at iteration":>14}')
    for key in shown:
        best = log.best(key)
        cells = (f'{best[1]:>12.4g}', f'{best[0]:>14}') if best else (f'{"-":>12}', f'{"-":>14}')
        print(f'  {key:<{width}}{log.curves[key][-1][1]:>12.4g}', *cells, sep='')


def draw(path: str, names: list[str], logs: list, keys: list[str]) -> None:
    """A panel per curve, with a line per training that has it."""
    from matplotlib.figure import Figure

    from mmps.utils.files import whole_file

    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.3 * rows), dpi=100, layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for key, panel in zip(keys, panels, strict=False):
        for place, (name, log) in enumerate(zip(names, logs, strict=True)):
            if key in log.curves:
                panel.plot(*zip(*log.curves[key], strict=True), f'C{place}.-', label=name)
        panel.set(title=key, xlabel='iteration')
        panel.grid(alpha=0.3)
        panel.legend()
    for panel in panels:
        panel.remove()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.utils.training_log import read_training_log

    logs = [read_training_log(work_dir) for work_dir in arguments.work_dirs]
    names = short_names(arguments.work_dirs)
    if arguments.keys:
        check_keys(arguments.keys, logs)
    for name, log in zip(names, logs, strict=True):
        print_table(name, log, arguments.keys)
    if arguments.plot:
        keys = arguments.keys or [k for k in DEFAULT_PLOT if any(k in log.curves for log in logs)]
        draw(arguments.plot, names, logs, keys)
        print(f'curves: {arguments.plot}')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
