import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmps.utils.image_folder import ImageFolder, difference, same_name

COMPOSED, DECOMPOSED = 'caf\u00e9.png', 'cafe\u0301.png'

PARTS = st.text(
    st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='/\\'), min_size=1, max_size=6
).filter(lambda part: part not in ('.', '..'))
"""Parts of names that a file system takes and that no system takes for two."""


def folder_of(root, *names):
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return ImageFolder(root)


@pytest.mark.parametrize(
    ('there', 'listed'),
    [
        ('hall/1.png', 'hall/1.png'),
        ('hall/1.png', 'hall\\1.png'),
        ('hall/1.png', 'Hall/1.PNG'),
        ('hall/1.png', './hall//1.png'),
        ('HALL/1.PNG', 'hall/1.png'),
        (DECOMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (f'caf\u00e9/{DECOMPOSED}', f'CAF\u00c9\\{COMPOSED}'),
        ('stra\u00dfe.png', 'STRASSE.png'),
        ('a\\b.png', 'a\\b.png'),
    ],
)
def test_spellings_of_one_name(tmp_path, there, listed):
    folder = folder_of(tmp_path, there)
    found = folder.find(listed)
    assert os.path.samefile(tmp_path / found, tmp_path / there)
    assert Path(folder.path(listed)).is_file()
    assert os.path.samefile(tmp_path / folder.find_end(f'/other/place/{listed}'), tmp_path / there)


def test_the_name_as_it_stands_comes_first(tmp_path):
    folder = folder_of(tmp_path, COMPOSED, DECOMPOSED, 'a.png', 'A.png', 'a\\b.png', 'a/b.png')
    for name in (COMPOSED, DECOMPOSED, 'a.png', 'A.png', 'a\\b.png', 'a/b.png'):
        assert folder.find(name) == name


def test_none_of_several_files_is_taken(tmp_path):
    folder = folder_of(tmp_path, 'hall/one.png', 'hall/ONE.png', 'Lift/a.png', 'LIFT/b.png')
    assert folder.find('hall/One.png') is None
    assert 'hall/ONE.png' in folder.explain('hall/One.png')
    assert folder.find('lift/a.png') == 'Lift/a.png'


def test_what_is_no_file(tmp_path):
    folder = folder_of(tmp_path, 'hall/a.png/b.png', 'hall/a.jpg')
    assert folder.find('HALL/a.png') is None
    assert folder.find('hall') == 'hall'  # letter by letter, whatever it is: nobody is asked
    assert folder.find_end('hall') is None
    assert folder.find_end('') is None
    assert folder.find('x' * 5000 + '/a.jpg') is None
    assert folder.find('../a.jpg') is None
    assert folder.find('hall/../hall\\a.jpg') is None  # a way up is followed as it stands
    assert folder.find('hall/../hall/a.jpg') == 'hall/../hall/a.jpg'
    assert folder.path('b.jpg') == f'{tmp_path}/b.jpg'
    assert ImageFolder(tmp_path / 'none').find('a.jpg') is None


def test_names_that_lead_elsewhere(tmp_path):
    folder = folder_of(tmp_path / 'images', 'a.png')
    folder_of(tmp_path, 'other/b.png')
    assert folder.path('../other/b.png') == f'{tmp_path}/images/../other/b.png'
    assert folder.path(f'{tmp_path}/other/b.png') == f'{tmp_path}/other/b.png'


def test_the_longest_end_that_is_a_file(tmp_path):
    folder = folder_of(tmp_path, 'hall/a.jpg', 'a.jpg')
    for path, name in (
        ('/data/export/hall/a.jpg', 'hall/a.jpg'),
        ('C:\\export\\hall\\a.jpg', 'hall/a.jpg'),
        ('C:\\export\\hall/a.jpg', 'hall/a.jpg'),
        ('street/a.jpg', 'a.jpg'),
        ('hall/../../hall/a.jpg', 'hall/a.jpg'),
        ('x' * 5000 + '/a.jpg', 'a.jpg'),
        ('b.jpg', None),
    ):
        assert folder.find_end(path) == name


@pytest.mark.parametrize(
    ('there', 'listed', 'message'),
    [
        (('hall/one.png', 'hall/oNe.png'), 'hall/One.png', "in other capitals than 'One.png'"),
        (('lift/one.png',), 'hall/one.png', "has 'lift/one.png'"),
        (('hall/0001.png',), 'hall/1.png', "the nearest name there is 'hall/0001.png'"),
        (('x.jpeg',), 'hall/1.png', "there is 'x.jpeg'"),
        ((), 'hall/1.png', 'holds no file'),
    ],
)
def test_what_is_there_instead(tmp_path, there, listed, message):
    folder = folder_of(tmp_path, *there)
    assert folder.find(listed) is None
    assert message in folder.explain(listed)
    assert 'no folder' in ImageFolder(tmp_path / 'none').explain(listed)


def test_differences_that_are_not_to_be_seen():
    assert difference(COMPOSED, COMPOSED) == ''
    assert difference(COMPOSED, DECOMPOSED) == (
        "the same in another Unicode form: 'cafe\\u0301.png' there, 'caf\\xe9.png' listed"
    )
    assert difference('a', 'A') == "in other capitals than 'a'"
    assert difference('a', 'b') == ''


SPELLINGS = st.sampled_from(
    [
        lambda name: name,
        lambda name: name.replace('/', '\\'),
        lambda name: f'./{name}',
        lambda name: unicodedata.normalize('NFD', name),
        lambda name: unicodedata.normalize('NFC', name),
        str.casefold,
    ]
)


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=3), spell=SPELLINGS)
def test_any_name_is_found_in_any_spelling(tmp_path_factory, parts, spell):
    name = '/'.join(parts)
    assume(all(len(part.encode()) < 100 for part in parts))
    folder = folder_of(tmp_path_factory.mktemp('f'), name)
    assert folder.find(name) == name
    assert same_name(spell(name)) == same_name(name)
    found = folder.find(spell(name))
    assert os.path.samefile(folder.root / found, folder.root / name)
    assert os.path.samefile(
        folder.root / folder.find_end(f'C:\\up/{spell(name)}'), folder.root / name
    )
