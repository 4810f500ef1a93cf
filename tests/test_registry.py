import subprocess
import sys

import mmdet.registry
import mmengine.registry
import pytest
from mmengine.registry import Registry

import mmps.registry

OURS = {name: value for name, value in vars(mmps.registry).items() if isinstance(value, Registry)}


def test_every_root_registry_has_a_child():
    roots = {name for name, value in vars(mmengine.registry).items() if isinstance(value, Registry)}
    assert roots == set(OURS)


@pytest.mark.parametrize('name', sorted(OURS))
def test_parents_are_those_of_mmdet_where_it_has_one(name):
    assert OURS[name].parent is getattr(mmdet.registry, name, getattr(mmengine.registry, name))


@pytest.mark.parametrize('name', sorted(OURS))
def test_names_never_shadow_those_of_mmdet(name):
    registry = OURS[name]
    registry.import_from_location()
    parent = registry.parent
    parent.import_from_location()
    assert not registry.module_dict.keys() & parent.module_dict.keys()
    assert registry.scope == 'mmps'


@pytest.mark.parametrize(
    'name',
    ['PersonSearch', 'DenseNet', 'GoogLeNet', 'STN', 'PersonSearchRoIHead', 'ReIDHead']
    + ['SoftAttention', 'OIMLoss', 'RPNHead', 'ResNet'],
)
def test_models_are_found_without_a_prefix(name):
    assert mmps.registry.MODELS.get(name) is not None


@pytest.mark.parametrize(
    ('registry', 'name'),
    [
        ('DATASETS', 'PRWDataset'),
        ('METRICS', 'PersonSearchMetric'),
        ('DATA_SAMPLERS', 'SeededSampler'),
    ]
    + [('TRANSFORMS', 'PackPersonSearchInputs'), ('HOOKS', 'SeedIterationHook')],
)
def test_other_parts_are_found_without_a_prefix(registry, name):
    assert OURS[registry].get(name) is not None


@pytest.mark.parametrize(
    'code',
    [
        'import mmps.datasets; from mmps.registry import METRICS; METRICS.get("CocoMetric")',
        'from mmps.apis import PersonSearcher; PersonSearcher("quick-start")',
    ],
)
def test_nothing_is_said_about_packages_that_mmps_does_not_need(code):
    """Each starts with another module of those that import mmdet's data sets or metrics."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'OneDL' not in done.stdout
    assert done.stderr == ''
