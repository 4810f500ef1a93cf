import json

import pytest

from mmps.utils.files import whole_file, write_json


def test_the_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with whole_file(path) as temporary:
        temporary.write_text('content')
        assert not path.exists()
    assert path.read_text() == 'content'
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError, match='stop'), whole_file(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError('stop')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_json(tmp_path):
    write_json(tmp_path / 'm.json', {'search/mAP': 0.5})
    assert json.loads((tmp_path / 'm.json').read_text()) == {'search/mAP': 0.5}
