import cv2
import numpy as np
import pytest
from helpers.scene_indices import random_index

from mmps.formats.report import KINDS, DatasetReport, Problem, Split, SplitStatistics
from mmps.formats.scene_index import SceneIndex
from mmps.visualization.dataset_report import LINE, MOST_PROBLEMS, _edges, save_dataset_report


def statistics_of(test_mode, frames=60, **options):
    index = random_index(np.random.default_rng(1), test_mode=test_mode, frames=frames, **options)
    return SplitStatistics.of(Split('test' if test_mode else 'train', index))


def drawn(path, statistics, problems=()):
    save_dataset_report(path, DatasetReport('a data set', statistics, problems))
    return cv2.imread(str(path))


def test_one_line_more_for_each_problem_up_to_a_limit(tmp_path):
    statistics = dict(train=statistics_of(False), test=statistics_of(True, galleries=(50,)))
    problems = [Problem(kind, 'test', 1234, ('a.jpg',)) for kind in KINDS]
    heights = [
        drawn(tmp_path / 'a.png', statistics, problems[:count]).shape[0]
        for count in (0, MOST_PROBLEMS, MOST_PROBLEMS + 3)
    ]
    step = 100 * LINE
    wanted = heights[0] + step * np.array([0, MOST_PROBLEMS - 1, MOST_PROBLEMS])
    assert np.abs(wanted - heights).max() <= 1


@pytest.mark.parametrize('split', ['train', 'test'])
def test_one_split_and_splits_with_nothing_in_them(tmp_path, split):
    for frames in (60, 1):
        part = statistics_of(split == 'test', frames=frames)
        picture = drawn(tmp_path / 'a.png', {split: part})
        assert picture.shape[1] == 1300
    nothing = SplitStatistics.of(Split(split, SceneIndex([], 0)))
    assert drawn(tmp_path / 'a.png', {split: nothing}).shape[0] < picture.shape[0]


@pytest.mark.parametrize('whole', [True, False])
def test_columns_cover_every_value(whole):
    rng = np.random.default_rng(0)
    for size, scale in [(1, 1), (7, 3), (500, 40), (500, 4000)]:
        values = rng.gamma(2, scale, size)
        edges = _edges(values.astype(int) if whole else values)
        assert len(edges) <= 30
        assert (np.diff(edges) > 0).all()
        assert edges[0] <= values.min()
        beyond = (values.astype(int) if whole else values) > edges[-1]
        assert beyond.mean() <= 0.01
