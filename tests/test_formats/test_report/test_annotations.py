import numpy as np

from mmps.formats.report.annotations import find_annotation_problems, find_shared_identities
from mmps.formats.report.split import Split
from mmps.formats.scene_index import Frame, SceneIndex

BOX, OTHER, THIRD = [0, 0, 10, 20], [5, 5, 15, 25], [1, 2, 3, 4]


def frame(name, people, camera=1):
    """A frame of people given as ``(id, box)``."""
    bboxes = np.array([box for _, box in people], np.float32).reshape(-1, 4)
    ids = np.array([person for person, _ in people], np.int64)
    return Frame(name, bboxes, ids, f'{name}.mat', camera)


def found(frames, removed=(), name='train', **options):
    split = Split.of(name, SceneIndex(frames, 9, **options), removed)
    return {p.kind: (p.count, p.examples) for p in find_annotation_problems(split) if p.count}


def test_nothing_is_wrong():
    frames = [frame('a.jpg', [(0, BOX), (-1, OTHER)]), frame('b.jpg', [(0, BOX)], camera=2)]
    assert found(frames) == {}


def test_boxes_without_area():
    assert found([frame('a.jpg', [(-1, BOX)])], ['a.jpg.mat (row 3)']) == {
        'box without area': (1, ('a.jpg.mat (row 3)',))
    }


def test_a_box_listed_three_times_is_two_too_many():
    people = [(-1, OTHER), (-1, BOX), (-1, BOX), (-1, BOX)]
    # In another frame it is another box.
    assert found([frame('a.jpg', people), frame('b.jpg', [(-1, BOX)])]) == {
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
    problems = found(frames, raw_ids=np.array([5, 932]))
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
    assert found(frames) == {
        'identity in one image': (1, ('identity 2: a.jpg',)),
        'identity seen by one camera': (1, ('identity 1: camera 1',)),
    }


def test_one_camera_or_unknown_cameras_cannot_tell_who_is_seen_by_one():
    for camera in (1, -1):
        frames = [frame(name, [(0, BOX)], camera) for name in ('a.jpg', 'b.jpg')]
        assert found(frames) == {}


def test_images_without_people():
    frames = [frame('a.jpg', []), frame('b.jpg', [])]
    assert found(frames) == {'image without people': (2, ('a.jpg', 'b.jpg'))}


def test_no_image_at_all():
    assert found([]) == {}


def test_identities_of_both_splits():
    def split(name, ids, raw_ids=None):
        frames = [frame('a.jpg', [(person, BOX) for person in ids])]
        return Split.of(name, SceneIndex(frames, 9, raw_ids=raw_ids), [])

    test = split('test', [932, 484, -1])
    # Class 1 is raw id 932; class 2, raw id 484, is listed but never annotated.
    train = split('train', [0, 1, -1], np.array([5, 932, 484]))
    problem = find_shared_identities(train, test)
    assert (problem.count, problem.examples) == (1, ('identity 932',))
    # Splits that number people independently share nothing by having the same numbers.
    assert find_shared_identities(split('train', [932, 484]), test).count == 0
