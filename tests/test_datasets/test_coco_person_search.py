import json

import pytest
from helpers.prw_files import write_tiny_prw

from mmps.datasets import CocoPersonSearchDataset
from mmps.formats import FORMATS, scene_files
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.converters.annotated_images import Tally
from mmps.formats.converters.official import convert_split
from mmps.formats.prw import PRWFiles
from mmps.registry import DATASETS


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
    with pytest.raises(ValueError, match=r'train\.json: images: Expected `array`, got `int`'):
        CocoPersonSearchDataset(data_root=str(root))
    with pytest.raises(FileNotFoundError, match=r'c5s1_000004\.jpg: this image is listed but'):
        CocoPersonSearchDataset(data_root=str(root), test_mode=True)


@pytest.fixture
def renamed(root):
    """Renames an image, on the disk or in a file, and gives the data set."""

    def rename(there, listed):
        (root / 'frames' / there).parent.mkdir(exist_ok=True)
        (root / 'frames/c1s1_000000.jpg').rename(root / 'frames' / there)
        content = json.loads((root / 'train.json').read_text())
        content['images'][0]['file_name'] = listed
        (root / 'train.json').write_text(json.dumps(content))
        return CocoPersonSearchDataset(data_root=str(root), image_folder='frames')

    return rename


@pytest.mark.parametrize(
    ('there', 'listed'),
    [
        ('cafe\u0301.jpg', 'caf\u00e9.jpg'),
        ('caf\u00e9.jpg', 'cafe\u0301.jpg'),
        ('hall/a.jpg', 'hall\\a.jpg'),
        ('hall/a.jpg', 'Hall/A.JPG'),
    ],
)
def test_an_image_listed_in_another_spelling(root, renamed, there, listed):
    entry = renamed(there, listed).get_data_info(0)
    assert entry['img_name'] == listed
    assert entry['img_path'] == str(root / 'frames' / there)


def test_an_image_whose_name_is_only_like_one_that_is_there(root, renamed):
    (root / 'frames/Cd.jpg').touch()
    message = (
        r"CD\.jpg: .*missing \(1 of 4 are\); .*'Cd.jpg' and 1 more, in other capitals than 'CD"
    )
    with pytest.raises(FileNotFoundError, match=message):
        renamed('cd.jpg', 'CD.jpg')


def test_one_file_in_two_spellings_is_refused(root, renamed):
    content = json.loads((root / 'train.json').read_text())
    content['images'][1]['file_name'] = 'X.jpg'
    (root / 'train.json').write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"'X.jpg' and 'x.jpg' are one file, 'x.jpg'; list it once"
    ):
        renamed('x.jpg', 'x.jpg')
