"""Attention, similarity matrices and embedding maps."""

import cv2
import numpy as np

from mmps.visualization import draw_attention, draw_similarity_matrix
from mmps.visualization.attention import _HEADER, _HEIGHT, _MARGIN, _WIDTH
from mmps.visualization.embedding_map import NAMED, named_groups, save_embedding_map
from mmps.visualization.similarity_matrix import _HIGH, _LOW

BOX = np.array([20, 20, 60, 90], np.float32)


def scene():
    return np.full((120, 100, 3), 128, np.uint8)


def test_attention_is_bright_where_the_mask_is_large():
    mask = np.zeros((4, 2), np.float32)
    mask[:2] = 0.8
    sheet = draw_attention([(scene(), BOX)], mask[None], 'Attention')
    covered = sheet[_HEADER : _HEADER + _HEIGHT, _MARGIN + _WIDTH + 4 :][:, :_WIDTH].astype(int)
    middle = covered[:, _WIDTH // 2].sum(1)
    assert middle[_HEIGHT // 4] > middle[3 * _HEIGHT // 4] + 100
    plain = sheet[_HEADER : _HEADER + _HEIGHT, _MARGIN : _MARGIN + _WIDTH]
    assert (plain[_HEIGHT // 4, _WIDTH // 2] == 128).all()


def test_attention_that_is_the_same_everywhere():
    sheet = draw_attention([(scene(), BOX)] * 5, np.full((5, 3, 2), 0.5), 'Attention')
    assert sheet.shape[0] > _HEADER + 2 * _HEIGHT  # two rows


def test_similar_people_have_dark_squares():
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    sheet = draw_similarity_matrix([(scene(), BOX)] * 4, embeddings)

    def pixels(colour):
        return (sheet == colour).all(2).sum()

    square = 79 * 79
    # six pairs are the same or each their own, of which the numbers take a part
    assert 5 * square < pixels(_HIGH) <= 6 * 82 * 82
    assert 9 * square < pixels(_LOW) <= 10 * 82 * 82


def test_the_largest_groups_are_named():
    labels = ['b', 'a', 'b', None, 'a', 'c']
    assert named_groups(labels) == ['a', 'b', 'c']
    assert len(named_groups([str(n) for n in range(100)])) == NAMED


def test_an_embedding_map(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 2))
    labels = ['one'] * 10 + ['two'] * 10 + [None] * 10
    picture = np.zeros((40, 20, 3), np.uint8)
    picture[:] = (0, 255, 0)
    save_embedding_map(tmp_path / 'map.png', points, labels, 'Map', {3: picture})
    drawn = cv2.imread(str(tmp_path / 'map.png'))
    for colour in ((235, 99, 37), (38, 38, 220), (225, 213, 203)):  # one, two, others
        assert (drawn == colour).all(2).sum() > 30
    assert (drawn == (0, 255, 0)).all(2).sum() > 400
