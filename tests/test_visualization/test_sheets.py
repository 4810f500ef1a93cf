"""Sheets: each picture, outline and colour stands where the numbers say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.visualization import (
    Cell,
    blur_others,
    draw_attention,
    draw_hits,
    draw_match,
    draw_ranking_sheet,
    draw_similarity_matrix,
    save_ranking_sheets,
    write_image,
)
from mmps.visualization import sheets as module
from mmps.visualization.draw import (
    ACCENT,
    CELL_HEIGHT,
    CELL_WIDTH,
    MUTED,
    PAPER,
    RIGHT,
    RULE,
    WRONG,
    crop_in_context,
)
from mmps.visualization.sheets import (
    ATTENTION_HEADER,
    DISSIMILAR,
    LARGE_HEIGHT,
    LARGE_WIDTH,
    MARGIN,
    SIMILAR,
    spread,
)


def cell(colour=0, **options):
    scene = np.full((120, 160, 3), colour, np.uint8)
    return Cell(**{'scene': scene, 'bbox': np.array([60, 20, 100, 110]), 'title': '0.9', **options})


def corner(row, column):
    """Top left corner of a hit's cell."""
    first = module.MARGIN + CELL_WIDTH + module.QUERY_GAP
    return module.HEADER + row * module.HITS_ROW, first + column * (CELL_WIDTH + module.GAP)


def pixel(sheet, place, down, right):
    return tuple(sheet[place[0] + down, place[1] + right].tolist())


def test_hits_are_wrapped_into_rows():
    sheets = [draw_hits(cell(), [cell()] * count, columns=4) for count in (0, 1, 4, 5, 12)]
    heights = [(sheet.shape[0] - module.HEADER) // module.HITS_ROW for sheet in sheets]
    assert heights == [1, 1, 1, 2, 3]
    assert len({sheet.shape[1] for sheet in sheets}) == 1


def test_each_hit_is_where_its_rank_says():
    sheet = draw_hits(cell(9), [cell(20 * rank) for rank in range(6)], columns=4)
    for rank in range(6):
        place = corner(*divmod(rank, 4))
        assert pixel(sheet, place, CELL_HEIGHT - 1, 50) == MUTED
        assert pixel(sheet, place, CELL_HEIGHT // 2, CELL_WIDTH // 2) == (20 * rank,) * 3
    assert pixel(sheet, corner(1, 2), CELL_HEIGHT // 2, CELL_WIDTH // 2) == PAPER
    query = (module.HEADER, module.MARGIN)
    assert pixel(sheet, query, CELL_HEIGHT - 1, 50) == ACCENT
    assert pixel(sheet, query, CELL_HEIGHT // 2, CELL_WIDTH // 2) == (9, 9, 9)


def test_a_scene_that_is_gone_leaves_an_empty_cell():
    sheet = draw_hits(cell(), [cell(scene=None)])
    assert pixel(sheet, corner(0, 0), 40, 60) == RULE


def test_the_match_is_outlined_and_the_scene_left_alone():
    scene = np.full((100, 100, 3), 50, np.uint8)
    drawn = draw_match(scene, np.array([20, 30, 60, 90]), '1: 0.9')
    assert tuple(drawn[60, 20].tolist()) == ACCENT
    assert (drawn[40:85, 25:55] == 50).all()
    assert (scene == 50).all()


def test_nothing_but_the_match_can_be_recognised():
    scene = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    keep, other = np.array([40, 40, 80, 140]), np.array([200, 20, 300, 230])
    before = scene.copy()
    blurred = blur_others(scene, keep, [other])
    np.testing.assert_array_equal(scene, before)
    np.testing.assert_array_equal(blurred[40:140, 40:80], scene[40:140, 40:80])
    outside = np.ones(scene.shape[:2], bool)
    outside[40:140, 40:80] = False
    assert blurred[outside].std() < 0.15 * scene[outside].std()
    # a person nearer than the match has no more detail than one of its own size
    inside = blurred[40:210, 210:290].astype(float)
    assert np.abs(np.diff(inside, axis=1)).mean() < 1


def test_a_match_hides_behind_nobody():
    """Somebody who overlaps the match is blurred outside of the match's box only."""
    scene = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    keep = np.array([30, 10, 60, 90])
    blurred = blur_others(scene, keep, [np.array([40, 0, 90, 100])])
    np.testing.assert_array_equal(blurred[10:90, 30:60], scene[10:90, 30:60])


@pytest.mark.parametrize('box', [[-50, -50, 5, 5], [95, 95, 200, 200], [10, 10, 10, 10]])
def test_boxes_at_and_beyond_the_edge(box):
    scene = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    for keep, people in ((box, ()), ([10, 10, 50, 90], [box])):
        assert blur_others(scene, np.array(keep), people).shape == scene.shape


def test_the_line_stands_before_the_first_hit_below_it():
    hits = [cell(100)] * 6
    plain = draw_hits(cell(), hits, columns=4)
    for above in range(7):
        sheet = draw_hits(cell(), hits, columns=4, above=above, note='a note')
        assert sheet.shape == plain.shape
        for rank in range(6):
            place = corner(*divmod(rank, 4))
            person = pixel(sheet, place, CELL_HEIGHT // 2, CELL_WIDTH // 2)
            assert (person == (100,) * 3) == (rank < above)
            assert (pixel(sheet, place, 50, -module.GAP // 2) == ACCENT) == (rank == above)
    unchanged = draw_hits(cell(), hits, columns=4, above=6)
    np.testing.assert_array_equal(unchanged, plain)


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
    left = module.MARGIN
    if column:
        left += CELL_WIDTH + module.QUERY_GAP
        left += (column - 1) * (CELL_WIDTH + module.GAP)
    return tuple(sheet[module.HEADER + CELL_HEIGHT - 1, left + 50].tolist())


def test_right_is_green_and_wrong_is_red(search, tmp_path):
    (file,) = save_ranking_sheets(*search, tmp_path / 'out', top_k=4)
    from mmps.visualization import read_image

    sheet = read_image(file)
    colours = [frame_colour(sheet, column) for column in range(5)]
    assert colours == [ACCENT, WRONG, RIGHT, RIGHT, PAPER]


def test_a_row_without_matches_says_so(search):
    annotations, _, paths = search
    sheet = draw_ranking_sheet(annotations, [0], [[]], paths, 8)
    right_of_query = sheet[module.HEADER :, module.MARGIN + CELL_WIDTH + 10 :]
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
    assert two.shape[0] - one.shape[0] == module.RANKING_ROW


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


BOX = np.array([20, 20, 60, 90], np.float32)


def scene():
    return np.full((120, 100, 3), 128, np.uint8)


def test_attention_is_bright_where_the_mask_is_large():
    mask = np.zeros((4, 2), np.float32)
    mask[:2] = 0.8
    sheet = draw_attention([(scene(), BOX)], mask[None], 'Attention')
    below = sheet[ATTENTION_HEADER : ATTENTION_HEADER + LARGE_HEIGHT]
    covered = below[:, MARGIN + LARGE_WIDTH + 4 :][:, :LARGE_WIDTH].astype(int)
    middle = covered[:, LARGE_WIDTH // 2].sum(1)
    assert middle[LARGE_HEIGHT // 4] > middle[3 * LARGE_HEIGHT // 4] + 100
    plain = sheet[ATTENTION_HEADER : ATTENTION_HEADER + LARGE_HEIGHT, MARGIN : MARGIN + LARGE_WIDTH]
    assert (plain[LARGE_HEIGHT // 4, LARGE_WIDTH // 2] == 128).all()


def test_attention_that_is_the_same_everywhere():
    sheet = draw_attention([(scene(), BOX)] * 5, np.full((5, 3, 2), 0.5), 'Attention')
    assert sheet.shape[0] > ATTENTION_HEADER + 2 * LARGE_HEIGHT  # two rows


def test_similar_people_have_dark_squares():
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    sheet = draw_similarity_matrix([(scene(), BOX)] * 4, embeddings)

    def pixels(colour):
        return (sheet == colour).all(2).sum()

    square = 79 * 79
    # six pairs are the same or each their own, of which the numbers take a part
    assert 5 * square < pixels(SIMILAR) <= 6 * 82 * 82
    assert 9 * square < pixels(DISSIMILAR) <= 10 * 82 * 82
