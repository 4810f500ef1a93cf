"""The table of published methods, from their metafiles, for docs/model_zoo.md.

``PYTHONPATH=tests python -m helpers.model_zoo`` writes the page and ``model-index.yml``.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from mmps.utils.config import PROJECT

ROOT = Path(PROJECT)
PAGE, INDEX = ROOT / 'docs/model_zoo.md', ROOT / 'model-index.yml'
HEAD = """# Model zoo

<!-- written by tests/helpers/model_zoo.py from configs/*/metafile.yml -->

Methods of other authors, as configs over shared parts, which read [their authors'
files](published_models.md#files-of-other-authors). Search mAP and top-1 are stated by the authors,
under the protocol of the config's `test_evaluator`, and were not measured here. Unless said
otherwise, a network embeds given boxes, runs on a CPU, takes several images at a time and context
matching, and answers as its authors' program under generated weights.

"""
COLUMNS = ('model', 'PRW', 'CUHK-SYSU', 'but')
LACKS = {
    'Embeds given boxes': 'embeds no given boxes',
    'Runs on a CPU': 'needs a GPU',
    'Batch over 1': 'one image at a time',
    'Context matching': 'no context matching',
}
PARITY = 'parity tested (generated weights)'
DATA_SETS = ('prw', 'cuhk-sysu')


def metafiles() -> dict[str, Any]:
    """What each holds, by its path below the project."""
    paths = sorted(ROOT.glob('configs/*/metafile.yml'))
    return {str(path.relative_to(ROOT)): yaml.safe_load(path.read_text()) for path in paths}


def network(name: str) -> str:
    """The name of a model without its data set."""
    return name.rpartition('_')[0]


def cells(name: str, models: list[dict], method: dict) -> list[str]:
    """A row: a network and what its authors state for both data sets."""
    by_data = {model['Name'].removeprefix(f'{name}_'): model for model in models}
    stated = [_numbers(by_data.get(data)) for data in DATA_SETS]
    parity = sorted({model['Parity'] for model in models} - {PARITY})
    lacks = [lack for key, lack in LACKS.items() if not method['Metadata'][key]]
    return [f'[`{name}`](../{method["README"]})', *stated, '; '.join([*lacks, *parity])]


def _numbers(model: dict | None) -> str:
    if model is None:
        return 'no config'
    results = [', '.join(map(str, one['Metrics'].values())) for one in model.get('Results', ())]
    return f'[{"; ".join(results) or "not stated"}](../{model["Config"]})'


def page() -> str:
    """The whole of docs/model_zoo.md."""
    rows = []
    for content in metafiles().values():
        methods = {one['Name']: one for one in content['Collections']}
        for name, models in groupby(content['Models'], lambda model: network(model['Name'])):
            models = list(models)
            rows.append(cells(name, models, methods[models[0]['In Collection']]))
    lines = [COLUMNS, ['---'] * len(COLUMNS), *rows]
    return HEAD + '\n'.join(f'| {" | ".join(row)} |' for row in lines) + '\n'


def index() -> str:
    """The whole of model-index.yml."""
    return 'Import:\n' + ''.join(f'  - {path}\n' for path in metafiles())


if __name__ == '__main__':
    PAGE.write_text(page())
    INDEX.write_text(index())
