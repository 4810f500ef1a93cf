import runpy
from pathlib import Path

from setuptools import find_packages, setup

# Run by path, not imported: at this point the package's own dependencies may not be installed.
ROOT = Path(__file__).parent
VERSION = runpy.run_path(str(ROOT / 'mmps/version.py'))['__version__']
ENVIRONMENT = runpy.run_path(str(ROOT / 'mmps/utils/environment.py'))

setup(
    name='mmps',
    version=VERSION,
    description='Person search on top of MMDetection: detect and re-identify in one network',
    license='Apache-2.0',
    packages=find_packages(include=['mmps', 'mmps.*']),
    package_data={'mmps.web': ['*.css', '*.js'], 'mmps.published': ['*.yml']},
    python_requires='>=3.10',
    install_requires=list(ENVIRONMENT['REQUIREMENTS'].values()),
    extras_require={
        'mm': list(ENVIRONMENT['MM_REQUIREMENTS'].values()),
        'tensorboard': ['tensorboard'],
        'gallery': ['lancedb'],
        'milvus': ['pymilvus'],
        'demo': ['gradio>=6', 'pillow<13'],
        'heic': ['pillow-heif'],
        'plots': ['scikit-learn'],
        'export': ['onnx', 'onnxruntime', 'onnxscript', 'openvino'],
        'tests': [
            'hypothesis',
            'httpx',
            'milvus-lite',
            # what moto's server needs for S3; its extra for all of AWS brings thirty packages more
            *['moto[s3]', 'flask', 'flask-cors'],
            'pytest',
            'pytest-xdist',
            'ruff',
            'selenium',
        ],
    },
)
