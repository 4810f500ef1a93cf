"""Everything a bug report needs: ``python -m mmps.utils.collect_env``.

mmengine has a function for this, but it needs a sound environment; this one is for broken ones.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mmps.utils.environment import MM_REQUIREMENTS, REQUIREMENTS, diagnose
from mmps.utils.git import git_state
from mmps.version import __version__

_ROOT = Path(__file__).resolve().parents[2]
_DISTRIBUTIONS = {
    'opencv': ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python'),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'torchvision': ('torchvision',),
}
_VARIABLES = (
    'CUDA_VISIBLE_DEVICES',
    'CUDA_HOME',
    'OMP_NUM_THREADS',
    'MKL_NUM_THREADS',
    'PYTHONPATH',
)


def collect_env() -> dict[str, str]:
    """Describe machine, packages and checkout.

    Returns:
        Label to value, in the order to print. An entry that cannot be read holds the error instead.
    """
    entries: dict[str, Callable[[], str]] = {
        'mmps': lambda: f'{__version__} ({_ROOT})',
        'git': _git_state,
        'platform': platform.platform,
        'Python': lambda: f'{sys.version.split()[0]} ({sys.executable})',
        'CPU': _cpu,
        'memory': _memory,
        'compilers': _compilers,
        'torch build': _torch_build,
        'GPU': _gpus,
        'mmcv operators': _operators,
    }
    modules = {**REQUIREMENTS, **MM_REQUIREMENTS}
    entries |= {name: lambda name=name: _version(name) for name in modules}
    entries |= {
        f'{name} from': lambda names=names: _distributions(names)
        for name, names in _DISTRIBUTIONS.items()
    }
    report = {label: _guarded(entry) for label, entry in entries.items()}
    return report | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def main(argv: list[str] | None = None) -> int:
    """Print the report, or with ``--check`` the diagnosis alone.

    Returns:
        Exit status: 1 where the environment cannot run mmps.
    """
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


def _guarded(entry: Callable[[], str]) -> str:
    try:
        return entry()
    except Exception as error:  # the report has to survive whatever is broken
        return f'unknown ({type(error).__name__}: {error})'


def _run(*command: str) -> str:
    return subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()


def _git_state() -> str:
    state = git_state(_ROOT) if (_ROOT / '.git').exists() else None
    if state is None:
        return 'not a checkout'
    changed = f'{len(state.changed)} files changed' if state.changed else 'clean'
    return f'{state.commit[:10]} of {state.date}, {changed}'


def _cpu() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
        name = lines[0].partition(':')[2].strip() if lines else name
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{name}, {usable} usable cores of {os.cpu_count()}'


def _memory() -> str:
    return f'{os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30:.1f} GiB'


def _compilers() -> str:
    found = [name for name in ('c++', 'nvcc', 'ninja') if shutil.which(name)]
    return '\n'.join(f'{name}: {_release(_run(name, "--version"))}' for name in found) or 'none'


def _release(output: str) -> str:
    """The telling line of a version message: nvcc's first lines are its copyright."""
    lines = output.splitlines()
    return next((line for line in lines if 'release' in line), lines[0])


def _torch_build() -> str:
    import torch

    return f'CUDA {torch.version.cuda or "none"}, {torch.get_num_threads()} threads'


def _gpus() -> str:
    import torch

    if not torch.cuda.is_available():
        return 'none'
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return '\n'.join(
        f'{d.name}, {d.total_memory / 2**30:.0f} GiB, sm_{d.major}{d.minor}' for d in devices
    )


def _operators() -> str:
    import torch  # noqa: F401  # the operators need torch's libraries to be loaded

    operators = importlib.import_module('mmcv._ext')
    return f'{operators.get_compiler_version()}, CUDA {operators.get_compiling_cuda_version()}'


def _version(name: str) -> str:
    if name == 'pycocotools':  # has no __version__
        return importlib.metadata.version(name)
    return importlib.import_module(name).__version__


def _distributions(names: tuple[str, ...]) -> str:
    """Which distributions of a module are installed; where there are two, they mix their files."""
    found = []
    for name in names:
        try:
            found.append(f'{name} {importlib.metadata.version(name)}')
        except importlib.metadata.PackageNotFoundError:
            continue
    return ', '.join(found) or 'none'


if __name__ == '__main__':
    sys.exit(main())
