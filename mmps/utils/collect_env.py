"""Everything a bug report needs: ``python -m mmps.utils.collect_env``.

It also works in a broken environment, where mmengine's own report ends in a traceback, and says
what is broken.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmps.utils.environment import MM_REQUIREMENTS, REQUIREMENTS, diagnose
from mmps.utils.threads import usable_cores
from mmps.version import __version__

_ROOT = Path(__file__).resolve().parents[2]
_VARIABLES = ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'PYTHONPATH')


def collect_env() -> dict[str, str]:
    """Machine, packages and checkout by label; what cannot be read holds the error instead."""
    report = {'mmps': f'{__version__} ({_ROOT})', 'platform': platform.platform()}
    report['CPU'] = f'{cpu_name()}, {usable_cores()} usable cores of {os.cpu_count()}'
    if (_ROOT / '.git').exists() and (state := checkout(_ROOT)):
        changed = f'{len(state["changed"])} files changed' if state['changed'] else 'clean'
        report['git'] = f'{state["commit"]}, {changed}'
    # Where two distributions hold one module, they mix their files: both are named.
    distributions = importlib.metadata.packages_distributions()
    for module in (*REQUIREMENTS, *MM_REQUIREMENTS, 'torchvision'):
        for name in sorted(set(distributions.get(module, ()))):
            report[name] = importlib.metadata.version(name)
    for label, entry in (('mmcv operators', _operators), ('mmengine', _mmengine)):
        try:
            report |= entry()
        except Exception as error:  # the report has to survive whatever is broken
            report[label] = f'unknown ({type(error).__name__}: {error})'
    return report | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def cpu_name() -> str:
    """What the processor is called."""
    if Path('/proc/cpuinfo').is_file():
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def checkout(folder: Path) -> dict[str, Any] | None:
    """The git checkout that a folder is in.

    Returns:
        ``root``, ``commit``, the list of ``changed`` files and their ``diff``; None where there is
        no checkout, or no git.
    """

    def git(*arguments: str) -> str:
        command = ('git', '-C', str(folder), *arguments)
        options = dict(capture_output=True, text=True, errors='replace', timeout=20, check=True)
        return subprocess.run(command, **options).stdout

    try:
        root, commit = git('rev-parse', '--show-toplevel', 'HEAD').splitlines()
        changed = git('status', '--porcelain').splitlines()
        diff = git('-C', root, 'diff', 'HEAD', '--no-color', '--no-ext-diff') if changed else ''
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(root=root, commit=commit, changed=changed, diff=diff)


def main(argv: list[str] | None = None) -> int:
    """Print the report, or with ``--check`` the diagnosis alone; 1: mmps cannot run here."""
    parser = argparse.ArgumentParser(prog='python -m mmps.utils.collect_env', description=__doc__)
    parser.add_argument('--check', action='store_true', help='only say whether mmps can run here')
    arguments = parser.parse_args(argv)
    if not arguments.check:
        report = collect_env()
        width = max(map(len, report))
        for label, value in report.items():
            print(f'{label:<{width}}  {value}'.replace('\n', '\n' + ' ' * (width + 2)))
        print()
    problems = diagnose()
    print(problems or 'mmps can run here', file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


def _operators() -> dict[str, str]:
    import torch

    operators = importlib.import_module('mmcv._ext')
    built = f'{operators.get_compiler_version()}, CUDA {operators.get_compiling_cuda_version()}'
    return {'mmcv operators': built, 'threads': str(torch.get_num_threads())}


def _mmengine() -> dict[str, str]:
    from mmengine.utils.dl_utils import collect_env

    return {label: str(value) for label, value in collect_env().items()}


if __name__ == '__main__':
    sys.exit(main())
