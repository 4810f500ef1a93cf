import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import parity_cases, reference_parity
from helpers.parity_cases import GALLERY_SIZES, large_case, small_case
from helpers.reference_parity import Difference, compare, load_reference

# The interface of the reference with the evaluation's oracle behind it.
DATASET = """
import numpy as np
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import to_search_annotations

class Dataset:
    def __init__(self, root, transforms, split):
        self.protocol = to_search_annotations(read_scenes(self.files(root))[0])
        cuts = self.protocol.box_splits[1:-1]
        names = self.protocol.image_names
        ids = np.where(self.protocol.person_ids < 0, 5555, self.protocol.person_ids)
        if split == 'gallery':
            columns = names, np.split(self.protocol.bboxes, cuts), np.split(ids, cuts)
        else:
            queries = [names[image] for image in self.protocol.query_images]
            columns = queries, self.protocol.query_bboxes[:, None], [None] * len(queries)
        self.annotations = [
            dict(zip(('img_name', 'boxes', 'pids'), row)) for row in zip(*columns)
        ]

class PRW(Dataset):
    def files(self, root):
        return PRWFiles(root, test_mode=True)

class CUHKSYSU(Dataset):
    def files(self, root):
        return CUHKSYSUFiles(root, test_mode=True, gallery_sizes=(50, 100, 500))
"""
EVALUATION = """
import numpy as np
from types import SimpleNamespace
from mmps.evaluation.functional import ContextMatching
from helpers.search_oracle import detection_oracle, search_oracle
from utils.offset import AP_OFFSET

def predictions(gallery, dets, **arrays):
    rows = np.concatenate([np.float32(det).reshape(-1, 5) for det in dets])
    return SimpleNamespace(
        image_names=gallery.protocol.image_names,
        image_splits=np.cumsum([0, *map(len, dets)]),
        bboxes=rows[:, :4],
        scores=rows[:, 4],
        **arrays,
    )

def eval_detection(gallery, dets, score_thr, iou_thr, labelled_only):
    found = predictions(gallery, dets, embeddings=np.zeros(sum(map(len, dets))))
    options = dict(score_thr=score_thr, iou_thr=iou_thr, labelled_only=labelled_only)
    return detection_oracle(gallery.protocol, found, **options)[::-1]

def search(gallery, queries, dets, feats, query_feats, around, context, cbgm, k1, k2, **options):
    assert all((boxes[0, :4] == box).all()
               for boxes, box in zip(around, queries.protocol.query_bboxes))
    found = predictions(
        gallery,
        dets,
        embeddings=np.concatenate(feats),
        query_embeddings=query_feats,
        query_context_splits=np.cumsum([0, *map(len, context)]),
        query_context_embeddings=np.concatenate(context),
    )
    matching = ContextMatching(k1, k2) if cbgm else None
    aps, ranks = search_oracle(gallery.protocol, found, context_matching=matching, **options)
    print(np.mean(np.array(aps) + AP_OFFSET))
    print(np.mean([[float(0 < rank <= k) for k in (1, 5, 10)] for rank in ranks], axis=0))

def eval_search_prw(*args, k1=30, k2=4, cbgm=False, ignore_cam_id=True):
    search(*args, cbgm, k1, k2, cross_camera=not ignore_cam_id)

def eval_search_cuhk(*args, k1=10, k2=3, cbgm=False, gallery_size=100):
    search(*args, cbgm, k1, k2, gallery_size=gallery_size)
"""


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / 'checkout'
    for folder in ('utils', 'datasets'):
        (root / folder).mkdir(parents=True)
        (root / folder / '__init__.py').write_text('raise ImportError("training code")')
    (root / 'utils/offset.py').write_text('AP_OFFSET = 0')
    (root / 'datasets/base.py').write_text(DATASET)
    (root / 'datasets/prw.py').write_text('from .base import PRW')
    (root / 'datasets/cuhk_sysu.py').write_text('from .base import CUHKSYSU')
    (root / 'eval_func.py').write_text(f'from utils.utils import write_json\n{EVALUATION}')
    return root


@pytest.mark.parametrize('layout', ['prw', 'cuhk_sysu'])
def test_no_difference_to_the_oracle(layout, checkout, tmp_path):
    reference = load_reference(checkout)
    rng = np.random.default_rng(0)
    case = small_case(tmp_path / 'set', layout, rng)
    found = compare(reference, case, rng)
    assert len(found) == 8 + 4 * (len(GALLERY_SIZES) if layout == 'cuhk_sysu' else 2)
    assert {d.what.split(',')[0] for d in found} == {layout}
    assert max(d.largest for d in found) < 1e-12
    assert not any(d.differ for d in found)
    searches = [d for d in found if 'detection' not in d.what]
    assert {d.values for d in searches} == {4 * case.annotations.num_queries}


def test_a_difference_is_found(checkout, tmp_path):
    (checkout / 'utils/offset.py').write_text('AP_OFFSET = 0.25')
    case = small_case(tmp_path / 'set', 'prw', np.random.default_rng(0))
    for difference in compare(load_reference(checkout), case, np.random.default_rng(0)):
        wrong = case.annotations.num_queries if 'ignore_cam_id' in difference.what else 0
        assert difference.differ == wrong
        assert difference.largest == pytest.approx(0.25 if wrong else 0, abs=1e-12)


def test_another_reading_is_an_error(checkout, tmp_path):
    case = small_case(tmp_path / 'set', 'prw', np.random.default_rng(0))
    bboxes = case.annotations.bboxes.copy()
    bboxes[3, 2] += 1
    case = replace(case, annotations=replace(case.annotations, bboxes=bboxes))
    with pytest.raises(AssertionError):
        compare(load_reference(checkout), case, np.random.default_rng(0))


def test_command_line(checkout, monkeypatch, capsys):
    def found(reference, case, rng):
        return [Difference('first', 28, 1, 0.25, (2.0, 0.5)), Difference('second', 2, 0, 0, (1, 1))]

    monkeypatch.setattr(reference_parity, 'compare', found)
    command = ['reference_parity', str(checkout), '--layouts', 'prw', '--cases', '2']
    monkeypatch.setattr(sys, 'argv', command)
    reference_parity.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [
        ['first', '56', '2', '2.5e-01', '4.0', 's', '1.0', 's'],
        ['second', '4', '0', '0.0e+00', '2.0', 's', '2.0', 's'],
    ]
    monkeypatch.setattr(sys, 'argv', ['reference_parity', str(checkout / 'utils')])
    with pytest.raises(SystemExit):
        reference_parity.main()
    assert 'eval_func.py: missing; give a checkout of SeqNet' in capsys.readouterr().err


def test_imported_modules_stay(checkout, monkeypatch):
    monkeypatch.setitem(sys.modules, 'datasets', sys)
    path = list(sys.path)
    reference = load_reference(checkout)
    assert reference.prw.__file__ == str(checkout / 'datasets/prw.py')
    assert sys.modules['datasets'] is sys
    assert 'eval_func' not in sys.modules and 'utils.utils' not in sys.modules
    assert sys.path == path


def test_no_checkout(tmp_path):
    with pytest.raises(FileNotFoundError, match='eval_func.py: missing; give a checkout of SeqNet'):
        load_reference(tmp_path)


@pytest.mark.parametrize('layout', ['prw', 'cuhk_sysu'])
def test_small_cases_hold_the_traps(layout, tmp_path):
    seen = set()
    for seed in range(6):
        case = small_case(tmp_path / str(seed), layout, np.random.default_rng(seed))
        annotations, predictions = case.annotations, case.predictions
        images = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
        labelled = annotations.person_ids >= 0
        pairs = np.stack([images, annotations.person_ids])[:, labelled].T
        if len(np.unique(pairs, axis=0)) < len(pairs):
            seen.add('person twice in an image')
        if (np.diff(predictions.image_splits) == 0).any():
            seen.add('image without detections')
        if (predictions.scores == 0.5).any():
            seen.add('score at the threshold')
        if (annotations.bboxes[:, :2] == 0).any():
            seen.add('clipped box')
        for gallery in annotations.galleries.values():
            for search in range(len(gallery)):
                listed = gallery.images[gallery.splits[search] : gallery.splits[search + 1]]
                if annotations.query_images[search] in listed:
                    seen.add('own image')
                if len(np.unique(listed)) < len(listed):
                    seen.add('repeated image')
    expected = {'image without detections', 'score at the threshold'}
    if layout == 'prw':
        expected |= {'person twice in an image', 'clipped box'}
    else:
        expected |= {'own image', 'repeated image'}
    assert expected <= seen


@pytest.mark.parametrize('layout', ['prw', 'cuhk_sysu'])
def test_large_case_has_the_official_size(layout, tmp_path, monkeypatch):
    small = {
        name: replace(size, images=130, boxes=300, labelled=100, people=20, detections=200)
        for name, size in parity_cases.SIZES.items()
    }
    monkeypatch.setattr(parity_cases, 'SIZES', small)
    case = large_case(tmp_path, layout, 7, np.random.default_rng(0))
    assert case.annotations.num_images == 130
    assert case.annotations.num_queries == 7
    assert np.diff(case.annotations.box_splits).min() >= 1
    assert list(case.annotations.galleries) == ([50, 100] if layout == 'cuhk_sysu' else [])
