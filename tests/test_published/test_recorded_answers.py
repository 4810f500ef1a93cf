"""Converted networks answer as they did when they answered as their authors' programs do.

Here an eighth as wide, under weights made from their names; see ``helpers/published_weights.py``.
"""

import dataclasses
import functools

import numpy as np
import pytest
from helpers.published_weights import (
    ANSWERED,
    RECORDED,
    answers,
    converted,
    in_their_order,
    narrow_file,
    slim_config,
)

from mmps.published.families import person_first, person_rows, recognise
from mmps.registry import MODELS


def check(method, found):
    """The bars for the networks at full width: detections, their order, boxes in pixels, scores and
    directions of embeddings.
    """
    with np.load(RECORDED) as file:
        recorded = {key: file[f'{method}/{key}'].astype(np.float64) for key in found}
    assert found['boxes'].shape == recorded['boxes'].shape
    np.testing.assert_allclose(found['boxes'], recorded['boxes'], atol=0.05, rtol=0)
    np.testing.assert_allclose(found['scores'], recorded['scores'], atol=2e-4, rtol=0)
    for key in ('embeddings', 'queries'):
        lengths = np.linalg.norm(recorded[key], axis=1)
        cosines = (found[key].astype(np.float64) * recorded[key]).sum(1) / lengths
        np.testing.assert_allclose(cosines, 1, atol=1e-5)


@functools.cache
def their_file(method):
    return narrow_file(method, MODELS.build(slim_config(method).model))


@pytest.mark.parametrize('method', ANSWERED)
def test_answers_are_those_recorded(method):
    weights, config = their_file(method), slim_config(method)
    found = answers(config, converted(config, recognise(weights), weights))
    assert len(found['scores']) > 5
    check(method, found)


@pytest.mark.parametrize('method', ['seqnet', 'gfn', 'oim'])
def test_answers_are_the_same_in_the_order_of_their_programs(method):
    weights, config = their_file(method), slim_config(method)
    in_their_order(config)
    check(method, answers(config, converted(config, recognise(weights), weights)))


def rule_without(change, instead=None):
    def fault(config, family):
        rules = [
            dataclasses.replace(rule, change=instead) if rule.change is change else rule
            for rule in family.rules
        ]
        return dataclasses.replace(family, rules=tuple(rules))

    return fault


wrong_rows = rule_without(person_rows, lambda rows: rows[:4])
classes_not_swapped = rule_without(person_first)


def aligned(config, family):
    config.model.roi_head.bbox_roi_extractor.roi_layer.aligned = True
    return family


def another_size(config, family):
    (step,) = (s for s in config.test_dataloader.dataset.pipeline if s.type == 'ResizeToFit')
    step.rounding = 'nearest' if step.get('rounding', 'floor') == 'floor' else 'floor'
    return family


def another_factor(config, family):
    (step,) = (s for s in config.test_dataloader.dataset.pipeline if s.type == 'ResizeToFit')
    step.sample_by = 'size'
    return family


def averaged(config, family):
    for stage in config.model.roi_head.stages:
        stage.shared_head.pool = 'avg'
    return family


FAULTS = dict(
    wrong_rows=wrong_rows,
    classes_not_swapped=classes_not_swapped,
    aligned=aligned,
    another_size=another_size,
    averaged=averaged,
)
# OIM of 2017 has another pooling of regions, and averages.
OWN_FAULTS = dict(
    wrong_rows=wrong_rows, classes_not_swapped=classes_not_swapped, another_size=another_factor
)


@pytest.mark.parametrize(
    ('method', 'fault'),
    [
        pytest.param(method, fault, id=f'{method} {name}')
        for method, faults in dict(seqnet=FAULTS, coat=FAULTS, gfn=FAULTS, oim=OWN_FAULTS).items()
        for name, fault in faults.items()
    ],
)
def test_a_single_fault_shows(method, fault):
    weights, config = their_file(method), slim_config(method)
    family = fault(config, recognise(weights))
    with pytest.raises(AssertionError):
        check(method, answers(config, converted(config, family, weights)))
