import dataclasses
import zipfile

import numpy as np
import pytest

from mmps.evaluation.functional import (
    SearchAnnotations,
    SearchPredictions,
    align_predictions,
    load_predictions,
    save_predictions,
    with_ground_truth_boxes,
)
from mmps.evaluation.functional.predictions import keep_confident

ANNOTATIONS = SearchAnnotations(
    image_names=('a.jpg', 'b.jpg', 'c.jpg'),
    cameras=[1, 2, 3],
    box_splits=[0, 1, 2, 2],
    bboxes=[[0, 0, 10, 20], [5, 5, 15, 25]],
    person_ids=[7, 7],
    query_images=[0],
    query_bboxes=[[0, 0, 10, 20]],
    query_person_ids=[7],
)


def arrays(**changes):
    """The arrays of a valid file: one detection in a.jpg, two in b.jpg, none in c.jpg."""
    values = dict(
        image_names=np.array(['a.jpg', 'b.jpg', 'c.jpg']),
        image_splits=np.array([0, 1, 3, 3]),
        bboxes=np.array([[0, 0, 10, 20], [5, 5, 15, 25], [1, 1, 2, 2]], np.float32),
        scores=np.array([0.9, 0.8, 0.1], np.float32),
        embeddings=np.eye(3, 4, dtype=np.float32),
        query_embeddings=np.eye(1, 4, dtype=np.float32),
    )
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


def written(tmp_path, **changes):
    path = tmp_path / 'p.npz'
    np.savez(path, **arrays(**changes))
    return path


def test_a_file_comes_back_as_it_was_written(tmp_path):
    context = dict(query_context_splits=[0, 2], query_context_embeddings=np.eye(2, 4))
    queries = dict(query_names=['a.jpg'], query_bboxes=[[0, 0, 10, 20]])
    given = SearchPredictions(**arrays(gt_embeddings=np.eye(2, 4), **context, **queries))
    path = tmp_path / 'new' / 'folder' / 'p.npz'
    save_predictions(path, given)
    back = load_predictions(path, ANNOTATIONS)
    for field in dataclasses.fields(SearchPredictions):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(given, field.name))
    assert [file.name for file in path.parent.iterdir()] == ['p.npz']


def test_optional_arrays_may_be_absent(tmp_path):
    back = load_predictions(written(tmp_path))
    assert back.gt_embeddings is None
    assert back.query_context_splits is None


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'p.npz'
    save_predictions(path, SearchPredictions(**arrays()))
    before = path.read_bytes()

    def half(file, **_):
        file.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(np, 'savez', half)
    with pytest.raises(OSError, match='disk full'):
        save_predictions(path, SearchPredictions(**arrays()))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('name', ['image_names', 'image_splits', 'bboxes', 'query_embeddings'])
def test_a_missing_array_is_named(tmp_path, name):
    path = written(tmp_path, **{name: None})
    with pytest.raises(ValueError, match=f"p.npz: array '{name}' is missing"):
        load_predictions(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_names=np.array([1, 2, 3])), 'image_names: int64 array .* file names expected'),
        (dict(image_names=np.array([['a.jpg']])), 'image_names: .*shape'),
        (dict(image_splits=np.array([0, 1, 3])), 'image_splits: 3 rows given, 4 expected'),
        (dict(image_splits=np.array([0, 1, 2, 2])), r'image_splits: must .*end at .*\(3\)'),
        (dict(image_splits=np.array([0.0, 1, 3, 3])), 'image_splits: cannot be read as int64'),
        (dict(bboxes=np.zeros((3, 5))), r'bboxes: shape \(3, 5\) given, \(n, 4\) expected'),
        (dict(bboxes=np.full((3, 4), np.nan)), 'bboxes: row 0 holds NaN'),
        (
            dict(bboxes=np.array([[0, 0, 9, 9], [50, 20, 20, 60], [0, 0, 9, 9]])),
            r"bboxes: row 1, in '.*', is \[50.0, 20.0, 20.0, 60.0\] \(1 such rows\); .*x2 > x1 and "
            'y2 > y1, not x, y, width, height',
        ),
        (dict(bboxes=np.array([[9, 50, 20, 30]] * 3)), r'bboxes: row 0, .* \(3 such rows\)'),
        (dict(bboxes=np.array([[0, 0, 9, 9]] * 2 + [[5, 5, 5, 9]])), 'bboxes: row 2, .*y2 > y1'),
        (dict(bboxes=np.array([[0, 0, 9, 9]] * 2 + [[5, 5, 9, 5]])), 'bboxes: row 2, .*y2 > y1'),
        (dict(scores=np.zeros(2)), 'scores: 2 rows given, 3 expected'),
        (dict(scores=np.zeros((3, 1))), r'scores: shape \(3, 1\) given, \(n\) expected'),
        (dict(scores=np.array([0, np.inf, 0])), 'scores: row 1 holds NaN or infinity'),
        (dict(embeddings=np.eye(2, 4)), 'embeddings: 2 rows given, 3 expected'),
        (dict(embeddings=np.eye(3, 5)), 'embeddings: 5 values per row, but query_embeddings has 4'),
        (
            dict(embeddings=2 * np.eye(3, 4)),
            r'embeddings: row 0 has norm 2 \(3 such rows\); divide',
        ),
        (dict(embeddings=np.full((3, 4), np.nan)), 'embeddings: row 0 holds NaN'),
        (dict(query_embeddings=np.zeros((1, 4))), 'query_embeddings: row 0 has norm 0'),
        (dict(query_context_splits=np.array([0, 1])), 'belong together'),
        (
            dict(
                query_context_splits=np.array([0, 0]),
                query_context_embeddings=np.zeros((0, 4), np.float32),
            ),
            'query_context_splits: query 0 has no row',
        ),
        (
            dict(
                query_context_splits=np.array([0, 1, 1]),
                query_context_embeddings=np.eye(1, 4),
            ),
            'query_context_splits: 3 rows given, 2 expected',
        ),
    ],
)
def test_wrong_arrays_are_refused_with_file_array_and_row(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f'p.npz: .*{message}'):
        load_predictions(written(tmp_path, **changes))


def test_pickled_objects_are_refused(tmp_path):
    path = written(tmp_path, bboxes=np.array([{'a': 1}, None, []], dtype=object))
    with pytest.raises(ValueError, match='p.npz: bboxes: cannot be read .*never pickled'):
        load_predictions(path)


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.npz: no such predictions file'):
        load_predictions(tmp_path / 'nothing.npz')
    path = tmp_path / 'text.npz'
    path.write_text('hello')
    with pytest.raises(ValueError, match='text.npz: not an .npz file'):
        load_predictions(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(ValueError, match="text.npz: array 'image_names' is missing"):
        load_predictions(path)


@pytest.mark.parametrize('share', [0.3, 0.95])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match='p.npz: not an .npz file, or cut off'):
        load_predictions(path)


def test_a_damaged_array_is_refused(tmp_path):
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    start = content.index(np.eye(3, 4, dtype=np.float32).tobytes())
    content[start : start + 4] = b'\xff\xff\xff\xff'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='p.npz: embeddings: cannot be read'):
        load_predictions(path)


def test_images_are_put_into_the_order_of_the_test_set(tmp_path):
    path = written(
        tmp_path,
        image_names=np.array(['c.jpg', 'b.jpg', 'a.jpg']),
        image_splits=np.array([0, 0, 2, 3]),
    )
    back = load_predictions(path, ANNOTATIONS)
    assert back.image_names == ANNOTATIONS.image_names
    assert back.image_splits.tolist() == [0, 1, 3, 3]
    np.testing.assert_array_equal(back.scores, np.float32([0.1, 0.9, 0.8]))
    np.testing.assert_array_equal(back.embeddings, np.eye(3, 4)[[2, 0, 1]])
    np.testing.assert_array_equal(back.bboxes[0], [1, 1, 2, 2])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(image_names=np.array(['a.jpg', 'b.jpg', 'a'])),
            "'a' is not an image of this test set",
        ),
        (
            dict(image_names=np.array(['a.jpg', 'b.jpg', './C.jpg'])),
            "lists './C.jpg' as 'c.jpg', with other separators; give names as it lists them",
        ),
        (
            dict(image_names=np.array(['a.jpg', 'b.jpg', 'C.jpg'])),
            "lists 'C.jpg' as 'c.jpg', in other capitals than 'C.jpg'; give names as it lists them",
        ),
        (
            dict(image_names=np.array(['a.jpg', 'b.jpg']), image_splits=np.array([0, 1, 3])),
            "'c.jpg' of the test set is missing",
        ),
        (
            dict(
                image_names=np.array(['a.jpg', 'b.jpg', 'c.jpg', 'b.jpg']),
                image_splits=np.array([0, 1, 3, 3, 3]),
            ),
            "'b.jpg' occurs more than once",
        ),
        (dict(query_embeddings=np.eye(2, 4)), 'query_embeddings: 2 rows given, 1 expected'),
        (dict(gt_embeddings=np.eye(3, 4)), 'gt_embeddings: 3 rows given, 2 expected'),
    ],
)
def test_predictions_of_another_test_set_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f'p.npz: .*{message}'):
        load_predictions(written(tmp_path, **changes), ANNOTATIONS)


TWO_QUERIES = dataclasses.replace(
    ANNOTATIONS,
    query_images=[0, 1],
    query_bboxes=[[0, 0, 10, 20], [5, 5, 15, 25]],
    query_person_ids=[7, 7],
)
NAMES, BOXES = (
    np.array(['a.jpg', 'b.jpg']),
    np.array([[0.4, 0, 10, 21], [5, 5, 15, 25]], np.float32),
)


def test_queries_in_another_order_are_refused(tmp_path):
    def load(**queries):
        path = written(tmp_path, query_embeddings=np.eye(2, 4, dtype=np.float32), **queries)
        return load_predictions(path, TWO_QUERIES)

    given = load(query_names=NAMES, query_bboxes=BOXES)
    assert given.query_names == ('a.jpg', 'b.jpg')
    load()
    load(query_names=NAMES)
    message = r'p.npz: query_names, query_bboxes: query 0 is .*but a.jpg \[ 0. .* \(2 of 2 differ'
    for wrong in (
        dict(query_names=NAMES[::-1]),
        dict(query_bboxes=BOXES[::-1]),
        dict(query_names=NAMES[::-1], query_bboxes=BOXES[::-1]),
    ):
        with pytest.raises(ValueError, match=message):
            load(**wrong)
    with pytest.raises(ValueError, match='query_names: .*3.*2'):
        load(query_names=np.array(['a.jpg'] * 3))
    with pytest.raises(ValueError, match='1 of 2 differ'):
        load(query_bboxes=BOXES + np.float32([[0, 0, 0, 0], [0, 1.5, 0, 0]]))


def test_half_precision_embeddings_are_accepted():
    rows = np.random.default_rng(0).standard_normal((3, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    assert SearchPredictions(**arrays(embeddings=rows)).embeddings.dtype == np.float32


def test_low_scores_are_dropped_and_the_threshold_itself_is_kept():
    kept = keep_confident(SearchPredictions(**arrays()), float(np.float32(0.8)))
    assert kept.image_splits.tolist() == [0, 1, 2, 2]
    np.testing.assert_array_equal(kept.embeddings, np.eye(2, 4))


def test_ground_truth_boxes_replace_detections():
    given = SearchPredictions(**arrays(gt_embeddings=np.eye(2, 4)))
    exact = with_ground_truth_boxes(ANNOTATIONS, given)
    np.testing.assert_array_equal(exact.bboxes, ANNOTATIONS.bboxes)
    np.testing.assert_array_equal(exact.scores, [1, 1])
    np.testing.assert_array_equal(exact.embeddings, np.eye(2, 4))
    assert align_predictions(exact, ANNOTATIONS) is exact
    with pytest.raises(ValueError, match='gt_embeddings: missing'):
        with_ground_truth_boxes(ANNOTATIONS, SearchPredictions(**arrays()))
