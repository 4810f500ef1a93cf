"""Imports run one way: a folder imports from those further down the list; no files in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmps'
LAYERS = (
    *('web', 'benchmark', 'testing', 'cli', 'apis', 'synthetic', 'deployment', 'published'),
    *('visualization', 'datasets', 'engine', 'formats', 'retrieval', 'models', 'evaluation'),
    *('sources', 'utils', 'registry', 'version'),
)
"""From top to bottom; docs/data_flow.md says what each holds."""
NO_TORCH = ('evaluation/functional', 'formats', 'retrieval', 'sources')
HEAVY = {'torch', 'mmcv', 'mmdet'}


def modules():
    """The files of the package, by the names of their modules."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imports(name, path, known, *, functions=True):
    """What a module imports, as names of modules: the package's own in full, others at their root.

    Args:
        functions: Also what is imported inside functions, or for types alone.
    """
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    nodes = list(ast.parse(path.read_text()).body)
    for node in nodes:  # grows
        if functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.If)):
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split('.')[: len(package.split('.')) - node.level + 1]
            parts = [*(base if node.level else ()), *filter(None, [node.module])]
            module = '.'.join(parts)
            for alias in node.names:
                inner = f'{module}.{alias.name}'
                yield inner if inner in known else module


def layer(name):
    return name.split('.')[1] if name.startswith('mmps.') else ''


def test_every_folder_has_its_place():
    there = {layer(name) for name in modules()} - {''}
    assert there == set(LAYERS)


def test_no_import_runs_up():
    known = modules()
    up = [
        f'{name} imports {other}'
        for name, path in known.items()
        for other in imports(name, path, known)
        if layer(name) and layer(other) and LAYERS.index(layer(other)) < LAYERS.index(layer(name))
    ]
    assert not up


def test_no_circle():
    """Files that need each other when they are imported."""
    known = modules()
    needs = {
        name: {other for other in imports(name, path, known, functions=False) if other in known}
        for name, path in known.items()
    }
    while True:
        needed = set().union(*needs.values())
        kept = {n: others & needs.keys() for n, others in needs.items() if others and n in needed}
        if kept == needs:
            break
        needs = kept
    assert not needs


@pytest.mark.parametrize('folder', NO_TORCH)
def test_files_and_numbers_need_no_torch(folder):
    """Not even inside a function: what reads files and counts runs without what trains."""
    known = modules()
    found = [
        f'{path.relative_to(PACKAGE)} imports {other}'
        for name, path in known.items()
        if path.is_relative_to(PACKAGE / folder)
        for other in imports(name, path, known)
        if other.split('.')[0] in HEAVY
    ]
    assert not found
