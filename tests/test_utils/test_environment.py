import importlib
import subprocess
import sys
import types

import pytest
import torch

from mmps.utils import environment


def make_package(folder, name, source, monkeypatch):
    """Put a package that shadows any installed one in front of the module search path."""
    (folder / name).mkdir()
    (folder / name / '__init__.py').write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    for module in [m for m in sys.modules if m.partition('.')[0] == name]:
        monkeypatch.delitem(sys.modules, module)


def test_this_environment_is_sound():
    assert environment.diagnose() == ''
    environment.require_environment()


def test_missing_package_names_the_command(monkeypatch):
    monkeypatch.setitem(environment.REQUIREMENTS, 'no_such_module', 'some-distribution>=3')
    message = environment.diagnose()
    assert 'no_such_module is not installed' in message
    assert "pip install 'some-distribution>=3'" in message
    with pytest.raises(environment.EnvironmentProblem, match='no_such_module'):
        environment.require_environment()


def test_too_old_package(tmp_path, monkeypatch):
    make_package(tmp_path, 'mmdet', "__version__ = '3.3.0'", monkeypatch)
    message = environment.diagnose()
    assert 'mmdet 3.3.0 is too old, 3.5.1 or newer is needed' in message
    assert "pip install 'onedl-mmdetection>=3.5.1'" in message


def test_package_that_lacks_a_dependency(tmp_path, monkeypatch):
    make_package(tmp_path, 'mmdet', 'import no_such_dependency', monkeypatch)
    assert "'no_such_dependency' is missing" in environment.diagnose()


def test_opencv_without_system_library(tmp_path, monkeypatch):
    source = "raise ImportError('libGL.so.1: cannot open shared object file')"
    make_package(tmp_path, 'cv2', source, monkeypatch)
    problem = environment._import_problem('cv2', 'opencv-python', {})
    assert 'libGL.so.1' in problem and 'apt-get install libgl1' in problem


def test_torchvision_of_another_torch(tmp_path, monkeypatch):
    source = "raise RuntimeError('operator torchvision::nms does not exist')"
    make_package(tmp_path, 'torchvision', source, monkeypatch)
    message = environment.diagnose()
    assert f'torchvision does not match torch {torch.__version__}' in message
    assert 'pip uninstall --yes torchvision' in message


def test_mmcv_without_operators(monkeypatch):
    bare = types.ModuleType('mmcv')
    bare.__path__ = []
    monkeypatch.setitem(sys.modules, 'mmcv', bare)
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    problem = environment._operators_problem(torch)
    assert 'without its compiled operators' in problem
    assert '--no-build-isolation' in problem


def test_mmcv_compiled_against_another_torch(tmp_path, monkeypatch):
    make_package(tmp_path, 'mmcv', '', monkeypatch)
    (tmp_path / 'mmcv/_ext.py').write_text("raise ImportError('undefined symbol: _ZN3c104impl')")
    importlib.invalidate_caches()
    problem = environment._operators_problem(torch)
    assert 'compiled against another torch' in problem and 'undefined symbol' in problem


def test_mmcv_for_the_cpu_beside_a_gpu(monkeypatch):
    operators = types.SimpleNamespace(get_compiling_cuda_version=lambda: 'not available')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', operators)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert 'FORCE_CUDA=1' in environment._operators_problem(torch)


@pytest.mark.parametrize(
    ('version', 'numbers'),
    [('2.13.0+cpu', (2, 13, 0)), ('0.10.12', (0, 10, 12)), ('2.3.6.post1', (2, 3, 6)), ('', ())],
)
def test_version_tuple(version, numbers):
    assert environment.version_tuple(version) == numbers


def test_module_needs_the_standard_library_only():
    """It is what speaks up where nothing else can be imported."""
    code = f'import runpy; runpy.run_path({environment.__file__!r})'
    subprocess.run([sys.executable, '-S', '-I', '-c', code], check=True)
