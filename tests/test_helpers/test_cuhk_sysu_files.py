import cv2
import numpy as np
import pytest
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from scipy.io import loadmat


def people_of(root):
    """Image name -> boxes as stored."""
    images = loadmat(root / 'annotation/Images.mat')['Img'].ravel()
    return {
        image['imname'].item(): [box.ravel() for box in image['box']['idlocate'].ravel()]
        for image in images
    }


def searches_of(root, size):
    """For each query its entry and those of its gallery, as (image, stored box)."""
    items = loadmat(root / f'annotation/test/train_test/TestG{size}.mat')[f'TestG{size}'].ravel()

    def entries(structs):
        return [(s['imname'].item(), s['idlocate']) for s in structs.ravel()]

    return [(entries(item['Query'])[0], entries(item['Gallery'])) for item in items]


def test_official_layout(tmp_path):
    root = write_tiny_cuhk_sysu(tmp_path, gallery_sizes=(2, 50))
    people = people_of(root)
    assert list(people) == [f's{k}.jpg' for k in range(1, 11)]
    assert sorted(people) == sorted(path.name for path in (root / 'Image/SSM').iterdir())
    for name, boxes in people.items():
        image = cv2.imread(str(root / 'Image/SSM' / name))
        assert image.shape == (64, 285, 3)
        corners = np.array(boxes, int)
        assert (corners[:, :2] + corners[:, 2:] <= (285, 64)).all()
    pool = [cell.item() for cell in loadmat(root / 'annotation/pool.mat')['pool'].ravel()]
    assert pool == [f's{k}.jpg' for k in range(5, 11)]
    train = loadmat(root / 'annotation/test/train_test/Train.mat')['Train']
    assert train.shape == (5, 1)
    scenes = train[0, 0][0, 0][2].squeeze()
    assert [name.item() for name, _, _ in scenes] == ['s1.jpg', 's2.jpg']
    small, large = searches_of(root, 2), searches_of(root, 50)
    assert [len(gallery) for _, gallery in small] == [2] * 5
    assert [len(gallery) for _, gallery in large] == [5] * 5
    for (image, box), gallery in small + large:
        assert box.tolist()[0] in [b.tolist() for b in people[image]]
        assert image not in [name for name, _ in gallery]
        assert [entry.size for _, entry in gallery] == [4] + [0] * (len(gallery) - 1)
        assert {name for name, _ in gallery} <= set(pool)


def test_stored_types_are_the_official_ones(tmp_path):
    root = write_tiny_cuhk_sysu(tmp_path)
    boxes = np.concatenate([np.empty((0, 4)), *people_of(root).values()])
    stored = {box.dtype.name for boxes in people_of(root).values() for box in boxes}
    assert stored == {'uint8', 'uint16'}
    assert ((boxes[:, 0] < 256) & (boxes[:, 0] + boxes[:, 2] > 255)).any()
    empty = searches_of(root, 50)[0][1][-1][1]
    assert (empty.shape, empty.dtype) == ((1, 0), np.float64)


def test_traps(tmp_path):
    root = write_tiny_cuhk_sysu(tmp_path, traps=True)
    searches = searches_of(root, 100)
    (own, _), gallery = searches[0]
    assert gallery[0][0] == own
    for number, same in ((1, True), (2, False)):
        (first, box), (last, again) = searches[number][1][0], searches[number][1][-1]
        assert first == last
        assert (box.tolist() == again.tolist()) is same
    assert searches[3][1] == []
    people = people_of(root)
    for name in ('s1.jpg', 's5.jpg'):
        *_, thin, flat, again = (box.tolist() for box in people[name])
        assert (thin[2], flat[3]) == (0, 0)
        assert again == people[name][1].tolist()


def test_same_bytes_for_the_same_seed(tmp_path):
    one, two = (write_tiny_cuhk_sysu(tmp_path / name) for name in 'ab')
    for path in sorted(path for path in one.rglob('*') if path.is_file()):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    other = write_tiny_cuhk_sysu(tmp_path / 'c', seed=1)
    assert (one / 'annotation/Images.mat').read_bytes() != (
        other / 'annotation/Images.mat'
    ).read_bytes()


def test_too_small(tmp_path):
    with pytest.raises(ValueError, match='4 test images'):
        write_tiny_cuhk_sysu(tmp_path, test_images=3)
