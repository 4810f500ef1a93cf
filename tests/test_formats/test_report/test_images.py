import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmps.formats.report.images import check_images, find_missing_files
from mmps.formats.report.split import Split
from mmps.formats.scene_index import Frame, SceneIndex

WIDTH, HEIGHT = 64, 48


def split_of(names, boxes=(), camera=1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.full(len(bboxes), -1)
    frames = [Frame(name, bboxes, ids, f'{name}.mat', camera) for name in names]
    return Split.of('train', SceneIndex(frames, 0), [])


def write(path, width=WIDTH, height=HEIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def problems_of(split, folder, decode=False):
    checked = check_images(split, folder, decode=decode)
    return {p.kind: (p.count, p.examples) for p in checked.problems if p.count}


def test_missing_files_in_several_folders(tmp_path):
    write(tmp_path / 'camera 1' / 'a.jpg')
    split = split_of(['camera 1/a.jpg', 'camera 1/b.jpg', 'camera 2/a.jpg'])
    problem = find_missing_files(split, tmp_path)
    assert problem.count == 2
    assert problem.examples == (f'{tmp_path}/camera 1/b.jpg', f'{tmp_path}/camera 2/a.jpg')
    # They are told once: opening does not tell them again.
    assert problems_of(split, tmp_path) == {}


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_truncated_images(tmp_path, suffix):
    path = write(tmp_path / f'a.{suffix}')
    assert problems_of(split_of([path.name]), tmp_path) == {}
    content = path.read_bytes()
    path.write_bytes(content + bytes(40))  # what follows the end does no harm
    assert problems_of(split_of([path.name]), tmp_path, decode=True) == {}
    path.write_bytes(content[: len(content) // 2])
    assert problems_of(split_of([path.name]), tmp_path) == {
        'image damaged': (1, (f'{path}: truncated after {len(content) // 2} bytes',))
    }
    path.write_bytes(b'')
    count, examples = problems_of(split_of([path.name]), tmp_path)['image damaged']
    assert count == 1
    assert f'{path}: not an image' in examples[0]


def test_damaged_pixels_show_when_they_are_decoded(tmp_path):
    path = write(tmp_path / 'a.png')
    content = bytearray(path.read_bytes())
    data = content.index(b'IDAT') + 4
    content[data : data + 2] = b'\0\0'  # no zlib stream begins so
    path.write_bytes(content)
    assert problems_of(split_of(['a.png']), tmp_path) == {}
    assert problems_of(split_of(['a.png']), tmp_path, decode=True) == {
        'image damaged': (1, (f'{path}: cannot be decoded',))
    }


def test_boxes_outside_and_reaching_out(tmp_path):
    write(tmp_path / 'a.jpg')
    boxes = [
        [0, 0, WIDTH, HEIGHT],
        [0, 0, WIDTH + 1, HEIGHT + 1],  # rounded
        [60, 0, 70, 10],
        [WIDTH, 0, 80, 10],
        [-20, 5, 0, 10],
        [-3, 5, 9, 10],
    ]
    problems = problems_of(split_of(['a.jpg'], boxes), tmp_path)
    assert problems == {
        'box outside the image': (
            2,
            (
                'a.jpg.mat (box 3): [64, 0, 80, 10] in 64 x 48 pixels',
                'a.jpg.mat (box 4): [-20, 5, 0, 10] in 64 x 48 pixels',
            ),
        ),
        'box reaching out of the image': (
            2,
            (
                'a.jpg.mat (box 2): [60, 0, 70, 10] in 64 x 48 pixels',
                'a.jpg.mat (box 5): [-3, 5, 9, 10] in 64 x 48 pixels',
            ),
        ),
    }


def test_an_image_unlike_the_others_of_its_camera(tmp_path):
    names = [f'{n}.jpg' for n in range(10)]
    for name in names:
        write(tmp_path / name, width=WIDTH if name != '4.jpg' else 32)
    assert problems_of(split_of(names), tmp_path) == {
        'image of another size': (1, ('4.jpg: 32 x 48, camera 1 has 64 x 48',))
    }
    # Unknown cameras and cameras whose images differ anyway say nothing.
    assert problems_of(split_of(names, camera=-1), tmp_path) == {}
    assert problems_of(split_of(names[:5]), tmp_path) == {}


def test_images_turned_by_exif_have_the_size_that_opencv_gives(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new('RGB', (WIDTH, HEIGHT)).save(content, 'jpeg', exif=exif)
    path = tmp_path / 'a.jpg'
    path.write_bytes(content.getvalue())
    checked = check_images(split_of(['a.jpg']), tmp_path, decode=False)
    assert checked.sizes.tolist() == [list(cv2.imread(str(path)).shape[1::-1])] == [[HEIGHT, WIDTH]]
    assert problems_of(split_of(['a.jpg']), tmp_path) == {'image turned by EXIF': (1, (str(path),))}
