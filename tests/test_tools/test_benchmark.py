import json

from mmps.benchmark.search_sets import SIZES, Size


def test_numbers_are_printed_and_written(load_tool, tmp_path, capsys, monkeypatch):
    out = tmp_path / 'b.json'
    small = Size(20, 60, 40, people=5, queries=4, detections=80, dim=16)
    monkeypatch.setitem(SIZES, 'prw', small)
    load_tool('analysis_tools/benchmark.py').main(['eval', '--repeats=1', '--out', str(out)])
    content = json.loads(out.read_text())
    assert content['command'].startswith('tools/analysis_tools/benchmark.py eval --repeats=1')
    names = [m['name'] for m in content['measurements']]
    assert 'matrix product' in names and 'search' in names
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
