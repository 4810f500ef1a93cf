"""The documentation: links lead somewhere, commands have the options that tools have."""

import argparse
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest

from mmps.cli.main import scripts
from mmps.utils.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*map(ROOT.joinpath, ('README.md', 'CONTRIBUTING.md')), *(ROOT / 'docs').glob('*.md')]
)
LINKED = [*PAGES, ROOT / 'CHANGELOG.md', *sorted(ROOT.glob('configs/*/README.md'))]
CONFIG = 'configs/ps_densenet121_att_prw.py'
PLACEHOLDERS = {
    '$CONFIG': CONFIG,
    '$config': CONFIG,
    'CONFIG': CONFIG,
    '$CHECKPOINT': 'epoch_1.pth',
    '$MODEL': 'epoch_1.pth',
    '$options': 'model.neck=None',
}
NAMED_FILE = re.compile(r'(?<![\w/.-])((?:configs|mmps|tests|tools)/[\w./-]*\w)(?![\w./-]*[{[*])')
REPLACED = re.compile(r'\$(CONFIG|config|CHECKPOINT|MODEL|options)\b|(?<!\S)CONFIG\b')


def without_blocks(text: str) -> str:
    return re.sub(r'```.*?```', '', text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r'^#+ (.*)$', without_blocks(text), re.MULTILINE)
    plain = (re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading) for heading in headings)
    return {re.sub(r'[^\w\- ]', '', heading).strip().lower().replace(' ', '-') for heading in plain}


def commands(text: str) -> list[str]:
    """All commands of tools on a page, in blocks and in lines, each on one line."""
    blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
    lines += [code.replace('\n', ' ') for code in re.findall(r'`([^`]+)`', without_blocks(text))]
    found = (re.search(r'\b(?:python|torchrun \S+ \d+) (tools/\S+\.py .*)', line) for line in lines)
    short = (re.match(r'(?:\w+=\S+ )*mmps ([a-z][a-z0-9-]*) (.*)', line) for line in lines)
    whole = [match[1] for match in found if match and not match[1].endswith('.py ...')]
    return whole + [f'{scripts()[match[1]]} {match[2]}' for match in short if match]


def arguments(command: str) -> list[str]:
    """The words of a command: placeholders filled, options in brackets taken, comments dropped."""
    filled = REPLACED.sub(lambda match: PLACEHOLDERS[match[0]], command)
    filled = re.sub(r'(?<!\S)\[(-[^]]*)\]', r'\1', filled)
    words = shlex.split(filled, comments=True)
    return [word.removesuffix('...') for word in words if word != '...']


class Parsed(Exception):
    """The arguments of a tool were understood."""


def understand(words: list[str], monkeypatch) -> None:
    """Let a tool parse its arguments, and stop it there."""
    path = words[0]
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *args, **kwargs):
        parse(parser, *args, **kwargs)
        raise Parsed

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, 'parse_args', parse_and_stop)
        patched.setattr(sys, 'argv', words)
        with pytest.raises(Parsed):
            tool.main()


@pytest.mark.parametrize('page', LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text()
    targets = re.findall(r'\]\(([^)\s]+)\)', without_blocks(text))
    dead = []
    for target in targets:
        if re.match(r'https?://', target):
            continue
        name, _, anchor = target.partition('#')
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize('page', LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_whole(page):
    for table in re.findall(r'(?:^\|.*\n)+', without_blocks(page.read_text()), re.MULTILINE):
        head, line, *rows = table.splitlines()
        assert set(line) <= set('| -'), table
        assert {row.count('|') for row in rows} == {head.count('|')}, table


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_are_named_exist(page):
    names = re.findall(NAMED_FILE, page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_tools_take_the_commands(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    refused = []
    for command in commands(page.read_text()):
        words = arguments(command)
        for word in words:
            if word.endswith('.yml'):  # a model of two files, which stands for config and weights
                (tmp_path / word).touch()
        try:
            understand(words, monkeypatch)
        except (SystemExit, UserError) as error:
            refused.append((command, str(error), capsys.readouterr().err))
    assert not refused


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_what_python_examples_import_is_there(page):
    blocks = re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL)
    imports = [line for block in blocks for line in block.splitlines() if 'import ' in line]
    for line in imports:
        exec(line, {})


def test_targets_of_make_exist():
    targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r'(?:`|^|&& )make ([a-z-]+)', page.read_text(), re.MULTILINE)
        assert set(named) <= targets


def test_the_classes_that_configs_name_explain_their_keys():
    page = ROOT / 'docs/configs.md'
    rows = re.findall(r'\| \[(`.*`)\]\(\.\./(.*)\.py\) \|', page.read_text())
    silent = []
    for names, file in rows:
        for name in re.findall(r'\w+', names):
            kind = getattr(importlib.import_module(file.replace('/', '.')), name)
            explained = re.findall(r'^ {4}([\w, ]+): ', inspect.getdoc(kind), re.MULTILINE)
            known = {'args', 'kwargs', 'init_cfg', *', '.join(explained).split(', ')}
            silent += [f'{name}.{key}' for key in inspect.signature(kind).parameters.keys() - known]
    assert len(rows) > 6 and not silent


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_modules_that_are_run_exist(page):
    names = set(re.findall(r'python -m ([\w.]+)', page.read_text()))
    assert all(importlib.util.find_spec(name) for name in names)
