"""The protocols against loops that follow their definitions, on random embeddings."""

from collections import Counter

import cv2
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.search_cases import random_embeddings, random_predictions
from helpers.search_oracle import search_oracle
from scipy.io import savemat

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions, evaluate_search
from mmps.formats import FORMATS, scene_files
from mmps.formats.cuhk03 import (
    Crop,
    CUHK03Files,
    TestCrops,
    all_but_junk,
    read_new_protocol,
    single_gallery_shot,
)

# Tiny set: people 1-5 of camera pair 1 and 1-3 of pair 2; labels 1-8 in that order. Picture 5 of
# people 2 and 4 is missing, and person 2 of pair 1 is in no picture of the second view.


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk03(tmp_path_factory.mktemp('cuhk03'))


def read(root, **options):
    return CUHK03Files(root, **options).read()


def frame_of(index, name):
    return next(frame for frame in index.frames if frame.name == name)


def test_new_protocol_training_split(root):
    index = read(root)
    # 10 + 4 crops of people 1 and 2 of the first pair, 10 + 9 of the second
    assert len(index.frames) == 33
    assert (index.num_ids, index.queries, index.galleries) == (4, (), {})
    ids = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert ids == {'1_001': 0, '1_002': 1, '2_001': 2, '2_002': 3}
    assert '1_002_1_05.png' not in [frame.name for frame in index.frames]


def test_new_protocol_test_split(root):
    index = read(root, test_mode=True)
    assert len(index.frames) == 39
    assert index.num_ids == 0
    labels = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert labels == {'1_003': 3, '1_004': 4, '1_005': 5, '2_003': 8}
    # one query of each person and view
    assert sorted(query.image_name[:7] for query in index.queries) == [
        f'{person}_{view}' for person in labels for view in (1, 2)
    ]
    (gallery,) = index.galleries.values()
    assert list(index.galleries) == ['new']
    assert gallery.queries.tolist() == list(range(8))
    # The gallery has 31 crops; four of them are junk, three for the view that lacks a picture.
    assert np.diff(gallery.splits).tolist() == [27, 27, 28, 27, 27, 27, 27, 27]
    queries = {query.image_name for query in index.queries}
    for search, query in enumerate(index.queries):
        names = [
            index.frames[image].name
            for image in gallery.images[gallery.splits[search] : gallery.splits[search + 1]]
        ]
        assert not set(names) & queries
        own_camera = query.image_name[:7]
        assert not [name for name in names if name.startswith(own_camera)]


def test_a_crop_is_a_scene_with_one_person(root):
    index = read(root, test_mode=True)
    CUHK03Files(root, test_mode=True).prepare()
    for frame in index.frames:
        image = cv2.imread(str(root / 'cuhk03_release/images_labelled' / frame.name))
        assert frame.bboxes.tolist() == [[0, 0, image.shape[1], image.shape[0]]]
        assert frame.bboxes.dtype == np.float32
        assert frame.person_ids.shape == (1,)
    by_name = {frame.name: frame for frame in index.frames}
    for query in index.queries:
        frame = by_name[query.image_name]
        assert query.bbox.tolist() == frame.bboxes[0].tolist()
        assert query.person_id == frame.person_ids[0]


def test_a_view_of_a_pair_is_a_camera(root):
    cameras = {f.name[0] + f.name[6]: f.camera for f in read(root).frames}
    assert cameras == {'11': 1, '12': 2, '21': 3, '22': 4}


def test_errors_can_name_the_cell_of_a_crop(root):
    frame = frame_of(read(root, boxes='detected'), '2_001_1_03.png')
    assert frame.source == f'{root}/cuhk03_release/cuhk-03.mat, detected{{2}}{{1,3}}'


def test_classic_training_split(root):
    # Split 1 tests every third person from the second on: 2 and 5 of pair 1, 3 of pair 2.
    index = read(root, protocol='classic', classic_split=1)
    assert index.num_ids == 5
    ids = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert ids == {'1_001': 0, '1_003': 1, '1_004': 2, '2_001': 3, '2_002': 4}
    assert len(index.frames) == 10 + 10 + 9 + 10 + 9


def test_classic_test_split(root):
    index = read(root, protocol='classic', classic_split=1, test_mode=True)
    assert {int(f.person_ids[0]) for f in index.frames} == {1002, 1005, 2003}
    assert len(index.frames) == len(index.queries) == 4 + 10 + 10
    galleries = index.galleries
    assert list(galleries) == ['classic', 'classic_any_view', 'classic_all']
    # Person 2 is in no picture of the second view, so that nobody can find those four queries.
    searched = set(range(4, 24))
    for gallery in galleries.values():
        assert set(gallery.queries.tolist()) == searched
    sizes = np.diff(galleries['classic'].splits).reshape(10, 20)
    # From the first view of a pair two people can be drawn, from the second one three.
    assert sizes.tolist() == [[2] * 5 + [3] * 5 + [2] * 5 + [3] * 5] * 10
    assert np.diff(galleries['classic_any_view'].splits).tolist() == [3] * 200
    # 24 crops but the 5 of the same person by the same camera, the query among them
    assert np.diff(galleries['classic_all'].splits).tolist() == [19] * 20


def test_boxes_choose_crops_and_protocol(root):
    names = [[f.name for f in read(root, boxes=boxes).frames] for boxes in ('labelled', 'detected')]
    assert set(names[0]) - set(names[1]) == {'1_001_2_10.png'}
    files = [CUHK03Files(root, boxes=boxes) for boxes in ('labelled', 'detected')]
    assert [f.image_root.name for f in files] == ['images_labelled', 'images_detected']
    assert files[0].sources() == [
        root / 'cuhk03_release/cuhk-03.mat',
        root / 'cuhk03_new_protocol_config_labeled.mat',
    ]
    assert files[1].sources()[1].name == 'cuhk03_new_protocol_config_detected.mat'


def test_the_classic_protocol_needs_no_other_file(tmp_path):
    root = write_tiny_cuhk03(tmp_path)
    for path in root.glob('*.mat'):
        path.unlink()
    files = CUHK03Files(root, protocol='classic')
    assert files.sources() == [root / 'cuhk03_release/cuhk-03.mat']
    assert files.read().num_ids == 5
    with pytest.raises(FileNotFoundError, match='cuhk03_new_protocol_config_labeled.mat'):
        read(root)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(boxes='labeled'), "boxes='labeled' is unknown; use 'labelled' or 'detected'"),
        (dict(protocol='old'), "protocol='old' is unknown; use 'new' or 'classic'"),
        (dict(classic_split=3), "classic_split=3 is for protocol='classic', but protocol='new'"),
    ],
)
def test_unknown_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        CUHK03Files(tmp_path, **options)


@pytest.mark.parametrize('split', [-1, 20])
def test_a_split_that_does_not_exist(root, split):
    with pytest.raises(ValueError, match=rf'classic_split={split}, .* the splits 0 to 19'):
        read(root, protocol='classic', classic_split=split)


def test_a_config_names_the_options(root):
    dataset = dict(
        type='CUHK03Dataset', data_root=str(root), test_mode=True, boxes='detected', pipeline=[]
    )
    assert FORMATS['CUHK03Dataset'] is CUHK03Files
    assert scene_files(dataset) == CUHK03Files(root, True, boxes='detected')


TOP_K = (1, 5, 10)


def random_crops(rng, people=12, shots=5):
    """Up to ``shots`` crops of each person by each view of one of three pairs; some views empty."""
    rows = []
    for person in rng.permutation(100)[:people]:
        pair = rng.integers(3)
        for view in (1, 2):
            rows += [(person, 2 * pair + view, view)] * rng.integers(0, shots + 1)
    rows = np.array(rows, np.int64).reshape(-1, 3)
    size = rng.integers(10, 80, (len(rows), 2))
    bboxes = np.concatenate([np.zeros_like(size), size], 1).astype(np.float32)
    return TestCrops(rows[:, 0], rows[:, 1], rows[:, 2], bboxes)


def annotations_of(crops, queries, **galleries):
    return SearchAnnotations(
        image_names=tuple(f'{n}.png' for n in range(len(crops.people))),
        cameras=crops.cameras,
        box_splits=np.arange(len(crops.people) + 1),
        bboxes=crops.bboxes,
        person_ids=crops.people,
        query_images=queries,
        query_bboxes=crops.bboxes[queries],
        query_person_ids=crops.people[queries],
        galleries=galleries,
    )


def whole_crops(rng, crops, queries):
    """Predictions of a re-identification model: each crop is one detection."""
    embeddings = random_embeddings(rng, len(crops.people), 16)
    return SearchPredictions(
        image_names=tuple(f'{n}.png' for n in range(len(crops.people))),
        image_splits=np.arange(len(crops.people) + 1),
        bboxes=crops.bboxes,
        scores=np.ones(len(crops.people)),
        embeddings=embeddings,
        query_embeddings=embeddings[queries],
    )


def ranked_matches(crops, embeddings, query, gallery):
    """Whether each gallery crop, nearest first, shows the person of the query."""
    distances = [float(((embeddings[query] - embeddings[g]) ** 2).sum()) for g in gallery]
    order = sorted(range(len(gallery)), key=lambda n: distances[n])
    return [crops.people[gallery[n]] == crops.people[query] for n in order]


def without_junk(crops, query, gallery):
    return [
        g
        for g in gallery
        if crops.people[g] != crops.people[query] or crops.cameras[g] != crops.cameras[query]
    ]


def reid_metrics(crops, embeddings, queries, gallery):
    """mAP and CMC of multi-shot re-identification, junk removed: the new protocol."""
    precisions, first = [], []
    for query in queries:
        matches = ranked_matches(crops, embeddings, query, without_junk(crops, query, gallery))
        if not any(matches):
            continue
        hits, total = 0, 0.0
        for rank, match in enumerate(matches, 1):
            if match:
                hits += 1
                total += hits / rank
        precisions.append(total / hits)
        first.append(matches.index(True) + 1)
    tops = {f'top{k}': np.mean([rank <= k for rank in first]) for k in TOP_K}
    return {'mAP': np.mean(precisions), **tops}


@pytest.mark.parametrize('seed', range(6))
def test_new_protocol(seed):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    order = rng.permutation(len(crops.people))
    queries, gallery = order[:15], order[15:]
    galleries = all_but_junk(crops, queries, gallery)
    annotations = annotations_of(crops, queries, new=galleries)
    predictions = whole_crops(rng, crops, queries)
    got = evaluate_search(annotations, predictions, gallery_size='new')
    assert got == pytest.approx(
        reid_metrics(crops, predictions.embeddings, queries, gallery), abs=1e-6
    )


@pytest.mark.parametrize('seed', range(3))
def test_every_crop_of_a_classic_split(seed):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    every = np.arange(len(crops.people))
    annotations = annotations_of(crops, every, classic_all=all_but_junk(crops, every, every))
    predictions = whole_crops(rng, crops, every)
    got = evaluate_search(annotations, predictions, gallery_size='classic_all')
    assert got == pytest.approx(reid_metrics(crops, predictions.embeddings, every, every), abs=1e-6)


def candidates(crops, query, any_view):
    """For each person the crops that single gallery shot may draw for a query."""
    allowed = {}
    for crop in without_junk(crops, query, range(len(crops.people))):
        if any_view or crops.views[crop] != crops.views[query]:
            allowed.setdefault(int(crops.people[crop]), set()).add(crop)
    return allowed


@pytest.mark.parametrize('any_view', [False, True])
@pytest.mark.parametrize('seed', range(4))
def test_single_gallery_shot_draws_one_allowed_crop_of_each_person(seed, any_view):
    crops = random_crops(np.random.default_rng(seed))
    galleries = single_gallery_shot(crops, any_view=any_view)
    times = Counter(galleries.queries.tolist())
    for query in range(len(crops.people)):
        allowed = candidates(crops, query, any_view)
        assert times[query] == (10 if int(crops.people[query]) in allowed else 0)
    for search, query in enumerate(galleries.queries):
        drawn = galleries.images[galleries.splits[search] : galleries.splits[search + 1]]
        allowed = candidates(crops, query, any_view)
        assert sorted(crops.people[drawn]) == sorted(allowed)
        assert all(crop in allowed[int(crops.people[crop])] for crop in drawn)


@pytest.mark.parametrize('any_view', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_cmc_of_single_gallery_shot(seed, any_view):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    every = np.arange(len(crops.people))
    galleries = single_gallery_shot(crops, any_view=any_view)
    predictions = whole_crops(rng, crops, every)
    # The mean over the ten draws of a query, then over the queries, as the field computes it.
    curves = {}
    for search, query in enumerate(galleries.queries):
        drawn = galleries.images[galleries.splits[search] : galleries.splits[search + 1]]
        matches = ranked_matches(crops, predictions.embeddings, query, drawn)
        assert sum(matches) == 1
        curves.setdefault(query, []).append([any(matches[:k]) for k in TOP_K])
    assert {len(draws) for draws in curves.values()} == {10}
    cmc = np.mean([np.mean(draws, 0) for draws in curves.values()], 0)
    got = evaluate_search(
        annotations_of(crops, every, classic=galleries), predictions, gallery_size='classic'
    )
    assert [got[f'top{k}'] for k in TOP_K] == pytest.approx(cmc, abs=1e-6)


def same_shots(people, shots):
    """``shots`` crops of each of ``people`` people in each view of one camera pair."""
    views = np.tile(np.repeat([1, 2], shots), people)
    bboxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (len(views), 1))
    return TestCrops(np.repeat(np.arange(people), 2 * shots), views, views, bboxes)


def test_draws_are_even():
    galleries = single_gallery_shot(same_shots(40, 5))
    # 400 queries, 10 searches each: a crop is drawn by half of them with a chance of one in five.
    assert galleries.images.size == 400 * 10 * 40
    drawn = np.bincount(galleries.images)
    deviation = (400 * 10 / 2 / 5 * 4 / 5) ** 0.5
    assert np.abs(drawn - 400).max() < 5 * deviation
    assert 0.7 * deviation < drawn.std() < 1.3 * deviation


def test_draws_never_change():
    """They make the numbers that are reported, whatever the platform and the version of NumPy."""
    images = single_gallery_shot(same_shots(3, 2)).images
    # From the view that is not the query's: crops 2 and 3, 6 and 7, 10 and 11 for the first two
    # queries, by raw PCG64 output that starts 11749869230777074271, 4976686463289251617.
    assert images[:6].tolist() == [3, 7, 10, 3, 7, 10]


@pytest.mark.parametrize('name', ['new', 'classic'])
@pytest.mark.parametrize('seed', range(3))
def test_with_detections_that_miss_and_repeat(seed, name):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng, people=5, shots=3)
    every = np.arange(len(crops.people))
    galleries = all_but_junk(crops, every, every) if name == 'new' else single_gallery_shot(crops)
    annotations = annotations_of(crops, every, **{name: galleries})
    predictions = random_predictions(rng, annotations)
    got = evaluate_search(annotations, predictions, gallery_size=name)
    aps, ranks = search_oracle(annotations, predictions, gallery_size=name)
    assert got['mAP'] == pytest.approx(np.mean(aps), abs=1e-6)
    assert got['top1'] == pytest.approx(np.mean([rank == 1 for rank in ranks]), abs=1e-6)


# Four crops of three people; the last two people make the test set.
CROPS = [Crop(1, 1, 1, 4, 8), Crop(1, 2, 1, 4, 8), Crop(1, 2, 6, 4, 8), Crop(2, 1, 3, 4, 8)]
CONTENT = dict(
    filelist=['1_001_1_01.png', '1_002_1_01.png', '1_002_2_06.png', '2_001_1_03.png'],
    labels=[1, 2, 2, 3],
    train_idx=[1],
    query_idx=[3],
    gallery_idx=[4, 2],
)


@pytest.fixture
def read_protocol(tmp_path):
    """Read a protocol that differs from the sound one in some variables; None leaves one out."""

    def read(dtype=np.float64, crops=CROPS, **changes):
        path = tmp_path / 'config.mat'
        content = {}
        for key, values in {**CONTENT, **changes}.items():
            if key == 'filelist' and isinstance(values, list):
                content[key] = np.empty((len(values), 1), object)
                content[key][:, 0] = values
            elif values is not None:
                content[key] = np.array(values, dtype).reshape(-1, 1)
        savemat(path, content)
        return read_new_protocol(path, crops)

    return read


@pytest.mark.parametrize('dtype', [np.float64, np.uint16])
def test_indices_count_from_one(read_protocol, dtype):
    protocol = read_protocol(dtype)
    assert list(protocol.crops) == CROPS
    assert protocol.labels.tolist() == [1, 2, 2, 3]
    assert protocol.train.tolist() == [0]
    assert protocol.queries.tolist() == [2]
    assert protocol.gallery.tolist() == [3, 1]


def test_rows_follow_filelist_not_the_crops(read_protocol):
    protocol = read_protocol(crops=[*CROPS[::-1], Crop(2, 9, 1, 4, 8)])
    assert list(protocol.crops) == CROPS


@pytest.mark.parametrize('key', ['filelist', 'labels', 'train_idx', 'query_idx', 'gallery_idx'])
def test_missing_variable(read_protocol, key):
    with pytest.raises(ValueError, match=rf'config\.mat: no key {key} in it, but '):
        read_protocol(**{key: None})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(filelist=[*CONTENT['filelist'][:3], '2_001_1_04.png']),
            r"filelist\(4\) is '2_001_1_04.png', but cuhk-03.mat has no such crop",
        ),
        (
            dict(filelist=[*CONTENT['filelist'][:3], '1_001_1_01.png']),
            "filelist names '1_001_1_01.png' twice",
        ),
        (dict(filelist=[1.0, 2.0, 3.0, 4.0]), r'filelist\(1\) is .*, but cuhk-03.mat has no such'),
        (dict(labels=[1, 2, 2]), 'labels holds 3 values of .*; 4 numbers, one for each'),
        (dict(labels=[1, 2, 2.5, 3]), r'labels\(3\) is 2.5; a whole number'),
        (dict(labels=[1, 2, np.nan, 3]), r'labels\(3\) is nan; a whole number'),
        (dict(labels=[1, 2, 4, 3]), r"labels\(3\) is 4 for '1_002_2_06.png'"),
        (dict(labels=[1, 2, 2, 1]), r"labels\(4\) is 1 for '2_001_1_03.png'"),
        (dict(train_idx=[0]), r'train_idx\(1\) is 0; filelist has the rows 1 to 4'),
        (dict(gallery_idx=[2, 5]), r'gallery_idx\(2\) is 5; filelist has the rows 1 to 4'),
        (dict(query_idx=[-3]), r'query_idx\(1\) is -3; a whole number'),
        (dict(query_idx=[1.5]), r'query_idx\(1\) is 1.5; a whole number'),
        (dict(query_idx=[]), 'query_idx holds 0 values of .*; numbers expected'),
        (dict(gallery_idx=[2, 3, 4]), 'row 3 of filelist is used more than once'),
        (dict(gallery_idx=[2, 2]), 'row 2 of filelist is used more than once'),
        (dict(train_idx=[1, 2], gallery_idx=[4]), 'label 2 is in the training set and in the test'),
    ],
)
def test_contradictions_name_the_row(read_protocol, changes, message):
    with pytest.raises(ValueError, match=rf'config\.mat: {message}'):
        read_protocol(**changes)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.mat: '):
        read_new_protocol(tmp_path / 'none.mat', CROPS)
