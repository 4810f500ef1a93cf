"""What mmps needs from its environment, and one message that names the fix where it is not there.

Only the standard library is imported at module level: this file has to run where everything else
is broken, and ``setup.py`` reads its requirements from here before anything is installed.
"""

import importlib
import importlib.util
import re
from types import ModuleType

#: Modules and the distributions that provide them.
REQUIREMENTS = {
    'numpy': 'numpy',
    'scipy': 'scipy>=1.15',
    'h5py': 'h5py',
    'pandas': 'pandas',
    'dateutil': 'python-dateutil',
    'msgspec': 'msgspec>=0.20',
    'matplotlib': 'matplotlib',
    'tqdm': 'tqdm',
    'cv2': 'opencv-python>=4.11',
    'PIL': 'pillow>=11.2',
    'simplejpeg': 'simplejpeg',
    'av': 'av>=15',
    'pycocotools': 'pycocotools',
    'requests': 'requests',
    'yaml': 'pyyaml',
    'torch': 'torch>=2.6',
}
#: The same for MMDetection and its siblings, which several distributions provide: ``setup.py``
#: offers them as an extra, so that an installation under another name is not installed over.
MM_REQUIREMENTS = {
    'mmengine': 'onedl-mmengine>=0.10.12',
    'mmcv': 'onedl-mmcv>=2.3.6',
    'mmdet': 'onedl-mmdetection>=3.5.1',
}

_BUILD_MMCV = (
    'pip uninstall --yes onedl-mmcv mmcv mmcv-lite; '
    'pip install --no-build-isolation --no-cache-dir onedl-mmcv '
    "(after torch and 'setuptools>=80,<82' wheel packaging ninja psutil; "
    'in a checkout `make clean install` does all of it)'
)


class EnvironmentProblem(RuntimeError):
    """The environment cannot run mmps; the message says what is wrong and how to mend it."""


def diagnose() -> str:
    """Check that everything mmps needs can be imported and fits together.

    Returns:
        One message with every problem and its fix, or an empty string where there is none.
    """
    modules: dict[str, ModuleType] = {}
    requirements = {**REQUIREMENTS, **MM_REQUIREMENTS}
    problems = [_import_problem(*requirement, modules) for requirement in requirements.items()]
    if 'torch' in modules:
        problems.append(_torchvision_problem(modules['torch']))
        problems.append(_operators_problem(modules['torch']) if 'mmcv' in modules else '')
    found = [f'* {problem}' for problem in problems if problem]
    return '\n'.join(['this environment cannot run mmps:', *found]) if found else ''


def require_environment() -> None:
    """Raise `EnvironmentProblem` with the message of `diagnose` where the environment is broken."""
    problems = diagnose()
    if problems:
        raise EnvironmentProblem(problems)


def version_tuple(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, e.g. ``(2, 13, 0)`` of ``2.13.0+cpu``."""
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(int(part) for part in match[0].split('.')) if match else ()


def _import_problem(name: str, requirement: str, modules: dict[str, ModuleType]) -> str:
    """Import a module into ``modules``; what is wrong with it otherwise."""
    fix = _BUILD_MMCV if name == 'mmcv' else f"pip install '{requirement}'"
    if importlib.util.find_spec(name) is None:
        return f'{name} is not installed\n  fix: {fix}'
    try:
        module = modules[name] = importlib.import_module(name)
    except Exception as error:  # a broken package may raise anything at import
        if name == 'cv2' and 'libGL' in str(error):
            fix = 'install the system library it names (Debian, Ubuntu: apt-get install libgl1)'
        elif name == 'cv2':
            fix = (
                'pip install --force-reinstall --no-deps opencv-python opencv-python-headless, of '
                'one version (MMDetection brings both, and they write the same files)'
            )
        elif name in MM_REQUIREMENTS and isinstance(error, ModuleNotFoundError):
            fix = f"pip install '{requirement}' again, with its dependencies: "
            fix += f"'{error.name}' is missing"
        else:
            fix = f"pip install --force-reinstall '{requirement}'"
        return f'{name} cannot be imported ({type(error).__name__}: {error})\n  fix: {fix}'
    minimum = requirement.partition('>=')[2]
    version = getattr(module, '__version__', '')
    if minimum and version_tuple(version) < version_tuple(minimum):
        return f'{name} {version} is too old, {minimum} or newer is needed\n  fix: {fix}'
    return ''


def _torchvision_problem(torch: ModuleType) -> str:
    """mmps needs no torchvision, but mmengine imports one that is there and dies of its failure."""
    if importlib.util.find_spec('torchvision') is None:
        return ''
    try:
        importlib.import_module('torchvision')
    except Exception as error:  # RuntimeError, ImportError or OSError, by the kind of mismatch
        return (
            f'torchvision does not match torch {torch.__version__} ({error}), and every run would '
            'stop at it\n  fix: pip uninstall --yes torchvision (mmps does not need it), or '
            'install the torchvision of the same release and the same index as torch'
        )
    return ''


def _operators_problem(torch: ModuleType) -> str:
    """Whether mmcv has its compiled operators, for this PyTorch and for the GPU if there is one."""
    try:
        operators = importlib.import_module('mmcv._ext')
    except ModuleNotFoundError:
        return (
            'mmcv was installed without its compiled operators (its build did not see torch, or '
            f'this is mmcv-lite)\n  fix: {_BUILD_MMCV}'
        )
    except Exception as error:
        return (
            f'the operators of mmcv were compiled against another torch than {torch.__version__} '
            f'({error})\n  fix: {_BUILD_MMCV}'
        )
    if torch.cuda.is_available() and operators.get_compiling_cuda_version() == 'not available':
        return (
            'there is a GPU, but the operators of mmcv were compiled for the CPU only\n'
            f'  fix: export FORCE_CUDA=1; {_BUILD_MMCV}'
        )
    return ''
