import numpy as np
import pytest
from helpers.originals import differences, picture, seqnet

from mmps.benchmark.original import Original
from mmps.utils.errors import UserError

ANSWER = dict(
    boxes=np.float32([[0, 0, 4, 8], [2, 2, 6, 9]]),
    scores=np.float32([0.9, 0.8]),
    embeddings=np.float32([[3, 4], [0, 1]]),
    queries=np.float32([[1, 0]]),
    map=np.zeros((2, 3, 3), np.float32),
    proposals=np.float32([[0, 0, 5, 9]]),
)


def test_differences_are_the_largest_ones():
    ours = {**ANSWER, 'boxes': ANSWER['boxes'] + [[0, 0, 0.5, 0], [0, 0.25, 0, 0]]}
    ours['embeddings'] = np.float32([[0.6, 0.8], [1, 0]])  # the first is only shorter
    found = differences(ANSWER, ours)
    assert found['boxes, px'] == 0.5
    assert found['1 - cosine of embeddings'] == 1
    assert found['scores'] == found['1 - cosine of queries'] == found['map'] == 0


def test_other_numbers_of_people_are_infinitely_far():
    ours = {key: value[:1] for key, value in ANSWER.items()}
    found = differences(ANSWER, ours)
    assert np.isinf([found['boxes, px'], found['scores'], found['1 - cosine of embeddings']]).all()
    assert found['1 - cosine of queries'] == 0


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match='gone: there is no such folder'):
        Original(seqnet, tmp_path / 'gone')
    with pytest.raises(UserError, match='needs torchvision, which mmps does without'):
        Original(seqnet, tmp_path)


def test_the_picture_is_the_same_for_both():
    image = picture(120, 180)
    assert image.shape == (120, 180, 3) and image.dtype == np.uint8
    assert np.array_equal(image, picture(120, 180))
