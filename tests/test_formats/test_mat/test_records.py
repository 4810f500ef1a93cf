import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mmps.formats.mat import columns, layouts, records
from mmps.formats.mat.records import read_records
from mmps.formats.mat.table import Irregular, Numbers
from mmps.synthetic import mat5

FIELDS = {'Query': ('imname', 'idlocate'), 'Gallery': ('imname', 'idlocate')}
ENTRY = ('imname', 'idlocate', 'ishard')


def entry(name, box, hard=(0,)):
    return [mat5.text(name), mat5.numbers(box, (1, len(box))), mat5.numbers(hard)]


def record(query, *gallery):
    return [
        mat5.structs((*ENTRY, 'idname'), [[*query, mat5.text('p1')]]),
        mat5.structs(ENTRY, gallery),
    ]


RECORDS = [
    record(
        entry('s1.jpg', [250, 10, 80, 90]), entry('s2.jpg', [300, 1, 2, 3]), entry('s10.jpg', [])
    ),
    record(entry('s4444.jpg', [1.5, 2, 3, 4])),
    record(entry('s5.jpg', [6, 0, 8, 0]), entry('s6.jpg', []), entry('', [-7, 2, 3, 70000])),
]


@pytest.fixture(autouse=True)
def _by_layout_however_few(monkeypatch):
    monkeypatch.setattr(layouts, '_FEWEST_STRUCTS', 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'TestG50.mat'


@pytest.fixture
def write(path):
    def write(records=RECORDS, fields=('Query', 'Gallery'), **options):
        mat5.write_variable(path, 'TestG50', mat5.structs(fields, records), **options)

    return write


@pytest.fixture
def lean_only(monkeypatch):
    """The general reader may not help."""
    monkeypatch.setattr(records, '_general_records', None)


@pytest.fixture
def general_only(monkeypatch):
    def refuse(*_):
        raise Irregular

    monkeypatch.setattr(records, '_lean_records', refuse)


def as_lists(tables):
    """By field the splits, names and boxes."""
    return {
        name: (
            table.splits.tolist(),
            table.columns['imname'].tolist(),
            np.split(table.columns['idlocate'].values, table.columns['idlocate'].splits[1:-1]),
        )
        for name, table in tables.items()
    }


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, (splits, names, boxes) in as_lists(found).items():
        assert splits == as_lists(wanted)[name][0]
        assert names == as_lists(wanted)[name][1]
        wanted_boxes = as_lists(wanted)[name][2]
        assert [box.tolist() for box in boxes] == [box.tolist() for box in wanted_boxes]


@pytest.mark.parametrize('compress', [True, False])
def test_by_hand(path, write, lean_only, compress):
    write(compress=compress)
    tables = as_lists(read_records(path, 'TestG50', FIELDS))
    splits, names, boxes = tables['Query']
    assert splits == [0, 1, 2, 3]
    assert names == [b's1.jpg', b's4444.jpg', b's5.jpg']
    assert [box.tolist() for box in boxes] == [[250, 10, 80, 90], [1.5, 2, 3, 4], [6, 0, 8, 0]]
    splits, names, boxes = tables['Gallery']
    assert splits == [0, 2, 2, 4]
    assert names == [b's2.jpg', b's10.jpg', b's6.jpg', b'']
    assert [box.tolist() for box in boxes] == [[300, 1, 2, 3], [], [], [-7, 2, 3, 70000]]


@pytest.mark.parametrize('batch', [1, 500, 10**6])
@pytest.mark.parametrize('fewest', [1, 10, 10**6])
def test_equals_the_general_reader_and_scipy(path, write, monkeypatch, batch, fewest):
    rng = np.random.default_rng(0)

    def box():
        limit = rng.choice([100, 2**9, 2**17])
        return rng.integers(-5, limit, rng.choice([0, 4])) + rng.choice([0, 0.25])

    written = [
        record(
            entry(f's{rng.integers(20000)}.jpg', rng.integers(0, 300, 4)),
            *(entry(f's{rng.integers(20000)}.jpg', box()) for _ in range(rng.integers(0, 9))),
        )
        for _ in range(20)
    ]
    write(written)
    monkeypatch.setattr(columns, '_BATCH_BYTES', batch)
    monkeypatch.setattr(layouts, '_FEWEST_STRUCTS', fewest)
    lean = records._lean_records(path, 'TestG50', FIELDS)
    assert_equal(lean, records._general_records(path, 'TestG50', FIELDS))
    galleries = [item['Gallery'] for item in loadmat(path)['TestG50'].ravel()]
    entries = [e for gallery in galleries for e in gallery.ravel()]
    _, names, boxes = as_lists(lean)['Gallery']
    assert [name.decode() for name in names] == [str(e['imname'].item()) for e in entries]
    for found, e in zip(boxes, entries, strict=True):
        assert found.tolist() == e['idlocate'].ravel().tolist()


@pytest.mark.parametrize('compress', [True, False])
def test_files_that_scipy_wrote(path, compress):
    """Other types: text as UTF-8, boxes whose class is that of bytes."""
    query = dict(imname='s1.jpg', idlocate=np.array([[1, 2, 3, 4]], np.uint8), ishard=0)
    gallery = np.zeros((1, 2), [(name, object) for name in ENTRY])
    gallery[0, 0] = ('s22.jpg', np.array([[5, 6, 700, 8]], np.uint16), 1)
    gallery[0, 1] = ('s3.jpg', np.zeros((1, 0)), 0)
    variable = np.zeros((1, 1), [('Query', object), ('Gallery', object)])
    variable[0, 0] = (query, gallery)
    savemat(path, {'TestG50': variable}, do_compression=compress)
    lean = records._lean_records(path, 'TestG50', FIELDS)
    assert_equal(lean, records._general_records(path, 'TestG50', FIELDS))
    assert as_lists(lean)['Gallery'][1] == [b's22.jpg', b's3.jpg']


def test_no_record_and_no_gallery(path, write, lean_only):
    write([])
    tables = read_records(path, 'TestG50', FIELDS)
    assert tables['Gallery'].splits.tolist() == [0]
    write([record(entry('s1.jpg', [1, 2, 3, 4]))])
    tables = read_records(path, 'TestG50', FIELDS)
    assert tables['Gallery'].splits.tolist() == [0, 0]
    assert tables['Gallery'].columns['imname'].tolist() == []


def test_no_gallery_at_all_for_the_general_reader(path, write, general_only):
    write([[record(entry('s1.jpg', [1, 2, 3, 4]))[0], mat5.numbers([], (0, 0))]])
    tables = read_records(path, 'TestG50', FIELDS)
    assert tables['Gallery'].splits.tolist() == [0, 0]
    assert len(tables['Gallery'].columns['imname']) == 0


@pytest.mark.parametrize(
    'first',
    [
        entry('straße.jpg', [1, 2, 3, 4]),
        [mat5.text('s1.jpg'), mat5.cell([]), mat5.numbers([0])],
        [mat5.numbers([1]), mat5.numbers([1, 2, 3, 4]), mat5.numbers([0])],
        # stored as the very words by which the lean reader finds where an array starts
        entry('s1.jpg', [6, 8, 70000, 1]),
    ],
)
def test_what_the_lean_reader_leaves_to_the_general_one(path, write, first):
    write([record(first), record(entry('s2.jpg', [1, 2, 3, 4]))])
    with pytest.raises(Irregular):
        records._lean_records(path, 'TestG50', FIELDS)


def test_a_box_that_makes_up_for_a_damaged_array_is_noticed(path):
    """As many arrays seem to start as should, but not where they should."""
    box = np.array([[14, 48, 6, 8]], np.int32)  # an array's tag and the tag of its flags
    fields = [(name, object) for name in ENTRY]
    query = np.array([('s1.jpg', np.array([[1, 2, 3, 4]]), 0)], fields)
    gallery = np.array([('s1.jpg', box, 0)], fields)
    variable = np.array([(query, gallery)], [('Query', object), ('Gallery', object)])
    savemat(path, {'TestG50': variable})
    assert_equal(
        read_records(path, 'TestG50', FIELDS),
        records._general_records(path, 'TestG50', FIELDS),
    )
    content, start = path.read_bytes(), bytes([6, 0, 0, 0, 8, 0, 0, 0])
    last = content.rindex(start)
    path.write_bytes(content[:last] + bytes([5]) + content[last + 1 :])
    with pytest.raises(ValueError, match='TestG50.mat: '):
        read_records(path, 'TestG50', FIELDS)


@pytest.mark.parametrize('letter', ['ß', '人', '\0'])
def test_another_alphabet_among_structs_of_one_layout_is_noticed(path, write, letter):
    names = ['s1.jpg', 's2.jpg', f'{letter}3.jpg', 's4.jpg']
    write([record(entry('s5.jpg', [1, 2, 3, 4]), *(entry(name, []) for name in names))])
    with pytest.raises(Irregular):
        records._lean_records(path, 'TestG50', FIELDS)
    found = read_records(path, 'TestG50', FIELDS)['Gallery'].columns['imname']
    assert found.tolist() == [name.encode() for name in names]


def test_more_layouts_than_are_looked_for(path, write, monkeypatch, lean_only):
    monkeypatch.setattr(layouts, '_MOST_LAYOUTS', 2)
    boxes = [[], [1, 2, 3, 4], [-1, 2, 3, 4], [300, 2, 3, 4], [0.5, 2, 3, 4], [], [70000, 1, 2, 3]]
    write([record(entry('s1.jpg', [1, 2, 3, 4]), *(entry('s2.jpg', box) for box in boxes))])
    found = as_lists(read_records(path, 'TestG50', FIELDS))['Gallery'][2]
    assert [box.tolist() for box in found] == boxes


def test_other_alphabets(path, write):
    write([record(entry('straße.jpg', [1, 2, 3, 4]), entry('人.jpg', []))])
    tables = read_records(path, 'TestG50', FIELDS)
    assert tables['Query'].columns['imname'].tolist() == ['straße.jpg'.encode()]
    assert tables['Gallery'].columns['imname'].tolist() == ['人.jpg'.encode()]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([[mat5.text('x')]], "TestG50.mat: TestG50: no field 'Query', but Other"),
        ([[mat5.structs(('x',), [[mat5.text('x')]])] * 2], "Query of record 0 .*no field 'imname'"),
        (
            [record([mat5.text('s1.jpg'), mat5.cell([]), mat5.numbers([0])])],
            'Query: idlocate is neither text',
        ),
    ],
)
def test_another_form_is_a_clear_error(path, write, content, message):
    write(content, ('Other',) if len(content[0]) == 1 else ('Query', 'Gallery'))
    with pytest.raises(ValueError, match=message):
        read_records(path, 'TestG50', FIELDS)


def test_missing_file_and_missing_variable(path, write):
    with pytest.raises(FileNotFoundError, match='TestG50.mat: this file .* is missing'):
        read_records(path, 'TestG50', FIELDS)
    write()
    with pytest.raises(ValueError, match='no key TestG100 in it, but TestG50'):
        read_records(path, 'TestG100', FIELDS)


@pytest.mark.parametrize('compress', [True, False])
def test_every_truncation_is_a_clear_error(path, write, compress):
    write(compress=compress)
    content = path.read_bytes()
    for length in range(0, len(content), 5 if compress else 41):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'TestG50\.mat: '):
            read_records(path, 'TestG50', FIELDS)


def test_a_flipped_byte_of_a_compressed_file_is_noticed(path, write):
    write()
    wanted = read_records(path, 'TestG50', FIELDS)
    content = path.read_bytes()
    for place in range(128, len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            found = read_records(path, 'TestG50', FIELDS)
        except ValueError as error:
            assert 'TestG50.mat: ' in str(error)
        else:
            assert_equal(found, wanted)


def test_flipped_bytes_of_an_uncompressed_file_never_get_out_of_hand(path, write):
    write(compress=False)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.permutation(np.arange(128, len(content)))[:400]:
        path.write_bytes(content[:place] + bytes([rng.integers(256)]) + content[place + 1 :])
        try:
            tables = read_records(path, 'TestG50', FIELDS)
        except ValueError as error:
            assert 'TestG50.mat: ' in str(error)
        else:
            for table in tables.values():
                columns = table.columns.values()
                lengths = {len(c.splits) - 1 if isinstance(c, Numbers) else len(c) for c in columns}
                assert lengths == {table.splits[-1]}
