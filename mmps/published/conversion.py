"""Weights that authors published, under the names that mmps gives them.

A file with a key that no rule of its :class:`~mmps.published.families.Family` knows, or without one
that the model needs, is refused as a whole: weights that fit in part compute something else, and
nothing shows it.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmps.published.families import FAMILIES, Family, recognise
from mmps.utils.checkpoint import (
    CheckpointError,
    check_state_dict,
    existing_file,
    read_checkpoint,
    whose,
)
from mmps.utils.config import load_config
from mmps.utils.files import whole_file
from mmps.version import __version__


def published_weights(content: Any) -> dict[str, Tensor] | None:
    """The table of weights in a file as it was read, under its own names; None: there is none."""
    for key in ('model', 'state_dict', 'teacher'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(value, Tensor) for value in content.values()):
        return None
    return {key.removeprefix('module.'): value for key, value in content.items()}


def convert(weights: Mapping[str, Tensor], family: Family, path: str) -> dict[str, Tensor]:
    """The weights under mmps's names; those in half precision as float32.

    Raises:
        CheckpointError: There are keys that no rule knows, two that go to the same place, or two
            that should hold the same and do not.
    """
    converted: dict[str, Tensor] = {}
    unknown, twice, other = [], [], []
    for key, value in weights.items():
        rule = next((rule for rule in family.rules if re.match(rule.pattern, key)), None)
        if rule is None:
            unknown.append(key)
        elif rule.same_as is not None:
            same = weights.get(re.sub(rule.pattern, rule.same_as, key, count=1))
            if same is None or not torch.equal(same, value):
                other.append(key)
        elif rule.name is not None:
            name = re.sub(rule.pattern, rule.name, key, count=1)
            if name in converted:
                twice.append(key)
            value = value.float() if value.is_floating_point() else value
            # Counters, which have no axis, are left as they are.
            converted[name] = rule.change(value) if rule.change and value.ndim else value
    # Frozen norms count no batches.
    for name in [one for one in converted if one.endswith('.running_var')]:
        counter = f'{name.removesuffix("running_var")}num_batches_tracked'
        converted.setdefault(counter, torch.zeros((), dtype=torch.long))
    # What only training counts, and no author has.
    for head in {re.sub(r'(\.reid_head\.).*', r'\1', n) for n in converted if '.reid_head.' in n}:
        for name in ('batches_trained', 'criterion.queue_pointer'):
            converted.setdefault(f'{head}{name}', torch.zeros((), dtype=torch.long))
    for problem, keys in (
        ('keys that it does not know', unknown),
        ('keys for a place that is taken', twice),
        ('keys that should hold the same as another and do not', other),
    ):
        if keys:
            more = f' and {len(keys) - 10} more' if len(keys) > 10 else ''
            raise CheckpointError(
                f'{path} looks like a file of {family.method}, but the conversion finds {problem}: '
                f'{", ".join(keys[:10])}{more}'
            )
    return converted


@CheckpointLoader.register_scheme('', force=True)
def load_local(filename: str, map_location: Any = None) -> Any:
    """How mmengine reads local files once this module is imported: published ones are converted.

    Raises:
        CheckpointError: The file cannot be read, or is published and cannot be converted.
    """
    content = read_checkpoint(filename, map_location)
    weights = published_weights(content)
    family = weights and recognise(weights)
    if not family:
        return content
    state = convert(weights, family, os.fspath(filename))
    dataset = family.dataset_of(weights) or next(iter(family.identities))
    return dict(state_dict=state, meta=dict(published=family.name_for(dataset)))


def check_method(model: Mapping[str, Any], state: Mapping[str, Tensor], path: str) -> None:
    """Raise `CheckpointError` where published weights fit a model and are of another method.

    ``state`` comes from :func:`~mmps.utils.checkpoint.load_state_dict`.
    """
    method = getattr(state, 'published', '').partition('_')[0]
    expected = next((family.per_cell for family in FAMILIES if family.method == method), None)
    head = model.get('roi_head', {}).get('reid_head') or {}
    if expected is not None and bool(head.get('per_cell')) != expected:
        raise CheckpointError(
            f'checkpoint {path} is of another method than the config, with the same names and '
            f'shapes of weights{whose(state)}'
        )


def convert_file(
    path: str | os.PathLike, out: str | os.PathLike, dataset: str | None = None
) -> tuple[str, int]:
    """Write a published file as a checkpoint of mmps, which holds its config.

    Without ``dataset``, ``prw`` or ``cuhk-sysu``, the number of identities in the file says which.

    Returns:
        Name of the model, which is that of its config too, and how many tensors it has.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It cannot be read, is of an unknown method, has keys that nobody knows or
            lacks some, or knows other people than the data set has.
    """
    from mmengine.registry import init_default_scope

    import mmps.models  # noqa: F401 registers what configs name
    from mmps.registry import MODELS

    path = existing_file(path)
    weights = published_weights(read_checkpoint(path))
    family = weights and recognise(weights)
    if not family:
        known = ', '.join(sorted({one.method for one in FAMILIES}))
        raise CheckpointError(
            f'{path} holds no weights of a method that mmps can convert: {known}. Their keys tell '
            'them apart'
        )
    state = convert(weights, family, str(path))
    name = family.name_for(_dataset(family, weights, dataset, str(path)))
    config = load_config(name, {})
    init_default_scope('mmps')
    with torch.device('meta'):  # names and shapes are enough
        model = MODELS.build(config.model)
    check_state_dict(model, state, str(path))
    meta = dict(
        cfg=config.pretty_text,
        method=family.method,
        published=name,
        source=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        mmps_version=__version__,
    )
    with whole_file(out) as temporary:
        torch.save(dict(meta=meta, state_dict=state), temporary)
    return name, len(state)


def _dataset(family: Family, weights: Mapping[str, Tensor], dataset: str | None, path: str) -> str:
    """The data set of a file, by its table of identities."""
    implied = family.dataset_of(weights)
    people = f'{len(weights.get(family.lut_key, ())) or "no"} people'
    if dataset is None and implied is None:
        known = ', '.join(f'{count} in {name}' for name, count in family.identities.items())
        raise CheckpointError(
            f'{path} does not say of which data set it is: it knows {people}, and there are '
            f'{known}. Say which one (--dataset)'
        )
    if dataset is not None and implied not in (None, dataset):
        raise CheckpointError(f'{path} is of {implied}, not of {dataset}: it knows {people}')
    return dataset or implied
