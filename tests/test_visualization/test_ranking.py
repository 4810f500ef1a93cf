import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.visualization import draw_ranking_sheet, ranking, save_ranking_sheets, write_image
from mmps.visualization.cell import crop_in_context
from mmps.visualization.draw import ACCENT, PAPER, RIGHT, WRONG
from mmps.visualization.ranking import spread


@pytest.fixture
def search(tmp_path):
    """Four images with one person each: 1, 1, 2, 1. The query is in the first."""
    names = [f'c{i}s1_00000{i}.jpg' for i in range(1, 5)]
    paths = {}
    for index, name in enumerate(names):
        paths[name] = tmp_path / name
        write_image(paths[name], np.full((120, 160, 3), 50 * index, np.uint8))
    boxes = np.tile(np.array([[60, 20, 100, 110]], np.float32), (4, 1))
    annotations = SearchAnnotations(
        names, [1, 2, 3, -1], np.arange(5), boxes, [1, 1, 2, 1], [0], boxes[:1], [1]
    )
    angles = np.array([0.0, 0.3, 0.2, 0.4])  # the wrong person is the most similar
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1)
    predictions = SearchPredictions(
        names, np.arange(5), boxes, np.ones(4), embeddings, embeddings[:1]
    )
    return annotations, predictions, paths


def frame_colour(sheet, column):
    """Colour of the frame of a cell of the first row; the query is column 0."""
    left = ranking.MARGIN
    if column:
        left += ranking.CELL_WIDTH + ranking.QUERY_GAP
        left += (column - 1) * (ranking.CELL_WIDTH + ranking.GAP)
    return tuple(sheet[ranking.HEADER + ranking.CELL_HEIGHT - 1, left + 50].tolist())


def test_right_is_green_and_wrong_is_red(search, tmp_path):
    (file,) = save_ranking_sheets(*search, tmp_path / 'out', top_k=4)
    from mmps.visualization import read_image

    sheet = read_image(file)
    colours = [frame_colour(sheet, column) for column in range(5)]
    assert colours == [ACCENT, WRONG, RIGHT, RIGHT, PAPER]


def test_a_row_without_matches_says_so(search):
    annotations, _, paths = search
    sheet = ranking.draw_ranking_sheet(annotations, [0], [[]], paths, 8)
    right_of_query = sheet[ranking.HEADER :, ranking.MARGIN + ranking.CELL_WIDTH + 10 :]
    assert (right_of_query != PAPER).any()


def test_sheets_are_split_and_named_in_order(search, tmp_path):
    annotations, predictions, paths = search
    files = save_ranking_sheets(
        annotations, predictions, paths, tmp_path / 'out', queries=[0] * 5, rows_per_sheet=2
    )
    assert [file.name for file in files] == [f'rankings_0{i}.png' for i in range(3)]
    assert all(file.is_file() for file in files)


def test_sheet_shows_one_row_per_query(search):
    annotations, _, paths = search
    one = draw_ranking_sheet(annotations, [0], [[]], paths, 8)
    two = draw_ranking_sheet(annotations, [0, 0], [[], []], paths, 8)
    assert one.shape[1] == two.shape[1]
    assert 1150 <= one.shape[1] <= 1250
    assert two.shape[0] - one.shape[0] == ranking.ROW


def test_missing_image_is_named(search, tmp_path):
    annotations, predictions, paths = search
    del paths['c3s1_000003.jpg']
    with pytest.raises(ValueError, match="no file given for image 'c3s1_000003.jpg'"):
        save_ranking_sheets(annotations, predictions, paths, tmp_path)
    paths['c3s1_000003.jpg'] = tmp_path / 'gone.jpg'
    with pytest.raises(FileNotFoundError, match='gone.jpg'):
        save_ranking_sheets(annotations, predictions, paths, tmp_path)


def test_options_of_the_metric_reach_the_ranking(search, tmp_path):
    annotations, predictions, paths = search
    with pytest.raises(ValueError, match='cross_camera'):
        save_ranking_sheets(annotations, predictions, paths, tmp_path, cross_camera=True)


@given(total=st.integers(1, 500), wanted=st.integers(1, 50))
@settings(deadline=None, max_examples=50)
def test_spread(total, wanted):
    chosen = spread(total, wanted)
    assert len(chosen) == min(total, wanted)
    assert sorted(set(chosen)) == chosen
    assert chosen[0] == 0
    assert wanted == 1 or chosen[-1] == total - 1


@given(
    size=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    corners=st.tuples(*[st.floats(0, 0.9)] * 2, *[st.floats(0.05, 1)] * 2),
)
@settings(deadline=None, max_examples=60)
def test_crop_shows_the_whole_person_in_shape(size, corners):
    height, width = size
    x1, y1 = corners[0] * width, corners[1] * height
    x2, y2 = x1 + max(4, corners[2] * (width - x1)), y1 + max(4, corners[3] * (height - y1))
    crop, box = crop_in_context(np.zeros((height, width, 3), np.uint8), [x1, y1, x2, y2], 80, 100)
    assert crop.shape == (100, 80, 3)
    assert box[2] - box[0] == pytest.approx((x2 - x1) / (y2 - y1) * (box[3] - box[1]))
    if x2 <= width and y2 <= height:
        assert (box >= -1e-6).all() and (box <= [80, 100, 80, 100] + np.array(1e-6)).all()


@pytest.mark.parametrize('scale', [0.5, 1, 4])
def test_crop_finds_the_pixels_of_the_box(scale):
    """A white box on black must come back white exactly where the box is said to be."""
    height, width = 200, 300
    image = np.zeros((height, width, 3), np.uint8)
    image[60:120, 100:140] = 255
    shape = round(70 * scale), round(90 * scale)
    crop, box = crop_in_context(image, [100, 60, 140, 120], *shape)
    a, b, c, d = np.round(box).astype(int)
    blur = 2 * max(1, scale)  # what interpolation may spread an edge over
    assert crop[b + blur : d - blur, a + blur : c - blur].min() > 240
    pale = crop.copy()
    pale[b - blur : d + blur, a - blur : c + blur] = 97
    assert set(np.unique(pale)) <= {96, 97, 98}


def test_crop_of_a_person_at_the_edge_stays_inside_the_scene():
    image = np.full((200, 300, 3), 255, np.uint8)
    crop, box = crop_in_context(image, [0, 0, 40, 80], 100, 120)
    assert (crop == 255).all()
    np.testing.assert_allclose(box[:2], 0)


def test_crop_of_a_person_larger_than_the_scene_allows_is_padded():
    crop, box = crop_in_context(np.zeros((50, 20, 3), np.uint8), [0, 0, 20, 50], 100, 100)
    assert crop[50, 50].sum() == 0
    assert crop[50, 2].min() > 200
    assert box[0] > 10 and box[1] > 0
