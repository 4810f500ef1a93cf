from base64 import urlsafe_b64encode
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mmps.formats.converters.label_studio_addresses import TaskImages
from mmps.utils.image_folder import ImageFolder


def images_of(root, *names):
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return TaskImages(ImageFolder(root))


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('/data/local-files/?d=hall/cam+1.png', 'hall/cam+1.png'),
        ('/data/local-files/?d=hall/cam%2B1.png', 'hall/cam+1.png'),
        ('/data/local-files/?d=hall/cam%201.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/cam+1.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/cam 1.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/100%25.png', 'hall/100%.png'),
        ('/data/local-files/?d=hall/100%.png', 'hall/100%.png'),
        ('/data/local-files/?d=hall/cam%25201.png', 'hall/cam%201.png'),
        ('/data/local-files/?d=hall/cam%201.png', 'hall/cam%201.png'),
        ('/data/local-files/?d=a/hall/one&two.png', 'hall/one&two.png'),
        ('/data/local-files/?d=a/hall/what?.png', 'hall/what?.png'),
        ('/data/local-files/?d=a/hall/no#1.png', 'hall/no#1.png'),
        ('/data/local-files/?project=3&d=hall/a.png&x=y', 'hall/a.png'),
        ('/data/local-files/?id=7&d=hall/a.png', 'hall/a.png'),
        ('/data/local-files/?d=C:\\pictures\\hall\\a.png', 'hall/a.png'),
        ('http://127.0.0.1:8080/data/local-files/?d=hall/a.png', 'hall/a.png'),
        ('/data/upload/1/0123abcd-no#1.png', 'no#1.png'),
        ('/data/upload/1/0123abcd-what?.png', 'what?.png'),
        ('/data/upload/1/0123abcd-100%25.png', '100%25.png'),
        ('/data/upload/1/0123abcd-a%20b.png', 'a b.png'),
        ('/data/upload/1/0123abcd-a.png', '0123abcd-a.png'),
        ('/data/upload/1/0123abcd-cam_1.png', 'hall/cam 1.png'),
        ('/data/upload/1/0123abcd-cam1.png', 'cam#1.png'),
        ('https://host/files/hall/a.png?token=5', 'hall/a.png'),
        ('https://host/files/hall/a%20b.png', 'hall/a b.png'),
        ('https://host/files/hall/a.png?d=200x200#top', 'hall/a.png'),
        ('https://host/get?file=hall%2Fa.png&size=5', 'hall/a.png'),
        ('s3://bucket/hall/no#1+2%3.png', 'hall/no#1+2%3.png'),
        ('gs://bucket/hall/a?b.png', 'hall/a?b.png'),
        ('azure-blob://box/hall/a.png', 'hall/a.png'),
        ('C:\\Users\\me\\hall\\a b#1.png', 'hall/a b#1.png'),
        ('file:///C:/hall/a%20b.png', 'hall/a b.png'),
        ('hall/a;b=c.png', 'hall/a;b=c.png'),
        ('//server/share/hall/a.png', 'hall/a.png'),
        (
            f'/tasks/5/resolve/?fileuri={urlsafe_b64encode(b"s3://bucket/hall/a.png").decode()}',
            'hall/a.png',
        ),
    ],
)
def test_what_an_address_means(tmp_path, address, name):
    assert images_of(tmp_path, name, 'b.png').find(address) == name


def test_the_likelier_of_two_files(tmp_path):
    images = images_of(tmp_path, 'a b.png', 'a%20b.png', 'a+b.png')
    for start, name in (
        ('/data/local-files/?d=', 'a b.png'),  # Label Studio escapes it
        ('https://host/', 'a b.png'),
        ('/data/upload/1/', 'a%20b.png'),  # which it does not do here
        ('s3://bucket/', 'a%20b.png'),
    ):
        assert images.find(f'{start}a%20b.png') == name
        assert images.find(f'{start}a+b.png') == 'a+b.png'


def test_the_longest_end_of_all_readings(tmp_path):
    images = images_of(tmp_path, 'a.png', 'hall/a.png')
    assert images.find('/data/local-files/?d=hall/a.png') == 'hall/a.png'
    assert images.find('/data/local-files/?d=hall%2Fa.png') == 'hall/a.png'
    assert images.find('https://host/hall/a.png?x=y/a.png') == 'hall/a.png'


def test_what_is_no_address_of_a_file(tmp_path):
    images = images_of(tmp_path, 'cam 1.png', 'cam_1.png.bak', 'lift/cam#1.png', 'lift/cam+1.png')
    for address in (
        '',
        '?',
        '?d',
        '?d=',
        '/data/local-files/?d=x',
        'x?fileuri=%%%',
        'x?fileuri=aaa',
    ):
        assert images.find(address) is None
    assert images.find('/data/upload/1/0123abcd-cam1.png') is None  # two files may be meant


NAMES = st.text(
    st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='/\\'), min_size=1, max_size=8
).map(lambda name: f'{name}.png')
ADDRESSES = {
    'upload': lambda name: f'/data/upload/12/0123abcd-{name}',
    'local': lambda name: f'/data/local-files/?d=up/hall/{quote(name)}',
    'local, not escaped': lambda name: f'/data/local-files/?d=up/hall/{name}',
    'local, of a form': lambda name: f'/data/local-files/?d={quote_plus(f"up/hall/{name}")}',
    'web': lambda name: f'https://host/up/hall/{quote(name)}?token=5&d=3',
    'cloud': lambda name: f's3://bucket/up/hall/{name}',
    'windows': lambda name: f'C:\\up\\hall\\{name}',
    'path': lambda name: f'/up/hall/{name}',
}


@settings(max_examples=200, deadline=None)
@given(name=NAMES, kind=st.sampled_from(sorted(ADDRESSES)))
@example('%41#?&+ =;d=.png', 'upload')
@example('%41#?&+ =;d=.png', 'local')
@example('a&d=b.png', 'local, not escaped')
@example('%2541.png', 'web')
@example('%41?x=y#z.png', 'cloud')
def test_any_name_in_any_kind_of_address(tmp_path_factory, name, kind):
    assume(len(name.encode()) < 100)
    root = tmp_path_factory.mktemp('a')
    images = images_of(root, f'hall/{name}', 'other.png')
    if kind == 'upload':
        images = images_of(root / 'hall')
        assert images.find(ADDRESSES[kind](name)) == name
    else:
        assert images.find(ADDRESSES[kind](name)) == f'hall/{name}'
