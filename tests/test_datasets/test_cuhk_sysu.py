import pytest
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu

from mmps.datasets import CUHKSYSUDataset

PIPELINE = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackPersonSearchInputs'),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return str(write_tiny_cuhk_sysu(tmp_path_factory.mktemp('data') / 'CUHK-SYSU', traps=True))


def test_training_samples(root):
    dataset = CUHKSYSUDataset(data_root=root, pipeline=PIPELINE)
    assert (len(dataset), dataset.num_ids) == (4, 5)
    sample = dataset[0]['data_samples']
    assert sample.img_name == 's1.jpg'
    assert sample.gt_instances.person_ids.tolist() == [-1, 0, 3, 4, -1]
    assert dataset[0]['inputs'].shape == (3, 64, 285)


def test_test_samples(root):
    dataset = CUHKSYSUDataset(data_root=root, pipeline=PIPELINE, test_mode=True)
    annotations = dataset.search_annotations
    assert (annotations.num_images, annotations.num_queries) == (6, 5)
    assert list(annotations.galleries) == [100]
    asked = {}
    for position in range(len(dataset)):
        queries = dataset[position]['data_samples'].query_instances
        asked.update(zip(queries.query_ids.tolist(), queries.bboxes.tolist(), strict=True))
    assert [asked[query] for query in range(5)] == annotations.query_bboxes.tolist()


def test_options_reach_the_files(root):
    dataset = CUHKSYSUDataset(
        data_root=root, test_mode=True, gallery_sizes=[50, 4000], subsets=['resolution']
    )
    assert list(dataset.search_annotations.galleries) == [50, 4000, 'resolution']
    with pytest.raises(ValueError, match='subsets'):
        CUHKSYSUDataset(data_root=root, subsets=['night'])
