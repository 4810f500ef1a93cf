"""The keys of a config's classes, from their signatures and docstrings, for docs/configs.md.

``PYTHONPATH=tests python -m helpers.config_keys`` writes them there.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmps.models.roi_heads.person_search_roi_head import BoxJitter
from mmps.registry import DATA_SAMPLERS, DATASETS, HOOKS, MODELS
from mmps.utils.config import PROJECT, load_config

PAGE = Path(PROJECT, 'docs/configs.md')
CONFIG = 'configs/ps_densenet121_att_plus_prw.py'
MARKS = '<!-- written by tests/helpers/config_keys.py -->', '<!-- until here -->'
REGISTRIES = MODELS, DATASETS, HOOKS, DATA_SAMPLERS
_ARGUMENT = re.compile(r'^ {4}(\*{0,2}\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)', re.MULTILINE)


def classes(entry: Any, place: str = '') -> Iterator[tuple[str, type]]:
    """Every place in a config that names a class of mmps, and the class."""
    if isinstance(entry, dict):
        found = [registry.get(str(entry.get('type'))) for registry in REGISTRIES if 'type' in entry]
        for kind in {kind for kind in found if kind and kind.__module__.startswith('mmps.')}:
            yield place, kind
        for key, value in entry.items():
            if key == 'reid_jitter':
                yield f'{place}.{key}', BoxJitter
            yield from classes(value, f'{place}.{key}'.strip('.'))
    elif isinstance(entry, (list, tuple)):
        for value in entry:
            yield from classes(value, place)


def rows(kind: type) -> Iterator[tuple[str, str]]:
    """Key with default, and effect, of each argument of a class that has a default, and of the
    class that it hands further arguments on to, if that is one of mmps.
    """
    owner = next(c for c in kind.__mro__ if '__init__' in vars(c))
    text = inspect.getdoc(owner).partition('\nArgs:\n')[2].partition('\n\n')[0]
    effects = {n: t for names, t in _ARGUMENT.findall(text) for n in names.split(', ')}
    for name, parameter in inspect.signature(owner.__init__).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named = re.findall(r'`~?(\w+)`', effects.get(name, effects.get(f'**{name}', '')))
            there = [getattr(sys.modules[owner.__module__], one, None) for one in named]
            for other in (one for one in there if one and one.__module__.startswith('mmps.')):
                yield from rows(other)
        elif name in effects and parameter.default is not parameter.empty and name != 'init_cfg':
            yield f'`{with_default(parameter)}`', plain(effects[name])


def with_default(parameter: inspect.Parameter) -> str:
    """``key=default``; the type as well, where the default does not tell it."""
    kind = parameter.annotation
    kind = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    kind = re.sub(r'(collections\.abc|typing)\.', '', kind)
    kind = re.sub(r'^Union\[(\w+), (.*)\]$', r'\1 | \2', kind)  # as Python 3.14 writes it
    if '|' in kind and '| None' not in kind or parameter.default == ():
        return f'{parameter.name}: {kind} = {parameter.default!r}'
    return f'{parameter.name}={parameter.default!r}'


def plain(text: str) -> str:
    """The first sentence of an argument's description, as Markdown."""
    text = re.sub(r':\w+:`~?([^`]*)`', r'`\1`', ' '.join(text.split())).replace('``', '`')
    return re.split(r'(?<=[a-z0-9)`\]])\. (?=[A-Z`])', text)[0].rstrip('.')


def section() -> str:
    """A list for each class that the config names; what several say, once."""
    config = load_config(CONFIG, {}).to_dict()
    parts = ('model', 'train_dataloader', 'default_hooks', 'custom_hooks')
    lines, seen = [], set()
    for place, kind in classes({part: config[part] for part in parts}):
        named = {re.match(r'`\w+', row[0])[0]: row for row in reversed([*rows(kind)])}
        found = [row for row in reversed(named.values()) if row not in seen]
        if found:
            seen.update(found)
            lines += ['', f'**`{kind.__name__}`**, `{place}`', '']
            lines += [f'* {key}: {effect}' for key, effect in found]
    return '\n'.join([*lines, ''])


def written(text: str, lists: str) -> str:
    """A page with the lists between its marks."""
    before, _, rest = text.partition(MARKS[0])
    return f'{before}{MARKS[0]}\n{lists}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}'


if __name__ == '__main__':
    PAGE.write_text(written(PAGE.read_text(), section()))
