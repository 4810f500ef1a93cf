from pathlib import Path

import cv2
import numpy as np
import pytest

from mmps.evaluation.baselines import (
    BASELINES,
    hsv_baseline,
    pixel_baseline,
    random_baseline,
)
from mmps.evaluation.functional import evaluate_search
from mmps.evaluation.functional.annotations import SearchAnnotations

RED, GREEN, BLUE = (0, 0, 220), (0, 200, 0), (210, 0, 0)


@pytest.fixture
def scenes(tmp_path: Path) -> tuple[SearchAnnotations, Path]:
    """Person 0 is red above blue, person 1 blue above red; three images hold both."""
    rng = np.random.default_rng(0)
    bboxes, ids = [], []
    for number in range(3):
        image = rng.integers(90, 130, (120, 160, 3), dtype=np.uint8)
        for person, (top, bottom) in enumerate([(RED, BLUE), (BLUE, RED)]):
            x = 20 + 60 * ((person + number) % 2)
            image[20:60, x : x + 30], image[60:100, x : x + 30] = top, bottom
            bboxes.append([x, 20, x + 30, 100])
            ids.append(person)
        cv2.imwrite(str(tmp_path / f'c{number + 1}.png'), image)
    annotations = SearchAnnotations(
        image_names=('c1.png', 'c2.png', 'c3.png'),
        cameras=np.array([1, 2, 3]),
        box_splits=np.array([0, 2, 4, 6]),
        bboxes=np.array(bboxes, np.float32),
        person_ids=np.array(ids),
        query_images=np.array([0, 0]),
        query_bboxes=np.array(bboxes[:2], np.float32),
        query_person_ids=np.array(ids[:2]),
    )
    return annotations, tmp_path


@pytest.mark.parametrize('name', sorted(BASELINES))
def test_annotated_boxes_come_back_as_sure_detections(scenes, name: str) -> None:
    annotations, folder = scenes
    predictions = BASELINES[name](annotations, folder)
    np.testing.assert_array_equal(predictions.bboxes, annotations.bboxes)
    assert (predictions.scores == 1).all()
    np.testing.assert_allclose(np.linalg.norm(predictions.embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(predictions.embeddings, predictions.gt_embeddings)
    if name != 'random':
        np.testing.assert_allclose(
            predictions.query_embeddings, predictions.embeddings[:2], atol=1e-6
        )


def test_layout_tells_apart_what_one_histogram_confuses(scenes) -> None:
    annotations, folder = scenes
    stripes = hsv_baseline(annotations, folder, stripes=2).embeddings
    whole = hsv_baseline(annotations, folder, stripes=1).embeddings
    assert stripes[0] @ stripes[3 if annotations.person_ids[3] == 0 else 2] > 0.99
    assert abs(stripes[0] @ stripes[1]) < 1e-6
    assert whole[0] @ whole[1] > 0.99


def test_bhattacharyya_coefficient_by_hand(tmp_path: Path) -> None:
    """Three quarters red against one quarter red: sqrt(3/16) twice where both colours meet."""
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :], image[:6, :8], image[:2, 8:] = BLUE, RED, RED
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    annotations = SearchAnnotations(
        ('a.png',),
        np.array([1]),
        np.array([0, 2]),
        np.array([[0, 0, 8, 8], [8, 0, 16, 8]], np.float32),
        np.array([0, 1]),
        np.array([0]),
        np.array([[0, 0, 8, 8]], np.float32),
        np.array([0]),
    )
    embeddings = hsv_baseline(annotations, tmp_path, stripes=1).embeddings
    assert embeddings[0] @ embeddings[1] == pytest.approx(2 * np.sqrt(3) / 4, abs=1e-5)


@pytest.mark.parametrize('name', ['hsv_stripes', 'pixels'])
def test_baselines_find_clearly_different_people(scenes, name: str) -> None:
    annotations, folder = scenes
    assert evaluate_search(annotations, BASELINES[name](annotations, folder))['mAP'] == 1


def test_pixel_baseline_ignores_brightness(scenes) -> None:
    annotations, folder = scenes
    before = pixel_baseline(annotations, folder).embeddings
    image = cv2.imread(str(folder / 'c2.png'))
    cv2.imwrite(str(folder / 'c2.png'), (image * 0.5 + 20).astype(np.uint8))
    after = pixel_baseline(annotations, folder).embeddings
    assert (np.sum(before * after, 1) > 0.999).all()


def test_random_baseline_depends_on_the_seed_only(scenes) -> None:
    annotations, _ = scenes
    first, same = random_baseline(annotations), random_baseline(annotations)
    other = random_baseline(annotations, seed=1)
    np.testing.assert_array_equal(first.embeddings, same.embeddings)
    assert np.abs(first.embeddings - other.embeddings).max() > 0.1


def test_boxes_beyond_the_border_and_of_one_colour_are_embedded(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((20, 20, 3), 77, np.uint8))
    box = np.array([[18.9, -4, 30, 2], [0, 0, 3, 3]], np.float32)
    one = np.array([0])
    annotations = SearchAnnotations(
        ('a.png',), one, np.array([0, 2]), box, np.array([0, 1]), one, box[:1], one
    )
    for baseline in BASELINES.values():
        assert np.isfinite(baseline(annotations, tmp_path).embeddings).all()


def test_missing_image_is_named(scenes) -> None:
    annotations, folder = scenes
    (folder / 'c3.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'c3\.png is missing'):
        pixel_baseline(annotations, folder)


def test_stripes_must_be_positive(scenes) -> None:
    annotations, folder = scenes
    with pytest.raises(ValueError, match='stripes is 0'):
        hsv_baseline(annotations, folder, stripes=0)
