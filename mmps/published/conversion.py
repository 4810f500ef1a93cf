"""Weights that authors published, under the names that mmps gives them.

A :class:`Family` says for every key of its files where it goes. A file with a key that no rule
knows, or without one that the model needs, is refused as a whole: weights that fit in part compute
something else, and nothing shows it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmps.utils.checkpoint import (
    CheckpointError,
    check_state_dict,
    existing_file,
    read_checkpoint,
)
from mmps.utils.config import load_config
from mmps.utils.files import whole_file
from mmps.version import __version__

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """Where the keys go that a pattern matches.

    Attributes:
        pattern: A regular expression for the beginning of a key. The first rule that matches
            counts.
        name: What stands in place of what was matched, with ``\\1`` for groups as in ``re.sub``;
            None: the weights are not used.
        change: What is done to the tensor. Counters, which have no axis, are left as they are.
        same_as: The published key, written as ``name`` is, that holds the same numbers; the two are
            compared, and this one is left out.
    """

    pattern: str
    name: str | None = None
    change: Change | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class Family:
    """Files of one method.

    Attributes:
        method: As names of models begin.
        backbone: As they go on.
        marks: Regular expressions; keys of these files match each of them. The first family that
            fits counts.
        rules: For all keys.
        axes: Of tensors whose keys match an expression, how many axes they have.
        identities: How many people each data set has, by its name: rows of ``lut_key``.
        lut_key: Published key of OIM's look-up table.
    """

    method: str
    backbone: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    identities: Mapping[str, int] = field(default_factory=lambda: IDENTITIES)
    axes: Mapping[str, int] = field(default_factory=dict)
    lut_key: str = 'roi_heads.reid_loss.lut'

    def fits(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether these weights, under their published names, are of this family."""
        if not all(any(re.match(mark, key) for key in weights) for mark in self.marks):
            return False
        return all(
            value.ndim == axes
            for mark, axes in self.axes.items()
            for key, value in weights.items()
            if re.match(mark, key)
        )


def person_rows(weights: Tensor) -> Tensor:
    """Of box regression for background and person, ``(8, ...)``, the person's."""
    return weights[4:]


def person_first(weights: Tensor) -> Tensor:
    """Of the classes background and person, ``(2, ...)``, the person before the background."""
    return weights.flip(0)


def as_linear(weights: Tensor) -> Tensor:
    """Of a 1 x 1 convolution ``(out, in, 1, 1)`` the linear layer of its cells."""
    return weights.flatten(1)


RPN = (
    Rule(r'rpn\.head\.conv\.(0\.0\.)?', 'rpn_head.rpn_conv.'),
    Rule(r'rpn\.head\.cls_logits\.', 'rpn_head.rpn_cls.'),
    Rule(r'rpn\.head\.bbox_pred\.', 'rpn_head.rpn_reg.'),
)
"""torchvision's proposal network, before and since 0.13."""


def linear_norm(published: str, name: str, change: Change | None = None) -> tuple[Rule, ...]:
    """A linear layer with batch norm behind it."""
    return (
        Rule(rf'{published}\.0\.', f'{name}.linear.', change),
        Rule(rf'{published}\.1\.', f'{name}.norm.', change),
    )


def embedding(stage: int, maps: Iterable[str], published: str = 'embedding_head') -> tuple:
    """Norm-aware embedding of these maps, in a stage."""
    head = f'roi_head.stages.{stage}.reid_head'
    found: tuple[Rule, ...] = ()
    for number, name in enumerate(maps):
        there = rf'roi_heads\.{published}\.projectors\.{name}'
        linear, norm = linear_norm(there, f'{head}.projections.{number}')
        # Of cells it is a convolution.
        found += Rule(linear.pattern, linear.name, _flat_if_convolution), norm
    return *found, Rule(rf'roi_heads\.{published}\.rescaler\.', f'{head}.length_norm.')


def _flat_if_convolution(weights: Tensor) -> Tensor:
    return as_linear(weights) if weights.ndim == 4 else weights


def tables(stage: int, published: str = 'reid_loss') -> tuple[Rule, ...]:
    """OIM's tables of a stage."""
    head = f'roi_head.stages.{stage}.reid_head.criterion'
    return (
        Rule(rf'roi_heads\.{published}\.lut$', f'{head}.lut'),
        Rule(rf'roi_heads\.{published}\.cq$', f'{head}.queue'),
    )


def norm_aware_box(stage: int, published: str = 'box_predictor') -> tuple[Rule, ...]:
    """Box regression with batch norm behind it, in a stage."""
    name = f'roi_head.stages.{stage}.bbox_head.fc_reg'
    return linear_norm(rf'roi_heads\.{published}\.bbox_pred', name, person_rows)


def first_stage(published: str = 'faster_rcnn_predictor') -> tuple[Rule, ...]:
    """torchvision's class and box predictor, in the first stage."""
    head = 'roi_head.stages.0.bbox_head'
    return (
        Rule(rf'roi_heads\.{published}\.cls_score\.', f'{head}.fc_cls.', person_first),
        Rule(rf'roi_heads\.{published}\.bbox_pred\.', f'{head}.fc_reg.', person_rows),
    )


def region(stage: int, published: str) -> Rule:
    """The region network of a stage."""
    return Rule(rf'roi_heads\.{published}\.', f'roi_head.stages.{stage}.shared_head.network.')


BACKBONE = Rule(r'backbone\.(?=(conv1|bn1|layer[123])\.)', 'backbone.')
IDENTITIES = {'prw': 482, 'cuhk-sysu': 5532}

NAE = (
    BACKBONE,
    *RPN,
    region(0, 'box_head'),
    # Made, saved and never called.
    Rule(r'roi_heads\.box_predictor\.cls_score\.'),
    *norm_aware_box(0),
    *embedding(0, ('feat_res4', 'feat_res5')),
    *tables(0),
)
NAE_MARKS = (r'roi_heads\.box_predictor\.cls_score\.', r'roi_heads\.embedding_head\.projectors\.')
PROJECTION = r'roi_heads\.embedding_head\.projectors\.feat_res5\.0\.weight'

FAMILIES = (
    Family(
        'oimnetpp',
        'r50',
        (r'roi_heads\.box_predictor\.bbox_cls\.',),
        (
            BACKBONE,
            *RPN,
            region(0, 'reid_head'),
            # Made, saved and never called.
            Rule(r'roi_heads\.(box_head|faster_rcnn_predictor)\.'),
            Rule(
                r'roi_heads\.box_predictor\.bbox_cls\.',
                'roi_head.stages.0.bbox_head.fc_cls.',
                person_first,
            ),
            Rule(
                r'roi_heads\.box_predictor\.bbox_pred\.',
                'roi_head.stages.0.bbox_head.fc_reg.',
                person_rows,
            ),
            *embedding(0, ('feat_res5',))[:-1],
            *tables(0),
        ),
    ),
    Family(
        'seqnet',
        'r50',
        (r'roi_heads\.faster_rcnn_predictor\.', r'roi_heads\.reid_head\.layer4\.'),
        (
            BACKBONE,
            *RPN,
            region(0, 'box_head'),
            *first_stage(),
            region(1, 'reid_head'),
            *norm_aware_box(1),
            *embedding(1, ('feat_res4', 'feat_res5')),
            *tables(1),
        ),
    ),
    Family('naeplus', 'r50', NAE_MARKS, NAE, axes={PROJECTION: 4}),
    Family('nae', 'r50', NAE_MARKS, NAE, axes={PROJECTION: 2}),
)
"""What is known, the more particular before the more general."""


def recognise(weights: Mapping[str, Tensor]) -> Family | None:
    """The family of published weights; None: they are nobody's that mmps knows."""
    return next((family for family in FAMILIES if family.fits(weights)), None)


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

    Args:
        weights: Under their published names.
        family: Whose they are.
        path: For messages.

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
            converted[name] = _changed(value, rule.change)
    # What only training counts, and no author has.
    for head in {re.sub(r'(\.reid_head\.).*', r'\1', n) for n in converted if '.reid_head.' in n}:
        for name in ('batches_trained', 'criterion.queue_pointer'):
            converted[f'{head}{name}'] = torch.zeros((), dtype=torch.long)
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


def _changed(value: Tensor, change: Change | None) -> Tensor:
    if value.is_floating_point():
        value = value.float()
    return change(value) if change is not None and value.ndim else value


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
    return dict(state_dict=convert(weights, family, os.fspath(filename)))


@dataclass(frozen=True)
class Converted:
    """What was made of a published file.

    Attributes:
        name: Of the model, which is that of its config too.
        weights: How many tensors it has.
        message: What else is to be known; empty: nothing.
    """

    name: str
    weights: int
    message: str = ''


def convert_file(
    path: str | os.PathLike, out: str | os.PathLike, dataset: str | None = None
) -> Converted:
    """Write a published file as a checkpoint of mmps, which holds its config.

    Args:
        path: The file of its authors.
        out: The checkpoint to write.
        dataset: ``prw`` or ``cuhk-sysu``; None: as many identities as the file knows say which.

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
    dataset, message = _dataset(family, weights, dataset, str(path))
    name = f'{family.method}_{family.backbone}_{dataset}'
    config = load_config(name, {})
    init_default_scope('mmps')
    check_state_dict(MODELS.build(config.model), state, str(path))
    meta = dict(
        cfg=config.pretty_text,
        method=family.method,
        source=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        mmps_version=__version__,
    )
    with whole_file(out) as temporary:
        torch.save(dict(meta=meta, state_dict=state), temporary)
    return Converted(name, len(state), message)


def _dataset(
    family: Family, weights: Mapping[str, Tensor], dataset: str | None, path: str
) -> tuple[str, str]:
    """The data set of a file, and what is to be said of its table of identities."""
    table = weights.get(family.lut_key)
    people = None if table is None else len(table)
    by_people = {count: name for name, count in family.identities.items()}
    implied = by_people.get(people)
    if dataset is None and implied is None:
        raise CheckpointError(
            f'{path} does not say of which data set it is: it knows '
            f'{"nobody" if people is None else f"{people} people"}, and there are '
            f'{", ".join(f"{n} in {name}" for n, name in by_people.items())}. Say which one '
            '(--dataset)'
        )
    if dataset is not None and implied not in (None, dataset):
        raise CheckpointError(f'{path} is of {implied}, not of {dataset}: it knows {people} people')
    dataset = dataset or implied
    if dataset == 'prw' and people == 482:
        return dataset, (
            'its table of identities has 482 rows, and mmps counts 483 people in PRW: searching '
            'takes no notice, training on fills a new table'
        )
    return dataset, ''
