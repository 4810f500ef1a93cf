import json

import pytest

from mmps.datasets import CocoPersonSearchDataset
from mmps.formats import FORMATS, scene_files
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.converters.official import convert_split
from mmps.formats.converters.tally import Tally
from mmps.formats.prw import PRWFiles
from mmps.registry import DATASETS
from mmps.testing.prw_files import write_tiny_prw


@pytest.fixture
def root(tmp_path):
    """A tiny PRW with COCO-style files beside its own."""
    root = write_tiny_prw(tmp_path / 'PRW')
    for test_mode in (False, True):
        files = PRWFiles(root, test_mode)
        convert_split(files, root / f'{files.split}.json', Tally())
    return root


def test_training_split(root):
    dataset = CocoPersonSearchDataset(data_root=str(root), image_folder='frames')
    assert (len(dataset), dataset.num_ids) == (4, 5)
    entry = dataset.get_data_info(0)
    assert entry['img_name'] == 'c1s1_000000.jpg'
    assert entry['img_path'] == str(root / 'frames/c1s1_000000.jpg')
    assert entry['cam_id'] == 1
    assert [instance['bbox_label'] for instance in entry['instances']] == [-1, 0, 3, 4]


def test_test_split_with_options_by_name(root):
    content = json.loads((root / 'test.json').read_text())
    content.pop('queries', None)
    for entry in content['annotations']:
        entry.pop('is_query', None)
        entry['instance_id'] = entry.pop('person_id')
    (root / 'other.json').write_text(json.dumps(content))
    config = dict(
        type='CocoPersonSearchDataset',
        data_root=str(root),
        test_mode=True,
        ann_file='other.json',
        image_folder='frames',
        id_key='instance_id',
        unlabelled_ids=[-1, 488],
        default_queries='first_per_camera',
    )
    files = scene_files(config)
    assert files == CocoPersonSearchFiles(
        root, True, 'other.json', 'frames', 'first_per_camera', 'instance_id', (-1, 488)
    )
    annotations = DATASETS.build(config).search_annotations
    assert 488 not in annotations.person_ids
    # each of the four other people in both of their cameras
    assert len(annotations.query_person_ids) == 8


def test_it_is_registered_and_a_format():
    assert DATASETS.get('CocoPersonSearchDataset') is CocoPersonSearchDataset
    assert FORMATS['CocoPersonSearchDataset'] is CocoPersonSearchFiles


def test_errors_come_from_the_files(root):
    (root / 'train.json').write_text('{"images": 3}')
    with pytest.raises(ValueError, match=r'train\.json: images: 3 is not a list'):
        CocoPersonSearchDataset(data_root=str(root))
    with pytest.raises(FileNotFoundError, match=r'c5s1_000004\.jpg: this image is listed but'):
        CocoPersonSearchDataset(data_root=str(root), test_mode=True)
