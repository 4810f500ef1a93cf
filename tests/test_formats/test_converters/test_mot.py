import pytest
from PIL import Image

from mmps.formats.converters.annotated_images import Annotations
from mmps.formats.converters.mot import IGNORED, OTHER_CLASSES, THINNED, WORLD, read_mot

GT = '1,5,10,20,30,40,1,1,0.9\n3,5,11.5,20,30,40,1,1,1\n1,6,1,2,3,4,0,1,1\n3,7,1,2,3,4,1,3,1\n'
INFO = '[Sequence]\nname=hall\nimDir=img1\nframeRate=30\nseqLength=3\nimWidth=60\nimExt=.jpg\n'


def write(root, name, gt=GT, info=INFO, frames=(1, 2, 3), folder='img1'):
    sequence = root / name
    (sequence / 'gt').mkdir(parents=True)
    (sequence / folder).mkdir()
    (sequence / 'gt' / 'gt.txt').write_text(gt)
    if info:
        (sequence / 'seqinfo.ini').write_text(info)
    for number in frames:
        Image.new('RGB', (60, 30)).save(sequence / folder / f'{number:06d}.jpg')
    return sequence


def read(root, *sequences, **options):
    annotations = Annotations(root)
    read_mot(sequences, annotations, **options)
    return list(annotations.images.values()), annotations.tally


def people(images):
    return [(i.name, [(b.bbox, b.person) for b in i.boxes]) for i in images]


def test_a_sequence_by_hand(tmp_path):
    sequence = write(tmp_path, 'hall')
    images, tally = read(tmp_path, sequence)
    assert people(images) == [
        ('hall/img1/000001.jpg', [((10, 20, 40, 60), 'hall/5')]),
        ('hall/img1/000002.jpg', []),
        ('hall/img1/000003.jpg', [((11.5, 20, 41.5, 60), 'hall/5')]),
    ]
    assert {(image.camera, image.split) for image in images} == {('hall', None)}
    assert images[0].boxes[0].source == f'{sequence}/gt/gt.txt, line 1'
    assert tally.lines() == [
        f'1 {IGNORED} (first: {sequence}/gt/gt.txt, line 3)',
        f'1 {OTHER_CLASSES} (first: {sequence}/gt/gt.txt, line 4)',
    ]


def test_several_sequences_are_cameras(tmp_path):
    hall, lift = write(tmp_path, 'hall'), write(tmp_path, 'lift')
    images, _ = read(tmp_path, hall, lift)
    assert {b.person for i in images for b in i.boxes} == {'hall/5', 'lift/5'}
    images, _ = read(tmp_path, hall, lift, shared_ids=True, test=[lift])
    assert {b.person for i in images for b in i.boxes} == {'5'}
    assert {(i.camera, i.split) for i in images} == {('hall', 'train'), ('lift', 'test')}


def test_options(tmp_path):
    sequence = write(tmp_path, 'hall')
    images, _ = read(tmp_path, sequence, classes=(1, 3), first_pixel=1)
    assert people(images)[2][1] == [((10.5, 19, 40.5, 59), 'hall/5'), ((0, 1, 3, 5), 'hall/7')]
    images, tally = read(tmp_path, sequence, every=2)
    assert [image.name[-5] for image in images] == ['1', '3']
    assert tally.count(THINNED) == 1
    with pytest.raises(ValueError, match='every frame of 0'):
        read(tmp_path, sequence, every=0)
    with pytest.raises(ValueError, match='lift: to test with, but not among the sequences'):
        read(tmp_path, sequence, test=[tmp_path / 'lift'])


def test_rows_of_other_challenges(tmp_path):
    """MOT15 gives places in the world instead of classes; a tracker may give six values."""
    gt = '1,5,10,20,30,40,1,-1,-1,-1\n2,-1,10,20,30,40\n'
    images, tally = read(tmp_path, write(tmp_path, 'hall', gt))
    assert [box.person for image in images for box in image.boxes] == ['hall/5', None]
    assert tally.lines() == [f'1 {WORLD} (first: {tmp_path}/hall/gt/gt.txt, line 1)']


@pytest.mark.parametrize(
    ('end', 'taken'),
    [
        ('-14.069,4.9,0', True),
        ('2,3,4', True),
        ('nan,,x', True),
        ('-1,-1,-1', True),
        ('1,0.5', True),
        ('1,0.5,', True),
        ('3,0.5', False),
        ('3,0.5,,', False),
        ('3', False),
        ('-1', True),
    ],
)
def test_ten_columns_have_no_class(tmp_path, end, taken):
    images, _ = read(tmp_path, write(tmp_path, 'hall', f'2,5,10,20,30,40,1,{end}\n'))
    assert [len(image.boxes) for image in images] == [0, taken, 0]


def write_labels(sequence, content):
    (sequence / 'gt' / 'labels.txt').write_bytes(content)
    return sequence


CARS_AND_PEOPLE = ''.join(f'{n},{p},10,20,30,40,1,{p},1\n' for n in (1, 2, 3) for p in (1, 2, 3))


@pytest.mark.parametrize(
    ('labels', 'taken'),
    [
        (b'car\nperson\n', {2}),
        (b'Person\ncar\nbus', {1}),
        (b'\xef\xbb\xbfPEDESTRIAN\r\ncar\r\n', {1}),
        (b'car\n\n "pedestrian" \n', {3}),
        (b'person\npedestrian\ncar\n', {1, 2}),
    ],
)
def test_classes_are_lines_of_labels(tmp_path, labels, taken):
    sequence = write_labels(write(tmp_path, 'hall', CARS_AND_PEOPLE), labels)
    images, tally = read(tmp_path, sequence)
    assert {box.person for image in images for box in image.boxes} == {f'hall/{n}' for n in taken}
    assert tally.count(OTHER_CLASSES) == 3 * (3 - len(taken))
    images, _ = read(tmp_path, sequence, classes=[3])
    assert {box.person for image in images for box in image.boxes} == {'hall/3'}


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (
            b'car\nbus\n',
            'labels.txt: none of the labels car, bus is called person or pedestrian; .*--cl',
        ),
        (b'', r'labels.txt: none of the labels \(there are none\)'),
        (b'\xff\xfe', 'labels.txt: byte 0 is not UTF-8'),
    ],
)
def test_labels_without_people(tmp_path, labels, message):
    sequence = write_labels(write(tmp_path, 'hall', CARS_AND_PEOPLE), labels)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, sequence)
    assert len(read(tmp_path, sequence, classes=[1])[0][0].boxes) == 1


def numbered(tmp_path, pictures, rows):
    gt = ''.join(f'{n},{n},10,20,30,40,1,1,1\n' for n in rows)
    return write(tmp_path, 'hall', gt, '', pictures)


def found(images):
    return [(int(i.name[-10:-4]), int(b.person[5:])) for i in images for b in i.boxes]


@pytest.mark.parametrize(
    ('pictures', 'rows'),
    [
        (range(4), range(1, 4)),  # either way each row has a picture
        (range(4), range(1, 5)),
        (range(4), [2]),
        (range(100, 104), range(1, 5)),
        (range(1, 5), range(4)),
        (range(1, 5), range(101, 105)),
    ],
)
def test_pictures_and_rows_that_count_differently(tmp_path, pictures, rows):
    sequence = numbered(tmp_path, pictures, rows)
    text = f'numbered from {min(pictures)} to {max(pictures)} and its rows from {min(rows)} to '
    with pytest.raises(ValueError, match=f'hall.*{text}{max(rows)}.*--first-frame'):
        read(tmp_path, sequence)
    first = 1 if min(pictures) == 0 else min(rows)
    images, _ = read(tmp_path, sequence, first_frame=first)
    assert found(images) == [(n - first + min(pictures), n) for n in rows]
    with pytest.raises(ValueError, match='there is no image of frame'):
        read(tmp_path, sequence, first_frame=first + 10)


@pytest.mark.parametrize(
    ('pictures', 'rows'),
    [(range(4), range(4)), (range(4), [0]), (range(1, 5), [3]), (range(7, 90, 10), [17, 27])],
)
def test_pictures_and_rows_that_count_alike(tmp_path, pictures, rows):
    images, _ = read(tmp_path, numbered(tmp_path, pictures, rows))
    assert found(images) == [(n, n) for n in rows]


def test_nobody_in_the_first_picture(tmp_path):
    images, _ = read(tmp_path, numbered(tmp_path, range(4), [1, 3]), first_frame=0)
    assert found(images) == [(1, 1), (3, 3)]
    assert read(tmp_path / 'b', numbered(tmp_path / 'b', range(4), []))[0][0].boxes == []


def test_without_sequence_info(tmp_path):
    images, _ = read(tmp_path, write(tmp_path, 'hall', info=''))
    assert len(images) == 3


def test_another_folder_of_images(tmp_path):
    info = INFO.replace('img1', 'frames')
    images, _ = read(tmp_path, write(tmp_path, 'hall', info=info, folder='frames'))
    assert images[0].name == 'hall/frames/000001.jpg'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(gt='1,5,10,20\n'), 'gt.txt, line 1: 4 values; a row is frame, id, x'),
        (dict(gt='1,5,10,20,30,tall\n'), "gt.txt, line 1: height 'tall' is not a number"),
        (dict(gt='1,5,10,20,30,nan\n'), "gt.txt, line 1: height 'nan' is not a number"),
        (dict(gt='1,5.5,10,20,30,40\n'), "gt.txt, line 1: id '5.5' is not a whole number"),
        (dict(gt='1,5,10,20,-30,40\n'), 'gt.txt, line 1: a box of -30 x 40'),
        (dict(gt='9,5,10,20,30,40\n'), 'gt.txt, line 1: there is no image of frame 9'),
        (dict(gt='"1,5\n'), 'gt.txt: not rows of numbers'),
        (dict(frames=(1, 2)), 'img1: 2 numbered images such as 000001.jpg, 3 expected'),
        (dict(frames=(), info=''), 'img1: 0 numbered images'),
        (dict(info='name=hall\n'), r'seqinfo.ini: not a file with a section \[Sequence\]'),
        (dict(info='[Other]\na=1\n'), r'seqinfo.ini: not a file with a section \[Sequence\]'),
    ],
)
def test_errors_name_file_line_and_fix(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, write(tmp_path, 'hall', **changes))


def test_missing_files(tmp_path):
    sequence = write(tmp_path, 'hall')
    (sequence / 'gt' / 'gt.txt').unlink()
    with pytest.raises(FileNotFoundError, match='gt.txt: this file of annotations is missing'):
        read(tmp_path, sequence)
    with pytest.raises(FileNotFoundError, match='img1: this folder of images is missing'):
        read(tmp_path, tmp_path / 'lift')


def test_where_sequences_lie(tmp_path):
    hall = write(tmp_path / 'a', 'hall')
    with pytest.raises(ValueError, match='hall is not in the folder of images'):
        read(tmp_path / 'b', hall)
    with pytest.raises(ValueError, match="two sequences are called 'hall'"):
        read(tmp_path, hall, write(tmp_path / 'b', 'hall'))


def test_two_images_of_one_frame(tmp_path):
    sequence = write(tmp_path, 'hall', info='')
    Image.new('RGB', (60, 30)).save(sequence / 'img1' / '1.png')
    with pytest.raises(ValueError, match='frame 1 has another image beside this one'):
        read(tmp_path, sequence)
