import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

# Run by path, not imported: at this point the package's own dependencies may not be installed.
ROOT = Path(__file__).parent
VERSION = runpy.run_path(str(ROOT / 'mmps/version.py'))['__version__']
ENVIRONMENT = runpy.run_path(str(ROOT / 'mmps/utils/environment.py'))


class BuildWithProject(build_py):
    """A wheel holds the configs and tools too, which stand beside the package in a checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for folder in ('configs', 'tools'):
                target = Path(self.build_lib, 'mmps/project', folder)
                shutil.rmtree(target, ignore_errors=True)  # of an earlier build
                shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns('__pycache__'))


setup(
    name='mmps',
    version=VERSION,
    description='Person search on top of MMDetection: detect and re-identify in one network',
    license='Apache-2.0',
    packages=find_packages(include=['mmps', 'mmps.*']),
    package_data={'mmps.web': ['*.css', '*.html', '*.js'], 'mmps.published': ['*.yml', '*.pth']},
    cmdclass={'build_py': BuildWithProject},
    entry_points={'console_scripts': ['mmps = mmps.cli.main:main']},
    python_requires='>=3.10',
    install_requires=list(ENVIRONMENT['REQUIREMENTS'].values()),
    extras_require={
        'mm': list(ENVIRONMENT['MM_REQUIREMENTS'].values()),
        'tensorboard': ['tensorboard'],
        'gallery': ['lancedb'],
        'milvus': ['pymilvus', 'pyarrow'],
        'demo': ['gradio>=6', 'jinja2', 'pillow<13'],
        'heic': ['pillow-heif'],
        'plots': ['scikit-learn'],
        'export': ['onnx', 'onnxruntime', 'onnxscript', 'openvino'],
        'tests': [
            'hypothesis',
            'httpx',
            'milvus-lite',
            'pytest',
            'pytest-xdist>=3.7',
            'ruff',
            'selenium',
        ],
    },
)
