import io
import json

import cv2
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import random_index
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.prw import PRWFiles
from mmps.formats.report import (
    EXAMPLES,
    KINDS,
    Anchors,
    Split,
    SplitStatistics,
    annotation_problems,
    image_problems,
    report_dataset,
    report_table,
    search_problems,
    shared_identities,
)
from mmps.formats.scene_index import Frame, Query, SceneIndex


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
    assert train.distributions['images_per_identity'].tolist() == [2] * 5
    assert train.distributions['cameras_per_identity'].tolist() == [2] * 5
    assert sorted(train.distributions['boxes_per_image'].tolist()) == [0, 3, 3, 4, 4]
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
        examples=(f'{root}/frames/c2s1_000001.jpg',),
    )
    severities = list(dict.fromkeys(problem.severity for problem in report.problems))
    assert severities == ['error', 'warning', 'note']
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
    assert heights['count'] == 14
    assert heights['min'] <= heights['5%'] <= heights['50%'] <= heights['95%'] <= heights['max']
    assert content['splits']['train']['image_sizes'] == {}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_any_index_has_a_report(seed, frames):
    index = random_index(
        np.random.default_rng(seed), test_mode=True, frames=frames, galleries=(50, 'own')
    )
    split = Split('test', index)
    search_problems(split)
    found = split.problems.get('query without a positive')
    statistics = SplitStatistics.of(split)
    alone = sum(int((counts == 0).sum()) for counts in statistics.positives_per_query.values())
    assert (found.count if found else 0) <= alone
    json.dumps(statistics.to_json())


def test_queries_without_a_positive_counted_one_by_one():
    for seed in range(15):
        index = random_index(np.random.default_rng(seed), test_mode=True)
        split = Split('test', index)
        wanted = [
            sum(
                query.person_id in frame.person_ids and frame.name != query.image_name
                for frame in index.frames
            )
            for query in index.queries
        ]
        assert split.other_images_of_queries().tolist() == wanted


BOX, OTHER, THIRD = [0, 0, 10, 20], [5, 5, 15, 25], [1, 2, 3, 4]


def frame(name, people, camera=1):
    """A frame of people given as ``(id, box)``."""
    bboxes = np.array([box for _, box in people], np.float32).reshape(-1, 4)
    ids = np.array([person for person, _ in people], np.int64)
    return Frame(name, bboxes, ids, f'{name}.mat', camera)


def problems_in(split):
    return {kind: (p.count, p.examples) for kind, p in split.problems.items()}


def annotation_kinds(frames, removed=(), name='test', **options):
    split = Split(name, SceneIndex(frames, 9, **options), removed)
    annotation_problems(split)
    return problems_in(split)


def test_sound_annotations():
    frames = [frame('a.jpg', [(0, BOX), (-1, OTHER)]), frame('b.jpg', [(0, BOX)], camera=2)]
    assert annotation_kinds(frames) == {}


def test_boxes_without_area():
    assert annotation_kinds([frame('a.jpg', [(-1, BOX)])], ['a.jpg.mat (row 3)']) == {
        'box without area': (1, ('a.jpg.mat (row 3)',))
    }


def test_a_box_listed_three_times_is_two_too_many():
    people = [(-1, OTHER), (-1, BOX), (-1, BOX), (-1, BOX)]
    # In another frame it is another box.
    assert annotation_kinds([frame('a.jpg', people), frame('b.jpg', [(-1, BOX)])]) == {
        'box listed twice': (
            2,
            ('a.jpg.mat (box 2): [0, 0, 10, 20]', 'a.jpg.mat (box 3): [0, 0, 10, 20]'),
        )
    }


def test_an_identity_twice_in_an_image_is_named_as_the_files_number_it():
    frames = [
        frame('a.jpg', [(1, BOX), (-1, OTHER), (-1, THIRD), (1, THIRD)]),
        frame('b.jpg', [(1, BOX)], camera=2),
    ]
    problems = annotation_kinds(frames, raw_ids=np.array([5, 932]))
    assert problems['identity twice in an image'] == (
        1,
        ('a.jpg.mat (box 3): [1, 2, 3, 4]: identity 932',),
    )


def test_rarely_seen_identities():
    frames = [
        frame('a.jpg', [(0, BOX), (1, OTHER), (2, THIRD)]),
        frame('b.jpg', [(0, BOX), (1, OTHER)]),
        frame('c.jpg', [(0, BOX)], camera=2),
    ]
    # Person 2 has one image only; that it has one camera only says nothing more.
    assert annotation_kinds(frames) == {
        'identity in one image': (1, ('identity 2: a.jpg',)),
        'identity seen by one camera': (1, ('identity 1: camera 1',)),
    }


def test_one_camera_or_unknown_cameras_cannot_tell_who_is_seen_by_one():
    for camera in (1, -1):
        frames = [frame(name, [(0, BOX)], camera) for name in ('a.jpg', 'b.jpg')]
        assert annotation_kinds(frames) == {}


def test_images_without_people():
    frames = [frame('a.jpg', []), frame('b.jpg', [])]
    assert annotation_kinds(frames) == {'image without people': (2, ('a.jpg', 'b.jpg'))}


def test_one_identity_is_nobody_to_tell_apart():
    frames = [frame(name, [(3, BOX), (-1, OTHER)]) for name in ('a.jpg', 'b.jpg')]
    found = [list(annotation_kinds(frames, name=split)) for split in ('train', 'test')]
    assert found == [['fewer than two identities'], []]


def test_no_image_at_all():
    assert annotation_kinds([]) == {}


def test_identities_of_both_splits():
    def split(name, ids, raw_ids=None):
        frames = [frame('a.jpg', [(person, BOX) for person in ids])]
        return Split(name, SceneIndex(frames, 9, raw_ids=raw_ids))

    test = split('test', [932, 484, -1])
    # Class 1 is raw id 932; class 2, raw id 484, is listed but never annotated.
    train = split('train', [0, 1, -1], np.array([5, 932, 484]))
    shared_identities(train, test)
    assert problems_in(test) == {'identity of both splits': (1, ('identity 932',))}
    # Splits that number people independently share nothing by having the same numbers.
    test = split('test', [932, 484, -1])
    shared_identities(split('train', [932, 484]), test)
    assert test.problems == {}


FRAMES = [
    Frame(name, np.float32([BOX, OTHER]), np.array(ids), f'{name}.mat')
    for name, ids in [('a.jpg', [7, 8]), ('b.jpg', [7, -1]), ('c.jpg', [9, 8]), ('d.jpg', [5, -1])]
]


def query(image, box, person):
    return Query(image, np.float32(box), person, f'queries.txt, {image}')


def search_kinds(queries, galleries=None):
    split = Split('test', SceneIndex(FRAMES, 0, queries, galleries or {}))
    search_problems(split)
    return problems_in(split)


def test_sound_queries():
    assert search_kinds([query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8)]) == {}
    assert search_kinds([]) == {}


def test_a_person_seen_in_the_query_image_only_cannot_be_search_kinds():
    queries = [query('a.jpg', BOX, 7), query('c.jpg', BOX, 9)]
    assert search_kinds(queries) == {
        'query without a positive': (1, ('queries.txt, c.jpg: identity 9 in c.jpg',))
    }


def test_a_query_that_its_own_image_does_not_show_is_found_in_the_others():
    # Person 7 is in a and b; the box in c belongs to 9.
    assert search_kinds([query('c.jpg', BOX, 7)]) == {
        'query annotated as somebody else': (1, ('queries.txt, c.jpg: identity 7 in c.jpg',))
    }


def test_a_box_that_is_not_annotated_is_shown_with_the_nearest_one():
    problems = search_kinds([query('a.jpg', [0, 0, 10, 18], 7)])
    assert problems == {
        'query box not annotated': (
            1,
            (
                'queries.txt, a.jpg: identity 7 in a.jpg: [0, 0, 10, 18]; the nearest is '
                '[0, 0, 10, 20] (IoU 0.90)',
            ),
        )
    }


def test_repeated_queries():
    queries = [query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8), query('a.jpg', BOX, 7)]
    assert search_kinds(queries) == {
        'query listed twice': (1, ('queries.txt, a.jpg: identity 7 in a.jpg',))
    }


def gallery(*searches, queries=None):
    """Searches given as ``(images, {entry: box of the person})``."""
    images = [image for listed, _ in searches for image in listed]
    splits = np.cumsum([0, *(len(listed) for listed, _ in searches)])
    positives = [
        start + entry
        for start, (_, shown) in zip(splits, searches, strict=False)
        for entry in sorted(shown)
    ]
    boxes = [shown[entry] for _, shown in searches for entry in sorted(shown)]
    return SearchGalleries(splits, images, positives, np.reshape(boxes, (-1, 4)), queries)


QUERIES = [query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8)]
SEVEN = ([3, 1], {1: BOX})
EIGHT = ([1, 0, 3], {1: OTHER})
SHOWN = 'queries.txt, c.jpg: identity 8 in c.jpg'


@pytest.mark.parametrize(
    ('second', 'kind', 'example'),
    [
        (([1, 3], {}), 'query without a positive', f'gallery 100, search 1: {SHOWN}'),
        (
            ([1, 0, 2], {1: OTHER}),
            'own image in the gallery',
            f'gallery 100, search 1: {SHOWN}, entry 2: c.jpg',
        ),
        (
            ([1, 0, 3, 1], {1: OTHER}),
            'image repeated in a gallery',
            f'gallery 100, search 1: {SHOWN}, entry 3: b.jpg',
        ),
        (
            ([1, 0], {1: [5, 5, 15, 24]}),
            'positive not annotated',
            f'gallery 100, search 1: {SHOWN}, entry 1: a.jpg',
        ),
        (
            ([0, 1, 0], {0: OTHER}),
            'person in a gallery image not marked',
            f'gallery 100, search 1: {SHOWN}, entry 2: a.jpg',
        ),
    ],
)
def test_problems_of_galleries(second, kind, example):
    problems = search_kinds(QUERIES, {100: gallery(SEVEN, second)})
    assert problems[kind] == (1, (example,))
    assert set(problems) - {kind} <= {'image repeated in a gallery'}  # of the last case


def test_sound_galleries_and_queries_searched_several_times_or_never():
    once = gallery(SEVEN, EIGHT)
    several = gallery(EIGHT, EIGHT, queries=[1, 1])
    empty = gallery(queries=[])
    assert search_kinds(QUERIES, {100: once, 'occlusion': several, 'none': empty}) == {}


def test_only_the_first_cases_are_spelt_out():
    few, many = (gallery(*[([1], {})] * n, queries=[1] * n) for n in (2, 30))
    count, examples = search_kinds(QUERIES, {50: few, 100: many})['query without a positive']
    assert count == 32
    assert len(examples) == EXAMPLES


WIDTH, HEIGHT = 64, 48


def split_of(names, boxes=(), camera=1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.full(len(bboxes), -1)
    frames = [Frame(name, bboxes, ids, f'{name}.mat', camera) for name in names]
    return Split('train', SceneIndex(frames, 0))


def write(path, width=WIDTH, height=HEIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def problems_of(split, folder, decode=False, anchors=None):
    split.problems.clear()
    image_problems(split, folder, open_images=True, decode_images=decode, anchors=anchors)
    return problems_in(split)


def test_missing_files_in_several_folders(tmp_path):
    write(tmp_path / 'camera 1' / 'a.jpg')
    split = split_of(['camera 1/a.jpg', 'camera 1/b.jpg', 'camera 2/a.jpg'])
    missing = (2, (f'{tmp_path}/camera 1/b.jpg', f'{tmp_path}/camera 2/a.jpg'))
    image_problems(split, tmp_path)
    assert problems_in(split) == {'image file missing': missing}
    # They are told once: opening does not tell them again.
    assert problems_of(split, tmp_path) == {'image file missing': missing}


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


ANCHORS = Anchors(np.array([[16.0, 32.0], [64.0, 64.0]]), scale=(128, 128), overlap=0.3)


def test_people_of_a_size_that_no_anchor_has(tmp_path):
    """Images of 64 x 48 are doubled; the smaller anchor has an area of 512 pixels."""
    write(tmp_path / 'a.jpg')
    fits = [20, 5, 28, 15]  # 16 x 20 pixels: 320 of 512
    small = [40, 20, 46, 26]  # 12 x 12 pixels: 144 of 512, 0.28
    shown = 'a.jpg.mat (box 2): [40, 20, 46, 26]: 12 x 12 pixels at 128 x 128, where anchors have'
    split = split_of(['a.jpg'], [fits, fits, small])
    problems = problems_of(split, tmp_path, anchors=ANCHORS)
    ((count, (example,)),) = problems.values()
    assert list(problems) == ['person does not fit the anchors']
    assert (count, example) == (1, f'{shown} the area of 23 to 64 squared')
    split = split_of(['a.jpg'], [small, small, fits])
    assert 'most people do not fit the anchors' in problems_of(split, tmp_path, anchors=ANCHORS)


CORNERS = [[4, 4, 14, 30], [30, 6, 44, 40], [40, 2, 60, 44], [10, 10, 20, 30]]


def test_corners_that_were_read_as_sides(tmp_path):
    write(tmp_path / 'a.jpg')

    def found(rows):
        return 'boxes are two corners' in problems_of(split_of(['a.jpg'], rows), tmp_path)

    read = [[x1, y1, x1 + x2, y1 + y2] for x1, y1, x2, y2 in CORNERS]
    assert found(read)
    assert not found(CORNERS)
    assert not found([])
    # Too large by another mistake: the second corner would be left of the first.
    assert not found([*read, [50, 4, 80, 40]])
    assert not found([[0, 0, WIDTH, HEIGHT]] * 3)


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
    split = split_of(['a.jpg'])
    assert problems_of(split, tmp_path) == {'image turned by EXIF': (1, (str(path),))}
    sizes = split.images[['width', 'height']].to_numpy().tolist()
    assert sizes == [list(cv2.imread(str(path)).shape[1::-1])] == [[HEIGHT, WIDTH]]
