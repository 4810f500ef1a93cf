import json

import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import random_index
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.prw import PRWFiles
from mmps.formats.report import KINDS, Severity, report_dataset, report_table
from mmps.formats.report.searches import find_search_problems
from mmps.formats.report.split import Split
from mmps.formats.report.statistics import split_statistics


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW', empty_frame=True)


def report_of(root, **options):
    files = dict(train=PRWFiles(root), test=PRWFiles(root, test_mode=True))
    folders = dict.fromkeys(files, root / 'frames')
    return report_dataset(files, folders, title='tiny PRW', **options)


def test_a_sound_set(root):
    report = report_of(root, open_images=True, decode_images=True)
    assert [(p.kind, p.split, p.count) for p in report.problems] == [
        ('image without people', 'train', 1),
        ('image without people', 'test', 1),
    ]
    assert not report.has_errors
    train, test = report.statistics['train'], report.statistics['test']
    # Five identities in two frames each and somebody unlabelled in each of four frames.
    assert train.counts == dict(
        images=5,
        boxes=14,
        labelled_boxes=10,
        unlabelled_share=4 / 14,
        identities=5,
        cameras=5,
        queries=0,
        galleries=0,
    )
    assert test.counts['queries'] == 5
    assert train.images_per_identity.tolist() == [2] * 5
    assert train.cameras_per_identity.tolist() == [2] * 5
    assert sorted(train.boxes_per_image.tolist()) == [0, 3, 3, 4, 4]
    assert train.images_per_camera == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    assert test.positives_per_query['all images'].tolist() == [1] * 5
    assert train.image_sizes == {'160 x 120': 5}


def test_errors_first_and_with_examples(root):
    savemat(root / 'annotations/c1s1_000000.jpg.mat', {'box_new': np.array([[1, 5, 5, 0, 9.0]])})
    (root / 'frames/c2s1_000001.jpg').unlink()
    report = report_of(root)
    assert report.has_errors
    assert report.problems[0].to_json() == dict(
        kind='image file missing',
        severity='error',
        split='train',
        count=1,
        consequence=KINDS['image file missing'][1],
        examples=[f'{root}/frames/c2s1_000001.jpg'],
    )
    severities = [problem.severity for problem in report.problems]
    assert severities == sorted(severities)
    assert Severity.WARNING in severities
    text = report_table(report)
    assert 'error   train        1  image file missing' in text
    assert f'{root}/annotations/c1s1_000000.jpg.mat (row 0)' in text


def test_the_traps_of_cuhk_sysu(tmp_path):
    root = write_tiny_cuhk_sysu(tmp_path, traps=True)
    files = CUHKSYSUFiles(root, test_mode=True, gallery_sizes=(50, 100), subsets=('occlusion',))
    report = report_dataset(dict(test=files), dict(test=files.image_root), title='tiny')
    # One trap in each of two protocols; the subset repeats the first query with its own image.
    assert {problem.kind: problem.count for problem in report.problems} == {
        'query without a positive': 2,
        'box without area': 2,
        'box listed twice': 1,
        'identity twice in an image': 1,
        'image repeated in a gallery': 4,
        'own image in the gallery': 3,
        'identity in one image': 1,
    }
    assert report.statistics['test'].counts['cameras'] == 0
    assert list(report.statistics['test'].positives_per_query) == ['50', '100', 'occlusion']


@pytest.mark.parametrize('protocol', ['new', 'classic'])
def test_cuhk03_is_unpacked_and_has_no_errors(tmp_path, protocol):
    root = write_tiny_cuhk03(tmp_path)
    splits = dict(train=CUHK03Files(root, protocol=protocol))
    splits['test'] = CUHK03Files(root, test_mode=True, protocol=protocol)
    folders = {name: files.image_root for name, files in splits.items()}
    report = report_dataset(splits, folders, title='tiny', open_images=True)
    # The person whom the second view never shows is trained with, and nothing else is odd.
    assert [problem.kind for problem in report.problems] == ['identity seen by one camera']
    assert len(report.statistics['train'].image_sizes) > 1


def test_json_holds_plain_values(root):
    content = json.loads(json.dumps(report_of(root).to_json()))
    heights = content['splits']['train']['box_height']
    assert sum(heights['histogram']['counts']) == 14
    assert heights['min'] <= heights['quantiles']['0.5'] <= heights['max']
    assert content['splits']['train']['image_sizes'] == {}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_any_index_has_a_report(seed, frames):
    index = random_index(
        np.random.default_rng(seed), test_mode=True, frames=frames, galleries=(50, 'own')
    )
    split = Split.of('test', index, [])
    problems = {(p.kind, p.count) for p in find_search_problems(split)}
    statistics = split_statistics(split)
    alone = sum(int((counts == 0).sum()) for counts in statistics.positives_per_query.values())
    assert sum(n for kind, n in problems if kind == 'query without a positive') <= alone
    json.dumps(statistics.to_json())


def test_queries_without_a_positive_counted_one_by_one():
    for seed in range(40):
        index = random_index(np.random.default_rng(seed), test_mode=True)
        split = Split.of('test', index, [])
        wanted = [
            sum(
                query.person_id in frame.person_ids and frame.name != query.image_name
                for frame in index.frames
            )
            for query in index.queries
        ]
        assert split.other_images_of_queries().tolist() == wanted
