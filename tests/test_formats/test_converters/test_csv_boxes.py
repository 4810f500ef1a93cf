import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.converters.csv_boxes import NO_LINE_END, NOT_USED, read_csv_boxes
from mmps.formats.converters.tally import Tally

HEADER = 'image,x1,y1,x2,y2,person_id\n'


def read(tmp_path, content, **options):
    path = tmp_path / 'boxes.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tally = Tally()
    images = read_csv_boxes(path, tally=tally, **options)
    return images, tally


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
        ('a.jpg,1,2,3,4,7\n', 'line 1: the first line has to name the columns; missing: image, x1'),
        (
            HEADER.replace('x2', 'w') + 'a,1,2,3,4,7\n',
            'line 1: .*missing: x2; there: "image, x1, y',
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
        (HEADER + ',1,2,3,4,7\n', 'line 2: image "" is not the name of a file'),
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
    with pytest.raises(FileNotFoundError, match='none.csv: no such table'):
        read_csv_boxes(tmp_path / 'none.csv', tally=Tally())


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
    assert sorted(found) == sorted((f'c/{name}', x, f'p{person}') for name, x, person in rows)


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
