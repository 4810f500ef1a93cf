import numpy as np
import pytest

from mmps.visualization import Cell, blur_others, draw_hits, draw_match
from mmps.visualization import hits as module
from mmps.visualization.cell import CELL_HEIGHT, CELL_WIDTH
from mmps.visualization.draw import ACCENT, MUTED, PAPER, RULE


def cell(colour=0, **options):
    scene = np.full((120, 160, 3), colour, np.uint8)
    return Cell(**{'scene': scene, 'bbox': np.array([60, 20, 100, 110]), 'title': '0.9', **options})


def corner(row, column):
    """Top left corner of a hit's cell."""
    first = module.MARGIN + CELL_WIDTH + module.QUERY_GAP
    return module.HEADER + row * module.ROW, first + column * (CELL_WIDTH + module.GAP)


def pixel(sheet, place, down, right):
    return tuple(sheet[place[0] + down, place[1] + right].tolist())


def test_hits_are_wrapped_into_rows():
    sheets = [draw_hits(cell(), [cell()] * count, columns=4) for count in (0, 1, 4, 5, 12)]
    heights = [(sheet.shape[0] - module.HEADER) // module.ROW for sheet in sheets]
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
