import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.json_file import JsonObject, read_json, shown

PATH = Path('x.json')


def test_content_and_byte_order_mark(tmp_path):
    path = tmp_path / 'x.json'
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, "\\u00e9", true, null]}')
    assert read_json(path) == {'a': [1, 2.5, 'é', True, None]}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'line 1, column 1: not valid JSON'),
        (b'{"a": 1,\n "b": [1, 2', 'line 2, column 12: not valid JSON .*cut off'),
        (b'{"a": 1} extra', 'line 1, column 10: not valid JSON'),
        (b'{"a": NaN}', 'line 1, column 7: NaN is not a number of JSON; correct or remove'),
        (b'{"a": -Infinity}', 'line 1, column 7: -Infinity is not a number of JSON'),
        (b'{"NaN": "a\\"NaN",\n\n "b": [1, Infinity, NaN]}', 'line 3, column 11: Infinity is'),
        (b'NaN', 'line 1, column 1: NaN is'),
        (b'[{"a": 1, "b": 2, "a": 3}]', "the key 'a' occurs twice in the object"),
        (b'{"a": "\xff"}', 'byte 7 is not UTF-8'),
        ('{"a": 1}'.encode('utf-16'), 'byte 0 is not UTF-8'),
        (b'[' * 100_000, 'nested too deeply'),
        (b'{"a": ' + b'9' * 5000 + b'}', 'x.json: '),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    path = tmp_path / 'x.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_json(path)
    assert str(error.value).startswith(str(path))


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4))
VALUES = st.recursive(
    PLAIN | st.sampled_from([math.nan, math.inf, -math.inf, 'NaN', '\\"Infinity']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 1]))
def test_the_place_of_any_constant(tmp_path_factory, value, indent):
    """Python's writer writes what is read: the place is where one of the words stands first."""
    path = tmp_path_factory.mktemp('j') / 'x.json'
    text = json.dumps(value, indent=indent)
    path.write_text(text)
    bare = re.sub(r'"(\\.|[^"\\])*"', lambda match: '_' * len(match[0]), text)
    word = re.search('NaN|-?Infinity', bare)
    if word is None:
        assert read_json(path) == value
        return
    lines = text[: word.start()].split('\n')
    place = f'line {len(lines)}, column {len(lines[-1]) + 1}: {word[0]} is not'
    with pytest.raises(ValueError, match=re.escape(place)):
        read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='x.json: this annotation file is missing'):
        read_json(tmp_path / 'x.json')


def test_shown_is_short():
    assert shown([1, 'a']) == '[1, "a"]'
    assert len(shown('x' * 1000)) == 60
    assert shown({1, 2})  # not JSON at all


def entry(**content):
    return JsonObject(content, PATH, 'annotations[3]')


def test_positions():
    assert entry().where == 'x.json: annotations[3]'
    assert entry().at('bbox') == 'x.json: annotations[3].bbox'
    whole = JsonObject({'a': [{'b': {}}]}, PATH)
    assert whole.where == 'x.json'
    assert whole.at('a') == 'x.json: a'
    assert whole.objects('a', '{}')[0].at('b') == 'x.json: a[0].b'


def test_values():
    good = entry(n=3, whole=4.0, x=1.5, t='café', yes=True, one=1, none=None, box=[1, 2, 3.5, 4])
    assert (good.integer('n'), good.integer('whole')) == (3, 4)
    assert isinstance(good.integer('whole'), int)
    assert good.number('x') == 1.5
    assert good.text('t') == 'café'
    assert (good.flag('yes'), good.flag('one')) == (True, True)
    assert good.integer('none', 7) == good.integer('absent', 7) == 7
    assert good.text('absent', None) is None
    assert good.flag('absent', False) is False
    assert good.has('n') and not good.has('none') and not good.has('absent')
    assert good.box('box') == (1, 2, 4.5, 6)


@pytest.mark.parametrize(
    ('method', 'value', 'message'),
    [
        ('integer', None, 'missing; the object has "a"|missing'),
        ('integer', '7', '"7" is text; a whole number without quotes'),
        ('integer', 1.5, '1.5 is not a whole number'),
        ('integer', True, 'true is not a whole number'),
        ('integer', [1], r'\[1\] is not a whole number'),
        ('integer', 2**31, '2147483648 is too large'),
        ('integer', 10**400, 'too large'),
        ('integer', 1e999, 'is not a whole number'),
        ('number', '1.5', '"1.5" is text; a number without quotes'),
        ('number', False, 'false is no number'),
        ('number', 1e999, 'too large a number'),
        ('number', 10**400, 'too large a number'),
        ('text', 7, '7 is not a text in quotes'),
        ('text', '', 'is empty'),
        ('text', 'a\0b', 'characters that are no text'),
        ('text', 'a\ud800', 'characters that are no text'),
        ('flag', 'yes', '"yes" is neither true nor false'),
        ('flag', 2, '2 is neither true nor false'),
        ('values', {'a': 1}, 'is not a list'),
        ('box', '1,2,3,4', r'is not \[x, y, width, height\] in pixels'),
        ('box', [1, 2, 3], r'is not \[x, y, width, height\]'),
        ('box', [1, 2, 3, '4'], r'bbox\[3\]: "4" is text'),
        ('box', [[1, 2, 3, 4]], r'is not \[x, y, width, height\]'),
        ('box', [1, 2, -3, 4], 'negative size; a box is .* not two corners'),
        ('box', [1, 2, 3, 1e7], 'beyond 1,000,000 pixels'),
    ],
)
def test_errors_name_position_and_fix(method, value, message):
    with pytest.raises(ValueError, match=message) as error:
        getattr(entry(bbox=value), method)('bbox')
    assert str(error.value).startswith('x.json: annotations[3].bbox')


def test_objects_name_the_element():
    whole = JsonObject({'images': [{}, 5]}, PATH)
    message = re.escape('x.json: images[1]: 5 is not an object such as {"id": 1}')
    with pytest.raises(ValueError, match=message):
        whole.objects('images', '{"id": 1}')
    with pytest.raises(ValueError, match=r'^x\.json: \[\] is not an object such as'):
        JsonObject.check([], PATH, '', '{}')
