"""Converted networks answer as they did when they answered as their authors' programs do.

Here an eighth as wide, under weights made from their names; see ``helpers/published_weights.py``.
"""

import dataclasses

import numpy as np
import pytest
from helpers.published_weights import (
    ANSWERED,
    RECORDED,
    SLIM,
    answers,
    converted,
    drawn,
    slim_config,
)

from mmps.published.families import person_first, person_rows, recognise


def check(method, found):
    """The bars for the networks at full width: detections, their order, boxes in pixels, scores and
    directions of embeddings.
    """
    with np.load(RECORDED) as file:
        recorded = {key: file[f'{method}/{key}'] for key in found}
    assert found['boxes'].shape == recorded['boxes'].shape
    np.testing.assert_allclose(found['boxes'], recorded['boxes'], atol=0.05, rtol=0)
    np.testing.assert_allclose(found['scores'], recorded['scores'], atol=2e-4, rtol=0)
    for key in ('embeddings', 'queries'):
        cosines = (found[key].astype(np.float64) * recorded[key]).sum(1)
        np.testing.assert_allclose(cosines, 1, atol=1e-5)


@pytest.mark.parametrize('method', ANSWERED)
def test_answers_are_those_recorded(method):
    weights, config = drawn(method, SLIM), slim_config(method)
    found = answers(config, converted(config, recognise(weights), weights))
    assert len(found['scores']) > 5
    check(method, found)


def rule_without(change, instead=None):
    def fault(config, family):
        rules = [
            dataclasses.replace(rule, change=instead) if rule.change is change else rule
            for rule in family.rules
        ]
        return dataclasses.replace(family, rules=tuple(rules))

    return fault


def aligned(config, family):
    config.model.roi_head.bbox_roi_extractor.roi_layer.aligned = True
    return family


def rounded(config, family):
    (step,) = (s for s in config.test_dataloader.dataset.pipeline if s.type == 'ResizeToFit')
    step.rounding = 'nearest'
    return family


def averaged(config, family):
    for stage in config.model.roi_head.stages:
        stage.shared_head.pool = 'avg'
    return family


@pytest.mark.parametrize(
    'fault',
    [
        pytest.param(rule_without(person_rows, lambda rows: rows[:4]), id='wrong regressor rows'),
        pytest.param(rule_without(person_first), id='classes not swapped'),
        aligned,
        rounded,
        averaged,
    ],
)
def test_a_single_fault_shows(fault):
    weights, config = drawn('seqnet', SLIM), slim_config('seqnet')
    family = fault(config, recognise(weights))
    with pytest.raises(AssertionError):
        check('seqnet', answers(config, converted(config, family, weights)))
