"""The quick start without training; CI goes through its short form with training."""

import sys

import pytest

from mmps.apis import PersonSearcher


def test_a_search_at_once(load_tool, tmp_path, monkeypatch, capsys):
    """The network that comes with mmps finds a rendered person again."""
    monkeypatch.chdir(tmp_path)
    tool = load_tool('misc/quick_start.py')

    def run(log, script, *words):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, words)])
        load_tool(script).main()

    # In processes of their own each would import everything, 5 s.
    monkeypatch.setattr(tool, 'run', run)
    sizes = dict(images=4, identities=4, test_images=12, test_identities=4, queries=4)
    monkeypatch.setattr(tool, 'FAST_SET', sizes)
    monkeypatch.setattr(sys, 'argv', ['quick_start.py', '--fast', '--no-page'])
    tool.main()
    monkeypatch.setattr(sys, 'argv', ['quick_start.py', '--fast'])
    found = tmp_path / 'work_dirs/quick_start_fast/found'
    assert str(found.relative_to(tmp_path) / 'ranking.png') in capsys.readouterr().out
    assert (found / 'ranking.png').stat().st_size > 10_000

    searcher = PersonSearcher('quick-start', device='cpu')
    gallery = tmp_path / 'work_dirs/quick_start_fast/people.lance'
    scene, box = tool.a_query(tool.parse_arguments())
    best = searcher.search(scene, list(map(float, box.split(','))), gallery=gallery)[0]
    assert best.source == str(tmp_path / scene)  # itself


def test_a_step_that_fails_ends_it_with_its_status(load_tool, tmp_path, capfd):
    tool = load_tool('misc/quick_start.py')
    log = tmp_path / 'logs/quick_start.log'
    with pytest.raises(SystemExit) as stopped:
        tool.run(log, 'misc/print_config.py', 'no_such_config.py')
    assert stopped.value.code == 2
    message = 'error: config no_such_config.py does not exist'
    assert message in capfd.readouterr().err and message in log.read_text()
