import pytest
from helpers.prw_files import write_tiny_prw

from mmps.datasets import PRWDataset


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW')


def test_training_split(root):
    dataset = PRWDataset(data_root=str(root))
    assert len(dataset) == 4
    assert dataset.num_ids == 5
    entry = dataset.get_data_info(0)
    assert entry['img_name'] == 'c1s1_000000.jpg'
    assert entry['img_path'] == str(root / 'frames/c1s1_000000.jpg')
    # Frame 0 shows the unlabelled person and the raw ids 1, 4 and 932.
    assert [instance['bbox_label'] for instance in entry['instances']] == [-1, 0, 3, 4]


def test_test_split(root):
    dataset = PRWDataset(data_root=str(root), test_mode=True)
    annotations = dataset.search_annotations
    assert annotations.image_names[0] == 'c5s1_000004.jpg'
    assert annotations.cameras.tolist() == [5, 6, 1, 2]
    assert annotations.person_ids[:4].tolist() == [-1, 484, 487, 488]
    assert annotations.query_person_ids.tolist() == [484, 487, 488, 485, 486]
    assert annotations.query_images.tolist() == [0, 0, 0, 1, 2]
    # Without negative coordinates both orders of rounding give the annotated box.
    for image, box in zip(annotations.query_images, annotations.query_bboxes, strict=True):
        start, stop = annotations.box_splits[image : image + 2]
        assert (annotations.bboxes[start:stop] == box).all(1).any()


def test_training_does_not_need_the_test_files(root):
    for name in ('frame_test.mat', 'ID_test.mat', 'query_info.txt'):
        (root / name).unlink()
    assert len(PRWDataset(data_root=str(root))) == 4
