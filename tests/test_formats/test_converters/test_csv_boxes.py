import csv
import io
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.converters.annotated_images import Annotations
from mmps.formats.converters.csv_boxes import NO_LINE_END, NOT_USED, read_csv_boxes

HEADER = 'image,x1,y1,x2,y2,person_id\n'


def read(tmp_path, content, image_root=None, **options):
    path = tmp_path / 'boxes.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    annotations = Annotations(image_root, **options)
    read_csv_boxes(path, annotations)
    return list(annotations.images.values()), annotations.tally


def plain(images):
    return [
        (i.name, i.camera, i.split, [(b.bbox, b.person, b.is_query) for b in i.boxes])
        for i in images
    ]


def test_a_table_by_hand(tmp_path):
    text = (
        'split,image,x1,y1,x2,y2,person_id,camera,is_query\n'
        'test,a.jpg,1,2,3,4,7,hall,yes\n'
        '\n'
        'test,b.jpg,,,,,,hall,\n'
        'test,a.jpg,0.5,-2,3e1,4,-1,hall,0\n'
        'train,c.jpg,1,2,3,4,anna b.,,\n'
    )
    images, tally = read(tmp_path, text)
    assert plain(images) == [
        ('a.jpg', 'hall', 'test', [((1, 2, 3, 4), '7', True), ((0.5, -2, 30, 4), None, False)]),
        ('b.jpg', 'hall', 'test', []),
        ('c.jpg', None, 'train', [((1, 2, 3, 4), 'anna b.', False)]),
    ]
    assert images[0].source == f'{tmp_path}/boxes.csv, line 2'
    assert images[0].boxes[1].source == f'{tmp_path}/boxes.csv, line 5'
    assert tally.lines() == []


@pytest.mark.parametrize(
    'content',
    [
        b'image,x1,y1,x2,y2,person_id\r\n"my, cam/a.jpg",1.5,2,3,4,7\r\n',
        b'\xef\xbb\xbfImage , X1,y1,x2,y2,Person_ID\n"my, cam/a.jpg", 1.5,2,3,4,7\n',
        b'image;x1;y1;x2;y2;person_id\r\nmy, cam/a.jpg;1,5;2;3,0;4;7\r\n',
        b'image\tx1\ty1\tx2\ty2\tperson_id\nmy, cam\\a.jpg\t1.5\t2\t3\t4\t7\n',
    ],
)
def test_what_spreadsheets_write(tmp_path, content):
    images, tally = read(tmp_path, content)
    assert plain(images) == [('my, cam/a.jpg', 'my, cam', None, [((1.5, 2, 3, 4), '7', False)])]
    assert tally.lines() == []


def test_quotes_and_line_ends_inside_them(tmp_path):
    images, _ = read(tmp_path, HEADER + '"a ""b"".jpg",1,2,3,4,"anna\nb."\nc.jpg,1,2,3,4,x\n')
    assert [image.name for image in images] == ['a "b".jpg', 'c.jpg']
    assert images[0].boxes[0].person == 'anna\nb.'
    assert images[1].source.endswith('line 4')


def test_cameras_from_names(tmp_path):
    images, _ = read(tmp_path, HEADER + 'c3_1.jpg,1,2,3,4,7\n', camera_pattern=r'^c(\d)_')
    assert images[0].camera == '3'


def test_other_words_for_unlabelled_people(tmp_path):
    images, _ = read(tmp_path, HEADER + 'a,1,2,3,4,unknown\na,1,2,3,5,-1\n', unlabelled=['unknown'])
    assert [box.person for box in images[0].boxes] == [None, '-1']


def test_what_is_not_read_is_counted(tmp_path):
    header = HEADER.replace('\n', ',colour,note\n')
    _, tally = read(tmp_path, header + 'a,1,2,3,4,7,red,x')
    assert tally.lines() == [
        f'1 {NO_LINE_END} (first: {tmp_path}/boxes.csv)',
        f'2 {NOT_USED} (first: colour, note)',
    ]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'no line below the header'),
        (HEADER, 'no line below the header'),
        (f'{HEADER[:-1]},is_querry\n', r"line 1: column 'is_querry' is not .* mean is_query\? R"),
        ('image,x1,y1,x2,y2,personid\n', r'missing: person_id; .*; did you mean personid\?'),
        ('a.jpg,1,2,3,4,7\n', 'line 1: the first line has to name the columns; missing: image, x1'),
        (
            HEADER.replace('x2', 'w') + 'a,1,2,3,4,7\n',
            'line 1: .*missing: x2; there: image, x1, y',
        ),
        (HEADER.replace('\n', ',x1\n') + 'a,1,2,3,4,7,1\n', "line 1: column 'x1' occurs twice"),
        (HEADER + 'a.jpg,1,2,3,4\n', 'line 2: 5 values for 6 columns'),
        (HEADER + 'a.jpg,1,2,3,4,7,8\n', "line 2: 7 values for 6 columns; .* hold ',' in double"),
        (HEADER + 'a.jpg,1,2,3,four,7\n', "line 2: y2 'four' is not a number of pixels"),
        (HEADER + 'a.jpg,1,2,3,,7\n', "line 2: y2 '' is not a number"),
        (HEADER + 'a.jpg,1,2,3,nan,7\n', "line 2: y2 'nan' is not a number"),
        (HEADER + 'a.jpg,1,2,3,inf,7\n', "line 2: y2 'inf' is not a number"),
        (HEADER + 'a.jpg,1,2,3,1e9,7\n', "line 2: y2 '1e9' is not a number"),
        (HEADER + 'a.jpg,1,2,3,1_0,7\n', "line 2: y2 '1_0' is not a number"),
        (HEADER + 'a.jpg,5,2,3,4,7\n', 'line 2: the box 5, 2, 3, 4 ends before it starts'),
        (HEADER + 'a.jpg,,,,,7\n', "line 2: person '7' has no box"),
        (HEADER + 'a.jpg,1,2,3,4,#REF!\n', 'line 2: person_id is #REF!, an error of the spread'),
        (HEADER + 'nan,1,2,3,4,7\n', "line 2: image '' is not the name of a file"),
        (HEADER + ',1,2,3,4,7\n', "line 2: image '' is not the name of a file"),
        (HEADER + 'a\0.jpg,1,2,3,4,7\n', 'line 2: '),
        (HEADER + '"a.jpg,1,2,3,4,7\n', 'line 2: not a line of a CSV file'),
        (HEADER + '"a"b.jpg,1,2,3,4,7\n', 'line 2: not a line of a CSV file'),
        (HEADER + 'a' * 200_000 + ',1,2,3,4,7\n', 'line 2: not a line of a CSV file'),
        (b'\xff\xfei\0m\0', 'byte 0 is not UTF-8; save it as UTF-8'),
    ],
)
def test_errors_name_file_line_and_fix(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ('a,1,2,3,4,7,hall,,val\n', "line 2: split 'val' is neither train nor test"),
        ('a,1,2,3,4,7,hall,maybe,\n', "line 2: is_query 'maybe' is neither true nor false"),
        (
            'a,1,2,3,4,7,hall,,\na,1,2,3,5,8,lift,,\n',
            "line 3: camera 'lift', but 'hall' in .*line 2",
        ),
        (
            'a,1,2,3,4,7,,,train\na,1,2,3,5,8,,,test\n',
            "line 3: split 'test', but 'train' in .*line 2",
        ),
    ],
)
def test_errors_in_optional_columns(tmp_path, rows, message):
    header = HEADER.replace('\n', ',camera,is_query,split\n')
    with pytest.raises(ValueError, match=message):
        read(tmp_path, header + rows)


def test_a_missing_table(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.csv: this file of annotations is missing'):
        read_csv_boxes(tmp_path / 'none.csv', Annotations(None))


@pytest.mark.parametrize(
    'nobody', ['', 'nan', 'NaN', '#N/A', 'NULL', 'null', 'None', '<NA>', 'NA', 'n/a', '-1', '-1.0']
)
def test_nobody_in_all_spellings(tmp_path, nobody):
    """As pandas and spreadsheets write that there is no value."""
    header = HEADER.replace('\n', ',camera,is_query,split\n')
    rows = f'a,1,2,3,4,{nobody},hall,,\nb,1,2,3,4,nan,nan,NaN,#N/A\nc,nan,nan,nan,nan,nan,1,,\n'
    images, _ = read(tmp_path, header + rows)
    assert plain(images) == [
        ('a', 'hall', None, [((1, 2, 3, 4), None, False)]),
        ('b', None, None, [((1, 2, 3, 4), None, False)]),
        ('c', '1', None, []),
    ]


@pytest.mark.parametrize(
    ('delimiter', 'seven'),
    [(',', ('7', '7.0', '07', '+7', ' 7 ')), (';', ('7', '7,0', '7.0')), ('\t', ('7,', '007'))],
)
def test_one_number_in_all_spellings(tmp_path, delimiter, seven):
    lines = [f'a,{n},2,{n + 9},4,{{}},{{}}'.split(',') for n in range(len(seven))]
    rows = [[*HEADER.strip().split(','), 'camera'], *lines]
    text = ''.join(delimiter.join(row) + '\n' for row in rows)
    spelled = [value for value in seven for _ in range(2)]
    images, _ = read(tmp_path, text.format(*spelled))
    assert [image.camera for image in images] == ['7']
    assert [box.person for box in images[0].boxes] == ['7'] * len(seven)


def names_in(tmp_path, files, rows):
    for name in files:
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images, _ = read(tmp_path, HEADER + rows, image_root=tmp_path / 'images')
    return [(image.name, image.camera, len(image.boxes)) for image in images]


def test_one_picture_in_all_spellings(tmp_path):
    """Separators, dots, folders before it, case and Unicode form."""
    listed = (
        'hall/caf\u00e9.jpg',
        'hall\\cafe\u0301.jpg',
        './hall//caf\u00e9.jpg',
        'Hall/Caf\u00e9.JPG',
        'images/hall/caf\u00e9.jpg',
        f'{tmp_path}/images/hall/caf\u00e9.jpg',
        'C:\\data\\images\\hall\\caf\u00e9.jpg',
    )
    rows = ''.join(f'{name},{n},2,{n + 9},4,7\n' for n, name in enumerate(listed))
    found = names_in(tmp_path, ['hall/cafe\u0301.jpg', 'lift/1.jpg'], rows)
    assert found == [('hall/cafe\u0301.jpg', 'hall', len(listed))]


def test_absolute_names_have_the_camera_of_the_folder_below_the_images(tmp_path):
    root = f'{tmp_path}/images'
    rows = f'{root}/hall/1.jpg,1,2,3,4,7\n{root}/lift/1.jpg,1,2,3,4,7\n'
    found = names_in(tmp_path, ['hall/1.jpg', 'lift/1.jpg'], rows)
    assert found == [('hall/1.jpg', 'hall', 1), ('lift/1.jpg', 'lift', 1)]


def test_two_pictures_that_would_be_one_file(tmp_path):
    message = (
        r"line 3: image '/lift/1.jpg' is found as '1.jpg', and so is '/hall/1.jpg' in .*line 2"
    )
    with pytest.raises(ValueError, match=message):
        names_in(tmp_path, ['1.jpg'], '/hall/1.jpg,1,2,3,4,7\n/lift/1.jpg,1,2,3,4,7\n')


@pytest.mark.parametrize('name', ['hall/1.jpg', 'hall\\1.jpg', 'pictures/1.jpg', 'x/images/1.jpg'])
def test_a_picture_of_another_folder_is_not_taken_for_it(tmp_path, name):
    with pytest.raises(FileNotFoundError, match='line 3: no image .*1.jpg'):
        names_in(tmp_path, ['1.jpg', '2.jpg'], f'images/1.jpg,1,2,3,4,7\n{name},1,2,3,4,7\n')


def test_a_picture_that_is_not_there(tmp_path):
    message = (
        r"line 2: no image 'hall/1.jpg' in .*; the nearest name there is 'hall/01.jpg'; .*--im"
    )
    with pytest.raises(FileNotFoundError, match=message):
        names_in(tmp_path, ['hall/01.jpg'], 'hall/1.jpg,1,2,3,4,7\n')


NAMES = (
    st.text(
        st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='\\'),
        min_size=1,
        max_size=8,
    )
    .map(str.strip)
    .filter(bool)
)
ROWS = st.lists(st.tuples(NAMES, st.integers(0, 99), NAMES), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, delimiter=st.sampled_from(',;\t'), end=st.sampled_from(['\n', '\r\n']))
def test_any_names(tmp_path_factory, rows, delimiter, end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(HEADER.strip().split(','))
    writer.writerows([f'c/{name}', x, 0, x + 1, 1, f'p{person}'] for name, x, person in rows)
    images, _ = read(tmp_path_factory.mktemp('c'), text.getvalue())
    found = [(i.name, b.bbox[0], b.person) for i in images for b in i.boxes]
    # a person is kept in Unicode's composed form, a picture under the name that its file has
    people = [(f'c/{name}', x, normalize('NFC', f'p{person}')) for name, x, person in rows]
    assert sorted(found) == sorted(people)


def test_every_truncation_is_an_error_or_the_start_of_the_table(tmp_path):
    text = HEADER + 'hall/a.jpg,1,2,3,40,701\n"lift/b.jpg",1,2,3,40,802\n'
    whole = plain(read(tmp_path, text)[0])
    for length in range(len(text)):
        try:
            images, tally = read(tmp_path, text[:length])
        except ValueError as error:
            assert str(error).startswith(str(tmp_path))
        else:
            # what is not an error is whole lines, or says that the last one may not be
            assert tally.count(NO_LINE_END) or plain(images) == whole[: len(images)]
