import itertools

import pytest
from helpers.milvus_server import milvus


@pytest.fixture(scope='session')
def milvus_server(tmp_path_factory):
    """Host and port of a server process of the embedded Milvus."""
    folder = tmp_path_factory.mktemp('milvus')
    with milvus(folder) as address:
        yield address


@pytest.fixture
def name(tmp_path):
    """The test's, of letters and digits, as servers take it."""
    return ''.join(c for c in tmp_path.name if c.isalnum())


@pytest.fixture(params=['memory', 'lance', 'store', 'milvus'])
def new_address(request, tmp_path, name):
    """Makes addresses of galleries that are not there yet, of each engine in turn.

    The folder in the form of an address is to LanceDB what an object store is: nobody locks it.
    """
    numbers = itertools.count()
    if request.param == 'memory':
        return lambda: 'memory:'
    if request.param == 'lance':
        return lambda: str(tmp_path / f'{next(numbers)}.lance')
    if request.param == 'store':
        return lambda: f'file://{tmp_path}/{next(numbers)}.lance'
    server = request.getfixturevalue('milvus_server')
    return lambda: f'milvus://{server}/c{name}{next(numbers)}'


@pytest.fixture
def folder(tmp_path):
    """Where a gallery on disk may be made."""
    return tmp_path / 'people.lance'
