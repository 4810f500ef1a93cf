import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from mmps.formats.json_file import convert_json, read_json


class Person(Struct):
    n: int
    height: Annotated[float, Meta(ge=0)] | None = None


def test_content_and_byte_order_mark(tmp_path):
    path = tmp_path / 'x.json'
    path.write_bytes(b'\xef\xbb\xbf[{"n": 1.0, "other": {}}, {"n": "2", "height": 1}]')
    assert read_json(path, list[Person]) == [Person(1), Person(2, 1.0)]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'line 1, column 1: not valid JSON'),
        (
            b'{"a": 1,\n "b": [1, 2',
            'line 2, column 12: not valid JSON in UTF-8, the file may be cut off',
        ),
        (b'{"a": 1} extra', "line 1, column 11: not valid JSON in UTF-8, at 'xtra'"),
        (b'{"a": "\xff"}', 'not valid JSON in UTF-8'),
        ('{"a": 1}'.encode('utf-16'), 'line 1, column 1: not valid JSON in UTF-8'),
        (b'{"a": "\\ud800"}', 'not valid JSON'),
        (b'[' * 100_000, 'nested too deeply'),
        (b'{"a": ' + b'9' * 5000 + b'}', 'x.json: '),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    path = tmp_path / 'x.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_json(path, Any)
    assert str(error.value).startswith(str(path))


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=4))
VALUES = st.recursive(
    PLAIN | st.sampled_from([math.nan, math.inf, -math.inf, 'NaN', '\\"Infinity']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 1]), read=st.booleans())
def test_the_place_of_any_constant(tmp_path_factory, value, indent, read):
    """Python's writer writes NaN: the first one is named, also under a key that is not read."""
    path = tmp_path_factory.mktemp('j') / 'x.json'
    text = json.dumps(value if read else {'n': 1, 'other': value}, indent=indent)
    path.write_text(text)
    bare = re.sub(r'"(\\.|[^"\\])*"', lambda match: '_' * len(match[0]), text)
    word = re.search('NaN|-?Infinity', bare)
    if word is None:
        assert read_json(path, Any if read else Person) == (value if read else Person(1))
        return
    lines = text[: word.start()].split('\n')
    column = len(lines[-1]) + 1 + word[0].startswith('-')
    place = f'{path}, line {len(lines)}, column {column}: not valid JSON'
    with pytest.raises(ValueError, match=re.escape(place)):
        read_json(path, Any if read else Person)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='x.json: this annotation file is missing'):
        read_json(tmp_path / 'x.json', Any)


def test_errors_name_file_and_place(tmp_path):
    path = tmp_path / 'x.json'
    for content, message in (
        ('[{"n": 1}, {"n": 2, "height": -1}]', '[1].height: Expected `float` >= 0.0'),
        ('[{"n": 1}, {}]', '[1]: Object missing required field `n`'),
        ('{}', 'Expected `array`, got `object`'),
    ):
        path.write_text(content)
        with pytest.raises(ValueError) as error:
            read_json(path, list[Person])
        assert str(error.value) == f'{path}: {message}'


def test_a_part_is_converted_with_its_place():
    assert convert_json({'n': 3.0}, Person, Path('x.json'), 'people[3]') == Person(3)
    for value, message in (
        ({'n': 'x'}, 'x.json: people[3].n: Expected `int`, got `str`'),
        (5, 'x.json: people[3]: Expected `object`, got `int`'),
    ):
        with pytest.raises(ValueError) as error:
            convert_json(value, Person, Path('x.json'), 'people[3]')
        assert str(error.value) == message
