import itertools
import time
from types import SimpleNamespace

import pytest
from helpers.milvus_server import milvus


@pytest.fixture(scope='session')
def milvus_server(tmp_path_factory):
    """Host and port of a server process of the embedded Milvus."""
    from mmps.retrieval.milvus import _logs_kept_open

    with _logs_kept_open():
        from pymilvus.client import grpc_handler
    with (
        milvus(tmp_path_factory.mktemp('milvus')) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Of each new collection it looks after half a second whether the index is made.
        sooner = SimpleNamespace(**{**vars(time), 'sleep': lambda seconds: time.sleep(0.01)})
        patch.setattr(grpc_handler, 'time', sooner)
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
