from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.search_cases import random_annotations, random_predictions
from matplotlib.figure import Figure

from mmps.evaluation.functional.diagnosis import Part, break_down, diagnose_search
from mmps.visualization.charts import (
    COLOURS,
    REACHED,
    _draw_groups,
    interval_label,
    save_diagnosis,
)

MACHADO = {
    # Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB
    'normal': np.eye(3),
    'protanopia': [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    'deuteranopia': [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    'tritanopia': [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


@pytest.mark.parametrize('eye', MACHADO)
def test_colours_differ_for_every_eye(eye):
    values = np.array([rgb(colour) for colour in [REACHED, *COLOURS.values()]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(MACHADO[eye]).T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[np.triu_indices(len(lab), 1)].min() > 15


def diagnosed(gallery=0):
    rng = np.random.default_rng(0)
    annotations = random_annotations(rng, images=12, queries=20, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=True)
    loss = diagnose_search(annotations, predictions, gallery_size=gallery)
    return loss, break_down(annotations, loss)


def test_the_bar_shows_the_parts_to_scale(tmp_path):
    loss, breakdowns = diagnosed(gallery=6)
    shares = np.linspace(0.02, 0.18, len(Part))  # 0.9 in all
    loss = replace(
        loss,
        average_precision=np.full(len(loss.queries), 1 - shares.sum()),
        parts=np.tile(shares, (len(loss.queries), 1)),
    )
    save_diagnosis(tmp_path / 'out' / 'd.png', loss, breakdowns, 'search/mAP_G6')
    picture = cv2.imread(str(tmp_path / 'out' / 'd.png'))[..., ::-1]
    assert picture.shape == (1060, 1300, 3)
    band = picture[115]  # below the upper edge of the bar, above the numbers in it
    left, right = np.flatnonzero((band != 255).any(1))[[0, -1]]
    width = right - left + 1
    assert width > 1200
    want = {REACHED: loss.mean_average_precision}
    want |= {COLOURS[part]: loss.mean_parts[part] for part in Part}
    for colour, share in want.items():
        shown = (band == rgb(colour)).all(1).sum()
        assert shown == pytest.approx(share * width, abs=4)  # white edges take some


def test_a_column_is_as_wide_as_it_is_sure_and_pale_below_thirty():
    _, breakdowns = diagnosed()
    whole = breakdowns['query_height']
    three = np.resize(np.arange(len(whole.groups)), 3)
    breakdown = replace(
        whole,
        groups=tuple(whole.groups[k] for k in three),
        searches=np.array([400, 100, 8]),
        appearances=whole.appearances[three],
        worth=whole.worth[three],
        parts=whole.parts[three],
    )
    axes = Figure().add_subplot()
    _draw_groups(axes, breakdown, list(Part), 'query_height')
    columns = axes.patches[:3]
    assert [round(c.get_width(), 3) for c in columns] == [0.86, 0.43, 0.258]  # not below 0.3
    assert [c.get_alpha() for c in columns] == [None, None, 0.35]


def test_cameras_may_be_unknown_and_nothing_lost(tmp_path):
    loss, breakdowns = diagnosed()
    del breakdowns['camera_pair']
    save_diagnosis(tmp_path / 'a.png', loss, breakdowns, 'search/mAP')
    perfect = replace(
        loss,
        average_precision=np.ones_like(loss.average_precision),
        parts=np.zeros_like(loss.parts),
    )
    save_diagnosis(tmp_path / 'b.png', perfect, breakdowns, 'search/mAP')
    assert (tmp_path / 'a.png').read_bytes() != (tmp_path / 'b.png').read_bytes()


@pytest.mark.parametrize(
    ('low', 'high', 'options', 'text'),
    [
        (0, 50, {}, '<50'),
        (50, 75, {}, '50-75'),
        (400, None, {}, '400+'),
        (None, None, {}, 'none'),
        (0.0, 0.01, dict(percent=True), '<1'),
        (0.01, 0.1, dict(percent=True), '1-10'),
        (0.5, None, dict(percent=True), '50+'),
        (0, 1, dict(whole=True), '0'),
        (2, 4, dict(whole=True), '2-3'),
        (64, None, dict(whole=True), '64+'),
    ],
)
def test_interval_label(low, high, options, text):
    assert interval_label({'from': low, 'below': high}, **options) == text
