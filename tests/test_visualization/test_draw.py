import numpy as np
import pytest

from mmps.visualization import draw


def blank(height=60, width=200):
    return np.full((height, width, 3), draw.PAPER, np.uint8)


def inked(image):
    """Bounding rows and columns of what is not paper."""
    rows, columns = np.nonzero((image != draw.PAPER).any(2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_a_format_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'found\.xyz: no image can be written in this format'):
        draw.write_image(tmp_path / 'found.xyz', np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_text_stands_on_its_baseline_and_has_its_width():
    image = blank()
    draw.draw_text(image, 'HEH', 20, 40, size=20)
    top, bottom, left, right = inked(image)
    assert bottom in (39, 40)
    assert 12 <= bottom - top <= 16
    assert 20 <= left <= 23
    assert right <= 20 + draw.text_width('HEH', 20)
    assert right >= 20 + draw.text_width('HEH', 20) - 4


def test_text_has_the_colour_and_bold_has_more_ink():
    plain, bold = blank(), blank()
    draw.draw_text(plain, 'HHH', 5, 40, size=30, colour=(255, 0, 0))
    draw.draw_text(bold, 'HHH', 5, 40, size=30, colour=(255, 0, 0), bold=True)
    assert (plain[..., 0] == 255).all()  # blue on white: blue stays, the others go
    assert plain[..., 1].min() == 0
    assert bold[..., 1].sum() < plain[..., 1].sum()


@pytest.mark.parametrize(('left', 'baseline'), [(-10, 40), (190, 40), (20, 3), (20, 70), (500, 9)])
def test_text_is_cut_off_at_the_edges(left, baseline):
    whole, part = np.full((400, 900, 3), 255, np.uint8), blank()
    draw.draw_text(whole, 'Hagel', 300 + left, 100 + baseline, size=22)
    draw.draw_text(part, 'Hagel', left, baseline, size=22)
    np.testing.assert_array_equal(part, whole[100:160, 300:500])


def test_shorten_keeps_both_ends():
    text = 'c1s1_000151_and_much_more_that_does_not_fit'
    short = draw.shorten(text, 80, 11)
    assert draw.text_width(short, 11) <= 80
    assert short.startswith('c1s') and short.endswith('fit') and '..' in short
    assert draw.shorten('short', 80, 11) == 'short'


@pytest.mark.parametrize('thickness', [1, 2, 3])
def test_outline_lies_on_the_box(thickness):
    image = blank()
    draw.outline(image, np.array([20.2, 10.4, 60.1, 49.8]), draw.RIGHT, thickness)
    assert inked(image) == (10, 49, 20, 59)
    assert (image[10, 20:60] == draw.RIGHT).all()
    assert (image[10 + thickness : 50 - thickness, 20 + thickness : 60 - thickness] == 255).all()


def test_tag_is_moved_into_the_image():
    image = blank()
    draw.draw_tag(image, '1234', 190, 20, draw.WRONG)
    top, bottom, left, right = inked(image)
    assert (top, right) == (20, 199)
    assert right - left + 1 == draw.text_width('1234', 12) + 9
    assert bottom == 38


def test_image_survives_writing(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (7, 5, 3), np.uint8)
    path = tmp_path / 'new_folder' / 'a.png'
    draw.write_image(path, image)
    np.testing.assert_array_equal(draw.read_image(path), image)
    assert [file.name for file in path.parent.iterdir()] == ['a.png']


def test_unreadable_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.jpg does not exist'):
        draw.read_image(tmp_path / 'none.jpg')
    (tmp_path / 'bad.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='bad.jpg cannot be read as an image'):
        draw.read_image(tmp_path / 'bad.jpg')


def test_identity_colours_are_stable_and_carry_white_text():
    assert draw.identity_colour(3) == draw.identity_colour(3)
    assert draw.identity_colour(-1) == draw.MUTED
    assert len({draw.identity_colour(i) for i in range(8)}) == 8
    for person in range(-1, 20):
        blue, green, red = (c / 255 for c in draw.identity_colour(person))
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
        ]
        luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
        assert 1.05 / (luminance + 0.05) >= 4.5, person  # WCAG AA
