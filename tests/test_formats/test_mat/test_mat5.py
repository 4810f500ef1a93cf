import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.io import loadmat, savemat

from mmps.formats.mat.mat5 import read_variables
from mmps.formats.mat.mat73_file import Mat73File
from mmps.formats.mat.mat_file import is_version_4, read_mat, read_variable
from mmps.formats.mat.records import read_records

ROWS = np.arange(10.0).reshape(2, 5)

NUMBERS = st.sampled_from(['f4', 'f8', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8']).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=2, max_dims=3, min_side=0))
)
TEXTS = st.text(st.characters(codec='ascii', min_codepoint=32), max_size=12)
NAMES = st.from_regex(r'[a-zA-Z][a-zA-Z0-9_]{0,20}', fullmatch=True)


def as_cell(values):
    cells = np.empty((1, len(values)), object)
    for place, value in enumerate(values):
        cells[0, place] = value
    return cells


def as_structs(rows):
    structs = np.empty((1, len(rows)), [('imname', object), ('box', object)])
    for place, row in enumerate(rows):
        structs[0, place] = row
    return structs


VALUES = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3).map(as_cell)
        | st.lists(st.tuples(inner, inner), max_size=3).map(as_structs)
    ),
    max_leaves=8,
)


def saved(variables, compress=False):
    file = io.BytesIO()
    savemat(file, variables, do_compression=compress)
    return file.getvalue()


def assert_same(mine, scipys):
    assert (mine.dtype, mine.shape) == (scipys.dtype, scipys.shape)
    if mine.dtype.names:
        for name in mine.dtype.names:
            assert_same(mine[name], scipys[name])
    elif mine.dtype == object:
        for one, other in zip(mine.ravel(), scipys.ravel(), strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(mine, scipys)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), st.booleans())
def test_equal_to_scipy(variables, compress):
    content = saved(variables, compress)
    there = loadmat(io.BytesIO(content))
    here = read_variables(content)
    assert list(here) == [name for name in there if not name.startswith('__')]
    for name, value in here.items():
        assert_same(value, there[name])


def element(order, kind, data):
    return struct.pack(f'{order}II', kind, len(data)) + data + bytes(-len(data) % 8)


def array(order, array_class, dims, *elements, name=b'x'):
    head = element(order, 6, struct.pack(f'{order}II', array_class, 0))
    head += element(order, 5, struct.pack(f'{order}{len(dims)}i', *dims))
    return element(order, 14, head + element(order, 1, name) + b''.join(elements))


def mat_file(*elements, order='<'):
    end = b'\x00\x01IM' if order == '<' else b'\x01\x00MI'
    return b'MATLAB 5.0 MAT-file'.ljust(124) + end + b''.join(elements)


@pytest.mark.parametrize('order', '<>')
def test_both_byte_orders_by_hand(order):
    numbers = array(order, 6, (1, 3), element(order, 3, struct.pack(f'{order}3h', 1, -2, 300)))
    # Up to four bytes stand beside type and length, which share the tag's first half.
    small = struct.pack(f'{order}I', 2 << 16 | 4) + struct.pack(f'{order}Hxx', ord('é'))
    text = array(order, 4, (1, 1), small, name=b'text')
    found = read_variables(mat_file(numbers, text, order=order))
    assert found['x'].tolist() == [[1, -2, 300]]
    assert found['x'].dtype == np.int16
    assert found['text'].tolist() == ['é']


def test_characters_outside_the_16_bit_range_count_twice():
    letters = 'a\U0001f600'.encode('utf-16-le')
    content = mat_file(array('<', 4, (1, 3), element('<', 17, letters)))
    assert read_variables(content)['x'].tolist() == ['a\U0001f600']


def test_only_what_is_wanted_is_decoded():
    sparse = array('<', 5, (1, 1), name=b'sparse')
    content = mat_file(sparse, array('<', 6, (1, 1), element('<', 2, b'\7')))
    assert list(read_variables(content, ['x'])) == ['sparse', 'x']
    assert read_variables(content, ['x'])['x'].tolist() == [[7]]
    with pytest.raises(ValueError, match="'sparse' is complex, sparse, an object or a function"):
        read_variables(content)


def deep(levels):
    nested = array('<', 6, (1, 1), element('<', 2, b'\7'))
    for _ in range(levels):
        nested = array('<', 1, (1, 1), nested)
    return mat_file(nested)


HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'no header of a MATLAB file of version 5 to 7'),
        (mat_file(array('<', 6, (HUGE, HUGE), element('<', 9, b''))), r'0 bytes .* numbers of 8'),
        (mat_file(array('<', 4, (1, HUGE), element('<', 16, b''))), '0 characters'),
        (mat_file(array('<', 1, (HUGE, HUGE))), 'arrays in the 0 bytes'),
        (
            mat_file(array('<', 6, (1, 1), element('<', 200, bytes(8)))),
            'not an element of type 200',
        ),
        (mat_file(array('<', 6, (-1, -1), element('<', 2, b'\7'))), 'the dimensions'),
        (mat_file(array('<', 6, (1, 1), element('<', 2, b'\7'), bytes(8))), '8 bytes too many'),
        (mat_file(array('<', 6, (1, 1), element('<', 2, b'\7')) * 2), "'x' occurs twice"),
        (mat_file(struct.pack('<II', 14, 2**32 - 1)), '4294967295 bytes at byte 128, of which 0'),
        (mat_file(struct.pack('<II', 15, 5) + b'about'), 'a compressed array is damaged'),
        (deep(40), 'arrays within arrays'),
        (
            mat_file(array('<', 2, (1, 1), element('<', 5, bytes(4)), element('<', 1, b'ab'))),
            'no field names of 0 bytes',
        ),
        (
            mat_file(
                array('<', 2, (HUGE, 9), element('<', 5, b'\x08\0\0\0'), element('<', 1, b''))
            ),
            'structs without a field',
        ),
    ],
)
def test_what_would_hang_crash_or_take_all_memory_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_variables(content)


def test_compressed_array_with_another_length_or_checksum_is_refused():
    good = array('<', 6, (2, 5), element('<', 9, ROWS.T.tobytes()))
    for bad in (good + b'more', good[:-8], struct.pack('<II', 14, 2**31) + good[8:]):
        packed = zlib.compress(bad)
        with pytest.raises(ValueError, match='a compressed array has not the'):
            read_variables(mat_file(struct.pack('<II', 15, len(packed)) + packed))
    packed = bytearray(zlib.compress(good))
    packed[-1] ^= 1
    with pytest.raises(ValueError, match='a compressed array is damaged .*incorrect data check'):
        read_variables(mat_file(struct.pack('<II', 15, len(packed)) + packed))


def test_each_changed_byte_is_refused_or_changes_what_it_says():
    content = saved({'box_new': ROWS})
    data = content.index(ROWS.T.tobytes())
    refused = 0
    for place in range(128, len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x55
        try:
            rows = read_variables(bytes(changed)).get('box_new')
        except ValueError:
            refused += 1
            continue
        if rows is None:  # another name
            assert content[place : place + 1] in b'box_new'
            continue
        wanted = np.frombuffer(bytes(changed), 'f8', 10, data).reshape(5, 2).T
        np.testing.assert_array_equal(rows, wanted)
    assert refused > 25


@pytest.mark.parametrize('compress', [False, True])
def test_every_truncation_is_refused(compress):
    content = saved({'box_new': ROWS}, compress)
    for length in range(len(content)):
        if length == 128:
            assert read_variables(content[:length]) == {}
            continue
        with pytest.raises(ValueError, match='no header|cut off|of which'):
            read_variables(content[:length])


def test_messages_name_the_file(tmp_path):
    path = tmp_path / 'a.mat'
    with pytest.raises(FileNotFoundError, match='a.mat: .*data_root'):
        read_mat(path)
    path.write_bytes(b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM' + bytes(400))
    with pytest.raises(ValueError, match='a.mat: saved as MATLAB 7.3'):
        read_mat(path)
    path.write_bytes(saved({'a': ROWS, 'b': ROWS})[:-1])
    with pytest.raises(
        ValueError, match='a.mat: cannot be read as a MATLAB file .*unpack it again'
    ):
        read_mat(path)
    path.write_bytes(saved({'a': ROWS, 'b': ROWS + 1}))
    np.testing.assert_array_equal(read_variable(path, 'c', 'b', 'a'), ROWS + 1)
    with pytest.raises(ValueError, match='a.mat: no key c or d in it, but a, b'):
        read_variable(path, 'c', 'd')


def version_4(order, kind, values, name='box_new', is_complex=0):
    """A file by hand, as MATLAB 4 wrote it: no header, and a variable begins with five numbers."""
    rows, columns = values.shape
    head = struct.pack(f'{order}5i', kind, rows, columns, is_complex, len(name) + 1)
    return head + name.encode() + b'\0' + values.astype(f'{order}f8').T.tobytes()


@pytest.mark.parametrize(
    'content',
    [
        version_4('<', 0, ROWS),
        version_4('>', 1000, ROWS),
        version_4('<', 0, np.empty((0, 0))),
        version_4('<', 2, ROWS, 'sparse'),
        version_4('<', 2000, ROWS),
        version_4('<', 11, ROWS, 'x' * 63, is_complex=1),
    ],
)
def test_version_4_is_named(tmp_path, content):
    path = tmp_path / 'a.mat'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.mat: saved as MATLAB version 4; save it with "-v7"'):
        read_mat(path)
    with pytest.raises(ValueError, match='version 4; save it with "-v7"'):
        read_records(path, 'box_new', {})
    with pytest.raises(ValueError, match='a.mat: saved as MATLAB version 4; save it with "-v7.3"'):
        Mat73File(path)


@settings(max_examples=80, deadline=None)
@given(
    name=NAMES,
    value=NUMBERS.filter(lambda a: a.ndim == 2 and a.dtype.itemsize < 8) | TEXTS.filter(bool),
)
def test_whatever_scipy_writes_as_version_4(tmp_path_factory, name, value):
    path = tmp_path_factory.mktemp('m') / 'a.mat'
    savemat(path, {name: value}, format='4')
    assert is_version_4(path.read_bytes())
    savemat(path, {name: value})
    assert not is_version_4(path.read_bytes())


def test_version_5_where_7_3_is_needed(tmp_path):
    path = tmp_path / 'a.mat'
    path.write_bytes(saved({'a': ROWS}))
    with pytest.raises(ValueError, match='saved as MATLAB version 5 to 7; save it with "-v7.3"'):
        Mat73File(path)


def test_what_is_no_file_of_matlab_is_of_no_version():
    for content in (b'', bytes(500), b'\xff' * 500, b'GIF89a' * 100, b'id,x,y\n' * 50):
        assert not is_version_4(content)
