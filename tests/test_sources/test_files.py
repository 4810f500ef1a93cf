import os
from pathlib import Path

import pytest

from mmps.sources import find_files, printable
from mmps.sources.files import absolute, is_video
from mmps.testing.numbered_frames import numbered_frame
from mmps.visualization import write_image


@pytest.fixture
def tree(tmp_path):
    for name in ('b/2.jpg', 'b/1.JPG', 'a/x.mp4', 'a/notes.txt', 'c.png', '.hidden.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(sources):
    problems = []
    files = find_files(sources, problems.append)
    return files, [str(problem) for problem in problems]


def test_a_folder_stands_for_what_is_below_it_in_the_order_of_names(tree):
    files, problems = names([tree])
    expected = ['c.png', 'a/x.mp4', 'b/1.JPG', 'b/2.jpg']
    assert files == [str(tree / name) for name in expected]
    assert problems == []


def test_each_file_once_however_it_is_named(tree, monkeypatch):
    monkeypatch.chdir(tree / 'a')
    again = ['../c.png', tree / 'c.png', tree, './x.mp4', '../b/../c.png']
    assert names(again)[0] == [str(tree / n) for n in ('c.png', 'a/x.mp4', 'b/1.JPG', 'b/2.jpg')]


def test_two_dots_behind_a_link_lead_where_they_lead(tree):
    (tree / 'deep').mkdir()
    (tree / 'link').symlink_to(tree / 'deep')
    (tree / 'deep' / '..' / 'up.png').touch()
    assert names([f'{tree}/link/../up.png'])[0] == [str(tree / 'up.png')]
    assert absolute(tree / 'link' / 'p.png') == str(tree / 'link' / 'p.png')


def test_links_to_folders_are_followed_but_not_in_circles(tree):
    (tree / 'b' / 'back').symlink_to(tree)
    outside = tree.parent / f'{tree.name}_outside'
    outside.mkdir()
    (outside / 'o.png').touch()
    (tree / 'a' / 'out').symlink_to(outside)
    files, problems = names([tree])
    assert str(tree / 'a' / 'out' / 'o.png') in files
    assert len(files) == 5
    assert problems == []


def test_a_named_file_counts_whatever_its_suffix(tree):
    assert names([tree / 'a' / 'notes.txt'])[0] == [str(tree / 'a' / 'notes.txt')]


def test_what_is_not_there_or_no_file(tree):
    os.mkfifo(tree / 'pipe.png')
    (tree / 'dangling.png').symlink_to(tree / 'nowhere')
    files, problems = names([tree / 'gone', tree / 'pipe.png', tree / 'dangling.png'])
    assert files == []
    assert 'gone: no such file or folder' in problems[0]
    assert 'pipe.png: neither a file nor a folder' in problems[1]
    assert 'dangling.png: neither a file nor a folder' in problems[2]
    assert len(names([tree])[0]) == 4  # in a folder they are passed over


def test_a_folder_that_cannot_be_listed(tree, monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == 'a':
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', guarded)
    files, problems = names([tree])
    assert files == [str(tree / name) for name in ('c.png', 'b/1.JPG', 'b/2.jpg')]
    assert problems == [f'{tree / "a"}: cannot be listed (Permission denied)']


def test_names_with_line_breaks_and_dots(tree):
    for name in ('line\nbreak.png', 'dots...png', 'ünï 人.png'):
        (tree / 'b' / name).touch()
    files, problems = names([tree / 'b'])
    expected = {'1.JPG', '2.jpg', 'line\nbreak.png', 'ünï 人.png', 'dots...png'}
    assert {Path(file).name for file in files} == expected
    assert problems == []
    assert printable(str(tree / 'line\nbreak.png')).endswith("line\\nbreak.png'")


def test_names_that_are_no_text(tree):
    path = os.fsencode(tree) + b'/b/\xff.png'
    with open(path, 'wb'):
        pass
    files, problems = names([tree / 'b'])
    assert len(files) == 2
    assert len(problems) == 1 and 'not valid UTF-8; rename it' in problems[0]
    assert problems[0].isprintable()


def test_kind_by_suffix_else_by_content(tmp_path):
    assert is_video('x.MKV') and not is_video('x.TIFF')
    write_image(tmp_path / 'i.png', numbered_frame(0))
    (tmp_path / 'i.png').rename(tmp_path / 'picture')
    (tmp_path / 'other').write_bytes(b'\0' * 100)
    assert not is_video(str(tmp_path / 'picture'))
    assert is_video(str(tmp_path / 'other'))
