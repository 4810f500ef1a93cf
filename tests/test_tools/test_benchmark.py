import json


def test_numbers_are_printed_and_written(load_tool, tmp_path, capsys):
    out = tmp_path / 'b.json'
    sizes = ['--images=20', '--boxes=60', '--labelled=40', '--people=5', '--queries=4']
    load_tool('analysis_tools/benchmark.py').main(
        ['eval', *sizes, '--detections=80', '--dim=16', '--repeats=1', '--out', str(out)]
    )
    content = json.loads(out.read_text())
    assert content['command'].startswith('tools/analysis_tools/benchmark.py eval --images=20')
    names = [m['name'] for m in content['measurements']]
    assert 'matrix product' in names and 'search' in names
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
