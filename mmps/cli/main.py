"""The command ``mmps``, whose subcommands are the scripts of ``tools/``."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mmps.utils.config import PROJECT
from mmps.utils.errors import did_you_mean

COMMANDS = {
    'demo': 'misc/quick_start.py',
    'train': 'train.py',
    'test': 'test.py',
    'index': 'index_gallery.py',
    'search': 'search_person.py',
    'page': 'demo.py',
    'gallery': 'manage_gallery.py',
    'eval': 'analysis_tools/eval_search.py',
    'diagnose': 'analysis_tools/diagnose.py',
    'compare': 'analysis_tools/compare_predictions.py',
    'calibrate': 'analysis_tools/calibrate.py',
    'report': 'analysis_tools/dataset_report.py',
    'benchmark': 'analysis_tools/benchmark.py',
    'export': 'deployment/export_onnx.py',
    'publish': 'misc/publish_model.py',
    'grid': 'run_grid.py',
}
"""Short names; every other script goes by its own, with dashes."""


def scripts() -> dict[str, Path]:
    """The script of each subcommand, the short names first."""
    tools = PROJECT / 'tools'
    named = {name: (tools / path).resolve() for name, path in COMMANDS.items()}
    others = {path.stem.replace('_', '-'): path.resolve() for path in sorted(tools.rglob('*.py'))}
    taken = set(named.values())
    return named | {name: path for name, path in others.items() if path not in taken}


def call_of(script: str) -> str:
    """How a script below ``tools/`` is called from the current folder, for messages."""
    if Path('tools', script).is_file():
        return f'python tools/{script}'
    path = (PROJECT / 'tools' / script).resolve()
    return f'mmps {next(name for name, other in scripts().items() if other == path)}'


def overview() -> str:
    """A line for each subcommand: its name, and what its script says it does."""
    lines = ['usage: mmps COMMAND ...', '', 'mmps COMMAND --help says more of one:', '']
    for name, path in scripts().items():
        title = (ast.get_docstring(ast.parse(path.read_text())) or '').partition('\n')[0]
        lines.append(f'  {name:<22} {title}')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a subcommand as its script would run, with the same options and exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help'):
        print(overview())
        return
    name, *rest = words
    known = scripts()
    if name not in known:
        hint = did_you_mean(name, known) or '; mmps --help lists them'
        print(f'error: there is no command {name!r}{hint}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [f'mmps {name}', *rest]
    runpy.run_path(str(known[name]), run_name='__main__')


if __name__ == '__main__':
    main()
